//! AdamW: [`Adam`]'s kernel with decoupled weight decay.

use super::adam::{Adam, AdamKernel, Amsgrad};
use crate::error::Error;
use crate::gradient::WeightDecay;
use crate::rule::{EpsPlacement, Hyperparameters, MAX_BUFFERS, Preset};

/// Adam with weight decay beside the averages and not through them.
///
/// ```text
/// p = p - lr weight_decay p
/// then as Adam
/// ```
///
/// # State, numerical notes
///
/// Those of [`Adam`], whose kernel it is. `lr weight_decay` is computed in f64 and rounded once.
/// Optax and llm.c write `p - lr (u + weight_decay p)`, which is the same in exact arithmetic.
///
/// # Special values
///
/// Those of [`Adam`]. The decay takes no part of a denormal number that would round to nothing, makes
/// +0 of -0, and a NaN of an infinite parameter.
///
/// # Sources
///
/// Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization"; `torch.optim.AdamW`.
///
/// # Example
///
/// ```
/// use gradstep::{AdamState, AdamW, Rule};
///
/// let mut param = [1.0];
/// let mut state = AdamState { exp_avg: [0.0], exp_avg_sq: [0.0], max_exp_avg_sq: None };
/// let adamw = AdamW { lr: 0.5, weight_decay: 0.5, ..AdamW::default() };
/// adamw.step(1, &mut param, &[0.0], state.as_mut())?;
/// assert_eq!(param, [0.75]);
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The learning rate, at least 0. Default 0.001.
    pub lr: f64,
    /// How much of the average gradient is kept, at least 0 and less than 1. Default 0.9.
    pub beta1: f64,
    /// How much of the average square is kept, at least 0 and less than 1. Default 0.999.
    pub beta2: f64,
    /// Keeps the denominator from 0, at least 0. Default 1e-8.
    pub eps: f64,
    /// Decoupled weight decay, at least 0. Default 0.01.
    pub weight_decay: f64,
    /// Whether, and of what, to take the largest second moment. Default off.
    pub amsgrad: Amsgrad,
    /// Outside, inside the root, or "epsilon hat". Default outside.
    pub eps_placement: EpsPlacement,
    /// Whether to go up the gradient. Default no.
    pub maximize: bool,
}

impl AdamW {
    /// Adam with these hyperparameters, and this weight decay.
    fn from_adam(adam: Adam, weight_decay: f64) -> Self {
        let Adam { lr, beta1, beta2, eps, weight_decay: _, amsgrad, eps_placement, maximize } =
            adam;
        Self { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize }
    }

    /// Adam with these hyperparameters, without the decay.
    fn adam(&self) -> Adam {
        let Self { lr, beta1, beta2, eps, weight_decay: _, amsgrad, eps_placement, maximize } =
            *self;
        Adam { lr, beta1, beta2, eps, weight_decay: 0.0, amsgrad, eps_placement, maximize }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        Self::from_adam(Adam::default(), 1e-2)
    }
}

impl Hyperparameters for AdamW {
    const NAME: &'static str = "adamw";

    type Kernel = AdamKernel<true>;

    fn from_source(preset: Preset) -> Option<Self> {
        let weight_decay = match preset {
            Preset::Torch => 1e-2,
            Preset::Keras => 4e-3,
            Preset::Optax => 1e-4,
            Preset::Article1 | Preset::Article2 | Preset::Tf1 => return None,
        };
        Adam::from_source(preset).map(|adam| Self::from_adam(adam, weight_decay))
    }

    fn kernel(&self, t: u64) -> Result<Self::Kernel, Error> {
        AdamKernel::new(&self.adam(), t)
    }

    fn weight_decay(&self) -> Result<WeightDecay, Error> {
        WeightDecay::decoupled(self.lr, self.weight_decay)
    }

    fn maximize(&self) -> bool {
        self.maximize
    }

    fn expects(&self) -> [bool; MAX_BUFFERS] {
        self.adam().expects()
    }
}
