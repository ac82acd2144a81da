//! See the library of the same name.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use mnist::cli::{Arguments, Command, Train};
use mnist::experiments::{
    curves, gdvariants, grid, lrsize, pbt, perform, perform_all, perform_report, size, surface,
    sweep,
};
use mnist::lab::Interrupted;
use mnist::{data, fetch, ffi, output, plot, report, run};

fn main() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{error}");
            ExitCode::from(130) // as a shell reports it
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<()> {
    match arguments.command {
        None => train(&arguments.train),
        Some(Command::Fetch { dir }) => fetch::fetch(&dir),
        Some(Command::All(options)) => perform_all(&options),
        Some(Command::Report { dir, gallery }) => perform_report(&dir, gallery.as_deref()),
        Some(Command::Gdvariants(options)) => perform(&options, gdvariants::run, gdvariants::show),
        Some(Command::Curves(options)) => perform(&options, curves::run, curves::show),
        Some(Command::Surface(options)) => perform(&options, surface::run, surface::show),
        Some(Command::Sweep(options)) => {
            perform(&options.lab, |lab| sweep::run(lab, &options.own), sweep::show)
        }
        Some(Command::Size(options)) => {
            perform(&options.lab, |lab| size::run(lab, &options.own), size::show)
        }
        Some(Command::Lrsize(options)) => {
            perform(&options.lab, |lab| lrsize::run(lab, &options.own), lrsize::show)
        }
        Some(Command::Grid(options)) => {
            perform(&options.lab, |lab| grid::run(lab, options.own), grid::show)
        }
        Some(Command::Pbt(options)) => {
            perform(&options.lab, |lab| pbt::run(lab, options.own), pbt::show)
        }
        Some(Command::Subset { data, dir }) => fetch::subset(&data, &dir),
    }
}

fn train(options: &Train) -> Result<()> {
    if let Some(backend) = options.backend {
        ffi::force_backend(backend.name())?;
    }
    output::prepare(&options.out)?;
    let data = data::load(options.data.as_deref(), options.hold_out)?;
    let runs = run::run_all(options, &data)?;
    output::say(format_args!("\n{}", report::table(&runs).trim_end()));
    output::say(format_args!(""));
    let written =
        [report::write_csv(&options.out, &runs)?, plot::curves::write(&options.out, &runs)?]
            .concat();
    for path in written {
        output::say(format_args!("wrote {}", path.display()));
    }
    Ok(())
}
