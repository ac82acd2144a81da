//! A step on a list of tensors.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gradstep_fuzz::lists(data, &mut Default::default()));
