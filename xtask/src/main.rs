//! The project's own chores, as `cargo xtask <chore>`.

mod header;

use std::path::Path;

use anyhow::Result;
use clap::Parser;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Make include/gradstep.h from src/capi.
    Header {
        /// Change nothing; fail if the committed header differs.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Chore::parse() {
        Chore::Header { check } => header::run(check),
    }
}

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
