//! The tables of the surfaces as pictures and claims.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{
    COURSES, Course, FAR, Goal, NEAR, RARE, RARE_PERIOD, RateRow, Row, SLOPE, SLOPE_RATE,
    SQUARE_RATES,
};
use crate::experiments::{Check, Picture, Section, Table};
use crate::ffi;
use crate::lab::read_csv;
use crate::optimizer::Optimizer;
use crate::output;
use crate::plot::landscape::{Finish, Landscape, Walker};
use crate::plot::svg::{FAINT, Frame, INK, hex, label, line_through, open, tenths};
use crate::plot::{self, Axis, Scale, number};

/// A path as the table has it.
struct Walk {
    points: Vec<[f64; 2]>,
    values: Vec<f64>,
}

impl Walk {
    fn of(rows: &[Row], function: &str, optimizer: Optimizer) -> Result<Self> {
        let rows: Vec<_> = rows
            .iter()
            .filter(|row| row.function == function && row.opt == optimizer.key())
            .collect();
        let name = optimizer.key();
        ensure!(rows.len() > 1, "surface.csv: no path of {name} on {function}");
        for (step, row) in rows.iter().enumerate() {
            ensure!(row.step == step, "surface.csv: {name} on {function} lacks step {step}");
        }
        Ok(Self {
            points: rows.iter().map(|row| [f64::from(row.x), f64::from(row.y)]).collect(),
            values: rows.iter().map(|row| row.f).collect(),
        })
    }

    fn seven(rows: &[Row], function: &str) -> Result<Vec<Self>> {
        Optimizer::SEVEN.iter().map(|&optimizer| Self::of(rows, function, optimizer)).collect()
    }

    fn arrival(&self, goal: Goal) -> Option<usize> {
        self.points.iter().position(|&point| goal.reached(point))
    }

    /// The length of a step, from 1.
    fn step(&self, step: usize) -> f64 {
        let ([x, y], [before_x, before_y]) = (self.points[step], self.points[step - 1]);
        (x - before_x).hypot(y - before_y)
    }

    /// By how much the way to `to` has become shorter in so many steps, for each unit of the way gone: 1 is straight.
    fn directness(&self, to: [f64; 2], steps: usize) -> f64 {
        let left = |step: usize| (self.points[step][0] - to[0]).hypot(self.points[step][1] - to[1]);
        (left(0) - left(steps)) / (1..=steps).map(|step| self.step(step)).sum::<f64>()
    }

    /// How often x changes its sign, from beyond a thousandth.
    fn flips(&self) -> usize {
        let flip = |pair: &[[f64; 2]]| pair[0][0] * pair[1][0] < 0.0 && pair[0][0].abs() > 1e-3;
        self.points.windows(2).filter(|pair| flip(pair)).count()
    }
}

/// The seven paths of a function, in their order.
struct Walks {
    course: &'static Course,
    walks: Vec<Walk>,
    arrivals: Vec<Option<usize>>,
}

impl Walks {
    fn read(rows: &[Row], course: &'static Course) -> Result<Self> {
        let walks = Walk::seven(rows, course.key)?;
        let arrivals = walks.iter().map(|walk| walk.arrival(course.goal)).collect();
        Ok(Self { course, walks, arrivals })
    }

    fn of(&self, optimizer: Optimizer) -> &Walk {
        &self.walks[optimizer as usize]
    }

    fn arrival(&self, optimizer: Optimizer) -> Option<usize> {
        self.arrivals[optimizer as usize]
    }

    /// Earlier than any arrival of the others; those that do not arrive are last.
    fn first(&self, optimizers: &[Optimizer], others: &[Optimizer]) -> bool {
        let time = |one: &Optimizer| self.arrival(*one).unwrap_or(usize::MAX);
        optimizers.iter().map(time).max() < others.iter().map(time).min()
    }

    /// Optimizers with their arrivals, the first first, and beside each what double arithmetic gives.
    fn ranking(&self) -> String {
        let mut order = Optimizer::SEVEN.to_vec();
        order.sort_by_key(|&one| self.arrival(one).unwrap_or(usize::MAX));
        let parts: Vec<_> = order
            .into_iter()
            .map(|one| {
                let double = steps(self.course.arrivals_in_double[one as usize]);
                format!("{} {} ({double})", one.name(), steps(self.arrival(one)))
            })
            .collect();
        parts.join(", ")
    }

    /// In the order of double arithmetic, and within a tenth of its steps.
    fn agrees(&self) -> bool {
        let pairs = || self.arrivals.iter().zip(&self.course.arrivals_in_double);
        pairs().all(|(float, double)| match (float, double) {
            (Some(float), Some(double)) => float.abs_diff(*double) * 10 <= *double,
            (float, double) => float == double,
        }) && pairs().all(|(float, double)| {
            pairs().all(|(other_float, other_double)| {
                double.is_none()
                    || other_double.is_none()
                    || double >= other_double
                    || float < other_float
            })
        })
    }

    fn landscape<'a>(&self, height: &'a dyn Fn(f64, f64) -> f64) -> Landscape<'a> {
        let Course { name, formula, goal, view, .. } = self.course;
        let finish = match *goal {
            Goal::Near(minimum) => Finish::Circle { center: minimum.into(), radius: NEAR },
            Goal::Escape => Finish::Line(FAR),
        };
        let (low, high, count) = view.levels;
        let levels = (0..count)
            .map(|index| 10f64.powf(low + (high - low) * index as f64 / (count - 1) as f64));
        let walkers = Optimizer::SEVEN.iter().map(|&optimizer| {
            let walk = self.of(optimizer);
            Walker {
                optimizer,
                rate: self.course.rates[optimizer as usize],
                path: walk.points.iter().map(|&[x, y]| (x, y)).collect(),
                heights: walk.values.iter().map(|value| value - self.course.infimum).collect(),
                arrival: self.arrival(optimizer),
            }
        });
        Landscape {
            title: name,
            formula: format!("f = {formula}"),
            height,
            levels: levels.collect(),
            x: Axis::new("x", Scale::Linear, view.x[0], view.x[1]),
            y: Axis::new("y", Scale::Linear, view.y[0], view.y[1]),
            landmarks: view.landmarks.to_vec(),
            finish,
            walkers: walkers.collect(),
        }
    }
}

fn steps(arrival: Option<usize>) -> String {
    arrival.map_or("never".to_owned(), |step| number(step as f64))
}

/// Gradient descent on x^2 at one rate.
struct Descent {
    rate: f64,
    xs: Vec<f64>,
}

impl Descent {
    fn all(rows: &[RateRow]) -> Result<Vec<Self>> {
        SQUARE_RATES
            .iter()
            .map(|&rate| {
                let xs: Vec<_> =
                    rows.iter().filter(|row| row.lr == rate).map(|row| f64::from(row.x)).collect();
                ensure!(xs.len() > 1, "surface-rates.csv: no path at rate {rate}");
                Ok(Self { rate, xs })
            })
            .collect()
    }

    /// What it does, in a word.
    fn behaviour(&self) -> &'static str {
        let pairs = || self.xs.windows(2);
        let turns = pairs().all(|pair| pair[0] * pair[1] < 0.0);
        let nearer = pairs().all(|pair| pair[1].abs() < pair[0].abs());
        let left = (self.xs[self.xs.len() - 1] / self.xs[0]).abs();
        match (turns, nearer) {
            (true, true) => "oscillates",
            (_, false) => "diverges",
            (false, true) if left > 0.5 => "crawls",
            (false, true) => "converges",
        }
    }
}

/// From `surface.csv` and `surface-rates.csv`.
pub fn show(dir: &Path) -> Result<Section> {
    let rows: Vec<Row> = read_csv(&dir.join("surface.csv"))?;
    let slope = Walk::seven(&rows, SLOPE)?;
    let rare = Walk::seven(&rows, RARE)?;
    let all: Vec<Walks> =
        COURSES.iter().map(|course| Walks::read(&rows, course)).collect::<Result<_>>()?;
    let descents = Descent::all(&read_csv::<RateRow>(&dir.join("surface-rates.csv"))?)?;

    let mut pictures = Vec::new();
    for walks in &all {
        let Course { surface, infimum, view, .. } = walks.course;
        let height = |x: f64, y: f64| surface.at([x, y]).0 - infimum;
        let landscape = walks.landscape(&height);
        output::write(&dir.join(format!("{}.svg", view.race)), landscape.race()?.as_bytes())?;
        plot::save(dir, view.still, &landscape.still()?)?;
        let moving = format!(
            "{}: all seven at once, {} steps, on a clock that quickens",
            walks.course.name,
            number(walks.course.steps as f64)
        );
        pictures.push(Picture { stem: view.race, caption: moving });
        pictures.push(Picture { stem: view.still, caption: view.caption.to_owned() });
    }
    plot::save(dir, "surface-slope", &draw_slope(&slope))?;
    pictures.push(Picture {
        stem: "surface-slope",
        caption: "The length of a step where the gradient is the same everywhere, in multiples of gradient descent's".into(),
    });
    plot::save(dir, "surface-rates", &draw_descents(&descents))?;
    pictures.push(Picture {
        stem: "surface-rates",
        caption: "Gradient descent on x² at four learning rates: the points on the parabola, and x against the step".into(),
    });

    Ok(Section {
        title: "Surfaces",
        question: "What path does each optimizer take over a function that can be drawn, and what does the size of the learning rate do?"
            .into(),
        pictures,
        article: "Christopher: momentum reaches a terminal velocity of 1 / (1 − β) times gradient descent's steps, 10 for β = 0.9; Nesterov's \
            gradient, measured ahead, oscillates less and is faster; AdaGrad points towards the optimum early on but often stops too early, \
            which RMSProp mends, and suits sparse data; Adam's bias correction matters in the first steps. Both he and Doshi: a rate that is too small crawls, one \
            that is too large diverges; AdaDelta does not stall as AdaGrad does."
            .into(),
        measured: measured(&all, &slope),
        table: table(&all),
        checks: checks(&all, &slope, &rare, &descents)?,
    })
}

fn measured(all: &[Walks], slope: &[Walk]) -> String {
    let winners: Vec<_> = all
        .iter()
        .map(|walks| {
            let time = |one: &Optimizer| walks.arrival(*one).unwrap_or(usize::MAX);
            let winner = Optimizer::SEVEN.into_iter().min_by_key(time).unwrap_or(Optimizer::Sgd);
            format!("{}: {}", walks.course.name, winner.name())
        })
        .collect();
    let last = slope[0].points.len() - 1;
    let against = |optimizer: Optimizer| slope[optimizer as usize].step(last) / slope[0].step(last);
    format!(
        "First to arrive: {}. Rates are different for each optimizer, so the order says less about the rules than the shapes of the \
        paths do. Under a constant gradient, step {last} of momentum is {:.2} times as long as gradient descent's, that of AdaGrad {:.2} \
        times, that of RMSProp {:.2} times at the same rate.",
        winners.join(", "),
        against(Optimizer::Momentum),
        against(Optimizer::AdaGrad),
        against(Optimizer::RmsProp),
    )
}

/// Measured in float, and in parentheses what the textbook formulas give in double.
fn table(all: &[Walks]) -> Table {
    let header = ["arrives at step (in double)"].into_iter();
    let mut table = Table::new(header.chain(Optimizer::SEVEN.map(Optimizer::name)));
    for walks in all {
        let cells = Optimizer::SEVEN.iter().map(|&one| {
            let double = walks.course.arrivals_in_double[one as usize];
            match (walks.arrival(one), double) {
                (None, None) => "never".to_owned(),
                (float, double) => format!("{} ({})", steps(float), steps(double)),
            }
        });
        table.rows.push([walks.course.name.to_owned()].into_iter().chain(cells).collect());
    }
    table
}

fn on(all: &[Walks], surface: ffi::Surface) -> Result<&Walks> {
    let found = all.iter().find(|walks| walks.course.surface == surface);
    found.ok_or_else(|| anyhow::anyhow!("surface.csv: no paths on {surface:?}"))
}

/// Beside an optimizer its figure.
fn list(optimizers: &[Optimizer], figure: impl Fn(Optimizer) -> String) -> String {
    let parts: Vec<_> =
        optimizers.iter().map(|&one| format!("{} {}", one.name(), figure(one))).collect();
    parts.join(", ")
}

fn checks(
    all: &[Walks],
    slope: &[Walk],
    rare: &[Walk],
    descents: &[Descent],
) -> Result<Vec<Check>> {
    use Optimizer::{AdaDelta, AdaGrad, Adam, Momentum, Nesterov, RmsProp, Sgd};
    const SEVEN: [Optimizer; 7] = Optimizer::SEVEN;

    let mut checks: Vec<_> = all
        .iter()
        .map(|walks| {
            Check::new(
                format!(
                    "{}: in the order of double arithmetic (in parentheses), each step within 10 %",
                    walks.course.name
                ),
                walks.ranking(),
                walks.agrees(),
            )
        })
        .collect();

    let ahead = |walks: &&Walks| walks.first(&[Nesterov], &[Momentum]);
    let times = all.iter().map(|walks| {
        let [nesterov, momentum] =
            [Nesterov, Momentum].map(|optimizer| steps(walks.arrival(optimizer)));
        format!("{} {nesterov} against {momentum}", walks.course.name)
    });
    checks.push(Check::new(
        "Nesterov arrives before momentum on every surface",
        format!(
            "on {} of {}: {}",
            all.iter().filter(ahead).count(),
            all.len(),
            times.collect::<Vec<_>>().join(", ")
        ),
        all.iter().all(|walks| ahead(&walks)),
    ));

    let rosenbrock = on(all, ffi::Surface::Rosenbrock)?;
    if let Some(arrival) = rosenbrock.arrival(Adam) {
        let values = &rosenbrock.of(Adam).values;
        let after = (arrival..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]));
        let highest = after.unwrap_or(arrival);
        checks.push(Check::figure(
            "How far up Adam goes once more after its arrival on Rosenbrock's function",
            format!(
                "f = {:.2e} at step {}, {:.2e} on arrival at step {}",
                values[highest],
                number(highest as f64),
                values[arrival],
                number(arrival as f64)
            ),
        ));
    }

    let bowl = on(all, ffi::Surface::Bowl)?;
    let flips = |one: Optimizer| bowl.of(one).flips();
    checks.push(Check::new(
        "Nesterov oscillates less than momentum: fewer changes of the sign of x on the bowl, from beyond 0.001",
        list(&[Momentum, Nesterov], |one| flips(one).to_string()),
        flips(Nesterov) < flips(Momentum),
    ));

    let saddle = on(all, ffi::Surface::Saddle)?;
    let adaptive = [AdaDelta, AdaGrad, RmsProp];
    let others = [Sgd, Momentum, Nesterov, Adam];
    checks.push(Check::new(
        "AdaDelta, AdaGrad and RMSProp leave the saddle before the others, and gradient descent leaves it last",
        list(&SEVEN, |one| steps(saddle.arrival(one))),
        saddle.first(&adaptive, &others)
            && saddle.first(&[AdaDelta, AdaGrad, RmsProp, Momentum, Nesterov, Adam], &[Sgd]),
    ));
    let valley = on(all, ffi::Surface::Valley)?;
    checks.push(Check::new(
        "In the long valley gradient descent stays at the saddle, which all others leave",
        list(&SEVEN, |one| steps(valley.arrival(one))),
        valley
            .arrivals
            .iter()
            .enumerate()
            .all(|(index, arrival)| (index == 0) == arrival.is_none()),
    ));

    for (descent, expected) in
        descents.iter().zip(["crawls", "converges", "oscillates", "diverges"])
    {
        let last = descent.xs.len() - 1;
        checks.push(Check::new(
            format!("On x² gradient descent at rate {} {expected}", number(descent.rate)),
            format!(
                "it {}: x from {} to {:.3e} in {last} steps",
                descent.behaviour(),
                number(descent.xs[0]),
                descent.xs[last]
            ),
            descent.behaviour() == expected,
        ));
    }

    let last = slope[0].points.len() - 1;
    let on_slope = |one: Optimizer, step: usize| slope[one as usize].step(step);
    let terminal = on_slope(Momentum, last) / on_slope(Sgd, last);
    checks.push(Check::new(
        "Under a constant gradient momentum 0.9 comes to steps 1 / (1 − 0.9) = 10 times as long as gradient descent's",
        format!("{terminal:.3} times at step {last}, half of that at step {}", {
            let half = |step: &usize| on_slope(Momentum, *step) >= 5.0 * on_slope(Sgd, *step);
            steps((1..=last).find(half))
        }),
        (terminal - 10.0).abs() < 0.1,
    ));

    let Goal::Near(minimum) = bowl.course.goal else { unreachable!("a bowl has a minimum") };
    let direct = |one: Optimizer| bowl.of(one).directness(minimum, 10);
    let best_of_others = SEVEN.iter().filter(|one| **one != AdaGrad).map(|&one| direct(one));
    checks.push(Check::new(
        "On the bowl AdaGrad heads for the minimum most directly: distance won in 10 steps for each unit of the way gone",
        list(&SEVEN, |one| format!("{:.2}", direct(one))),
        direct(AdaGrad) > best_of_others.fold(f64::NEG_INFINITY, f64::max),
    ));
    let half_way = |one: Optimizer| {
        let left = |point: &[f64; 2]| (point[0] - minimum[0]).hypot(point[1] - minimum[1]);
        let points = &bowl.of(one).points;
        points.iter().position(|point| left(point) < left(&points[0]) / 2.0)
    };
    let arriving: Vec<_> = SEVEN.into_iter().filter(|&one| bowl.arrival(one).is_some()).collect();
    let place = |time: &dyn Fn(Optimizer) -> Option<usize>| {
        1 + arriving.iter().filter(|&&one| time(one) < time(AdaGrad)).count()
    };
    let (half, whole) = (place(&half_way), place(&|one| bowl.arrival(one)));
    checks.push(Check::new(
        "And then it stalls: the first to be half-way, it is the last to arrive of those that do",
        format!(
            "place {half} half-way and {whole} of {} at the end; steps to there: {}",
            arriving.len(),
            list(&arriving, |one| format!(
                "{} and {}",
                steps(half_way(one)),
                steps(bowl.arrival(one))
            ))
        ),
        half == 1 && whole == arriving.len(),
    ));
    let kept = |one: Optimizer| on_slope(one, last) / on_slope(one, 10);
    checks.push(Check::new(
        "RMSProp and AdaDelta do not stall: under a constant gradient AdaGrad's steps shrink on, theirs do not",
        format!("step {last} in multiples of step 10: {}", list(&[AdaGrad, RmsProp, AdaDelta], |one| format!("{:.2}", kept(one)))),
        kept(AdaGrad) < 0.5 && kept(RmsProp) > 0.5 && kept(AdaDelta) > 0.5,
    ));

    checks.push(sparse(rare));

    let first = |walks: &Walks, one: Optimizer| {
        let [before, after] = [walks.of(one).points[0], walks.of(one).points[1]];
        let rate = walks.course.rates[one as usize];
        [0, 1].map(|i| (after[i] - before[i]).abs() / rate)
    };
    let range = |one: Optimizer| {
        all.iter()
            .flat_map(|walks| first(walks, one))
            .fold((f64::INFINITY, 0.0f64), |(low, high), step| (low.min(step), high.max(step)))
    };
    let (low, high) = range(Adam);
    checks.push(Check::new(
        "With its bias correction Adam's first step is as long as the rate in each coordinate, whatever the gradient",
        format!("{low:.3} to {high:.3} times the rate, over all surfaces"),
        (low - 1.0).abs() < 0.01 && (high - 1.0).abs() < 0.01,
    ));
    let off = |one: Optimizer| {
        (1..=last).rfind(|&step| (on_slope(one, step) / SLOPE_RATE - 1.0).abs() > 0.05)
    };
    let first = on_slope(RmsProp, 1) / SLOPE_RATE;
    checks.push(Check::new(
        "The correction matters in the first steps: RMSProp, without one, begins with 1 / √(1 − 0.9) = 3.16 times the rate under a \
        constant gradient, and comes down to it later",
        format!(
            "{first:.2} times; more than 5 % off the rate up to step {}, Adam up to step {}",
            off(RmsProp).unwrap_or(0),
            off(Adam).unwrap_or(0)
        ),
        (first - 10f64.sqrt()).abs() < 0.01
            && off(RmsProp).is_some_and(|step| step < last / 2)
            && off(Adam).is_none(),
    ));
    Ok(checks)
}

/// What sparse data gain from an optimizer.
fn sparse(rare: &[Walk]) -> Check {
    // How far the rare one moves from one of its examples to the next, in multiples of the frequent one's way per example.
    let gain = |one: Optimizer| {
        let points = &rare[one as usize].points;
        let end = points.len() - 2; // before the last step, which has the rare feature again
        let [x, y] = [0, 1].map(|i| points[end][i] - points[end - RARE_PERIOD][i]);
        y * RARE_PERIOD as f64 / x
    };
    let expected = (RARE_PERIOD as f64).sqrt();
    let steps = RARE_PERIOD * (rare[0].points.len() / RARE_PERIOD);
    let plain = [Optimizer::Sgd, Optimizer::Momentum, Optimizer::Nesterov];
    Check::new(
        format!(
            "AdaGrad helps sparse features: with each of its examples, one of {RARE_PERIOD}, a rare feature moves √{RARE_PERIOD} = \
             {expected:.1} times as far as one that all examples have; with gradient descent and momentum no further"
        ),
        format!(
            "after {steps} steps: {}",
            list(&Optimizer::SEVEN, |one| format!("{:.2}", gain(one)))
        ),
        (gain(Optimizer::AdaGrad) / expected - 1.0).abs() < 0.1
            && plain.iter().all(|&one| gain(one) < 1.05),
    )
}

/// A line through points.
fn curve(svg: &mut String, frame: &Frame<'_>, points: &[(f64, f64)], style: &str) {
    let mut data = String::new();
    let pixels: Vec<_> = points.iter().map(|&point| tenths(frame.at(point))).collect();
    line_through(&mut data, &pixels);
    let _ = write!(svg, r#"<path d="{data}" fill="none" stroke-linejoin="round" {style}/>"#);
}

/// How long the steps are where the gradient never changes.
fn draw_slope(slope: &[Walk]) -> String {
    let last = slope[0].points.len() - 1;
    let length = |one: Optimizer, step: usize| slope[one as usize].step(step) / slope[0].step(step);
    let all =
        Optimizer::SEVEN.iter().flat_map(|&one| (1..=last).map(move |step| length(one, step)));
    let y = Axis::holding("length of a step, SGD's = 1", Scale::Log, all);
    let x = Axis::new("step", Scale::Linear, 0.0, last as f64);
    let mut svg = open(1000, 540);
    label(&mut svg, (28.0, 32.0), 20, "start", INK, "Steps under a constant gradient");
    let subtitle = format!(
        "f = x. Rate {}, AdaDelta's 1. Momentum and Nesterov are the same here, and so are SGD and Adam",
        number(SLOPE_RATE)
    );
    label(&mut svg, (28.0, 57.0), 15, "start", FAINT, &subtitle);
    let frame = Frame { left: 92.0, top: 112.0, width: 880.0, height: 365.0, x: &x, y: &y };
    frame.axes(&mut svg, true);
    for (index, one) in Optimizer::SEVEN.into_iter().enumerate() {
        let color = hex(plot::color(one));
        // Momentum's and gradient descent's lines are under them.
        let dashed = matches!(one, Optimizer::Nesterov | Optimizer::Adam);
        let dashes = if dashed { r#"stroke-dasharray="9 9""# } else { "" };
        let style = format!(r#"stroke="{color}" stroke-width="3.5" {dashes}"#);
        let points: Vec<_> = (1..=last).map(|step| (step as f64, length(one, step))).collect();
        curve(&mut svg, &frame, &points, &style);
        let x = 28.0 + 136.0 * index as f64;
        let _ = write!(svg, r#"<path d="M{x} 82H{}" {style}/>"#, x + 27.0);
        label(&mut svg, (x + 34.0, 87.0), 15, "start", INK, one.name());
    }
    svg + "</svg>"
}

/// On the parabola above, over the steps below.
fn draw_descents(descents: &[Descent]) -> String {
    let mut svg = open(1200, 700);
    label(&mut svg, (28.0, 32.0), 20, "start", INK, "The size of the learning rate");
    let subtitle = "gradient descent on f = x² from x = 1, 50 steps. Each multiplies x by 1 − 2 rate. The scales of the last column are others";
    label(&mut svg, (28.0, 57.0), 15, "start", FAINT, subtitle);
    let color = hex(plot::color(Optimizer::Sgd));
    // The last column has long labels.
    for (descent, left) in descents.iter().zip([88.0, 370.0, 652.0, 966.0]) {
        let wide = descent.xs.iter().fold(1.2f64, |wide, x| wide.max(1.1 * x.abs()));
        let title = format!("rate {}: {}", number(descent.rate), descent.behaviour());
        label(&mut svg, (left + 103.0, 96.0), 17, "middle", INK, &title);

        let x = Axis::new("x", Scale::Linear, -wide, wide);
        let y = Axis::new("f", Scale::Linear, -0.04 * wide * wide, wide * wide);
        let above = Frame { left, top: 110.0, width: 206.0, height: 210.0, x: &x, y: &y };
        above.axes(&mut svg, true);
        let parabola: Vec<_> =
            (-60..=60).map(|i| f64::from(i) / 60.0 * wide).map(|x| (x, x * x)).collect();
        curve(&mut svg, &above, &parabola, r##"stroke="#999" stroke-width="2""##);
        let points: Vec<_> = descent.xs.iter().map(|&x| (x, x * x)).collect();

        let steps = Axis::new("step", Scale::Linear, 0.0, (descent.xs.len() - 1) as f64);
        let below = Frame { left, top: 418.0, width: 206.0, height: 210.0, x: &steps, y: &x };
        below.axes(&mut svg, true);
        let times: Vec<_> =
            descent.xs.iter().enumerate().map(|(step, &x)| (step as f64, x)).collect();
        for (frame, points, radius) in [(&above, points, 3.0), (&below, times, 2.2)] {
            curve(&mut svg, frame, &points, &format!(r#"stroke="{color}" stroke-opacity=".5""#));
            for point in points {
                let (x, y) = frame.at(point);
                let _ =
                    write!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{color}"/>"#);
            }
        }
    }
    svg + "</svg>"
}
