//! What C computes has the bits of what Rust computes, with every instruction set of this machine.
//!
//! `GRADSTEP_REQUIRE_BACKENDS="scalar,avx2"` makes a missing one a failure.

use std::ffi::{CString, c_char};
use std::ptr;

use c_tests::Tally;
use c_tests::told::{Setting, Told};
use gradstep::capi::gradstep_options;
use gradstep::*;

c_tests::c_tests! {
    steps_chunks
}

/// `struct run` of steps.c.
#[repr(C)]
struct Run {
    rule: *const c_char,
    settings: *const Setting,
    setting_count: usize,
    options: *const gradstep_options,
    first_t: u64,
    steps: usize,
    n: usize,
    param: *const f32,
    grads: *const f32,
    expected_param: *const f32,
    expected_state: [*const f32; 3],
}

unsafe extern "C" {
    fn steps_match(tally: *mut Tally, run: *const Run);
    fn steps_force(tally: *mut Tally, backend: i32, name: *const c_char) -> bool;
    fn steps_preset(
        tally: *mut Tally,
        rule: *const c_char,
        preset: i32,
        expected: *const Setting,
        count: usize,
    );
}

/// Numbers without a pattern, of many sizes and both signs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let (sign, size) = ((self.0 >> 40) as f32 / 8_388_608.0 - 1.0, (self.0 >> 33) % 24);
        sign * 2.0_f32.powi(size as i32 - 16)
    }

    fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

const STEPS: usize = 4;

/// Every length up to two blocks of the widest registers, and some beyond.
const LENGTHS: &[usize] =
    &[0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 257, 1030];

/// Runs a rule in Rust, and has C do the same in all its ways.
fn compare<R: Told>(tally: *mut Tally, rule: R, options: Option<gradstep_options>, first_t: u64) {
    let settings = rule.settings();
    let name = CString::new(R::name()).unwrap();
    for &n in LENGTHS {
        let mut random = Random(n as u64);
        let param = random.vec(n);
        let grads: Vec<_> = (0..STEPS).map(|_| random.vec(n)).collect();
        let mut expected = param.clone();
        let state = rule.walk(options, first_t, &mut expected, &grads).unwrap();
        if n > 0 {
            assert!(expected != param && expected.iter().all(|p| p.is_finite()));
        }
        let flat_grads = grads.concat();
        let run = Run {
            rule: name.as_ptr(),
            settings: settings.as_ptr(),
            setting_count: settings.len(),
            options: options.as_ref().map_or(ptr::null(), ptr::from_ref),
            first_t,
            steps: STEPS,
            n,
            param: param.as_ptr(),
            grads: flat_grads.as_ptr(),
            expected_param: expected.as_ptr(),
            expected_state: state.each_ref().map(|s| s.as_ref().map_or(ptr::null(), Vec::as_ptr)),
        };
        // SAFETY: the struct is C's, and everything in it lives until the call returns.
        unsafe { steps_match(tally, &run) };
    }
}

/// Every rule, in every variant that has a formula of its own.
fn compare_all(tally: *mut Tally) {
    let size = size_of::<gradstep_options>();
    let options = Some(gradstep_options { size, grad_scale: 0.3, grad_clamp: 0.7 });
    let unclamped = Some(gradstep_options { size, grad_scale: -1.7, grad_clamp: f64::INFINITY });
    let none = None;

    let sgd = Sgd { lr: 0.1, weight_decay: 0.01, ..Sgd::default() };
    let momentum = Sgd { momentum: 0.9, dampening: 0.2, ..sgd };
    compare(tally, sgd, none, 1);
    compare(tally, Sgd { maximize: true, ..sgd }, options, 1);
    compare(tally, momentum, none, 1);
    compare(tally, Sgd { dampening: 0.0, nesterov: true, ..momentum }, unclamped, 1);
    compare(tally, Sgd { dampening: 0.0, nesterov: true, lr_inside: true, ..momentum }, none, 9);

    let adagrad = Adagrad { initial_accumulator_value: 0.1, ..Adagrad::default() };
    compare(tally, adagrad, none, 1);
    compare(tally, Adagrad { lr_decay: 0.1, weight_decay: 0.1, ..adagrad }, options, 5);
    compare(
        tally,
        Adagrad { eps_placement: EpsPlacement::Inside, maximize: true, ..adagrad },
        none,
        1,
    );

    let rmsprop = RmsProp { alpha: 0.9, weight_decay: 0.05, ..RmsProp::default() };
    let inside = RmsProp { eps_placement: EpsPlacement::Inside, eps: 1e-3, ..rmsprop };
    compare(tally, rmsprop, none, 1);
    compare(tally, RmsProp { momentum: 0.5, initial_square_avg: 1.0, ..rmsprop }, options, 1);
    compare(tally, RmsProp { centered: true, ..inside }, none, 1);
    compare(
        tally,
        RmsProp { centered: true, momentum: 0.5, lr_inside: true, maximize: true, ..inside },
        unclamped,
        1,
    );

    compare(tally, Adadelta::default(), none, 1);
    compare(tally, Adadelta { rho: 0.4, weight_decay: 0.1, ..Adadelta::default() }, options, 3);
    compare(tally, Adadelta { lr: 0.5, maximize: true, ..Adadelta::default() }, unclamped, 1);

    for amsgrad in [Amsgrad::Off, Amsgrad::Raw, Amsgrad::Corrected] {
        for &eps_placement in EpsPlacement::ALL {
            let adam = Adam { amsgrad, eps_placement, weight_decay: 0.1, ..Adam::default() };
            compare(tally, adam, none, 1);
            compare(tally, Adam { maximize: true, beta1: 0.3, ..adam }, options, 1000);
            let adamw = AdamW { amsgrad, eps_placement, lr: 0.1, ..AdamW::default() };
            compare(tally, adamw, unclamped, 1);
            compare(
                tally,
                AdamW { weight_decay: 0.0, maximize: true, ..adamw },
                none,
                u64::MAX - 9,
            );
        }
    }
}

/// One test for all backends, since the choice is one for all threads.
#[test]
fn c_has_the_bits_of_rust_on_every_backend() {
    let mut missing = Vec::new();
    for &backend in Backend::ALL {
        let name = CString::new(backend.name()).unwrap();
        let mut available = false;
        Tally::of(backend.name(), |tally| {
            // SAFETY: declared as in C; the text lives until the call returns.
            available = unsafe { steps_force(tally, backend as i32, name.as_ptr()) };
            assert_eq!(available, backend.is_available());
            if available {
                compare_all(tally);
            } else {
                println!("{}: not available here", backend.name());
                missing.push(backend.name());
            }
        });
    }
    let required = std::env::var("GRADSTEP_REQUIRE_BACKENDS").unwrap_or_default();
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        assert!(Backend::ALL.iter().any(|b| b.name() == name), "there is no backend {name:?}");
        assert!(!missing.contains(&name), "backend {name} is required, and not available here");
    }
}

#[test]
fn presets_have_rusts_values() {
    fn presets<R: Told>(tally: *mut Tally) {
        let name = CString::new(R::name()).unwrap();
        for &preset in Preset::ALL {
            let settings = R::preset(preset).map(|rule| rule.settings()).ok();
            let (pointer, count) =
                settings.as_ref().map_or((ptr::null(), 0), |list| (list.as_ptr(), list.len()));
            // SAFETY: declared as in C; name and settings live until the call returns.
            unsafe { steps_preset(tally, name.as_ptr(), preset as i32, pointer, count) };
        }
    }

    macro_rules! all {
        ($($rule:ident),*) => {
            |tally| { $(presets::<$rule>(tally);)* }
        };
    }
    Tally::of("presets", gradstep::for_each_rule!(all));
}
