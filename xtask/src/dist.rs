//! The static library as C programs should get it: one that can be linked with any other.
//!
//! What `rustc` makes exports more than `gradstep_*`: symbols of dependencies, and the compiler's
//! library. A program that links another Rust library with the same dependency has them twice, which
//! is an error, and the compiler's library takes the place of the C compiler's own for the whole
//! program. So the package is one object that exports `gradstep_*` and nothing else, with one section
//! per function, so that `--gc-sections` still drops what is not used. Arithmetic that the processor
//! lacks comes from the C compiler's library, which the program has already, and so do `memcpy`,
//! `memmove`, `memset` and `memcmp`, without which no program of GCC's or Clang's can do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ar_archive_writer::{
    ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream,
};
use object::read::archive::ArchiveFile;
use object::{File, Object, ObjectSymbol};
use xshell::{Cmd, Shell, cmd};

use crate::board::{self, Board};
use crate::suite::{RELEASE, Skip, Step};
use crate::tools::{self, Toolchain};
use crate::{clib, linux, root, target_dir, x86};

/// A kind of processor that a C program may be for.
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// Which C programs can be linked with it.
    fits: &'static str,
    is_microcontroller: bool,
    /// Whether loops that are not unrolled differ: where the processor has floating-point
    /// instructions.
    has_small: bool,
}

impl Target {
    fn profile(&self) -> &'static str {
        if self.is_microcontroller { clib::EMBEDDED } else { "release" }
    }
}

const fn microcontroller(triple: &'static str, fits: &'static str) -> Target {
    Target { triple, fits, is_microcontroller: true, has_small: false }
}

const fn with_small(target: Target) -> Target {
    Target { has_small: true, ..target }
}

const fn linux(triple: &'static str, fits: &'static str) -> Target {
    Target { triple, fits, is_microcontroller: false, has_small: false }
}

/// What `cargo xtask dist` packs.
pub(crate) const TARGETS: [Target; 10] = [
    microcontroller("thumbv6m-none-eabi", "Cortex-M0, M0+, M1: -mcpu=cortex-m0 -mthumb"),
    microcontroller("thumbv7m-none-eabi", "Cortex-M3: -mcpu=cortex-m3 -mthumb"),
    microcontroller(
        "thumbv7em-none-eabi",
        "Cortex-M4, M7: -mcpu=cortex-m4 -mthumb -mfloat-abi=soft, or softfp",
    ),
    with_small(microcontroller(
        "thumbv7em-none-eabihf",
        "Cortex-M4F, M7F: -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
    )),
    microcontroller(
        "thumbv8m.main-none-eabi",
        "Cortex-M33, M55: -mcpu=cortex-m33 -mthumb -mfloat-abi=soft, or softfp",
    ),
    with_small(microcontroller(
        "thumbv8m.main-none-eabihf",
        "Cortex-M33F, M55: -mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16",
    )),
    microcontroller("riscv32imac-unknown-none-elf", "RISC-V: -march=rv32imac -mabi=ilp32"),
    with_small(microcontroller(
        "riscv32imafc-unknown-none-elf",
        "RISC-V: -march=rv32imafc -mabi=ilp32f",
    )),
    linux("x86_64-unknown-linux-gnu", "Linux on x86-64"),
    linux("aarch64-unknown-linux-gnu", "Linux on 64-bit Arm"),
];

/// Packs the C library for each target: header, library, licences.
pub(crate) fn run(sh: &Shell, chosen: &[String]) -> Result<()> {
    let mut missing = Vec::new();
    let is_chosen =
        |target: &&Target| chosen.is_empty() || chosen.iter().any(|t| t == target.triple);
    for target in TARGETS.iter().filter(is_chosen) {
        match pack(sh, target) {
            Ok(folder) => println!("{}", folder.display()),
            Err(error) => match error.downcast::<Skip>() {
                Ok(skip) => missing.push(format!("{}: {skip}", target.triple)),
                Err(error) => return Err(error.context(target.triple)),
            },
        }
    }
    for target in &missing {
        println!("left out: {target}");
    }
    ensure!(chosen.is_empty() || missing.is_empty(), "a target that was asked for was left out");
    Ok(())
}

fn pack(sh: &Shell, target: &Target) -> Result<PathBuf> {
    let Target { triple, fits, .. } = target;
    let folder = target_dir().join("dist").join(format!("gradstep-{triple}"));
    sh.remove_path(&folder)?;
    sh.create_dir(folder.join("include"))?;
    for file in ["include/gradstep.h", "LICENSE-MIT", "LICENSE-APACHE"] {
        sh.copy_file(root().join(file), folder.join(file))?;
    }
    sh.create_dir(folder.join("lib"))?;
    sh.copy_file(library(sh, target, false)?, folder.join("lib/libgradstep.a"))?;
    let mut text = format!(
        "gradstep for {triple}\n\n{fits}\n\n\
         include/gradstep.h            the header, with the documentation\n\
         lib/libgradstep.a             the library; link with -Wl,--gc-sections\n"
    );
    if target.has_small {
        sh.create_dir(folder.join("lib/small"))?;
        sh.copy_file(library(sh, target, true)?, folder.join("lib/small/libgradstep.a"))?;
        text +=
            "lib/small/libgradstep.a       less code, and some more instructions per parameter\n";
    }
    sh.write_file(folder.join("README.txt"), text)?;
    Ok(folder)
}

/// The packaged library of a target.
pub(crate) fn library(sh: &Shell, target: &Target, small: bool) -> Result<PathBuf> {
    let triple = target.triple;
    let toolchain = Toolchain::find(sh, triple)?;
    let cargo = toolchain.cargo(sh, "rustc", triple, "core");
    if target.is_microcontroller {
        let mut features = vec![];
        features.extend(small.then_some("small"));
        features.extend(toolchain.is_unstable(sh)?.then_some("nightly"));
        clib::embedded_options(cargo, &features.join(",")).run()?;
    } else {
        clib::options(cargo, "staticlib").run()?;
    }
    let built = tools::output(triple, target.profile()).join("libgradstep.a");
    let variant = if small { "small" } else { "" };
    let packaged =
        target_dir().join("dist/packed").join(triple).join(variant).join("libgradstep.a");
    package(sh, &built, &packaged)?;
    Ok(packaged)
}

/// The target with this name.
pub(crate) fn target(triple: &str) -> Result<&'static Target> {
    const { &TARGETS }.iter().find(|target| target.triple == triple).context("no such target")
}

pub(crate) fn steps() -> Vec<Step> {
    let name = |with: &str| format!("two Rust libraries in a C program: {with}");
    let mut steps = vec![];
    if cfg!(target_os = "linux") {
        steps.push(Step::new(name("here"), two_here).in_lane(RELEASE));
        let aarch64 = linux::AARCH64.target;
        steps.push(Step::new(name(aarch64), two_on_aarch64).in_lane(aarch64));
    }
    // One of each kind.
    for board in [board::M0, board::M4F, board::RV32IMAC] {
        steps.push(
            Step::new(name(board.target), move |sh| two_on_board(sh, &board)).in_lane(board.target),
        );
    }
    steps
}

/// Makes a C library of the one that `rustc` made, for any target whose objects are ELF.
pub(crate) fn package(sh: &Shell, library: &Path, packaged: &Path) -> Result<()> {
    let bytes = fs::read(library).with_context(|| library.display().to_string())?;
    let object = only_object(&bytes).with_context(|| library.display().to_string())?;
    let folder = packaged.parent().context("a library without a folder")?;
    sh.create_dir(folder)?;
    let (whole, localized) = (packaged.with_extension("whole.o"), packaged.with_extension("o"));
    fs::write(&whole, object)?;
    objcopy(sh)?
        .args(["--wildcard", "--keep-global-symbol=gradstep_*"])
        .args([&whole, &localized])
        .run()?;
    fs::remove_file(&whole)?;
    let object = fs::read(&localized)?;
    fs::remove_file(&localized)?;
    nothing_else_is_global(&object, &bytes)?;
    let member = NewArchiveMember::new(object, &DEFAULT_OBJECT_READER, "gradstep.o".to_owned());
    write_archive_to_stream(
        &mut fs::File::create(packaged)?,
        &[member],
        ArchiveKind::Gnu,
        false,
        None,
    )?;
    Ok(())
}

/// The object that has all of gradstep in it: link-time optimisation makes one of the crate and its
/// dependencies. The rest of the archive is the compiler's library.
fn only_object(archive: &[u8]) -> Result<&[u8]> {
    let mut found = None;
    for member in ArchiveFile::parse(archive)?.members() {
        let bytes = member?.data(archive)?;
        let file = File::parse(bytes)?;
        let exports = |symbol: object::Symbol<'_, '_>| {
            symbol.is_global() && symbol.name().is_ok_and(|name| name.starts_with("gradstep_"))
        };
        if file.symbols().any(exports) && found.replace(bytes).is_some() {
            bail!("gradstep_* is in more than one object");
        }
    }
    found.context("no object with gradstep_*")
}

/// The object defines `gradstep_*` for others, and needs only what the compiler's library has, or C's.
fn nothing_else_is_global(object: &[u8], archive: &[u8]) -> Result<()> {
    let file = File::parse(object)?;
    let mut of_compiler =
        BTreeSet::from(["memcpy", "memmove", "memset", "memcmp"].map(String::from));
    for member in ArchiveFile::parse(archive)?.members() {
        let member = File::parse(member?.data(archive)?)?;
        let defined = member.symbols().filter(|symbol| symbol.is_global());
        of_compiler.extend(defined.filter_map(|symbol| symbol.name().ok().map(String::from)));
    }
    for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
        let name = symbol.name()?;
        if symbol.is_undefined() {
            ensure!(of_compiler.contains(name), "the library needs {name}");
        } else {
            ensure!(name.starts_with("gradstep_"), "the library exports {name}");
        }
    }
    Ok(())
}

/// The program that changes symbols: the one of rustup's compiler, or LLVM's, which know every target.
fn objcopy(sh: &Shell) -> Result<Cmd<'_>> {
    if let Some(rustup) = tools::of_rustup(sh, "rust-objcopy")? {
        let sysroot = PathBuf::from(cmd!(sh, "rustc --print sysroot").quiet().read()?);
        return Ok(cmd!(sh, "{rustup}").env("LD_LIBRARY_PATH", sysroot.join("lib")));
    }
    tools::need(&[("llvm-objcopy", "llvm")])?;
    Ok(cmd!(sh, "llvm-objcopy"))
}

/// `tests/c/second`, with the standard library or without.
#[derive(Clone, Copy)]
struct Second {
    has_std: bool,
}

impl Second {
    fn options<'a>(self, cargo_rustc: Cmd<'a>, profile: &str) -> Cmd<'a> {
        let features = if self.has_std { "std" } else { "" };
        cargo_rustc.args(["--package", "second-library", "--lib", "--profile", profile]).args([
            "--no-default-features",
            "--features",
            features,
        ])
    }
}

/// Links the program with both libraries, in both orders, with unused sections and without, and runs
/// it each time. Nothing is left of the second library's panics but what it wants.
fn two<'a>(
    libraries: [&Path; 2],
    program: &Path,
    compile: impl Fn() -> Cmd<'a>,
    others: &[&str],
    run: impl Fn() -> Cmd<'a>,
) -> Result<()> {
    let [ours, second] = libraries;
    for libraries in [[ours, second], [second, ours]] {
        for gc_sections in [&["-Wl,--gc-sections"][..], &[]] {
            let compile = compile().args(["-std=c11", "-Os", "-Wall", "-Wextra", "-Werror"]);
            let link = compile.args(gc_sections).args(libraries).args(others);
            link.arg("-o").arg(program).run()?;
            run().run()?;
        }
    }
    println!("linked in either order: the same bits, and each its own panics");
    Ok(())
}

fn main_c() -> PathBuf {
    root().join("tests/c/second/main.c")
}

/// With this machine's compiler: a second library without the standard library, and one with it.
fn two_here(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc")])?;
    let folder = target_dir().join("dist/packed/here");
    let ours = folder.join("libgradstep.a");
    package(sh, &clib::build_static(sh)?, &ours)?;
    let (program, include, main) = (folder.join("two"), root().join("include"), main_c());
    for second in [Second { has_std: false }, Second { has_std: true }] {
        second.options(cmd!(sh, "cargo rustc"), "release").run()?;
        let library = target_dir().join("release/libsecond_library.a");
        let define = if second.has_std { "-DSECOND_HAS_STD" } else { "-DSECOND_HAS_CORE" };
        let compile = || cmd!(sh, "cc {define} -I {include} {main}");
        two([&ours, &library], &program, compile, x86::STD_NEEDS, || cmd!(sh, "{program}"))?;
    }
    Ok(())
}

/// The packed library for a target, and a second one without the standard library.
fn both(sh: &Shell, triple: &str) -> Result<[PathBuf; 2]> {
    let target = target(triple)?;
    let toolchain = Toolchain::find(sh, triple)?;
    let ours = library(sh, target, false)?;
    let cargo = toolchain.cargo(sh, "rustc", triple, "core");
    Second { has_std: false }.options(cargo, target.profile()).run()?;
    let second = tools::output(triple, target.profile()).join("libsecond_library.a");
    Ok([ours, second])
}

fn two_on_aarch64(sh: &Shell) -> Result<()> {
    let gcc = ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu");
    tools::need(&[gcc, ("qemu-aarch64", "qemu-user")])?;
    let [ours, second] = both(sh, linux::AARCH64.target)?;
    let (program, include, main) = (ours.with_file_name("two"), root().join("include"), main_c());
    let compile = || cmd!(sh, "aarch64-linux-gnu-gcc -I {include} {main}");
    let runner = linux::AARCH64.runner();
    two([&ours, &second], &program, compile, &[], || cmd!(sh, "env").args(&runner).arg(&program))
}

fn two_on_board(sh: &Shell, board: &Board) -> Result<()> {
    board.need_all()?;
    let [ours, second] = both(sh, board.target)?;
    let program = ours.with_file_name("two.elf");
    let compile = || board.compile(sh, &[main_c()]).arg("-DBOARD");
    two([&ours, &second], &program, compile, &["-lgcc"], || board.run(sh, &program))
}
