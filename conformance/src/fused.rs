//! The bits of fused steps: numbers of every format, roundings, and what comes after the update.

use core::ops::Range;

use gradstep::{
    Blocks, BlocksMut, Epilogue, FusedStep, FusedTensor, Gradient, Rounding, Values, ValuesMut,
    block_count,
};

use crate::numbers::{Rng, is_square, reached};
use crate::subject::{Subject, buffer_names};
use crate::{Fnv1a, STEPS, TREATMENTS, bits};

/// Around blocks that share an exponent, those that share random bits, and registers. Their number has
/// no factor in common with that of the formats.
const LENGTHS: [usize; 11] = [1, 64, 200, 63, 16, 65, 257, 0, 128, 255, 256];
const LONGEST: usize = 257;
const MOST_BLOCKS: usize = block_count(LONGEST);

/// Where tensors may be in a model.
const OFFSETS: [u64; 4] = [0, 256, 1 << 40, u64::MAX - 255];

/// Every so-many-th variant of a rule, which has no factor in common with the numbers of values that
/// options have.
const EVERY: usize = 7;

/// Adds the bits that a rule's fused steps leave behind, each tensor as a whole and in parts.
pub(crate) fn add<R: Subject>(hash: &mut Fnv1a) {
    let mut rng = Rng(2);
    for (index, rule) in R::variants().step_by(EVERY).chain([R::on_the_edge()]).enumerate() {
        let seed = rng.next();
        let run = |in_parts| {
            let mut hash = Fnv1a(hash.0);
            run(&rule, index, in_parts, &mut Rng(seed), &mut hash);
            hash
        };
        let (whole, parts) = (run(false), run(true));
        assert!(whole.0 == parts.0, "{} in parts, fused: variant {index}", R::name());
        *hash = whole;
    }
}

/// A few steps. What is drawn is the same for a tensor in parts.
#[inline(never)]
fn run<R: Subject>(rule: &R, index: usize, in_parts: bool, rng: &mut Rng, hash: &mut Fnv1a) {
    let n = LENGTHS[index % LENGTHS.len()];
    let mut places = [const { Place::F32([0.0; LONGEST]) }; PLACES];
    fill(rule, n, &mut places, rng);
    let names = buffer_names(rule);
    let (is_copy, zero) = (rng.below(2) == 0, rng.below(2) == 0);
    let offset = OFFSETS[rng.below(OFFSETS.len())];
    let bounded = rng.below(2) == 0;
    let epilogue = Epilogue {
        ema_decay: [0.0, 0.3, 0.999, 1.0][rng.below(4)],
        param_min: if bounded { -0.25 } else { f64::NEG_INFINITY },
        param_max: if bounded { 30.0 } else { f64::INFINITY },
        rounding: match rng.below(3) {
            0 => Rounding::Nearest,
            _ => Rounding::Stochastic { seed: rng.next() },
        },
    };
    for late in 0..2 {
        let (factor, bound) = TREATMENTS[(index + late) % TREATMENTS.len()];
        let step = rule.at(STEPS[(index + 3 * late) % STEPS.len()]);
        let step = step.and_then(|step| step.scale_grad(factor)?.clamp_grad(bound)?.fuse(epilogue));
        let step = step.unwrap();
        let has = |index| match index {
            PARAM | GRAD | FOLLOWER => true,
            _ => names[index - STATE].is_some(),
        };
        let mut apply = |part| apply(rule, &step, &mut places, part, is_copy, zero, offset);
        if in_parts {
            let cut = if n > 256 { 256 } else { 0 };
            apply(cut..n);
            apply(0..cut);
        } else {
            apply(0..n);
        }
        for (index, place) in places.iter().enumerate() {
            if has(index) {
                place.hash(n, hash);
            }
        }
        places[GRAD].fill(n, |numbers| numbers.fill_with(|| rng.number()));
    }
}

/// Draws formats, and numbers from a run's middle, with some that make trouble.
#[inline(never)]
fn fill<R: Subject>(rule: &R, n: usize, places: &mut [Place; PLACES], rng: &mut Rng) {
    let names = buffer_names(rule);
    for index in 0..PLACES {
        let Some(buffer) = index.checked_sub(STATE).filter(|&buffer| buffer < names.len()) else {
            places[index] = Place::new(rng.below(3), false);
            places[index].fill(n, |numbers| {
                numbers.fill_with(|| if rng.below(16) == 0 { rng.wild() } else { rng.number() });
            });
            continue;
        };
        let Some(name) = names[buffer] else { continue };
        places[index] = Place::new(rng.below(4), is_square(name));
        let (first, others) = places.split_at_mut(STATE + 1);
        let (first, place) = match buffer {
            0 => (None, &mut first[STATE]),
            _ => (Some(&first[STATE]), &mut others[buffer - 1]),
        };
        let mut start = 0;
        place.fill(n, |numbers| {
            // A gradient's average follows that of its square.
            if let Some(first) = first {
                first.part(start..start + numbers.len()).read(numbers).unwrap();
            }
            start += numbers.len();
            for number in numbers {
                *number = reached(name, Some(*number), rng);
                if rng.below(16) == 0 {
                    let wild = rng.wild();
                    *number = if is_square(name) { wild.abs() } else { wild };
                }
            }
        });
    }
}

/// A step on some elements.
#[inline(never)]
fn apply<R: Subject>(
    rule: &R,
    step: &FusedStep<R>,
    places: &mut [Place; PLACES],
    part: Range<usize>,
    is_copy: bool,
    zero: bool,
    offset: u64,
) {
    let [param, grad, a, b, c, follower] = places;
    let names = buffer_names(rule);
    let view = |buffer: usize, place| names[buffer].map(|_| Place::part_mut(place, part.clone()));
    let follower = follower.part_mut(part.clone());
    let (ema, copy) = if is_copy { (None, Some(follower)) } else { (Some(follower), None) };
    let tensor = FusedTensor {
        param: param.part_mut(part.clone()),
        grad: if zero {
            Gradient::Zero(grad.part_mut(part.clone()))
        } else {
            Gradient::Keep(grad.part(part.clone()))
        },
        state: R::bind([view(0, a), view(1, b), view(2, c)]),
        ema,
        copy,
        offset: offset.wrapping_add(part.start as u64),
    };
    step.apply(tensor).unwrap();
}

/// What a fused step has: parameters, gradient, three buffers of state, and an average or a copy; there is
/// no memory for both.
const PLACES: usize = 6;
const PARAM: usize = 0;
const GRAD: usize = 1;
const STATE: usize = 2;
const FOLLOWER: usize = 5;

/// Room for numbers of a format.
#[allow(clippy::large_enum_variant)] // without allocation
enum Place {
    F32([f32; LONGEST]),
    Bf16([u16; LONGEST]),
    F16([u16; LONGEST]),
    E4m3([u32; 16 * MOST_BLOCKS], [u8; MOST_BLOCKS]),
    E5m3([u32; 16 * MOST_BLOCKS], [u8; MOST_BLOCKS]),
}

impl Place {
    fn new(format: usize, is_square: bool) -> Self {
        let (codes, exponents) = ([0; 16 * MOST_BLOCKS], [0; MOST_BLOCKS]);
        match format {
            0 => Self::F32([0.0; LONGEST]),
            1 => Self::Bf16([0; LONGEST]),
            2 => Self::F16([0; LONGEST]),
            _ if is_square => Self::E5m3(codes, exponents),
            _ => Self::E4m3(codes, exponents),
        }
    }

    /// Fills `n` elements, a block at a time.
    fn fill(&mut self, n: usize, mut fill: impl FnMut(&mut [f32])) {
        let mut numbers = [0.0; 64];
        for start in (0..n).step_by(64) {
            let end = n.min(start + 64);
            let numbers = &mut numbers[..end - start];
            fill(numbers);
            self.part_mut(start..end).write(numbers).unwrap();
        }
    }

    /// Elements of a range that begins where a block does.
    fn part(&self, part: Range<usize>) -> Values<'_> {
        let blocks = part.start / 64..block_count(part.end);
        let words = 16 * blocks.start..16 * blocks.end;
        match self {
            Self::F32(numbers) => Values::F32(&numbers[part]),
            Self::Bf16(codes) => Values::Bf16(&codes[part]),
            Self::F16(codes) => Values::F16(&codes[part]),
            Self::E4m3(codes, exponents) => {
                Values::E4m3(Blocks { codes: &codes[words], exponents: &exponents[blocks] })
            }
            Self::E5m3(codes, exponents) => {
                Values::E5m3(Blocks { codes: &codes[words], exponents: &exponents[blocks] })
            }
        }
    }

    /// The same, to write.
    fn part_mut(&mut self, part: Range<usize>) -> ValuesMut<'_> {
        let blocks = part.start / 64..block_count(part.end);
        let words = 16 * blocks.start..16 * blocks.end;
        match self {
            Self::F32(numbers) => ValuesMut::F32(&mut numbers[part]),
            Self::Bf16(codes) => ValuesMut::Bf16(&mut codes[part]),
            Self::F16(codes) => ValuesMut::F16(&mut codes[part]),
            Self::E4m3(codes, exponents) => ValuesMut::E4m3(BlocksMut {
                codes: &mut codes[words],
                exponents: &mut exponents[blocks],
            }),
            Self::E5m3(codes, exponents) => ValuesMut::E5m3(BlocksMut {
                codes: &mut codes[words],
                exponents: &mut exponents[blocks],
            }),
        }
    }

    /// Adds the bits of the first `n` numbers. Which NaN a NaN is stays open.
    fn hash(&self, n: usize, hash: &mut Fnv1a) {
        let halves = |codes: &[u16], infinity, hash: &mut Fnv1a| {
            for &code in codes {
                hash.add(if code & 0x7fff > infinity { 0x7fff } else { code }.into());
            }
        };
        match self.part(0..n) {
            Values::F32(numbers) => numbers.iter().for_each(|&x| hash.add(bits(x))),
            Values::Bf16(codes) => halves(codes, 0x7f80, hash),
            Values::F16(codes) => halves(codes, 0x7c00, hash),
            Values::E4m3(blocks) | Values::E5m3(blocks) => {
                blocks.codes.iter().for_each(|&word| hash.add(word));
                blocks.exponents.iter().for_each(|&exponent| hash.add(exponent.into()));
            }
            _ => unreachable!("all formats are above"),
        }
    }
}
