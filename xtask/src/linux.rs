//! Linux on other processors, whose programs run here in an emulator.

use std::process::Command;

use anyhow::Result;
use xshell::{Cmd, Shell};

use crate::host::{self, REQUIRE_BACKENDS};
use crate::suite::Step;
use crate::tools::{self, Toolchain};

/// A processor.
pub(crate) struct Linux {
    pub(crate) target: &'static str,
    /// Its name in Debian: of the compiler `<name>-gcc` and the folder `/usr/<name>`.
    gnu: &'static str,
    qemu: &'static str,
    /// The emulator's processor: the first that the library is for.
    cpu: &'static [&'static str],
}

pub(crate) const AARCH64: Linux = Linux {
    target: "aarch64-unknown-linux-gnu",
    gnu: "aarch64-linux-gnu",
    qemu: "qemu-aarch64",
    cpu: &["-cpu", "cortex-a53"],
};
pub(crate) const I686: Linux =
    Linux { target: "i686-unknown-linux-gnu", gnu: "i686-linux-gnu", qemu: "qemu-i386", cpu: &[] };
/// Big-endian; for the conformance program alone, since its tests take minutes.
pub(crate) const S390X: Linux = Linux {
    target: "s390x-unknown-linux-gnu",
    gnu: "s390x-linux-gnu",
    qemu: "qemu-s390x",
    cpu: &[],
};

/// The bits, the errors and the special values. The other tests measure what follows from the bits.
pub(crate) const SOME_TESTS: &[&str] = &["equivalence", "errors", "special"];

/// All but those that measure, or compare with what has been measured.
const MOST_TESTS: &[&str] = &["equivalence", "errors", "special", "fused", "norm", "pages"];

pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("tests: aarch64 with NEON", |sh| {
            let cargo_test = AARCH64.cargo(sh, "test")?.args(["-p", "gradstep", "--no-fail-fast"]);
            AARCH64.tests(cargo_test.args(tools::of_files(MOST_TESTS)))?;
            AARCH64.in_c(sh)
        })
        .in_lane(AARCH64.target),
        // The bits of every rule are the conformance program's.
        Step::new("tests: i686, pointers of 32 bits, from C", |sh| I686.in_c(sh))
            .in_lane(I686.target),
    ]
}

/// With what tests are made of, also where nothing is tested: cargo builds all anew for another list.
const STD: &str = "std,test";

impl Linux {
    /// The tests of the C ABI.
    fn in_c(&self, sh: &Shell) -> Result<()> {
        let gnu = self.gnu;
        tools::need(&[(&format!("{gnu}-g++"), &format!("g++-{gnu}"))])?;
        self.tests(self.cargo(sh, "test")?.args(["-p", "c-tests", "--no-fail-fast"]))
    }

    fn tests(&self, cargo_test: Cmd<'_>) -> Result<()> {
        Ok(cargo_test
            .env(tools::cargo_target(self.target, "RUNNER"), self.runner().join(" "))
            .env(REQUIRE_BACKENDS, self.backends().join(","))
            .env("GRADSTEP_EVERY", "29")
            .run()?)
    }

    /// `cargo <subcommand>` for it. Programs need the [`runner`](Linux::runner).
    pub(crate) fn cargo<'a>(&self, sh: &'a Shell, subcommand: &str) -> Result<Cmd<'a>> {
        let gcc = format!("{}-gcc", self.gnu);
        tools::need(&[(self.qemu, "qemu-user"), (&gcc, &format!("gcc-{}", self.gnu))])?;
        let cargo = Toolchain::find(sh, self.target)?.cargo(sh, subcommand, self.target, STD);
        Ok(cargo.env(tools::cargo_target(self.target, "LINKER"), gcc))
    }

    /// What goes in front of a program to run it.
    pub(crate) fn runner(&self) -> Vec<String> {
        let root = format!("/usr/{}", self.gnu);
        if self.is_native() {
            let libraries = format!("{root}/lib");
            return vec![I686_LOADER.into(), "--library-path".into(), libraries];
        }
        let cpu = self.cpu.iter().map(|&word| word.into());
        [self.qemu.into()].into_iter().chain(cpu).chain(["-L".into(), root]).collect()
    }

    /// The instruction sets that the runner has.
    pub(crate) fn backends(&self) -> Vec<&'static str> {
        match self.target {
            _ if self.is_native() => host::instruction_sets_here(),
            "aarch64-unknown-linux-gnu" => vec!["scalar", "neon"],
            "i686-unknown-linux-gnu" => vec!["scalar", "avx2"],
            _ => vec!["scalar"],
        }
    }

    /// Whether this processor, and its system, run such programs themselves.
    fn is_native(&self) -> bool {
        let runs = |loader| Command::new(loader).arg("--version").output().is_ok();
        self.target == I686.target && cfg!(target_arch = "x86_64") && runs(I686_LOADER)
    }
}

/// Starts a program with the libraries of another place than the system's.
const I686_LOADER: &str = "/usr/i686-linux-gnu/lib/ld-linux.so.2";
