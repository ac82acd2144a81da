//! The training curves of some runs side by side.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Axis, Entry, Figure, Mark, Panel, Scale, Series, color};
use crate::cli::Schedule;
use crate::run::Run;

const LINE: Mark = Mark::Line { width: 2 };

/// Writes `curves.svg` and `curves.png`: of several formats of state and seeds the first.
pub fn write(dir: &Path, runs: &[Run]) -> Result<Vec<PathBuf>> {
    let is_first = |run: &&Run| (run.state, run.seed) == (runs[0].state, runs[0].seed);
    let runs: Vec<&Run> = runs.iter().filter(is_first).collect();
    let caption = runs.first().map_or(String::new(), |run| {
        format!(
            "batches of {}, preset {}, state in {}, seed {}; behind each optimizer its learning rate{}",
            run.batch_size,
            run.preset,
            run.state.key(),
            run.seed,
            match run.schedule {
                Schedule::Linear => ", which falls to 0 in a straight line",
                Schedule::Constant => "",
            }
        )
    });
    let entry = |run: &Run| {
        Entry::new(format!("{} {}", run.optimizer.name(), run.lr), LINE, color(run.optimizer))
    };
    let mut figure = Figure::new((1200, 560), caption, runs.iter().copied().map(entry).collect());
    let (loss, error) = ("cross-entropy (nats), running mean", "test digits misread (%)");
    figure.panels = vec![
        panel("Training loss", loss, &runs, LINE, smoothed_loss),
        panel("Test error", error, &runs, Mark::LineAndDots { width: 2, radius: 3 }, test_error),
    ];
    Ok(figure.save(dir, "curves")?.into())
}

/// Something about each run against epochs.
fn panel(
    title: &str,
    unit: &str,
    runs: &[&Run],
    mark: Mark,
    points: fn(&Run) -> Vec<(f64, f64)>,
) -> Panel {
    let curves: Vec<_> = runs.iter().copied().map(points).collect();
    let length = |run: &Run| run.steps.len() as f64 / run.steps_per_epoch as f64;
    let epochs = runs.iter().copied().map(length).fold(1.0, f64::max);
    let values = curves.iter().flatten().map(|point| point.1);
    let mut panel = Panel::new(
        title,
        Axis::new("epoch", Scale::Linear, 0.0, epochs),
        Axis::holding(unit, Scale::Log, values),
    );
    panel.series = runs
        .iter()
        .zip(curves)
        .map(|(run, points)| Series::new(points, mark, color(run.optimizer)))
        .collect();
    panel
}

/// The mean of the last twentieth of all steps (of those before it, at first), so that the curves do not hide each
/// other under noise; a point for every half of a percent.
fn smoothed_loss(run: &Run) -> Vec<(f64, f64)> {
    let window = run.steps.len().div_ceil(20);
    (1..=run.steps.len())
        .step_by(run.steps.len().div_ceil(200))
        .map(|step| {
            let recent = &run.steps[step.saturating_sub(window)..step];
            let loss = recent.iter().map(|step| step.loss).sum::<f64>() / recent.len() as f64;
            (step as f64 / run.steps_per_epoch as f64, loss)
        })
        .filter(|(_, loss)| loss.is_finite())
        .collect()
}

fn test_error(run: &Run) -> Vec<(f64, f64)> {
    run.epochs
        .iter()
        .enumerate()
        .map(|(index, epoch)| ((index + 1) as f64, 100.0 * (1.0 - epoch.test.accuracy)))
        .collect()
}
