//! The norm of a gradient, of any number of tensors, in one number that does not depend on how they
//! were cut, nor in which order they came.
//!
//! A sum of floating-point numbers depends on the order of its additions, so threads that add what
//! they have, as it comes, give other bits in every run. Here there are two kinds of additions, and
//! neither does:
//!
//! - Within a block of 256 elements, counted from the start of a slice, the shape is fixed: 32 lanes
//!   that take turns, then a tree. A register of any width has some of the lanes.
//! - The sums of blocks are added in fixed point, in an integer wide enough for the square of every
//!   float. Such additions are exact, so their order does not matter.
//!
//! There is no fused multiply-add, and none is needed: the square of a binary32 number has 48 bits,
//! and is exact in binary64.

use pulp::{Simd, WithSimd};

use crate::chunk::BLOCK;
use crate::dispatch::{Operation, dispatch};
use crate::error::{Argument, Error, ErrorKind, check};
use crate::values::{Read, Values};

/// The sum of the squares of a gradient, and with it its norm; owned by the caller, 88 bytes, `Copy`.
///
/// Of any number of slices, the tensors of a model or the parts of one that a thread has: what is
/// added in whichever order, and merged from however many threads, gives the same bits on every
/// machine. The only condition is that a tensor is cut at multiples of 256 elements, as
/// [`chunk`](crate::chunk) does.
///
/// ```
/// use gradstep::Norm;
///
/// let mut norm = Norm::new();
/// norm.add(&[3.0, 0.0]);
/// norm.add(&[-4.0]);
/// assert_eq!(norm.norm(), 5.0);
///
/// // Most steps leave the gradient as it is; a long one is shortened.
/// assert_eq!(norm.clip(10.0, 1.0)?, 1.0);
/// assert_eq!(norm.clip(1.0, 1.0)?, 1.0 / (5.0 + 1e-6));
/// # Ok::<(), gradstep::Error>(())
/// ```
///
/// # Numerical notes
///
/// Squares are exact in binary64. A sum of a block passes through at most 12 roundings, the sum of all
/// blocks is exact, and [`sum_of_squares`](Norm::sum_of_squares) rounds it once: it is off by less than
/// 13 · 2^-53, 1.5e-15 of itself, and the norm by half of that, however many elements there are. Neither
/// overflow nor underflow is possible: squares from 2^-298, of the least denormal number, to 2^256 have
/// their place, and there is room for more than 2^64 of them.
///
/// # Special values
///
/// With a NaN or an infinity in it, the norm is not finite: [`is_finite`](Norm::is_finite) says so, the
/// sum and the norm are NaN, [`clip`](Norm::clip) is an error, and it stays so whatever is added.
///
/// # Costs
///
/// One pass over the gradient, at the speed of the memory beyond the caches. A microcontroller computes
/// binary64 in software: some 100 instructions per element on a Cortex-M3 to M33, 230 on an M0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Norm {
    /// The sum of the squares of finite elements, in units of [`UNIT`], the least significant limb
    /// first. Zero if one is not finite.
    limbs: [u64; LIMBS],
    /// 1 if an element is not finite, else 0.
    not_finite: u64,
}

/// How many limbs hold 2^342 units.
const LIMBS: usize = 10;

/// The exponent of the square of the least float: every sum of squares is a multiple of it.
const UNIT: i32 = 2 * (f32::MIN_EXP - f32::MANTISSA_DIGITS as i32);

/// What is added to `max_norm / norm` against a division by 0, as PyTorch does.
const EPS: f64 = 1e-6;

impl Norm {
    /// The norm of nothing, 0.
    pub const fn new() -> Self {
        Self { limbs: [0; LIMBS], not_finite: 0 }
    }

    /// Adds a slice: a tensor's gradient, or a part of it that begins at a multiple of 256 elements.
    pub fn add(&mut self, grad: &[f32]) {
        dispatch(Sum { norm: self, grad });
        self.settle();
    }

    /// Adds the elements of a gradient in another format, as [`add`](Norm::add) adds those of a slice.
    ///
    /// # Errors
    ///
    /// The format is one of 8 bits, which gradients do not have. Nothing is added then.
    pub fn add_values(&mut self, mut grad: Values<'_>) -> Result<(), Error> {
        if grad.len().is_none() {
            return Err(Error::new(ErrorKind::Format, Argument::Grad));
        }
        if let Values::F32(grad) = grad {
            self.add(grad);
            return Ok(());
        }
        let mut tile = [0.0; BLOCK];
        while let Some(len @ 1..) = grad.len() {
            let numbers = tile.get_mut(..len.min(BLOCK)).unwrap_or_default();
            Read { values: grad.take(BLOCK), numbers }.run();
            self.add(numbers);
        }
        Ok(())
    }

    /// Adds what was added to another one, on another thread for example.
    pub fn merge(&mut self, other: &Norm) {
        let mut carry = false;
        for (limb, other) in self.limbs.iter_mut().zip(other.limbs) {
            let (sum, first) = limb.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(carry.into());
            *limb = sum;
            carry = first | second;
        }
        self.not_finite |= other.not_finite | u64::from(carry);
        self.settle();
    }

    /// Whether no element is a NaN or an infinity.
    pub const fn is_finite(&self) -> bool {
        self.not_finite == 0
    }

    /// The sum of all squares, rounded to nearest from the exact sum of the blocks'; NaN if an element
    /// is not finite.
    pub fn sum_of_squares(&self) -> f64 {
        if !self.is_finite() {
            return f64::NAN;
        }
        // The highest limb that is not 0, its place, the limb below, and whether there is anything
        // below that.
        let (mut high, mut place, mut low, mut more) = (0, 0, 0, false);
        let (mut previous, mut seen) = (0, false);
        for (limb, at) in self.limbs.into_iter().zip(0..) {
            if limb != 0 {
                (high, place, low, more) = (limb, at, previous, seen);
            }
            seen |= previous != 0;
            previous = limb;
        }
        if high == 0 {
            return 0.0;
        }
        // The leading 64 bits, of which a conversion keeps 53: whatever is below counts as one bit
        // that decides a tie.
        let zeros = high.leading_zeros();
        let leading = high << zeros | low >> 1 >> (63 - zeros);
        let more = more | (low << zeros != 0);
        let exponent = UNIT + 64 * place - zeros as i32;
        (leading | u64::from(more)) as f64 * power_of_two(exponent)
    }

    /// The Euclidean norm, correctly rounded from [`sum_of_squares`](Norm::sum_of_squares).
    pub fn norm(&self) -> f64 {
        libm::sqrt(self.sum_of_squares())
    }

    /// The factor for [`Step::scale_grad`](crate::Step::scale_grad) that takes the loss scale out of the
    /// gradient and, where its norm is above `max_norm`, shortens it:
    ///
    /// ```text
    /// min(1, max_norm / (norm / loss_scale + 1e-6)) / loss_scale
    /// ```
    ///
    /// What was added is the gradient of `loss_scale` times the loss; 1 if there is no such scale.
    /// `max_norm` is of the gradient without it, and infinite for no clipping.
    ///
    /// This is `torch.nn.utils.clip_grad_norm_` with `error_if_nonfinite=True`, after
    /// `GradScaler.unscale_`. There the norm is a binary32 number, infinite from 3.4e38 on, and the
    /// gradient is rounded twice on its way; here the factor is one binary64 number, and it is rounded
    /// once.
    ///
    /// # Errors
    ///
    /// The norm is not finite, and the step should be skipped; `max_norm` is negative or NaN;
    /// `loss_scale` is not a positive normal binary32 number.
    pub fn clip(&self, max_norm: f64, loss_scale: f64) -> Result<f64, Error> {
        check::bound(max_norm, Argument::MaxNorm)?;
        check::normal(loss_scale, Argument::LossScale)?;
        if !self.is_finite() {
            return Err(Error::new(ErrorKind::GradNotFinite, Argument::Norm));
        }
        let coefficient = max_norm / (self.norm() / loss_scale + EPS);
        Ok(if coefficient < 1.0 { coefficient } else { 1.0 } / loss_scale)
    }

    /// Adds the sum of a block's squares.
    #[inline(always)]
    fn add_sum(&mut self, sum: f64) {
        const MANTISSA: u32 = f64::MANTISSA_DIGITS - 1;
        if sum == 0.0 {
            return;
        }
        let bits = sum.to_bits();
        let mantissa = bits & ((1 << MANTISSA) - 1) | 1 << MANTISSA;
        // How far up the mantissa goes. Bits that would be below the unit are zeros.
        let place = (bits >> MANTISSA) as i32 - (f64::MAX_EXP - 1 + MANTISSA as i32 + UNIT);
        let (mantissa, place) =
            if place < 0 { (mantissa >> (-place & 63), 0) } else { (mantissa, place as u32) };
        let (low, high) = (mantissa << (place % 64), mantissa >> 1 >> (63 - place % 64));

        if let Some([first, second, rest @ ..]) = self.limbs.get_mut(place as usize / 64..) {
            let carry;
            (*first, carry) = first.overflowing_add(low);
            let mut carry_on;
            (*second, carry_on) = second.overflowing_add(high + u64::from(carry));
            for limb in rest {
                if !carry_on {
                    return;
                }
                (*limb, carry_on) = limb.overflowing_add(1);
            }
        } else {
            // A NaN and an infinity have a larger exponent than any sum.
            self.not_finite = 1;
        }
    }

    /// Forgets the sum if it is not finite, so that norms of the same numbers are the same.
    fn settle(&mut self) {
        if self.not_finite != 0 {
            *self = Self { limbs: [0; LIMBS], not_finite: 1 };
        }
    }
}

/// `2^exponent`, a normal number.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((f64::MAX_EXP - 1 + exponent) as u64) << (f64::MANTISSA_DIGITS - 1))
}

/// A slice to add, waiting for an instruction set.
struct Sum<'a> {
    norm: &'a mut Norm,
    grad: &'a [f32],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    /// Plain code over arrays, which the compiler turns into registers of the instruction set.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for block in self.grad.chunks(BLOCK) {
            self.norm.add_sum(sum_of_block(block));
        }
    }
}

impl Operation for Sum<'_> {
    #[inline(always)]
    fn with_scalars(self) {
        for block in self.grad.chunks(BLOCK) {
            let sum = if HARDWARE_DOUBLES { sum_of_block(block) } else { soft_sum_of_block(block) };
            self.norm.add_sum(sum);
        }
    }
}

/// Whether binary64 numbers are computed by instructions, and not by calls.
const HARDWARE_DOUBLES: bool = !cfg!(any(
    all(target_arch = "arm", target_os = "none"),
    all(any(target_arch = "riscv32", target_arch = "riscv64"), not(target_feature = "d")),
));

/// How many sums of a block are in progress at once: four registers of AVX-512.
const LANES: usize = 32;

/// The sum of the squares of up to [`BLOCK`] elements, as if zeros filled it up.
#[inline(always)]
fn sum_of_block(block: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (rows, rest) = block.as_chunks::<LANES>();
    for row in rows {
        add_squares(&mut lanes, row);
    }
    if !rest.is_empty() {
        // In a copy: lanes that are reached by an index would be kept in memory all the time.
        let mut last = lanes;
        add_squares(&mut last, rest);
        lanes = last;
    }
    let lanes: [f64; 16] = halve(lanes);
    let lanes: [f64; 8] = halve(lanes);
    let lanes: [f64; 4] = halve(lanes);
    let [a, b] = halve(lanes);
    a + b
}

#[inline(always)]
fn add_squares(lanes: &mut [f64; LANES], row: &[f32]) {
    for (lane, x) in lanes.iter_mut().zip(row) {
        let x = f64::from(*x);
        *lane += x * x;
    }
}

#[inline(always)]
fn halve<const N: usize, const HALF: usize>(lanes: [f64; N]) -> [f64; HALF] {
    let mut sums = [0.0; HALF];
    for (sum, (low, high)) in sums.iter_mut().zip(lanes.iter().zip(lanes.iter().skip(HALF))) {
        *sum = low + high;
    }
    sums
}

/// The same, for a microcontroller: in place, with little code, and with squares of its own.
#[inline(always)]
fn soft_sum_of_block(block: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    for row in block.chunks(LANES) {
        for (lane, x) in lanes.iter_mut().zip(row) {
            *lane += soft_square(*x);
        }
    }
    let mut half = LANES / 2;
    while let Some((low, high)) = lanes.split_at_mut_checked(half) {
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        if half == 1 {
            break;
        }
        half /= 2;
    }
    let [sum, ..] = lanes;
    sum
}

/// The square, which is exact: of most numbers by one product of integers, where the conversion to
/// binary64 and its product would be a call each.
#[inline(always)]
fn soft_square(x: f32) -> f64 {
    let exponent = x.to_bits() >> 23 & 0xff;
    if exponent == 0 && x.to_bits() << 1 == 0 {
        return 0.0;
    }
    if exponent == 0 || exponent == 0xff {
        let x = f64::from(x);
        return x * x;
    }
    let mantissa = u64::from(x.to_bits() & 0x7f_ffff | 1 << 23);
    // Its leading bit, 46 or 47, goes to where binary64 has its own, and adds 1 to the exponent there.
    let product = mantissa * mantissa;
    let (fraction, more) = if product >> 47 == 0 { (product << 6, 0) } else { (product << 5, 1) };
    let bias = (f64::MAX_EXP - 1) as u32 - 2 * (f32::MAX_EXP - 1) as u32 - 1;
    f64::from_bits((u64::from(2 * exponent + bias + more) << 52) + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every exponent and both signs, with mantissas of all kinds.
    #[test]
    fn a_soft_square_is_the_square() {
        let mut state = 1_u32;
        for high in 0..0x200_u32 {
            for low in 0..2000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let mantissa = [0, 1, 0x7f_ffff, 0x35_04f3, 0x35_04f4, state >> 9];
                let x = f32::from_bits(high << 23 | mantissa[low.min(5)]);
                let exact = f64::from(x) * f64::from(x);
                let soft = soft_square(x);
                assert!(soft.to_bits() == exact.to_bits() || soft.is_nan() && x.is_nan(), "{x:e}");
            }
        }
    }

    #[test]
    fn a_soft_sum_is_the_sum() {
        let numbers: [f32; BLOCK] = core::array::from_fn(|i| (i as f32 + 0.1) * 1.7e-3);
        for len in 0..=BLOCK {
            let block = &numbers[..len];
            assert_eq!(soft_sum_of_block(block).to_bits(), sum_of_block(block).to_bits(), "{len}");
        }
    }
}
