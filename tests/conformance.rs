//! The bits of every rule, as recorded for all machines.
//!
//! Not in the published package: nor is the program that all machines run.

#[test]
fn the_same_bits_on_every_machine() {
    let mut output = String::new();
    let conforms = gradstep_conformance::report("this machine", &mut output).unwrap();
    assert!(conforms, "\n{output}");
}
