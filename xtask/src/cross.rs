//! Steps for processors without Linux: emulated, or built and looked at.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::host::REQUIRE_BACKENDS;
use crate::linked::{self, Library};
use crate::suite::Step;
use crate::tools::{self, Toolchain};
use crate::{clib, dist, root};

pub(crate) fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::new("tests: wasm32 with simd128", |sh| {
            wasm(sh, "-C target-feature=+simd128", "scalar,simd128")
        })
        .in_lane(WASM),
    ];
    steps.extend(BARE_METAL.map(|(target, root)| {
        Step::new(format!("bare metal: {target}"), move |sh| bare_metal(sh, target, root))
            .in_lane(target)
    }));
    steps
}

pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// With what tests are made of, also where nothing is tested: cargo builds all anew for another list.
pub(crate) const WASM_STD: &str = "std,test,panic_abort";

/// The tests in Rust, under Node.js.
fn wasm(sh: &Shell, rustflags: &str, backends: &str) -> Result<()> {
    tools::need(&[("node", "nodejs")])?;
    let target = WASM;
    let runner = format!("node {}", root().join("xtask/src/wasm.mjs").display());
    Ok(Toolchain::find(sh, target)?
        .cargo(sh, "test", target, WASM_STD)
        .args(["-p", "gradstep", "--no-fail-fast", "--lib", "--test", "all"])
        // For the compiler: such a program has no environment, and no arguments.
        .env("GRADSTEP_EVERY", "29")
        .env(tools::cargo_target(target, "RUNNER"), runner)
        .env(tools::cargo_target(target, "RUSTFLAGS"), rustflags)
        .env(REQUIRE_BACKENDS, backends)
        .run()?)
}

/// Processors without an operating system, and the square root instruction of those that have one.
const BARE_METAL: [(&str, Option<Instruction>); 6] = [
    ("thumbv6m-none-eabi", None),
    ("thumbv7m-none-eabi", None),
    ("thumbv7em-none-eabihf", Some(VSQRT)),
    ("thumbv8m.main-none-eabihf", Some(VSQRT)),
    ("riscv32imac-unknown-none-elf", None),
    ("riscv32imafc-unknown-none-elf", Some(FSQRT)),
];

/// An instruction of 32 bits: its fixed bits, and which those are.
#[derive(Clone, Copy)]
struct Instruction {
    name: &'static str,
    bits: [u8; 4],
    mask: [u8; 4],
}

/// 1110 1110 1D11 0001, then dddd 1010 11M0 mmmm: two little-endian halves.
const VSQRT: Instruction = Instruction {
    name: "vsqrt.f32",
    bits: [0xb1, 0xee, 0xc0, 0x0a],
    mask: [0xbf, 0xff, 0xd0, 0x0f],
};

/// 0101 1000 0000 ssss smmm dddd d101 0011, little-endian.
const FSQRT: Instruction =
    Instruction { name: "fsqrt.s", bits: [0x53, 0x00, 0x00, 0x58], mask: [0x7f, 0x00, 0xf0, 0xff] };

impl Instruction {
    fn is_in(&self, code: &[u8]) -> bool {
        code.windows(4).step_by(2).any(|word| {
            let fixed = |i: usize| word[i] & self.mask[i] == self.bits[i];
            (0..4).all(fixed)
        })
    }
}

/// The static library, and what a program would link from it for each rule's step.
fn bare_metal(sh: &Shell, target: &str, root: Option<Instruction>) -> Result<()> {
    // As it is before it is packed: with the compiler's library, to follow calls into it.
    dist::library(sh, dist::target(target)?, false)?;
    let built = tools::output(target, clib::EMBEDDED);
    let path = built.join("libgradstep.a");
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let library = Library::parse(&bytes)?;

    let is_step = |name: &&str| name.starts_with("gradstep_") && name.ends_with("_step");
    let steps: BTreeSet<_> = library.names().filter(is_step).collect();
    ensure!(!steps.is_empty(), "{} has no gradstep_*_step", path.display());
    for step in steps {
        let linked = library.link(step)?;
        // A fused step moves descriptions of its arrays about, once for each tile.
        let copies = linked::COPIES.into_iter().filter(|_| !step.ends_with("_fused_step"));
        for unwanted in linked::UNWANTED.into_iter().chain(copies) {
            let found = linked.find(unwanted);
            ensure!(found.is_none(), "{step} can reach {}", found.unwrap_or_default());
        }
        if let Some(root) = root
            && !step.starts_with("gradstep_sgd_")
        {
            ensure!(linked.code.iter().any(|code| root.is_in(code)), "{step} has no {}", root.name);
            let software = linked.find("sqrtf");
            ensure!(software.is_none(), "{step} calls {}", software.unwrap_or_default());
        }
        println!("{step}: {} bytes of code", linked.code_size());
    }
    Ok(())
}
