//! The program from outside: what it writes, and how it fails.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use clap::CommandFactory as _;

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mnist")).args(arguments).output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    folder
}

#[test]
fn the_command_line_is_consistent() {
    mnist::cli::Arguments::command().debug_assert();
}

#[test]
fn writes_plots_and_tables() {
    let out = folder("plots");
    let out_text = out.to_str().unwrap();
    let output = demo(&["-o", "adam,sgd", "-e", "1", "--hold-out", "9000", "--out", out_text]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["curves.png", "curves.svg", "epochs.csv", "steps.csv", "summary.csv"]);
    assert!(fs::read(out.join("curves.png")).unwrap().starts_with(b"\x89PNG"));
    let svg = fs::read_to_string(out.join("curves.svg")).unwrap();
    assert!(svg.contains("Training loss") && svg.contains("Adam"), "{svg}");

    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(summary.lines().count(), 3);
    for line in summary.lines().skip(1) {
        let hash = line.split(',').nth(12).unwrap();
        assert!(hash.len() == 16 && table.contains(hash), "{line}\n{table}");
    }
    assert_eq!(fs::read_to_string(out.join("steps.csv")).unwrap().lines().count(), 1 + 2 * 10);
}

#[test]
fn errors_are_one_line_and_an_exit_code() {
    let file = folder("in-the-way");
    fs::write(&file, "not a folder").unwrap();
    let file = file.to_str().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (
            &["--data", "no/such/folder", "--out", env!("CARGO_TARGET_TMPDIR")],
            "no/such/folder/train-images-idx3-ubyte",
        ),
        (&["--out", file], "in-the-way: cannot make this folder"),
        (&["--batch-size", "0"], "expected a number from 1, or `full`"),
        (&["--epochs", "0"], "--epochs"),
        (&["--optimizer", "newton"], "newton"),
        (&["--lr=-1", "-o", "sgd", "--out", env!("CARGO_TARGET_TMPDIR")], "lr"),
    ];
    for (arguments, expected) in cases {
        let output = demo(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{arguments:?}: {error}");
    }
}
