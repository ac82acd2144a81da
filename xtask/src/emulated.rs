//! A processor with AVX-512, for machines whose own has none: Bochs emulates one, QEMU does not.
//!
//! It boots Linux, which runs programs of this machine with this machine's libraries, all in memory,
//! some hundred times slower than here.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::host::{REQUIRE_BACKENDS, instruction_sets_here};
use crate::suite::{DEBUG, Skip, Step};
use crate::x86::RUNNER;
use crate::{root, target_dir, tools};

/// So that lints see it.
#[cfg(clippy)]
#[allow(dead_code)]
mod init;

/// What its processor has, all that one of this kind may have.
pub(crate) const BACKENDS: [&str; 3] = ["scalar", "avx2", "avx512"];

/// Whether this machine lacks an instruction set that the emulated one has.
pub(crate) fn is_needed() -> bool {
    cfg!(all(target_arch = "x86_64", target_os = "linux"))
        && instruction_sets_here().len() < BACKENDS.len()
}

/// The files of tests that compare instruction sets.
const FILES: [&str; 5] = ["equivalence", "fused", "norm", "pages", "special"];

/// Tests in them that take minutes there, and compare none.
const SKIPPED: [&str; 5] = [
    "eight_bits_follow_a_slow_average",
    "stochastic_rounding_moves_by",
    "rounded_once",
    "small_sums",
    "squares_are_not_negative",
];

/// Of what a test multiplies, every so-many-th. The conformance program has all variants of a rule.
const EVERY: &str = "101";

/// In the lane of the tests, which are the same programs.
pub(crate) fn step() -> Step {
    Step::new("tests: x86-64 with AVX-512, emulated, some", some_tests).in_lane(DEBUG)
}

fn some_tests(sh: &Shell) -> Result<()> {
    need()?;
    // It is not run, but named.
    let file = cmd!(sh, "cargo test -p gradstep --features half,rayon --test all");
    let file = PathBuf::from(file.env(RUNNER, "echo").read()?.trim());
    let args = tools::one_at_a_time(&FILES).chain(SKIPPED.map(|test| format!("--skip={test}")));
    let ran = run(sh, "tests", &[Program { file, args: args.collect() }])?.remove(0);
    println!(
        "{}{}\nThese ran with {}, and GRADSTEP_EVERY={EVERY}; {}, and all other tests, with {} alone.",
        ran.printed,
        ran.status,
        BACKENDS.join(", "),
        SKIPPED.join(", "),
        instruction_sets_here().join(", ")
    );
    ensure!(ran.succeeded(), "a test failed");
    // Else a name that has changed would leave nothing to run.
    for file in FILES {
        ensure!(ran.printed.contains(&format!("test {file}::")), "no test of {file}.rs ran");
    }
    Ok(())
}

/// What to run, with arguments that have no spaces.
pub(crate) struct Program {
    pub(crate) file: PathBuf,
    pub(crate) args: Vec<String>,
}

/// What came of it: what it printed, in both ways, and how it ended.
pub(crate) struct Ran {
    pub(crate) printed: String,
    pub(crate) status: String,
}

impl Ran {
    pub(crate) fn succeeded(&self) -> bool {
        self.status == "exit status: 0"
    }
}

const BOCHS: &str = "/usr/bin/bochs-bin";
/// A screen, which it does not do without: this one needs no other program, and nobody looks.
const SCREEN: &str = "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so";
const BIOS: &str = "/usr/share/bochs/BIOS-bochs-latest";
const VIDEO_BIOS: &str = "/usr/share/vgabios/vgabios.bin";
const BOOT_LOADER: [(&str, &str); 2] = [
    ("/usr/lib/ISOLINUX/isolinux.bin", "isolinux"),
    ("/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common"),
];

/// Skips the step unless all of it is installed; Linux's file.
fn need() -> Result<PathBuf> {
    tools::need(&[
        ("cc", "gcc"),
        ("genisoimage", "genisoimage"),
        ("strip", "binutils"),
        ("timeout", "coreutils"),
    ])?;
    let bochs = [(BOCHS, "bochs"), (SCREEN, "bochs-term"), (BIOS, "bochsbios")];
    let others = [(VIDEO_BIOS, "vgabios")].into_iter().chain(BOOT_LOADER);
    for (file, package) in bochs.into_iter().chain(others) {
        if !Path::new(file).is_file() {
            bail!(Skip(format!("needs {file} (Debian: apt-get install {package})")));
        }
    }
    let files = fs::read_dir("/boot").into_iter().flatten().flatten().map(|file| file.path());
    let is_linux = |file: &PathBuf| {
        let is_named =
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz-"));
        is_named && fs::File::open(file).is_ok()
    };
    let linux = files.filter(is_linux).max();
    let missing =
        "needs a readable /boot/vmlinuz-* (Debian: apt-get install linux-image-cloud-amd64)";
    Ok(linux.ok_or_else(|| Skip(missing.into()))?)
}

/// Starts the machine, which runs these programs in turn. It writes in a folder of this name.
pub(crate) fn run(sh: &Shell, name: &str, programs: &[Program]) -> Result<Vec<Ran>> {
    let linux = need()?;
    let folder = target_dir().join("emulated").join(name);
    sh.remove_path(&folder)?;
    let disc = folder.join("disc");
    sh.create_dir(&disc)?;
    sh.copy_file(linux, disc.join("linux"))?;
    for (file, _) in BOOT_LOADER {
        sh.copy_file(file, &disc)?;
    }
    sh.write_file(disc.join("isolinux.cfg"), boot())?;
    fs::write(disc.join("memory"), memory(sh, &folder, programs)?)?;
    let _inside = sh.push_dir(&folder);
    cmd!(sh, "genisoimage -quiet -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4")
        .args(["-boot-info-table", "-o", "disc.iso", "disc"])
        .run()?;

    sh.write_file("settings", settings())?;
    // Debian's stops before the first instruction, and asks.
    sh.write_file("debugger", "continue\n")?;
    // It heeds no other signal, and says of every end that it failed, also of a machine switched off.
    let emulator = cmd!(sh, "timeout --signal=KILL {LIMIT} {BOCHS} -q -f settings -rc debugger");
    let log = emulator.env("TERM", "vt100").stdin("").ignore_status().ignore_stderr().read()?;
    sh.write_file("stdout.txt", log)?;

    let text = fs::read(folder.join("serial.txt"))
        .context("the emulated machine has not said anything")?;
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let ran = ran(&text);
    ensure!(
        ran.len() == programs.len(),
        "the emulated machine stopped early, or took more than {LIMIT} s, after it had said\n{text}"
    );
    Ok(ran)
}

/// Seconds that the machine may take.
const LIMIT: &str = "900";

/// What the boot loader is told.
fn boot() -> String {
    // Linux would compute the size of the registers' compact format otherwise than Bochs, and do
    // without the wide ones. When it stops, the machine is to stop, too. The rest saves time.
    let options = "console=ttyS0 quiet clearcpuid=xsaves,xsavec panic=-1 reboot=triple \
                   mitigations=off cryptomgr.notests tsc=reliable";
    // What Linux does not know itself is its first program's environment.
    let backends = BACKENDS.join(",");
    let environment = format!("{REQUIRE_BACKENDS}={backends} GRADSTEP_EVERY={EVERY}");
    format!(
        "DEFAULT linux\nLABEL linux\nKERNEL linux\nAPPEND initrd=memory {options} {environment}\n"
    )
}

/// What the emulator is told. The fewer instructions it takes for a second, the shorter is what waits.
fn settings() -> String {
    format!(
        "cpu: model=corei7_skylake_x, ips=20000000, reset_on_triple_fault=0
memory: guest=256, host=256
romimage: file={BIOS}
vgaromimage: file={VIDEO_BIOS}
config_interface: textconfig
display_library: term
plugin_ctrl: speaker=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
ata0-master: type=cdrom, path=disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=serial.txt
log: bochs.log
panic: action=fatal
error: action=report
info: action=ignore
"
    )
}

/// The files of the machine: programs, their libraries, and what runs them.
fn memory(sh: &Shell, folder: &Path, programs: &[Program]) -> Result<Vec<u8>> {
    let init = folder.join("init");
    let source = root().join("xtask/src/emulated/init.rs");
    cmd!(sh, "rustc --edition 2024 -C opt-level=s -C strip=symbols {source} -o {init}").run()?;
    let mut archive = Archive::default();
    archive.file("init", &fs::read(&init)?);
    let mut list = String::new();
    let mut libraries = libraries(sh, &init)?;
    for (number, Program { file, args }) in programs.iter().enumerate() {
        let name = number.to_string();
        let stripped = folder.join(&name);
        cmd!(sh, "strip -o {stripped} {file}").run()?;
        archive.file(&name, &fs::read(&stripped)?);
        libraries.extend(self::libraries(sh, file)?);
        let line: Vec<_> = [format!("/{name}")].into_iter().chain(args.iter().cloned()).collect();
        list += &(line.join(" ") + "\n");
    }
    archive.file("programs", list.as_bytes());
    for file in libraries {
        archive.file(file.trim_start_matches('/'), &fs::read(&file).context(file.clone())?);
    }
    Ok(archive.end())
}

/// Where the libraries of a program are, its loader among them.
fn libraries(sh: &Shell, program: &Path) -> Result<BTreeSet<String>> {
    let list = cmd!(sh, "ldd {program}").quiet().read()?;
    let words = list.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(Into::into).collect())
}

/// Files as Linux unpacks them when it starts: in cpio's format "newc".
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<PathBuf>,
}

impl Archive {
    /// An executable one, with the folders that it is in.
    fn file(&mut self, name: &str, content: &[u8]) {
        let mut folders: Vec<_> = Path::new(name).ancestors().skip(1).collect();
        folders.pop();
        for folder in folders.into_iter().rev() {
            if self.folders.insert(folder.into()) {
                self.entry(&folder.to_string_lossy(), 0o040_755, &[]);
            }
        }
        self.entry(name, 0o100_755, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        // Between them: owners, one link, no time; behind them: devices.
        let (size, name_size) = (content.len(), name.len() + 1);
        write!(self.bytes, "070701{:08x}{mode:08x}{:016x}{:08x}{:08x}", 0, 0, 1, 0).unwrap();
        write!(self.bytes, "{size:08x}{:032x}{name_size:08x}{:08x}{name}\0", 0, 0).unwrap();
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

/// What the first program says of those that it has run; Linux speaks before it.
fn ran(text: &str) -> Vec<Ran> {
    let mut ran = Vec::new();
    let mut printed = String::new();
    for line in text.lines().skip_while(|line| *line != "begun").skip(1) {
        if let Some(status) = line.strip_prefix("ended: ") {
            ran.push(Ran { printed: std::mem::take(&mut printed), status: status.into() });
        } else {
            printed += line;
            printed.push('\n');
        }
    }
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_ended_has_run() {
        let text = "Linux\nbegun\na\nb\nended: exit status: 0\nended: signal: 4\nc\n";
        let [first, second] = ran(text).try_into().ok().unwrap();
        assert!(first.printed == "a\nb\n" && first.succeeded());
        assert!(second.printed.is_empty() && !second.succeeded());
    }
}
