//! A step with everything around it: numbers in other formats, and what a training loop does to the
//! parameters after the update, in the same pass over memory.
//!
//! The pass goes tile by tile. What is not binary32 is read into a tile that stays in the first
//! cache, updated there by the one loop of `pass`, and written back. So the bits are those of the
//! plain step, with a rounding on the way to memory, and no rule knows of any of this. What most
//! callers keep their state in has a shorter way (see `packed`).

use core::cmp::Ordering;

use pulp::{Simd, WithSimd};

use crate::average::Average;
use crate::blocks::BLOCK;
use crate::dispatch::{Operation, dispatch};
use crate::error::{Argument, Error, ErrorKind, check};
use crate::noise::{self, Noise, RandomBits, SPAN};
use crate::packed;
use crate::pass::before_multiple_of;
use crate::real::Real;
use crate::rule::{Buffers, Kernel, MAX_BUFFERS, Rule, State, StateOf};
use crate::step::Step;
use crate::values::{Read, Values, ValuesMut, Write, plain};

/// What a [`FusedStep`] does after the update.
///
/// ```
/// use gradstep::{Epilogue, Rounding};
///
/// let epilogue = Epilogue { ema_decay: 0.9999, ..Epilogue::default() };
/// assert_eq!(epilogue.rounding, Rounding::Stochastic { seed: 0 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epilogue {
    /// How much of [`FusedTensor::ema`] is kept, in [0, 1]. Default 0.999.
    pub ema_decay: f64,
    /// The least value of a parameter. Default minus infinity.
    pub param_min: f64,
    /// The largest value of a parameter. Default infinity.
    pub param_max: f64,
    /// How parameters, state and `ema` are rounded to formats of fewer bits. Default stochastic, with
    /// the seed 0.
    pub rounding: Rounding,
}

impl Default for Epilogue {
    fn default() -> Self {
        Self {
            ema_decay: 0.999,
            param_min: f64::NEG_INFINITY,
            param_max: f64::INFINITY,
            rounding: Rounding::default(),
        }
    }
}

/// How a number is rounded to a format of fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest number; of two equally near ones to the even one, and with 8 bits to the larger
    /// one.
    ///
    /// What changes by less than half a step of its format does not change at all. With a decay of
    /// 0.999 an average of squares comes to a halt in bfloat16, and so it does with 8 bits at any decay,
    /// as does a parameter with a small learning rate.
    Nearest,
    /// To one of the two next numbers, each as often as the number is near to it: right on average,
    /// however small the changes.
    ///
    /// The bits that decide, as many as are dropped, are a function of the seed, the step count and the
    /// element's index (see [`FusedTensor::offset`]): the result depends neither on the machine, nor
    /// on chunks and threads, and a run that is repeated has the same bits.
    Stochastic {
        /// Any number.
        seed: u64,
    },
}

impl Default for Rounding {
    fn default() -> Self {
        Self::Stochastic { seed: 0 }
    }
}

/// A gradient, which a [`FusedStep`] reads.
#[derive(Debug)]
pub enum Gradient<'a> {
    /// It stays as it is.
    Keep(Values<'a>),
    /// It is set to zero once it has been read.
    Zero(ValuesMut<'a>),
}

impl Gradient<'_> {
    fn values(&self) -> Values<'_> {
        match self {
            Gradient::Keep(values) => *values,
            Gradient::Zero(values) => values.as_values(),
        }
    }

    fn take(&mut self, n: usize) -> Self {
        match self {
            Gradient::Keep(values) => Gradient::Keep(values.take(n)),
            Gradient::Zero(values) => Gradient::Zero(values.take(n)),
        }
    }

    fn zero(self) {
        match self {
            Gradient::Zero(ValuesMut::F32(slice)) => slice.fill(0.0),
            Gradient::Zero(ValuesMut::Bf16(codes) | ValuesMut::F16(codes)) => codes.fill(0),
            _ => {}
        }
    }
}

/// One tensor of a [`FusedStep`]: its parameters, their gradient, the state of the rule `R`, and what
/// else the pass writes. All of the same length.
pub struct FusedTensor<'a, R: Rule> {
    /// The parameters, updated in place: binary32, bfloat16 or binary16.
    pub param: ValuesMut<'a>,
    /// The gradient: binary32, bfloat16 or binary16.
    pub grad: Gradient<'a>,
    /// The state: binary32, bfloat16, binary16, or 8 bits, which are [`ValuesMut::E5m3`] for averages
    /// and sums of squares and [`ValuesMut::E4m3`] for others.
    pub state: StateOf<R, ValuesMut<'a>>,
    /// The moving average of the parameters, `ema = ema_decay ema + (1 - ema_decay) param`: binary32,
    /// bfloat16 or binary16.
    pub ema: Option<ValuesMut<'a>>,
    /// Written with the new parameters, each rounded to the nearest number: bfloat16, binary16 or
    /// binary32.
    pub copy: Option<ValuesMut<'a>>,
    /// The index of the first element in the whole model, a multiple of 256: it decides which random bits
    /// the elements get. Give tensors, and chunks of a tensor, the place that they have; it matters to
    /// [`Rounding::Stochastic`] alone.
    pub offset: u64,
}

/// A [`Step`] on numbers of any format, with an [`Epilogue`]; made by [`Step::fuse`].
///
/// In one pass over memory, for each element,
///
/// ```text
/// param, state = the rule's update, in binary32
/// param        = clamp(param, param_min, param_max), rounded to its format
/// state        = state, rounded to its format
/// ema          = ema_decay ema + (1 - ema_decay) param, rounded to its format
/// copy         = param, rounded to the nearest of its format
/// grad         = 0, if asked for
/// ```
///
/// The result is that of doing one after the other, to the last bit: `ema` and `copy` take the
/// parameter as it has been rounded.
///
/// ```
/// use gradstep::{AdamW, AdamState, Epilogue, FusedTensor, Gradient, Rule, ValuesMut};
///
/// let n = 1000;
/// let (mut master, mut grad, mut ema) = (vec![1.0_f32; n], vec![0.5_f32; n], vec![1.0_f32; n]);
/// let (mut m, mut v) = (vec![0_u16; n], vec![0_u16; n]); // bfloat16
/// let mut weights = vec![0_u16; n]; // what the next forward pass uses
///
/// let step = AdamW::default().at(1)?.fuse(Epilogue::default())?;
/// step.apply(FusedTensor {
///     param: ValuesMut::F32(&mut master),
///     grad: Gradient::Zero(ValuesMut::F32(&mut grad)),
///     state: AdamState {
///         exp_avg: ValuesMut::Bf16(&mut m),
///         exp_avg_sq: ValuesMut::Bf16(&mut v),
///         max_exp_avg_sq: None,
///     },
///     ema: Some(ValuesMut::F32(&mut ema)),
///     copy: Some(ValuesMut::Bf16(&mut weights)),
///     offset: 0,
/// })?;
/// assert!(grad.iter().all(|&g| g == 0.0) && weights.iter().all(|&w| w == 0x3f80));
/// # Ok::<(), gradstep::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FusedStep<R: Rule> {
    step: Step<R>,
    after: After,
}

/// The scalars of an [`Epilogue`].
#[derive(Clone, Copy, Debug)]
struct After {
    ema: Average,
    clamp: Option<(f32, f32)>,
    noise: Option<Noise>,
}

impl<R: Rule> FusedStep<R> {
    pub(crate) fn new(step: Step<R>, epilogue: Epilogue, t: u64) -> Result<Self, Error> {
        let Epilogue { ema_decay, param_min, param_max, rounding } = epilogue;
        check::fraction(ema_decay, Argument::EmaDecay)?;
        if param_min.partial_cmp(&param_max).is_none_or(Ordering::is_gt) {
            return Err(Error::new(ErrorKind::NotAnInterval, Argument::ParamMax));
        }
        let clamp = (param_min as f32, param_max as f32);
        let noise = match rounding {
            Rounding::Nearest => None,
            Rounding::Stochastic { seed } => Some(Noise::new(seed, t)),
        };
        let clamp = (clamp != (f32::NEG_INFINITY, f32::INFINITY)).then_some(clamp);
        Ok(Self { step, after: After { ema: Average::new(ema_decay), clamp, noise } })
    }

    /// Updates one tensor in one pass.
    ///
    /// # Errors
    ///
    /// A length differs from that of `param`, a buffer is missing or not used, a format is not one for
    /// its buffer, or `offset` is not a multiple of 256. Nothing is written then.
    pub fn apply(&self, tensor: FusedTensor<'_, R>) -> Result<(), Error> {
        let parts = Parts::from(tensor);
        self.check(&parts)?;
        self.run(parts);
        Ok(())
    }

    /// [`apply`](FusedStep::apply) to each tensor in turn, after all of them have been checked.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](FusedStep::apply), with the tensor's index. Nothing of any tensor is written
    /// then.
    pub fn apply_list(&self, tensors: &mut [FusedTensor<'_, R>]) -> Result<(), Error> {
        for (index, tensor) in tensors.iter_mut().enumerate() {
            self.check(&tensor.parts()).map_err(|error| error.of_tensor(index))?;
        }
        for tensor in tensors {
            self.run(tensor.parts());
        }
        Ok(())
    }

    pub(crate) fn check(&self, parts: &Parts<'_>) -> Result<(), Error> {
        let Parts { param, grad, state, ema, copy, offset } = parts;
        let n = param.len().ok_or(Error::new(ErrorKind::Format, Argument::Param))?;
        let is_wide = |values: &Values<'_>| values.len().is_some();
        check_values(grad.values(), n, is_wide, Argument::Grad)?;
        self.step.present(state)?;
        for (buffer, name) in state.iter().zip(R::Kernel::BUFFERS) {
            if let (Some(buffer), Some(name)) = (buffer, name) {
                let fits = |values: &Values<'_>| match values {
                    Values::E4m3(_) => !name.is_of_squares(),
                    Values::E5m3(_) => name.is_of_squares(),
                    _ => true,
                };
                check_values(buffer.as_values(), n, fits, name)?;
            }
        }
        for (values, name) in [(ema, Argument::Ema), (copy, Argument::Copy)] {
            if let Some(values) = values {
                check_values(values.as_values(), n, is_wide, name)?;
            }
        }
        if !offset.is_multiple_of(SPAN as u64) {
            return Err(Error::new(ErrorKind::NotAMultiple, Argument::Offset));
        }
        Ok(())
    }

    /// Refuses a buffer that is missing, and one that would be ignored.
    #[cfg(feature = "capi")]
    pub(crate) fn expects<T>(&self, buffers: &Buffers<T>) -> Result<(), Error> {
        self.step.present(buffers)
    }

    /// Updates all whole blocks at once, if these are binary32 with packed state; how many elements.
    fn packed_blocks(&self, parts: &mut Parts<'_>) -> usize {
        let Parts { param, grad, state, offset, .. } = parts;
        let (ValuesMut::F32(param), Values::F32(grad)) = (param, grad.values()) else { return 0 };
        let n = param.len() / BLOCK * BLOCK;
        let (Some(param), Some(grad)) = (param.get_mut(..n), grad.get(..n)) else { return 0 };
        let mut state = reborrow(state).map(|values| values.map(|mut values| values.take(n)));
        if self.packed(param, grad, &mut state, *offset) { n } else { 0 }
    }

    /// The pass itself, over a tensor that has been checked.
    pub(crate) fn run(&self, mut parts: Parts<'_>) {
        let are_f32 = parts.are_f32();
        let end_there = parts.end_there() && self.after.clamp.is_none();
        if are_f32 && end_there {
            return plain_step(parts, self);
        }
        if are_f32 && TILE > BLOCK {
            let before = before_line(&parts.param);
            if before > 0 {
                tiles::<0>(&self.after, parts.take(before), self);
            }
            return tiles::<0>(&self.after, parts, self);
        }
        if packed::IS_BUILT && end_there {
            let done = self.packed_blocks(&mut parts);
            parts.take(done);
        }
        fitting_tiles(&self.after, parts, self);
    }
}

/// A rule's step, whichever the rule is.
trait Update {
    /// On slices of binary32, of one length, as the rule expects them.
    fn plain(&self, param: &mut [f32], grad: &[f32], state: Buffers<&mut [f32]>);

    /// On state of fewer bits, where it is. False if that is not so easy: then nothing is written.
    fn packed(
        &self,
        param: &mut [f32],
        grad: &[f32],
        state: &mut Buffers<ValuesMut<'_>>,
        index: u64,
    ) -> bool;
}

impl<R: Rule> Update for FusedStep<R> {
    fn plain(&self, param: &mut [f32], grad: &[f32], state: Buffers<&mut [f32]>) {
        self.step.run(param, grad, state);
    }

    fn packed(
        &self,
        param: &mut [f32],
        grad: &[f32],
        state: &mut Buffers<ValuesMut<'_>>,
        index: u64,
    ) -> bool {
        let Some(noise) = self.after.noise else { return false };
        packed::IS_BUILT && self.step.run_packed(param, grad, reborrow(state), noise, index)
    }
}

/// A [`FusedTensor`] of any rule.
pub(crate) struct Parts<'a> {
    pub param: ValuesMut<'a>,
    pub grad: Gradient<'a>,
    pub state: Buffers<ValuesMut<'a>>,
    pub ema: Option<ValuesMut<'a>>,
    pub copy: Option<ValuesMut<'a>>,
    pub offset: u64,
}

impl<'a, R: Rule> From<FusedTensor<'a, R>> for Parts<'a> {
    fn from(tensor: FusedTensor<'a, R>) -> Self {
        let FusedTensor { param, grad, state, ema, copy, offset } = tensor;
        Self { param, grad, state: state.into_buffers(), ema, copy, offset }
    }
}

impl Parts<'_> {
    /// Whether all numbers that are computed with are binary32, where they are.
    fn are_f32(&self) -> bool {
        let is_f32 = |values: &ValuesMut<'_>| matches!(values, ValuesMut::F32(_));
        is_f32(&self.param)
            && matches!(self.grad.values(), Values::F32(_))
            && self.state.iter().flatten().all(is_f32)
            && self.ema.as_ref().is_none_or(is_f32)
    }

    /// Whether there is nothing to do after the update.
    fn end_there(&self) -> bool {
        matches!(self.grad, Gradient::Keep(_)) && self.ema.is_none() && self.copy.is_none()
    }

    /// Cuts off the first `n` elements, a multiple of [`SPAN`].
    pub(crate) fn take(&mut self, n: usize) -> Self {
        // A loop, since `array::map` is not inlined here.
        let mut state = [const { None }; MAX_BUFFERS];
        for (head, values) in state.iter_mut().zip(&mut self.state) {
            *head = values.as_mut().map(|values| values.take(n));
        }
        let head = Self {
            param: self.param.take(n),
            grad: self.grad.take(n),
            state,
            ema: self.ema.as_mut().map(|values| values.take(n)),
            copy: self.copy.as_mut().map(|values| values.take(n)),
            offset: self.offset,
        };
        self.offset = self.offset.wrapping_add(n as u64);
        head
    }
}

impl<R: Rule> FusedTensor<'_, R> {
    pub(crate) fn parts(&mut self) -> Parts<'_> {
        let Self { param, grad, state, ema, copy, offset } = self;
        Parts {
            param: param.reborrow(),
            grad: match grad {
                Gradient::Keep(values) => Gradient::Keep(*values),
                Gradient::Zero(values) => Gradient::Zero(values.reborrow()),
            },
            state: state.buffers_mut().map(|buffer| buffer.map(ValuesMut::reborrow)),
            ema: ema.as_mut().map(ValuesMut::reborrow),
            copy: copy.as_mut().map(ValuesMut::reborrow),
            offset: *offset,
        }
    }
}

fn reborrow<'a>(state: &'a mut Buffers<ValuesMut<'_>>) -> Buffers<ValuesMut<'a>> {
    state.each_mut().map(|values| values.as_mut().map(ValuesMut::reborrow))
}

fn check_values(
    values: Values<'_>,
    n: usize,
    fits: impl Fn(&Values<'_>) -> bool,
    argument: Argument,
) -> Result<(), Error> {
    if !fits(&values) {
        return Err(Error::new(ErrorKind::Format, argument));
    }
    if !values.have_len(n) {
        let is_blocks = values.len().is_none();
        let kind = if is_blocks { ErrorKind::BlockCount } else { ErrorKind::Length };
        return Err(Error::new(kind, argument));
    }
    Ok(())
}

/// How many elements are on their way at once. A whole number of blocks that share an exponent, and of
/// them in a span of random bits; small where a stack is.
const TILE: usize = if cfg!(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "wasm32",
)) {
    2 * SPAN
} else {
    BLOCK
};

/// How many elements come before the first that begins a cache line, if there are so many that tiles
/// which do not begin with one take longer: every register that is loaded and stored there lies in two.
fn before_line(param: &ValuesMut<'_>) -> usize {
    match param {
        ValuesMut::F32(slice) if slice.len() >= 4 * TILE => {
            before_multiple_of(64 / size_of::<f32>(), slice)
        }
        _ => 0,
    }
}

/// A step that needs no tile.
fn plain_step(parts: Parts<'_>, update: &dyn Update) {
    let slice = |values| if let ValuesMut::F32(slice) = values { Some(slice) } else { None };
    if let (ValuesMut::F32(param), Gradient::Keep(Values::F32(grad))) = (parts.param, parts.grad) {
        update.plain(param, grad, parts.state.map(|values| values.and_then(slice)));
    }
}

/// Tiles are filled with zeros first: those of a small tensor are small, and those of none are none.
fn fitting_tiles(after: &After, parts: Parts<'_>, update: &dyn Update) {
    match parts.param.len() {
        None | Some(0) => {}
        Some(..=BLOCK) if TILE > BLOCK => tiles::<BLOCK>(after, parts, update),
        _ => tiles::<TILE>(after, parts, update),
    }
}

/// The pass: one loop for all rules, formats and instruction sets. `LEN` is the length of a tile, or 0
/// if nothing needs one.
fn tiles<const LEN: usize>(after: &After, mut parts: Parts<'_>, update: &dyn Update) {
    let mut tiles = Tiles { numbers: [[0.0; LEN]; MAX_BUFFERS + 2], bits: [0; LEN] };
    let Tiles { numbers: [param_tile, other_tile, state_tiles @ ..], bits } = &mut tiles;

    let at_once = if LEN == 0 { TILE } else { LEN };
    while let Some(len @ 1..) = parts.param.len() {
        let len = len.min(at_once);
        let Parts { mut param, grad, mut state, ema, copy, offset: index } = parts.take(at_once);
        let bits = bits.get_mut(..len.next_multiple_of(BLOCK)).unwrap_or_default();
        let mut dice = Dice { noise: after.noise, index, drawn: None, bits };

        let params = numbers(&mut param, param_tile, len);
        let grads = match grad.values() {
            Values::F32(slice) => slice,
            values => read(values, other_tile, len),
        };
        if LEN == 0 || !update.packed(params, grads, &mut state, index) {
            tile_step(update, params, grads, state, state_tiles, &mut dice);
        }
        if let Some((min, max)) = after.clamp {
            dispatch(Clamp { numbers: params, min, max });
        }

        write(param.reborrow(), param_tile, len, &mut dice, PLACE_OF_PARAM);
        if ema.is_some() || copy.is_some() {
            let params = &*numbers(&mut param, param_tile, len);
            if let Some(mut ema) = ema {
                let averages = numbers(&mut ema, other_tile, len);
                dispatch(Follow { averages, params, average: after.ema });
                write(ema, other_tile, len, &mut dice, PLACE_OF_EMA);
            }
            if let Some(values) = copy {
                Write { numbers: params, values, noise: None }.run();
            }
        }
        grad.zero();
    }
}

/// A step whose state goes through tiles.
fn tile_step<const LEN: usize>(
    update: &dyn Update,
    params: &mut [f32],
    grads: &[f32],
    mut state: Buffers<ValuesMut<'_>>,
    tiles: &mut [[f32; LEN]],
    dice: &mut Dice<'_>,
) {
    let len = params.len();
    let mut buffers = [const { None }; MAX_BUFFERS];
    for ((values, tile), buffer) in state.iter_mut().zip(&mut *tiles).zip(&mut buffers) {
        *buffer = values.as_mut().map(|values| numbers(values, tile, len));
    }
    update.plain(params, grads, buffers);
    let written = state.into_iter().zip(tiles);
    let written = written.filter_map(|(values, tile)| Some((values?, tile)));
    for (place, (values, tile)) in written.enumerate() {
        write(values, tile, len, dice, place);
    }
}

/// Which random bits are whose: the buffers of state that there are come first.
const PLACE_OF_PARAM: usize = MAX_BUFFERS;
const PLACE_OF_EMA: usize = MAX_BUFFERS + 1;

/// What has no place elsewhere, in cache lines of its own where there is room for that.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
struct Tiles<const LEN: usize> {
    numbers: [[f32; LEN]; MAX_BUFFERS + 2],
    bits: [u32; LEN],
}

/// The random bits of a tile, drawn once something needs them: a word for each of two places.
struct Dice<'a> {
    noise: Option<Noise>,
    index: u64,
    drawn: Option<u64>,
    bits: &'a mut [u32],
}

impl Dice<'_> {
    /// The bits of a place.
    #[inline(always)]
    fn at(&mut self, place: usize) -> RandomBits<'_> {
        let noise = self.noise?;
        let (stream, end) = noise::place(place);
        if self.drawn != Some(stream) {
            self.drawn = Some(stream);
            dispatch(Draw { noise, stream, index: self.index, bits: self.bits });
        }
        Some((self.bits, end))
    }
}

/// The numbers of a tile: in place, or read into the tile.
fn numbers<'a>(values: &'a mut ValuesMut<'_>, tile: &'a mut [f32], len: usize) -> &'a mut [f32] {
    match values {
        ValuesMut::F32(slice) => slice,
        values => {
            Read { values: values.as_values(), numbers: tile }.run();
            tile.get_mut(..len).unwrap_or_default()
        }
    }
}

fn read<'a>(values: Values<'_>, tile: &'a mut [f32], len: usize) -> &'a [f32] {
    Read { values, numbers: tile }.run();
    tile.get(..len).unwrap_or_default()
}

/// Writes back what was read into a tile.
fn write(values: ValuesMut<'_>, tile: &mut [f32], len: usize, dice: &mut Dice<'_>, place: usize) {
    if !matches!(values, ValuesMut::F32(_)) {
        // A block that is not full is one with zeros, which have no say in its exponent.
        tile.get_mut(len..).unwrap_or_default().fill(0.0);
        Write { numbers: tile, values, noise: dice.at(place) }.run();
    }
}

/// Draws the random bits of a tile.
struct Draw<'a> {
    noise: Noise,
    stream: u64,
    index: u64,
    bits: &'a mut [u32],
}

impl Operation for Draw<'_> {
    #[inline(always)]
    fn with_scalars(self) {
        const { assert!(SPAN.is_multiple_of(TILE) || TILE.is_multiple_of(SPAN)) };
        let (spans, rest) = self.bits.as_chunks_mut::<SPAN>();
        let mut index = self.index;
        for bits in spans {
            self.noise.draw(self.stream, index, bits);
            index = index.wrapping_add(SPAN as u64);
        }
        self.noise.draw(self.stream, index, rest);
    }
}

/// Clamps numbers.
struct Clamp<'a> {
    numbers: &'a mut [f32],
    min: f32,
    max: f32,
}

impl Operation for Clamp<'_> {
    #[inline(always)]
    fn with_scalars(self) {
        for number in self.numbers {
            *number = number.at_most(self.max).at_least(self.min);
        }
    }
}

/// Lets averages follow the parameters.
struct Follow<'a> {
    averages: &'a mut [f32],
    params: &'a [f32],
    average: Average,
}

impl Operation for Follow<'_> {
    #[inline(always)]
    fn with_scalars(self) {
        for (average, param) in self.averages.iter_mut().zip(self.params) {
            self.average.take(average, *param);
        }
    }
}

plain!(Draw);
plain!(Clamp);
plain!(Follow);
