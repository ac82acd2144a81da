//! The dynamic scale of a loss, for gradients in half precision.

use crate::error::{Argument, Error, check};
use crate::norm::Norm;

/// The factor of the loss that keeps small gradients from becoming 0 in half precision: it backs off
/// when a gradient overflows, and grows when none has for a while, as `torch.amp.GradScaler`'s does.
///
/// ```text
/// scale = scale backoff_factor    after a gradient with a NaN or an infinity, whose step is skipped
/// scale = scale growth_factor     after growth_interval other ones in a row
/// ```
///
/// The caller owns it, and stores and restores its fields with the rest of a run. A step's scale is
/// [`scale`](LossScale::scale): multiply the loss by it, add all gradients to a [`Norm`], and let
/// [`advance`](LossScale::advance) say whether to step, with which factor:
///
/// ```
/// use gradstep::{Adam, LossScale, Norm, Rule};
///
/// let adam = Adam::default();
/// let (mut weight, mut bias) = (vec![1.0; 1000], vec![0.0; 10]);
/// let mut weight_state = adam.state(|| vec![0.0; 1000]);
/// let mut bias_state = adam.state(|| vec![0.0; 10]);
/// let mut loss_scale = LossScale::default();
/// let mut t = 0;
///
/// for _ in 0..3 {
///     // Of the scaled loss, the sum of the squares in this place.
///     let scale = loss_scale.scale as f32;
///     let weight_grad: Vec<f32> = weight.iter().map(|p| scale * 2.0 * p).collect();
///     let bias_grad: Vec<f32> = bias.iter().map(|p| scale * 2.0 * p).collect();
///
///     let mut norm = Norm::new();
///     norm.add(&weight_grad);
///     norm.add(&bias_grad);
///     if let Some(factor) = loss_scale.advance(&norm, 1.0)? {
///         t += 1;
///         let step = adam.at(t)?.scale_grad(factor)?;
///         step.apply(&mut weight, &weight_grad, weight_state.as_mut())?;
///         step.apply(&mut bias, &bias_grad, bias_state.as_mut())?;
///     }
/// }
/// assert_eq!(t, 3);
/// # Ok::<(), gradstep::Error>(())
/// ```
///
/// # Numerical notes
///
/// The scale is rounded to binary32 whenever it changes, as PyTorch's, so that a loss in `f32` is
/// multiplied by the very number that the gradient is divided by.
///
/// # At the ends
///
/// A scale that would become infinite stays as it is, as in PyTorch. So does one that would become
/// denormal, below 2^-126: there PyTorch's goes on to 0, from where it does not come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// What the loss is multiplied by, a positive normal binary32 number. It starts at 65536 by
    /// default.
    pub scale: f64,
    /// What the scale is multiplied by to grow, above 1. Default 2.
    pub growth_factor: f64,
    /// What the scale is multiplied by to back off, between 0 and 1. Default 0.5.
    pub backoff_factor: f64,
    /// How many gradients in a row must be finite before the scale grows, at least 1. Default 2000.
    pub growth_interval: u64,
    /// How many have been; starts at 0.
    pub growth_tracker: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            scale: 65536.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
            growth_tracker: 0,
        }
    }
}

impl LossScale {
    /// Ends a step: gives its factor for [`Step::scale_grad`](crate::Step::scale_grad), that of
    /// [`Norm::clip`] with this step's scale, or `None` if the step must be skipped because the norm is
    /// not finite; then the scale becomes the next step's.
    ///
    /// # Errors
    ///
    /// `max_norm` is negative or NaN, or a field is outside its domain. Nothing has changed then.
    pub fn advance(&mut self, norm: &Norm, max_norm: f64) -> Result<Option<f64>, Error> {
        self.check()?;
        check::bound(max_norm, Argument::MaxNorm)?;
        let scale = self.scale;
        if self.update(norm.is_finite())? { norm.clip(max_norm, scale).map(Some) } else { Ok(None) }
    }

    /// Moves on to the next step's scale, for a caller who found out whether the gradient is finite
    /// and has divided it by this step's. Gives `finite`: whether to take the step.
    ///
    /// # Errors
    ///
    /// A field is outside its domain. Nothing has changed then.
    pub fn update(&mut self, finite: bool) -> Result<bool, Error> {
        self.check()?;
        self.growth_tracker = if finite { self.growth_tracker.saturating_add(1) } else { 0 };
        let grows = self.growth_tracker >= self.growth_interval;
        let factor = match (finite, grows) {
            (false, _) => self.backoff_factor,
            (true, true) => self.growth_factor,
            (true, false) => return Ok(true),
        };
        self.growth_tracker = 0;
        let scale = f64::from((self.scale * factor) as f32);
        if check::normal(scale, Argument::Scale).is_ok() {
            self.scale = scale;
        }
        Ok(finite)
    }

    fn check(&self) -> Result<(), Error> {
        check::normal(self.scale, Argument::Scale)?;
        check::above_one(self.growth_factor, Argument::GrowthFactor)?;
        check::between_zero_and_one(self.backoff_factor, Argument::BackoffFactor)?;
        check::at_least_one(self.growth_interval, Argument::GrowthInterval)
    }
}
