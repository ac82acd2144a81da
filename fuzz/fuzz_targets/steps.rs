//! A step, or a start of the state, of any rule.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gradstep_fuzz::steps(data, &mut Default::default()));
