//! Slices of numbers in a format of the caller's choice.

use core::mem;

use pulp::{Scalar, Simd, WithSimd};

use crate::blocks::{self, BLOCK, Code, Signed, Unsigned, WORDS};
use crate::dispatch::{Operation, dispatch};
use crate::error::{Argument, Error, ErrorKind};
use crate::lanes::{Bits, Lanes};
use crate::minifloat::{Bf16, F16, Minifloat};
use crate::noise::RandomBits;

/// Declares [`Values`] and [`ValuesMut`], which differ in what may be done with the slices.
macro_rules! values {
    ($(#[$doc:meta])* $values:ident, $(#[$blocks_doc:meta])* $blocks:ident, ($($mut:tt)?), $split:ident, $cast:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum $values<'a> {
            /// IEEE-754 binary32.
            F32(&'a $($mut)? [f32]),
            /// The bits of bfloat16: the upper half of binary32.
            Bf16(&'a $($mut)? [u16]),
            /// The bits of IEEE-754 binary16.
            F16(&'a $($mut)? [u16]),
            /// Signed numbers of 8 bits, E4M3, for averages of gradients.
            E4m3($blocks<'a>),
            /// Numbers of 8 bits without a sign, E5M3, for averages of squares.
            E5m3($blocks<'a>),
        }

        $(#[$blocks_doc])*
        #[derive(Debug, Default)]
        pub struct $blocks<'a> {
            /// 16 words per block of 64 numbers: number `16 k + i` of a block is byte `k` of word `i`, the
            /// lowest byte being 0. What is left of the last block is 0.
            pub codes: &'a $($mut)? [u32],
            /// One byte per block.
            pub exponents: &'a $($mut)? [u8],
        }

        impl<'a> $values<'a> {
            /// How many numbers these are, if the format tells.
            pub(crate) fn len(&self) -> Option<usize> {
                match self {
                    Self::F32(slice) => Some(slice.len()),
                    Self::Bf16(slice) | Self::F16(slice) => Some(slice.len()),
                    Self::E4m3(_) | Self::E5m3(_) => None,
                }
            }

            /// Whether these are `n` numbers.
            pub(crate) fn have_len(&self, n: usize) -> bool {
                match self {
                    Self::F32(_) | Self::Bf16(_) | Self::F16(_) => self.len() == Some(n),
                    Self::E4m3(blocks) | Self::E5m3(blocks) => {
                        let count = block_count(n);
                        blocks.exponents.len() == count && blocks.codes.len() == count * WORDS
                    }
                }
            }

            /// Cuts off the first `n`, a multiple of [`BLOCK`], or all that there are.
            #[inline]
            pub(crate) fn take(&mut self, n: usize) -> Self {
                match self {
                    Self::F32(slice) => Self::F32($split(slice, n)),
                    Self::Bf16(slice) => Self::Bf16($split(slice, n)),
                    Self::F16(slice) => Self::F16($split(slice, n)),
                    Self::E4m3(blocks) => Self::E4m3(blocks.take(n)),
                    Self::E5m3(blocks) => Self::E5m3(blocks.take(n)),
                }
            }
        }

        impl $blocks<'_> {
            #[inline]
            fn take(&mut self, n: usize) -> Self {
                Self {
                    codes: $split(&mut self.codes, n / BLOCK * WORDS),
                    exponents: $split(&mut self.exponents, n / BLOCK),
                }
            }
        }

        impl<'a> From<&'a $($mut)? [f32]> for $values<'a> {
            fn from(slice: &'a $($mut)? [f32]) -> Self {
                Self::F32(slice)
            }
        }

        #[cfg(feature = "half")]
        impl<'a> From<&'a $($mut)? [half::bf16]> for $values<'a> {
            fn from(slice: &'a $($mut)? [half::bf16]) -> Self {
                use half::slice::HalfFloatSliceExt;
                Self::Bf16(slice.$cast())
            }
        }

        #[cfg(feature = "half")]
        impl<'a> From<&'a $($mut)? [half::f16]> for $values<'a> {
            fn from(slice: &'a $($mut)? [half::f16]) -> Self {
                use half::slice::HalfFloatSliceExt;
                Self::F16(slice.$cast())
            }
        }
    };
}

values! {
    /// Numbers in one of the formats, to read.
    #[derive(Clone, Copy)]
    Values,
    /// Numbers of 8 bits in blocks that share an exponent, to read; see [`BlocksMut`].
    #[derive(Clone, Copy)]
    Blocks,
    (),
    split,
    reinterpret_cast
}

values! {
    /// Numbers in one of the formats, to read and write.
    ValuesMut,
    /// Numbers of 8 bits in blocks of 64 that share an exponent, as in the MX formats of the Open
    /// Compute Project. The byte of the exponent is that of a binary32 number as large as the largest
    /// of the block.
    ///
    /// Signed numbers are E4M3: from there down 15 exponents with 3 bits of fraction each, then
    /// subnormal numbers, and 0. Those without a sign are E5M3: 31 exponents, and 0; a number above
    /// 0 never becomes 0. Within a factor of 16,000, or of 10^9, of the largest number of its block
    /// a number is rounded by less than an eighth, to the nearest by less than a sixteenth.
    ///
    /// All zeros are numbers 0. Infinities and NaNs have no code: they become some number, and leave
    /// the others of their block alone.
    BlocksMut,
    (mut),
    split_mut,
    reinterpret_cast_mut
}

fn split<'a, T>(slice: &mut &'a [T], n: usize) -> &'a [T] {
    let (head, tail) = slice.split_at_checked(n).unwrap_or((slice, &[]));
    *slice = tail;
    head
}

fn split_mut<'a, T>(slice: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    let n = n.min(slice.len());
    let (head, tail) = mem::take(slice).split_at_mut_checked(n).unwrap_or_default();
    *slice = tail;
    head
}

/// How many blocks `n` numbers of 8 bits need: as many bytes of [`BlocksMut::exponents`], and 16 times as
/// many words of [`BlocksMut::codes`].
pub const fn block_count(n: usize) -> usize {
    n.div_ceil(BLOCK)
}

impl Values<'_> {
    /// Reads the numbers.
    ///
    /// # Errors
    ///
    /// They are not as many as `numbers`.
    pub fn read(mut self, numbers: &mut [f32]) -> Result<(), Error> {
        if !self.have_len(numbers.len()) {
            return Err(Error::new(ErrorKind::Length, Argument::Values));
        }
        let whole = numbers.len() / BLOCK * BLOCK;
        let (whole, rest) = numbers.split_at_mut_checked(whole).unwrap_or_default();
        Read { values: self.take(whole.len()), numbers: whole }.run();
        let mut block = [0.0; BLOCK];
        Read { values: self, numbers: &mut block }.run();
        for (number, x) in rest.iter_mut().zip(block) {
            *number = x;
        }
        Ok(())
    }
}

impl ValuesMut<'_> {
    /// The same, to read.
    pub fn as_values(&self) -> Values<'_> {
        match self {
            Self::F32(slice) => Values::F32(slice),
            Self::Bf16(slice) => Values::Bf16(slice),
            Self::F16(slice) => Values::F16(slice),
            Self::E4m3(blocks) => Values::E4m3(blocks.as_blocks()),
            Self::E5m3(blocks) => Values::E5m3(blocks.as_blocks()),
        }
    }

    /// The same, for a shorter time.
    pub fn reborrow(&mut self) -> ValuesMut<'_> {
        match self {
            Self::F32(slice) => ValuesMut::F32(slice),
            Self::Bf16(slice) => ValuesMut::Bf16(slice),
            Self::F16(slice) => ValuesMut::F16(slice),
            Self::E4m3(blocks) => ValuesMut::E4m3(blocks.reborrow()),
            Self::E5m3(blocks) => ValuesMut::E5m3(blocks.reborrow()),
        }
    }

    /// Writes numbers, each as the nearest that the format has.
    ///
    /// # Errors
    ///
    /// There is not room for as many. Nothing is written then.
    pub fn write(mut self, numbers: &[f32]) -> Result<(), Error> {
        if !self.have_len(numbers.len()) {
            return Err(Error::new(ErrorKind::Length, Argument::Values));
        }
        let whole = numbers.len() / BLOCK * BLOCK;
        let (whole, rest) = numbers.split_at_checked(whole).unwrap_or_default();
        Write { numbers: whole, values: self.take(whole.len()), noise: None }.run();
        let mut block = [0.0; BLOCK];
        for (number, x) in block.iter_mut().zip(rest) {
            *number = *x;
        }
        Write { numbers: &block, values: self, noise: None }.run();
        Ok(())
    }
}

impl BlocksMut<'_> {
    fn as_blocks(&self) -> Blocks<'_> {
        Blocks { codes: self.codes, exponents: self.exponents }
    }

    fn reborrow(&mut self) -> BlocksMut<'_> {
        BlocksMut { codes: self.codes, exponents: self.exponents }
    }
}

/// Numbers out of their format, on any instruction set; in whole blocks where the format has some.
pub(crate) struct Read<'a> {
    pub values: Values<'a>,
    pub numbers: &'a mut [f32],
}

impl Read<'_> {
    /// The format is known before an instruction set is chosen: what runs on it has no table of jumps.
    pub(crate) fn run(self) {
        let Self { values, numbers } = self;
        match values {
            Values::F32(slice) => {
                for (number, x) in numbers.iter_mut().zip(slice) {
                    *number = *x;
                }
            }
            Values::Bf16(codes) => dispatch(ReadHalves(codes, numbers, Bf16)),
            Values::F16(codes) => dispatch(ReadHalves(codes, numbers, F16)),
            Values::E4m3(blocks) => dispatch(ReadBlocks(blocks, numbers, Signed)),
            Values::E5m3(blocks) => dispatch(ReadBlocks(blocks, numbers, Unsigned)),
        }
    }
}

struct ReadHalves<'a, M>(&'a [u16], &'a mut [f32], M);

impl<M: Minifloat> WithSimd for ReadHalves<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        read::<M>(self.0, self.1);
    }
}

struct ReadBlocks<'a, C>(Blocks<'a>, &'a mut [f32], C);

impl<C: Code> WithSimd for ReadBlocks<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        blocks::read::<C, S>(simd, self.0, self.1);
    }
}

/// One at a time: the compiler makes vectors of it by itself, and knows how to widen.
#[inline(always)]
pub(crate) fn read<M: Minifloat>(codes: &[u16], numbers: &mut [f32]) {
    for (number, code) in numbers.iter_mut().zip(codes) {
        *number = M::decode(Bits::new(Scalar::new(), (*code).into())).register();
    }
}

/// Numbers into a format, on any instruction set; in whole blocks where the format has some.
pub(crate) struct Write<'a> {
    pub numbers: &'a [f32],
    pub values: ValuesMut<'a>,
    pub noise: RandomBits<'a>,
}

impl Write<'_> {
    /// See [`Read::run`].
    pub(crate) fn run(self) {
        let Self { numbers, values, noise } = self;
        match values {
            ValuesMut::F32(slice) => {
                for (x, number) in slice.iter_mut().zip(numbers) {
                    *x = *number;
                }
            }
            ValuesMut::Bf16(codes) => dispatch(WriteHalves(numbers, codes, noise, Bf16)),
            ValuesMut::F16(codes) => dispatch(WriteHalves(numbers, codes, noise, F16)),
            ValuesMut::E4m3(blocks) => dispatch(WriteBlocks(numbers, blocks, noise, Signed)),
            ValuesMut::E5m3(blocks) => dispatch(WriteBlocks(numbers, blocks, noise, Unsigned)),
        }
    }
}

struct WriteHalves<'a, M>(&'a [f32], &'a mut [u16], RandomBits<'a>, M);

impl<M: Minifloat> WithSimd for WriteHalves<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        write::<M>(self.0, self.1, self.2);
    }
}

struct WriteBlocks<'a, C>(&'a [f32], BlocksMut<'a>, RandomBits<'a>, C);

impl<C: Code> WithSimd for WriteBlocks<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(numbers, BlocksMut { codes, exponents }, noise, _) = self;
        blocks::write_exponents(simd, numbers, exponents);
        blocks::write_codes::<C, S>(simd, numbers, codes, exponents, noise);
    }
}

/// `on_scalars!(Operation<Trait>)`: one that runs on `pulp`'s scalars as it does on its registers.
macro_rules! on_scalars {
    ($($operation:ident<$trait:ident>),*) => {
        $(impl<T: $trait> Operation for $operation<'_, T> {
            #[inline(always)]
            fn with_scalars(self) {
                self.with_simd(Scalar::new());
            }
        })*
    };
}

on_scalars!(ReadHalves<Minifloat>, ReadBlocks<Code>, WriteHalves<Minifloat>, WriteBlocks<Code>);

#[inline(always)]
fn write<M: Minifloat>(numbers: &[f32], codes: &mut [u16], noise: RandomBits<'_>) {
    let scalar = Scalar::new();
    let pairs = codes.iter_mut().zip(numbers);
    match noise {
        None => {
            for (code, number) in pairs {
                *code = M::nearest(Lanes::new(scalar, *number)).register() as u16;
            }
        }
        Some((noise, end)) => {
            for ((code, number), noise) in pairs.zip(noise) {
                let noise = end.cut(Bits::new(scalar, *noise), M::DROPPED);
                *code = M::stochastic(Lanes::new(scalar, *number), noise).register() as u16;
            }
        }
    }
}

/// `plain!(Operation)`: one whose loop the compiler makes vectors of by itself, on each instruction set.
macro_rules! plain {
    ($operation:ident) => {
        impl WithSimd for $operation<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                self.with_scalars();
            }
        }
    };
}
pub(crate) use plain;
