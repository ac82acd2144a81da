//! The memory that everything is measured on.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;

/// How far behind a cache line a buffer starts, in bytes.
///
/// Each further buffer of a case starts 9 cache lines later in its page: at equal distances from a
/// page, some processors take a store to one buffer for one to the buffer that they load next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    bytes: usize,
}

impl Alignment {
    /// On cache lines: what tensor libraries allocate.
    pub const CACHE_LINE: Alignment = Alignment { bytes: 0 };
    /// 16 bytes behind one: what `malloc`, and so `Vec`, gives for large buffers.
    pub const MALLOC: Alignment = Alignment { bytes: 16 };
}

impl FromStr for Alignment {
    type Err = String;

    fn from_str(bytes: &str) -> Result<Self, String> {
        match bytes.parse() {
            Ok(bytes) if bytes < 64 && bytes % 4 == 0 => Ok(Self { bytes }),
            _ => Err("a multiple of 4 below 64".to_owned()),
        }
    }
}

const PAGE: usize = 4096;

struct Buffer {
    store: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// The `index`th buffer of a case. Writes to all of it, so no page is touched first later.
    fn new(len: usize, index: usize, alignment: Alignment, value: impl Fn(usize) -> f32) -> Self {
        let distance = alignment.bytes + index * 9 * 64;
        let mut store = vec![0.0; len + 2 * PAGE / size_of::<f32>()];
        let start = store.as_ptr().align_offset(PAGE) + distance / size_of::<f32>();
        for (i, item) in store[start..start + len].iter_mut().enumerate() {
            *item = value(i);
        }
        Self { store, start, len }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.store[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.store[self.start..][..self.len]
    }
}

/// Parameters, their gradient, and a number of state buffers, all of one length.
pub struct Buffers {
    param: Buffer,
    grad: Buffer,
    state: Vec<Buffer>,
}

impl Buffers {
    /// Parameters and gradients like those of a network, and a state of zeros.
    pub fn new(len: usize, states: usize, alignment: Alignment) -> Self {
        Self {
            param: Buffer::new(len, 0, alignment, |i| noise(i, 1)),
            grad: Buffer::new(len, 1, alignment, |i| 0.1 * noise(i, 2)),
            state: (2..2 + states)
                .map(|index| Buffer::new(len, index, alignment, |_| 0.0))
                .collect(),
        }
    }

    /// Parameters, gradient and state.
    pub fn split<const N: usize>(&mut self) -> (&mut [f32], &[f32], [&mut [f32]; N]) {
        let mut state = self.state.iter_mut();
        let state = std::array::from_fn(|_| &mut **state.next().expect("as many buffers as asked"));
        (&mut self.param, &self.grad, state)
    }

    /// The largest difference between two sets of buffers, relative to the magnitude of what is
    /// compared; 0 for equal buffers, NaN never.
    pub(crate) fn distance(&self, other: &Self) -> f32 {
        let pairs = std::iter::once((&self.param, &other.param));
        pairs
            .chain(self.state.iter().zip(&other.state))
            .flat_map(|(ours, theirs)| ours.iter().zip(theirs.iter()))
            .map(|(ours, theirs)| {
                let difference = (ours - theirs).abs() / ours.abs().max(theirs.abs()).max(1e-6);
                if difference.is_nan() { f32::INFINITY } else { difference }
            })
            .fold(0.0, f32::max)
    }
}

/// A value from 0.5 to 1.5 in magnitude, of either sign: never so small that a square of it, or
/// what is left of one after many steps, would be a denormal number and slow.
fn noise(i: usize, stream: usize) -> f32 {
    let bits = (i * 4 + stream).wrapping_mul(0x9E37_79B9) >> 7;
    let magnitude = 0.5 + (bits & 0xffff) as f32 / 65536.0;
    if bits & 0x1_0000 == 0 { magnitude } else { -magnitude }
}
