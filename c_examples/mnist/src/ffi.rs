//! The C side, made safe: the only `unsafe` code of the demo. The declarations mirror `c/idx.h`, `c/train.h`,
//! `c/optimizer.h`, `c/surface.h` and `c/gradient_check.h`.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Instant;

use anyhow::{Result, anyhow};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use crate::optimizer::Model;
use gradstep as _; // its C symbols are what `c/optimizer.c` calls

/// `failure` of `c/failure.h`.
#[repr(C)]
struct Failure {
    text: [c_char; 320],
}

impl Failure {
    fn new() -> Self {
        Self { text: [0; 320] }
    }

    fn error(&self) -> anyhow::Error {
        // SAFETY: the C side writes the text with vsnprintf, which terminates it; at first it is empty.
        let text = unsafe { CStr::from_ptr(self.text.as_ptr()) };
        anyhow!("{}", text.to_string_lossy())
    }
}

#[repr(C)]
struct IdxFile {
    name: *const c_char,
    bytes: *const u8,
    length: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawDigits {
    pixels: *const u8,
    labels: *const u8,
    count: usize,
}

/// What training on one batch did.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BatchReport {
    /// Steps so far, this one included.
    pub step: u64,
    /// 1 in the first.
    pub epoch: u64,
    /// The mean over the batch, before the step.
    pub loss: f64,
    /// Likewise, 0 to 1.
    pub accuracy: f64,
    /// Spent in the optimizer's steps since the start.
    pub optimizer_seconds: f64,
}

/// How well a network does on some digits.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// 0 to 1.
    pub accuracy: f64,
}

/// A rule of gradstep and its hyperparameters.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OptimizerSettings {
    /// By its number on the C side.
    pub kind: i32,
    /// By gradstep's number.
    pub preset: i32,
    /// What the state is kept in, by its number on the C side.
    pub state: i32,
    /// By gradstep's number.
    pub rounding: i32,
    /// Learning rate.
    pub lr: f64,
    /// Of momentum and Nesterov, instead of the preset's (or 0.9); NaN leaves that.
    pub momentum: f64,
    /// Instead of the preset's; NaN leaves that.
    pub eps: f64,
    /// Where averages or sums of squares start, instead of the preset's; NaN leaves that.
    pub initial: f64,
}

/// What to train, and how.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    pub model: i32,
    pub conv1: usize,
    pub conv2: usize,
    pub hidden: usize,
    pub seed: u64,
    pub batch_size: usize,
    pub optimizer: OptimizerSettings,
    pub decay_steps: u64,
}

impl Settings {
    /// The network in its usual widths, batches of 100, and a constant rate.
    pub fn usual(model: Model, seed: u64, optimizer: OptimizerSettings) -> Self {
        Self {
            model: model as i32,
            conv1: 4,
            conv2: 8,
            hidden: 18,
            seed,
            batch_size: 100,
            optimizer,
            decay_steps: 0,
        }
    }
}

type Body = unsafe extern "C" fn(*mut c_void, usize);

#[repr(C)]
struct RawHost {
    context: *const c_void,
    parallel: unsafe extern "C" fn(*const c_void, usize, Body, *mut c_void),
    seconds: unsafe extern "C" fn(*const c_void) -> f64,
    after_batch: unsafe extern "C" fn(*const c_void, *const BatchReport) -> bool,
}

enum RawTrainer {}

unsafe extern "C" {
    fn idx_parse(images: IdxFile, labels: IdxFile, out: *mut RawDigits, why: *mut Failure) -> bool;
    fn trainer_create(train: RawDigits, settings: Settings, why: *mut Failure) -> *mut RawTrainer;
    fn trainer_destroy(trainer: *mut RawTrainer);
    fn trainer_steps(
        trainer: *mut RawTrainer,
        count: u64,
        host: *const RawHost,
        why: *mut Failure,
    ) -> bool;
    fn trainer_copy(to: *mut RawTrainer, from: *const RawTrainer, why: *mut Failure) -> bool;
    fn trainer_set_lr(trainer: *mut RawTrainer, lr: f64);
    fn trainer_time_optimizer(
        trainer: *mut RawTrainer,
        host: *const RawHost,
        budget: f64,
        seconds: *mut f64,
        why: *mut Failure,
    ) -> bool;
    fn trainer_evaluate(
        trainer: *mut RawTrainer,
        host: *const RawHost,
        test: RawDigits,
    ) -> Evaluation;
    fn trainer_hash(trainer: *const RawTrainer) -> u64;
    fn trainer_param_count(trainer: *const RawTrainer) -> usize;
    fn trainer_state_bytes(trainer: *const RawTrainer) -> usize;
    fn trainer_macs(trainer: *const RawTrainer) -> u64;
    fn optimizer_force_backend(name: *const c_char, why: *mut Failure) -> bool;
    fn optimizer_backend() -> *const c_char;
    safe fn gradient_check(model: i32) -> f64;
    fn surface_at(kind: i32, x: f64, y: f64, slope: *mut f64) -> f64;
    fn surface_walk(
        kind: i32,
        settings: OptimizerSettings,
        start: *const f32,
        steps: usize,
        path: *mut f32,
        why: *mut Failure,
    ) -> bool;
}

/// The bytes of one IDX file, and its name for messages.
#[derive(Debug)]
pub struct File {
    /// For messages.
    pub name: String,
    /// The whole file, uncompressed.
    pub bytes: Cow<'static, [u8]>,
}

/// Digits with their labels, validated.
pub struct Digits {
    raw: RawDigits,
    _files: [File; 2], // where `raw` points to
}

// SAFETY: `raw` points into the two files, which nobody writes to.
unsafe impl Send for Digits {}
// SAFETY: as above.
unsafe impl Sync for Digits {}

impl Digits {
    /// Checks the two files; the error names the one at fault.
    pub fn parse(images: File, labels: File) -> Result<Self> {
        let names = [CString::new(images.name.as_str())?, CString::new(labels.name.as_str())?];
        let file = |name: &CString, file: &File| IdxFile {
            name: name.as_ptr(),
            bytes: file.bytes.as_ptr(),
            length: file.bytes.len(),
        };
        let mut raw = RawDigits { pixels: std::ptr::null(), labels: std::ptr::null(), count: 0 };
        let mut why = Failure::new();
        // SAFETY: names and bytes live through the call, and the lengths are those of the bytes.
        if !unsafe {
            idx_parse(file(&names[0], &images), file(&names[1], &labels), &mut raw, &mut why)
        } {
            return Err(why.error());
        }
        // The bytes of a `Vec` or a static slice stay where they are when their owner moves.
        Ok(Self { raw, _files: [images, labels] })
    }

    /// All of them.
    pub fn view(&self) -> View<'_> {
        View { raw: self.raw, digits: PhantomData }
    }
}

/// Some consecutive digits.
#[derive(Clone, Copy)]
pub struct View<'a> {
    raw: RawDigits,
    digits: PhantomData<&'a Digits>,
}

// SAFETY: as for `Digits`.
unsafe impl Send for View<'_> {}
// SAFETY: as for `Digits`.
unsafe impl Sync for View<'_> {}

impl View<'_> {
    /// How many.
    pub fn count(&self) -> usize {
        self.raw.count
    }

    /// 28 x 28 bytes for each.
    pub fn pixels(&self) -> &[u8] {
        // SAFETY: the array has that many, and lives as long as the digits.
        unsafe { std::slice::from_raw_parts(self.raw.pixels, self.raw.count * 28 * 28) }
    }

    /// One for each, from 0 to 9.
    pub fn labels(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.raw.labels, self.raw.count) }
    }

    /// The first `count` and the rest; panics if there are fewer.
    pub fn split(self, count: usize) -> (Self, Self) {
        assert!(count <= self.raw.count);
        let RawDigits { pixels, labels, count: total } = self.raw;
        // SAFETY: within the arrays, which hold `total` images of 28 x 28 bytes and `total` labels.
        let (pixels_behind, labels_behind) =
            unsafe { (pixels.add(count * 28 * 28), labels.add(count)) };
        let view = |raw| Self { raw, digits: PhantomData };
        (
            view(RawDigits { pixels, labels, count }),
            view(RawDigits { pixels: pixels_behind, labels: labels_behind, count: total - count }),
        )
    }
}

/// Who computes the parts of a batch; no bit depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Those of the rayon pool in which the training is called.
    Pool,
    /// The one that calls.
    Caller,
}

/// What the C side asks of its surroundings while it trains.
struct Host<'a> {
    start: Instant,
    threads: Threads,
    after_batch: RefCell<&'a mut dyn FnMut(&BatchReport) -> bool>,
}

impl Host<'_> {
    fn raw(&self) -> RawHost {
        RawHost { context: std::ptr::from_ref(self).cast(), parallel, seconds, after_batch }
    }
}

struct Shared(*mut c_void);

// SAFETY: the C side promises that its bodies may run on any thread.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

unsafe extern "C" fn parallel(
    context: *const c_void,
    count: usize,
    body: Body,
    body_context: *mut c_void,
) {
    // SAFETY: the context of `Host::raw`, whose host outlives the C call that it was made for.
    let threads = unsafe { &*context.cast::<Host<'_>>() }.threads;
    let context = Shared(body_context);
    // SAFETY: `body` and its context come from the C side, which waits for this function to return.
    let run = |index| unsafe { body(context.get(), index) };
    if count == 1 || threads == Threads::Caller || rayon::current_num_threads() == 1 {
        (0..count).for_each(run);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(run);
    }
}

unsafe extern "C" fn seconds(context: *const c_void) -> f64 {
    // SAFETY: as in `parallel`.
    let host = unsafe { &*context.cast::<Host<'_>>() };
    host.start.elapsed().as_secs_f64()
}

unsafe extern "C" fn after_batch(context: *const c_void, report: *const BatchReport) -> bool {
    // SAFETY: as in `parallel`; the report is on the C side's stack.
    let (host, report) = unsafe { (&*context.cast::<Host<'_>>(), &*report) };
    (host.after_batch.borrow_mut())(report)
}

/// A network in training.
pub struct Trainer<'a> {
    raw: NonNull<RawTrainer>,
    threads: Threads,
    digits: PhantomData<View<'a>>,
}

impl<'a> Trainer<'a> {
    /// Fails where the settings do not fit together; gradstep says why.
    pub fn new(train: View<'a>, settings: Settings, threads: Threads) -> Result<Self> {
        let mut why = Failure::new();
        // SAFETY: `train` outlives the trainer by its lifetime.
        let raw = unsafe { trainer_create(train.raw, settings, &mut why) };
        let raw = NonNull::new(raw).ok_or_else(|| why.error())?;
        Ok(Self { raw, threads, digits: PhantomData })
    }

    fn host<'h>(&self, after_batch: &'h mut dyn FnMut(&BatchReport) -> bool) -> Host<'h> {
        Host {
            start: Instant::now(),
            threads: self.threads,
            after_batch: RefCell::new(after_batch),
        }
    }

    /// Trains on the next `count` batches. `after_batch` ends it with false.
    pub fn steps(
        &mut self,
        count: u64,
        after_batch: &mut dyn FnMut(&BatchReport) -> bool,
    ) -> Result<()> {
        let host = self.host(after_batch);
        let mut why = Failure::new();
        // SAFETY: the trainer is alive, and the host lives through the call.
        if unsafe { trainer_steps(self.raw.as_ptr(), count, &host.raw(), &mut why) } {
            Ok(())
        } else {
            Err(why.error())
        }
    }

    /// Takes over another's weights, optimizer state and step count. Both must have the same network and optimizer.
    pub fn copy_from(&mut self, other: &Trainer<'_>) -> Result<()> {
        let mut why = Failure::new();
        // SAFETY: both trainers are alive, and not the same, since one of them is borrowed mutably.
        if unsafe { trainer_copy(self.raw.as_ptr(), other.raw.as_ptr(), &mut why) } {
            Ok(())
        } else {
            Err(why.error())
        }
    }

    /// Learning rate of the next steps.
    pub fn set_lr(&mut self, lr: f64) {
        // SAFETY: the trainer is alive.
        unsafe { trainer_set_lr(self.raw.as_ptr(), lr) }
    }

    /// Seconds of one optimizer step over all weights, measured for `budget` seconds. The weights are lost by it.
    pub fn time_optimizer(self, budget: f64) -> Result<f64> {
        let mut nothing = |_: &BatchReport| true;
        let host = self.host(&mut nothing);
        let mut seconds = f64::INFINITY;
        let mut why = Failure::new();
        // SAFETY: as in `steps`; `seconds` is written through the call only.
        if unsafe {
            let raw = self.raw.as_ptr();
            trainer_time_optimizer(raw, &host.raw(), budget, &mut seconds, &mut why)
        } {
            Ok(seconds)
        } else {
            Err(why.error())
        }
    }

    /// How well the network does on these digits, without learning from them.
    pub fn evaluate(&mut self, test: View<'_>) -> Evaluation {
        let mut nothing = |_: &BatchReport| true;
        let host = self.host(&mut nothing);
        // SAFETY: as in `steps`.
        unsafe { trainer_evaluate(self.raw.as_ptr(), &host.raw(), test.raw) }
    }

    /// 64-bit FNV-1a of the weights' bits.
    pub fn hash(&self) -> u64 {
        // SAFETY: the trainer is alive.
        unsafe { trainer_hash(self.raw.as_ptr()) }
    }

    /// What the optimizer's state takes.
    pub fn state_bytes(&self) -> usize {
        // SAFETY: the trainer is alive.
        unsafe { trainer_state_bytes(self.raw.as_ptr()) }
    }

    /// How many weights the network has, biases included.
    pub fn param_count(&self) -> usize {
        // SAFETY: the trainer is alive.
        unsafe { trainer_param_count(self.raw.as_ptr()) }
    }

    /// Multiplications of one digit's pass forward.
    pub fn macs(&self) -> u64 {
        // SAFETY: the trainer is alive.
        unsafe { trainer_macs(self.raw.as_ptr()) }
    }
}

// SAFETY: the C side keeps a trainer's memory to itself, and to no thread.
unsafe impl Send for Trainer<'_> {}
// SAFETY: what takes a shared reference only reads.
unsafe impl Sync for Trainer<'_> {}

impl Drop for Trainer<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `trainer_create`, and not used again.
        unsafe { trainer_destroy(self.raw.as_ptr()) }
    }
}

/// Makes gradstep use one instruction set from now on.
pub fn force_backend(name: &str) -> Result<()> {
    let c_name = CString::new(name)?;
    let mut why = Failure::new();
    // SAFETY: a terminated string that lives through the call.
    if unsafe { optimizer_force_backend(c_name.as_ptr(), &mut why) } {
        return Ok(());
    }
    Err(why.error())
}

/// The instruction set that gradstep uses.
pub fn backend() -> String {
    // SAFETY: a static string of gradstep's.
    unsafe { CStr::from_ptr(optimizer_backend()) }.to_string_lossy().into_owned()
}

/// The worst relative difference between the network's derivatives and finite differences, in double arithmetic.
pub fn worst_gradient_error(model: i32) -> f64 {
    gradient_check(model)
}

/// A function of two variables, by its number on the C side (`surface_kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Surface {
    Beale = 0,
    Rosenbrock,
    Saddle,
    Valley,
    Bowl,
    Square,
    Slope,
    Rare,
}

impl Surface {
    /// The value at a point, and the derivatives there.
    pub fn at(self, [x, y]: [f64; 2]) -> (f64, [f64; 2]) {
        let mut slope = [0.0; 2];
        // SAFETY: room for the two derivatives.
        let value = unsafe { surface_at(self as i32, x, y, slope.as_mut_ptr()) };
        (value, slope)
    }

    /// The start and the place after each of so many steps of an optimizer.
    pub fn walk(
        self,
        settings: OptimizerSettings,
        start: [f32; 2],
        steps: usize,
    ) -> Result<Vec<[f32; 2]>> {
        let mut path = vec![[0.0; 2]; steps + 1];
        let mut why = Failure::new();
        // SAFETY: `start` has two numbers, and `path` room for two of each point.
        if unsafe {
            surface_walk(
                self as i32,
                settings,
                start.as_ptr(),
                steps,
                path.as_flattened_mut().as_mut_ptr(),
                &mut why,
            )
        } {
            Ok(path)
        } else {
            Err(why.error())
        }
    }
}
