//! What `cargo xtask budget` counts the instructions of, under Callgrind.
//!
//! Callgrind is told to count in [`measured`] alone, and to write down what it has counted whenever that
//! function ends. This program prints what each of these was: instruction set, rule, what is measured.

use std::hint::black_box;

use anyhow::{Context, Result};
use gradstep::Backend;
use gradstep_benches::{Alignment, cases};

/// A tensor of a few cache lines, and not whole registers.
const SMALL: usize = 340;

/// The difference of these two is of the loop alone, whole blocks of it.
const LONG: [usize; 2] = [2048, 4096];

fn main() -> Result<()> {
    for name in std::env::args().skip(1) {
        let backend = Backend::ALL.iter().find(|backend| backend.name() == name);
        let backend = backend.with_context(|| format!("{name} is no instruction set"))?;
        backend.force().with_context(|| format!("{name} is not available here"))?;
        count(&name);
    }
    Ok(())
}

fn count(backend: &str) {
    for case in cases() {
        let rule = case.name.replace(' ', "_");
        let count = |what: &str, work: &mut dyn FnMut()| {
            measured(work);
            println!("{backend} {rule} {what}");
        };
        case.probe_at(&mut |work| count("at", work));
        for len in [0, 1, SMALL, LONG[0], LONG[1]] {
            let mut buffers = case.buffers(len, Alignment::CACHE_LINE);
            case.probe_apply(&mut buffers, &mut |work| count(&len.to_string(), work));
        }
        let mut list: Vec<_> =
            (0..10).map(|_| case.buffers(SMALL, Alignment::CACHE_LINE)).collect();
        case.probe_apply_list(&mut list, &mut |work| count("list", work));
    }
}

/// What is counted. Its name is in the command line of Callgrind.
#[unsafe(export_name = "gradstep_measured")]
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    black_box(work)();
}
