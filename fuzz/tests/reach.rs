//! The targets, without a fuzzer: every input of the corpus, then many at random. They must reach
//! every function of the header, with a success and with every error that there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gradstep::capi::{GRADSTEP_ERROR_MISALIGNED, GRADSTEP_ERROR_NULL};
use gradstep_fuzz::{Seen, fused, lists, misc, steps};

type Target = (&'static str, fn(&[u8], &mut Seen));

const TARGETS: [Target; 4] = [("steps", steps), ("lists", lists), ("misc", misc), ("fused", fused)];

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Calls each target with its corpus, and with bytes from a generator.
fn run_all(random: usize) -> Seen {
    let mut seen = Seen::default();
    for (name, target) in TARGETS {
        let corpus = folder().join("corpus").join(name);
        let files = fs::read_dir(&corpus).unwrap_or_else(|e| panic!("{}: {e}", corpus.display()));
        let inputs: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(inputs.len() >= 10, "{name}: a corpus of {}", inputs.len());
        for input in &inputs {
            target(input, &mut seen);
        }
        let mut state = 1_u64;
        for _ in 0..random {
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as u8
            };
            let input: Vec<_> = (0..300).map(|_| next()).collect();
            target(&input, &mut seen);
        }
        println!("{name}: {} inputs of the corpus, {random} at random", inputs.len());
    }
    seen
}

/// The functions that the header declares, and the errors that it defines.
fn header() -> (BTreeSet<String>, BTreeSet<i32>) {
    let header = fs::read_to_string(folder().join("../include/gradstep.h")).unwrap();
    let mut functions = BTreeSet::new();
    let mut errors = BTreeSet::new();
    for line in header.lines().filter(|line| !line.starts_with([' ', '/', '*'])) {
        if let Some((declaration, _)) = line.split_once('(')
            && let Some(name) = declaration.split([' ', '*']).next_back()
            && name.starts_with("gradstep_")
        {
            functions.insert(name.to_owned());
        }
        if let Some(error) = line.strip_prefix("#define GRADSTEP_ERROR_") {
            errors.insert(error.split(' ').next_back().unwrap().parse().unwrap());
        }
    }
    assert!(functions.len() >= 38 && errors.len() >= 18, "{functions:?} {errors:?}");
    (functions, errors)
}

#[test]
fn every_function_and_every_error_is_reached() {
    let seen = run_all(20_000).0;
    let (functions, errors) = header();
    let succeeded = |name: &String| seen.contains_key(&(name.as_str(), 0));
    let missing: Vec<_> = functions.iter().filter(|name| !succeeded(name)).collect();
    assert!(missing.is_empty(), "no target calls these with success: {missing:?}");

    let refused: BTreeSet<i32> = seen.keys().map(|(_, error)| *error).filter(|e| *e > 0).collect();
    assert_eq!(refused, errors, "the errors that occurred, and those of the header");

    // A function that takes pointers has been given bad ones.
    let ends = [
        "_step",
        "_list",
        "_init",
        "_preset",
        "_default",
        "_chunk",
        "_add",
        "_merge",
        "_is_finite",
        "_squares",
        "_value",
        "_clip",
        "_advance",
        "_update",
    ];
    for name in functions.iter().filter(|name| ends.iter().any(|end| name.ends_with(end))) {
        for error in [GRADSTEP_ERROR_NULL, GRADSTEP_ERROR_MISALIGNED] {
            assert!(seen.contains_key(&(name.as_str(), error)), "{name} never gives {error}");
        }
    }
    for ((name, error), count) in &seen {
        println!("{name:<34} {error:>3} {count:>9}");
    }
}
