//! The network as grid search and population based training see it: something with a learning rate, trained on the
//! training digits and scored on the validation digits.

use anyhow::{Error, Result, anyhow};

use crate::ffi::{Trainer, View};
use crate::lab::{Interrupted, Lab, Ticket};
use crate::optimizer::Optimizer;
use crate::search::{self, Trainee};

/// A network in a search. Its only hyperparameter is the learning rate, and its score the accuracy, 0 to 1.
pub struct Learner<'a> {
    trainer: Trainer<'a>,
    validation: View<'a>,
    ticket: &'a Ticket<'a>,
    diverged: bool,
}

impl<'a> Learner<'a> {
    /// With the initial weights and the order of digits of this seed.
    pub fn new(
        lab: &'a Lab,
        optimizer: Optimizer,
        seed: u64,
        lr: f64,
        ticket: &'a Ticket<'a>,
    ) -> Result<Self> {
        let optimizer = optimizer.settings(lab.options().preset, lr);
        let settings = crate::ffi::Settings { seed, ..lab.settings(optimizer) };
        let trainer = lab.trainer(settings, ticket)?;
        Ok(Self { trainer, validation: lab.validation(), ticket, diverged: false })
    }
}

impl Trainee for Learner<'_> {
    type Error = Error;

    fn train(&mut self, hyper: &[f64], steps: u64) -> Result<()> {
        if self.diverged {
            return self.ticket.advance(steps);
        }
        self.trainer.set_lr(hyper[0]);
        let mut heard = Ok(());
        let mut left = steps;
        self.trainer.steps(steps, &mut |batch| {
            left -= 1;
            heard = self.ticket.advance(1);
            self.diverged = !batch.loss.is_finite();
            heard.is_ok() && !self.diverged
        })?;
        heard.and_then(|()| self.ticket.advance(left))
    }

    fn score(&mut self) -> Result<f64> {
        if self.diverged {
            return Ok(f64::NAN);
        }
        let evaluation = self.trainer.evaluate(self.validation);
        Ok(if evaluation.loss.is_finite() { evaluation.accuracy } else { f64::NAN })
    }

    fn copy_from(&mut self, other: &Self) -> Result<()> {
        self.diverged = other.diverged;
        self.trainer.copy_from(&other.trainer)
    }
}

/// Of a search, as an error of the program.
pub fn failure(error: search::Error<Error>) -> Error {
    match error {
        search::Error::Settings(why) => anyhow!(why),
        search::Error::Interrupted => Interrupted.into(),
        search::Error::Trainee { error, .. } => error,
    }
}

/// A score that a table and JSON can hold: none where the training diverged.
pub fn finite(score: f64) -> Option<f64> {
    score.is_finite().then_some(score)
}
