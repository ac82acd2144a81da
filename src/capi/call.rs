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
fn usable<T>(pointer: *const T, argument: Argument) -> Result<(), Error> {
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
        disjoint(&written(n, &state, rule.expects(), names::<H::Rule>())?)?;
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

/// The step of these hyperparameters and options.
///
/// Its callers leave it where it is and borrow it: it is large enough that to move it would be a
/// call of `memcpy` on a microcontroller.
unsafe fn prepare<H: Hyper>(
    hyper: *const H,
    options: *const gradstep_options,
    t: u64,
) -> Result<Step<H::Rule>, Error> {
    // SAFETY: as the caller vouches.
    let mut step = unsafe { borrow(hyper, Argument::Hyper) }?.to_rule()?.at(t);
    if let Ok(step) = &mut step {
        // SAFETY: as the caller vouches.
        unsafe { apply(options, step.incoming_mut()) }?;
    }
    step
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
    let prepared = unsafe { prepare(hyper, options, t) };
    status((|| {
        let step = prepared.as_ref().map_err(|&error| error)?;
        checked(&raw, step.expects(), names::<H::Rule>(), None)?;
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
    let prepared = unsafe { prepare(hyper, options, t) };
    status((|| {
        let step = prepared.as_ref().map_err(|&error| error)?;
        if count == 0 {
            return Ok(());
        }
        usable(tensors, Argument::Tensors)?;
        let list = span(tensors, count, Argument::Tensors, Argument::Count)?;
        // SAFETY: not null, aligned, and of a possible length; the rest the caller vouches for.
        // Nothing below writes to it, as is checked for each tensor.
        let tensors = unsafe { slice::from_raw_parts(tensors, count) };
        for (index, tensor) in tensors.iter().enumerate() {
            checked(&tensor.to_raw(), step.expects(), names::<H::Rule>(), Some(&list))
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

/// A slice's place in memory.
struct Span {
    addresses: Range<usize>,
    argument: Argument,
}

impl Span {
    /// Whether they share an address; an empty one shares none.
    fn overlaps(&self, other: &Span) -> bool {
        let (a, b) = (&self.addresses, &other.addresses);
        a.start.max(b.start) < a.end.min(b.end)
    }
}

/// The place of `n` values, the number being the argument `length`; refuses what cannot be a
/// slice. An empty one may be null.
fn span<T>(
    pointer: *const T,
    n: usize,
    argument: Argument,
    length: Argument,
) -> Result<Span, Error> {
    let too_long = Error::new(ErrorKind::TooLong, length);
    let bytes = n.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
    let bytes = bytes.ok_or(too_long)?;
    if n > 0 {
        usable(pointer, argument)?;
    }
    let start = pointer.addr();
    let end = start.checked_add(bytes).ok_or(too_long)?;
    Ok(Span { addresses: start..end, argument })
}

/// The places of the state, which has the buffers that are expected.
fn written(
    n: usize,
    state: &Buffers<*mut f32>,
    expects: [bool; MAX_BUFFERS],
    names: &Buffers<Argument>,
) -> Result<Buffers<Span>, Error> {
    let mut spans = [const { None }; MAX_BUFFERS];
    if n > 0 {
        present_as_expected(state, names, expects)?;
    }
    for ((span, buffer), name) in spans.iter_mut().zip(state).zip(names) {
        if let (Some(buffer), Some(name)) = (*buffer, *name) {
            *span = Some(self::span(buffer, n, name, Argument::N)?);
        }
    }
    Ok(spans)
}

/// Refuses spans that share an address.
fn disjoint(spans: &[Option<Span>]) -> Result<(), Error> {
    for (i, span) in spans.iter().enumerate() {
        for other in &spans[..i] {
            if let (Some(span), Some(other)) = (span, other)
                && span.overlaps(other)
            {
                return Err(Error::new(ErrorKind::Overlap, span.argument));
            }
        }
    }
    Ok(())
}

/// Checks one tensor, of which nothing that is written may overlap `list`.
///
/// Not generic over the rule: one copy for a whole program.
fn checked(
    raw: &Raw,
    expects: [bool; MAX_BUFFERS],
    names: &Buffers<Argument>,
    list: Option<&Span>,
) -> Result<(), Error> {
    let param = span(raw.param, raw.n, Argument::Param, Argument::N)?;
    let grad = span(raw.grad, raw.n, Argument::Grad, Argument::N)?;
    let [a, b, c] = written(raw.n, &raw.state, expects, names)?;
    let spans = [Some(param), a, b, c];
    let is_in = |place: &Span| spans.iter().flatten().any(|span| span.overlaps(place));
    if is_in(&grad) {
        return Err(Error::new(ErrorKind::Overlap, Argument::Grad));
    }
    disjoint(&spans)?;
    match list.filter(|list| is_in(list)) {
        Some(list) => Err(Error::new(ErrorKind::Overlap, list.argument)),
        None => Ok(()),
    }
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
