//! Everything but steps: defaults, presets, options, statuses, backends, chunks, norms, loss scales.

use std::ffi::CStr;

use arbitrary::{Result, Unstructured};
use gradstep::capi::*;
use gradstep::{Argument, Backend, ErrorKind, Preset};

use crate::draw::{self, Places};
use crate::model::{self, Expected, Wrong};
use crate::{Arena, Seen, Subject, norm, texts};

pub(crate) fn any(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let arena = &Arena::draw(u)?;
    let mut places = Places::new(arena);
    for _ in 0..u.int_in_range(1..=4)? {
        match u.int_in_range(0..=8)? {
            0 => preset(u, &mut places, arena, seen)?,
            1 => chunk(u, &mut places, arena, seen)?,
            2 => options_default(u, &mut places, arena, seen)?,
            3 => backend(u, seen)?,
            4 => status(u, seen)?,
            5..8 => norm::any(u, &mut places, arena, seen)?,
            _ => version(seen),
        }
    }
    Ok(())
}

fn preset(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    macro_rules! choose {
        ($($rule:ident),*) => {{
            type Case = fn(
                &mut Unstructured<'_>, &mut Places<'_>, &Arena, &mut Seen
            ) -> Result<()>;
            const CASES: &[Case] = &[$(preset_of::<gradstep::$rule>),*];
            u.choose(CASES)?(u, places, arena, seen)
        }};
    }
    gradstep::for_each_rule!(choose)
}

fn preset_of<R: Subject>(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let size = size_of::<R::Hyper>();
    let hyper: *mut R::Hyper = places.pointer(u, size, align_of::<R::Hyper>())?.cast();
    let number = if u.int_in_range(0..=2)? == 0 {
        None
    } else {
        Some(draw::integer(u, &[0, 1, 2, 3, 4, 5])?)
    };

    let mut wrong = model::usable(hyper, "hyper");
    let preset = match number {
        None => Some(Preset::Torch),
        Some(number) => Preset::ALL.iter().copied().find(|&preset| preset as i32 == number),
    };
    wrong.unless(preset.is_some(), GRADSTEP_ERROR_UNKNOWN, "preset");
    let rule = preset.map(R::preset);
    wrong.unless(!matches!(rule, Some(Err(_))), GRADSTEP_ERROR_UNAVAILABLE, "preset");
    let range = arena.range(hyper, size);
    if wrong.is_nothing() && range.is_none() {
        return Ok(());
    }
    let before = arena.save();
    // SAFETY: in the arena, or refused.
    let status = unsafe {
        match number {
            None => R::c_default(seen, hyper),
            Some(number) => R::c_preset(seen, hyper, number),
        }
    };
    wrong.accept(status, seen);
    let after = arena.bytes();
    if let (Some(Ok(rule)), Some(range), true) = (rule, range, wrong.is_nothing()) {
        assert!(after[..range.start] == before[..range.start]);
        assert!(after[range.end..] == before[range.end..]);
        // SAFETY: numbers.
        let hyper = unsafe { arena.read(hyper) }.expect("in the arena");
        assert_eq!(R::bits(&hyper), rule.bits_of());
        assert!(R::wrong(&hyper).is_nothing());
    } else {
        assert!(after == before, "a refused preset has written");
    }
    Ok(())
}

fn chunk(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let n = if u.int_in_range(0..=3)? == 3 { draw::huge(u)? } else { u.int_in_range(0..=5000)? };
    let chunks = match u.int_in_range(0..=7)? {
        6 => draw::huge(u)?,
        7 => 0,
        _ => u.int_in_range(1..=70)?,
    };
    let index = match u.int_in_range(0..=7)? {
        6 => draw::huge(u)?,
        7 => chunks.wrapping_add(u.int_in_range(0..=2)?).wrapping_sub(1),
        _ => u.int_in_range(0..=chunks.saturating_sub(1))?,
    };
    let begin: *mut usize = places.pointer(u, size_of::<usize>(), align_of::<usize>())?.cast();
    if u.int_in_range(0..=15)? == 15 {
        places.step_back(size_of::<usize>());
    }
    let end: *mut usize = places.pointer(u, size_of::<usize>(), align_of::<usize>())?.cast();

    let mut wrong = Wrong::default();
    wrong.extend(model::usable(begin, "begin"));
    wrong.extend(model::usable(end, "end"));
    wrong.unless(chunks > 0, GRADSTEP_ERROR_ZERO, "chunks");
    wrong.unless(chunks == 0 || index < chunks, GRADSTEP_ERROR_OUT_OF_RANGE, "index");
    let there = [begin, end].map(|pointer| arena.range(pointer, size_of::<usize>()));
    if wrong.is_nothing() && there.contains(&None) {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_chunk(n, chunks, index, begin, end) };
    seen.note("gradstep_chunk", status);
    wrong.accept(status, seen);
    if wrong.is_nothing() {
        let bounds = bounds(n, chunks, index);
        if begin == end {
            // Which of the two stays is not told.
            // SAFETY: a number.
            let found = unsafe { arena.read(begin) }.expect("in the arena");
            assert!(found == bounds.0 || found == bounds.1);
            expected.put(arena, begin, &found.to_ne_bytes());
        } else {
            expected.put(arena, begin, &bounds.0.to_ne_bytes());
            expected.put(arena, end, &bounds.1.to_ne_bytes());
        }
    }
    expected.compare(arena, "chunk");
    Ok(())
}

/// Where a chunk begins and ends: whole blocks of 256 elements, dealt out evenly, the last chunks
/// getting those that are left over.
fn bounds(n: usize, chunks: usize, index: usize) -> (usize, usize) {
    let [n, chunks, index] = [n, chunks, index].map(|number| number as u128);
    let blocks = n.div_ceil(256);
    let begin = |index: u128| {
        let short = chunks - blocks % chunks;
        let blocks = blocks / chunks * index + index.saturating_sub(short);
        (blocks * 256).min(n) as usize
    };
    let (begin, end) = (begin(index), begin(index + 1));
    assert!(begin <= end && (begin % 256 == 0 || begin as u128 == n));
    assert!((end - begin) as u128 <= (n / chunks / 256 + 1) * 256);
    (begin, end)
}

fn options_default(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
    seen: &mut Seen,
) -> Result<()> {
    let right = size_of::<gradstep_options>();
    let size = match u.int_in_range(0..=3)? {
        2 => u.int_in_range(0..=64)?,
        3 => draw::huge(u)?,
        _ => right,
    };
    let options: *mut gradstep_options =
        places.pointer(u, right, align_of::<gradstep_options>())?.cast();
    let mut wrong = model::usable(options, "options");
    wrong.unless(size == right, GRADSTEP_ERROR_WRONG_SIZE, "size");
    if wrong.is_nothing() && arena.range(options, right).is_none() {
        return Ok(());
    }
    let mut expected = Expected::unchanged(arena);
    // SAFETY: in the arena, or refused.
    let status = unsafe { gradstep_options_default(options, size) };
    seen.note("gradstep_options_default", status);
    wrong.accept(status, seen);
    if wrong.is_nothing() {
        let mut bytes = right.to_ne_bytes().to_vec();
        bytes.extend(1.0_f64.to_ne_bytes());
        bytes.extend(f64::INFINITY.to_ne_bytes());
        expected.put(arena, options, &bytes);
    }
    expected.compare(arena, "options_default");
    Ok(())
}

fn backend(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let number = draw::integer(u, &[1, 2, 3, 4, 5, 0])?;
    let before = backend_name(seen);
    let backend = Backend::ALL.iter().copied().find(|&backend| backend as i32 == number);
    let mut wrong = Wrong::default();
    match backend {
        None => wrong.add(GRADSTEP_ERROR_UNKNOWN, "backend"),
        Some(backend) => {
            wrong.unless(backend.is_available(), GRADSTEP_ERROR_UNAVAILABLE, "backend");
        }
    }
    let status = gradstep_backend_force(number);
    seen.note("gradstep_backend_force", status);
    wrong.accept(status, seen);
    let after = backend_name(seen);
    assert_eq!(after, Backend::current().name());
    match backend {
        Some(backend) if wrong.is_nothing() => assert_eq!(after, backend.name()),
        _ => assert_eq!(after, before),
    }
    Ok(())
}

fn backend_name(seen: &mut Seen) -> &'static str {
    let name = gradstep_backend_name();
    seen.note("gradstep_backend_name", GRADSTEP_OK);
    assert!(!name.is_null());
    // SAFETY: a constant text, says the header.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap()
}

/// A status, mostly one that a call may return.
fn status(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let number: i32 = match u.int_in_range(0..=3)? {
        0 => u.arbitrary()?,
        1 => 0,
        _ => {
            u.int_in_range(0..=26)?
                | u.int_in_range(0..=60)? << 8
                | i32::from(u.arbitrary::<i16>()?) << 16
        }
    };
    let (message, argument, tensor) = texts(number, seen);
    let kind = ErrorKind::ALL.iter().find(|&&kind| kind as i32 == number & 0xff);
    let named = Argument::ALL.iter().find(|&&argument| argument as i32 == number >> 8 & 0xff);
    if number == GRADSTEP_OK {
        assert_eq!((message, argument, tensor), ("success", "", -1));
        return Ok(());
    }
    assert_eq!(message, kind.map_or("is not a status of this library", |kind| kind.message()));
    assert_eq!(argument, named.map_or("status", |argument| argument.name()));
    assert_eq!(tensor, if number < 0 { -1 } else { number / 65536 - 1 });
    Ok(())
}

fn version(seen: &mut Seen) {
    let version = gradstep_version();
    seen.note("gradstep_version", GRADSTEP_OK);
    let [major, minor, patch] =
        [GRADSTEP_VERSION_MAJOR, GRADSTEP_VERSION_MINOR, GRADSTEP_VERSION_PATCH];
    assert_eq!(version, major << 16 | minor << 8 | patch);
}
