//! Adam, and AMSGrad.

use crate::average::Average;
use crate::error::{Argument, Error, check};
use crate::factor::Factor;
use crate::gradient::WeightDecay;
use crate::pass::Run;
use crate::real::Real;
use crate::rule::{
    Buffers, EpsPlacement, Hyperparameters, Kernel, MAX_BUFFERS, Preset, bias_correction, layout,
    state,
};

/// Adam: the average gradient over the root of the average square, both corrected for their start
/// at zero.
///
/// ```text
/// m = beta1 m + (1 - beta1) g
/// v = beta2 v + (1 - beta2) g²
/// c₁ = 1 - beta1ᵗ,  c₂ = 1 - beta2ᵗ
/// p = p - lr m/c₁ / (√(v/c₂) + eps)            eps outside
/// p = p - lr m/c₁ / √(v/c₂ + eps)              eps inside
/// p = p - lr √c₂/c₁ · m / (√v + eps)           epsilon hat
/// ```
///
/// AMSGrad puts the largest `v` so far, or the largest `v/c₂` so far, in the place of `v`.
///
/// # State
///
/// [`AdamState::exp_avg`] (`m`), [`AdamState::exp_avg_sq`] (`v`), and if and only if `amsgrad` is
/// not [`Amsgrad::Off`], [`AdamState::max_exp_avg_sq`]. All start at zero.
///
/// # Numerical notes
///
/// `c₁` and `c₂` come from `t`, in f64, so nothing accumulates and a run can be resumed at any
/// step. The correction of `v` is made in `eps` and in the step size, which are rounded to f32 once.
/// With [`Amsgrad::Corrected`] it is made before the maximum, and `eps` is then outside or inside;
/// "hat" is taken as outside.
///
/// Gradients beyond about 1e-19 and 1e19, and an `eps` of 0: see [extreme
/// values](crate#extreme-values).
///
/// # Special values
///
/// - A zero gradient of either sign leaves a parameter as it is once its averages have died away; they
///   come to rest at denormal numbers, below 1e-42, and not at 0.
/// - The square of a gradient below 1e-19 is a denormal number. The average takes in nothing of one
///   below some 8e-22 (with `beta2` 0.999), and what divides such a gradient is `eps`.
/// - A gradient above 1.8e19 makes the average of squares infinite: its own step is 0, and every later
///   one a NaN; with a `beta2` below 1/2 its own as well. AMSGrad's maximum takes over the NaN.
/// - An infinite gradient and a NaN make the parameter a NaN, and with the next step all of its state.
/// - With an `eps` of 0 and an average of squares of 0, a zero gradient makes the parameter a NaN, and
///   one that is too small for the average an infinity.
///
/// # Sources
///
/// Kingma & Ba (2015), "Adam: A Method for Stochastic Optimization"; Reddi, Kale & Kumar (2018), "On
/// the Convergence of Adam and Beyond"; `torch.optim.Adam`.
///
/// # Example
///
/// ```
/// use gradstep::{Adam, AdamState, Rule};
///
/// let mut param = [1.0, -1.0];
/// let mut state = AdamState { exp_avg: [0.0; 2], exp_avg_sq: [0.0; 2], max_exp_avg_sq: None };
/// let adam = Adam { lr: 0.125, ..Adam::default() };
/// adam.step(1, &mut param, &[0.5, -8.0], state.as_mut())?;
/// assert_eq!(param, [0.875, -0.875]); // the first step is lr, for a small and a large gradient
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The learning rate, at least 0. Default 0.001.
    pub lr: f64,
    /// How much of the average gradient is kept, at least 0 and less than 1. Default 0.9.
    pub beta1: f64,
    /// How much of the average square is kept, at least 0 and less than 1. Default 0.999.
    pub beta2: f64,
    /// Keeps the denominator from 0, at least 0. Default 1e-8.
    pub eps: f64,
    /// Coupled (L2) weight decay, at least 0; see [`AdamW`](crate::AdamW) for the decoupled one.
    /// Default 0.
    pub weight_decay: f64,
    /// Whether, and of what, to take the largest second moment. Default off.
    pub amsgrad: Amsgrad,
    /// Outside, inside the root, or "epsilon hat". Default outside.
    pub eps_placement: EpsPlacement,
    /// Whether to go up the gradient. Default no.
    pub maximize: bool,
}

/// Which second moment AMSGrad takes the maximum of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Amsgrad {
    /// Plain Adam.
    #[default]
    Off = 0,
    /// `v`, corrected after the maximum: PyTorch, Keras, and the paper, which corrects nothing.
    Raw = 1,
    /// `v/c₂`, the corrected one: Optax.
    Corrected = 2,
}

impl Amsgrad {
    /// All of them.
    pub const ALL: &'static [Amsgrad] = &[Amsgrad::Off, Amsgrad::Raw, Amsgrad::Corrected];
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: Amsgrad::Off,
            eps_placement: EpsPlacement::Outside,
            maximize: false,
        }
    }
}

/// The state of [`Adam`] and [`AdamW`](crate::AdamW).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdamState<T> {
    /// The average gradient.
    pub exp_avg: T,
    /// The average squared gradient.
    pub exp_avg_sq: T,
    /// The largest of the latter; `None` without AMSGrad.
    pub max_exp_avg_sq: Option<T>,
}

state!(AdamState { exp_avg, exp_avg_sq } { max_exp_avg_sq });

/// Adam's formula, and AdamW's, whose `DECOUPLED` weight decay comes before it.
#[derive(Clone, Copy, Debug)]
pub struct AdamKernel<const DECOUPLED: bool> {
    beta1: Average,
    beta2: Average,
    /// What `v` is multiplied with before AMSGrad's maximum: `1/c₂`, or 1.
    before_max: Factor,
    eps: f32,
    eps_inside: bool,
    step_size: f32,
}

impl<const DECOUPLED: bool> AdamKernel<DECOUPLED> {
    pub(super) fn new(adam: &Adam, t: u64) -> Result<Self, Error> {
        check::non_negative(adam.lr, Argument::Lr)?;
        check::unit_interval(adam.beta1, Argument::Beta1)?;
        check::unit_interval(adam.beta2, Argument::Beta2)?;
        check::non_negative(adam.eps, Argument::Eps)?;

        let correction1 = bias_correction(adam.beta1, t);
        let correction2 = bias_correction(adam.beta2, t);
        let eps_inside = adam.eps_placement == EpsPlacement::Inside;

        // The correction of `v` leaves the loop: √(v/c₂) + eps is (√v + eps √c₂) / √c₂, and
        // √(v/c₂ + eps) is √(v + eps c₂) / √c₂. A maximum of corrected values has it behind it.
        let (before_max, of_eps, of_step) = match (adam.amsgrad, adam.eps_placement) {
            (Amsgrad::Corrected, _) => (1.0 / correction2, 1.0, 1.0),
            (_, EpsPlacement::Outside) => (1.0, libm::sqrt(correction2), libm::sqrt(correction2)),
            (_, EpsPlacement::Inside) => (1.0, correction2, libm::sqrt(correction2)),
            (_, EpsPlacement::Hat) => (1.0, 1.0, libm::sqrt(correction2)),
        };
        Ok(Self {
            beta1: Average::new(adam.beta1),
            beta2: Average::new(adam.beta2),
            before_max: Factor::new(before_max as f32),
            eps: (adam.eps * of_eps) as f32,
            eps_inside,
            step_size: check::rounded(adam.lr * of_step / correction1, Argument::Lr)?,
        })
    }
}

impl<const DECOUPLED: bool> Kernel for AdamKernel<DECOUPLED> {
    const DECOUPLED: bool = DECOUPLED;

    const BUFFERS: Buffers<Argument> =
        [Some(Argument::ExpAvg), Some(Argument::ExpAvgSq), Some(Argument::MaxExpAvgSq)];

    type State<T> = AdamState<T>;

    fn lend<T: AsMut<[f32]>>(state: &mut AdamState<T>) -> AdamState<&mut [f32]> {
        state.as_mut()
    }

    #[inline(always)]
    fn usual(self) -> Option<Self> {
        let (beta1, beta2) = (self.beta1.mostly_kept()?, self.beta2.mostly_kept()?);
        let before_max = self.before_max.one()?;
        let outside = !self.eps_inside;
        outside.then_some(Self { beta1, beta2, eps_inside: false, before_max, ..self })
    }

    #[inline(always)]
    fn update<R: Real>(&self, param: R, grad: R, state: AdamState<&mut R>) -> R {
        let AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq } = state;
        self.beta1.take(exp_avg, grad);
        self.beta2.take(exp_avg_sq, grad * grad);
        let mut v = *exp_avg_sq;
        if let Some(max) = max_exp_avg_sq {
            *max = max.or_greater(self.before_max.of(v));
            v = *max;
        }
        let denom = if self.eps_inside { (v + self.eps).sqrt() } else { v.sqrt() + self.eps };
        param - *exp_avg / denom * self.step_size
    }

    #[inline(always)]
    fn run<P: Run<Self>>(pass: P, buffers: Buffers<P::Buffer>) {
        match buffers {
            [Some(exp_avg), Some(exp_avg_sq), None] => pass.run(
                layout!(AdamKernel<DECOUPLED: bool>, [exp_avg, exp_avg_sq] => AdamState {
                    exp_avg,
                    exp_avg_sq,
                    max_exp_avg_sq: None,
                }),
                [exp_avg, exp_avg_sq],
            ),
            [Some(exp_avg), Some(exp_avg_sq), Some(max)] => pass.run(
                layout!(AdamKernel<DECOUPLED: bool>, [exp_avg, exp_avg_sq, max] => AdamState {
                    exp_avg,
                    exp_avg_sq,
                    max_exp_avg_sq: Some(max),
                }),
                [exp_avg, exp_avg_sq, max],
            ),
            _ => {}
        }
    }
}

impl Hyperparameters for Adam {
    const NAME: &'static str = "adam";

    type Kernel = AdamKernel<false>;

    fn from_source(preset: Preset) -> Option<Self> {
        let torch = Self::default();
        Some(match preset {
            // Article 2 gives no learning rate; its equations are PyTorch's.
            Preset::Torch | Preset::Optax | Preset::Article2 => torch,
            Preset::Keras => Self { eps: 1e-7, eps_placement: EpsPlacement::Hat, ..torch },
            Preset::Article1 => Self { eps: 1e-7, eps_placement: EpsPlacement::Inside, ..torch },
            Preset::Tf1 => Self { eps_placement: EpsPlacement::Hat, ..torch },
        })
    }

    fn kernel(&self, t: u64) -> Result<Self::Kernel, Error> {
        AdamKernel::new(self, t)
    }

    fn weight_decay(&self) -> Result<WeightDecay, Error> {
        WeightDecay::coupled(self.weight_decay)
    }

    fn maximize(&self) -> bool {
        self.maximize
    }

    fn expects(&self) -> [bool; MAX_BUFFERS] {
        [true, true, self.amsgrad != Amsgrad::Off]
    }
}
