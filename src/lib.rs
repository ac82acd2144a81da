#![doc = "placeholder"]
#![no_std]
#![deny(unsafe_code)]
#[cfg(feature = "std")]
extern crate std;

mod average;
#[cfg(feature = "capi")]
pub mod capi;
mod chunk;
mod dispatch;
mod error;
mod gradient;
mod lanes;
mod pass;
mod real;
mod rule;
mod rules;
mod step;

pub use chunk::chunk;
pub use dispatch::Backend;
pub use error::{Argument, Error, ErrorKind};
pub use rule::{EpsPlacement, Preset, Rule, StateOf};
pub use rules::*;
pub use step::{Step, Tensor};
