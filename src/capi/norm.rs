//! The gradient's norm, clipping and loss scaling, from C.

use core::mem::{align_of, size_of};

use super::call::{flag, gradient, place, status, usable};
use super::gradstep_values;
use crate::error::{Argument, Error, ErrorKind};
use crate::{LossScale, Norm};

/// The sum of the squares of a gradient, of any number of tensors and threads: in whichever order
/// they are added and merged, it has the same bits on every machine.
///
/// Start with gradstep_norm_init(), or with zeros, which are the same. It may be copied; what is in
/// it has no meaning but to these functions.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_norm {
    /// A number in fixed point, and whether an element is not finite.
    pub words: [u64; 11],
}

const _: () = {
    assert!(size_of::<gradstep_norm>() == size_of::<Norm>());
    assert!(align_of::<gradstep_norm>() == align_of::<Norm>());
};

/// Starts with the norm of nothing, 0.
///
/// Errors: `norm` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_init(norm: *mut gradstep_norm) -> i32 {
    unsafe { give(norm, Argument::Norm, || Ok(gradstep_norm { words: [0; 11] })) }
}

/// Adds `n` elements of a gradient: a tensor's, or those of a part of it that begins at a multiple of
/// 256 elements, as gradstep_chunk() cuts.
///
/// A NaN or an infinity makes the norm not finite, which is no error here.
///
/// Errors: `norm` is null or misaligned; `grad` is, unless `n` is 0; `n` floats do not fit the
/// address space; `grad` and `norm` overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_add(
    norm: *mut gradstep_norm,
    n: usize,
    grad: *const f32,
) -> i32 {
    status((|| {
        usable(norm, Argument::Norm)?;
        if n == 0 {
            return Ok(());
        }
        let grad_end = place(grad, n, Argument::Grad)? + n * size_of::<f32>();
        let overlap = if grad.addr() < norm.addr() {
            norm.addr() < grad_end
        } else {
            grad.addr() - norm.addr() < size_of::<gradstep_norm>()
        };
        if overlap {
            return Err(Error::new(ErrorKind::Overlap, Argument::Grad));
        }
        // SAFETY: not null, aligned, of a possible length, and apart from each other; that they are
        // there is what the caller vouches for. A `gradstep_norm` is a `Norm`, of which all bits mean
        // something.
        unsafe { (*norm.cast::<Norm>()).add(core::slice::from_raw_parts(grad, n)) };
        Ok(())
    })())
}

/// The same for a gradient that may be bfloat16 or binary16.
///
/// Errors: those of gradstep_norm_add(), with `grad` or its `data`; the format is not defined, or one of
/// 8 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_add_values(
    norm: *mut gradstep_norm,
    n: usize,
    grad: *const gradstep_values,
) -> i32 {
    status((|| {
        usable(norm, Argument::Norm)?;
        if n == 0 {
            return Ok(());
        }
        let own = norm.addr()..norm.addr() + size_of::<gradstep_norm>();
        // SAFETY: as the caller vouches.
        let grad = unsafe { gradient(grad, n, own) }?;
        // SAFETY: not null, aligned, and apart from the gradient; that it is there is what the caller
        // vouches for. A `gradstep_norm` is a `Norm`, of which all bits mean something.
        unsafe { (*norm.cast::<Norm>()).add_values(grad) }
    })())
}

/// Adds what was added to `other`, on another thread for example.
///
/// Errors: `norm` or `other` is null or misaligned; they overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_merge(
    norm: *mut gradstep_norm,
    other: *const gradstep_norm,
) -> i32 {
    status((|| {
        usable(norm, Argument::Norm)?;
        usable(other, Argument::Other)?;
        if norm.addr().abs_diff(other.addr()) < size_of::<gradstep_norm>() {
            return Err(Error::new(ErrorKind::Overlap, Argument::Other));
        }
        // SAFETY: as in `gradstep_norm_add`.
        unsafe { (*norm.cast::<Norm>()).merge(&*other.cast::<Norm>()) };
        Ok(())
    })())
}

/// Writes 1 to `finite` if no element is a NaN or an infinity, else 0.
///
/// Errors: `norm` or `finite` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_is_finite(
    norm: *const gradstep_norm,
    finite: *mut i32,
) -> i32 {
    unsafe { give(finite, Argument::Finite, || Ok(read(norm)?.is_finite().into())) }
}

/// Writes the sum of the squares of all elements to `value`: NaN if it is not finite.
///
/// It is off by less than 1.5e-15 of itself, however many elements there are.
///
/// Errors: `norm` or `value` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_sum_of_squares(
    norm: *const gradstep_norm,
    value: *mut f64,
) -> i32 {
    unsafe { give(value, Argument::Value, || Ok(read(norm)?.sum_of_squares())) }
}

/// Writes the Euclidean norm to `value`, the square root of that sum: NaN if it is not finite.
///
/// Errors: `norm` or `value` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_value(norm: *const gradstep_norm, value: *mut f64) -> i32 {
    unsafe { give(value, Argument::Value, || Ok(read(norm)?.norm())) }
}

/// Writes the factor for gradstep_options.grad_scale to `factor` that takes the loss scale out of the
/// gradient and, where its norm is above `max_norm`, shortens it, as torch.nn.utils.clip_grad_norm_:
///
/// factor = min(1, max_norm / (norm / loss_scale + 1e-6)) / loss_scale
///
/// `max_norm` is NULL for no clipping, and `loss_scale`, what the loss was multiplied by, for 1.
///
/// Errors: a norm that is not finite (GRADSTEP_ERROR_GRAD_NOT_FINITE): skip the step; `max_norm` is
/// negative or NaN; `loss_scale` is not a positive normal float; a pointer is misaligned; `norm` or
/// `factor` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_norm_clip(
    norm: *const gradstep_norm,
    max_norm: *const f64,
    loss_scale: *const f64,
    factor: *mut f64,
) -> i32 {
    unsafe {
        give(factor, Argument::Factor, || {
            let norm = read(norm)?;
            let max_norm = number(max_norm, f64::INFINITY, Argument::MaxNorm)?;
            norm.clip(max_norm, number(loss_scale, 1.0, Argument::LossScale)?)
        })
    }
}

/// The factor of the loss that keeps small gradients from becoming 0 in half precision, as
/// torch.amp.GradScaler's:
///
/// scale = scale backoff_factor    after a gradient with a NaN or an infinity, whose step is skipped
/// scale = scale growth_factor     after growth_interval other ones in a row
///
/// A new scale is rounded to float. One that would become infinite or denormal stays as it is.
///
/// Fill it with gradstep_loss_scale_default(), then set what you need. Store and restore it with the
/// rest of a run.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_loss_scale {
    /// What the loss of this step is multiplied by, a positive normal float. Default 65536.
    pub scale: f64,
    /// What the scale is multiplied by to grow, above 1. Default 2.
    pub growth_factor: f64,
    /// What the scale is multiplied by to back off, between 0 and 1. Default 0.5.
    pub backoff_factor: f64,
    /// How many gradients in a row must be finite before the scale grows, at least 1. Default 2000.
    pub growth_interval: u64,
    /// How many have been. Default 0.
    pub growth_tracker: u64,
}

impl From<gradstep_loss_scale> for LossScale {
    fn from(c: gradstep_loss_scale) -> Self {
        let gradstep_loss_scale {
            scale,
            growth_factor,
            backoff_factor,
            growth_interval,
            growth_tracker,
        } = c;
        Self { scale, growth_factor, backoff_factor, growth_interval, growth_tracker }
    }
}

impl From<LossScale> for gradstep_loss_scale {
    fn from(rust: LossScale) -> Self {
        let LossScale { scale, growth_factor, backoff_factor, growth_interval, growth_tracker } =
            rust;
        Self { scale, growth_factor, backoff_factor, growth_interval, growth_tracker }
    }
}

/// Fills `loss_scale` with torch.amp.GradScaler's defaults.
///
/// Errors: `loss_scale` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_loss_scale_default(loss_scale: *mut gradstep_loss_scale) -> i32 {
    unsafe { give(loss_scale, Argument::LossScale, || Ok(LossScale::default().into())) }
}

/// Ends a step whose gradient was added to `norm`: writes its factor for gradstep_options.grad_scale
/// to `factor`, that of gradstep_norm_clip() with this step's scale, and 1 to `take`; or 0 to both if
/// the step must be skipped because the norm is not finite. Then the scale becomes the next step's.
///
/// `max_norm` is NULL for no clipping. `loss_scale`, `factor` and `take` do not overlap.
///
/// Errors: a field of `loss_scale` is outside its domain; `max_norm` is negative or NaN; a pointer is
/// misaligned; `loss_scale`, `norm`, `factor` or `take` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_loss_scale_advance(
    loss_scale: *mut gradstep_loss_scale,
    norm: *const gradstep_norm,
    max_norm: *const f64,
    factor: *mut f64,
    take: *mut i32,
) -> i32 {
    status((|| {
        usable(loss_scale, Argument::LossScale)?;
        usable(factor, Argument::Factor)?;
        usable(take, Argument::Take)?;
        // SAFETY: not null and aligned; that they are there is what the caller vouches for.
        unsafe {
            let norm = read(norm)?;
            let max_norm = number(max_norm, f64::INFINITY, Argument::MaxNorm)?;
            let mut next = LossScale::from(*loss_scale);
            let given = next.advance(norm, max_norm)?;
            loss_scale.write(next.into());
            factor.write(given.unwrap_or(0.0));
            take.write(given.is_some().into());
        }
        Ok(())
    })())
}

/// Moves on to the next step's scale, for a program that found out by itself whether the gradient is
/// finite, 1 or 0, and has divided it by this step's.
///
/// Errors: `finite` is neither; a field is outside its domain; `loss_scale` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_loss_scale_update(
    loss_scale: *mut gradstep_loss_scale,
    finite: i32,
) -> i32 {
    unsafe {
        give(loss_scale, Argument::LossScale, || {
            let mut next = LossScale::from(*loss_scale);
            next.update(flag(finite, Argument::Finite)?)?;
            Ok(next.into())
        })
    }
}

/// Writes what `compute` gives, if there is no error, and a place for it.
unsafe fn give<T>(
    to: *mut T,
    argument: Argument,
    compute: impl FnOnce() -> Result<T, Error>,
) -> i32 {
    status((|| {
        usable(to, argument)?;
        let value = compute()?;
        // SAFETY: not null and aligned; that there is room is what the caller vouches for.
        unsafe { to.write(value) };
        Ok(())
    })())
}

/// A norm to read.
unsafe fn read<'a>(norm: *const gradstep_norm) -> Result<&'a Norm, Error> {
    usable(norm, Argument::Norm)?;
    // SAFETY: not null and aligned; that it is there is what the caller vouches for. A
    // `gradstep_norm` is a `Norm`, of which all bits mean something.
    Ok(unsafe { &*norm.cast::<Norm>() })
}

/// A number, or what null stands for.
unsafe fn number(pointer: *const f64, of_null: f64, argument: Argument) -> Result<f64, Error> {
    if pointer.is_null() {
        return Ok(of_null);
    }
    usable(pointer, argument)?;
    // SAFETY: not null and aligned; that it is there is what the caller vouches for.
    Ok(unsafe { *pointer })
}
