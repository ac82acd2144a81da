//! Training until an accuracy is reached, as Mack's article measures it; given up early where there is no hope.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::ffi::Trainer;
use crate::lab::Ticket;

/// The accuracy is the mean over so many batches: those just trained on, before their steps.
pub const WINDOW: usize = 10;
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
    /// Time to train.
    pub secs: f64,
    /// Accuracy on the last ten batches.
    pub final_acc: f64,
    /// Median time of a step, in milliseconds.
    pub ms_step: f64,
    /// Mean time of the optimizer's part of a step, in microseconds.
    pub opt_us: f64,
}

/// Trains until the goal is reached or out of reach.
pub fn train_until(trainer: &mut Trainer<'_>, goal: Goal, ticket: &Ticket<'_>) -> Result<Outcome> {
    let mut window = VecDeque::with_capacity(WINDOW);
    let mut status = Status::Cap;
    let mut times = Vec::new();
    let mut outcome = Ok(());
    let (mut steps, mut optimizer_seconds, mut accuracy) = (0, 0.0, 0.0);
    let start = Instant::now();
    let mut last = start;
    trainer.steps(goal.cap, &mut |batch| {
        let now = Instant::now();
        times.push((now - last).as_secs_f64());
        last = now;
        steps = batch.step;
        optimizer_seconds = batch.optimizer_seconds;
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back(batch.accuracy);
        accuracy = window.iter().sum::<f64>() / window.len() as f64;
        outcome = ticket.advance(1);
        if batch.loss.is_nan() || batch.loss > HUGE_LOSS {
            status = Status::Diverged;
        } else if window.len() == WINDOW && accuracy >= goal.accuracy {
            status = Status::Ok;
        } else if steps == STUCK_AT && accuracy < STUCK {
            status = Status::Stuck;
        }
        outcome.is_ok() && status == Status::Cap
    })?;
    outcome?;
    times.sort_by(f64::total_cmp);
    Ok(Outcome {
        status,
        steps,
        secs: (last - start).as_secs_f64(),
        final_acc: accuracy,
        ms_step: 1e3 * times.get(times.len() / 2).copied().unwrap_or(0.0),
        opt_us: 1e6 * optimizer_seconds / steps.max(1) as f64,
    })
}
