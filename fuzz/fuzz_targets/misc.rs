//! Everything else: defaults, presets, options, statuses, backends, chunks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gradstep_fuzz::misc(data, &mut Default::default()));
