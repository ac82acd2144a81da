//! The C libraries for this machine.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::Object;
use xshell::{Cmd, Shell, cmd};

use crate::target_dir;

/// Builds both, and prints their places and sizes.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    for library in [build_static(sh)?, build_shared(sh)?] {
        println!("{}: {} bytes", library.display(), fs::metadata(&library)?.len());
    }
    Ok(())
}

pub(crate) fn build_static(sh: &Shell) -> Result<PathBuf> {
    options(cmd!(sh, "cargo rustc"), "staticlib").run()?;
    Ok(target_dir().join("release").join(STATIC))
}

pub(crate) fn build_shared(sh: &Shell) -> Result<PathBuf> {
    options(cmd!(sh, "cargo rustc"), "cdylib").run()?;
    let library = target_dir().join("release").join(format!("{DLL_PREFIX}gradstep{DLL_SUFFIX}"));
    only_gradstep_is_exported(&library)?;
    Ok(library)
}

/// The name of the static library.
pub(crate) const STATIC: &str = if cfg!(windows) { "gradstep.lib" } else { "libgradstep.a" };

/// What makes a C library of `cargo rustc`: the C ABI, and no standard library.
pub(crate) fn options<'a>(cargo_rustc: Cmd<'a>, crate_type: &str) -> Cmd<'a> {
    with(cargo_rustc, crate_type, "release", "")
}

/// The same for a microcontroller: the profile `embedded`, and what helps its loops. These stay as
/// they are written, and move from element to element by their loads and stores.
pub(crate) fn embedded_options<'a>(cargo_rustc: Cmd<'a>, features: &str) -> Cmd<'a> {
    with(cargo_rustc, "staticlib", EMBEDDED, features).args([
        "--",
        "-Cllvm-args=-unroll-runtime=false",
        "-Cllvm-args=-lsr-preferred-addressing-mode=postindexed",
    ])
}

/// The profile for microcontrollers.
pub(crate) const EMBEDDED: &str = "embedded";

fn with<'a>(cargo_rustc: Cmd<'a>, crate_type: &str, profile: &str, features: &str) -> Cmd<'a> {
    cargo_rustc
        .args(["--package", "gradstep", "--lib", "--profile", profile, "--no-default-features"])
        .args(["--features", &format!("capi,panic-handler,{features}")])
        .args(["--crate-type", crate_type])
}

fn only_gradstep_is_exported(library: &Path) -> Result<()> {
    let bytes = fs::read(library).with_context(|| library.display().to_string())?;
    let exports = object::File::parse(&*bytes)?.exports()?;
    ensure!(!exports.is_empty(), "{} exports nothing", library.display());
    for export in exports {
        let name = String::from_utf8_lossy(export.name());
        let name = name.strip_prefix('_').unwrap_or(&name); // of Apple's
        ensure!(name.starts_with("gradstep_"), "{} exports {name}", library.display());
    }
    Ok(())
}
