//! The gradient's norm and the loss scale.

use arbitrary::{Result, Unstructured};
use gradstep::capi::*;
use gradstep::{Backend, LossScale, Norm};

use crate::draw::{self, Places};
use crate::model::{self, Expected, Wrong};
use crate::{Arena, Seen, on_every_backend};

const SIZE: usize = size_of::<gradstep_norm>();

/// A call of one of the functions.
pub(crate) fn any(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    match u.int_in_range(0..=8)? {
        0 => init(u, places, arena, seen),
        1 | 2 => add(u, places, arena, seen),
        3 => merge(u, places, arena, seen),
        4 => values(u, places, arena, seen),
        5 => clip(u, places, arena, seen),
        6 => default(u, places, arena, seen),
        7 => advance(u, places, arena, seen),
        _ => update(u, places, arena, seen),
    }
}

/// A place for a norm: any words, or an empty one, or one with a few numbers in it.
fn norm(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
) -> Result<*mut gradstep_norm> {
    let place = places.pointer(u, SIZE, align_of::<gradstep_norm>())?;
    let mut norm = Norm::new();
    match u.int_in_range(0..=7)? {
        0 => return Ok(place.cast()),
        1..=3 => {}
        _ => {
            for _ in 0..u.int_in_range(1..=3)? {
                norm.add(&[f32::from_bits(u.arbitrary()?), 3.0]);
            }
        }
    }
    arena.write(place, norm);
    Ok(place.cast())
}

/// The norm that is there, and is a `gradstep_norm`, too.
fn read(arena: &Arena, norm: *const gradstep_norm) -> Option<Norm> {
    // SAFETY: made of numbers.
    unsafe { arena.read(norm.cast::<Norm>()) }
}

fn bytes(norm: &Norm) -> [u8; SIZE] {
    // SAFETY: numbers, as large as that.
    unsafe { std::mem::transmute(*norm) }
}

fn init(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let norm = norm(u, places, arena)?;
    let wrong = model::usable(norm, "norm");
    if wrong.is_nothing() && arena.range(norm, SIZE).is_none() {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_norm_init(norm) };
    seen.note("gradstep_norm_init", status);
    wrong.accept(status, seen);
    if wrong.is_nothing() {
        expected.put(arena, norm, &[0; SIZE]);
    }
    expected.compare(arena, "norm_init");
    Ok(())
}

fn add(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let norm = norm(u, places, arena)?;
    if u.int_in_range(0..=15)? == 15 {
        places.step_back(size_of::<f32>());
    }
    let n = draw::length(u, 700)?;
    let bytes_of_grad = n.saturating_mul(size_of::<f32>());
    let grad: *const f32 =
        places.pointer(u, bytes_of_grad.min(Arena::SIZE), align_of::<f32>())?.cast();

    let mut wrong = model::usable(norm, "norm");
    if n > 0 {
        wrong.extend(model::usable(grad, "grad"));
        let of_grad = model::addresses(grad, n);
        wrong.unless(of_grad.is_some(), GRADSTEP_ERROR_TOO_LONG, "n");
        let of_norm = norm.addr()..norm.addr().saturating_add(SIZE);
        if of_grad.is_some_and(|of_grad| model::overlap(&of_grad, &of_norm)) {
            wrong.add(GRADSTEP_ERROR_OVERLAP, "grad");
        }
    }
    let there =
        arena.range(norm, SIZE).is_some() && (n == 0 || arena.range(grad, bytes_of_grad).is_some());
    if wrong.is_nothing() && !there {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    if wrong.is_nothing() {
        Backend::Scalar.force().unwrap();
        let mut sum = read(arena, norm).expect("in the arena");
        let at = |index: usize| {
            // SAFETY: a number.
            unsafe { arena.read(grad.wrapping_add(index)) }.expect("in the arena")
        };
        let numbers: Vec<f32> = (0..n).map(at).collect();
        if n > 0 {
            sum.add(&numbers);
        }
        expected.put(arena, norm, &bytes(&sum));
    }
    let before = arena.save();
    on_every_backend(seen, |seen| {
        arena.restore(&before);
        // SAFETY: in the arena, or refused.
        let status = unsafe { gradstep_norm_add(norm, n, grad) };
        seen.note("gradstep_norm_add", status);
        wrong.accept(status, seen);
        expected.compare(arena, "norm_add");
    });
    Ok(())
}

fn merge(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let other = norm(u, places, arena)?;
    if u.int_in_range(0..=15)? == 15 {
        places.step_back(align_of::<gradstep_norm>());
    }
    let norm = norm(u, places, arena)?;
    let mut wrong = model::usable(norm, "norm");
    wrong.extend(model::usable(other, "other"));
    let [a, b] = [norm, other].map(|norm| norm.addr()..norm.addr().saturating_add(SIZE));
    if model::overlap(&a, &b) {
        wrong.add(GRADSTEP_ERROR_OVERLAP, "other");
    }
    let sums = read(arena, norm).zip(read(arena, other));
    if wrong.is_nothing() && sums.is_none() {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    if let (Some((mut sum, more)), true) = (sums, wrong.is_nothing()) {
        sum.merge(&more);
        expected.put(arena, norm, &bytes(&sum));
    }
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_norm_merge(norm, other) };
    seen.note("gradstep_norm_merge", status);
    wrong.accept(status, seen);
    expected.compare(arena, "norm_merge");
    Ok(())
}

/// The functions that read a norm and write one number.
fn values(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    type Call = unsafe extern "C" fn(*const gradstep_norm, *mut f64) -> i32;
    type Row = (&'static str, Call, fn(&Norm) -> f64);
    const CALLS: [Row; 2] = [
        ("gradstep_norm_sum_of_squares", gradstep_norm_sum_of_squares, Norm::sum_of_squares),
        ("gradstep_norm_value", gradstep_norm_value, Norm::norm),
    ];
    let norm = norm(u, places, arena)?;
    let which = u.int_in_range(0..=2)?;
    let to = places.pointer(u, size_of::<f64>(), align_of::<f64>())?;
    let mut wrong = model::usable(norm, "norm");
    let size = if which < CALLS.len() {
        wrong.extend(model::usable(to.cast::<f64>(), "value"));
        size_of::<f64>()
    } else {
        wrong.extend(model::usable(to.cast::<i32>(), "finite"));
        size_of::<i32>()
    };
    let read = read(arena, norm);
    if wrong.is_nothing() && (read.is_none() || arena.range(to, size).is_none()) {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    let read = read.filter(|_| wrong.is_nothing());
    let (name, status) = if let Some((name, call, value)) = CALLS.get(which) {
        if let Some(norm) = read {
            expected.put(arena, to, &value(&norm).to_ne_bytes());
        }
        // SAFETY: in the arena, or refused.
        (*name, unsafe { call(norm, to.cast()) })
    } else {
        if let Some(norm) = read {
            expected.put(arena, to, &i32::from(norm.is_finite()).to_ne_bytes());
        }
        // SAFETY: in the arena, or refused.
        ("gradstep_norm_is_finite", unsafe { gradstep_norm_is_finite(norm, to.cast()) })
    };
    seen.note(name, status);
    wrong.accept(status, seen);
    expected.compare(arena, name);
    Ok(())
}

/// A pointer to a number, or null, which stands for the last one; and what is wrong with the pointer.
type Number = (*const f64, Wrong, f64);

/// The number, once all have been written, perhaps over each other. `None` if the pointer points
/// elsewhere than to the arena.
fn value(arena: &Arena, (pointer, _, of_null): &Number) -> Option<f64> {
    // SAFETY: a number.
    if pointer.is_null() { Some(*of_null) } else { unsafe { arena.read(*pointer) } }
}

fn number(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    (name, usual, of_null): (&str, &[f64], f64),
) -> Result<Number> {
    let pointer = match u.int_in_range(0..=3)? {
        0 => std::ptr::null(),
        _ => {
            let place = places.pointer(u, size_of::<f64>(), align_of::<f64>())?;
            let value = draw::real(u, usual)?;
            arena.write(place, value);
            place.cast::<f64>().cast_const()
        }
    };
    let wrong = if pointer.is_null() { Wrong::default() } else { model::usable(pointer, name) };
    Ok((pointer, wrong, of_null))
}

const MAX_NORM: (&str, &[f64], f64) = ("max_norm", &[1.0, 0.0, 0.5, f64::INFINITY], f64::INFINITY);
const LOSS_SCALE: (&str, &[f64], f64) = ("loss_scale", &[65536.0, 1.0, 1024.0, 0.1], 1.0);

/// What is wrong with a number in the arena, if that is where it is.
fn wrong_number(
    (_, wrong, _): &Number,
    value: Option<f64>,
    holds: impl Fn(f64) -> bool,
    error: i32,
    name: &str,
) -> Wrong {
    let mut wrong = wrong.clone();
    if let (Some(value), true) = (value, wrong.is_nothing()) {
        wrong.unless(holds(value), error, name);
    }
    wrong
}

fn is_bound(x: f64) -> bool {
    x >= 0.0
}

/// Whether a number is normal as a float, and above 0.
fn is_normal(x: f64) -> bool {
    x >= f64::from(f32::MIN_POSITIVE) && (x as f32).is_finite()
}

fn clip(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let norm = norm(u, places, arena)?;
    let max_norm = number(u, places, arena, MAX_NORM)?;
    let loss_scale = number(u, places, arena, LOSS_SCALE)?;
    let factor: *mut f64 = places.pointer(u, size_of::<f64>(), align_of::<f64>())?.cast();

    let values = (read(arena, norm), value(arena, &max_norm), value(arena, &loss_scale));
    let mut wrong = model::usable(norm, "norm");
    let norm_is_there = wrong.is_nothing();
    wrong.extend(model::usable(factor, "factor"));
    let (not_a_bound, not_normal) = (GRADSTEP_ERROR_NOT_A_BOUND, GRADSTEP_ERROR_NOT_NORMAL);
    wrong.extend(wrong_number(&max_norm, values.1, is_bound, not_a_bound, "max_norm"));
    wrong.extend(wrong_number(&loss_scale, values.2, is_normal, not_normal, "loss_scale"));
    if let (Some(read), true) = (values.0, norm_is_there) {
        wrong.unless(read.is_finite(), GRADSTEP_ERROR_GRAD_NOT_FINITE, "norm");
    }
    let numbers = [max_norm.0, loss_scale.0, factor];
    if !vouched(arena, norm) || !numbers.iter().all(|&number| vouched(arena, number)) {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    if let ((Some(norm), Some(max), Some(scale)), true) = (values, wrong.is_nothing()) {
        expected.put(arena, factor, &norm.clip(max, scale).unwrap().to_ne_bytes());
    }
    // SAFETY: in the arena, or refused before it is read.
    let status = unsafe { gradstep_norm_clip(norm, max_norm.0, loss_scale.0, factor) };
    seen.note("gradstep_norm_clip", status);
    wrong.accept(status, seen);
    expected.compare(arena, "norm_clip");
    Ok(())
}

/// Whether a caller may vouch for a pointer: it is in the arena, or refused by itself. (Then it does not
/// matter what else is wrong, and in which order that is found.)
fn vouched<T>(arena: &Arena, pointer: *const T) -> bool {
    pointer.is_null() || !pointer.is_aligned() || arena.range(pointer, size_of::<T>()).is_some()
}

const SCALE_SIZE: usize = size_of::<gradstep_loss_scale>();

/// A place for a loss scale, mostly a good one.
fn loss_scale(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
) -> Result<*mut gradstep_loss_scale> {
    let place = places.pointer(u, SCALE_SIZE, align_of::<gradstep_loss_scale>())?;
    let scale = gradstep_loss_scale {
        scale: draw::real(u, &[65536.0, 1.0, 2e38, 1e-37])?,
        growth_factor: draw::real(u, &[2.0, 1.5, 1e10])?,
        backoff_factor: draw::real(u, &[0.5, 0.3, 1e-10])?,
        growth_interval: *u.choose(&[2000, 1, 2, 2000, 1, 2, 0, u64::MAX])?,
        growth_tracker: *u.choose(&[0, 1, 1999, u64::MAX])?,
    };
    arena.write(place, scale);
    Ok(place.cast())
}

/// What is wrong with the fields.
fn wrong_fields(scale: &gradstep_loss_scale) -> Wrong {
    let mut wrong = Wrong::default();
    wrong.unless(is_normal(scale.scale), GRADSTEP_ERROR_NOT_NORMAL, "scale");
    let above = scale.growth_factor > 1.0 && scale.growth_factor < f64::INFINITY;
    wrong.unless(above, GRADSTEP_ERROR_NOT_ABOVE_ONE, "growth_factor");
    let between = scale.backoff_factor > 0.0 && scale.backoff_factor < 1.0;
    wrong.unless(between, GRADSTEP_ERROR_NOT_BETWEEN_ZERO_AND_ONE, "backoff_factor");
    wrong.unless(scale.growth_interval > 0, GRADSTEP_ERROR_ZERO, "growth_interval");
    wrong
}

/// The scale, as the Rust API moves it.
fn moved(scale: &gradstep_loss_scale, finite: bool) -> gradstep_loss_scale {
    let mut rust = LossScale::from(*scale);
    assert_eq!(rust.update(finite), Ok(finite));
    assert!(is_normal(rust.scale));
    rust.into()
}

fn bytes_of_scale(scale: &gradstep_loss_scale) -> Vec<u8> {
    let floats = [scale.scale, scale.growth_factor, scale.backoff_factor].map(f64::to_bits);
    let words = floats.into_iter().chain([scale.growth_interval, scale.growth_tracker]);
    words.flat_map(u64::to_ne_bytes).collect()
}

fn default(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let scale = loss_scale(u, places, arena)?;
    let wrong = model::usable(scale, "loss_scale");
    if wrong.is_nothing() && arena.range(scale, SCALE_SIZE).is_none() {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_loss_scale_default(scale) };
    seen.note("gradstep_loss_scale_default", status);
    wrong.accept(status, seen);
    if wrong.is_nothing() {
        let defaults = gradstep_loss_scale {
            scale: 65536.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
            growth_tracker: 0,
        };
        expected.put(arena, scale, &bytes_of_scale(&defaults));
    }
    expected.compare(arena, "loss_scale_default");
    Ok(())
}

fn update(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let scale = loss_scale(u, places, arena)?;
    let finite = draw::integer(u, &[0, 1])?;
    let mut wrong = model::usable(scale, "loss_scale");
    wrong.unless([0, 1].contains(&finite), GRADSTEP_ERROR_UNKNOWN, "finite");
    // SAFETY: numbers.
    let fields = unsafe { arena.read(scale) };
    if let (Some(fields), true) = (fields, model::usable(scale, "loss_scale").is_nothing()) {
        wrong.extend(wrong_fields(&fields));
    }
    if !vouched(arena, scale) {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    if let (Some(fields), true) = (fields, wrong.is_nothing()) {
        expected.put(arena, scale, &bytes_of_scale(&moved(&fields, finite == 1)));
    }
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_loss_scale_update(scale, finite) };
    seen.note("gradstep_loss_scale_update", status);
    wrong.accept(status, seen);
    expected.compare(arena, "loss_scale_update");
    Ok(())
}

fn advance(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let scale = loss_scale(u, places, arena)?;
    let norm = norm(u, places, arena)?;
    let max_norm = number(u, places, arena, MAX_NORM)?;
    let factor: *mut f64 = places.pointer(u, size_of::<f64>(), align_of::<f64>())?.cast();
    let take: *mut i32 = places.pointer(u, size_of::<i32>(), align_of::<i32>())?.cast();

    // SAFETY: numbers.
    let fields = unsafe { arena.read(scale) };
    let values = (fields, read(arena, norm), value(arena, &max_norm));
    let written = [
        arena.range(scale, SCALE_SIZE),
        arena.range(factor, size_of::<f64>()),
        arena.range(take, size_of::<i32>()),
    ];
    let mut wrong = model::usable(scale, "loss_scale");
    if let (Some(fields), true) = (fields, wrong.is_nothing()) {
        wrong.extend(wrong_fields(&fields));
    }
    wrong.extend(model::usable(norm, "norm"));
    wrong.extend(model::usable(factor, "factor"));
    wrong.extend(model::usable(take, "take"));
    let not_a_bound = GRADSTEP_ERROR_NOT_A_BOUND;
    wrong.extend(wrong_number(&max_norm, values.2, is_bound, not_a_bound, "max_norm"));
    let all_vouched = vouched(arena, scale)
        && vouched(arena, norm)
        && vouched(arena, max_norm.0)
        && vouched(arena, factor)
        && vouched(arena, take);
    let [a, b, c] = written.map(Option::unwrap_or_default);
    let apart = ![(&a, &b), (&a, &c), (&b, &c)].iter().any(|(a, b)| model::overlap(a, b));
    if !all_vouched || !apart {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    if let ((Some(fields), Some(norm), Some(max)), true) = (values, wrong.is_nothing()) {
        let finite = norm.is_finite();
        let given = if finite { norm.clip(max, fields.scale).unwrap() } else { 0.0 };
        expected.put(arena, scale, &bytes_of_scale(&moved(&fields, finite)));
        expected.put(arena, factor, &given.to_ne_bytes());
        expected.put(arena, take, &i32::from(finite).to_ne_bytes());
    }
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_loss_scale_advance(scale, norm, max_norm.0, factor, take) };
    seen.note("gradstep_loss_scale_advance", status);
    wrong.accept(status, seen);
    expected.compare(arena, "loss_scale_advance");
    Ok(())
}
