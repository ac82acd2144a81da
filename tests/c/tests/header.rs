//! Nothing in the header is forgotten by the tests, and nothing is there twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// C source without its comments.
fn without_comments(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        code.push(' ');
        let length = rest[start..].find("*/").expect("a comment ends");
        rest = &rest[start + length + 2..];
    }
    code.push_str(rest);
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

fn header() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/gradstep.h");
    without_comments(&fs::read_to_string(path).unwrap())
}

/// All C and C++ sources of the tests, without what is written down of the header itself.
fn sources() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("c");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension != "def"));
    files.map(|path| without_comments(&fs::read_to_string(path).unwrap())).collect()
}

/// Names of the library in a text that are followed by what `follows` accepts.
fn names<'a>(text: &'a str, prefix: &str, follows: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(is_part))
        .filter_map(|(at, _)| {
            let length = text[at..].find(|c| !is_part(c)).unwrap_or(text.len() - at);
            follows(text[at + length..].trim_start()).then_some(&text[at..at + length])
        })
        .collect()
}

fn counted<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn every_function_is_called_from_c() {
    let (header, sources) = (header(), sources());
    let declared = counted(names(&header, "gradstep_", |after| after.starts_with('(')));
    let called = counted(names(&sources, "gradstep_", |after| after.starts_with('(')));
    let missing: Vec<_> = declared.keys().filter(|name| !called.contains_key(*name)).collect();
    assert!(missing.is_empty(), "no C test calls {missing:?}");
    assert!(declared.len() >= 38, "only {} functions found in the header", declared.len());
    println!("header: {} functions, all called from C", declared.len());
}

#[test]
fn every_function_is_declared_once() {
    let header = header();
    let declared = counted(names(&header, "gradstep_", |after| after.starts_with('(')));
    let twice: Vec<_> = declared.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "declared more than once: {twice:?}");
}

#[test]
fn every_constant_is_used_in_c() {
    let (header, sources) = (header(), sources());
    let defined: Vec<_> = header
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#define ")?.split([' ', '(']).next())
        .filter(|name| *name != "GRADSTEP_H")
        .collect();
    let used = counted(names(&sources, "GRADSTEP_", |_| true));
    let missing: Vec<_> = defined.iter().filter(|name| !used.contains_key(**name)).collect();
    assert!(missing.is_empty(), "no C test uses {missing:?}");
    assert!(defined.len() >= 41, "only {} constants found in the header", defined.len());
    println!("header: {} constants, all used in C", defined.len());
}
