//! Binary32 for processors without floating-point instructions.
//!
//! Every operation is a call there, and what the compiler brings is written for size or for any
//! width: a root takes some 300 instructions of a Cortex-M0, a quotient 400. These take a fourth of
//! that, and the same bits. They need no product of more than 32 bits, so that the smallest cores,
//! which have no instruction for one, lose nothing.
//!
//! Sums stay the compiler's, and products where it has some in assembly: those of GCC's library are
//! hard to beat, and a program has them anyway.

use core::ops::{Add, Div, Mul, Sub};

use crate::real::Real;

/// A number whose roots and quotients are computed here.
#[derive(Clone, Copy)]
pub struct Soft(pub f32);

impl Real for Soft {
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(sqrt(self.0))
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        Self(self.0.or_greater(other.0))
    }

    #[inline(always)]
    fn at_least(self, bound: f32) -> Self {
        Self(self.0.at_least(bound))
    }

    #[inline(always)]
    fn at_most(self, bound: f32) -> Self {
        Self(self.0.at_most(bound))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $rhs:ty, |$a:ident, $b:ident| $result:expr) => {
        impl $trait<$rhs> for Soft {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: $rhs) -> Self {
                let ($a, $b) = (self, other);
                Self($result)
            }
        }
    };
}

operator!(Add, add, Self, |a, b| a.0 + b.0);
operator!(Add, add, f32, |a, b| a.0 + b);
operator!(Sub, sub, Self, |a, b| a.0 - b.0);
operator!(Mul, mul, Self, |a, b| product(a.0, b.0));
operator!(Mul, mul, f32, |a, b| product(a.0, b));
operator!(Div, div, Self, |a, b| div(a.0, b.0));

/// The compiler's product, or the one here where that is quicker: on RISC-V, and on the Arm cores
/// without atomic instructions, which is how Rust tells Armv6-M.
#[inline(always)]
fn product(x: f32, y: f32) -> f32 {
    let slow =
        cfg!(any(target_arch = "riscv32", all(target_arch = "arm", not(target_has_atomic = "32"))));
    if slow { mul(x, y) } else { x * y }
}

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0xff << 23;
const HIDDEN: u32 = 1 << 23;

/// What a finite number other than 0 is made of: it is `m 2^(e - 150)` with `m` in [2^23, 2^24).
#[inline(always)]
fn parts(magnitude: u32) -> (u32, i32) {
    let exponent = magnitude >> 23;
    if exponent > 0 {
        return (magnitude & (HIDDEN - 1) | HIDDEN, exponent as i32);
    }
    let shift = magnitude.leading_zeros() - 8;
    (magnitude << shift, 1 - shift as i32)
}

/// Whether these are the bits of a zero, an infinity or a NaN, or have a sign.
#[inline(always)]
fn is_special(bits: u32) -> bool {
    bits.wrapping_sub(1) >= INFINITY - 1
}

/// The product, correctly rounded.
#[inline(never)]
fn mul(x: f32, y: f32) -> f32 {
    let (a, b) = (x.to_bits(), y.to_bits());
    let (of_a, of_b) = (a << 1 >> 24, b << 1 >> 24);
    let e = of_a.wrapping_add(of_b).wrapping_sub(127);
    // Both are normal numbers, and the product is one, too, however it is rounded.
    let usual = of_a.wrapping_sub(1) < 254 && of_b.wrapping_sub(1) < 254;
    if !usual || e.wrapping_sub(1) >= 253 {
        return x * y;
    }
    let sign = (a ^ b) & SIGN;
    let (a, b) = (a << 8 | SIGN, b << 8 | SIGN);
    // In parts of 16 and 8 bits. `high` is the product in units of 2^16; of the rest only matters
    // whether it is 0.
    let ((a1, a0), (b1, b0)) = ((a >> 16, a >> 8 & 0xff), (b >> 16, b >> 8 & 0xff));
    let low = a0 * b0;
    let middle = a1 * b0 + a0 * b1 + (low >> 8);
    let mut high = a1 * b1 + (middle >> 8);
    let rest = (middle | low) << 24;
    let mut base = (e - 1) << 23;
    if high & SIGN == 0 {
        high <<= 1;
    } else {
        base += HIDDEN;
    }
    // Rounded to 24 bits: up from the middle on, but from the middle itself only to even.
    let bits = base + (high >> 8) + (high >> 7 & 1);
    let middle = high & 0xff == 0x80 && rest == 0;
    f32::from_bits(sign | if middle { bits & !1 } else { bits })
}

/// `1/√A` in 1/128, for `A` from `i/128` to `(i + 1)/128`, from `i` = 32 on.
static INVERSE_ROOTS: [u8; 96] = {
    let mut table = [0; 96];
    let mut i = 0;
    while i < 96 {
        let middle = 2 * (i as u32 + 32) + 1; // in 1/256
        let twice = ((1_u32 << 24) / middle).isqrt();
        table[i] = twice.div_ceil(2) as u8;
        i += 1;
    }
    table
};

/// The square root, correctly rounded.
#[inline(never)]
fn sqrt(x: f32) -> f32 {
    let bits = x.to_bits();
    if is_special(bits) {
        // Zeros and infinity are their own roots; what is negative has none, nor has a NaN.
        return if bits << 1 == 0 || bits == INFINITY { x } else { f32::NAN };
    }
    let (m, e) = parts(bits);
    // x is A times a power of 4, A from 1/4 to 1: `a` is A in units of 2^-32.
    let a = m << (8 - (e & 1));

    // An estimate of 1/√A in units of 2^-7, and one step of Newton's method: 2^-15 units.
    let Some(&estimate) = INVERSE_ROOTS.get((a >> 25) as usize - 32) else { return f32::NAN };
    let estimate = u32::from(estimate);
    let high = a >> 16;
    let three_minus = (3 << 30) - high * (estimate * estimate);
    let inverse = ((three_minus >> 16) * estimate) >> 7;

    // The root in units of 2^-16, from below, and what that leaves of A: it takes the root to
    // units of 2^-24, at most 1.61 of them too low.
    let root = (high * inverse) >> 15;
    let left = a - root * root;
    let root = (root << 8) + (((left >> 6) * inverse) >> 18) + 1;

    // The exact remainder is small, so its low 32 bits tell it. It says on which side of the
    // middle between two numbers A's root lies; in the middle it cannot be.
    let remainder = (a << 16).wrapping_sub(root.wrapping_mul(root)) as i32;
    let root = if remainder > root as i32 {
        root + 1
    } else if remainder <= -(root as i32) {
        root - 1
    } else {
        root
    };
    f32::from_bits((((e + 125) as u32 >> 1) << 23) + root)
}

/// `1/B` in 1/128, for `B` from `(64 + i)/128` to `(65 + i)/128`.
static INVERSES: [u8; 64] = {
    let mut table = [0; 64];
    let mut i = 0;
    while i < 64 {
        let middle = 2 * (i as u32 + 64) + 1; // in 1/256
        table[i] = ((1_u32 << 16) / middle).div_ceil(2) as u8;
        i += 1;
    }
    table
};

/// The quotient, correctly rounded.
#[inline(never)]
fn div(x: f32, y: f32) -> f32 {
    let sign = (x.to_bits() ^ y.to_bits()) & SIGN;
    let (x, y) = (x.to_bits() & !SIGN, y.to_bits() & !SIGN);
    if is_special(x) || is_special(y) {
        let nan = x > INFINITY || y > INFINITY || x == y;
        let zero = x == 0 || y == INFINITY;
        let magnitude = if zero { 0 } else { INFINITY };
        return if nan { f32::NAN } else { f32::from_bits(sign | magnitude) };
    }
    let ((mut a, of_a), (b, of_b)) = (parts(x), parts(y));
    // a/b is to be from 1 to 2: `exponent` is then the quotient's.
    let mut exponent = of_a - of_b + 127;
    if a < b {
        a <<= 1;
        exponent -= 1;
    }

    // An estimate of 2^24/b in units of 2^-7, and one step of Newton's method: 2^-15 units.
    let estimate = u32::from(INVERSES[(b >> 17 & 63) as usize]);
    let two_minus = (2 << 23) - ((b >> 8) + 1) * estimate;
    let inverse = ((two_minus >> 8) * estimate) >> 7;

    // The quotient's first 14 bits, and from what they leave the other 10. Remainders are small,
    // so their low 32 bits tell them.
    let first = ((a >> 9) * inverse) >> 17;
    let left = (a << 13).wrapping_sub(first.wrapping_mul(b));
    let second = ((left >> 10) * inverse) >> 19;
    let mut quotient = (first << 10) + second;
    let mut remainder = (left << 10).wrapping_sub(second.wrapping_mul(b));
    while remainder >= b {
        quotient += 1;
        remainder -= b;
    }

    if exponent >= 255 {
        return f32::from_bits(sign | INFINITY);
    }
    if exponent > 0 {
        // Never in the middle: that would take a factor of more than 24 bits. The sum carries into
        // the exponent, also to infinity.
        let up = u32::from(remainder > b - remainder);
        return f32::from_bits(sign | (((exponent as u32 - 1) << 23) + quotient + up));
    }
    let shift = (1 - exponent) as u32;
    if shift > 24 {
        return f32::from_bits(sign);
    }
    let (kept, lost) = (quotient >> shift, quotient << (32 - shift));
    let middle = lost == 1 << 31 && remainder == 0;
    let up = u32::from(if middle { kept & 1 == 1 } else { lost >= 1 << 31 });
    f32::from_bits(sign | (kept + up))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the processor.
    #[test]
    fn roots() {
        roots_of(251);
    }

    /// Of all 2^32 numbers.
    #[test]
    #[ignore = "takes half a minute; `cargo xtask test` runs it"]
    fn every_root() {
        roots_of(1);
    }

    fn roots_of(step: usize) {
        for bits in (0..=u32::MAX).step_by(step) {
            let x = f32::from_bits(bits);
            assert!(same(sqrt(x), x.sqrt()), "root of {x:e}");
        }
    }

    /// Against the processor: significands and exponents of all kinds, in all combinations.
    #[test]
    fn products_and_quotients() {
        pairs(1 << 22);
    }

    #[test]
    #[ignore = "takes some seconds; `cargo xtask test` runs it"]
    fn many_products_and_quotients() {
        pairs(1 << 28);
    }

    fn pairs(count: u64) {
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            seed >> 32
        };
        let mut number = |near: u32| {
            let random = random();
            let significand = (random as u32) >> 9;
            let exponent = match random & 3 {
                0 => near >> 23,
                1 => (near >> 23).wrapping_add(random as u32 >> 2 & 0x3f).wrapping_sub(0x20),
                _ => random as u32 >> 2,
            };
            let significand = match random >> 12 & 7 {
                0 => 0,
                1 => 1 << (significand % 23),
                2 => HIDDEN - 1 - (1 << (significand % 23)),
                3 => near.wrapping_add(significand & 3).wrapping_sub(1) & (HIDDEN - 1),
                _ => significand,
            };
            (random as u32 >> 11) << 31 | exponent << 23 & INFINITY | significand
        };
        let mut x = 0;
        for _ in 0..count {
            let y = number(x);
            check(x, y);
            x = y;
        }
    }

    fn check(x: u32, y: u32) {
        let (x, y) = (f32::from_bits(x), f32::from_bits(y));
        assert!(same(div(x, y), x / y), "{x:e} / {y:e} is {:e}, not {:e}", x / y, div(x, y));
        assert!(same(mul(x, y), x * y), "{x:e} * {y:e} is {:e}, not {:e}", x * y, mul(x, y));
    }

    /// Every exponent with every other, at both ends of a binade.
    #[test]
    fn every_pair_of_exponents() {
        let ends = |exponent: u32| {
            [0, 1, HIDDEN / 2, HIDDEN - 1].map(move |significand| exponent << 23 | significand)
        };
        for x in (0..256).flat_map(ends) {
            for y in (0..256).flat_map(ends) {
                check(x, y);
                check(x, SIGN | y);
            }
        }
    }

    /// Every divisor, with the dividends for which the estimates are furthest off.
    #[test]
    #[ignore = "takes half a minute; `cargo xtask test` runs it"]
    fn every_divisor() {
        let one = 127 << 23;
        for y in one..one + HIDDEN {
            for x in [y, y - 1, y + 1, one, one + HIDDEN - 1, one + 511, 2 * y - one - 1] {
                check(x, y);
            }
        }
    }

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }
}
