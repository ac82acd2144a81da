//! Fused steps, with tensors whose numbers have any format.
//!
//! A call is made good, and then one thing about it is made wrong, or none. What is wrong must be
//! refused, with nothing written; what is good must write the same bits on every instruction set and
//! in any chunks, and nothing beside the arrays that it may write.

use std::ptr;

use arbitrary::{Result, Unstructured};
use gradstep::capi::*;
use gradstep::{Adadelta, Adagrad, Adam, AdamW, Backend, RmsProp, Sgd};

use crate::Seen;
use crate::rules::Subject;

/// Parameter, gradient, three buffers of state, average, copy.
type Arrays = [gradstep_values; 7];

/// A rule's fused step in C.
trait Fused: Subject {
    type FusedItem: Copy;

    fn fused_item(n: usize, arrays: Arrays, offset: u64) -> Self::FusedItem;

    const FUSED: &'static str;

    #[allow(clippy::too_many_arguments)]
    unsafe fn c_fused(
        hyper: *const Self::Hyper,
        options: *const gradstep_options,
        epilogue: *const gradstep_epilogue,
        t: u64,
        chunks: usize,
        index: usize,
        count: usize,
        tensors: *const Self::FusedItem,
    ) -> i32;
}

macro_rules! fused {
    ($rule:ident, $item:ident, $step:ident, [$($buffer:ident),*]) => {
        impl Fused for $rule {
            type FusedItem = $item;

            fn fused_item(n: usize, arrays: Arrays, offset: u64) -> $item {
                let [param, grad, first, second, third, ema, copy] = arrays;
                let mut state = [first, second, third].into_iter();
                $item { n, param, grad, $($buffer: state.next().unwrap(),)* ema, copy, offset }
            }

            const FUSED: &'static str = stringify!($step);

            unsafe fn c_fused(
                hyper: *const Self::Hyper,
                options: *const gradstep_options,
                epilogue: *const gradstep_epilogue,
                t: u64,
                chunks: usize,
                index: usize,
                count: usize,
                tensors: *const $item,
            ) -> i32 {
                // SAFETY: as the caller vouches.
                unsafe { $step(hyper, options, epilogue, t, chunks, index, count, tensors) }
            }
        }
    };
}

fused!(Sgd, gradstep_sgd_fused_tensor, gradstep_sgd_fused_step, [momentum_buffer]);
fused!(Adagrad, gradstep_adagrad_fused_tensor, gradstep_adagrad_fused_step, [sum]);
fused!(
    RmsProp,
    gradstep_rmsprop_fused_tensor,
    gradstep_rmsprop_fused_step,
    [square_avg, grad_avg, momentum_buffer]
);
fused!(
    Adadelta,
    gradstep_adadelta_fused_tensor,
    gradstep_adadelta_fused_step,
    [square_avg, acc_delta]
);
fused!(
    Adam,
    gradstep_adam_fused_tensor,
    gradstep_adam_fused_step,
    [exp_avg, exp_avg_sq, max_exp_avg_sq]
);
fused!(
    AdamW,
    gradstep_adamw_fused_tensor,
    gradstep_adamw_fused_step,
    [exp_avg, exp_avg_sq, max_exp_avg_sq]
);

pub(crate) fn any(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    if u.int_in_range(0..=4)? == 0 {
        return others(u, seen);
    }
    macro_rules! choose {
        ($($rule:ident),*) => {{
            type Case = fn(&mut Unstructured<'_>, &mut Seen) -> Result<()>;
            const CASES: &[Case] = &[$(step::<gradstep::$rule>),*];
            u.choose(CASES)?(u, seen)
        }};
    }
    gradstep::for_each_rule!(choose)
}

/// How many bytes an array may have, and how many lie around it.
const ROOM: usize = 1600;
const GAP: usize = 64;
const LONGEST: usize = 390;

/// Memory for two places for each array, codes and exponents, in words so that it is aligned.
#[derive(Clone, PartialEq)]
struct Memory(Vec<u64>);

impl Memory {
    fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut state: u64 = u.arbitrary()?;
        let words = 14 * (ROOM + GAP) / 8;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Numbers whose magnitudes a run may have, in 32, 16 and 8 bits alike.
            state >> 3 & 0x3fff_ffff_3fff_ffff | state & 0x8000_8000_8000_8000
        };
        Ok(Self((0..words).map(|_| next()).collect()))
    }

    fn place(&mut self, index: usize) -> *mut u8 {
        // SAFETY: `index` is below 14.
        unsafe { self.0.as_mut_ptr().cast::<u8>().add(index * (ROOM + GAP)) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: words are bytes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 8) }
    }
}

/// Whether each of a rule's buffers is one of squares.
fn is_of_squares(name: &str) -> bool {
    !matches!(name, "momentum_buffer" | "exp_avg" | "grad_avg")
}

const NOTHING: gradstep_values =
    gradstep_values { data: ptr::null_mut(), exponents: ptr::null_mut(), format: 0, reserved: 0 };

/// A value in one of the formats, in the memory's places `2 index` and `2 index + 1`.
fn array(memory: &mut Memory, index: usize, format: i32) -> gradstep_values {
    let exponents = format == GRADSTEP_FORMAT_E4M3 || format == GRADSTEP_FORMAT_E5M3;
    gradstep_values {
        data: memory.place(2 * index).cast(),
        exponents: if exponents { memory.place(2 * index + 1) } else { ptr::null_mut() },
        format,
        reserved: 0,
    }
}

/// The bytes of `n` numbers, and of their exponents.
fn sizes(values: &gradstep_values, n: usize) -> [usize; 2] {
    let blocks = gradstep_block_count(n);
    match values.format {
        GRADSTEP_FORMAT_F32 => [4 * n, 0],
        GRADSTEP_FORMAT_BF16 | GRADSTEP_FORMAT_F16 => [2 * n, 0],
        _ => [64 * blocks, blocks],
    }
}

fn default_epilogue(seen: &mut Seen) -> gradstep_epilogue {
    let mut epilogue = std::mem::MaybeUninit::uninit();
    // SAFETY: there is room.
    let status =
        unsafe { gradstep_epilogue_default(epilogue.as_mut_ptr(), size_of::<gradstep_epilogue>()) };
    seen.note("gradstep_epilogue_default", status);
    assert_eq!(status, GRADSTEP_OK);
    // SAFETY: filled.
    unsafe { epilogue.assume_init() }
}

fn step<R: Fused>(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let hyper = R::draw(u)?;
    let t = u.int_in_range(1..=3)?;
    if !R::wrong(&hyper).is_nothing() || R::from_c(&hyper).is_none_or(|rule| rule.at(t).is_err()) {
        return Ok(()); // the other targets have these
    }
    let mut memory = Memory::draw(u)?;
    let n = u.int_in_range(0..=LONGEST)?;
    let needs = R::needs(&hyper);
    let mut arrays = [NOTHING; 7];
    for (index, values) in arrays.iter_mut().enumerate() {
        let state = index.checked_sub(2).filter(|&position| position < 3);
        let present = match state {
            Some(position) => needs[position],
            None => index < 2 || u.arbitrary()?,
        };
        if !present {
            continue;
        }
        let format = match state {
            Some(position) if u.arbitrary()? => {
                if is_of_squares(R::BUFFERS[position].0) {
                    GRADSTEP_FORMAT_E5M3
                } else {
                    GRADSTEP_FORMAT_E4M3
                }
            }
            _ => u.int_in_range(0..=2)?,
        };
        *values = array(&mut memory, index, format);
    }
    let mut epilogue = default_epilogue(seen);
    epilogue.rounding = u.int_in_range(0..=1)?;
    epilogue.zero_grad = u.int_in_range(0..=1)?;
    epilogue.seed = u.arbitrary()?;
    if u.arbitrary()? {
        (epilogue.param_min, epilogue.param_max) = (-1.0, 1.0);
    }
    let mut offset = 256 * u.int_in_range(0..=3)?;
    let written: Vec<usize> =
        (0..7).filter(|&index| index != 1 || epilogue.zero_grad == 1).collect();

    // One thing that is wrong, of `victim` where it is about an array.
    let present: Vec<usize> = (0..7).filter(|&index| !arrays[index].data.is_null()).collect();
    let victim = *u.choose(&present)?;
    let is_eight = !arrays[victim].exponents.is_null();
    let mut length = n;
    let (mut chunks, mut index) = (1, 0);
    let hyper = [hyper; 2];
    let mut hyper_pointer = hyper.as_ptr();
    let mut epilogue_is_misaligned = false;
    let mut list = (false, false);
    let what = u.int_in_range(0..=40)?;
    let wrong = match what {
        0 if victim < 5 => {
            arrays[victim].data = ptr::null_mut();
            // A buffer of the state is missing then, or null.
            n > 0
        }
        1 => {
            arrays[victim].data = arrays[victim].data.wrapping_byte_add(1);
            n > 0
        }
        2 => {
            arrays[victim].format = *u.choose(&[5, -1, i32::MAX])?;
            n > 0
        }
        3 => {
            arrays[victim].format = match victim {
                2..5 if is_of_squares(R::BUFFERS[victim - 2].0) => GRADSTEP_FORMAT_E4M3,
                _ => GRADSTEP_FORMAT_E5M3,
            };
            arrays[victim].exponents = memory.place(2 * victim + 1);
            n > 0
        }
        4 => {
            arrays[victim].exponents =
                if is_eight { ptr::null_mut() } else { memory.place(2 * victim + 1) };
            n > 0
        }
        5 => {
            arrays[victim].reserved = 1;
            n > 0
        }
        6 => {
            let other = *u.choose(&present)?;
            arrays[victim].data = arrays[other].data;
            n > 0 && other != victim && (written.contains(&victim) || written.contains(&other))
        }
        7 => {
            length = *u.choose(&[usize::MAX, usize::MAX / 2, usize::MAX / 4 + 1])?;
            true
        }
        8 => {
            offset += u.int_in_range(1..=255)?;
            n > 0
        }
        9 => {
            epilogue.size -= 1;
            true
        }
        10 => {
            epilogue.rounding = 2;
            true
        }
        11 => {
            epilogue.zero_grad = -1;
            true
        }
        12 => {
            epilogue.ema_decay = *u.choose(&[-0.1, 1.1, f64::NAN])?;
            true
        }
        13 => {
            epilogue.param_min = *u.choose(&[2.0, f64::NAN])?;
            epilogue.param_max = 1.0;
            true
        }
        14 => {
            chunks = 0;
            true
        }
        15 => {
            (chunks, index) = (3, 3);
            true
        }
        16 => {
            hyper_pointer = ptr::null();
            true
        }
        17 => {
            hyper_pointer = hyper_pointer.wrapping_byte_add(1);
            true
        }
        18 => {
            epilogue_is_misaligned = true;
            true
        }
        19 => {
            list.0 = true;
            true
        }
        20 => {
            list.1 = true;
            true
        }
        _ => false,
    };
    let item = [R::fused_item(length, arrays, offset); 2];
    let mut items = item.as_ptr();
    if list.0 {
        items = ptr::null();
    }
    if list.1 {
        items = items.wrapping_byte_add(1);
    }
    let epilogues = [epilogue; 2];
    let epilogue_pointer =
        epilogues.as_ptr().wrapping_byte_add(usize::from(epilogue_is_misaligned));
    let call = |chunks: usize, index: usize, seen: &mut Seen| {
        // SAFETY: all that is not wrong is there.
        let status = unsafe {
            R::c_fused(hyper_pointer, ptr::null(), epilogue_pointer, t, chunks, index, 1, items)
        };
        seen.note(R::FUSED, status);
        status
    };

    let before = memory.clone();
    if wrong {
        let status = call(chunks, index, seen);
        assert!(status != GRADSTEP_OK, "{} {what} of {victim}: taken", R::FUSED);
        assert!(memory == before, "{} {what} of {victim}: written", R::FUSED);
        return Ok(());
    }
    if what <= 20 {
        return Ok(()); // nothing of it would be read, or what overlaps is only read
    }
    let mut expected: Option<Memory> = None;
    for backend in Backend::ALL.iter().filter(|backend| backend.force().is_ok()) {
        for chunks in [1, 3] {
            memory.0.copy_from_slice(&before.0);
            for index in (0..chunks).rev() {
                assert_eq!(call(chunks, index, seen), GRADSTEP_OK, "{}", R::FUSED);
            }
            let reference = expected.get_or_insert_with(|| memory.clone());
            assert!(same(reference, &memory), "{}: {backend:?}, {chunks} chunks", R::FUSED);
        }
    }
    // Nothing is written beside the arrays.
    let mut may_change = vec![false; before.bytes().len()];
    for &index in &written {
        if !arrays[index].data.is_null() {
            for (part, size) in sizes(&arrays[index], n).into_iter().enumerate() {
                let start = (2 * index + part) * (ROOM + GAP);
                may_change[start..start + size].fill(true);
            }
        }
    }
    for ((a, b), may_change) in before.bytes().iter().zip(memory.bytes()).zip(may_change) {
        assert!(a == b || may_change, "{}: a byte beside", R::FUSED);
    }
    Ok(())
}

/// Whether the bytes are the same, NaNs of binary32 being all alike.
fn same(a: &Memory, b: &Memory) -> bool {
    let words = |memory: &Memory| -> Vec<u32> {
        let words = memory.0.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]);
        words.map(|word| if f32::from_bits(word).is_nan() { u32::MAX } else { word }).collect()
    };
    words(a) == words(b)
}

/// The functions beside the steps.
fn others(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let mut memory = Memory::draw(u)?;
    let n = u.int_in_range(0..=LONGEST)?;
    seen.note("gradstep_block_count", GRADSTEP_OK);
    assert_eq!(gradstep_block_count(n), n.div_ceil(64));

    let mut epilogue = default_epilogue(seen);
    let size = size_of::<gradstep_epilogue>();
    for (pointer, size) in [
        (ptr::null_mut(), size),
        (ptr::from_mut(&mut epilogue).wrapping_byte_add(1), size),
        (ptr::from_mut(&mut epilogue), size + 1),
    ] {
        // SAFETY: refused.
        let status = unsafe { gradstep_epilogue_default(pointer, size) };
        seen.note("gradstep_epilogue_default", status);
        assert_ne!(status, GRADSTEP_OK);
    }

    let format = u.int_in_range(0..=4)?;
    let mut values = array(&mut memory, 0, format);
    let numbers: *mut f32 = memory.place(2).cast();
    let again: *mut f32 = memory.place(4).cast();
    // SAFETY: there is room for all.
    unsafe {
        let status = gradstep_values_write(&values, n, numbers);
        seen.note("gradstep_values_write", status);
        assert_eq!(status, GRADSTEP_OK);
        let status = gradstep_values_read(&values, n, again);
        seen.note("gradstep_values_read", status);
        assert_eq!(status, GRADSTEP_OK);
        let mut norm = gradstep_norm { words: [0; 11] };
        let status = gradstep_norm_add_values(&mut norm, n, &values);
        seen.note("gradstep_norm_add_values", status);
        let refused = n > 0 && format >= GRADSTEP_FORMAT_E4M3;
        assert_eq!(status != GRADSTEP_OK, refused, "{format} {n}");
        assert!(!refused || norm.words == [0; 11]);
        // What a format has is written and read without a change; the exponent may be another.
        let third: *mut f32 = memory.place(6).cast();
        assert_eq!(gradstep_values_write(&values, n, again), GRADSTEP_OK);
        assert_eq!(gradstep_values_read(&values, n, third), GRADSTEP_OK);
        for index in 0..n {
            let (a, b) = (again.add(index).read(), third.add(index).read());
            assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{format}: {a} {b}");
        }

        values.data = values.data.wrapping_byte_add(usize::from(u.arbitrary::<bool>()?));
        values.format = *u.choose(&[7, format])?;
        let before = memory.clone();
        if n > 0 && (values.format == 7 || !values.data.addr().is_multiple_of(2)) {
            assert_ne!(gradstep_values_write(&values, n, numbers), GRADSTEP_OK);
            assert_ne!(gradstep_values_read(&values, n, again), GRADSTEP_OK);
            assert!(memory == before);
        }
    }
    Ok(())
}
