//! The experiments from outside: what they write, that no finished run is lost, and that threads change nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnist"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &str, out: &Path) -> Output {
    demo().args(arguments.split_whitespace()).arg("--out").arg(out).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_good(output: &Output) {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("experiments").join(name);
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A table without the columns that only time decides.
fn table(path: &Path) -> Vec<String> {
    let mut csv = csv::Reader::from_path(path).unwrap();
    let timeless: Vec<bool> = csv
        .headers()
        .unwrap()
        .iter()
        .map(|name| !["secs", "ms_step", "opt_us", "ns_step"].contains(&name))
        .collect();
    let row = |row: csv::StringRecord| {
        let cells = row.iter().zip(&timeless).filter(|(_, keep)| **keep);
        cells.map(|(cell, _)| cell.to_owned()).collect::<Vec<_>>().join(",")
    };
    csv.records().map(|record| row(record.unwrap())).collect()
}

fn journal(out: &Path) -> String {
    fs::read_to_string(out.join("journal.jsonl")).unwrap_or_default()
}

/// Sixteen runs: some learn, some are stuck, some diverge.
const SWEEP: &str = "sweep --optimizer adam,sgd --k=-30,-24,-18,-12,-9,-3,6,12 --cap 320";

#[cfg(unix)] // signals
#[test]
fn an_interrupted_sweep_goes_on() {
    let whole = folder("whole");
    assert_good(&run(SWEEP, &whole));
    let expected = table(&whole.join("sweep.csv"));
    assert_eq!(expected.len(), 16);
    for status in ["ok", "stuck", "diverged", "cap"] {
        assert!(expected.iter().any(|row| row.contains(status)), "{status}: {expected:?}");
    }

    let cut = folder("cut");
    let mut command = demo();
    let child = command.args(SWEEP.split_whitespace()).arg("--out").arg(&cut).spawn().unwrap();
    let start = Instant::now();
    while journal(&cut).lines().count() < 3 {
        assert!(start.elapsed() < Duration::from_secs(60), "no run finishes");
        thread::sleep(Duration::from_millis(2));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("goes on from there"), "{}", text(&output.stderr));
    assert!(!cut.join("sweep.csv").exists());
    let kept = journal(&cut);
    assert!(kept.ends_with('\n') && (3..16).contains(&kept.lines().count()), "{kept}");

    // As a crash leaves it: in the middle of a line.
    let path = cut.join("journal.jsonl");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"key\":\"gra").unwrap();

    let output = run(&format!("{SWEEP} --threads 1"), &cut);
    assert_good(&output);
    let known = format!("16 runs, {} of them in the journal", kept.lines().count());
    assert!(text(&output.stdout).contains(&known), "{}", text(&output.stdout));
    assert_eq!(table(&cut.join("sweep.csv")), expected);
    assert!(journal(&cut).starts_with(&kept), "a finished run was changed");
    assert_eq!(journal(&cut).lines().count(), 16, "a finished run was repeated");
}

#[test]
fn gradient_descent_in_three_forms() {
    let out = folder("gdvariants");
    let output = run("gdvariants", &out);
    assert_good(&output);
    for name in
        ["gdvariants.svg", "gdvariants.png", "gdvariants-epochs.csv", "gdvariants.setup.json"]
    {
        assert!(out.join(name).exists(), "{name}");
    }
    assert_eq!(table(&out.join("gdvariants.csv")).len(), 5 + 100 + 5_000);
    assert!(!text(&output.stdout).contains(" NO "), "{}", text(&output.stdout));

    assert_good(&demo().arg("report").arg(&out).output().unwrap());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("data:image/svg+xml;base64,")
            && page.contains("Gradient descent in three forms")
    );
    // One page that needs nothing else.
    assert!(
        !page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains(".svg\"")
    );
}

#[test]
fn sizes_are_measured_drawn_and_kept() {
    let out = folder("sizes");
    for (name, count) in [("size", 6), ("lrsize", 3)] {
        let csv = || fs::read_to_string(out.join(name).with_extension("csv")).unwrap();
        let arguments = format!("{name} --quick --scale 1,1.25,1.5 --lr 0.01 --cap 30");
        assert_good(&run(&arguments, &out));
        let first = csv();
        assert_eq!(first.lines().count(), 1 + count, "{first}");
        assert!(first.contains("\nlinear,1.25,4202,124660,0.01,30,"), "{first}");
        // From the journal: the same times to the last digit.
        assert_good(&run(&arguments, &out));
        assert_eq!(csv(), first);
    }
    assert_eq!(table(&out.join("kernel.csv")).len(), 8 * 3);
    for picture in ["size.png", "size-step.png", "kernel.svg", "lrsize.png"] {
        assert!(out.join(picture).exists(), "{picture}");
    }
}

#[test]
fn errors_are_one_line() {
    let empty = folder("empty");
    let broken = folder("broken");
    fs::write(broken.join("journal.jsonl"), "{\"key\":\"a\",\"value\":1}\nnonsense\n").unwrap();
    let (empty, broken) = (empty.to_str().unwrap(), broken.to_str().unwrap());
    let cases: [(&[&str], &str); 7] = [
        (&["report", empty], "no experiment has been run yet"),
        (&["report", "no/such/folder"], "no experiment has been run yet"),
        (&["sweep", "--out", broken], "journal.jsonl: line 2 is not a finished run"),
        (&["sweep", "--optimizer", "newton"], "expected one of sgd, momentum"),
        (&["sweep", "--cap", "0"], "--cap"),
        (&["size", "--model", "tf", "--out", empty], "--model tf: the widths"),
        (&["lrsize", "--scale", "1.3"], "expected a multiple of 0.25"),
    ];
    for (arguments, expected) in cases {
        let output = demo().args(arguments).output().unwrap();
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{arguments:?}: {error}");
    }
    // Nothing was lost of what was there.
    assert!(journal(Path::new(broken)).ends_with("nonsense\n"));
}

#[test]
fn a_folder_belongs_to_one_process_at_a_time() {
    let out = folder("locked");
    let file = fs::File::create(out.join("journal.jsonl")).unwrap();
    file.lock().unwrap();
    let error = text(&run("gdvariants", &out).stderr);
    assert!(error.contains("another `cargo demo` is using it"), "{error}");
}
