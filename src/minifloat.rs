//! Formats of fewer bits than binary32: how a number is rounded into one, and read back.
//!
//! One formula for all of them, without branches, on registers of any width; and in operations that
//! are exact or rounded once, so that the bits are the same everywhere.

use pulp::Simd;

use crate::lanes::{Bits, Lanes};

/// A sign, an exponent and a fraction in fewer bits than binary32 has.
///
/// A code counts up with the magnitude of its number: subnormal numbers first, from 0, then those
/// of each exponent.
pub(crate) trait Minifloat: Copy {
    /// How many bits of binary32's fraction are left out.
    const DROPPED: u32;

    /// The exponent of the smallest normal number, as binary32 writes it.
    const MIN_EXPONENT: u32;

    /// The code of an infinity, and of what is too large. That of the largest number is the one before.
    const INFINITY: u32;

    /// The code of a NaN.
    const NAN: u32;

    /// The bit of the sign.
    const SIGN: u32;

    /// The nearest number, of two equally near ones the even one.
    #[inline(always)]
    fn nearest<S: Simd>(x: Lanes<S>) -> Bits<S> {
        let magnitude = x.to_bits().and(MAGNITUDE);
        let even = magnitude.right(Self::DROPPED).and(1);
        let half = even.plus(even.splat((1 << (Self::DROPPED - 1)) - 1));
        let normal = Self::cut(magnitude.plus(half));
        if !Self::HAS_SUBNORMALS {
            return Self::finish(x, normal);
        }
        // The addition rounds: the last bit of this sum is worth as much as the smallest number.
        let one = even.splat((Self::MIN_EXPONENT + Self::DROPPED) << FRACTION);
        let small = (magnitude.to_lanes() + one.to_lanes()).to_bits().minus(one);
        Self::finish(x, magnitude.if_below(Self::MIN_NORMAL, small, normal))
    }

    /// One of the two numbers next to `x`, each as often as `x` is near to it, if `noise` is drawn from
    /// all 16-bit numbers alike.
    #[inline(always)]
    fn stochastic<S: Simd>(x: Lanes<S>, noise: Bits<S>) -> Bits<S> {
        let noise = noise.right(16 - Self::DROPPED);
        let mut magnitude = x.to_bits().and(MAGNITUDE);
        if Self::HAS_SUBNORMALS {
            let least = noise.splat(Self::MIN_NORMAL).to_lanes();
            let fixed = (magnitude.to_lanes() + least).to_bits().minus(noise.splat(1 << FRACTION));
            magnitude = magnitude.if_below(Self::MIN_NORMAL, fixed, magnitude);
        }
        Self::finish(x, Self::cut(magnitude.plus(noise)))
    }

    /// The number of a code.
    #[inline(always)]
    fn decode<S: Simd>(code: Bits<S>) -> Lanes<S> {
        let magnitude = code.and(!Self::SIGN);
        let bits = magnitude.left(Self::DROPPED);
        let offset = bits.splat(Self::MIN_NORMAL - (1 << FRACTION));
        let mut number = bits.plus(offset);
        if Self::HAS_SUBNORMALS {
            let least = bits.splat(Self::MIN_NORMAL);
            let small = (bits.plus(least).to_lanes() - least.to_lanes()).to_bits();
            number = bits.if_below(1 << FRACTION, small, number);
            let nan = bits.splat(f32::NAN.to_bits());
            let infinity = bits.splat(f32::INFINITY.to_bits());
            let special = magnitude.if_below(Self::INFINITY + 1, infinity, nan);
            number = magnitude.if_below(Self::INFINITY, number, special);
        }
        number.or(code.and(Self::SIGN).left(Self::SIGN_SHIFT)).to_lanes()
    }

    /// The bits of the smallest normal number.
    const MIN_NORMAL: u32 = Self::MIN_EXPONENT << FRACTION;

    /// Whether there are numbers that are spaced wider than binary32 spaces those of that size.
    const HAS_SUBNORMALS: bool = Self::MIN_EXPONENT > 1;

    /// From the place of the sign to that of binary32.
    const SIGN_SHIFT: u32 = 31 - Self::SIGN.trailing_zeros();

    /// The code of binary32's bits, cut off.
    #[inline(always)]
    fn cut<S: Simd>(magnitude: Bits<S>) -> Bits<S> {
        let offset = (Self::MIN_EXPONENT - 1) << (FRACTION - Self::DROPPED);
        magnitude.right(Self::DROPPED).minus(magnitude.splat(offset))
    }

    /// The code of a magnitude, made that of `x`.
    #[inline(always)]
    fn finish<S: Simd>(x: Lanes<S>, code: Bits<S>) -> Bits<S> {
        let (bits, magnitude) = (x.to_bits(), x.to_bits().and(MAGNITUDE));
        let code = code.if_below(Self::INFINITY, code, code.splat(Self::INFINITY));
        let code = code.or(bits.right(Self::SIGN_SHIFT).and(Self::SIGN));
        // Each NaN becomes the same one, since processors make different ones.
        magnitude.if_below(f32::INFINITY.to_bits() + 1, code, code.splat(Self::NAN))
    }
}

/// The bits of binary32's fraction.
pub(crate) const FRACTION: u32 = 23;

/// All of binary32's bits but the sign.
pub(crate) const MAGNITUDE: u32 = 0x7fff_ffff;

/// bfloat16: the upper half of binary32.
#[derive(Clone, Copy)]
pub(crate) struct Bf16;

impl Minifloat for Bf16 {
    const DROPPED: u32 = 16;
    const MIN_EXPONENT: u32 = 1;
    const INFINITY: u32 = 0x7f80;
    const NAN: u32 = 0x7fc0;
    const SIGN: u32 = 0x8000;
}

/// IEEE-754 binary16.
#[derive(Clone, Copy)]
pub(crate) struct F16;

impl Minifloat for F16 {
    const DROPPED: u32 = 13;
    const MIN_EXPONENT: u32 = 127 - 14;
    const INFINITY: u32 = 0x7c00;
    const NAN: u32 = 0x7e00;
    const SIGN: u32 = 0x8000;
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use pulp::Scalar;
    use std::vec::Vec;

    fn decode<M: Minifloat>(code: u32) -> f32 {
        M::decode(Bits::new(Scalar::new(), code)).register()
    }

    fn nearest<M: Minifloat>(x: f32) -> u32 {
        M::nearest(Lanes::new(Scalar::new(), x)).register()
    }

    fn stochastic<M: Minifloat>(x: f32, noise: u32) -> u32 {
        let scalar = Scalar::new();
        M::stochastic(Lanes::new(scalar, x), Bits::new(scalar, noise)).register()
    }

    /// Every code's number, those below infinity, in order.
    fn numbers<M: Minifloat>() -> Vec<f64> {
        (0..=(M::INFINITY - 1)).map(|code| decode::<M>(code).into()).collect()
    }

    /// The numbers that a format is made for: all exponents, fractions next to those of codes and
    /// between them.
    fn probes() -> impl Iterator<Item = f32> {
        let fractions = (0..1 << 23).step_by(0x1_3fff).chain((0..1 << 10).flat_map(|cut| {
            [cut << 13, (cut << 13) + 1, (cut << 13 | 0x1000) - 1, (cut << 13 | 0x1000) + 1]
                .map(|fraction| fraction & 0x7f_ffff)
        }));
        fractions.flat_map(|fraction: u32| {
            (0..255_u32).map(move |exponent| f32::from_bits(exponent << 23 | fraction))
        })
    }

    /// The code that a search among all numbers finds, and that of the number above.
    fn search(numbers: &[f64], x: f32) -> (usize, bool) {
        let x = f64::from(x);
        let below = numbers.partition_point(|&number| number <= x).saturating_sub(1);
        // Where the next number would be, if there were one.
        let step = if below + 1 < numbers.len() { below } else { below - 1 };
        let middle = numbers[below] + (numbers[step + 1] - numbers[step]) / 2.0;
        let up = if x == middle { below % 2 == 1 } else { x > middle };
        (below, up)
    }

    fn check<M: Minifloat>() {
        let numbers = numbers::<M>();
        assert!(numbers.is_sorted());
        for (code, &number) in numbers.iter().enumerate() {
            let (code, number) = (code as u32, number as f32);
            assert_eq!(nearest::<M>(number), code);
            for noise in [0, 1, 0x7fff, 0xffff] {
                assert_eq!(stochastic::<M>(number, noise), code, "{number} has a code");
            }
            assert_eq!(nearest::<M>(-number), code | M::SIGN);
            assert_eq!(decode::<M>(code | M::SIGN).to_bits(), (-number).to_bits());
        }
        for x in probes() {
            let (below, up) = search(&numbers, x);
            let (below, above) = (below as u32, below as u32 + 1);
            assert_eq!(nearest::<M>(x), if up { above } else { below }, "{x:e}");
            let (low, high) = (stochastic::<M>(x, 0), stochastic::<M>(x, 0xffff));
            if f64::from(x) <= numbers[M::INFINITY as usize - 1] {
                let next = decode::<M>(above);
                let is_next = f64::from(next - x) <= f64::from(next - decode::<M>(below)) / 16384.0;
                assert!(low == below || is_next && low == above, "{x:e}");
                assert!(high == low || high == above, "{x:e}");
            }
        }
        assert_eq!(nearest::<M>(f32::INFINITY), M::INFINITY);
        assert_eq!(stochastic::<M>(f32::INFINITY, 0xffff), M::INFINITY);
        for nan in [0x7f80_0001, 0x7fff_ffff, 0x7fc0_0000, 0xff80_0001, 0xffff_ffff, 0xffc0_0000] {
            let nan = f32::from_bits(nan);
            assert_eq!(nearest::<M>(nan), M::NAN);
            assert_eq!(stochastic::<M>(nan, 0xffff), M::NAN);
        }
        assert!(decode::<M>(M::NAN).is_nan());
        assert_eq!(decode::<M>(M::INFINITY), f32::INFINITY);
    }

    #[test]
    fn codes_are_the_nearest_numbers() {
        check::<Bf16>();
        check::<F16>();
    }

    #[test]
    fn formats_are_the_standard_ones() {
        assert_eq!(decode::<Bf16>(0x3f80), 1.0);
        assert_eq!(decode::<F16>(0x3c00), 1.0);
        assert_eq!(decode::<F16>(0x7bff), 65504.0);
        assert_eq!(decode::<F16>(1), 2.0_f32.powi(-24));
    }

    /// Over all draws, the mean is the number itself, but for what the bits drawn cannot tell.
    #[test]
    fn stochastic_rounding_is_unbiased() {
        fn mean<M: Minifloat>(x: f32) -> f64 {
            let draws = (0..1 << 16).map(|noise| f64::from(decode::<M>(stochastic::<M>(x, noise))));
            draws.sum::<f64>() / 65536.0
        }
        fn check<M: Minifloat>(smallest: f64) {
            let bound = 0.5_f64.powi(M::DROPPED.min(16) as i32 + 1);
            for x in [1.0 + 1.0 / 3.0, 1.9, 3.7e-3, 1.234e-4, 5.1e-5, 0.7] {
                let step = f64::max(f64::from(x) / f64::from(1 << (23 - M::DROPPED)), smallest);
                let bias = (mean::<M>(x) - f64::from(x)).abs() / step;
                assert!(bias <= bound, "{x}: {bias}");
            }
        }
        check::<Bf16>(0.0);
        check::<F16>(2.0_f64.powi(-24));
    }
}
