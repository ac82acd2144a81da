//! [`Lanes`]: SIMD registers as a [`Real`].
//!
//! The only file that names `pulp`'s operations. `mul_add` is not among them: it fuses on some
//! instruction sets and not on others, and separate `*` and `+` are the contract.

use core::ops::{Add, Div, Mul, Sub};

use pulp::Simd;

use crate::real::Real;

/// `U` registers of the instruction set `S`, side by side.
///
/// More than one keeps the divider fed while a chain of dependent operations waits, and shares
/// the cost of a rule's branches on its hyperparameters.
#[derive(Clone, Copy)]
pub struct Lanes<S: Simd, const U: usize> {
    simd: S,
    registers: [S::f32s; U],
}

impl<S: Simd, const U: usize> Lanes<S, U> {
    #[inline(always)]
    pub fn new(simd: S, registers: [S::f32s; U]) -> Self {
        Self { simd, registers }
    }

    #[inline(always)]
    pub fn registers(self) -> [S::f32s; U] {
        self.registers
    }

    /// Applies an operation to each register. A loop, not `array::map`, whose closure would
    /// leave the caller's instruction set if it were not inlined.
    #[inline(always)]
    fn map(mut self, op: impl Fn(S, S::f32s) -> S::f32s) -> Self {
        for register in &mut self.registers {
            *register = op(self.simd, *register);
        }
        self
    }

    #[inline(always)]
    fn zip(mut self, other: Self, op: impl Fn(S, S::f32s, S::f32s) -> S::f32s) -> Self {
        for (register, other) in self.registers.iter_mut().zip(other.registers) {
            *register = op(self.simd, *register, other);
        }
        self
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $simd:ident) => {
        impl<S: Simd, const U: usize> $trait for Lanes<S, U> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |simd, a, b| simd.$simd(a, b))
            }
        }
    };
    ($trait:ident, $method:ident, $simd:ident, scalar) => {
        operator!($trait, $method, $simd);

        impl<S: Simd, const U: usize> $trait<f32> for Lanes<S, U> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: f32) -> Self {
                self.map(|simd, a| simd.$simd(a, simd.splat_f32s(other)))
            }
        }
    };
}

operator!(Add, add, add_f32s, scalar);
operator!(Sub, sub, sub_f32s);
operator!(Mul, mul, mul_f32s, scalar);
operator!(Div, div, div_f32s);

impl<S: Simd, const U: usize> Real for Lanes<S, U> {
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(|simd, a| simd.sqrt_f32s(a))
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        self.zip(other, |simd, a, b| simd.select_f32s(simd.greater_than_f32s(a, b), a, b))
    }

    #[inline(always)]
    fn at_least(self, bound: f32) -> Self {
        self.map(|simd, a| {
            let bound = simd.splat_f32s(bound);
            simd.select_f32s(simd.less_than_f32s(a, bound), bound, a)
        })
    }

    #[inline(always)]
    fn at_most(self, bound: f32) -> Self {
        self.map(|simd, a| {
            let bound = simd.splat_f32s(bound);
            simd.select_f32s(simd.greater_than_f32s(a, bound), bound, a)
        })
    }
}
