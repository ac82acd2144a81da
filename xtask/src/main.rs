//! The project's own chores, as `cargo xtask <chore>`.

mod clib;
mod cross;
mod fuzz;
mod header;
mod host;
mod linked;
mod lint;
mod sanitize;
mod suite;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xshell::Shell;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Run every test that this machine has the tools for, and say what is skipped.
    Test {
        /// Fail if a step is skipped.
        #[arg(long)]
        all: bool,
        /// Only the steps whose name contains this.
        filter: Option<String>,
    },
    /// Check formatting, and let no lint of clippy or rustdoc pass.
    Lint,
    /// Build the C libraries for this machine, and say how large they are.
    Clib,
    /// Make include/gradstep.h from src/capi.
    Header {
        /// Change nothing; fail if the committed header differs.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match run(Chore::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(root());
    match chore {
        Chore::Test { all, filter } => {
            let steps = [host::steps(), cross::steps(), fuzz::steps(), sanitize::steps()]
                .into_iter()
                .flatten();
            suite::run(&sh, steps.collect(), filter.as_deref(), all)
        }
        Chore::Lint => suite::run(&sh, lint::steps(), None, true),
        Chore::Clib => clib::run(&sh),
        Chore::Header { check } => header::run(check),
    }
}

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()))
}
