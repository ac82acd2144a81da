//! Fused steps with numbers of any format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gradstep_fuzz::fused(data, &mut Default::default()));
