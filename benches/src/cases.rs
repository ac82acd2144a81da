//! Each rule in each variant that changes its memory or its arithmetic.

use std::hint::black_box;

use gradstep::{
    Adadelta, AdadeltaState, Adagrad, AdagradState, Adam, AdamState, AdamW, Amsgrad, RmsProp,
    RmsPropState, Rule, Sgd, SgdState, StateOf, Tensor,
};

use crate::buffers::{Alignment, Buffers};
use crate::naive::*;

/// The step that is measured: bias corrections are neither at their start nor over.
pub const T: u64 = 100;

/// One variant of a rule.
pub struct Case {
    /// The rule, or what its users call the variant.
    pub name: &'static str,
    /// How many state buffers it has.
    pub states: usize,
    gradstep: Steps,
    naive: Steps,
    bandwidth: Steps,
    at: Box<dyn Fn(Probe<'_>)>,
    apply: Box<Probed<Buffers>>,
    apply_list: Box<Probed<[Buffers]>>,
}

type Steps = Box<dyn Fn(&mut Buffers, u64)>;

type Probed<T> = dyn Fn(&mut T, Probe<'_>);

/// Measures what it is given while it calls it, once.
pub type Probe<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// Who does the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The crate, on its current backend.
    Gradstep,
    /// The textbook loop.
    NaiveC,
    /// The loop that moves as much memory and computes nothing.
    Bandwidth,
}

impl Contestant {
    /// All of them.
    pub const ALL: [Contestant; 3] =
        [Contestant::Gradstep, Contestant::NaiveC, Contestant::Bandwidth];

    /// As it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Contestant::Gradstep => "gradstep",
            Contestant::NaiveC => "naive C",
            Contestant::Bandwidth => "bandwidth",
        }
    }
}

impl Case {
    fn new<R: Rule + 'static, const N: usize>(
        name: &'static str,
        rule: R,
        state: impl for<'a> Fn([&'a mut [f32]; N]) -> StateOf<R, &'a mut [f32]> + Copy + 'static,
        naive: impl Fn(&mut [f32], &[f32], [&mut [f32]; N]) + 'static,
    ) -> Self {
        let step = rule.at(T).expect("hyperparameters in their domain");
        Self {
            name,
            states: N,
            gradstep: repeated(move |param, grad, buffers| {
                step.apply(param, grad, state(buffers)).expect("buffers as the rule asks");
            }),
            naive: repeated(naive),
            bandwidth: bandwidth(N),
            at: Box::new(move |probe| {
                probe(&mut || _ = black_box(black_box(&rule).at(black_box(T))));
            }),
            apply: Box::new(move |buffers, probe| {
                let (param, grad, buffers) = buffers.split::<N>();
                let mut buffers = Some(state(buffers));
                probe(&mut || {
                    let state = buffers.take().expect("a probe calls once");
                    step.apply(param, grad, state).expect("buffers as the rule asks");
                });
            }),
            apply_list: Box::new(move |list, probe| {
                let tensors = list.iter_mut().map(|buffers| {
                    let (param, grad, buffers) = buffers.split::<N>();
                    Tensor { param, grad, state: state(buffers) }
                });
                let mut tensors: Vec<_> = tensors.collect();
                probe(&mut || step.apply_list(&mut tensors).expect("buffers as the rule asks"));
            }),
        }
    }

    /// Measures what comes before a step: its scalars.
    pub fn probe_at(&self, probe: Probe<'_>) {
        (self.at)(probe);
    }

    /// Measures one step on one tensor.
    pub fn probe_apply(&self, buffers: &mut Buffers, probe: Probe<'_>) {
        (self.apply)(buffers, probe);
    }

    /// Measures one step on a list of tensors.
    pub fn probe_apply_list(&self, list: &mut [Buffers], probe: Probe<'_>) {
        (self.apply_list)(list, probe);
    }

    /// Bytes read and written per parameter.
    pub fn bytes(&self) -> usize {
        let (read, written) = (2 + self.states, 1 + self.states);
        (read + written) * size_of::<f32>()
    }

    /// Buffers of this case.
    pub fn buffers(&self, len: usize, alignment: Alignment) -> Buffers {
        Buffers::new(len, self.states, alignment)
    }

    /// A number of steps.
    pub fn run(&self, contestant: Contestant, buffers: &mut Buffers, steps: u64) {
        match contestant {
            Contestant::Gradstep => (self.gradstep)(buffers, steps),
            Contestant::NaiveC => (self.naive)(buffers, steps),
            Contestant::Bandwidth => (self.bandwidth)(buffers, steps),
        }
    }

    /// Some steps of each contestant, at lengths with and without a remainder.
    ///
    /// # Panics
    ///
    /// The naive loop's result differs from gradstep's by more than rounding, or the bandwidth
    /// loop changed a value.
    pub fn check(&self) {
        for len in [1, 15, 1000, 1003] {
            let mut ours = self.buffers(len, Alignment::MALLOC);
            let mut theirs = self.buffers(len, Alignment::MALLOC);
            self.run(Contestant::Gradstep, &mut ours, 3);
            self.run(Contestant::NaiveC, &mut theirs, 3);
            let distance = ours.distance(&theirs);
            assert!(distance < 1e-4, "{}: naive C is {distance:e} away, length {len}", self.name);

            let before = ours.distance(&theirs);
            self.run(Contestant::Bandwidth, &mut ours, 1);
            assert_eq!(
                before,
                ours.distance(&theirs),
                "{}: the bandwidth loop computes",
                self.name
            );
        }
    }
}

/// Makes a loop of a step. The buffers are taken apart once, before the loop, and the compiler
/// learns nothing about their length.
fn repeated<const N: usize>(step: impl Fn(&mut [f32], &[f32], [&mut [f32]; N]) + 'static) -> Steps {
    Box::new(move |buffers, steps| {
        let (param, grad, mut state) = buffers.split::<N>();
        for _ in 0..steps {
            let len = black_box(param.len());
            step(
                &mut param[..len],
                &grad[..len],
                state.each_mut().map(|buffer| &mut buffer[..len]),
            );
        }
    })
}

/// The loop that moves as much memory as a rule with that many state buffers.
fn bandwidth(states: usize) -> Steps {
    let zero = || [black_box(0.0)];
    match states {
        0 => repeated(move |p, g, s| bandwidth_0(p, g, s, zero())),
        1 => repeated(move |p, g, s| bandwidth_1(p, g, s, zero())),
        2 => repeated(move |p, g, s| bandwidth_2(p, g, s, zero())),
        3 => repeated(move |p, g, s| bandwidth_3(p, g, s, zero())),
        _ => unreachable!("no rule has more than three state buffers"),
    }
}

/// Every rule of the crate has cases: a new one without them does not compile.
trait Measured: Rule {
    fn cases() -> Vec<Case>;
}

/// The cases of all rules.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    macro_rules! of_each {
        ($($rule:ident),*) => {
            $(all.extend(<gradstep::$rule as Measured>::cases());)*
        };
    }
    gradstep::for_each_rule!(of_each);
    all
}

impl Measured for Sgd {
    fn cases() -> Vec<Case> {
        let sgd = Sgd::default();
        let momentum = Sgd { momentum: 0.9, ..sgd };
        let nesterov = Sgd { nesterov: true, ..momentum };
        let (lr, kept) = (sgd.lr as f32, momentum.momentum as f32);
        fn state([buffer]: [&mut [f32]; 1]) -> SgdState<&mut [f32]> {
            SgdState { momentum_buffer: Some(buffer) }
        }
        vec![
            Case::new(
                "sgd",
                sgd,
                |[]| SgdState { momentum_buffer: None },
                move |p, g, s| naive_sgd(p, g, s, [lr]),
            ),
            Case::new("momentum", momentum, state, move |p, g, s| {
                naive_momentum(p, g, s, [lr, kept])
            }),
            Case::new("nesterov", nesterov, state, move |p, g, s| {
                naive_nesterov(p, g, s, [lr, kept])
            }),
        ]
    }
}

impl Measured for Adagrad {
    fn cases() -> Vec<Case> {
        let adagrad = Adagrad::default();
        let (lr, eps) = (adagrad.lr as f32, adagrad.eps as f32);
        vec![Case::new(
            "adagrad",
            adagrad,
            |[sum]| AdagradState { sum },
            move |p, g, s| naive_adagrad(p, g, s, [lr, eps]),
        )]
    }
}

impl Measured for RmsProp {
    fn cases() -> Vec<Case> {
        let plain = RmsProp::default();
        let centered = RmsProp { centered: true, ..plain };
        let momentum = RmsProp { momentum: 0.9, ..plain };
        let (lr, alpha, eps) = (plain.lr as f32, plain.alpha as f32, plain.eps as f32);
        let kept = momentum.momentum as f32;
        vec![
            Case::new(
                "rmsprop",
                plain,
                |[square_avg]| RmsPropState { square_avg, grad_avg: None, momentum_buffer: None },
                move |p, g, s| naive_rmsprop(p, g, s, [lr, alpha, eps]),
            ),
            Case::new(
                "rmsprop centered",
                centered,
                |[square_avg, grad_avg]| RmsPropState {
                    square_avg,
                    grad_avg: Some(grad_avg),
                    momentum_buffer: None,
                },
                move |p, g, s| naive_rmsprop_centered(p, g, s, [lr, alpha, eps]),
            ),
            Case::new(
                "rmsprop momentum",
                momentum,
                |[square_avg, buffer]| RmsPropState {
                    square_avg,
                    grad_avg: None,
                    momentum_buffer: Some(buffer),
                },
                move |p, g, s| naive_rmsprop_momentum(p, g, s, [lr, alpha, eps, kept]),
            ),
        ]
    }
}

impl Measured for Adadelta {
    fn cases() -> Vec<Case> {
        let adadelta = Adadelta::default();
        let (lr, rho, eps) = (adadelta.lr as f32, adadelta.rho as f32, adadelta.eps as f32);
        vec![Case::new(
            "adadelta",
            adadelta,
            |[square_avg, acc_delta]| AdadeltaState { square_avg, acc_delta },
            move |p, g, s| naive_adadelta(p, g, s, [lr, rho, eps]),
        )]
    }
}

/// Adam's bias corrections: the step size, and the factor of the root.
fn corrected(lr: f64, beta1: f64, beta2: f64) -> (f32, f32) {
    let correction = |beta: f64| 1.0 - beta.powi(T as i32);
    ((lr / correction(beta1)) as f32, (1.0 / correction(beta2).sqrt()) as f32)
}

fn adam_state([exp_avg, exp_avg_sq]: [&mut [f32]; 2]) -> AdamState<&mut [f32]> {
    AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq: None }
}

impl Measured for Adam {
    fn cases() -> Vec<Case> {
        let adam = Adam::default();
        let amsgrad = Adam { amsgrad: Amsgrad::Raw, ..adam };
        let (step, root) = corrected(adam.lr, adam.beta1, adam.beta2);
        let (beta1, beta2, eps) = (adam.beta1 as f32, adam.beta2 as f32, adam.eps as f32);
        vec![
            Case::new("adam", adam, adam_state, move |p, g, s| {
                naive_adam(p, g, s, [step, root, beta1, beta2, eps])
            }),
            Case::new(
                "amsgrad",
                amsgrad,
                |[exp_avg, exp_avg_sq, max]| AdamState {
                    exp_avg,
                    exp_avg_sq,
                    max_exp_avg_sq: Some(max),
                },
                move |p, g, s| naive_amsgrad(p, g, s, [step, root, beta1, beta2, eps]),
            ),
        ]
    }
}

impl Measured for AdamW {
    fn cases() -> Vec<Case> {
        let adamw = AdamW::default();
        let (step, root) = corrected(adamw.lr, adamw.beta1, adamw.beta2);
        let (beta1, beta2, eps) = (adamw.beta1 as f32, adamw.beta2 as f32, adamw.eps as f32);
        let shrink = (1.0 - adamw.lr * adamw.weight_decay) as f32;
        vec![Case::new("adamw", adamw, adam_state, move |p, g, s| {
            naive_adamw(p, g, s, [step, root, beta1, beta2, eps, shrink])
        })]
    }
}
