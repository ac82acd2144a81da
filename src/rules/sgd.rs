//! Stochastic gradient descent: plain, with momentum, with Nesterov's momentum.

use crate::error::{Argument, Error, ErrorKind, check};
use crate::factor::Factor;
use crate::gradient::WeightDecay;
use crate::pass::Run;
use crate::real::Real;
use crate::rule::{Buffers, Hyperparameters, Kernel, MAX_BUFFERS, Preset, layout, state};

/// Gradient descent, with optional momentum.
///
/// ```text
/// plain         p = p - lr g
/// momentum      b = momentum b + (1 - dampening) g      (no dampening in the first step)
///               p = p - lr b
/// nesterov      b = momentum b + g
///               p = p - lr (g + momentum b)
/// lr_inside     the same with lr g for g, and no lr in the last line
/// ```
///
/// What the gradient is made of is the caller's choice, and names the method: the whole training
/// set gives batch gradient descent, one observation stochastic gradient descent, some 50 to 256
/// of them mini-batch gradient descent.
///
/// # State
///
/// [`SgdState::momentum_buffer`], needed if and only if `momentum` is above 0; starts at zero.
///
/// # Numerical notes
///
/// With `lr_inside`, the buffer holds past updates, so that a change of `lr` reaches only what
/// comes after it; with a constant `lr` both forms walk the same path. Keras and article 1 store
/// the buffer with the opposite sign, which changes no parameter.
///
/// Under a constant gradient the momentum's step grows to `1 / (1 - momentum)` times that of plain
/// descent. A NaN or an infinity in a gradient stays in its parameter's buffer.
///
/// # Special values
///
/// - A zero gradient of either sign leaves a parameter as it is, but for the momentum (a -0 may become
///   +0). The buffer then comes to rest at a denormal number, some 1e-44, and not at 0.
/// - Nothing is squared and nothing divided: gradients from the smallest denormal number to the largest
///   number count as they are. The buffer overflows where its sum passes 3.4e38.
/// - An infinity makes the parameter infinite, and the buffer, which keeps it so; one of the opposite
///   sign later, or a rate of 0, a NaN.
/// - A NaN stays in its parameter, and in its buffer.
///
/// # Sources
///
/// Polyak (1964); Nesterov (1983); Sutskever et al. (2013), whose formulation PyTorch, and with it
/// this crate, approximates: `torch.optim.SGD`.
///
/// # Example
///
/// ```
/// use gradstep::{Rule, Sgd, SgdState};
///
/// let sgd = Sgd { lr: 0.5, momentum: 0.5, ..Sgd::default() };
/// let mut param = [1.0];
/// let mut state = SgdState { momentum_buffer: Some([0.0]) };
/// for (t, grad) in (1..).zip([1.0, 0.0]) {
///     sgd.step(t, &mut param, &[grad], state.as_mut())?;
/// }
/// assert_eq!(param, [1.0 - 0.5 * 1.0 - 0.5 * 0.5]);
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate, at least 0. Default 0.001.
    pub lr: f64,
    /// How much of the buffer is kept, at least 0; 0 is plain gradient descent. Default 0.
    pub momentum: f64,
    /// How much of the gradient is kept out of the buffer from the second step on, finite.
    /// Default 0.
    pub dampening: f64,
    /// Coupled (L2) weight decay, at least 0. Default 0.
    pub weight_decay: f64,
    /// Whether the momentum is Nesterov's; needs `momentum` above 0 and `dampening` 0.
    /// Default no.
    pub nesterov: bool,
    /// Whether `lr` multiplies what goes into the buffer (Keras, the articles) and not what comes
    /// out of it (PyTorch). Default no.
    pub lr_inside: bool,
    /// Whether to go up the gradient. Default no.
    pub maximize: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            lr_inside: false,
            maximize: false,
        }
    }
}

/// The state of [`Sgd`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdState<T> {
    /// The decayed sum of gradients; `None` without momentum.
    pub momentum_buffer: Option<T>,
}

state!(SgdState {} { momentum_buffer });

#[derive(Clone, Copy, Debug)]
pub struct SgdKernel {
    momentum: f32,
    /// What of the gradient goes into the buffer: `1 - dampening`, times `lr` if that is inside.
    gradient_weight: Factor,
    /// What of the direction goes into the parameter: `lr`, or 1 if that was inside.
    step_size: f32,
    nesterov: bool,
}

impl Kernel for SgdKernel {
    const BUFFERS: Buffers<Argument> = [Some(Argument::MomentumBuffer), None, None];

    type State<T> = SgdState<T>;

    fn lend<T: AsMut<[f32]>>(state: &mut SgdState<T>) -> SgdState<&mut [f32]> {
        state.as_mut()
    }

    #[inline(always)]
    fn usual(self) -> Option<Self> {
        let gradient_weight = self.gradient_weight.one()?;
        (!self.nesterov).then_some(Self { nesterov: false, gradient_weight, ..self })
    }

    #[inline(always)]
    fn also_usual(self) -> Option<Self> {
        let gradient_weight = self.gradient_weight.one()?;
        self.nesterov.then_some(Self { nesterov: true, gradient_weight, ..self })
    }

    #[inline(always)]
    fn update<R: Real>(&self, param: R, grad: R, state: SgdState<&mut R>) -> R {
        let Some(buffer) = state.momentum_buffer else {
            return param - grad * self.step_size;
        };
        let grad = self.gradient_weight.of(grad);
        *buffer = *buffer * self.momentum + grad;
        let direction = if self.nesterov { *buffer * self.momentum + grad } else { *buffer };
        param - direction * self.step_size
    }

    #[inline(always)]
    fn run<P: Run<Self>>(pass: P, buffers: Buffers<P::Buffer>) {
        let [momentum_buffer, ..] = buffers;
        match momentum_buffer {
            None => pass.run(layout!(SgdKernel, [] => SgdState { momentum_buffer: None }), []),
            Some(buffer) => pass.run(
                layout!(SgdKernel, [buffer] => SgdState { momentum_buffer: Some(buffer) }),
                [buffer],
            ),
        }
    }
}

impl Hyperparameters for Sgd {
    const NAME: &'static str = "sgd";

    type Kernel = SgdKernel;

    fn from_source(preset: Preset) -> Option<Self> {
        let torch = Self::default();
        Some(match preset {
            Preset::Torch => torch,
            Preset::Keras => Self { lr: 0.01, lr_inside: true, ..torch },
            // These sources have no default learning rate.
            Preset::Optax | Preset::Tf1 => Self { lr: 0.01, ..torch },
            Preset::Article1 | Preset::Article2 => Self { lr: 0.01, lr_inside: true, ..torch },
        })
    }

    fn kernel(&self, t: u64) -> Result<SgdKernel, Error> {
        check::non_negative(self.lr, Argument::Lr)?;
        check::non_negative(self.momentum, Argument::Momentum)?;
        check::finite(self.dampening, Argument::Dampening)?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err(Error::new(ErrorKind::NesterovNeedsMomentum, Argument::Nesterov));
        }
        let kept = if t == 1 { 1.0 } else { 1.0 - self.dampening };
        let inside = self.lr_inside && self.momentum > 0.0;
        let (inner, outer) = if inside { (self.lr, 1.0) } else { (1.0, self.lr) };
        Ok(SgdKernel {
            momentum: self.momentum as f32,
            gradient_weight: Factor::new(check::rounded(kept * inner, Argument::Lr)?),
            step_size: outer as f32,
            nesterov: self.nesterov,
        })
    }

    fn weight_decay(&self) -> Result<WeightDecay, Error> {
        WeightDecay::coupled(self.weight_decay)
    }

    fn maximize(&self) -> bool {
        self.maximize
    }

    fn expects(&self) -> [bool; MAX_BUFFERS] {
        [self.momentum > 0.0, false, false]
    }
}
