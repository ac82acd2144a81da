//! Which instructions the x86-64 libraries have, and where: outside of the functions of AVX2 and
//! AVX-512, none that a processor without them would stop at.
//!
//! A function may use an instruction set if it is reached only through the functions that run once
//! that set has been found. Those are `pulp`'s `vectorize`, of which the dispatch calls one, and what
//! they call. Everything else, above all what `gradstep_*` reaches before, is plain x86-64.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use iced_x86::CpuidFeature::{self, *};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use object::read::{
    File, Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationTarget,
};
use object::{SectionKind, SymbolKind};
use xshell::{Shell, cmd};

use crate::suite::{RELEASE, Step};
use crate::{clib, target_dir, tools};

pub(crate) fn steps() -> Vec<Step> {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        return vec![];
    }
    vec![
        Step::new("x86-64 libraries: no instruction before it is found", libraries)
            .in_lane(RELEASE),
        Step::new("x86-64 libraries: that check can fail", misbuilt).beside_all(),
    ]
}

/// The static and the shared library.
fn libraries(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc")])?;
    check(&whole_archive(sh, &clib::build_static(sh)?)?)?;

    let shipped = clib::build_shared(sh)?;
    let library =
        target_dir().join("instructions/release").join(shipped.file_name().context("no name")?);
    clib::options(cmd!(sh, "cargo rustc"), "cdylib")
        .arg("--target-dir")
        .arg(target_dir().join("instructions"))
        // The same library with the names of its functions.
        .args(["--", "-C", "strip=none"])
        .run()?;
    ensure!(text(&shipped)? == text(&library)?, "names change the shared library's code");
    check(&library)
}

/// A library for processors that all have AVX2 is refused.
fn misbuilt(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc")])?;
    let folder = target_dir().join("instructions-haswell");
    clib::options(cmd!(sh, "cargo rustc"), "staticlib")
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-cpu=haswell")
        .run()?;
    let image = whole_archive(sh, &folder.join("release").join(clib::STATIC))?;
    match check(&image) {
        Ok(()) => bail!("a library for Haswell passes for one without AVX2"),
        Err(error) => println!("refused, as it should be: {error:#}"),
    }
    Ok(())
}

/// Everything in a static library, linked together, so that it has addresses.
fn whole_archive(sh: &Shell, archive: &Path) -> Result<PathBuf> {
    let image = archive.with_extension("whole.so");
    cmd!(sh, "cc -shared -nostdlib -Wl,-Bsymbolic -Wl,--whole-archive {archive} -o {image}")
        .run()?;
    Ok(image)
}

/// The code of a shared library.
fn text(library: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(library).with_context(|| library.display().to_string())?;
    let file = File::parse(&*bytes)?;
    let text = file.section_by_name(".text").context("no .text")?;
    Ok(text.data()?.to_vec())
}

fn check(library: &Path) -> Result<()> {
    let bytes = fs::read(library).with_context(|| library.display().to_string())?;
    let image = Image::parse(&bytes)?;
    let report = image.check().with_context(|| library.display().to_string())?;
    println!("{}: {report}", library.display());
    Ok(())
}

/// Instructions of a processor that runs x86-64 programs at all, and those that ask it what else it
/// has.
const BASELINE: &[CpuidFeature] = &[
    INTEL8086,
    INTEL186,
    INTEL286,
    INTEL386,
    INTEL486,
    X64,
    FPU,
    CMOV,
    MMX,
    SSE,
    SSE2,
    CPUID,
    CX8,
    MULTIBYTENOP,
    PAUSE,
    XSAVE,
    CET_IBT,
];

/// What has been found before a function of AVX2 runs: the fields of `pulp::x86::V3`.
const AVX2_PATH: &[CpuidFeature] =
    &[SSE3, SSSE3, SSE4_1, SSE4_2, POPCNT, AVX, AVX2, BMI1, BMI2, FMA, LZCNT];

/// What has been found as well before a function of AVX-512 runs: the fields of `pulp::x86::V4`.
const AVX512_PATH: &[CpuidFeature] = &[AVX512F, AVX512BW, AVX512CD, AVX512DQ, AVX512VL];

/// A set of functions, by where they lie in [`Image::functions`].
type Functions = BTreeSet<usize>;

/// A function, and what follows it up to the next one.
struct Function<'a> {
    name: String,
    address: u64,
    code: &'a [u8],
}

impl Function<'_> {
    fn instructions(&self) -> impl Iterator<Item = Instruction> {
        Decoder::with_ip(64, self.code, self.address, DecoderOptions::NONE).into_iter()
    }

    /// The first instruction that is of none of these sets.
    fn beyond(&self, allowed: &[&[CpuidFeature]]) -> Option<Instruction> {
        let is_allowed = |feature| allowed.iter().any(|set| set.contains(feature));
        self.instructions().find(|instruction| {
            let known = instruction.cpuid_features().iter().all(is_allowed);
            // An older processor takes `tzcnt` for `bsf`, which differs for 0 only: compilers use
            // it without asking.
            instruction.is_invalid() || !known && instruction.mnemonic() != Mnemonic::Tzcnt
        })
    }

    /// Whether it multiplies whole registers of binary64 numbers that were binary32, as a norm does.
    fn squares_doubles(&self, is_whole: fn(Register) -> bool) -> bool {
        let has = |mnemonic| {
            self.instructions().any(|i| i.mnemonic() == mnemonic && is_whole(i.op0_register()))
        };
        has(Mnemonic::Vcvtps2pd) && has(Mnemonic::Vmulpd)
    }

    /// `pulp`'s function that goes over to an instruction set, by the token that stands for it.
    fn goes_over_to(&self, token: &str) -> bool {
        let name = self.name.trim_start_matches('<');
        name.starts_with(token) && name.contains("::vectorize")
    }

    /// Whether it is a part of a register's load or store, of lanes that only AVX-512 has.
    ///
    /// `pulp` has one table of these parts, in the order of their lanes, for both instruction sets;
    /// their names have a 1 for each lane that is loaded or stored.
    fn has_lanes_beyond_the_eighth(&self) -> bool {
        self.name.starts_with("libpulp_")
            && self.name.rsplit('_').next().is_some_and(|lanes| {
                lanes.len() == 16 && lanes.bytes().skip(8).any(|lane| lane == b'1')
            })
    }
}

/// A shared library that has the names of its functions.
struct Image<'a> {
    /// By address.
    functions: Vec<Function<'a>>,
    /// Variables: their addresses, and sizes.
    variables: BTreeMap<u64, u64>,
    /// The places that hold an address, and the address.
    pointers: BTreeMap<u64, u64>,
}

impl<'a> Image<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let file = File::parse(bytes)?;
        let mut names = BTreeMap::new();
        let mut variables = BTreeMap::new();
        for symbol in file.symbols() {
            let section = symbol.section_index().map(|index| file.section_by_index(index));
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
            match section.transpose()?.map(|section| section.kind()) {
                Some(SectionKind::Text) if symbol.kind() != SymbolKind::Section => {
                    names.insert(symbol.address(), name);
                }
                Some(_) => _ = variables.insert(symbol.address(), symbol.size()),
                None => {}
            }
        }
        let mut functions = Vec::new();
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let (start, code) = (section.address(), section.data()?);
            names.entry(start).or_insert_with(|| section.name().unwrap_or_default().to_owned());
            let ends = start + code.len() as u64;
            let mut here = names.range(start..ends).peekable();
            while let Some((&address, name)) = here.next() {
                let end = here.peek().map_or(ends, |next| *next.0);
                let code = &code[(address - start) as usize..(end - start) as usize];
                functions.push(Function { name: name.clone(), address, code });
            }
        }
        functions.sort_by_key(|function| function.address);
        let mut pointers = BTreeMap::new();
        for (place, relocation) in file.dynamic_relocations().into_iter().flatten() {
            let base: u64 = match relocation.target() {
                RelocationTarget::Symbol(symbol) => file
                    .dynamic_symbol_table()
                    .and_then(|table| table.symbol_by_index(symbol).ok())
                    .map_or(0, |symbol| symbol.address()),
                _ => 0,
            };
            pointers.insert(place, base.wrapping_add_signed(relocation.addend()));
        }
        Ok(Self { functions, variables, pointers })
    }

    /// The function that has this address in it.
    fn function_at(&self, address: u64) -> Option<usize> {
        let index = self.functions.partition_point(|f| f.address <= address).checked_sub(1)?;
        let function = &self.functions[index];
        (address - function.address < function.code.len() as u64).then_some(index)
    }

    /// The functions that a function calls, goes to or takes the address of, also through a table.
    fn references(&self, function: &Function<'_>) -> Functions {
        let mut found = Functions::new();
        for instruction in function.instructions() {
            let near = [OpKind::NearBranch64, OpKind::NearBranch32, OpKind::NearBranch16];
            if instruction.op_count() > 0 && near.contains(&instruction.op0_kind()) {
                found.extend(self.function_at(instruction.near_branch_target()));
            }
            if instruction.is_ip_rel_memory_operand() {
                let address = instruction.ip_rel_memory_address();
                found.extend(self.function_at(address));
                let variable = self.variables.range(..=address).next_back();
                let (from, to) = match variable {
                    Some((from, size)) if address < from + size => (*from, from + size),
                    _ => (address, address + 1),
                };
                let pointers = self.pointers.range(from..to);
                found.extend(pointers.filter_map(|(_, &pointer)| self.function_at(pointer)));
            }
        }
        found
    }

    /// Everything that is reached from some functions, up to and without others.
    fn reached(&self, from: &Functions, except: impl Fn(usize) -> bool) -> Functions {
        let mut reached = from.clone();
        let mut waiting: Vec<_> = from.iter().copied().collect();
        while let Some(index) = waiting.pop() {
            for next in self.references(&self.functions[index]) {
                if !except(next) && reached.insert(next) {
                    waiting.push(next);
                }
            }
        }
        reached
    }

    fn chosen(&self, is_chosen: impl Fn(&Function<'_>) -> bool) -> Functions {
        (0..self.functions.len()).filter(|&index| is_chosen(&self.functions[index])).collect()
    }

    /// Checks every function; what has been checked.
    fn check(&self) -> Result<String> {
        let exported = self.chosen(|function| function.name.starts_with("gradstep_"));
        let avx2 = self.chosen(|function| function.goes_over_to("pulp::x86::v3::V3"));
        let avx512 = self.chosen(|function| function.goes_over_to("pulp::x86::v4::V4"));
        ensure!(!exported.is_empty(), "no function of gradstep's");

        let goes_over = |index: usize| avx2.contains(&index) || avx512.contains(&index);
        let before = self.reached(&exported, goes_over);
        let avx2_path = self.reached(&avx2, |index| {
            goes_over(index) || self.functions[index].has_lanes_beyond_the_eighth()
        });
        let avx512_path = self.reached(&avx512, goes_over);

        for (index, function) in self.functions.iter().enumerate() {
            let allowed: &[&[CpuidFeature]] = if before.contains(&index) {
                &[BASELINE]
            } else if avx2_path.contains(&index) {
                &[BASELINE, AVX2_PATH]
            } else if avx512_path.contains(&index) {
                &[BASELINE, AVX2_PATH, AVX512_PATH]
            } else if function.name.starts_with("compiler_builtins::") {
                // The compiler's library chooses among its own; gradstep reaches none of these.
                continue;
            } else {
                &[BASELINE]
            };
            if let Some(instruction) = function.beyond(allowed) {
                bail!(
                    "{} has {:?} at {:#x}, of {:?}",
                    function.name,
                    instruction.code(),
                    instruction.ip(),
                    instruction.cpuid_features()
                );
            }
        }
        for &index in avx2.union(&avx512) {
            let function = &self.functions[index];
            let wide = |target| self.function_at(target).is_none_or(|f| !before.contains(&f));
            if let Some(address) = left_dirty(function, wide)? {
                bail!("{} leaves upper halves of registers in use at {address:#x}", function.name);
            }
        }
        ensure!(!avx2.is_empty() && !avx512.is_empty(), "no function of AVX2, or none of AVX-512");
        // The check would be none if the widest instructions were not where they are expected.
        let is_wide = |index: &&usize| self.functions[**index].beyond(&[BASELINE]).is_some();
        let is_widest =
            |index: &&usize| self.functions[**index].beyond(&[BASELINE, AVX2_PATH]).is_some();
        ensure!(avx2.iter().filter(is_wide).count() == avx2.len(), "an AVX2 function has none");
        ensure!(avx512.iter().filter(is_widest).count() == avx512.len(), "nor has AVX-512");
        // The compiler makes registers of the norm's arrays, or fails to.
        for (set, is_whole) in
            [(&avx2, Register::is_ymm as fn(Register) -> bool), (&avx512, Register::is_zmm)]
        {
            let is_norm = |index: &usize| self.functions[*index].squares_doubles(is_whole);
            ensure!(set.iter().any(is_norm), "the norm is not computed in whole registers");
        }
        Ok(format!(
            "{} functions: {} of the C ABI and what they reach, {} in all, are plain x86-64; {} go \
             over to AVX2 and {} to AVX-512, and clear the upper halves of registers at their end",
            self.functions.len(),
            exported.len(),
            before.len(),
            avx2.len(),
            avx512.len(),
        ))
    }
}

/// Where a function returns to, or calls, code of SSE without `vzeroupper` after its last wide
/// register. That is no error, but slow: each instruction of SSE then waits for the upper halves.
///
/// `is_wide` says whether what is at an address uses wide registers itself.
fn left_dirty(function: &Function<'_>, is_wide: impl Fn(u64) -> bool) -> Result<Option<u64>> {
    let instructions: Vec<_> = function.instructions().collect();
    let at: HashMap<u64, usize> =
        instructions.iter().enumerate().map(|(index, i)| (i.ip(), index)).collect();
    let points_to =
        |i: &Instruction| i.is_ip_rel_memory_operand().then(|| i.ip_rel_memory_address());
    let returns: Vec<_> =
        instructions.iter().filter_map(points_to).filter_map(|to| at.get(&to).copied()).collect();
    let mut seen = HashSet::new();
    let mut waiting = vec![(0, false)];
    while let Some((index, dirty)) = waiting.pop() {
        if !seen.insert((index, dirty)) {
            continue;
        }
        let instruction = instructions.get(index).context("a function without an end")?;
        let leaves = |target: u64| dirty && !is_wide(target);
        let after = match instruction.mnemonic() {
            Mnemonic::Vzeroupper | Mnemonic::Vzeroall => false,
            _ => dirty || writes_upper_half(instruction),
        };
        let mut next = vec![];
        match instruction.flow_control() {
            FlowControl::Next => next.push((index + 1, after)),
            FlowControl::Return if dirty => return Ok(Some(instruction.ip())),
            FlowControl::Return | FlowControl::Exception | FlowControl::Interrupt => {}
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target();
                match at.get(&target) {
                    Some(&inside) => next.push((inside, dirty)),
                    None if leaves(target) => return Ok(Some(instruction.ip())),
                    None => {}
                }
                if instruction.flow_control() == FlowControl::ConditionalBranch {
                    next.push((index + 1, dirty));
                }
            }
            FlowControl::Call if leaves(instruction.near_branch_target()) => {
                return Ok(Some(instruction.ip()));
            }
            FlowControl::Call => {
                next.push((index + 1, dirty || is_wide(instruction.near_branch_target())));
            }
            // Through a pointer, to a part of a register's load or store, which comes back to where
            // a register points to.
            FlowControl::IndirectCall => next.push((index + 1, true)),
            FlowControl::IndirectBranch if !returns.is_empty() => {
                next.extend(returns.iter().map(|&index| (index, true)));
            }
            other => bail!("{} has {other:?}, which this check does not follow", function.name),
        }
        waiting.extend(next);
    }
    Ok(None)
}

/// Whether it writes to one of the registers whose upper half `vzeroupper` clears.
fn writes_upper_half(instruction: &Instruction) -> bool {
    let register = match instruction.op_count() {
        0 => Register::None,
        _ if instruction.op0_kind() != OpKind::Register => Register::None,
        _ => instruction.op0_register(),
    };
    (register.is_ymm() || register.is_zmm()) && register.number() < 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(code: &[u8]) -> Function<'_> {
        Function { name: "f".into(), address: 0x1000, code }
    }

    const RET: u8 = 0xc3;
    const VZEROUPPER: [u8; 3] = [0xc5, 0xf8, 0x77];
    const VADDPS_YMM: [u8; 4] = [0xc5, 0xfc, 0x58, 0xc1];
    const VADDPS_ZMM: [u8; 6] = [0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1];
    const JE_OVER_VZEROUPPER: [u8; 2] = [0x74, 3];

    #[test]
    fn instruction_sets_are_told_apart() {
        let sse = [0x0f, 0x58, 0xc1, RET];
        assert!(function(&sse).beyond(&[BASELINE]).is_none());
        let popcnt = [0xf3, 0x0f, 0xb8, 0xc1, RET];
        assert!(function(&popcnt).beyond(&[BASELINE]).is_some());
        assert!(function(&popcnt).beyond(&[BASELINE, AVX2_PATH]).is_none());
        let avx512 = [&VADDPS_ZMM[..], &[RET]].concat();
        assert!(function(&avx512).beyond(&[BASELINE, AVX2_PATH]).is_some());
        assert!(function(&avx512).beyond(&[BASELINE, AVX2_PATH, AVX512_PATH]).is_none());
    }

    #[test]
    fn upper_halves_are_followed() {
        let left = |code: &[&[u8]], is_wide: bool| {
            left_dirty(&function(&code.concat()), |_| is_wide).unwrap().is_some()
        };
        assert!(left(&[&VADDPS_YMM, &[RET]], false));
        assert!(left(&[&VADDPS_ZMM, &[RET]], false));
        assert!(!left(&[&VADDPS_YMM, &VZEROUPPER, &[RET]], false));
        assert!(left(&[&VADDPS_YMM, &JE_OVER_VZEROUPPER, &VZEROUPPER, &[RET]], false));
        let call = [0xe8, 0, 0x10, 0, 0];
        assert!(left(&[&VADDPS_YMM, &call, &VZEROUPPER, &[RET]], false));
        assert!(!left(&[&VADDPS_YMM, &call, &VZEROUPPER, &[RET]], true));
        assert!(left(&[&call, &[RET]], true));
    }
}
