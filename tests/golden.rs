//! Golden traces: gradstep's f32 is as close to a framework's f64 as the framework's own f32 is.
//!
//! `golden/generate.py` made the traces with PyTorch, Optax, Keras and TensorFlow, and describes
//! them. `cargo test --test golden -- --nocapture` prints every case.
//!
//! # The unit
//!
//! Errors of parameters are in ULP of the largest magnitude that the parameter has had on its way:
//! one that ends near zero has tiny ULPs there and no tiny error. The mean over the 48 parameters
//! is compared, since the maximum of so few is a matter of luck; a mean of so few still scatters by
//! 10 % around that of many, so a case may be 1.25 times the framework's and a framework's cases
//! together may not be above it.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::str::FromStr;

use gradstep::{Adadelta, Adagrad, Adam, AdamW, Amsgrad, EpsPlacement, Preset, RmsProp, Rule, Sgd};

use common::{Owned, Subject, buffer_names};

const INPUTS: &str = include_str!("golden/inputs.txt");
const TRACES: [(&str, &str); 4] = [
    ("torch", include_str!("golden/torch.txt")),
    ("optax", include_str!("golden/optax.txt")),
    ("keras", include_str!("golden/keras.txt")),
    ("tf1", include_str!("golden/tf1.txt")),
];

/// How far the mean error of a case may be above the framework's.
const CASE: f64 = 1.25;

/// The largest error of any parameter after all steps, in ULP of its peak.
const MAX_ERROR: f64 = 16.0;

/// The largest error of any parameter after the first step, in ULP of its value before or after.
const MAX_FIRST_ERROR: f64 = 5.0;

/// The largest mean error of a case, in ULP, so that a bad framework excuses nothing.
const MAX_MEAN: f64 = 4.0;

/// A rule that can be made from a case's lines.
trait Golden: Subject {
    fn from_fields(fields: &Fields) -> Self;

    fn set_lr(&mut self, lr: f64);
}

macro_rules! golden {
    ($($rule:ident { $($field:ident),* })*) => {
        $(impl Golden for $rule {
            fn from_fields(fields: &Fields) -> Self {
                // All of the rule's fields, and no others.
                let rule = $rule { $($field: fields.get(stringify!($field))),* };
                fields.all_read();
                rule
            }

            fn set_lr(&mut self, lr: f64) {
                self.lr = lr;
            }
        })*
    };
}

golden! {
    Sgd { lr, momentum, dampening, weight_decay, nesterov, lr_inside, maximize }
    Adagrad { lr, lr_decay, eps, weight_decay, initial_accumulator_value, eps_placement, maximize }
    RmsProp {
        lr, alpha, eps, weight_decay, momentum, initial_square_avg, centered, eps_placement,
        lr_inside, maximize
    }
    Adadelta { lr, rho, eps, weight_decay, maximize }
    Adam { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize }
    AdamW { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize }
}

#[test]
fn no_further_from_float64_than_the_framework() {
    let inputs = Inputs::parse(INPUTS);
    println!("mean and largest error of the parameters after {} steps, in ULP", inputs.grads.len());
    println!(
        "{:<6} {:<9} {:<22} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7} {:>7}",
        "source",
        "rule",
        "case",
        "its f32",
        "gradstep",
        "ratio",
        "its max",
        "our max",
        "step 1",
        "state"
    );
    let mut failures = Vec::new();
    for (source, text) in TRACES {
        let mut tally = Tally::default();
        for case in Case::parse_all(text) {
            macro_rules! run {
                ($($rule:ident),*) => {
                    $(if case.rule == gradstep::$rule::name() {
                        let told = (&mut tally, &mut failures);
                        run_case::<gradstep::$rule>(source, &case, &inputs, told);
                    })*
                };
            }
            gradstep::for_each_rule!(run);
        }
        let Tally { cases, theirs, ours, worse } = tally;
        println!(
            "{source:<6} all {cases} cases: {theirs:.1} and gradstep {ours:.1}, a ratio of {:.2}; \
             gradstep is further from float64 in {worse}\n",
            ours / theirs
        );
        assert!(cases > 0 && ours <= theirs, "{source}: {ours} in all, its own f32 {theirs}");
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The sums of a framework's cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    theirs: f64,
    ours: f64,
    /// How many cases gradstep is further from float64 in.
    worse: usize,
}

fn run_case<R: Golden>(
    source: &str,
    case: &Case,
    inputs: &Inputs,
    (tally, failures): (&mut Tally, &mut Vec<String>),
) {
    let mut rule = R::from_fields(&case.fields);
    let mut ours = Owned::new(&rule, inputs.param.clone(), vec![0.0; inputs.param.len()]);
    let mut peaks: Vec<f64> = inputs.param.iter().map(|p| f64::from(p.abs())).collect();
    let mut first = 0.0_f64;
    let last = inputs.grads.len() as u64;
    for (t, grad) in (1..).zip(&inputs.grads) {
        ours.grad.copy_from_slice(grad);
        ours.apply(&rule.at(t).unwrap()).unwrap();
        for (peak, p) in peaks.iter_mut().zip(&ours.param) {
            *peak = peak.max(f64::from(p.abs()));
        }
        if t == 1 {
            first = errors(&ours.param, case.f64(1, "param"), &peaks).fold(0.0, f64::max);
        }
        if let Some((_, lr)) = case.lr_after.filter(|&(step, _)| step == t) {
            rule.set_lr(lr);
        }
    }

    let exact = case.f64(last, "param");
    let their_f32 = case.f32(last, "param");
    let (theirs, their_max) = mean_and_max(errors(their_f32, exact, &peaks));
    let (mean, max) = mean_and_max(errors(&ours.param, exact, &peaks));

    // The state, in plain ULP. Its maximum means nothing for a buffer that crosses zero.
    let mut state_ratio = 0.0_f64;
    for (name, buffer) in buffer_names(&rule).into_iter().zip(&ours.state) {
        let (Some(name), Some(buffer)) = (name, buffer) else { continue };
        let exact = case.f64(last, name);
        let (theirs, _) = mean_and_max(errors(case.f32(last, name), exact, exact));
        let (ours, _) = mean_and_max(errors(buffer, exact, exact));
        state_ratio = state_ratio.max(ours / theirs);
        if ours > CASE * theirs {
            failures.push(format!(
                "{source} {} {} {name}: {ours:.2} ULP, its own f32 {theirs:.2}",
                case.rule, case.name
            ));
        }
    }

    tally.cases += 1;
    tally.theirs += theirs;
    tally.ours += mean;
    tally.worse += usize::from(mean > theirs);
    let remark = if mean > theirs { "  further than the framework" } else { "" };
    println!(
        "{source:<6} {:<9} {:<22} {theirs:>9.3} {mean:>9.3} {:>7.2} {their_max:>9.2} {max:>9.2} \
         {first:>7.2} {state_ratio:>7.2}{remark}",
        case.rule,
        case.name,
        mean / theirs
    );
    for (what, error, bound) in [
        ("mean", mean, CASE * theirs),
        ("mean", mean, MAX_MEAN),
        ("maximum", max, MAX_ERROR),
        ("maximum after step 1", first, MAX_FIRST_ERROR),
    ] {
        if error > bound {
            failures.push(format!(
                "{source} {} {}: {what} {error:.2} ULP, above {bound:.2}",
                case.rule, case.name
            ));
        }
    }
}

/// What a framework does when it is given no hyperparameter is what its preset says.
#[test]
fn presets_are_the_defaults_of_their_source() {
    let mut proven = 0;
    for (source, text) in TRACES {
        let preset = *Preset::ALL.iter().find(|preset| preset.name() == source).unwrap();
        let cases = Case::parse_all(text);
        macro_rules! check {
            ($($rule:ident),*) => {
                $(proven += preset_is_default::<gradstep::$rule>(preset, &cases);)*
            };
        }
        gradstep::for_each_rule!(check);
    }
    println!("{proven} presets are the defaults that their frameworks were seen to have");
    assert!(proven >= 23);
}

fn preset_is_default<R: Golden>(preset: Preset, cases: &[Case]) -> usize {
    let default = cases.iter().find(|case| case.rule == R::name() && case.name == "default");
    match (R::preset(preset), default) {
        (Ok(mut rule), Some(default)) => {
            if !has_default_lr(preset, R::name()) {
                rule.set_lr(default.fields.get("lr"));
            }
            assert!(
                default.fields.equivalent().any(|fields| R::from_fields(&fields) == rule),
                "preset {} is {rule:?}, and its source has {:?}",
                preset.name(),
                R::from_fields(&default.fields)
            );
            1
        }
        (Err(_), None) => 0,
        (Ok(_), None) => panic!("preset {} of {} has no trace", preset.name(), R::name()),
        (Err(_), Some(_)) => panic!("{} has {}, and no preset", preset.name(), R::name()),
    }
}

/// Optax demands a learning rate everywhere, TensorFlow 1 in some rules.
fn has_default_lr(preset: Preset, rule: &str) -> bool {
    match preset {
        Preset::Torch | Preset::Keras => true,
        Preset::Tf1 => matches!(rule, "adadelta" | "adam"),
        _ => false,
    }
}

/// The error of each number, in ULP of a binary32 number as large as `unit`.
fn errors(numbers: &[f32], exact: &[f64], unit: &[f64]) -> impl Iterator<Item = f64> {
    assert!(numbers.len() == exact.len() && exact.len() == unit.len());
    let ulp = |x: f64| {
        let exponent = ((x.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(-126) - 23;
        2.0_f64.powi(exponent)
    };
    numbers
        .iter()
        .zip(exact)
        .zip(unit)
        .map(move |((&number, exact), &unit)| (f64::from(number) - exact).abs() / ulp(unit))
}

fn mean_and_max(errors: impl Iterator<Item = f64>) -> (f64, f64) {
    let (count, sum, max) = errors.fold((0, 0.0, 0.0), |(count, sum, max): (_, _, f64), error| {
        assert!(error.is_finite());
        (count + 1, sum + error, max.max(error))
    });
    (sum / f64::from(count), max)
}

/// inputs.txt.
struct Inputs {
    param: Vec<f32>,
    grads: Vec<Vec<f32>>,
}

impl Inputs {
    fn parse(text: &str) -> Self {
        let (mut n, mut steps, mut param, mut grads) = (0, 0, Vec::new(), Vec::new());
        for words in lines(text) {
            match words[..] {
                ["n", count] => n = count.parse().unwrap(),
                ["steps", count] => steps = count.parse().unwrap(),
                ["param", ref hex @ ..] => param = f32s(hex),
                ["grad", step, ref hex @ ..] => {
                    grads.push(f32s(hex));
                    assert_eq!(step, grads.len().to_string());
                }
                _ => panic!("{words:?}"),
            }
        }
        assert!(n > 0 && param.len() == n && grads.len() == steps);
        assert!(grads.iter().all(|grad| grad.len() == n));
        Self { param, grads }
    }
}

/// One case of a framework's file.
#[derive(Default)]
struct Case {
    rule: String,
    name: String,
    fields: Fields,
    lr_after: Option<(u64, f64)>,
    f32: BTreeMap<(u64, String), Vec<f32>>,
    f64: BTreeMap<(u64, String), Vec<f64>>,
}

impl Case {
    fn parse_all(text: &str) -> Vec<Self> {
        let mut cases = Vec::new();
        let mut case = Self::default();
        for words in lines(text) {
            match words[..] {
                ["case", rule, name] => (case.rule, case.name) = (rule.into(), name.into()),
                ["framework" | "preset", ..] => {}
                ["hyper", field, value] => {
                    case.fields.values.insert(field.into(), value.into());
                }
                ["lr_after", step, lr] => {
                    case.lr_after = Some((step.parse().unwrap(), lr.parse().unwrap()));
                }
                ["f32", step, tensor, ref hex @ ..] => {
                    case.f32.insert((step.parse().unwrap(), tensor.into()), f32s(hex));
                }
                ["f64", step, tensor, ref hex @ ..] => {
                    let bits = hex.iter().map(|hex| u64::from_str_radix(hex, 16).unwrap());
                    let numbers = bits.map(f64::from_bits).collect();
                    case.f64.insert((step.parse().unwrap(), tensor.into()), numbers);
                }
                ["end"] => cases.push(std::mem::take(&mut case)),
                _ => panic!("{words:?}"),
            }
        }
        assert!(case.rule.is_empty(), "the last case has an end");
        cases
    }

    fn f32(&self, step: u64, tensor: &str) -> &[f32] {
        &self.f32[&(step, tensor.to_owned())]
    }

    fn f64(&self, step: u64, tensor: &str) -> &[f64] {
        &self.f64[&(step, tensor.to_owned())]
    }
}

/// The `hyper` lines of a case.
#[derive(Clone, Default)]
struct Fields {
    values: BTreeMap<String, String>,
    read: RefCell<Vec<String>>,
}

impl Fields {
    fn get<T: Field>(&self, name: &str) -> T {
        self.read.borrow_mut().push(name.into());
        T::parse(self.values.get(name).unwrap_or_else(|| panic!("no line for {name}")))
    }

    /// These fields, and those that mean the same: it does not matter where an `eps` of 0 is.
    fn equivalent(&self) -> impl Iterator<Item = Self> {
        let without_eps = self.values.get("eps").is_some_and(|eps| eps.parse() == Ok(0.0));
        let placements: &[_] = if without_eps { &["outside", "inside"] } else { &[] };
        let others = placements.iter().map(|&placement| {
            let mut fields = self.clone();
            fields.values.insert("eps_placement".into(), placement.into());
            fields
        });
        [self.clone()].into_iter().chain(others)
    }

    /// Whether the rule has every field that the case names.
    fn all_read(&self) {
        for name in self.values.keys() {
            assert!(self.read.borrow().contains(name), "the rule has no field {name}");
        }
    }
}

/// A hyperparameter's value.
trait Field {
    fn parse(text: &str) -> Self;
}

impl Field for f64 {
    fn parse(text: &str) -> Self {
        f64::from_str(text).unwrap()
    }
}

impl Field for bool {
    fn parse(text: &str) -> Self {
        match text {
            "0" => false,
            "1" => true,
            _ => panic!("not a flag: {text}"),
        }
    }
}

impl Field for EpsPlacement {
    fn parse(text: &str) -> Self {
        match text {
            "outside" => Self::Outside,
            "inside" => Self::Inside,
            "hat" => Self::Hat,
            _ => panic!("not an eps_placement: {text}"),
        }
    }
}

impl Field for Amsgrad {
    fn parse(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            "raw" => Self::Raw,
            "corrected" => Self::Corrected,
            _ => panic!("not an amsgrad: {text}"),
        }
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(' ').collect())
}

fn f32s(hex: &[&str]) -> Vec<f32> {
    hex.iter().map(|hex| f32::from_bits(u32::from_str_radix(hex, 16).unwrap())).collect()
}
