//! Seven optimizers on functions of two variables, where a path can be looked at.
//!
//! Five surfaces that are hard in different ways; a constant slope, on which a step shows the optimizer alone; and
//! gradient descent on x^2 at four rates.

use std::path::Path;

use anyhow::Result;

use crate::ffi::{self, OptimizerSettings};
use crate::optimizer::{Optimizer, Preset};
use crate::output;

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
            Goal::Near(minimum) => (x - minimum[0]).hypot(y - minimum[1]) < 0.1,
            Goal::Escape => y.abs() > 1.0,
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
    },
];

/// In the table of paths.
pub const SLOPE: &str = "slope";
const SLOPE_STEPS: usize = 100;
/// Of all seven on the constant slope, but AdaDelta, whose rate is a factor.
pub const SLOPE_RATE: f64 = 0.01;
const SLOPE_ADADELTA_EPS: f64 = 1e-6;

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

/// Computes all paths, and writes `surface.csv` and `surface_rates.csv`.
pub fn run(dir: &Path) -> Result<()> {
    let mut paths = csv::Writer::from_writer(Vec::new());
    paths.write_record(["fn", "opt", "step", "x", "y", "f"])?;
    let mut append = |key: &str, surface: ffi::Surface, optimizer: Optimizer, path: &[[f32; 2]]| {
        path.iter().enumerate().try_for_each(|(step, &[x, y])| {
            let f = surface.at([f64::from(x), f64::from(y)]).0;
            let row = [step.to_string(), x.to_string(), y.to_string(), format!("{f:.8e}")];
            paths.write_record([key, optimizer.key()].into_iter().chain(row.iter().map(|s| &**s)))
        })
    };
    for course in &COURSES {
        for optimizer in Optimizer::SEVEN {
            append(course.key, course.surface, optimizer, &course.walk(optimizer)?)?;
        }
    }
    let slope = ffi::Surface::Slope;
    for optimizer in Optimizer::SEVEN {
        let rate = if optimizer == Optimizer::AdaDelta { 1.0 } else { SLOPE_RATE };
        let settings = settings(optimizer, rate, SLOPE_ADADELTA_EPS);
        append(SLOPE, slope, optimizer, &slope.walk(settings, [0.0, 0.0], SLOPE_STEPS)?)?;
    }
    output::write(&dir.join("surface.csv"), &paths.into_inner()?)?;

    let mut rates = csv::Writer::from_writer(Vec::new());
    rates.write_record(["lr", "step", "x", "f"])?;
    let square = ffi::Surface::Square;
    for rate in SQUARE_RATES {
        let settings = settings(Optimizer::Sgd, rate, f64::NAN);
        let path = square.walk(settings, [1.0, 0.0], SQUARE_STEPS)?;
        for (step, &[x, y]) in path.iter().enumerate() {
            let f = square.at([f64::from(x), f64::from(y)]).0;
            let row = [rate.to_string(), step.to_string(), x.to_string(), format!("{f:.8e}")];
            rates.write_record(row)?;
        }
    }
    output::write(&dir.join("surface_rates.csv"), &rates.into_inner()?)
}
