//! The optimizers, one file each, and the list of them.

mod adadelta;
mod adagrad;
mod adam;
mod adamw;
mod rmsprop;
mod sgd;

pub use adadelta::{Adadelta, AdadeltaState};
pub use adagrad::{Adagrad, AdagradState};
pub use adam::{Adam, AdamState, Amsgrad};
pub use adamw::AdamW;
pub use rmsprop::{RmsProp, RmsPropState};
pub use sgd::{Sgd, SgdState};

/// Calls a macro with every rule of the crate: `$macro!(Sgd, Adagrad, ...)`.
///
/// The one list of rules. Tests, benchmarks and the README's table are taken from it, so that a
/// new rule cannot be forgotten in one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_rule {
    ($macro:ident) => {
        $macro!(Sgd, Adagrad, RmsProp, Adadelta, Adam, AdamW);
    };
}
