//! The boards that QEMU has, by the names of their cores in c_examples/firmware: C programs for them,
//! with the startup code that is there, and how a program is run.

use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{Cmd, Shell, cmd};

use crate::root;
use crate::tools::{self, Tool};

/// A board, and how its processor's code is compiled.
#[derive(Clone, Copy)]
pub(crate) struct Board {
    /// Its memories are in `c_examples/firmware/board/<core>.ld`.
    pub(crate) core: &'static str,
    /// Rust's name of such processors.
    pub(crate) target: &'static str,
    /// The C compiler's options for them.
    pub(crate) options: &'static str,
    /// QEMU's name.
    pub(crate) machine: &'static str,
}

pub(crate) const M0: Board = Board {
    core: "cortex-m0",
    target: "thumbv6m-none-eabi",
    options: "-mcpu=cortex-m0plus -mthumb",
    machine: "microbit",
};
pub(crate) const M3: Board = Board {
    core: "cortex-m3",
    target: "thumbv7m-none-eabi",
    options: "-mcpu=cortex-m3 -mthumb",
    machine: "mps2-an385",
};
pub(crate) const M4F: Board = Board {
    core: "cortex-m4f",
    target: "thumbv7em-none-eabihf",
    options: "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
    machine: "mps2-an386",
};
pub(crate) const M7: Board = Board {
    core: "cortex-m7",
    options: "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16",
    machine: "mps2-an500",
    ..M4F
};
pub(crate) const M33: Board = Board {
    core: "cortex-m33",
    target: "thumbv8m.main-none-eabihf",
    options: "-mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16",
    machine: "mps2-an505",
};
pub(crate) const RV32IMAC: Board = Board {
    core: "rv32imac",
    target: "riscv32imac-unknown-none-elf",
    options: "-march=rv32imac -mabi=ilp32",
    machine: "virt",
};
pub(crate) const RV32IMAFC: Board = Board {
    core: "rv32imafc",
    target: "riscv32imafc-unknown-none-elf",
    options: "-march=rv32imafc -mabi=ilp32f",
    machine: "virt",
};

/// All of them.
pub(crate) static BOARDS: [Board; 7] = [M0, M3, M4F, M7, M33, RV32IMAC, RV32IMAFC];

impl Board {
    pub(crate) fn is_arm(&self) -> bool {
        self.target.starts_with("thumb")
    }

    fn compiler(&self) -> Tool<'static> {
        if self.is_arm() {
            ("arm-none-eabi-gcc", "gcc-arm-none-eabi")
        } else {
            ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf")
        }
    }

    fn emulator(&self) -> Tool<'static> {
        if self.is_arm() {
            ("qemu-system-arm", "qemu-system-arm")
        } else {
            ("qemu-system-riscv32", "qemu-system-misc")
        }
    }

    /// Skips the step unless a program can be run.
    pub(crate) fn need_emulator(&self) -> Result<()> {
        tools::need(&[self.emulator(), ("timeout", "coreutils")])
    }

    /// Skips the step unless a program in C can be compiled and run.
    pub(crate) fn need_all(&self) -> Result<()> {
        tools::need(&[self.compiler()])?;
        self.need_emulator()
    }

    /// The command that makes a program of these C sources, with what starts and ends one. Libraries and
    /// where to put it are to be added.
    pub(crate) fn compile<'a>(&self, sh: &'a Shell, sources: &[PathBuf]) -> Cmd<'a> {
        let (gcc, _) = self.compiler();
        let board = root().join("c_examples/firmware/board");
        let startup = if self.is_arm() { "startup_arm.c" } else { "startup_riscv.S" };
        let options = self.options.split(' ');
        cmd!(sh, "{gcc} {options...} -Wall -Wextra -ffreestanding -nostdlib")
            .args(["-ffunction-sections", "-fdata-sections", "-fno-tree-loop-distribute-patterns"])
            .args(["-Wl,-z,noexecstack".to_owned(), format!("-T{}.ld", self.core)])
            .args([format!("-L{}", board.display()), format!("-I{}", board.display())])
            .arg(format!("-I{}", root().join("include").display()))
            .args(sources)
            .args([startup, "semihost.c", "freestanding/string.c"].map(|file| board.join(file)))
    }

    /// The command that runs a program and has its text as output. A processor that has stopped at an
    /// exception would stay there.
    pub(crate) fn run<'a>(&self, sh: &'a Shell, program: &Path) -> Cmd<'a> {
        let (qemu, _) = self.emulator();
        let machine = self.machine;
        cmd!(sh, "timeout 120 {qemu} -M {machine} -bios none -display none -monitor none")
            .args(["-serial", "none", "-chardev", "stdio,id=text"])
            .args(["-semihosting-config", "enable=on,target=native,chardev=text", "-kernel"])
            .arg(program)
    }
}
