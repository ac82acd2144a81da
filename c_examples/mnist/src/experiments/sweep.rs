//! How the time to learn depends on the learning rate: six optimizers at 48 rates, to 97 % training accuracy.
//!
//! Mack's main experiment. RMSProp is there twice: TensorFlow 1, which the article used, starts its average of squares
//! at 1, which holds its first steps back; others start it at 0.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use plotters::style::RGBColor;
use serde::{Deserialize, Serialize};

use super::goal::{Goal, Outcome, Status, train_until};
use super::rates::{grid, rate};
use super::{Check, Picture, Section, Table};
use crate::ffi::OptimizerSettings;
use crate::lab::{Job, Lab, parse_csv, read_csv};
use crate::optimizer::{Optimizer, Preset};
use crate::output;
use crate::plot::{self, Axis, Entry, Figure, GREY, Mark, Note, Panel, Scale, Series, Side};

/// As in the article.
const ACCURACY: f64 = 0.97;
/// Five epochs of 55,000 digits.
const CAP: u64 = 2_750;
/// The quick version takes every fourth rate.
const QUICK_STRIDE: usize = 4;
/// In his code.
const MACKS_MOMENTUM: f64 = 0.5;

/// A curve of the sweep.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// On the command line and in tables.
    pub key: &'static str,
    /// As people write it.
    pub name: &'static str,
    /// The rule.
    pub optimizer: Optimizer,
    /// Where its averages start, if it matters.
    pub initial: Option<f64>,
    /// In the published measurements.
    pub published: Option<&'static str>,
}

impl Contender {
    const fn new(
        optimizer: Optimizer,
        key: &'static str,
        name: &'static str,
        published: &'static str,
    ) -> Self {
        Self { key, name, optimizer, initial: None, published: Some(published) }
    }

    /// All of them; the article's six are those with published measurements.
    pub const ALL: [Contender; 7] = [
        Self::new(Optimizer::Sgd, "sgd", "SGD", "GD"),
        Self::new(Optimizer::Momentum, "momentum", "momentum", "Momentum"),
        Self::new(Optimizer::AdaGrad, "adagrad", "AdaGrad", "Adagrad"),
        Self {
            initial: Some(1.0),
            ..Self::new(Optimizer::RmsProp, "rmsprop1", "RMSProp from 1", "RMSProp")
        },
        Self {
            key: "rmsprop0",
            name: "RMSProp from 0",
            optimizer: Optimizer::RmsProp,
            initial: Some(0.0),
            published: None,
        },
        Self::new(Optimizer::AdaDelta, "adadelta", "AdaDelta", "Adadelta"),
        Self::new(Optimizer::Adam, "adam", "Adam", "Adam"),
    ];

    /// In the article.
    pub fn is_published(&self) -> bool {
        self.published.is_some()
    }

    /// By its key.
    pub fn named(key: &str) -> Option<Contender> {
        Self::ALL.into_iter().find(|one| one.key == key)
    }

    /// At a rate.
    pub fn settings(&self, preset: Preset, lr: f64) -> OptimizerSettings {
        let mut settings = self.optimizer.settings(preset, lr);
        if preset == Preset::Tf1 {
            settings.momentum = MACKS_MOMENTUM; // TensorFlow has no default
        }
        settings.initial = self.initial.unwrap_or(f64::NAN);
        settings
    }

    /// In every picture.
    pub fn color(&self) -> RGBColor {
        plot::color(self.optimizer)
    }

    /// The second RMSProp has dashes.
    pub fn line(&self, width: u32) -> Mark {
        if self.is_published() { Mark::Line { width } } else { Mark::Dashes { width } }
    }
}

fn contender(key: &str) -> Result<Contender, String> {
    Contender::named(key).ok_or_else(|| {
        let keys: Vec<_> = Contender::ALL.iter().map(|one| one.key).collect();
        format!("expected one of {}", keys.join(", "))
    })
}

/// A row of `sweep.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub opt: String,
    pub k: i32,
    pub lr: f64,
    pub status: Status,
    pub steps: u64,
    pub secs: f64,
    pub final_acc: f64,
}

/// A row of `envelope.csv`: over the optimizers that reached the accuracy at a rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EnvelopeRow {
    pub lr: f64,
    /// Steps of the fastest.
    pub min: u64,
    /// Steps of the slowest.
    pub max: u64,
    pub n_ok: usize,
}

/// What of the whole experiment is to be run.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Part {
    /// Only these: sgd, momentum, adagrad, rmsprop1 and rmsprop0 (averages start at 1 or 0), adadelta, adam
    #[arg(short, long, value_delimiter = ',', value_name = "NAME", value_parser = contender)]
    pub optimizer: Vec<Contender>,
    /// Only these of the 48 rates, by their k: the rate is 10^(k/6)
    #[arg(short, long, value_delimiter = ',', value_name = "K", allow_negative_numbers = true)]
    pub k: Vec<i32>,
    /// Steps after which a run that gets on too slowly is given up [default: 2750]
    #[arg(long, value_name = "N")]
    pub cap: Option<NonZeroU64>,
}

/// All of it.
pub fn run_all(lab: &Lab) -> Result<()> {
    run(lab, &Part::default())
}

/// Some of it.
pub fn run(lab: &Lab, part: &Part) -> Result<()> {
    let rows = measure(lab, part)?;
    lab.write_csv("envelope.csv", envelope(&rows))?;
    lab.write_csv("sweep.csv", rows)
}

/// All that the source has; says which it has not.
fn contenders_of(preset: Preset) -> Vec<Contender> {
    let (here, missing): (Vec<_>, Vec<_>) =
        Contender::ALL.into_iter().partition(|one| one.optimizer.is_in(preset));
    for one in missing {
        output::say(format_args!("{}: not in preset {}", one.name, preset.key()));
    }
    here
}

/// The runs, by optimizer and rate.
pub fn measure(lab: &Lab, part: &Part) -> Result<Vec<Row>> {
    let cap = part.cap.map_or(CAP, NonZeroU64::get);
    let goal = Goal { accuracy: ACCURACY, cap };
    let contenders = match part.optimizer.as_slice() {
        [] => contenders_of(lab.options().preset),
        some => some.to_vec(),
    };
    let ks = match part.k.as_slice() {
        [] => grid(if lab.options().quick { QUICK_STRIDE } else { 1 }).collect(),
        ks => ks.to_vec(),
    };
    let settings = |one: &Contender, k| lab.settings(one.settings(lab.options().preset, rate(k)));
    let jobs: Vec<Job<(Contender, i32)>> = contenders
        .iter()
        .flat_map(|&one| ks.iter().map(move |&k| (one, k)))
        .map(|(one, k)| {
            let key = format!("{} to {ACCURACY} in {cap}", lab.describe(&settings(&one, k)));
            Job { key, steps: cap, task: (one, k) }
        })
        .collect();
    let outcomes: Vec<Outcome> = lab.run("sweep", &jobs, |(one, k), ticket| {
        train_until(&mut lab.trainer(settings(one, *k), ticket)?, goal, ticket)
    })?;
    let row = |(job, outcome): (&Job<(Contender, i32)>, &Outcome)| Row {
        opt: job.task.0.key.to_owned(),
        k: job.task.1,
        lr: rate(job.task.1),
        status: outcome.status,
        steps: outcome.steps,
        secs: outcome.secs,
        final_acc: outcome.final_acc,
    };
    Ok(jobs.iter().zip(&outcomes).map(row).collect())
}

/// The fastest and the slowest success at each rate.
fn envelope(rows: &[Row]) -> Vec<EnvelopeRow> {
    let mut ks: Vec<i32> = rows.iter().map(|row| row.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let at = |k: i32| {
        let published = |row: &&Row| Contender::named(&row.opt).is_some_and(|c| c.is_published());
        let steps: Vec<u64> = rows
            .iter()
            .filter(published)
            .filter(|row| row.k == k && row.status == Status::Ok)
            .map(|row| row.steps)
            .collect();
        Some(EnvelopeRow {
            lr: rate(k),
            min: *steps.iter().min()?,
            max: *steps.iter().max()?,
            n_ok: steps.len(),
        })
    };
    ks.into_iter().filter_map(at).collect()
}

/// The runs of one optimizer, by rate.
struct Curve<'a> {
    contender: Contender,
    rows: Vec<&'a Row>,
}

impl<'a> Curve<'a> {
    fn all(rows: &'a [Row]) -> Vec<Self> {
        let curve = |contender: Contender| {
            let rows = rows.iter().filter(|row| row.opt == contender.key).collect();
            Self { contender, rows }
        };
        Contender::ALL.into_iter().map(curve).filter(|curve| !curve.rows.is_empty()).collect()
    }

    fn successes(&self) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().copied().filter(|row| row.status == Status::Ok)
    }

    fn best(&self) -> Option<&'a Row> {
        self.successes().min_by_key(|row| row.steps)
    }

    /// From the lowest to the highest rate with success, in decades.
    fn band(&self) -> f64 {
        let ks = || self.successes().map(|row| row.k);
        match (ks().min(), ks().max()) {
            (Some(low), Some(high)) => f64::from(high - low) / 6.0,
            _ => 0.0,
        }
    }

    /// Rates between the first and the last success that failed.
    fn holes(&self) -> usize {
        let first = self.rows.iter().position(|row| row.status == Status::Ok);
        let last = self.rows.iter().rposition(|row| row.status == Status::Ok);
        match (first, last) {
            (Some(first), Some(last)) => last + 1 - first - self.successes().count(),
            _ => 0,
        }
    }
}

/// The best rate of each optimizer that had a success, by its key.
pub fn best_rates(rows: &[Row]) -> Vec<(Contender, f64)> {
    let best = |curve: &Curve<'_>| Some((curve.contender, curve.best()?.lr));
    Curve::all(rows).iter().filter_map(best).collect()
}

/// A point of the article's figure.
#[derive(Deserialize)]
struct Published {
    #[serde(rename = "Learning rate")]
    lr: f64,
    #[serde(rename = "Optimizer")]
    optimizer: String,
    #[serde(rename = "Time taken with success")]
    secs: Option<f64>,
}

impl Published {
    /// All that reached the accuracy.
    fn read() -> Result<Vec<Self>> {
        let rows: Vec<Self> = parse_csv(include_str!("../../published/sweep.csv"))?;
        Ok(rows.into_iter().filter(|row| row.secs.is_some()).collect())
    }

    fn of(rows: &[Self], one: &Contender) -> Vec<(f64, f64)> {
        let name = one.published;
        let points = rows.iter().filter(|row| Some(row.optimizer.as_str()) == name);
        points.filter_map(|row| Some((row.lr, row.secs?))).collect()
    }
}

/// From `sweep.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("sweep.csv"))?;
    let curves = Curve::all(&rows);
    let published = Published::read()?;
    draw_sweep(&curves)?.save(dir, "sweep")?;
    draw_comparison(&curves, &published)?.save(dir, "sweep-published")?;
    draw_envelope(&envelope(&rows)).save(dir, "envelope")?;

    Ok(Section {
        title: "Learning rate sweep",
        question: "Which learning rates work for which optimizer, and how long does each take to learn?".into(),
        pictures: vec![
            Picture {
                stem: "sweep",
                caption: "Steps to 97 % training accuracy at each rate; the strip below shows the rates that fail, in the order of the legend".into(),
            },
            Picture {
                stem: "sweep-published",
                caption: "The same, next to the article's measurements (grey): time in multiples of the fastest run of all. \
                    Below, the rates that fail: hollow the article's, filled ours".into(),
            },
            Picture {
                stem: "envelope",
                caption: "The fastest and the slowest of the article's six optimizers at each rate".into(),
            },
        ],
        article: "Mack: for each optimizer the majority of learning rates fail to train the model; there is a valley, with rates that \
            are too low never making progress and rates that are too high diverging, and no rate that suits all optimizers. Adam, \
            AdaDelta, momentum, AdaGrad, SGD and RMSProp succeeded at 15, 13, 7, 6, 6 and 4 of 48 rates."
            .into(),
        measured: measured(&curves),
        table: table(&curves, &published),
        checks: checks(&curves),
    })
}

fn measured(curves: &[Curve<'_>]) -> String {
    let mut text = String::from("Rates that succeed, of those tried: ");
    for (index, curve) in curves.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let (good, all) = (curve.successes().count(), curve.rows.len());
        let _ = write!(text, "{comma}{} {good} of {all}", curve.contender.name);
    }
    text + "."
}

fn table(curves: &[Curve<'_>], published: &[Published]) -> Table {
    let mut table = Table::new([
        "optimizer",
        "best rate",
        "steps",
        "seconds",
        "rates that work",
        "band (decades)",
        "published best",
        "seconds",
        "rates that work",
        "band",
    ]);
    for curve in curves {
        let points = Published::of(published, &curve.contender);
        let rates = || points.iter().map(|point| point.0);
        let best = points.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let none = || "—".to_owned();
        let figure = |row: Option<&Row>, of: fn(&Row) -> String| row.map_or_else(none, of);
        let mut row = vec![
            curve.contender.name.to_owned(),
            figure(curve.best(), |row| plot::rounded(row.lr)),
            figure(curve.best(), |row| row.steps.to_string()),
            figure(curve.best(), |row| format!("{:.2}", row.secs)),
            format!("{} of {}", curve.successes().count(), curve.rows.len()),
            format!("{:.2}", curve.band()),
        ];
        row.extend(match best {
            None => [none(), none(), none(), none()],
            Some(&(lr, secs)) => {
                let (low, high) =
                    (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
                [
                    plot::rounded(lr),
                    format!("{secs:.1}"),
                    format!("{} of 48", points.len()),
                    format!("{:.2}", (high / low).log10()),
                ]
            }
        });
        table.rows.push(row);
    }
    table
}

fn checks(curves: &[Curve<'_>]) -> Vec<Check> {
    let six: Vec<_> = curves.iter().filter(|curve| curve.contender.is_published()).collect();
    let name = |curve: &Curve<'_>| curve.contender.name;
    let list = |figure: &dyn Fn(&Curve<'_>) -> String| {
        let parts: Vec<_> =
            six.iter().map(|curve| format!("{} {}", name(curve), figure(curve))).collect();
        parts.join(", ")
    };
    let is_whole = |curve: &&Curve<'_>| curve.rows.len() >= grid(QUICK_STRIDE).count();
    if six.iter().filter(|curve| is_whole(curve)).count() < 6 {
        let why = "they are about six optimizers and the whole range of rates; this is a part of the sweep";
        return vec![Check::figure("No claims here", why)];
    }
    let failures = |curve: &Curve<'_>| curve.rows.len() - curve.successes().count();
    let mut checks = vec![
        Check::new(
            "Over half of the rates fail for every optimizer",
            list(&|curve| format!("{} of {}", failures(curve), curve.rows.len())),
            six.iter().all(|curve| 2 * failures(curve) > curve.rows.len()),
        ),
        Check::new(
            "The rates that succeed are neighbours, with one hole at the most",
            list(&|curve| format!("{} holes", curve.holes())),
            six.iter().all(|curve| curve.holes() <= 1),
        ),
    ];
    let common: Vec<i32> = curves
        .first()
        .map_or(&[][..], |curve| &curve.rows)
        .iter()
        .map(|row| row.k)
        .filter(|k| six.iter().all(|curve| curve.successes().any(|row| row.k == *k)))
        .collect();
    checks.push(Check::new(
        "No rate suits all six",
        match common.as_slice() {
            [] => "none does".to_owned(),
            ks => format!("{} of them do: k = {ks:?}", ks.len()),
        },
        common.is_empty(),
    ));
    let steps = || six.iter().flat_map(|curve| curve.successes()).map(|row| row.steps);
    let (fastest, slowest) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
    let too_slow = six.iter().flat_map(|curve| &curve.rows).filter(|row| row.status == Status::Cap);
    let cap = too_slow.map(|row| row.steps).max().unwrap_or(0);
    let times = |steps: u64| steps as f64 / fastest as f64;
    checks.push(Check::new(
        "The slowest success takes at least 10 times as long as the fastest",
        format!(
            "{slowest} steps against {fastest}, {:.1} times; runs were given up after {cap} steps, {:.1} times the fastest \
             (the article's after 17 times)",
            times(slowest),
            times(cap)
        ),
        fastest > 0 && slowest >= 10 * fastest,
    ));
    let find = |key: &str| curves.iter().find(|curve| curve.contender.key == key);
    let band = |key: &str| find(key).map_or(0.0, Curve::band);
    checks.push(Check::new(
        "Adam's band of rates is at least as wide as SGD's, momentum's, AdaGrad's and RMSProp's",
        list(&|curve| format!("{:.2} decades", curve.band())),
        ["sgd", "momentum", "adagrad", "rmsprop1"].iter().all(|other| band("adam") >= band(other)),
    ));
    let wider = six.iter().filter(|curve| curve.band() > band("adadelta")).count();
    checks.push(Check::figure("AdaDelta's rank by band", format!("{} of 6", 1 + wider)));
    if let (Some(ones), Some(zeros)) = (find("rmsprop1"), find("rmsprop0")) {
        checks.push(Check::new(
            "It is the start of its average at 1 that holds RMSProp back: from 0, at least as many rates work, and the best is faster",
            format!(
                "from 1: {} rates, {} steps; from 0: {} rates, {} steps",
                ones.successes().count(),
                ones.best().map_or("no".to_owned(), |row| row.steps.to_string()),
                zeros.successes().count(),
                zeros.best().map_or("no".to_owned(), |row| row.steps.to_string()),
            ),
            zeros.successes().count() >= ones.successes().count()
                && zeros.best().map(|row| row.steps) < Some(ones.best().map_or(u64::MAX, |row| row.steps)),
        ));
    }
    checks
}

fn rate_axis() -> Axis {
    Axis::new("learning rate", Scale::Log, 0.8e-6, 125.0)
}

/// All optimizers in one panel, and in a strip below it where each fails.
fn draw_sweep(curves: &[Curve<'_>]) -> Result<Figure> {
    let legend = curves
        .iter()
        .map(|one| Entry::new(one.contender.name, one.contender.line(2), one.contender.color()))
        .collect();
    let caption = "steps of 100 digits until the last ten batches were read to 97 %; the lower strip shows rates that fail: \
        too slow (dot), stuck at guessing (ring), diverged (cross)";
    let mut figure = Figure::new((1200, 700), caption, legend);
    let steps = || curves.iter().flat_map(|curve| curve.successes()).map(|row| row.steps as f64);
    let low = steps().fold(f64::INFINITY, f64::min).min(1_000.0);
    let high = steps().fold(0.0, f64::max).max(2.0 * low);
    // A strip of a third of the height, below the curves.
    let bottom = low / 1.15 / (high / low).powf(0.45);
    let axis = Axis::new("steps to 97 % (logarithmic)", Scale::Log, bottom, high * 1.1);
    let ticks = [100.0, 200.0, 300.0, 500.0, 700.0, 1_000.0, 1_500.0, 2_000.0, 2_500.0];
    let ticks = ticks.into_iter().filter(|&tick| tick >= low / 1.1 && axis.holds(tick)).collect();
    let mut panel =
        Panel::new("Time to learn against the learning rate", rate_axis(), axis.with_ticks(ticks));
    for (index, curve) in curves.iter().enumerate() {
        let color = curve.contender.color();
        let points: Vec<_> = curve.successes().map(|row| (row.lr, row.steps as f64)).collect();
        panel.series.push(Series::new(points.clone(), curve.contender.line(2), color));
        panel.series.push(Series::new(points, Mark::Dots { radius: 4 }, color));
        let fraction = (index as f64 + 0.7) / (curves.len() as f64 + 0.6);
        let height = (low / 1.15).powf(1.0 - fraction) * bottom.powf(fraction);
        panel.series.extend(failures(curve, height, color));
    }
    figure.panels.push(panel);
    Ok(figure)
}

/// A mark for each rate that fails, in a row.
fn failures(curve: &Curve<'_>, height: f64, color: RGBColor) -> [Series; 3] {
    let marks = [
        (Status::Cap, Mark::Dots { radius: 2 }),
        (Status::Stuck, Mark::Rings { radius: 3 }),
        (Status::Diverged, Mark::Crosses { radius: 4 }),
    ];
    marks.map(|(status, mark)| {
        let rows = curve.rows.iter().filter(|row| row.status == status);
        Series::new(rows.map(|row| (row.lr, height)).collect(), mark, color)
    })
}

/// A panel for each optimizer of the article, ours over the published.
fn draw_comparison(curves: &[Curve<'_>], published: &[Published]) -> Result<Figure> {
    let caption =
        "time to 97 % training accuracy, in multiples of the fastest run of all six optimizers";
    let legend = vec![
        Entry::new(
            "this network of 3,424 weights, in steps",
            Mark::Line { width: 2 },
            plot::PALETTE[0],
        ),
        Entry::new("RMSProp from 0", Mark::Dashes { width: 2 }, plot::color(Optimizer::RmsProp)),
        Entry::new("published, in seconds", Mark::Line { width: 2 }, GREY),
    ];
    let mut figure = Figure { columns: 3, ..Figure::new((1200, 800), caption, legend) };
    let six = || curves.iter().filter(|curve| curve.contender.is_published());
    let ours = six().flat_map(Curve::successes).map(|row| row.steps).min().unwrap_or(1) as f64;
    let theirs = published.iter().filter_map(|row| row.secs).fold(f64::INFINITY, f64::min);
    for curve in six() {
        let one = &curve.contender;
        let axis = Axis::new("times the fastest", Scale::Log, 0.9, 20.0);
        let axis = axis.with_ticks(vec![1.0, 2.0, 5.0, 10.0, 20.0]);
        let ticks = [1e-6, 1e-4, 1e-2, 1.0, 100.0].to_vec();
        let mut panel = Panel::new(one.name, rate_axis().with_ticks(ticks), axis);
        let points = Published::of(published, one).into_iter();
        let points = points.map(|(lr, secs)| (lr, secs / theirs)).collect();
        panel.series.push(Series::new(points, Mark::LineAndDots { width: 2, radius: 4 }, GREY));
        let same_rule = curves.iter().filter(|other| other.contender.optimizer == one.optimizer);
        for curve in same_rule {
            let points: Vec<_> =
                curve.successes().map(|row| (row.lr, row.steps as f64 / ours)).collect();
            let color = one.color();
            panel.series.push(Series::new(points.clone(), curve.contender.line(2), color));
            panel.series.push(Series::new(points, Mark::Dots { radius: 4 }, color));
        }
        figure.panels.push(panel);
    }
    Ok(figure)
}

fn draw_envelope(rows: &[EnvelopeRow]) -> Figure {
    let (slow, fast) = (plot::PALETTE[6], plot::PALETTE[5]);
    let legend = vec![
        Entry::new("slowest optimizer that succeeds", Mark::Line { width: 2 }, slow),
        Entry::new("fastest", Mark::Line { width: 2 }, fast),
    ];
    let caption = "over the article's six optimizers; the figures say how many succeed at the rate";
    let mut figure = Figure::new((1000, 520), caption, legend);
    let values = rows.iter().flat_map(|row| [row.min as f64, 1.2 * row.max as f64]);
    let axis = Axis::holding("steps to 97 %", Scale::Log, values);
    let mut panel = Panel::new("Fastest and slowest success at each rate", rate_axis(), axis);
    let line = Mark::LineAndDots { width: 2, radius: 3 };
    let points =
        |of: fn(&EnvelopeRow) -> u64| rows.iter().map(|row| (row.lr, of(row) as f64)).collect();
    panel.series.push(Series::new(points(|row| row.max), line, slow));
    panel.series.push(Series::new(points(|row| row.min), line, fast));
    for row in rows {
        let at = (row.lr, row.max as f64 * 1.05);
        let text = row.n_ok.to_string();
        panel.notes.push(Note { at, text, color: plot::PALETTE[0], side: Side::Above });
    }
    figure.panels.push(panel);
    figure
}
