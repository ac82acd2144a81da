//! What happens to a gradient, and to the parameter, on the way into a rule.
//!
//! One pass over memory is the point of the crate, so unscaling, clipping, the direction and
//! weight decay happen here, in registers, for every rule alike.

use crate::error::{Argument, Error, check};
use crate::real::Real;

/// How weight decay enters a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// L2 regularization: `weight_decay * param` is added to the gradient, and passes through
    /// the rule's averages (PyTorch's SGD, Adagrad, RMSprop, Adadelta and Adam).
    Coupled(f64),
    /// The parameter shrinks by `1 - lr * weight_decay` beside the rule (Loshchilov & Hutter,
    /// 2019).
    Decoupled {
        /// `lr * weight_decay`.
        shrink: f64,
    },
}

impl WeightDecay {
    pub(crate) fn coupled(weight_decay: f64) -> Result<Self, Error> {
        check::non_negative(weight_decay, Argument::WeightDecay)?;
        Ok(Self::Coupled(weight_decay))
    }

    pub(crate) fn decoupled(lr: f64, weight_decay: f64) -> Result<Self, Error> {
        check::non_negative(weight_decay, Argument::WeightDecay)?;
        let shrink = lr * weight_decay;
        check::finite(shrink, Argument::WeightDecay)?;
        Ok(Self::Decoupled { shrink })
    }
}

/// Everything between memory and the rule, as it was asked for.
///
/// In the order that PyTorch's optimizers and gradient scaler have:
///
/// ```text
/// grad  = clamp(grad * grad_scale, -grad_clamp, grad_clamp)
/// grad  = -grad                          if maximize
/// grad  = grad + weight_decay * param    if coupled
/// param = param - lr weight_decay param  if decoupled
/// ```
///
/// `1 - lr weight_decay` is not rounded to one factor, whose error would be that of a number near
/// 1: for the defaults, 1e-3 of the decay itself.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// `grad_scale`, negated to maximize: a clamp is symmetric, so the sign may go first. In f64,
    /// so that a product of factors is rounded once.
    scale: f64,
    clamp: f32,
    coupled: f32,
    decoupled: f32,
}

impl Incoming {
    pub(crate) fn new(decay: WeightDecay, maximize: bool) -> Self {
        let (coupled, decoupled) = match decay {
            WeightDecay::Coupled(weight_decay) => (weight_decay, 0.0),
            WeightDecay::Decoupled { shrink } => (0.0, shrink),
        };
        Self {
            scale: if maximize { -1.0 } else { 1.0 },
            clamp: f32::INFINITY,
            coupled: coupled as f32,
            decoupled: decoupled as f32,
        }
    }

    /// In place, as a copy of a step is dear where memory is slow.
    pub(crate) fn scale(&mut self, factor: f64) -> Result<(), Error> {
        check::finite(factor, Argument::GradScale)?;
        let scale = self.scale * factor;
        check::finite(scale, Argument::GradScale)?;
        self.scale = scale;
        Ok(())
    }

    pub(crate) fn clamp(&mut self, bound: f64) -> Result<(), Error> {
        check::bound(bound, Argument::GradClamp)?;
        self.clamp = bound as f32;
        Ok(())
    }

    /// What the loop needs.
    pub(crate) fn intake(&self) -> Intake {
        // Bits, so that no loop compares numbers, which may take a call each.
        let is = |x: f32, y: f32| x.to_bits() == y.to_bits();
        let is_zero = |x: f32| is(x.abs(), 0.0);
        let scale = self.scale as f32;
        Intake {
            scale,
            clamp: self.clamp,
            coupled: self.coupled,
            decoupled: self.decoupled,
            reshapes: !is(scale, 1.0) || !is(self.clamp, f32::INFINITY),
            couples: !is_zero(self.coupled),
            shrinks: !is_zero(self.decoupled),
        }
    }
}

/// The per-step scalars of [`Incoming`], and which of them do anything.
///
/// What is unused costs a test, the same for the whole pass.
#[derive(Clone, Copy)]
pub struct Intake {
    scale: f32,
    clamp: f32,
    coupled: f32,
    decoupled: f32,
    /// Whether `scale` or `clamp` does anything.
    reshapes: bool,
    /// Whether `coupled` does.
    couples: bool,
    /// Whether `decoupled` does.
    shrinks: bool,
}

impl Intake {
    /// The same, if it is what most callers ask for, which is nothing, but for the weight decay of
    /// a rule whose decay is decoupled: with what it does as constants.
    #[inline(always)]
    pub(crate) fn usual(self, shrinks: bool) -> Option<Self> {
        let usual = !self.reshapes && !self.couples && self.shrinks == shrinks;
        usual.then_some(Self { reshapes: false, couples: false, shrinks, ..self })
    }

    /// The parameter and the gradient as the rule sees them.
    #[inline(always)]
    pub(crate) fn apply<R: Real>(&self, mut param: R, mut grad: R) -> (R, R) {
        if self.reshapes | self.couples | self.shrinks {
            if self.reshapes {
                grad = (grad * self.scale).at_most(self.clamp).at_least(-self.clamp);
            }
            if self.couples {
                grad = grad + param * self.coupled;
            }
            if self.shrinks {
                param = param - param * self.decoupled;
            }
        }
        (param, grad)
    }
}
