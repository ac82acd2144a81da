//! What fused steps have in common, from C.

use core::ffi::c_void;
use core::mem::size_of;

use super::call;
use crate::error::Argument;
use crate::fused::Epilogue;
use crate::values::block_count;

/// Format: float.
pub const GRADSTEP_FORMAT_F32: i32 = 0;
/// Format: the bits of bfloat16, in uint16_t.
pub const GRADSTEP_FORMAT_BF16: i32 = 1;
/// Format: the bits of IEEE-754 binary16, in uint16_t.
pub const GRADSTEP_FORMAT_F16: i32 = 2;
/// Format: signed numbers of 8 bits, for momentum_buffer, exp_avg and grad_avg.
pub const GRADSTEP_FORMAT_E4M3: i32 = 3;
/// Format: numbers of 8 bits without a sign, for sums and averages of squares.
pub const GRADSTEP_FORMAT_E5M3: i32 = 4;

/// Rounding: to the nearest number. An average of squares comes to a halt with it.
pub const GRADSTEP_ROUNDING_NEAREST: i32 = 0;
/// Rounding: up or down at random, right on average; the bits depend on seed, t and index alone.
pub const GRADSTEP_ROUNDING_STOCHASTIC: i32 = 1;

/// Numbers in one of the formats.
///
/// In 8 bits, blocks of 64 numbers share an exponent. For n numbers, of which the last block may
/// have fewer than 64, with b = gradstep_block_count(n), `data` is 16 b uint32_t and `exponents` b
/// bytes; number 16 k + i of a block is byte k of its word i, the lowest byte being 0. All zeros
/// are numbers 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_values {
    /// float, uint16_t or uint32_t, by the format, and aligned to it. NULL: there are none.
    pub data: *mut c_void,
    /// For the formats of 8 bits; NULL for others.
    pub exponents: *mut u8,
    /// GRADSTEP_FORMAT_*.
    pub format: i32,
    /// Must be 0.
    pub reserved: i32,
}

/// What a fused step does after the update, in this order:
///
/// param = clamp(param, param_min, param_max), rounded to its format
/// ema   = ema_decay ema + (1 - ema_decay) param, rounded to its format
/// copy  = param, rounded to the nearest number of its format
/// grad  = 0 with zero_grad
///
/// Fill it with gradstep_epilogue_default(), and then set what you need. A step takes NULL for the
/// defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_epilogue {
    /// sizeof(gradstep_epilogue), so that fields can be added without breaking a compiled program.
    pub size: usize,
    /// How much of ema is kept, in [0, 1]. Default 0.999.
    pub ema_decay: f64,
    /// The least value of a parameter, at most param_max. Default minus infinity.
    pub param_min: f64,
    /// The largest value of a parameter. Default infinity.
    pub param_max: f64,
    /// Any number, for stochastic rounding. Default 0.
    pub seed: u64,
    /// How param, state and ema are rounded: GRADSTEP_ROUNDING_*. Default stochastic.
    pub rounding: i32,
    /// 1 to set the gradient to zero once it has been read. Default 0.
    pub zero_grad: i32,
}

/// Fills `epilogue` with defaults. `size` is sizeof(gradstep_epilogue).
///
/// Errors: `epilogue` is null or misaligned; `size` is not the size of this struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_epilogue_default(
    epilogue: *mut gradstep_epilogue,
    size: usize,
) -> i32 {
    let Epilogue { ema_decay, param_min, param_max, rounding: _ } = Epilogue::default();
    let defaults = gradstep_epilogue {
        size: size_of::<gradstep_epilogue>(),
        ema_decay,
        param_min,
        param_max,
        seed: 0,
        rounding: GRADSTEP_ROUNDING_STOCHASTIC,
        zero_grad: 0,
    };
    unsafe { call::fill(epilogue, Argument::Epilogue, size, defaults) }
}

/// How many blocks `n` numbers of 8 bits need.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_block_count(n: usize) -> usize {
    block_count(n)
}

/// Reads `n` numbers of any format into `numbers`.
///
/// Errors: a pointer is null or misaligned; the format is not defined; what is written overlaps what
/// is read. Nothing is written then. `n` = 0 does nothing, whatever the pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_values_read(
    values: *const gradstep_values,
    n: usize,
    numbers: *mut f32,
) -> i32 {
    unsafe { call::values_read(values, n, numbers) }
}

/// Writes `n` `numbers` into values of any format, each as the nearest number that the format has: to
/// fill state, or to make it of state in another format.
///
/// Errors: a pointer is null or misaligned; the format is not defined; what is written overlaps what
/// is read. Nothing is written then. `n` = 0 does nothing, whatever the pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_values_write(
    values: *const gradstep_values,
    n: usize,
    numbers: *const f32,
) -> i32 {
    unsafe { call::values_write(values, n, numbers) }
}
