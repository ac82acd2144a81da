//! RMSProp, from C.

use super::call::{self, FusedItem, FusedRaw, Hyper, Item, Part, Raw, flag, known, optional};
use super::{gradstep_epilogue, gradstep_options, gradstep_values};
use crate::error::{Argument, Error};
use crate::rule::State;
use crate::{EpsPlacement, RmsProp, RmsPropState};

/// RMSProp (Hinton, 2012; centered: Graves, 2013; torch.optim.RMSprop).
///
/// v = alpha v + (1 - alpha) g^2
/// centered:       m = alpha m + (1 - alpha) g,  w = max(v - m^2, 0);  otherwise w = v
/// u = g / (sqrt(w) + eps)               GRADSTEP_EPS_OUTSIDE
/// u = g / sqrt(w + eps)                 GRADSTEP_EPS_INSIDE
/// p = p - lr u
/// with momentum:  b = momentum b + u,  p = p - lr b
/// and lr_inside:  b = momentum b + lr u,  p = p - b
///
/// State: square_avg (v), which starts at initial_square_avg; grad_avg (m), if and only if centered;
/// momentum_buffer (b), if and only if momentum is above 0. The last two start at 0.
///
/// Always fill it with gradstep_rmsprop_default() or gradstep_rmsprop_preset() first, then set what
/// you need: a struct of zeros has no use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_rmsprop {
    /// Learning rate, at least 0. Default 0.01.
    pub lr: f64,
    /// How much of the averages is kept, in [0, 1]. Default 0.99.
    pub alpha: f64,
    /// Keeps the denominator from 0, at least 0. Default 1e-8.
    pub eps: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// How much of the momentum buffer is kept, at least 0. Default 0: no buffer.
    pub momentum: f64,
    /// What gradstep_rmsprop_init() fills square_avg with, at least 0. Default 0.
    pub initial_square_avg: f64,
    /// 1 to divide by the deviation in place of the root mean square. Default 0.
    pub centered: i32,
    /// GRADSTEP_EPS_OUTSIDE or GRADSTEP_EPS_INSIDE. Default outside.
    pub eps_placement: i32,
    /// 1 if lr multiplies what goes into the momentum buffer (Keras, TensorFlow), 0 what comes out
    /// (PyTorch). Default 0.
    pub lr_inside: i32,
    /// 1 to go up the gradient. Default 0.
    pub maximize: i32,
}

/// One tensor of gradstep_rmsprop_step_list(): n elements each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_rmsprop_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: *mut f32,
    /// The gradient, only read.
    pub grad: *const f32,
    /// State, updated.
    pub square_avg: *mut f32,
    /// State, updated; NULL unless centered.
    pub grad_avg: *mut f32,
    /// State, updated; NULL without momentum.
    pub momentum_buffer: *mut f32,
}

/// One tensor of gradstep_rmsprop_fused_step(): n numbers each.
///
/// param, grad, ema and copy are float, bfloat16 or binary16; state may have 8 bits as well, in the
/// format that is for it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_rmsprop_fused_tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters, updated.
    pub param: gradstep_values,
    /// The gradient, only read unless it is to be zeroed.
    pub grad: gradstep_values,
    /// State, updated.
    pub square_avg: gradstep_values,
    /// State, updated; none unless centered.
    pub grad_avg: gradstep_values,
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

impl Hyper for gradstep_rmsprop {
    type Rule = RmsProp;

    fn to_rule(&self) -> Result<RmsProp, Error> {
        Ok(RmsProp {
            lr: self.lr,
            alpha: self.alpha,
            eps: self.eps,
            weight_decay: self.weight_decay,
            momentum: self.momentum,
            initial_square_avg: self.initial_square_avg,
            centered: flag(self.centered, Argument::Centered)?,
            eps_placement: known(EpsPlacement::ALL, self.eps_placement, Argument::EpsPlacement)?,
            lr_inside: flag(self.lr_inside, Argument::LrInside)?,
            maximize: flag(self.maximize, Argument::Maximize)?,
        })
    }

    fn from_rule(rule: RmsProp) -> Self {
        Self {
            lr: rule.lr,
            alpha: rule.alpha,
            eps: rule.eps,
            weight_decay: rule.weight_decay,
            momentum: rule.momentum,
            initial_square_avg: rule.initial_square_avg,
            centered: rule.centered as i32,
            eps_placement: rule.eps_placement as i32,
            lr_inside: rule.lr_inside as i32,
            maximize: rule.maximize as i32,
        }
    }
}

impl Item for gradstep_rmsprop_tensor {
    fn to_raw(self) -> Raw {
        let Self { n, param, grad, square_avg, grad_avg, momentum_buffer } = self;
        Raw { n, param, grad, state: state(square_avg, grad_avg, momentum_buffer) }
    }
}

impl FusedItem for gradstep_rmsprop_fused_tensor {
    fn to_raw(self) -> FusedRaw {
        let Self { n, param, grad, square_avg, grad_avg, momentum_buffer, ema, copy, offset } =
            self;
        let state = [Some(square_avg), call::present(grad_avg), call::present(momentum_buffer)];
        FusedRaw { n, param, grad, state, ema, copy, offset }
    }
}

fn state(
    square_avg: *mut f32,
    grad_avg: *mut f32,
    momentum_buffer: *mut f32,
) -> crate::rule::Buffers<*mut f32> {
    RmsPropState {
        square_avg,
        grad_avg: optional(grad_avg),
        momentum_buffer: optional(momentum_buffer),
    }
    .into_buffers()
}

/// Fills `hyper` with torch.optim's defaults.
///
/// Errors: `hyper` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_rmsprop_default(hyper: *mut gradstep_rmsprop) -> i32 {
    unsafe { call::preset(hyper, super::GRADSTEP_PRESET_TORCH) }
}

/// Fills `hyper` with the defaults and conventions of a source, GRADSTEP_PRESET_*.
///
/// Errors: `hyper` is null or misaligned; `preset` is not defined; the source has no such rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_rmsprop_preset(hyper: *mut gradstep_rmsprop, preset: i32) -> i32 {
    unsafe { call::preset(hyper, preset) }
}

/// Fills the state, `n` elements each, with the values that it starts from. `grad_avg` is NULL
/// unless centered: anything else is refused. `momentum_buffer` is NULL without momentum: anything
/// else is refused.
///
/// Errors: a hyperparameter is outside its domain; a buffer is null, misaligned, or overlaps
/// another, is missing or not used. Nothing is written then. `n` = 0 does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_rmsprop_init(
    hyper: *const gradstep_rmsprop,
    n: usize,
    square_avg: *mut f32,
    grad_avg: *mut f32,
    momentum_buffer: *mut f32,
) -> i32 {
    unsafe { call::init(hyper, n, state(square_avg, grad_avg, momentum_buffer)) }
}

/// One step: updates `param` and the state in place from `grad`, `n` elements each. `grad_avg` is
/// NULL unless centered: anything else is refused. `momentum_buffer` is NULL without momentum:
/// anything else is refused.
///
/// `t` counts the steps of the training run from 1. `options` may be NULL. `grad` is only read. A
/// step on a part of each buffer, with the same `t`, is the same as on the whole.
///
/// Errors: a hyperparameter or option is outside its domain; `t` is 0; a pointer is null,
/// misaligned, or what is written overlaps another buffer; a buffer is missing or not used. Nothing
/// is written then. `n` = 0 does nothing, whatever the pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_rmsprop_step(
    hyper: *const gradstep_rmsprop,
    options: *const gradstep_options,
    t: u64,
    n: usize,
    param: *mut f32,
    grad: *const f32,
    square_avg: *mut f32,
    grad_avg: *mut f32,
    momentum_buffer: *mut f32,
) -> i32 {
    let raw = Raw { n, param, grad, state: state(square_avg, grad_avg, momentum_buffer) };
    unsafe { call::step(hyper, options, t, raw) }
}

/// gradstep_rmsprop_step() on `count` tensors in turn, after all of them have been checked.
///
/// Errors: as gradstep_rmsprop_step(), for the tensor that gradstep_status_tensor() tells; what is
/// written overlaps the list itself. Nothing of any tensor is written then. `count` = 0 does
/// nothing.
///
/// Tensors may share memory with each other: then the later ones see what the earlier ones wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_rmsprop_step_list(
    hyper: *const gradstep_rmsprop,
    options: *const gradstep_options,
    t: u64,
    count: usize,
    tensors: *const gradstep_rmsprop_tensor,
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
/// Errors: as gradstep_rmsprop_step_list(), and: a format is not defined, or not for its buffer; `offset` is
/// not a multiple of 256; a field of the epilogue is outside its domain; `chunks` is 0; `index` is
/// not below `chunks`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_rmsprop_fused_step(
    hyper: *const gradstep_rmsprop,
    options: *const gradstep_options,
    epilogue: *const gradstep_epilogue,
    t: u64,
    chunks: usize,
    index: usize,
    count: usize,
    tensors: *const gradstep_rmsprop_fused_tensor,
) -> i32 {
    let part = Part { chunks, index };
    unsafe { call::fused_step(hyper, options, epilogue, t, part, count, tensors) }
}
