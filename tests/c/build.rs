//! Compiles the tests that are written in C, and the one in C++, with every warning an error.

fn main() {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=../../include/gradstep.h");

    let mut c = strict();
    c.std("c11");
    let sources =
        ["check", "rules", "layout", "errors", "fused", "memory", "norm", "steps", "wrong"];
    for source in sources {
        c.file(format!("c/{source}.c"));
    }
    c.compile("c_tests");

    let mut cpp = strict();
    cpp.cpp(true).std("c++17").file("c/layout.cpp");
    // Templates at compile time only: no C++ library to link.
    cpp.cpp_link_stdlib(None).flag_if_supported("-fno-exceptions").flag_if_supported("-fno-rtti");
    cpp.compile("cpp_tests");
}

fn strict() -> cc::Build {
    let mut build = cc::Build::new();
    build
        .include("../../include")
        .warnings(true)
        .extra_warnings(true)
        .flag_if_supported("-Wpedantic")
        .warnings_into_errors(true)
        // The tests compare bits; none of their own arithmetic may depend on the compiler.
        .flag_if_supported("-ffp-contract=off");
    // On a processor of 32 bits, too, whose own registers would have more than those of a number.
    let is_x86 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86");
    if is_x86 && !build.get_compiler().is_like_msvc() {
        build.flag("-msse2").flag("-mfpmath=sse");
    }
    build
}
