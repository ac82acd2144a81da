//! Bad data: the error names the file and what is wrong with it.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use mnist::data;
use mnist::ffi::{Digits, File};

fn images(magic: u32, count: u32, rows: u32, columns: u32, bytes: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [magic, count, rows, columns] {
        file.extend(word.to_be_bytes());
    }
    file.resize(16 + bytes, 7);
    file
}

fn labels(magic: u32, count: u32, labels: &[u8]) -> Vec<u8> {
    [&magic.to_be_bytes(), &count.to_be_bytes(), labels].concat()
}

fn parse(images: Vec<u8>, labels: Vec<u8>) -> Result<Digits, String> {
    let file = |name: &str, bytes| File { name: name.to_owned(), bytes: Cow::Owned(bytes) };
    Digits::parse(file("the-images", images), file("the-labels", labels))
        .map_err(|error| error.to_string())
}

const SIZE: usize = 28 * 28;

#[test]
fn good_files_are_taken() {
    let digits = parse(images(0x803, 2, 28, 28, 2 * SIZE), labels(0x801, 2, &[0, 9])).unwrap();
    assert_eq!(digits.view().count(), 2);
    let (first, rest) = digits.view().split(2);
    assert_eq!((first.count(), rest.count()), (2, 0));
}

#[test]
fn bad_files_are_named() {
    let good_images = || images(0x803, 2, 28, 28, 2 * SIZE);
    let good_labels = || labels(0x801, 2, &[0, 9]);
    let cases = [
        (
            Vec::new(),
            good_labels(),
            "the-images: truncated: 0 bytes are less than the 16 of an IDX header",
        ),
        (good_images()[..15].to_vec(), good_labels(), "the-images: truncated: 15 bytes"),
        (
            good_images(),
            good_labels()[..7].to_vec(),
            "the-labels: truncated: 7 bytes are less than the 8",
        ),
        (good_labels(), good_labels(), "the-images: truncated: 10 bytes"),
        (
            b"PK\x03\x04 a zip archive, not digits".to_vec(),
            good_labels(),
            "the-images: not an IDX file of images",
        ),
        (
            good_images(),
            good_images(),
            "the-labels: not an IDX file of labels: it starts with 0x00000803",
        ),
        (
            images(0x803, 2, 32, 32, 2048),
            good_labels(),
            "the-images: images of 32 x 32 pixels, expected 28 x 28",
        ),
        (
            images(0x803, 2, 28, 28, 2 * SIZE - 1),
            good_labels(),
            "the-images: truncated: its header promises 1584",
        ),
        (
            images(0x803, 2, 28, 28, 2 * SIZE + 1),
            good_labels(),
            "the-images: too long: its header promises 1584",
        ),
        (
            images(0x803, u32::MAX, 28, 28, SIZE),
            good_labels(),
            "the-images: truncated: its header promises 33672",
        ),
        (good_images(), labels(0x801, 2, &[0]), "the-labels: truncated"),
        (good_images(), labels(0x801, 2, &[0, 1, 2]), "the-labels: too long"),
        (
            good_images(),
            labels(0x801, 3, &[0, 1, 2]),
            "the-labels: 3 labels for the 2 images of the-images",
        ),
        (good_images(), labels(0x801, 2, &[0, 10]), "the-labels: label 1 is 10, expected 0 to 9"),
        (images(0x803, 0, 28, 28, 0), labels(0x801, 0, &[]), "the-images: contains no images"),
    ];
    for (index, (images, labels, expected)) in cases.into_iter().enumerate() {
        let error = parse(images, labels).err().unwrap_or_else(|| panic!("case {index}: no error"));
        assert!(error.starts_with(expected), "case {index}: {error}");
    }
}

fn empty_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn missing_and_damaged_files_are_named() {
    let folder = empty_folder("missing");
    let error = |folder| format!("{:#}", data::load(Some(folder), None).err().unwrap());
    assert!(
        error(&folder).contains("missing/train-images-idx3-ubyte: no such file"),
        "{}",
        error(&folder)
    );

    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data");
    for name in data::NAMES {
        let bytes = fs::read(source.join(format!("{name}.gz"))).unwrap();
        fs::write(folder.join(format!("{name}.gz")), bytes).unwrap();
    }
    let data = data::load(Some(&folder), None).unwrap();
    assert_eq!((data.train().count(), data.test().count()), (10_000, 2_000));

    let path = folder.join("t10k-labels-idx1-ubyte.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(&folder).contains("t10k-labels-idx1-ubyte.gz: truncated"), "{}", error(&folder));
    fs::remove_file(&path).unwrap();
    assert!(error(&folder).contains("t10k-labels-idx1-ubyte: no such file"), "{}", error(&folder));
}

#[test]
fn held_out_digits_come_from_the_training_set() {
    let data = data::load(None, Some(1_500.try_into().unwrap())).unwrap();
    assert_eq!((data.train().count(), data.test().count()), (8_500, 1_500));
    assert!(data::load(None, Some(10_000.try_into().unwrap())).is_err());
}
