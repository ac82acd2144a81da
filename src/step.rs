//! A rule at one step: the scalars, and what the caller asks for around the update.

use crate::error::{Argument, Error, ErrorKind};
use crate::fused::{Epilogue, FusedStep};
use crate::gradient::Incoming;
use crate::noise::Noise;
use crate::packed::PackedPass;
use crate::pass::Pass;
use crate::rule::{Buffers, Kernel, MAX_BUFFERS, Rule, State, StateOf, present_as_expected};
use crate::values::ValuesMut;

/// A [`Rule`] at one step, made by [`Rule::at`]; small, `Copy`, and free to go to any thread.
///
/// A step on a part of each slice is the same, to the last bit, as the step on the whole, however
/// it is cut: see [`chunk`](crate::chunk).
#[derive(Clone, Copy, Debug)]
pub struct Step<R: Rule> {
    kernel: R::Kernel,
    incoming: Incoming,
    expects: [bool; MAX_BUFFERS],
    t: u64,
}

/// One tensor of a list: its parameters, their gradient, and the state of the rule `R`.
pub struct Tensor<'a, R: Rule> {
    /// The parameters, updated in place.
    pub param: &'a mut [f32],
    /// The gradient, as long as `param`.
    pub grad: &'a [f32],
    /// The state, each buffer as long as `param`.
    pub state: StateOf<R, &'a mut [f32]>,
}

impl<R: Rule> Step<R> {
    pub(crate) fn new(
        kernel: R::Kernel,
        incoming: Incoming,
        expects: [bool; MAX_BUFFERS],
        t: u64,
    ) -> Self {
        Self { kernel, incoming, expects, t }
    }

    /// Multiplies the gradient by `factor` on its way in: `1 / loss_scale`, a clipping
    /// coefficient, or their product. Calls multiply up, in f64; the product is rounded to f32
    /// once. A factor of 1 changes no bit.
    ///
    /// # Errors
    ///
    /// The factor is not finite.
    pub fn scale_grad(mut self, factor: f64) -> Result<Self, Error> {
        self.incoming.scale(factor)?;
        Ok(self)
    }

    /// Clamps each element of the (scaled) gradient to `[-bound, bound]`; of several calls the
    /// last one counts. An infinite bound changes no bit; a NaN in the gradient stays.
    ///
    /// # Errors
    ///
    /// The bound is negative or NaN.
    pub fn clamp_grad(mut self, bound: f64) -> Result<Self, Error> {
        self.incoming.clamp(bound)?;
        Ok(self)
    }

    /// The step on numbers of any format, with what else there is to do in the same pass.
    ///
    /// # Errors
    ///
    /// A field of the epilogue is outside its domain.
    pub fn fuse(self, epilogue: Epilogue) -> Result<FusedStep<R>, Error> {
        FusedStep::new(self, epilogue, self.t)
    }

    /// Updates `param` and `state` in one pass. All slices have the same length; the empty one
    /// is fine.
    ///
    /// # Errors
    ///
    /// A length differs from that of `param`, or a buffer is missing or not used. Nothing is
    /// written then.
    pub fn apply(
        &self,
        param: &mut [f32],
        grad: &[f32],
        state: StateOf<R, &mut [f32]>,
    ) -> Result<(), Error> {
        let buffers = state.into_buffers();
        self.check(param, grad, &buffers)?;
        self.run(param, grad, buffers);
        Ok(())
    }

    /// [`apply`](Step::apply) to each tensor in turn, after all of them have been checked.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Step::apply), with the tensor's index. Nothing of any tensor is written
    /// then.
    pub fn apply_list(&self, tensors: &mut [Tensor<'_, R>]) -> Result<(), Error> {
        for (index, tensor) in tensors.iter_mut().enumerate() {
            self.check(tensor.param, tensor.grad, &tensor.state.buffers_mut())
                .map_err(|error| error.of_tensor(index))?;
        }
        for tensor in tensors {
            let buffers = tensor.state.buffers_mut().map(|buffer| buffer.map(|slice| &mut **slice));
            self.run(tensor.param, tensor.grad, buffers);
        }
        Ok(())
    }

    /// For a caller that keeps the step where it is.
    #[cfg(feature = "capi")]
    pub(crate) fn incoming_mut(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    /// Which buffers this rule's hyperparameters need.
    #[cfg(feature = "capi")]
    pub(crate) fn expects(&self) -> [bool; MAX_BUFFERS] {
        self.expects
    }

    /// Refuses a buffer that is missing, and one that would be ignored.
    pub(crate) fn present<T>(&self, buffers: &Buffers<T>) -> Result<(), Error> {
        present_as_expected(buffers, &R::Kernel::BUFFERS, self.expects)
    }

    fn check<T: AsRef<[f32]>>(
        &self,
        param: &[f32],
        grad: &[f32],
        buffers: &Buffers<T>,
    ) -> Result<(), Error> {
        if grad.len() != param.len() {
            return Err(Error::new(ErrorKind::Length, Argument::Grad));
        }
        self.present(buffers)?;
        for (buffer, name) in buffers.iter().zip(R::Kernel::BUFFERS) {
            if let (Some(buffer), Some(name)) = (buffer, name)
                && buffer.as_ref().len() != param.len()
            {
                return Err(Error::new(ErrorKind::Length, name));
            }
        }
        Ok(())
    }

    /// The pass itself, over slices that have been checked. Part of its callers, which have few bytes of
    /// stack on a microcontroller.
    #[inline(always)]
    pub(crate) fn run(&self, param: &mut [f32], grad: &[f32], buffers: Buffers<&mut [f32]>) {
        R::Kernel::run(Pass::new(&self.kernel, &self.incoming, param, grad), buffers);
    }

    /// The same where state is packed, if [`packed`](crate::packed) has this case: then true. Otherwise
    /// nothing is written.
    #[inline(always)]
    pub(crate) fn run_packed(
        &self,
        param: &mut [f32],
        grad: &[f32],
        buffers: Buffers<ValuesMut<'_>>,
        noise: Noise,
        index: u64,
    ) -> bool {
        let mut is_done = false;
        let pass = Pass::new(&self.kernel, &self.incoming, param, grad);
        R::Kernel::run(PackedPass { pass, noise, index, is_done: &mut is_done }, buffers);
        is_done
    }
}
