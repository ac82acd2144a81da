//! Training with each optimizer in turn. Prints the same text as the C program.

use core::fmt::Arguments;

use gradstep::{Adadelta, Adagrad, Adam, AdamW, Error, RmsProp, Rule, Sgd};

use crate::digits::{label, test, training};
use crate::model::{self, WEIGHTS, Weights};

const BATCH: usize = 20;
const EPOCHS: u32 = 5;
const SEED: u32 = 1;

/// All that a training needs besides the stack: 12,160 bytes.
pub struct Memory {
    weights: Weights,
    gradient: Weights,
    state: [Weights; 2],
}

impl Memory {
    pub const fn new() -> Self {
        Self { weights: [0.0; WEIGHTS], gradient: [0.0; WEIGHTS], state: [[0.0; WEIGHTS]; 2] }
    }
}

pub fn all(memory: &mut Memory, mut print: impl FnMut(Arguments)) -> Result<(), Error> {
    let print = &mut print;
    let (training, test) = (training().len(), test().len());
    print(format_args!(
        "{WEIGHTS} weights learn from {training} digits, and are tested on {test} others\n"
    ));
    learn("sgd", 0.5, |lr| Sgd { lr, ..Sgd::default() }, memory, print)?;
    let momentum = Sgd { momentum: 0.9, ..Sgd::default() };
    learn("momentum", 0.05, |lr| Sgd { lr, ..momentum }, memory, print)?;
    learn("nesterov", 0.05, |lr| Sgd { lr, nesterov: true, ..momentum }, memory, print)?;
    learn("adagrad", 0.1, |lr| Adagrad { lr, ..Adagrad::default() }, memory, print)?;
    learn("rmsprop", 0.02, |lr| RmsProp { lr, ..RmsProp::default() }, memory, print)?;
    learn("adadelta", 10.0, |lr| Adadelta { lr, ..Adadelta::default() }, memory, print)?;
    learn("adam", 0.05, |lr| Adam { lr, ..Adam::default() }, memory, print)?;
    learn("adamw", 0.05, |lr| AdamW { lr, ..AdamW::default() }, memory, print)
}

/// Trains new weights with the rule that `at_rate` gives for a rate, which falls to 0 in a straight
/// line.
fn learn<R: Rule>(
    name: &str,
    rate: f64,
    at_rate: impl Fn(f64) -> R,
    Memory { weights, gradient, state }: &mut Memory,
    print: &mut impl FnMut(Arguments),
) -> Result<(), Error> {
    print(format_args!("{name}\n"));
    model::init(weights, SEED);
    let [a, b] = state;
    let mut buffers = [a, b].into_iter();
    let mut state = at_rate(rate).state(|| &mut buffers.next().expect("two are enough")[..]);
    at_rate(rate).init(R::lend(&mut state))?;

    let total = EPOCHS * (training().len() / BATCH) as u32;
    let mut steps = 0;
    for epoch in 1..=EPOCHS {
        let mut loss = 0;
        for batch in training().chunks_exact(BATCH) {
            gradient.fill(0.0);
            for digit in batch {
                loss += u64::from(millionths(model::learn(weights, digit, gradient)));
            }
            let lr = rate * f64::from(total - steps) / f64::from(total);
            steps += 1;
            let step = at_rate(lr).at(steps.into())?.scale_grad(1.0 / BATCH as f64)?;
            step.apply(weights, gradient, R::lend(&mut state))?;
        }
        let is_recognised = |digit: &&_| model::classify(weights, digit) == label(digit);
        let recognised = test().iter().filter(is_recognised).count();
        print(format_args!(
            "  epoch {epoch}: loss {} micronats, recognises {} of 10000\n",
            loss / training().len() as u64,
            recognised * 10000 / test().len()
        ));
    }
    print(format_args!("  weights {:016x}\n", model::hash(weights)));
    Ok(())
}

/// As an integer, whose sums are exact. What has diverged (also to NaN) is a thousand.
fn millionths(loss: f32) -> u32 {
    if loss < 1000.0 { (loss * 1e6) as u32 } else { 1_000_000_000 }
}
