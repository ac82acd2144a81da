//! Numbers in one of the formats, with storage of their own.

use gradstep::{Blocks, BlocksMut, Values, ValuesMut, block_count};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    F32,
    Bf16,
    F16,
    /// E4M3, or E5M3 for squares.
    Eight,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::F32, Format::Bf16, Format::F16, Format::Eight];

    /// Those of parameters and gradients.
    pub const WIDE: [Format; 3] = [Format::F32, Format::Bf16, Format::F16];
}

#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    F16(Vec<u16>),
    E4m3(Vec<u32>, Vec<u8>),
    E5m3(Vec<u32>, Vec<u8>),
}

impl Store {
    /// `n` zeros.
    pub fn zeros(format: Format, is_square: bool, n: usize) -> Self {
        let blocks = || (vec![0; block_count(n) * 16], vec![0; block_count(n)]);
        match format {
            Format::F32 => Self::F32(vec![0.0; n]),
            Format::Bf16 => Self::Bf16(vec![0; n]),
            Format::F16 => Self::F16(vec![0; n]),
            Format::Eight if is_square => Self::E5m3(blocks().0, blocks().1),
            Format::Eight => Self::E4m3(blocks().0, blocks().1),
        }
    }

    /// These numbers, each rounded to the nearest.
    pub fn of(format: Format, is_square: bool, numbers: &[f32]) -> Self {
        let mut store = Self::zeros(format, is_square, numbers.len());
        store.values_mut().write(numbers).unwrap();
        store
    }

    pub fn values(&self) -> Values<'_> {
        match self {
            Self::F32(numbers) => Values::F32(numbers),
            Self::Bf16(codes) => Values::Bf16(codes),
            Self::F16(codes) => Values::F16(codes),
            Self::E4m3(codes, exponents) => Values::E4m3(Blocks { codes, exponents }),
            Self::E5m3(codes, exponents) => Values::E5m3(Blocks { codes, exponents }),
        }
    }

    pub fn values_mut(&mut self) -> ValuesMut<'_> {
        match self {
            Self::F32(numbers) => ValuesMut::F32(numbers),
            Self::Bf16(codes) => ValuesMut::Bf16(codes),
            Self::F16(codes) => ValuesMut::F16(codes),
            Self::E4m3(codes, exponents) => ValuesMut::E4m3(BlocksMut { codes, exponents }),
            Self::E5m3(codes, exponents) => ValuesMut::E5m3(BlocksMut { codes, exponents }),
        }
    }

    pub fn read(&self, n: usize) -> Vec<f32> {
        let mut numbers = vec![0.0; n];
        self.values().read(&mut numbers).unwrap();
        numbers
    }

    /// Elements of a range that begins where a block does.
    pub fn part_mut(&mut self, range: std::ops::Range<usize>) -> ValuesMut<'_> {
        let (start, end) = (range.start / 64, block_count(range.end));
        match self {
            Self::F32(numbers) => ValuesMut::F32(&mut numbers[range]),
            Self::Bf16(codes) => ValuesMut::Bf16(&mut codes[range]),
            Self::F16(codes) => ValuesMut::F16(&mut codes[range]),
            Self::E4m3(codes, exponents) => ValuesMut::E4m3(BlocksMut {
                codes: &mut codes[start * 16..end * 16],
                exponents: &mut exponents[start..end],
            }),
            Self::E5m3(codes, exponents) => ValuesMut::E5m3(BlocksMut {
                codes: &mut codes[start * 16..end * 16],
                exponents: &mut exponents[start..end],
            }),
        }
    }

    /// Whether the bits are the same, NaNs of binary32 being all alike.
    pub fn same_bits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => super::same_bits(a, b),
            _ => self == other,
        }
    }
}
