//! The memory of a call, and what it may look like before one.

use std::ops::Range;
use std::slice;
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};

/// All memory that a call may reach: heap, with what a sanitizer puts around it, at the beginning
/// of a cache line.
pub struct Arena {
    base: *mut u8,
    _lines: Vec<Line>,
}

#[derive(Clone)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

impl Arena {
    /// In bytes.
    pub const SIZE: usize = 8 << 10;

    /// Full of numbers.
    pub fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut lines = vec![Line { _bytes: [0; 64] }; Self::SIZE / size_of::<Line>()];
        let arena = Self { base: lines.as_mut_ptr().cast(), _lines: lines };
        let words = Self::SIZE / 4;
        let kind: usize = u.int_in_range(0..=2)?;
        let begin = usize::from(u.arbitrary::<u16>()?) % (NUMBERS - words);
        arena.restore(&TABLES[kind][begin * 4..][..Self::SIZE]);
        // A few of the fuzzer's own, here and there.
        if u.int_in_range(0..=1)? == 1 {
            let own: [f32; 4] = u.arbitrary()?;
            for (word, number) in (0..words).step_by(5).zip(own.into_iter().cycle()) {
                arena.write(arena.at(word * 4), number);
            }
        }
        Ok(arena)
    }

    /// The byte at this offset, or where it would be.
    pub fn at(&self, offset: usize) -> *mut u8 {
        self.base.wrapping_add(offset)
    }

    /// The offsets of so many bytes there, if they are in the arena.
    pub fn range<T>(&self, pointer: *const T, bytes: usize) -> Option<Range<usize>> {
        let begin = pointer.addr().checked_sub(self.base.addr())?;
        let end = begin.checked_add(bytes)?;
        (end <= Self::SIZE).then_some(begin..end)
    }

    /// Writes a value where it fits, aligned or not.
    pub fn write<T: Copy>(&self, pointer: *mut u8, value: T) {
        if self.range(pointer, size_of::<T>()).is_some() {
            // SAFETY: in the arena, of which there are no references.
            unsafe { pointer.cast::<T>().write_unaligned(value) };
        }
    }

    /// Reads a value, if it is in the arena; any bits must be fine for a `T`.
    ///
    /// # Safety
    ///
    /// `T` is made of numbers and pointers.
    pub unsafe fn read<T: Copy>(&self, pointer: *const T) -> Option<T> {
        self.range(pointer, size_of::<T>())?;
        // SAFETY: in the arena, of which there are no references.
        Some(unsafe { pointer.read_unaligned() })
    }

    /// A copy of all bytes.
    pub fn save(&self) -> Vec<u8> {
        self.bytes().to_vec()
    }

    /// All bytes as they were.
    pub fn restore(&self, saved: &[u8]) {
        assert_eq!(saved.len(), Self::SIZE);
        // SAFETY: as large as that, of which there are no references.
        unsafe { self.base.copy_from_nonoverlapping(saved.as_ptr(), Self::SIZE) };
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as large as that; nobody writes while the slice lives.
        unsafe { slice::from_raw_parts(self.base, Self::SIZE) }
    }
}

/// How many numbers of each kind there are to begin somewhere in.
const NUMBERS: usize = 1 << 14;

/// The bytes of numbers: good ones also for an average of squares, of both signs, of any bits.
static TABLES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    [Random::magnitude, Random::number, Random::wild].map(|draw| {
        let mut random = Random(0);
        (0..NUMBERS).flat_map(|_| draw(&mut random).to_ne_bytes()).collect()
    })
});

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 1e-6 to 1e2.
    fn magnitude(&mut self) -> f32 {
        let bits = self.next();
        f32::from_bits((107 + (bits >> 32) as u32 % 27) << 23 | bits as u32 & 0x7f_ffff)
    }

    fn number(&mut self) -> f32 {
        let magnitude = self.magnitude();
        if self.0 >> 63 == 0 { magnitude } else { -magnitude }
    }

    fn wild(&mut self) -> f32 {
        const SPECIAL: [f32; 10] = [
            0.0,
            -0.0,
            f32::MIN_POSITIVE,
            1e-45,
            1e-19,
            1e19,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        match self.next() % 4 {
            0 => f32::from_bits(self.next() as u32),
            1 => SPECIAL[(self.next() % SPECIAL.len() as u64) as usize],
            _ => self.number(),
        }
    }
}
