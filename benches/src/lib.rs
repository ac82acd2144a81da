//! What is measured: each rule of `gradstep`, the same rule as a naive C loop, and a C loop that
//! only moves the same memory.
//!
//! All three work on the same buffers, so that they see the same pages, caches and alignment. They
//! can: the two updates agree, and the third changes nothing. A size is timed only after
//! [`Case::check`] has compared the results.

mod buffers;
mod cases;
mod naive;

pub use buffers::{Alignment, Buffers};
pub use cases::{Case, Contestant, Probe, T, cases};

/// The machine and the compilers, a line each.
pub fn provenance() -> [String; 3] {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            let field = |name| {
                info.lines()
                    .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
                    .map(|value| value.trim().to_owned())
            };
            let model = field("model name")?;
            // In a virtual machine the name may say little; the two numbers say the generation.
            match (field("cpu family"), field("model\t")) {
                (Some(family), Some(number)) => {
                    Some(format!("{model} (family {family}, model {number})"))
                }
                _ => Some(model),
            }
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    [
        cpu,
        env!("RUSTC_VERSION").to_owned(),
        concat!(env!("CC_VERSION"), ", ", env!("CC_FLAGS")).to_owned(),
    ]
}
