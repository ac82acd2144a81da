//! From pointers to slices: everything that can be wrong with a call is found here, before
//! anything is written.

use core::mem::{align_of, size_of};
use core::ops::Range;
use core::slice;

use super::{GRADSTEP_OK, gradstep_options};
use crate::error::{Argument, Error, ErrorKind};
use crate::gradient::Incoming;
use crate::rule::{
    Buffers, Hyperparameters, Kernel, MAX_BUFFERS, Preset, SETTLED, present_as_expected,
};
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

pub(super) unsafe fn options_default(options: *mut gradstep_options, size: usize) -> i32 {
    status((|| {
        usable(options, Argument::Options)?;
        if size != size_of::<gradstep_options>() {
            return Err(Error::new(ErrorKind::WrongSize, Argument::Size));
        }
        let defaults = gradstep_options { size, grad_scale: 1.0, grad_clamp: f64::INFINITY };
        // SAFETY: not null and aligned; that there is room is what the caller vouches for.
        unsafe { options.write(defaults) };
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
/// call of `memcpy` on a microcontroller.
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
        if count == 0 {
            return Ok(());
        }
        usable(tensors, Argument::Tensors)?;
        let bytes = bytes::<I>(count, Argument::Count)?;
        let list = end(tensors, bytes, Argument::Count).map(|end| tensors.addr()..end)?;
        // SAFETY: not null, aligned, and of a possible length; the rest the caller vouches for.
        // Nothing below writes to it, as is checked for each tensor.
        let tensors = unsafe { slice::from_raw_parts(tensors, count) };
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
