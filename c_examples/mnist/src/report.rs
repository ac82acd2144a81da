//! The table at the end, and the CSV files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::Writer;

use crate::output;
use crate::run::{Epoch, Run};

/// All runs side by side, or where there are several seeds, what they have in common.
pub fn table(runs: &[Run]) -> String {
    if runs.iter().any(|run| run.seed != runs[0].seed) {
        return seeds_table(runs);
    }
    let mut text = String::from(
        "optimizer       rate  state     bytes  train loss  test loss  test accuracy      time  optimizer step   share  weights' hash\n",
    );
    for run in runs {
        let _ = write!(
            text,
            "{:<9} {:>10}  {:<5} {:>9} ",
            run.optimizer.name(),
            run.lr,
            run.state.key(),
            run.state_bytes
        );
        match (run.diverged, run.epochs.last()) {
            (None, Some(last)) => {
                let _ = write!(
                    text,
                    "{:>11.4} {:>10.4} {:>12.2} %",
                    last.train.loss,
                    last.test.loss,
                    100.0 * last.test.accuracy
                );
            }
            (step, _) => {
                let _ = write!(text, "{:>37}", format!("diverged at step {}", step.unwrap_or(0)));
            }
        }
        let _ = writeln!(
            text,
            " {:>7.2} s {:>12.2} us {:>5.1} %  {:016x}",
            run.seconds,
            1e6 * run.optimizer_seconds / run.steps.len() as f64,
            100.0 * run.optimizer_seconds / run.seconds,
            run.hash
        );
    }
    text
}

/// Mean and standard deviation over the seeds, for each optimizer and format of state.
fn seeds_table(runs: &[Run]) -> String {
    let mut text = String::from(
        "optimizer       rate  state     bytes  seeds           train loss            test loss      test accuracy\n",
    );
    for runs in runs.chunk_by(|a, b| (a.optimizer, a.state) == (b.optimizer, b.state)) {
        let first = &runs[0];
        let _ = write!(
            text,
            "{:<9} {:>10}  {:<5} {:>9} {:>6} ",
            first.optimizer.name(),
            first.lr,
            first.state.key(),
            first.state_bytes,
            runs.len(),
        );
        let last: Vec<_> = runs.iter().filter(|run| run.diverged.is_none()).collect();
        if last.len() < runs.len() {
            let _ = writeln!(text, " {} diverged", runs.len() - last.len());
            continue;
        }
        let spread = |figure: fn(&Epoch) -> f64| {
            let values: Vec<_> =
                runs.iter().filter_map(|run| run.epochs.last()).map(figure).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (squares / (count - 1.0)).sqrt())
        };
        let (train, train_spread) = spread(|epoch| epoch.train.loss);
        let (test, test_spread) = spread(|epoch| epoch.test.loss);
        let (accuracy, accuracy_spread) = spread(|epoch| 100.0 * epoch.test.accuracy);
        let _ = writeln!(
            text,
            "  {train:>8.4} +- {train_spread:.4}   {test:>8.4} +- {test_spread:.4}   {accuracy:>6.2} +- {accuracy_spread:.2} %"
        );
    }
    text
}

/// `summary.csv`, `epochs.csv` and `steps.csv`. A missing accuracy or loss means that the run diverged.
pub fn write_csv(dir: &Path, runs: &[Run]) -> Result<Vec<PathBuf>> {
    let files = [
        ("summary.csv", summary(runs)?),
        ("epochs.csv", epochs(runs)?),
        ("steps.csv", steps(runs)?),
    ];
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = dir.join(name);
        output::write(&path, &bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

fn summary(runs: &[Run]) -> Result<Vec<u8>> {
    let mut csv = Writer::from_writer(Vec::new());
    csv.write_record([
        "optimizer",
        "preset",
        "lr",
        "schedule",
        "batch_size",
        "seed",
        "epochs",
        "steps",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "weights_fnv1a",
        "seconds",
        "optimizer_seconds",
        "state",
        "state_bytes",
    ])?;
    for run in runs {
        let last = run.epochs.last().filter(|_| run.diverged.is_none());
        let figure = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        csv.write_record([
            run.optimizer.key().to_owned(),
            run.preset.clone(),
            run.lr.to_string(),
            format!("{:?}", run.schedule).to_lowercase(),
            run.batch_size.to_string(),
            run.seed.to_string(),
            run.epochs.len().to_string(),
            run.steps.len().to_string(),
            figure(last.map(|epoch| epoch.train.loss)),
            figure(last.map(|epoch| epoch.train.accuracy)),
            figure(last.map(|epoch| epoch.test.loss)),
            figure(last.map(|epoch| epoch.test.accuracy)),
            format!("{:016x}", run.hash),
            format!("{:.6}", run.seconds),
            format!("{:.6}", run.optimizer_seconds),
            run.state.key().to_owned(),
            run.state_bytes.to_string(),
        ])?;
    }
    Ok(csv.into_inner()?)
}

fn epochs(runs: &[Run]) -> Result<Vec<u8>> {
    let mut csv = Writer::from_writer(Vec::new());
    csv.write_record([
        "optimizer",
        "state",
        "seed",
        "epoch",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "seconds",
        "optimizer_seconds",
    ])?;
    for run in runs {
        for (index, epoch) in run.epochs.iter().enumerate() {
            csv.write_record([
                run.optimizer.key().to_owned(),
                run.state.key().to_owned(),
                run.seed.to_string(),
                (index + 1).to_string(),
                epoch.train.loss.to_string(),
                epoch.train.accuracy.to_string(),
                epoch.test.loss.to_string(),
                epoch.test.accuracy.to_string(),
                format!("{:.6}", epoch.seconds),
                format!("{:.6}", epoch.optimizer_seconds),
            ])?;
        }
    }
    Ok(csv.into_inner()?)
}

fn steps(runs: &[Run]) -> Result<Vec<u8>> {
    let mut csv = Writer::from_writer(Vec::new());
    csv.write_record(["optimizer", "state", "seed", "step", "batch_loss", "batch_accuracy"])?;
    for run in runs {
        for (index, step) in run.steps.iter().enumerate() {
            csv.write_record([
                run.optimizer.key().to_owned(),
                run.state.key().to_owned(),
                run.seed.to_string(),
                (index + 1).to_string(),
                step.loss.to_string(),
                step.accuracy.to_string(),
            ])?;
        }
    }
    Ok(csv.into_inner()?)
}
