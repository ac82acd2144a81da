//! Seven optimizers on functions of two variables, where a path can be looked at.
//!
//! Five surfaces that are hard in different ways; a constant slope, on which a step shows the optimizer alone; and
//! gradient descent on x^2 at four rates.

mod show;

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::ffi::{self, OptimizerSettings};
use crate::lab::{Lab, write_csv};
use crate::optimizer::{Optimizer, Preset};
use crate::plot::Side;
use crate::plot::landscape::Landmark;

pub use show::show;

const NEAR: f64 = 0.1;
const FAR: f64 = 1.0;

/// What counts as arriving.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Within 0.1 of a minimum.
    Near([f64; 2]),
    /// More than 1 away from the saddle, in the direction in which it falls.
    Escape,
}

impl Goal {
    /// Whether the point is there.
    pub fn reached(self, [x, y]: [f64; 2]) -> bool {
        match self {
            Goal::Near(minimum) => (x - minimum[0]).hypot(y - minimum[1]) < NEAR,
            Goal::Escape => y.abs() > FAR,
        }
    }
}

/// A function and how the seven optimizers are sent over it.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// On the C side.
    pub surface: ffi::Surface,
    /// In tables and file names.
    pub key: &'static str,
    /// As people write it.
    pub name: &'static str,
    /// Its definition.
    pub formula: &'static str,
    /// Where all begin.
    pub start: [f32; 2],
    /// How long they walk.
    pub steps: usize,
    /// Of the seven, in their order.
    pub rates: [f64; 7],
    /// AdaDelta's, which sets the size of its first steps.
    pub adadelta_eps: f64,
    /// Where to.
    pub goal: Goal,
    /// At which step each of the seven arrives in double arithmetic (by the textbook formulas in `tests/surface.rs`).
    pub arrivals_in_double: [Option<usize>; 7],
    /// The lowest value, or what the function falls to.
    infimum: f64,
    /// What a picture shows.
    view: View,
}

/// What a picture shows.
#[derive(Clone, Copy, Debug)]
struct View {
    still: &'static str,
    race: &'static str,
    x: [f64; 2],
    y: [f64; 2],
    /// Powers of ten of the lowest and the highest contour above the infimum, and how many there are.
    levels: (f64, f64, usize),
    /// The first is the start.
    landmarks: &'static [Landmark],
    caption: &'static str,
}

const fn landmark(at: (f64, f64), name: &'static str, side: Side) -> Landmark {
    Landmark { at, name, side }
}

/// The surfaces.
pub const COURSES: [Course; 5] = [
    Course {
        surface: ffi::Surface::Beale,
        key: "beale",
        name: "Beale's function",
        formula: "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
        start: [1.0, 1.5],
        steps: 1_000,
        rates: [0.005, 0.005, 0.005, 0.3, 0.02, 1.0, 0.1],
        adadelta_eps: 1e-6,
        goal: Goal::Near([3.0, 0.5]),
        arrivals_in_double: [Some(966), Some(40), Some(42), Some(844), Some(199), None, Some(253)],
        infimum: 0.0,
        view: View {
            still: "surface-beale",
            race: "surface-beale-race",
            x: [-0.6, 4.2],
            y: [-2.2, 2.0],
            levels: (-1.5, 3.0, 16),
            landmarks: &[
                landmark((1.0, 1.5), "start", Side::Above),
                landmark((3.0, 0.5), "minimum", Side::Below),
            ],
            caption: "A plateau with steep walls: momentum is carried far off its way and is still the first",
        },
    },
    Course {
        surface: ffi::Surface::Rosenbrock,
        key: "rosenbrock",
        name: "Rosenbrock's function",
        formula: "(1 − x)² + 100 (y − x²)²",
        start: [-1.2, 1.0],
        steps: 6_000,
        rates: [0.001, 0.001, 0.001, 0.5, 0.005, 1.0, 0.05],
        adadelta_eps: 1e-6,
        goal: Goal::Near([1.0, 1.0]),
        arrivals_in_double: [
            Some(5_686),
            Some(486),
            Some(523),
            Some(3_113),
            Some(1_975),
            None,
            Some(1_012),
        ],
        infimum: 0.0,
        view: View {
            still: "surface-rosenbrock",
            race: "surface-rosenbrock-race",
            x: [-1.6, 1.5],
            y: [-0.4, 1.7],
            levels: (-2.0, 2.5, 16),
            landmarks: &[
                landmark((-1.2, 1.0), "start", Side::Left),
                landmark((1.0, 1.0), "minimum", Side::Left),
            ],
            caption: "A bent valley with a flat floor: down into it is a matter of steps, along it of hundreds",
        },
    },
    Course {
        surface: ffi::Surface::Saddle,
        key: "saddle",
        name: "Saddle",
        formula: "x² − y² + y⁴/4",
        start: [-1.0, 1e-3],
        steps: 400,
        rates: [0.02, 0.02, 0.02, 0.1, 0.02, 1.0, 0.02],
        adadelta_eps: 1e-4,
        goal: Goal::Escape,
        arrivals_in_double: [Some(185), Some(47), Some(44), Some(19), Some(32), Some(13), Some(44)],
        infimum: -1.0,
        view: View {
            still: "surface-saddle",
            race: "surface-saddle-race",
            x: [-1.2, 0.8],
            y: [-0.4, 1.9],
            levels: (-2.0, 0.6, 14),
            landmarks: &[
                landmark((-1.0, 1e-3), "start", Side::Below),
                landmark((0.0, 0.0), "saddle", Side::Below),
                landmark((0.0, std::f64::consts::SQRT_2), "minimum", Side::Right),
            ],
            caption: "Started beside the ridge: who scales each coordinate by its own gradients leaves the saddle first",
        },
    },
    Course {
        surface: ffi::Surface::Valley,
        key: "valley",
        name: "Long valley",
        formula: "4x² − 1 + exp(−y²/8)",
        start: [1.0, 1e-4],
        steps: 120,
        rates: [0.15, 0.15, 0.15, 0.2, 0.05, 1.0, 0.05],
        adadelta_eps: 1e-4,
        goal: Goal::Escape,
        arrivals_in_double: [None, Some(64), Some(59), Some(7), Some(9), Some(46), Some(20)],
        infimum: -1.0,
        view: View {
            still: "surface-valley",
            race: "surface-valley-race",
            x: [-1.2, 1.2],
            y: [-0.8, 8.2],
            levels: (-2.6, 0.8, 18),
            landmarks: &[
                landmark((1.0, 1e-4), "start", Side::Above),
                landmark((0.0, 0.0), "saddle", Side::Below),
            ],
            caption: "The gradient along the valley begins at almost nothing: gradient descent stays at the saddle",
        },
    },
    Course {
        surface: ffi::Surface::Bowl,
        key: "bowl",
        name: "Elongated bowl",
        formula: "(25x² + y²/4) / 2",
        start: [1.0, -10.0],
        steps: 300,
        rates: [0.03, 0.03, 0.03, 1.0, 0.1, 1.0, 0.2],
        adadelta_eps: 1e-4,
        goal: Goal::Near([0.0, 0.0]),
        arrivals_in_double: [None, Some(70), Some(32), Some(132), Some(122), None, Some(81)],
        infimum: 0.0,
        view: View {
            still: "surface-bowl",
            race: "surface-bowl-race",
            x: [-1.2, 1.3],
            y: [-11.0, 2.5],
            levels: (-2.0, 1.5, 15),
            landmarks: &[
                landmark((1.0, -10.0), "start", Side::Right),
                landmark((0.0, 0.0), "minimum", Side::Right),
            ],
            caption: "A hundred times as curved across as along: momentum swings from wall to wall, AdaGrad heads for the minimum",
        },
    },
];

/// In the table of paths.
pub const SLOPE: &str = "slope";
const SLOPE_STEPS: usize = 100;
/// Of all seven on the constant slope, but AdaDelta, whose rate is a factor.
pub const SLOPE_RATE: f64 = 0.01;
const SLOPE_ADADELTA_EPS: f64 = 1e-6;

/// In the table of paths, like the slope.
pub const RARE: &str = "rare";
/// `SURFACE_RARE_PERIOD` on the C side.
pub const RARE_PERIOD: usize = 20;
const RARE_STEPS: usize = 20 * RARE_PERIOD;

/// Of gradient descent on x^2.
pub const SQUARE_RATES: [f64; 4] = [0.001, 0.1, 0.9, 1.05];
const SQUARE_STEPS: usize = 50;

/// The conventions of the article that describes the optimizer; AdaDelta's decay is its author's, 0.95.
pub fn settings(optimizer: Optimizer, lr: f64, adadelta_eps: f64) -> OptimizerSettings {
    match optimizer {
        Optimizer::AdaDelta => OptimizerSettings {
            eps: adadelta_eps,
            ..optimizer.settings(Preset::Tf1, lr) // the one with a decay of 0.95
        },
        Optimizer::Adam => optimizer.settings(Preset::Article2, lr),
        _ => optimizer.settings(Preset::Article1, lr),
    }
}

impl Course {
    /// The optimizer's path: the start, and the place after each step.
    pub fn walk(&self, optimizer: Optimizer) -> Result<Vec<[f32; 2]>> {
        let settings = settings(optimizer, self.rates[optimizer as usize], self.adadelta_eps);
        self.surface.walk(settings, self.start, self.steps)
    }
}

/// A row of `surface.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    #[serde(rename = "fn")]
    pub function: String,
    pub opt: String,
    pub step: usize,
    pub x: f32,
    pub y: f32,
    pub f: f64,
}

/// A row of `surface-rates.csv`: gradient descent on x^2.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RateRow {
    pub lr: f64,
    pub step: usize,
    pub x: f32,
    pub f: f64,
}

/// Nine digits, which are enough to tell the values of two neighbouring points apart.
fn value(surface: ffi::Surface, [x, y]: [f32; 2]) -> f64 {
    let value = surface.at([f64::from(x), f64::from(y)]).0;
    format!("{value:.8e}").parse().unwrap_or(value)
}

/// Computes all paths; with `--quick` too, since it takes no time.
pub fn run(lab: &Lab) -> Result<()> {
    compute(lab.out())
}

/// Writes `surface.csv` and `surface-rates.csv`.
pub fn compute(dir: &Path) -> Result<()> {
    let mut rows = Vec::new();
    let mut append = |key: &str, surface, optimizer: Optimizer, path: &[[f32; 2]]| {
        rows.extend(path.iter().enumerate().map(|(step, &[x, y])| Row {
            function: key.to_owned(),
            opt: optimizer.key().to_owned(),
            step,
            x,
            y,
            f: value(surface, [x, y]),
        }));
    };
    for course in &COURSES {
        for optimizer in Optimizer::SEVEN {
            append(course.key, course.surface, optimizer, &course.walk(optimizer)?);
        }
    }
    let slopes =
        [(SLOPE, ffi::Surface::Slope, SLOPE_STEPS), (RARE, ffi::Surface::Rare, RARE_STEPS)];
    for (key, slope, steps) in slopes {
        for optimizer in Optimizer::SEVEN {
            let rate = if optimizer == Optimizer::AdaDelta { 1.0 } else { SLOPE_RATE };
            let settings = settings(optimizer, rate, SLOPE_ADADELTA_EPS);
            append(key, slope, optimizer, &slope.walk(settings, [0.0, 0.0], steps)?);
        }
    }
    write_csv(&dir.join("surface.csv"), rows)?;

    let mut rows = Vec::new();
    let square = ffi::Surface::Square;
    for lr in SQUARE_RATES {
        let path = square.walk(settings(Optimizer::Sgd, lr, f64::NAN), [1.0, 0.0], SQUARE_STEPS)?;
        rows.extend(path.iter().enumerate().map(|(step, &point)| RateRow {
            lr,
            step,
            x: point[0],
            f: value(square, point),
        }));
    }
    write_csv(&dir.join("surface-rates.csv"), rows)
}
