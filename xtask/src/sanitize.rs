//! Steps under the sanitizers and Valgrind. Each first has to report what is wrong on purpose, in
//! the same build: otherwise its silence about the rest would mean nothing.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::host::{REQUIRE_BACKENDS, instruction_sets_here};
use crate::suite::{DEBUG, Skip, Step};
use crate::tools::{self, Nightly, named, of_files};
use crate::{clib, target_dir};

pub(crate) fn steps() -> Vec<Step> {
    if cfg!(not(target_os = "linux")) {
        return Vec::new();
    }
    let mut steps = vec![
        Step::new("sanitizer: address, and undefined behaviour in C", address).beside_all(),
        Step::new("sanitizer: thread", thread).beside_all(),
    ];
    if cfg!(target_arch = "x86_64") {
        steps.push(Step::new("valgrind: C ABI", valgrind).in_lane(DEBUG));
    }
    steps
}

/// Runs a program that is wrong on purpose: it must fail, and this must be the reason.
fn expect_report(program: Cmd<'_>, report: &str) -> Result<()> {
    let shown = program.to_string();
    let output = program.quiet().ignore_status().output()?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    ensure!(
        !output.status.success() && printed.contains(report),
        "{printed}\nnot reported: {report}, from {shown}"
    );
    println!("reported, as it must be: {report}");
    Ok(())
}

/// Allows the tests of `tests/c/tests/wrong.rs` to do what they are for.
const WATCHED: (&str, &str) = ("GRADSTEP_WATCHED", "1");

/// One of those tests, of the build that this command makes.
fn wrong<'a>(cargo_test: Cmd<'a>, test: &str) -> Cmd<'a> {
    let (name, value) = WATCHED;
    let only = ["-p", "c-tests", "--test", "wrong", "--", "--ignored", "--exact", test];
    cargo_test.args(only).env(name, value)
}

/// The tests that reach for memory, from Rust and from C, whose C code is watched for undefined
/// behaviour as well.
fn address(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc"), ("c++", "g++")])?;
    let nightly = Nightly::find(sh)?;
    let c = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -g";
    let cargo_test = || {
        nightly
            .cargo(sh, "test", "-Zsanitizer=address")
            .env("CFLAGS", c)
            .env("CXXFLAGS", c)
            .env("CARGO_TARGET_DIR", target_dir().join("sanitize/address"))
            // Where compiling and running take the least time together.
            .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
    };
    let too_far = "AddressSanitizer: heap-buffer-overflow";
    expect_report(wrong(cargo_test(), "kernel_writes_too_far"), too_far)?;
    expect_report(wrong(cargo_test(), "c_reads_too_far"), too_far)?;
    expect_report(wrong(cargo_test(), "c_overflows"), "runtime error: signed integer overflow")?;
    let tests_of = |package| {
        let backends = instruction_sets_here().join(",");
        cargo_test().args(["--no-fail-fast", "-p", package]).env(REQUIRE_BACKENDS, backends)
    };
    tests_of("c-tests").args(named(&["errors", "layout", "steps"])).run()?;
    Ok(tests_of("gradstep")
        .args(of_files(&["equivalence", "errors", "pages", "special"]))
        // One variant in so many: their loops are the same, and there are hundreds.
        .env("GRADSTEP_EVERY", "29")
        .run()?)
}

/// The C tests on a processor that Valgrind makes up: it has AVX2, and no AVX-512.
fn valgrind(sh: &Shell) -> Result<()> {
    tools::need(&[("valgrind", "valgrind"), ("cc", "gcc"), ("c++", "g++")])?;
    if !instruction_sets_here().contains(&"avx2") {
        bail!(Skip("needs a processor with avx2".into()));
    }
    let runner = tools::cargo_target(&tools::host(), "RUNNER");
    let cargo_test = || cmd!(sh, "cargo test").env(&runner, "valgrind --quiet --error-exitcode=99");
    expect_report(wrong(cargo_test(), "kernel_writes_too_far"), "Invalid write")?;
    let nobody = "Conditional jump or move depends on uninitialised value";
    expect_report(wrong(cargo_test(), "kernel_reads_nothing"), nobody)?;
    Ok(cargo_test()
        .args(["-p", "c-tests", "--no-fail-fast"])
        .args(named(&["errors", "steps"]))
        .args(["--", "--nocapture"])
        .env(REQUIRE_BACKENDS, "scalar,avx2")
        .run()?)
}

/// Threads through the C ABI, in a C program: Rust's standard library, which would have to be
/// instrumented, has no part in it.
fn thread(sh: &Shell) -> Result<()> {
    tools::need(&[("cc", "gcc")])?;
    let program = threads(sh, &Nightly::find(sh)?)?;
    // As many accesses are remembered as can be, to be told of the earlier one of a race.
    let run = || cmd!(sh, "{program}").env("TSAN_OPTIONS", "history_size=7");
    for backend in instruction_sets_here() {
        // One register, and some blocks of them. What is shorter goes through inline assembly,
        // where there are wide registers, and is seen by nobody.
        for length in ["16", "100"] {
            expect_report(run().args([backend, length]), "ThreadSanitizer: data race")?;
        }
    }
    Ok(run().run()?)
}

/// Builds `tests/c/c/threads.c`, and a library for it that is instrumented, too.
fn threads(sh: &Shell, nightly: &Nightly) -> Result<PathBuf> {
    let folder = target_dir().join("sanitize/thread");
    // `core` is not instrumented, which the compiler would refuse to mix; what of it matters here
    // is inlined.
    let flags = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";
    clib::options(nightly.cargo(sh, "rustc", flags), "staticlib")
        .env("CARGO_TARGET_DIR", &folder)
        // ThreadSanitizer knows accesses of up to 16 bytes, and `memcpy`: which is what a wide
        // register's load is, as long as nobody optimises.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
        .run()?;
    let library = folder.join(tools::host()).join("release").join(clib::STATIC);
    let runtime = nightly.libraries(sh)?.join("librustc-nightly_rt.tsan.a");
    let program = folder.join("threads");
    let sources = ["threads", "rules", "check"].map(|name| format!("tests/c/c/{name}.c"));
    // Compiled as for the compiler's own sanitizer, linked with the one that the library is for.
    let mut objects = Vec::new();
    for source in sources {
        let object = folder.join(PathBuf::from(&source).with_extension("o").file_name().unwrap());
        cmd!(sh, "cc -std=c11 -g -O1 -fsanitize=thread -Iinclude -c {source} -o {object}").run()?;
        objects.push(object);
    }
    // The handler of unwinding, which unoptimised code names and a program that stops never needs.
    let unused = "-Wl,--defsym=rust_eh_personality=0";
    cmd!(sh, "cc {objects...} {library} {runtime} {unused} -pthread -ldl -lm -lrt")
        .args(["-o".as_ref(), program.as_os_str()])
        .run()?;
    Ok(program)
}
