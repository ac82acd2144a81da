//! The one loop: over blocks of registers, then registers, then elements.
//!
//! Every optimizer, instruction set and length goes through [`Sweep::sweep`]. The three parts of a
//! slice compute the same operations in the same order, so it does not matter to any bit where
//! one ends and the next begins, nor how a caller cuts the slice.

use core::marker::PhantomData;

use pulp::{Simd, WithSimd};

use crate::dispatch::{Operation, dispatch};
use crate::gradient::Incoming;
use crate::lanes::{Block, Lanes};
use crate::real::Real;
use crate::rule::{Kernel, Layout};

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

    /// Runs the pass with `N` buffers of state, whose names the layout knows.
    #[inline(always)]
    pub(crate) fn run<L: Layout<N, Kernel = K>, const N: usize>(
        self,
        _: L,
        state: [&'a mut [f32]; N],
    ) where
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

/// How many registers, or elements, of each slice are in flight at once.
const UNROLL: usize = 2;

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> WithSimd for Job<'_, K, L, N>
where
    Streams<N>: Zip<N>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (sweep, param, grad, state) = self.into_parts();

        let (param, param_tail) = S::as_mut_simd_f32s(param);
        let (grad, grad_tail) = S::as_simd_f32s(grad);
        let (state, state_tail) = split(state, S::as_mut_simd_f32s);

        sweep.blocks(param, grad, state, |x| Lanes::new(simd, x), Lanes::register);
        sweep.sweep(param_tail, grad_tail, state_tail, |x: f32| x, |x| x);
    }
}

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Operation for Job<'_, K, L, N>
where
    Streams<N>: Zip<N>,
{
    #[inline(always)]
    fn with_scalars(self) {
        let (sweep, param, grad, state) = self.into_parts();
        sweep.blocks(param, grad, state, |x: f32| x, |x| x);
    }
}

impl<'a, K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Job<'a, K, L, N> {
    #[inline(always)]
    fn into_parts(self) -> (Sweep<'a, K, L, N>, &'a mut [f32], &'a [f32], [&'a mut [f32]; N]) {
        let Pass { kernel, incoming, param, grad } = self.pass;
        (Sweep { kernel, incoming, layout: PhantomData }, param, grad, self.state)
    }
}

/// Cuts each of `N` slices in two.
#[inline(always)]
fn split<'a, A, B, C, const N: usize>(
    slices: [&'a mut [A]; N],
    cut: impl Fn(&'a mut [A]) -> (&'a mut [B], &'a mut [C]),
) -> ([&'a mut [B]; N], [&'a mut [C]; N]) {
    let mut heads = core::array::from_fn(|_| <&mut [B]>::default());
    let mut tails = core::array::from_fn(|_| <&mut [C]>::default());
    for ((slice, head), tail) in slices.into_iter().zip(&mut heads).zip(&mut tails) {
        (*head, *tail) = cut(slice);
    }
    (heads, tails)
}

/// What the loop does to one item of each slice.
struct Sweep<'a, K: Kernel, L, const N: usize> {
    kernel: &'a K,
    incoming: &'a Incoming,
    layout: PhantomData<L>,
}

impl<K: Kernel, L: Layout<N, Kernel = K>, const N: usize> Sweep<'_, K, L, N>
where
    Streams<N>: Zip<N>,
{
    /// The loop, over blocks of `UNROLL` items and then over those that are left.
    #[inline(always)]
    fn blocks<X: Copy, R: Real>(
        &self,
        param: &mut [X],
        grad: &[X],
        state: [&mut [X]; N],
        load: impl Fn(X) -> R + Copy,
        store: impl Fn(R) -> X + Copy,
    ) {
        let (param_blocks, param) = param.as_chunks_mut::<UNROLL>();
        let (grad_blocks, grad) = grad.as_chunks::<UNROLL>();
        let (state_blocks, state) = split(state, <[X]>::as_chunks_mut::<UNROLL>);

        self.sweep(
            param_blocks,
            grad_blocks,
            state_blocks,
            |block| Block(block.map(load)),
            |Block(block)| block.map(store),
        );
        self.sweep(param, grad, state, load, store);
    }

    /// The loop, over items `X` that `load` and `store` turn into a [`Real`] and back.
    #[inline(always)]
    fn sweep<X: Copy, R: Real>(
        &self,
        param: &mut [X],
        grad: &[X],
        state: [&mut [X]; N],
        load: impl Fn(X) -> R,
        store: impl Fn(R) -> X,
    ) {
        Streams::<N>::zip(param, grad, state, |param, grad, state| {
            let mut registers = [load(*param); N];
            for (register, item) in registers.iter_mut().zip(&state) {
                *register = load(**item);
            }
            let (p, g) = self.incoming.apply(load(*param), load(*grad));
            let p = self.kernel.update(p, g, L::bind(registers.each_mut()));
            *param = store(p);
            for (item, register) in state.into_iter().zip(registers) {
                *item = store(register);
            }
        });
    }
}

/// `N` state slices to walk through beside the parameter and the gradient.
pub struct Streams<const N: usize>;

/// Walks through `param`, `grad` and `N` more slices of the same length at once.
///
/// One implementation per `N`, since only a chain of `zip`s of slice iterators is known to the
/// standard library to need one counter and no bounds check: no panic path, in safe code.
pub trait Zip<const N: usize> {
    fn zip<X>(
        param: &mut [X],
        grad: &[X],
        state: [&mut [X]; N],
        each: impl FnMut(&mut X, &X, [&mut X; N]),
    );
}

macro_rules! zip {
    ($n:literal: ($($slice:ident)*), $p:ident $g:ident $pattern:pat) => {
        impl Zip<$n> for Streams<$n> {
            #[inline(always)]
            fn zip<X>(
                param: &mut [X],
                grad: &[X],
                [$($slice),*]: [&mut [X]; $n],
                mut each: impl FnMut(&mut X, &X, [&mut X; $n]),
            ) {
                for $pattern in param.iter_mut().zip(grad)$(.zip($slice))* {
                    each($p, $g, [$($slice),*]);
                }
            }
        }
    };
}

zip!(0: (), p g (p, g));
zip!(1: (a), p g ((p, g), a));
zip!(2: (a b), p g (((p, g), a), b));
zip!(3: (a b c), p g ((((p, g), a), b), c));
