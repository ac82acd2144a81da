//! Accuracy: every rule against its paper's formula in f64, in units in the last place.
//!
//! `cargo test --test oracle -- --nocapture` prints what was measured.
//!
//! # The unit
//!
//! Errors are those of an f32 against the oracle's f64, which is not rounded: 0.5 is the best that
//! a binary32 number can do. The unit is one ULP of the largest term that the result was made of.
//! Where terms cancel (a gradient and its weight decay, an average that changes sign, the second
//! moment and the squared mean under a centered root), an ULP of the small result would measure the
//! cancellation, which is in the formula, and not the arithmetic. [`Num`] finds that largest term:
//! it computes with f64 and carries the size of what may have cancelled along. Without
//! cancellation its size is the value itself, and for a parameter the larger one of its value
//! before and after.
//!
//! # The bounds
//!
//! They are tight: a test fails when an error is above its bound, and when the bound is more than
//! 1.25 times the error, so a bound that is not needed any more does not stay.

mod common;

use std::ops::{Add, Div, Mul, Neg, Sub};

use gradstep::{
    Adadelta, AdadeltaState, Adagrad, AdagradState, Adam, AdamState, AdamW, Amsgrad, EpsPlacement,
    RmsProp, RmsPropState, Sgd, SgdState, StateOf,
};

use common::{Owned, Rng, Subject, random_state};

/// A rule's paper.
trait Oracle: Subject {
    /// One element's step: the new parameter; the state changes in place.
    fn oracle(&self, t: u64, p: Num, g: Num, state: StateOf<Self, &mut Num>) -> Num;

    /// Whether the rule is the sign of the gradient, a step of `lr` whatever happens: the rounding
    /// of one and the same number, always in one direction, then adds up.
    fn is_sign_descent(&self) -> bool {
        false
    }
}

/// The gradient of what is minimized, with L2 regularization.
fn objective(g: Num, p: Num, weight_decay: f64, maximize: bool) -> Num {
    let g = if maximize { -g } else { g };
    g + weight_decay * p
}

/// Polyak (1964), and Nesterov as in Sutskever et al. (2013), in PyTorch's formulation:
/// `v ← μ v + g, p ← p - ε v`, with `ε` in `v` on request; the first step takes `v = g`.
impl Oracle for Sgd {
    fn oracle(&self, t: u64, p: Num, g: Num, state: SgdState<&mut Num>) -> Num {
        let g = objective(g, p, self.weight_decay, self.maximize);
        let (mu, epsilon) = (self.momentum, self.lr);
        let Some(v) = state.momentum_buffer else {
            return p - epsilon * g;
        };
        let g = if self.lr_inside { epsilon * g } else { g };
        *v = if t == 1 { g } else { mu * *v + (1.0 - self.dampening) * g };
        let velocity = if self.nesterov { g + mu * *v } else { *v };
        if self.lr_inside { p - velocity } else { p - epsilon * velocity }
    }
}

/// Duchi, Hazan & Singer (2011), figure 1, with a diagonal matrix: `s = δ + ‖g₁:t‖`.
impl Oracle for Adagrad {
    fn oracle(&self, t: u64, p: Num, g: Num, AdagradState { sum }: AdagradState<&mut Num>) -> Num {
        let g = objective(g, p, self.weight_decay, self.maximize);
        *sum = *sum + g * g;
        let eta = self.lr / (1.0 + (t as f64 - 1.0) * self.lr_decay);
        match self.eps_placement {
            EpsPlacement::Outside => p - eta * g / (sum.sqrt() + self.eps),
            EpsPlacement::Inside => p - eta * g / (*sum + self.eps).sqrt(),
            EpsPlacement::Hat => unreachable!("AdaGrad corrects no bias"),
        }
    }
}

/// Hinton, Srivastava & Swersky (2012), slide 29; centered: Graves (2013), equations 38 to 41.
impl Oracle for RmsProp {
    fn oracle(&self, _: u64, p: Num, g: Num, state: RmsPropState<&mut Num>) -> Num {
        let g = objective(g, p, self.weight_decay, self.maximize);
        let RmsPropState { square_avg: mean_square, grad_avg: mean, momentum_buffer: delta } =
            state;
        let alpha = self.alpha;
        *mean_square = alpha * *mean_square + (1.0 - alpha) * (g * g);
        let mut power = *mean_square;
        if let Some(mean) = mean {
            *mean = alpha * *mean + (1.0 - alpha) * g;
            power = (power - *mean * *mean).max(Num::exact(0.0));
        }
        let update = match self.eps_placement {
            EpsPlacement::Outside => g / (power.sqrt() + self.eps),
            EpsPlacement::Inside => g / (power + self.eps).sqrt(),
            EpsPlacement::Hat => unreachable!("RMSProp corrects no bias"),
        };
        match delta {
            None => p - self.lr * update,
            Some(delta) if self.lr_inside => {
                *delta = self.momentum * *delta + self.lr * update;
                p - *delta
            }
            Some(delta) => {
                *delta = self.momentum * *delta + update;
                p - self.lr * *delta
            }
        }
    }
}

/// Zeiler (2012), algorithm 1.
impl Oracle for Adadelta {
    fn oracle(&self, _: u64, p: Num, g: Num, state: AdadeltaState<&mut Num>) -> Num {
        let g = objective(g, p, self.weight_decay, self.maximize);
        let AdadeltaState { square_avg: e_g, acc_delta: e_x } = state;
        let rho = self.rho;
        *e_g = rho * *e_g + (1.0 - rho) * (g * g);
        let rms_x = (*e_x + self.eps).sqrt();
        let rms_g = (*e_g + self.eps).sqrt();
        let delta = -(rms_x / rms_g * g);
        *e_x = rho * *e_x + (1.0 - rho) * (delta * delta);
        p + self.lr * delta
    }
}

/// Kingma & Ba (2015), algorithm 1, and for epsilon hat the end of section 2; AMSGrad: Reddi, Kale
/// & Kumar (2018), algorithm 2.
impl Oracle for Adam {
    fn oracle(&self, t: u64, p: Num, g: Num, state: AdamState<&mut Num>) -> Num {
        let g = objective(g, p, self.weight_decay, self.maximize);
        let AdamState { exp_avg: m, exp_avg_sq: v, max_exp_avg_sq: largest } = state;
        let (beta1, beta2) = (self.beta1, self.beta2);
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * (g * g);
        let correction1 = 1.0 - beta1.powf(t as f64);
        let correction2 = 1.0 - beta2.powf(t as f64);
        let m_hat = *m / correction1;
        let mut v = *v;
        let mut v_hat = v / correction2;
        match (self.amsgrad, largest) {
            (Amsgrad::Off, _) => {}
            (Amsgrad::Raw, Some(largest)) => {
                *largest = largest.max(v);
                v = *largest;
                v_hat = v / correction2;
            }
            // What is corrected is not corrected again, also with epsilon hat.
            (Amsgrad::Corrected, Some(largest)) => {
                *largest = largest.max(v_hat);
                v_hat = *largest;
                if self.eps_placement == EpsPlacement::Hat {
                    return p - self.lr * m_hat / (v_hat.sqrt() + self.eps);
                }
            }
            (_, None) => panic!("AMSGrad has a third buffer"),
        }
        match self.eps_placement {
            EpsPlacement::Outside => p - self.lr * m_hat / (v_hat.sqrt() + self.eps),
            EpsPlacement::Inside => p - self.lr * m_hat / (v_hat + self.eps).sqrt(),
            EpsPlacement::Hat => {
                let alpha = self.lr * correction2.sqrt() / correction1;
                p - alpha * *m / (v.sqrt() + self.eps)
            }
        }
    }

    fn is_sign_descent(&self) -> bool {
        self.beta1 == 0.0 && self.beta2 == 0.0
    }
}

/// Loshchilov & Hutter (2019), algorithm 2, in PyTorch's formulation: the decay's `η` is `lr`.
impl Oracle for AdamW {
    fn oracle(&self, t: u64, p: Num, g: Num, state: AdamState<&mut Num>) -> Num {
        let &AdamW { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize } = self;
        let adam =
            Adam { lr, beta1, beta2, eps, weight_decay: 0.0, amsgrad, eps_placement, maximize };
        adam.oracle(t, p - lr * weight_decay * p, g, state)
    }

    fn is_sign_descent(&self) -> bool {
        self.beta1 == 0.0 && self.beta2 == 0.0
    }
}

/// The largest error of one step, by tensor.
const ONE_STEP: &[(&str, &[(&str, f64)])] = &[
    ("sgd", &[("param", 5.0), ("momentum_buffer", 3.2)]),
    ("adagrad", &[("param", 4.2), ("sum", 4.5)]),
    (
        "rmsprop",
        &[("param", 4.2), ("square_avg", 5.8), ("grad_avg", 3.7), ("momentum_buffer", 3.9)],
    ),
    ("adadelta", &[("param", 4.3), ("square_avg", 5.8), ("acc_delta", 8.7)]),
    ("adam", &[("param", 5.1), ("exp_avg", 4.0), ("exp_avg_sq", 5.1), ("max_exp_avg_sq", 5.8)]),
    ("adamw", &[("param", 5.0), ("exp_avg", 4.0), ("exp_avg_sq", 4.5), ("max_exp_avg_sq", 5.8)]),
];

/// Errors of the parameters after many steps, of the variant that is worst: mean and maximum after
/// 20 steps, mean and maximum after 1,000.
///
/// In ULP of the largest magnitude that the parameter has had: one that crosses zero has tiny
/// ULPs there and no tiny error.
const MANY_STEPS: &[(&str, [f64; 4])] = &[
    ("sgd", [1.8, 6.5, 6.0, 22.0]),
    ("adagrad", [1.25, 5.3, 8.0, 29.0]),
    ("rmsprop", [3.5, 29.0, 6.5, 38.0]), // the cancellation under a centered root
    ("adadelta", [1.15, 4.3, 5.5, 29.0]),
    ("adam", [1.3, 5.7, 7.0, 31.0]),
    ("adamw", [1.7, 7.7, 9.2, 41.0]),
];

/// How far a bound may be above what is measured.
const SLACK: f64 = 1.25;

/// What may happen to a gradient on its way in.
const TREATMENTS: [(f64, f64); 4] =
    [(1.0, f64::INFINITY), (1.0 / 3.0, f64::INFINITY), (1.0, 0.7), (-1e-2, 0.05)];

#[test]
fn one_step() {
    let mut failures = Vec::new();
    println!("one step: errors in ULP");
    println!(
        "{:<10} {:<16} {:>8} {:>6} {:>6} {:>6} {:>11}  the largest error",
        "rule", "tensor", "count", "mean", "max", "bound", "cancelled"
    );
    macro_rules! check {
        ($($rule:ident),*) => {
            $(one_step_of::<gradstep::$rule>(&mut failures);)*
        };
    }
    gradstep::for_each_rule!(check);
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn one_step_of<R: Oracle>(failures: &mut Vec<String>) {
    const STEPS: [u64; 6] = [1, 2, 10, 1000, 1_000_000, u64::MAX];
    let variants: Vec<R> = R::variants().collect();
    // As many elements for every rule.
    let n = (1 << 20) / (variants.len() * STEPS.len() * TREATMENTS.len());
    let mut rng = Rng(1);
    let mut tensors: Vec<Measured> = Vec::new();
    tensors.resize_with(1 + R::BUFFERS.len(), Measured::default);

    for rule in &variants {
        for t in STEPS {
            for (scale, bound) in TREATMENTS {
                let param = (0..n).map(|_| rng.number()).collect();
                let grad = (0..n).map(|_| rng.number()).collect();
                let mut ours = Owned::new(rule, param, grad);
                if t > 1 {
                    ours.state = random_state(rule, n, &mut rng);
                }
                let before = ours.clone();
                let mut oracle = Reference::of(&ours);
                let step = rule.at(t).unwrap().scale_grad(scale).unwrap();
                ours.apply(&step.clamp_grad(bound).unwrap()).unwrap();
                oracle.step(rule, t, &ours.grad, scale, bound);

                let place = || format!("t {t}, grad * {scale:.2} within {bound}, {rule:?}");
                tensors[0].compare(&before.param, &ours.param, &oracle.param, place);
                for (position, tensor) in tensors[1..].iter_mut().enumerate() {
                    if let (Some(before), Some(ours), Some(oracle)) =
                        (&before.state[position], &ours.state[position], &oracle.state[position])
                    {
                        tensor.compare(before, ours, oracle, place);
                    }
                }
            }
        }
    }

    let (_, bounds) = ONE_STEP.iter().find(|(name, _)| *name == R::name()).unwrap();
    assert_eq!(bounds.len(), tensors.len(), "{}: a bound for each tensor", R::name());
    for (((tensor, bound), name), measured) in
        bounds.iter().zip(["param"].iter().chain(R::BUFFERS)).zip(&tensors)
    {
        assert_eq!(tensor, name);
        let Measured { worst, place, count, sum, cancelled } = measured;
        println!(
            "{:<10} {tensor:<16} {count:>8} {:>6.2} {worst:>6.2} {bound:>6.2} {:>9.3} %  {place}",
            R::name(),
            sum / *count as f64,
            100.0 * *cancelled as f64 / *count as f64,
        );
        failures.extend(judge(&format!("{} {tensor}", R::name()), *worst, *bound));
        assert!(cancelled * 20 < *count, "{tensor}: the unit should be the result's, as a rule");
    }
}

/// The errors of one tensor.
#[derive(Default)]
struct Measured {
    worst: f64,
    place: String,
    count: usize,
    sum: f64,
    /// How many results are far below the terms that they were made of, and below the old value.
    cancelled: usize,
}

impl Measured {
    fn compare(
        &mut self,
        before: &[f32],
        ours: &[f32],
        expected: &[Num],
        place: impl Fn() -> String,
    ) {
        for ((&before, &ours), expected) in before.iter().zip(ours).zip(expected) {
            let error = (f64::from(ours) - expected.value).abs() / ulp(expected.size);
            assert!(error.is_finite(), "{ours} for {expected:?}: {}", place());
            self.count += 1;
            self.sum += error;
            let plain = expected.value.abs().max(f64::from(before).abs());
            self.cancelled += usize::from(expected.size > 4.0 * plain);
            if error > self.worst {
                self.worst = error;
                self.place = format!("{ours:e} for {:e}: {}", expected.value, place());
            }
        }
    }
}

#[test]
fn many_steps() {
    let mut failures = Vec::new();
    println!("many steps: errors of the parameters in ULP of their peak, worst variant");
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "rule", "20 mean", "bound", "20 max", "bound", "1000 mean", "bound", "1000 max", "bound"
    );
    macro_rules! check {
        ($($rule:ident),*) => {
            $(many_steps_of::<gradstep::$rule>(&mut failures);)*
        };
    }
    gradstep::for_each_rule!(check);
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn many_steps_of<R: Oracle>(failures: &mut Vec<String>) {
    const N: usize = 64;
    const STEPS: u64 = 1000;
    let mut worst = [0.0_f64; 4];
    for rule in R::variants().filter(|rule| !rule.is_sign_descent()) {
        let mut rng = Rng(2);
        // Neither so small nor so far off that a coupled weight decay outweighs the gradient: a
        // step that is normalized then jumps to and fro across zero, on a path that is chaotic in
        // f64, too.
        let scales: Vec<f32> = (0..N).map(|_| rng.magnitude().max(0.01)).collect();
        let param: Vec<f32> = scales.iter().map(|scale| scale * (rng.unit() * 4.0 - 2.0)).collect();
        let mut peaks: Vec<f64> = param.iter().map(|&p| f64::from(p.abs())).collect();
        let mut ours = Owned::new(&rule, param, vec![0.0; N]);
        let mut oracle = Reference::of(&ours);
        for t in 1..=STEPS {
            for (grad, scale) in ours.grad.iter_mut().zip(&scales) {
                // Around 0.25 of the scale, as far as it to both sides, now and then nothing.
                let noise = rng.unit() + rng.unit() - 0.75;
                *grad = if rng.below(16) == 0 { 0.0 } else { scale * noise };
            }
            ours.apply(&rule.at(t).unwrap()).unwrap();
            oracle.step(&rule, t, &ours.grad, 1.0, f64::INFINITY);
            for (peak, p) in peaks.iter_mut().zip(&oracle.param) {
                *peak = peak.max(p.value.abs());
            }
            let row = match t {
                20 => 0,
                STEPS => 2,
                _ => continue,
            };
            let errors = ours.param.iter().zip(&oracle.param).zip(&peaks).map(
                |((&ours, expected), &peak)| (f64::from(ours) - expected.value).abs() / ulp(peak),
            );
            let (sum, max) = errors
                .fold((0.0, 0.0), |(sum, max): (f64, f64), error| (sum + error, max.max(error)));
            assert!(sum.is_finite(), "{rule:?} t {t}");
            worst[row] = worst[row].max(sum / N as f64);
            worst[row + 1] = worst[row + 1].max(max);
            if std::env::var_os("GRADSTEP_VERBOSE").is_some() {
                println!("{t:>5} {:>8.2} {max:>8.2} {rule:?}", sum / N as f64);
            }
        }
    }
    let (_, bounds) = MANY_STEPS.iter().find(|(name, _)| *name == R::name()).unwrap();
    print!("{:<10}", R::name());
    for ((bound, error), what) in
        bounds.iter().zip(worst).zip(["20 mean", "20 max", "1000 mean", "1000 max"])
    {
        print!(" {error:>9.2} {bound:>9.2}");
        failures.extend(judge(&format!("{} {what}", R::name()), error, *bound));
    }
    println!();
}

/// Whether a bound holds, and is needed.
fn judge(what: &str, error: f64, bound: f64) -> Option<String> {
    if error > bound {
        Some(format!("{what}: {error:.2} ULP, above its bound {bound:.2}"))
    } else if bound > SLACK * error {
        Some(format!("{what}: {error:.2} ULP: tighten the bound {bound:.2}"))
    } else {
        None
    }
}

/// A tensor in f64.
struct Reference {
    param: Vec<Num>,
    state: [Option<Vec<Num>>; 3],
}

impl Reference {
    fn of(owned: &Owned) -> Self {
        let exact = |x: &Vec<f32>| x.iter().map(|&x| Num::exact(x.into())).collect();
        Self {
            param: exact(&owned.param),
            state: owned.state.each_ref().map(|b| b.as_ref().map(exact)),
        }
    }

    fn step<R: Oracle>(&mut self, rule: &R, t: u64, grad: &[f32], scale: f64, bound: f64) {
        for (index, (p, &g)) in self.param.iter_mut().zip(grad).enumerate() {
            let state = self.state.each_mut().map(|b| b.as_mut().map(|b| &mut b[index]));
            let g = (scale * Num::exact(g.into())).clamp(bound);
            *p = rule.oracle(t, p.settled(), g, R::bind(state.map(|x| x.map(Num::settle))));
        }
    }
}

/// One ULP of binary32 at this magnitude.
fn ulp(x: f64) -> f64 {
    let exponent = ((x.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(-126) - 23;
    2.0_f64.powi(exponent)
}

/// An f64 with the size of the largest term that it was made of.
///
/// A sum's is that of its largest summand. Products, quotients and roots scale it by what they
/// scale an error of their operand by, to first order.
#[derive(Clone, Copy, Debug)]
struct Num {
    value: f64,
    size: f64,
}

impl Num {
    fn exact(value: f64) -> Self {
        Self { value, size: value.abs() }
    }

    /// A number that has been stored: what it was made of does not matter any more.
    fn settled(self) -> Self {
        Self::exact(self.value)
    }

    fn settle(&mut self) -> &mut Self {
        *self = self.settled();
        self
    }

    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        Self { value, size: if value == 0.0 { self.size.sqrt() } else { self.size / value } }
    }

    fn max(self, other: Self) -> Self {
        if self.value > other.value { self } else { other }
    }

    fn clamp(self, bound: f64) -> Self {
        if self.value.abs() > bound { Self::exact(bound.copysign(self.value)) } else { self }
    }
}

impl Add for Num {
    type Output = Num;

    fn add(self, other: Num) -> Num {
        let value = self.value + other.value;
        Num { value, size: self.size.max(other.size).max(value.abs()) }
    }
}

impl Neg for Num {
    type Output = Num;

    fn neg(self) -> Num {
        Num { value: -self.value, ..self }
    }
}

impl Sub for Num {
    type Output = Num;

    fn sub(self, other: Num) -> Num {
        self + -other
    }
}

impl Mul for Num {
    type Output = Num;

    fn mul(self, other: Num) -> Num {
        let size = (self.size * other.value.abs()).max(other.size * self.value.abs());
        Num { value: self.value * other.value, size }
    }
}

impl Div for Num {
    type Output = Num;

    fn div(self, other: Num) -> Num {
        let value = self.value / other.value;
        let size = self.size.max(other.size * value.abs()) / other.value.abs();
        Num { value, size }
    }
}

impl Add<f64> for Num {
    type Output = Num;

    fn add(self, other: f64) -> Num {
        self + Num::exact(other)
    }
}

impl Div<f64> for Num {
    type Output = Num;

    fn div(self, other: f64) -> Num {
        self / Num::exact(other)
    }
}

impl Mul<Num> for f64 {
    type Output = Num;

    fn mul(self, other: Num) -> Num {
        Num::exact(self) * other
    }
}
