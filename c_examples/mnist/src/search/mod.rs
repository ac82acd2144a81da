//! Searches for good hyperparameters of anything that can be trained for some steps and then scored.
//!
//! [`grid`] trains one candidate after the other; [`pbt`] trains a population whose bad members copy good ones. Both
//! give the same result on every machine and with any number of threads: each member draws from a generator of its own,
//! whose seed is the search's and the member's number. Members are trained side by side in the rayon pool of the caller.

pub mod grid;
pub mod pbt;

use std::cmp::Ordering;
use std::fmt::{self, Debug, Display, Formatter};

/// What a search trains.
pub trait Trainee: Send {
    /// Why training failed. A training that merely goes badly is no failure, but has a bad score.
    type Error: Send;

    /// Trains for some more steps with these hyperparameters.
    fn train(&mut self, hyper: &[f64], steps: u64) -> Result<(), Self::Error>;

    /// How good it is now: higher is better, and NaN is the worst.
    fn score(&mut self) -> Result<f64, Self::Error>;

    /// Takes over all that the other has learned.
    fn copy_from(&mut self, other: &Self) -> Result<(), Self::Error>;
}

/// Why a search has no result.
#[derive(Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The settings make no sense; the text says why.
    Settings(String),
    /// The caller wanted it to end.
    Interrupted,
    /// The training of one member, or of one candidate, failed.
    Trainee {
        /// Its number, from 0.
        member: usize,
        /// What it said.
        error: E,
    },
}

impl<E: Display> Display for Error<E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Settings(why) => write!(f, "{why}"),
            Error::Interrupted => write!(f, "interrupted"),
            Error::Trainee { member, error } => write!(f, "member {member}: {error}"),
        }
    }
}

impl<E: Debug + Display> std::error::Error for Error<E> {}

/// Orders scores from the worst to the best.
pub fn compare(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(&b),
        (a_is_nan, b_is_nan) => b_is_nan.cmp(&a_is_nan),
    }
}

/// The places of the scores from the best to the worst; of equal ones the first comes first.
pub fn ranking(scores: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|&a, &b| compare(scores[b], scores[a])); // a stable sort
    places
}

/// Random numbers that depend on a seed alone: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014; the constants are Vigna's).
#[derive(Clone, Debug)]
pub struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Random {
    /// One of many generators with the same seed.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let start = mix(seed.wrapping_add(GOLDEN)).wrapping_add(stream.wrapping_mul(GOLDEN));
        Self(mix(start))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0 .. `bound` - 1, but for a bias of `bound` / 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Fisher-Yates: every order is equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_the_worst_score_and_equal_scores_keep_their_order() {
        let scores = [f64::NAN, 1.0, f64::NEG_INFINITY, 2.0, 1.0, -f64::NAN];
        assert_eq!(ranking(&scores), [3, 1, 4, 2, 0, 5]);
        assert_eq!(ranking(&[]), [0; 0]);
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for the state 0, as published with the reference implementation.
        let mut random = Random(0);
        let bits = [random.bits(), random.bits(), random.bits()];
        assert_eq!(bits, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn streams_differ_and_draws_are_even() {
        let first = |seed, stream| Random::stream(seed, stream).bits();
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 1), first(2, 0));
        let mut random = Random::stream(1, 0);
        let mut counts = [0; 5];
        for _ in 0..10_000 {
            counts[random.below(5)] += 1;
            assert!((0.0..1.0).contains(&random.uniform()));
        }
        assert!(counts.iter().all(|count| (1_850..2_150).contains(count)), "{counts:?}");
        let mut items: Vec<usize> = (0..20).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..20).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn errors_are_one_line() {
        let error = Error::Trainee { member: 3, error: "out of memory" };
        assert_eq!(error.to_string(), "member 3: out of memory");
        assert_eq!(Error::<&str>::Interrupted.to_string(), "interrupted");
    }
}
