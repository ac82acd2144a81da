//! The project's own chores, as `cargo xtask <chore>`.

mod abi;
mod board;
mod budget;
mod clib;
mod conformance;
mod count;
mod cross;
mod digits;
mod dist;
mod emulated;
mod firmware;
mod fuzz;
mod header;
mod host;
mod instructions;
mod linked;
mod lint;
mod linux;
mod map;
mod record;
mod sanitize;
mod suite;
mod tools;
mod x86;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use xshell::Shell;

use suite::{Options, Step};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Run every test that this machine has the tools for, and say what is skipped.
    Test {
        /// Fail if a step is skipped.
        #[arg(long)]
        all: bool,
        /// So many steps at a time; 1 shows their output as it comes.
        #[arg(long, short, default_value_t = suite::default_jobs())]
        jobs: usize,
        /// Only the steps whose name contains this.
        filter: Option<String>,
    },
    /// Compute the bits of every rule on every processor that can be had, and compare.
    Conformance,
    /// Check formatting, and let no lint of clippy or rustdoc pass.
    Lint {
        /// So many steps at a time.
        #[arg(long, short, default_value_t = suite::default_jobs())]
        jobs: usize,
    },
    /// Run one step of `test` or `lint`, which starts such a process for each.
    #[command(hide = true)]
    Step {
        /// Where to say how it ended.
        says: PathBuf,
        /// Its whole name.
        name: String,
    },
    /// Build the C libraries for this machine, and say how large they are.
    Clib,
    /// Write down the C ABI of include/gradstep.h in tests/c/c/abi.def.
    Abi {
        /// Change nothing; fail if the committed file differs.
        #[arg(long)]
        check: bool,
    },
    /// Make include/gradstep.h from src/capi.
    Header {
        /// Change nothing; fail if the committed header differs.
        #[arg(long)]
        check: bool,
    },
    /// Pack the C library for each kind of processor, in target/dist.
    Dist {
        /// The targets, as Rust names them; all that this machine has the tools for, if none is named.
        #[arg(value_parser = PossibleValuesParser::new(dist::TARGETS.map(|target| target.triple)))]
        target: Vec<String>,
    },
    /// Measure what a step costs: in instructions here, in flash, stack and instructions on microcontrollers.
    Budget {
        /// Record the figures, which no later ones may exceed.
        #[arg(long)]
        update: bool,
    },
    /// Let microcontrollers learn in an emulator, and compare every bit with this machine's.
    Firmware {
        /// The cores; all that this machine has the tools for, if none is named.
        #[arg(value_parser = PossibleValuesParser::new(firmware::core_names()))]
        core: Vec<String>,
    },
    /// Make c_examples/firmware/data from the demo's digits.
    Digits {
        /// Change nothing; fail if a committed file differs.
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
        Chore::Test { all, jobs, filter } => {
            suite::run(&sh, tests(), &Options { filter: filter.as_deref(), all, jobs })
        }
        Chore::Step { says, name } => suite::run_one(
            &sh,
            [tests(), lint::steps()].into_iter().flatten().collect(),
            &name,
            &says,
        ),
        Chore::Conformance => conformance::run(&sh),
        Chore::Lint { jobs } => {
            suite::run(&sh, lint::steps(), &Options { all: true, jobs, ..Options::default() })
        }
        Chore::Clib => clib::run(&sh),
        Chore::Abi { check } => abi::run(&sh, check),
        Chore::Header { check } => header::run(check),
        Chore::Dist { target } => dist::run(&sh, &target),
        Chore::Budget { update } => budget::run(&sh, update),
        Chore::Firmware { core } => firmware::run(&sh, &core),
        Chore::Digits { check } => digits::run(check),
    }
}

/// The steps of `test`, in their order.
fn tests() -> Vec<Step> {
    let steps = [
        host::steps(),
        abi::steps(),
        instructions::steps(),
        x86::steps(),
        linux::steps(),
        cross::steps(),
        dist::steps(),
        conformance::steps(),
        budget::steps(),
        firmware::steps(),
        fuzz::steps(),
        sanitize::steps(),
    ];
    steps.into_iter().flatten().collect()
}

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()))
}
