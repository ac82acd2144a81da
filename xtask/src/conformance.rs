//! The conformance program on every processor that can be had. All that it prints is known.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::board::{self, Board};
use crate::cross::{WASM, WASM_STD};
use crate::emulated::{self, Program};
use crate::linux::{AARCH64, I686, Linux, S390X};
use crate::suite::{self, Options, RELEASE, Step};
use crate::tools::{self, Toolchain};
use crate::{clib, host, root, target_dir};

pub(crate) fn steps() -> Vec<Step> {
    machines().into_iter().map(|machine| machine.step(|output| print!("{output}"))).collect()
}

/// Runs all, and prints a line for each.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let steps = machines().into_iter().map(|machine| {
        let (lines, name) = (lines.clone(), machine.name);
        machine.step(move |output| lines.borrow_mut().push(line(name, output)))
    });
    let outcome = suite::run(sh, steps.collect(), &Options::default());
    println!("\n{}", lines.borrow().join("\n"));
    outcome
}

/// The hashes in an output, which are the same on each instruction set.
fn line(machine: &str, output: &str) -> String {
    let (mut backends, mut hashes) = (Vec::new(), Vec::new());
    for line in output.lines().skip(1) {
        match line.split_once(' ') {
            Some((rule, hash)) => hashes.push(format!("{rule} {}", hash.trim_start())),
            None => {
                backends.push(line);
                hashes.clear();
            }
        }
    }
    format!("{}  {machine} ({})", hashes.join("  "), backends.join(", "))
}

/// A processor, or an emulated one.
struct Machine {
    name: &'static str,
    lane: &'static str,
    /// Runs the program, and gives what it printed, if that is as expected.
    run: Box<Run>,
}

type Run = dyn Fn(&Shell) -> Result<String>;

impl Machine {
    fn new(
        name: &'static str,
        lane: &'static str,
        run: impl Fn(&Shell) -> Result<String> + 'static,
    ) -> Self {
        Self { name, lane, run: Box::new(run) }
    }

    /// A step that does something with what the program printed.
    fn step(self, then: impl Fn(&str) + 'static) -> Step {
        let run = move |sh: &Shell| {
            then(&(self.run)(sh)?);
            Ok(())
        };
        Step::new(format!("conformance: {}", self.name), run).in_lane(self.lane)
    }
}

fn machines() -> Vec<Machine> {
    let mut machines = vec![Machine::new("this machine", RELEASE, |sh| {
        native(sh, None, &host::instruction_sets_here())
    })];
    if cfg!(target_arch = "x86_64") {
        machines.extend([
            Machine::new("x86-64, an emulated Nehalem", RELEASE, |sh| {
                native(sh, Some("Nehalem"), &["scalar"])
            }),
            Machine::new("x86-64, an emulated Haswell", RELEASE, |sh| {
                native(sh, Some("Haswell"), &["scalar", "avx2"])
            }),
        ]);
    }
    if emulated::is_needed() {
        machines.push(Machine::new("x86-64, an emulated Skylake-X", RELEASE, with_avx512));
    }
    machines.extend([
        Machine::new("aarch64", AARCH64.target, |sh| linux(sh, &AARCH64, (64, "little"))),
        Machine::new("i686", I686.target, |sh| linux(sh, &I686, (32, "little"))),
        Machine::new("s390x", S390X.target, |sh| linux(sh, &S390X, (64, "big"))),
        Machine::new("wasm32", WASM, |sh| wasm(sh, "", &["scalar"])),
        Machine::new("wasm32 with simd128", WASM, |sh| {
            wasm(sh, "-C target-feature=+simd128", &["scalar", "simd128"])
        }),
    ]);
    let on_board = |(name, board): (_, Board)| {
        Machine::new(name, board.target, move |sh| on_board(sh, &board))
    };
    machines.extend(BOARDS.map(on_board));
    machines
}

const PROGRAM: [&str; 2] = ["--package", "gradstep-conformance"];

/// Optimised, and the standard library the same as for the tests, which takes a minute to build.
const AS_TESTS: [&str; 2] = ["--profile", "test"];

/// As a Rust program is released; on this processor, or on another one of its kind.
fn native(sh: &Shell, other: Option<&str>, backends: &[&str]) -> Result<String> {
    let program = released(sh)?;
    let command = if let Some(cpu) = other {
        tools::need(&[("qemu-x86_64", "qemu-user")])?;
        cmd!(sh, "qemu-x86_64 -cpu {cpu} {program}")
    } else {
        cmd!(sh, "{program}")
    };
    let target = cmd!(sh, "rustc --print host-tuple").quiet().read()?;
    let endian = if cfg!(target_endian = "big") { "big" } else { "little" };
    check(command, &target, (usize::BITS, endian), backends)
}

fn released(sh: &Shell) -> Result<PathBuf> {
    cmd!(sh, "cargo build --release").args(PROGRAM).run()?;
    Ok(target_dir().join("release/conformance"))
}

/// The same program on a processor that has it.
fn with_avx512(sh: &Shell) -> Result<String> {
    let program = Program { file: released(sh)?, args: vec![] };
    let ran = emulated::run(sh, "conformance", &[program])?.remove(0);
    let target = cmd!(sh, "rustc --print host-tuple").quiet().read()?;
    compare(&ran.printed, &target, (64, "little"), &emulated::BACKENDS)?;
    ensure!(ran.succeeded(), "{}, after it had printed\n{}", ran.status, ran.printed);
    Ok(ran.printed)
}

fn linux(sh: &Shell, linux: &Linux, words: Words) -> Result<String> {
    linux.cargo(sh, "build")?.args(PROGRAM).args(AS_TESTS).run()?;
    let program = tools::output(linux.target, "debug");
    let (runner, program) = (linux.runner(), program.join("conformance"));
    check(cmd!(sh, "env {runner...} {program}"), linux.target, words, &linux.backends())
}

fn wasm(sh: &Shell, rustflags: &str, backends: &[&str]) -> Result<String> {
    tools::need(&[("node", "nodejs")])?;
    let target = WASM;
    let toolchain = Toolchain::find(sh, target)?;
    let build = toolchain.cargo(sh, "build", target, WASM_STD).args(PROGRAM);
    build.args(AS_TESTS).env(tools::cargo_target(target, "RUSTFLAGS"), rustflags).run()?;
    let program = tools::output(target, "debug").join("conformance.wasm");
    let runner = root().join("xtask/src/conformance.mjs");
    check(cmd!(sh, "node {runner} {program}"), target, (32, "little"), backends)
}

/// The boards, and what is told of each.
const BOARDS: [(&str, Board); 7] = [
    ("thumbv6m on microbit (Cortex-M0, 16 KB)", board::M0),
    ("thumbv7m on mps2-an385 (Cortex-M3)", board::M3),
    ("thumbv7em on mps2-an386 (Cortex-M4F)", board::M4F),
    ("thumbv7em on mps2-an500 (Cortex-M7)", board::M7),
    ("thumbv8m on mps2-an505 (Cortex-M33)", board::M33),
    ("riscv32imac on virt", board::RV32IMAC),
    ("riscv32imafc on virt", board::RV32IMAFC),
];

fn on_board(sh: &Shell, board: &Board) -> Result<String> {
    board.need_emulator()?;
    let target = board.target;
    let toolchain = Toolchain::find(sh, target)?;
    let build = toolchain.cargo(sh, "build", target, "core").args(PROGRAM);
    build.args(["--profile", clib::EMBEDDED, "--no-default-features"]).run()?;
    let program = tools::output(target, clib::EMBEDDED).join("conformance");
    check(board.run(sh, &program), target, (32, "little"), &["scalar"])
}

/// The bits of a pointer, and which end of a word comes first.
type Words = (u32, &'static str);

/// Runs the program, which must print this, and nothing else.
fn check(program: Cmd<'_>, target: &str, words: Words, backends: &[&str]) -> Result<String> {
    let ran = program.ignore_status().output()?;
    eprint!("{}", String::from_utf8_lossy(&ran.stderr));
    let printed = String::from_utf8(ran.stdout).context("it printed something that is no text")?;
    compare(&printed, target, words, backends)?;
    ensure!(ran.status.success(), "{}, after it had printed\n{printed}", ran.status);
    Ok(printed)
}

/// Fails unless this was printed, and nothing else.
fn compare(printed: &str, target: &str, words: Words, backends: &[&str]) -> Result<()> {
    let table = fs::read_to_string(root().join("conformance/expected.txt"))?;
    let table: String = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |table, line| table + line + "\n");
    let (bits, endian) = words;
    let mut expected = format!("{target}, {bits} bits, {endian}-endian\n");
    for backend in backends {
        expected += &format!("{backend}\n{table}");
    }
    ensure!(printed == expected, "it should have printed\n{expected}but printed\n{printed}");
    Ok(())
}
