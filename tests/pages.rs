//! No step touches anything beyond its slices: pages without access lie right behind them, or right
//! before them, or a few elements away, whose bytes must stay as they are. A touch of such a page
//! ends the test's process.
//!
//! What is multiplied by what: each layout of a rule's state, with and without a factor and a bound
//! for the gradient, by every instruction set, every length, every distance from the fence at either
//! end, and every arrangement of a call's slices to each other. The other hyperparameters are branches
//! that are the same for all elements and read no memory, so all variants of them are multiplied
//! by every length at the fences only. For an emulator, `GRADSTEP_EVERY=7` takes every seventh
//! distance and variant.

#![cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "s390x"
    )
))]

mod common;

use std::ffi::{c_int, c_void};
use std::slice;

use gradstep::{
    Blocks, BlocksMut, Epilogue, FusedTensor, Gradient, Norm, Rounding, Step, Values, ValuesMut,
};

use common::{
    Buffers, Format, Owned, Rng, Store, Subject, backends, buffer_names, every, exclusive,
    is_square, random_state, same_bits, use_backend,
};

unsafe extern "C" {
    fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: isize,
    ) -> *mut c_void;
    fn mprotect(address: *mut c_void, length: usize, protection: c_int) -> c_int;
    fn munmap(address: *mut c_void, length: usize) -> c_int;
}

const NO_ACCESS: c_int = 0;
const READ_ONLY: c_int = 1;
const READ_AND_WRITE: c_int = 3;
const PRIVATE_AND_ANONYMOUS: c_int = 0x22;

/// A multiple of every size that a page has on these targets.
const PAGES: usize = 1 << 16;

/// All lengths up to more than eight registers of 16 floats.
const LENGTHS: std::ops::RangeInclusive<usize> = 0..=130;

/// The farthest that a slice is from its fence, in elements: 64 bytes.
const FARTHEST: usize = 16;

/// Elements on either side of a slice that are looked at, as far as there are any: more than two
/// registers, which is what the loop has in flight.
const LOOKED_AT: usize = 40;

/// What is there before a step; no result has these bits.
const UNTOUCHED: u32 = 0x7fc1_2345;

/// Where in its pages a slice lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Before the fence at the end, or behind the one at the beginning.
    last: bool,
    /// Elements between the slice and the fence.
    distance: usize,
}

/// How the slices of one call lie to each other, given the place of the first.
const ARRANGEMENTS: [fn(Place, usize) -> Place; 4] = [
    // All alike.
    |place, _| place,
    // At both ends in turn: the parameter last and the gradient first, and the other way around.
    |place, index| Place { last: place.last ^ (index % 2 == 1), ..place },
    // Each at another offset from a multiple of 64 bytes.
    |place, index| Place { distance: (place.distance + 5 * index) % (FARTHEST + 1), ..place },
    // Both.
    |place, index| Place {
        last: place.last ^ (index % 2 == 1),
        distance: (place.distance + 11 * index) % (FARTHEST + 1),
    },
];

/// Room for some numbers between pages without access.
struct Fenced {
    mapping: *mut c_void,
}

impl Fenced {
    fn new() -> Self {
        // SAFETY: a new mapping, of which the middle third becomes accessible.
        unsafe {
            let mapping =
                mmap(std::ptr::null_mut(), 3 * PAGES, NO_ACCESS, PRIVATE_AND_ANONYMOUS, -1, 0);
            assert_ne!(mapping.addr(), usize::MAX, "no memory");
            assert_eq!(mprotect(mapping.byte_add(PAGES), PAGES, READ_AND_WRITE), 0);
            let mut fenced = Self { mapping };
            fenced.all().fill(f32::from_bits(UNTOUCHED));
            fenced
        }
    }

    /// Everything between the fences.
    fn all(&mut self) -> &mut [f32] {
        // SAFETY: the accessible pages, aligned to more than 4, and borrowed like `self`; any bits
        // are numbers.
        unsafe { slice::from_raw_parts_mut(self.mapping.byte_add(PAGES).cast(), PAGES / 4) }
    }

    /// `len` elements at a place.
    fn slice(&mut self, len: usize, place: Place) -> &mut [f32] {
        let from = if place.last { PAGES / 4 - len - place.distance } else { place.distance };
        &mut self.all()[from..from + len]
    }

    /// Whether the elements around a slice are as they were; the slice then becomes so again.
    fn untouched_around(&mut self, len: usize, place: Place) -> bool {
        self.slice(len, place).fill(f32::from_bits(UNTOUCHED));
        let (width, all) = (len + place.distance + LOOKED_AT, self.all());
        let seen = if place.last { &all[all.len() - width..] } else { &all[..width] };
        seen.iter().all(|x| x.to_bits() == UNTOUCHED)
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nothing borrows any more.
        unsafe { munmap(self.mapping, 3 * PAGES) };
    }
}

#[test]
fn nothing_beyond_the_slices() {
    let mut steps = 0;
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        macro_rules! each {
            ($($rule:ident),*) => { $(steps += fenced_steps::<gradstep::$rule>();)* };
        }
        gradstep::for_each_rule!(each);
    }
    println!("{steps} combinations of variant, instruction set, length, place and arrangement");
}

/// A norm reads its slice and no more, on every instruction set, at every length up to more than two
/// blocks, and every distance from the fence at either end.
#[test]
fn a_norm_reads_nothing_beyond_its_slice() {
    let mut rng = Rng(42);
    let numbers: Vec<f32> = (0..600).map(|_| rng.number()).collect();
    let mut fenced = Fenced::new();
    let mut norms = 0;
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        for len in 0..=numbers.len() {
            let mut expected = Norm::new();
            expected.add(&numbers[..len]);
            for distance in (0..=FARTHEST).step_by(every()) {
                for last in [true, false] {
                    let place = Place { last, distance };
                    let slice = fenced.slice(len, place);
                    slice.copy_from_slice(&numbers[..len]);
                    let mut norm = Norm::new();
                    norm.add(slice);
                    assert_eq!(norm, expected, "{len} elements, {place:?}, {}", backend.name());
                    assert!(fenced.untouched_around(len, place));
                    norms += 1;
                }
            }
        }
    }
    println!("{norms} combinations of instruction set, length and place");
}

/// All steps of a rule on the instruction set in use; counts them.
fn fenced_steps<R: Subject>() -> usize {
    let mut fences = Fences::new();
    let mut rng = Rng(41);
    let mut layouts = Vec::new();
    for (index, rule) in R::variants().enumerate() {
        let new_layout = !layouts.contains(&buffer_names(&rule));
        if new_layout {
            layouts.push(buffer_names(&rule));
        }
        if !new_layout && index % every() != 0 {
            continue;
        }
        let step = rule.at(3).unwrap();
        let treated = step.scale_grad(-3.0).unwrap().clamp_grad(2.0).unwrap();
        let steps = if new_layout { vec![step, treated] } else { vec![step] };
        let arrangements = if new_layout { &ARRANGEMENTS[..] } else { &ARRANGEMENTS[..1] };
        let distances = if new_layout { 0..=FARTHEST } else { 0..=0 };
        for step in steps {
            let case = Case::new(rule, step, &mut rng);
            for len in LENGTHS {
                for distance in distances.clone().step_by(every()) {
                    for last in [true, false] {
                        for arrangement in arrangements {
                            let place = Place { last, distance };
                            fences.compare(&case, len, |slice| arrangement(place, slice));
                        }
                    }
                }
            }
        }
    }
    fences.steps
}

/// A step, the slices before it, and the same after it, the gradient being the one before.
struct Case<R: Subject> {
    rule: R,
    step: Step<R>,
    start: Owned,
    expected: Owned,
}

impl<R: Subject> Case<R> {
    fn new(rule: R, step: Step<R>, rng: &mut Rng) -> Self {
        let longest = *LENGTHS.end();
        let start = Owned {
            param: (0..longest).map(|_| rng.number()).collect(),
            grad: (0..longest).map(|_| rng.number()).collect(),
            state: random_state(&rule, longest, rng),
        };
        let mut expected = start.clone();
        expected.apply(&step).unwrap();
        Self { rule, step, start, expected }
    }
}

/// The memory of one call.
struct Fences {
    param: Fenced,
    grad: Fenced,
    state: [Fenced; 3],
    steps: usize,
}

impl Fences {
    fn new() -> Self {
        let [param, grad, a, b, c] = std::array::from_fn(|_| Fenced::new());
        Self { param, grad, state: [a, b, c], steps: 0 }
    }

    /// A step on the first `len` elements, the slices being numbered in the order of the C ABI.
    fn compare<R: Subject>(&mut self, case: &Case<R>, len: usize, place: impl Fn(usize) -> Place) {
        self.steps += 1;
        let Case { rule, step, start, expected } = case;
        let context = || format!("{len} elements, {:?}, {rule:?}", place(0));
        let param = self.param.slice(len, place(0));
        param.copy_from_slice(&start.param[..len]);
        let grad = self.grad.slice(len, place(1));
        grad.copy_from_slice(&start.grad[..len]);
        let mut state: Buffers<&mut [f32]> = [None, None, None];
        for (index, (fenced, from)) in self.state.iter_mut().zip(&start.state).enumerate() {
            state[index] = from.as_ref().map(|from| {
                let slice = fenced.slice(len, place(2 + index));
                slice.copy_from_slice(&from[..len]);
                slice
            });
        }

        let lent = state.each_mut().map(|slice| slice.as_deref_mut());
        step.apply(param, grad, R::bind(lent)).unwrap();

        assert!(same_bits(param, &expected.param[..len]), "{}", context());
        assert!(same_bits(grad, &start.grad[..len]), "the gradient: {}", context());
        for (slice, expected) in state.iter().flatten().zip(expected.state.iter().flatten()) {
            assert!(same_bits(slice, &expected[..len]), "the state: {}", context());
        }
        let all = [&mut self.param, &mut self.grad].into_iter().chain(&mut self.state);
        for (index, fenced) in all.enumerate() {
            assert!(fenced.untouched_around(len, place(index)), "around {index}: {}", context());
        }
    }
}

/// Around blocks that share an exponent, tiles, and registers.
const FUSED_LENGTHS: [usize; 17] =
    [1, 2, 5, 15, 17, 33, 63, 64, 65, 100, 127, 129, 200, 255, 256, 257, 300];

/// A fused step reads and writes its values and no more, whatever their formats; a gradient that is
/// kept may be in memory that cannot be written. Each layout of a rule's state, by every instruction
/// set, with one format for all values and with others for each, with all lengths, at the fences.
#[test]
fn a_fused_step_touches_nothing_beyond_its_values() {
    let mut steps = 0;
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        macro_rules! each {
            ($($rule:ident),*) => { $(steps += fused_steps::<gradstep::$rule>();)* };
        }
        gradstep::for_each_rule!(each);
    }
    assert!(steps > 0);
    println!("{steps} combinations of layout, instruction set, formats, length and place");
}

/// Nor do reading and writing values, of each format.
#[test]
fn values_touch_nothing_beyond_them() {
    let mut rng = Rng(44);
    let numbers: Vec<f32> = (0..300).map(|_| rng.number()).collect();
    let (mut place, mut own) = (FencedValues::new(), FencedValues::new());
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        for format in Format::ALL {
            for is_square in [false, true] {
                for n in (0..=numbers.len()).step_by(every()) {
                    for (last, numbers_last) in
                        [(true, true), (true, false), (false, true), (false, false)]
                    {
                        let context = format!("{n} of {format:?}, {last}, {}", backend.name());
                        let store = Store::of(format, is_square, &numbers[..n]);
                        let given = Store::F32(numbers[..n].to_vec());
                        place.fill(&Store::zeros(format, is_square, n), last);
                        own.fill(&given, numbers_last);
                        let Values::F32(slice) = own.values(&given, numbers_last) else {
                            unreachable!("numbers are binary32")
                        };
                        place.values_mut(&store, last).write(slice).unwrap();
                        assert!(own.hold(&given, numbers_last), "{context}");
                        let read = Store::F32(store.read(n));
                        own.fill(&given, numbers_last);
                        let ValuesMut::F32(slice) = own.values_mut(&given, numbers_last) else {
                            unreachable!("numbers are binary32")
                        };
                        place.values(&store, last).read(slice).unwrap();
                        assert!(own.hold(&read, numbers_last), "read: {context}");
                        assert!(place.hold(&store, last), "written: {context}");
                    }
                }
            }
        }
    }
}

/// All fused steps of a rule on the instruction set in use; counts them.
fn fused_steps<R: Subject>() -> usize {
    let mut rng = Rng(43);
    let mut fences: [FencedValues; VALUES] = std::array::from_fn(|_| FencedValues::new());
    let mut layouts = Vec::new();
    let mut steps = 0;
    for rule in R::variants() {
        if layouts.contains(&buffer_names(&rule)) {
            continue;
        }
        layouts.push(buffer_names(&rule));
        // One after the other, then all mixed.
        for formats in (0..Format::ALL.len()).map(Some).chain([None; 3]) {
            for n in FUSED_LENGTHS.into_iter().step_by(every()) {
                let mut format = || Format::ALL[formats.unwrap_or(rng.below(4))];
                let formats: [Format; VALUES] = std::array::from_fn(|_| format());
                let before = stores(&rule, n, formats, &mut rng);
                for (last, alternate) in
                    [(true, false), (false, false), (true, true), (false, true)]
                {
                    let zero = rng.below(2) == 0;
                    let rounding = if rng.below(2) == 0 {
                        Rounding::Nearest
                    } else {
                        Rounding::Stochastic { seed: 9 }
                    };
                    let at = |index: usize| last ^ (alternate && index % 2 == 1);
                    let context = format!("{n} of {formats:?}, last {last}, {rule:?}");
                    let step = rule.at(3).unwrap();
                    let epilogue = Epilogue { rounding, param_max: 9.0, ..Epilogue::default() };
                    let step = step.fuse(epilogue).unwrap();
                    let mut expected = before.clone();
                    step.apply(tensor::<R>(
                        expected.each_mut().map(|store| store.as_mut().map(Store::values_mut)),
                        zero,
                    ))
                    .unwrap();

                    for (index, (fenced, store)) in fences.iter_mut().zip(&before).enumerate() {
                        if let Some(store) = store {
                            fenced.fill(store, at(index));
                        }
                    }
                    if !zero {
                        fences[GRAD].data.protect(READ_ONLY);
                    }
                    let mut index = 0;
                    let lent = fences.each_mut().map(|fenced| {
                        index += 1;
                        let store = before[index - 1].as_ref()?;
                        Some(fenced.values_mut(store, at(index - 1)))
                    });
                    step.apply(tensor::<R>(lent, zero)).unwrap();
                    fences[GRAD].data.protect(READ_AND_WRITE);
                    for (index, (fenced, store)) in fences.iter_mut().zip(&expected).enumerate() {
                        if let Some(store) = store {
                            assert!(fenced.hold(store, at(index)), "{index}: {context}");
                        }
                    }
                    steps += 1;
                }
            }
        }
    }
    steps
}

/// What a fused step has: parameters, gradient, three buffers of state, average and copy.
const VALUES: usize = 7;
const GRAD: usize = 1;

fn stores<R: Subject>(
    rule: &R,
    n: usize,
    formats: [Format; VALUES],
    rng: &mut Rng,
) -> [Option<Store>; VALUES] {
    let mut state = random_state(rule, n, rng);
    std::array::from_fn(|index| match index.checked_sub(2).filter(|&index| index < 3) {
        Some(place) => {
            let is_square = is_square(buffer_names(rule)[place]?);
            Some(Store::of(formats[index], is_square, &state[place].take()?))
        }
        None => {
            let numbers: Vec<f32> = (0..n).map(|_| rng.number()).collect();
            let format = Some(formats[index]).filter(|format| Format::WIDE.contains(format));
            Some(Store::of(format.unwrap_or(Format::Bf16), false, &numbers))
        }
    })
}

fn tensor<R: Subject>(
    [param, grad, a, b, c, ema, copy]: [Option<ValuesMut<'_>>; VALUES],
    zero: bool,
) -> FusedTensor<'_, R> {
    FusedTensor {
        param: param.unwrap(),
        grad: match grad.unwrap() {
            grad if zero => Gradient::Zero(grad),
            ValuesMut::F32(slice) => Gradient::Keep(Values::F32(slice)),
            ValuesMut::Bf16(codes) => Gradient::Keep(Values::Bf16(codes)),
            ValuesMut::F16(codes) => Gradient::Keep(Values::F16(codes)),
            _ => unreachable!("a gradient has no blocks"),
        },
        state: R::bind([a, b, c]),
        ema,
        copy,
        offset: 0,
    }
}

/// Room for values of any format between pages without access.
struct FencedValues {
    data: Fenced,
    exponents: Fenced,
}

impl FencedValues {
    fn new() -> Self {
        Self { data: Fenced::new(), exponents: Fenced::new() }
    }

    /// Puts these values at the last fence or the first one.
    fn fill(&mut self, store: &Store, last: bool) {
        let (data, exponents) = bytes(store);
        self.data.bytes(data.len(), last).copy_from_slice(&data);
        self.exponents.bytes(exponents.len(), last).copy_from_slice(&exponents);
    }

    /// Whether they are these, and everything around them is untouched; they then become so again.
    fn hold(&mut self, store: &Store, last: bool) -> bool {
        let (data, exponents) = bytes(store);
        self.data.bytes(data.len(), last) == data
            && self.exponents.bytes(exponents.len(), last) == exponents
            && self.data.untouched_beyond(data.len(), last)
            && self.exponents.untouched_beyond(exponents.len(), last)
    }
}

/// Values of a store's format and length, in the place that `fill` has put them.
macro_rules! values {
    ($name:ident, $values:ident, $blocks:ident, $slice:ident, $($mut:tt)?) => {
        impl FencedValues {
            fn $name(& $($mut)? self, like: &Store, last: bool) -> $values<'_> {
                let (data, exponents) = bytes(like);
                let (floats, halves) = (data.len() / 4, data.len() / 2);
                let place = self.data.place(data.len(), last);
                // SAFETY: accessible pages, borrowed like `self`. They end at a multiple of 4, and begin
                // at one, so numbers of any length are aligned there.
                unsafe {
                    let blocks = || $blocks {
                        codes: slice::$slice(place.cast(), floats),
                        exponents: slice::$slice(
                            self.exponents.place(exponents.len(), last),
                            exponents.len(),
                        ),
                    };
                    match like {
                        Store::F32(_) => $values::F32(slice::$slice(place.cast(), floats)),
                        Store::Bf16(_) => $values::Bf16(slice::$slice(place.cast(), halves)),
                        Store::F16(_) => $values::F16(slice::$slice(place.cast(), halves)),
                        Store::E4m3(..) => $values::E4m3(blocks()),
                        Store::E5m3(..) => $values::E5m3(blocks()),
                    }
                }
            }
        }
    };
}

values!(values, Values, Blocks, from_raw_parts,);
values!(values_mut, ValuesMut, BlocksMut, from_raw_parts_mut, mut);

impl Fenced {
    fn protect(&mut self, protection: c_int) {
        // SAFETY: the pages between the fences, which nothing borrows.
        assert_eq!(unsafe { mprotect(self.mapping.byte_add(PAGES), PAGES, protection) }, 0);
    }

    fn place(&self, len: usize, last: bool) -> *mut u8 {
        let from = if last { 2 * PAGES - len } else { PAGES };
        // SAFETY: within the mapping.
        unsafe { self.mapping.byte_add(from).cast() }
    }

    /// That many bytes at a fence.
    fn bytes(&mut self, len: usize, last: bool) -> &mut [u8] {
        // SAFETY: accessible pages, borrowed like `self`.
        unsafe { slice::from_raw_parts_mut(self.place(len, last), len) }
    }

    /// Whether the bytes next to those at a fence are as they were; these then become so again.
    fn untouched_beyond(&mut self, len: usize, last: bool) -> bool {
        let width = len.next_multiple_of(4) + 4 * LOOKED_AT;
        let seen = self.bytes(width, last);
        let untouched = UNTOUCHED.to_ne_bytes().into_iter().cycle();
        let own = if last { width - len..width } else { 0..len };
        seen.iter_mut().zip(untouched).enumerate().all(|(index, (byte, untouched))| {
            let is_own = own.contains(&index);
            let is_same = *byte == untouched;
            *byte = untouched;
            is_own || is_same
        })
    }
}

/// The bytes of a store's numbers or codes, and its exponents.
fn bytes(store: &Store) -> (Vec<u8>, Vec<u8>) {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    match store {
        Store::F32(numbers) => (numbers.iter().flat_map(|x| x.to_ne_bytes()).collect(), vec![]),
        Store::Bf16(codes) | Store::F16(codes) => {
            (codes.iter().flat_map(|code| code.to_ne_bytes()).collect(), vec![])
        }
        Store::E4m3(codes, exponents) | Store::E5m3(codes, exponents) => {
            (words(codes), exponents.clone())
        }
    }
}
