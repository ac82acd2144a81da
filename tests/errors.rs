//! Every error of the Rust interface: which argument, which reason, which words; and that nothing
//! has been written.

mod common;

use std::collections::BTreeSet;
use std::sync::Mutex;

use gradstep::{
    Adadelta, Adagrad, Adam, AdamW, Argument, BlocksMut, Epilogue, EpsPlacement, Error, ErrorKind,
    FusedTensor, Gradient, LossScale, Norm, Preset, RmsProp, Rule, Sgd, SgdState, Tensor,
    ValuesMut, chunk,
};

use common::{Buffers, Owned, Rng, Subject, buffer_names};

/// Which values a hyperparameter may have, and the error of all others.
struct Domain {
    kind: ErrorKind,
    good: &'static [f64],
    bad: &'static [f64],
}

/// The largest number that rounds to a finite f32, and the smallest that does not.
const LARGEST: f64 = 3.4028235677973362e38;
const TOO_LARGE: f64 = 3.4028235677973366e38;

const NON_NEGATIVE: Domain = Domain {
    kind: ErrorKind::NotNonNegative,
    good: &[0.0, -0.0, 1e-300, 1.0, LARGEST],
    bad: &[-1e-300, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, TOO_LARGE, 1e300],
};

const FINITE: Domain = Domain {
    kind: ErrorKind::NotFinite,
    good: &[0.0, -0.0, 1e-300, -1.0, 1.0, LARGEST, -LARGEST],
    bad: &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, TOO_LARGE, -TOO_LARGE, 1e300],
};

const UNIT_INTERVAL: Domain = Domain {
    kind: ErrorKind::NotInUnitInterval,
    good: &[0.0, -0.0, 1e-300, 0.5, 1.0 - f64::EPSILON / 2.0],
    bad: &[-1e-300, 1.0, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
};

const FRACTION: Domain = Domain {
    kind: ErrorKind::NotAFraction,
    good: &[0.0, -0.0, 1e-300, 0.5, 1.0 - f64::EPSILON / 2.0, 1.0],
    bad: &[-1e-300, 1.0 + f64::EPSILON, f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
};

const BOUND: Domain = Domain {
    kind: ErrorKind::NotABound,
    good: &[0.0, -0.0, 5e-324, 1.0, 1e300, f64::INFINITY],
    bad: &[-5e-324, -1.0, f64::NEG_INFINITY, f64::NAN],
};

const SMALLEST_NORMAL: f64 = f32::MIN_POSITIVE as f64;

const NORMAL: Domain = Domain {
    kind: ErrorKind::NotNormal,
    good: &[SMALLEST_NORMAL, 1.0, 65536.0, LARGEST],
    bad: &[
        0.0,
        -0.0,
        -1.0,
        5e-324,
        1e-40,
        SMALLEST_NORMAL.next_down(),
        TOO_LARGE,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ],
};

const ABOVE_ONE: Domain = Domain {
    kind: ErrorKind::NotAboveOne,
    good: &[1.0 + f64::EPSILON, 2.0, f64::MAX],
    bad: &[1.0, 0.5, 0.0, -2.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN],
};

const BETWEEN_ZERO_AND_ONE: Domain = Domain {
    kind: ErrorKind::NotBetweenZeroAndOne,
    good: &[5e-324, 0.5, 1.0 - f64::EPSILON / 2.0],
    bad: &[0.0, -0.0, 1.0, 2.0, -0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN],
};

/// The reasons that were seen, so that none is left out.
static SEEN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Checks an error, its parts and its words.
#[track_caller]
fn expect<T>(result: Result<T, Error>, argument: &str, kind: ErrorKind) {
    expect_of(result, None, argument, kind);
}

/// The same, of a tensor of a list.
#[track_caller]
fn expect_of<T>(result: Result<T, Error>, tensor: Option<usize>, argument: &str, kind: ErrorKind) {
    let error = result.err().unwrap_or_else(|| panic!("{argument} was taken"));
    assert_eq!((error.argument().name(), error.kind()), (argument, kind));
    assert_eq!(error.tensor(), tensor);
    let place = tensor.map(|index| format!("tensor {index}: ")).unwrap_or_default();
    assert_eq!(error.to_string(), format!("{place}{argument} {}", words(kind)));
    assert_eq!(format!("{error:?}"), format!("Error({error})"));
    let _: &dyn std::error::Error = &error;
    SEEN.lock().unwrap().insert(kind as i32);
}

/// What a reader is told.
fn words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Length => "must be as long as param",
        ErrorKind::Missing => "is needed by these hyperparameters",
        ErrorKind::Unused => "is not used by these hyperparameters and must be absent",
        ErrorKind::NotNonNegative => "must be finite and at least 0",
        ErrorKind::NotFinite => "must be finite",
        ErrorKind::NotInUnitInterval => "must be at least 0 and less than 1",
        ErrorKind::NotAFraction => "must be at least 0 and at most 1",
        ErrorKind::NotABound => "must be at least 0, and not NaN",
        ErrorKind::Zero => "must be at least 1",
        ErrorKind::NesterovNeedsMomentum => "needs a momentum above 0 and no dampening",
        ErrorKind::Unknown => "has a value that is not defined",
        ErrorKind::Unavailable => "is not available here",
        ErrorKind::OutOfRange => "must be less than the number of chunks",
        ErrorKind::NotNormal => "must be above 0, finite, and not denormal",
        ErrorKind::NotAboveOne => "must be above 1 and finite",
        ErrorKind::NotBetweenZeroAndOne => "must be above 0 and below 1",
        ErrorKind::GradNotFinite => "is not finite: a gradient has a NaN or an infinity",
        ErrorKind::Format => "must have a format that this buffer may have",
        ErrorKind::BlockCount => {
            "must have 16 words and one exponent for each 64 elements of param"
        }
        ErrorKind::NotAMultiple => "must be a multiple of 256",
        ErrorKind::NotAnInterval => "must be at least param_min, and neither may be NaN",
        other => panic!("{other:?} is not an error of Rust"),
    }
}

/// A reason that only pointers have.
fn is_of_c(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Null
            | ErrorKind::Misaligned
            | ErrorKind::Overlap
            | ErrorKind::TooLong
            | ErrorKind::WrongSize
            | ErrorKind::NotZero
    )
}

/// Bits that are nobody's result.
fn untouched(n: usize, rng: &mut Rng) -> Vec<f32> {
    (0..n).map(|_| f32::from_bits(rng.next() as u32)).collect()
}

fn bits(owned: &Owned) -> Vec<u32> {
    owned.written().flatten().map(|x| x.to_bits()).collect()
}

/// Refuses `rule` in every way to call it, with nothing written.
#[track_caller]
fn refused<R: Subject>(rule: R, argument: &str, kind: ErrorKind) {
    expect(rule.at(1).map(|_| ()), argument, kind);
    expect(rule.at(u64::MAX).map(|_| ()), argument, kind);
    let mut rng = Rng(11);
    let mut tensor = Owned {
        param: untouched(20, &mut rng),
        grad: untouched(20, &mut rng),
        state: buffer_names(&rule).map(|name| name.map(|_| untouched(20, &mut rng))),
    };
    let before = bits(&tensor);
    let state = tensor.state.each_mut().map(|buffer| buffer.as_deref_mut());
    expect(rule.step(1, &mut tensor.param, &tensor.grad, R::bind(state)), argument, kind);
    let state = tensor.state.each_mut().map(|buffer| buffer.as_deref_mut());
    expect(rule.init(R::bind(state)), argument, kind);
    assert_eq!(bits(&tensor), before);
    // A count of 0 is found first.
    expect(rule.at(0).map(|_| ()), "t", ErrorKind::Zero);
}

/// Every number and every choice of a rule. All fields are here, or this does not compile.
macro_rules! domains {
    ($test:ident, $rule:ident, { $($field:ident: $domain:ident,)* },
     choices: { $($choice:ident),* }) => {
        #[test]
        fn $test() {
            let default = $rule::default();
            let $rule { $($field: _,)* $($choice: _),* } = default;
            $(
                for &value in $domain.bad {
                    refused($rule { $field: value, ..default }, stringify!($field), $domain.kind);
                }
                for &value in $domain.good {
                    let rule = $rule { $field: value, ..default };
                    assert!(rule.at(1).is_ok() && rule.at(1000).is_ok(), "{rule:?}");
                }
            )*
        }
    };
}

domains!(sgd, Sgd, {
    lr: NON_NEGATIVE,
    momentum: NON_NEGATIVE,
    dampening: FINITE,
    weight_decay: NON_NEGATIVE,
}, choices: { nesterov, lr_inside, maximize });

domains!(adagrad, Adagrad, {
    lr: NON_NEGATIVE,
    lr_decay: NON_NEGATIVE,
    eps: NON_NEGATIVE,
    weight_decay: NON_NEGATIVE,
    initial_accumulator_value: NON_NEGATIVE,
}, choices: { eps_placement, maximize });

domains!(rmsprop, RmsProp, {
    lr: NON_NEGATIVE,
    alpha: FRACTION,
    eps: NON_NEGATIVE,
    weight_decay: NON_NEGATIVE,
    momentum: NON_NEGATIVE,
    initial_square_avg: NON_NEGATIVE,
}, choices: { centered, eps_placement, lr_inside, maximize });

domains!(adadelta, Adadelta, {
    lr: NON_NEGATIVE,
    rho: FRACTION,
    eps: NON_NEGATIVE,
    weight_decay: NON_NEGATIVE,
}, choices: { maximize });

domains!(adam, Adam, {
    lr: LEARNING_RATE,
    beta1: UNIT_INTERVAL,
    beta2: UNIT_INTERVAL,
    eps: NON_NEGATIVE,
    weight_decay: NON_NEGATIVE,
}, choices: { amsgrad, eps_placement, maximize });

domains!(adamw, AdamW, {
    lr: LEARNING_RATE,
    beta1: UNIT_INTERVAL,
    beta2: UNIT_INTERVAL,
    eps: NON_NEGATIVE,
    weight_decay: NON_NEGATIVE,
}, choices: { amsgrad, eps_placement, maximize });

/// Adam divides its learning rate by a correction, which must not make it infinite.
const LEARNING_RATE: Domain = Domain {
    kind: ErrorKind::NotNonNegative,
    good: &[0.0, -0.0, 1e-300, 1.0, 1e37],
    bad: &[-1e-300, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, TOO_LARGE, 1e300],
};

#[test]
fn choices_that_do_not_fit() {
    let (kind, nesterov) =
        (ErrorKind::NesterovNeedsMomentum, Sgd { nesterov: true, ..Sgd::default() });
    refused(nesterov, "nesterov", kind);
    refused(Sgd { momentum: -0.0, ..nesterov }, "nesterov", kind);
    refused(Sgd { momentum: 0.9, dampening: 0.1, ..nesterov }, "nesterov", kind);
    refused(Sgd { momentum: 0.9, dampening: -0.1, ..nesterov }, "nesterov", kind);
    assert!(Sgd { momentum: 0.9, ..nesterov }.at(1).is_ok());
    assert!(Sgd { momentum: 0.9, dampening: -0.0, ..nesterov }.at(1).is_ok());

    let eps_placement = EpsPlacement::Hat; // without a bias to correct
    let kind = ErrorKind::Unknown;
    refused(Adagrad { eps_placement, ..Adagrad::default() }, "eps_placement", kind);
    refused(RmsProp { eps_placement, ..RmsProp::default() }, "eps_placement", kind);

    // Each is a finite f32, and what the loop would get is not.
    let adamw = AdamW { lr: 1e20, weight_decay: 1e20, ..AdamW::default() };
    refused(adamw, "weight_decay", ErrorKind::NotFinite);
}

/// All numbers that reach the loop are finite, whatever they are computed from, or the step is
/// refused: a gradient of 0 without weight decay leaves the parameter where it is.
#[test]
fn what_is_accepted_is_finite() {
    #[track_caller]
    fn harmless<R: Subject>(rule: R) {
        for t in [1, 2, 1000] {
            let Ok(step) = rule.at(t) else {
                expect(rule.at(t).map(|_| ()), "lr", ErrorKind::NotFinite);
                continue;
            };
            let state = buffer_names(&rule).map(|name| name.map(|_| vec![0.0; 3]));
            let mut tensor = Owned { param: vec![1.5; 3], grad: vec![0.0; 3], state };
            tensor.apply(&step).unwrap();
            assert_eq!(tensor.param, [1.5; 3], "step {t} of {rule:?}");
        }
    }
    let lr = LARGEST;
    harmless(Sgd { lr, momentum: LARGEST, dampening: -LARGEST, ..Sgd::default() });
    harmless(Sgd { lr, momentum: 0.9, dampening: -LARGEST, lr_inside: true, ..Sgd::default() });
    harmless(Sgd { lr, momentum: 0.9, dampening: LARGEST, lr_inside: true, ..Sgd::default() });
    harmless(Adagrad { lr, lr_decay: LARGEST, eps: LARGEST, ..Adagrad::default() });
    harmless(RmsProp { lr, momentum: LARGEST, lr_inside: true, ..RmsProp::default() });
    harmless(Adadelta { lr, eps: LARGEST, ..Adadelta::default() });
    let beta = 1.0 - f64::EPSILON / 2.0;
    for eps_placement in EpsPlacement::ALL.iter().copied() {
        for (beta1, beta2) in [(0.9, 0.999), (beta, beta), (beta, 0.0), (0.0, beta)] {
            harmless(Adam { lr, beta1, beta2, eps_placement, ..Adam::default() });
            harmless(Adam { lr: 1e30, beta1, beta2, eps_placement, ..Adam::default() });
            harmless(AdamW {
                lr,
                beta1,
                beta2,
                eps_placement,
                weight_decay: 0.0,
                ..AdamW::default()
            });
        }
    }
}

#[test]
fn presets_that_do_not_exist() {
    fn check<R: Subject>(missing: &[Preset]) {
        for preset in Preset::ALL {
            if missing.contains(preset) {
                expect(R::preset(*preset).map(|_| ()), "preset", ErrorKind::Unavailable);
            } else {
                let rule = R::preset(*preset).unwrap();
                assert!(rule.at(1).is_ok(), "{rule:?}");
            }
        }
        assert_eq!(R::preset(Preset::Torch).unwrap(), R::default());
    }
    check::<Sgd>(&[]);
    check::<Adagrad>(&[]);
    check::<RmsProp>(&[Preset::Article2]);
    check::<Adadelta>(&[Preset::Article1]);
    check::<Adam>(&[]);
    check::<AdamW>(&[Preset::Article1, Preset::Article2, Preset::Tf1]);
}

/// Lengths, and buffers that are missing or too many, of every variant of every rule.
#[test]
fn slices_that_do_not_fit() {
    fn check<R: Subject>() {
        for rule in R::variants() {
            slices_of(&rule);
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => { $(check::<gradstep::$rule>();)* };
    }
    gradstep::for_each_rule!(each);
}

fn slices_of<R: Subject>(rule: &R) {
    let mut rng = Rng(12);
    let n = 20;
    let good = Owned {
        param: untouched(n, &mut rng),
        grad: untouched(n, &mut rng),
        state: buffer_names(rule).map(|name| name.map(|_| untouched(n, &mut rng))),
    };
    let step = rule.at(1).unwrap();
    let mut bad: Vec<(Owned, &str, ErrorKind)> = Vec::new();
    for len in [0, 1, n - 1, n + 1, 2 * n] {
        let grad = untouched(len, &mut rng);
        bad.push((Owned { grad, ..good.clone() }, "grad", ErrorKind::Length));
        for position in 0..3 {
            let mut owned = good.clone();
            if let Some(buffer) = &mut owned.state[position] {
                buffer.resize(len, 1.0);
                bad.push((owned, R::BUFFERS[position], ErrorKind::Length));
            }
        }
    }
    // Too short a parameter shows in the first slice that it is compared with.
    bad.push((
        Owned { param: untouched(n - 1, &mut rng), ..good.clone() },
        "grad",
        ErrorKind::Length,
    ));
    let mut wrong_state: Vec<(Buffers<Vec<f32>>, &str, ErrorKind)> = Vec::new();
    for (position, &name) in R::BUFFERS.iter().enumerate() {
        // Only an `Option` of the state can be missing or be too much.
        let mut state = good.state.clone();
        let kind = if state[position].take().is_some() {
            ErrorKind::Missing
        } else {
            state[position] = Some(untouched(n, &mut rng));
            ErrorKind::Unused
        };
        if kind == ErrorKind::Unused || is_optional::<R>(name) {
            wrong_state.push((state, name, kind));
        }
    }
    for (state, name, kind) in wrong_state {
        let mut owned = Owned { state, ..good.clone() };
        let before = bits(&owned);
        let state = owned.state.each_mut().map(|buffer| buffer.as_deref_mut());
        expect(rule.init(R::bind(state)), name, kind);
        assert_eq!(bits(&owned), before);
        bad.push((owned, name, kind));
    }

    for (mut owned, argument, kind) in bad {
        let before = bits(&owned);
        expect(owned.apply(&step), argument, kind);
        let state = owned.state.each_mut().map(|buffer| buffer.as_deref_mut());
        expect(rule.step(1, &mut owned.param, &owned.grad, R::bind(state)), argument, kind);
        assert_eq!(bits(&owned), before, "{rule:?}: {argument}");

        // The last tensor of a list is as bad as the first: all are left alone.
        let mut tensors = [good.clone(), good.clone(), owned];
        let all: Vec<_> = tensors.iter().map(bits).collect();
        for index in [2, 1] {
            let mut list: Vec<_> = tensors.iter_mut().map(Owned::tensor::<R>).collect();
            expect_of(step.apply_list(&mut list), Some(index), argument, kind);
            drop(list);
            tensors.rotate_left(1);
        }
        tensors.rotate_left(1);
        assert_eq!(tensors.iter().map(bits).collect::<Vec<_>>(), all, "{rule:?}: {argument}");
    }

    // And the good one is taken, as is the empty one.
    good.clone().apply(&step).unwrap();
    let mut empty = good.part(0..0);
    empty.apply(&step).unwrap();
    let state = empty.state.each_mut().map(|buffer| buffer.as_deref_mut());
    rule.init(R::bind(state)).unwrap();
}

/// Whether some variant does without the buffer.
fn is_optional<R: Subject>(name: &str) -> bool {
    R::variants().any(|rule| !buffer_names(&rule).contains(&Some(name)))
}

/// An error has room for the places of 32,766 tensors; the last one stands for all behind it.
#[test]
fn long_lists() {
    let step = Sgd::default().at(1).unwrap();
    for (index, told) in
        [(0, 0), (32_765, 32_765), (32_766, 32_766), (32_767, 32_766), (70_000, 32_766)]
    {
        let mut params = vec![0.0; 70_001];
        let mut list: Vec<_> = params
            .chunks_mut(1)
            .map(|param| Tensor { param, grad: &[0.0], state: SgdState { momentum_buffer: None } })
            .collect();
        list[index].grad = &[];
        expect_of(step.apply_list(&mut list), Some(told), "grad", ErrorKind::Length);
    }
}

#[test]
fn factors_and_bounds() {
    fn check<R: Subject>() {
        let step = R::default().at(1).unwrap();
        for &factor in FINITE.bad {
            expect(step.scale_grad(factor).map(|_| ()), "grad_scale", ErrorKind::NotFinite);
        }
        for &factor in FINITE.good {
            assert!(step.scale_grad(factor).is_ok());
        }
        // Each factor is finite, and their product is not.
        let large = step.scale_grad(1e30).unwrap();
        expect(large.scale_grad(1e30).map(|_| ()), "grad_scale", ErrorKind::NotFinite);
        assert!(large.scale_grad(1e-30).is_ok());

        for bound in [f64::NAN, -1e-300, -1.0, f64::NEG_INFINITY] {
            expect(step.clamp_grad(bound).map(|_| ()), "grad_clamp", ErrorKind::NotABound);
        }
        for bound in [0.0, -0.0, 1e-300, 1.0, 1e300, f64::INFINITY] {
            assert!(step.clamp_grad(bound).is_ok());
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => { $(check::<gradstep::$rule>();)* };
    }
    gradstep::for_each_rule!(each);
}

#[test]
fn chunks() {
    expect(chunk(10, 0, 0), "chunks", ErrorKind::Zero);
    expect(chunk(0, 0, usize::MAX), "chunks", ErrorKind::Zero);
    expect(chunk(10, 3, 3), "index", ErrorKind::OutOfRange);
    expect(chunk(10, 3, usize::MAX), "index", ErrorKind::OutOfRange);
    expect(chunk(0, 1, 1), "index", ErrorKind::OutOfRange);
    assert_eq!(chunk(0, 1, 0).unwrap(), 0..0);
}

#[test]
fn clipping() {
    let mut norm = Norm::new();
    for norm_is in ["zero", "one"] {
        for &max_norm in BOUND.bad {
            expect(norm.clip(max_norm, 1.0), "max_norm", BOUND.kind);
        }
        for &max_norm in BOUND.good {
            assert!(norm.clip(max_norm, 1.0).is_ok(), "{norm_is}");
        }
        for &loss_scale in NORMAL.bad {
            expect(norm.clip(1.0, loss_scale), "loss_scale", NORMAL.kind);
        }
        for &loss_scale in NORMAL.good {
            assert!(norm.clip(1.0, loss_scale).is_ok(), "{norm_is}");
        }
        norm.add(&[1.0]);
    }
    norm.add(&[f32::INFINITY]);
    expect(norm.clip(1.0, 1.0), "norm", ErrorKind::GradNotFinite);
    expect(norm.clip(f64::INFINITY, 1.0), "norm", ErrorKind::GradNotFinite);
}

/// A loss scale that is refused stays as it is.
#[test]
fn loss_scales() {
    let (mut good, mut bad) = (Norm::new(), Norm::new());
    good.add(&[1.0]);
    bad.add(&[f32::NAN]);
    let default = LossScale { growth_interval: 1, ..LossScale::default() };
    let refused = |scale: LossScale, argument: &str, kind: ErrorKind| {
        // Not all fields are numbers that equal themselves.
        let before = format!("{scale:?}");
        for (norm, finite) in [(&good, true), (&bad, false)] {
            let mut scale = scale;
            expect(scale.update(finite), argument, kind);
            expect(scale.advance(norm, 1.0), argument, kind);
            assert_eq!(format!("{scale:?}"), before);
        }
    };
    let accepted = |scale: LossScale| {
        for (norm, finite) in [(&good, true), (&bad, false)] {
            assert_eq!({ scale }.update(finite).unwrap(), finite, "{scale:?}");
            assert_eq!({ scale }.advance(norm, 1.0).unwrap().is_some(), finite, "{scale:?}");
        }
    };
    type Set = fn(&mut LossScale, f64);
    let fields: [(&str, Domain, Set); 3] = [
        ("scale", NORMAL, |scale, value| scale.scale = value),
        ("growth_factor", ABOVE_ONE, |scale, value| scale.growth_factor = value),
        ("backoff_factor", BETWEEN_ZERO_AND_ONE, |scale, value| scale.backoff_factor = value),
    ];
    for (name, domain, set) in fields {
        let with = |value: f64| {
            let mut scale = default;
            set(&mut scale, value);
            scale
        };
        domain.bad.iter().for_each(|&value| refused(with(value), name, domain.kind));
        domain.good.iter().for_each(|&value| accepted(with(value)));
    }
    refused(LossScale { growth_interval: 0, ..default }, "growth_interval", ErrorKind::Zero);
    accepted(LossScale { growth_interval: u64::MAX, growth_tracker: u64::MAX, ..default });

    for &max_norm in BOUND.bad {
        for norm in [&good, &bad] {
            let mut scale = default;
            expect(scale.advance(norm, max_norm), "max_norm", BOUND.kind);
            assert_eq!(scale, default);
        }
    }
}

/// `init` writes what the hyperparameters say, over whatever is there.
#[test]
fn init_fills() {
    fn check<R: Subject>(value: impl Fn(&R, &str) -> f64) {
        for rule in R::variants() {
            let tensor = Owned::new(&rule, vec![0.0; 7], vec![0.0; 7]);
            for (name, buffer) in buffer_names(&rule).into_iter().zip(&tensor.state) {
                let (Some(name), Some(buffer)) = (name, buffer) else { continue };
                assert_eq!(*buffer, [value(&rule, name) as f32; 7], "{name} {rule:?}");
                assert!(buffer.iter().all(|x| x.is_sign_positive()));
            }
        }
    }
    check::<Sgd>(|_, _| 0.0);
    check::<Adagrad>(|rule, _| rule.initial_accumulator_value);
    check::<RmsProp>(|rule, name| if name == "square_avg" { rule.initial_square_avg } else { 0.0 });
    check::<Adadelta>(|_, _| 0.0);
    check::<Adam>(|_, _| 0.0);
    check::<AdamW>(|_, _| 0.0);
}

/// Numbers and names are the C ABI's: none may change, and none may be the same.
#[test]
fn every_reason_has_words_and_every_argument_a_name() {
    let names: BTreeSet<_> = Argument::ALL.iter().map(|argument| argument.name()).collect();
    assert_eq!(names.len(), Argument::ALL.len());
    assert!(
        names.iter().all(|name| name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')))
    );
    let messages: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.message()).collect();
    assert_eq!(messages.len(), ErrorKind::ALL.len());
    for &kind in ErrorKind::ALL {
        assert!(["must ", "is ", "needs ", "has "].iter().any(|w| kind.message().starts_with(w)));
    }
    for (number, argument) in (1..).zip(Argument::ALL) {
        assert_eq!(*argument as i32, number);
    }
    for (number, kind) in (1..).zip(ErrorKind::ALL) {
        assert_eq!(*kind as i32, number);
    }
}

/// The reasons that fused steps alone give; `tests/fused.rs` has all their errors.
#[test]
fn fused_steps() {
    let momentum = Sgd { momentum: 0.9, ..Sgd::default() };
    let step = momentum.at(1).unwrap();
    let epilogue = Epilogue { param_min: 1.0, param_max: 0.5, ..Epilogue::default() };
    expect(step.fuse(epilogue), "param_max", ErrorKind::NotAnInterval);
    let step = step.fuse(Epilogue::default()).unwrap();
    let apply = |signed: bool, words: usize, offset| {
        let (mut param, mut codes, mut exponents) = ([1.0; 70], vec![0; words], [0; 2]);
        let blocks = BlocksMut { codes: &mut codes, exponents: &mut exponents };
        let result = step.apply(FusedTensor {
            param: param.as_mut_slice().into(),
            grad: Gradient::Keep([1.0; 70].as_slice().into()),
            state: SgdState {
                momentum_buffer: Some(if signed {
                    ValuesMut::E4m3(blocks)
                } else {
                    ValuesMut::E5m3(blocks)
                }),
            },
            ema: None,
            copy: None,
            offset,
        });
        assert_eq!(param == [1.0; 70], result.is_err());
        result
    };
    apply(true, 32, 256).unwrap();
    expect(apply(false, 32, 0), "momentum_buffer", ErrorKind::Format);
    expect(apply(true, 31, 0), "momentum_buffer", ErrorKind::BlockCount);
    expect(apply(true, 32, 255), "offset", ErrorKind::NotAMultiple);
}

/// Each reason that Rust can give is given by a test above.
#[test]
fn no_reason_is_left_out() {
    slices_that_do_not_fit();
    choices_that_do_not_fit();
    presets_that_do_not_exist();
    factors_and_bounds();
    chunks();
    clipping();
    loss_scales();
    fused_steps();
    sgd();
    rmsprop();
    adam();
    let seen = SEEN.lock().unwrap();
    for &kind in ErrorKind::ALL {
        assert_eq!(seen.contains(&(kind as i32)), !is_of_c(kind), "{kind:?}");
    }
}
