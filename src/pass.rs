//! The one loop: over blocks of registers, then registers, then elements.
//!
//! Every optimizer, instruction set and length goes through [`Sweep::sweep`]. The three parts of a
//! slice compute the same operations in the same order, so it does not matter to any bit where
//! one ends and the next begins, nor how a caller cuts the slice.

use core::marker::PhantomData;
use core::slice;

use pulp::{Simd, WithSimd};

use crate::dispatch::{Operation, dispatch};
use crate::gradient::{Incoming, Intake};
use crate::lanes::{Block, Lanes};
use crate::real::{HARDWARE_FLOATS, Real};
use crate::rule::{Kernel, Layout};
use crate::soft::Soft;

/// What goes over a tensor once it is known which buffers of state there are.
pub trait Run<K: Kernel>: Sized {
    /// What a buffer is.
    type Buffer;

    /// Goes over the tensor with `N` buffers, whose names the layout knows.
    fn run<L: Layout<N, Kernel = K>, const N: usize>(self, layout: L, state: [Self::Buffer; N])
    where
        Streams<N>: Zip<N>;
}

/// A step on one tensor, without its state.
pub struct Pass<'a, K: Kernel> {
    kernel: &'a K,
    incoming: &'a Incoming,
    param: &'a mut [f32],
    grad: &'a [f32],
}

impl<'a, K: Kernel> Pass<'a, K> {
    pub(crate) fn new(
        kernel: &'a K,
        incoming: &'a Incoming,
        param: &'a mut [f32],
        grad: &'a [f32],
    ) -> Self {
        Self { kernel, incoming, param, grad }
    }

    /// What to do, and the parameters and their gradient to do it to.
    #[inline(always)]
    pub(crate) fn into_parts<L: Layout<N, Kernel = K>, const N: usize>(
        self,
    ) -> (Sweep<K, L, N>, &'a mut [f32], &'a [f32]) {
        let Self { kernel, incoming, param, grad } = self;
        // By value: behind a reference, the scalars might be part of a slice for all that the
        // compiler knows, and it would load and test them again after every store.
        let sweep = Sweep { kernel: *kernel, intake: incoming.intake(), layout: PhantomData };
        (sweep, param, grad)
    }
}

impl<'a, K: Kernel> Run<K> for Pass<'a, K> {
    type Buffer = &'a mut [f32];

    #[inline(always)]
    fn run<L: Layout<N, Kernel = K>, const N: usize>(self, _: L, state: [&'a mut [f32]; N])
    where
        Streams<N>: Zip<N>,
    {
        dispatch(Job::<K, L, N> { pass: self, state, layout: PhantomData });
    }
}

/// A [`Pass`] with its state, waiting for an instruction set.
struct Job<'a, K: Kernel, L: Layout<N, Kernel = K>, const N: usize> {
    pass: Pass<'a, K>,
    state: [&'a mut [f32]; N],
    layout: PhantomData<L>,
}

/// How many registers of each slice are in flight at once; in AVX2 one, which is not slower on
/// processors that look that far ahead anyway, and less code.
const UNROLL: usize = 2;

/// How many elements are, without registers for several: some, which saves instructions, and one
/// where each operation is a call, or where memory for code is dear.
const UNROLL_ELEMENTS: usize = if HARDWARE_FLOATS && !cfg!(feature = "small") { 4 } else { 1 };

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> WithSimd for Job<'_, K, L, N>
where
    Streams<N>: Zip<N>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let misaligned = misaligned::<S>(self.pass.param);
        if misaligned > 0 {
            // As calls of what is being compiled here: no code of their own. The head comes last,
            // since a load waits for the part of a register that has been stored beside it.
            let (head, rest) = self.split(misaligned);
            simd.vectorize(rest);
            return simd.vectorize(head);
        }
        let (sweep, slices) = self.into_parts();
        let (registers, tail) = slices.cut(S::as_mut_simd_f32s, S::as_simd_f32s);
        let rest = if is_avx2::<S>() {
            sweep.most::<1, _, _>(registers, simd)
        } else {
            sweep.most::<UNROLL, _, _>(registers, simd)
        };
        sweep.sweep(rest, simd);

        if tail.param.is_empty() {
            return;
        }
        if S::F32_LANES <= 4 {
            return sweep.sweep(tail, Elements);
        }
        // In wide registers what is left goes through a part of one: at once, where up to 15
        // elements would take their turns. Nobody reads the other lanes, which hold zeros.
        let mut param = simd.partial_load_f32s(tail.param);
        let grad = simd.partial_load_f32s(tail.grad);
        let mut state = [grad; N];
        for (register, slice) in state.iter_mut().zip(&tail.state) {
            *register = simd.partial_load_f32s(slice);
        }
        let registers = Slices {
            param: slice::from_mut(&mut param),
            grad: slice::from_ref(&grad),
            state: state.each_mut().map(slice::from_mut),
        };
        sweep.sweep(registers, simd);
        simd.partial_store_f32s(tail.param, param);
        for (slice, register) in tail.state.into_iter().zip(state) {
            simd.partial_store_f32s(slice, register);
        }
    }
}

/// How many elements come before the first that begins a register's width in memory, if it is worth
/// a part of a register that no other one lies in two cache lines, which takes twice the time to
/// load and to store.
///
/// The parameter decides. The other slices mostly come from the same allocator, and are as far from
/// a line: 16 bytes, where `malloc` has asked the operating system for pages.
#[inline(always)]
fn misaligned<S: Simd>(param: &[f32]) -> usize {
    // A part of a register costs more in AVX2, where a mask makes a store slow.
    let worth_it_from = if is_avx2::<S>() { 4096 } else { 2048 };
    if S::F32_LANES <= 4 || param.len() < worth_it_from {
        return 0;
    }
    before_multiple_of(S::F32_LANES, param)
}

/// How many elements come before the first whose place in memory is a multiple of so many elements.
#[inline(always)]
pub(crate) fn before_multiple_of(count: usize, slice: &[f32]) -> usize {
    (slice.as_ptr().addr() / size_of::<f32>()).wrapping_neg() % count
}

#[inline(always)]
fn is_avx2<S: Simd>() -> bool {
    S::F32_LANES == 8
}

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Operation for Job<'_, K, L, N>
where
    Streams<N>: Zip<N>,
{
    #[inline(always)]
    fn with_scalars(self) {
        if HARDWARE_FLOATS {
            self.with_elements(Elements);
        } else {
            self.with_elements(SoftElements);
        }
    }
}

impl<'a, K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Job<'a, K, L, N> {
    /// Cuts it in two, behind the first `n` elements.
    #[inline(always)]
    fn split(self, n: usize) -> (Self, Self) {
        let Pass { kernel, incoming, param, grad } = self.pass;
        let (head, rest) = Slices { param, grad, state: self.state }.split(n);
        let job = |Slices { param, grad, state }| Self {
            pass: Pass { kernel, incoming, param, grad },
            state,
            layout: PhantomData,
        };
        (job(head), job(rest))
    }

    #[inline(always)]
    fn with_elements<V: View<f32>>(self, view: V)
    where
        Streams<N>: Zip<N>,
    {
        let (sweep, slices) = self.into_parts();
        let rest = match sweep.usual() {
            [Some(usual), _] => usual.blocks::<UNROLL_ELEMENTS, _, _>(slices, view),
            [_, Some(usual)] => usual.blocks::<UNROLL_ELEMENTS, _, _>(slices, view),
            _ => slices,
        };
        sweep.sweep(rest, view);
    }

    #[inline(always)]
    fn into_parts(self) -> (Sweep<K, L, N>, Slices<'a, f32, N>) {
        let (sweep, param, grad) = self.pass.into_parts();
        // The lengths have been found equal. This way the compiler sees that they are, and counts
        // once for all slices.
        let shorter = |n: usize, slice: &&mut [f32]| n.min(slice.len());
        let n = self.state.iter().fold(param.len().min(grad.len()), shorter);
        let slices = Slices { param, grad, state: self.state };
        let (slices, _) = slices.split(n);
        (sweep, slices)
    }
}

/// All slices of a pass, in items of one kind: elements, registers or blocks.
pub struct Slices<'a, X, const N: usize> {
    pub(crate) param: &'a mut [X],
    pub(crate) grad: &'a [X],
    pub(crate) state: [&'a mut [X]; N],
}

impl<'a, X, const N: usize> Slices<'a, X, N> {
    /// Cuts each slice behind its first `n` items; it has as many.
    #[inline(always)]
    fn split(self, n: usize) -> (Self, Self) {
        self.cut(
            |slice| slice.split_at_mut_checked(n).unwrap_or_default(),
            |slice| slice.split_at_checked(n).unwrap_or_default(),
        )
    }

    /// Cuts each slice in two.
    #[inline(always)]
    fn cut<Y, Z>(
        self,
        cut_mut: impl Fn(&'a mut [X]) -> (&'a mut [Y], &'a mut [Z]),
        cut: impl Fn(&'a [X]) -> (&'a [Y], &'a [Z]),
    ) -> (Slices<'a, Y, N>, Slices<'a, Z, N>) {
        let (param_head, param_tail) = cut_mut(self.param);
        let (grad_head, grad_tail) = cut(self.grad);
        let mut heads = core::array::from_fn(|_| Default::default());
        let mut tails = core::array::from_fn(|_| Default::default());
        for ((slice, head), tail) in self.state.into_iter().zip(&mut heads).zip(&mut tails) {
            (*head, *tail) = cut_mut(slice);
        }
        (
            Slices { param: param_head, grad: grad_head, state: heads },
            Slices { param: param_tail, grad: grad_tail, state: tails },
        )
    }
}

/// What the loop does to one item of each slice.
pub struct Sweep<K: Kernel, L, const N: usize> {
    kernel: K,
    intake: Intake,
    layout: PhantomData<L>,
}

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Sweep<K, L, N>
where
    Streams<N>: Zip<N>,
{
    /// The same for what most callers ask for, with all that they leave out known to be so: a loop
    /// without a branch. At most one of both, and none if this is anything else.
    #[inline(always)]
    pub(crate) fn usual(&self) -> [Option<Self>; 2] {
        let Some(intake) = self.intake.usual(K::DECOUPLED) else { return [None, None] };
        let with = |kernel| Self { kernel, intake, layout: PhantomData };
        [self.kernel.usual().map(with), self.kernel.also_usual().map(with)]
    }

    /// The loop that fits, over blocks of `U` items; gives those that are left.
    #[inline(always)]
    fn most<'s, const U: usize, X: Copy, V: View<X>>(
        &self,
        slices: Slices<'s, X, N>,
        view: V,
    ) -> Slices<'s, X, N> {
        match self.usual() {
            [Some(usual), _] => usual.blocks::<U, _, _>(slices, view),
            [_, Some(usual)] => usual.blocks::<U, _, _>(slices, view),
            _ => self.blocks::<U, _, _>(slices, view),
        }
    }

    /// The loop, over blocks of `U` items; gives those that are left.
    #[inline(always)]
    fn blocks<'s, const U: usize, X: Copy, V: View<X>>(
        &self,
        slices: Slices<'s, X, N>,
        view: V,
    ) -> Slices<'s, X, N> {
        let (blocks, rest) = slices.cut(<[X]>::as_chunks_mut::<U>, <[X]>::as_chunks::<U>);
        self.sweep(blocks, Blocks(view));
        rest
    }

    /// The loop, over items that `view` turns into numbers and back.
    #[inline(always)]
    pub(crate) fn sweep<X: Copy, V: View<X>>(&self, slices: Slices<'_, X, N>, view: V) {
        Streams::zip(slices, self, view);
    }
}

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Sweep<K, L, N> {
    /// One item of each slice.
    #[inline(always)]
    fn item<X: Copy, V: View<X>>(&self, view: V, param: &mut X, grad: &X, state: [&mut X; N]) {
        let mut registers = [view.load(*param); N];
        for (register, item) in registers.iter_mut().zip(&state) {
            *register = view.load(**item);
        }
        let (p, g) = self.intake.apply(view.load(*param), view.load(*grad));
        let p = self.kernel.update(p, g, L::bind(registers.each_mut()));
        *param = view.store(p);
        for (item, register) in state.into_iter().zip(registers) {
            *item = view.store(register);
        }
    }
}

/// How items of a slice become numbers to compute with, and back.
///
/// Methods, not closures: all of a loop must be inlined, since what is not would leave the
/// instruction set of its caller, and a closure that two loops share might not be.
pub trait View<X>: Copy {
    type Real: Real;

    fn load(self, item: X) -> Self::Real;

    fn store(self, real: Self::Real) -> X;
}

/// As they are.
#[derive(Clone, Copy)]
struct Elements;

impl View<f32> for Elements {
    type Real = f32;

    #[inline(always)]
    fn load(self, item: f32) -> f32 {
        item
    }

    #[inline(always)]
    fn store(self, real: f32) -> f32 {
        real
    }
}

/// For a processor without floating-point instructions.
#[derive(Clone, Copy)]
struct SoftElements;

impl View<f32> for SoftElements {
    type Real = Soft;

    #[inline(always)]
    fn load(self, item: f32) -> Soft {
        Soft(item)
    }

    #[inline(always)]
    fn store(self, Soft(real): Soft) -> f32 {
        real
    }
}

/// Registers of an instruction set.
impl<S: Simd> View<S::f32s> for S {
    type Real = Lanes<S>;

    #[inline(always)]
    fn load(self, item: S::f32s) -> Lanes<S> {
        Lanes::new(self, item)
    }

    #[inline(always)]
    fn store(self, real: Lanes<S>) -> S::f32s {
        real.register()
    }
}

/// Several items at once.
#[derive(Clone, Copy)]
struct Blocks<V>(V);

impl<X: Copy, V: View<X>, const U: usize> View<[X; U]> for Blocks<V> {
    type Real = Block<V::Real, U>;

    #[inline(always)]
    fn load(self, items: [X; U]) -> Block<V::Real, U> {
        let mut reals = [self.0.load(items[0]); U];
        for (real, item) in reals.iter_mut().zip(items) {
            *real = self.0.load(item);
        }
        Block(reals)
    }

    #[inline(always)]
    fn store(self, Block(reals): Block<V::Real, U>) -> [X; U] {
        let mut items = [self.0.store(reals[0]); U];
        for (item, real) in items.iter_mut().zip(reals) {
            *item = self.0.store(real);
        }
        items
    }
}

/// `N` slices of state to walk through beside the parameter and the gradient.
pub struct Streams<const N: usize>;

/// Walks through all slices at once.
///
/// One implementation per `N`, since only a chain of `zip`s of slice iterators is known to the
/// standard library to need one counter and no bounds check: no panic path, in safe code.
pub trait Zip<const N: usize> {
    fn zip<X: Copy, V: View<X>, K: Kernel, L: Layout<N, Kernel = K>>(
        slices: Slices<'_, X, N>,
        sweep: &Sweep<K, L, N>,
        view: V,
    );
}

macro_rules! zip {
    ($n:literal: ($($slice:ident)*), $p:ident $g:ident $pattern:pat) => {
        impl Zip<$n> for Streams<$n> {
            #[inline(always)]
            fn zip<X: Copy, V: View<X>, K: Kernel, L: Layout<$n, Kernel = K>>(
                Slices { param, grad, state: [$($slice),*] }: Slices<'_, X, $n>,
                sweep: &Sweep<K, L, $n>,
                view: V,
            ) {
                for $pattern in param.iter_mut().zip(grad)$(.zip($slice))* {
                    sweep.item(view, $p, $g, [$($slice),*]);
                }
            }
        }
    };
}

zip!(0: (), p g (p, g));
zip!(1: (a), p g ((p, g), a));
zip!(2: (a b), p g (((p, g), a), b));
zip!(3: (a b c), p g ((((p, g), a), b), c));
