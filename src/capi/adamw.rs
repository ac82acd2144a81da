//! AdamW, from C.

use super::adam::state;
use super::call::{self, FusedItem, FusedRaw, Hyper, Item, Part, Raw, flag, known, zero};
use super::{gradstep_epilogue, gradstep_options, gradstep_values};
use crate::error::{Argument, Error};
use crate::{AdamW, Amsgrad, EpsPlacement};

/// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter, 2019; torch.optim.AdamW).
///
/// p = p - lr weight_decay p, then as gradstep_adam
///
/// State: exp_avg, exp_avg_sq, and with AMSGrad max_exp_avg_sq; all start at 0.
///
/// Always fill it with gradstep_adamw_default() or gradstep_adamw_preset() first, then set what you
/// need: a struct of zeros has no use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_adamw {
    /// Learning rate, at least 0. Default 0.001.
    pub lr: f64,
    /// How much of the average gradient is kept, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// How much of the average square is kept, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// Keeps the denominator from 0, at least 0. Default 1e-8.
    pub eps: f64,
    /// Decoupled weight decay, at least 0. Default 0.01.
    pub weight_decay: f64,
    /// GRADSTEP_AMSGRAD_*. Default off.
    pub amsgrad: i32,
    /// GRADSTEP_EPS_*. Default outside.
    pub eps_placement: i32,
    /// 1 to go up the gradient. Default 0.
    pub maximize: i32,
    /// Must be 0, as it is after a default or a preset.
    pub reserved: i32,
}

/// One tensor of gradstep_adamw_step_list(): n elements each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_adamw_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: *mut f32,
    /// The gradient, only read.
    pub grad: *const f32,
    /// State, updated.
    pub exp_avg: *mut f32,
    /// State, updated.
    pub exp_avg_sq: *mut f32,
    /// State, updated; NULL without AMSGrad.
    pub max_exp_avg_sq: *mut f32,
}

/// One tensor of gradstep_adamw_fused_step(): n numbers each.
///
/// param, grad, ema and copy are float, bfloat16 or binary16; state may have 8 bits as well, in the
/// format that is for it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_adamw_fused_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: gradstep_values,
    /// The gradient, only read unless it is to be zeroed.
    pub grad: gradstep_values,
    /// State, updated.
    pub exp_avg: gradstep_values,
    /// State, updated.
    pub exp_avg_sq: gradstep_values,
    /// State, updated; none without AMSGrad.
    pub max_exp_avg_sq: gradstep_values,
    /// The moving average of the parameters, updated; or none.
    pub ema: gradstep_values,
    /// Written with the new parameters; or none.
    pub copy: gradstep_values,
    /// The index of the first element in the whole model, a multiple of 256: it decides which random
    /// bits the elements get. Only stochastic rounding asks for it.
    pub offset: u64,
}

impl Hyper for gradstep_adamw {
    type Rule = AdamW;

    fn to_rule(&self) -> Result<AdamW, Error> {
        zero(self.reserved, Argument::Reserved)?;
        Ok(AdamW {
            lr: self.lr,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
            amsgrad: known(Amsgrad::ALL, self.amsgrad, Argument::Amsgrad)?,
            eps_placement: known(EpsPlacement::ALL, self.eps_placement, Argument::EpsPlacement)?,
            maximize: flag(self.maximize, Argument::Maximize)?,
        })
    }

    fn from_rule(rule: AdamW) -> Self {
        Self {
            lr: rule.lr,
            beta1: rule.beta1,
            beta2: rule.beta2,
            eps: rule.eps,
            weight_decay: rule.weight_decay,
            amsgrad: rule.amsgrad as i32,
            eps_placement: rule.eps_placement as i32,
            maximize: rule.maximize as i32,
            reserved: 0,
        }
    }
}

impl Item for gradstep_adamw_tensor {
    fn to_raw(self) -> Raw {
        let Self { n, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq } = self;
        Raw { n, param, grad, state: state(exp_avg, exp_avg_sq, max_exp_avg_sq) }
    }
}

impl FusedItem for gradstep_adamw_fused_tensor {
    fn to_raw(self) -> FusedRaw {
        let Self { n, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, ema, copy, offset } = self;
        let state = [Some(exp_avg), Some(exp_avg_sq), call::present(max_exp_avg_sq)];
        FusedRaw { n, param, grad, state, ema, copy, offset }
    }
}

/// Fills `hyper` with torch.optim's defaults.
///
/// Errors: `hyper` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adamw_default(hyper: *mut gradstep_adamw) -> i32 {
    unsafe { call::preset(hyper, super::GRADSTEP_PRESET_TORCH) }
}

/// Fills `hyper` with the defaults and conventions of a source, GRADSTEP_PRESET_*.
///
/// Errors: `hyper` is null or misaligned; `preset` is not defined; the source has no such rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adamw_preset(hyper: *mut gradstep_adamw, preset: i32) -> i32 {
    unsafe { call::preset(hyper, preset) }
}

/// Fills the state, `n` elements each, with the values that it starts from. `max_exp_avg_sq` is
/// NULL without AMSGrad: anything else is refused.
///
/// Errors: a hyperparameter is outside its domain; a buffer is null, misaligned, or overlaps
/// another, is missing or not used. Nothing is written then. `n` = 0 does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adamw_init(
    hyper: *const gradstep_adamw,
    n: usize,
    exp_avg: *mut f32,
    exp_avg_sq: *mut f32,
    max_exp_avg_sq: *mut f32,
) -> i32 {
    unsafe { call::init(hyper, n, state(exp_avg, exp_avg_sq, max_exp_avg_sq)) }
}

/// One step: updates `param` and the state in place from `grad`, `n` elements each.
/// `max_exp_avg_sq` is NULL without AMSGrad: anything else is refused.
///
/// `t` counts the steps of the training run from 1. `options` may be NULL. `grad` is only read. A
/// step on a part of each buffer, with the same `t`, is the same as on the whole.
///
/// Errors: a hyperparameter or option is outside its domain; `t` is 0; a pointer is null,
/// misaligned, or what is written overlaps another buffer; a buffer is missing or not used. Nothing
/// is written then. `n` = 0 does nothing, whatever the pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adamw_step(
    hyper: *const gradstep_adamw,
    options: *const gradstep_options,
    t: u64,
    n: usize,
    param: *mut f32,
    grad: *const f32,
    exp_avg: *mut f32,
    exp_avg_sq: *mut f32,
    max_exp_avg_sq: *mut f32,
) -> i32 {
    let raw = Raw { n, param, grad, state: state(exp_avg, exp_avg_sq, max_exp_avg_sq) };
    unsafe { call::step(hyper, options, t, raw) }
}

/// gradstep_adamw_step() on `count` tensors in turn, after all of them have been checked.
///
/// Errors: as gradstep_adamw_step(), for the tensor that gradstep_status_tensor() tells; what is
/// written overlaps the list itself. Nothing of any tensor is written then. `count` = 0 does
/// nothing.
///
/// Tensors may share memory with each other: then the later ones see what the earlier ones wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adamw_step_list(
    hyper: *const gradstep_adamw,
    options: *const gradstep_options,
    t: u64,
    count: usize,
    tensors: *const gradstep_adamw_tensor,
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
/// Errors: as gradstep_adamw_step_list(), and: a format is not defined, or not for its buffer; `offset` is
/// not a multiple of 256; a field of the epilogue is outside its domain; `chunks` is 0; `index` is
/// not below `chunks`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_adamw_fused_step(
    hyper: *const gradstep_adamw,
    options: *const gradstep_options,
    epilogue: *const gradstep_epilogue,
    t: u64,
    chunks: usize,
    index: usize,
    count: usize,
    tensors: *const gradstep_adamw_fused_tensor,
) -> i32 {
    let part = Part { chunks, index };
    unsafe { call::fused_step(hyper, options, epilogue, t, part, count, tensors) }
}
