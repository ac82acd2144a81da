//! What a step costs on a microcontroller: flash, stack, instructions; next to the textbook loop.
//!
//! Both are compiled, linked and run alike, in an emulator that counts instructions. The figures are
//! recorded in benches/embedded/budget.txt, and none may grow.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::board::{self, Board};
use crate::map::Map;
use crate::record::{Column, Record, Row, exact};
use crate::suite::{Skip, Step};
use crate::tools::Toolchain;
use crate::{count, dist, linked, root, target_dir};

/// What is measured: a library on a board.
struct Core {
    name: &'static str,
    board: Board,
    small: bool,
}

const fn core(name: &'static str, board: Board) -> Core {
    Core { name, board, small: false }
}

static CORES: [Core; 7] = [
    // Its own board has no room for 1024 parameters of Adam: this one runs the same code.
    core("cortex-m0", Board { target: board::M0.target, options: board::M0.options, ..board::M3 }),
    core("cortex-m3", board::M3),
    core("cortex-m4f", board::M4F),
    Core { small: true, ..core("cortex-m4f-small", board::M4F) },
    core("cortex-m33", board::M33),
    core("rv32imac", board::RV32IMAC),
    core("rv32imafc", board::RV32IMAFC),
];

/// Processors on which the packed library is run, too; their costs are those of another one.
static ALSO_RUN: [Core; 4] = [
    core("cortex-m4-soft", Board { options: "-mcpu=cortex-m4 -mthumb -mfloat-abi=soft", ..M4 }),
    core(
        "cortex-m4-softfp",
        Board { options: "-mcpu=cortex-m4 -mthumb -mfloat-abi=softfp -mfpu=fpv4-sp-d16", ..M4 },
    ),
    core("cortex-m33-soft", Board { options: "-mcpu=cortex-m33 -mthumb -mfloat-abi=soft", ..M33 }),
    core(
        "cortex-m33-softfp",
        Board { options: "-mcpu=cortex-m33 -mthumb -mfloat-abi=softfp -mfpu=fpv5-sp-d16", ..M33 },
    ),
];

/// The same boards for programs that pass no floats in registers.
const M4: Board = Board { target: "thumbv7em-none-eabi", ..board::M4F };
const M33: Board = Board { target: "thumbv8m.main-none-eabi", ..board::M33 };

pub(crate) fn steps() -> Vec<Step> {
    let budget = |core: &'static Core| {
        Step::new(format!("budget: {}", core.name), move |sh| {
            let costs = core.measure(sh)?;
            print!("{}", table(&costs));
            let deepest = costs.iter().map(|(_, cost, _)| cost.stack).max().unwrap_or(0);
            ensure!(deepest <= STACK, "{deepest} bytes of stack");
            RECORD.compare(&RECORD.read()?.1, core.name, &rows(core.name, &costs), 0)
        })
        .in_lane(core.board.target)
    };
    let runs = |core: &'static Core| {
        Step::new(format!("packed library: {}", core.name), move |sh| {
            let lines = core.count(sh, &core.library(sh)?)?;
            println!("{} cases, the same bits", lines.len());
            Ok(())
        })
        .in_lane(core.board.target)
    };
    CORES.iter().map(budget).chain(ALSO_RUN.iter().map(runs)).chain(count::steps()).collect()
}

/// Measures this machine's kind of processor and every core, and prints a table for each. With `update`,
/// records the figures.
pub(crate) fn run(sh: &Shell, update: bool) -> Result<()> {
    count::run(sh, update)?;
    let mut all = Vec::new();
    for core in &CORES {
        let costs = core.measure(sh)?;
        println!("\n{}\n\n{}", core.name, table(&costs));
        all.extend(rows(core.name, &costs));
    }
    if update {
        all.sort_by(|a, b| a.group.cmp(&b.group));
        RECORD.write(&compilers(sh)?, &all)?;
    }
    Ok(())
}

/// What one rule takes, of gradstep or of the textbook loop.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    /// Bytes of code and constants of its own.
    flash: u64,
    /// Bytes of arithmetic that the compiler's library and C's have, which it may share.
    arithmetic: u64,
    stack: u64,
    /// Thousandths of an instruction per parameter.
    per_parameter: u64,
    /// Instructions per call besides.
    per_call: u64,
}

/// A rule's costs, next to the loop's, whose stack is not measured.
type Costs = Vec<(String, Cost, Cost)>;

impl Core {
    fn measure(&self, sh: &Shell) -> Result<Costs> {
        // The figures are those of one compiler.
        ensure_debian(sh, self.board.target)?;
        let library = self.library(sh)?;
        let nothing = self.flash(sh, "none", false, &library)?;
        let flash = |rule: &str, naive: bool| -> Result<(u64, u64)> {
            let (flash, arithmetic) = self.flash(sh, rule, naive, &library)?;
            Ok((flash - nothing.0, arithmetic - nothing.1))
        };
        let mut costs = Costs::new();
        for (rule, figures) in self.count(sh, &library)? {
            let [per_parameter, per_call, stack, of_loop, of_its_call] = *figures else {
                bail!("{rule}: {} figures", figures.len())
            };
            let (own, arithmetic) = flash(&rule, false)?;
            let ours = Cost { flash: own, arithmetic, stack, per_parameter, per_call };
            let (own, arithmetic) = flash(&rule, true)?;
            let (per_parameter, per_call) = (of_loop, of_its_call);
            let theirs = Cost { flash: own, arithmetic, stack: 0, per_parameter, per_call };
            costs.push((rule, ours, theirs));
        }
        Ok(costs)
    }

    fn library(&self, sh: &Shell) -> Result<PathBuf> {
        self.board.need_all()?;
        dist::library(sh, dist::target(self.board.target)?, self.small)
    }

    fn folder(&self) -> PathBuf {
        target_dir().join("budget").join(self.name)
    }

    /// Links and runs the program that counts: of each case its figures. All steps must have made
    /// the same bits as elsewhere.
    fn count(&self, sh: &Shell, library: &Path) -> Result<Vec<(String, Vec<u64>)>> {
        sh.create_dir(self.folder())?;
        let program = self.folder().join("count.elf");
        self.compile(sh, "count.c", &[], library, &program).run()?;
        is_clean(&program)?;
        let output = self.board.run(sh, &program).args(["-icount", "shift=0"]).read()?;
        let mut cases = Vec::new();
        let mut hash = None;
        for line in output.lines() {
            let (name, figures) = line.split_once(' ').context("an empty line")?;
            if name == "hash" {
                hash = Some(figures);
                continue;
            }
            let figures = figures.split(' ').map(str::parse).collect::<Result<_, _>>();
            cases.push((name.to_owned(), figures.context(line.to_owned())?));
        }
        ensure!(cases.len() == CASES, "{} of {CASES} cases were run", cases.len());
        ensure!(hash == Some(HASH), "the steps made {hash:?}, elsewhere {HASH}");
        Ok(cases)
    }

    /// Bytes of a program with one rule: those of its own code, and those of arithmetic.
    fn flash(&self, sh: &Shell, rule: &str, naive: bool, library: &Path) -> Result<(u64, u64)> {
        let folder = self.folder();
        sh.create_dir(&folder)?;
        let name = format!("{rule}{}", if naive { "-naive" } else { "" });
        let program = folder.join(format!("{name}.elf"));
        let map = folder.join(format!("{name}.map"));
        let define = [format!("-DRULE={rule}"), "-DNAIVE".to_owned()];
        let define = if naive { &define[..] } else { &define[..1] };
        let map_option = format!("-Wl,-Map={}", map.display());
        let define: Vec<_> =
            define.iter().map(String::as_str).chain([map_option.as_str()]).collect();
        self.compile(sh, "one.c", &define, library, &program).quiet().run()?;
        if !naive {
            is_clean(&program)?;
        }
        let map = Map::parse(&fs::read_to_string(&map)?)?;
        const FLASH: [&str; 3] = [".text", ".rodata", ".data"];
        let own = |file: &str| file.contains("libgradstep.a");
        let arithmetic = |file: &str| file.contains("libgcc.a") || file.contains("libm.a");
        let naive_section = |name: &str| name.starts_with(".text.naive_");
        Ok((
            map.part(&FLASH, |input| own(&input.file) || naive_section(&input.name)),
            map.part(&FLASH, |input| arithmetic(&input.file)),
        ))
    }

    /// One of benches/embedded, with gradstep's library and the textbook loops.
    fn compile<'a>(
        &self,
        sh: &'a Shell,
        source: &str,
        options: &[&str],
        library: &Path,
        program: &Path,
    ) -> Cmd<'a> {
        let (benches, freestanding) = (root().join("benches"), "embedded/freestanding");
        let mut sources = vec![benches.join("embedded").join(source), benches.join("naive.c")];
        // For Arm there is newlib, and its root.
        let mut libraries = vec!["-lm", "-lc", "-lgcc"];
        if !self.board.is_arm() {
            sources.push(benches.join(freestanding).join("sqrtf.c"));
            libraries = vec!["-lgcc"];
        }
        // As a programmer compiles for speed: multiplications and additions may be fused (which
        // ISO C does not allow), and a root need not set `errno`.
        let compile = self.board.compile(sh, &sources);
        compile
            .args(["-std=gnu11", "-O2", "-fno-math-errno", "-Wl,--gc-sections"])
            .args(options)
            .args(
                ["embedded", freestanding].map(|dir| format!("-I{}", benches.join(dir).display())),
            )
            .arg(library)
            .args(libraries)
            .arg("-o")
            .arg(program)
    }
}

fn is_clean(program: &Path) -> Result<()> {
    linked::ensure_without(program, linked::UNWANTED.into_iter().chain(linked::COPIES))
}

/// The lines of benches/embedded/cases.h.
const CASES: usize = 12;

/// What the steps of benches/embedded/count.c make, on every processor.
const HASH: &str = "306cbc4b81b07343";

/// The most bytes of stack that a step may take.
const STACK: u64 = 512;

fn ensure_debian(sh: &Shell, target: &str) -> Result<()> {
    match Toolchain::find(sh, target)? {
        Toolchain::Debian { .. } => Ok(()),
        Toolchain::InUse => bail!(Skip(format!(
            "the figures are those of Debian's compiler, and {target} is another one's"
        ))),
    }
}

fn compilers(sh: &Shell) -> Result<String> {
    let rustc = cmd!(sh, "/usr/bin/rustc --version").quiet().read()?;
    let gcc = |name: &str| -> Result<String> {
        let text = cmd!(sh, "{name} --version").quiet().read()?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    Ok([rustc, gcc("arm-none-eabi-gcc")?, gcc("riscv64-unknown-elf-gcc")?].join("; "))
}

/// What the emulator's clock is too coarse to tell is not taken for growth.
const RECORD: Record = Record {
    path: "benches/embedded/budget.txt",
    top: "\
# What a step may cost: `cargo xtask test budget` fails if a figure grows, `cargo xtask budget --update`
# records new ones. Bytes of flash, its own and of arithmetic, bytes of stack, thousandths of an
# instruction per parameter, instructions per call besides.
",
    names: [16, 21],
    columns: &[
        exact("bytes of flash", 5),
        exact("bytes of arithmetic", 5),
        exact("bytes of stack", 4),
        Column {
            what: "instructions / 1000 per parameter",
            width: 8,
            slack: |budget| 20 + budget / 1000,
        },
        Column { what: "instructions per call", width: 6, slack: |budget| 20 + budget / 100 },
    ],
};

/// The costs as they are recorded. The loop's are, too: one that got slower would flatter gradstep.
fn rows(core: &str, costs: &Costs) -> Vec<Row> {
    let row = |name: String, cost: &Cost| {
        let Cost { flash, arithmetic, stack, per_parameter, per_call } = *cost;
        let figures = vec![flash, arithmetic, stack, per_parameter, per_call];
        Row { group: core.to_owned(), name, figures }
    };
    let both = |(rule, ours, theirs): &(String, Cost, Cost)| {
        [row(rule.clone(), ours), row(format!("{rule}-loop"), theirs)]
    };
    costs.iter().flat_map(both).collect()
}

/// For people: gradstep's figures, and the loop's.
fn table(costs: &Costs) -> String {
    let mut text = String::from(
        "| rule | flash | + arithmetic | stack | per parameter | per call | C loop: flash | + arithmetic | per parameter |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let thousandths = |n: u64| format!("{}.{:02}", n / 1000, n % 1000 / 10);
    for (rule, ours, theirs) in costs {
        let Cost { flash, arithmetic, stack, per_parameter, per_call } = ours;
        _ = writeln!(
            text,
            "| {} | {flash} | {arithmetic} | {stack} | {} | {per_call} | {} | {} | {} |",
            rule.replace('_', " "),
            thousandths(*per_parameter),
            theirs.flash,
            theirs.arithmetic,
            thousandths(theirs.per_parameter)
        );
    }
    text
}
