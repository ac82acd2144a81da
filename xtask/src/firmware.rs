//! The firmware examples: digits learned on microcontrollers, in an emulator, with the host's bits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::board::{self, BOARDS, Board};
use crate::map::Map;
use crate::suite::{RELEASE, Skip, Step};
use crate::tools::{self, Toolchain};
use crate::{clib, digits, dist, linked, root, target_dir};

/// The names of the cores, which are also those of c_examples/firmware/Makefile.
pub(crate) fn core_names() -> impl Iterator<Item = &'static str> {
    BOARDS.iter().map(|board| board.core)
}

pub(crate) fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::new("firmware: digits are up to date", |_| digits::run(true)).beside_all(),
        Step::new("firmware: host", |sh| host(sh).map(drop)).in_lane(RELEASE),
    ];
    steps.extend(BOARDS.iter().map(|board| {
        Step::new(format!("firmware: {}", board.core), |sh| {
            let (run, expected) = (Run::of(board, sh)?, expected()?);
            println!("{}", table(&expected, slice::from_ref(&run)));
            run.check(&expected)
        })
        .in_lane(board.target)
    }));
    steps.push(Step::new("firmware: Rust, host", rust_on_host).beside_all());
    // The smallest core is enough.
    let rust = Step::new("firmware: Rust, cortex-m0", |sh| rust_on_board(sh, &board::M0));
    steps.push(rust.in_lane(board::M0.target));
    steps
}

/// Runs the program for these cores (all, if none is named), next to the host.
pub(crate) fn run(sh: &Shell, names: &[String]) -> Result<()> {
    let host = host(sh)?;
    let chosen = |board: &&Board| names.is_empty() || names.iter().any(|name| name == board.core);
    let mut runs = Vec::new();
    let mut missing = Vec::new();
    for board in BOARDS.iter().filter(chosen) {
        match Run::of(board, sh) {
            Ok(run) => runs.push(run),
            Err(error) => match error.downcast::<Skip>() {
                Ok(skip) => missing.push(format!("{} {skip}", board.core)),
                Err(error) => return Err(error.context(board.core)),
            },
        }
    }
    if !runs.is_empty() {
        println!("\n{}\n{}", side_by_side(&host, &runs), table(&host, &runs));
    }
    for core in &missing {
        println!("left out: {core}");
    }
    ensure!(!runs.is_empty(), "this machine has the tools for none of these cores");
    ensure!(names.is_empty() || missing.is_empty(), "a core that was asked for was left out");
    runs.iter().try_for_each(|run| run.check(&host))
}

fn folder() -> PathBuf {
    root().join("c_examples/firmware")
}

fn expected() -> Result<String> {
    let path = folder().join("expected.txt");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// What the program prints here: what is committed, and a sign that every optimizer learns.
fn host(sh: &Shell) -> Result<String> {
    tools::need(&[("make", "make"), ("gcc", "gcc")])?;
    let library = clib::build_static(sh)?;
    let output = make(sh, "host", &library)?;
    let expected = expected()?;
    if let Some(difference) = difference(&output, &expected) {
        bail!(
            "this machine does not print what is in c_examples/firmware/expected.txt: {difference}"
        );
    }
    let learned = last_accuracies(&expected)?;
    for (optimizer, accuracy) in &learned {
        ensure!(*accuracy >= 8300, "{optimizer} recognises {accuracy} of 10000 test digits only");
    }
    println!("{} optimizers recognise {:?} of 10000", learned.len(), learned.values());
    Ok(output)
}

/// Of each optimizer, how many test digits in 10,000 it recognises at the end.
fn last_accuracies(output: &str) -> Result<BTreeMap<&str, u32>> {
    let mut accuracies = BTreeMap::new();
    let mut optimizer = None;
    for line in output.lines().skip(1) {
        if let Some((_, accuracy)) = line.split_once("recognises ") {
            let accuracy = accuracy.split(' ').next().unwrap_or(accuracy).parse()?;
            accuracies.insert(optimizer.context("an epoch of no optimizer")?, accuracy);
        } else if !line.starts_with(' ') {
            optimizer = Some(line);
        }
    }
    ensure!(!accuracies.is_empty(), "no optimizer");
    Ok(accuracies)
}

/// Builds and runs the program, and gives what it prints.
fn make(sh: &Shell, core: &str, library: &Path) -> Result<String> {
    let (folder, build) = (folder(), build());
    let library = library.parent().context("a library in no folder")?;
    let output = build.join(core).join("output.txt");
    sh.remove_path(&output)?; // so that it runs
    cmd!(sh, "make --directory {folder} {output}")
        .arg(format!("CORE={core}"))
        .arg(format!("LIB={}", library.display()))
        .arg(format!("BUILD={}", build.display()))
        .run()?;
    fs::read_to_string(&output).with_context(|| output.display().to_string())
}

fn build() -> PathBuf {
    target_dir().join("firmware")
}

/// What a core printed, and what it has been made of.
struct Run {
    core: &'static str,
    output: String,
    /// The most bytes of stack in use.
    stack_used: u64,
    map: Map,
    program: PathBuf,
}

impl Run {
    /// Builds and runs the program in C.
    fn of(board: &Board, sh: &Shell) -> Result<Self> {
        tools::need(&[("make", "make")])?;
        board.need_all()?;
        let core = board.core;
        let library = dist::library(sh, dist::target(board.target)?, false)?;
        let output = make(sh, core, &library)?;
        let stack = output.lines().find_map(|line| line.strip_prefix("# stack: "));
        let stack = stack.and_then(|words| words.split(' ').next()).context("no stack printed")?;
        let (program, map) = ("firmware.elf", "firmware.map");
        let folder = build().join(core);
        Ok(Self {
            core,
            stack_used: stack.parse()?,
            output: output
                .lines()
                .filter(|line| !line.starts_with('#'))
                .fold(String::new(), |text, line| text + line + "\n"),
            map: Map::parse(&fs::read_to_string(folder.join(map))?)?,
            program: folder.join(program),
        })
    }
}

/// Builds and runs the program in Rust, and compares what it prints.
fn rust_on_board(sh: &Shell, board: &Board) -> Result<()> {
    board.need_emulator()?;
    let toolchain = Toolchain::find(sh, board.target)?;
    let _folder = sh.push_dir(rust_folder());
    let cargo = toolchain.cargo(sh, "run", board.target, "core").args(["--release", "--locked"]);
    let output = cargo.read()?;
    if let Some(difference) = difference(&output, &expected()?) {
        bail!("the program in Rust differs from the C program: {difference}");
    }
    println!("{} lines, as from the C program", output.lines().count());
    Ok(())
}

/// The tests of the program in Rust, one of which expects the text that the C program prints.
fn rust_on_host(sh: &Shell) -> Result<()> {
    let _folder = sh.push_dir(rust_folder());
    Ok(cmd!(sh, "cargo test --release --locked")
        .env("CARGO_TARGET_DIR", build().join("rust"))
        .run()?)
}

fn rust_folder() -> PathBuf {
    folder().join("rust")
}

const FLASH: &[&str] = &[".text", ".rodata", ".data"];
const STATIC: &[&str] = &[".data", ".bss"];

impl Run {
    /// Fails unless it printed this, in 16 KB of RAM, without unwanted functions.
    fn check(&self, expected: &str) -> Result<()> {
        let core = self.core;
        if let Some(difference) = difference(&self.output, expected) {
            bail!("{core} differs from the host: {difference}");
        }
        let ram = self.map.size(STATIC) + self.map.size(&[".stack"]);
        ensure!(ram <= 16 * 1024, "{core}: {ram} bytes of RAM are more than 16 KB");
        linked::ensure_without(&self.program, linked::UNWANTED)
    }
}

/// The first line that is not the same in both.
fn difference(output: &str, expected: &str) -> Option<String> {
    let (mut output_lines, mut expected_lines) = (output.lines(), expected.lines());
    for number in 1.. {
        match (output_lines.next(), expected_lines.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let [a, b] = [a, b].map(|line| line.unwrap_or("nothing"));
                return Some(format!("line {number} is {a:?}, expected {b:?}"));
            }
        }
    }
    None
}

/// The host's lines, and for each core whether it printed the same.
fn side_by_side(host: &str, runs: &[Run]) -> String {
    let mut text = String::new();
    let columns = runs.iter().map(|run| format!("  {}", run.core));
    _ = writeln!(text, "{:<62}{}", "host", columns.collect::<String>());
    let mut outputs: Vec<_> = runs.iter().map(|run| run.output.lines()).collect();
    for line in host.lines() {
        _ = write!(text, "{line:<62}");
        let mut others = String::new();
        for (run, lines) in runs.iter().zip(&mut outputs) {
            let other = lines.next().unwrap_or("(nothing)");
            let mark = if other == line { "same" } else { "OTHER" };
            _ = write!(text, "  {mark:<width$}", width = run.core.len());
            if other != line {
                _ = writeln!(others, "{:>10}: {other}", run.core);
            }
        }
        _ = write!(text, "\n{others}");
    }
    text
}

/// One row per core: equality, memory, and who takes it.
fn table(host: &str, runs: &[Run]) -> String {
    let mut text = String::from(
        "core        | equal | static RAM | stack | of it used | flash  | digits | gradstep | arithmetic | program\n\
         ------------|-------|------------|-------|------------|--------|--------|----------|------------|--------\n",
    );
    for run in runs {
        let flash = run.map.size(FLASH);
        let digits = run.map.part(FLASH, |input| input.name.ends_with("_digits"));
        let gradstep = run.map.part(FLASH, |input| input.file.contains("libgradstep.a"));
        let arithmetic = run.map.part(FLASH, |input| input.file.contains("libgcc.a"));
        _ = writeln!(
            text,
            "{:<11} | {:<5} | {:>10} | {:>5} | {:>10} | {flash:>6} | {digits:>6} | {gradstep:>8} \
             | {arithmetic:>10} | {:>7}",
            run.core,
            if run.output == host { "yes" } else { "NO" },
            run.map.size(STATIC),
            run.map.size(&[".stack"]),
            run.stack_used,
            flash - digits - gradstep - arithmetic,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_line_is_a_difference() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let other = difference("a\nb\n", "a\nc\n").unwrap();
        assert_eq!(other, "line 2 is \"b\", expected \"c\"");
        assert!(difference("a\n", "a\nb\n").is_some());
        assert!(difference("a\nb\n", "a\n").is_some());
    }

    #[test]
    fn the_last_epoch_counts() {
        let output = "10 weights\nsgd\n  epoch 1: loss 3 micronats, recognises 5000 of 10000\n  \
                      epoch 2: loss 2 micronats, recognises 8500 of 10000\n  weights ab\nadam\n  \
                      epoch 1: loss 1 micronats, recognises 9000 of 10000\n  weights cd\n";
        assert_eq!(
            last_accuracies(output).unwrap(),
            BTreeMap::from([("sgd", 8500), ("adam", 9000)])
        );
        assert!(last_accuracies("10 weights\n").is_err());
    }
}
