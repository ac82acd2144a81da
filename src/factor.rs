//! A factor that mostly is 1.

use crate::real::Real;

/// A factor of a formula, which a caller mostly leaves at 1. Then there is no multiplication: it
/// would change no bit, but take its time.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    value: f32,
    is_one: bool,
}

impl Factor {
    pub(crate) fn new(value: f32) -> Self {
        Self { value, is_one: value == 1.0 }
    }

    /// The same, if it is 1, with that as a constant.
    #[inline(always)]
    pub(crate) fn one(self) -> Option<Self> {
        self.is_one.then_some(Self { is_one: true, ..self })
    }

    /// The product.
    #[inline(always)]
    pub(crate) fn of<R: Real>(&self, x: R) -> R {
        if self.is_one { x } else { x * self.value }
    }
}
