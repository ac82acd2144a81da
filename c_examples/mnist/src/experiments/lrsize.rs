//! Which learning rates suit networks of which size: Adam at eight rates, 1 to 10 times the usual network, to 96 % training
//! accuracy.
//!
//! Mack's last question: whether a rate that was found with a small network, where the search is cheap, is good for a
//! large one. Between rates at one size steps are compared, which do not depend on what else the machine does.

use std::num::NonZeroU64;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use plotters::style::RGBColor;

use super::goal::Status;
use super::size::{Mode, Plan, Published, Row, measure, scale, scales};
use super::trend::Trend;
use super::{Check, Picture, Section, Table};
use crate::lab::{Cores, Lab, read_csv};
use crate::optimizer::Model;
use crate::output;
use crate::plot::{self, Axis, Entry, Figure, Mark, Panel, Scale, Series};

/// The article's six, and two beyond, since its largest still suits our network.
const RATES: [f64; 8] = [0.000_1, 0.000_5, 0.001, 0.001_46, 0.005, 0.01, 0.02, 0.05];
const CAP: u64 = 6_600;
const QUICK_CAP: u64 = 1_000;

/// What of the whole experiment is to be run.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Part {
    /// Only these rates of Adam [default: the article's 0.0001, 0.0005, 0.001, 0.00146, 0.005, 0.01, and 0.02, 0.05]
    #[arg(short, long, value_delimiter = ',', value_name = "RATE")]
    pub lr: Vec<f64>,
    /// Sizes, in multiples of the usual network: quarters [default: 1 to 10 by 0.5, with --quick 1, 5.5, 10]
    #[arg(long, value_delimiter = ',', value_name = "S", value_parser = scale)]
    pub scale: Vec<f64>,
    /// Steps after which a run that gets on too slowly is given up [default: 6600, with --quick 1000]
    #[arg(long, value_name = "N")]
    pub cap: Option<NonZeroU64>,
}

/// All of it, where it can be done: among other experiments, the wrong network is not an error.
pub fn run_all(lab: &Lab) -> Result<()> {
    if lab.options().model != Model::Lenet {
        output::say(format_args!("lrsize: left out, since it widens the LeNet"));
        return Ok(());
    }
    run(lab, &Part::default())
}

/// Some of it.
pub fn run(lab: &Lab, part: &Part) -> Result<()> {
    let quick = lab.options().quick;
    let cap = part.cap.map_or(if quick { QUICK_CAP } else { CAP }, NonZeroU64::get);
    let sizes = match part.scale.as_slice() {
        [] => scales(if quick { 4.5 } else { 0.5 }),
        sizes => sizes.to_vec(),
    };
    let rates = if part.lr.is_empty() { &RATES } else { part.lr.as_slice() };
    let mode = Mode::Linear;
    let plans: Vec<Plan> = rates
        .iter()
        .flat_map(|&lr| sizes.iter().map(move |&scale| Plan { mode, scale, lr }))
        .collect();
    lab.write_csv("lrsize.csv", measure(lab, "lrsize", Cores::OneEach, &plans, cap)?)
}

/// From `lrsize.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("lrsize.csv"))?;
    let published = Published::read()?;
    draw(&rows, &published).save(dir, "lrsize")?;
    Ok(Section {
        title: "Learning rate and network size",
        question: "Is a rate that suits a small network good for a large one?".into(),
        pictures: vec![Picture {
            stem: "lrsize",
            caption: "Seconds and steps to 96 % training accuracy against the size, a line per rate from low (dark) to high (light), \
                with the article's measurements; runs that fail are crosses. Last, the same steps against the rate, a line per size"
                .into(),
        }],
        article: "Mack: at good rates (0.0001 to 0.00146) Adam's time grows linearly with the size (R² of 0.93 to 0.98). In his \
            measurements larger rates take longer and scatter more as the network grows, and 0.01 is missing at many sizes."
            .into(),
        measured: measured(&rows),
        table: table(&rows, &published),
        checks: checks(&rows, &published),
    })
}

/// In ascending order.
fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

fn rates(rows: &[Row]) -> Vec<f64> {
    distinct(rows.iter().map(|row| row.lr))
}

fn at(rows: &[Row], lr: f64) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.lr == lr)
}

fn good(rows: &[Row], lr: f64) -> impl Iterator<Item = &Row> {
    at(rows, lr).filter(|row| row.status == Status::Ok)
}

/// The fastest rate for a size.
fn best(rows: &[Row], scale: f64) -> Option<&Row> {
    let rows = rows.iter().filter(|row| row.scale == scale && row.status == Status::Ok);
    rows.min_by_key(|row| row.steps)
}

fn seconds(rows: &[Row], lr: f64) -> Vec<(f64, f64)> {
    good(rows, lr).map(|row| (row.scale, row.secs)).collect()
}

/// Broken, and not just too slow for the steps given.
fn broken(row: &Row) -> bool {
    matches!(row.status, Status::Diverged | Status::Stuck)
}

fn measured(rows: &[Row]) -> String {
    let scales = distinct(rows.iter().map(|row| row.scale));
    let best: Vec<_> = scales.iter().filter_map(|&scale| best(rows, scale)).collect();
    let rates = distinct(best.iter().map(|row| row.lr));
    let parts: Vec<_> = rates
        .iter()
        .map(|&lr| {
            let sizes = best.iter().filter(|row| row.lr == lr).count();
            format!("{} at {sizes}", plot::number(lr))
        })
        .collect();
    format!(
        "The rate with the fewest steps, at {} sizes: {}. The sizes are those of linear mode, 312 + 3,112 s weights.",
        scales.len(),
        parts.join(", ")
    )
}

fn table(rows: &[Row], published: &[Published]) -> Table {
    let mut table = Table::new([
        "rate",
        "sizes that work",
        "steps, smallest",
        "steps, largest",
        "seconds a size",
        "R²",
        "published: sizes that work",
        "seconds a size",
        "R²",
    ]);
    let theirs = distinct(published.iter().map(|row| row.scale)).len();
    let fit = |points: &[(f64, f64)]| match Trend::of(points) {
        Some(trend) => [format!("{:.3}", trend.slope), format!("{:.3}", trend.r2)],
        None => ["—".to_owned(), "—".to_owned()],
    };
    for lr in rates(rows) {
        let steps = |row: Option<&Row>| match row {
            Some(row) if row.status == Status::Ok => row.steps.to_string(),
            Some(row) => row.status.words().to_owned(),
            None => "—".to_owned(),
        };
        let mut row = vec![
            plot::number(lr),
            format!("{} of {}", good(rows, lr).count(), at(rows, lr).count()),
            steps(at(rows, lr).min_by(|a, b| a.scale.total_cmp(&b.scale))),
            steps(at(rows, lr).max_by(|a, b| a.scale.total_cmp(&b.scale))),
        ];
        row.extend(fit(&seconds(rows, lr)));
        let points = Published::at(published, lr);
        row.push(match distinct(points.iter().map(|point| point.0)).len() {
            0 => "—".to_owned(),
            count => format!("{count} of {theirs}"),
        });
        row.extend(fit(&points));
        table.rows.push(row);
    }
    table
}

fn checks(rows: &[Row], published: &[Published]) -> Vec<Check> {
    let list = |figure: &dyn Fn(f64) -> Option<String>| {
        let parts = rates(rows).into_iter();
        let parts: Vec<_> =
            parts.filter_map(|lr| Some(format!("{} {}", plot::number(lr), figure(lr)?))).collect();
        parts.join(", ")
    };
    let r2 = |points: &[(f64, f64)]| Some(format!("{:.3}", Trend::of(points)?.r2));
    let mut checks = vec![
        Check::figure("R² of seconds over size, by rate", list(&|lr| r2(&seconds(rows, lr)))),
        Check::figure(
            "R² of a step's milliseconds over size, by rate",
            list(&|lr| r2(&at(rows, lr).map(|row| (row.scale, row.ms_step)).collect::<Vec<_>>())),
        ),
        Check::figure("R², published", list(&|lr| r2(&Published::at(published, lr)))),
    ];
    let scales = distinct(rows.iter().map(|row| row.scale));
    if let (Some(&small), Some(&large)) = (scales.first(), scales.last())
        && small < large
        && let Some((found, fastest)) = best(rows, small).zip(best(rows, large))
    {
        let there = good(rows, found.lr).find(|row| row.scale == large);
        checks.push(Check::new(
            "The best rate of the smallest network takes at most 10 % more steps than the best at the largest size",
            format!(
                "size {}: {} is best; size {}: {} with it, {} with the best, {}",
                plot::number(small),
                plot::number(found.lr),
                plot::number(large),
                there.map_or("it fails".to_owned(), |row| format!("{} steps", row.steps)),
                fastest.steps,
                plot::number(fastest.lr),
            ),
            there.is_some_and(|row| row.steps as f64 <= 1.1 * fastest.steps as f64),
        ));
    }
    if let Some(found) = scales.first().and_then(|&small| best(rows, small)) {
        let mut excess: Vec<f64> = scales
            .iter()
            .filter_map(|&scale| {
                let there = good(rows, found.lr).find(|row| row.scale == scale);
                let steps = there.map_or(f64::INFINITY, |row| row.steps as f64);
                Some(steps / best(rows, scale)?.steps as f64 - 1.0)
            })
            .collect();
        excess.sort_by(f64::total_cmp);
        if let (Some(median), Some(worst)) = (excess.get(excess.len() / 2), excess.last()) {
            checks.push(Check::figure(
                "The same at every size: steps more than the best rate needs there",
                format!("median {:.0} %, at the most {:.0} %", 1e2 * median, 1e2 * worst),
            ));
        }
    }
    checks.extend(published_transfer(published));
    let first_failure = |lr: f64| {
        let sizes = at(rows, lr).filter(|row| broken(row)).map(|row| row.scale);
        sizes.fold(f64::INFINITY, f64::min)
    };
    let failures: Vec<f64> = rates(rows).into_iter().map(first_failure).collect();
    let any = failures.iter().any(|size| size.is_finite());
    checks.push(Check::new(
        "As the network grows, the largest rates fail first (diverge, or stay at guessing)",
        if any {
            list(&|lr| match first_failure(lr) {
                size if size.is_finite() => Some(format!("from size {}", plot::number(size))),
                _ => None,
            })
        } else {
            "no rate fails at these sizes".to_owned()
        },
        any && failures.is_sorted_by(|low, high| low >= high),
    ));
    checks
}

/// What the rate that is best for the smallest network costs at the largest, in the article's figures.
fn published_transfer(published: &[Published]) -> Option<Check> {
    let scales = distinct(published.iter().map(|row| row.scale));
    let fastest = |scale: f64| {
        let rows = published.iter().filter(|row| row.scale == scale);
        rows.min_by(|a, b| a.secs.total_cmp(&b.secs))
    };
    let (small, large) = (*scales.first()?, *scales.last()?);
    let (found, best) = (fastest(small)?, fastest(large)?);
    let there = published.iter().find(|row| row.scale == large && row.lr == found.lr)?;
    Some(Check::figure(
        "The best rate of the smallest network at the largest size, published",
        format!(
            "{}: {:.1} s at size {}, the best is {} with {:.1} s: {:.0} % more",
            plot::number(found.lr),
            there.secs,
            plot::number(large),
            plot::number(best.lr),
            best.secs,
            1e2 * (there.secs / best.secs - 1.0),
        ),
    ))
}

fn rate_color(rates: &[f64], lr: f64) -> RGBColor {
    let index = rates.iter().position(|&rate| rate == lr).unwrap_or(0);
    plot::ordered_color(index as f64 / (rates.len() - 1).max(1) as f64)
}

fn draw(rows: &[Row], published: &[Published]) -> Figure {
    let rates = rates(rows);
    let line = Mark::LineAndDots { width: 2, radius: 3 };
    let mut legend: Vec<_> = rates
        .iter()
        .map(|&lr| Entry::new(plot::number(lr), line, rate_color(&rates, lr)))
        .collect();
    legend.push(Entry::new("fails", Mark::Crosses { radius: 5 }, plot::PALETTE[0]));
    let shades = shades(rows);
    legend.extend(
        shades.iter().map(|&(scale, color)| {
            Entry::new(format!("size {}", plot::number(scale)), line, color)
        }),
    );
    let caption =
        "Adam to 96 % training accuracy; size as a multiple of the network of 3,424 weights";
    let mut figure = Figure { columns: 2, ..Figure::new((1200, 920), caption, legend) };
    let right = rows.iter().map(|row| row.scale).fold(10.0, f64::max) + 0.3;
    let size = || Axis::new("size", Scale::Linear, 0.0, right);
    let seconds_axis = |values| Axis::holding("seconds to 96 % (logarithmic)", Scale::Log, values);
    let successes = || rows.iter().filter(|row| row.status == Status::Ok);

    let mut ours = Panel::new(
        "Measured, linear mode",
        size(),
        seconds_axis(successes().map(|row| row.secs).collect::<Vec<_>>()),
    );
    let mut theirs = Panel::new(
        "Published",
        size(),
        seconds_axis(published.iter().map(|row| row.secs).collect()),
    );
    let (low, high) = successes()
        .map(|row| row.steps as f64)
        .fold((1e3, 1.0), |(low, high): (f64, f64), steps| (low.min(steps), high.max(steps)));
    let high = high.max(1.5 * low);
    // Above, a row of crosses for each rate that fails somewhere.
    let failing: Vec<f64> = rates
        .iter()
        .copied()
        .filter(|&lr| at(rows, lr).any(|row| row.status != Status::Ok))
        .collect();
    let row_of = |index: usize| high * (high / low).powf(0.08 + 0.05 * index as f64);
    let top = if failing.is_empty() { high * 1.1 } else { row_of(failing.len()) };
    let axis = Axis::new("steps to 96 % (logarithmic)", Scale::Log, low / 1.1, top);
    let mut steps = Panel::new("The same in steps; above, what fails", size(), axis.clone());
    for &lr in &rates {
        let color = rate_color(&rates, lr);
        ours.series.push(Series::new(seconds(rows, lr), line, color));
        theirs.series.push(Series::new(Published::at(published, lr), line, color));
        let points = good(rows, lr).map(|row| (row.scale, row.steps as f64)).collect();
        steps.series.push(Series::new(points, line, color));
    }
    for (index, &lr) in failing.iter().enumerate() {
        let failed = at(rows, lr).filter(|row| row.status != Status::Ok);
        let points = failed.map(|row| (row.scale, row_of(index))).collect();
        let crosses = Mark::Crosses { radius: 5 };
        steps.series.push(Series::new(points, crosses, rate_color(&rates, lr)));
    }
    let ticks = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1].to_vec();
    let x = Axis::holding("learning rate (logarithmic)", Scale::Log, rates.iter().copied());
    let ticks = ticks.into_iter().filter(|&tick| x.holds(tick)).collect();
    let mut valleys = Panel::new("Steps against the rate", x.with_ticks(ticks), axis);
    for (scale, color) in shades {
        let points = rates
            .iter()
            .filter_map(|&lr| good(rows, lr).find(|row| row.scale == scale))
            .map(|row| (row.lr, row.steps as f64))
            .collect();
        valleys.series.push(Series::new(points, line, color));
    }
    figure.panels = vec![ours, theirs, steps, valleys];
    figure
}

/// Some of the sizes, the larger the darker.
fn shades(rows: &[Row]) -> Vec<(f64, RGBColor)> {
    let scales = distinct(rows.iter().map(|row| row.scale));
    let wanted = [1.0, 5.5, 10.0];
    let chosen: Vec<f64> = scales.into_iter().filter(|scale| wanted.contains(scale)).collect();
    let last = (chosen.len().max(2) - 1) as f64;
    let shade = |index: usize| (195.0 * (1.0 - index as f64 / last)) as u8;
    let shade = |(index, &scale)| (scale, RGBColor(shade(index), shade(index), shade(index)));
    chosen.iter().enumerate().map(shade).collect()
}
