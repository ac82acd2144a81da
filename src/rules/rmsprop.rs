//! RMSProp.

use crate::average::Average;
use crate::error::{Argument, Error, check};
use crate::factor::Factor;
use crate::gradient::WeightDecay;
use crate::pass::Run;
use crate::real::Real;
use crate::rule::{
    Buffers, EpsPlacement, Hyperparameters, Kernel, MAX_BUFFERS, Preset, eps_inside, layout, state,
};

/// RMSProp: the gradient over the root of the average of its squares.
///
/// ```text
/// v = alpha v + (1 - alpha) g²
/// m = alpha m + (1 - alpha) g,  w = max(v - m², 0)       centered; else w = v
/// u = g / (√w + eps)
/// u = g / √(w + eps)                                     eps inside
/// p = p - lr u                                           without momentum
/// b = momentum b + u,     p = p - lr b                   with momentum
/// b = momentum b + lr u,  p = p - b                      with momentum and lr_inside
/// ```
///
/// # State
///
/// [`RmsPropState::square_avg`], which starts at `initial_square_avg`
/// ([`Rule::init`](crate::Rule::init) fills it); [`RmsPropState::grad_avg`] if and only if
/// `centered`; [`RmsPropState::momentum_buffer`] if and only if `momentum` is above 0. The last two
/// start at zero.
///
/// # Numerical notes
///
/// `v - m²` is a variance and never negative, but its rounding can be: without the clamp at 0,
/// which PyTorch, TensorFlow and Keras lack, its root is a NaN. With the clamp, a parameter whose
/// gradient does not vary has a denominator of only `eps`, and moves fast: choose `eps` for that.
///
/// Gradients beyond about 1e-19 and 1e19, and an `eps` of 0: see [extreme
/// values](crate#extreme-values).
///
/// # Special values
///
/// - A zero gradient of either sign leaves a parameter as it is, but for the momentum. The averages and
///   the buffer then come to rest at denormal numbers, below 1e-43, and not at 0.
/// - The square of a gradient below 1e-19 is a denormal number. The average takes in nothing of one
///   below some 2e-22 (with `alpha` 0.99), and what divides such a gradient is `eps`.
/// - A gradient above 1.8e19 makes the average of squares infinite: its own step is 0, and every later
///   one a NaN; with an `alpha` below 1/2 its own as well, and centered from some 2e21 on.
/// - An infinite gradient and a NaN make the parameter a NaN, and keep it so.
/// - With an `eps` of 0 and an average of 0, a zero gradient makes the parameter a NaN, and one whose
///   square is 0 an infinity. Centered, so may any gradient that does not vary.
///
/// # Sources
///
/// Hinton, Srivastava & Swersky (2012), lecture 6e of "Neural Networks for Machine Learning";
/// centered: Graves (2013), "Generating Sequences With Recurrent Neural Networks";
/// `torch.optim.RMSprop`.
///
/// # Example
///
/// ```
/// use gradstep::{RmsProp, RmsPropState, Rule};
///
/// let rmsprop = RmsProp { momentum: 0.9, ..RmsProp::default() };
/// let mut param = [1.0];
/// let mut state = RmsPropState {
///     square_avg: [0.0],
///     grad_avg: None, // not centered
///     momentum_buffer: Some([0.0]),
/// };
/// rmsprop.step(1, &mut param, &[2.0], state.as_mut())?;
/// assert!((param[0] - 0.9).abs() < 1e-6); // lr / sqrt(1 - alpha)
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// The learning rate, at least 0. Default 0.01.
    pub lr: f64,
    /// How much of the averages is kept, 0 to 1. Default 0.99.
    pub alpha: f64,
    /// Keeps the denominator from 0, at least 0. Default 1e-8.
    pub eps: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// How much of the momentum buffer is kept, at least 0. Default 0: no buffer.
    pub momentum: f64,
    /// What [`Rule::init`](crate::Rule::init) fills the average of squares with, at least 0.
    /// Default 0.
    pub initial_square_avg: f64,
    /// Whether to divide by the deviation in place of the root mean square. Default no.
    pub centered: bool,
    /// Outside or inside the root. Default outside.
    pub eps_placement: EpsPlacement,
    /// Whether `lr` multiplies what goes into the momentum buffer (Keras, TensorFlow) and not what
    /// comes out of it (PyTorch). Default no.
    pub lr_inside: bool,
    /// Whether to go up the gradient. Default no.
    pub maximize: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            alpha: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.0,
            initial_square_avg: 0.0,
            centered: false,
            eps_placement: EpsPlacement::Outside,
            lr_inside: false,
            maximize: false,
        }
    }
}

/// The state of [`RmsProp`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RmsPropState<T> {
    /// The average of squared gradients.
    pub square_avg: T,
    /// The average of gradients; `None` unless centered.
    pub grad_avg: Option<T>,
    /// The decayed sum of updates; `None` without momentum.
    pub momentum_buffer: Option<T>,
}

state!(RmsPropState { square_avg } { grad_avg, momentum_buffer });

#[derive(Clone, Copy, Debug)]
pub struct RmsPropKernel {
    alpha: Average,
    eps: f32,
    momentum: f32,
    /// What of an update goes into the buffer: 1, or `lr` if that is inside.
    update_weight: Factor,
    /// What of the direction goes into the parameter: `lr`, or 1 if that was inside.
    step_size: f32,
    eps_inside: bool,
}

impl Kernel for RmsPropKernel {
    const BUFFERS: Buffers<Argument> =
        [Some(Argument::SquareAvg), Some(Argument::GradAvg), Some(Argument::MomentumBuffer)];

    type State<T> = RmsPropState<T>;

    fn lend<T: AsMut<[f32]>>(state: &mut RmsPropState<T>) -> RmsPropState<&mut [f32]> {
        state.as_mut()
    }

    #[inline(always)]
    fn usual(self) -> Option<Self> {
        let alpha = self.alpha.mostly_kept()?;
        let update_weight = self.update_weight.one()?;
        (!self.eps_inside).then_some(Self { alpha, eps_inside: false, update_weight, ..self })
    }

    #[inline(always)]
    fn update<R: Real>(&self, param: R, grad: R, state: RmsPropState<&mut R>) -> R {
        let RmsPropState { square_avg, grad_avg, momentum_buffer } = state;
        self.alpha.take(square_avg, grad * grad);
        let mut variance = *square_avg;
        if let Some(grad_avg) = grad_avg {
            self.alpha.take(grad_avg, grad);
            variance = (variance - *grad_avg * *grad_avg).at_least(0.0);
        }
        let denom =
            if self.eps_inside { (variance + self.eps).sqrt() } else { variance.sqrt() + self.eps };
        let mut direction = grad / denom;
        if let Some(buffer) = momentum_buffer {
            *buffer = *buffer * self.momentum + self.update_weight.of(direction);
            direction = *buffer;
        }
        param - direction * self.step_size
    }

    #[inline(always)]
    fn run<P: Run<Self>>(pass: P, buffers: Buffers<P::Buffer>) {
        match buffers {
            [Some(square_avg), None, None] => pass.run(
                layout!(RmsPropKernel, [square_avg] => RmsPropState {
                    square_avg,
                    grad_avg: None,
                    momentum_buffer: None,
                }),
                [square_avg],
            ),
            [Some(square_avg), Some(grad_avg), None] => pass.run(
                layout!(RmsPropKernel, [square_avg, grad_avg] => RmsPropState {
                    square_avg,
                    grad_avg: Some(grad_avg),
                    momentum_buffer: None,
                }),
                [square_avg, grad_avg],
            ),
            [Some(square_avg), None, Some(buffer)] => pass.run(
                layout!(RmsPropKernel, [square_avg, buffer] => RmsPropState {
                    square_avg,
                    grad_avg: None,
                    momentum_buffer: Some(buffer),
                }),
                [square_avg, buffer],
            ),
            [Some(square_avg), Some(grad_avg), Some(buffer)] => pass.run(
                layout!(RmsPropKernel, [square_avg, grad_avg, buffer] => RmsPropState {
                    square_avg,
                    grad_avg: Some(grad_avg),
                    momentum_buffer: Some(buffer),
                }),
                [square_avg, grad_avg, buffer],
            ),
            [None, ..] => {}
        }
    }
}

impl Hyperparameters for RmsProp {
    const NAME: &'static str = "rmsprop";

    type Kernel = RmsPropKernel;

    fn from_source(preset: Preset) -> Option<Self> {
        let torch = Self::default();
        let inside = Self { alpha: 0.9, eps_placement: EpsPlacement::Inside, ..torch };
        match preset {
            Preset::Torch => Some(torch),
            Preset::Keras => Some(Self { lr: 1e-3, eps: 1e-7, lr_inside: true, ..inside }),
            // No default learning rate in the remaining sources.
            Preset::Optax => Some(Self { eps: 1e-8, lr_inside: true, ..inside }),
            Preset::Article1 => Some(Self { eps: 1e-10, ..inside }),
            Preset::Article2 => None,
            Preset::Tf1 => {
                Some(Self { eps: 1e-10, initial_square_avg: 1.0, lr_inside: true, ..inside })
            }
        }
    }

    fn kernel(&self, _: u64) -> Result<RmsPropKernel, Error> {
        check::non_negative(self.lr, Argument::Lr)?;
        check::fraction(self.alpha, Argument::Alpha)?;
        check::non_negative(self.eps, Argument::Eps)?;
        check::non_negative(self.momentum, Argument::Momentum)?;
        check::non_negative(self.initial_square_avg, Argument::InitialSquareAvg)?;
        let inside = self.lr_inside && self.momentum > 0.0;
        let (inner, outer) = if inside { (self.lr, 1.0) } else { (1.0, self.lr) };
        Ok(RmsPropKernel {
            alpha: Average::new(self.alpha),
            eps: self.eps as f32,
            momentum: self.momentum as f32,
            update_weight: Factor::new(inner as f32),
            step_size: outer as f32,
            eps_inside: eps_inside(self.eps_placement)?,
        })
    }

    fn weight_decay(&self) -> Result<WeightDecay, Error> {
        WeightDecay::coupled(self.weight_decay)
    }

    fn maximize(&self) -> bool {
        self.maximize
    }

    fn expects(&self) -> [bool; MAX_BUFFERS] {
        [true, self.centered, self.momentum > 0.0]
    }

    fn initial(&self) -> [f32; MAX_BUFFERS] {
        [self.initial_square_avg as f32, 0.0, 0.0]
    }
}
