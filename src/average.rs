//! The exponential moving average, which most rules keep one or two of.

use crate::real::Real;

/// How an average `a` takes in a new value `x`: `a = kept a + (1 - kept) x`.
///
/// Computed as a step from the nearer of the two towards the other. With two factors rounded
/// independently, `kept` and `1 - kept` would not add up to 1 in binary32, and the average of a
/// constant would settle beside it: by 1e-5 of its size for `kept` 0.999. As a step, its error is
/// a rounding or two of the larger value; a `kept` of 0 gives exactly `x`, and the average of
/// values that are not negative is never negative.
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

    #[inline(always)]
    pub(crate) fn take<R: Real>(&self, average: &mut R, new: R) {
        let (from, to) = if self.from_old { (*average, new) } else { (new, *average) };
        *average = from + (to - from) * self.weight;
    }
}
