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

    /// A word for each of some positions from `index` on, all of one [`SPAN`], for [`End::cut`]; `stream`
    /// tells apart what is drawn at the same positions.
    #[inline(always)]
    pub(crate) fn draw(self, stream: u64, index: u64, words: &mut [u32]) {
        self.words(stream, index).draw(words);
    }

    /// What [`draw`](Noise::draw) gives from `index` on, as far as its [`SPAN`] goes.
    #[inline(always)]
    pub(crate) fn words(self, stream: u64, index: u64) -> Words {
        let span = (index / SPAN as u64) << 2 | stream;
        let key = mix(self.key.wrapping_add(span.wrapping_mul(ODD)));
        let position = (index % SPAN as u64) as u32;
        let next = (key as u32).wrapping_add(position.wrapping_mul(ODD as u32));
        Words { next, multiplier: (key >> 32) as u32 | 1 }
    }
}

/// The words of one [`SPAN`], in turn.
///
/// One round of what a hash function has, whose multiplier is the span's own: that makes up for the
/// rounds that are left out, since positions that go together with one multiplier do not with the
/// next one.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    next: u32,
    multiplier: u32,
}

impl Words {
    /// The next ones.
    #[inline(always)]
    pub(crate) fn draw(&mut self, words: &mut [u32]) {
        let count = words.len() as u32;
        for (word, after) in words.iter_mut().zip(0_u32..) {
            let x = self.next.wrapping_add(after.wrapping_mul(ODD as u32));
            *word = (x ^ x >> 16).wrapping_mul(self.multiplier);
        }
        self.next = self.next.wrapping_add(count.wrapping_mul(ODD as u32));
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
        match self {
            // Those of a product are the more random the higher they are.
            End::Low => word.xor(word.right(16)).and((1 << count) - 1),
            End::High => word.right(32 - count),
        }
    }
}

/// Which of a position's words rounds what is in a place, by its stream, and which end of it.
#[inline(always)]
pub(crate) const fn place(place: usize) -> (u64, End) {
    (place as u64 / 2, if place.is_multiple_of(2) { End::Low } else { End::High })
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
    use pulp::Scalar;
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

    /// The 16 bits of each end of words.
    fn ends(words: &[u32]) -> [Vec<u32>; 2] {
        [End::Low, End::High].map(|end| {
            let cut = |word: &u32| end.cut(Bits::new(Scalar::new(), *word), 16).register();
            words.iter().map(cut).collect()
        })
    }

    /// What roundings use is evenly distributed, alone and next to each other: for one position over
    /// many steps, for neighbours near and far, for the streams, for seeds that differ in one bit, and for
    /// the two numbers that share a word.
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
        let mut pairs = vec![
            ("steps", 1, over_steps.clone(), over_steps),
            ("streams", 0, base.clone(), draws(1, 1, 1, N)),
            ("seeds", 0, base.clone(), draws(1 | 1 << 40, 1, 0, N)),
            ("next step", 0, base.clone(), draws(1, 2, 0, N)),
        ];
        for lag in [1, 2, 3, 4, 5, 8, 13, 16, 32, 34, 55, 64, 89, 128, SPAN] {
            pairs.push(("positions", lag, base.clone(), base.clone()));
        }
        let check = |name: &str, lag: usize, a: &[u32], b: &[u32]| {
            for shift in [10, 0] {
                let mut counts = vec![0; 1 << 12];
                for (a, b) in a.iter().zip(&b[lag..]) {
                    counts[((a >> shift & 63) << 6 | b >> shift & 63) as usize] += 1;
                }
                let deviation = deviation(&counts);
                assert!(deviation.abs() < 5.0, "{name}, {lag} apart, from {shift}: {deviation}");
            }
        };
        for (name, lag, a, b) in &pairs {
            for (a, b) in ends(a).iter().zip(ends(b)) {
                check(name, *lag, a, &b);
            }
        }
        let [low, high] = ends(&base);
        check("ends", 0, &low, &high);
    }

    /// How many of some neighbours are rounded up varies as if each were on its own: not more, as where
    /// they go together, and not less, as where they avoid each other.
    #[test]
    fn neighbours_are_independent() {
        for (bits, end) in ends(&draws(1, 1, 0, 1 << 20)).iter().zip(["low", "high"]) {
            for probability in [0.5, 0.1, 0.01] {
                let limit = (probability * 65536.0) as u32;
                for count in [4, 16, 64, SPAN] {
                    let mean = probability * count as f64;
                    let square = |bits: &[u32]| {
                        let up = bits.iter().filter(|&&bits| bits < limit).count();
                        (up as f64 - mean).powi(2)
                    };
                    let groups = bits.chunks_exact(count);
                    let n = groups.len() as f64;
                    let variance = mean * (1.0 - probability);
                    // Of the square of a binomial variable, by its fourth moment.
                    let spread = 2.0 + (1.0 - 6.0 * probability * (1.0 - probability)) / variance;
                    let ratio = groups.map(square).sum::<f64>() / n / variance;
                    let deviation = (ratio - 1.0) / (spread / n).sqrt();
                    assert!(deviation.abs() < 5.0, "{end}, {probability} of {count}: {ratio}");
                }
            }
        }
    }
}
