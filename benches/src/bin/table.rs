//! The README's table: gradstep's time over that of the naive C loop, and of the bandwidth loop.
//!
//! Ratios within one run, on one thread. Each round times the contestants directly after one
//! another, in an order that rotates, so that what else the machine does meets them alike; a ratio
//! is the median over the rounds.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use gradstep::Backend;
use gradstep_benches::{Alignment, Buffers, Case, Contestant, cases, provenance};

/// Prints the table of ratios: gradstep's time over naive C's, and over the bandwidth loop's.
#[derive(Parser)]
struct Options {
    /// The instruction sets, by name; by default the widest that this machine has.
    #[arg(long, value_delimiter = ',', value_parser = backend)]
    backend: Vec<Backend>,
    /// The numbers of parameters.
    #[arg(long, value_delimiter = ',', default_values_t = [4_000, 400_000, 40_000_000])]
    sizes: Vec<usize>,
    /// Only the rules whose name contains this.
    #[arg(long, default_value = "")]
    rule: String,
    /// How many bytes behind a cache line the buffers start: 0 as in tensor libraries, 16 as from
    /// `malloc`.
    #[arg(long, default_value = "0")]
    offset: Alignment,
    /// Seconds for each rule and size.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Add each contestant's shortest time, in nanoseconds per thousand parameters.
    #[arg(long)]
    times: bool,
    /// Write the output to benches/record/ as well, under the name of the processor.
    #[arg(long)]
    record: bool,
}

fn backend(name: &str) -> Result<Backend, String> {
    Backend::ALL
        .iter()
        .copied()
        .find(|backend| backend.name() == name && backend.is_available())
        .ok_or_else(|| "no such instruction set here".to_owned())
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if options.backend.is_empty() {
        options.backend.push(Backend::current());
    }
    let mut output = String::new();
    let mut print = |text: String| {
        print!("{text}");
        output += &text;
    };

    print(provenance().map(|line| format!("- {line}\n")).concat());
    for &backend in &options.backend {
        backend.force().context("checked by the command line")?;
        print(format!("\n{} backend, time over that of: naive C, bandwidth\n\n", backend.name()));
        print(header(&options.sizes));
        for case in cases() {
            if case.name.contains(&options.rule) {
                case.check();
                print(row(&case, &options));
            }
        }
    }

    if options.record {
        record(&provenance()[0], &output)?;
    }
    Ok(())
}

fn header(sizes: &[usize]) -> String {
    let mut header = "| rule | bytes per parameter |".to_owned();
    let mut rule = "|---|--:|".to_owned();
    for size in sizes {
        let size = match size {
            size if size % 1_000_000 == 0 => format!("{} M", size / 1_000_000),
            size if size % 1_000 == 0 => format!("{} k", size / 1_000),
            size => size.to_string(),
        };
        write!(header, " {size} |").expect("a String takes everything");
        rule += "--:|";
    }
    format!("{header}\n{rule}\n")
}

fn row(case: &Case, options: &Options) -> String {
    let mut row = format!("| {} | {} |", case.name, case.bytes());
    for &size in &options.sizes {
        let rounds = rounds(case, &mut case.buffers(size, options.offset), options.seconds);
        let [naive, bandwidth] = [1, 2]
            .map(|other| median(rounds.iter().map(|times| times[0] / times[other]).collect()));
        write!(row, " {naive:.2}, {bandwidth:.2}").expect("a String takes everything");
        if options.times {
            let shortest = [0, 1, 2].map(|contestant| {
                rounds.iter().map(|times| times[contestant]).fold(f64::INFINITY, f64::min)
            });
            let [ours, naive, bandwidth] = shortest.map(|time| time * 1e12 / size as f64);
            write!(row, " ({ours:.0}, {naive:.0}, {bandwidth:.0})")
                .expect("a String takes everything");
        }
        row += " |";
    }
    row + "\n"
}

/// Seconds per step of each contestant, in each round.
fn rounds(case: &Case, buffers: &mut Buffers, seconds: f64) -> Vec<[f64; 3]> {
    // Long enough for the clock, short enough to fall between two interruptions.
    const SAMPLE: Duration = Duration::from_micros(50);
    const FEWEST: usize = 7;

    // The first round warms up, and is not counted.
    let mut repeat = 1;
    for contestant in Contestant::ALL {
        time(case, contestant, buffers, 1);
    }
    while time(case, Contestant::Gradstep, buffers, repeat) * (repeat as f64) < SAMPLE.as_secs_f64()
    {
        repeat *= 2;
    }

    let mut rounds = Vec::new();
    let start = Instant::now();
    while rounds.len() < FEWEST || start.elapsed().as_secs_f64() < seconds {
        let mut times = [0.0; 3];
        for turn in 0..3 {
            let contestant = (turn + rounds.len()) % 3;
            times[contestant] = time(case, Contestant::ALL[contestant], buffers, repeat);
        }
        rounds.push(times);
    }
    rounds
}

/// Seconds per step.
fn time(case: &Case, contestant: Contestant, buffers: &mut Buffers, repeat: u64) -> f64 {
    let start = Instant::now();
    case.run(contestant, buffers, repeat);
    start.elapsed().as_secs_f64() / repeat as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Writes the output to `record/<processor>.md`.
fn record(cpu: &str, output: &str) -> Result<()> {
    let words = cpu.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/record"));
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name).with_extension("md"), output).context("benches/record")
}
