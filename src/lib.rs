//! Fused optimizer update kernels on slices that the caller owns.
//!
//! An optimizer's step reads each parameter, its gradient and its state once, and writes them
//! once. There is no allocation, no hidden state and no thread; the fastest instruction set is
//! chosen at run time; and the result has the same bits on every machine.
//!
//! ```
//! use gradstep::{AdamW, Rule};
//!
//! let n = 1000;
//! let adamw = AdamW { lr: 1e-2, ..AdamW::default() };
//! let mut param = vec![1.0_f32; n];
//! let mut state = adamw.state(|| vec![0.0_f32; n]);
//!
//! for t in 1..=100 {
//!     let grad: Vec<f32> = param.iter().map(|p| 2.0 * p).collect(); // of the sum of squares
//!     adamw.step(t, &mut param, &grad, state.as_mut())?;
//! }
//! assert!(param.iter().all(|p| p.abs() < 0.5));
//! # Ok::<(), gradstep::Error>(())
//! ```
//!
//! # The rules
//!
//! | rule | state, in elements per parameter | bytes moved per parameter |
//! |---|---|---|
//! | [`Sgd`] | none; 1 with momentum | 12; 20 |
//! | [`Adagrad`] | 1 | 20 |
//! | [`RmsProp`] | 1; +1 centered; +1 with momentum | 20; 28; 36 |
//! | [`Adadelta`] | 2 | 28 |
//! | [`Adam`] | 2; 3 with AMSGrad | 28; 36 |
//! | [`AdamW`] | 2; 3 with AMSGrad | 28; 36 |
//!
//! Each is a struct of hyperparameters, `f64`, with PyTorch's defaults; [`Rule::preset`] gives those
//! of other sources. [`Rule::at`] turns them into a [`Step`], once per step; [`Step::apply`] runs it on
//! slices, [`Step::apply_list`] on the tensors of a model:
//!
//! ```
//! use gradstep::{Rule, Sgd, SgdState, Tensor};
//!
//! let (mut weight, mut bias) = ([1.0, 2.0, 3.0], [4.0]);
//! let (mut weight_momentum, mut bias_momentum) = ([0.0; 3], [0.0; 1]);
//!
//! let sgd = Sgd { lr: 0.5, momentum: 0.9, ..Sgd::default() };
//! let loss_scale = 1024.0;
//! sgd.at(1)?.scale_grad(1.0 / loss_scale)?.clamp_grad(1.0)?.apply_list(&mut [
//!     Tensor {
//!         param: &mut weight,
//!         grad: &[1024.0, 512.0, 1e9],
//!         state: SgdState { momentum_buffer: Some(&mut weight_momentum) },
//!     },
//!     Tensor {
//!         param: &mut bias,
//!         grad: &[0.0],
//!         state: SgdState { momentum_buffer: Some(&mut bias_momentum) },
//!     },
//! ])?;
//! assert_eq!((weight, bias), ([0.5, 1.75, 2.5], [4.0]));
//! # Ok::<(), gradstep::Error>(())
//! ```
//!
//! # The contract
//!
//! 1. **The caller owns every byte.** No allocation, no state between calls but the cached choice
//!    of an instruction set, no threads, no locks, no panics; re-entrant.
//! 2. **One pass.** What must happen around the update, such as unscaling, clamping and weight
//!    decay, happens in the same pass, in registers, and costs nothing when it is not used. What a
//!    [`FusedStep`] adds happens in tiles that stay in the first-level cache.
//! 3. **One bit pattern everywhere.** A rule is a fixed sequence of IEEE-754 binary32 operations,
//!    `+ - * /`, square root, compare and select, each rounded once: no fused multiply-add, no
//!    reassociation, no approximate reciprocal. The result does not depend on the processor, the
//!    length, the alignment, nor on how slices are cut for threads (see [`chunk`]). Which NaN of
//!    binary32 a NaN is stays open; formats of fewer bits have one.
//! 4. **Scalars once per step, in f64.** Bias corrections and the like come from the step count
//!    `t`, with no error that accumulates, and are rounded to `f32` once. The first step is 1.
//! 5. **PyTorch's semantics by default,** other conventions by explicit fields, sources by presets.
//! 6. **All or nothing.** A call that returns an [`Error`] has written nothing.
//!
//! # Parameters, gradients, state
//!
//! All slices of a call have the same length and any alignment. State starts at zero, or as
//! [`Rule::init`] leaves it, and is the caller's to store and to restore: with the same `t`, a
//! restored run goes on with the same bits. Denormal numbers are computed as IEEE-754 says. Run with
//! the processor's default floating-point mode: a thread that flushes denormals to zero or rounds
//! otherwise gives other bits.
//!
//! # Extreme values
//!
//! - A NaN in a gradient ends in its own parameter and state, and in no other. So does an infinity,
//!   as an infinity or a NaN.
//! - The square of a gradient below 1e-19 is a denormal number: it has fewer bits, and some
//!   processors take long for it. Below 2e-23 it is 0. A usual `eps` hides both. Averages of
//!   gradients that have become 0 come to rest at a denormal number, some 1e-43, and not at 0.
//! - The square of a gradient above 1.8e19 is infinite: then [`Adagrad`]'s parameter stands still, and
//!   that of [`RmsProp`], [`Adadelta`], [`Adam`] and [`AdamW`] is a NaN from the next step on.
//!   [`Step::clamp_grad`] with 1e19 prevents it.
//! - An `eps` below 7e-46 is 0 in binary32. With 0, a zero gradient and a zero state give 0/0, a NaN,
//!   in every rule that divides: TensorFlow 1's AdaGrad starts its sum above 0 instead.
//! - Unused lanes of a register compute with zeros, which with an `eps` of 0 may raise the
//!   processor's invalid-operation flag without changing any result.
//!
//! # Features
//!
//! `std` (default) detects the instruction set with the standard library; without it the crate needs
//! only `core`. `half` takes slices of the crate of that name as [`Values`]; `rayon` runs steps on its
//! threads. `capi` exports the C ABI of `include/gradstep.h`. `panic-handler` is for C libraries
//! without `std`. `small` saves code on microcontrollers with a floating-point unit, for some more
//! instructions per parameter. `nightly` uses the square root of `core` on those of Arm, which saves
//! some instructions; the bits are the same.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(feature = "nightly", target_arch = "arm", target_abi = "eabihf"),
    feature(core_float_math)
)]
#![no_std]
#![deny(unsafe_code)]
#[cfg(feature = "std")]
extern crate std;

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!(
    "gradstep needs SSE2: without it Rust computes in x87's registers, which round otherwise"
);

mod average;
mod blocks;
#[cfg(feature = "capi")]
pub mod capi;
mod chunk;
mod dispatch;
mod error;
mod factor;
mod fused;
mod gradient;
mod lanes;
mod loss_scale;
mod minifloat;
mod noise;
mod norm;
mod packed;
#[cfg(feature = "rayon")]
mod parallel;
mod pass;
mod real;
mod rule;
mod rules;
mod soft;
mod step;
mod values;

pub use chunk::chunk;
pub use dispatch::Backend;
pub use error::{Argument, Error, ErrorKind};
pub use fused::{Epilogue, FusedStep, FusedTensor, Gradient, Rounding};
pub use loss_scale::LossScale;
pub use norm::Norm;
pub use rule::{EpsPlacement, Preset, Rule, StateOf};
pub use rules::*;
pub use step::{Step, Tensor};
pub use values::{Blocks, BlocksMut, Values, ValuesMut, block_count};

/// Stops here: there is nowhere to report to, and nothing to unwind.
#[cfg(all(feature = "panic-handler", not(feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The README's Rust example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
