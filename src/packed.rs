//! A step on binary32 whose state has 16 or 8 bits: unpacked, updated and packed in registers.
//!
//! The operations are those of the way through a tile (see `fused`), and so are the bits. Here they
//! are one loop, so that numbers are converted while the divider works, and go through no memory.
//! That takes registers that are wide and many, and code for each rule and format: it is there for
//! bfloat16 and 8 bits, rounded at random, and up to two buffers; what else there is takes the other way.

use core::marker::PhantomData;
use core::slice;

use pulp::{Simd, WithSimd};

use crate::blocks::{self, BLOCK, Signed, Unsigned, WORDS};
use crate::dispatch::{Operation, dispatch, prefetch};
use crate::lanes::{Bits, Lanes};
use crate::minifloat::{Bf16, Minifloat};
use crate::noise::{self, End, Noise, SPAN};
use crate::pass::{Pass, Run, Slices, Streams, Sweep, Zip};
use crate::rule::{Kernel, Layout};
use crate::values::{self, Blocks, ValuesMut};

/// Whether there may be registers that are wide and many.
pub(crate) const IS_BUILT: bool = cfg!(target_arch = "x86_64");

/// How many buffers there may be: as many as share a word of random bits.
const PLACES: usize = 2;

/// A step on one tensor, without its state.
pub(crate) struct PackedPass<'a, K: Kernel> {
    pub pass: Pass<'a, K>,
    pub noise: Noise,
    /// The place of the first element, a multiple of [`BLOCK`].
    pub index: u64,
    /// Set if this was a case for this way. Otherwise nothing is written.
    pub is_done: &'a mut bool,
}

impl<'a, K: Kernel> Run<K> for PackedPass<'a, K> {
    type Buffer = ValuesMut<'a>;

    #[inline(always)]
    fn run<L: Layout<N, Kernel = K>, const N: usize>(self, _: L, state: [ValuesMut<'a>; N])
    where
        Streams<N>: Zip<N>,
    {
        if N == 0 || N > PLACES {
            return;
        }
        if state.iter().all(|values| matches!(values, ValuesMut::Bf16(_))) {
            let state = state.map(Halves::new);
            dispatch(Job::<K, L, Halves<'a>, N> { pass: self, state, layout: PhantomData });
        } else {
            let state = state.map(Bytes::new);
            dispatch(Job::<K, L, Bytes<'a>, N> { pass: self, state, layout: PhantomData });
        }
    }
}

/// A [`PackedPass`] with its state, waiting for an instruction set.
struct Job<'a, K: Kernel, L: Layout<N, Kernel = K>, P: Packing, const N: usize> {
    pass: PackedPass<'a, K>,
    state: [P; N],
    layout: PhantomData<L>,
}

impl<K: Kernel, L: Layout<N, Kernel = K>, P: Packing, const N: usize> Operation
    for Job<'_, K, L, P, N>
where
    Streams<N>: Zip<N>,
{
    #[inline(always)]
    fn with_scalars(self) {}
}

impl<K: Kernel, L: Layout<N, Kernel = K>, P: Packing, const N: usize> WithSimd
    for Job<'_, K, L, P, N>
where
    Streams<N>: Zip<N>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::F32_LANES < P::WORTH_IT_FROM {
            return;
        }
        let PackedPass { pass, noise, index, is_done } = self.pass;
        let (sweep, param, grad) = pass.into_parts::<L, N>();
        let (params, rest) = param.as_chunks_mut::<BLOCK>();
        let grads = grad.as_chunks::<BLOCK>().0;
        let fits = |(place, values): (usize, &P)| values.fit(params.len(), is_squares::<K>(place));
        if !rest.is_empty() || !self.state.iter().enumerate().all(fits) {
            return;
        }
        Numbers { params, grads, state: self.state, noise, index }.sweep(&sweep, simd);
        *is_done = true;
    }
}

/// How many elements before its turn a block is asked for: 3 KB.
const AHEAD: usize = 12 * BLOCK;

/// All numbers of a pass, in blocks.
struct Numbers<'a, P, const N: usize> {
    params: &'a mut [[f32; BLOCK]],
    grads: &'a [[f32; BLOCK]],
    state: [P; N],
    noise: Noise,
    index: u64,
}

impl<P: Packing, const N: usize> Numbers<'_, P, N> {
    /// The loop.
    #[inline(always)]
    fn sweep<K: Kernel, L: Layout<N, Kernel = K>, S: Simd>(
        mut self,
        sweep: &Sweep<K, L, N>,
        simd: S,
    ) where
        Streams<N>: Zip<N>,
    {
        // Chosen between in the loop, since conversions are the larger part of its code.
        let usual = sweep.usual();
        let (stream, _) = noise::place(0);
        let mut drawn = self.noise.words(stream, self.index);
        let mut unpacked = [Line([0.0; BLOCK]); N];
        let mut words = Line([0; BLOCK]);
        let mut common = [0; N];
        for ((param, grad), block) in self.params.iter_mut().zip(self.grads).zip(0..) {
            if P::PREFETCHES {
                prefetch(param, AHEAD);
                prefetch(grad, AHEAD);
            }
            // First, since it waits for nothing.
            if self.index.is_multiple_of(SPAN as u64) {
                drawn = self.noise.words(stream, self.index);
            }
            drawn.draw(&mut words.0);
            self.index = self.index.wrapping_add(BLOCK as u64);

            read::<0, K, P, S>(simd, block, &self.state, &mut unpacked);
            read::<1, K, P, S>(simd, block, &self.state, &mut unpacked);
            let mut state = [const { [].as_mut_slice() }; N];
            for (registers, Line(numbers)) in state.iter_mut().zip(&mut unpacked) {
                *registers = S::as_mut_simd_f32s(numbers).0;
            }
            let (param, grad) = (S::as_mut_simd_f32s(param).0, S::as_simd_f32s(grad).0);
            let slices = Slices { param, grad, state };
            match &usual {
                [Some(usual), _] => usual.sweep(slices, simd),
                [_, Some(usual)] => usual.sweep(slices, simd),
                _ => sweep.sweep(slices, simd),
            }
            // For all buffers before the next step, since each takes its time, but both do at once.
            for (common, Line(numbers)) in common.iter_mut().zip(&unpacked) {
                *common = P::common(simd, numbers);
            }
            write::<0, K, P, S>(simd, block, &mut self.state, &unpacked, &common, &words.0);
            write::<1, K, P, S>(simd, block, &mut self.state, &unpacked, &common, &words.0);
        }
    }
}

/// Reads a block of the buffer in a place, if there is one. The place is a constant, since each kind of
/// buffer has code of its own.
#[inline(always)]
fn read<const PLACE: usize, K: Kernel, P: Packing, S: Simd>(
    simd: S,
    block: usize,
    state: &[P],
    unpacked: &mut [Line<f32>],
) {
    if let (Some(values), Some(Line(numbers))) = (state.get(PLACE), unpacked.get_mut(PLACE)) {
        values.read(simd, block, const { is_squares::<K>(PLACE) }, numbers);
    }
}

/// Writes it, with a word of random bits for each number.
#[inline(always)]
fn write<const PLACE: usize, K: Kernel, P: Packing, S: Simd>(
    simd: S,
    block: usize,
    state: &mut [P],
    unpacked: &[Line<f32>],
    common: &[u8],
    words: &[u32; BLOCK],
) {
    if let (Some(values), Some(Line(numbers)), Some(common)) =
        (state.get_mut(PLACE), unpacked.get(PLACE), common.get(PLACE))
    {
        let noise = (words, const { noise::place(PLACE).1 });
        values.write(simd, block, const { is_squares::<K>(PLACE) }, (numbers, *common), noise);
    }
}

/// One block, in cache lines of its own where it is not in registers.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line<T>([T; BLOCK]);

/// Whether the buffer in a place is of squares. The names are those of all buffers that the kernel may
/// have; where some are missing, others come earlier, so this is only a guess.
const fn is_squares<K: Kernel>(place: usize) -> bool {
    matches!(K::BUFFERS[place], Some(name) if name.is_of_squares())
}

/// A buffer of state, in blocks.
trait Packing {
    /// How many lanes registers must have. A processor that has wide ones has more of them, too.
    const WORTH_IT_FROM: usize;

    /// Whether to ask for parameters and gradients before their turn: so much is done with each that the
    /// processor does not see far ahead, and so little that memory is not idle meanwhile.
    const PREFETCHES: bool;

    /// Whether these are `count` blocks, and packed as buffers like this one are.
    fn fit(&self, count: usize, is_squares: bool) -> bool;

    /// Reads a block.
    fn read<S: Simd>(&self, simd: S, block: usize, is_squares: bool, numbers: &mut [f32; BLOCK]);

    /// What the numbers of a block have in common.
    fn common<S: Simd>(simd: S, numbers: &[f32; BLOCK]) -> u8;

    /// Writes a block, and what its numbers have in common, rounded by an end of words.
    fn write<S: Simd>(
        &mut self,
        simd: S,
        block: usize,
        is_squares: bool,
        numbers: (&[f32; BLOCK], u8),
        noise: (&[u32; BLOCK], End),
    );
}

/// 16 bits for each.
struct Halves<'a>(&'a mut [[u16; BLOCK]]);

impl<'a> Halves<'a> {
    fn new(values: ValuesMut<'a>) -> Self {
        Self(match values {
            ValuesMut::Bf16(codes) => codes.as_chunks_mut().0,
            _ => &mut [],
        })
    }
}

impl Packing for Halves<'_> {
    const WORTH_IT_FROM: usize = 8;
    const PREFETCHES: bool = true;

    #[inline(always)]
    fn fit(&self, count: usize, _: bool) -> bool {
        self.0.len() == count
    }

    #[inline(always)]
    fn read<S: Simd>(&self, _: S, block: usize, _: bool, numbers: &mut [f32; BLOCK]) {
        if let Some(codes) = self.0.get(block) {
            values::read::<Bf16>(codes, numbers);
        }
    }

    #[inline(always)]
    fn common<S: Simd>(_: S, _: &[f32; BLOCK]) -> u8 {
        0
    }

    #[inline(always)]
    fn write<S: Simd>(
        &mut self,
        simd: S,
        block: usize,
        _: bool,
        (numbers, _): (&[f32; BLOCK], u8),
        (words, end): (&[u32; BLOCK], End),
    ) {
        let Some(codes) = self.0.get_mut(block) else { return };
        let mut wide = Line([0; BLOCK]);
        let numbers = S::as_simd_f32s(numbers).0.iter().zip(S::as_simd_u32s(words).0);
        for (code, (number, word)) in S::as_mut_simd_u32s(&mut wide.0).0.iter_mut().zip(numbers) {
            let noise = end.cut(Bits::new(simd, *word), Bf16::DROPPED);
            *code = Bf16::stochastic(Lanes::new(simd, *number), noise).register();
        }
        for (code, wide) in codes.iter_mut().zip(wide.0) {
            *code = wide as u16;
        }
    }
}

/// 8 bits for each.
struct Bytes<'a> {
    codes: &'a mut [[u32; WORDS]],
    exponents: &'a mut [u8],
    is_squares: bool,
}

impl<'a> Bytes<'a> {
    fn new(values: ValuesMut<'a>) -> Self {
        let is_squares = matches!(values, ValuesMut::E5m3(_));
        let (ValuesMut::E4m3(blocks) | ValuesMut::E5m3(blocks)) = values else {
            return Self { codes: &mut [], exponents: &mut [], is_squares };
        };
        Self { codes: blocks.codes.as_chunks_mut().0, exponents: blocks.exponents, is_squares }
    }
}

impl Packing for Bytes<'_> {
    const WORTH_IT_FROM: usize = 16;
    const PREFETCHES: bool = false;

    #[inline(always)]
    fn fit(&self, count: usize, is_squares: bool) -> bool {
        self.codes.len() == count && self.exponents.len() == count && self.is_squares == is_squares
    }

    #[inline(always)]
    fn read<S: Simd>(&self, simd: S, block: usize, is_squares: bool, numbers: &mut [f32; BLOCK]) {
        if let (Some(codes), Some(exponent)) = (self.codes.get(block), self.exponents.get(block)) {
            let blocks = Blocks { codes, exponents: slice::from_ref(exponent) };
            if is_squares {
                blocks::read::<Unsigned, S>(simd, blocks, numbers);
            } else {
                blocks::read::<Signed, S>(simd, blocks, numbers);
            }
        }
    }

    #[inline(always)]
    fn common<S: Simd>(simd: S, numbers: &[f32; BLOCK]) -> u8 {
        let mut exponent = 0;
        blocks::write_exponents(simd, numbers, slice::from_mut(&mut exponent));
        exponent
    }

    #[inline(always)]
    fn write<S: Simd>(
        &mut self,
        simd: S,
        block: usize,
        is_squares: bool,
        (numbers, common): (&[f32; BLOCK], u8),
        (words, end): (&[u32; BLOCK], End),
    ) {
        let place = (self.codes.get_mut(block), self.exponents.get_mut(block));
        if let (Some(codes), Some(exponent)) = place {
            *exponent = common;
            let (exponents, noise) = (slice::from_ref(&common), Some((words.as_slice(), end)));
            if is_squares {
                blocks::write_codes::<Unsigned, S>(simd, numbers, codes, exponents, noise);
            } else {
                blocks::write_codes::<Signed, S>(simd, numbers, codes, exponents, noise);
            }
        }
    }
}
