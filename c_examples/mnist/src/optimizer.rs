//! What can be trained with what: the C side's optimizers, gradstep's presets, and the networks.

use clap::ValueEnum;
use gradstep::Rule as _;

use crate::ffi::OptimizerSettings;

/// An optimizer of the C side, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Optimizer {
    Sgd = 0,
    Momentum,
    Nesterov,
    AdaGrad,
    RmsProp,
    AdaDelta,
    Adam,
    AdamW,
}

impl Optimizer {
    /// Every one.
    pub const ALL: [Optimizer; 8] = [
        Optimizer::Sgd,
        Optimizer::Momentum,
        Optimizer::Nesterov,
        Optimizer::AdaGrad,
        Optimizer::RmsProp,
        Optimizer::AdaDelta,
        Optimizer::Adam,
        Optimizer::AdamW,
    ];

    /// The seven that the demo compares.
    pub const SEVEN: [Optimizer; 7] = *Self::ALL.first_chunk().expect("there are eight");

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Optimizer::Sgd => "SGD",
            Optimizer::Momentum => "momentum",
            Optimizer::Nesterov => "Nesterov",
            Optimizer::AdaGrad => "AdaGrad",
            Optimizer::RmsProp => "RMSProp",
            Optimizer::AdaDelta => "AdaDelta",
            Optimizer::Adam => "Adam",
            Optimizer::AdamW => "AdamW",
        }
    }

    /// On the command line and in tables.
    pub fn key(self) -> &'static str {
        match self {
            Optimizer::Sgd => "sgd",
            Optimizer::Momentum => "momentum",
            Optimizer::Nesterov => "nesterov",
            Optimizer::AdaGrad => "adagrad",
            Optimizer::RmsProp => "rmsprop",
            Optimizer::AdaDelta => "adadelta",
            Optimizer::Adam => "adam",
            Optimizer::AdamW => "adamw",
        }
    }

    /// Whether this source has such a rule.
    pub fn is_in(self, preset: Preset) -> bool {
        let preset = preset.of_gradstep();
        match self {
            Optimizer::Sgd | Optimizer::Momentum | Optimizer::Nesterov => {
                gradstep::Sgd::preset(preset).is_ok()
            }
            Optimizer::AdaGrad => gradstep::Adagrad::preset(preset).is_ok(),
            Optimizer::RmsProp => gradstep::RmsProp::preset(preset).is_ok(),
            Optimizer::AdaDelta => gradstep::Adadelta::preset(preset).is_ok(),
            Optimizer::Adam => gradstep::Adam::preset(preset).is_ok(),
            Optimizer::AdamW => gradstep::AdamW::preset(preset).is_ok(),
        }
    }

    /// With these conventions, and nothing changed but the rate.
    pub fn settings(self, preset: Preset, lr: f64) -> OptimizerSettings {
        OptimizerSettings {
            kind: self as i32,
            preset: preset as i32,
            state: State::F32 as i32,
            rounding: Rounding::Stochastic as i32,
            lr,
            momentum: f64::NAN,
            eps: f64::NAN,
            initial: f64::NAN,
        }
    }

    /// A good rate for the LeNet with batches of 100, falling linearly. From a coarse grid of rates, by how well 5,000
    /// held-out training digits are read after 5 epochs on the other 55,000 (4 seeds, PyTorch's conventions): the best,
    /// or one within 0.1 points of it that stays clear of the rates at which some seed fails.
    ///
    /// The TF net takes smaller steps where their size does not follow the gradient's.
    pub fn default_lr(self, model: Model) -> f64 {
        match (self, model) {
            (Optimizer::RmsProp | Optimizer::Adam | Optimizer::AdamW, Model::Tf) => 0.001,
            (Optimizer::AdaGrad, Model::Tf) => 0.01,
            _ => self.default_lr_of_lenet(),
        }
    }

    fn default_lr_of_lenet(self) -> f64 {
        match self {
            Optimizer::Sgd => 0.2,
            Optimizer::Momentum | Optimizer::Nesterov => 0.05,
            Optimizer::AdaGrad => 0.05,
            Optimizer::RmsProp => 0.003,
            Optimizer::AdaDelta => 5.0,
            Optimizer::Adam | Optimizer::AdamW => 0.01,
        }
    }
}

/// A source of conventions, by its number in gradstep's C ABI (`GRADSTEP_PRESET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Preset {
    Torch = 0,
    Keras,
    Optax,
    Article1,
    Article2,
    Tf1,
}

impl Preset {
    fn of_gradstep(self) -> gradstep::Preset {
        gradstep::Preset::ALL[self as usize] // in the order of their numbers
    }

    /// On the command line and in tables.
    pub fn key(self) -> &'static str {
        self.of_gradstep().name()
    }
}

/// What an optimizer keeps its state in, by its number on the C side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum State {
    /// 4 bytes a number
    F32 = 0,
    /// 2 bytes a number: bfloat16
    Bf16,
    /// 1 byte a number, and 1 for each 64 of them
    #[value(name = "8bit")]
    Bits8,
}

impl State {
    /// On the command line and in tables.
    pub fn key(self) -> &'static str {
        match self {
            State::F32 => "f32",
            State::Bf16 => "bf16",
            State::Bits8 => "8bit",
        }
    }
}

/// How state gets into a format of fewer bits, by its number in gradstep's C ABI (`GRADSTEP_ROUNDING_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Rounding {
    Nearest = 0,
    Stochastic,
}

/// A network of the C side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum Model {
    /// 3,424 weights: two convolutions of 4 and 8 channels, 18 hidden units
    Lenet = 0,
    /// 3,274,634 weights: TensorFlow's tutorial network, 32 and 64 channels, 1,024 hidden units, dropout; slow
    Tf,
}

impl Model {
    /// On the command line and in tables.
    pub fn key(self) -> &'static str {
        match self {
            Model::Lenet => "lenet",
            Model::Tf => "tf",
        }
    }
}
