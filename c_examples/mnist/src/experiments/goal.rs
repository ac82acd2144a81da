//! Training until an accuracy is reached, as Mack's article measures it; given up early where there is no hope.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use cpu_time::ThreadTime;
use serde::{Deserialize, Serialize};

use crate::ffi::{Threads, Trainer};
use crate::lab::Ticket;

/// The accuracy is the mean over so many batches: those just trained on, before their steps.
const WINDOW: usize = 10;
/// Below this accuracy at step [`STUCK_AT`] a network does no better than guessing, and will not.
const STUCK: f64 = 0.15;
const STUCK_AT: u64 = 300;
/// A loss beyond this does not come back.
const HUGE_LOSS: f64 = 1e6;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// On the last ten training batches, 0 to 1.
    pub accuracy: f64,
    /// Steps at the most.
    pub cap: u64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The accuracy was reached.
    Ok,
    /// It was not, in the steps given.
    Cap,
    /// The loss was no number, or a huge one.
    Diverged,
    /// After 300 steps no better than guessing.
    Stuck,
}

impl Status {
    /// In plain words.
    pub fn words(self) -> &'static str {
        match self {
            Status::Ok => "reached",
            Status::Cap => "too slow",
            Status::Diverged => "diverged",
            Status::Stuck => "stuck at guessing",
        }
    }
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Then.
    pub steps: u64,
    /// Time to train; on one thread, without its waits for other programs.
    pub secs: f64,
    /// Accuracy on the last ten batches.
    pub final_acc: f64,
    /// Median time of a step, in milliseconds; likewise.
    pub ms_step: f64,
    /// Median time of the optimizer's part of a step, in microseconds.
    pub opt_us: f64,
}

/// Trains until the goal is reached or out of reach.
pub fn train_until(trainer: &mut Trainer<'_>, goal: Goal, ticket: &Ticket<'_>) -> Result<Outcome> {
    let mut window = Window::default();
    let mut status = Status::Cap;
    let (mut times, mut optimizer_times) = (Vec::new(), Vec::new());
    let mut outcome = Ok(());
    let (mut steps, mut optimizer_seconds, mut accuracy) = (0, 0.0, 0.0);
    let stopwatch = Stopwatch::start(ticket.threads());
    let mut last = 0.0;
    trainer.steps(goal.cap, &mut |batch| {
        let now = stopwatch.seconds();
        times.push(now - last);
        last = now;
        steps = batch.step;
        optimizer_times.push(batch.optimizer_seconds - optimizer_seconds);
        optimizer_seconds = batch.optimizer_seconds;
        window.push(batch.accuracy);
        accuracy = window.mean();
        outcome = ticket.advance(1);
        if batch.loss.is_nan() || batch.loss > HUGE_LOSS {
            status = Status::Diverged;
        } else if window.is_full() && accuracy >= goal.accuracy {
            status = Status::Ok;
        } else if steps == STUCK_AT && accuracy < STUCK {
            status = Status::Stuck;
        }
        outcome.is_ok() && status == Status::Cap
    })?;
    outcome?;
    Ok(Outcome {
        status,
        steps,
        secs: last,
        final_acc: accuracy,
        ms_step: 1e3 * median(times),
        opt_us: 1e6 * median(optimizer_times),
    })
}

/// The accuracies of the last ten batches.
#[derive(Default)]
pub struct Window(VecDeque<f64>);

impl Window {
    /// One more; of eleven the oldest goes.
    pub fn push(&mut self, accuracy: f64) {
        if self.is_full() {
            self.0.pop_front();
        }
        self.0.push_back(accuracy);
    }

    /// Of those that there are.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn is_full(&self) -> bool {
        self.0.len() == WINDOW
    }
}

/// Where a thread computes alone, its own time: a step of many milliseconds is interrupted each time on a busy machine.
enum Stopwatch {
    Thread(ThreadTime),
    Wall(Instant),
}

impl Stopwatch {
    fn start(threads: Threads) -> Self {
        match threads {
            Threads::Caller => Self::Thread(ThreadTime::now()),
            Threads::Pool => Self::Wall(Instant::now()),
        }
    }

    fn seconds(&self) -> f64 {
        match self {
            Self::Thread(start) => start.elapsed(),
            Self::Wall(start) => start.elapsed(),
        }
        .as_secs_f64()
    }
}

/// The upper one of two in the middle; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
