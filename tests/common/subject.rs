//! Every rule with every combination of its options.
//!
//! Needs only `core`: the conformance program compiles this file, too.

use core::fmt::Debug;

use gradstep::{
    Adadelta, AdadeltaState, Adagrad, AdagradState, Adam, AdamState, AdamW, Amsgrad, EpsPlacement,
    RmsProp, RmsPropState, Rule, Sgd, SgdState, StateOf,
};

/// The buffers of a rule, by position.
pub type Buffers<T> = [Option<T>; 3];

/// A rule that the tests know.
///
/// Tests go through `gradstep::for_each_rule!`, so a new rule does not compile without this.
pub trait Subject: Rule + Debug + PartialEq {
    /// Every layout of the state and every branch of the formula, in every combination. All
    /// fields are written out, so a new field does not compile without a decision here.
    fn variants() -> impl Iterator<Item = Self>;

    /// The hyperparameters at which a formula changes its form, where that is between two values and
    /// not between on and off.
    fn on_the_edge() -> Self;

    /// The names of all buffers, in the order of [`bind`](Subject::bind).
    const BUFFERS: &'static [&'static str];

    /// The state with these buffers.
    fn bind<T>(buffers: Buffers<T>) -> StateOf<Self, T>;
}

/// `every!(Rule { field: values, ... })`: the product of the values, the last field's changing
/// fastest.
macro_rules! every {
    ($rule:ident { $($field:ident: $values:expr,)* }) => {{
        let count = 1 $(* $values.len())*;
        (0..count).map(move |index| {
            let (mut index, mut step) = (index, count);
            $(
                step /= $values.len();
                let $field = $values[index / step];
                index %= step;
            )*
            let _ = index; // 0 now
            $rule { $($field),* }
        })
    }};
}

/// Where the form of an average changes.
const HALF: f64 = 0.5;

const FLAG: [bool; 2] = [false, true];
const EPS: [f64; 2] = [1e-8, 1e-3];
const OUTSIDE_INSIDE: [EpsPlacement; 2] = [EpsPlacement::Outside, EpsPlacement::Inside];

impl Subject for Sgd {
    const BUFFERS: &'static [&'static str] = &["momentum_buffer"];

    fn variants() -> impl Iterator<Item = Self> {
        every!(Sgd {
            lr: [0.03],
            momentum: [0.0, 0.9],
            dampening: [0.0, 0.3, -0.7],
            weight_decay: [0.0, 0.01],
            nesterov: FLAG,
            lr_inside: FLAG,
            maximize: FLAG,
        })
        .filter(|sgd| !sgd.nesterov || sgd.momentum > 0.0 && sgd.dampening == 0.0)
    }

    fn on_the_edge() -> Self {
        Self::default()
    }

    fn bind<T>(buffers: Buffers<T>) -> SgdState<T> {
        let [momentum_buffer, None, None] = buffers else { panic!("two buffers too many") };
        SgdState { momentum_buffer }
    }
}

impl Subject for Adagrad {
    const BUFFERS: &'static [&'static str] = &["sum"];

    fn variants() -> impl Iterator<Item = Self> {
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

    fn on_the_edge() -> Self {
        Self::default()
    }

    fn bind<T>(buffers: Buffers<T>) -> AdagradState<T> {
        let [Some(sum), None, None] = buffers else { panic!("not Adagrad's buffers") };
        AdagradState { sum }
    }
}

impl Subject for RmsProp {
    const BUFFERS: &'static [&'static str] = &["square_avg", "grad_avg", "momentum_buffer"];

    fn variants() -> impl Iterator<Item = Self> {
        every!(RmsProp {
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
        })
        // The initial value is no branch of the formula, and goes with another one.
        .filter(|rmsprop| (rmsprop.initial_square_avg == 1.0) == rmsprop.lr_inside)
    }

    fn on_the_edge() -> Self {
        Self { alpha: HALF, centered: true, ..Self::default() }
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

    fn variants() -> impl Iterator<Item = Self> {
        every!(Adadelta {
            lr: [1.0, 0.3],
            rho: [0.9, 0.2],
            eps: [1e-6, 1e-3],
            weight_decay: [0.0, 0.01],
            maximize: FLAG,
        })
    }

    fn on_the_edge() -> Self {
        Self { rho: HALF, ..Self::default() }
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

    fn variants() -> impl Iterator<Item = Self> {
        BETAS.into_iter().flat_map(|(beta1, beta2)| {
            every!(Adam {
                lr: [0.001],
                beta1: [beta1],
                beta2: [beta2],
                eps: EPS,
                weight_decay: [0.0, 0.01],
                amsgrad: Amsgrad::ALL,
                eps_placement: EpsPlacement::ALL,
                maximize: FLAG,
            })
        })
    }

    fn on_the_edge() -> Self {
        Self { beta1: HALF, beta2: HALF, ..Self::default() }
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

    fn variants() -> impl Iterator<Item = Self> {
        BETAS.into_iter().flat_map(|(beta1, beta2)| {
            every!(AdamW {
                lr: [0.001],
                beta1: [beta1],
                beta2: [beta2],
                eps: EPS,
                weight_decay: [0.0, 0.3],
                amsgrad: Amsgrad::ALL,
                eps_placement: EpsPlacement::ALL,
                maximize: FLAG,
            })
        })
    }

    fn on_the_edge() -> Self {
        Self { beta1: HALF, beta2: HALF, ..Self::default() }
    }

    fn bind<T>(buffers: Buffers<T>) -> AdamState<T> {
        Adam::bind(buffers)
    }
}

/// The names of the buffers that these hyperparameters need.
pub fn buffer_names<R: Subject>(rule: &R) -> Buffers<&'static str> {
    let expects = rule.expects();
    core::array::from_fn(|position| R::BUFFERS.get(position).copied().filter(|_| expects[position]))
}
