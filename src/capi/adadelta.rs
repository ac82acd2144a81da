//! AdaDelta, from C.

use super::call::{self, FusedItem, FusedRaw, Hyper, Item, Part, Raw, flag, zero};
use super::{gradstep_epilogue, gradstep_options, gradstep_values};
use crate::error::{Argument, Error};
use crate::rule::State;
use crate::{Adadelta, AdadeltaState};

/// AdaDelta (Zeiler, 2012; torch.optim.Adadelta).
///
/// v = rho v + (1 - rho) g^2
/// d = sqrt((a + eps) / (v + eps)) g
/// a = rho a + (1 - rho) d^2
/// p = p - lr d
///
/// State: square_avg (v) and acc_delta (a); both start at 0.
///
/// Always fill it with gradstep_adadelta_default() or gradstep_adadelta_preset() first, then set
/// what you need: a struct of zeros has no use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_adadelta {
    /// A factor of the step, at least 0. Default 1.
    pub lr: f64,
    /// How much of the averages is kept, in [0, 1]. Default 0.9.
    pub rho: f64,
    /// Starts the steps and keeps the denominator from 0, at least 0. Default 1e-6.
    pub eps: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// 1 to go up the gradient. Default 0.
    pub maximize: i32,
    /// Must be 0, as it is after a default or a preset.
    pub reserved: i32,
}

/// One tensor of gradstep_adadelta_step_list(): n elements each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_adadelta_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: *mut f32,
    /// The gradient, only read.
    pub grad: *const f32,
    /// State, updated.
    pub square_avg: *mut f32,
    /// State, updated.
    pub acc_delta: *mut f32,
}

/// One tensor of gradstep_adadelta_fused_step(): n numbers each.
///
/// param, grad, ema and copy are float, bfloat16 or binary16; state may have 8 bits as well, in the
/// format that is for it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_adadelta_fused_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: gradstep_values,
    /// The gradient, only read unless it is to be zeroed.
    pub grad: gradstep_values,
    /// State, updated.
    pub square_avg: gradstep_values,
    /// State, updated.
    pub acc_delta: gradstep_values,
    /// The moving average of the parameters, updated; or none.
    pub ema: gradstep_values,
    /// Written with the new parameters; or none.
    pub copy: gradstep_values,
    /// The index of the first element in the whole model, a multiple of 256: it decides which random
    /// bits the elements get. Only stochastic rounding asks for it.
    pub offset: u64,
}

impl Hyper for gradstep_adadelta {
    type Rule = Adadelta;

    fn to_rule(&self) -> Result<Adadelta, Error> {
        zero(self.reserved, Argument::Reserved)?;
        Ok(Adadelta {
            lr: self.lr,
            rho: self.rho,
            eps: self.eps,
            weight_decay: self.weight_decay,
            maximize: flag(self.maximize, Argument::Maximize)?,
        })
    }

    fn from_rule(rule: Adadelta) -> Self {
        Self {
            lr: rule.lr,
            rho: rule.rho,
            eps: rule.eps,
            weight_decay: rule.weight_decay,
            maximize: rule.maximize as i32,
            reserved: 0,
        }
    }
}

impl Item for gradstep_adadelta_tensor {
    fn to_raw(self) -> Raw {
        let Self { n, param, grad, square_avg, acc_delta } = self;
        Raw { n, param, grad, state: state(square_avg, acc_delta) }
    }
}

impl FusedItem for gradstep_adadelta_fused_tensor {
    fn to_raw(self) -> FusedRaw {
        let Self { n, param, grad, square_avg, acc_delta, ema, copy, offset } = self;
        let state = [Some(square_avg), Some(acc_delta), None];
        FusedRaw { n, param, grad, state, ema, copy, offset }
    }
}

fn state(square_avg: *mut f32, acc_delta: *mut f32) -> crate::rule::Buffers<*mut f32> {
    AdadeltaState { square_avg, acc_delta }.into_buffers()
}

/// Fills `hyper` with torch.optim's defaults.
///
/// Errors: `hyper` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adadelta_default(hyper: *mut gradstep_adadelta) -> i32 {
    unsafe { call::preset(hyper, super::GRADSTEP_PRESET_TORCH) }
}

/// Fills `hyper` with the defaults and conventions of a source, GRADSTEP_PRESET_*.
///
/// Errors: `hyper` is null or misaligned; `preset` is not defined; the source has no such rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adadelta_preset(
    hyper: *mut gradstep_adadelta,
    preset: i32,
) -> i32 {
    unsafe { call::preset(hyper, preset) }
}

/// Fills the state, `n` elements each, with the values that it starts from.
///
/// Errors: a hyperparameter is outside its domain; a buffer is null, misaligned, or overlaps
/// another, is missing or not used. Nothing is written then. `n` = 0 does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adadelta_init(
    hyper: *const gradstep_adadelta,
    n: usize,
    square_avg: *mut f32,
    acc_delta: *mut f32,
) -> i32 {
    unsafe { call::init(hyper, n, state(square_avg, acc_delta)) }
}

/// One step: updates `param` and the state in place from `grad`, `n` elements each.
///
/// `t` counts the steps of the training run from 1. `options` may be NULL. `grad` is only read. A
/// step on a part of each buffer, with the same `t`, is the same as on the whole.
///
/// Errors: a hyperparameter or option is outside its domain; `t` is 0; a pointer is null,
/// misaligned, or what is written overlaps another buffer; a buffer is missing or not used. Nothing
/// is written then. `n` = 0 does nothing, whatever the pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adadelta_step(
    hyper: *const gradstep_adadelta,
    options: *const gradstep_options,
    t: u64,
    n: usize,
    param: *mut f32,
    grad: *const f32,
    square_avg: *mut f32,
    acc_delta: *mut f32,
) -> i32 {
    let raw = Raw { n, param, grad, state: state(square_avg, acc_delta) };
    unsafe { call::step(hyper, options, t, raw) }
}

/// gradstep_adadelta_step() on `count` tensors in turn, after all of them have been checked.
///
/// Errors: as gradstep_adadelta_step(), for the tensor that gradstep_status_tensor() tells; what is
/// written overlaps the list itself. Nothing of any tensor is written then. `count` = 0 does
/// nothing.
///
/// Tensors may share memory with each other: then the later ones see what the earlier ones wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adadelta_step_list(
    hyper: *const gradstep_adadelta,
    options: *const gradstep_options,
    t: u64,
    count: usize,
    tensors: *const gradstep_adadelta_tensor,
) -> i32 {
    unsafe { call::step_list(hyper, options, t, count, tensors) }
}

/// One step on `count` tensors whose numbers may have any format, with what there is to do after the
/// update in the same pass; or one of `chunks` parts of it, which any thread may take.
///
/// A thread pool, or `#pragma omp parallel for`, calls it with all `index` from 0 to `chunks` - 1 and
/// otherwise the same arguments, in any order, at the same time or one after the other: together they
/// are the step, to the last bit. Without threads `chunks` is 1 and `index` 0. All calls check all
/// tensors, so either all of them succeed or none writes anything. Tensors may share a gradient that
/// is only read; with several threads nothing else.
///
/// Errors: as gradstep_adadelta_step_list(), and: a format is not defined, or not for its buffer; `offset` is
/// not a multiple of 256; a field of the epilogue is outside its domain; `chunks` is 0; `index` is
/// not below `chunks`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adadelta_fused_step(
    hyper: *const gradstep_adadelta,
    options: *const gradstep_options,
    epilogue: *const gradstep_epilogue,
    t: u64,
    chunks: usize,
    index: usize,
    count: usize,
    tensors: *const gradstep_adadelta_fused_tensor,
) -> i32 {
    let part = Part { chunks, index };
    unsafe { call::fused_step(hyper, options, epilogue, t, part, count, tensors) }
}
