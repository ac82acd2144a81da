//! Training with a progress bar, and a record of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{BatchSize, Schedule, Train};
use crate::data::Data;
use crate::ffi::{self, BatchReport, Evaluation, OptimizerSettings, Settings, Threads, Trainer};
use crate::optimizer::{Optimizer, State};
use crate::output;

/// A training run from beginning to end.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Run {
    pub optimizer: Optimizer,
    pub preset: String,
    pub state: State,
    /// What the state took.
    pub state_bytes: usize,
    pub lr: f64,
    pub schedule: Schedule,
    pub batch_size: usize,
    pub seed: u64,
    pub steps_per_epoch: usize,
    pub steps: Vec<Step>,
    pub epochs: Vec<Epoch>,
    /// The step with the first loss that was not a number; training stopped there.
    pub diverged: Option<u64>,
    /// Time to train, without the evaluations between the epochs.
    pub seconds: f64,
    /// Of that, in the optimizer's steps.
    pub optimizer_seconds: f64,
    /// 64-bit FNV-1a of the final weights' bits.
    pub hash: u64,
}

/// What a step saw before it changed the weights.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Step {
    pub loss: f64,
    pub accuracy: f64,
}

/// One pass over the training digits, and the test after it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Epoch {
    /// Means over the epoch's batches, as training went on.
    pub train: Evaluation,
    pub test: Evaluation,
    /// Since the start, without the evaluations.
    pub seconds: f64,
    pub optimizer_seconds: f64,
}

/// Trains with each of the chosen optimizers, formats of state and seeds. The runs of a seed are from the same weights and
/// in the same order.
///
/// A single one, or the Adam that the demo begins with, prints a line per epoch.
pub fn run_all(options: &Train, data: &Data) -> Result<Vec<Run>> {
    let threads = options.threads.map_or(0, std::num::NonZeroUsize::get); // 0: rayon asks the system
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("--threads")?;
    let seeds = options.seed..=options.seed.saturating_add(options.seeds.get() - 1);
    let mut chosen = Vec::new();
    for optimizer in options.optimizers() {
        for state in options.states() {
            chosen.extend(seeds.clone().map(|seed| (optimizer, state, seed)));
        }
    }
    let verbose = |index| chosen.len() == 1 || (options.optimizer.is_empty() && index == 0);
    // Inside the pool, so that handing out a batch's shards wakes no other thread than those that compute.
    pool.install(|| {
        let mut runs = Vec::new();
        for (index, &(optimizer, state, seed)) in chosen.iter().enumerate() {
            if !verbose(index) && (index == 0 || verbose(index - 1)) {
                output::say(format_args!(
                    "\nside by side, from the same weights and in the same order:"
                ));
            }
            runs.push(run(options, data, optimizer, state, seed, verbose(index))?);
        }
        runs.sort_by_key(|run| run.optimizer as i32);
        Ok(runs)
    })
}

/// Trains with one optimizer.
fn run(
    options: &Train,
    data: &Data,
    optimizer: Optimizer,
    state: State,
    seed: u64,
    verbose: bool,
) -> Result<Run> {
    let digits = data.train().count();
    let batch_size = match options.batch_size {
        BatchSize::Full => digits,
        BatchSize::Digits(size) => size.get().min(digits),
    };
    let steps_per_epoch = digits.div_ceil(batch_size);
    let steps = steps_per_epoch * options.epochs();
    let lr = options.lr.unwrap_or(optimizer.default_lr(options.model));
    let settings = Settings {
        batch_size,
        decay_steps: match options.schedule {
            Schedule::Linear => steps as u64,
            Schedule::Constant => 0,
        },
        ..Settings::usual(
            options.model,
            seed,
            OptimizerSettings {
                state: state as i32,
                rounding: options.rounding as i32,
                ..optimizer.settings(options.preset, lr)
            },
        )
    };
    let preset = options.preset.key().to_owned();
    let mut trainer = Trainer::new(data.train(), settings, Threads::Pool)
        .with_context(|| format!("{} with preset {preset}", optimizer.name()))?;
    let mut run = Run {
        optimizer,
        preset,
        state,
        state_bytes: trainer.state_bytes(),
        lr,
        schedule: options.schedule,
        batch_size,
        seed,
        steps_per_epoch,
        steps: Vec::new(),
        epochs: Vec::new(),
        diverged: None,
        seconds: 0.0,
        optimizer_seconds: 0.0,
        hash: 0,
    };
    if verbose {
        output::say(format_args!(
            "{} with rate {}{}, preset {}, state in {}, batches of {batch_size}: {digits} digits, {} weights, {}, {} kernels",
            optimizer.name(),
            run.lr,
            if run.schedule == Schedule::Linear { " falling to 0" } else { "" },
            run.preset,
            state.key(),
            trainer.param_count(),
            match rayon::current_num_threads() {
                1 => "1 thread".to_owned(),
                threads => format!("{threads} threads"),
            },
            ffi::backend(),
        ));
        output::say(format_args!("epoch   train loss  accuracy    test loss  accuracy       time"));
    }
    let bar = progress_bar(optimizer, steps);
    for number in 1..=options.epochs() {
        train_epoch(&mut trainer, &mut run, &bar)?;
        if run.diverged.is_some() {
            break;
        }
        let epoch = Epoch {
            train: mean(&run.steps[run.steps.len() - run.steps_per_epoch..]),
            test: trainer.evaluate(data.test()),
            seconds: run.seconds,
            optimizer_seconds: run.optimizer_seconds,
        };
        run.epochs.push(epoch);
        if verbose {
            bar.suspend(|| print_epoch(number, &epoch));
        }
    }
    bar.finish_and_clear();
    if verbose && let Some(step) = run.diverged {
        output::say(format_args!("diverged: the loss was not a number at step {step}"));
    }
    run.hash = trainer.hash();
    Ok(run)
}

fn train_epoch(trainer: &mut Trainer, run: &mut Run, bar: &ProgressBar) -> Result<()> {
    let start = Instant::now();
    let mut shown = start;
    trainer.steps(run.steps_per_epoch as u64, &mut |batch: &BatchReport| {
        run.steps.push(Step { loss: batch.loss, accuracy: batch.accuracy });
        run.optimizer_seconds = batch.optimizer_seconds;
        bar.inc(1);
        if shown.elapsed() > Duration::from_millis(50) {
            shown = Instant::now();
            let recent = mean(&run.steps[run.steps.len().saturating_sub(10)..]);
            bar.set_message(format!(
                "loss {:.3}  accuracy {:.1} %",
                recent.loss,
                100.0 * recent.accuracy
            ));
        }
        if !batch.loss.is_finite() {
            run.diverged = Some(batch.step);
        }
        run.diverged.is_none()
    })?;
    run.seconds += start.elapsed().as_secs_f64();
    Ok(())
}

fn mean(steps: &[Step]) -> Evaluation {
    let count = steps.len() as f64;
    Evaluation {
        loss: steps.iter().map(|step| step.loss).sum::<f64>() / count,
        accuracy: steps.iter().map(|step| step.accuracy).sum::<f64>() / count,
    }
}

/// On a terminal; elsewhere there is none.
fn progress_bar(optimizer: Optimizer, steps: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>9} {bar:30} {pos}/{len} steps, {eta} left  {msg}")
            .expect("a valid template");
    ProgressBar::new(steps as u64).with_style(style).with_prefix(optimizer.name())
}

fn print_epoch(number: usize, epoch: &Epoch) {
    output::say(format_args!(
        "{number:>5} {:>12.4} {:>7.2} % {:>12.4} {:>7.2} % {:>8.2} s",
        epoch.train.loss,
        100.0 * epoch.train.accuracy,
        epoch.test.loss,
        100.0 * epoch.test.accuracy,
        epoch.seconds,
    ));
}
