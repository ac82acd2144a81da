//! A list of steps: what each came to, and the table at the end.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use xshell::Shell;

/// Something that can pass, fail, or be skipped by returning [`Skip`] as its error.
pub(crate) struct Step {
    name: String,
    run: Box<Run>,
}

type Run = dyn Fn(&Shell) -> Result<()>;

impl Step {
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Shell) -> Result<()> + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// What this machine lacks for a step, and how to get it.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs all steps, also after one that fails. With `all`, to skip is to fail.
pub(crate) fn run(sh: &Shell, steps: Vec<Step>, filter: Option<&str>, all: bool) -> Result<()> {
    let chosen: Vec<_> = steps
        .into_iter()
        .filter(|step| filter.is_none_or(|part| step.name.contains(part)))
        .collect();
    if chosen.is_empty() {
        bail!("no step has this in its name");
    }
    let mut done = Vec::new();
    for step in &chosen {
        println!("\n=== {}", step.name);
        let start = Instant::now();
        let outcome = match (step.run)(sh) {
            Ok(()) => Outcome::Passed,
            Err(error) => match error.downcast::<Skip>() {
                Ok(skip) => Outcome::Skipped(skip.0),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            },
        };
        let time = start.elapsed();
        println!("--- {}", line(&step.name, &outcome, time));
        done.push((step.name.as_str(), outcome, time));
    }
    report(&done, all)
}

fn report(done: &[(&str, Outcome, Duration)], all: bool) -> Result<()> {
    println!("\n=== Summary");
    for (name, outcome, time) in done {
        println!("{}", line(name, outcome, *time));
    }
    let count =
        |is: fn(&Outcome) -> bool| done.iter().filter(|(_, outcome, _)| is(outcome)).count();
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("a step failed");
    }
    if all && skipped > 0 {
        bail!("a step was skipped, and --all allows none");
    }
    Ok(())
}

fn line(name: &str, outcome: &Outcome, time: Duration) -> String {
    let (word, reason) = match outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Skipped(reason) => ("SKIPPED", reason.as_str()),
        Outcome::Failed(reason) => ("FAILED", reason.as_str()),
    };
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("{word:<7} {:>6.1} s  {name}{colon}{reason}", time.as_secs_f64())
}
