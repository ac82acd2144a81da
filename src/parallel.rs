//! Steps on rayon's threads. The crate has none of its own.
//!
//! A tensor is cut in two until the parts are small; they do what they would do as a whole, so no bit
//! depends on how many threads there are.

use crate::chunk::BLOCK;
use crate::error::Error;
use crate::fused::{Epilogue, FusedStep, FusedTensor, Gradient, Parts};
use crate::rule::{Rule, State, StateOf};
use crate::step::Step;
use crate::values::{Values, ValuesMut};

/// Parts that are shorter are not cut: some microseconds' work, which is what it takes to wake another
/// thread.
const GRAIN: usize = 128 * BLOCK;

impl<R: Rule> Step<R> {
    /// [`apply`](Step::apply) on the threads of rayon's current pool, with the same bits.
    ///
    /// ```
    /// use gradstep::{Adam, Rule};
    ///
    /// let n = 1_000_000;
    /// let (mut param, grad) = (vec![1.0; n], vec![0.5; n]);
    /// let adam = Adam::default();
    /// let mut state = adam.state(|| vec![0.0; n]);
    /// adam.at(1)?.par_apply(&mut param, &grad, state.as_mut())?;
    /// assert!(param.iter().all(|&p| p == 0.999));
    /// # Ok::<(), gradstep::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Step::apply). Nothing is written then.
    pub fn par_apply(
        &self,
        param: &mut [f32],
        grad: &[f32],
        state: StateOf<R, &mut [f32]>,
    ) -> Result<(), Error> {
        self.fuse(Epilogue::default())?.par_apply_parts(Parts {
            param: ValuesMut::F32(param),
            grad: Gradient::Keep(Values::F32(grad)),
            state: state.into_buffers().map(|buffer| buffer.map(ValuesMut::F32)),
            ema: None,
            copy: None,
            offset: 0,
        })
    }
}

impl<R: Rule> FusedStep<R> {
    /// [`apply`](FusedStep::apply) on the threads of rayon's current pool, with the same bits.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](FusedStep::apply). Nothing is written then.
    pub fn par_apply(&self, tensor: FusedTensor<'_, R>) -> Result<(), Error> {
        self.par_apply_parts(tensor.into())
    }

    /// [`apply_list`](FusedStep::apply_list) on the threads of rayon's current pool, with the same bits.
    ///
    /// # Errors
    ///
    /// Those of [`apply_list`](FusedStep::apply_list). Nothing of any tensor is written then.
    pub fn par_apply_list(&self, tensors: &mut [FusedTensor<'_, R>]) -> Result<(), Error> {
        for (index, tensor) in tensors.iter_mut().enumerate() {
            self.check(&tensor.parts()).map_err(|error| error.of_tensor(index))?;
        }
        rayon::in_place_scope(|scope| {
            for parts in tensors.iter_mut().map(FusedTensor::parts) {
                scope.spawn(move |_| self.par_run(parts));
            }
        });
        Ok(())
    }

    fn par_apply_parts(&self, parts: Parts<'_>) -> Result<(), Error> {
        self.check(&parts)?;
        self.par_run(parts);
        Ok(())
    }

    fn par_run(&self, mut parts: Parts<'_>) {
        let n = parts.param.len().unwrap_or(0);
        if n <= GRAIN {
            return self.run(parts);
        }
        let head = parts.take(n / 2 / BLOCK * BLOCK);
        rayon::join(|| self.par_run(head), || self.par_run(parts));
    }
}
