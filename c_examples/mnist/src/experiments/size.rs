//! How the time to learn depends on the size of the network: 1 to 10 times the usual one, Adam at one rate, to 96 %
//! training accuracy.
//!
//! Mack's second experiment. Time is made of steps, of the time of a step, and in that of the optimizer's part; each is
//! measured for itself. What a network costs has two sides, weights and multiply-adds, which need not grow alike: in
//! linear mode both are proportional to the size, in article mode both grow with its square, in other proportions.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use plotters::style::RGBColor;
use serde::{Deserialize, Serialize};

use super::goal::{Goal, Outcome, Status, train_until};
use super::kernel;
use super::trend::Trend;
use super::{Check, Picture, Section, Table};
use crate::ffi::Settings;
use crate::lab::{Cores, Job, Lab, parse_csv, read_csv};
use crate::optimizer::{Model, Optimizer};
use crate::output;
use crate::plot::{self, Axis, Entry, Figure, GREY, Mark, Note, Panel, Scale, Series, Side};

/// As in the article.
const ACCURACY: f64 = 0.96;
/// The article's best rate of Adam, as its measurements are labelled.
const RATE: f64 = 0.001_46;
const CAP: u64 = 2_750;
const QUICK_CAP: u64 = 800;

/// What of the whole experiment is to be run.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Part {
    /// Only one way to grow [default: both]
    #[arg(short, long, value_enum)]
    pub growth: Option<Mode>,
    /// Sizes, in multiples of the usual network: quarters [default: 1 to 10 by 0.25, with --quick 1, 4, 7, 10]
    #[arg(long, value_delimiter = ',', value_name = "S", value_parser = scale)]
    pub scale: Vec<f64>,
    /// Adam's rate [default: the article's 0.00146]
    #[arg(short, long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Steps after which a run that gets on too slowly is given up [default: 2750, with --quick 800]
    #[arg(long, value_name = "N")]
    pub cap: Option<NonZeroU64>,
}

/// Which layers grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The second convolution alone: weights and multiply-adds are proportional to the size
    Linear,
    /// Both convolutions, as in the article: weights and multiply-adds grow with the square of the size
    Article,
}

impl Mode {
    const ALL: [Mode; 2] = [Mode::Linear, Mode::Article];

    fn name(self) -> &'static str {
        match self {
            Mode::Linear => "linear",
            Mode::Article => "article",
        }
    }

    fn color(self) -> RGBColor {
        plot::PALETTE[match self {
            Mode::Linear => 5,
            Mode::Article => 6,
        }]
    }

    /// The network of a size, a multiple of a quarter.
    pub fn widen(self, usual: Settings, scale: f64) -> Settings {
        let times = |width: usize| (width as f64 * scale) as usize;
        let conv1 = match self {
            Mode::Linear => usual.conv1,
            Mode::Article => times(usual.conv1),
        };
        Settings { conv1, conv2: times(usual.conv2), ..usual }
    }
}

/// A size on the command line. The narrowest layer has four channels, so that quarters make whole ones.
pub(super) fn scale(text: &str) -> Result<f64, String> {
    let usable = |scale: &f64| (0.25..=50.0).contains(scale) && (4.0 * scale).fract() == 0.0;
    text.parse()
        .ok()
        .filter(usable)
        .ok_or_else(|| "expected a multiple of 0.25, from 0.25 to 50".to_owned())
}

/// From 1 to 10.
pub(super) fn scales(every: f64) -> Vec<f64> {
    (0..).map(|index| 1.0 + f64::from(index) * every).take_while(|&scale| scale <= 10.0).collect()
}

/// A row of `size.csv` and `lrsize.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub mode: Mode,
    pub scale: f64,
    pub weights: usize,
    pub macs: u64,
    pub lr: f64,
    pub steps: u64,
    pub secs: f64,
    /// Median.
    pub ms_step: f64,
    /// Median, of the optimizer's part.
    pub opt_us: f64,
    pub status: Status,
}

/// A network to be trained with Adam.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub mode: Mode,
    pub scale: f64,
    pub lr: f64,
}

/// What the journal keeps of it.
#[derive(Serialize, Deserialize)]
struct Run {
    weights: usize,
    macs: u64,
    outcome: Outcome,
}

/// Trains them all, up to `cap` steps each.
pub(super) fn measure(
    lab: &Lab,
    title: &str,
    cores: Cores,
    plans: &[Plan],
    cap: u64,
) -> Result<Vec<Row>> {
    ensure!(
        lab.options().model == Model::Lenet,
        "--model tf: the widths of that network are fixed; this experiment widens the LeNet"
    );
    let goal = Goal { accuracy: ACCURACY, cap };
    let settings = |plan: &Plan| {
        let usual = lab.settings(Optimizer::Adam.settings(lab.options().preset, plan.lr));
        plan.mode.widen(usual, plan.scale)
    };
    let jobs: Vec<Job<Plan>> = plans
        .iter()
        .map(|plan| {
            let how = if cores == Cores::One { ", one at a time" } else { "" };
            let key = format!("{} to {ACCURACY} in {cap}{how}", lab.describe(&settings(plan)));
            Job { key: format!("{key}, sizes"), steps: cap, task: *plan }
        })
        .collect();
    let runs: Vec<Run> = lab.run_on(cores, title, &jobs, |plan, ticket| {
        let mut trainer = lab.trainer(settings(plan), ticket)?;
        let outcome = train_until(&mut trainer, goal, ticket)?;
        Ok(Run { weights: trainer.param_count(), macs: trainer.macs(), outcome })
    })?;
    let row = |(plan, run): (&Plan, Run)| Row {
        mode: plan.mode,
        scale: plan.scale,
        weights: run.weights,
        macs: run.macs,
        lr: plan.lr,
        steps: run.outcome.steps,
        secs: run.outcome.secs,
        ms_step: run.outcome.ms_step,
        opt_us: run.outcome.opt_us,
        status: run.outcome.status,
    };
    Ok(plans.iter().zip(runs).map(row).collect())
}

/// All of it, where it can be done: among other experiments, the wrong network is not an error.
pub fn run_all(lab: &Lab) -> Result<()> {
    if lab.options().model != Model::Lenet {
        output::say(format_args!("size: left out, since it widens the LeNet"));
        return Ok(());
    }
    run(lab, &Part::default())
}

/// Some of it.
pub fn run(lab: &Lab, part: &Part) -> Result<()> {
    let quick = lab.options().quick;
    let cap = part.cap.map_or(if quick { QUICK_CAP } else { CAP }, NonZeroU64::get);
    let sizes = match part.scale.as_slice() {
        [] => scales(if quick { 3.0 } else { 0.25 }),
        sizes => sizes.to_vec(),
    };
    let lr = part.lr.unwrap_or(RATE);
    let modes = part.growth.map_or(Mode::ALL.to_vec(), |mode| vec![mode]);
    let plans: Vec<Plan> = modes
        .iter()
        .flat_map(|&mode| sizes.iter().map(move |&scale| Plan { mode, scale, lr }))
        .collect();
    lab.write_csv("size.csv", measure(lab, "size", Cores::One, &plans, cap)?)?;
    kernel::run(lab, &part.scale)
}

/// A point of the article's figure.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Published {
    pub scale: f64,
    pub lr: f64,
    #[serde(rename = "time")]
    pub secs: f64,
}

impl Published {
    /// All of them; each reached the accuracy.
    pub fn read() -> Result<Vec<Self>> {
        parse_csv(include_str!("../../published/size.csv"))
    }

    /// Seconds over size, which some sizes have several of.
    pub fn at(rows: &[Self], lr: f64) -> Vec<(f64, f64)> {
        let rows = rows.iter().filter(|row| row.lr == lr);
        let mut points: Vec<_> = rows.map(|row| (row.scale, row.secs)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }
}

/// From `size.csv` and `kernel.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("size.csv"))?;
    let kernels: Vec<kernel::Row> = read_csv(&dir.join("kernel.csv"))?;
    let published = Published::read()?;
    draw_times(&rows, &published).save(dir, "size")?;
    draw_steps(&rows).save(dir, "size-step")?;
    kernel::draw(&kernels).save(dir, "kernel")?;
    let mut checks = checks(&rows, &published);
    checks.extend(kernel::checks(&kernels));
    Ok(Section {
        title: "Network size",
        question: "How does the time to learn grow with the size of the network?".into(),
        pictures: vec![
            Picture {
                stem: "size",
                caption: "Seconds to 96 % training accuracy against the size, with least-squares lines: two ways to grow, and the \
                    article's measurements. Multiply-adds grow linearly in the one, and with the square of the size in the other. \
                    Last, the steps alone"
                    .into(),
            },
            Picture {
                stem: "size-step",
                caption: "One step: its median time against weights and against multiply-adds, and the optimizer's part against \
                    weights, all while the network is trained"
                    .into(),
            },
            Picture {
                stem: "kernel",
                caption: "The update alone, repeated over the network's tensors, the fastest of many rounds: time of a step for each \
                    of the eight optimizers against the number of weights, and the same for one weight"
                    .into(),
            },
        ],
        article: "Mack: with Adam at a good rate, the time to train grows linearly with the size of the network; the fits to his \
            measurements have R² of 0.93 to 0.98 for rates of 0.0001 to 0.00146. His code widens both convolutions, so that the \
            work grows with the square of the size."
            .into(),
        measured: measured(&rows),
        table: table(&rows),
        checks,
    })
}

fn of(rows: &[Row], mode: Mode) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.mode == mode)
}

fn successes(rows: &[Row], mode: Mode) -> impl Iterator<Item = &Row> {
    of(rows, mode).filter(|row| row.status == Status::Ok)
}

fn thousand_weights(row: &Row) -> f64 {
    row.weights as f64 / 1e3
}

fn million_macs(row: &Row) -> f64 {
    row.macs as f64 / 1e6
}

fn modes(rows: &[Row]) -> impl Iterator<Item = Mode> {
    Mode::ALL.into_iter().filter(|&mode| of(rows, mode).next().is_some())
}

fn measured(rows: &[Row]) -> String {
    let mut text = String::from(
        "One run at a time, on one thread. Seconds and milliseconds are those of the thread, without its waits for other programs.",
    );
    for mode in modes(rows) {
        let ends = of(rows, mode).min_by(|a, b| a.scale.total_cmp(&b.scale));
        let ends = ends.zip(of(rows, mode).max_by(|a, b| a.scale.total_cmp(&b.scale)));
        if let Some((small, large)) = ends {
            let _ = write!(
                text,
                " {} mode, {} to {} times the size: {:.1} times the weights, {:.1} times the multiply-adds, {:.1} times the time \
                    of a step, {:.2} times the steps.",
                match mode {
                    Mode::Linear => "Linear",
                    Mode::Article => "Article",
                },
                small.scale,
                large.scale,
                large.weights as f64 / small.weights as f64,
                large.macs as f64 / small.macs as f64,
                large.ms_step / small.ms_step,
                large.steps as f64 / small.steps as f64,
            );
        }
    }
    text
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "mode",
        "size",
        "weights",
        "multiply-adds",
        "rate",
        "",
        "steps",
        "seconds",
        "ms a step",
        "of it optimizer (us)",
    ]);
    let whole = |row: &&Row| row.scale.fract() == 0.0;
    let any_whole = rows.iter().any(|row| whole(&row));
    table.rows = rows
        .iter()
        .filter(|row| !any_whole || whole(row))
        .map(|row| {
            vec![
                row.mode.name().to_owned(),
                plot::number(row.scale),
                plot::number(row.weights as f64),
                plot::number(row.macs as f64),
                plot::number(row.lr),
                row.status.words().to_owned(),
                row.steps.to_string(),
                format!("{:.2}", row.secs),
                format!("{:.3}", row.ms_step),
                format!("{:.2}", row.opt_us),
            ]
        })
        .collect();
    table
}

fn checks(rows: &[Row], published: &[Published]) -> Vec<Check> {
    let mut checks = Vec::new();
    for mode in modes(rows) {
        let over = |n: fn(&Row) -> f64| {
            Trend::of(&of(rows, mode).map(|row| (n(row), row.ms_step)).collect::<Vec<_>>())
        };
        let Some((weights, macs)) = over(thousand_weights).zip(over(million_macs)) else {
            continue;
        };
        let figures = format!(
            "over weights R² = {:.4} ({} ms + {} per thousand), over multiply-adds R² = {:.4} ({} ms + {} per million)",
            weights.r2,
            plot::rounded(weights.intercept),
            plot::rounded(weights.slope),
            macs.r2,
            plot::rounded(macs.intercept),
            plot::rounded(macs.slope),
        );
        checks.push(match mode {
            Mode::Linear => Check::new(
                "Linear mode: the time of a step is c + k n, n the number of weights or of multiply-adds (R² of at least 0.98)",
                figures,
                weights.r2 >= 0.98 && macs.r2 >= 0.98,
            ),
            Mode::Article => Check::new(
                "Article mode: the time of a step is c + k n, n the number of multiply-adds (R² of at least 0.98)",
                figures,
                macs.r2 >= 0.98,
            ),
        });
    }
    let both = |n: fn(&Row) -> f64| {
        Trend::of(&rows.iter().map(|row| (n(row), row.ms_step)).collect::<Vec<_>>())
    };
    if modes(rows).count() == 2
        && let Some((weights, macs)) = both(thousand_weights).zip(both(million_macs))
    {
        checks.push(Check::figure(
            "One line for both modes",
            format!("over weights R² = {:.4}, over multiply-adds R² = {:.4}", weights.r2, macs.r2),
        ));
    }
    for mode in modes(rows) {
        let times: Vec<_> = successes(rows, mode).map(|row| (row.scale, row.secs)).collect();
        let of_macs: Vec<_> =
            successes(rows, mode).map(|row| (million_macs(row), row.secs)).collect();
        if let Some((size, macs)) = Trend::of(&times).zip(Trend::of(&of_macs)) {
            checks.push(Check::figure(
                format!("Seconds to 96 % on a line, {} mode", mode.name()),
                format!(
                    "over the size R² = {:.3}, over multiply-adds R² = {:.3}",
                    size.r2, macs.r2
                ),
            ));
        }
    }
    if let Some(trend) = Trend::of(&Published::at(published, RATE)) {
        checks.push(Check::figure(
            "Seconds to 96 % on a line, published",
            format!("over the size R² = {:.3}", trend.r2),
        ));
    }
    let part: Vec<_> = of(rows, Mode::Linear).collect();
    let trend =
        Trend::of(&part.iter().map(|row| (row.weights as f64, row.opt_us)).collect::<Vec<_>>());
    if let Some(trend) = trend {
        let shares = part.iter().map(|row| 0.1 * row.opt_us / row.ms_step);
        checks.push(Check::figure(
            "The optimizer's part of a step while training, linear mode, over weights",
            format!(
                "R² = {:.3}, {:.2} us + {:.3} ns a weight; at the most {:.2} % of a step",
                trend.r2,
                trend.intercept,
                1e3 * trend.slope,
                shares.fold(0.0, f64::max),
            ),
        ));
    }
    checks
}

/// Points and the line through them.
struct Cloud {
    points: Vec<(f64, f64)>,
    color: RGBColor,
}

/// From zero, with room for a note of each line above.
fn trend_panel(title: &str, x_title: &str, y_title: &str, clouds: &[Cloud]) -> Panel {
    let points = || clouds.iter().flat_map(|cloud| &cloud.points);
    let right = points().map(|point| point.0).fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.04;
    let highest = points().map(|point| point.1).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let top = highest * (1.12 + 0.09 * clouds.len() as f64);
    let mut panel = Panel::new(
        title,
        Axis::new(x_title, Scale::Linear, 0.0, right),
        Axis::new(y_title, Scale::Linear, 0.0, top),
    );
    for (index, cloud) in clouds.iter().enumerate() {
        let dots = Mark::Dots { radius: 3 };
        panel.series.push(Series::new(cloud.points.clone(), dots, cloud.color).faint(0.6));
        if let Some(trend) = Trend::of(&cloud.points) {
            let line = Mark::Line { width: 2 };
            panel.series.push(Series::new(trend.line(&cloud.points), line, cloud.color));
            let text = format!(
                "{} {} {} x,  R² = {:.3}",
                plot::rounded(trend.intercept),
                if trend.slope < 0.0 { "−" } else { "+" },
                plot::rounded(trend.slope.abs()),
                trend.r2,
            );
            let at = (0.02 * right, top * (0.95 - 0.07 * index as f64));
            panel.notes.push(Note { at, text, color: cloud.color, side: Side::Right });
        }
    }
    panel
}

fn legend(rows: &[Row]) -> Vec<Entry> {
    let text = |mode| match mode {
        Mode::Linear => "linear mode: 312 + 3,112 s weights",
        Mode::Article => "article mode: both convolutions grow, work as s²",
    };
    let dots = Mark::Dots { radius: 4 };
    modes(rows).map(|mode| Entry::new(text(mode), dots, mode.color())).collect()
}

fn cloud(rows: &[Row], mode: Mode, point: impl Fn(&Row) -> (f64, f64)) -> Cloud {
    Cloud { points: successes(rows, mode).map(point).collect(), color: mode.color() }
}

fn draw_times(rows: &[Row], published: &[Published]) -> Figure {
    let mut legend = legend(rows);
    legend.push(Entry::new("published", Mark::Dots { radius: 4 }, GREY));
    let caption = "s is the size, as a multiple of the network of 3,424 weights; Adam at one rate";
    let mut figure = Figure { columns: 2, ..Figure::new((1200, 860), caption, legend) };
    let (x, y) = ("size s", "seconds to 96 %");
    for mode in modes(rows) {
        let title = match mode {
            Mode::Linear => "Linear mode",
            Mode::Article => "Article mode: the work grows with the square of s",
        };
        let cloud = cloud(rows, mode, |row| (row.scale, row.secs));
        figure.panels.push(trend_panel(title, x, y, &[cloud]));
    }
    let theirs = Cloud { points: Published::at(published, RATE), color: GREY };
    figure.panels.push(trend_panel("Published: Adam at 0.00146", x, y, &[theirs]));
    let steps = modes(rows).map(|mode| cloud(rows, mode, |row| (row.scale, row.steps as f64)));
    let steps: Vec<_> = steps.collect();
    figure.panels.push(trend_panel("Steps alone", x, "steps to 96 %", &steps));
    figure
}

fn draw_steps(rows: &[Row]) -> Figure {
    let caption = "medians over the steps of a run";
    let mut figure = Figure { columns: 2, ..Figure::new((1200, 860), caption, legend(rows)) };
    let clouds = |modes: &[Mode], point: fn(&Row) -> (f64, f64)| -> Vec<Cloud> {
        let modes = modes.iter().filter(|&&mode| of(rows, mode).next().is_some());
        modes.map(|&mode| cloud(rows, mode, point)).collect()
    };
    let (weights, macs) = ("thousand weights", "million multiply-adds of a digit's forward pass");
    let ms = "milliseconds a step";
    figure.panels = vec![
        trend_panel(
            "A step, over weights",
            weights,
            ms,
            &clouds(&Mode::ALL, |row| (thousand_weights(row), row.ms_step)),
        ),
        trend_panel(
            "A step, over multiply-adds",
            macs,
            ms,
            &clouds(&Mode::ALL, |row| (million_macs(row), row.ms_step)),
        ),
        trend_panel(
            "A step in linear mode, over weights",
            weights,
            ms,
            &clouds(&[Mode::Linear], |row| (thousand_weights(row), row.ms_step)),
        ),
        trend_panel(
            "Of it, Adam's update",
            weights,
            "microseconds a step",
            &clouds(&Mode::ALL, |row| (thousand_weights(row), row.opt_us)),
        ),
    ];
    figure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;
    use crate::ffi::{Threads, Trainer};
    use crate::optimizer::Preset;

    #[test]
    fn weights_grow_as_the_legend_says() {
        let data = data::load(None, None).unwrap();
        let optimizer = Optimizer::Adam.settings(Preset::Torch, RATE);
        let usual = Settings::usual(Model::Lenet, 1, optimizer);
        for s in scales(0.25) {
            let weights = |mode: Mode| {
                let settings = mode.widen(usual, s);
                Trainer::new(data.train(), settings, Threads::Caller).unwrap().param_count() as f64
            };
            assert_eq!(weights(Mode::Linear), 312.0 + 3_112.0 * s);
            assert_eq!(weights(Mode::Article), 208.0 + 2_416.0 * s + 800.0 * s * s);
        }
    }

    #[test]
    fn sizes_are_quarters() {
        assert_eq!(scale("1.25"), Ok(1.25));
        for text in ["0", "1.3", "-1", "51", "NaN", "inf", "large"] {
            assert!(scale(text).is_err(), "{text}");
        }
        assert_eq!(scales(3.0), [1.0, 4.0, 7.0, 10.0]);
        assert_eq!(scales(0.25).len(), 37);
    }

    #[test]
    fn rows_survive_the_file() {
        let row = Row {
            mode: Mode::Article,
            scale: 1.25,
            weights: 4_478,
            macs: 155_060,
            lr: RATE,
            steps: 504,
            secs: 0.1 + 0.2,
            ms_step: 1.0 / 3.0,
            opt_us: 0.71,
            status: Status::Ok,
        };
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.serialize(&row).unwrap();
        let text = String::from_utf8(csv.into_inner().unwrap()).unwrap();
        assert!(text.starts_with(
            "mode,scale,weights,macs,lr,steps,secs,ms_step,opt_us,status\narticle,1.25,4478,"
        ));
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(rows.deserialize::<Row>().next().unwrap().unwrap(), row);
    }

    #[test]
    fn the_published_figures_are_read() {
        let rows = Published::read().unwrap();
        assert_eq!(rows.len(), 211);
        let points = Published::at(&rows, RATE);
        assert_eq!(points.len(), 36);
        assert_eq!(format!("{:.3}", Trend::of(&points).unwrap().r2), "0.933"); // as in the article
    }
}
