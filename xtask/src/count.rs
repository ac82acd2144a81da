//! How many instructions a step takes on this kind of processor, counted by Valgrind's Callgrind:
//! unlike a time, the same in every run. They are recorded in benches/instructions.txt, and none may
//! grow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::record::{Record, Row, exact};
use crate::suite::{Skip, Step};
use crate::{host, target_dir, tools};

const RECORD: Record = Record {
    path: "benches/instructions.txt",
    top: "\
# Instructions of a step on x86-64, counted by Callgrind: `cargo xtask test budget` fails if a figure grows,
# `cargo xtask budget --update` records new ones. Thousandths of an instruction per parameter; instructions
# of a call on no parameter, on 1, on 340, on a list of 10 tensors of 340; of the scalars before it (`at`).
",
    names: [8, 18],
    columns: &[
        exact("instructions / 1000 per parameter", 6),
        exact("instructions on 0 parameters", 5),
        exact("instructions on 1", 5),
        exact("instructions on 340", 6),
        exact("instructions on a list", 6),
        exact("instructions of `at`", 5),
    ],
};

/// The instruction sets: Valgrind has no AVX-512.
const BACKENDS: [&str; 2] = ["scalar", "avx2"];

/// What another compiler than the recorded one may add, which is not the project's doing.
const PERCENT_OF_ANOTHER: u64 = 10;

pub(crate) fn steps() -> Vec<Step> {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        return vec![];
    }
    vec![Step::new("budget: x86-64", check).beside_all()]
}

fn check(sh: &Shell) -> Result<()> {
    let rows = measure(sh)?;
    print!("{}", table(&rows));
    let (recorded_of, recorded) = RECORD.read()?;
    let compiler = compiler(sh)?;
    let percent = if compiler == recorded_of { 0 } else { PERCENT_OF_ANOTHER };
    let allowed = format!(
        "recorded with {recorded_of}, compiled with {compiler}: a figure may grow by {percent} %"
    );
    println!("{allowed}");
    let grown = BACKENDS.iter().filter_map(|backend| {
        let rows: Vec<_> = rows.iter().filter(|row| row.group == *backend).cloned().collect();
        RECORD.compare(&recorded, backend, &rows, percent).err()
    });
    let grown: Vec<_> = grown.map(|error| error.to_string()).collect();
    ensure!(grown.is_empty(), "{allowed}; {}", grown.join("; "));
    Ok(())
}

/// Prints the figures. With `update`, records them.
pub(crate) fn run(sh: &Shell, update: bool) -> Result<()> {
    let rows = measure(sh)?;
    println!("\nx86-64, in instructions\n\n{}", table(&rows));
    if update {
        RECORD.write(&compiler(sh)?, &rows)?;
    }
    Ok(())
}

fn compiler(sh: &Shell) -> Result<String> {
    Ok(cmd!(sh, "rustc --version").quiet().read()?)
}

fn measure(sh: &Shell) -> Result<Vec<Row>> {
    tools::need(&[("valgrind", "valgrind"), ("cc", "gcc")])?;
    if !host::instruction_sets_here().contains(&"avx2") {
        bail!(Skip("needs a processor with avx2".into()));
    }
    let folder = target_dir().join("count");
    cmd!(sh, "cargo build --release -p gradstep-benches --no-default-features --bin count")
        .env("CARGO_TARGET_DIR", &folder)
        // Callgrind finds the function to count in by its name.
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .run()?;
    let (program, counts) = (folder.join("release/count"), folder.join("callgrind.out"));
    sh.remove_path(&counts)?;
    let measured = "gradstep_measured";
    let labels = cmd!(sh, "valgrind --quiet --tool=callgrind --collect-atstart=no")
        .args(["toggle-collect", "dump-after"].map(|option| format!("--{option}={measured}")))
        .arg("--combine-dumps=yes")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(&program)
        .args(BACKENDS)
        .read()?;
    rows(&labels, &fs::read_to_string(&counts)?)
}

/// What the program says that it has done, and what Callgrind has counted in the meantime.
fn rows(labels: &str, counts: &str) -> Result<Vec<Row>> {
    let totals = counts.lines().filter_map(|line| line.strip_prefix("totals: "));
    let mut totals: Vec<u64> = totals.map(str::parse).collect::<Result<_, _>>()?;
    // The last part is that of the program's end.
    ensure!(totals.pop() == Some(0), "counted outside of what is measured");
    ensure!(totals.len() == labels.lines().count(), "{} counts", totals.len());
    let mut order = Vec::new();
    let mut all: BTreeMap<(&str, &str), BTreeMap<&str, u64>> = BTreeMap::new();
    for (label, total) in labels.lines().zip(totals) {
        let [backend, rule, what] = *label.split(' ').collect::<Vec<_>>() else { bail!("{label}") };
        ensure!(total > 0, "{label}: nothing counted");
        if !order.contains(&(backend, rule)) {
            order.push((backend, rule));
        }
        let again = all.entry((backend, rule)).or_default().insert(what, total);
        ensure!(again.is_none(), "{label} twice");
    }
    let row = |key: (&str, &str)| {
        let count = |what: &str| all[&key].get(what).copied().context(what.to_owned());
        let per_parameter = (count("4096")? - count("2048")?) * 1000 / 2048;
        let others = ["0", "1", "340", "list", "at"].map(count);
        let figures = [Ok(per_parameter)].into_iter().chain(others).collect::<Result<_>>()?;
        Ok(Row { group: key.0.to_owned(), name: key.1.to_owned(), figures })
    };
    order.into_iter().map(row).collect()
}

/// For people.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| instruction set | rule | per parameter | on 0 | on 1 | on 340 | on a list | `at` |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for Row { group, name, figures } in rows {
        let [per_parameter, others @ ..] = &**figures else { continue };
        let (whole, rest) = (per_parameter / 1000, per_parameter % 1000 / 10);
        _ = write!(text, "| {group} | {} | {whole}.{rest:02} |", name.replace('_', " "));
        for figure in others {
            _ = write!(text, " {figure} |");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = "scalar sgd at\nscalar sgd 0\nscalar sgd 1\nscalar sgd 340\n\
        scalar sgd 2048\nscalar sgd 4096\nscalar sgd list\n";

    fn counts(numbers: &[u64]) -> String {
        numbers.iter().map(|n| format!("part: 1\nsummary: {n}\n\ntotals: {n}\n")).collect()
    }

    #[test]
    fn every_count_has_its_label() {
        let row = rows(LABELS, &counts(&[9, 10, 11, 400, 2100, 4148, 5000, 0])).unwrap();
        assert_eq!(row[0].figures, [1000, 10, 11, 400, 5000, 9]);
        assert!(rows(LABELS, &counts(&[9, 10, 11, 400, 2100, 4148, 0])).is_err());
        assert!(rows(LABELS, &counts(&[9, 10, 11, 400, 2100, 4148, 5000, 7])).is_err());
        assert!(rows(LABELS, &counts(&[9, 0, 11, 400, 2100, 4148, 5000, 0])).is_err());
    }
}
