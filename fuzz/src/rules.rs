//! Each rule's C functions behind one trait, with what the header says of its fields and buffers.

use arbitrary::{Result, Unstructured};
use gradstep::capi::*;
use gradstep::{
    Adadelta, AdadeltaState, Adagrad, AdagradState, Adam, AdamState, AdamW, Amsgrad, EpsPlacement,
    RmsProp, RmsPropState, Rule, Sgd, SgdState, StateOf,
};

use crate::model::{Tensor, Wrong};
use crate::{Seen, draw};

/// A rule that the targets call.
///
/// They go through `gradstep::for_each_rule!`, so a new rule does not compile without this.
pub trait Subject: Rule {
    /// The hyperparameters in C.
    type Hyper: Copy;

    /// One tensor of a list in C.
    type Item: Copy;

    /// The names of the state buffers, and whether only some hyperparameters need it.
    const BUFFERS: &'static [(&'static str, bool)];

    /// Hyperparameters, mostly good ones.
    fn draw(u: &mut Unstructured<'_>) -> Result<Self::Hyper>;

    /// What is wrong with each field, alone.
    fn wrong(hyper: &Self::Hyper) -> Wrong;

    /// The same in Rust, if flags and choices have values that are defined.
    fn from_c(hyper: &Self::Hyper) -> Option<Self>;

    /// The fields, as bits, of a struct that was filled; its padding, if any, is not among them.
    fn bits(hyper: &Self::Hyper) -> Vec<u64>;

    /// The same of the rule in Rust.
    fn bits_of(&self) -> Vec<u64>;

    /// Which buffers the header says that these hyperparameters need.
    fn needs(hyper: &Self::Hyper) -> [bool; 3];

    /// The state with these buffers.
    fn bind<T>(buffers: [Option<T>; 3]) -> StateOf<Self, T>;

    /// A tensor of a list.
    fn to_item(tensor: Tensor) -> Self::Item;

    /// The same back; a buffer that the rule has not got is null.
    fn from_item(item: Self::Item) -> Tensor;

    /// `gradstep_*_default`.
    ///
    /// # Safety
    ///
    /// Of this and of the others: what the header asks of a caller.
    unsafe fn c_default(seen: &mut Seen, hyper: *mut Self::Hyper) -> i32;

    /// `gradstep_*_preset`.
    ///
    /// # Safety
    ///
    /// See above.
    unsafe fn c_preset(seen: &mut Seen, hyper: *mut Self::Hyper, preset: i32) -> i32;

    /// `gradstep_*_init`.
    ///
    /// # Safety
    ///
    /// See above.
    unsafe fn c_init(seen: &mut Seen, hyper: *const Self::Hyper, tensor: Tensor) -> i32;

    /// `gradstep_*_step`.
    ///
    /// # Safety
    ///
    /// See above.
    unsafe fn c_step(
        seen: &mut Seen,
        hyper: *const Self::Hyper,
        options: *const gradstep_options,
        t: u64,
        tensor: Tensor,
    ) -> i32;

    /// `gradstep_*_step_list`.
    ///
    /// # Safety
    ///
    /// See above.
    unsafe fn c_step_list(
        seen: &mut Seen,
        hyper: *const Self::Hyper,
        options: *const gradstep_options,
        t: u64,
        count: usize,
        list: *const Self::Item,
    ) -> i32;
}

/// What a field may hold, as the header has it.
struct Domain<T: 'static> {
    error: i32,
    has: fn(T) -> bool,
    usual: &'static [T],
}

const NON_NEGATIVE: Domain<f64> = Domain {
    error: GRADSTEP_ERROR_NOT_NON_NEGATIVE,
    has: |x| x >= 0.0 && (x as f32).is_finite(),
    usual: &[0.01, 0.0, 1e-3, 0.9, 1.0, 1e-8],
};
const FINITE: Domain<f64> = Domain {
    error: GRADSTEP_ERROR_NOT_FINITE,
    has: |x| (x as f32).is_finite(),
    usual: &[0.0, 0.3, -0.7, 1.0],
};
const FRACTION: Domain<f64> = Domain {
    error: GRADSTEP_ERROR_NOT_A_FRACTION,
    has: |x| (0.0..=1.0).contains(&x),
    usual: &[0.9, 0.99, 0.2, 0.0, 1.0],
};
const UNIT_INTERVAL: Domain<f64> = Domain {
    error: GRADSTEP_ERROR_NOT_IN_UNIT_INTERVAL,
    has: |x| (0.0..1.0).contains(&x),
    usual: &[0.9, 0.999, 0.3, 0.0],
};
const FLAG: Domain<i32> =
    Domain { error: GRADSTEP_ERROR_UNKNOWN, has: |x| matches!(x, 0 | 1), usual: &[0, 1] };
const EPS_OF_TWO: Domain<i32> = Domain {
    error: GRADSTEP_ERROR_UNKNOWN,
    has: |x| matches!(x, GRADSTEP_EPS_OUTSIDE | GRADSTEP_EPS_INSIDE),
    usual: &[GRADSTEP_EPS_OUTSIDE, GRADSTEP_EPS_INSIDE],
};
const EPS_OF_THREE: Domain<i32> = Domain {
    error: GRADSTEP_ERROR_UNKNOWN,
    has: |x| matches!(x, GRADSTEP_EPS_OUTSIDE | GRADSTEP_EPS_INSIDE | GRADSTEP_EPS_HAT),
    usual: &[GRADSTEP_EPS_OUTSIDE, GRADSTEP_EPS_INSIDE, GRADSTEP_EPS_HAT],
};
const AMSGRAD: Domain<i32> = Domain {
    error: GRADSTEP_ERROR_UNKNOWN,
    has: |x| matches!(x, GRADSTEP_AMSGRAD_OFF | GRADSTEP_AMSGRAD_RAW | GRADSTEP_AMSGRAD_CORRECTED),
    usual: &[GRADSTEP_AMSGRAD_OFF, GRADSTEP_AMSGRAD_RAW, GRADSTEP_AMSGRAD_CORRECTED],
};
const RESERVED: Domain<i32> =
    Domain { error: GRADSTEP_ERROR_NOT_ZERO, has: |x| x == 0, usual: &[0] };

/// A field's type in C: drawn, and as bits.
trait Field: Copy + 'static {
    fn draw(u: &mut Unstructured<'_>, domain: Domain<Self>) -> Result<Self>;
    fn bits(self) -> u64;
}

impl Field for f64 {
    fn draw(u: &mut Unstructured<'_>, domain: Domain<Self>) -> Result<Self> {
        draw::real(u, domain.usual)
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }
}

impl Field for i32 {
    fn draw(u: &mut Unstructured<'_>, domain: Domain<Self>) -> Result<Self> {
        draw::integer(u, domain.usual)
    }

    fn bits(self) -> u64 {
        self as u32 as u64
    }
}

/// A field's value in Rust.
trait Value: Sized {
    type C: Field;
    fn from_c(value: Self::C) -> Option<Self>;
    fn to_c(&self) -> Self::C;
}

impl Value for f64 {
    type C = f64;

    fn from_c(value: f64) -> Option<Self> {
        Some(value)
    }

    fn to_c(&self) -> f64 {
        *self
    }
}

macro_rules! choices {
    ($($type:ident: $($number:pat => $value:expr),*;)*) => {
        $(impl Value for $type {
            type C = i32;

            fn from_c(value: i32) -> Option<Self> {
                match value {
                    $($number => Some($value),)*
                    _ => None,
                }
            }

            fn to_c(&self) -> i32 {
                *self as i32
            }
        })*
    };
}

choices! {
    bool: 0 => false, 1 => true;
    EpsPlacement: GRADSTEP_EPS_OUTSIDE => EpsPlacement::Outside,
        GRADSTEP_EPS_INSIDE => EpsPlacement::Inside, GRADSTEP_EPS_HAT => EpsPlacement::Hat;
    Amsgrad: GRADSTEP_AMSGRAD_OFF => Amsgrad::Off, GRADSTEP_AMSGRAD_RAW => Amsgrad::Raw,
        GRADSTEP_AMSGRAD_CORRECTED => Amsgrad::Corrected;
}

/// A rule, its struct in C and that of its tensors; its functions; its fields; its state in Rust,
/// with each buffer's position, and when it is needed if that depends.
macro_rules! subject {
    (
        $rule:ident $hyper:ident $item:ident
        $default:ident $preset:ident $init:ident $step:ident $step_list:ident
        { $($field:ident: $domain:ident),* } { $($reserved:ident)? }
        $state:ident { $($always:ident $a:literal),* }
        { $($sometimes:ident $s:literal if $when:expr),* }
    ) => {
        impl Subject for $rule {
            type Hyper = $hyper;
            type Item = $item;

            const BUFFERS: &'static [(&'static str, bool)] = &[
                $((stringify!($always), false),)*
                $((stringify!($sometimes), true)),*
            ];

            fn draw(u: &mut Unstructured<'_>) -> Result<$hyper> {
                Ok($hyper {
                    $($field: Field::draw(u, $domain)?,)*
                    $($reserved: Field::draw(u, RESERVED)?)?
                })
            }

            fn wrong(hyper: &$hyper) -> Wrong {
                let mut wrong = Wrong::default();
                $(wrong.unless(($domain.has)(hyper.$field), $domain.error, stringify!($field));)*
                $(
                    let reserved = (RESERVED.has)(hyper.$reserved);
                    wrong.unless(reserved, RESERVED.error, stringify!($reserved));
                )?
                wrong
            }

            fn from_c(hyper: &$hyper) -> Option<Self> {
                Some($rule { $($field: Value::from_c(hyper.$field)?),* })
            }

            fn bits(hyper: &$hyper) -> Vec<u64> {
                vec![$(hyper.$field.bits(),)* $(hyper.$reserved.bits())?]
            }

            fn bits_of(&self) -> Vec<u64> {
                // Reserved fields are 0.
                let $rule { $($field),* } = self;
                vec![$($field.to_c().bits(),)* $({ let $reserved = 0; $reserved })?]
            }

            fn needs(hyper: &$hyper) -> [bool; 3] {
                let mut needs = [false; 3];
                $(needs[$a] = true;)*
                $({
                    const WHEN: fn(&$hyper) -> bool = $when;
                    needs[$s] = WHEN(hyper);
                })*
                let _ = hyper;
                needs
            }

            fn bind<T>(buffers: [Option<T>; 3]) -> StateOf<Self, T> {
                let mut buffers = buffers.into_iter();
                $(let $always = buffers.next().flatten().expect("a buffer that is always there");)*
                $(let $sometimes = buffers.next().flatten();)*
                $state { $($always,)* $($sometimes),* }
            }

            fn to_item(tensor: Tensor) -> $item {
                let Tensor { n, param, grad, state } = tensor;
                $item { n, param, grad, $($always: state[$a],)* $($sometimes: state[$s]),* }
            }

            fn from_item(item: $item) -> Tensor {
                let $item { n, param, grad, $($always,)* $($sometimes),* } = item;
                let mut state = [std::ptr::null_mut(); 3];
                $(state[$a] = $always;)*
                $(state[$s] = $sometimes;)*
                Tensor { n, param, grad, state }
            }

            unsafe fn c_default(seen: &mut Seen, hyper: *mut $hyper) -> i32 {
                let status = unsafe { $default(hyper) };
                seen.note(stringify!($default), status);
                status
            }

            unsafe fn c_preset(seen: &mut Seen, hyper: *mut $hyper, preset: i32) -> i32 {
                let status = unsafe { $preset(hyper, preset) };
                seen.note(stringify!($preset), status);
                status
            }

            unsafe fn c_init(seen: &mut Seen, hyper: *const $hyper, tensor: Tensor) -> i32 {
                let Tensor { n, state, .. } = tensor;
                let status = unsafe { $init(hyper, n, $(state[$a],)* $(state[$s]),*) };
                seen.note(stringify!($init), status);
                status
            }

            unsafe fn c_step(
                seen: &mut Seen,
                hyper: *const $hyper,
                options: *const gradstep_options,
                t: u64,
                tensor: Tensor,
            ) -> i32 {
                let Tensor { n, param, grad, state } = tensor;
                let status = unsafe {
                    $step(hyper, options, t, n, param, grad, $(state[$a],)* $(state[$s]),*)
                };
                seen.note(stringify!($step), status);
                status
            }

            unsafe fn c_step_list(
                seen: &mut Seen,
                hyper: *const $hyper,
                options: *const gradstep_options,
                t: u64,
                count: usize,
                list: *const $item,
            ) -> i32 {
                let status = unsafe { $step_list(hyper, options, t, count, list) };
                seen.note(stringify!($step_list), status);
                status
            }
        }
    };
}

subject! {
    Sgd gradstep_sgd gradstep_sgd_tensor
    gradstep_sgd_default gradstep_sgd_preset gradstep_sgd_init gradstep_sgd_step gradstep_sgd_step_list
    {
        lr: NON_NEGATIVE, momentum: NON_NEGATIVE, dampening: FINITE, weight_decay: NON_NEGATIVE,
        nesterov: FLAG, lr_inside: FLAG, maximize: FLAG
    }
    { reserved }
    SgdState {} { momentum_buffer 0 if |hyper| hyper.momentum > 0.0 }
}

subject! {
    Adagrad gradstep_adagrad gradstep_adagrad_tensor
    gradstep_adagrad_default gradstep_adagrad_preset
    gradstep_adagrad_init gradstep_adagrad_step gradstep_adagrad_step_list
    {
        lr: NON_NEGATIVE, lr_decay: NON_NEGATIVE, eps: NON_NEGATIVE, weight_decay: NON_NEGATIVE,
        initial_accumulator_value: NON_NEGATIVE, eps_placement: EPS_OF_TWO, maximize: FLAG
    }
    {}
    AdagradState { sum 0 } {}
}

subject! {
    RmsProp gradstep_rmsprop gradstep_rmsprop_tensor
    gradstep_rmsprop_default gradstep_rmsprop_preset
    gradstep_rmsprop_init gradstep_rmsprop_step gradstep_rmsprop_step_list
    {
        lr: NON_NEGATIVE, alpha: FRACTION, eps: NON_NEGATIVE, weight_decay: NON_NEGATIVE,
        momentum: NON_NEGATIVE, initial_square_avg: NON_NEGATIVE, centered: FLAG,
        eps_placement: EPS_OF_TWO, lr_inside: FLAG, maximize: FLAG
    }
    {}
    RmsPropState { square_avg 0 }
    {
        grad_avg 1 if |hyper| hyper.centered == 1,
        momentum_buffer 2 if |hyper| hyper.momentum > 0.0
    }
}

subject! {
    Adadelta gradstep_adadelta gradstep_adadelta_tensor
    gradstep_adadelta_default gradstep_adadelta_preset
    gradstep_adadelta_init gradstep_adadelta_step gradstep_adadelta_step_list
    {
        lr: NON_NEGATIVE, rho: FRACTION, eps: NON_NEGATIVE, weight_decay: NON_NEGATIVE,
        maximize: FLAG
    }
    { reserved }
    AdadeltaState { square_avg 0, acc_delta 1 } {}
}

subject! {
    Adam gradstep_adam gradstep_adam_tensor
    gradstep_adam_default gradstep_adam_preset
    gradstep_adam_init gradstep_adam_step gradstep_adam_step_list
    {
        lr: NON_NEGATIVE, beta1: UNIT_INTERVAL, beta2: UNIT_INTERVAL, eps: NON_NEGATIVE,
        weight_decay: NON_NEGATIVE, amsgrad: AMSGRAD, eps_placement: EPS_OF_THREE, maximize: FLAG
    }
    { reserved }
    AdamState { exp_avg 0, exp_avg_sq 1 }
    { max_exp_avg_sq 2 if |hyper| hyper.amsgrad != GRADSTEP_AMSGRAD_OFF }
}

subject! {
    AdamW gradstep_adamw gradstep_adamw_tensor
    gradstep_adamw_default gradstep_adamw_preset
    gradstep_adamw_init gradstep_adamw_step gradstep_adamw_step_list
    {
        lr: NON_NEGATIVE, beta1: UNIT_INTERVAL, beta2: UNIT_INTERVAL, eps: NON_NEGATIVE,
        weight_decay: NON_NEGATIVE, amsgrad: AMSGRAD, eps_placement: EPS_OF_THREE, maximize: FLAG
    }
    { reserved }
    AdamState { exp_avg 0, exp_avg_sq 1 }
    { max_exp_avg_sq 2 if |hyper| hyper.amsgrad != GRADSTEP_AMSGRAD_OFF }
}
