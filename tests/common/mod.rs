//! What the tests share: every rule with every combination of its options, data, and a comparison.

#![allow(dead_code, unused_imports)] // no test needs all of it

mod backends;
mod fused;
mod numbers;
mod store;
mod subject;

use gradstep::{Error, Step, Tensor};

pub use backends::{backends, exclusive, use_backend, widest};
pub use fused::FusedOwned;
pub use numbers::{Rng, is_square, reached};
pub use store::{Format, Store};
pub use subject::{Buffers, Subject, buffer_names};

/// A tensor that owns its slices.
#[derive(Clone, Debug)]
pub struct Owned {
    pub param: Vec<f32>,
    pub grad: Vec<f32>,
    pub state: Buffers<Vec<f32>>,
}

impl Owned {
    /// State as `init` leaves it.
    pub fn new<R: Subject>(rule: &R, param: Vec<f32>, grad: Vec<f32>) -> Self {
        let mut state = buffer_names(rule).map(|name| name.map(|_| vec![f32::NAN; param.len()]));
        rule.init(R::bind(state.each_mut().map(|buffer| buffer.as_deref_mut()))).unwrap();
        Self { param, grad, state }
    }

    pub fn apply<R: Subject>(&mut self, step: &Step<R>) -> Result<(), Error> {
        let state = self.state.each_mut().map(|buffer| buffer.as_deref_mut());
        step.apply(&mut self.param, &self.grad, R::bind(state))
    }

    pub fn tensor<R: Subject>(&mut self) -> Tensor<'_, R> {
        let state = self.state.each_mut().map(|buffer| buffer.as_deref_mut());
        Tensor { param: &mut self.param, grad: &self.grad, state: R::bind(state) }
    }

    /// The elements of a range.
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            param: self.param[range.clone()].to_vec(),
            grad: self.grad[range.clone()].to_vec(),
            state: self
                .state
                .each_ref()
                .map(|buffer| buffer.as_ref().map(|buffer| buffer[range.clone()].to_vec())),
        }
    }

    /// Everything that a step writes: the parameters and the state.
    pub fn written(&self) -> impl Iterator<Item = &[f32]> {
        [Some(&self.param)]
            .into_iter()
            .chain(self.state.iter().map(Option::as_ref))
            .flatten()
            .map(Vec::as_slice)
    }

    pub fn same_bits(&self, other: &Self) -> bool {
        self.written().count() == other.written().count()
            && self.written().zip(other.written()).all(|(a, b)| same_bits(a, b))
    }
}

/// `setting!(NAME)`: a variable of the environment, if it is there. Where a program has none it is the
/// compiler's, which elsewhere would make a program anew for another setting.
#[cfg(not(target_family = "wasm"))]
macro_rules! setting {
    ($name:literal) => {
        std::env::var($name).ok()
    };
}
#[cfg(target_family = "wasm")]
macro_rules! setting {
    ($name:literal) => {
        option_env!($name)
    };
}
pub(crate) use setting;

/// `GRADSTEP_EVERY`: of what a test multiplies, an emulator takes every so-many-th.
pub fn every() -> usize {
    setting!("GRADSTEP_EVERY").map_or(1, |every| every.parse().unwrap())
}

/// All variants, or every so-many-th of them.
pub fn some_variants<R: Subject>() -> impl Iterator<Item = R> {
    R::variants().step_by(every())
}

/// Whether two numbers have the same bits, or are both NaN.
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

pub fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| same(a, b))
}

/// The state that a run may have reached.
pub fn random_state<R: Subject>(rule: &R, n: usize, rng: &mut Rng) -> Buffers<Vec<f32>> {
    let mut state: Buffers<Vec<f32>> = [None, None, None];
    for (position, name) in buffer_names(rule).into_iter().enumerate() {
        let Some(name) = name else { continue };
        let first = state[0].as_ref();
        let number = |index| reached(name, first.map(|first| first[index]), rng);
        state[position] = Some((0..n).map(number).collect());
    }
    state
}
