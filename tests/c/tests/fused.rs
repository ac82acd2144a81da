//! Fused steps: what C computes has the bits of what Rust computes, for numbers of every format, with
//! every instruction set of this machine. And what is refused.

use std::ffi::{CString, c_char};
use std::ptr;

use c_tests::Tally;
use c_tests::told::{Setting, Told};
use gradstep::capi::*;
use gradstep::{Backend, Epilogue, Rounding};

#[path = "../../common/mod.rs"]
mod common;

use common::{Format, FusedOwned, Rng, Store, Subject};

c_tests::c_tests! {
    fused_block_count
    fused_errors_values
    fused_errors_overlaps
    fused_errors_tensors
    fused_errors_arguments
    fused_errors_epilogue_default
    fused_errors_read_and_write
}

/// `struct fused_tensor` of rules.h.
#[repr(C)]
struct Tensor {
    n: usize,
    param: gradstep_values,
    grad: gradstep_values,
    state: [gradstep_values; 3],
    ema: gradstep_values,
    copy: gradstep_values,
    offset: u64,
}

/// `struct fused_run` of fused.c.
#[repr(C)]
struct Run {
    rule: *const c_char,
    settings: *const Setting,
    setting_count: usize,
    options: *const gradstep_options,
    epilogue: *const gradstep_epilogue,
    t: u64,
    count: usize,
    before: *const Tensor,
    after: *const Tensor,
}

unsafe extern "C" {
    fn fused_match(tally: *mut Tally, run: *const Run);
    fn fused_values_match(
        tally: *mut Tally,
        values: *const gradstep_values,
        n: usize,
        numbers: *const f32,
        read: *const f32,
    );
}

/// Where C finds a store, which it does not write to.
fn told(store: Option<&Store>) -> gradstep_values {
    let none = gradstep_values {
        data: ptr::null_mut(),
        exponents: ptr::null_mut(),
        format: 0,
        reserved: 0,
    };
    let of = |data: *const u32, exponents: *const u8, format| gradstep_values {
        data: data.cast_mut().cast(),
        exponents: exponents.cast_mut(),
        format,
        reserved: 0,
    };
    match store {
        None => none,
        Some(Store::F32(numbers)) => of(numbers.as_ptr().cast(), ptr::null(), GRADSTEP_FORMAT_F32),
        Some(Store::Bf16(codes)) => of(codes.as_ptr().cast(), ptr::null(), GRADSTEP_FORMAT_BF16),
        Some(Store::F16(codes)) => of(codes.as_ptr().cast(), ptr::null(), GRADSTEP_FORMAT_F16),
        Some(Store::E4m3(codes, exponents)) => {
            of(codes.as_ptr(), exponents.as_ptr(), GRADSTEP_FORMAT_E4M3)
        }
        Some(Store::E5m3(codes, exponents)) => {
            of(codes.as_ptr(), exponents.as_ptr(), GRADSTEP_FORMAT_E5M3)
        }
    }
}

/// Where C finds a tensor's stores.
fn told_tensor(owned: &FusedOwned) -> Tensor {
    Tensor {
        n: owned.n,
        param: told(Some(&owned.param)),
        grad: told(Some(&owned.grad)),
        state: owned.state.each_ref().map(|store| told(store.as_ref())),
        ema: told(owned.ema.as_ref()),
        copy: told(owned.copy.as_ref()),
        offset: owned.offset,
    }
}

/// Around the blocks that share an exponent, those that share random bits, and the units of chunks.
const LENGTHS: [usize; 11] = [0, 1, 63, 64, 65, 255, 256, 257, 511, 700, 1030];

/// Takes a step in Rust, and has C do the same in all its ways.
fn compare<R: Subject + Told>(tally: *mut Tally, rule: &R, index: usize, rng: &mut Rng) {
    let settings = rule.settings();
    let name = CString::new(R::name()).unwrap();
    let options = (rng.below(2) == 0).then_some(gradstep_options {
        size: size_of::<gradstep_options>(),
        grad_scale: 0.3,
        grad_clamp: 0.7,
    });
    let zero_grad = rng.below(2) == 0;
    let epilogue = (rng.below(8) > 0).then_some(gradstep_epilogue {
        size: size_of::<gradstep_epilogue>(),
        ema_decay: 0.9,
        param_min: if rng.below(2) == 0 { f64::NEG_INFINITY } else { -3.0 },
        param_max: if rng.below(2) == 0 { f64::INFINITY } else { 4.0 },
        seed: rng.next(),
        rounding: rng.below(2) as i32,
        zero_grad: zero_grad.into(),
    });
    let t = 1 + rng.below(1000) as u64;

    let before: Vec<_> = (0..1 + index % 4)
        .map(|tensor| FusedOwned::random(rule, LENGTHS[(index + 4 * tensor) % LENGTHS.len()], rng))
        .collect();
    let mut after = before.clone();
    let mut step = rule.at(t).unwrap();
    if let Some(options) = options {
        step = step.scale_grad(options.grad_scale).unwrap().clamp_grad(options.grad_clamp).unwrap();
    }
    let step = step
        .fuse(epilogue.map_or_else(Epilogue::default, |epilogue| Epilogue {
            ema_decay: epilogue.ema_decay,
            param_min: epilogue.param_min,
            param_max: epilogue.param_max,
            rounding: match epilogue.rounding {
                GRADSTEP_ROUNDING_NEAREST => Rounding::Nearest,
                _ => Rounding::Stochastic { seed: epilogue.seed },
            },
        }))
        .unwrap();
    for tensor in &mut after {
        tensor.zero = zero_grad && epilogue.is_some();
        step.apply(tensor.tensor::<R>()).unwrap();
    }
    let [before, after] =
        [&before, &after].map(|list| list.iter().map(told_tensor).collect::<Vec<_>>());
    let run = Run {
        rule: name.as_ptr(),
        settings: settings.as_ptr(),
        setting_count: settings.len(),
        options: options.as_ref().map_or(ptr::null(), ptr::from_ref),
        epilogue: epilogue.as_ref().map_or(ptr::null(), ptr::from_ref),
        t,
        count: before.len(),
        before: before.as_ptr(),
        after: after.as_ptr(),
    };
    // SAFETY: the struct is C's, and everything in it lives until the call returns.
    unsafe { fused_match(tally, &run) };
}

/// One test for all backends, since the choice is one for all threads.
#[test]
fn c_has_the_bits_of_rust_on_every_backend() {
    fn all<R: Subject + Told>(tally: *mut Tally) {
        let mut rng = Rng(51);
        for (index, rule) in common::some_variants::<R>().step_by(3).enumerate() {
            compare(tally, &rule, index, &mut rng);
        }
    }
    macro_rules! rules {
        ($($rule:ident),*) => {
            |tally| { $(all::<gradstep::$rule>(tally);)* }
        };
    }
    for backend in Backend::ALL.iter().filter(|backend| backend.is_available()) {
        backend.force().unwrap();
        Tally::of(backend.name(), gradstep::for_each_rule!(rules));
    }
}

#[test]
fn values_are_written_and_read_as_in_rust() {
    Tally::of("values", |tally| {
        let mut rng = Rng(52);
        for n in LENGTHS {
            let numbers: Vec<f32> = (0..n).map(|_| rng.number()).collect();
            for (format, is_square) in
                Format::ALL.into_iter().zip([false; 4]).chain([(Format::Eight, true)])
            {
                let store = Store::of(format, is_square, &numbers);
                let (values, read) = (told(Some(&store)), store.read(n));
                // SAFETY: declared as in C, which only reads what is behind the pointers.
                unsafe {
                    fused_values_match(tally, &values, n, numbers.as_ptr(), read.as_ptr());
                }
            }
        }
    });
}
