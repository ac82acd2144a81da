//! The structs' layout: asserted when the C and C++ files are compiled, and compared with Rust's
//! here. `cargo xtask test` asks the compilers of other targets as well.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::mem::{offset_of, size_of};

use gradstep::capi::*;

c_tests::c_tests! {
    layout_version
    layout_use
}

/// `struct layout_row` of layout.c.
#[repr(C)]
struct Row {
    name: *const c_char,
    field: *const c_char,
    bytes: usize,
}

unsafe extern "C" {
    fn layout_rows(count: *mut usize) -> *const Row;
}

/// Type and field (or "" for the size), as C has them.
fn rows_of_c() -> BTreeMap<(String, String), usize> {
    // SAFETY: C gives a constant array, its length, and texts that end with 0.
    unsafe {
        let mut count = 0;
        let rows = layout_rows(&mut count);
        let rows = std::slice::from_raw_parts(rows, count);
        let text = |pointer: *const c_char| match pointer.is_null() {
            true => String::new(),
            false => CStr::from_ptr(pointer).to_str().unwrap().to_owned(),
        };
        rows.iter().map(|row| ((text(row.name), text(row.field)), row.bytes)).collect()
    }
}

/// The same rows from Rust. The pattern fails to compile when a field is missing here.
macro_rules! rows_of_rust {
    ($($struct:ident { $($field:ident),* })*) => {{
        $(let _ = |s: $struct| { let $struct { $($field: _),* } = s; };)*
        BTreeMap::from([$(
            ((stringify!($struct).into(), String::new()), size_of::<$struct>()),
            $(((stringify!($struct).into(), stringify!($field).into()), offset_of!($struct, $field)),)*
        )*])
    }};
}

#[test]
fn c_and_rust_agree() {
    let rust = rows_of_rust! {
        gradstep_options { size, grad_scale, grad_clamp }
        gradstep_values { data, exponents, format, reserved }
        gradstep_epilogue {
            size, ema_decay, param_min, param_max, seed, rounding, zero_grad
        }
        gradstep_norm { words }
        gradstep_loss_scale {
            scale, growth_factor, backoff_factor, growth_interval, growth_tracker
        }
        gradstep_sgd {
            lr, momentum, dampening, weight_decay, nesterov, lr_inside, maximize, reserved
        }
        gradstep_sgd_tensor { n, param, grad, momentum_buffer }
        gradstep_sgd_fused_tensor { n, param, grad, momentum_buffer, ema, copy, offset }
        gradstep_adagrad {
            lr, lr_decay, eps, weight_decay, initial_accumulator_value, eps_placement, maximize
        }
        gradstep_adagrad_tensor { n, param, grad, sum }
        gradstep_adagrad_fused_tensor { n, param, grad, sum, ema, copy, offset }
        gradstep_rmsprop {
            lr, alpha, eps, weight_decay, momentum, initial_square_avg, centered, eps_placement,
            lr_inside, maximize
        }
        gradstep_rmsprop_tensor { n, param, grad, square_avg, grad_avg, momentum_buffer }
        gradstep_rmsprop_fused_tensor {
            n, param, grad, square_avg, grad_avg, momentum_buffer, ema, copy, offset
        }
        gradstep_adadelta { lr, rho, eps, weight_decay, maximize, reserved }
        gradstep_adadelta_tensor { n, param, grad, square_avg, acc_delta }
        gradstep_adadelta_fused_tensor { n, param, grad, square_avg, acc_delta, ema, copy, offset }
        gradstep_adam {
            lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize, reserved
        }
        gradstep_adam_tensor { n, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq }
        gradstep_adam_fused_tensor {
            n, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, ema, copy, offset
        }
        gradstep_adamw {
            lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize, reserved
        }
        gradstep_adamw_tensor { n, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq }
        gradstep_adamw_fused_tensor {
            n, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, ema, copy, offset
        }
    };
    assert_eq!(rows_of_c(), rust);
    println!("layout: {} sizes and places", rust.len());
}
