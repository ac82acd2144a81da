//! Steps for the x86-64 processors that this machine is not: emulated, or with something hidden.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::host::REQUIRE_BACKENDS;
use crate::linux::SOME_TESTS;
use crate::suite::{DEBUG, RELEASE, Step};
use crate::{clib, root, target_dir, tools};

pub(crate) fn steps() -> Vec<Step> {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        return vec![];
    }
    vec![
        Step::new("tests: x86-64 without AVX", without_avx).in_lane(DEBUG),
        Step::new("tests: x86-64 with AVX, with AVX2, without FMA", some_tests).in_lane(DEBUG),
        Step::new("x86-64 that hides what it has", hidden).in_lane(RELEASE),
    ]
}

/// A processor that QEMU emulates, AVX-512 excepted: what it calls it, and the choice.
struct Model {
    cpu: &'static str,
    backend: &'static str,
}

const MODELS: [Model; 11] = [
    Model { cpu: "Nehalem", backend: "scalar" },
    // AVX, and no AVX2.
    Model { cpu: "SandyBridge", backend: "scalar" },
    Model { cpu: "Haswell", backend: "avx2" },
    Model { cpu: "Haswell,-fma", backend: "scalar" },
    Model { cpu: "Haswell,-avx2", backend: "scalar" },
    // AVX2 is still claimed, and no operating system saves its registers.
    Model { cpu: "Haswell,-xsave", backend: "scalar" },
    Model { cpu: "Haswell,-avx", backend: "scalar" },
    Model { cpu: "Haswell,-bmi2", backend: "scalar" },
    Model { cpu: "Haswell,-abm", backend: "scalar" },
    Model { cpu: "Skylake-Server", backend: "avx2" },
    Model { cpu: "max", backend: "avx2" },
];

const QEMU: &[tools::Tool] = &[("qemu-x86_64", "qemu-user")];

/// The variable that says what to run test programs with.
pub(crate) const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";

/// The bits, on a processor that has only SSE.
fn without_avx(sh: &Shell) -> Result<()> {
    tools::need(QEMU)?;
    Ok(cmd!(sh, "cargo test -p gradstep --features half,rayon --no-fail-fast")
        .args(tools::of_files(SOME_TESTS))
        .env(RUNNER, "qemu-x86_64 -cpu Nehalem")
        .env(REQUIRE_BACKENDS, "scalar")
        .env("GRADSTEP_EVERY", "17")
        .run()?)
}

/// What goes through every instruction set, with `std`'s detection and with that of `core` alone.
fn some_tests(sh: &Shell) -> Result<()> {
    tools::need(QEMU)?;
    for features in [&["--features", "half,rayon"][..], &["--no-default-features"]] {
        for model in &MODELS[1..4] {
            let Model { cpu, backend } = model;
            let backends = if *backend == "scalar" { "scalar" } else { "scalar,avx2" };
            cmd!(sh, "cargo test -p gradstep {features...}")
                .args(tools::of_files(&["equivalence", "pages"]))
                .env(RUNNER, format!("qemu-x86_64 -cpu {cpu}"))
                .env(REQUIRE_BACKENDS, backends)
                .env("GRADSTEP_EVERY", "37")
                .run()?;
        }
    }
    Ok(())
}

/// A C program with either static library, on all models, and here with everything hidden in turn.
fn hidden(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc")])?;
    tools::need(QEMU)?;
    for (name, library, others) in
        [("core", clib::build_static(sh)?, &[][..]), ("std", with_std(sh)?, STD_NEEDS)]
    {
        let program = target_dir().join("x86").join(name);
        sh.create_dir(program.parent().context("no folder")?)?;
        compile(sh, &library, others, &program)?;
        for Model { cpu, backend } in MODELS {
            cmd!(sh, "qemu-x86_64 -cpu {cpu} {program} {backend}").run()?;
        }
        cmd!(sh, "{program}").run()?;
    }
    Ok(())
}

/// The C library that detects instruction sets as Rust programs do.
fn with_std(sh: &Shell) -> Result<PathBuf> {
    let folder = target_dir().join("x86-std");
    cmd!(sh, "cargo rustc --package gradstep --lib --release --features capi")
        .args(["--crate-type", "staticlib", "--target-dir"])
        .arg(&folder)
        .run()?;
    Ok(folder.join("release").join(clib::STATIC))
}

/// What Rust's standard library is linked with.
pub(crate) const STD_NEEDS: &[&str] = &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

fn compile(sh: &Shell, library: &Path, others: &[&str], program: &Path) -> Result<()> {
    let tests = root().join("tests/c");
    let include = root().join("include");
    Ok(cmd!(sh, "cc -std=gnu11 -O1 -Wall -Wextra -Wpedantic -Werror -I{include} -I{tests}/c")
        .args([tests.join("x86/hidden.c"), tests.join("c/rules.c")])
        .arg(library)
        .args(others)
        .arg("-o")
        .arg(program)
        .run()?)
}
