//! The norm of a gradient: the same bits everywhere, however it is cut and in whichever order it
//! comes; how close to the exact one; what a NaN does. And the loss scale, next to PyTorch's rules.

mod common;

use gradstep::{Adam, AdamState, ErrorKind, LossScale, Norm, Rule, chunk};
use num_bigint::BigUint;

use common::{Rng, backends, every, exclusive, use_backend};

fn norm_of(grad: &[f32]) -> Norm {
    let mut norm = Norm::new();
    norm.add(grad);
    norm
}

/// Sums of squares as integers are in units of 2^-298, the square of the least float.
const UNIT: i32 = -298;

/// A number that is a multiple of the unit.
fn in_units(x: f64) -> BigUint {
    if x == 0.0 {
        return BigUint::ZERO;
    }
    let (mantissa, exponent) = parts(x);
    let shift = exponent - UNIT;
    if shift >= 0 {
        BigUint::from(mantissa) << shift
    } else {
        assert!(mantissa.trailing_zeros() as i32 >= -shift, "{x:e}");
        BigUint::from(mantissa >> -shift)
    }
}

/// `x` is the first times 2 to the second.
fn parts(x: f64) -> (u64, i32) {
    assert!(x >= 0.0 && x.is_finite(), "{x}");
    let (exponent, fraction) = (x.to_bits() >> 52, x.to_bits() & ((1 << 52) - 1));
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent as i32 - 1075) }
}

/// The number nearest to an integer of units, by division and comparison; of two, the even one.
fn rounded(units: &BigUint) -> f64 {
    let bits = units.bits();
    if bits <= 53 {
        let exact = u64::try_from(units).unwrap() as f64; // below 2^53
        return exact * 2.0_f64.powi(UNIT);
    }
    let cut = bits - 53;
    let mut mantissa = u64::try_from(units >> cut).unwrap();
    let rest = units - (BigUint::from(mantissa) << cut);
    let half = BigUint::from(1_u8) << (cut - 1);
    if rest > half || rest == half && mantissa % 2 == 1 {
        mantissa += 1;
    }
    mantissa as f64 * 2.0_f64.powi(cut as i32 + UNIT)
}

/// The definition, with nothing but a loop: blocks of 256, filled up with zeros, 32 lanes, a tree; and
/// the exact sum of the blocks.
fn by_definition(grad: &[f32]) -> BigUint {
    let mut sum = BigUint::ZERO;
    for block in grad.chunks(256) {
        let mut lanes = [0.0_f64; 32];
        for at in 0..256 {
            let x = f64::from(*block.get(at).unwrap_or(&0.0));
            lanes[at % 32] += x * x;
        }
        let mut width = 32;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
        }
        sum += in_units(lanes[0]);
    }
    sum
}

/// The exact sum of squares of what is added to it: of each exponent the mantissas' squares.
struct Exact([u128; 256]);

impl Exact {
    fn new() -> Self {
        Self([0; 256])
    }

    fn add(&mut self, grad: &[f32]) {
        for x in grad {
            let (exponent, fraction) = (x.to_bits() >> 23 & 0xff, x.to_bits() & 0x7f_ffff);
            let mantissa = u64::from(if exponent == 0 { fraction } else { fraction | 1 << 23 });
            self.0[exponent.max(1) as usize] += u128::from(mantissa * mantissa);
        }
    }

    /// In units.
    fn sum(&self) -> BigUint {
        let terms = self.0.iter().enumerate().skip(1);
        terms.map(|(exponent, &sum)| BigUint::from(sum) << (2 * (exponent - 1))).sum()
    }

    /// How far a sum is off, as a multiple of 2^-53 of the exact one.
    fn error(&self, sum: f64) -> f64 {
        let (exact, sum) = (self.sum(), in_units(sum));
        let difference = if exact > sum { &exact - sum } else { sum - &exact };
        // In 1/1024 of 2^-53.
        u64::try_from((difference << 63) / exact).unwrap() as f64 / 1024.0
    }
}

/// Every instruction set, length, and offset from a multiple of 64 bytes, on numbers of every
/// exponent, has the bits of the definition.
#[test]
fn as_defined() {
    let _exclusive = exclusive();
    let mut rng = Rng(1);
    let any = |rng: &mut Rng| loop {
        let x = f32::from_bits(rng.next() as u32);
        if x.is_finite() {
            return x;
        }
    };
    let mut compared = 0;
    for len in (0..=600).step_by(every()).chain([1000, 4096, 10_001]) {
        let usual: Vec<f32> = (0..len + 16).map(|_| rng.number()).collect();
        let wide: Vec<f32> = (0..len + 16).map(|_| any(&mut rng)).collect();
        for (numbers, offset) in
            [(&usual, 0), (&wide, 0), (&usual, 1 + rng.below(15)), (&wide, 1 + rng.below(15))]
        {
            let grad = &numbers[offset..offset + len];
            let expected = by_definition(grad);
            let mut norms = Vec::new();
            for backend in backends() {
                use_backend(backend);
                let norm = norm_of(grad);
                let sum = norm.sum_of_squares();
                assert_eq!(sum, rounded(&expected), "{len} on {}", backend.name());
                assert_eq!(norm.norm(), sum.sqrt(), "{len} on {}", backend.name());
                norms.push(norm);
                compared += 1;
            }
            assert!(norms.iter().all(|norm| *norm == norms[0]), "{len}");
        }
    }
    println!("{compared} combinations of instruction set, length, numbers and offset");
}

/// Cut at multiples of 256 in any way, added or merged in any order, by `chunk` and by threads.
#[test]
fn any_cut_and_any_order() {
    let _exclusive = exclusive();
    let mut rng = Rng(2);
    let backends: Vec<_> = backends().collect();
    for round in 0..400 {
        let n = rng.below(6000);
        let grad: Vec<f32> = (0..n)
            .map(|_| {
                loop {
                    let x = if round % 2 == 0 { rng.number() } else { rng.wild() };
                    if x.is_finite() {
                        break x;
                    }
                }
            })
            .collect();
        let whole = norm_of(&grad);

        let mut parts = Vec::new();
        let mut begin = 0;
        while begin < n {
            let end = (begin + 256 * (1 + rng.below(6))).min(n);
            parts.push(begin..end);
            begin = end;
        }
        for at in (1..parts.len()).rev() {
            parts.swap(at, rng.below(at + 1));
        }
        let mut all = Norm::new();
        let mut threads = [Norm::new(); 3];
        for part in &parts {
            use_backend(backends[rng.below(backends.len())]);
            all.add(&grad[part.clone()]);
            threads[rng.below(3)].add(&grad[part.clone()]);
        }
        assert_eq!(all, whole);
        let [mut a, b, mut c] = threads;
        c.merge(&b);
        a.merge(&c);
        assert_eq!(a, whole);

        let chunks = 1 + rng.below(9);
        let merged = std::thread::scope(|scope| {
            let grad = &grad;
            let part = move |i| norm_of(&grad[chunk(n, chunks, i).unwrap()]);
            let mut merged = Norm::new();
            if cfg!(target_family = "wasm") {
                // It has no threads: one part after the other.
                (0..chunks).for_each(|i| merged.merge(&part(i)));
                return merged;
            }
            let threads: Vec<_> = (0..chunks).map(|i| scope.spawn(move || part(i))).collect();
            for thread in threads {
                merged.merge(&thread.join().unwrap());
            }
            merged
        });
        assert_eq!(merged, whole);
    }
    // Cut elsewhere, it is another number, as documented.
    let grad: Vec<f32> = (0..512).map(|_| rng.number()).collect();
    let mut elsewhere = norm_of(&grad[..100]);
    elsewhere.add(&grad[100..]);
    assert_ne!(elsewhere, norm_of(&grad));
}

/// The largest error of the sum, in units of 2^-53 of it, of so many numbers.
fn largest_error(numbers: usize) -> f64 {
    const PIECE: usize = 1 << 18;
    let kinds: [fn(&mut Rng) -> f32; 5] = [
        |rng| rng.unit(),
        |rng| rng.number(),
        |rng| rng.sign() * (1.0 + rng.unit() * 1e-3),
        |_| 0.1,
        |rng| f32::from_bits(rng.next() as u32 & 0x7f7f_ffff),
    ];
    let mut largest = 0.0_f64;
    for (kind, draw) in kinds.into_iter().enumerate() {
        let mut rng = Rng(kind as u64);
        let (mut norm, mut exact) = (Norm::new(), Exact::new());
        let mut piece = vec![0.0; PIECE];
        for _ in 0..numbers.div_ceil(PIECE) {
            piece.fill_with(|| draw(&mut rng));
            norm.add(&piece);
            exact.add(&piece);
        }
        let error = exact.error(norm.sum_of_squares());
        println!("kind {kind}, {numbers} numbers: off by {error:.3} * 2^-53 of the sum");
        largest = largest.max(error);
    }
    largest
}

/// 13 roundings are the bound that is documented. Of many blocks they average out.
#[test]
fn accurate() {
    let _exclusive = exclusive();
    assert!(largest_error((1 << 20) / every()) < 2.0);
}

/// `cargo test --release --test norm -- --ignored --nocapture`
#[test]
#[ignore = "takes some seconds"]
fn accurate_for_100_million() {
    let _exclusive = exclusive();
    assert!(largest_error(100_000_000) < 2.0);
}

/// The bound holds for a single block, too, and what is exact in 53 bits is exact.
#[test]
fn small_sums() {
    let _exclusive = exclusive();
    let mut rng = Rng(3);
    let mut largest = 0.0_f64;
    for _ in 0..4000 {
        let grad: Vec<f32> = (0..1 + rng.below(600)).map(|_| rng.number()).collect();
        let mut exact = Exact::new();
        exact.add(&grad);
        if exact.sum() != BigUint::ZERO {
            largest = largest.max(exact.error(norm_of(&grad).sum_of_squares()));
        }
        let integers: Vec<f32> = grad.iter().map(|_| rng.below(4096) as f32).collect();
        let sum: u64 = integers.iter().map(|&x| x as u64 * x as u64).sum();
        assert_eq!(norm_of(&integers).sum_of_squares(), sum as f64);
    }
    println!("up to 600 numbers: off by at most {largest:.3} * 2^-53 of the sum");
    assert!(largest < 13.0);
}

/// No number is too small and none is too large, however many there are.
#[test]
fn the_ends_of_the_range() {
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        for x in [f32::from_bits(1), -1e-45, 1e-40, f32::MIN_POSITIVE, 1e-20, 1e19, 3e38, f32::MAX]
        {
            for n in [1_usize, 16, 256, 1024, 65_536] {
                // A power of two of them: every addition is exact.
                let grad = vec![x; n];
                let expected = f64::from(x) * f64::from(x) * n as f64;
                assert_eq!(norm_of(&grad).sum_of_squares(), expected, "{n} times {x:e}");
                assert_eq!(norm_of(&grad).norm(), expected.sqrt(), "{n} times {x:e}");
            }
        }
        // Very large and very small together: all of it is there.
        let mut norm = norm_of(&[f32::MAX]);
        let without = norm;
        norm.add(&[f32::from_bits(1)]);
        assert_ne!(norm, without);
        assert_eq!(norm.sum_of_squares(), without.sum_of_squares());
    }
    let mut norm = norm_of(&[f32::MAX; 256]);
    let mut doubled = 0;
    while norm.is_finite() {
        let before = norm.sum_of_squares();
        let copy = norm;
        norm.merge(&copy);
        if norm.is_finite() {
            assert_eq!(norm.sum_of_squares(), 2.0 * before);
            doubled += 1;
        }
    }
    // More elements than a 64-bit count has; beyond that it is not finite, rather than wrong.
    assert!(doubled >= 64, "{doubled}");
    assert!(norm.norm().is_nan());
    let zeros = norm_of(&[0.0, -0.0, 0.0]);
    assert_eq!(zeros, Norm::new());
    assert_eq!(zeros, Norm::default());
    assert_eq!(zeros.norm().to_bits(), 0.0_f64.to_bits());
}

/// The conversion to binary64 rounds to nearest, ties to even, wherever the number's bits are.
#[test]
fn rounded_once() {
    let _exclusive = exclusive();
    let mut rng = Rng(4);
    let mut ties = 0;
    for round in 0..20_000_u64 {
        // 53 leading bits at any place, and what decides behind them: less than a half, a half, or
        // more, with a last bit that is far away.
        let bits = 54 + rng.below(500) as u64;
        let mut units = BigUint::from(rng.next() >> 11 | 1 << 52) << (bits - 53);
        let below = bits - 53;
        let half = BigUint::from(1_u8) << (below - 1);
        match round % 5 {
            0 => {}
            1 => units += &half,
            2 => units += &half - 1_u8,
            3 if below > 1 => {
                units += &half + (BigUint::from(1_u8) << rng.below(below as usize - 1))
            }
            _ => units += BigUint::from(1_u8) << rng.below(below as usize),
        }
        ties += u64::from(round % 5 == 1);
        // Each bit is a square, or the sum of two.
        let mut norm = Norm::new();
        for bit in (0..units.bits()).filter(|&bit| units.bit(bit)) {
            let root = power_of_two(bit as i32 / 2 - 149);
            for _ in 0..=bit % 2 {
                norm.add(&[root]);
            }
        }
        assert_eq!(norm.sum_of_squares(), rounded(&units), "{units:x}");
    }
    assert!(ties > 1000);
}

/// A float, also a denormal one.
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(if exponent < -126 {
        1 << (exponent + 149)
    } else {
        ((exponent + 127) as u32) << 23
    })
}

/// A NaN or an infinity anywhere is seen, and stays.
#[test]
fn what_is_not_finite() {
    let _exclusive = exclusive();
    for backend in backends() {
        use_backend(backend);
        let signaling = f32::from_bits(0x7f80_0001);
        for bad in [f32::NAN, -f32::NAN, signaling, f32::INFINITY, f32::NEG_INFINITY] {
            for len in [1, 31, 32, 33, 255, 256, 257, 600] {
                for at in 0..len {
                    let mut grad = vec![f32::MAX; len];
                    grad[at] = bad;
                    let mut norm = norm_of(&grad);
                    assert!(!norm.is_finite(), "{bad} at {at} of {len} on {}", backend.name());
                    assert!(norm.sum_of_squares().is_nan() && norm.norm().is_nan());
                    assert_eq!(norm.clip(1.0, 1.0).unwrap_err().kind(), ErrorKind::GradNotFinite);
                    norm.add(&[1.0]);
                    assert!(!norm.is_finite());
                    let mut other = norm_of(&[2.0; 300]);
                    other.merge(&norm);
                    norm.merge(&norm_of(&[2.0; 300]));
                    assert_eq!(norm, other, "whatever else is in it");
                    assert!(!norm.is_finite());
                }
            }
        }
    }
}

/// `clip_grad_norm_`'s coefficient, and the loss scale.
#[test]
fn clipped() {
    let norm = norm_of(&[3.0, -4.0]);
    let infinite = f64::INFINITY;
    for (max_norm, loss_scale, expected) in [
        (1.0, 1.0, 1.0 / (5.0 + 1e-6)),
        (0.0, 1.0, 0.0),
        (5.0, 1.0, 5.0 / (5.0 + 1e-6)),
        (5.000_001, 1.0, 5.000_001 / (5.0 + 1e-6)),
        (5.000_002, 1.0, 1.0),
        (infinite, 1.0, 1.0),
        (1e300, 1.0, 1.0),
        (infinite, 1024.0, 1.0 / 1024.0),
        (1.0, 1024.0, 1.0 / 1024.0),
        (1e-3, 1024.0, 1e-3 / (5.0 / 1024.0 + 1e-6) / 1024.0),
        (infinite, f32::MIN_POSITIVE.into(), 2.0_f64.powi(126)),
        (infinite, 2.0_f64.powi(127), 2.0_f64.powi(-127)),
    ] {
        assert_eq!(norm.clip(max_norm, loss_scale).unwrap(), expected, "{max_norm} {loss_scale}");
    }
    assert_eq!(Norm::new().clip(1.0, 1.0).unwrap(), 1.0);
    assert_eq!(Norm::new().clip(1e-9, 1.0).unwrap(), 1e-9 / 1e-6, "as in PyTorch");

    // Whatever is accepted is accepted by a step as well.
    let mut largest = norm_of(&[f32::MAX; 256]);
    for _ in 0..64 {
        let copy = largest;
        largest.merge(&copy);
    }
    for norm in [Norm::new(), norm_of(&[1e-45]), norm, largest] {
        for max_norm in [0.0, 5e-324, 1.0, f64::MAX, infinite] {
            for loss_scale in [f64::from(f32::MIN_POSITIVE), 1.0, f64::from(f32::MAX)] {
                let factor = norm.clip(max_norm, loss_scale).unwrap();
                assert!(Adam::default().at(1).unwrap().scale_grad(factor).is_ok());
                assert!((0.0..=1.0 / loss_scale).contains(&factor));
            }
        }
    }
}

/// One step with the factor is the step on a gradient that was unscaled and clipped before.
#[test]
fn a_step_with_the_factor() {
    let grad: Vec<f32> = (0..1000).map(|i| (i % 7) as f32 - 3.0).collect();
    let scaled: Vec<f32> = grad.iter().map(|g| g * 256.0).collect();
    let norm = norm_of(&scaled);
    let factor = norm.clip(4.0, 256.0).unwrap();
    let apply = |factor: f64, grad: &[f32]| {
        let (mut param, mut m, mut v) = (vec![1.0; 1000], vec![0.0; 1000], vec![0.0; 1000]);
        let state = AdamState { exp_avg: &mut m[..], exp_avg_sq: &mut v, max_exp_avg_sq: None };
        let step = Adam::default().at(1).unwrap().scale_grad(factor).unwrap();
        step.apply(&mut param, grad, state).unwrap();
        (param, m, v)
    };
    // Powers of two change no bit of a product.
    assert_eq!(apply(factor, &scaled), apply(norm_of(&grad).clip(4.0, 1.0).unwrap(), &grad));
    let clipped: Vec<f32> = grad.iter().map(|g| g * (factor * 256.0) as f32).collect();
    assert_eq!(apply(factor, &scaled), apply(1.0, &clipped));
    assert!((norm_of(&clipped).norm() - 4.0).abs() < 1e-6);
}

/// What `torch.amp.GradScaler` does: its scale is a float, which grows when the number of steps in a row
/// reaches the interval, unless it would become infinite.
struct GradScaler {
    scale: f32,
    growth_factor: f64,
    backoff_factor: f64,
    growth_interval: u32,
    growth_tracker: u32,
}

impl GradScaler {
    fn update(&mut self, found_inf: bool) {
        if found_inf {
            self.scale = (f64::from(self.scale) * self.backoff_factor) as f32;
            self.growth_tracker = 0;
        } else if self.growth_tracker + 1 == self.growth_interval {
            let grown = (f64::from(self.scale) * self.growth_factor) as f32;
            if grown.is_finite() {
                self.scale = grown;
            }
            self.growth_tracker = 0;
        } else {
            self.growth_tracker += 1;
        }
    }
}

#[test]
fn the_loss_scale_is_pytorchs() {
    let defaults = LossScale::default();
    assert_eq!((defaults.scale, defaults.growth_factor), (65536.0, 2.0));
    assert_eq!((defaults.backoff_factor, defaults.growth_interval), (0.5, 2000));
    let good = norm_of(&[3.0, 4.0]);
    let bad = norm_of(&[f32::INFINITY]);
    let mut rng = Rng(5);
    let (mut grown, mut backed_off, mut ends) = (0, 0, 0);
    for (growth_factor, backoff_factor, growth_interval, rate) in [
        (2.0, 0.5, 2000, 3000),
        (2.0, 0.5, 1, 2),
        (1.7, 0.3, 3, 9),
        (1e10, 0.9, 2, 3),
        (3.0, 0.1, 5, 2),
    ] {
        let mut ours = LossScale {
            growth_factor,
            backoff_factor,
            growth_interval: growth_interval.into(),
            ..defaults
        };
        let scale = 65536.0;
        let mut theirs =
            GradScaler { scale, growth_factor, backoff_factor, growth_interval, growth_tracker: 0 };
        let mut other = ours;
        for _ in 0..20_000 {
            let finite = rng.below(rate) != 0;
            let before = ours;
            let norm = if finite { &good } else { &bad };
            let factor = ours.advance(norm, 1.0).unwrap();
            let expected = finite.then(|| good.clip(1.0, before.scale).unwrap());
            assert_eq!(factor, expected, "the factor is of the scale before");
            assert_eq!(other.update(finite).unwrap(), finite);
            assert_eq!(ours, other);
            theirs.update(!finite);
            if theirs.scale < f32::MIN_POSITIVE {
                // Where theirs is on its way to 0, ours stays.
                theirs.scale = before.scale as f32;
                ends += 1;
            }
            assert_eq!(ours.scale, f64::from(theirs.scale));
            assert_eq!(ours.growth_tracker, u64::from(theirs.growth_tracker));
            grown += usize::from(ours.scale > before.scale);
            backed_off += usize::from(ours.scale < before.scale);
        }
    }
    println!(
        "the scale grew {grown} times, backed off {backed_off} times, and stayed {ends} times"
    );
    assert!(grown > 1000 && backed_off > 1000 && ends > 100);
}

#[test]
fn the_ends_of_the_loss_scale() {
    let largest = 2.0_f64.powi(127);
    let mut scale = LossScale { scale: largest, growth_interval: 1, ..LossScale::default() };
    assert!(scale.update(true).unwrap());
    assert_eq!((scale.scale, scale.growth_tracker), (largest, 0));
    assert!(!scale.update(false).unwrap());
    assert_eq!(scale.scale, largest / 2.0);

    let smallest = f64::from(f32::MIN_POSITIVE);
    let mut scale = LossScale { scale: smallest * 2.0, ..LossScale::default() };
    for _ in 0..3 {
        assert!(!scale.update(false).unwrap());
        assert_eq!(scale.scale, smallest);
    }
    // A restored count that is past a smaller interval does not wait for ever.
    let mut scale = LossScale { growth_tracker: u64::MAX, ..LossScale::default() };
    assert!(scale.update(true).unwrap());
    assert_eq!((scale.scale, scale.growth_tracker), (131_072.0, 0));
}
