//! How accuracy grows over time: each optimizer at its best rate of the sweep.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::goal::Window;
use super::sweep::{self, Contender};
use super::{Check, Picture, Section, Table};
use crate::lab::{Job, Lab, Ticket, parse_csv, read_csv};
use crate::plot::{self, Axis, Entry, Figure, Mark, Panel, Scale, Series};

/// Five epochs of 55,000 digits.
const STEPS: u64 = 2_750;
const QUICK_STEPS: u64 = 700;
/// Validated after every 10 steps, and from step 500 on after every 50.
const FINE: u64 = 10;
const FINE_UNTIL: u64 = 500;
const COARSE: u64 = 50;
/// To compare how fast the optimizers get there.
const MARK: f64 = 0.9;

/// A row of `curves.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub opt: String,
    pub lr: f64,
    pub step: u64,
    /// Spent on training, without the validations.
    pub secs: f64,
    /// Over the last ten batches.
    pub train_acc: f64,
    pub val_acc: f64,
}

/// Takes the rates from the sweep, which it runs if need be.
pub fn run(lab: &Lab) -> Result<()> {
    let best = sweep::best_rates(&sweep::measure(lab, &sweep::Part::default())?);
    ensure!(!best.is_empty(), "no rate of the sweep reached its accuracy, so there is no best one");
    let steps = if lab.options().quick { QUICK_STEPS } else { STEPS };
    let jobs: Vec<Job<(Contender, f64)>> = best
        .into_iter()
        .map(|(one, lr)| {
            let settings = lab.settings(one.settings(lab.options().preset, lr));
            let key = format!("{} validated over {steps}", lab.describe(&settings));
            Job { key, steps, task: (one, lr) }
        })
        .collect();
    let curves: Vec<Vec<Row>> =
        lab.run("curves", &jobs, |&(one, lr), ticket| validate(lab, one, lr, steps, ticket))?;
    lab.write_csv("curves.csv", curves.into_iter().flatten())
}

fn validate(
    lab: &Lab,
    one: Contender,
    lr: f64,
    steps: u64,
    ticket: &Ticket<'_>,
) -> Result<Vec<Row>> {
    let settings = lab.settings(one.settings(lab.options().preset, lr));
    let mut trainer = lab.trainer(settings, ticket)?;
    let mut window = Window::default();
    let mut rows = Vec::new();
    let (mut step, mut secs) = (0, 0.0);
    while step < steps {
        let count = if step < FINE_UNTIL { FINE } else { COARSE }.min(steps - step);
        let start = Instant::now();
        trainer.steps(count, &mut |batch| {
            window.push(batch.accuracy);
            true
        })?;
        secs += start.elapsed().as_secs_f64();
        step += count;
        rows.push(Row {
            opt: one.key.to_owned(),
            lr,
            step,
            secs,
            train_acc: window.mean(),
            val_acc: trainer.evaluate(lab.validation()).accuracy,
        });
        ticket.advance(count)?;
    }
    Ok(rows)
}

struct Curve {
    contender: Contender,
    rows: Vec<Row>,
}

impl Curve {
    fn steps_to_mark(&self) -> Option<u64> {
        self.rows.iter().find(|row| row.val_acc >= MARK).map(|row| row.step)
    }

    fn best(&self) -> f64 {
        self.rows.iter().map(|row| row.val_acc).fold(0.0, f64::max)
    }

    fn last(&self) -> f64 {
        self.rows.last().map_or(0.0, |row| row.val_acc)
    }
}

/// From `curves.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("curves.csv"))?;
    let of = |contender: Contender| {
        let rows = rows.iter().filter(|row| row.opt == contender.key).cloned().collect();
        Curve { contender, rows }
    };
    let curves: Vec<Curve> =
        Contender::ALL.into_iter().map(of).filter(|curve| !curve.rows.is_empty()).collect();
    draw(&curves)?.save(dir, "curves")?;

    let mut table =
        Table::new(["optimizer", "rate", "steps to 90 %", "validation, last", "best", "seconds"]);
    for curve in &curves {
        let last = curve.rows.last();
        table.rows.push(vec![
            curve.contender.name.to_owned(),
            last.map_or(String::new(), |row| plot::rounded(row.lr)),
            curve.steps_to_mark().map_or("—".to_owned(), |steps| steps.to_string()),
            format!("{:.2} %", 100.0 * curve.last()),
            format!("{:.2} %", 100.0 * curve.best()),
            last.map_or(String::new(), |row| format!("{:.2}", row.secs)),
        ]);
    }
    Ok(Section {
        title: "Accuracy over time",
        question: "How does each optimizer get on, at the rate at which it is fastest to 97 % training accuracy?".into(),
        pictures: vec![Picture {
            stem: "curves",
            caption: "Validation error against steps, which cost the same time with every optimizer within a percent (thin lines \
                are single validations); and the article's validation accuracy over time"
                .into(),
        }],
        article: "Mack, who trains each optimizer at its best rate: Adam rises fastest and ends highest, AdaDelta follows, then the others; \
            RMSProp stays at guessing for 900 seconds. (His accuracy is a streaming mean that starts anew, which makes the zigzag.)"
            .into(),
        measured: measured(&curves),
        checks: checks(&curves),
        table,
    })
}

fn measured(curves: &[Curve]) -> String {
    let mut order: Vec<_> =
        curves.iter().filter_map(|curve| Some((curve.steps_to_mark()?, curve))).collect();
    order.sort_by_key(|(steps, _)| *steps);
    let parts: Vec<_> = order
        .iter()
        .map(|(steps, curve)| format!("{} after {steps}", curve.contender.name))
        .collect();
    format!("90 % of the validation digits are read by {} steps.", parts.join(", "))
}

fn checks(curves: &[Curve]) -> Vec<Check> {
    let steps = |curve: &Curve| curve.steps_to_mark().unwrap_or(u64::MAX);
    let six = || curves.iter().filter(|curve| curve.contender.is_published());
    let Some(adam) = six().find(|curve| curve.contender.key == "adam") else { return Vec::new() };
    let list: Vec<_> = six()
        .map(|curve| {
            let steps = curve.steps_to_mark().map_or("never".to_owned(), |steps| steps.to_string());
            format!("{} {steps}", curve.contender.name)
        })
        .collect();
    vec![Check::new(
        "Adam needs the fewest steps to 90 % validation accuracy",
        list.join(", "),
        six().all(|curve| steps(curve) >= steps(adam)),
    )]
}

/// A point of the article's figure.
#[derive(Deserialize)]
struct Published {
    #[serde(rename = "Time")]
    secs: f64,
    #[serde(rename = "Validation")]
    accuracy: f64,
    #[serde(rename = "Optimizer")]
    optimizer: String,
}

fn draw(curves: &[Curve]) -> Result<Figure> {
    let legend = curves.iter().map(|curve| {
        let one = &curve.contender;
        let rate = curve.rows.last().map_or(0.0, |row| row.lr);
        Entry::new(format!("{} {}", one.name, plot::rounded(rate)), one.line(2), one.color())
    });
    let caption = "each optimizer at its best rate, which stands behind its name; thick, the mean over the last quarter of the steps";
    let mut figure = Figure::new((1440, 600), caption, legend.collect());
    let error = |row: &Row| 100.0 * (1.0 - row.val_acc);
    let rows = || curves.iter().flat_map(|curve| &curve.rows);
    let last = rows().map(|row| row.step).max().unwrap_or(1) as f64;
    let mut ours = Panel::new(
        "This network",
        Axis::new("steps of 100 digits (logarithmic)", Scale::Log, FINE as f64, last),
        Axis::holding("validation digits misread (%, logarithmic)", Scale::Log, rows().map(error)),
    );
    let published: Vec<Published> = parse_csv(include_str!("../../published/trace.csv"))?;
    let end = published.iter().map(|row| row.secs).fold(0.0, f64::max);
    let mut article = Panel::new(
        "Published",
        Axis::new("seconds of training", Scale::Linear, 0.0, end),
        Axis::new("validation accuracy (%)", Scale::Linear, 0.0, 100.0),
    );
    for curve in curves {
        let (one, color) = (&curve.contender, curve.contender.color());
        let points: Vec<_> = curve.rows.iter().map(|row| (row.step as f64, error(row))).collect();
        ours.series.push(Series::new(smooth(&points), one.line(3), color));
        ours.series.push(Series::new(points, Mark::Line { width: 1 }, color).faint(0.25));
        let theirs = published.iter().filter(|row| Some(&*row.optimizer) == one.published);
        let theirs = theirs.map(|row| (row.secs, 100.0 * row.accuracy)).collect();
        article.series.push(Series::new(theirs, one.line(2), color));
    }
    figure.panels = vec![ours, article];
    Ok(figure)
}

/// At each place the mean over the quarter before it.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |&(x, _): &(f64, f64)| {
        let recent = points.iter().filter(|point| (0.75 * x..=x).contains(&point.0));
        let (count, sum) =
            recent.fold((0.0, 0.0), |(count, sum), point| (count + 1.0, sum + point.1));
        (x, sum / count)
    };
    points.iter().map(mean).collect()
}
