//! Arguments from a fuzzer's bytes: mostly ones that a program would pass, so that most calls have
//! no more than one thing wrong. Zeros, which follow the end of the bytes, draw what is right.

use std::ptr;

use arbitrary::{Result, Unstructured};

use crate::Arena;

/// One of these in 30 cases of 32, else one that makes trouble, or any bits.
pub(crate) fn real(u: &mut Unstructured<'_>, usual: &[f64]) -> Result<f64> {
    const SPECIAL: [f64; 18] = [
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        -1.0,
        1.0,
        1.0 - f64::EPSILON / 2.0,
        1.0 + f64::EPSILON,
        5e-324,
        -5e-324,
        1e-46,
        1e-30,
        1e-19,
        1e19,
        f32::MAX as f64,
        3.402_823_6e38, // finite, but not as a float
        -3.402_823_6e38,
    ];
    Ok(match u.int_in_range(0..=31)? {
        0..30 => *u.choose(usual)?,
        30 => *u.choose(&SPECIAL)?,
        _ => f64::from_bits(u.arbitrary()?),
    })
}

/// One of these in 30 cases of 32, else one near them, or any bits.
pub(crate) fn integer(u: &mut Unstructured<'_>, usual: &[i32]) -> Result<i32> {
    const SPECIAL: [i32; 10] = [2, 3, -1, 4, 6, 255, 256, 257, i32::MAX, i32::MIN];
    Ok(match u.int_in_range(0..=31)? {
        0..30 => *u.choose(usual)?,
        30 => *u.choose(&SPECIAL)?,
        _ => u.arbitrary()?,
    })
}

/// A step count.
pub(crate) fn t(u: &mut Unstructured<'_>) -> Result<u64> {
    const SPECIAL: [u64; 9] =
        [0, 1 << 31, 1 << 32, 1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX - 1, u64::MAX, 100_000];
    Ok(match u.int_in_range(0..=15)? {
        0..13 => *u.choose(&[1, 2, 3, 10, 1000])?,
        13 | 14 => *u.choose(&SPECIAL)?,
        _ => u.arbitrary()?,
    })
}

/// A number of elements, at most `most`, or in one case of 16 one that no memory has.
pub(crate) fn length(u: &mut Unstructured<'_>, most: usize) -> Result<usize> {
    Ok(match u.int_in_range(0..=15)? {
        0..7 => u.int_in_range(1..=most.min(40))?,
        7..14 => u.int_in_range(1..=most)?,
        14 => 0,
        _ => huge(u)?,
    })
}

/// A number near one where its bytes, as `size_of` 1 to 64, no longer fit the address space; or any.
pub(crate) fn huge(u: &mut Unstructured<'_>) -> Result<usize> {
    const NEAR: [usize; 8] = [
        usize::MAX,
        usize::MAX / 2,
        usize::MAX / 4,
        usize::MAX / 8,
        usize::MAX / 16,
        usize::MAX / 32,
        usize::MAX / 48,
        usize::MAX / 96,
    ];
    Ok(match u.int_in_range(0..=9)? {
        at @ 0..8 => NEAR[at].wrapping_add(u.int_in_range(0..=8)?).wrapping_sub(4),
        8 => u.int_in_range(Arena::SIZE..=1 << 40)?,
        _ => u.arbitrary()?,
    })
}

/// Places in the arena, one behind the other.
pub(crate) struct Places<'a> {
    arena: &'a Arena,
    next: usize,
}

impl<'a> Places<'a> {
    pub(crate) fn new(arena: &'a Arena) -> Self {
        Self { arena, next: 0 }
    }

    /// A place for so many bytes behind the last one. The first choice is its own; else null,
    /// misaligned, anywhere in the arena, at its very end, or at the end of the address space.
    pub(crate) fn pointer(
        &mut self,
        u: &mut Unstructured<'_>,
        bytes: usize,
        align: usize,
    ) -> Result<*mut u8> {
        let gap = align * u.int_in_range(0..=17)?;
        let own = self.next.next_multiple_of(align) + gap;
        let arena = self.arena;
        Ok(match u.int_in_range(0..=63)? {
            0..58 => {
                self.next = own.saturating_add(bytes).min(Arena::SIZE);
                arena.at(own)
            }
            58 => ptr::null_mut(),
            59 => arena.at(own + u.int_in_range(1..=align - 1)?),
            60 => arena.at(u.int_in_range(0..=Arena::SIZE / align)? * align),
            61 => arena.at(u.int_in_range(0..=Arena::SIZE)?),
            62 => arena.at(Arena::SIZE.saturating_sub(bytes) / align * align),
            _ => at_the_end(u, bytes, align)?,
        })
    }

    /// Where the last buffer ended: what follows overlaps it by so many bytes.
    pub(crate) fn step_back(&mut self, bytes: usize) {
        self.next = self.next.saturating_sub(bytes);
    }
}

/// Bytes that end with the address space, or a little before or behind.
fn at_the_end(u: &mut Unstructured<'_>, bytes: usize, align: usize) -> Result<*mut u8> {
    let end = 0_usize.wrapping_sub(bytes / align * align);
    let address = end.wrapping_add(align * u.int_in_range(0..=8)?).wrapping_sub(align * 4);
    Ok(ptr::without_provenance_mut(address))
}
