//! A tensor of a fused step, with storage of its own.

use std::ops::Range;

use gradstep::{FusedTensor, Gradient, Values, ValuesMut};

use super::{Buffers, Format, Rng, Store, Subject, buffer_names, is_square, random_state};

/// Everything that a fused step touches.
#[derive(Clone, Debug)]
pub struct FusedOwned {
    pub n: usize,
    pub param: Store,
    pub grad: Store,
    /// Whether the gradient is to be zeroed.
    pub zero: bool,
    pub state: Buffers<Store>,
    pub ema: Option<Store>,
    pub copy: Option<Store>,
    pub offset: u64,
}

impl FusedOwned {
    /// Numbers from a run's middle, in formats drawn for each; but every other time as most callers have
    /// them, with state of one format, binary32 for the rest, and often nothing to do after the update.
    pub fn random<R: Subject>(rule: &R, n: usize, rng: &mut Rng) -> Self {
        let format = Format::ALL[rng.below(4)];
        let usual = rng.below(2) == 0;
        let wide = |rng: &mut Rng| {
            let numbers: Vec<f32> = (0..n).map(|_| rng.number()).collect();
            Store::of(if usual { Format::F32 } else { Format::WIDE[rng.below(3)] }, false, &numbers)
        };
        let (param, grad, ema, copy) = (wide(rng), wide(rng), wide(rng), wide(rng));
        let some = |rng: &mut Rng| rng.below(if usual { 5 } else { 2 }) == 0;
        let mut state = random_state(rule, n, rng).into_iter();
        let state = buffer_names(rule).map(|name| {
            let numbers = state.next().unwrap();
            let format = if usual { format } else { Format::ALL[rng.below(4)] };
            name.map(|name| Store::of(format, is_square(name), &numbers.unwrap()))
        });
        Self {
            n,
            param,
            grad,
            zero: some(rng),
            state,
            ema: some(rng).then_some(ema),
            copy: some(rng).then_some(copy),
            offset: rng.below(5) as u64 * 256,
        }
    }

    pub fn tensor<R: Subject>(&mut self) -> FusedTensor<'_, R> {
        self.view(Store::values_mut, 0)
    }

    pub fn part<R: Subject>(&mut self, range: Range<usize>) -> FusedTensor<'_, R> {
        self.view(|store| store.part_mut(range.clone()), range.start)
    }

    fn view<R: Subject>(
        &mut self,
        view: impl Fn(&mut Store) -> ValuesMut<'_>,
        start: usize,
    ) -> FusedTensor<'_, R> {
        let Self { n: _, param, grad, zero, state, ema, copy, offset } = self;
        FusedTensor {
            param: view(param),
            grad: match view(grad) {
                values if *zero => Gradient::Zero(values),
                ValuesMut::F32(numbers) => Gradient::Keep(Values::F32(numbers)),
                ValuesMut::Bf16(codes) => Gradient::Keep(Values::Bf16(codes)),
                ValuesMut::F16(codes) => Gradient::Keep(Values::F16(codes)),
                _ => unreachable!("a gradient has no blocks"),
            },
            state: R::bind(state.each_mut().map(|store| store.as_mut().map(&view))),
            ema: ema.as_mut().map(&view),
            copy: copy.as_mut().map(&view),
            offset: *offset + start as u64,
        }
    }

    pub fn stores(&self) -> impl Iterator<Item = &Store> {
        let others = [self.ema.as_ref(), self.copy.as_ref()];
        let state = self.state.iter().map(Option::as_ref);
        [Some(&self.param), Some(&self.grad)].into_iter().chain(state).chain(others).flatten()
    }

    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        for (a, b) in self.stores().zip(other.stores()) {
            assert!(a.same_bits(b), "{what}\n{self:?}\n{other:?}");
        }
    }
}
