//! The surfaces' derivatives, and the paths of the optimizers against the papers' formulas in double arithmetic.

use std::fs;
use std::path::PathBuf;

use mnist::experiments::surface::{self, COURSES, Course, settings};
use mnist::ffi::{OptimizerSettings, Surface};
use mnist::optimizer::{Optimizer, State};

#[test]
fn derivatives_agree_with_central_differences() {
    let surfaces = [
        Surface::Beale,
        Surface::Rosenbrock,
        Surface::Saddle,
        Surface::Valley,
        Surface::Bowl,
        Surface::Square,
        Surface::Slope,
        Surface::Rare,
    ];
    let h = 1e-5;
    for surface in surfaces {
        let mut worst = 0.0f64;
        for i in -12..=12 {
            for j in -12..=12 {
                let [x, y] = [f64::from(i) * 0.173 + 0.01, f64::from(j) * 0.151 - 0.02];
                let slope = surface.at([x, y]).1;
                let value = |dx: f64, dy: f64| surface.at([x + dx, y + dy]).0;
                let differences = [
                    (value(h, 0.0) - value(-h, 0.0)) / (2.0 * h),
                    (value(0.0, h) - value(0.0, -h)) / (2.0 * h),
                ];
                for (slope, difference) in slope.into_iter().zip(differences) {
                    worst = worst.max((slope - difference).abs() / slope.abs().max(1.0));
                }
            }
        }
        println!("{surface:?}: {worst:e}");
        assert!(worst < 1e-6, "{surface:?}: {worst}");
    }
}

#[test]
fn minima_are_where_they_are_said_to_be() {
    let minima = [
        (Surface::Beale, [3.0, 0.5], 0.0),
        (Surface::Rosenbrock, [1.0, 1.0], 0.0),
        (Surface::Saddle, [0.0, std::f64::consts::SQRT_2], -1.0),
        (Surface::Bowl, [0.0, 0.0], 0.0),
    ];
    for (surface, [x, y], minimum) in minima {
        let (value, slope) = surface.at([x, y]);
        assert!((value - minimum).abs() < 1e-12, "{surface:?}: {value}");
        assert!(slope[0].hypot(slope[1]) < 1e-12, "{surface:?}: {slope:?}");
        for turn in 0..16 {
            let (sin, cos) = (f64::from(turn) * std::f64::consts::TAU / 16.0).sin_cos();
            assert!(surface.at([x + 0.01 * cos, y + 0.01 * sin]).0 > minimum, "{surface:?}");
        }
    }
}

/// The functions once more, with the library's exp and derivatives written out term by term.
fn gradient(surface: Surface, [x, y]: [f64; 2]) -> [f64; 2] {
    match surface {
        Surface::Beale => {
            let a = 1.5 - x + x * y;
            let b = 2.25 - x + x * y.powi(2);
            let c = 2.625 - x + x * y.powi(3);
            [
                2.0 * a * (y - 1.0) + 2.0 * b * (y.powi(2) - 1.0) + 2.0 * c * (y.powi(3) - 1.0),
                2.0 * a * x + 4.0 * b * x * y + 6.0 * c * x * y.powi(2),
            ]
        }
        Surface::Rosenbrock => [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)],
        Surface::Saddle => [2.0 * x, -2.0 * y + y.powi(3)],
        Surface::Valley => [8.0 * x, -0.25 * y * (-y * y / 8.0).exp()],
        Surface::Bowl => [25.0 * x, 0.25 * y],
        Surface::Square | Surface::Slope | Surface::Rare => unreachable!("not a course"),
    }
}

/// The rules as their papers have them, in double: Polyak 1964; Nesterov 1983, in the form of Sutskever et al. 2013;
/// Duchi et al. 2011, with its small number inside the root; Tieleman and Hinton 2012, likewise; Zeiler 2012; Kingma
/// and Ba 2015.
fn walk_in_double(course: &Course, optimizer: Optimizer) -> Vec<[f64; 2]> {
    let lr = course.rates[optimizer as usize];
    let beta = 0.9;
    let tiny = 1e-10;
    let mut p = course.start.map(f64::from);
    if course.surface == Surface::Rosenbrock {
        p[0] = -1.2; // which is no float
    }
    let (mut m, mut v) = ([0.0f64; 2], [0.0f64; 2]);
    let mut path = vec![p];
    for t in 1..=course.steps {
        let at = if optimizer == Optimizer::Nesterov {
            [p[0] + beta * m[0], p[1] + beta * m[1]]
        } else {
            p
        };
        let g = gradient(course.surface, at);
        for i in 0..2 {
            match optimizer {
                Optimizer::Sgd => p[i] -= lr * g[i],
                Optimizer::Momentum | Optimizer::Nesterov => {
                    m[i] = beta * m[i] - lr * g[i];
                    p[i] += m[i];
                }
                Optimizer::AdaGrad => {
                    v[i] += g[i] * g[i];
                    p[i] -= lr * g[i] / (v[i] + tiny).sqrt();
                }
                Optimizer::RmsProp => {
                    v[i] = beta * v[i] + (1.0 - beta) * g[i] * g[i];
                    p[i] -= lr * g[i] / (v[i] + tiny).sqrt();
                }
                Optimizer::AdaDelta => {
                    let (rho, eps) = (0.95, course.adadelta_eps);
                    v[i] = rho * v[i] + (1.0 - rho) * g[i] * g[i];
                    let delta = (m[i] + eps).sqrt() / (v[i] + eps).sqrt() * g[i];
                    m[i] = rho * m[i] + (1.0 - rho) * delta * delta;
                    p[i] -= lr * delta;
                }
                Optimizer::Adam => {
                    let (beta1, beta2, eps) = (0.9f64, 0.999f64, 1e-8);
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
                    let mean = m[i] / (1.0 - beta1.powi(t as i32));
                    let square = v[i] / (1.0 - beta2.powi(t as i32));
                    p[i] -= lr * mean / (square.sqrt() + eps);
                }
                Optimizer::AdamW => unreachable!("not one of the seven"),
            }
        }
        path.push(p);
    }
    path
}

fn arrival<T: Copy + Into<f64>>(course: &Course, path: &[[T; 2]]) -> Option<usize> {
    path.iter().position(|point| course.goal.reached(point.map(Into::into)))
}

#[test]
fn the_papers_formulas_arrive_when_the_table_says() {
    for course in &COURSES {
        for optimizer in Optimizer::SEVEN {
            assert_eq!(
                arrival(course, &walk_in_double(course, optimizer)),
                course.arrivals_in_double[optimizer as usize],
                "{} on {}",
                optimizer.name(),
                course.key
            );
        }
    }
}

#[test]
fn gradstep_arrives_in_the_same_order_and_within_ten_percent() {
    for course in &COURSES {
        let arrivals =
            Optimizer::SEVEN.map(|optimizer| arrival(course, &course.walk(optimizer).unwrap()));
        println!("{}: {arrivals:?}, in double {:?}", course.key, course.arrivals_in_double);
        let both = || arrivals.into_iter().zip(course.arrivals_in_double);
        for (float, double) in both() {
            assert_eq!(float.is_some(), double.is_some(), "{}: {arrivals:?}", course.key);
            if let (Some(float), Some(double)) = (float, double) {
                assert!(float.abs_diff(double) * 10 <= double, "{}: {arrivals:?}", course.key);
            }
        }
        for (float, double) in both() {
            for (other_float, other_double) in both() {
                if let (Some(double), Some(other)) = (double, other_double)
                    && double < other
                {
                    assert!(float < other_float, "{}: {arrivals:?}", course.key);
                }
            }
        }
    }
}

/// Numbers of the state that are off by up to an eighth, at random, make other paths, but none that is a fifth longer.
#[test]
fn state_in_fewer_bits_arrives() {
    for course in &COURSES {
        for optimizer in Optimizer::SEVEN {
            let walk = |state: State| {
                let rate = course.rates[optimizer as usize];
                let settings = OptimizerSettings {
                    state: state as i32,
                    ..settings(optimizer, rate, course.adadelta_eps)
                };
                course.surface.walk(settings, course.start, course.steps).unwrap()
            };
            let arrivals =
                [State::F32, State::Bf16, State::Bits8].map(|state| arrival(course, &walk(state)));
            println!("{:<10} {:<8} {arrivals:?}", course.key, optimizer.key());
            // Where binary32 does not arrive, chance may.
            if let Some(f32) = arrivals[0] {
                let late = |bits: &Option<usize>| bits.is_none_or(|bits| bits * 5 > f32 * 6);
                assert!(!arrivals[1..].iter().any(late), "{arrivals:?}");
            }
        }
    }
}

/// Not only the arrival but the path is the formula's. Ten steps: later an oscillation amplifies the rounding.
#[test]
fn gradstep_walks_the_papers_paths() {
    for course in &COURSES {
        for optimizer in Optimizer::SEVEN {
            let float = course.walk(optimizer).unwrap();
            let double = walk_in_double(course, optimizer);
            for (step, (a, b)) in float.iter().zip(&double).enumerate().take(11) {
                for (a, b) in a.iter().zip(b) {
                    let close = 1e-4 * b.abs().max(1e-3);
                    assert!(
                        (f64::from(*a) - b).abs() <= close,
                        "{} on {}, step {step}: {a} and {b}",
                        optimizer.name(),
                        course.key
                    );
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_walked_is_refused() {
    let settings = settings(Optimizer::Adam, -1.0, f64::NAN);
    let error = Surface::Bowl.walk(settings, [1.0, 1.0], 1).unwrap_err().to_string();
    assert!(error.contains("lr"), "{error}");
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_same_bytes_each_time() {
    let folders = [folder("surface-once"), folder("surface-twice")];
    for folder in &folders {
        surface::compute(folder).unwrap();
    }
    for name in ["surface.csv", "surface-rates.csv"] {
        let [once, twice] = folders.each_ref().map(|folder| fs::read(folder.join(name)).unwrap());
        assert!(!once.is_empty() && once == twice, "{name}");
    }
    let paths = fs::read_to_string(folders[0].join("surface.csv")).unwrap();
    let rows = COURSES.iter().map(|course| 7 * (course.steps + 1)).sum::<usize>() + 7 * (101 + 401);
    assert_eq!(paths.lines().count(), 1 + rows);
}

#[test]
fn pictures_come_from_the_tables_and_are_small() {
    let out = folder("surface-pictures");
    surface::compute(&out).unwrap();
    let section = surface::show(&out).unwrap();
    assert_eq!(section.pictures.len(), 2 * COURSES.len() + 2);
    let mut total = 0;
    for picture in &section.pictures {
        let svg = fs::read_to_string(out.join(format!("{}.svg", picture.stem))).unwrap();
        total += svg.len();
        assert!(svg.len() < 200_000, "{}: {}", picture.stem, svg.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{}", picture.stem);
        assert!(mnist::plot::rasterize(&svg).is_ok(), "{}", picture.stem);
        if picture.stem.ends_with("-race") {
            // Of each list as many values as times.
            let lists = |name: &str| -> Vec<usize> {
                let begin = format!(" {name}=\"");
                let parts = svg.split(&begin).skip(1);
                parts.map(|part| part.split('"').next().unwrap().split(';').count()).collect()
            };
            let values = [lists("values"), lists("keyPoints")].concat().len();
            assert!(values > 7 * 4 && values == lists("keyTimes").len(), "{}", picture.stem);
            assert!(lists("keyPoints").iter().all(|&count| count == 122), "{}", picture.stem);
        }
    }
    assert!(total < 1_200_000, "{total}");
    // Drawing again gives the same files, and the same claims.
    let first = fs::read(out.join("surface-bowl-race.svg")).unwrap();
    assert_eq!(surface::show(&out).unwrap().text(), section.text());
    assert!(first == fs::read(out.join("surface-bowl-race.svg")).unwrap());
}

#[test]
fn a_table_that_lacks_something_is_refused() {
    let out = folder("surface-torn");
    surface::compute(&out).unwrap();
    let path = out.join("surface.csv");
    let table = fs::read_to_string(&path).unwrap();
    let cases = [
        ("valley,adam,7,", "surface.csv: adam on valley lacks step 7"),
        ("bowl,sgd,", "surface.csv: no path of sgd on bowl"),
    ];
    for (without, expected) in cases {
        let lines: Vec<_> = table.lines().filter(|line| !line.starts_with(without)).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(surface::show(&out).unwrap_err().to_string(), expected);
    }
}
