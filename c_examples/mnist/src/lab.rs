//! What all experiments share: data, output folder, threads, progress, Ctrl-C, and a journal of finished runs.
//!
//! An experiment is a list of independent runs. Each that finishes is written to the journal at once, under a key that
//! says everything that decides its result; the next time it is taken from there. So an interrupted experiment goes on
//! where it was, and one experiment uses the runs of another. The results do not depend on the number of threads.

mod journal;

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::data::{self, Data};
use crate::ffi::{self, OptimizerSettings, Settings, Threads, Trainer, View};
use crate::optimizer::{Model, Optimizer, Preset};
use crate::{output, plot};
use journal::Journal;

/// Where `cargo demo fetch` puts the full data set.
const FULL_SET: &str = "demo-out/mnist";
/// Of 60,000 training digits, for validation; of fewer, in proportion.
const HELD_OUT: usize = 5_000;

/// The options that all experiments have.
#[derive(Clone, Debug, Args)]
#[group(skip)] // the experiments' own options have that name
pub struct Options {
    /// A small version, of a minute at the most
    #[arg(long)]
    pub quick: bool,
    /// Whose conventions and default hyperparameters (all but the rate)
    #[arg(short, long, value_enum, default_value_t = Preset::Tf1)]
    pub preset: Preset,
    /// The network
    #[arg(short, long, value_enum, default_value_t = Model::Lenet)]
    pub model: Model,
    /// Decides the initial weights and the order of the digits, the same in every run
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Runs at a time; they change the time, not the results [default: one per core]
    #[arg(short, long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// Folder with the full data set [default: demo-out/mnist if `cargo demo fetch` was there, else the built-in subset]
    #[arg(short, long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder for pictures, CSV files and the journal of finished runs [default: demo-out/experiments, or demo-out/quick]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl Options {
    /// Where the results go.
    pub fn out(&self) -> PathBuf {
        let default = if self.quick { "demo-out/quick" } else { "demo-out/experiments" };
        self.out.clone().unwrap_or_else(|| default.into())
    }
}

/// What the results of an experiment were made with; in a file beside its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Setup {
    pub quick: bool,
    pub preset: String,
    pub model: String,
    pub seed: u64,
    pub threads: usize,
    pub digits: usize,
    pub validation: usize,
    pub kernels: String,
}

impl Setup {
    /// Where it is, for a table.
    fn path(csv: &Path) -> PathBuf {
        csv.with_extension("setup.json")
    }

    /// Of this table; none where nothing was trained.
    pub fn read(csv: &Path) -> Result<Option<Self>> {
        let path = Self::path(csv);
        let name = || path.display().to_string();
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).with_context(name),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(name),
        }
    }

    /// In a line.
    pub fn words(&self) -> String {
        format!(
            "{}Preset {}, network {}, seed {}; {} digits to learn from and {} for validation; {} at a time, {} kernels.",
            if self.quick { "The quick version, with fewer and shorter runs. " } else { "" },
            self.preset,
            self.model,
            self.seed,
            plot::number(self.digits as f64),
            plot::number(self.validation as f64),
            match self.threads {
                1 => "one run".to_owned(),
                threads => format!("{threads} runs"),
            },
            self.kernels,
        )
    }
}

/// Ctrl-C was pressed. What had finished is in the journal.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "interrupted; what has finished is kept, and the same command goes on from there",
        )
    }
}

impl std::error::Error for Interrupted {}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Lets Ctrl-C end the runs at their next step, and the program when it is pressed again.
pub fn stop_on_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot listen to Ctrl-C")
}

/// Where experiments are made.
pub struct Lab {
    options: Options,
    out: PathBuf,
    data: Data,
    /// Part of the journal's keys.
    fingerprint: u64,
    setup: Setup,
    pool: rayon::ThreadPool,
    journal: Journal,
}

/// A run: by what it is known, how long it may be, and what is to be done.
#[derive(Clone, Debug)]
pub struct Job<T> {
    /// Everything that decides the result, in words.
    pub key: String,
    /// At most; for the time left.
    pub steps: u64,
    /// The caller's.
    pub task: T,
}

/// Who computes, while several jobs wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// A job for each thread; the only one left may use all threads.
    All,
    /// A job for each thread, and no more than one thread for a job: its times compare with those of the others.
    OneEach,
    /// One job at a time, with one thread: its times are not those of a machine that is busy with the others.
    One,
}

impl Lab {
    /// Reads the digits, makes the folder, and opens the journal in it.
    pub fn new(options: Options) -> Result<Self> {
        let out = options.out();
        output::prepare(&out)?;
        let full = Path::new(FULL_SET);
        let dir = options.data.as_deref().or_else(|| full.is_dir().then_some(full));
        let data = data::load(dir, None)?;
        let count = data.train().count();
        let held_out = (count * HELD_OUT / 60_000).max(1);
        let data = data.holding_out(held_out)?;
        let threads = options.threads.map_or(0, std::num::NonZeroUsize::get); // 0: rayon asks the system
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.context("--threads")?;
        let setup = Setup {
            quick: options.quick,
            preset: options.preset.key().to_owned(),
            model: options.model.key().to_owned(),
            seed: options.seed,
            threads: pool.current_num_threads(),
            digits: count - held_out,
            validation: held_out,
            kernels: ffi::backend(),
        };
        output::say(format_args!(
            "{}\ndigits: {}; results: {}",
            setup.words(),
            match dir {
                Some(dir) => dir.display().to_string(),
                None => "the built-in subset (`cargo demo fetch` gets the full set)".to_owned(),
            },
            out.display(),
        ));
        let journal = Journal::open(&out.join("journal.jsonl"))?;
        let mut lab = Self { options, out, data, fingerprint: 0, setup, pool, journal };
        lab.fingerprint = lab.fingerprint()?;
        Ok(lab)
    }

    /// Of the digits, and of what some steps of each optimizer make of them: so that the journal does not take results of
    /// other code, or of other digits, for its own.
    fn fingerprint(&self) -> Result<u64> {
        let mut hash = Sha256::new();
        hash.update(self.train().pixels());
        hash.update(self.train().labels());
        let preset = self.options.preset;
        for optimizer in Optimizer::ALL.into_iter().filter(|optimizer| optimizer.is_in(preset)) {
            let optimizer = optimizer.settings(preset, 0.01);
            let settings = Settings::usual(Model::Lenet, self.options.seed, optimizer);
            let mut trainer = Trainer::new(self.train(), settings, Threads::Caller)?;
            trainer.steps(3, &mut |_| true)?;
            hash.update(trainer.hash().to_be_bytes());
        }
        Ok(u64::from_be_bytes(hash.finalize()[..8].try_into().expect("a hash of 32 bytes")))
    }

    /// As on the command line.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The folder of the results.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// To learn from.
    pub fn train(&self) -> View<'_> {
        self.data.train()
    }

    /// To be validated on: held-out training digits.
    pub fn validation(&self) -> View<'_> {
        self.data.test()
    }

    /// The network of the options, its usual widths, and batches of 100.
    pub fn settings(&self, optimizer: OptimizerSettings) -> Settings {
        Settings::usual(self.options.model, self.options.seed, optimizer)
    }

    /// A key's part that says how a network is trained, and on what.
    pub fn describe(&self, s: &Settings) -> String {
        let model = match self.options.model {
            Model::Lenet => format!("lenet {}-{}-{}", s.conv1, s.conv2, s.hidden),
            Model::Tf => "tf".to_owned(),
        };
        let o = &s.optimizer;
        let optimizer = Optimizer::ALL.iter().find(|one| **one as i32 == o.kind);
        let mut text = format!(
            "{:016x} {model} seed {} batch {} {} preset {} lr {:e}",
            self.fingerprint,
            s.seed,
            s.batch_size,
            optimizer.map_or("?", |optimizer| optimizer.key()),
            o.preset,
            o.lr,
        );
        for (name, value) in [("momentum", o.momentum), ("eps", o.eps), ("initial", o.initial)] {
            if !value.is_nan() {
                text += &format!(" {name} {value:e}");
            }
        }
        if s.decay_steps > 0 {
            text += &format!(" falling over {}", s.decay_steps);
        }
        text
    }

    /// The results of all jobs, in their order: from the journal, and from `work` for those that are not there yet.
    pub fn run<T: Sync, R: Serialize + DeserializeOwned + Send>(
        &self,
        title: &str,
        jobs: &[Job<T>],
        work: impl Fn(&T, &Ticket<'_>) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        self.run_on(Cores::All, title, jobs, work)
    }

    /// The same, for jobs whose times matter.
    pub fn run_on<T: Sync, R: Serialize + DeserializeOwned + Send>(
        &self,
        cores: Cores,
        title: &str,
        jobs: &[Job<T>],
        work: impl Fn(&T, &Ticket<'_>) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let mut seen = std::collections::HashSet::new();
        let pending: Vec<&Job<T>> = jobs
            .iter()
            .filter(|job| !self.journal.has(&job.key) && seen.insert(&job.key))
            .collect();
        let known = jobs.len() - pending.len();
        let runs = |count| format!("{count} {}", if count == 1 { "run" } else { "runs" });
        output::say(format_args!(
            "{title}: {}{}",
            runs(jobs.len()),
            if known > 0 { format!(", {known} of them in the journal") } else { String::new() }
        ));
        let bar = progress_bar(title, pending.iter().map(|job| job.steps).sum());
        let finished = AtomicUsize::new(0);
        let threads = match cores {
            Cores::All if pending.len() == 1 => Threads::Pool,
            _ => Threads::Caller,
        };
        let one = |job: &&Job<T>| -> Result<()> {
            let ticket = Ticket { bar: &bar, left: job.steps.into(), threads };
            ticket.advance(0)?;
            let result = work(&job.task, &ticket)?;
            self.journal.write(&job.key, &result)?;
            bar.inc(ticket.left.into_inner());
            let finished = finished.fetch_add(1, Ordering::Relaxed) + 1;
            bar.set_message(format!("{finished} of {} done", runs(pending.len())));
            Ok(())
        };
        let done: Result<()> = match cores {
            Cores::One => pending.iter().try_for_each(one),
            Cores::All | Cores::OneEach => {
                self.pool.install(|| pending.par_iter().with_max_len(1).try_for_each(one))
            }
        };
        bar.finish_and_clear();
        done?;
        jobs.iter().map(|job| self.journal.read(&job.key)).collect()
    }

    /// A network to be trained in a job.
    pub fn trainer(&self, settings: Settings, ticket: &Ticket<'_>) -> Result<Trainer<'_>> {
        Trainer::new(self.train(), settings, ticket.threads)
    }

    /// Writes a table, one row for each item, and beside it what it was made with.
    pub fn write_csv<R: Serialize>(
        &self,
        name: &str,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<()> {
        let path = self.out.join(name);
        write_csv(&path, rows)?;
        output::write(&Setup::path(&path), &serde_json::to_vec_pretty(&self.setup)?)
    }
}

/// Writes a table, one row for each item, with the names of its fields above.
pub fn write_csv<R: Serialize>(path: &Path, rows: impl IntoIterator<Item = R>) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row)?;
    }
    output::write(path, &csv.into_inner()?)
}

/// Reads what [`write_csv`] wrote.
pub fn read_csv<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>> {
    let name = || path.display().to_string();
    let rows: Vec<R> = csv::Reader::from_path(path)
        .with_context(name)?
        .into_deserialize()
        .collect::<Result<_, _>>()
        .with_context(name)?;
    ensure!(!rows.is_empty(), "{}: an empty table", name());
    Ok(rows)
}

/// A table that is part of the program.
pub fn parse_csv<R: DeserializeOwned>(text: &str) -> Result<Vec<R>> {
    Ok(csv::Reader::from_reader(text.as_bytes()).into_deserialize().collect::<Result<_, _>>()?)
}

/// What a run has to do with the world: it tells how far it is, and hears whether it is to stop. The threads of a run may
/// share it.
pub struct Ticket<'a> {
    bar: &'a ProgressBar,
    left: AtomicU64,
    threads: Threads,
}

impl Ticket<'_> {
    /// Those that a network in this run may use.
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// So many steps are done. An error when the program is to end.
    pub fn advance(&self, steps: u64) -> Result<()> {
        let rest = |left: u64| Some(left.saturating_sub(steps));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        self.bar.inc(left.unwrap_or_else(|left| left).min(steps));
        if INTERRUPTED.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
    }
}

/// On a terminal; elsewhere there is none.
fn progress_bar(title: &str, steps: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>10} {bar:30} {percent:>3} %, {eta} left  {msg}")
            .expect("a valid template");
    ProgressBar::new(steps).with_style(style).with_prefix(title.to_owned())
}
