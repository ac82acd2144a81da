//! Compiles `naive.c`, and tells the table which compilers were at work.

use std::env;
use std::process::Command;

/// What the C loops are compiled with, whatever the profile of the Rust code. No `-std=c11`, which
/// would keep GCC from fusing multiplications and additions.
const FLAGS: [&str; 3] = ["-O3", "-march=native", "-fno-math-errno"];

fn main() {
    println!("cargo::rerun-if-changed=naive.c");
    println!("cargo::rerun-if-env-changed=CC");
    println!("cargo::rerun-if-env-changed=CFLAGS");

    let mut build = cc::Build::new();
    build.file("naive.c").warnings(true).extra_warnings(true);
    // `cc` puts the profile's optimization level first, and a compiler takes the last one.
    for flag in FLAGS {
        build.flag(flag);
    }
    build.compile("naive");

    let rustc = env::var_os("RUSTC").expect("Cargo sets RUSTC");
    println!("cargo::rustc-env=RUSTC_VERSION={}", version(Command::new(rustc)));
    println!("cargo::rustc-env=CC_VERSION={}", version(build.get_compiler().to_command()));
    println!("cargo::rustc-env=CC_FLAGS={}", FLAGS.join(" "));
}

/// The first line of what a compiler says of itself.
fn version(mut compiler: Command) -> String {
    let output = compiler.arg("--version").output().expect("the compiler has just run");
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").to_owned()
}
