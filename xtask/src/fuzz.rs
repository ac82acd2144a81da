//! Steps that call the C ABI with anything: `fuzz/`, for a short while.

use std::fs;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::suite::Step;
use crate::tools::{self, Nightly};
use crate::{root, target_dir};

pub(crate) fn steps() -> Vec<Step> {
    let mut steps = vec![Step::new("fuzz: what the targets reach", reach).in_lane(FUZZ)];
    if cfg!(target_os = "linux") {
        steps.extend(["steps", "lists", "misc", "fused"].map(|target| {
            Step::new(format!("fuzz: {target}"), move |sh| fuzz(sh, target)).in_lane(FUZZ)
        }));
    }
    steps
}

/// Cargo's folder, and the lane of what is built there.
const FUZZ: &str = "fuzz";

/// The targets without a fuzzer, on any compiler.
fn reach(sh: &Shell) -> Result<()> {
    let test = cmd!(sh, "cargo test --manifest-path fuzz/Cargo.toml --no-default-features");
    Ok(test.env("CARGO_TARGET_DIR", target_dir().join(FUZZ)).run()?)
}

/// What `cargo fuzz` tells the compiler: coverage for libFuzzer, and AddressSanitizer.
const RUSTFLAGS: &str = "--cfg fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Zsanitizer=address -Ccodegen-units=1";

/// As many runs, in at most so many seconds. The seed is fixed, so that a change that breaks
/// nothing cannot fail here; what is new is found by longer runs.
const RUNS: u32 = 100_000;
const SECONDS: u32 = 30;

/// Begins with the corpus, of which it changes nothing.
fn fuzz(sh: &Shell, target: &str) -> Result<()> {
    tools::need(&[("c++", "g++")])?;
    let folder = target_dir().join(FUZZ);
    Nightly::find(sh)?
        .cargo(sh, "build", RUSTFLAGS)
        .args(["--manifest-path", "fuzz/Cargo.toml", "--release", "--bins"])
        .env("CARGO_TARGET_DIR", &folder)
        .run()?;
    let found = folder.join("found").join(target);
    sh.remove_path(&found)?;
    sh.create_dir(&found)?;
    let program = folder.join(tools::host()).join("release").join(target);
    let corpus = root().join("fuzz/corpus").join(target);
    let inputs = fs::read_dir(&corpus).with_context(|| corpus.display().to_string())?.count();
    let limits = [format!("-runs={RUNS}"), format!("-max_total_time={SECONDS}")];
    let artifacts = format!("-artifact_prefix={}/{target}-", folder.display());
    let output =
        cmd!(sh, "{program} -seed=1 -max_len=400 {limits...} {artifacts} {found} {corpus}")
            .ignore_status()
            .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{log}\n{target} found something: run it again with\n    \
         cargo +nightly fuzz run {target} <the file that is named above>"
    );
    let number = |prefix: &str| -> Option<usize> {
        log.lines().find_map(|line| line.strip_prefix(prefix))?.split(' ').next()?.parse().ok()
    };
    let runs = number("Done ").with_context(|| format!("{log}\n{target} did not end"))?;
    ensure!(runs > 10 * inputs, "{target}: {runs} runs, for a corpus of {inputs}");
    let last = log.lines().rfind(|line| line.contains("DONE")).unwrap_or_default();
    println!("{target}: {runs} runs, begun with {inputs} inputs: {}", last.trim());
    Ok(())
}
