//! Results that outlive the program: a file of lines, each a key and a value in JSON.
//!
//! A line is written with one call when its run has finished. What a crash leaves of the last line is cut off.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub struct Journal {
    path: PathBuf,
    inside: Mutex<Inside>,
}

struct Inside {
    file: File,
    values: HashMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    value: Value,
}

impl Journal {
    /// Reads the file, or begins one. It belongs to this process as long as it is open.
    pub fn open(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).with_context(name)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{}: another `cargo demo` is using it", name()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(name),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(name)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut values = HashMap::new();
        for (index, line) in text[..whole].lines().enumerate() {
            let line: Line = serde_json::from_str(line).with_context(|| {
                format!(
                    "{}: line {} is not a finished run; delete it to repeat the run",
                    name(),
                    index + 1
                )
            })?;
            values.insert(line.key, line.value);
        }
        file.set_len(whole as u64).with_context(name)?;
        file.seek(SeekFrom::End(0)).with_context(name)?;
        Ok(Self { path: path.to_owned(), inside: Mutex::new(Inside { file, values }) })
    }

    pub fn has(&self, key: &str) -> bool {
        self.lock().values.contains_key(key)
    }

    pub fn read<R: DeserializeOwned>(&self, key: &str) -> Result<R> {
        let inside = self.lock();
        let value = inside.values.get(key).ok_or_else(|| anyhow!("no such run: {key}"))?;
        R::deserialize(value).with_context(|| {
            format!("{}: not the result of such a run: {key}", self.path.display())
        })
    }

    pub fn write<R: Serialize>(&self, key: &str, result: &R) -> Result<()> {
        let line = Line { key: key.to_owned(), value: serde_json::to_value(result)? };
        let text = serde_json::to_string(&line)? + "\n";
        let mut inside = self.lock();
        let written = inside.file.write_all(text.as_bytes());
        written.with_context(|| format!("{}: cannot write", self.path.display()))?;
        inside.values.insert(line.key, line.value);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        // A thread that panicked in here has not left a half-changed map: values are inserted whole.
        self.inside.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
