//! AdaDelta.

use crate::average::Average;
use crate::error::{Argument, Error, check};
use crate::gradient::WeightDecay;
use crate::pass::Run;
use crate::real::Real;
use crate::rule::{Buffers, Hyperparameters, Kernel, Preset, layout, state};

/// AdaDelta: the step has the units of the parameter, from the average of past steps.
///
/// ```text
/// v = rho v + (1 - rho) g²
/// d = √((a + eps) / (v + eps)) · g
/// a = rho a + (1 - rho) d²
/// p = p - lr d
/// ```
///
/// # State
///
/// [`AdadeltaState::square_avg`] (`v`) and [`AdadeltaState::acc_delta`] (`a`); both start at zero.
///
/// # Numerical notes
///
/// One root of the quotient, where the sources take the quotient of two roots: a rounding less, and
/// a root less to wait for. The quotient is a denormal number, and loses bits, once `v` is above
/// 1e38 times `a + eps`: for `eps` 1e-6, at gradients above 1e16. With an `eps` of 0 it never starts.
///
/// Gradients beyond about 1e-19 and 1e19, and an `eps` of 0: see [extreme
/// values](crate#extreme-values).
///
/// # Special values
///
/// - A zero gradient of either sign leaves the parameter as it is.
/// - The square of a gradient below 1e-19 is a denormal number, and below 2e-23 it is 0; beside a usual
///   `eps` it makes no difference. The first step of a small gradient is `lr` times itself.
/// - A gradient above 1.8e19 makes the average of squares infinite: its own step is 0, and every later
///   one a NaN; with a `rho` below 1/2 its own as well.
/// - An infinite gradient and a NaN make the parameter and the average of updates a NaN.
/// - With an `eps` of 0 no parameter ever moves, and a gradient of 0, or whose square is 0, makes it a
///   NaN as long as there is nothing in the averages.
///
/// # Sources
///
/// Zeiler (2012), "ADADELTA: An Adaptive Learning Rate Method", where `lr` is 1;
/// `torch.optim.Adadelta`.
///
/// # Example
///
/// ```
/// use gradstep::{Adadelta, AdadeltaState, Rule};
///
/// let mut param = [1.0];
/// let mut state = AdadeltaState { square_avg: [0.0], acc_delta: [0.0] };
/// for t in 1..=3 {
///     Adadelta::default().step(t, &mut param, &[2.0], state.as_mut())?;
/// }
/// assert!(param[0] < 1.0 && param[0] > 0.98); // it starts slowly
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adadelta {
    /// A factor of the step, at least 0. Default 1, which is Zeiler's rule.
    pub lr: f64,
    /// How much of the averages is kept, 0 to 1. Default 0.9.
    pub rho: f64,
    /// Starts the steps, and keeps the denominator from 0; at least 0. Default 1e-6.
    pub eps: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// Whether to go up the gradient. Default no.
    pub maximize: bool,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { lr: 1.0, rho: 0.9, eps: 1e-6, weight_decay: 0.0, maximize: false }
    }
}

/// The state of [`Adadelta`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdadeltaState<T> {
    /// The average of squared gradients.
    pub square_avg: T,
    /// The average of squared updates.
    pub acc_delta: T,
}

state!(AdadeltaState { square_avg, acc_delta } {});

#[derive(Clone, Copy, Debug)]
pub struct AdadeltaKernel {
    lr: f32,
    rho: Average,
    eps: f32,
}

impl Kernel for AdadeltaKernel {
    const BUFFERS: Buffers<Argument> = [Some(Argument::SquareAvg), Some(Argument::AccDelta), None];

    type State<T> = AdadeltaState<T>;

    fn lend<T: AsMut<[f32]>>(state: &mut AdadeltaState<T>) -> AdadeltaState<&mut [f32]> {
        state.as_mut()
    }

    #[inline(always)]
    fn usual(self) -> Option<Self> {
        Some(Self { rho: self.rho.mostly_kept()?, ..self })
    }

    #[inline(always)]
    fn update<R: Real>(&self, param: R, grad: R, state: AdadeltaState<&mut R>) -> R {
        let AdadeltaState { square_avg, acc_delta } = state;
        self.rho.take(square_avg, grad * grad);
        let delta = ((*acc_delta + self.eps) / (*square_avg + self.eps)).sqrt() * grad;
        self.rho.take(acc_delta, delta * delta);
        param - delta * self.lr
    }

    #[inline(always)]
    fn run<P: Run<Self>>(pass: P, buffers: Buffers<P::Buffer>) {
        if let [Some(square_avg), Some(acc_delta), _] = buffers {
            pass.run(
                layout!(AdadeltaKernel, [square_avg, acc_delta] => AdadeltaState {
                    square_avg,
                    acc_delta,
                }),
                [square_avg, acc_delta],
            );
        }
    }
}

impl Hyperparameters for Adadelta {
    const NAME: &'static str = "adadelta";

    type Kernel = AdadeltaKernel;

    fn from_source(preset: Preset) -> Option<Self> {
        let torch = Self::default();
        match preset {
            Preset::Torch => Some(torch),
            Preset::Keras => Some(Self { lr: 1e-3, rho: 0.95, eps: 1e-7, ..torch }),
            Preset::Optax => Some(Self { rho: 0.9, eps: 1e-6, ..torch }),
            Preset::Article1 => None,
            Preset::Article2 => Some(Self { rho: 0.9, ..torch }),
            Preset::Tf1 => Some(Self { lr: 1e-3, rho: 0.95, eps: 1e-8, ..torch }),
        }
    }

    fn kernel(&self, _: u64) -> Result<AdadeltaKernel, Error> {
        check::non_negative(self.lr, Argument::Lr)?;
        check::fraction(self.rho, Argument::Rho)?;
        check::non_negative(self.eps, Argument::Eps)?;
        Ok(AdadeltaKernel { lr: self.lr as f32, rho: Average::new(self.rho), eps: self.eps as f32 })
    }

    fn weight_decay(&self) -> Result<WeightDecay, Error> {
        WeightDecay::coupled(self.weight_decay)
    }

    fn maximize(&self) -> bool {
        self.maximize
    }
}
