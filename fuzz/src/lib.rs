//! Calls of every function of `include/gradstep.h` with anything that its contract allows, made from
//! a fuzzer's bytes: pointers that are null, misaligned, overlapping or behind the address space,
//! numbers with any bits, lengths that no memory has.
//!
//! All memory that a call may reach is one arena, whose every byte is compared afterwards.
//!
//! - A call that is refused has changed nothing, and its status says something true: it is one of
//!   those that `model` finds wrong with the call.
//! - A call with nothing wrong succeeds, and leaves what the Rust API computes from the same bytes
//!   one element at a time, to the last bit, on every instruction set; all other bytes are as they
//!   were.
//!
//! What is left out is what only the caller can vouch for: a pointer to memory that is not there,
//! with nothing else wrong with the call.

#![allow(clippy::missing_panics_doc)] // to panic is what a finding does

mod arena;
mod draw;
mod fused;
mod lists;
mod misc;
mod model;
mod norm;
mod rules;
mod steps;

use std::collections::BTreeMap;
use std::ffi::CStr;

use arbitrary::Unstructured;
use gradstep::Backend;
use gradstep::capi::*;

use arena::Arena;
use rules::Subject;

/// Which functions were called, and how often with which reason (`GRADSTEP_ERROR_*`, or 0).
#[derive(Default)]
pub struct Seen(pub BTreeMap<(&'static str, i32), u64>);

impl Seen {
    pub(crate) fn note(&mut self, function: &'static str, status: i32) {
        *self.0.entry((function, status & 0xff)).or_default() += 1;
    }
}

/// One call that steps or starts a state.
pub fn steps(data: &[u8], seen: &mut Seen) {
    // An input that ends too soon is one that a longer one replaces.
    let _ = steps::any(&mut Unstructured::new(data), seen);
}

/// One call with a list of tensors.
pub fn lists(data: &[u8], seen: &mut Seen) {
    let _ = lists::any(&mut Unstructured::new(data), seen);
}

/// One fused step, or a call of the functions beside them.
pub fn fused(data: &[u8], seen: &mut Seen) {
    let _ = fused::any(&mut Unstructured::new(data), seen);
}

/// A few calls of the other functions.
pub fn misc(data: &[u8], seen: &mut Seen) {
    let _ = misc::any(&mut Unstructured::new(data), seen);
}

/// Every instruction set that is here, in use while `run` runs.
fn on_every_backend(seen: &mut Seen, mut run: impl FnMut(&mut Seen)) {
    for backend in Backend::ALL.iter().filter(|backend| backend.is_available()) {
        let status = gradstep_backend_force(*backend as i32);
        seen.note("gradstep_backend_force", status);
        assert_eq!(status, GRADSTEP_OK);
        run(seen);
    }
}

/// The texts of a status, any number; checks that they are there.
fn texts(status: i32, seen: &mut Seen) -> (&'static str, &'static str, i32) {
    let (message, argument) = (gradstep_status_message(status), gradstep_status_argument(status));
    let tensor = gradstep_status_tensor(status);
    seen.note("gradstep_status_message", GRADSTEP_OK);
    seen.note("gradstep_status_argument", GRADSTEP_OK);
    seen.note("gradstep_status_tensor", GRADSTEP_OK);
    assert!(!message.is_null() && !argument.is_null(), "{status:#x} has no text");
    // SAFETY: constant texts, says the header.
    let [message, argument] = [message, argument].map(|text| unsafe { CStr::from_ptr(text) });
    (message.to_str().unwrap(), argument.to_str().unwrap(), tensor)
}
