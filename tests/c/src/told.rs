//! The rules' fields as C is told them, and runs of the rules in Rust to compare with.

use std::ffi::{CStr, c_char};

use gradstep::capi::gradstep_options;
use gradstep::*;

/// `struct setting` of rules.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Setting {
    field: *const c_char,
    value: f64,
}

/// A field's value as C's table of fields takes it.
trait Value: Copy {
    fn value(self) -> f64;
}

impl Value for f64 {
    fn value(self) -> f64 {
        self
    }
}

macro_rules! numbered {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn value(self) -> f64 {
                f64::from(self as u8)
            }
        })*
    };
}

numbered!(bool, EpsPlacement, Amsgrad);

/// A rule whose fields can be told to C, and whose state is made of vectors.
pub trait Told: Rule {
    /// The fields, for C.
    fn settings(&self) -> Vec<Setting>;

    /// Walks through `grads`, a step each; gives the state at the end.
    ///
    /// # Errors
    ///
    /// A step is refused.
    fn walk(
        &self,
        options: Option<gradstep_options>,
        first_t: u64,
        param: &mut [f32],
        grads: &[Vec<f32>],
    ) -> Result<[Option<Vec<f32>>; 3], Error>;
}

/// The field's name as C has it.
macro_rules! setting {
    ($rule:expr, $field:ident) => {
        Setting {
            field: const {
                match CStr::from_bytes_with_nul(concat!(stringify!($field), "\0").as_bytes()) {
                    Ok(name) => name.as_ptr(),
                    Err(_) => panic!("a name ends with 0"),
                }
            },
            value: $rule.$field.value(),
        }
    };
}

/// A rule's fields, the buffers that it always has, and those that its fields ask for.
macro_rules! told {
    ($rule:ident { $($field:ident),* } [$($always:ident),*] [$($sometimes:ident),*]) => {
        impl Told for $rule {
            fn settings(&self) -> Vec<Setting> {
                let $rule { $($field: _),* } = self;
                vec![$(setting!(self, $field)),*]
            }

            fn walk(
                &self,
                options: Option<gradstep_options>,
                first_t: u64,
                param: &mut [f32],
                grads: &[Vec<f32>],
            ) -> Result<[Option<Vec<f32>>; 3], Error> {
                let mut state = self.state(|| vec![f32::NAN; param.len()]);
                self.init(state.as_mut())?;
                for (t, grad) in (first_t..).zip(grads) {
                    let mut step = self.at(t)?;
                    if let Some(options) = options {
                        step = step.scale_grad(options.grad_scale)?;
                        step = step.clamp_grad(options.grad_clamp)?;
                    }
                    step.apply(param, grad, state.as_mut())?;
                }
                let mut buffers = [$(Some(state.$always),)* $(state.$sometimes),*].into_iter();
                Ok(std::array::from_fn(|_| buffers.next().flatten()))
            }
        }
    };
}

told! {
    Sgd { lr, momentum, dampening, weight_decay, nesterov, lr_inside, maximize }
    [] [momentum_buffer]
}
told! {
    Adagrad {
        lr, lr_decay, eps, weight_decay, initial_accumulator_value, eps_placement, maximize
    }
    [sum] []
}
told! {
    RmsProp {
        lr, alpha, eps, weight_decay, momentum, initial_square_avg, centered, eps_placement,
        lr_inside, maximize
    }
    [square_avg] [grad_avg, momentum_buffer]
}
told! {
    Adadelta { lr, rho, eps, weight_decay, maximize }
    [square_avg, acc_delta] []
}
told! {
    Adam { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize }
    [exp_avg, exp_avg_sq] [max_exp_avg_sq]
}
told! {
    AdamW { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize }
    [exp_avg, exp_avg_sq] [max_exp_avg_sq]
}
