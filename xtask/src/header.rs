//! `include/gradstep.h`, from `src/capi`.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::root;

/// Writes the header, or with `check` fails if the committed one differs.
pub(crate) fn run(check: bool) -> Result<()> {
    let path = root().join("include/gradstep.h");
    let header = generate()?;
    if check {
        let committed = fs::read_to_string(&path).context("include/gradstep.h")?;
        ensure!(
            committed == header,
            "include/gradstep.h is not what src/capi says: run `cargo xtask header` and commit it"
        );
        println!("header: up to date");
    } else {
        fs::write(&path, header).context("include/gradstep.h")?;
        println!("header: wrote include/gradstep.h");
    }
    Ok(())
}

fn generate() -> Result<String> {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml"))
        .map_err(|error| anyhow::anyhow!("cbindgen.toml: {error}"))?;
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root().join("src/capi/mod.rs"))
        .generate()
        .context("cbindgen cannot read src/capi")?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    Ok(String::from_utf8(header)?)
}
