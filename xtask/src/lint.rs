//! Formatting, clippy and rustdoc.

use xshell::cmd;

use crate::suite::{DEBUG, RELEASE, Step};
use crate::target_dir;

/// A package of its own, as it is built for microcontrollers.
const FIRMWARE: &str = "c_examples/firmware/rust/Cargo.toml";

pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("rustfmt", |sh| {
            cmd!(sh, "cargo fmt --all --check").run()?;
            cmd!(sh, "cargo fmt --check --manifest-path {FIRMWARE}").run()?;
            Ok(cmd!(sh, "cargo fmt --manifest-path fuzz/Cargo.toml --check").run()?)
        })
        .beside_all(),
        Step::new("clippy: everything", |sh| {
            let clippy = cmd!(sh, "cargo clippy --workspace --all-targets --all-features");
            Ok(clippy.args(["--", "-D", "warnings"]).run()?)
        })
        .in_lane(DEBUG),
        Step::new("clippy: the firmware example", |sh| {
            let clippy = cmd!(sh, "cargo clippy --manifest-path {FIRMWARE} --all-targets");
            let out = target_dir().join("firmware/rust");
            Ok(clippy.args(["--", "-D", "warnings"]).env("CARGO_TARGET_DIR", out).run()?)
        })
        .beside_all(),
        // The C ABI's panic handler is compiled only without `std`, and never for a test.
        Step::new("clippy: without std", |sh| {
            for features in ["", "capi", "capi,panic-handler"] {
                let clippy = cmd!(sh, "cargo clippy -p gradstep --lib --no-default-features");
                let profile = ["--profile", "release"];
                clippy
                    .args(profile)
                    .args(["--features", features, "--", "-D", "warnings"])
                    .run()?;
            }
            Ok(())
        })
        .in_lane(RELEASE),
        Step::new("clippy: fuzz", |sh| {
            let clippy = cmd!(sh, "cargo clippy --manifest-path fuzz/Cargo.toml --all-targets");
            let clippy = clippy.env("CARGO_TARGET_DIR", target_dir().join("fuzz"));
            Ok(clippy.args(["--no-default-features", "--", "-D", "warnings"]).run()?)
        })
        .beside_all(),
        Step::new("rustdoc", |sh| {
            let doc = cmd!(sh, "cargo doc --workspace --no-deps --all-features");
            Ok(doc.env("RUSTDOCFLAGS", "-D warnings").run()?)
        })
        .in_lane(DEBUG),
    ]
}
