//! Random bits for stochastic rounding: a function of seed, step and position, and of nothing else.

use pulp::Simd;

use crate::lanes::Bits;

/// The random bits of one step.
///
/// Counter-based: whoever asks for a position gets the same bits, in any order, on any thread, in
/// registers of any width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    key: u64,
}

/// How many positions have a key together.
pub(crate) const SPAN: usize = crate::chunk::BLOCK;

impl Noise {
    pub(crate) fn new(seed: u64, t: u64) -> Self {
        Self { key: mix(mix(seed.wrapping_add(ODD)).wrapping_add(t)) }
    }

    /// 32 bits for each of some positions from `index` on, all of one [`SPAN`]; `stream` tells apart what
    /// is drawn at the same positions.
    #[inline(always)]
    pub(crate) fn draw(self, stream: u64, index: u64, bits: &mut [u32]) {
        let span = (index / SPAN as u64) << 2 | stream;
        let key = mix(self.key.wrapping_add(span.wrapping_mul(ODD)));
        let (first, second) = (key as u32, (key >> 32) as u32);
        let position = (index % SPAN as u64) as u32;
        let first = first.wrapping_add(position.wrapping_mul(ODD as u32));
        for (bits, after) in bits.iter_mut().zip(0_u32..) {
            let mut x = first.wrapping_add(after.wrapping_mul(ODD as u32));
            x = (x ^ x >> 16).wrapping_mul(0x21f0_aaad);
            x = (x ^ x >> 15).wrapping_add(second).wrapping_mul(0x735a_2d97);
            *bits = x ^ x >> 15;
        }
    }
}

/// For stochastic rounding: one word for each number, and the end of it that counts.
pub(crate) type RandomBits<'a> = Option<(&'a [u32], End)>;

/// Which bits of a word round a number. Two numbers share a word. Formats drop at most 20 bits; the 8 that
/// then belong to both are the last ones of the upper end, which decide once in 4096 times.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Low,
    High,
}

impl End {
    /// So many bits of a word.
    #[inline(always)]
    pub(crate) fn cut<S: Simd>(self, word: Bits<S>, count: u32) -> Bits<S> {
        let before = match self {
            End::Low => 32 - count,
            End::High => 0,
        };
        word.left(before).right(32 - count)
    }
}

/// 2^64 over the golden ratio: its multiples are spread evenly.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function (Steele, Lea & Flood, 2014).
#[inline(always)]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn draws(seed: u64, t: u64, stream: u64, n: usize) -> Vec<u32> {
        let mut bits = vec![0; n];
        for (span, bits) in bits.chunks_mut(SPAN).enumerate() {
            Noise::new(seed, t).draw(stream, (span * SPAN) as u64, bits);
        }
        bits
    }

    #[test]
    fn bits_belong_to_positions() {
        let whole = draws(7, 3, 1, SPAN);
        let mut part = [0; 5];
        Noise::new(7, 3).draw(1, 100, &mut part);
        assert_eq!(part, whole[100..105]);
    }

    /// Pearson's statistic of counts that should be equal, in standard deviations from its mean.
    fn deviation(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        let squares = counts.iter().map(|&count| (f64::from(count) - expected).powi(2));
        let freedom = (counts.len() - 1) as f64;
        (squares.sum::<f64>() / expected - freedom) / (2.0 * freedom).sqrt()
    }

    /// Both halves that roundings use are evenly distributed, alone and next to each other: for one
    /// position over many steps, for neighbours, for the streams, for seeds that differ in one bit.
    #[test]
    fn bits_are_even_and_independent() {
        const N: usize = 1 << 18;
        let base = draws(1, 1, 0, N);
        let over_steps: Vec<u32> = (1..=N as u64)
            .map(|t| {
                let mut bits = [0];
                Noise::new(1, t).draw(0, 12345, &mut bits);
                bits[0]
            })
            .collect();
        let pairs = [
            ("neighbours", [base[1..].to_vec(), base[..N - 1].to_vec()]),
            ("steps", [over_steps[1..].to_vec(), over_steps[..N - 1].to_vec()]),
            ("streams", [base.clone(), draws(1, 1, 1, N)]),
            ("seeds", [base.clone(), draws(1 | 1 << 40, 1, 0, N)]),
            ("next step", [base.clone(), draws(1, 2, 0, N)]),
            ("next span", [base[SPAN..].to_vec(), base[..N - SPAN].to_vec()]),
            ("halves", [base.clone(), base.iter().map(|bits| bits << 16).collect()]),
        ];
        for (name, [a, b]) in pairs {
            let mut counts = vec![0; 1 << 12];
            for (a, b) in a.iter().zip(&b) {
                counts[(a >> 26 << 6 | b >> 26) as usize] += 1;
            }
            assert!(deviation(&counts).abs() < 5.0, "{name}: {}", deviation(&counts));
        }
        for shift in [16, 8, 0] {
            let mut counts = vec![0; 1 << 8];
            for bits in &base {
                counts[(bits >> shift & 0xff) as usize] += 1;
            }
            assert!(deviation(&counts).abs() < 5.0, "shift {shift}");
        }
    }
}
