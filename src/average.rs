//! The exponential moving average, which most rules keep one or two of.

use crate::real::Real;

/// How an average `a` takes in a new value `x`: `a = kept a + (1 - kept) x`.
///
/// Computed as a step from the one with the larger weight towards the other. Two factors rounded
/// independently would not add up to 1 in binary32: for `kept` 0.999 the average of changing
/// values would be 1.3e-5 off on average. A step is off by a rounding or two of the larger value,
/// to either side. Like every average in binary32 it stops once a step rounds to nothing: within
/// `2^-24 / (1 - kept)` of a constant, 6e-5 for 0.999, and never beyond it.
///
/// A `kept` of 0 gives `x` (as +0 where that is -0). The average of values that are not negative is
/// never negative. A difference `x - a` that overflows, and an infinite `a`, make it a NaN.
#[derive(Clone, Copy, Debug)]
pub struct Average {
    /// The length of the step, at most 1/2.
    weight: f32,
    /// Whether it starts at the old average.
    from_old: bool,
}

impl Average {
    pub(crate) fn new(kept: f64) -> Self {
        let from_old = kept >= 0.5;
        Self { weight: if from_old { 1.0 - kept } else { kept } as f32, from_old }
    }

    /// The same, if the old average has the larger weight, with that as a constant.
    #[inline(always)]
    pub(crate) fn mostly_kept(self) -> Option<Self> {
        self.from_old.then_some(Self { from_old: true, ..self })
    }

    #[inline(always)]
    pub(crate) fn take<R: Real>(&self, average: &mut R, new: R) {
        let (from, to) = if self.from_old { (*average, new) } else { (new, *average) };
        *average = from + (to - from) * self.weight;
    }
}
