//! Numbers of 8 bits in blocks that share an exponent.
//!
//! The exponent is a power of two, so that a number with a code keeps it when the largest number of
//! its block changes: what is not updated does not drift. Codes are made of binary32's own bits,
//! by adding, shifting and comparing integers.

use core::iter;

use pulp::Simd;

use crate::lanes::{Bits, Lanes};
use crate::minifloat::{FRACTION, MAGNITUDE, fixed_below, float_below};
use crate::noise::{End, RandomBits};
use crate::values::Blocks;

/// How many numbers share an exponent.
pub(crate) const BLOCK: usize = 64;

/// How many words their codes are.
pub(crate) const WORDS: usize = BLOCK / 4;

/// A block as four rows of as many numbers as it has words. A row has its codes in the same byte of each
/// word, so that registers of any width pack and unpack them without a shuffle.
type Rows<T> = [[T; WORDS]; 4];

/// How many bits of binary32's fraction have no place in a code.
const DROPPED: u32 = 20;

/// An exponent that blocks of smaller numbers have, too, so that the smallest code is a normal number
/// of binary32.
const MIN_EXPONENT: u32 = 32;

/// Eight bits of a number. While it is packed or unpacked, a code is in the bits that binary32 has it
/// in, from `DROPPED` on.
pub(crate) trait Code {
    /// How many exponents there are.
    const EXPONENTS: u32;

    /// The code of the largest number.
    const LARGEST: u32;

    /// The code of a number, to whose bits `rounding` is added before they are cut off; not of a NaN.
    fn encode<S: Simd>(x: Lanes<S>, rounding: Bits<S>, scale: Scale) -> Bits<S>;

    /// The number of a code.
    fn decode<S: Simd>(code: Bits<S>, scale: Scale) -> Lanes<S>;
}

/// What the exponent of a block says.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// From the bits of a code to those of its number.
    offset: u32,
}

impl Scale {
    #[inline(always)]
    fn new<C: Code>(exponent: u8) -> Self {
        let exponent = u32::from(exponent).max(MIN_EXPONENT);
        Self { offset: (exponent - C::EXPONENTS) << FRACTION }
    }

    /// The largest number that has a code.
    #[inline(always)]
    fn limit<C: Code>(self) -> f32 {
        f32::from_bits((self.offset + C::LARGEST).min(f32::MAX.to_bits()))
    }

    /// The exponent with which the number with these bits has a code, the largest of its block.
    #[inline(always)]
    fn exponent(largest: u32) -> u8 {
        // One more where it might be rounded up to a code that is none.
        ((largest + ((1 << DROPPED) - 1)) >> FRACTION) as u8
    }
}

/// E4M3: a sign, 4 bits of exponent, 3 bits of fraction, with subnormal numbers.
pub(crate) struct Signed;

impl Code for Signed {
    const EXPONENTS: u32 = 15;
    const LARGEST: u32 = 0x7f << DROPPED;

    #[inline(always)]
    fn encode<S: Simd>(x: Lanes<S>, rounding: Bits<S>, scale: Scale) -> Bits<S> {
        let fixed = fixed_below(x.to_bits().and(MAGNITUDE), scale.offset + (1 << FRACTION));
        let code = fixed.plus(rounding).minus(fixed.splat(scale.offset));
        let sign = x.to_bits().right(31 - (DROPPED + 7)).and(1 << (DROPPED + 7));
        code.and(Self::LARGEST).or(sign)
    }

    #[inline(always)]
    fn decode<S: Simd>(code: Bits<S>, scale: Scale) -> Lanes<S> {
        let number = float_below(code.and(Self::LARGEST), code.splat(scale.offset));
        let sign = code.left(31 - (DROPPED + 7)).and(1 << 31);
        number.or(sign).to_lanes()
    }
}

/// E5M3: 5 bits of exponent, 3 bits of fraction; 0 alone is less than the smallest normal number.
pub(crate) struct Unsigned;

impl Code for Unsigned {
    const EXPONENTS: u32 = 31;
    const LARGEST: u32 = 0xff << DROPPED;

    #[inline(always)]
    fn encode<S: Simd>(x: Lanes<S>, rounding: Bits<S>, scale: Scale) -> Bits<S> {
        let magnitude = x.to_bits().and(MAGNITUDE);
        // A denominator that became 0 would make its step a huge one.
        let least = magnitude.splat(scale.offset + (1 << DROPPED));
        let code = magnitude.plus(rounding).max(least).minus(least.splat(scale.offset));
        magnitude.if_below(1, magnitude, code).and(Self::LARGEST)
    }

    #[inline(always)]
    fn decode<S: Simd>(code: Bits<S>, scale: Scale) -> Lanes<S> {
        let code = code.and(Self::LARGEST);
        code.if_below(1, code, code.plus(code.splat(scale.offset))).to_lanes()
    }
}

/// A word with the codes of row `row` where a code is unpacked.
#[inline(always)]
fn unpack<S: Simd>(word: Bits<S>, row: u32) -> Bits<S> {
    match (8 * row).checked_sub(DROPPED) {
        None => word.left(DROPPED - 8 * row),
        Some(right) => word.right(right),
    }
}

/// The codes, from where they are unpacked, in the byte of row `row`.
#[inline(always)]
fn pack<S: Simd>(code: Bits<S>, row: u32) -> Bits<S> {
    match (8 * row).checked_sub(DROPPED) {
        None => code.right(DROPPED - 8 * row),
        Some(left) => code.left(left),
    }
}

/// Reads whole blocks.
#[inline(always)]
pub(crate) fn read<C: Code, S: Simd>(simd: S, blocks: Blocks<'_>, numbers: &mut [f32]) {
    let codes = blocks.codes.as_chunks::<WORDS>().0;
    let numbers = numbers.as_chunks_mut::<WORDS>().0.as_chunks_mut::<4>().0;
    for ((rows, codes), exponent) in numbers.iter_mut().zip(codes).zip(blocks.exponents) {
        let scale = Scale::new::<C>(*exponent);
        let words = S::as_simd_u32s(codes).0;
        for (numbers, row) in rows.iter_mut().zip(0..) {
            let numbers = S::as_mut_simd_f32s(numbers).0;
            for (number, word) in numbers.iter_mut().zip(words) {
                *number = C::decode(unpack(Bits::new(simd, *word), row), scale).register();
            }
        }
    }
}

/// Writes the exponents of whole blocks, which [`write_codes`] needs. All of them before anything else is
/// written, since each takes its time, but several do at once.
#[inline(always)]
pub(crate) fn write_exponents<S: Simd>(simd: S, numbers: &[f32], exponents: &mut [u8]) {
    let numbers = numbers.as_chunks::<WORDS>().0.as_chunks::<4>().0;
    for (exponent, rows) in exponents.iter_mut().zip(numbers) {
        *exponent = Scale::exponent(largest(simd, rows));
    }
}

/// Writes the codes of whole blocks, rounded to the nearest or by random bits, one word for each number.
#[inline(always)]
pub(crate) fn write_codes<C: Code, S: Simd>(
    simd: S,
    numbers: &[f32],
    codes: &mut [u32],
    exponents: &[u8],
    noise: RandomBits<'_>,
) {
    match noise {
        None => {
            let nothing = iter::repeat(&[[0; WORDS]; 4]);
            write_rounded::<C, _, S>(simd, numbers, codes, exponents, nothing, Half);
        }
        Some((noise, end)) => {
            let noise = noise.as_chunks::<WORDS>().0.as_chunks::<4>().0.iter();
            write_rounded::<C, _, S>(simd, numbers, codes, exponents, noise, end);
        }
    }
}

/// What is added to a number's bits before they are cut off.
///
/// Methods, for the reason that [`View`](crate::pass::View)'s are.
trait Rounding: Copy {
    fn of<S: Simd>(self, noise: Bits<S>) -> Bits<S>;
}

/// To the nearest number.
#[derive(Clone, Copy)]
struct Half;

impl Rounding for Half {
    #[inline(always)]
    fn of<S: Simd>(self, noise: Bits<S>) -> Bits<S> {
        noise.splat(1 << (DROPPED - 1))
    }
}

impl Rounding for End {
    #[inline(always)]
    fn of<S: Simd>(self, noise: Bits<S>) -> Bits<S> {
        self.cut(noise, DROPPED)
    }
}

#[inline(always)]
fn write_rounded<'a, C: Code, R: Rounding, S: Simd>(
    simd: S,
    numbers: &[f32],
    codes: &mut [u32],
    exponents: &[u8],
    noise: impl Iterator<Item = &'a Rows<u32>>,
    rounding: R,
) {
    let numbers = numbers.as_chunks::<WORDS>().0.as_chunks::<4>().0;
    let codes = codes.as_chunks_mut::<WORDS>().0;
    let blocks = codes.iter_mut().zip(numbers).zip(exponents).zip(noise);
    for (((codes, rows), exponent), noise) in blocks {
        let scale = Scale::new::<C>(*exponent);
        let limit = Lanes::new(simd, simd.splat_f32s(scale.limit::<C>()));
        let words = S::as_mut_simd_u32s(codes).0;
        for ((numbers, noise), row) in rows.iter().zip(noise).zip(0..) {
            let numbers = S::as_simd_f32s(numbers).0;
            let noise = S::as_simd_u32s(noise).0;
            for ((word, number), noise) in words.iter_mut().zip(numbers).zip(noise) {
                let rounding = rounding.of(Bits::new(simd, *noise));
                // Each NaN becomes the same number, since processors make different ones.
                let number = Lanes::new(simd, *number).capped(limit);
                let code = pack(C::encode(number, rounding, scale), row);
                *word = if row == 0 { code } else { code.or(Bits::new(simd, *word)) }.register();
            }
        }
    }
}

/// The bits of the largest magnitude. Infinities and NaNs have no say, so that they stay alone.
#[inline(always)]
fn largest<S: Simd>(simd: S, rows: &Rows<f32>) -> u32 {
    // Without the sign, and so that infinities and NaNs exceed what a word holds, and come last.
    let offset = Bits::new(simd, simd.splat_u32s(0x0100_0000));
    let mut largest = offset;
    for numbers in rows {
        for number in S::as_simd_f32s(numbers).0 {
            largest = largest.max(Lanes::new(simd, *number).to_bits().left(1).plus(offset));
        }
    }
    largest.minus(offset).right(1).largest()
}
