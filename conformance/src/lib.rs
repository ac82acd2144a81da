//! What every machine must agree on: the bits of every rule, as one hash per rule, those of norms, and
//! those of fused steps.
//!
//! Machines that cannot be compared in one process compare these hashes, with those in
//! `expected.txt`. They cover every branch of every formula and every layout of the state, lengths
//! around the widths of registers and of blocks of them, numbers of all kinds in parameters,
//! gradients and state, and steps from the first to the last possible. Where they change with the
//! machine, the contract is broken; where they change with the code, a formula has changed, or what
//! is computed here.
//!
//! Needs only `core`, and 16 KB of memory.

#![no_std]

mod fused;
#[allow(dead_code)] // the tests need more of it
#[path = "../../tests/common/numbers.rs"]
mod numbers;
#[path = "../../tests/common/subject.rs"]
mod subject;

use core::fmt::{self, Write};
use core::ops::Range;

use gradstep::{Backend, LossScale, Norm, Preset, Rule, Step};

use numbers::{Rng, is_square, reached};
use subject::{Subject, buffer_names};

/// A rule's name, `norm`, or `fused`, and the hash of its bits.
pub type Line = (&'static str, u64);

macro_rules! tables {
    ($($rule:ident),*) => {
        /// How many lines the table has: one for each rule, one for the norm, and one for fused steps.
        pub const LINES: usize = [$(stringify!($rule)),*].len() + 2;

        /// The hashes of all rules, of norms, and of fused steps, on the backend in use.
        ///
        /// # Panics
        ///
        /// A step or a norm in parts has other bits than the one of the whole.
        pub fn table() -> [Line; LINES] {
            let mut fused = Fnv1a::new();
            $(fused::add::<gradstep::$rule>(&mut fused);)*
            [
                $((gradstep::$rule::name(), hash::<gradstep::$rule>()),)*
                ("norm", hash_of_norms()),
                ("fused", fused.0),
            ]
        }
    };
}
gradstep::for_each_rule!(tables);

/// The hashes as recorded, in the order of [`table`]'s.
///
/// # Panics
///
/// A line of `expected.txt` is not a name and a hash.
pub fn expected() -> impl Iterator<Item = Line> {
    let lines = include_str!("../expected.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (rule, hash) = line.split_once(' ').unwrap();
        (rule, u64::from_str_radix(hash.trim_start(), 16).unwrap())
    })
}

/// Prints the table of each backend that is available here, and says whether all are as expected.
///
/// # Errors
///
/// `out` refused what was written.
pub fn report(target: &str, out: &mut impl Write) -> Result<bool, fmt::Error> {
    let bits = usize::BITS;
    let endian = if cfg!(target_endian = "big") { "big" } else { "little" };
    writeln!(out, "{target}, {bits} bits, {endian}-endian")?;
    let mut conforms = true;
    for backend in Backend::ALL.iter().filter(|backend| backend.force().is_ok()) {
        writeln!(out, "{}", backend.name())?;
        let table = table();
        for (rule, hash) in table {
            writeln!(out, "{rule:<9} {hash:016x}")?;
        }
        if !table.into_iter().eq(expected()) {
            writeln!(out, "this is not what expected.txt has")?;
            conforms = false;
        }
    }
    Ok(conforms)
}

/// Around the widths of registers, 4, 8 and 16, and of blocks of them. Their number has no factor in
/// common with the numbers of values that options have, so every option meets every length.
const LENGTHS: [usize; 17] = [1, 4, 16, 67, 2, 8, 33, 0, 5, 15, 131, 3, 9, 17, 31, 7, 40];
const LONGEST: usize = 131;

/// Each variant's steps: the first ones, later ones, one that 32 bits would take for the first, and the
/// last one.
const STEPS: [u64; 7] = [1, 2, 3, 30, 1000, (1 << 32) + 1, u64::MAX];

/// What a call may ask for around the update, a factor and a bound; the first is nothing. As many as
/// there are steps, so that each variant meets each, at a step that changes.
const TREATMENTS: [(f64, f64); STEPS.len()] = [
    (1.0, f64::INFINITY),
    (0.1, f64::INFINITY),
    (1.0, 0.5),
    (-3.0, 2.0),
    (0.7, 40.0),
    (0.0, f64::INFINITY),
    (1e30, 0.0),
];

/// How many steps the defaults of each source take, one after the other.
const LONG_RUN: u64 = 60;
const LONG_RUN_LENGTH: usize = 19;

/// The bits that a rule leaves behind.
///
/// A function of its own, as others here, so that no frame has the memory of two.
#[inline(never)]
fn hash<R: Subject>() -> u64 {
    let mut rng = Rng(0);
    let mut hash = Fnv1a::new();
    let mut run = Run::new();
    for (index, rule) in R::variants().chain([R::on_the_edge()]).enumerate() {
        run.start(&rule, LENGTHS[index % LENGTHS.len()], &mut rng);
        run.anything_goes(&rule, &mut rng);
        for (late, t) in STEPS.into_iter().enumerate() {
            run.draw_gradient(8, &mut rng);
            let (factor, bound) = TREATMENTS[(index + late) % TREATMENTS.len()];
            let step = rule.at(t).and_then(|step| step.scale_grad(factor)?.clamp_grad(bound));
            run.apply(&step.unwrap(), &mut rng, &mut hash);
        }
    }
    for rule in Preset::ALL.iter().filter_map(|&preset| R::preset(preset).ok()) {
        run.start(&rule, LONG_RUN_LENGTH, &mut rng);
        for t in 1..=LONG_RUN {
            run.draw_gradient(256, &mut rng);
            run.apply(&rule.at(t).unwrap(), &mut rng, &mut hash);
        }
    }
    hash.0
}

/// Around the blocks of a norm, and the lanes in them.
const NORM_LENGTHS: [usize; 15] =
    [0, 1, 31, 32, 33, 64, 100, 255, 256, 257, 300, 511, 512, 513, LONGEST_OF_NORM];
const LONGEST_OF_NORM: usize = 600;

/// The bits of sums of squares, norms and factors, of gradients of all kinds, each as a whole and in
/// parts; and those of a loss scale that they move.
#[inline(never)]
fn hash_of_norms() -> u64 {
    let mut rng = Rng(1);
    let mut hash = Fnv1a::new();
    let mut loss_scale =
        LossScale { growth_factor: 3.0, growth_interval: 2, ..LossScale::default() };
    let mut all = Norm::new();
    let mut place = [f32::NAN; LONGEST_OF_NORM + SHIFTS - 1];
    for round in 0..6 * NORM_LENGTHS.len() {
        let shift = rng.below(SHIFTS);
        let grad = &mut place[shift..shift + NORM_LENGTHS[round % NORM_LENGTHS.len()]];
        // Usual ones, ones of any size, and anything.
        let kind = round / NORM_LENGTHS.len() % 3;
        grad.fill_with(|| {
            loop {
                let x = if kind == 0 { rng.number() } else { rng.wild() };
                if kind == 2 || x.is_finite() {
                    return x;
                }
            }
        });
        let mut norm = Norm::new();
        norm.add(grad);
        let mut parts = Norm::new();
        for part in grad.chunks(256).rev() {
            let mut other = Norm::new();
            other.add(part);
            parts.merge(&other);
        }
        assert!(norm == parts, "a norm in parts: {norm:?} {parts:?}");
        if kind < 2 {
            all.merge(&norm);
        }
        let factor = loss_scale.advance(&norm, 1.0).unwrap();
        assert!(factor.is_some() == norm.is_finite());
        for number in [norm.sum_of_squares(), norm.norm(), all.norm()] {
            hash.add_wide(number);
        }
        hash.add_wide(factor.unwrap_or(f64::NAN));
        hash.add_wide(loss_scale.scale);
    }
    hash.0
}

/// A tensor that is updated as a whole, and another one in parts.
struct Run {
    whole: Tensor,
    parts: Tensor,
}

impl Run {
    /// One of them is enough for all rules and variants: a microcontroller has no memory for two.
    fn new() -> Self {
        Self { whole: Tensor::new(), parts: Tensor::new() }
    }

    /// Parameters, and state as `init` leaves it.
    fn start<R: Subject>(&mut self, rule: &R, len: usize, rng: &mut Rng) {
        self.whole.clear(rule, len, 0);
        self.parts.clear(rule, len, 1 + rng.below(SHIFTS - 1));
        self.whole.param().fill_with(|| rng.number());
        self.parts.param().copy_from_slice(self.whole.param());
        for tensor in [&mut self.whole, &mut self.parts] {
            rule.init(R::bind(tensor.state(0..len))).unwrap();
        }
    }

    /// Makes the state of some elements one that a run may have reached, and puts what makes trouble
    /// into some of them, and some parameters.
    fn anything_goes<R: Subject>(&mut self, rule: &R, rng: &mut Rng) {
        for index in 0..self.whole.at.len() {
            let element = index..index + 1;
            if rng.below(8) == 0 {
                let wild = rng.wild();
                self.whole.param()[index] = wild;
                self.parts.param()[index] = wild;
            }
            if rng.below(4) == 0 {
                continue;
            }
            let mut first = None;
            let names = buffer_names(rule).into_iter();
            let whole = self.whole.state(element.clone()).into_iter();
            let parts = self.parts.state(element).into_iter();
            for ((name, whole), parts) in names.zip(whole).zip(parts) {
                if let (Some(name), Some([whole]), Some([parts])) = (name, whole, parts) {
                    let mut number = reached(name, first, rng);
                    first = first.or(Some(number));
                    if rng.below(8) == 0 {
                        let wild = rng.wild();
                        number = if is_square(name) { wild.abs() } else { wild };
                    }
                    (*whole, *parts) = (number, number);
                }
            }
        }
    }

    /// New gradients, one in `wild` of them of the kind that makes trouble.
    fn draw_gradient(&mut self, wild: usize, rng: &mut Rng) {
        let gradient = self.whole.grad();
        gradient.fill_with(|| if rng.below(wild) == 0 { rng.wild() } else { rng.number() });
        self.parts.grad().copy_from_slice(gradient);
    }

    /// Steps, compares, and hashes.
    fn apply<R: Subject>(&mut self, step: &Step<R>, rng: &mut Rng, hash: &mut Fnv1a) {
        let len = self.whole.at.len();
        self.whole.apply(step, 0..len);
        if rng.below(2) == 0 {
            let chunks = 2 + rng.below(3);
            for index in (0..chunks).rev() {
                self.parts.apply(step, len * index / chunks..len * (index + 1) / chunks);
            }
        } else {
            let cut = rng.below(len + 1);
            let before = rng.below(cut + 1);
            for part in [before..cut, 0..before, cut..len] {
                self.parts.apply(step, part);
            }
        }
        for (whole, parts) in self.whole.written().zip(self.parts.written()) {
            for (&whole, &parts) in whole.iter().zip(parts) {
                assert!(bits(whole) == bits(parts), "{} in parts: {whole:e} {parts:e}", R::name());
                hash.add(bits(whole));
            }
        }
    }
}

/// A slice may begin this many elements late in its place, less one: at another alignment.
const SHIFTS: usize = 4;

/// Where a slice is.
type Place = [f32; LONGEST + SHIFTS - 1];

/// Parameters, their gradient, and what state the rule has, each in `at` of its place.
struct Tensor {
    param: Place,
    grad: Place,
    state: [Option<Place>; 3],
    at: Range<usize>,
}

/// What a place has that nothing was written to.
const NOTHING: Place = [f32::NAN; LONGEST + SHIFTS - 1];

impl Tensor {
    fn new() -> Self {
        Self { param: NOTHING, grad: NOTHING, state: [None; 3], at: 0..0 }
    }

    fn clear<R: Subject>(&mut self, rule: &R, len: usize, shift: usize) {
        (self.param, self.grad) = (NOTHING, NOTHING);
        for (place, name) in self.state.iter_mut().zip(buffer_names(rule)) {
            *place = name.map(|_| NOTHING);
        }
        self.at = shift..shift + len;
    }

    fn param(&mut self) -> &mut [f32] {
        &mut self.param[self.at.clone()]
    }

    fn grad(&mut self) -> &mut [f32] {
        &mut self.grad[self.at.clone()]
    }

    /// The elements of the state in a range of the slices.
    fn state(&mut self, range: Range<usize>) -> [Option<&mut [f32]>; 3] {
        let state = self.state.each_mut().map(Option::as_mut);
        state.map(|buffer| buffer.map(|place| &mut place[self.at.clone()][range.clone()]))
    }

    fn apply<R: Subject>(&mut self, step: &Step<R>, range: Range<usize>) {
        let Self { param, grad, state, at } = self;
        let range = at.start + range.start..at.start + range.end;
        let state =
            state.each_mut().map(|buffer| buffer.as_mut().map(|place| &mut place[range.clone()]));
        step.apply(&mut param[range.clone()], &grad[range.clone()], R::bind(state)).unwrap();
    }

    /// Everything that a step writes.
    fn written(&self) -> impl Iterator<Item = &[f32]> {
        let buffers = [Some(&self.param)].into_iter().chain(self.state.iter().map(Option::as_ref));
        buffers.flatten().map(|place| &place[self.at.clone()])
    }
}

/// Which NaN a NaN is stays open.
fn bits(x: f32) -> u32 {
    if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }
}

/// The 64-bit hash of Fowler, Noll and Vo, 1a, of words with their least significant byte first.
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add_wide(&mut self, x: f64) {
        let bits = if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
        self.add(bits as u32);
        self.add((bits >> 32) as u32);
    }

    fn add(&mut self, word: u32) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
