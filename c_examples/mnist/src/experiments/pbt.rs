//! Population based training of the learning rate, next to grid search, and without each of its two halves.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use plotters::style::RGBColor;
use serde::{Deserialize, Serialize};

use super::grid::{self, Best, Search, distinct, optimizer_of, percent};
use super::learner::{Learner, failure, finite};
use super::{Check, Picture, Section, Table};
use crate::lab::{Job, Lab, Ticket, read_csv};
use crate::optimizer::Optimizer;
use crate::plot::{
    self, Axis, Entry, Figure, GREY, Mark, Note, PALETTE, Panel, Scale, Series, Side, ordered_color,
};
use crate::search::compare;
use crate::search::pbt::{self, Event, History, Prior, Record, Settings};

/// Which halves of the method are at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Both.
    Pbt,
    /// The worst copy the best, and go on with their rates.
    Exploit,
    /// The worst change their rates, and copy nobody.
    Explore,
    /// A search with as many random rates as there are members.
    Neither,
}

impl Variant {
    const ALL: [Variant; 4] = [Variant::Pbt, Variant::Exploit, Variant::Explore, Variant::Neither];

    fn words(self) -> &'static str {
        match self {
            Variant::Pbt => "exploit and explore",
            Variant::Exploit => "exploit only",
            Variant::Explore => "explore only",
            Variant::Neither => "neither",
        }
    }

    /// Dashes where it may lie on another one.
    fn line(self, width: u32) -> Mark {
        match self {
            Variant::Neither => Mark::Dashes { width },
            _ => Mark::Line { width },
        }
    }

    fn color(self) -> RGBColor {
        match self {
            Variant::Pbt => PALETTE[6],
            Variant::Exploit => PALETTE[5],
            Variant::Explore => PALETTE[3],
            Variant::Neither => PALETTE[0],
        }
    }
}

/// A member in a round; a row of `pbt.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    pub opt: String,
    pub seed: u64,
    pub variant: Variant,
    pub round: usize,
    pub member: usize,
    /// Whom it copied before the round.
    pub parent: Option<usize>,
    pub event: String,
    pub lr: f64,
    /// Steps at the end of the round, and the validation accuracy there; none where the loss was no number.
    pub step: u64,
    pub val_acc: Option<f64>,
    /// Of all members in the round.
    pub best: Option<f64>,
    pub median: Option<f64>,
}

const EVENTS: [(Event, &str); 5] = [
    (Event::Start, "start"),
    (Event::Keep, "keep"),
    (Event::Copy, "copy"),
    (Event::Perturb, "perturb"),
    (Event::Redraw, "redraw"),
];

/// The learning rate, from 1e-6 to 100.
pub const PRIOR: [Prior; 1] = [Prior::LogUniform(-6.0, 2.0)];

/// With Adam.
pub fn run_all(lab: &Lab) -> Result<()> {
    run(lab, Search::default())
}

/// With any: all variants, and the grid searches that they are compared with.
pub fn run(lab: &Lab, search: Search) -> Result<()> {
    lab.write_csv("pbt-grid.csv", grid::measure(lab, search)?)?;
    let (members, settings) = population(lab.options().quick);
    let jobs: Vec<Job<(u64, Variant)>> = search
        .seeds(lab)?
        .into_iter()
        .flat_map(|seed| Variant::ALL.map(|variant| (seed, variant)))
        .map(|(seed, variant)| {
            // The network's settings have a rate, but no member starts with it.
            let optimizer = search.optimizer.settings(lab.options().preset, f64::NAN);
            let network = crate::ffi::Settings { seed, ..lab.settings(optimizer) };
            let key = format!(
                "{} population of {members} with {PRIOR:?} {:?}",
                lab.describe(&network),
                settings_of(variant, &settings)
            );
            let steps = settings.ready_every * settings.rounds as u64 * members as u64;
            Job { key, steps, task: (seed, variant) }
        })
        .collect();
    let rows: Vec<Vec<Row>> = lab.run("pbt", &jobs, |&(seed, variant), ticket| {
        let settings = settings_of(variant, &settings);
        let history = train(lab, search.optimizer, seed, members, &settings, ticket)?;
        Ok(rows(&history, search.optimizer, seed, variant))
    })?;
    lab.write_csv("pbt.csv", rows.into_iter().flatten())
}

/// The number of members, and how they are trained: with a third of grid search's steps.
fn population(quick: bool) -> (usize, Settings) {
    let (members, ready_every, rounds, changing) =
        if quick { (8, 40, 10, 2) } else { (16, 50, 20, 4) };
    let settings = Settings {
        ready_every,
        rounds,
        losers: changing,
        winners: changing,
        perturb: vec![0.8, 1.2],
        redraw: 0.25,
        exploit: true,
        explore: true,
    };
    (members, settings)
}

fn settings_of(variant: Variant, settings: &Settings) -> Settings {
    Settings {
        exploit: matches!(variant, Variant::Pbt | Variant::Exploit),
        explore: matches!(variant, Variant::Pbt | Variant::Explore),
        ..settings.clone()
    }
}

/// One population, from initial rates that cover all of [`PRIOR`].
pub fn train(
    lab: &Lab,
    optimizer: Optimizer,
    seed: u64,
    members: usize,
    settings: &Settings,
    ticket: &Ticket<'_>,
) -> Result<History> {
    let hyper = pbt::stratified(&PRIOR, members, seed);
    let learner = |hyper: &Vec<f64>| Learner::new(lab, optimizer, seed, hyper[0], ticket);
    let mut learners = hyper.iter().map(learner).collect::<Result<Vec<_>>>()?;
    let stop = || ticket.advance(0).is_err();
    pbt::train(&mut learners, &hyper, &PRIOR, settings, seed, stop).map_err(failure)
}

/// For the table.
pub fn rows(history: &History, optimizer: Optimizer, seed: u64, variant: Variant) -> Vec<Row> {
    let row = |round: &[Record], record: &Record| Row {
        opt: optimizer.key().to_owned(),
        seed,
        variant,
        round: record.round,
        member: record.member,
        parent: record.parent,
        event: EVENTS.iter().find(|pair| pair.0 == record.event).map_or("", |pair| pair.1).into(),
        lr: record.hyper[0],
        step: record.step,
        val_acc: finite(record.score),
        best: pbt::best(round).and_then(|record| finite(record.score)),
        median: pbt::median(round).and_then(finite),
    };
    history.rounds().flat_map(|round| round.iter().map(move |record| row(round, record))).collect()
}

/// One population, read back.
struct Population {
    seed: u64,
    variant: Variant,
    history: History,
}

impl Population {
    fn read(rows: &[Row]) -> Result<Vec<Self>> {
        let same = |a: &Row, b: &Row| (a.seed, a.variant) == (b.seed, b.variant);
        let record = |row: &Row| -> Result<Record> {
            let event = EVENTS.iter().find(|pair| pair.1 == row.event);
            Ok(Record {
                round: row.round,
                member: row.member,
                parent: row.parent,
                event: event.with_context(|| format!("{}: no such event", row.event))?.0,
                hyper: vec![row.lr],
                step: row.step,
                score: row.val_acc.unwrap_or(f64::NAN),
            })
        };
        let population = |rows: &[Row]| {
            let (seed, variant) = (rows[0].seed, rows[0].variant);
            let history = History(rows.iter().map(record).collect::<Result<_>>()?);
            let size = history.rounds().next().map_or(0, <[Record]>::len);
            for (index, round) in history.rounds().enumerate() {
                let is_whole = round.len() == size
                    && round.iter().zip(0..).all(|(record, member)| {
                        (record.round, record.member) == (index + 1, member)
                            && record.parent.is_none_or(|parent| parent < size)
                    });
                let number = index + 1;
                ensure!(is_whole, "seed {seed}, {}: round {number} is not whole", variant.words());
            }
            Ok(Self { seed, variant, history })
        };
        rows.chunk_by(same).map(population).collect()
    }

    /// The validation accuracy of the best member, by steps.
    fn best(&self) -> Vec<(f64, f64)> {
        self.by_step(|round| pbt::best(round).map(|record| record.score))
    }

    /// Of the member in the middle.
    fn median(&self) -> Vec<(f64, f64)> {
        self.by_step(pbt::median)
    }

    fn by_step(&self, figure: impl Fn(&[Record]) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |round: &[Record]| Some((round[0].step as f64, figure(round)?));
        self.history.rounds().filter_map(point).filter(|point| point.1.is_finite()).collect()
    }

    /// At the end.
    fn final_best(&self) -> f64 {
        self.history.winner().map_or(f64::NAN, |winner| winner.score)
    }

    fn final_median(&self) -> f64 {
        self.history.rounds().last().and_then(pbt::median).unwrap_or(f64::NAN)
    }

    /// Of all members together.
    fn total_steps(&self) -> u64 {
        self.history.rounds().last().map_or(0, |last| last.iter().map(|record| record.step).sum())
    }

    /// The winner and whom it descends from, round by round.
    fn ancestry(&self) -> Vec<&Record> {
        let path = self.history.winner().map(|winner| self.history.ancestry(winner.member));
        let path = path.into_iter().flatten();
        self.history.rounds().zip(path).map(|(round, member)| &round[member]).collect()
    }
}

/// From `pbt.csv` and `pbt-grid.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("pbt.csv"))?;
    let grid_rows: Vec<grid::Row> = read_csv(&dir.join("pbt-grid.csv"))?;
    let optimizer = optimizer_of(&rows[0].opt)?;
    let all = Population::read(&rows).context("pbt.csv")?;
    let of = |variant: Variant| all.iter().filter(move |one| one.variant == variant);
    let last = grid_rows.iter().map(|row| row.step).max().unwrap_or(0);
    let contests: Vec<Contest<'_>> = of(Variant::Pbt)
        .map(|full| Contest { full, grid: grid::best(&grid_rows, full.seed, last) })
        .collect();
    if let Some(first) = contests.first() {
        draw_lineage(first, optimizer).save(dir, "pbt")?;
    }
    let drawn = &contests[..contests.len().min(DRAWN)];
    draw_seeds(drawn, optimizer).save(dir, "pbt-seeds")?;
    draw_ablation(&all, &contests, optimizer).save(dir, "pbt-ablation")?;
    Ok(Section {
        title: "Population based training",
        question: "Can a population that copies its best members find a good learning rate with a third of the steps of a grid search?"
            .into(),
        pictures: vec![
            Picture {
                stem: "pbt",
                caption: "The learning rate of every member after each round. A line that leads to another rate is a copy: \
                    weights and state of a good member, with its rate changed. The thick line leads to the winner"
                    .into(),
            },
            Picture {
                stem: "pbt-seeds",
                caption: "The same for the first three seeds, and below it the errors of the best and of the middle member, against the \
                    best of the grid search"
                    .into(),
            },
            Picture {
                stem: "pbt-ablation",
                caption: "The method without one of its halves, and without both".into(),
            },
        ],
        article: "Mack ends with the advice to leave the choice of the learning rate to automated methods. Jaderberg et al., \
            \"Population Based Training of Neural Networks\": one run of a population finds hyperparameters, and a schedule of \
            them, that hand-tuned runs do not reach; both copying and exploring are needed."
            .into(),
        measured: measured(&contests),
        table: table(&all, &contests),
        checks: checks(&all, &contests),
    })
}

/// A population, and the grid search with the same seed.
struct Contest<'a> {
    full: &'a Population,
    grid: Option<Best>,
}

impl Contest<'_> {
    fn grid_best(&self) -> f64 {
        self.grid.map_or(f64::NAN, |best| best.val)
    }
}

fn measured(contests: &[Contest<'_>]) -> String {
    let mut text = String::new();
    for contest in contests {
        let path = contest.full.ancestry();
        if let (Some(first), Some(last)) = (path.first(), path.last()) {
            let copies = path.iter().filter(|record| record.parent.is_some()).count();
            let _ = write!(
                text,
                "Seed {}: the winner goes back to a member with rate {}, was copied {copies} times on its way, and ends with \
                 {} and {}. ",
                contest.full.seed,
                plot::rounded(first.hyper[0]),
                plot::rounded(last.hyper[0]),
                percent(last.score)
            );
        }
    }
    text + "Both searches choose by the validation digits, and so flatter themselves: the figures compare them, and are no forecast."
}

fn find(all: &[Population], seed: u64, variant: Variant) -> Option<&Population> {
    all.iter().find(|one| one.seed == seed && one.variant == variant)
}

fn table(all: &[Population], contests: &[Contest<'_>]) -> Table {
    let mut table = Table::new([
        "seed",
        "grid: rate",
        "accuracy",
        "steps",
        "PBT: rate",
        "accuracy",
        "steps",
        "exploit only",
        "explore only",
        "neither",
    ]);
    let none = || "—".to_owned();
    for contest in contests {
        let (full, grid) = (contest.full, contest.grid.as_ref());
        let mut row = vec![
            full.seed.to_string(),
            grid.map_or_else(none, |best| plot::rounded(best.lr)),
            grid.map_or_else(none, |best| percent(best.val)),
            grid.map_or_else(none, |best| plot::number(best.total_steps as f64)),
            full.history.winner().map_or_else(none, |winner| plot::rounded(winner.hyper[0])),
            percent(full.final_best()),
            plot::number(full.total_steps() as f64),
        ];
        row.extend(Variant::ALL[1..].iter().map(|&variant| {
            find(all, full.seed, variant).map_or_else(none, |one| percent(one.final_best()))
        }));
        table.rows.push(row);
    }
    table
}

/// The best members differ by less than their accuracies do from seed to seed.
const SEEDS_FOR_A_MEAN: usize = 3;

fn checks(all: &[Population], contests: &[Contest<'_>]) -> Vec<Check> {
    let list = |figure: &dyn Fn(&Contest<'_>) -> String| {
        let parts = contests.iter().map(|one| format!("seed {}: {}", one.full.seed, figure(one)));
        parts.collect::<Vec<_>>().join("; ")
    };
    let ahead = |one: &Contest<'_>| 100.0 * (one.full.final_best() - one.grid_best());
    let grid_steps = |one: &Contest<'_>| one.grid.map_or(0, |best| best.total_steps);
    let mut checks = vec![
        Check::new(
            "With every seed the best member ends no more than half a point behind the grid search's best",
            list(&|one| {
                let (best, grid) = (percent(one.full.final_best()), percent(one.grid_best()));
                format!("{best} against {grid}")
            }),
            contests.iter().all(|one| ahead(one) >= -0.5),
        ),
        Check::new(
            "It takes a third of the steps",
            list(&|one| {
                let steps = |steps: u64| plot::number(steps as f64);
                format!("{} against {}", steps(one.full.total_steps()), steps(grid_steps(one)))
            }),
            contests.iter().all(|one| 3 * one.full.total_steps() <= grid_steps(one)),
        ),
    ];
    checks.push(Check::figure(
        "The winner's rate in its first round and in its last",
        list(&|one| {
            let path = one.full.ancestry();
            let rate = |record: Option<&&Record>| record.map_or(f64::NAN, |record| record.hyper[0]);
            format!(
                "{} and {}",
                plot::rounded(rate(path.first())),
                plot::rounded(rate(path.last()))
            )
        }),
    ));
    for (figure, what) in [
        (Population::final_best as fn(&Population) -> f64, "The best member"),
        (Population::final_median, "The middle member"),
    ] {
        let means = Variant::ALL.map(|variant| {
            let of_variant = || all.iter().filter(move |one| one.variant == variant);
            of_variant().map(figure).sum::<f64>() / of_variant().count() as f64
        });
        let parts = Variant::ALL.iter().zip(means);
        let parts = parts.map(|(variant, mean)| format!("{} {}", variant.words(), percent(mean)));
        let parts = parts.collect::<Vec<_>>().join(", ");
        checks.push(if contests.len() < SEEDS_FOR_A_MEAN {
            Check::figure(format!("{what}, from too few seeds for a claim"), parts)
        } else {
            let claim = "is better with both halves than without one or both";
            Check::new(
                format!("{what} (mean over the seeds) {claim}"),
                parts,
                means[1..].iter().all(|&mean| compare(means[0], mean).is_gt()),
            )
        });
    }
    checks
}

/// More seeds would be too small to see, side by side.
const DRAWN: usize = 3;

const WORST: f64 = 0.9;
const BEST: f64 = 0.015;

/// By the logarithm of the error, since good members differ by little.
fn score_color(accuracy: f64) -> RGBColor {
    let error = (1.0 - accuracy).clamp(BEST, WORST);
    ordered_color((WORST / error).ln() / (WORST / BEST).ln())
}

const NODE: Mark = Mark::Dots { radius: 4 };

fn lineage_legend(optimizer: Optimizer) -> Vec<Entry> {
    let line = |width| Mark::Line { width };
    let mut legend = vec![
        Entry::new("the winner's line", line(4), plot::color(optimizer)),
        Entry::new("a member, a copy", line(1), GREY),
        Entry::new("diverged", Mark::Crosses { radius: 4 }, PALETTE[0]),
    ];
    let levels = [0.1, 0.5, 0.9, 0.95, 0.97, 0.98];
    legend.extend(levels.iter().enumerate().map(|(index, &accuracy)| {
        let text = plot::number(100.0 * accuracy);
        let text = if index == 0 { format!("accuracy {text} %") } else { format!("{text} %") };
        Entry::new(text, NODE, score_color(accuracy))
    }));
    legend
}

/// With some room behind the last step.
fn steps_axis(last: f64, room: f64) -> Axis {
    let ticks = (0..=5).map(|fifth| 0.2 * f64::from(fifth) * last).collect();
    Axis::new("steps of each member", Scale::Linear, 0.0, (1.0 + room) * last).with_ticks(ticks)
}

/// The rate of every member after every round, and where it came from.
///
/// `room` is for the winner's accuracy, as a share of the width.
fn lineage_panel(population: &Population, optimizer: Optimizer, title: &str, room: f64) -> Panel {
    let rounds: Vec<&[Record]> = population.history.rounds().collect();
    let records = || population.history.0.iter();
    let last = records().map(|record| record.step).max().unwrap_or(1) as f64;
    let rates = || records().map(|record| record.hyper[0]);
    let low = 0.8 * rates().fold(1e-6, f64::min);
    let high = 1.25 * rates().fold(1e2, f64::max);
    let mut panel = Panel::new(
        title,
        steps_axis(last, room),
        Axis::new("learning rate", Scale::Log, low, high),
    );
    let point = |record: &Record| (record.step as f64, record.hyper[0]);
    // From where its weights came from to where they are after the round.
    let edge = |record: &Record| {
        let from = match record.round.checked_sub(2) {
            None => (0.0, record.hyper[0]),
            Some(before) => point(&rounds[before][record.parent.unwrap_or(record.member)]),
        };
        vec![from, point(record)]
    };
    for record in records() {
        let line = Series::new(edge(record), Mark::Line { width: 1 }, GREY);
        panel.series.push(line.faint(if record.parent.is_some() { 0.9 } else { 0.6 }));
    }
    for record in population.ancestry() {
        let line = Mark::Line { width: 5 };
        panel.series.push(Series::new(edge(record), line, plot::color(optimizer)));
    }
    for record in records() {
        let at = vec![point(record)];
        panel.series.push(if record.score.is_nan() {
            Series::new(at, Mark::Crosses { radius: 4 }, PALETTE[0])
        } else {
            Series::new(at, NODE, score_color(record.score))
        });
    }
    if let Some(winner) = population.history.winner() {
        let (x, y) = point(winner);
        panel.notes.push(Note {
            at: (x + 0.1 * room * last, y),
            text: percent(winner.score),
            color: PALETTE[0],
            side: Side::Right,
        });
    }
    panel
}

fn draw_lineage(contest: &Contest<'_>, optimizer: Optimizer) -> Figure {
    let members = contest.full.history.rounds().next().map_or(0, <[Record]>::len);
    let caption = format!(
        "{}, {members} members, seed {}; a dot is a member after a round, coloured by its validation accuracy",
        optimizer.name(),
        contest.full.seed
    );
    let mut figure = Figure::new((1300, 760), caption, lineage_legend(optimizer));
    figure.panels.push(lineage_panel(contest.full, optimizer, "Learning rates and lineage", 0.07));
    figure
}

fn errors(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().map(|&(step, accuracy)| (step, 100.0 * (1.0 - accuracy))).collect()
}

/// An axis for the errors that belong to these and other accuracies.
fn error_axis(points: impl Iterator<Item = (f64, f64)>, level: f64) -> Axis {
    let accuracies = points.map(|point| point.1).chain([level]);
    let errors = accuracies.map(|accuracy| 100.0 * (1.0 - accuracy));
    Axis::holding("validation digits misread (%, logarithmic)", Scale::Log, errors)
}

/// For each seed its lineage, and below it the errors.
fn draw_seeds(contests: &[Contest<'_>], optimizer: Optimizer) -> Figure {
    let color = plot::color(optimizer);
    let [best, median] = [Mark::Line { width: 3 }, Mark::Line { width: 2 }];
    let grid = Mark::Dashes { width: 2 };
    let mut legend = lineage_legend(optimizer);
    legend.push(Entry::new("best member's error", best, color));
    legend.push(Entry::new("middle member's error", median, PALETTE[0]));
    legend.push(Entry::new("grid search's best at its end", grid, GREY));
    let columns = contests.len();
    let width = (460 * columns as u32).clamp(900, 1840);
    let mut figure = Figure { columns, ..Figure::new((width, 960), String::new(), legend) };
    for contest in contests {
        let title = format!("Seed {}: rates and lineage", contest.full.seed);
        let mut panel = lineage_panel(contest.full, optimizer, &title, 0.2);
        for series in &mut panel.series {
            series.mark = match series.mark {
                Mark::Dots { .. } => Mark::Dots { radius: 3 },
                Mark::Line { width } if width > 1 => Mark::Line { width: 4 },
                mark => mark,
            };
        }
        figure.panels.push(panel);
    }
    let points = contests.iter().flat_map(|one| [one.full.best(), one.full.median()].concat());
    let level = contests.iter().map(Contest::grid_best).fold(f64::NAN, f64::max);
    let axis = error_axis(points, level);
    for contest in contests {
        let points = [errors(&contest.full.median()), errors(&contest.full.best())];
        let last = points.iter().flatten().map(|point| point.0).fold(1.0, f64::max);
        let title = format!("Seed {}: errors", contest.full.seed);
        let mut panel = Panel::new(&title, steps_axis(last, 0.2), axis.clone());
        let [middle, first] = points;
        let level = 100.0 * (1.0 - contest.grid_best());
        panel.series.push(Series::new(vec![(0.0, level), (last, level)], grid, GREY));
        panel.series.push(Series::new(middle, median, PALETTE[0]));
        panel.series.push(Series::new(first, best, color));
        figure.panels.push(panel);
    }
    figure
}

/// The variants' best and middle members.
fn draw_ablation(all: &[Population], contests: &[Contest<'_>], optimizer: Optimizer) -> Figure {
    let entry = |variant: &Variant| Entry::new(variant.words(), variant.line(3), variant.color());
    let mut legend: Vec<Entry> = Variant::ALL.iter().map(entry).collect();
    legend.push(Entry::new("grid search's best at its end", Mark::Line { width: 2 }, GREY));
    let seeds = distinct(all, |one| one.seed);
    let caption = match seeds.len() {
        1 => format!("{}, seed {}", optimizer.name(), seeds[0]),
        count => format!("{}; thick: means over {count} seeds, thin: each seed", optimizer.name()),
    };
    let mut figure = Figure::new((1300, 600), caption, legend);
    let last = all.iter().flat_map(|one| &one.history.0).map(|record| record.step).max();
    let last = last.unwrap_or(1) as f64;
    let level = contests.iter().map(Contest::grid_best).sum::<f64>() / contests.len() as f64;
    for (title, curve) in [
        ("Best member", Population::best as fn(&Population) -> Vec<(f64, f64)>),
        ("Middle member", Population::median),
    ] {
        let axis = error_axis(all.iter().flat_map(curve), level);
        let mut panel = Panel::new(title, steps_axis(last, 0.03), axis);
        let ends = errors(&[(0.0, level), (last, level)]);
        panel.series.push(Series::new(ends, Mark::Line { width: 2 }, GREY));
        for variant in [Variant::Exploit, Variant::Explore, Variant::Neither, Variant::Pbt] {
            let curves: Vec<_> =
                all.iter().filter(|one| one.variant == variant).map(curve).collect();
            for points in &curves {
                let thin = Series::new(errors(points), Mark::Line { width: 1 }, variant.color());
                panel.series.push(thin.faint(0.5));
            }
            panel.series.push(Series::new(
                errors(&mean(&curves)),
                variant.line(3),
                variant.color(),
            ));
        }
        figure.panels.push(panel);
    }
    figure
}

/// Of curves over the same steps, where each has a value.
fn mean(curves: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    let Some(first) = curves.first() else { return Vec::new() };
    let at = |step: f64| {
        let values: Vec<f64> = curves
            .iter()
            .filter_map(|curve| curve.iter().find(|point| point.0 == step))
            .map(|point| point.1)
            .collect();
        (values.len() == curves.len())
            .then(|| (step, values.iter().sum::<f64>() / values.len() as f64))
    };
    first.iter().filter_map(|point| at(point.0)).collect()
}
