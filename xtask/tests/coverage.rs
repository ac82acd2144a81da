//! No rule of the crate's list lacks a part: its file, its C functions, its row in the README, its
//! oracle, its golden traces, its benchmark.

use std::fs;
use std::path::{Path, PathBuf};

use gradstep::Rule;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder that end in `.extension`.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// The rules, by type and by name.
fn rules() -> Vec<(&'static str, &'static str)> {
    macro_rules! list {
        ($($rule:ident),*) => {
            [$((stringify!($rule), gradstep::$rule::name())),*]
        };
    }
    let mut rules = Vec::new();
    macro_rules! collect {
        ($($rule:ident),*) => { rules.extend(list!($($rule),*)); };
    }
    gradstep::for_each_rule!(collect);
    rules
}

/// Everything that is missing is told at once.
#[track_caller]
fn nothing_missing(missing: Vec<String>) {
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}

#[test]
fn the_list_is_the_folder() {
    let rules = rules();
    assert!(rules.len() >= 6);
    for folder in ["src/rules", "src/capi"] {
        let files: Vec<_> = files(folder, "rs")
            .into_iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let missing = rules.iter().filter(|(_, name)| !files.iter().any(|file| file == name));
        nothing_missing(missing.map(|(_, name)| format!("{folder}/{name}.rs")).collect());
        if folder == "src/rules" {
            let listed = |file: &&String| rules.iter().any(|(_, name)| file == name);
            let unlisted: Vec<_> =
                files.iter().filter(|file| *file != "mod" && !listed(file)).collect();
            assert!(unlisted.is_empty(), "not in for_each_rule!: {unlisted:?}");
        }
    }
}

#[test]
fn names_differ() {
    let rules = rules();
    for (index, (rule, name)) in rules.iter().enumerate() {
        assert!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        );
        assert!(
            rules[..index].iter().all(|(other, other_name)| other != rule && other_name != name)
        );
    }
}

#[test]
fn every_rule_is_in_the_header() {
    let header = read("include/gradstep.h");
    let mut missing = Vec::new();
    for (_, name) in rules() {
        for function in ["default", "preset", "init", "step", "step_list", "fused_step"] {
            let declaration = format!("int32_t gradstep_{name}_{function}(");
            if !header.contains(&declaration) {
                missing.push(declaration);
            }
        }
        for kind in ["", "_tensor", "_fused_tensor"] {
            let definition = format!("}} gradstep_{name}{kind};");
            if !header.contains(&definition) {
                missing.push(definition);
            }
        }
    }
    nothing_missing(missing);
}

#[test]
fn every_rule_is_in_the_readme() {
    let readme = read("README.md");
    let mut missing = Vec::new();
    for (rule, name) in rules() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{rule}` |")));
        if !row.is_some_and(|row| row.contains(&format!("`gradstep_{name}`"))) {
            missing.push(format!("a row of `{rule}` and `gradstep_{name}` in the table of rules"));
        }
    }
    nothing_missing(missing);
}

#[test]
fn every_rule_is_in_the_crates_table() {
    let lib = read("src/lib.rs");
    let missing =
        rules().into_iter().filter(|(rule, _)| !lib.contains(&format!("//! | [`{rule}`] |")));
    nothing_missing(
        missing.map(|(rule, _)| format!("a row of [`{rule}`] in src/lib.rs")).collect(),
    );
}

#[test]
fn every_rule_has_golden_traces() {
    let traces: String = files("tests/golden", "txt")
        .into_iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let missing = rules()
        .into_iter()
        .filter(|(_, name)| !traces.contains(&format!("\ncase {name} default\n")));
    nothing_missing(missing.map(|(_, name)| format!("a case {name} default")).collect());
}

#[test]
fn every_rule_has_its_cost_on_microcontrollers() {
    let (cases, budget) = (read("benches/embedded/cases.h"), read("benches/embedded/budget.txt"));
    let mut missing = Vec::new();
    for (_, name) in rules() {
        if !cases.contains(&format!("CASE({name}, gradstep_{name}, ")) {
            missing.push(format!("a case {name} in benches/embedded/cases.h"));
        }
        let is_budget = |line: &str| line.split_whitespace().nth(1) == Some(name);
        if !budget.lines().any(is_budget) {
            missing.push(format!("a budget of {name} in benches/embedded/budget.txt"));
        }
    }
    nothing_missing(missing);
}

/// These would not compile without a part for each rule, as long as they go through the list.
#[test]
fn tests_take_the_list() {
    let tests = ["oracle", "golden", "equivalence", "errors", "special", "pages", "fused"];
    let tests = tests.map(|test| root().join(format!("tests/{test}.rs")));
    for path in tests {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("for_each_rule!"), "{}", path.display());
    }
    let oracle = read("tests/oracle.rs");
    let missing = rules()
        .into_iter()
        .filter(|(rule, _)| !oracle.contains(&format!("impl Oracle for {rule} ")));
    nothing_missing(missing.map(|(rule, _)| format!("an oracle of {rule}")).collect());
}

/// The fuzz targets would not compile without a part for each rule, either.
#[test]
fn fuzz_targets_take_the_list() {
    for target in ["steps", "lists", "misc"] {
        assert!(read(&format!("fuzz/src/{target}.rs")).contains("for_each_rule!"), "{target}");
        let folder = root().join("fuzz/corpus").join(target);
        assert!(fs::read_dir(folder).unwrap().count() >= 10, "{target} has no corpus");
    }
    let subjects = read("fuzz/src/rules.rs");
    let missing = rules()
        .into_iter()
        .filter(|(_, name)| !subjects.contains(&format!("gradstep_{name}_step_list")));
    nothing_missing(missing.map(|(_, name)| format!("{name} in fuzz/src/rules.rs")).collect());
}

/// A benchmark of each rule would not compile without its case, as long as the cases go through the
/// list.
#[test]
fn benchmarks_take_the_list() {
    let takes_it = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("for_each_rule!");
    assert!(files("benches/src", "rs").iter().any(takes_it), "no benchmark takes the list");
    assert!(!files("benches/benches", "rs").is_empty());
}

/// Each rule's documentation has what the others' have, in the same order.
#[test]
fn every_rule_is_documented_alike() {
    for (rule, name) in rules() {
        let text = read(&format!("src/rules/{name}.rs"));
        let documentation = &text[..text.find(&format!("pub struct {rule} ")).unwrap()];
        let mut rest = documentation;
        let parts = ["```text", "# State", "# Special values", "# Sources", "# Example"];
        for part in parts.map(|part| format!("/// {part}")) {
            let at = rest.find(&part).unwrap_or_else(|| panic!("{name}.rs: {part}, in this order"));
            rest = &rest[at + part.len()..];
        }
        assert!(documentation.to_lowercase().contains("numerical notes"), "{name}.rs");
        let test = format!("fn {name}_special_values()");
        assert!(read("tests/special.rs").contains(&test), "no {test} in tests/special.rs");
    }
}
