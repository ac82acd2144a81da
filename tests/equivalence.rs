//! One bit pattern everywhere: every instruction set, length, alignment, and way to cut a slice.
//!
//! The reference is the plainest run there is: one element at a time, on [`Backend::Scalar`].
//! `cargo test --test equivalence -- --nocapture` prints what was compared. An instruction set that
//! this machine lacks is skipped, which is printed, too; where `GRADSTEP_REQUIRE_BACKENDS` lists it
//! (`scalar,avx2,avx512`) that is a failure. For an emulator or a sanitizer, `GRADSTEP_EVERY=7` takes
//! every seventh variant of a rule.

mod common;

use gradstep::{Adam, AdamW, Backend, Rule, Step, chunk};

use common::{
    Owned, Rng, Subject, backends, exclusive, random_state, same, same_bits, setting,
    some_variants, use_backend, widest,
};

/// All lengths up to more than eight registers of 16 floats, and some that are larger.
const ALL_LENGTHS: usize = 130;
const LARGE_LENGTHS: [usize; 2] = [1000, 4099];

/// Offsets of a slice from a multiple of 64 bytes, in elements.
const OFFSETS: usize = 16;

/// Elements in front of a slice and behind it that must not change.
const GUARD: usize = 32;
const GUARD_BITS: u32 = 0x7fc1_2345;

/// How many steps each comparison takes.
const STEPS: usize = 3;

/// What a call may ask for around the update; the first is nothing.
const TREATMENTS: [(f64, f64); 4] =
    [(1.0, f64::INFINITY), (0.1, f64::INFINITY), (1.0, 0.5), (-3.0, 2.0)];

#[test]
fn every_backend_length_and_offset() {
    let _exclusive = exclusive();
    println!();
    let required = setting!("GRADSTEP_REQUIRE_BACKENDS").unwrap_or_default();
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        assert!(
            backends().any(|backend| backend.name() == name),
            "{name} is required, and not available here"
        );
    }
    // Nothing has been forced yet in this process, or the widest was chosen again.
    assert_eq!(Backend::current(), widest(), "the widest is chosen by itself");

    let mut combinations = 0;
    for &backend in Backend::ALL {
        if !backend.is_available() {
            let refused = backend.force().unwrap_err();
            assert_eq!(refused.to_string(), "backend is not available here");
            println!("{:<8} skipped: not available here", backend.name());
        }
    }
    macro_rules! compare {
        ($($rule:ident),*) => {
            $(combinations += compare_rule::<gradstep::$rule>();)*
        };
    }
    gradstep::for_each_rule!(compare);
    println!("{combinations} combinations of variant, backend, length and offset, all equal");
}

/// Compares all variants of a rule, and counts.
fn compare_rule<R: Subject>() -> usize {
    let variants: Vec<R> = some_variants().collect();
    let mut rng = Rng(3);
    let mut combinations = 0;
    for rule in &variants {
        for (treatment, &(scale, bound)) in TREATMENTS.iter().enumerate() {
            let steps: Vec<Step<R>> = (1..=STEPS as u64)
                .map(|t| {
                    let step = rule.at(t).unwrap();
                    step.scale_grad(scale).unwrap().clamp_grad(bound).unwrap()
                })
                .collect();
            let plain = treatment == 0;
            let data = Data::random(rule, &mut rng, &steps, plain);
            for backend in backends() {
                use_backend(backend);
                let mut case = Case::new(rule, &data);
                for len in 0..=ALL_LENGTHS {
                    // Treatments are the same code for all rules: one offset each.
                    let offsets = if plain { 0..OFFSETS } else { len % OFFSETS..len % OFFSETS + 1 };
                    for offset in offsets {
                        let from = (len * 37 + offset * 101) % (data.len() - len);
                        case.compare(&steps, from, len, offset, backend);
                        combinations += 1;
                    }
                }
                for len in LARGE_LENGTHS.into_iter().filter(|_| plain) {
                    for offset in [0, 1, 7] {
                        case.compare(&steps, offset, len, offset, backend);
                        combinations += 1;
                    }
                }
            }
        }
    }
    let names: Vec<_> = backends().map(Backend::name).collect();
    println!(
        "{:<9} {:>4} variants on {}: {combinations} combinations",
        R::name(),
        variants.len(),
        names.join(", ")
    );
    combinations
}

/// Elements before, their gradients, and what they are after the steps: computed one by one.
struct Data {
    before: Owned,
    grads: [Vec<f32>; STEPS],
    after: Owned,
}

impl Data {
    fn random<R: Subject>(rule: &R, rng: &mut Rng, steps: &[Step<R>], large: bool) -> Self {
        let n = if large { LARGE_LENGTHS[LARGE_LENGTHS.len() - 1] + OFFSETS } else { 512 };
        let mut before = Owned {
            param: (0..n).map(|_| rng.number()).collect(),
            grad: vec![0.0; n],
            state: random_state(rule, n, rng),
        };
        let mut grads: [Vec<f32>; STEPS] = Default::default();
        grads.fill_with(|| (0..n).map(|_| rng.number()).collect());
        // Every third element has something wild in it.
        for index in (0..n).step_by(3) {
            let tensors = [&mut before.param].into_iter().chain(before.state.iter_mut().flatten());
            for tensor in tensors.chain(&mut grads) {
                if rng.below(3) == 0 {
                    tensor[index] = rng.wild();
                }
            }
        }
        use_backend(Backend::Scalar);
        let mut after = before.clone();
        for (step, grad) in steps.iter().zip(&grads) {
            for (index, &grad) in grad.iter().enumerate() {
                let state = after.state.each_mut();
                let state = state.map(|b| b.as_mut().map(|b| &mut b[index..=index]));
                let param = &mut after.param[index..=index];
                step.apply(param, &[grad], R::bind(state)).unwrap();
            }
        }
        Self { before, grads, after }
    }

    fn len(&self) -> usize {
        self.before.param.len()
    }
}

/// Memory with guards, at any offset from a cache line.
struct Guarded {
    memory: Vec<f32>,
    /// Where the first cache line begins.
    line: usize,
    place: std::ops::Range<usize>,
}

impl Guarded {
    fn new(len: usize) -> Self {
        let memory = vec![f32::from_bits(GUARD_BITS); 16 + GUARD + OFFSETS + len + GUARD];
        // Found anew for each vector, and not from `align_offset`, which may decline.
        let line = (64 - memory.as_ptr() as usize % 64) % 64 / 4;
        Self { memory, line, place: 0..0 }
    }

    /// Puts `data` at an offset; everything else is guard.
    fn put(&mut self, data: &[f32], offset: usize) {
        let begin = self.line + GUARD + offset;
        self.memory[self.place.clone()].fill(f32::from_bits(GUARD_BITS));
        self.place = begin..begin + data.len();
        self.memory[self.place.clone()].copy_from_slice(data);
        assert!(data.is_empty() || self.slice().as_ptr() as usize % 64 == offset % 16 * 4);
    }

    fn slice(&mut self) -> &mut [f32] {
        &mut self.memory[self.place.clone()]
    }

    fn guards_are_intact(&self) -> bool {
        let front = &self.memory[..self.place.start];
        let behind = &self.memory[self.place.end..self.place.end + GUARD];
        front.iter().chain(behind).all(|x| x.to_bits() == GUARD_BITS)
    }
}

/// One variant of a rule on one backend.
struct Case<'a, R> {
    rule: &'a R,
    data: &'a Data,
    param: Guarded,
    grad: Guarded,
    state: [Option<Guarded>; 3],
}

impl<'a, R: Subject> Case<'a, R> {
    fn new(rule: &'a R, data: &'a Data) -> Self {
        let guarded = || Guarded::new(data.len());
        Self {
            rule,
            data,
            param: guarded(),
            grad: guarded(),
            state: data.before.state.each_ref().map(|buffer| buffer.as_ref().map(|_| guarded())),
        }
    }

    /// Compares `len` elements of the data with the slices at an offset, each at another one.
    fn compare(&mut self, steps: &[Step<R>], from: usize, len: usize, offset: usize, on: Backend) {
        let Self { rule, data, param, grad, state } = self;
        let range = from..from + len;
        param.put(&data.before.param[range.clone()], offset);
        for (index, (guarded, buffer)) in state.iter_mut().zip(&data.before.state).enumerate() {
            if let (Some(guarded), Some(buffer)) = (guarded, buffer) {
                guarded.put(&buffer[range.clone()], (offset * (2 * index + 3) + 5) % OFFSETS);
            }
        }
        for (step, gradient) in steps.iter().zip(&data.grads) {
            let gradient = &gradient[range.clone()];
            grad.put(gradient, (offset * 9 + 2) % OFFSETS);
            let state = state.each_mut().map(|buffer| buffer.as_mut().map(Guarded::slice));
            step.apply(param.slice(), grad.slice(), R::bind(state)).unwrap();
            let read_only = grad.slice().iter().zip(gradient);
            assert!(read_only.clone().all(|(a, b)| a.to_bits() == b.to_bits()), "gradient");
        }
        let buffers =
            state.iter_mut().zip(&data.after.state).filter_map(|(g, b)| g.as_mut().zip(b.as_ref()));
        for (guarded, expected) in [(param, &data.after.param)].into_iter().chain(buffers) {
            let expected = &expected[range.clone()];
            let ours = &*guarded.slice();
            if let Some(at) = (0..len).find(|&at| !same(ours[at], expected[at])) {
                let what = format!("{}, length {len}, offset {offset}: {rule:?}", on.name());
                panic!("{what}\nelement {at}: {:e}, alone {:e}", ours[at], expected[at]);
            }
            assert!(guarded.guards_are_intact(), "{}, {len}, {offset}: {rule:?}", on.name());
        }
        assert!(grad.guards_are_intact());
    }
}

/// However a slice is cut, and whatever the order of the parts.
#[test]
fn parts_are_the_whole() {
    let _exclusive = exclusive();
    fn check<R: Subject>() {
        let mut rng = Rng(4);
        for rule in some_variants::<R>() {
            let step = rule.at(7).unwrap();
            for n in [0, 1, 15, 16, 17, 100, 1000] {
                let before = Owned {
                    param: (0..n).map(|_| rng.wild()).collect(),
                    grad: (0..n).map(|_| rng.wild()).collect(),
                    state: random_state(&rule, n, &mut rng),
                };
                let mut whole = before.clone();
                whole.apply(&step).unwrap();
                let mut cuts: Vec<Vec<std::ops::Range<usize>>> = [1, 2, 3, 7, 64]
                    .into_iter()
                    .map(|chunks| (0..chunks).map(|i| chunk(n, chunks, i).unwrap()).collect())
                    .collect();
                for chunks in [2, 3, 7] {
                    // At cache lines, of which there are more than blocks.
                    let at = |i: usize| if i == chunks { n } else { n * i / chunks / 16 * 16 };
                    cuts.push((0..chunks).map(|i| at(i)..at(i + 1)).collect());
                }
                let odd = rng.below(n + 1);
                cuts.push(vec![0..odd / 3, odd / 3..odd, odd..n]);
                for cut in cuts {
                    for range in cut.into_iter().rev() {
                        let mut part = before.part(range.clone());
                        part.apply(&step).unwrap();
                        assert!(
                            part.same_bits(&whole.part(range.clone())),
                            "{n} {range:?} {rule:?}"
                        );
                    }
                }
            }
        }
    }
    for backend in backends() {
        use_backend(backend);
        macro_rules! each {
            ($($rule:ident),*) => { $(check::<gradstep::$rule>();)* };
        }
        gradstep::for_each_rule!(each);
    }
    use_backend(backends().last().unwrap());
}

/// A step that is interrupted between two parts, and taken up again by another process: in other
/// memory, with what has been stored, on another instruction set.
#[test]
fn a_step_is_taken_up_again() {
    let _exclusive = exclusive();
    let all: Vec<_> = backends().collect();
    fn check<R: Subject>(all: &[Backend]) -> usize {
        let mut rng = Rng(11);
        let mut stops = 0;
        for (number, rule) in some_variants::<R>().enumerate() {
            let (n, chunks) = [(100, 3), (33, 2), (70, 4)][number % 3];
            let start = Owned {
                param: (0..n).map(|_| rng.number()).collect(),
                grad: vec![0.0; n],
                state: random_state(&rule, n, &mut rng),
            };
            let grads: [Vec<f32>; 2] = [(); 2].map(|()| (0..n).map(|_| rng.number()).collect());
            use_backend(Backend::Scalar);
            let mut whole = start.clone();
            for (t, grad) in (5..).zip(&grads) {
                whole.grad.copy_from_slice(grad);
                whole.apply(&rule.at(t).unwrap()).unwrap();
            }
            for (at, &backend) in all.iter().enumerate() {
                let mut stored = Stored::new(&start, 5);
                while stored.t() < 5 + grads.len() as u64 {
                    // Each part on the next instruction set, beginning with this one.
                    use_backend(all[(at + stored.next) % all.len()]);
                    stored = stored.go_on(&rule, &grads, chunks);
                    stops += 1;
                }
                assert!(stored.load(n, 0).same_bits(&whole), "{}: {rule:?}", backend.name());
            }
        }
        stops
    }
    let mut stops = 0;
    macro_rules! each {
        ($($rule:ident),*) => { $(stops += check::<gradstep::$rule>(&all);)* };
    }
    gradstep::for_each_rule!(each);
    println!("taken up again {stops} times");
    use_backend(backends().last().unwrap());
}

/// What a run needs to go on, and nothing else: the step count, the part that comes next, and the
/// bytes of the parameters and the state.
struct Stored {
    t: [u8; 8],
    next: usize,
    buffers: [Option<Vec<u8>>; 4],
}

impl Stored {
    fn new(owned: &Owned, t: u64) -> Self {
        let [a, b, c] = owned.state.each_ref().map(Option::as_ref);
        let bytes = |buffer: &Vec<f32>| buffer.iter().flat_map(|x| x.to_le_bytes()).collect();
        let buffers = [Some(&owned.param), a, b, c].map(|buffer| buffer.map(bytes));
        Self { t: t.to_le_bytes(), next: 0, buffers }
    }

    fn t(&self) -> u64 {
        u64::from_le_bytes(self.t)
    }

    /// In new memory, `offset` elements away from its beginning, which are not kept.
    fn load(&self, n: usize, offset: usize) -> Owned {
        let [param, a, b, c] = self.buffers.each_ref().map(|bytes| {
            bytes.as_ref().map(|bytes| {
                let numbers = bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x));
                std::iter::repeat_n(f32::NAN, offset).chain(numbers).collect::<Vec<_>>()
            })
        });
        Owned { param: param.unwrap(), grad: vec![f32::NAN; offset + n], state: [a, b, c] }
    }

    /// Runs the next part, of this step or of the one that follows, and stores everything again.
    fn go_on<R: Subject>(&self, rule: &R, grads: &[Vec<f32>], chunks: usize) -> Self {
        let (t, n) = (self.t(), grads[0].len());
        let offset = self.next % 4;
        let mut owned = self.load(n, offset);
        owned.grad[offset..].copy_from_slice(&grads[(t - 5) as usize]);
        let part = n * self.next / chunks + offset..n * (self.next + 1) / chunks + offset;
        let state = owned.state.each_mut();
        let state = state.map(|b| b.as_mut().map(|b| &mut b[part.clone()]));
        let step = rule.at(t).unwrap();
        let param = &mut owned.param[part.clone()];
        step.apply(param, &owned.grad[part], R::bind(state)).unwrap();
        for buffer in [&mut owned.param].into_iter().chain(owned.state.iter_mut().flatten()) {
            buffer.drain(..offset);
        }
        let is_last = self.next + 1 == chunks;
        let next = if is_last { 0 } else { self.next + 1 };
        Self { next, ..Self::new(&owned, t + u64::from(is_last)) }
    }
}

#[test]
fn a_list_is_its_tensors() {
    let _exclusive = exclusive();
    fn check<R: Subject>() {
        let mut rng = Rng(5);
        for rule in R::variants() {
            let step = rule.at(3).unwrap().scale_grad(0.5).unwrap();
            let mut tensors: Vec<Owned> = [0, 1, 5, 64, 0, 130]
                .into_iter()
                .map(|n| Owned {
                    param: (0..n).map(|_| rng.number()).collect(),
                    grad: (0..n).map(|_| rng.number()).collect(),
                    state: random_state(&rule, n, &mut rng),
                })
                .collect();
            let mut alone = tensors.clone();
            for tensor in &mut alone {
                tensor.apply(&step).unwrap();
            }
            let mut list: Vec<_> = tensors.iter_mut().map(Owned::tensor::<R>).collect();
            step.apply_list(&mut list).unwrap();
            drop(list);
            assert!(tensors.iter().zip(&alone).all(|(a, b)| a.same_bits(b)), "{rule:?}");
            step.apply_list(&mut []).unwrap();
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => { $(check::<gradstep::$rule>();)* };
    }
    gradstep::for_each_rule!(each);
}

/// The parts of `chunk` are a partition into whole blocks, as even as those allow.
#[test]
fn chunks_are_a_partition() {
    let around = (1..5).flat_map(|blocks| [blocks * 256 - 1, blocks * 256, blocks * 256 + 1]);
    for n in (0..20).chain(around).chain([5000, 1 << 20, usize::MAX - 1, usize::MAX]) {
        for chunks in [1, 2, 3, 4, 7, 16, 1000] {
            let parts: Vec<_> = (0..chunks).map(|index| chunk(n, chunks, index).unwrap()).collect();
            assert_eq!(parts[0].start, 0);
            assert_eq!(parts[chunks - 1].end, n);
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(parts.iter().all(|part| part.start % 256 == 0 || part.start == n));
            let lens = parts.iter().map(LenOrMore::len_or_more);
            let (min, max) = (lens.clone().min().unwrap(), lens.max().unwrap());
            assert!(max - min <= 256, "{n} in {chunks}: {min} to {max}");
        }
    }
    // As many chunks as there can be: nothing overflows.
    assert_eq!(chunk(usize::MAX, usize::MAX, 0).unwrap().start, 0);
    assert_eq!(chunk(usize::MAX, usize::MAX, usize::MAX - 1).unwrap().end, usize::MAX);
}

/// A range's length, also where a range is longer than an iterator's `len` may be.
trait LenOrMore {
    fn len_or_more(&self) -> usize;
}

impl LenOrMore for std::ops::Range<usize> {
    fn len_or_more(&self) -> usize {
        self.end - self.start
    }
}

/// What is asked for and does nothing changes no bit, of anything.
#[test]
fn what_does_nothing_changes_no_bit() {
    let _exclusive = exclusive();
    fn check<R: Subject>() {
        let mut rng = Rng(6);
        let n = 200;
        for rule in R::variants() {
            let before = Owned {
                param: (0..n).map(|_| rng.wild()).collect(),
                grad: (0..n).map(|_| rng.wild()).collect(),
                state: random_state(&rule, n, &mut rng),
            };
            let step = rule.at(2).unwrap();
            let mut plain = before.clone();
            plain.apply(&step).unwrap();
            for same in [
                step.scale_grad(1.0),
                step.clamp_grad(f64::INFINITY),
                step.clamp_grad(1e300), // infinite as an f32
                step.scale_grad(1.0).and_then(|step| step.clamp_grad(f64::INFINITY)),
                step.scale_grad(3.0).and_then(|step| step.scale_grad(1.0 / 3.0)),
                step.scale_grad(-1.0).and_then(|step| step.scale_grad(-1.0)),
            ] {
                let mut ours = before.clone();
                ours.apply(&same.unwrap()).unwrap();
                assert!(ours.same_bits(&plain), "{rule:?}");
            }
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => { $(check::<gradstep::$rule>();)* };
    }
    for backend in backends() {
        use_backend(backend);
        gradstep::for_each_rule!(each);
    }
    use_backend(backends().last().unwrap());
}

/// Without weight decay the parameter does not reach the state, be it infinite or NaN.
#[test]
fn no_weight_decay_is_none() {
    let _exclusive = exclusive();
    fn check<R: Subject>(has_decay: impl Fn(&R) -> bool) {
        let mut rng = Rng(7);
        let n = 100;
        for rule in R::variants().filter(|rule| !has_decay(rule)) {
            let mut ours = Owned {
                param: (0..n).map(|_| rng.wild()).collect(),
                grad: (0..n).map(|_| rng.number()).collect(),
                state: random_state(&rule, n, &mut rng),
            };
            let mut other = ours.clone();
            other.param.fill(1.0);
            ours.apply(&rule.at(2).unwrap()).unwrap();
            other.apply(&rule.at(2).unwrap()).unwrap();
            for (a, b) in ours.state.iter().flatten().zip(other.state.iter().flatten()) {
                assert!(same_bits(a, b), "{rule:?}");
            }
        }
    }
    macro_rules! each {
        ($($rule:ident),*) => {
            $(check::<gradstep::$rule>(|rule| rule.weight_decay != 0.0);)*
        };
    }
    gradstep::for_each_rule!(each);
}

/// Without weight decay AdamW is Adam.
#[test]
fn adamw_without_decay_is_adam() {
    let mut rng = Rng(8);
    let n = 100;
    for adam in Adam::variants().filter(|adam| adam.weight_decay == 0.0) {
        let Adam { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize } = adam;
        let adamw = AdamW { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_placement, maximize };
        let mut ours = Owned {
            param: (0..n).map(|_| rng.wild()).collect(),
            grad: (0..n).map(|_| rng.wild()).collect(),
            state: random_state(&adam, n, &mut rng),
        };
        let mut other = ours.clone();
        ours.apply(&adam.at(5).unwrap()).unwrap();
        other.apply(&adamw.at(5).unwrap()).unwrap();
        assert!(ours.same_bits(&other), "{adam:?}");
    }
}

/// A step is small, and free to go to any thread, where there are some.
#[cfg(not(target_family = "wasm"))]
#[test]
fn steps_are_sent_to_threads() {
    fn is_free<T: Send + Sync + Copy + 'static>() {}
    macro_rules! each {
        ($($rule:ident),*) => {
            $(
                is_free::<Step<gradstep::$rule>>();
                assert!(size_of::<Step<gradstep::$rule>>() <= 128);
            )*
        };
    }
    gradstep::for_each_rule!(each);

    let step = Adam::default().at(1).unwrap();
    let n = 10_000;
    let mut rng = Rng(9);
    let mut tensor = Owned {
        param: (0..n).map(|_| rng.number()).collect(),
        grad: (0..n).map(|_| rng.number()).collect(),
        state: random_state(&Adam::default(), n, &mut rng),
    };
    let mut whole = tensor.clone();
    whole.apply(&step).unwrap();
    let Owned { param, grad, state: [Some(m), Some(v), None] } = &mut tensor else { panic!() };
    std::thread::scope(|scope| {
        let (mut param, mut grad) = (&mut param[..], &grad[..]);
        let (mut m, mut v) = (&mut m[..], &mut v[..]);
        for index in 0..3 {
            let len = chunk(n, 3, index).unwrap().len();
            let param = param.split_off_mut(..len).unwrap();
            let grad = grad.split_off(..len).unwrap();
            let exp_avg = m.split_off_mut(..len).unwrap();
            let exp_avg_sq = v.split_off_mut(..len).unwrap();
            let state = gradstep::AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq: None };
            scope.spawn(move || step.apply(param, grad, state).unwrap());
        }
    });
    assert!(tensor.same_bits(&whole));
}
