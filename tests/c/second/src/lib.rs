//! Another static library in Rust, for C programs that link two: it has gradstep in it, as a Rust
//! program would, and calls that can panic. Without `std` it has its own panic handler.

#![cfg_attr(not(feature = "std"), no_std)]

use gradstep::{Adam, AdamState, Rule};

/// What [`second_adam_step`] is given: as many elements each.
#[repr(C)]
pub struct Tensor {
    n: usize,
    param: *mut f32,
    grad: *const f32,
    exp_avg: *mut f32,
    exp_avg_sq: *mut f32,
}

/// Adam's step with its defaults.
///
/// # Panics
///
/// `t` is 0.
///
/// # Safety
///
/// The tensor has `n` elements everywhere, and they do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn second_adam_step(t: u64, tensor: &Tensor) {
    let &Tensor { n, param, grad, exp_avg, exp_avg_sq } = tensor;
    // SAFETY: as the caller vouches.
    let (param, grad, exp_avg, exp_avg_sq) = unsafe {
        (
            core::slice::from_raw_parts_mut(param, n),
            core::slice::from_raw_parts(grad, n),
            core::slice::from_raw_parts_mut(exp_avg, n),
            core::slice::from_raw_parts_mut(exp_avg_sq, n),
        )
    };
    let state = AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq: None };
    Adam::default().step(t, param, grad, state).unwrap();
}

#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        /// In the C program.
        fn second_panicked() -> !;
    }
    // SAFETY: it takes nothing, and does not return.
    unsafe { second_panicked() }
}
