//! What the tests share: every rule with every combination of its options, data, and a comparison.

#![allow(dead_code)] // no test needs all of it

use std::fmt::Debug;

use gradstep::{
    Adadelta, AdadeltaState, Adagrad, AdagradState, Adam, AdamState, AdamW, Amsgrad, EpsPlacement,
    Error, RmsProp, RmsPropState, Rule, Sgd, SgdState, StateOf, Step, Tensor,
};

/// The buffers of a rule, by position.
pub type Buffers<T> = [Option<T>; 3];

/// A rule that the tests know.
///
/// Tests go through `gradstep::for_each_rule!`, so a new rule does not compile without this.
pub trait Subject: Rule + Debug + PartialEq {
    /// Every layout of the state and every branch of the formula, in every combination. All
    /// fields are written out, so a new field does not compile without a decision here.
    fn variants() -> Vec<Self>;

    /// The names of all buffers, in the order of [`bind`](Subject::bind).
    const BUFFERS: &'static [&'static str];

    /// The state with these buffers.
    fn bind<T>(buffers: Buffers<T>) -> StateOf<Self, T>;
}

/// All variants, or with `GRADSTEP_EVERY=7` every seventh: for what runs slowly.
pub fn some_variants<R: Subject>() -> impl Iterator<Item = R> {
    let every = std::env::var("GRADSTEP_EVERY").map_or(1, |every| every.parse().unwrap());
    R::variants().into_iter().step_by(every)
}

/// `every!(Rule { field: values, ... })`: the product of the values.
macro_rules! every {
    (@loop [$field:ident: $values:expr, $($rest:tt)*] $rule:ident $fields:tt $all:ident) => {
        for $field in $values {
            every!(@loop [$($rest)*] $rule $fields $all);
        }
    };
    (@loop [] $rule:ident [$($field:ident)*] $all:ident) => {
        $all.push($rule { $($field),* });
    };
    ($rule:ident { $($field:ident: $values:expr,)* }) => {{
        let mut all = Vec::new();
        every!(@loop [$($field: $values,)*] $rule [$($field)*] all);
        all
    }};
}

const FLAG: [bool; 2] = [false, true];
const EPS: [f64; 2] = [1e-8, 1e-3];
const OUTSIDE_INSIDE: [EpsPlacement; 2] = [EpsPlacement::Outside, EpsPlacement::Inside];

impl Subject for Sgd {
    const BUFFERS: &'static [&'static str] = &["momentum_buffer"];

    fn variants() -> Vec<Self> {
        let mut all = every!(Sgd {
            lr: [0.03],
            momentum: [0.0, 0.9],
            dampening: [0.0, 0.3, -0.7],
            weight_decay: [0.0, 0.01],
            nesterov: FLAG,
            lr_inside: FLAG,
            maximize: FLAG,
        });
        all.retain(|sgd| !sgd.nesterov || sgd.momentum > 0.0 && sgd.dampening == 0.0);
        all
    }

    fn bind<T>(buffers: Buffers<T>) -> SgdState<T> {
        let [momentum_buffer, None, None] = buffers else { panic!("two buffers too many") };
        SgdState { momentum_buffer }
    }
}

impl Subject for Adagrad {
    const BUFFERS: &'static [&'static str] = &["sum"];

    fn variants() -> Vec<Self> {
        every!(Adagrad {
            lr: [0.01],
            lr_decay: [0.0, 0.03],
            eps: EPS,
            weight_decay: [0.0, 0.01],
            initial_accumulator_value: [0.0, 0.1],
            eps_placement: OUTSIDE_INSIDE,
            maximize: FLAG,
        })
    }

    fn bind<T>(buffers: Buffers<T>) -> AdagradState<T> {
        let [Some(sum), None, None] = buffers else { panic!("not Adagrad's buffers") };
        AdagradState { sum }
    }
}

impl Subject for RmsProp {
    const BUFFERS: &'static [&'static str] = &["square_avg", "grad_avg", "momentum_buffer"];

    fn variants() -> Vec<Self> {
        let mut all = every!(RmsProp {
            lr: [0.003],
            alpha: [0.99, 0.3],
            eps: EPS,
            weight_decay: [0.0, 0.01],
            momentum: [0.0, 0.9],
            initial_square_avg: [0.0, 1.0],
            centered: FLAG,
            eps_placement: OUTSIDE_INSIDE,
            lr_inside: FLAG,
            maximize: FLAG,
        });
        // The initial value is no branch of the formula, and goes with another one.
        all.retain(|rmsprop| (rmsprop.initial_square_avg == 1.0) == rmsprop.lr_inside);
        all
    }

    fn bind<T>(buffers: Buffers<T>) -> RmsPropState<T> {
        let [Some(square_avg), grad_avg, momentum_buffer] = buffers else {
            panic!("not RMSProp's buffers")
        };
        RmsPropState { square_avg, grad_avg, momentum_buffer }
    }
}

impl Subject for Adadelta {
    const BUFFERS: &'static [&'static str] = &["square_avg", "acc_delta"];

    fn variants() -> Vec<Self> {
        every!(Adadelta {
            lr: [1.0, 0.3],
            rho: [0.9, 0.2],
            eps: [1e-6, 1e-3],
            weight_decay: [0.0, 0.01],
            maximize: FLAG,
        })
    }

    fn bind<T>(buffers: Buffers<T>) -> AdadeltaState<T> {
        let [Some(square_avg), Some(acc_delta), None] = buffers else {
            panic!("not Adadelta's buffers")
        };
        AdadeltaState { square_avg, acc_delta }
    }
}

/// Pairs of betas on both sides of 1/2, where the average changes its form.
const BETAS: [(f64, f64); 4] = [(0.9, 0.999), (0.3, 0.999), (0.9, 0.4), (0.0, 0.0)];

impl Subject for Adam {
    const BUFFERS: &'static [&'static str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

    fn variants() -> Vec<Self> {
        BETAS
            .into_iter()
            .flat_map(|(beta1, beta2)| {
                every!(Adam {
                    lr: [0.001],
                    beta1: [beta1],
                    beta2: [beta2],
                    eps: EPS,
                    weight_decay: [0.0, 0.01],
                    amsgrad: Amsgrad::ALL.iter().copied(),
                    eps_placement: EpsPlacement::ALL.iter().copied(),
                    maximize: FLAG,
                })
            })
            .collect()
    }

    fn bind<T>(buffers: Buffers<T>) -> AdamState<T> {
        let [Some(exp_avg), Some(exp_avg_sq), max_exp_avg_sq] = buffers else {
            panic!("not Adam's buffers")
        };
        AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq }
    }
}

impl Subject for AdamW {
    const BUFFERS: &'static [&'static str] = Adam::BUFFERS;

    fn variants() -> Vec<Self> {
        BETAS
            .into_iter()
            .flat_map(|(beta1, beta2)| {
                every!(AdamW {
                    lr: [0.001],
                    beta1: [beta1],
                    beta2: [beta2],
                    eps: EPS,
                    weight_decay: [0.0, 0.3],
                    amsgrad: Amsgrad::ALL.iter().copied(),
                    eps_placement: EpsPlacement::ALL.iter().copied(),
                    maximize: FLAG,
                })
            })
            .collect()
    }

    fn bind<T>(buffers: Buffers<T>) -> AdamState<T> {
        Adam::bind(buffers)
    }
}

/// The names of the buffers that these hyperparameters need.
pub fn buffer_names<R: Subject>(rule: &R) -> Buffers<&'static str> {
    let expects = rule.expects();
    std::array::from_fn(|position| R::BUFFERS.get(position).copied().filter(|_| expects[position]))
}

/// A tensor that owns its slices.
#[derive(Clone, Debug)]
pub struct Owned {
    pub param: Vec<f32>,
    pub grad: Vec<f32>,
    pub state: Buffers<Vec<f32>>,
}

impl Owned {
    /// State as `init` leaves it.
    pub fn new<R: Subject>(rule: &R, param: Vec<f32>, grad: Vec<f32>) -> Self {
        let mut state = buffer_names(rule).map(|name| name.map(|_| vec![f32::NAN; param.len()]));
        rule.init(R::bind(state.each_mut().map(|buffer| buffer.as_deref_mut()))).unwrap();
        Self { param, grad, state }
    }

    pub fn apply<R: Subject>(&mut self, step: &Step<R>) -> Result<(), Error> {
        let state = self.state.each_mut().map(|buffer| buffer.as_deref_mut());
        step.apply(&mut self.param, &self.grad, R::bind(state))
    }

    pub fn tensor<R: Subject>(&mut self) -> Tensor<'_, R> {
        let state = self.state.each_mut().map(|buffer| buffer.as_deref_mut());
        Tensor { param: &mut self.param, grad: &self.grad, state: R::bind(state) }
    }

    /// The elements of a range.
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            param: self.param[range.clone()].to_vec(),
            grad: self.grad[range.clone()].to_vec(),
            state: self
                .state
                .each_ref()
                .map(|buffer| buffer.as_ref().map(|buffer| buffer[range.clone()].to_vec())),
        }
    }

    /// Everything that a step writes: the parameters and the state.
    pub fn written(&self) -> impl Iterator<Item = &[f32]> {
        [Some(&self.param)]
            .into_iter()
            .chain(self.state.iter().map(Option::as_ref))
            .flatten()
            .map(Vec::as_slice)
    }

    pub fn same_bits(&self, other: &Self) -> bool {
        self.written().count() == other.written().count()
            && self.written().zip(other.written()).all(|(a, b)| same_bits(a, b))
    }
}

/// Whether two numbers have the same bits, or are both NaN.
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

pub fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| same(a, b))
}

/// SplitMix64: integers only, so every platform draws the same numbers.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// From 2^-20 to 2^7, about 1e-6 to 1e2, each octave alike.
    pub fn magnitude(&mut self) -> f32 {
        let exponent = 127 - 20 + self.below(27) as u32;
        f32::from_bits(exponent << 23 | (self.next() >> 41) as u32)
    }

    pub fn sign(&mut self) -> f32 {
        if self.next() & 1 == 0 { 1.0 } else { -1.0 }
    }

    /// A magnitude with a sign; one in eight is a zero, of either sign.
    pub fn number(&mut self) -> f32 {
        self.sign() * if self.below(8) == 0 { 0.0 } else { self.magnitude() }
    }

    /// Anything, and often what makes trouble.
    pub fn wild(&mut self) -> f32 {
        let special = [
            0.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            f32::from_bits(0x7f_ffff),
            1e-40,
            1e-19,
            1e19,
            1e38,
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
            1.0,
        ];
        match self.below(4) {
            0 => f32::from_bits(self.next() as u32),
            1 => self.sign() * special[self.below(special.len())],
            _ => self.number(),
        }
    }
}

/// The state that a run may have reached: averages of squares are not negative, and not below the
/// square of the average.
pub fn random_state<R: Subject>(rule: &R, n: usize, rng: &mut Rng) -> Buffers<Vec<f32>> {
    let mut state: Buffers<Vec<f32>> = [None, None, None];
    for (position, name) in buffer_names(rule).into_iter().enumerate() {
        let Some(name) = name else { continue };
        let buffer = (0..n).map(|index| match name {
            "momentum_buffer" | "exp_avg" => rng.number(),
            "grad_avg" => {
                let square_avg = state[0].as_ref().unwrap()[index];
                square_avg.sqrt() * (rng.unit() * 2.0 - 1.0) * 0.95
            }
            "sum" | "square_avg" | "acc_delta" | "exp_avg_sq" | "max_exp_avg_sq" => {
                let root = rng.number();
                root * root
            }
            _ => panic!("a buffer that the tests do not know: {name}"),
        });
        state[position] = Some(buffer.collect());
    }
    state
}
