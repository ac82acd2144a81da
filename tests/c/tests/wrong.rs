//! Wrong on purpose, one by one: a sanitizer or Valgrind must report each. Ignored, and run by
//! `cargo xtask test` only, which expects them to fail.

use std::ffi::c_int;
use std::hint::black_box;

// Calls the C functions of the tests.
use c_tests as _;

unsafe extern "C" {
    fn wrong_n();
    fn wrong_index(index: usize) -> f32;
    fn wrong_gradient();
    fn wrong_sum(one: c_int) -> c_int;
}

/// Nothing of this may run where nobody watches.
fn watched() {
    assert!(std::env::var_os("GRADSTEP_WATCHED").is_some(), "only for `cargo xtask test`");
}

#[test]
#[ignore = "writes behind a buffer"]
fn kernel_writes_too_far() {
    watched();
    // SAFETY: none; a sanitizer ends the program.
    unsafe { wrong_n() };
}

#[test]
#[ignore = "reads behind a buffer"]
fn c_reads_too_far() {
    watched();
    // SAFETY: none; a sanitizer ends the program.
    black_box(unsafe { wrong_index(black_box(40)) });
}

#[test]
#[ignore = "depends on memory that nobody has written"]
fn kernel_reads_nothing() {
    watched();
    // SAFETY: none; Valgrind reports it.
    unsafe { wrong_gradient() };
}

#[test]
#[ignore = "overflows an int"]
fn c_overflows() {
    watched();
    // SAFETY: none; a sanitizer ends the program.
    black_box(unsafe { wrong_sum(black_box(1)) });
}
