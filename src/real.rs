//! The arithmetic that a rule may use.
//!
//! A rule is written once, generic over [`Real`]: one `f32` on a microcontroller and in a tail,
//! registers full of them everywhere else. Every operation here is one IEEE-754 binary32
//! operation, rounded once, and comparisons select bits, so the result does not depend on which
//! type runs. There is no fused multiply-add on purpose: not every target has one.

use core::ops::{Add, Div, Mul, Sub};

/// One or many binary32 numbers, with the operations that a rule is made of.
pub trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f32, Output = Self>
    + Mul<f32, Output = Self>
{
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;

    /// `self` where it is greater than `other`, else `other`: a NaN in either gives `other`.
    fn or_greater(self, other: Self) -> Self;

    /// `bound` where `self` is less than it, else `self`: a NaN stays.
    fn at_least(self, bound: f32) -> Self;

    /// `bound` where `self` is greater than it, else `self`: a NaN stays.
    fn at_most(self, bound: f32) -> Self;
}

/// Whether binary32 numbers are computed by instructions, and not by calls.
pub const HARDWARE_FLOATS: bool = !cfg!(any(
    all(target_arch = "arm", not(target_abi = "eabihf")),
    all(any(target_arch = "riscv32", target_arch = "riscv64"), not(target_feature = "f")),
));

impl Real for f32 {
    #[inline(always)]
    fn sqrt(self) -> f32 {
        sqrt(self)
    }

    #[inline(always)]
    fn or_greater(self, other: f32) -> f32 {
        if self > other { self } else { other }
    }

    #[inline(always)]
    fn at_least(self, bound: f32) -> f32 {
        if self < bound { bound } else { self }
    }

    #[inline(always)]
    fn at_most(self, bound: f32) -> f32 {
        if self > bound { bound } else { self }
    }
}

/// The instruction, where the target has one: `libm` would compute it in software there.
#[cfg(all(target_arch = "arm", target_abi = "eabihf", feature = "nightly"))]
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    core::f32::math::sqrt(x)
}

/// The instruction, where the target has one: `libm` would compute it in software there.
///
/// It goes through a core register, since stable Rust does not know of the floating-point
/// registers of a unit that has single precision only (it asks for `vfp2`, which has double).
#[cfg(all(target_arch = "arm", target_abi = "eabihf", not(feature = "nightly")))]
#[allow(unsafe_code)]
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    let mut bits = x.to_bits();
    // SAFETY: every `eabihf` target has a single-precision unit; the instructions touch only
    // the two registers.
    unsafe {
        core::arch::asm!(
            "vmov s0, {bits}",
            "vsqrt.f32 s0, s0",
            "vmov {bits}, s0",
            bits = inout(reg) bits,
            out("s0") _,
            options(pure, nomem, nostack),
        );
    }
    f32::from_bits(bits)
}

/// The instruction, where the target has one: `libm` would compute it in software there.
#[cfg(all(any(target_arch = "riscv32", target_arch = "riscv64"), target_feature = "f"))]
#[allow(unsafe_code)]
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    let root;
    // SAFETY: the F extension is enabled for the whole target; the instruction touches only its
    // two registers.
    unsafe {
        core::arch::asm!(
            "fsqrt.s {root}, {x}",
            root = lateout(freg) root,
            x = in(freg) x,
            options(pure, nomem, nostack),
        );
    }
    root
}

#[cfg(not(any(
    all(target_arch = "arm", target_abi = "eabihf"),
    all(any(target_arch = "riscv32", target_arch = "riscv64"), target_feature = "f"),
)))]
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(not(feature = "std"))]
    return libm::sqrtf(x);
}
