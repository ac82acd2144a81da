//! Gradient descent, with optional momentum, from C.

use super::call::{self, FusedItem, FusedRaw, Hyper, Item, Part, Raw, flag, optional, zero};
use super::{gradstep_epilogue, gradstep_options, gradstep_values};
use crate::error::{Argument, Error};
use crate::rule::State;
use crate::{Sgd, SgdState};

/// Gradient descent (torch.optim.SGD). What the gradient is made of names the method: the whole
/// training set, one observation, or a mini-batch.
///
/// plain:      p = p - lr g
/// momentum:   b = momentum b + (1 - dampening) g (no dampening at t = 1),  p = p - lr b
/// nesterov:   b = momentum b + g,  p = p - lr (g + momentum b)
/// lr_inside:  the same with lr g for g, and no lr in the last step
///
/// State: momentum_buffer (b), if and only if momentum is above 0; starts at 0.
///
/// Always fill it with gradstep_sgd_default() or gradstep_sgd_preset() first, then set what you
/// need: a struct of zeros has no use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_sgd {
    /// Learning rate, at least 0. Default 0.001.
    pub lr: f64,
    /// How much of the buffer is kept, at least 0; 0 is plain gradient descent. Default 0.
    pub momentum: f64,
    /// How much of the gradient is kept out of the buffer, finite. Default 0.
    pub dampening: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// 1 for Nesterov's momentum; needs momentum above 0 and dampening 0. Default 0.
    pub nesterov: i32,
    /// 1 if lr multiplies what goes into the buffer (Keras), 0 what comes out (PyTorch). Default 0.
    pub lr_inside: i32,
    /// 1 to go up the gradient. Default 0.
    pub maximize: i32,
    /// Must be 0, as it is after a default or a preset.
    pub reserved: i32,
}

/// One tensor of gradstep_sgd_step_list(): n elements each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_sgd_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: *mut f32,
    /// The gradient, only read.
    pub grad: *const f32,
    /// State, updated; NULL without momentum.
    pub momentum_buffer: *mut f32,
}

/// One tensor of gradstep_sgd_fused_step(): n numbers each.
///
/// param, grad, ema and copy are float, bfloat16 or binary16; state may have 8 bits as well, in the
/// format that is for it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_sgd_fused_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: gradstep_values,
    /// The gradient, only read unless it is to be zeroed.
    pub grad: gradstep_values,
    /// State, updated; none without momentum.
    pub momentum_buffer: gradstep_values,
    /// The moving average of the parameters, updated; or none.
    pub ema: gradstep_values,
    /// Written with the new parameters; or none.
    pub copy: gradstep_values,
    /// The index of the first element in the whole model, a multiple of 256: it decides which random
    /// bits the elements get. Only stochastic rounding asks for it.
    pub offset: u64,
}

impl Hyper for gradstep_sgd {
    type Rule = Sgd;

    fn to_rule(&self) -> Result<Sgd, Error> {
        zero(self.reserved, Argument::Reserved)?;
        Ok(Sgd {
            lr: self.lr,
            momentum: self.momentum,
            dampening: self.dampening,
            weight_decay: self.weight_decay,
            nesterov: flag(self.nesterov, Argument::Nesterov)?,
            lr_inside: flag(self.lr_inside, Argument::LrInside)?,
            maximize: flag(self.maximize, Argument::Maximize)?,
        })
    }

    fn from_rule(rule: Sgd) -> Self {
        Self {
            lr: rule.lr,
            momentum: rule.momentum,
            dampening: rule.dampening,
            weight_decay: rule.weight_decay,
            nesterov: rule.nesterov as i32,
            lr_inside: rule.lr_inside as i32,
            maximize: rule.maximize as i32,
            reserved: 0,
        }
    }
}

impl Item for gradstep_sgd_tensor {
    fn to_raw(self) -> Raw {
        let Self { n, param, grad, momentum_buffer } = self;
        Raw { n, param, grad, state: state(momentum_buffer) }
    }
}

impl FusedItem for gradstep_sgd_fused_tensor {
    fn to_raw(self) -> FusedRaw {
        let Self { n, param, grad, momentum_buffer, ema, copy, offset } = self;
        let state = [call::present(momentum_buffer), None, None];
        FusedRaw { n, param, grad, state, ema, copy, offset }
    }
}

fn state(momentum_buffer: *mut f32) -> crate::rule::Buffers<*mut f32> {
    SgdState { momentum_buffer: optional(momentum_buffer) }.into_buffers()
}

/// Fills `hyper` with torch.optim's defaults.
///
/// Errors: `hyper` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_sgd_default(hyper: *mut gradstep_sgd) -> i32 {
    unsafe { call::preset(hyper, super::GRADSTEP_PRESET_TORCH) }
}

/// Fills `hyper` with the defaults and conventions of a source, GRADSTEP_PRESET_*.
///
/// Errors: `hyper` is null or misaligned; `preset` is not defined; the source has no such rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_sgd_preset(hyper: *mut gradstep_sgd, preset: i32) -> i32 {
    unsafe { call::preset(hyper, preset) }
}

/// Fills the state, `n` elements each, with the values that it starts from. `momentum_buffer` is
/// NULL without momentum: anything else is refused.
///
/// Errors: a hyperparameter is outside its domain; a buffer is null, misaligned, or overlaps
/// another, is missing or not used. Nothing is written then. `n` = 0 does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_sgd_init(
    hyper: *const gradstep_sgd,
    n: usize,
    momentum_buffer: *mut f32,
) -> i32 {
    unsafe { call::init(hyper, n, state(momentum_buffer)) }
}

/// One step: updates `param` and the state in place from `grad`, `n` elements each.
/// `momentum_buffer` is NULL without momentum: anything else is refused.
///
/// `t` counts the steps of the training run from 1. `options` may be NULL. `grad` is only read. A
/// step on a part of each buffer, with the same `t`, is the same as on the whole.
///
/// Errors: a hyperparameter or option is outside its domain; `t` is 0; a pointer is null,
/// misaligned, or what is written overlaps another buffer; a buffer is missing or not used. Nothing
/// is written then. `n` = 0 does nothing, whatever the pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_sgd_step(
    hyper: *const gradstep_sgd,
    options: *const gradstep_options,
    t: u64,
    n: usize,
    param: *mut f32,
    grad: *const f32,
    momentum_buffer: *mut f32,
) -> i32 {
    let raw = Raw { n, param, grad, state: state(momentum_buffer) };
    unsafe { call::step(hyper, options, t, raw) }
}

/// gradstep_sgd_step() on `count` tensors in turn, after all of them have been checked.
///
/// Errors: as gradstep_sgd_step(), for the tensor that gradstep_status_tensor() tells; what is
/// written overlaps the list itself. Nothing of any tensor is written then. `count` = 0 does
/// nothing.
///
/// Tensors may share memory with each other: then the later ones see what the earlier ones wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_sgd_step_list(
    hyper: *const gradstep_sgd,
    options: *const gradstep_options,
    t: u64,
    count: usize,
    tensors: *const gradstep_sgd_tensor,
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
/// Errors: as gradstep_sgd_step_list(), and: a format is not defined, or not for its buffer; `offset` is
/// not a multiple of 256; a field of the epilogue is outside its domain; `chunks` is 0; `index` is
/// not below `chunks`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_sgd_fused_step(
    hyper: *const gradstep_sgd,
    options: *const gradstep_options,
    epilogue: *const gradstep_epilogue,
    t: u64,
    chunks: usize,
    index: usize,
    count: usize,
    tensors: *const gradstep_sgd_fused_tensor,
) -> i32 {
    let part = Part { chunks, index };
    unsafe { call::fused_step(hyper, options, epilogue, t, part, count, tensors) }
}
