//! The fused step: that it is the plain step with what comes after it, to the last bit; on every
//! instruction set, for every length, cut into any chunks; and that its roundings are what they say.

mod common;

use gradstep::{
    Adam, AdamState, Argument, Backend, Epilogue, Error, ErrorKind, FusedStep, FusedTensor,
    Gradient, Norm, Rounding, Rule, Sgd, SgdState, ValuesMut,
};
use half::{bf16, f16};

use common::{
    Format, FusedOwned, Rng, Store, Subject, backends, exclusive, random_state, same, same_bits,
    some_variants, use_backend,
};

fn on_every_backend(mut test: impl FnMut(Backend)) {
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        test(backend);
    }
}

/// The number of a code, from the definition of the format.
fn eight_bits(code: u32, exponent: u8, is_square: bool) -> f64 {
    let top = f64::from(exponent.max(32)) - 127.0;
    let (sign, magnitude, exponents) = if is_square {
        (1.0, code, 31)
    } else {
        (if code & 0x80 == 0 { 1.0 } else { -1.0 }, code & 0x7f, 15)
    };
    let (field, fraction) = (magnitude >> 3, f64::from(magnitude & 7) / 8.0);
    let least = top - f64::from(exponents);
    if is_square {
        let number = (1.0 + fraction) * (least + f64::from(field)).exp2();
        return if code == 0 { 0.0 } else { number };
    }
    sign * match field {
        0 => fraction * (least + 1.0).exp2(),
        _ => (1.0 + fraction) * (least + f64::from(field)).exp2(),
    }
}

/// Codes and exponent of a block, by search.
fn search(numbers: &[f32], is_square: bool) -> ([u32; 16], u8) {
    let largest = numbers.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max);
    let exponent = ((largest.to_bits() + 0xf_ffff) >> 23) as u8;
    let codes = if is_square { 256 } else { 128 };
    let table: Vec<f64> = (0..codes).map(|code| eight_bits(code, exponent, is_square)).collect();
    let mut words = [0; 16];
    for (index, &x) in numbers.iter().enumerate() {
        let magnitude = f64::from(x.abs());
        let above = table.partition_point(|&number| number <= magnitude).min(table.len() - 1);
        let below = above.saturating_sub(1);
        // Of two equally near numbers the larger one.
        let nearer = table[above] - magnitude <= magnitude - table[below];
        let mut code = if nearer && magnitude > 0.0 { above } else { below } as u32;
        if table[table.len() - 1] <= magnitude {
            code = table.len() as u32 - 1;
        }
        if is_square && magnitude > 0.0 {
            code = code.max(1);
        }
        if !is_square && x.is_sign_negative() {
            code |= 0x80;
        }
        words[index % 16] |= code << (8 * (index / 16));
    }
    (words, exponent)
}

/// A store with these numbers, rounded without the crate under test.
fn rounded(like: &Store, numbers: &[f32]) -> Store {
    let blocks = |is_square| {
        let blocks = numbers.chunks(64).map(|block| search(block, is_square));
        let (codes, exponents): (Vec<_>, Vec<_>) = blocks.unzip();
        (codes.concat(), exponents)
    };
    match like {
        Store::F32(_) => Store::F32(numbers.to_vec()),
        Store::Bf16(_) => {
            Store::Bf16(numbers.iter().map(|&x| bf16::from_f32(x).to_bits()).collect())
        }
        Store::F16(_) => Store::F16(numbers.iter().map(|&x| f16::from_f32(x).to_bits()).collect()),
        Store::E4m3(..) => Store::E4m3(blocks(false).0, blocks(false).1),
        Store::E5m3(..) => Store::E5m3(blocks(true).0, blocks(true).1),
    }
}

/// The numbers of a store, read without the crate under test.
fn numbers(store: &Store, n: usize) -> Vec<f32> {
    let blocks = |codes: &[u32], exponents: &[u8], is_square| {
        let number = |index: usize| {
            let (block, within) = (index / 64, index % 64);
            let code = codes[block * 16 + within % 16] >> (8 * (within / 16)) & 0xff;
            eight_bits(code, exponents[block], is_square) as f32
        };
        (0..n).map(number).collect()
    };
    match store {
        Store::F32(numbers) => numbers.clone(),
        Store::Bf16(codes) => codes.iter().map(|&code| bf16::from_bits(code).to_f32()).collect(),
        Store::F16(codes) => codes.iter().map(|&code| f16::from_bits(code).to_f32()).collect(),
        Store::E4m3(codes, exponents) => blocks(codes, exponents, false),
        Store::E5m3(codes, exponents) => blocks(codes, exponents, true),
    }
}

/// One operation after the other, with roundings of this file.
fn one_by_one<R: Subject>(rule: &R, t: u64, epilogue: Epilogue, before: &FusedOwned) -> FusedOwned {
    let mut after = before.clone();
    let n = before.n;
    let mut param = numbers(&before.param, n);
    let grad = numbers(&before.grad, n);
    let mut state = before.state.each_ref().map(|buffer| buffer.as_ref().map(|b| numbers(b, n)));
    let buffers = state.each_mut().map(|buffer| buffer.as_deref_mut());
    rule.at(t).unwrap().apply(&mut param, &grad, R::bind(buffers)).unwrap();
    for x in &mut param {
        let (min, max) = (epilogue.param_min as f32, epilogue.param_max as f32);
        *x = if *x > max {
            max
        } else if *x < min {
            min
        } else {
            *x
        };
    }
    after.param = rounded(&before.param, &param);
    let param = numbers(&after.param, n);
    for (buffer, numbers) in after.state.iter_mut().zip(state) {
        *buffer = buffer.as_ref().map(|buffer| rounded(buffer, &numbers.unwrap()));
    }
    if let Some(ema) = &mut after.ema {
        let mut averages = numbers(ema, n);
        for (average, param) in averages.iter_mut().zip(&param) {
            *average += (param - *average) * (1.0 - epilogue.ema_decay) as f32;
        }
        *ema = rounded(ema, &averages);
    }
    if let Some(copy) = &mut after.copy {
        *copy = rounded(copy, &param);
    }
    if after.zero {
        after.grad = rounded(&before.grad, &vec![0.0; n]);
    }
    after
}

const LENGTHS: [usize; 13] = [0, 1, 5, 15, 16, 33, 63, 64, 65, 200, 256, 257, 700];

const EPILOGUE: Epilogue =
    Epilogue { ema_decay: 0.75, param_min: -30.0, param_max: 40.0, rounding: Rounding::Nearest };

const STOCHASTIC: Epilogue =
    Epilogue { rounding: Rounding::Stochastic { seed: 0xfeed_beef_cafe }, ..EPILOGUE };

fn unclamped(epilogue: Epilogue) -> Epilogue {
    Epilogue { param_min: f64::NEG_INFINITY, param_max: f64::INFINITY, ..epilogue }
}

/// Some variants of a rule, each with another length.
fn cases<R: Subject>() -> impl Iterator<Item = (R, usize)> {
    some_variants::<R>().step_by(3).zip(LENGTHS.into_iter().cycle())
}

fn fused<R: Rule>(rule: &R, t: u64, epilogue: Epilogue) -> FusedStep<R> {
    rule.at(t).unwrap().fuse(epilogue).unwrap()
}

#[test]
fn it_is_one_operation_after_the_other() {
    fn test<R: Subject>() {
        let mut rng = Rng(5);
        for (rule, n) in cases::<R>() {
            let before = FusedOwned::random(&rule, n, &mut rng);
            let epilogue = if rng.below(2) == 0 { EPILOGUE } else { unclamped(EPILOGUE) };
            let expected = one_by_one(&rule, 3, epilogue, &before);
            let mut after = before.clone();
            fused(&rule, 3, epilogue).apply(after.tensor()).unwrap();
            after.assert_same(&expected, &format!("{rule:?}, {n} elements"));
        }
    }
    macro_rules! all {
        ($($rule:ident),*) => { $(test::<gradstep::$rule>();)* };
    }
    on_every_backend(|_| {
        gradstep::for_each_rule!(all);
    });
}

/// Also the random bits are the same on every backend, and however a tensor is cut.
#[test]
fn every_backend_and_every_chunking() {
    fn test<R: Subject>(backend: Backend) {
        let mut rng = Rng(6);
        for (rule, n) in cases::<R>() {
            let before = FusedOwned::random(&rule, n, &mut rng);
            let mut step = rule.at(2).unwrap();
            if rng.below(2) == 0 {
                step = step.scale_grad(0.3).unwrap().clamp_grad(0.5).unwrap();
            }
            let epilogue = if rng.below(2) == 0 { STOCHASTIC } else { unclamped(STOCHASTIC) };
            let step = step.fuse(epilogue).unwrap();
            use_backend(Backend::Scalar);
            let mut expected = before.clone();
            step.apply(expected.tensor()).unwrap();
            use_backend(backend);
            let mut whole = before.clone();
            step.apply(whole.tensor()).unwrap();
            whole.assert_same(&expected, &format!("{rule:?}, {n} elements, {backend:?}"));
            let mut parts = before.clone();
            let mut begin = 0;
            while begin < n {
                let end = (begin + 256 * (1 + rng.below(2))).min(n);
                step.apply(parts.part(begin..end)).unwrap();
                begin = end;
            }
            parts.assert_same(&expected, "in parts");
        }
    }
    on_every_backend(|backend| {
        macro_rules! all {
            ($($rule:ident),*) => { $(test::<gradstep::$rule>(backend);)* };
        }
        gradstep::for_each_rule!(all);
    });
}

/// The norm of a gradient in another format is that of its numbers.
#[test]
fn norms_of_other_formats() {
    let mut rng = Rng(13);
    for n in [0, 1, 255, 256, 700] {
        let draws: Vec<f32> = (0..n).map(|_| rng.number()).collect();
        for format in Format::WIDE {
            let store = Store::of(format, false, &draws);
            let (mut expected, mut norm) = (Norm::new(), Norm::new());
            expected.add(&numbers(&store, n));
            norm.add_values(store.values()).unwrap();
            assert_eq!(norm, expected, "{format:?}, {n}");
        }
    }
    let mut norm = Norm::new();
    let error = norm.add_values(Store::zeros(Format::Eight, true, 64).values()).unwrap_err();
    assert_eq!((error.argument(), error.kind()), (Argument::Grad, ErrorKind::Format));
    assert_eq!(norm, Norm::new());
}

/// On threads, too: with rayon there is no bit of difference.
#[cfg(feature = "rayon")]
#[test]
fn threads_change_no_bit() {
    fn test<R: Subject>() {
        let mut rng = Rng(12);
        for (rule, n) in some_variants::<R>().step_by(40).zip([1, 32_769, 100_000, 200_001]) {
            let step = fused(&rule, 2, STOCHASTIC);
            let (before, other) =
                (FusedOwned::random(&rule, n, &mut rng), FusedOwned::random(&rule, 1000, &mut rng));
            let (mut expected, mut expected_other) = (before.clone(), other.clone());
            step.apply(expected.tensor()).unwrap();
            step.apply(expected_other.tensor()).unwrap();
            let mut after = before.clone();
            step.par_apply(after.tensor()).unwrap();
            after.assert_same(&expected, "by one call");
            let (mut after, mut after_other) = (before, other);
            step.par_apply_list(&mut [after.tensor(), after_other.tensor()]).unwrap();
            after.assert_same(&expected, "in a list");
            after_other.assert_same(&expected_other, "in a list");
        }
    }
    let _exclusive = exclusive();
    macro_rules! all {
        ($($rule:ident),*) => { $(test::<gradstep::$rule>();)* };
    }
    gradstep::for_each_rule!(all);
}

/// Slices of the crate `half`'s types are values.
#[cfg(feature = "half")]
#[test]
fn halves_are_values() {
    let mut param = [bf16::from_f32(1.0), bf16::from_f32(2.0)];
    let grad = [f16::from_f32(1.0), f16::from_f32(-1.0)];
    let tensor = FusedTensor {
        param: param.as_mut_slice().into(),
        grad: Gradient::Keep(grad.as_slice().into()),
        state: SgdState { momentum_buffer: None },
        ema: None,
        copy: None,
        offset: 0,
    };
    fused(&Sgd { lr: 0.5, ..Sgd::default() }, 1, EPILOGUE).apply(tensor).unwrap();
    assert_eq!(param.map(bf16::to_f32), [0.5, 2.5]);
}

/// With nothing but binary32 and no epilogue it is the plain step.
#[test]
fn the_plain_step_is_one_of_them() {
    fn test<R: Subject>() {
        let mut rng = Rng(7);
        for (rule, n) in cases::<R>() {
            let mut state = random_state(&rule, n, &mut rng);
            let mut param: Vec<f32> = (0..n).map(|_| rng.wild()).collect();
            let grad: Vec<f32> = (0..n).map(|_| rng.wild()).collect();
            let (mut param2, mut state2) = (param.clone(), state.clone());
            let buffers = state.each_mut().map(|buffer| buffer.as_deref_mut());
            rule.at(4).unwrap().apply(&mut param, &grad, R::bind(buffers)).unwrap();
            let buffers =
                state2.each_mut().map(|buffer| buffer.as_deref_mut().map(ValuesMut::from));
            let tensor = FusedTensor {
                param: param2.as_mut_slice().into(),
                grad: Gradient::Keep(grad.as_slice().into()),
                state: R::bind(buffers),
                ema: None,
                copy: None,
                offset: 0,
            };
            fused(&rule, 4, Epilogue::default()).apply(tensor).unwrap();
            assert!(same_bits(&param, &param2));
            for (a, b) in state.iter().flatten().zip(state2.iter().flatten()) {
                assert!(same_bits(a, b));
            }
        }
    }
    let _exclusive = exclusive();
    macro_rules! all {
        ($($rule:ident),*) => { $(test::<gradstep::$rule>();)* };
    }
    gradstep::for_each_rule!(all);
}

/// Plain descent with a gradient of 0 leaves parameters as they are: in 16 bits, too, whatever the
/// rounding.
#[test]
fn what_does_not_change_keeps_its_code() {
    let mut rng = Rng(8);
    for format in [Format::Bf16, Format::F16] {
        let numbers: Vec<f32> = (0..1000).map(|_| rng.number()).collect();
        let mut param = Store::of(format, false, &numbers);
        let before = param.clone();
        let zeros = vec![0.0; 1000];
        for t in 1..20 {
            let tensor = FusedTensor {
                param: param.values_mut(),
                grad: Gradient::Keep(zeros.as_slice().into()),
                state: SgdState { momentum_buffer: None },
                ema: None,
                copy: None,
                offset: 0,
            };
            let epilogue = Epilogue { rounding: STOCHASTIC.rounding, ..Epilogue::default() };
            fused(&Sgd::default(), t, epilogue).apply(tensor).unwrap();
        }
        for (x, y) in param.read(1000).iter().zip(before.read(1000)) {
            assert!(same(*x, y), "{format:?}: {y} became {x}");
        }
    }
}

/// Steps far below half the spacing of the format: to the nearest nothing moves, and at random the mean
/// of many parameters moves as far as it should.
#[test]
fn stochastic_rounding_moves_by_the_right_amount() {
    const N: usize = 1 << 14;
    const STEPS: u64 = 200;
    let grad = vec![1.0; N];
    for (format, start, lr) in [(Format::Bf16, 1.0, 1e-5), (Format::F16, 1.0, 1e-6)] {
        for (rounding, moves) in [(Rounding::Nearest, 0.0), (STOCHASTIC.rounding, 1.0)] {
            let mut param = Store::of(format, false, &vec![start; N]);
            let sgd = Sgd { lr, ..Sgd::default() };
            for t in 1..=STEPS {
                let tensor = FusedTensor {
                    param: param.values_mut(),
                    grad: Gradient::Keep(grad.as_slice().into()),
                    state: SgdState { momentum_buffer: None },
                    ema: None,
                    copy: None,
                    offset: 0,
                };
                let epilogue = Epilogue { rounding, ..Epilogue::default() };
                fused(&sgd, t, epilogue).apply(tensor).unwrap();
            }
            let mean = param.read(N).iter().map(|&x| f64::from(x)).sum::<f64>() / N as f64;
            let moved = (f64::from(start) - mean) / (lr * STEPS as f64);
            assert!((moved - moves).abs() < 0.03, "{format:?} {rounding:?}: {moved}");
        }
    }
}

/// A slow average of 8 bits follows on average, and its noise is as small as the theory says: the
/// variance is half the spacing, relative to the number, times how far a new value is off.
#[test]
fn eight_bits_follow_a_slow_average() {
    const N: usize = 1 << 13;
    let mut rng = Rng(9);
    let mut v = Store::zeros(Format::Eight, true, N);
    let mut m = Store::zeros(Format::Eight, false, N);
    let mut param = vec![0.0; N];
    let adam = Adam { lr: 0.0, beta2: 0.99, ..Adam::default() };
    for t in 1..=2000 {
        // Squares of mean 1, spread as those of a normal distribution are.
        let grad: Vec<f32> =
            (0..N).map(|_| (0..12).map(|_| rng.unit()).sum::<f32>() - 6.0).collect();
        let tensor = FusedTensor {
            param: param.as_mut_slice().into(),
            grad: Gradient::Keep(grad.as_slice().into()),
            state: AdamState {
                exp_avg: m.values_mut(),
                exp_avg_sq: v.values_mut(),
                max_exp_avg_sq: None,
            },
            ema: None,
            copy: None,
            offset: 0,
        };
        fused(&adam, t, Epilogue { rounding: STOCHASTIC.rounding, ..Epilogue::default() })
            .apply(tensor)
            .unwrap();
    }
    let moments = |numbers: Vec<f32>| {
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / N as f64;
        let squares = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
        (mean, (squares / N as f64).sqrt())
    };
    let (mean, spread) = moments(v.read(N));
    // Without rounding: 1, and sqrt(2 * 0.01 / 1.99) = 0.1.
    assert!((mean - 1.0).abs() < 0.03, "{mean}");
    assert!(spread > 0.1 && spread < 0.35, "{spread}");
    let (mean, spread) = moments(m.read(N));
    // Without rounding: 0, and sqrt(0.1 / 1.9) = 0.23.
    assert!(mean.abs() < 0.02, "{mean}");
    assert!(spread > 0.2 && spread < 0.26, "{spread}");
}

/// Rounding is as near as it says, zeros stay, nothing above 0 becomes 0 in squares, and infinities and
/// NaNs leave the others alone.
#[test]
fn blocks_keep_what_they_promise() {
    on_every_backend(|_| {
        let mut rng = Rng(10);
        for round in 0..400 {
            let is_square = round % 2 == 0;
            let n = 1 + rng.below(200);
            let draw = |rng: &mut Rng| {
                let x = if round % 3 == 0 { rng.wild() } else { rng.number() };
                if is_square { (x * x).abs() } else { x }
            };
            let numbers: Vec<f32> = (0..n).map(|_| draw(&mut rng)).collect();
            let finite = numbers.iter().map(|&x| if x.is_finite() { x } else { 0.0 });
            let finite: Vec<f32> = finite.collect();
            let store = Store::of(Format::Eight, is_square, &numbers);
            let expected = self::numbers(&rounded(&store, &finite), n);
            let read = store.read(n);
            for (block, numbers) in numbers.chunks(64).enumerate() {
                let finite = &finite[block * 64..][..numbers.len()];
                let largest = finite.iter().map(|x| x.abs()).fold(0.0, f32::max);
                for (index, &x) in numbers.iter().enumerate().filter(|(_, x)| x.is_finite()) {
                    let (read, expected) = (read[block * 64 + index], expected[block * 64 + index]);
                    assert!(read == expected, "{x:e} is {read:e} and not {expected:e}");
                    assert!(x != 0.0 || read == 0.0);
                    assert!(!is_square || x == 0.0 || read > 0.0);
                    let range = if is_square { 0.5_f32.powi(30) } else { 0.5_f32.powi(14) };
                    if x.abs() > largest * range && (1e-25..3e38).contains(&largest) {
                        let off = (f64::from(read) / f64::from(x) - 1.0).abs();
                        assert!(off <= 1.0 / 16.0, "{x:e} is {read:e}, largest {largest:e}");
                    }
                }
            }
        }
    });
}

/// A first moment reaches as far below the largest of its block as the root of a second moment does, so
/// that a step is not made of a numerator that has been rounded up over a denominator that has been
/// cut off.
#[test]
fn both_moments_reach_as_far_down() {
    let smallest = |is_square, unit: f32| {
        let mut numbers = [0.0; 64];
        numbers[0] = 1.0;
        let mut smallest = 1.0;
        for halvings in 0..60 {
            numbers[1] = unit.powi(halvings);
            let read = Store::of(Format::Eight, is_square, &numbers).read(64)[1];
            if (read / numbers[1] - 1.0).abs() <= 1.0 / 16.0 {
                smallest = numbers[1];
            }
        }
        smallest
    };
    assert!(smallest(false, 0.5) <= smallest(true, 0.5).sqrt());
}

#[test]
fn bad_tensors_are_refused_and_nothing_is_written() {
    type Change = fn(&mut FusedOwned);
    let cases: [(&str, Argument, ErrorKind, Change); 12] = [
        ("param of 8 bits", Argument::Param, ErrorKind::Format, |owned| {
            owned.param = Store::zeros(Format::Eight, false, 100);
        }),
        ("a short gradient", Argument::Grad, ErrorKind::Length, |owned| {
            owned.grad = Store::zeros(Format::Bf16, false, 99);
        }),
        ("a long average", Argument::ExpAvg, ErrorKind::Length, |owned| {
            owned.state[0] = Some(Store::zeros(Format::F32, false, 101));
        }),
        ("one block too few", Argument::ExpAvg, ErrorKind::BlockCount, |owned| {
            owned.state[0] = Some(Store::zeros(Format::Eight, false, 64));
        }),
        ("one block too many", Argument::ExpAvgSq, ErrorKind::BlockCount, |owned| {
            owned.state[1] = Some(Store::zeros(Format::Eight, true, 129));
        }),
        ("an exponent too few", Argument::ExpAvgSq, ErrorKind::BlockCount, |owned| {
            owned.state[1] = Some(Store::E5m3(vec![0; 32], vec![0; 1]));
        }),
        ("codes without a sign", Argument::ExpAvg, ErrorKind::Format, |owned| {
            owned.state[0] = Some(Store::zeros(Format::Eight, true, 100));
        }),
        ("signed codes of squares", Argument::ExpAvgSq, ErrorKind::Format, |owned| {
            owned.state[1] = Some(Store::zeros(Format::Eight, false, 100));
        }),
        ("a short ema", Argument::Ema, ErrorKind::Length, |owned| {
            owned.ema = Some(Store::zeros(Format::F32, false, 1));
        }),
        ("a copy of 8 bits", Argument::Copy, ErrorKind::Format, |owned| {
            owned.copy = Some(Store::zeros(Format::Eight, false, 100));
        }),
        ("an offset within a span", Argument::Offset, ErrorKind::NotAMultiple, |owned| {
            owned.offset = 64;
        }),
        ("a missing maximum", Argument::MaxExpAvgSq, ErrorKind::Unused, |owned| {
            owned.state[2] = Some(Store::zeros(Format::F32, true, 100));
        }),
    ];
    let adam = Adam::default();
    let step = fused(&adam, 1, STOCHASTIC);
    let mut rng = Rng(11);
    for (what, argument, kind, change) in cases {
        let good = FusedOwned::random(&adam, 100, &mut rng);
        let mut bad = good.clone();
        change(&mut bad);
        let before = (good.clone(), bad.clone());
        let check = |error: Error, tensor| {
            assert_eq!((error.argument(), error.kind()), (argument, kind), "{what}: {error}");
            assert_eq!(error.tensor(), tensor, "{what}");
        };
        check(step.apply(bad.tensor()).unwrap_err(), None);
        let mut good = good;
        let error = step.apply_list(&mut [good.tensor(), bad.tensor()]).unwrap_err();
        check(error, Some(1));
        good.assert_same(&before.0, what);
        bad.assert_same(&before.1, what);
    }
}

#[test]
fn bad_epilogues_are_refused() {
    let step = Adam::default().at(1).unwrap();
    let nan = f64::NAN;
    for (epilogue, argument, kind) in [
        (Epilogue { ema_decay: 1.1, ..EPILOGUE }, Argument::EmaDecay, ErrorKind::NotAFraction),
        (Epilogue { ema_decay: nan, ..EPILOGUE }, Argument::EmaDecay, ErrorKind::NotAFraction),
        (Epilogue { param_max: -31.0, ..EPILOGUE }, Argument::ParamMax, ErrorKind::NotAnInterval),
        (Epilogue { param_max: nan, ..EPILOGUE }, Argument::ParamMax, ErrorKind::NotAnInterval),
        (Epilogue { param_min: nan, ..EPILOGUE }, Argument::ParamMax, ErrorKind::NotAnInterval),
    ] {
        let error = step.fuse(epilogue).unwrap_err();
        assert_eq!((error.argument(), error.kind()), (argument, kind), "{error}");
    }
}

#[test]
fn values_are_as_many_as_they_say() {
    for (format, is_square) in
        [(Format::F32, false), (Format::Bf16, false), (Format::F16, false), (Format::Eight, true)]
    {
        let mut store = Store::zeros(format, is_square, 130);
        let before = store.clone();
        let wrong = if format == Format::Eight { 200 } else { 131 };
        let error = store.values_mut().write(&vec![1.0; wrong]).unwrap_err();
        assert_eq!((error.argument(), error.kind()), (Argument::Values, ErrorKind::Length));
        assert!(store.same_bits(&before));
        let error = store.values().read(&mut vec![1.0; wrong]).unwrap_err();
        assert_eq!((error.argument(), error.kind()), (Argument::Values, ErrorKind::Length));
    }
}

/// Which NaN a processor makes is its own affair; in a format of fewer bits it must be the same everywhere.
#[test]
fn every_nan_has_the_same_code() {
    on_every_backend(|backend| {
        let cases = [
            (Format::Bf16, false),
            (Format::F16, false),
            (Format::Eight, false),
            (Format::Eight, true),
        ];
        for (format, is_square) in cases {
            let of = |nan: u32| {
                let mut numbers: Vec<f32> = (1..=70).map(|x| x as f32).collect();
                numbers[20] = f32::from_bits(nan);
                numbers[67] = f32::from_bits(nan);
                Store::of(format, is_square, &numbers)
            };
            let expected = of(0x7fc0_0000);
            for nan in [0xffc0_0000, 0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0xffff_ffff] {
                assert!(of(nan) == expected, "{nan:#x}, {format:?}, {backend:?}");
            }
        }
    });
}
