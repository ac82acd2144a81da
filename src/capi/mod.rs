//! The C ABI of `include/gradstep.h`, which cbindgen makes from these files.
//!
//! Signatures and documentation are written out, since they are the header; bodies are one line
//! into the checked, generic code of `call`. Hyperparameters and options travel behind pointers, so
//! that no float is passed by value and objects for soft and hard floats agree on every call.

#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
// The header says what a caller owes, for all functions alike.
#![allow(clippy::missing_safety_doc)]

mod adadelta;
mod adagrad;
mod adam;
mod adamw;
mod call;
mod fused;
mod layout;
mod norm;
mod rmsprop;
mod sgd;

pub use adadelta::*;
pub use adagrad::*;
pub use adam::*;
pub use adamw::*;
pub use fused::*;
pub use norm::*;
pub use rmsprop::*;
pub use sgd::*;

use core::ffi::c_char;
use core::mem::size_of;

use crate::error::{Argument, ErrorKind};
use crate::{Amsgrad, Backend, EpsPlacement, Preset};

/// Major version: changes when a program must be compiled anew or changed. While it is 0, the minor
/// version does.
pub const GRADSTEP_VERSION_MAJOR: u32 = 0;
/// Minor version: changes when something is added, and while the major version is 0, as that.
pub const GRADSTEP_VERSION_MINOR: u32 = 1;
/// Patch version.
pub const GRADSTEP_VERSION_PATCH: u32 = 0;

/// Success.
pub const GRADSTEP_OK: i32 = 0;
/// A pointer is null.
pub const GRADSTEP_ERROR_NULL: i32 = 1;
/// A pointer is not aligned to its type.
pub const GRADSTEP_ERROR_MISALIGNED: i32 = 2;
/// A slice that is written shares memory with another argument.
pub const GRADSTEP_ERROR_OVERLAP: i32 = 3;
/// A length in bytes does not fit the address space.
pub const GRADSTEP_ERROR_TOO_LONG: i32 = 4;
// 5 is for slices of different lengths, which have one `n` in C.
/// The hyperparameters need this state buffer, and it is null.
pub const GRADSTEP_ERROR_MISSING: i32 = 6;
/// The hyperparameters have no use for this state buffer, and it is not null.
pub const GRADSTEP_ERROR_UNUSED: i32 = 7;
/// A value is not finite as a float, or negative.
pub const GRADSTEP_ERROR_NOT_NON_NEGATIVE: i32 = 8;
/// A value is not finite as a float.
pub const GRADSTEP_ERROR_NOT_FINITE: i32 = 9;
/// A value is outside [0, 1).
pub const GRADSTEP_ERROR_NOT_IN_UNIT_INTERVAL: i32 = 10;
/// A value is outside [0, 1].
pub const GRADSTEP_ERROR_NOT_A_FRACTION: i32 = 11;
/// A bound is NaN or negative.
pub const GRADSTEP_ERROR_NOT_A_BOUND: i32 = 12;
/// A count that starts at 1 is 0.
pub const GRADSTEP_ERROR_ZERO: i32 = 13;
/// Nesterov's momentum needs a momentum above 0 and no dampening.
pub const GRADSTEP_ERROR_NESTEROV_NEEDS_MOMENTUM: i32 = 14;
/// A value is not one of those that are defined, such as 2 for a flag.
pub const GRADSTEP_ERROR_UNKNOWN: i32 = 15;
/// The preset's source has no such rule, or the machine no such backend.
pub const GRADSTEP_ERROR_UNAVAILABLE: i32 = 16;
/// `size` is not the size of a version of the struct.
pub const GRADSTEP_ERROR_WRONG_SIZE: i32 = 17;
/// The chunk's index is not below the number of chunks.
pub const GRADSTEP_ERROR_OUT_OF_RANGE: i32 = 18;
/// A reserved field is not 0.
pub const GRADSTEP_ERROR_NOT_ZERO: i32 = 19;
/// A value is not above 0, not finite or denormal as a float.
pub const GRADSTEP_ERROR_NOT_NORMAL: i32 = 20;
/// A value is not above 1, or not finite.
pub const GRADSTEP_ERROR_NOT_ABOVE_ONE: i32 = 21;
/// A value is not between 0 and 1.
pub const GRADSTEP_ERROR_NOT_BETWEEN_ZERO_AND_ONE: i32 = 22;
/// A gradient has a NaN or an infinity: the step should be skipped.
pub const GRADSTEP_ERROR_GRAD_NOT_FINITE: i32 = 23;
/// A format is not one of those that this buffer may have.
pub const GRADSTEP_ERROR_FORMAT: i32 = 24;
// 25 is for blocks of other lengths, which have one `n` in C.
/// An offset is not a multiple of 256.
pub const GRADSTEP_ERROR_NOT_A_MULTIPLE: i32 = 26;
/// param_max is below param_min, or one of them is NaN.
pub const GRADSTEP_ERROR_NOT_AN_INTERVAL: i32 = 27;

/// eps_placement: sqrt(v) + eps.
pub const GRADSTEP_EPS_OUTSIDE: i32 = 0;
/// eps_placement: sqrt(v + eps).
pub const GRADSTEP_EPS_INSIDE: i32 = 1;
/// eps_placement, Adam and AdamW only: sqrt(v) + eps with the bias correction in the step size.
pub const GRADSTEP_EPS_HAT: i32 = 2;

/// amsgrad: plain Adam.
pub const GRADSTEP_AMSGRAD_OFF: i32 = 0;
/// amsgrad: the maximum of the second moment (PyTorch, Keras).
pub const GRADSTEP_AMSGRAD_RAW: i32 = 1;
/// amsgrad: the maximum of the bias-corrected second moment (Optax).
pub const GRADSTEP_AMSGRAD_CORRECTED: i32 = 2;

/// Preset: torch.optim; the same as the rule's default.
pub const GRADSTEP_PRESET_TORCH: i32 = 0;
/// Preset: keras.optimizers, Keras 3.
pub const GRADSTEP_PRESET_KERAS: i32 = 1;
/// Preset: Optax.
pub const GRADSTEP_PRESET_OPTAX: i32 = 2;
/// Preset: Christopher, "Deep Learning Optimizers".
pub const GRADSTEP_PRESET_ARTICLE1: i32 = 3;
/// Preset: Doshi, "Various Optimization Algorithms for Training Neural Network".
pub const GRADSTEP_PRESET_ARTICLE2: i32 = 4;
/// Preset: TensorFlow 1's tf.train.
pub const GRADSTEP_PRESET_TF1: i32 = 5;

/// Backend: one element at a time.
pub const GRADSTEP_BACKEND_SCALAR: i32 = 1;
/// Backend: Arm NEON.
pub const GRADSTEP_BACKEND_NEON: i32 = 2;
/// Backend: WebAssembly simd128.
pub const GRADSTEP_BACKEND_SIMD128: i32 = 3;
/// Backend: x86 AVX2.
pub const GRADSTEP_BACKEND_AVX2: i32 = 4;
/// Backend: x86 AVX-512.
pub const GRADSTEP_BACKEND_AVX512: i32 = 5;

// cbindgen writes constants as they stand, so they are literals here, and held to the Rust side.
const _: () = {
    assert!(GRADSTEP_ERROR_NULL == ErrorKind::Null as i32);
    assert!(GRADSTEP_ERROR_MISALIGNED == ErrorKind::Misaligned as i32);
    assert!(GRADSTEP_ERROR_OVERLAP == ErrorKind::Overlap as i32);
    assert!(GRADSTEP_ERROR_TOO_LONG == ErrorKind::TooLong as i32);
    assert!(GRADSTEP_ERROR_MISSING == ErrorKind::Missing as i32);
    assert!(GRADSTEP_ERROR_UNUSED == ErrorKind::Unused as i32);
    assert!(GRADSTEP_ERROR_NOT_NON_NEGATIVE == ErrorKind::NotNonNegative as i32);
    assert!(GRADSTEP_ERROR_NOT_FINITE == ErrorKind::NotFinite as i32);
    assert!(GRADSTEP_ERROR_NOT_IN_UNIT_INTERVAL == ErrorKind::NotInUnitInterval as i32);
    assert!(GRADSTEP_ERROR_NOT_A_FRACTION == ErrorKind::NotAFraction as i32);
    assert!(GRADSTEP_ERROR_NOT_A_BOUND == ErrorKind::NotABound as i32);
    assert!(GRADSTEP_ERROR_ZERO == ErrorKind::Zero as i32);
    assert!(GRADSTEP_ERROR_NESTEROV_NEEDS_MOMENTUM == ErrorKind::NesterovNeedsMomentum as i32);
    assert!(GRADSTEP_ERROR_UNKNOWN == ErrorKind::Unknown as i32);
    assert!(GRADSTEP_ERROR_UNAVAILABLE == ErrorKind::Unavailable as i32);
    assert!(GRADSTEP_ERROR_WRONG_SIZE == ErrorKind::WrongSize as i32);
    assert!(GRADSTEP_ERROR_OUT_OF_RANGE == ErrorKind::OutOfRange as i32);
    assert!(GRADSTEP_ERROR_NOT_ZERO == ErrorKind::NotZero as i32);
    assert!(GRADSTEP_ERROR_NOT_NORMAL == ErrorKind::NotNormal as i32);
    assert!(GRADSTEP_ERROR_NOT_ABOVE_ONE == ErrorKind::NotAboveOne as i32);
    assert!(GRADSTEP_ERROR_NOT_BETWEEN_ZERO_AND_ONE == ErrorKind::NotBetweenZeroAndOne as i32);
    assert!(GRADSTEP_ERROR_GRAD_NOT_FINITE == ErrorKind::GradNotFinite as i32);
    assert!(GRADSTEP_ERROR_FORMAT == ErrorKind::Format as i32);
    assert!(GRADSTEP_ERROR_NOT_A_MULTIPLE == ErrorKind::NotAMultiple as i32);
    assert!(GRADSTEP_ERROR_NOT_AN_INTERVAL == ErrorKind::NotAnInterval as i32);

    assert!(GRADSTEP_EPS_OUTSIDE == EpsPlacement::Outside as i32);
    assert!(GRADSTEP_EPS_INSIDE == EpsPlacement::Inside as i32);
    assert!(GRADSTEP_EPS_HAT == EpsPlacement::Hat as i32);
    assert!(GRADSTEP_AMSGRAD_OFF == Amsgrad::Off as i32);
    assert!(GRADSTEP_AMSGRAD_RAW == Amsgrad::Raw as i32);
    assert!(GRADSTEP_AMSGRAD_CORRECTED == Amsgrad::Corrected as i32);
    assert!(GRADSTEP_PRESET_TORCH == Preset::Torch as i32);
    assert!(GRADSTEP_PRESET_KERAS == Preset::Keras as i32);
    assert!(GRADSTEP_PRESET_OPTAX == Preset::Optax as i32);
    assert!(GRADSTEP_PRESET_ARTICLE1 == Preset::Article1 as i32);
    assert!(GRADSTEP_PRESET_ARTICLE2 == Preset::Article2 as i32);
    assert!(GRADSTEP_PRESET_TF1 == Preset::Tf1 as i32);
    assert!(GRADSTEP_BACKEND_SCALAR == Backend::Scalar as i32);
    assert!(GRADSTEP_BACKEND_NEON == Backend::Neon as i32);
    assert!(GRADSTEP_BACKEND_SIMD128 == Backend::Simd128 as i32);
    assert!(GRADSTEP_BACKEND_AVX2 == Backend::Avx2 as i32);
    assert!(GRADSTEP_BACKEND_AVX512 == Backend::Avx512 as i32);

    assert!(GRADSTEP_VERSION_MAJOR == number(env!("CARGO_PKG_VERSION_MAJOR")));
    assert!(GRADSTEP_VERSION_MINOR == number(env!("CARGO_PKG_VERSION_MINOR")));
    assert!(GRADSTEP_VERSION_PATCH == number(env!("CARGO_PKG_VERSION_PATCH")));
};

const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version is made of numbers"),
    }
}

/// What a step does to a gradient on its way in, all in the same pass:
///
/// grad = clamp(grad * grad_scale, -grad_clamp, grad_clamp)
///
/// Fill it with gradstep_options_default(), which changes no bit of a gradient, and then set what
/// you need. A step takes NULL for the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gradstep_options {
    /// sizeof(gradstep_options), so that fields can be added without breaking a compiled program.
    pub size: usize,
    /// A factor: 1 / loss_scale, a clipping coefficient, or their product. Finite. Default 1.
    pub grad_scale: f64,
    /// The bound of an element's magnitude after scaling, at least 0. Default infinity.
    pub grad_clamp: f64,
}

/// Fills `options` with defaults. `size` is sizeof(gradstep_options).
///
/// Errors: `options` is null or misaligned; `size` is not the size of this struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_options_default(
    options: *mut gradstep_options,
    size: usize,
) -> i32 {
    let defaults = gradstep_options {
        size: size_of::<gradstep_options>(),
        grad_scale: 1.0,
        grad_clamp: f64::INFINITY,
    };
    unsafe { call::fill(options, Argument::Options, size, defaults) }
}

/// The version of the library that runs, to compare with GRADSTEP_VERSION, that of the header:
/// (major << 16) | (minor << 8) | patch.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_version() -> u32 {
    GRADSTEP_VERSION_MAJOR << 16 | GRADSTEP_VERSION_MINOR << 8 | GRADSTEP_VERSION_PATCH
}

/// Why a call failed, as the rest of a sentence that starts with gradstep_status_argument(status):
/// "must not be a null pointer", "must be at least 0 and less than 1". "success" for GRADSTEP_OK.
///
/// Never NULL; the text is constant and lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_status_message(status: i32) -> *const c_char {
    let text = match ErrorKind::from_number(status & 0xff) {
        Some(kind) => kind.c_str(),
        None if status == GRADSTEP_OK => c"success",
        None => c"is not a status of this library",
    };
    text.as_ptr()
}

/// Which argument, field or buffer a call was refused for: "exp_avg", "lr", "t". "" for GRADSTEP_OK.
///
/// Never NULL; the text is constant and lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_status_argument(status: i32) -> *const c_char {
    let text = match Argument::from_number(status >> 8 & 0xff) {
        Some(argument) => argument.c_str(),
        None if status == GRADSTEP_OK => c"",
        None => c"status",
    };
    text.as_ptr()
}

/// The index of the tensor of a list that a call was refused for, or -1 if it is none of them.
///
/// 32766 stands for all tensors from there on.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_status_tensor(status: i32) -> i32 {
    if status < 0 { -1 } else { (status >> 16) - 1 }
}

/// The name of the instruction set in use: "scalar", "neon", "simd128", "avx2" or "avx512".
///
/// It is the widest that the machine has, unless gradstep_backend_force() was called. The results
/// are the same for all, to the last bit.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_backend_name() -> *const c_char {
    Backend::current().c_str().as_ptr()
}

/// Uses another instruction set (GRADSTEP_BACKEND_*) from now on, in all threads; for tests and
/// measurements.
///
/// Errors: `backend` is not defined, or not available here. The choice stays as it was then.
#[unsafe(no_mangle)]
pub extern "C" fn gradstep_backend_force(backend: i32) -> i32 {
    call::status(call::known(Backend::ALL, backend, Argument::Backend).and_then(Backend::force))
}

/// Where chunk `index` begins and ends when `n` elements are cut into `chunks` parts for threads.
///
/// The parts follow each other, differ in length by no more than 256 elements, and begin at
/// multiples of 256 elements: two threads never write to the same 64 bytes of a buffer that starts
/// at a multiple of 64. A step on each part, in any order and on any thread, gives the same bits as
/// a step on the whole, and so do the parts' norms, merged. With few elements some parts are empty.
///
/// Errors: `chunks` is 0; `index` is not below `chunks`; `begin` or `end` is null or misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gradstep_chunk(
    n: usize,
    chunks: usize,
    index: usize,
    begin: *mut usize,
    end: *mut usize,
) -> i32 {
    unsafe { call::chunk(n, chunks, index, begin, end) }
}
