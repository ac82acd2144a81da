//! Lines on the terminal, and files that are either written whole or not at all.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Prints a line. If nobody listens any more (`| head`), the work goes on for the files' sake.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Makes the folder, so that a mistake shows before the training and not after it.
pub fn prepare(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot make this folder", dir.display()))
}

/// Writes beside the final place, then renames.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part); // it may not exist
    }
    written.with_context(|| format!("{}: cannot write", path.display()))
}
