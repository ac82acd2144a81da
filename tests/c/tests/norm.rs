//! The norm and the loss scale from C.

c_tests::c_tests! {
    norm_in_parts
    norm_in_a_run
    norm_pointers
    norm_errors
}
