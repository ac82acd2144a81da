//! How long the update of all weights takes, by itself, for each optimizer and size of the network.
//!
//! In a training run it is a microsecond among milliseconds, after everything else has gone through the caches. Here it
//! is repeated over the network's own tensors, and the fastest of many rounds counts. The conventions are PyTorch's, which
//! has all eight.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::Check;
use super::size::Mode;
use super::trend::Trend;
use crate::ffi;
use crate::lab::{Cores, Job, Lab};
use crate::optimizer::{Model, Optimizer, Preset};
use crate::plot::{self, Axis, Entry, Figure, Mark, Panel, Scale, Series};

/// In multiples of the usual network.
const SCALES: [f64; 13] = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.5, 10.0];
const QUICK_SCALES: [f64; 4] = [1.0, 4.0, 7.0, 10.0];
/// For a measurement.
const SECONDS: f64 = 0.15;
const QUICK_SECONDS: f64 = 0.02;

/// A row of `kernel.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub opt: String,
    pub weights: usize,
    pub ns_step: f64,
}

/// At these sizes, or the usual ones.
pub fn run(lab: &Lab, scales: &[f64]) -> Result<()> {
    let quick = lab.options().quick;
    let scales = match scales {
        [] if quick => &QUICK_SCALES,
        [] => &SCALES[..],
        scales => scales,
    };
    let budget = if quick { QUICK_SECONDS } else { SECONDS };
    let settings = |optimizer: Optimizer, scale: f64| {
        let lr = optimizer.default_lr(Model::Lenet);
        let usual = lab.settings(optimizer.settings(Preset::Torch, lr));
        Mode::Linear.widen(usual, scale)
    };
    let jobs: Vec<Job<(Optimizer, f64)>> = Optimizer::ALL
        .iter()
        .flat_map(|&optimizer| scales.iter().map(move |&scale| (optimizer, scale)))
        .map(|(optimizer, scale)| {
            let network = lab.describe(&settings(optimizer, scale));
            let key = format!("kernel alone, {}, {budget} s: {network}", ffi::backend());
            Job { key, steps: 1, task: (optimizer, scale) }
        })
        .collect();
    let rows: Vec<Row> =
        lab.run_on(Cores::One, "kernels", &jobs, |(optimizer, scale), ticket| {
            let mut trainer = lab.trainer(settings(*optimizer, *scale), ticket)?;
            trainer.steps(1, &mut |_| true)?; // for a gradient
            let weights = trainer.param_count();
            let ns_step = 1e9 * trainer.time_optimizer(budget)?;
            ensure!(ns_step > 0.0, "the clock stands still");
            Ok(Row { opt: optimizer.key().to_owned(), weights, ns_step })
        })?;
    lab.write_csv("kernel.csv", rows)
}

/// The optimizers that are there, with nanoseconds a step over weights.
fn curves(rows: &[Row]) -> Vec<(Optimizer, Vec<(f64, f64)>)> {
    let of = |optimizer: Optimizer| {
        let rows = rows.iter().filter(|row| row.opt == optimizer.key());
        (optimizer, rows.map(|row| (row.weights as f64, row.ns_step)).collect::<Vec<_>>())
    };
    Optimizer::ALL.into_iter().map(of).filter(|(_, points)| !points.is_empty()).collect()
}

/// Whether the time is linear in the number of weights.
pub fn checks(rows: &[Row]) -> Vec<Check> {
    let trends: Vec<_> = curves(rows)
        .into_iter()
        .filter_map(|(optimizer, points)| Some((optimizer.name(), Trend::of(&points)?)))
        .collect();
    if trends.is_empty() {
        return Vec::new();
    }
    let text: Vec<_> = trends
        .iter()
        .map(|(name, trend)| {
            format!(
                "{name} {:.0} ns + {:.3} a weight (R² = {:.4})",
                trend.intercept, trend.slope, trend.r2
            )
        })
        .collect();
    vec![Check::new(
        "The optimizer kernel's own time is linear in the number of weights (R² of at least 0.98, each optimizer)",
        text.join(", "),
        trends.iter().all(|(_, trend)| trend.r2 >= 0.98),
    )]
}

/// A line for each optimizer.
pub fn draw(rows: &[Row]) -> Figure {
    let curves = curves(rows);
    let line = Mark::Line { width: 2 };
    let legend = curves
        .iter()
        .map(|(optimizer, _)| Entry::new(optimizer.name(), line, plot::color(*optimizer)))
        .collect();
    let caption = "one step over all weights, warm caches, one thread; lines by least squares";
    let mut figure = Figure::new((1200, 560), caption, legend);
    let all = || curves.iter().flat_map(|(_, points)| points);
    let right = 1.04 * all().map(|point| point.0).fold(1.0, f64::max);
    let x = || Axis::new("weights", Scale::Linear, 0.0, right).with_ticks(thousands(right));
    let top = 1.04e-3 * all().map(|point| point.1).fold(1.0, f64::max);
    let mut time = Panel::new("A step", x(), Axis::new("microseconds", Scale::Linear, 0.0, top));
    let per_weight = |&(weights, ns): &(f64, f64)| (weights, ns / weights);
    let highest = all().map(|point| per_weight(point).1).fold(0.0, f64::max);
    let axis = Axis::new("nanoseconds a weight", Scale::Linear, 0.0, 1.08 * highest.max(1e-3));
    let mut ratio = Panel::new("The same, for one weight", x(), axis);
    for (optimizer, points) in &curves {
        let color = plot::color(*optimizer);
        let us: Vec<_> = points.iter().map(|&(weights, ns)| (weights, 1e-3 * ns)).collect();
        if let Some(trend) = Trend::of(&us) {
            time.series.push(Series::new(trend.line(&us), line, color));
        }
        time.series.push(Series::new(us, Mark::Dots { radius: 4 }, color));
        let each = points.iter().map(per_weight).collect();
        ratio.series.push(Series::new(each, Mark::LineAndDots { width: 2, radius: 4 }, color));
    }
    figure.panels = vec![time, ratio];
    figure
}

/// At most eight round numbers of thousands.
fn thousands(right: f64) -> Vec<f64> {
    let step = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4].into_iter().find(|step| right / step <= 8.0);
    let step = step.unwrap_or(1e5);
    (0..).map(|index| f64::from(index) * step).take_while(|&tick| tick <= right).collect()
}
