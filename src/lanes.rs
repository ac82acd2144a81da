//! SIMD registers as a [`Real`], and several of a kind side by side.
//!
//! The only file that names `pulp`'s operations. `mul_add` is not among them: it fuses on some
//! instruction sets and not on others, and separate `*` and `+` are the contract.

use core::ops::{Add, Div, Mul, Sub};

use pulp::Simd;

use crate::real::Real;

/// There, the maximum and the minimum of two registers are what comparing and selecting gives: of
/// two zeros, and where one is a NaN, the second. Elsewhere they are something else.
const X86: bool = cfg!(any(target_arch = "x86", target_arch = "x86_64"));

/// One register of the instruction set `S`.
#[derive(Clone, Copy)]
pub struct Lanes<S: Simd> {
    simd: S,
    register: S::f32s,
}

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    pub fn new(simd: S, register: S::f32s) -> Self {
        Self { simd, register }
    }

    #[inline(always)]
    pub fn register(self) -> S::f32s {
        self.register
    }

    #[inline(always)]
    fn with(self, register: S::f32s) -> Self {
        Self { register, ..self }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        self.with(self.simd.splat_f32s(x))
    }

    /// `self` where `mask`, else `other`.
    #[inline(always)]
    fn select(self, mask: S::m32s, other: Self) -> Self {
        self.with(self.simd.select_f32s(mask, self.register, other.register))
    }
}

impl<S: Simd> Real for Lanes<S> {
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.with(self.simd.sqrt_f32s(self.register))
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        if X86 {
            return self.with(self.simd.max_f32s(self.register, other.register));
        }
        self.select(self.simd.greater_than_f32s(self.register, other.register), other)
    }

    #[inline(always)]
    fn at_least(self, bound: f32) -> Self {
        let bound = self.splat(bound);
        if X86 {
            return self.with(self.simd.max_f32s(bound.register, self.register));
        }
        bound.select(self.simd.less_than_f32s(self.register, bound.register), self)
    }

    #[inline(always)]
    fn at_most(self, bound: f32) -> Self {
        let bound = self.splat(bound);
        if X86 {
            return self.with(self.simd.min_f32s(bound.register, self.register));
        }
        bound.select(self.simd.greater_than_f32s(self.register, bound.register), self)
    }
}

macro_rules! register_operator {
    ($trait:ident, $method:ident, $simd:ident) => {
        impl<S: Simd> $trait for Lanes<S> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.with(self.simd.$simd(self.register, other.register))
            }
        }
    };
}

register_operator!(Add, add, add_f32s);
register_operator!(Sub, sub, sub_f32s);
register_operator!(Mul, mul, mul_f32s);
register_operator!(Div, div, div_f32s);

macro_rules! scalar_operator {
    ($trait:ident, $method:ident) => {
        impl<S: Simd> $trait<f32> for Lanes<S> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: f32) -> Self {
                self.$method(self.splat(other))
            }
        }
    };
}

scalar_operator!(Add, add);
scalar_operator!(Mul, mul);

impl<S: Simd> Lanes<S> {
    /// `then` where there is a number, and `otherwise` where there is a NaN.
    #[inline(always)]
    pub fn if_number(self, then: Bits<S>, otherwise: Bits<S>) -> Bits<S> {
        let mask = self.simd.equal_f32s(self.register, self.register);
        then.with(self.simd.select_u32s(mask, then.register, otherwise.register))
    }

    /// The same, with each NaN replaced by one and the same, since processors make different ones.
    #[inline(always)]
    pub fn with_one_nan(self) -> Self {
        let bits = self.to_bits();
        self.if_number(bits, bits.splat(f32::NAN.to_bits())).to_lanes()
    }

    /// The lesser of both, and the bound where there is a NaN.
    #[inline(always)]
    pub fn capped(self, bound: Self) -> Self {
        if X86 {
            return self.with(self.simd.min_f32s(self.register, bound.register));
        }
        self.select(self.simd.less_than_f32s(self.register, bound.register), bound)
    }

    /// The bits of the numbers.
    #[inline(always)]
    pub fn to_bits(self) -> Bits<S> {
        Bits { simd: self.simd, register: self.simd.transmute_u32s_f32s(self.register) }
    }
}

/// One register of 32-bit words, such as the bits of [`Lanes`].
#[derive(Clone, Copy)]
pub struct Bits<S: Simd> {
    simd: S,
    register: S::u32s,
}

impl<S: Simd> Bits<S> {
    #[inline(always)]
    pub fn new(simd: S, register: S::u32s) -> Self {
        Self { simd, register }
    }

    #[inline(always)]
    pub fn register(self) -> S::u32s {
        self.register
    }

    /// The numbers that have these bits.
    #[inline(always)]
    pub fn to_lanes(self) -> Lanes<S> {
        Lanes { simd: self.simd, register: self.simd.transmute_f32s_u32s(self.register) }
    }

    #[inline(always)]
    fn with(self, register: S::u32s) -> Self {
        Self { register, ..self }
    }

    /// The same word in each place.
    #[inline(always)]
    pub fn splat(self, word: u32) -> Self {
        self.with(self.simd.splat_u32s(word))
    }

    /// Adds, and forgets what does not fit.
    #[inline(always)]
    pub fn plus(self, other: Self) -> Self {
        self.with(self.simd.add_u32s(self.register, other.register))
    }

    /// Subtracts, and forgets what does not fit.
    #[inline(always)]
    pub fn minus(self, other: Self) -> Self {
        self.with(self.simd.sub_u32s(self.register, other.register))
    }

    #[inline(always)]
    pub fn and(self, word: u32) -> Self {
        self.with(self.simd.and_u32s(self.register, self.splat(word).register))
    }

    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        self.with(self.simd.or_u32s(self.register, other.register))
    }

    #[inline(always)]
    pub fn xor(self, other: Self) -> Self {
        self.with(self.simd.xor_u32s(self.register, other.register))
    }

    #[inline(always)]
    pub fn left(self, amount: u32) -> Self {
        self.with(self.simd.wrapping_dyn_shl_u32s(self.register, self.splat(amount).register))
    }

    #[inline(always)]
    pub fn right(self, amount: u32) -> Self {
        self.with(self.simd.wrapping_dyn_shr_u32s(self.register, self.splat(amount).register))
    }

    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        self.with(self.simd.max_u32s(self.register, other.register))
    }

    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        self.with(self.simd.min_u32s(self.register, other.register))
    }

    /// `then` where `self` is less than `limit`, both being less than `2^31`, and `otherwise` elsewhere.
    #[inline(always)]
    pub fn if_below(self, limit: u32, then: Self, otherwise: Self) -> Self {
        let simd = self.simd;
        let [x, limit] = [self, self.splat(limit)].map(|x| simd.transmute_i32s_u32s(x.register));
        let mask = simd.less_than_i32s(x, limit);
        self.with(simd.select_u32s(mask, then.register, otherwise.register))
    }

    /// The largest word, if all are the bits of finite numbers that are not negative.
    #[inline(always)]
    pub fn largest(self) -> u32 {
        self.simd.reduce_max_f32s(self.to_lanes().register).to_bits()
    }
}

/// `U` reals side by side.
///
/// More than one keeps the divider fed while a chain of dependent operations waits, and shares
/// the cost of a rule's branches on its scalars.
#[derive(Clone, Copy)]
pub struct Block<R, const U: usize>(pub [R; U]);

impl<R: Real, const U: usize> Block<R, U> {
    /// A loop, not `array::map`, whose closure would leave the caller's instruction set if it
    /// were not inlined.
    #[inline(always)]
    fn map(mut self, op: impl Fn(R) -> R) -> Self {
        for real in &mut self.0 {
            *real = op(*real);
        }
        self
    }

    #[inline(always)]
    fn zip(mut self, other: Self, op: impl Fn(R, R) -> R) -> Self {
        for (real, other) in self.0.iter_mut().zip(other.0) {
            *real = op(*real, other);
        }
        self
    }
}

impl<R: Real, const U: usize> Real for Block<R, U> {
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(R::sqrt)
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        self.zip(other, R::or_greater)
    }

    #[inline(always)]
    fn at_least(self, bound: f32) -> Self {
        self.map(|real| real.at_least(bound))
    }

    #[inline(always)]
    fn at_most(self, bound: f32) -> Self {
        self.map(|real| real.at_most(bound))
    }
}

macro_rules! block_operator {
    ($trait:ident, $method:ident) => {
        impl<R: Real, const U: usize> $trait for Block<R, U> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, R::$method)
            }
        }
    };
    ($trait:ident, $method:ident, scalar) => {
        block_operator!($trait, $method);

        impl<R: Real, const U: usize> $trait<f32> for Block<R, U> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: f32) -> Self {
                self.map(|real| real.$method(other))
            }
        }
    };
}

block_operator!(Add, add, scalar);
block_operator!(Sub, sub);
block_operator!(Mul, mul, scalar);
block_operator!(Div, div);
