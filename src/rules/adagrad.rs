//! AdaGrad.

use crate::error::{Argument, Error, check};
use crate::gradient::WeightDecay;
use crate::pass::Run;
use crate::real::Real;
use crate::rule::{
    Buffers, EpsPlacement, Hyperparameters, Kernel, MAX_BUFFERS, Preset, eps_inside, layout, state,
};

/// AdaGrad: each parameter's rate falls with the sum of its squared gradients.
///
/// ```text
/// s = s + g²
/// p = p - lr / (1 + (t - 1) lr_decay) · g / (√s + eps)
/// p = p - lr / (1 + (t - 1) lr_decay) · g / √(s + eps)         eps inside
/// ```
///
/// # State
///
/// [`AdagradState::sum`]; starts at `initial_accumulator_value`, with which
/// [`Rule::init`](crate::Rule::init) fills it.
///
/// # Numerical notes
///
/// With `eps` 0 and a sum of 0, a zero gradient gives 0/0, a NaN: TensorFlow 1 has no `eps`, and
/// starts the sum above 0 instead. The sum is exact to its last bits as long as a new square is not
/// below 6e-8 times it; smaller ones are lost, as in every binary32 implementation. A gradient above
/// 1.8e19 makes the sum infinite, and the parameter stays where it is from then on. More in [extreme
/// values](crate#extreme-values).
///
/// # Special values
///
/// - A zero gradient of either sign leaves the parameter and the sum as they are.
/// - The square of a gradient below 1e-19 is a denormal number, and below 2e-23 it is 0. What divides
///   such a gradient is `eps`.
/// - A gradient above 1.8e19 makes the sum infinite: the parameter stands still then, and ever after.
/// - An infinite gradient makes the sum infinite and the parameter a NaN; a NaN both.
/// - With an `eps` of 0, and as long as the sum is 0, a zero gradient makes the parameter a NaN, and one
///   whose square is 0 an infinity. An `initial_accumulator_value` above 0 prevents it.
///
/// # Sources
///
/// Duchi, Hazan & Singer (2011), "Adaptive Subgradient Methods for Online Learning and Stochastic
/// Optimization"; `torch.optim.Adagrad`.
///
/// # Example
///
/// ```
/// use gradstep::{Adagrad, AdagradState, Rule};
///
/// let (mut param, mut state) = ([1.0, 1.0], AdagradState { sum: [0.0; 2] });
/// let adagrad = Adagrad { lr: 0.5, ..Adagrad::default() };
/// // The first step has the same length for a small and a large gradient.
/// adagrad.step(1, &mut param, &[0.01, -100.0], state.as_mut())?;
/// assert_eq!(param, [0.5, 1.5]);
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    /// The learning rate, at least 0. Default 0.01.
    pub lr: f64,
    /// How the learning rate falls with the steps, at least 0. Default 0.
    pub lr_decay: f64,
    /// Keeps the denominator from 0, at least 0. Default 1e-10.
    pub eps: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// What [`Rule::init`](crate::Rule::init) fills the sum with, at least 0. Default 0.
    pub initial_accumulator_value: f64,
    /// Outside or inside the root. Default outside.
    pub eps_placement: EpsPlacement,
    /// Whether to go up the gradient. Default no.
    pub maximize: bool,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            lr_decay: 0.0,
            eps: 1e-10,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps_placement: EpsPlacement::Outside,
            maximize: false,
        }
    }
}

/// The state of [`Adagrad`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdagradState<T> {
    /// The sum of squared gradients.
    pub sum: T,
}

state!(AdagradState { sum } {});

#[derive(Clone, Copy, Debug)]
pub struct AdagradKernel {
    lr: f32,
    eps: f32,
    eps_inside: bool,
}

impl Kernel for AdagradKernel {
    const BUFFERS: Buffers<Argument> = [Some(Argument::Sum), None, None];

    type State<T> = AdagradState<T>;

    fn lend<T: AsMut<[f32]>>(state: &mut AdagradState<T>) -> AdagradState<&mut [f32]> {
        state.as_mut()
    }

    #[inline(always)]
    fn usual(self) -> Option<Self> {
        (!self.eps_inside).then_some(Self { eps_inside: false, ..self })
    }

    #[inline(always)]
    fn update<R: Real>(&self, param: R, grad: R, AdagradState { sum }: AdagradState<&mut R>) -> R {
        *sum = *sum + grad * grad;
        let denom = if self.eps_inside { (*sum + self.eps).sqrt() } else { sum.sqrt() + self.eps };
        param - grad / denom * self.lr
    }

    #[inline(always)]
    fn run<P: Run<Self>>(pass: P, buffers: Buffers<P::Buffer>) {
        if let [Some(sum), ..] = buffers {
            pass.run(layout!(AdagradKernel, [sum] => AdagradState { sum }), [sum]);
        }
    }
}

impl Hyperparameters for Adagrad {
    const NAME: &'static str = "adagrad";

    type Kernel = AdagradKernel;

    fn from_source(preset: Preset) -> Option<Self> {
        let torch = Self::default();
        let inside = Self { eps_placement: EpsPlacement::Inside, ..torch };
        Some(match preset {
            Preset::Torch => torch,
            Preset::Keras => Self { lr: 1e-3, eps: 1e-7, initial_accumulator_value: 0.1, ..inside },
            // No default learning rate in the remaining sources.
            Preset::Optax => Self { eps: 1e-7, initial_accumulator_value: 0.1, ..inside },
            Preset::Article1 => Self { eps: 1e-10, ..inside },
            Preset::Article2 => Self { eps: 1e-8, ..inside },
            Preset::Tf1 => Self { eps: 0.0, initial_accumulator_value: 0.1, ..torch },
        })
    }

    fn kernel(&self, t: u64) -> Result<AdagradKernel, Error> {
        check::non_negative(self.lr, Argument::Lr)?;
        check::non_negative(self.lr_decay, Argument::LrDecay)?;
        check::non_negative(self.eps, Argument::Eps)?;
        check::non_negative(self.initial_accumulator_value, Argument::InitialAccumulatorValue)?;
        Ok(AdagradKernel {
            lr: (self.lr / (1.0 + (t - 1) as f64 * self.lr_decay)) as f32,
            eps: self.eps as f32,
            eps_inside: eps_inside(self.eps_placement)?,
        })
    }

    fn weight_decay(&self) -> Result<WeightDecay, Error> {
        WeightDecay::coupled(self.weight_decay)
    }

    fn maximize(&self) -> bool {
        self.maximize
    }

    fn initial(&self) -> [f32; MAX_BUFFERS] {
        [self.initial_accumulator_value as f32, 0.0, 0.0]
    }
}
