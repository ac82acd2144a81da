//! From pointers to slices: everything that can be wrong with a call is found here, before
//! anything is written.

use core::mem::{align_of, size_of};
use core::ops::Range;
use core::slice;

use super::{GRADSTEP_OK, gradstep_epilogue, gradstep_options, gradstep_values};
use crate::blocks::{self, WORDS};
use crate::chunk::{BLOCK, share};
use crate::error::{Argument, Error, ErrorKind};
use crate::fused::{Epilogue, FusedStep, Gradient, Parts, Rounding};
use crate::gradient::Incoming;
use crate::rule::{
    Buffers, Hyperparameters, Kernel, MAX_BUFFERS, Preset, SETTLED, present_as_expected,
};
use crate::values::{Blocks, BlocksMut, Values, ValuesMut, block_count};
use crate::{Backend, Rule, Step};

/// A rule's hyperparameters as C sees them.
pub(super) trait Hyper: Copy {
    type Rule: Rule;

    /// Numbers are taken as they are; flags and choices must be defined ones.
    fn to_rule(&self) -> Result<Self::Rule, Error>;

    fn from_rule(rule: Self::Rule) -> Self;
}

/// One tensor of a list, as C sees it.
pub(super) trait Item: Copy {
    fn to_raw(self) -> Raw;
}

/// One tensor's pointers, of which nothing is known yet.
#[derive(Clone, Copy)]
pub(super) struct Raw {
    pub n: usize,
    pub param: *mut f32,
    pub grad: *const f32,
    /// `Some` for a buffer that the rule always has, null or not.
    pub state: Buffers<*mut f32>,
}

/// One tensor of a fused step, as C sees it.
pub(super) trait FusedItem: Copy {
    fn to_raw(self) -> FusedRaw;
}

/// One tensor's pointers, of which nothing is known yet.
#[derive(Clone, Copy)]
pub(super) struct FusedRaw {
    pub n: usize,
    pub param: gradstep_values,
    pub grad: gradstep_values,
    /// `Some` for a buffer that the rule always has, null or not.
    pub state: Buffers<gradstep_values>,
    pub ema: gradstep_values,
    pub copy: gradstep_values,
    pub offset: u64,
}

/// Which part of a step is wanted.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub chunks: usize,
    pub index: usize,
}

/// Numbers that only some variants have: null is none.
pub(super) fn present(values: gradstep_values) -> Option<gradstep_values> {
    (!values.data.is_null()).then_some(values)
}

/// A buffer that only some variants of a rule have: null is none.
pub(super) fn optional(buffer: *mut f32) -> Option<*mut f32> {
    (!buffer.is_null()).then_some(buffer)
}

pub(super) fn status(result: Result<(), Error>) -> i32 {
    match result {
        Ok(()) => GRADSTEP_OK,
        Err(error) => error.status(),
    }
}

/// A value of an enum by its number.
pub(super) trait Numbered: Copy + 'static {
    fn number(self) -> i32;
}

macro_rules! numbered {
    ($($enum:ty),*) => {
        $(impl Numbered for $enum {
            fn number(self) -> i32 {
                self as i32
            }
        })*
    };
}

numbered!(bool, Backend, Preset, crate::EpsPlacement, crate::Amsgrad);

pub(super) fn known<T: Numbered>(all: &[T], number: i32, argument: Argument) -> Result<T, Error> {
    let found = all.iter().copied().find(|value| value.number() == number);
    found.ok_or(Error::new(ErrorKind::Unknown, argument))
}

pub(super) fn flag(number: i32, argument: Argument) -> Result<bool, Error> {
    known(&[false, true], number, argument)
}

/// A field without a meaning yet, so that it can have one later.
pub(super) fn zero(number: i32, argument: Argument) -> Result<(), Error> {
    if number == 0 { Ok(()) } else { Err(Error::new(ErrorKind::NotZero, argument)) }
}

/// Refuses a pointer through which a `T` can be neither read nor written.
pub(super) fn usable<T>(pointer: *const T, argument: Argument) -> Result<(), Error> {
    if pointer.is_null() {
        Err(Error::new(ErrorKind::Null, argument))
    } else if !pointer.addr().is_multiple_of(align_of::<T>()) {
        Err(Error::new(ErrorKind::Misaligned, argument))
    } else {
        Ok(())
    }
}

/// What a pointer points to, for as long as the call takes.
unsafe fn borrow<'a, T>(pointer: *const T, argument: Argument) -> Result<&'a T, Error> {
    usable(pointer, argument)?;
    // SAFETY: not null and aligned; that a `T` is there, and that nobody writes to it meanwhile,
    // is what the caller vouches for.
    Ok(unsafe { &*pointer })
}

pub(super) unsafe fn preset<H: Hyper>(hyper: *mut H, preset: i32) -> i32 {
    status((|| {
        usable(hyper, Argument::Hyper)?;
        let preset = known(Preset::ALL, preset, Argument::Preset)?;
        let rule = H::Rule::preset(preset)?;
        // SAFETY: not null and aligned; that there is room is what the caller vouches for.
        unsafe { hyper.write(H::from_rule(rule)) };
        Ok(())
    })())
}

/// Fills a struct that begins with its size.
pub(super) unsafe fn fill<T>(place: *mut T, argument: Argument, size: usize, defaults: T) -> i32 {
    status((|| {
        usable(place, argument)?;
        if size != size_of::<T>() {
            return Err(Error::new(ErrorKind::WrongSize, Argument::Size));
        }
        // SAFETY: not null and aligned; that there is room is what the caller vouches for.
        unsafe { place.write(defaults) };
        Ok(())
    })())
}

pub(super) unsafe fn chunk(
    n: usize,
    chunks: usize,
    index: usize,
    begin: *mut usize,
    end: *mut usize,
) -> i32 {
    status((|| {
        usable(begin, Argument::Begin)?;
        usable(end, Argument::End)?;
        let chunk = crate::chunk(n, chunks, index)?;
        // SAFETY: not null and aligned; that there is room is what the caller vouches for.
        unsafe {
            begin.write(chunk.start);
            end.write(chunk.end);
        }
        Ok(())
    })())
}

pub(super) unsafe fn init<H: Hyper>(hyper: *const H, n: usize, state: Buffers<*mut f32>) -> i32 {
    status((|| {
        // SAFETY: as the caller vouches.
        let rule = unsafe { borrow(hyper, Argument::Hyper) }?.to_rule()?;
        rule.at(SETTLED)?;
        if n > 0 {
            let mut places = [None; MAX_BUFFERS + 1];
            find(&mut places, &state, n, rule.expects(), names::<H::Rule>())?;
            disjoint(&places, n)?;
        }
        for (buffer, value) in state.into_iter().zip(rule.initial()) {
            if let Some(buffer) = buffer.filter(|_| n > 0) {
                // SAFETY: not null, aligned, of a possible length, and no other buffer is in it;
                // the rest the caller vouches for.
                unsafe { slice::from_raw_parts_mut(buffer, n) }.fill(value);
            }
        }
        Ok(())
    })())
}

/// The step of these hyperparameters.
///
/// Its callers leave it where it is and borrow it: it is large enough that to move it would be a
/// call of `memcpy` on a microcontroller. Part of them, for a frame of its own would stand on theirs.
#[inline(always)]
unsafe fn prepare<H: Hyper>(hyper: *const H, t: u64) -> Result<Step<H::Rule>, Error> {
    // SAFETY: as the caller vouches.
    unsafe { borrow(hyper, Argument::Hyper) }?.to_rule()?.at(t)
}

unsafe fn apply(options: *const gradstep_options, incoming: &mut Incoming) -> Result<(), Error> {
    if options.is_null() {
        return Ok(());
    }
    usable(options, Argument::Options)?;
    // SAFETY: not null and aligned; every version of the struct begins with its size.
    if unsafe { (*options).size } != size_of::<gradstep_options>() {
        return Err(Error::new(ErrorKind::WrongSize, Argument::Size));
    }
    // SAFETY: it says that it is as large as this version of the struct.
    let options = unsafe { &*options };
    incoming.scale(options.grad_scale)?;
    incoming.clamp(options.grad_clamp)
}

pub(super) unsafe fn step<H: Hyper>(
    hyper: *const H,
    options: *const gradstep_options,
    t: u64,
    raw: Raw,
) -> i32 {
    // SAFETY: as the caller vouches.
    let mut prepared = unsafe { prepare(hyper, t) };
    status((|| {
        let step = prepared.as_mut().map_err(|error| *error)?;
        // SAFETY: as the caller vouches.
        unsafe { apply(options, step.incoming_mut()) }?;
        checked(&raw, step.expects(), names::<H::Rule>(), 0..0)?;
        // SAFETY: just checked.
        unsafe { run(step, raw) };
        Ok(())
    })())
}

pub(super) unsafe fn step_list<H: Hyper, I: Item>(
    hyper: *const H,
    options: *const gradstep_options,
    t: u64,
    count: usize,
    tensors: *const I,
) -> i32 {
    // SAFETY: as the caller vouches.
    let mut prepared = unsafe { prepare(hyper, t) };
    status((|| {
        let step = prepared.as_mut().map_err(|error| *error)?;
        // SAFETY: as the caller vouches.
        unsafe { apply(options, step.incoming_mut()) }?;
        // SAFETY: as the caller vouches. Nothing below writes to it, as is checked for each tensor.
        let (tensors, list) = unsafe { borrow_list(count, tensors) }?;
        for (index, tensor) in tensors.iter().enumerate() {
            checked(&tensor.to_raw(), step.expects(), names::<H::Rule>(), list.clone())
                .map_err(|error| error.of_tensor(index))?;
        }
        for tensor in tensors {
            // SAFETY: checked above, and the list has not been written to since.
            unsafe { run(step, tensor.to_raw()) };
        }
        Ok(())
    })())
}

/// A list of tensors, and its addresses.
unsafe fn borrow_list<'a, I>(
    count: usize,
    tensors: *const I,
) -> Result<(&'a [I], Range<usize>), Error> {
    if count == 0 {
        return Ok((&[], 0..0));
    }
    usable(tensors, Argument::Tensors)?;
    let bytes = bytes::<I>(count, Argument::Count)?;
    let list = end(tensors, bytes, Argument::Count).map(|end| tensors.addr()..end)?;
    // SAFETY: not null, aligned, and of a possible length; the rest the caller vouches for.
    Ok((unsafe { slice::from_raw_parts(tensors, count) }, list))
}

/// The names of a rule's buffers.
fn names<R: Rule>() -> &'static Buffers<Argument> {
    const { &<R as Hyperparameters>::Kernel::BUFFERS }
}

/// The size of `n` values, the number being the argument `length`.
fn bytes<T>(n: usize, length: Argument) -> Result<usize, Error> {
    let bytes = n.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
    bytes.ok_or(Error::new(ErrorKind::TooLong, length))
}

/// The address behind the values.
fn end<T>(pointer: *const T, bytes: usize, length: Argument) -> Result<usize, Error> {
    pointer.addr().checked_add(bytes).ok_or(Error::new(ErrorKind::TooLong, length))
}

/// The address of a buffer that may be a slice of `n` elements, which is not 0.
pub(super) fn place(pointer: *const f32, n: usize, argument: Argument) -> Result<usize, Error> {
    let bytes = bytes::<f32>(n, Argument::N)?;
    usable(pointer, argument)?;
    end(pointer, bytes, Argument::N)?;
    Ok(pointer.addr())
}

/// A place that is written, and its argument.
type Place = Option<(usize, Argument)>;

/// Finds the places of the state, which has the buffers that are expected, behind the first place.
fn find(
    places: &mut [Place; MAX_BUFFERS + 1],
    state: &Buffers<*mut f32>,
    n: usize,
    expects: [bool; MAX_BUFFERS],
    names: &Buffers<Argument>,
) -> Result<(), Error> {
    present_as_expected(state, names, expects)?;
    for ((place, buffer), name) in places[1..].iter_mut().zip(state).zip(names) {
        if let (Some(buffer), Some(name)) = (*buffer, *name) {
            *place = Some((self::place(buffer, n, name)?, name));
        }
    }
    Ok(())
}

/// Whether two places of `n` elements each share an address.
fn overlap(a: usize, b: usize, n: usize) -> bool {
    a.abs_diff(b) < n * size_of::<f32>()
}

/// Refuses places of `n` elements each that share an address.
fn disjoint(places: &[Place], n: usize) -> Result<(), Error> {
    for (i, place) in places.iter().enumerate() {
        for other in &places[..i] {
            if let (Some((a, argument)), Some((b, _))) = (place, other)
                && overlap(*a, *b, n)
            {
                return Err(Error::new(ErrorKind::Overlap, *argument));
            }
        }
    }
    Ok(())
}

/// Checks one tensor, of which nothing that is written may overlap the addresses `list`.
///
/// Not generic over the rule: one copy for a whole program.
fn checked(
    raw: &Raw,
    expects: [bool; MAX_BUFFERS],
    names: &Buffers<Argument>,
    list: Range<usize>,
) -> Result<(), Error> {
    let n = raw.n;
    if n == 0 {
        return Ok(());
    }
    let mut places = [None; MAX_BUFFERS + 1];
    places[0] = Some((place(raw.param, n, Argument::Param)?, Argument::Param));
    let grad = place(raw.grad, n, Argument::Grad)?;
    find(&mut places, &raw.state, n, expects, names)?;
    if places.iter().flatten().any(|&(start, _)| overlap(start, grad, n)) {
        return Err(Error::new(ErrorKind::Overlap, Argument::Grad));
    }
    disjoint(&places, n)?;
    let is_in_list = |start: usize| start < list.end && list.start < start + n * size_of::<f32>();
    if places.iter().flatten().any(|&(start, _)| is_in_list(start)) {
        return Err(Error::new(ErrorKind::Overlap, Argument::Tensors));
    }
    Ok(())
}

/// Runs a step on a tensor.
///
/// # Safety
///
/// `checked` has found nothing wrong with this tensor, and the memory is as the caller said.
unsafe fn run<R: Rule>(step: &Step<R>, raw: Raw) {
    let Raw { n, param, grad, state } = raw;
    if n == 0 {
        return;
    }
    // SAFETY: not null, aligned, of a possible length, and what is written overlaps nothing.
    unsafe {
        step.run(
            slice::from_raw_parts_mut(param, n),
            slice::from_raw_parts(grad, n),
            state.map(|buffer| buffer.map(|buffer| slice::from_raw_parts_mut(buffer, n))),
        );
    }
}

/// The epilogue, and whether the gradient is to be zeroed.
unsafe fn to_epilogue(epilogue: *const gradstep_epilogue) -> Result<(Epilogue, bool), Error> {
    if epilogue.is_null() {
        return Ok((Epilogue::default(), false));
    }
    usable(epilogue, Argument::Epilogue)?;
    // SAFETY: not null and aligned; every version of the struct begins with its size.
    if unsafe { (*epilogue).size } != size_of::<gradstep_epilogue>() {
        return Err(Error::new(ErrorKind::WrongSize, Argument::Size));
    }
    // SAFETY: it says that it is as large as this version of the struct.
    let gradstep_epilogue { size: _, ema_decay, param_min, param_max, seed, rounding, zero_grad } =
        unsafe { *epilogue };
    let stochastic = known(&[false, true], rounding, Argument::Rounding)?;
    let rounding = if stochastic { Rounding::Stochastic { seed } } else { Rounding::Nearest };
    let zero_grad = flag(zero_grad, Argument::ZeroGrad)?;
    Ok((Epilogue { ema_decay, param_min, param_max, rounding }, zero_grad))
}

pub(super) unsafe fn fused_step<H: Hyper, I: FusedItem>(
    hyper: *const H,
    options: *const gradstep_options,
    epilogue: *const gradstep_epilogue,
    t: u64,
    part: Part,
    count: usize,
    tensors: *const I,
) -> i32 {
    status((|| {
        // SAFETY: as the caller vouches.
        let mut step = unsafe { prepare(hyper, t) }?;
        // SAFETY: as the caller vouches.
        unsafe { apply(options, step.incoming_mut()) }?;
        // SAFETY: as the caller vouches.
        let (epilogue, zero_grad) = unsafe { to_epilogue(epilogue) }?;
        let step = step.fuse(epilogue)?;
        crate::chunk(0, part.chunks, part.index)?;
        // SAFETY: as the caller vouches. Nothing below writes to it, as is checked for each tensor.
        let (tensors, list) = unsafe { borrow_list(count, tensors) }?;

        let mut blocks = 0_usize;
        for (index, tensor) in tensors.iter().enumerate() {
            let raw = tensor.to_raw();
            checked_fused(&step, &raw, zero_grad, list.clone())
                .map_err(|error| error.of_tensor(index))?;
            let sum = blocks.checked_add(raw.n.div_ceil(BLOCK));
            blocks = sum.ok_or(Error::new(ErrorKind::TooLong, Argument::Count))?;
        }

        // The chunk is one of all blocks of all tensors, so that threads get as much each, however the
        // sizes of tensors differ.
        let share = share(blocks, part.chunks, part.index);
        let mut first = 0;
        for tensor in tensors {
            let raw = tensor.to_raw();
            let own = first..first + raw.n.div_ceil(BLOCK);
            first = own.end;
            let begin = share.start.max(own.start) - own.start;
            let end = share.end.min(own.end).saturating_sub(own.start);
            if begin < end {
                let range = begin * BLOCK..(end * BLOCK).min(raw.n);
                // SAFETY: checked above, and the list has not been written to since.
                step.run(unsafe { raw.to_parts(zero_grad, range) });
            }
        }
        Ok(())
    })())
}

/// The format of some values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    F32 = super::GRADSTEP_FORMAT_F32 as isize,
    Bf16 = super::GRADSTEP_FORMAT_BF16 as isize,
    F16 = super::GRADSTEP_FORMAT_F16 as isize,
    E4m3 = super::GRADSTEP_FORMAT_E4M3 as isize,
    E5m3 = super::GRADSTEP_FORMAT_E5M3 as isize,
}

impl Format {
    fn of(values: &gradstep_values, argument: Argument) -> Result<Self, Error> {
        zero(values.reserved, argument)?;
        let all = [Self::F32, Self::Bf16, Self::F16, Self::E4m3, Self::E5m3];
        let found = all.into_iter().find(|&format| format as isize == values.format as isize);
        found.ok_or(Error::new(ErrorKind::Format, argument))
    }
}

/// Addresses that a call reads or writes.
#[derive(Clone)]
struct Region {
    addresses: Range<usize>,
    argument: Argument,
    is_written: bool,
}

/// Where values of `n` elements are, codes and exponents, once they can be.
fn regions(
    values: &gradstep_values,
    n: usize,
    argument: Argument,
    is_written: bool,
) -> Result<[Option<Region>; 2], Error> {
    let region = |start: usize, end: usize| Region { addresses: start..end, argument, is_written };
    fn place<T>(pointer: *const T, n: usize, argument: Argument) -> Result<(usize, usize), Error> {
        usable(pointer, argument)?;
        let bytes = bytes::<T>(n, Argument::N)?;
        Ok((pointer.addr(), end(pointer, bytes, Argument::N)?))
    }
    let blocks = block_count(n);
    let (start, end) = match Format::of(values, argument)? {
        Format::F32 => place(values.data.cast::<f32>(), n, argument)?,
        Format::Bf16 | Format::F16 => place(values.data.cast::<u16>(), n, argument)?,
        Format::E4m3 | Format::E5m3 => {
            let words = blocks.checked_mul(WORDS);
            let words = words.ok_or(Error::new(ErrorKind::TooLong, Argument::N))?;
            let (start, end) = place(values.data.cast::<u32>(), words, argument)?;
            let (first, last) = place(values.exponents, blocks, argument)?;
            return Ok([Some(region(start, end)), Some(region(first, last))]);
        }
    };
    if !values.exponents.is_null() {
        return Err(Error::new(ErrorKind::Unused, argument));
    }
    Ok([Some(region(start, end)), None])
}

/// Refuses regions of which one is written and shares an address with another.
fn disjoint_regions(regions: &[Option<Region>]) -> Result<(), Error> {
    for (index, region) in regions.iter().enumerate() {
        for other in &regions[..index] {
            if let (Some(a), Some(b)) = (region, other)
                && (a.is_written || b.is_written)
                && a.addresses.start < b.addresses.end
                && b.addresses.start < a.addresses.end
            {
                return Err(Error::new(ErrorKind::Overlap, a.argument));
            }
        }
    }
    Ok(())
}

/// How many regions a tensor may have: two for each of its values, and the list.
const REGIONS: usize = 2 * (MAX_BUFFERS + 4) + 1;

/// Checks one tensor, of which nothing that is written may overlap the addresses `list`.
fn checked_fused<R: Rule>(
    step: &FusedStep<R>,
    raw: &FusedRaw,
    zero_grad: bool,
    list: Range<usize>,
) -> Result<(), Error> {
    let FusedRaw { n, param, grad, state, ema, copy, offset: _ } = raw;
    if *n == 0 {
        return Ok(());
    }
    step.expects(state)?;
    let mut all: [Option<Region>; REGIONS] = [const { None }; REGIONS];
    let mut places = all.as_chunks_mut::<2>().0.iter_mut();
    let state = state.iter().zip(names::<R>());
    let state = state.filter_map(|(values, name)| Some((values.as_ref()?, (*name)?, true)));
    let [ema, copy] = [(ema, Argument::Ema), (copy, Argument::Copy)]
        .map(|(values, name)| present(*values).is_some().then_some((values, name, true)));
    let values = [(param, Argument::Param, true), (grad, Argument::Grad, zero_grad)];
    for (values, name, is_written) in values.into_iter().chain(state).chain(ema).chain(copy) {
        let regions = regions(values, *n, name, is_written)?;
        if let Some(place) = places.next() {
            *place = regions;
        }
    }
    if let Some(last) = all.last_mut() {
        *last = Some(Region { addresses: list, argument: Argument::Tensors, is_written: false });
    }
    disjoint_regions(&all)?;
    // What is left to check are formats and the offset. Without elements, as other threads may be
    // writing to theirs.
    // SAFETY: not null, aligned, of a possible length, and what is written overlaps nothing.
    step.check(&unsafe { raw.to_parts(zero_grad, 0..0) })
}

impl FusedRaw {
    /// Elements of a range that begins where a block does.
    ///
    /// # Safety
    ///
    /// `checked_fused` has found nothing wrong with the pointers, and the memory is as the caller said.
    unsafe fn to_parts<'a>(self, zero_grad: bool, range: Range<usize>) -> Parts<'a> {
        let Self { n: _, param, grad, state, ema, copy, offset } = self;
        // SAFETY: as the caller vouches.
        let part = |values: gradstep_values| unsafe { to_values_mut(values, range.clone()) };
        Parts {
            param: part(param),
            grad: if zero_grad {
                Gradient::Zero(part(grad))
            } else {
                // Tensors, and so threads, may share it.
                // SAFETY: as the caller vouches.
                Gradient::Keep(unsafe { to_values(grad, range.clone()) })
            },
            state: state.map(|values| values.map(part)),
            ema: present(ema).map(part),
            copy: present(copy).map(part),
            offset: offset.wrapping_add(range.start as u64),
        }
    }
}

/// Declares `to_values` and `to_values_mut`, which differ in what may be done with the slices.
macro_rules! to_values {
    ($name:ident, $values:ident, $blocks:ident, $slice:ident) => {
        /// Elements of a range that begins where a block does.
        ///
        /// # Safety
        ///
        /// `regions` has found nothing wrong with the pointers, and the memory is as the caller said.
        unsafe fn $name<'a>(values: gradstep_values, range: Range<usize>) -> $values<'a> {
            let gradstep_values { data, exponents, format, reserved: _ } = values;
            let len = range.len();
            let first = range.start / blocks::BLOCK;
            let count = block_count(len);
            // SAFETY: as the caller vouches.
            unsafe {
                let floats = || slice::$slice(data.cast::<f32>().add(range.start), len);
                let halves = || slice::$slice(data.cast::<u16>().add(range.start), len);
                let eights = || $blocks {
                    codes: slice::$slice(data.cast::<u32>().add(first * WORDS), count * WORDS),
                    exponents: slice::$slice(exponents.add(first), count),
                };
                match format {
                    super::GRADSTEP_FORMAT_BF16 => $values::Bf16(halves()),
                    super::GRADSTEP_FORMAT_F16 => $values::F16(halves()),
                    super::GRADSTEP_FORMAT_E4M3 => $values::E4m3(eights()),
                    super::GRADSTEP_FORMAT_E5M3 => $values::E5m3(eights()),
                    _ => $values::F32(floats()),
                }
            }
        }
    };
}

to_values!(to_values, Values, Blocks, from_raw_parts);
to_values!(to_values_mut, ValuesMut, BlocksMut, from_raw_parts_mut);

/// Checks values and the floats that they are made of, or become; `n` is not 0.
unsafe fn values_and_floats(
    values: *const gradstep_values,
    n: usize,
    numbers: *const f32,
    values_are_written: bool,
) -> Result<gradstep_values, Error> {
    // SAFETY: as the caller vouches.
    let values = unsafe { borrow(values, Argument::Values) }?;
    let [codes, exponents] = regions(values, n, Argument::Values, values_are_written)?;
    let start = place(numbers, n, Argument::Numbers)?;
    let numbers = Region {
        addresses: start..start + n * size_of::<f32>(),
        argument: Argument::Numbers,
        is_written: !values_are_written,
    };
    disjoint_regions(&[codes, exponents, Some(numbers)])?;
    Ok(*values)
}

pub(super) unsafe fn values_read(
    values: *const gradstep_values,
    n: usize,
    numbers: *mut f32,
) -> i32 {
    status((|| {
        if n == 0 {
            return Ok(());
        }
        // SAFETY: as the caller vouches.
        let values = unsafe { values_and_floats(values, n, numbers, false) }?;
        // SAFETY: just checked.
        unsafe { to_values(values, 0..n).read(slice::from_raw_parts_mut(numbers, n)) }
    })())
}

pub(super) unsafe fn values_write(
    values: *const gradstep_values,
    n: usize,
    numbers: *const f32,
) -> i32 {
    status((|| {
        if n == 0 {
            return Ok(());
        }
        // SAFETY: as the caller vouches.
        let values = unsafe { values_and_floats(values, n, numbers, true) }?;
        // SAFETY: just checked.
        unsafe { to_values_mut(values, 0..n).write(slice::from_raw_parts(numbers, n)) }
    })())
}

/// A gradient of `n` elements, which is not 0, apart from the addresses `written`.
pub(super) unsafe fn gradient<'a>(
    grad: *const gradstep_values,
    n: usize,
    written: Range<usize>,
) -> Result<Values<'a>, Error> {
    // SAFETY: as the caller vouches.
    let grad = unsafe { borrow(grad, Argument::Grad) }?;
    let [codes, exponents] = regions(grad, n, Argument::Grad, false)?;
    let written = Region { addresses: written, argument: Argument::Norm, is_written: true };
    disjoint_regions(&[Some(written), codes, exponents])?;
    // SAFETY: just checked.
    Ok(unsafe { to_values(*grad, 0..n) })
}
