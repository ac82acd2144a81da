//! The sizes that C programs were compiled with.
//!
//! The last field's place and the whole size fix the rest, since all fields before are equally
//! wide. The C tests assert every field.

use core::mem::{align_of, offset_of, size_of};

use super::*;

/// A struct of `f64`s, then of `i32`s: where the last one lies, and the size.
macro_rules! hyper {
    ($struct:ident, $f64s:literal, $i32s:literal, $last:ident) => {
        assert!(offset_of!($struct, $last) == $f64s * 8 + ($i32s - 1) * 4);
        assert!(
            size_of::<$struct>()
                == ($f64s * 8usize + $i32s * 4).next_multiple_of(align_of::<f64>())
        );
    };
}

/// A struct of a length and pointers.
macro_rules! tensor {
    ($struct:ident, $pointers:literal, $last:ident) => {
        assert!(offset_of!($struct, $last) == $pointers * size_of::<usize>());
        assert!(size_of::<$struct>() == ($pointers + 1) * size_of::<usize>());
    };
}

/// A struct of a length, four values and those of the state, and an offset.
macro_rules! fused_tensor {
    ($struct:ident, $buffers:literal) => {
        let values = size_of::<usize>() + ($buffers + 4) * size_of::<gradstep_values>();
        assert!(offset_of!($struct, offset) == values.next_multiple_of(align_of::<u64>()));
        assert!(size_of::<$struct>() == offset_of!($struct, offset) + 8);
    };
}

const _: () = {
    hyper!(gradstep_sgd, 4, 4, reserved);
    hyper!(gradstep_adagrad, 5, 2, maximize);
    hyper!(gradstep_rmsprop, 6, 4, maximize);
    hyper!(gradstep_adadelta, 4, 2, reserved);
    hyper!(gradstep_adam, 5, 4, reserved);
    hyper!(gradstep_adamw, 5, 4, reserved);

    tensor!(gradstep_sgd_tensor, 3, momentum_buffer);
    tensor!(gradstep_adagrad_tensor, 3, sum);
    tensor!(gradstep_rmsprop_tensor, 5, momentum_buffer);
    tensor!(gradstep_adadelta_tensor, 4, acc_delta);
    tensor!(gradstep_adam_tensor, 5, max_exp_avg_sq);
    tensor!(gradstep_adamw_tensor, 5, max_exp_avg_sq);

    assert!(offset_of!(gradstep_norm, words) == 0);
    assert!(size_of::<gradstep_norm>() == 88);
    assert!(offset_of!(gradstep_loss_scale, growth_tracker) == 32);
    assert!(size_of::<gradstep_loss_scale>() == 40);
    assert!(offset_of!(gradstep_values, format) == 2 * size_of::<usize>());
    assert!(size_of::<gradstep_values>() == 2 * size_of::<usize>() + 8);
    fused_tensor!(gradstep_sgd_fused_tensor, 1);
    fused_tensor!(gradstep_adagrad_fused_tensor, 1);
    fused_tensor!(gradstep_rmsprop_fused_tensor, 3);
    fused_tensor!(gradstep_adadelta_fused_tensor, 2);
    fused_tensor!(gradstep_adam_fused_tensor, 3);
    fused_tensor!(gradstep_adamw_fused_tensor, 3);

    assert!(
        offset_of!(gradstep_epilogue, rounding) == offset_of!(gradstep_epilogue, ema_decay) + 32
    );
    assert!(
        size_of::<gradstep_epilogue>()
            == (offset_of!(gradstep_epilogue, rounding) + 8).next_multiple_of(align_of::<f64>())
    );

    assert!(offset_of!(gradstep_options, size) == 0);
    assert!(
        offset_of!(gradstep_options, grad_scale)
            == size_of::<usize>().next_multiple_of(align_of::<f64>())
    );
    assert!(size_of::<gradstep_options>() == offset_of!(gradstep_options, grad_scale) + 16);
};
