//! Formats of fewer bits than binary32: how a number is rounded into one, and read back.
//!
//! Without branches, on registers of any width; and in operations that are exact or rounded once, so
//! that the bits are the same everywhere.

use pulp::Simd;

use crate::lanes::{Bits, Lanes};

/// A sign, an exponent and a fraction in 16 bits.
///
/// A code counts up with the magnitude of its number: subnormal numbers first, from 0, then those
/// of each exponent. There is one NaN, since processors make different ones.
pub(crate) trait Minifloat: Copy {
    /// How many bits of binary32's fraction are left out.
    const DROPPED: u32;

    /// The code of an infinity, and of what is too large. That of the largest number is the one before.
    const INFINITY: u32;

    /// The code of the NaN.
    const NAN: u32;

    /// The nearest number, of two equally near ones the even one.
    fn nearest<S: Simd>(x: Lanes<S>) -> Bits<S>;

    /// One of the two numbers next to `x`, each as often as `x` is near to it, if `noise` is drawn from
    /// all numbers of [`DROPPED`](Minifloat::DROPPED) bits alike.
    fn stochastic<S: Simd>(x: Lanes<S>, noise: Bits<S>) -> Bits<S>;

    /// The number of a code.
    fn decode<S: Simd>(code: Bits<S>) -> Lanes<S>;
}

/// The bits of binary32's fraction.
pub(crate) const FRACTION: u32 = 23;

/// All of binary32's bits but the sign.
pub(crate) const MAGNITUDE: u32 = 0x7fff_ffff;

/// What is added before bits are dropped, to round to the nearest number.
#[inline(always)]
fn half<S: Simd>(magnitude: Bits<S>, dropped: u32) -> Bits<S> {
    let even = magnitude.right(dropped).and(1);
    even.plus(even.splat((1 << (dropped - 1)) - 1))
}

/// bfloat16: the upper half of binary32.
#[derive(Clone, Copy)]
pub(crate) struct Bf16;

impl Minifloat for Bf16 {
    const DROPPED: u32 = 16;
    const INFINITY: u32 = 0x7f80;
    const NAN: u32 = 0x7fc0;

    #[inline(always)]
    fn nearest<S: Simd>(x: Lanes<S>) -> Bits<S> {
        // What is too large becomes infinite by itself, and a NaN stays one.
        let bits = x.with_one_nan().to_bits();
        bits.plus(half(bits, Self::DROPPED)).right(Self::DROPPED)
    }

    #[inline(always)]
    fn stochastic<S: Simd>(x: Lanes<S>, noise: Bits<S>) -> Bits<S> {
        if S::F32_LANES < 16 {
            return x.with_one_nan().to_bits().plus(noise).right(Self::DROPPED);
        }
        // AVX-512 chooses as it shifts. Elsewhere, choosing last, it would be done with 16 bits, which
        // takes a shuffle of the masks.
        let code = x.to_bits().plus(noise).right(Self::DROPPED);
        x.if_number(code, code.splat(Self::NAN))
    }

    #[inline(always)]
    fn decode<S: Simd>(code: Bits<S>) -> Lanes<S> {
        code.left(Self::DROPPED).to_lanes()
    }
}

/// IEEE-754 binary16.
#[derive(Clone, Copy)]
pub(crate) struct F16;

impl F16 {
    /// The exponent of the smallest normal number, as binary32 writes it.
    const MIN_EXPONENT: u32 = 127 - 14;

    /// The bits of the smallest normal number.
    const MIN_NORMAL: u32 = Self::MIN_EXPONENT << FRACTION;

    const SIGN: u32 = 0x8000;

    /// The code of binary32's bits, cut off.
    #[inline(always)]
    fn cut<S: Simd>(magnitude: Bits<S>) -> Bits<S> {
        let offset = (Self::MIN_EXPONENT - 1) << (FRACTION - Self::DROPPED);
        magnitude.right(Self::DROPPED).minus(magnitude.splat(offset))
    }

    /// The code of a magnitude, made that of `x`.
    #[inline(always)]
    fn finish<S: Simd>(x: Lanes<S>, code: Bits<S>) -> Bits<S> {
        let infinity = code.splat(Self::INFINITY);
        let code = code.min(infinity).or(x.to_bits().right(16).and(Self::SIGN));
        x.if_number(code, code.splat(Self::NAN))
    }
}

impl Minifloat for F16 {
    const DROPPED: u32 = 13;
    const INFINITY: u32 = 0x7c00;
    const NAN: u32 = 0x7e00;

    #[inline(always)]
    fn nearest<S: Simd>(x: Lanes<S>) -> Bits<S> {
        let magnitude = x.to_bits().and(MAGNITUDE);
        let normal = Self::cut(magnitude.plus(half(magnitude, Self::DROPPED)));
        // The addition rounds: the last bit of this sum is worth as much as the smallest number.
        let one = normal.splat((Self::MIN_EXPONENT + Self::DROPPED) << FRACTION);
        let small = (magnitude.to_lanes() + one.to_lanes()).to_bits().minus(one);
        Self::finish(x, magnitude.if_below(Self::MIN_NORMAL, small, normal))
    }

    #[inline(always)]
    fn stochastic<S: Simd>(x: Lanes<S>, noise: Bits<S>) -> Bits<S> {
        let magnitude = x.to_bits().and(MAGNITUDE);
        let fixed = fixed_below(magnitude, Self::MIN_NORMAL);
        Self::finish(x, Self::cut(fixed.plus(noise)))
    }

    #[inline(always)]
    fn decode<S: Simd>(code: Bits<S>) -> Lanes<S> {
        let magnitude = code.and(!Self::SIGN);
        let offset = code.splat(Self::MIN_NORMAL - (1 << FRACTION));
        let number = float_below(magnitude.left(Self::DROPPED), offset);
        let nan = code.splat(f32::NAN.to_bits());
        let infinity = code.splat(f32::INFINITY.to_bits());
        let special = magnitude.if_below(Self::INFINITY + 1, infinity, nan);
        let number = magnitude.if_below(Self::INFINITY, number, special);
        number.or(code.and(Self::SIGN).left(16)).to_lanes()
    }
}

/// Makes numbers below `least`, a power of two, be spaced as those from there on: the bits count on
/// downwards, to those of half of `least`, which stand for 0.
#[inline(always)]
pub(crate) fn fixed_below<S: Simd>(magnitude: Bits<S>, least: u32) -> Bits<S> {
    let sum = magnitude.to_lanes() + magnitude.splat(least).to_lanes();
    // From `least` on this is the lesser one.
    sum.to_bits().minus(magnitude.splat(1 << FRACTION)).max(magnitude)
}

/// The inverse, of bits from which those of half of `least` have been taken.
#[inline(always)]
pub(crate) fn float_below<S: Simd>(fixed: Bits<S>, half_of_least: Bits<S>) -> Bits<S> {
    let least = half_of_least.plus(half_of_least.splat(1 << FRACTION));
    let small = fixed.plus(least).to_lanes() - least.to_lanes();
    // From `least` on this is the greater one.
    small.to_bits().min(fixed.plus(half_of_least))
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
        let all = (1 << M::DROPPED) - 1;
        for (code, &number) in numbers.iter().enumerate() {
            let (code, number) = (code as u32, number as f32);
            assert_eq!(nearest::<M>(number), code);
            for noise in [0, 1, all / 2, all] {
                assert_eq!(stochastic::<M>(number, noise), code, "{number} has a code");
            }
            assert_eq!(nearest::<M>(-number), code | 0x8000);
            assert_eq!(decode::<M>(code | 0x8000).to_bits(), (-number).to_bits());
        }
        for x in probes() {
            let (below, up) = search(&numbers, x);
            let (below, above) = (below as u32, below as u32 + 1);
            assert_eq!(nearest::<M>(x), if up { above } else { below }, "{x:e}");
            let (low, high) = (stochastic::<M>(x, 0), stochastic::<M>(x, all));
            if f64::from(x) <= numbers[M::INFINITY as usize - 1] {
                let next = decode::<M>(above);
                let is_next = f64::from(next - x)
                    <= f64::from(next - decode::<M>(below)) / f64::from(all >> 1);
                assert!(low == below || is_next && low == above, "{x:e}");
                assert!(high == low || high == above, "{x:e}");
            }
        }
        assert_eq!(nearest::<M>(f32::INFINITY), M::INFINITY);
        assert_eq!(stochastic::<M>(f32::INFINITY, all), M::INFINITY);
        for nan in [0x7f80_0001, 0x7fff_ffff, 0x7fc0_0000, 0xff80_0001, 0xffff_ffff, 0xffc0_0000] {
            let nan = f32::from_bits(nan);
            assert_eq!(nearest::<M>(nan), M::NAN);
            assert_eq!(stochastic::<M>(nan, all), M::NAN);
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
            let draws = (0..1 << M::DROPPED).map(|noise| decode::<M>(stochastic::<M>(x, noise)));
            draws.map(f64::from).sum::<f64>() / f64::from(1 << M::DROPPED)
        }
        fn check<M: Minifloat>(smallest: f64) {
            let bound = 0.5_f64.powi(M::DROPPED as i32 + 1);
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
