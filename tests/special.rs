//! What rules promise for special values, and relations between runs that hold to the last bit.

mod common;

use gradstep::{
    Adadelta, Adagrad, AdagradState, Adam, AdamState, AdamW, Amsgrad, EpsPlacement, RmsProp,
    RmsPropState, Rule, Sgd, SgdState,
};

use common::{
    Buffers, Owned, Rng, Subject, backends, buffer_names, exclusive, random_state, same, same_bits,
    use_backend,
};

/// Something that holds for every variant of every rule.
trait Property {
    fn holds<R: Subject>(rule: R);
}

/// Checks a property, for all rules of the crate.
fn check<P: Property>() {
    macro_rules! each {
        ($($rule:ident),*) => {
            $(gradstep::$rule::variants().for_each(P::holds);)*
        };
    }
    gradstep::for_each_rule!(each);
}

/// `property!(name, |rule| { ... })`, with documentation: a test of one.
macro_rules! property {
    ($(#[$doc:meta])* $name:ident, |$rule:ident| $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            struct This;
            impl Property for This {
                fn holds<R: Subject>($rule: R) $body
            }
            check::<This>();
        }
    };
}

/// Random slices with state that a run may have reached.
fn random<R: Subject>(rule: &R, n: usize, rng: &mut Rng) -> Owned {
    Owned {
        param: (0..n).map(|_| rng.number()).collect(),
        grad: (0..n).map(|_| rng.number()).collect(),
        state: random_state(rule, n, rng),
    }
}

/// Whether two runs have the same numbers, a zero of either sign being a zero.
fn equal(a: &Owned, b: &Owned) -> bool {
    a.written().flatten().zip(b.written().flatten()).all(|(a, b)| a == b || same(*a, *b))
}

property! {
    /// From its initial state, without a gradient, a parameter stays where it is, if no weight
    /// decay pulls it to zero.
    no_gradient_no_step, |rule| {
        if decays(&rule) {
            return;
        }
        let param = vec![1.5, -2.5e-7, 1e-40, 3e38, f32::INFINITY, 0.0, -0.0, f32::MIN_POSITIVE];
        for zero in [0.0, -0.0] {
            let mut ours = Owned::new(&rule, param.clone(), vec![zero; 8]);
            for t in 1..=3 {
                ours.apply(&rule.at(t).unwrap()).unwrap();
            }
            // As numbers: -0 minus -0 is +0.
            assert_eq!(ours.param, param, "{rule:?}");
            assert!(ours.state.iter().flatten().flatten().all(|x| x.is_finite()));
        }
    }
}

/// Whether the parameter alone moves the parameter.
fn decays<R: Subject>(rule: &R) -> bool {
    let mut ours = Owned::new(rule, vec![64.0], vec![0.0]);
    ours.apply(&rule.at(1).unwrap()).unwrap();
    ours.param != [64.0]
}

property! {
    /// A NaN in a gradient becomes a NaN in its own parameter, clamped or not, and nowhere else.
    a_nan_stays_with_its_element, |rule| {
        let mut rng = Rng(21);
        let n = 67;
        let clean = random(&rule, n, &mut rng);
        for bound in [f64::INFINITY, 1.0] {
            let step = rule.at(5).unwrap().clamp_grad(bound).unwrap();
            let mut expected = clean.clone();
            expected.apply(&step).unwrap();
            for at in [0, 15, 16, 31, 32, 63, 66] {
                let mut ours = clean.clone();
                ours.grad[at] = f32::NAN;
                ours.apply(&step).unwrap();
                assert!(ours.param[at].is_nan(), "{rule:?}");
                for (ours, expected) in ours.written().zip(expected.written()) {
                    assert!(same_bits(&ours[..at], &expected[..at]), "{rule:?}");
                    assert!(same_bits(&ours[at + 1..], &expected[at + 1..]), "{rule:?}");
                }
            }
        }
    }
}

property! {
    /// Averages and sums of squares are never negative, whatever the gradients, and no root is one
    /// of a negative number.
    squares_are_not_negative, |rule| {
        let mut rng = Rng(22);
        let mut ours = Owned::new(&rule, vec![0.0; 64], vec![0.0; 64]);
        for t in 1..=300 {
            for grad in &mut ours.grad {
                let wild = rng.wild();
                let most = if R::BUFFERS.contains(&"acc_delta") { 1e15 } else { 1e18 };
                *grad = if wild.is_nan() { 0.0 } else { wild.clamp(-most, most) };
            }
            // The parameters do not matter here, but for what a decay adds to the gradient.
            ours.param.fill(0.0);
            ours.apply(&rule.at(t).unwrap()).unwrap();
            assert!(ours.param.iter().all(|p| !p.is_nan()), "{t} {rule:?}");
            for (name, buffer) in buffer_names(&rule).iter().zip(&ours.state) {
                let (Some(name), Some(buffer)) = (name, buffer) else { continue };
                if !["momentum_buffer", "grad_avg", "exp_avg"].contains(name) {
                    assert!(buffer.iter().all(|&x| x >= 0.0), "{name} {t} {rule:?}");
                }
            }
        }
    }
}

property! {
    /// A run that is stored and goes on elsewhere is the run that was never interrupted.
    a_run_resumes_anywhere, |rule| {
        let mut rng = Rng(23);
        let n = 33;
        let grads: Vec<Vec<f32>> =
            (0..12).map(|_| (0..n).map(|_| rng.number()).collect()).collect();
        let start = Owned::new(&rule, (0..n).map(|_| rng.number()).collect(), vec![0.0; n]);
        let run = |mut owned: Owned, from: usize, to: usize| {
            for (t, grad) in (1..).zip(&grads).take(to).skip(from) {
                owned.grad.copy_from_slice(grad);
                owned.apply(&rule.at(t).unwrap()).unwrap();
            }
            owned
        };
        let whole = run(start.clone(), 0, 12);
        for stop in [1, 2, 7, 11] {
            // Through bytes, as in a file.
            let mut stored = run(start.clone(), 0, stop);
            for buffer in [&mut stored.param].into_iter().chain(stored.state.iter_mut().flatten()) {
                let bytes: Vec<[u8; 4]> = buffer.iter().map(|x| x.to_le_bytes()).collect();
                *buffer = bytes.into_iter().map(f32::from_le_bytes).collect();
            }
            assert!(run(stored, stop, 12).same_bits(&whole), "{rule:?}");
        }
    }
}

property! {
    /// Mirrored parameters, gradients and state give the mirrored result.
    plus_and_minus_are_alike, |rule| {
        let mut rng = Rng(24);
        let mut ours = random(&rule, 64, &mut rng);
        let mut mirrored = ours.clone();
        let mirror = |owned: &mut Owned| {
            let Owned { param, grad, state } = owned;
            let signed = buffer_names(&rule).into_iter().zip(state).filter_map(|(name, buffer)| {
                let signed = ["momentum_buffer", "grad_avg", "exp_avg"];
                buffer.as_mut().filter(|_| name.is_some_and(|name| signed.contains(&name)))
            });
            for x in [param, grad].into_iter().chain(signed).flatten() {
                *x = -*x;
            }
        };
        mirror(&mut mirrored);
        for t in 3..6 {
            let step = rule.at(t).unwrap().clamp_grad(2.0).unwrap();
            ours.apply(&step).unwrap();
            mirrored.apply(&step).unwrap();
        }
        mirror(&mut mirrored);
        assert!(equal(&ours, &mirrored), "{rule:?}");
    }
}

property! {
    /// A factor and a bound do to a gradient in the pass what they would do to it before, in this
    /// order.
    scaled_and_clamped_on_the_way, |rule| {
        let mut rng = Rng(25);
        let start = random(&rule, 64, &mut rng);
        let infinity = f64::INFINITY;
        for (factor, bound) in [(0.25, 1e300), (1.0 / 3.0, infinity), (1.0, 0.7), (-4.0, 0.1)] {
            let (factor32, bound32) = (factor as f32, bound as f32);
            let mut before = start.clone();
            for grad in &mut before.grad {
                *grad = (*grad * factor32).clamp(-bound32, bound32);
            }
            before.apply(&rule.at(2).unwrap()).unwrap();
            for reversed in [false, true] {
                let step = rule.at(2).unwrap();
                let step = if reversed {
                    step.clamp_grad(bound).unwrap().scale_grad(factor).unwrap()
                } else {
                    step.scale_grad(factor).unwrap().clamp_grad(bound).unwrap()
                };
                let mut ours = start.clone();
                ours.apply(&step).unwrap();
                assert!(equal(&ours, &before), "{factor} {bound} {rule:?}");
            }
        }
    }
}

/// To maximize is to minimize with the gradient's sign changed.
#[test]
fn uphill_is_downhill_mirrored() {
    fn check<R: Subject>(with_maximize: impl Fn(R, bool) -> R) {
        let mut rng = Rng(26);
        for rule in R::variants() {
            let mut up = random(&rule, 64, &mut rng);
            let mut down = up.clone();
            for grad in &mut down.grad {
                *grad = -*grad;
            }
            let t = 2;
            up.apply(&with_maximize(rule, true).at(t).unwrap()).unwrap();
            down.apply(&with_maximize(rule, false).at(t).unwrap()).unwrap();
            assert!(up.same_bits(&down), "{rule:?}");
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => {
            $(check::<gradstep::$rule>(|mut rule, maximize| {
                rule.maximize = maximize;
                rule
            });)*
        };
    }
    gradstep::for_each_rule!(each);
}

/// A learning rate of 0 moves the state and no parameter.
#[test]
fn no_learning_rate_no_step() {
    fn check<R: Subject>(without_lr: impl Fn(R) -> R) {
        let mut rng = Rng(27);
        for rule in R::variants() {
            let rule = without_lr(rule);
            let before = Owned::new(&rule, (0..64).map(|_| rng.number()).collect(), vec![2.0; 64]);
            let mut ours = before.clone();
            ours.apply(&rule.at(1).unwrap()).unwrap();
            assert_eq!(ours.param, before.param, "{rule:?}");
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => {
            $(check::<gradstep::$rule>(|mut rule| {
                rule.lr = 0.0;
                rule
            });)*
        };
    }
    gradstep::for_each_rule!(each);
}

/// Numbers below 1.2e-38 are computed with, and not taken for zeros.
#[test]
fn denormal_numbers_are_numbers() {
    let param = [1e-40, -1e-40, 0.0, 1e-45, 1.5e-38, -1.1e-38];
    let grad = [1e-41, 2e-40, -1e-40, 1e-45, 1e-38, 1e-45];
    let n = 6;
    let sgd = Sgd { lr: 0.5, ..Sgd::default() };
    let mut ours = Owned::new(&sgd, param.repeat(n), grad.repeat(n));
    ours.apply(&sgd.at(1).unwrap()).unwrap();
    let expected: Vec<f32> = param.iter().zip(grad).map(|(p, g)| p - 0.5 * g).collect();
    assert!(same_bits(&ours.param, &expected.repeat(n)));
    assert!(expected.iter().all(|p| p.is_subnormal()));

    // The square of a small gradient is one as well.
    let adagrad = Adagrad { eps: 0.0, lr: 0.25, ..Adagrad::default() };
    let root = 2.0_f32.powi(-70);
    let mut ours = Owned::new(&adagrad, vec![1.0; n * n], vec![root; n * n]);
    ours.apply(&adagrad.at(1).unwrap()).unwrap();
    let square = f32::from_bits(1 << 9); // 2^-140, whose reciprocal is infinite
    assert_eq!(ours.state[0], Some(vec![square; n * n]));
    assert_eq!(ours.param, vec![0.75; n * n]);
}

/// Adam's first step is `lr` for every gradient whose square is a number, whatever its betas.
#[test]
fn adams_first_step_is_lr() {
    for (beta1, beta2) in [(0.9, 0.999), (0.5, 0.5), (0.99, 0.9), (0.0, 0.0), (0.9, 0.99999)] {
        let adam = Adam { beta1, beta2, eps: 0.0, lr: 1e-3, ..Adam::default() };
        let grad: Vec<f32> =
            (-16..=18).flat_map(|e| [1.3 * 10.0_f32.powi(e), -7.7e-1 * 10.0_f32.powi(e)]).collect();
        let mut ours = Owned::new(&adam, vec![0.0; grad.len()], grad);
        ours.apply(&adam.at(1).unwrap()).unwrap();
        for (p, g) in ours.param.iter().zip(&ours.grad) {
            let expected = -g.signum() * 1e-3;
            assert!((p - expected).abs() <= 4.0 * f32::EPSILON * 1e-3, "{g}: {p}");
        }
    }
    // And with its eps, which is 1e-8 of it.
    let mut ours = Owned::new(&Adam::default(), vec![0.0; 2], vec![1.0, 1e15]);
    ours.apply(&Adam::default().at(1).unwrap()).unwrap();
    assert!(ours.param.iter().all(|p| (p + 1e-3).abs() < 1e-9));
}

/// The first steps of the others that normalize: AdaGrad's is `lr`, RMSProp's `lr / √(1 - alpha)`.
#[test]
fn other_first_steps() {
    let adagrad = Adagrad { eps: 0.0, lr: 0.1, ..Adagrad::default() };
    let mut param = [0.0; 3];
    adagrad.step(1, &mut param, &[1e-15, -3.0, 1e15], AdagradState { sum: &mut [0.0; 3] }).unwrap();
    assert!(param.iter().all(|p| (p.abs() - 0.1).abs() < 1e-7), "{param:?}");

    let rmsprop = RmsProp { eps: 0.0, lr: 0.1, alpha: 0.99, ..RmsProp::default() };
    let mut state = rmsprop.state(|| [0.0; 3]);
    let mut param = [0.0; 3];
    rmsprop.step(1, &mut param, &[1e-15, -3.0, 1e15], state.as_mut()).unwrap();
    assert!(param.iter().all(|p| (p.abs() - 1.0).abs() < 1e-6), "{param:?}");
}

/// Under a constant gradient, momentum's step grows to `1 / (1 - momentum)` of the plain one.
#[test]
fn terminal_velocity() {
    for nesterov in [false, true] {
        for momentum in [0.5, 0.9, 0.99] {
            let sgd = Sgd { lr: 1e-3, momentum, nesterov, ..Sgd::default() };
            let (mut param, mut state) = ([0.0], sgd.state(|| [0.0]));
            let mut before = 0.0;
            for t in 1..=3000 {
                before = param[0];
                param[0] = 0.0; // so that the step is not lost in its rounding
                sgd.step(t, &mut param, &[2.0], state.as_mut()).unwrap();
            }
            let step = f64::from(-param[0]);
            assert!((step / (2e-3 / (1.0 - momentum)) - 1.0).abs() < 3e-5, "{momentum}: {step}");
            assert!((param[0] - before).abs() <= 1e-6 * param[0].abs(), "it has settled");
        }
    }
}

/// At a constant rate it does not matter whether the rate is inside the momentum.
#[test]
fn lr_inside_is_the_same_path() {
    let mut rng = Rng(28);
    for nesterov in [false, true] {
        let outside = Sgd { lr: 0.01, momentum: 0.9, nesterov, ..Sgd::default() };
        let inside = Sgd { lr_inside: true, ..outside };
        let mut a = Owned::new(&outside, vec![1.0; 50], vec![0.0; 50]);
        let mut b = a.clone();
        for t in 1..=100 {
            a.grad.fill_with(|| rng.unit() - 0.5);
            b.grad.clone_from(&a.grad);
            a.apply(&outside.at(t).unwrap()).unwrap();
            b.apply(&inside.at(t).unwrap()).unwrap();
        }
        assert!(a.param.iter().zip(&b.param).all(|(a, b)| (a - b).abs() < 1e-5));
        let mut both = a.state[0].iter().flatten().zip(b.state[0].iter().flatten());
        assert!(both.all(|(a, b)| (0.01 * a - b).abs() < 1e-6));
    }
    // And when it changes, only what comes later goes by the new one.
    let slow = Sgd { lr: 0.0, momentum: 0.5, ..Sgd::default() };
    let fast = Sgd { lr: 1.0, ..slow };
    for (lr_inside, expected) in [(true, -1.0), (false, -1.5)] {
        let (mut param, mut buffer) = ([0.0], SgdState { momentum_buffer: Some([0.0]) });
        for (t, sgd) in [(1, slow), (2, fast)] {
            Sgd { lr_inside, ..sgd }.step(t, &mut param, &[1.0], buffer.as_mut()).unwrap();
        }
        assert_eq!(param, [expected]);
    }
}

/// An average that keeps nothing is the new value; one that keeps all stays.
#[test]
fn averages_at_their_ends() {
    let grads = [1.5, -0.3, 1e-20, 7e18, -3e-7, 0.0, f32::MIN_POSITIVE];
    let squares = grads.map(|g| g * g);
    let adam = Adam { beta1: 0.0, beta2: 0.0, ..Adam::default() };
    let mut state = AdamState { exp_avg: [-2.5; 7], exp_avg_sq: [4.0; 7], max_exp_avg_sq: None };
    adam.step(9, &mut [0.0; 7], &grads, state.as_mut()).unwrap();
    assert_eq!((state.exp_avg, state.exp_avg_sq), (grads, squares));

    for (alpha, square_avg, grad_avg) in [(0.0, squares, grads), (1.0, [4.0; 7], [0.5; 7])] {
        let rmsprop = RmsProp { alpha, centered: true, ..RmsProp::default() };
        let mut state =
            RmsPropState { square_avg: [4.0; 7], grad_avg: Some([0.5; 7]), momentum_buffer: None };
        rmsprop.step(1, &mut [0.0; 7], &grads, state.as_mut()).unwrap();
        assert_eq!((state.square_avg, state.grad_avg), (square_avg, Some(grad_avg)));
    }

    let adadelta = Adadelta { rho: 1.0, ..Adadelta::default() };
    let mut state = adadelta.state(|| [0.25; 7]);
    adadelta.step(1, &mut [0.0; 7], &grads, state.as_mut()).unwrap();
    assert_eq!((state.square_avg, state.acc_delta), ([0.25; 7], [0.25; 7]));
}

/// The average of a constant comes to rest where a step towards it is less than half an ULP: within
/// `2^-24 / (1 - beta)` of it, and never beyond it.
#[test]
fn averages_of_a_constant() {
    for (beta, steps) in [(0.3, 100), (0.9, 1000), (0.99, 5000), (0.999, 50_000)] {
        let adam = Adam { beta1: beta, beta2: beta, ..Adam::default() };
        let grad = [1.0, 1.3, 1.99, 0.01, 123.4];
        for start in [0.0, 4.0] {
            let mut state = adam.state(|| [0.0; 5]);
            let from = grad.map(|g| g * start);
            state.exp_avg = from;
            for t in 1..=steps {
                adam.step(t, &mut [0.0; 5], &grad, state.as_mut()).unwrap();
            }
            for ((&average, &g), &from) in state.exp_avg.iter().zip(&grad).zip(&from) {
                let rest = f64::from(average / g) - 1.0;
                let within = 2.0_f64.powi(-24) / (1.0 - beta) + 2.0_f64.powi(-24);
                assert!(rest.abs() <= within, "{beta} {g}: {rest:e} beside it, {within:e}");
                assert!(if from < g { average <= g } else { average >= g }, "{beta} {g}");
            }
        }
    }
}

/// The variance of a gradient that does not vary is no NaN.
#[test]
fn centered_with_a_constant_gradient() {
    for alpha in [0.99, 0.9, 0.5, 0.3] {
        for momentum in [0.0, 0.9] {
            let rmsprop = RmsProp { alpha, momentum, centered: true, ..RmsProp::default() };
            let grads = vec![1.0, 0.1, -3.3, 1e-3, 7e-5, 1234.5, 0.0, -1e10];
            let mut ours = Owned::new(&rmsprop, vec![0.0; grads.len()], grads);
            let mut least = f32::INFINITY;
            for t in 1..=10_000 {
                ours.param.fill(0.0);
                ours.apply(&rmsprop.at(t).unwrap()).unwrap();
                assert!(ours.param.iter().all(|p| p.is_finite()), "step {t}, {rmsprop:?}");
                let [Some(square), Some(mean), _] = &ours.state else { panic!() };
                for (square, mean) in square.iter().zip(mean) {
                    least = least.min(square - mean * mean);
                }
            }
            // The clamp is what this is about, so it must have been needed.
            assert!(alpha > 0.5 || least < 0.0, "alpha {alpha}: {least:e}");
        }
    }
}

/// AMSGrad's maximum never falls, and holds the step back.
#[test]
fn amsgrad_remembers() {
    for adam in Adam::variants().filter(|adam| adam.amsgrad != Amsgrad::Off) {
        let mut rng = Rng(29);
        let mut ours = Owned::new(&adam, vec![0.0; 32], vec![0.0; 32]);
        let mut largest = vec![0.0; 32];
        for t in 1..=100 {
            ours.grad.fill_with(|| rng.number());
            ours.apply(&adam.at(t).unwrap()).unwrap();
            let max = ours.state[2].as_ref().unwrap();
            assert!(max.iter().zip(&largest).all(|(max, before)| max >= before));
            largest.clone_from(max);
        }
    }
}

/// AdamW's decay takes its part of the parameter and nothing of the averages.
#[test]
fn decoupled_decay_alone() {
    let adamw = AdamW { lr: 0.1, weight_decay: 0.3, ..AdamW::default() };
    let param = vec![1.0, -1e-7, 3e20, 0.0, -0.0];
    let mut ours = Owned::new(&adamw, param.clone(), vec![0.0; 5]);
    ours.apply(&adamw.at(1).unwrap()).unwrap();
    for (ours, p) in ours.param.iter().zip(&param) {
        let expected = f64::from(*p) * 0.97;
        assert!((f64::from(*ours) - expected).abs() <= expected.abs() * f64::from(f32::EPSILON));
    }
    assert!(ours.state.iter().flatten().flatten().all(|&x| x == 0.0));
}

/// Without an eps, and nothing in the sum, there is nothing to divide by: documented.
#[test]
fn adagrad_without_eps_needs_a_sum() {
    let adagrad = Adagrad { eps: 0.0, ..Adagrad::default() };
    let mut param = [1.0; 2];
    adagrad.step(1, &mut param, &[0.0, 1.0], AdagradState { sum: &mut [0.0; 2] }).unwrap();
    assert!(param[0].is_nan() && param[1] == 0.99);
    let mut param = [1.0];
    adagrad.step(1, &mut param, &[0.0], AdagradState { sum: &mut [0.1] }).unwrap();
    assert_eq!(param, [1.0]);
}

/// A square above 3.4e38 is infinite, which Adam's documentation warns of.
#[test]
fn adam_overflows_as_documented() {
    let adam = Adam::default();
    let (mut param, mut state) = ([1.0; 2], adam.state(|| [0.0; 2]));
    adam.step(1, &mut param, &[1.8e19, 2e19], state.as_mut()).unwrap();
    assert!(state.exp_avg_sq[0].is_finite() && state.exp_avg_sq[1] == f32::INFINITY);
    adam.step(2, &mut param, &[1.0; 2], state.as_mut()).unwrap();
    assert!(param[0].is_finite() && param[1].is_nan());
    // The bound is what helps.
    let (mut param, mut state) = ([1.0], adam.state(|| [0.0]));
    let step = adam.at(1).unwrap().clamp_grad(1e19).unwrap();
    step.apply(&mut param, &[f32::INFINITY], state.as_mut()).unwrap();
    assert!((param[0] - 0.999).abs() < 1e-6 && state.exp_avg_sq[0].is_finite());
}

/// Late in a run nothing is left to correct, and no step count is too late.
#[test]
fn the_last_step_count() {
    let mut rng = Rng(30);
    for adam in Adam::variants() {
        let start = random(&adam, 40, &mut rng);
        let after = |t: u64| {
            let mut owned = start.clone();
            owned.apply(&adam.at(t).unwrap()).unwrap();
            owned
        };
        let last = after(u64::MAX);
        for t in [1_000_000, u64::from(u32::MAX), 1 << 52, (1 << 53) + 1, u64::MAX - 1] {
            assert!(after(t).same_bits(&last), "{t} {adam:?}");
        }
        assert!(!after(1).same_bits(&last) || adam.beta1 == 0.0, "{adam:?}");
    }
}

/// One element after steps with these gradients, from the state that `init` gives: the parameter and
/// the state. In every place of a slice that goes through blocks, registers and a tail, and on every
/// backend, it is the same.
fn after<R: Subject>(rule: &R, param: f32, grads: &[f32]) -> (f32, Buffers<f32>) {
    let _exclusive = exclusive();
    let mut first: Option<Owned> = None;
    for backend in backends() {
        use_backend(backend);
        let n = 2 * 32 + 16 + 7;
        let mut ours = Owned::new(rule, vec![param; n], vec![0.0; n]);
        for (t, &grad) in (1..).zip(grads) {
            ours.grad.fill(grad);
            ours.apply(&rule.at(t).unwrap()).unwrap();
        }
        for slice in ours.written() {
            assert!(slice.iter().all(|&x| same(x, slice[0])), "{backend:?} {slice:?} {rule:?}");
        }
        assert!(first.get_or_insert_with(|| ours.clone()).same_bits(&ours), "{backend:?} {rule:?}");
    }
    let first = first.unwrap();
    (first.param[0], first.state.map(|buffer| buffer.map(|buffer| buffer[0])))
}

/// The parameter alone.
fn param_after<R: Subject>(rule: &R, param: f32, grads: &[f32]) -> f32 {
    after(rule, param, grads).0
}

/// The smallest number above 0.
const TINY: f32 = f32::from_bits(1);
const INF: f32 = f32::INFINITY;

/// What the documentation of `Sgd` says.
#[test]
fn sgd_special_values() {
    let sgd = Sgd { lr: 0.5, ..Sgd::default() };
    let momentum = Sgd { momentum: 0.9, ..sgd };
    let nesterov = Sgd { nesterov: true, ..momentum };

    // Zeros, and the zero that changes its sign.
    assert_eq!(param_after(&sgd, 1.5, &[0.0, -0.0]), 1.5);
    assert_eq!(param_after(&sgd, -0.0, &[0.0]).to_bits(), (-0.0_f32).to_bits());
    assert_eq!(param_after(&sgd, -0.0, &[-0.0]).to_bits(), 0);
    // The buffer comes to rest at a denormal number.
    let (_, [rest, ..]) = after(&momentum, 1.0, &[&[1.0][..], &[0.0; 3000]].concat());
    assert!(rest.unwrap() > 0.0 && rest.unwrap() < 1e-43, "{rest:?}");
    // Denormal gradients count.
    assert_eq!(param_after(&sgd, 0.0, &[2.0 * TINY]), -TINY);
    assert_eq!(param_after(&sgd, 0.0, &[1e-40]), -0.5 * 1e-40);
    // No square: large gradients are as good as others, and the buffer has its end at 3.4e38.
    assert_eq!(param_after(&sgd, 0.0, &[2e38]), -1e38);
    assert_eq!(after(&momentum, 0.0, &[3e38; 2]), (-INF, [Some(INF), None, None]));
    // Infinities stay; two of opposite sign are a NaN, and so is one at a rate of 0.
    for rule in [&sgd, &momentum, &nesterov] {
        assert_eq!(param_after(rule, 1.0, &[INF, 1.0]), -INF);
        assert_eq!(param_after(rule, 1.0, &[-INF, 1.0]), INF);
        assert!(param_after(rule, 1.0, &[INF, -INF]).is_nan());
        assert!(param_after(&Sgd { lr: 0.0, ..*rule }, 1.0, &[INF]).is_nan());
        assert!(param_after(rule, 1.0, &[f32::NAN, 1.0]).is_nan());
    }
    assert!(after(&momentum, 1.0, &[f32::NAN, 1.0]).1[0].unwrap().is_nan());
}

/// What the documentation of `Adagrad` says.
#[test]
fn adagrad_special_values() {
    let inside = |eps_placement| Adagrad { lr: 0.5, eps_placement, ..Adagrad::default() };
    for adagrad in [inside(EpsPlacement::Outside), inside(EpsPlacement::Inside)] {
        assert_eq!(after(&adagrad, 1.5, &[0.0, -0.0]), (1.5, [Some(0.0), None, None]));
        // Denormal squares, and those that are 0.
        let (_, [sum, ..]) = after(&adagrad, 0.0, &[1e-20]);
        assert!(sum.unwrap().is_subnormal());
        assert_eq!(after(&adagrad, 0.0, &[2e-23]).1[0], Some(0.0));
        // The sum is infinite, and the parameter stands still from then on.
        assert_eq!(after(&adagrad, 1.5, &[-2e19, 1.0, -1e9]), (1.5, [Some(INF), None, None]));
        assert_eq!(after(&adagrad, 0.0, &[1.8e19]).0, -0.5);
        // But no infinite gradient, nor a NaN.
        for grad in [INF, -INF, f32::NAN] {
            assert!(param_after(&adagrad, 1.5, &[grad, 1.0]).is_nan());
        }
        assert_eq!(after(&adagrad, 1.5, &[INF]).1[0], Some(INF));
        // Without eps.
        let without = Adagrad { eps: 0.0, ..adagrad };
        assert!(param_after(&without, 1.5, &[0.0]).is_nan());
        assert_eq!(param_after(&without, 1.5, &[2e-23]), -INF);
        assert_eq!(param_after(&without, 1.5, &[1.0, 0.0]), 1.0);
        let summed = Adagrad { initial_accumulator_value: 0.1, ..without };
        assert_eq!(param_after(&summed, 1.5, &[0.0]), 1.5);
    }
    // Outside, what eps divides where the square is 0.
    let adagrad = inside(EpsPlacement::Outside);
    let step = param_after(&adagrad, 0.0, &[1e-23]);
    assert!((f64::from(step) / (-0.5 * 1e-23 / 1e-10) - 1.0).abs() < 1e-6, "{step:e}");
}

/// What the documentation of `RmsProp` says.
#[test]
fn rmsprop_special_values() {
    let plain = RmsProp { lr: 0.5, ..RmsProp::default() };
    let centered = RmsProp { centered: true, ..plain };
    let momentum = RmsProp { momentum: 0.9, ..plain };
    for rmsprop in [plain, centered, momentum] {
        for eps_placement in [EpsPlacement::Outside, EpsPlacement::Inside] {
            let rmsprop = RmsProp { eps_placement, ..rmsprop };
            assert_eq!(param_after(&rmsprop, 1.5, &[0.0, -0.0]), 1.5);
            // Infinite squares: nothing moves yet, and then it is a NaN.
            assert_eq!(param_after(&rmsprop, 1.5, &[2e19]), 1.5);
            assert!(param_after(&rmsprop, 1.5, &[2e19, 1.0]).is_nan());
            assert!(param_after(&rmsprop, 1.5, &[1.8e19, 1.0]).is_finite());
            let alpha = 0.3;
            assert!(param_after(&RmsProp { alpha, ..rmsprop }, 1.5, &[2e19]).is_nan());
            for grad in [INF, -INF, f32::NAN] {
                assert!(param_after(&rmsprop, 1.5, &[grad]).is_nan());
                assert!(param_after(&rmsprop, 1.5, &[grad, 1.0]).is_nan());
            }
            // Without eps.
            let without = RmsProp { eps: 0.0, ..rmsprop };
            assert!(param_after(&without, 1.5, &[0.0]).is_nan());
            assert_eq!(param_after(&without, 1.5, &[2e-23]), -INF);
        }
    }
    // What the averages and the momentum come to rest at.
    let both = RmsProp { centered: true, ..momentum };
    let (_, state) = after(&both, 1.0, &[&[1.0][..], &[0.0; 12_000]].concat());
    assert!(state.iter().flatten().all(|&x| x > 0.0 && x < 1e-43), "{state:?}");
    // A square that is too small for the average.
    assert_eq!(after(&plain, 0.0, &[2e-22]).1[0], Some(0.0));
    assert!(after(&plain, 0.0, &[4e-22]).1[0].unwrap().is_subnormal());
    // The square of the average gradient may be infinite too.
    assert!(param_after(&centered, 1.5, &[2e21]).is_nan());
    assert_eq!(param_after(&centered, 1.5, &[1.7e21]), 1.5);
    assert_eq!(param_after(&plain, 1.5, &[3e21]), 1.5);
    // A gradient that never changes is divided by eps alone; without eps, by 0.
    let constant = RmsProp { alpha: 0.5, eps: 0.0, ..centered };
    assert!(!param_after(&constant, 0.0, &[1.0; 100]).is_finite());
}

/// What the documentation of `Adadelta` says.
#[test]
fn adadelta_special_values() {
    let adadelta = Adadelta::default();
    assert_eq!(after(&adadelta, 1.5, &[0.0, -0.0]), (1.5, [Some(0.0), Some(0.0), None]));
    // Small squares are 0 beside eps.
    assert_eq!(after(&adadelta, 0.0, &[2e-23]).1[0], Some(0.0));
    let small = param_after(&adadelta, 0.0, &[1e-20]);
    assert!((small / -1e-20 - 1.0).abs() < 1e-6, "{small:e}");
    // Infinite squares: nothing moves yet, and then it is a NaN.
    let (param, [square_avg, acc_delta, _]) = after(&adadelta, 1.5, &[2e19]);
    assert_eq!((param, square_avg, acc_delta), (1.5, Some(INF), Some(0.0)));
    assert!(param_after(&adadelta, 1.5, &[2e19, 1.0]).is_nan());
    assert!(param_after(&Adadelta { rho: 0.3, ..adadelta }, 1.5, &[2e19]).is_nan());
    for grad in [INF, -INF, f32::NAN] {
        let (param, [_, acc_delta, _]) = after(&adadelta, 1.5, &[grad]);
        assert!(param.is_nan() && acc_delta.unwrap().is_nan());
        assert!(param_after(&adadelta, 1.5, &[grad, 1.0]).is_nan());
    }
    // Without eps it never starts, and has nothing to divide where there is no square.
    let without = Adadelta { eps: 0.0, ..adadelta };
    assert_eq!(param_after(&without, 1.5, &[1.0, -3.0, 0.0]), 1.5);
    assert!(param_after(&without, 1.5, &[0.0]).is_nan());
    assert!(param_after(&without, 1.5, &[2e-23]).is_nan());
}

/// What the documentation of `Adam` says, which is that of `AdamW` as well.
#[test]
fn adam_special_values() {
    for amsgrad in Amsgrad::ALL {
        for eps_placement in EpsPlacement::ALL {
            let adam = Adam {
                lr: 0.5,
                amsgrad: *amsgrad,
                eps_placement: *eps_placement,
                ..Adam::default()
            };
            adam_like_special_values(&adam, |eps, beta2| Adam { eps, beta2, ..adam });
            let (lr, amsgrad, eps_placement) = (adam.lr, adam.amsgrad, adam.eps_placement);
            let adamw = AdamW { lr, amsgrad, eps_placement, weight_decay: 0.0, ..AdamW::default() };
            adam_like_special_values(&adamw, |eps, beta2| AdamW { eps, beta2, ..adamw });
        }
    }
}

fn adam_like_special_values<R: Subject>(adam: &R, with: impl Fn(f64, f64) -> R) {
    assert_eq!(param_after(adam, 1.5, &[0.0, -0.0]), 1.5);
    // The averages come to rest at denormal numbers; the parameter moves until then.
    let grads = [&[1e-19][..], &[0.0; 4000]].concat();
    let (param, [exp_avg, exp_avg_sq, _]) = after(adam, 0.0, &grads);
    assert!(exp_avg.unwrap() > 0.0 && exp_avg.unwrap() < 1e-44, "{exp_avg:?}");
    assert!(exp_avg_sq.unwrap() > 0.0 && exp_avg_sq.unwrap() < 1e-42, "{exp_avg_sq:?}");
    assert!(param < param_after(adam, 0.0, &grads[..1]));
    assert_eq!(param, param_after(adam, 0.0, &grads[..3000]));
    // A square that is too small for the average.
    assert_eq!(after(adam, 0.0, &[8e-22]).1[1], Some(0.0));
    assert!(after(adam, 0.0, &[9e-22]).1[1].unwrap().is_subnormal());
    // Infinite squares: nothing moves yet, and then it is a NaN, which no maximum hides.
    let (param, [exp_avg, exp_avg_sq, max]) = after(adam, 1.5, &[2e19]);
    assert_eq!((param, exp_avg_sq, max.unwrap_or(INF)), (1.5, Some(INF), INF));
    assert!(exp_avg.unwrap().is_finite());
    assert!(param_after(adam, 1.5, &[2e19, 1.0]).is_nan());
    assert!(param_after(adam, 1.5, &[1.8e19, 1.0]).is_finite());
    assert!(param_after(&with(1e-8, 0.3), 1.5, &[2e19]).is_nan());
    for grad in [INF, -INF, f32::NAN] {
        assert!(param_after(adam, 1.5, &[grad]).is_nan());
        let (param, state) = after(adam, 1.5, &[grad, 1.0]);
        assert!(param.is_nan() && state.iter().flatten().all(|x| x.is_nan()), "{state:?}");
    }
    // Without eps.
    assert!(param_after(&with(0.0, 0.999), 1.5, &[0.0]).is_nan());
    assert_eq!(param_after(&with(0.0, 0.999), 1.5, &[8e-22]), -INF);
}

/// What the documentation of `AdamW` says of its decay.
#[test]
fn adamw_special_values() {
    let adamw = AdamW { lr: 0.5, weight_decay: 0.5, ..AdamW::default() };
    assert_eq!(after(&adamw, 1.0, &[0.0]), (0.75, [Some(0.0), Some(0.0), None]));
    // -0 minus its part, which is -0, is +0.
    assert_eq!(param_after(&adamw, -0.0, &[0.0]).to_bits(), 0);
    // A decay that rounds to nothing leaves the smallest numbers where they are.
    assert_eq!(param_after(&adamw, 2.0 * TINY, &[0.0]), 2.0 * TINY);
    assert_eq!(param_after(&adamw, 3.0 * TINY, &[0.0]), 2.0 * TINY);
    // An infinite parameter is not decayed, but a NaN; without decay it stays.
    assert!(param_after(&adamw, INF, &[0.0]).is_nan());
    assert_eq!(param_after(&AdamW { weight_decay: 0.0, ..adamw }, INF, &[0.0]), INF);
}
