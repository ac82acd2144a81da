//! Gradient descent in its three batch forms: the whole set, one digit, or some, for each update.

use std::path::Path;

use anyhow::Result;
use plotters::style::RGBColor;
use serde::{Deserialize, Serialize};

use super::{Check, Picture, Section, Table};
use crate::ffi::{Settings, Trainer};
use crate::lab::{Job, Lab, Ticket, read_csv};
use crate::optimizer::Optimizer;
use crate::plot::{self, Axis, Entry, Figure, Mark, Panel, Scale, Series};

/// As in Doshi's example.
const DIGITS: usize = 1_000;
const EPOCHS: u64 = 5;
const MINI_BATCH: usize = 50;

/// A batch form.
struct Mode {
    key: &'static str,
    name: &'static str,
    batch: usize,
    lr: f64,
    color: RGBColor,
}

/// The rates are those that get furthest in five epochs without diverging, of 1, 2 and 5 times powers of ten.
const MODES: [Mode; 3] = [
    Mode { key: "stochastic", name: "stochastic", batch: 1, lr: 0.01, color: plot::PALETTE[2] },
    Mode {
        key: "mini-batch",
        name: "mini-batch",
        batch: MINI_BATCH,
        lr: 0.2,
        color: plot::PALETTE[6],
    },
    Mode { key: "batch", name: "batch", batch: DIGITS, lr: 0.5, color: plot::PALETTE[0] },
];

/// A row of `gdvariants.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub mode: String,
    pub epoch: u64,
    pub update: u64,
    /// Of the update's digits, before it; its mean over them.
    pub loss: f64,
}

/// A row of `gdvariants-epochs.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EpochRow {
    pub mode: String,
    pub lr: f64,
    pub batch: usize,
    /// 0 before the first.
    pub epoch: u64,
    /// Of all 1,000 digits after it.
    pub loss: f64,
    pub accuracy: f64,
    pub secs: f64,
}

/// The whole experiment, which takes a second.
pub fn run(lab: &Lab) -> Result<()> {
    let settings = |mode: &Mode| Settings {
        batch_size: mode.batch,
        ..lab.settings(Optimizer::Sgd.settings(lab.options().preset, mode.lr))
    };
    let jobs = MODES.each_ref().map(|mode| Job {
        key: format!("{} on {DIGITS} digits for {EPOCHS} epochs", lab.describe(&settings(mode))),
        steps: EPOCHS * (DIGITS / mode.batch) as u64,
        task: mode,
    });
    let results: Vec<(Vec<Row>, Vec<EpochRow>)> =
        lab.run("gdvariants", &jobs, |mode, ticket| train(lab, mode, settings(mode), ticket))?;
    let (updates, epochs): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    lab.write_csv("gdvariants-epochs.csv", epochs.into_iter().flatten())?;
    lab.write_csv("gdvariants.csv", updates.into_iter().flatten())
}

fn train(
    lab: &Lab,
    mode: &Mode,
    settings: Settings,
    ticket: &Ticket<'_>,
) -> Result<(Vec<Row>, Vec<EpochRow>)> {
    let digits = lab.train().split(DIGITS).0;
    let mut trainer = Trainer::new(digits, settings, ticket.threads())?;
    let (mut updates, mut epochs) = (Vec::new(), Vec::new());
    let mut secs = 0.0;
    for epoch in 0..=EPOCHS {
        let all = trainer.evaluate(digits);
        epochs.push(EpochRow {
            mode: mode.key.to_owned(),
            lr: mode.lr,
            batch: mode.batch,
            epoch,
            loss: all.loss,
            accuracy: all.accuracy,
            secs,
        });
        if epoch == EPOCHS {
            break;
        }
        let count = (DIGITS / mode.batch) as u64;
        let start = std::time::Instant::now();
        trainer.steps(count, &mut |batch| {
            updates.push(Row {
                mode: mode.key.to_owned(),
                epoch: batch.epoch,
                update: batch.step,
                loss: batch.loss,
            });
            true
        })?;
        secs += start.elapsed().as_secs_f64();
        ticket.advance(count)?;
    }
    Ok((updates, epochs))
}

/// The median change of the loss from one update to the next, relative to the mean loss.
fn noise(losses: &[f64]) -> f64 {
    let mut changes: Vec<f64> = losses.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    changes.sort_by(f64::total_cmp);
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    changes.get(changes.len() / 2).map_or(0.0, |change| change / mean)
}

/// From the two CSV files.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("gdvariants.csv"))?;
    let epochs: Vec<EpochRow> = read_csv(&dir.join("gdvariants-epochs.csv"))?;
    draw(&rows, &epochs).save(dir, "gdvariants")?;

    let losses = MODES.each_ref().map(|mode| -> Vec<f64> {
        rows.iter().filter(|row| row.mode == mode.key).map(|row| row.loss).collect()
    });
    let noises = losses.each_ref().map(|losses| noise(losses));
    let last = |mode: &Mode| epochs.iter().rfind(|row| row.mode == mode.key);
    let mut table = Table::new([
        "form",
        "digits an update",
        "rate",
        "updates an epoch",
        "change per update",
        "loss after 5 epochs",
        "accuracy",
        "seconds",
    ]);
    for (mode, (losses, noise)) in MODES.iter().zip(losses.iter().zip(noises)) {
        let Some(last) = last(mode) else { continue };
        table.rows.push(vec![
            mode.name.to_owned(),
            plot::number(last.batch as f64),
            last.lr.to_string(),
            plot::number(losses.len() as f64 / EPOCHS as f64),
            format!("{:.1} %", 100.0 * noise),
            format!("{:.3}", last.loss),
            format!("{:.1} %", 100.0 * last.accuracy),
            format!("{:.2}", last.secs),
        ]);
    }
    let updates = losses.each_ref().map(Vec::len);
    let percent = noises.map(|noise| format!("{:.1} %", 100.0 * noise));
    let falls = losses[2].windows(2).all(|pair| pair[1] < pair[0]);
    let after = MODES.each_ref().map(|mode| last(mode).map_or(f64::NAN, |row| row.loss));
    Ok(Section {
        title: "Gradient descent in three forms",
        question: "What is the difference between an update from the whole set, from one digit, and from some?".into(),
        pictures: vec![Picture {
            stem: "gdvariants",
            caption: "Left, the loss that each update sees; the stochastic one is a dot for each digit, with the mean of the last hundred \
                through them. Right, the loss over all 1,000 digits, by work done".into(),
        }],
        article: "Christopher and Doshi: batch gradient descent updates once for all examples, and its loss falls smoothly, \
            but slowly; stochastic gradient descent updates with each example (1,000 rows give 1,000 updates an epoch), and \
            its loss fluctuates; mini-batches of 50 to 256 are between the two, and what is mostly used."
            .into(),
        measured: format!(
            "In {EPOCHS} epochs on {DIGITS} digits, batch makes {} updates, mini-batch {}, stochastic {}; the loss over all digits \
             is then {:.3}, {:.3} and {:.3}.",
            updates[2], updates[1], updates[0], after[2], after[1], after[0]
        ),
        checks: vec![
            Check::new(
                "1,000 rows give 1,000 stochastic updates an epoch, and one batch update",
                format!("{} and {} in {EPOCHS} epochs", updates[0], updates[2]),
                updates[0] as u64 == EPOCHS * DIGITS as u64 && updates[2] as u64 == EPOCHS,
            ),
            Check::new(
                "The stochastic loss is noisier than the mini-batch's, and that than the batch's",
                format!(
                    "median change from one update to the next: {}, {}, {} of the mean loss",
                    percent[0], percent[1], percent[2]
                ),
                noises[0] > noises[1] && noises[1] > noises[2],
            ),
            Check::new(
                "The batch loss falls with every update",
                losses[2].iter().map(|loss| format!("{loss:.3}")).collect::<Vec<_>>().join(", "),
                falls,
            ),
            Check::new(
                "For the same work, more updates get further than batch's",
                format!("loss {:.3} and {:.3} against {:.3}", after[0], after[1], after[2]),
                after[0] < after[2] && after[1] < after[2],
            ),
        ],
        table,
    })
}

/// Over the last `window` points; one for every fiftieth of its place, as a logarithmic axis asks for.
fn running_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let places = std::iter::successors(Some(0), |place| Some(place + 1 + place / 50));
    places
        .take_while(|&place| place < points.len())
        .map(|place| {
            let recent = &points[(place + 1).saturating_sub(window)..=place];
            let mean = recent.iter().map(|point| point.1).sum::<f64>() / recent.len() as f64;
            (points[place].0, mean)
        })
        .collect()
}

fn draw(rows: &[Row], epochs: &[EpochRow]) -> Figure {
    let rate =
        |mode: &Mode| epochs.iter().find(|row| row.mode == mode.key).map_or(0.0, |row| row.lr);
    let legend = MODES.each_ref().map(|mode| {
        let text = match mode.batch {
            1 => format!("{}: 1 digit an update, rate {}", mode.name, rate(mode)),
            batch => {
                format!("{}: {} digits, rate {}", mode.name, plot::number(batch as f64), rate(mode))
            }
        };
        Entry::new(text, Mark::Line { width: 2 }, mode.color)
    });
    let caption =
        format!("{} digits, {EPOCHS} epochs, plain gradient descent", plot::number(DIGITS as f64));
    let mut figure = Figure::new((1200, 540), caption, legend.into());
    let end = (EPOCHS as usize * DIGITS) as f64;
    let mut updates = Panel::new(
        "The loss that each update sees",
        Axis::new("update (logarithmic)", Scale::Log, 0.9, 1.1 * end),
        Axis::new("cross-entropy of the update's digits (nats)", Scale::Log, 0.03, 10.0),
    );
    let mut work = Panel::new(
        "The loss over all digits",
        Axis::new("epochs", Scale::Linear, 0.0, EPOCHS as f64),
        Axis::new("cross-entropy of all 1,000 digits (nats)", Scale::Linear, 0.0, 2.5),
    );
    for mode in &MODES {
        let points = rows.iter().filter(|row| row.mode == mode.key);
        let points: Vec<_> = points.map(|row| (row.update as f64, row.loss)).collect();
        if mode.batch == 1 {
            // The cloud alone would hide everything else, and shows little; so a running mean goes through it.
            let mean = running_mean(&points, 100);
            let cloud = points.into_iter().step_by(3).collect();
            updates
                .series
                .push(Series::new(cloud, Mark::Dots { radius: 1 }, mode.color).faint(0.6));
            updates.series.push(Series::new(mean, Mark::Line { width: 2 }, mode.color));
        } else {
            let mark = Mark::LineAndDots { width: 1, radius: 3 };
            updates.series.push(Series::new(points, mark, mode.color));
        }
        let points = epochs.iter().filter(|row| row.mode == mode.key);
        let points = points.map(|row| (row.epoch as f64, row.loss)).collect();
        work.series.push(Series::new(
            points,
            Mark::LineAndDots { width: 2, radius: 4 },
            mode.color,
        ));
    }
    figure.panels = vec![updates, work];
    figure
}
