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
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ar_archive_writer::{
    ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream,
};
use object::read::archive::ArchiveFile;
use object::{File, Object, ObjectSymbol};
use xshell::{Cmd, Shell, cmd};

use crate::suite::{Skip, Step};
use crate::tools::{self, Tool, Toolchain};
use crate::{clib, root, target_dir};

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
    let place = |from: &str, to: &str| -> Result<()> {
        sh.create_dir(folder.join(to).parent().context("no folder")?)?;
        Ok(sh.copy_file(root().join(from), folder.join(to))?)
    };
    place("include/gradstep.h", "include/gradstep.h")?;
    place("LICENSE-MIT", "LICENSE-MIT")?;
    place("LICENSE-APACHE", "LICENSE-APACHE")?;
    sh.create_dir(folder.join("lib/small"))?;
    sh.copy_file(library(sh, target, false)?, folder.join("lib/libgradstep.a"))?;
    let mut text = format!(
        "gradstep for {triple}\n\n{fits}\n\n\
         include/gradstep.h            the header, with the documentation\n\
         lib/libgradstep.a             the library; link with -Wl,--gc-sections\n"
    );
    if target.has_small {
        sh.copy_file(library(sh, target, true)?, folder.join("lib/small/libgradstep.a"))?;
        text +=
            "lib/small/libgradstep.a       less code, and some more instructions per parameter\n";
    } else {
        sh.remove_path(folder.join("lib/small"))?;
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
    let built = toolchain.output(triple, target.profile()).join("libgradstep.a");
    let variant = if small { "small" } else { "" };
    let packaged = target_dir().join("dist/work").join(triple).join(variant).join("libgradstep.a");
    package(sh, &built, &packaged)?;
    Ok(packaged)
}

/// The target with this name.
pub(crate) fn target(triple: &str) -> Result<&'static Target> {
    const { &TARGETS }.iter().find(|target| target.triple == triple).context("no such target")
}

pub(crate) fn steps() -> Vec<Step> {
    let mut steps = vec![];
    if cfg!(target_os = "linux") {
        steps.push(Step::new("two Rust libraries in a C program: here", two_here));
    }
    steps.extend(BOARDS.iter().map(|board| {
        Step::new(format!("two Rust libraries in a C program: {}", board.target), move |sh| {
            two_on_board(sh, board)
        })
    }));
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
    let libraries = PathBuf::from(cmd!(sh, "rustc --print target-libdir").quiet().read()?);
    let rustup = libraries.with_file_name("bin").join("rust-objcopy");
    if rustup.is_file() {
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

/// The program with both libraries, in both orders.
struct Program<'a> {
    compiler: Vec<OsString>,
    libraries: [&'a Path; 2],
    others: Vec<OsString>,
    path: PathBuf,
}

impl Program<'_> {
    /// Compiles and runs it, in both orders, with unused sections and without. Nothing is left of the
    /// second library's panics but what it wants.
    fn run(&self, sh: &Shell, run: impl Fn(&Path) -> Result<()>) -> Result<()> {
        let [ours, second] = self.libraries;
        for libraries in [[ours, second], [second, ours]] {
            for gc_sections in [&["-Wl,--gc-sections"][..], &[]] {
                self.link(sh, &libraries, gc_sections)?;
                run(&self.path)?;
            }
        }
        Ok(())
    }

    fn link(&self, sh: &Shell, libraries: &[&Path], options: &[&str]) -> Result<()> {
        let (compiler, options_before) = self.compiler.split_first().context("no compiler")?;
        let include = root().join("include");
        Ok(cmd!(sh, "{compiler} {options_before...} -std=c11 -Os -Wall -Wextra -Werror")
            .arg("-I")
            .arg(include)
            .args(options)
            .arg(root().join("tests/c/second/main.c"))
            .args(libraries)
            .args(&self.others)
            .arg("-o")
            .arg(&self.path)
            .run()?)
    }
}

/// With this machine's compiler: a second library without the standard library, and one with it.
fn two_here(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc")])?;
    let folder = target_dir().join("dist/work/here");
    let ours = folder.join("libgradstep.a");
    package(sh, &clib::build_static(sh)?, &ours)?;
    for second in [Second { has_std: false }, Second { has_std: true }] {
        second.options(cmd!(sh, "cargo rustc"), "release").run()?;
        let library = target_dir().join("release/libsecond_library.a");
        let needs = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"].map(OsString::from);
        let define = if second.has_std { "-DSECOND_HAS_STD" } else { "-DSECOND_HAS_CORE" };
        let program = Program {
            compiler: ["cc", define, "-Dend=_exit"].map(OsString::from).to_vec(),
            libraries: [&ours, &library],
            others: needs.to_vec(),
            path: folder.join("two"),
        };
        program.run(sh, |path| Ok(cmd!(sh, "{path}").run()?))?;
    }
    println!("linked with either, in either order: the same bits, and each its own panics");
    Ok(())
}

/// A machine that QEMU has, and the C compiler for it.
struct Board {
    target: &'static str,
    compiler: &'static str,
    /// In `tests/c/second`: the sources that start and end a program, and where it lies.
    start: Option<(&'static str, &'static str)>,
    emulator: &'static str,
    tools: &'static [Tool<'static>],
}

const SEMIHOSTING: &str = "-nographic -monitor none -serial none -semihosting-config \
                           enable=on,target=native -kernel";

const ARM: &[Tool<'static>] =
    &[("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("qemu-system-arm", "qemu-system-arm")];

const BOARDS: &[Board] = &[
    Board {
        target: "thumbv6m-none-eabi",
        compiler: "arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb",
        start: Some(("cortex_m.c", "cortex_m.ld")),
        emulator: "qemu-system-arm -M microbit",
        tools: ARM,
    },
    Board {
        target: "thumbv7em-none-eabihf",
        compiler: "arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        start: Some(("cortex_m.c", "cortex_m.ld")),
        emulator: "qemu-system-arm -M mps2-an386",
        tools: ARM,
    },
    Board {
        target: "riscv32imac-unknown-none-elf",
        compiler: "riscv64-unknown-elf-gcc -march=rv32imac_zicsr -mabi=ilp32",
        start: Some(("riscv.c", "riscv.ld")),
        emulator: "qemu-system-riscv32 -M virt -bios none",
        tools: &[
            ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"),
            ("qemu-system-riscv32", "qemu-system-misc"),
        ],
    },
    Board {
        target: "aarch64-unknown-linux-gnu",
        compiler: "aarch64-linux-gnu-gcc -Dend=_exit",
        start: None,
        emulator: "qemu-aarch64 -L /usr/aarch64-linux-gnu",
        tools: &[("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"), ("qemu-aarch64", "qemu-user")],
    },
];

/// With another compiler, run in an emulator.
fn two_on_board(sh: &Shell, board: &Board) -> Result<()> {
    tools::need(board.tools)?;
    let target = board.target;
    let toolchain = Toolchain::find(sh, target)?;
    let ours = library(sh, self::target(target)?, false)?;
    let profile = self::target(target)?.profile();
    let built = toolchain.output(target, profile);
    let cargo = toolchain.cargo(sh, "rustc", target, "core");
    Second { has_std: false }.options(cargo, profile).run()?;

    let mut compiler: Vec<_> = board.compiler.split(' ').map(OsString::from).collect();
    let mut emulator: Vec<_> = board.emulator.split(' ').collect();
    let mut others = vec![];
    if let Some((source, script)) = board.start {
        let second = root().join("tests/c/second");
        let options = ["-ffreestanding", "-nostdlib", "-Wl,-z,noexecstack", "-T"];
        compiler.extend(options.map(OsString::from));
        compiler.extend([second.join(script), second.join(source)].map(OsString::from));
        others.push("-lgcc".into());
        emulator.extend(SEMIHOSTING.split(' '));
    }
    let program = Program {
        compiler,
        libraries: [&ours, &built.join("libsecond_library.a")],
        others,
        path: ours.with_file_name("two.elf"),
    };
    let (emulator, options) = emulator.split_first().context("no emulator")?;
    program.run(sh, |path| Ok(cmd!(sh, "{emulator}").args(options).arg(path).run()?))?;
    println!("linked in either order: the same bits, and each its own panics");
    Ok(())
}
