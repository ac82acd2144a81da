//! The experiments of the three articles that this project started from, made with gradstep's kernels:
//!
//! 1. Mike Christopher, "Deep Learning Optimizers";
//! 2. Sanket Doshi, "Various Optimization Algorithms for Training Neural Network";
//! 3. David Mack, "How to pick the best learning rate for your machine learning project", whose measurements are in the
//!    folder `published` (from <https://github.com/Octavian-ai/learning-rates>, public domain).
//!
//! Each has two halves. `run` computes, and writes CSV files; `show` reads those files, draws the pictures beside them,
//! and says what was asked, what the article said, what was measured, and which claims hold. So pictures and claims are
//! always those of the files.

pub mod curves;
pub mod gdvariants;
pub mod goal;
pub mod grid;
pub mod kernel;
pub mod learner;
pub mod lrsize;
pub mod pbt;
pub mod rates;
pub mod report;
pub mod size;
pub mod surface;
pub mod sweep;
pub mod trend;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::lab::{self, Lab};
use crate::output;

/// The command line of an experiment that has options of its own.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Options<P: Args> {
    /// What all experiments have.
    #[command(flatten)]
    pub lab: lab::Options,
    /// What this one has.
    #[command(flatten)]
    pub own: P,
}

/// One of the experiments.
pub struct Experiment {
    /// The subcommand.
    pub name: &'static str,
    /// Without it, the experiment has not been run.
    pub csv: &'static str,
    /// With nothing but the common options.
    pub run: fn(&Lab) -> Result<()>,
    /// From the CSV files of a folder.
    pub show: fn(&Path) -> Result<Section>,
}

/// In the order of the report.
pub const ALL: [Experiment; 8] = [
    Experiment { name: "surface", csv: "surface.csv", run: surface::run, show: surface::show },
    Experiment {
        name: "gdvariants",
        csv: "gdvariants.csv",
        run: gdvariants::run,
        show: gdvariants::show,
    },
    Experiment { name: "sweep", csv: "sweep.csv", run: sweep::run_all, show: sweep::show },
    Experiment { name: "curves", csv: "curves.csv", run: curves::run, show: curves::show },
    Experiment { name: "size", csv: "size.csv", run: size::run_all, show: size::show },
    Experiment { name: "lrsize", csv: "lrsize.csv", run: lrsize::run_all, show: lrsize::show },
    Experiment { name: "grid", csv: "grid.csv", run: grid::run_all, show: grid::show },
    Experiment { name: "pbt", csv: "pbt.csv", run: pbt::run_all, show: pbt::show },
];

/// Runs one, and prints what came out.
pub fn perform(
    options: &lab::Options,
    run: impl FnOnce(&Lab) -> Result<()>,
    show: fn(&Path) -> Result<Section>,
) -> Result<()> {
    lab::stop_on_ctrl_c()?;
    run(&Lab::new(options.clone())?)?;
    let section = show(&options.out())?;
    output::say(format_args!("\n{}", section.text()));
    let stems: Vec<_> = section.pictures.iter().map(|picture| picture.stem).collect();
    output::say(format_args!("wrote {} to {}", stems.join(", "), options.out().display()));
    Ok(())
}

/// Runs every one, and writes the report.
pub fn perform_all(options: &lab::Options) -> Result<()> {
    lab::stop_on_ctrl_c()?;
    let lab = Lab::new(options.clone())?;
    let start = Instant::now();
    for experiment in &ALL {
        let begin = Instant::now();
        (experiment.run)(&lab)?;
        output::say(format_args!("{}: {:.0} s", experiment.name, begin.elapsed().as_secs_f64()));
    }
    drop(lab);
    perform_report(&options.out(), None)?;
    output::say(format_args!("{:.0} s in all", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Makes the report of what a folder has, and a gallery if it is told where.
pub fn perform_report(dir: &Path, gallery: Option<&Path>) -> Result<()> {
    let sections = report::write(dir)?;
    if let Some(gallery) = gallery {
        report::gallery(dir, gallery, &sections)?;
    }
    for (_, section) in &sections {
        output::say(format_args!("\n{}", section.text().trim_end()));
    }
    output::say(format_args!("\n{}", report::summary(&sections)));
    output::say(format_args!("wrote {}", dir.join("report.html").display()));
    Ok(())
}

/// A picture in the folder of the results.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Without `.svg` and `.png`.
    pub stem: &'static str,
    /// What it shows, for those who see it and those who do not.
    pub caption: String,
}

/// A claim, and what became of it.
#[derive(Clone, Debug)]
pub struct Check {
    /// As a statement that holds or does not.
    pub claim: String,
    /// The figures.
    pub measured: String,
    /// None: shown, not claimed.
    pub holds: Option<bool>,
}

impl Check {
    /// A claim that must hold.
    pub fn new(claim: impl Into<String>, measured: impl Into<String>, holds: bool) -> Self {
        Self { claim: claim.into(), measured: measured.into(), holds: Some(holds) }
    }

    /// A figure that is of interest beside the claims.
    pub fn figure(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { claim: what.into(), measured: measured.into(), holds: None }
    }
}

/// Words and figures in rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Above the columns.
    pub header: Vec<String>,
    /// As long as the header each.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows.
    pub fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// With its columns under each other.
    fn text(&self) -> String {
        let rows = || std::iter::once(&self.header).chain(&self.rows);
        let width = |column: usize| {
            rows().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<_> =
            (0..self.header.len()).map(|column| width(column).unwrap_or(0)).collect();
        rows()
            .map(|row| {
                let cells: Vec<_> = row
                    .iter()
                    .zip(&widths)
                    .enumerate()
                    .map(|(index, (cell, &width))| match index {
                        0 => format!("{cell:<width$}"),
                        _ => format!("{cell:>width$}"),
                    })
                    .collect();
                cells.join("  ").trim_end().to_owned() + "\n"
            })
            .collect()
    }
}

/// An experiment, as the terminal and the report show it.
#[derive(Clone, Debug)]
pub struct Section {
    /// A heading.
    pub title: &'static str,
    /// What the experiment asks.
    pub question: String,
    /// Made by `show`.
    pub pictures: Vec<Picture>,
    /// What the articles say, and which one.
    pub article: String,
    /// What was measured, in a few sentences.
    pub measured: String,
    /// And in figures.
    pub table: Table,
    /// Claims, with their figures.
    pub checks: Vec<Check>,
}

impl Section {
    /// For the terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.title, self.table.text());
        text += &format!("{}\n\n", self.measured);
        for check in &self.checks {
            let mark = match check.holds {
                None => "    ",
                Some(true) => " ok ",
                Some(false) => " NO ",
            };
            text += &format!("{mark} {}: {}\n", check.claim, check.measured);
        }
        text
    }
}
