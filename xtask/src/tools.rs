//! What this machine has to build and run programs with.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::suite::Skip;
use crate::target_dir;

/// A program, and the Debian package that has it.
pub(crate) type Tool<'a> = (&'a str, &'a str);

/// Skips the step unless all of these are installed.
pub(crate) fn need(tools: &[Tool<'_>]) -> Result<()> {
    let missing: Vec<_> = tools.iter().filter(|(program, _)| find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!(Skip(format!(
        "needs {} (Debian: apt-get install {})",
        programs.join(", "),
        packages.join(" ")
    )))
}

/// The place of a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A program that rustup installs with a compiler, if it is there.
pub(crate) fn of_rustup(sh: &Shell, program: &str) -> Result<Option<PathBuf>> {
    let libraries = cmd!(sh, "rustc --print target-libdir").quiet().read()?;
    let file = PathBuf::from(libraries).with_file_name("bin").join(program);
    Ok(Some(file).filter(|file| file.is_file()))
}

/// The linker for a target whose compiler brings none: rustup's, or LLVM's.
fn linker(sh: &Shell, target: &str) -> Result<PathBuf> {
    let program = if target.starts_with("wasm") { "wasm-ld" } else { "ld.lld" };
    let linker = of_rustup(sh, "rust-lld")?.or_else(|| find(program));
    Ok(linker.ok_or_else(|| Skip(format!("needs {program} (Debian: apt-get install lld)")))?)
}

/// The variable with one of cargo's settings for a target.
pub(crate) fn cargo_target(target: &str, setting: &str) -> String {
    format!("CARGO_TARGET_{}_{setting}", target.to_uppercase().replace(['-', '.'], "_"))
}

/// A compiler that has a target's standard library.
pub(crate) enum Toolchain {
    /// The one in use, to which rustup has added the target.
    InUse,
    /// Debian's, which comes with the library's source and builds it.
    ///
    /// It has no linker for microcontrollers and WebAssembly. One is named also where nothing is linked:
    /// cargo builds all anew, the library too, when another one is named.
    Debian { linker: Option<PathBuf> },
}

impl Toolchain {
    /// Skips the step if there is none.
    pub(crate) fn find(sh: &Shell, target: &str) -> Result<Self> {
        let in_use = cmd!(sh, "rustc --print target-libdir --target {target}");
        if in_use.quiet().ignore_stderr().read().is_ok_and(|folder| Path::new(&folder).is_dir()) {
            return Ok(Self::InUse);
        }
        if debian_builds_std(sh) {
            let has_none = target.contains("-none-") || target.starts_with("wasm");
            let linker = has_none.then(|| linker(sh, target)).transpose()?;
            return Ok(Self::Debian { linker });
        }
        bail!(Skip(format!(
            "needs a standard library for {target} (rustup target add {target}; \
             or Debian: apt-get install rustc-web cargo-web rust-web-src)"
        )))
    }

    /// Whether it accepts features that stable Rust has not yet.
    pub(crate) fn is_unstable(&self, sh: &Shell) -> Result<bool> {
        match self {
            Self::InUse => Ok(cmd!(sh, "rustc --version").quiet().read()?.contains("nightly")),
            // As `cargo` below tells it to.
            Self::Debian { .. } => Ok(true),
        }
    }

    /// `cargo <subcommand>` for a target, with this part of the standard library.
    pub(crate) fn cargo<'a>(
        &self,
        sh: &'a Shell,
        subcommand: &str,
        target: &str,
        std: &str,
    ) -> Cmd<'a> {
        let cargo = match self {
            Self::InUse => cmd!(sh, "cargo {subcommand}"),
            Self::Debian { linker } => {
                let linker = linker.iter().map(|linker| (cargo_target(target, "LINKER"), linker));
                cmd!(sh, "/usr/bin/cargo {subcommand} -Zbuild-std={std}")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTDOC", "/usr/bin/rustdoc")
                    // Else -Z is refused: the library's source is of the same release, so it fits.
                    .env("RUSTC_BOOTSTRAP", "1")
                    // Set by cargo for this program, and it names the other compiler's libraries.
                    .env_remove("LD_LIBRARY_PATH")
                    .envs(linker)
                    .args(unoptimized(std))
            }
        };
        cargo.arg("--target").arg(target).env("CARGO_TARGET_DIR", folder(target))
    }
}

/// Options for the largest parts of the standard library, if there is one: in the profile of tests they
/// are not optimised, which halves the time to build them. What is generic or inline is compiled, and
/// optimised, where it is used.
fn unoptimized(std: &str) -> Vec<String> {
    let has_std = std.split(',').any(|part| part == "std");
    let largest: &[_] = if has_std { &["core", "alloc", "std", "gimli", "object"] } else { &[] };
    let option = |part| ["--config".into(), format!("profile.test.package.{part}.opt-level=0")];
    largest.iter().flat_map(option).collect()
}

/// Cargo's folder for a target: one of its own, so that steps for different targets need not wait for
/// each other.
fn folder(target: &str) -> PathBuf {
    target_dir().join("cross").join(target)
}

/// Where that is which was built for a target in a profile's folder, `debug` or `release`.
pub(crate) fn output(target: &str, profile: &str) -> PathBuf {
    folder(target).join(target).join(profile)
}

/// Cargo's options for these tests alone.
pub(crate) fn named(tests: &[&'static str]) -> Vec<&'static str> {
    tests.iter().flat_map(|test| ["--test", test]).collect()
}

/// Cargo's options for the library's own tests and those of these files in `tests/`.
pub(crate) fn of_files(files: &[&str]) -> Vec<String> {
    let options = ["--lib", "--test", "all", "--", "tests::"].into_iter().map(str::to_owned);
    options.chain(one_at_a_time(files)).collect()
}

/// The options of a test program for the tests of these files. Each file's take turns with what is the
/// process's, but not those of several.
pub(crate) fn one_at_a_time(files: &[&str]) -> impl Iterator<Item = String> {
    let modules = files.iter().map(|file| format!("{file}::"));
    ["--test-threads=1".to_owned()].into_iter().chain(modules)
}

/// This machine's target, for what is built for it by name.
pub(crate) fn host() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}

/// rustup's nightly compiler, for what is not stable.
pub(crate) struct Nightly(());

impl Nightly {
    /// Skips the step if there is none.
    pub(crate) fn find(sh: &Shell) -> Result<Self> {
        need(&[("rustup", "rustup")])?;
        let nightly = cmd!(sh, "rustup run nightly rustc --version").quiet().ignore_stderr();
        if nightly.read().is_err() {
            bail!(Skip("needs a nightly compiler (rustup toolchain install nightly)".into()));
        }
        Ok(Self(()))
    }

    /// `cargo <subcommand>` for this machine, which it is told by name: the flags are then not for
    /// build scripts.
    pub(crate) fn cargo<'a>(&self, sh: &'a Shell, subcommand: &str, rustflags: &str) -> Cmd<'a> {
        let host = host();
        cmd!(sh, "rustup run nightly cargo {subcommand} --target {host}")
            .env("RUSTFLAGS", rustflags)
            // Set by cargo for this program, and they name the other compiler.
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("CARGO")
    }

    /// The folder of the compiler's libraries, among them the sanitizers' run-time parts.
    pub(crate) fn libraries(&self, sh: &Shell) -> Result<PathBuf> {
        let folder = cmd!(sh, "rustup run nightly rustc --print target-libdir");
        Ok(folder.quiet().env_remove("LD_LIBRARY_PATH").read()?.into())
    }
}

/// Whether Debian's compiler is recent enough, and its library's source installed.
fn debian_builds_std(sh: &Shell) -> bool {
    let release = cmd!(sh, "/usr/bin/rustc --version").quiet().ignore_stderr().read();
    let minor = |release: &str| release.split('.').nth(1)?.parse::<u32>().ok();
    release.is_ok_and(|release| minor(&release) >= minor(env!("CARGO_PKG_RUST_VERSION")))
        && Path::new("/usr/bin/cargo").is_file()
        && Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock").is_file()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::root;

    #[test]
    fn all_tests_are_in_one_program() {
        let all = fs::read_to_string(root().join("tests/all.rs")).unwrap();
        for file in fs::read_dir(root().join("tests")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if let Some(module) = name.strip_suffix(".rs").filter(|&module| module != "all") {
                assert!(
                    all.contains(&format!("\nmod {module};\n")),
                    "{name} is not in tests/all.rs"
                );
            }
        }
    }
}
