//! A list of steps: what each came to, and the table at the end.
//!
//! Steps of different lanes run side by side, each in a process of its own, whose output is collected
//! and printed whole when it ends.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::target_dir;

/// Something that can pass, fail, or be skipped by returning [`Skip`] as its error.
pub(crate) struct Step {
    name: String,
    lane: Option<&'static str>,
    run: Box<Run>,
}

type Run = dyn Fn(&Shell) -> Result<()>;

impl Step {
    /// One that runs while no other does, unless it is put in a lane.
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Shell) -> Result<()> + 'static,
    ) -> Self {
        Self { name: name.into(), lane: None, run: Box::new(run) }
    }

    /// Steps of one lane run one after another, in their order, beside those of other lanes. So
    /// whatever one step writes and another reads or writes must be of one lane: above all, cargo's
    /// folder of a profile, which cargo locks, and whose libraries are called the same whatever they
    /// have in them.
    pub(crate) fn in_lane(self, lane: &'static str) -> Self {
        Self { lane: Some(lane), ..self }
    }

    /// In a lane that no other step is in.
    pub(crate) fn beside_all(self) -> Self {
        let lane = self.name.clone().leak();
        self.in_lane(lane)
    }
}

/// Lanes of what cargo builds for this machine, by the profile's folder. What it builds for another
/// target is of the lane that is called like that target.
pub(crate) const DEBUG: &str = "debug";
pub(crate) const RELEASE: &str = "release";
pub(crate) const DEMO: &str = "demo";

/// What this machine lacks for a step, and how to get it.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

#[derive(Debug, PartialEq)]
enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Which steps run, and how.
#[derive(Default)]
pub(crate) struct Options<'a> {
    /// Only those whose name contains this.
    pub(crate) filter: Option<&'a str>,
    /// To skip is to fail.
    pub(crate) all: bool,
    /// So many at a time; one, if there are none.
    pub(crate) jobs: usize,
}

/// As many as there are cores, up to a number: a step has threads of its own, and needs memory.
pub(crate) fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// Runs the steps, also after one that fails.
pub(crate) fn run(sh: &Shell, mut steps: Vec<Step>, options: &Options<'_>) -> Result<()> {
    steps.retain(|step| options.filter.is_none_or(|part| step.name.contains(part)));
    let jobs = options.jobs.min(steps.len());
    let done = match jobs {
        0 if steps.is_empty() => bail!("no step has this in its name"),
        0 | 1 => one_by_one(sh, &steps),
        _ => side_by_side(&steps, jobs)?,
    };
    let done: Vec<_> = steps
        .iter()
        .zip(done)
        .map(|(step, (outcome, time))| (&*step.name, outcome, time))
        .collect();
    report(&done, options.all)
}

/// In this process, so that output is seen as it comes.
fn one_by_one(sh: &Shell, steps: &[Step]) -> Vec<(Outcome, Duration)> {
    let run = |step: &Step| {
        println!("\n=== {}", step.name);
        let start = Instant::now();
        let outcome = outcome((step.run)(sh));
        let time = start.elapsed();
        println!("--- {}", line(&step.name, &outcome, time));
        (outcome, time)
    };
    steps.iter().map(run).collect()
}

fn outcome(result: Result<()>) -> Outcome {
    match result.map_err(|error| error.downcast::<Skip>()) {
        Ok(()) => Outcome::Passed,
        Err(Ok(skip)) => Outcome::Skipped(skip.0),
        Err(Err(error)) => Outcome::Failed(format!("{error:#}")),
    }
}

/// So many at a time, each in a process.
fn side_by_side(steps: &[Step], jobs: usize) -> Result<Vec<(Outcome, Duration)>> {
    let processes = Processes::new()?;
    let (names, lanes): (Vec<_>, Vec<_>) =
        steps.iter().map(|step| (step.name.as_str(), step.lane)).unzip();
    let work = |number: usize| {
        let name = names[number];
        println!("    begun: {name}");
        let start = Instant::now();
        let (outcome, output) = processes.run(number, name);
        let time = start.elapsed();
        // In one piece: other steps print, too.
        println!("\n=== {name}\n{output}--- {}\n", line(name, &outcome, time));
        (outcome, time)
    };
    Ok(in_lanes(&lanes, jobs, work))
}

/// Where steps run as processes.
struct Processes {
    folder: PathBuf,
    program: PathBuf,
}

impl Processes {
    fn new() -> Result<Self> {
        let folder = target_dir().join("steps");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        // A copy: one of the steps builds this program anew.
        let program = folder.join("xtask").with_extension(env::consts::EXE_EXTENSION);
        fs::copy(env::current_exe()?, &program)?;
        Ok(Self { folder, program })
    }

    /// Runs a step, and gives what it printed. It has passed or was skipped only if the process says
    /// so; one that stops for any other reason has failed.
    fn run(&self, number: usize, name: &str) -> (Outcome, String) {
        let [log, says] = ["log", "says"].map(|kind| self.folder.join(format!("{number}.{kind}")));
        let ran = self.start(name, &log, &says);
        let outcome = ran.and_then(|()| {
            let said = fs::read_to_string(&says).context("the step did not say how it ended")?;
            Ok(match said.split_once('\n') {
                Some(("passed", "")) => Outcome::Passed,
                Some(("skipped", reason)) => Outcome::Skipped(reason.to_owned()),
                Some(("failed", reason)) => Outcome::Failed(reason.to_owned()),
                _ => bail!("the step said: {said}"),
            })
        });
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let output = fs::read(&log).unwrap_or_default();
        let mut output = String::from_utf8_lossy(&output).into_owned();
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        (outcome, output)
    }

    fn start(&self, name: &str, log: &Path, says: &Path) -> Result<()> {
        let output = File::create(log)?;
        let errors = output.try_clone()?;
        let process = Command::new(&self.program)
            .args(["step".as_ref(), says.as_os_str(), name.as_ref()])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .status()
            .with_context(|| self.program.display().to_string())?;
        ensure!(process.success(), "the step ended with {process}");
        Ok(())
    }
}

/// What such a process does: runs a step, and says in a file how that ended.
pub(crate) fn run_one(sh: &Shell, steps: Vec<Step>, name: &str, says: &Path) -> Result<()> {
    let mut chosen = steps.into_iter().filter(|step| step.name == name);
    let step = chosen.next().with_context(|| format!("no step {name}"))?;
    ensure!(chosen.next().is_none(), "two steps are called {name}");
    let said = match outcome((step.run)(sh)) {
        Outcome::Passed => "passed\n".to_owned(),
        Outcome::Skipped(reason) => format!("skipped\n{reason}"),
        Outcome::Failed(reason) => format!("failed\n{reason}"),
    };
    if let Some(seconds) = seconds_of_children() {
        println!("{seconds:.1} s of processor time");
    }
    fs::write(says, said).with_context(|| says.display().to_string())
}

/// What the programs that this one has waited for have computed for, where Linux tells it.
fn seconds_of_children() -> Option<f64> {
    // In hundredths of a second, after the name, which is in parentheses.
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut numbers = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(13);
    let mut next = || numbers.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// Does work for each lane of the list, with so many threads; the results, in the order of the list.
fn in_lanes<T: Send>(
    lanes: &[Option<&'static str>],
    jobs: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    struct State<T> {
        waiting: Vec<usize>,
        running: BTreeSet<usize>,
        done: Vec<Option<T>>,
    }
    let state = Mutex::new(State {
        waiting: (0..lanes.len()).collect(),
        running: BTreeSet::new(),
        done: lanes.iter().map(|_| None).collect(),
    });
    let one_ended = Condvar::new();
    let is_free = |number: usize, running: &BTreeSet<usize>| {
        let may_run_beside = |&other: &usize| match (lanes[number], lanes[other]) {
            (Some(lane), Some(other)) => lane != other,
            _ => false,
        };
        running.iter().all(may_run_beside)
    };
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let next = |mut state: MutexGuard<'_, State<T>>| {
        loop {
            let State { waiting, running, .. } = &mut *state;
            if let Some(place) = waiting.iter().position(|&number| is_free(number, running)) {
                let number = waiting.remove(place);
                running.insert(number);
                return Some(number);
            }
            if waiting.is_empty() {
                return None;
            }
            state = one_ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(number) = next(lock()) {
                    let result = work(number);
                    let mut state = lock();
                    state.running.remove(&number);
                    state.done[number] = Some(result);
                    one_ended.notify_all();
                }
            });
        }
    });
    let State { done, .. } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().map(|result| result.expect("every thread ended without a panic")).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn lanes_keep_their_order_and_run_beside_others() {
        let lanes = [Some("a"), None, Some("a"), Some("b"), Some("c"), None, Some("b")];
        for jobs in [2, 3, 8] {
            let log = Mutex::new(Vec::new());
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let done = in_lanes(&lanes, jobs, |number| {
                let now = running.fetch_add(1, SeqCst) + 1;
                most.fetch_max(now, SeqCst);
                assert!(lanes[number].is_some() || now == 1, "{number} is not alone");
                log.lock().unwrap().push((number, true));
                thread::sleep(Duration::from_millis(20));
                log.lock().unwrap().push((number, false));
                running.fetch_sub(1, SeqCst);
                number
            });
            assert!(done.iter().copied().eq(0..lanes.len()));
            assert!((2..=jobs).contains(&most.into_inner()));
            let log = log.into_inner().unwrap();
            for lane in ["a", "b"] {
                let of_lane = log.iter().filter(|(number, _)| lanes[*number] == Some(lane));
                let numbers: Vec<_> = of_lane.map(|(number, _)| *number).collect();
                assert!(numbers.is_sorted(), "{lane}: {numbers:?}");
            }
        }
    }

    #[test]
    fn a_reason_makes_an_outcome() {
        assert_eq!(outcome(Ok(())), Outcome::Passed);
        assert_eq!(outcome(Err(Skip("x".into()).into())), Outcome::Skipped("x".into()));
        assert_eq!(outcome(Err(anyhow::anyhow!("x").context("y"))), Outcome::Failed("y: x".into()));
    }
}
