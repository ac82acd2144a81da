//! The firmware examples' digits, c_examples/firmware/data, from the demo's: smaller, and fewer.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;

use crate::root;

/// As in c_examples/firmware/c/digits.h.
const TRAINING: usize = 2000;
const TEST: usize = 500;

/// The demo's digits: 28 x 28 bytes each, 0 for white and 255 for black.
const SIDE: usize = 28;
/// What is left of them: a border of 2 is cut off, and 3 x 3 pixels become one.
const SMALL: usize = 8;
const BORDER: usize = 2;
const BLOCK: usize = 3;

/// The label, then two pixels of 4 bits in a byte, the left one in the lower bits.
type Digit = [u8; 1 + SMALL * SMALL / 2];

/// Writes the files, or with `check` fails if a committed one differs.
pub(crate) fn run(check: bool) -> Result<()> {
    let [training, test] = [read("train", TRAINING)?, read("t10k", TEST)?];
    let bytes = [training.as_flattened(), test.as_flattened()].concat();
    let c = source(&training, &test)?.into_bytes();
    for (name, content) in [("digits.bin", bytes), ("digits.c", c)] {
        let path = folder().join(name);
        if check {
            let committed = fs::read(&path).with_context(|| path.display().to_string())?;
            ensure!(
                committed == content,
                "{} is not what xtask/src/digits.rs makes: run `cargo xtask digits` and commit it",
                path.display()
            );
            println!("{name}: up to date");
        } else {
            fs::write(&path, content).with_context(|| path.display().to_string())?;
            println!("{name}: written");
        }
    }
    Ok(())
}

fn folder() -> PathBuf {
    root().join("c_examples/firmware/data")
}

/// `count` digits of the demo's, evenly spread over them.
fn read(set: &str, count: usize) -> Result<Vec<Digit>> {
    let images = unpack(&format!("{set}-images-idx3-ubyte"), 0x803, 16)?;
    let labels = unpack(&format!("{set}-labels-idx1-ubyte"), 0x801, 8)?;
    let (images, rest) = images.as_chunks::<{ SIDE * SIDE }>();
    ensure!(rest.is_empty() && images.len() == labels.len(), "{set}: not a label to each image");
    ensure!(images.len().is_multiple_of(count), "{set}: {count} do not spread evenly");
    let spread = images.iter().zip(labels).step_by(images.len() / count);
    Ok(spread.map(|(image, label)| shrink(image, label)).collect())
}

/// An IDX file of the demo, without its header.
fn unpack(name: &str, magic: u32, header: usize) -> Result<Vec<u8>> {
    let path = root().join(format!("c_examples/mnist/data/{name}.gz"));
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    ensure!(bytes.len() > header && bytes.starts_with(&magic.to_be_bytes()), "{name}: not IDX");
    Ok(bytes.split_off(header))
}

fn shrink(image: &[u8; SIDE * SIDE], label: u8) -> Digit {
    let mut digit = [0; 1 + SMALL * SMALL / 2];
    digit[0] = label;
    for pixel in 0..SMALL * SMALL {
        let (top, left) = (BORDER + pixel / SMALL * BLOCK, BORDER + pixel % SMALL * BLOCK);
        let row = |y: usize| &image[y * SIDE + left..][..BLOCK];
        let ink: u32 = (top..top + BLOCK).flat_map(row).copied().map(u32::from).sum();
        let most = 255 * (BLOCK * BLOCK) as u32;
        let level = (15 * ink + most / 2) / most;
        digit[1 + pixel / 2] |= (level as u8) << (4 * (pixel % 2));
    }
    digit
}

fn source(training: &[Digit], test: &[Digit]) -> Result<String> {
    let mut text = String::from(
        "/* Digits of MNIST (Y. LeCun, C. Cortes, C. Burges), 8 x 8. Made by `cargo xtask digits`. */\n\
         #include \"../c/digits.h\"\n",
    );
    for (name, digits) in [("training", training), ("test", test)] {
        let count = format!("{}_COUNT", name.to_uppercase());
        let number = digits.len();
        writeln!(text, "\n_Static_assert({count} == {number}, \"{number} follow\");")?;
        writeln!(text, "const digit {name}_digits[{count}] = {{")?;
        for [label, pixels @ ..] in digits {
            write!(text, "    {{{label}, {{")?;
            for (i, pair) in pixels.iter().enumerate() {
                write!(text, "{}{pair}", if i == 0 { "" } else { "," })?;
            }
            writeln!(text, "}}}},")?;
        }
        writeln!(text, "}};")?;
    }
    Ok(text)
}
