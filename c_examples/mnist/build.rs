//! Compiles the C network.

fn main() {
    let sources = [
        "failure",
        "rng",
        "plain_math",
        "idx",
        "net",
        "optimizer",
        "train",
        "surface",
        "gradient_check",
    ];
    let mut build = cc::Build::new();
    build
        .std("c11")
        .include("../../include")
        .opt_level(3)
        .extra_warnings(true)
        .warnings(true)
        .flag("-Wpedantic")
        // One rounding for each operation: the same bits on every processor.
        .flag("-ffp-contract=off");
    if std::env::var_os("MNIST_WERROR").is_some() {
        build.warnings_into_errors(true);
    }
    println!("cargo::rerun-if-env-changed=MNIST_WERROR");
    for source in sources {
        build.file(format!("c/{source}.c"));
    }
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=../../include/gradstep.h");
    build.compile("mnist_c");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family.contains("unix")) {
        println!("cargo::rustc-link-lib=m");
    }
}
