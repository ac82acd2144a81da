//! Steps for this machine's own processor.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::linux::SOME_TESTS;
use crate::suite::{DEBUG, DEMO, RELEASE, Skip, Step};
use crate::{clib, emulated, header, target_dir, tools};

pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("header is up to date", |_| header::run(true)).beside_all(),
        Step::new("tests: gradstep", |sh| {
            let tests = || cargo_test(sh).args(["-p", "gradstep", "--features", "half,rayon"]);
            tests().arg("--doc").run()?;
            Ok(tests().args(["--lib", "--test", "all", "--", "--test-threads=1"]).run()?)
        })
        .in_lane(DEBUG),
        // What differs is how instruction sets are found, and one root.
        Step::new("tests: gradstep without std", |sh| {
            let tests = cargo_test(sh).args(["-p", "gradstep", "--no-default-features"]);
            Ok(tests.args(tools::of_files(SOME_TESTS)).env("GRADSTEP_EVERY", "11").run()?)
        })
        .in_lane(DEBUG),
        Step::new("tests: every root of soft floats, and many quotients", |sh| {
            Ok(cmd!(sh, "cargo test -p gradstep --lib -- --ignored").run()?)
        })
        .in_lane(DEBUG),
        Step::new("tests: every rule is everywhere", |sh| {
            Ok(cargo_test(sh).args(["-p", "xtask"]).envs([UNOPTIMIZED]).run()?)
        })
        .in_lane(DEBUG),
        Step::new("tests: C ABI, benchmarks", |sh| {
            let others = ["gradstep", "xtask", "mnist"].map(|other| ["--exclude", other]);
            let tests = cargo_test(sh).arg("--workspace").args(others.concat());
            Ok(tests.envs([UNOPTIMIZED]).run()?)
        })
        .in_lane(DEBUG),
        // It draws, which takes minutes unoptimised; and the steps below need that profile.
        Step::new("tests: demo", |sh| {
            Ok(cargo_test(sh).args(["--profile", "demo", "-p", "mnist"]).run()?)
        })
        .in_lane(DEMO),
        // The first is for some of them alone.
        if emulated::is_needed() {
            emulated::step()
        } else {
            Step::new("those tests had every instruction set", instruction_sets).beside_all()
        },
        Step::new("C libraries, and the hello examples", hello).in_lane(RELEASE),
        Step::new("demo: one hash for any number of threads", demo).in_lane(DEMO),
        Step::new("demo: every experiment in small", experiments).in_lane(DEMO),
    ]
}

/// Tests, which are to fail where an instruction set of this processor goes untested.
fn cargo_test(sh: &Shell) -> Cmd<'_> {
    let backends = instruction_sets_here().join(",");
    cmd!(sh, "cargo test --no-fail-fast").env(REQUIRE_BACKENDS, backends)
}

/// The names of those of this processor.
pub(crate) fn instruction_sets_here() -> Vec<&'static str> {
    [vec!["scalar"], backends(true)].concat()
}

/// Skipped if the tests could not try all that this kind of processor may have.
fn instruction_sets(_: &Shell) -> Result<()> {
    let missing = backends(false);
    if missing.is_empty() {
        println!("{}", instruction_sets_here().join(", "));
        return Ok(());
    }
    bail!(Skip(format!("needs a processor with {}", missing.join(" and "))))
}

/// The names of those that are here, or of those that are not.
fn backends(are_here: bool) -> Vec<&'static str> {
    let chosen = BACKENDS.iter().filter(|backend| (backend.is_here)() == are_here);
    chosen.map(|backend| backend.name).collect()
}

/// For tests of programs with many dependencies, which take longer to optimise than to run.
const UNOPTIMIZED: (&str, &str) = ("CARGO_PROFILE_TEST_OPT_LEVEL", "0");

/// Names the instruction sets that the tests must find.
pub(crate) const REQUIRE_BACKENDS: &str = "GRADSTEP_REQUIRE_BACKENDS";

/// An instruction set that this kind of processor may have.
struct Backend {
    name: &'static str,
    is_here: fn() -> bool,
}

#[cfg(target_arch = "x86_64")]
const BACKENDS: &[Backend] = &[
    Backend { name: "avx2", is_here: || std::is_x86_feature_detected!("avx2") },
    Backend { name: "avx512", is_here: || std::is_x86_feature_detected!("avx512vl") },
];
#[cfg(target_arch = "aarch64")]
const BACKENDS: &[Backend] = &[Backend { name: "neon", is_here: || true }];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const BACKENDS: &[Backend] = &[];

/// Both C libraries, each under a C and a C++ program whose output is known.
fn hello(sh: &Shell) -> Result<()> {
    tools::need(&[("make", "make"), ("cc", "gcc"), ("c++", "g++")])?;
    clib::run(sh)?;
    let libraries = target_dir().join("release");
    let programs = target_dir().join("hello");
    Ok(cmd!(sh, "make -C c_examples/hello run LIB={libraries} BUILD={programs}").run()?)
}

/// A short training, with one thread and with two.
fn demo(sh: &Shell) -> Result<()> {
    cmd!(sh, "cargo demo --help").ignore_stdout().run()?;
    let [one, two] = ["1", "2"].map(|threads| -> Result<String> {
        let out = target_dir().join("demo").join(threads);
        cmd!(sh, "cargo demo --optimizer adam,sgd --epochs 1")
            .args(["--hold-out", "9000", "--threads", threads, "--out"])
            .arg(&out)
            .run()?;
        hashes(&fs::read_to_string(out.join("summary.csv"))?)
    });
    let (one, two) = (one?, two?);
    ensure!(one == two, "one thread ends with {one}, two with {two}");
    println!("hashes, with one thread and with two: {one}");
    Ok(())
}

/// All of them from the beginning, on the built-in digits. Which claims hold with so few runs is not asked.
fn experiments(sh: &Shell) -> Result<()> {
    let out = target_dir().join("demo").join("experiments");
    sh.remove_path(&out)?;
    cmd!(sh, "cargo demo all --quick --data c_examples/mnist/data --out {out}").run()?;
    let report = fs::read_to_string(out.join("report.html"))?;
    for name in ["surface", "gdvariants", "sweep", "curves", "size", "lrsize", "grid", "pbt"] {
        ensure!(report.contains(&format!("id=\"{name}\"")), "{name} is not in the report");
    }
    Ok(())
}

/// The column of that name in the demo's table.
fn hashes(csv: &str) -> Result<String> {
    let mut lines = csv.lines().map(|line| line.split(','));
    let mut header = lines.next().context("an empty table")?;
    let column =
        header.position(|name| name == "weights_fnv1a").context("a table without hashes")?;
    let hashes: Option<Vec<_>> = lines.map(|mut line| line.nth(column)).collect();
    let hashes = hashes.filter(|hashes| !hashes.is_empty()).context("a table without runs")?;
    Ok(hashes.join(" "))
}
