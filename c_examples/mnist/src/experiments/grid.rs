//! Grid search: which learning rate is the best on digits that were not trained on, and how soon does it show?

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::learner::{Learner, failure, finite};
use super::rates::{grid, rate};
use super::{Check, Picture, Section, Table};
use crate::lab::{Job, Lab, read_csv};
use crate::optimizer::Optimizer;
use crate::plot::{self, Axis, Entry, Figure, Mark, PALETTE, Panel, Scale, Series, ordered_color};
use crate::search;

/// The options that grid search and population based training share.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
pub struct Search {
    /// Whose learning rate to search
    #[arg(short, long, value_enum, default_value_t = Optimizer::Adam, value_name = "NAME")]
    pub optimizer: Optimizer,
    /// Repeat the search with so many seeds, from --seed on [default: 3, with --quick 1]
    #[arg(long, value_name = "N")]
    pub seeds: Option<NonZeroU64>,
}

impl Default for Search {
    fn default() -> Self {
        Self { optimizer: Optimizer::Adam, seeds: None }
    }
}

impl Search {
    /// The seeds of the initial weights, of the order of the digits, and of the search.
    pub fn seeds(&self, lab: &Lab) -> Result<Vec<u64>> {
        let default = if lab.options().quick { 1 } else { 3 };
        let count = self.seeds.map_or(default, NonZeroU64::get);
        let first = lab.options().seed;
        let last = first.checked_add(count - 1);
        let last =
            last.with_context(|| format!("--seed {first} leaves no room for {count} seeds"))?;
        Ok((first..=last).collect())
    }
}

/// A row of `grid.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub opt: String,
    pub seed: u64,
    pub k: i32,
    pub lr: f64,
    pub step: u64,
    /// Validation accuracy; none where the loss was no number.
    pub val: Option<f64>,
}

/// With Adam.
pub fn run_all(lab: &Lab) -> Result<()> {
    run(lab, Search::default())
}

/// With any.
pub fn run(lab: &Lab, search: Search) -> Result<()> {
    lab.write_csv("grid.csv", measure(lab, search)?)
}

/// The runs, by seed and rate.
pub fn measure(lab: &Lab, search: Search) -> Result<Vec<Row>> {
    let quick = lab.options().quick;
    let checkpoints: [u64; 3] = if quick { [100, 200, 400] } else { [250, 500, 1_000] };
    let rates = || grid(if quick { 2 } else { 1 });
    let jobs: Vec<Job<(u64, i32)>> = search
        .seeds(lab)?
        .into_iter()
        .flat_map(|seed| rates().map(move |k| (seed, k)))
        .map(|(seed, k)| {
            let optimizer = search.optimizer.settings(lab.options().preset, rate(k));
            let settings = crate::ffi::Settings { seed, ..lab.settings(optimizer) };
            let key = format!("{} validated at {checkpoints:?}", lab.describe(&settings));
            Job { key, steps: checkpoints[2], task: (seed, k) }
        })
        .collect();
    let scores: Vec<Vec<Option<f64>>> = lab.run("grid", &jobs, |&(seed, k), ticket| {
        let mut learner = Learner::new(lab, search.optimizer, seed, rate(k), ticket)?;
        let stop = || ticket.advance(0).is_err();
        let scores = search::grid::train(&mut learner, &[rate(k)], &checkpoints, stop);
        Ok(scores.map_err(failure)?.into_iter().map(finite).collect())
    })?;
    let rows = jobs.iter().zip(scores).flat_map(|(job, scores)| {
        let (seed, k) = job.task;
        checkpoints.into_iter().zip(scores).map(move |(step, val)| Row {
            opt: search.optimizer.key().to_owned(),
            seed,
            k,
            lr: rate(k),
            step,
            val,
        })
    });
    Ok(rows.collect())
}

/// The best rate of a seed after so many steps, and the steps that all its rates took together.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// The rate.
    pub lr: f64,
    /// Its validation accuracy.
    pub val: f64,
    /// Of all rates.
    pub total_steps: u64,
}

/// None if all diverged.
pub fn best(rows: &[Row], seed: u64, step: u64) -> Option<Best> {
    let rows = || rows.iter().filter(move |row| row.seed == seed && row.step == step);
    let best = rows().filter(|row| row.val.is_some()).min_by(|a, b| {
        let (a, b) = (a.val.unwrap_or(f64::NAN), b.val.unwrap_or(f64::NAN));
        search::compare(b, a) // of equal ones the first, the smallest rate
    })?;
    Some(Best { lr: best.lr, val: best.val?, total_steps: step * rows().count() as u64 })
}

/// All values of a column, each once, in ascending order.
pub fn distinct<R, T: Ord>(rows: &[R], column: impl Fn(&R) -> T) -> Vec<T> {
    let mut values: Vec<T> = rows.iter().map(column).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// As people write it.
pub fn optimizer_of(key: &str) -> Result<Optimizer> {
    let found = Optimizer::ALL.into_iter().find(|one| one.key() == key);
    found.with_context(|| format!("{key}: no such optimizer"))
}

/// From `grid.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("grid.csv"))?;
    let optimizer = optimizer_of(&rows[0].opt)?;
    let (seeds, steps) = (distinct(&rows, |row| row.seed), distinct(&rows, |row| row.step));
    draw(&rows, optimizer, &seeds, &steps).save(dir, "grid")?;

    let mut table = Table::new(["seed", "steps", "best rate", "validation accuracy"]);
    for &seed in &seeds {
        for &step in &steps {
            let best = best(&rows, seed, step);
            let cell = |of: fn(&Best) -> String| best.as_ref().map_or("—".to_owned(), of);
            table.rows.push(vec![
                seed.to_string(),
                plot::number(step as f64),
                cell(|best| plot::rounded(best.lr)),
                cell(|best| percent(best.val)),
            ]);
        }
    }
    let last = steps[steps.len() - 1];
    let total = last * rows.iter().filter(|row| row.step == last).count() as u64;
    let mut measured = format!(
        "{} at {} rates, {} steps in all.",
        optimizer.name(),
        distinct(&rows, |row| row.k).len(),
        plot::number(total as f64)
    );
    for &seed in &seeds {
        if let Some(best) = best(&rows, seed, last) {
            let (lr, val) = (plot::rounded(best.lr), percent(best.val));
            let _ = write!(measured, " With seed {seed} the best rate is {lr}: {val}.");
        }
    }
    Ok(Section {
        title: "Grid search",
        question: "Which learning rate is the best on digits that were held out, and how soon does it show?".into(),
        pictures: vec![Picture {
            stem: "grid",
            caption: "Validation accuracy at each rate, after a quarter, half and all of the steps: a line for the mean over \
                the seeds, dots for each seed; rings around each seed's best"
                .into(),
        }],
        article: "Mack: the right learning rate is crucial and hard to find, and is best left to automated methods; trying all \
            of a grid is the plainest of them."
            .into(),
        measured,
        table,
        checks: checks(&rows, &seeds, steps[0], last),
    })
}

fn checks(rows: &[Row], seeds: &[u64], first: u64, last: u64) -> Vec<Check> {
    let at_end = |seed: u64| rows.iter().filter(move |r| r.seed == seed && r.step == last);
    let list = |figure: &dyn Fn(u64) -> String| {
        let parts = seeds.iter().map(|&seed| format!("seed {seed}: {}", figure(seed)));
        parts.collect::<Vec<_>>().join(", ")
    };
    let above = |seed: u64, val: f64| at_end(seed).filter(|row| row.val >= Some(val)).count();
    let of = |seed: u64, count: usize| format!("{count} of {}", at_end(seed).count());
    let best_at_end = |seed: u64| best(rows, seed, last).map_or(f64::NAN, |best| best.val);
    // What it would have cost to choose at the first checkpoint.
    let loss = |seed: u64| {
        let early = best(rows, seed, first)?.lr;
        let chosen = at_end(seed).find(|row| row.lr == early)?;
        Some(format!("{:.2}", 100.0 * (best_at_end(seed) - chosen.val?)))
    };
    vec![
        Check::new(
            "Over half of the rates read fewer than 90 % of the digits, with every seed",
            list(&|seed| of(seed, at_end(seed).count() - above(seed, 0.9))),
            seeds.iter().all(|&seed| 2 * above(seed, 0.9) < at_end(seed).count()),
        ),
        Check::figure(
            "Rates within a point of the best",
            list(&|seed| of(seed, above(seed, best_at_end(seed) - 0.01))),
        ),
        Check::figure(
            format!(
                "Points lost by choosing the rate after {} steps instead of {}",
                plot::number(first as f64),
                plot::number(last as f64)
            ),
            list(&|seed| loss(seed).unwrap_or_else(|| "—".to_owned())),
        ),
    ]
}

/// Two digits after the point.
pub fn percent(accuracy: f64) -> String {
    if accuracy.is_nan() { "diverged".to_owned() } else { format!("{:.2} %", 100.0 * accuracy) }
}

/// Above all accuracies, and beside it the errors on a logarithmic scale, where the good rates differ.
fn draw(rows: &[Row], optimizer: Optimizer, seeds: &[u64], steps: &[u64]) -> Figure {
    let line = Mark::Line { width: 3 };
    let shade = |index: usize| ordered_color(index as f64 / (steps.len() - 1).max(1) as f64);
    let mut legend: Vec<Entry> = (steps.iter().enumerate())
        .map(|(index, step)| {
            let text = format!("after {} steps", plot::number(*step as f64));
            Entry::new(text, line, shade(index))
        })
        .collect();
    let ring = Mark::Rings { radius: 7 };
    legend.push(Entry::new("the best of a seed", ring, PALETTE[0]));
    let caption = match seeds.len() {
        1 => format!("{}, seed {}", optimizer.name(), seeds[0]),
        count => format!("{}; lines: means over {count} seeds, dots: each seed", optimizer.name()),
    };
    let mut figure = Figure::new((1300, 560), caption, legend);
    let axis = || Axis::new("learning rate", Scale::Log, 0.8e-6, 125.0);
    let errors = rows.iter().filter_map(|row| Some(100.0 * (1.0 - row.val?)));
    let mut accuracy = Panel::new(
        "Validation accuracy",
        axis(),
        Axis::new("digits read correctly (%)", Scale::Linear, 0.0, 100.0),
    );
    let mut error = Panel::new(
        "Validation error",
        axis(),
        Axis::holding("digits misread (%, logarithmic)", Scale::Log, errors),
    );
    for (index, &step) in steps.iter().enumerate() {
        let at = |row: &&Row| row.step == step;
        let dots = rows.iter().filter(at).filter_map(|row| Some((row.lr, row.val?)));
        let means = distinct(rows, |row| row.k).into_iter().filter_map(|k| {
            let values: Vec<f64> =
                rows.iter().filter(at).filter(|row| row.k == k).filter_map(|row| row.val).collect();
            (!values.is_empty())
                .then(|| (rate(k), values.iter().sum::<f64>() / values.len() as f64))
        });
        let (dots, means): (Vec<_>, Vec<_>) = (dots.collect(), means.collect());
        for (panel, value) in [
            (&mut accuracy, (|val| 100.0 * val) as fn(f64) -> f64),
            (&mut error, |val| 100.0 * (1.0 - val)),
        ] {
            let points = |of: &[(f64, f64)]| of.iter().map(|&(lr, val)| (lr, value(val))).collect();
            panel.series.push(Series::new(points(&means), line, shade(index)));
            let dots = Series::new(points(&dots), Mark::Dots { radius: 2 }, shade(index));
            panel.series.push(dots.faint(0.6));
        }
    }
    let last = steps.last().copied().unwrap_or(0);
    let best = seeds.iter().filter_map(|&seed| best(rows, seed, last));
    let rings = best.map(|best| (best.lr, 100.0 * (1.0 - best.val))).collect();
    error.series.push(Series::new(rings, ring, PALETTE[0]));
    figure.panels = vec![accuracy, error];
    figure
}
