//! Where the digits come from: the built-in subset, or a folder of IDX files.

use std::borrow::Cow;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use crate::ffi::{Digits, File, View};

/// The four files of MNIST: images and labels, for training and for the test.
pub const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

const SUBSET: [&[u8]; 4] = [
    include_bytes!("../data/train-images-idx3-ubyte.gz"),
    include_bytes!("../data/train-labels-idx1-ubyte.gz"),
    include_bytes!("../data/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../data/t10k-labels-idx1-ubyte.gz"),
];

/// Digits to learn from, and digits to be tested on.
pub struct Data {
    train: Digits,
    test: Digits,
    hold_out: usize,
}

impl Data {
    /// What to learn from.
    pub fn train(&self) -> View<'_> {
        let view = self.train.view();
        view.split(view.count() - self.hold_out).0
    }

    /// What to be tested on.
    pub fn test(&self) -> View<'_> {
        if self.hold_out == 0 {
            return self.test.view();
        }
        let view = self.train.view();
        view.split(view.count() - self.hold_out).1
    }

    /// With the last `count` training digits for the test, and the test set left alone.
    pub fn holding_out(mut self, count: usize) -> Result<Self> {
        let all = self.train.view().count();
        ensure!(count < all, "{count} held-out digits leave none of the {all} training digits");
        self.hold_out = count;
        Ok(self)
    }
}

/// The full set in `dir`, or the built-in subset.
pub fn load(dir: Option<&Path>, hold_out: Option<NonZeroUsize>) -> Result<Data> {
    let [a, b, c, d] = match dir {
        Some(dir) => read_folder(dir)?,
        None => read_subset()?,
    };
    let data = Data { train: Digits::parse(a, b)?, test: Digits::parse(c, d)?, hold_out: 0 };
    data.holding_out(hold_out.map_or(0, NonZeroUsize::get)).context("--hold-out")
}

/// The subset that is part of the program.
pub fn read_subset() -> Result<[File; 4]> {
    let mut files = Vec::new();
    for (name, bytes) in NAMES.iter().zip(SUBSET) {
        files.push(File {
            name: format!("built-in {name}"),
            bytes: Cow::Owned(decompress(name, bytes)?),
        });
    }
    Ok(files.try_into().expect("four names"))
}

/// The four files of a folder, each plain or with the ending `.gz`.
pub fn read_folder(dir: &Path) -> Result<[File; 4]> {
    let mut files = Vec::new();
    for name in NAMES {
        let plain = dir.join(name);
        let compressed = dir.join(format!("{name}.gz"));
        let (path, bytes) = match (read(&plain)?, read(&compressed)?) {
            (Some(bytes), _) => (plain, bytes),
            (None, Some(bytes)) => {
                let bytes = decompress(&compressed.display().to_string(), &bytes)?;
                (compressed, bytes)
            }
            (None, None) => bail!(
                "{}: no such file, nor with .gz; `cargo demo fetch {}` gets the data set",
                plain.display(),
                dir.display()
            ),
        };
        files.push(File { name: path.display().to_string(), bytes: Cow::Owned(bytes) });
    }
    Ok(files.try_into().expect("four names"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn decompress(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .with_context(|| format!("{name}: truncated, or not compressed with gzip"))?;
    Ok(plain)
}
