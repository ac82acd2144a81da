//! A step on a list of tensors.

use arbitrary::{Result, Unstructured};
use gradstep::capi::*;

use crate::draw::{self, Places};
use crate::model::{self, Expected, Tensor, Wrong};
use crate::steps::{hyper, options, tensor};
use crate::{Arena, Seen, Subject, on_every_backend};

/// As many elements as fit in the arena for each buffer of four tensors.
const MOST: usize = 70;

pub(crate) fn any(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    macro_rules! choose {
        ($($rule:ident),*) => {{
            type Case = fn(&mut Unstructured<'_>, &mut Seen) -> Result<()>;
            const CASES: &[Case] = &[$(case::<gradstep::$rule>),*];
            u.choose(CASES)?(u, seen)
        }};
    }
    gradstep::for_each_rule!(choose)
}

fn case<R: Subject>(u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
    let arena = &Arena::draw(u)?;
    let mut places = Places::new(arena);
    let (hyper, needs) = hyper::<R>(u, &mut places, arena)?;
    let options = options(u, &mut places, arena)?;
    let t = draw::t(u)?;
    let count = match u.int_in_range(0..=15)? {
        15 => draw::huge(u)?,
        at => at % 5,
    };
    let bytes = count.saturating_mul(size_of::<R::Item>());
    let list: *mut R::Item = places.pointer(u, bytes, align_of::<R::Item>())?.cast();
    let mut first = places;
    for index in 0..count.min(4) {
        // Tensors may share memory with each other.
        if u.int_in_range(0..=15)? == 15 {
            first.step_back(u.int_in_range(0..=1000)?);
        }
        let tensor = tensor(u, &mut first, needs, MOST)?;
        arena.write(list.wrapping_add(index).cast(), R::to_item(tensor));
    }

    let Some(mut call) = model::prepare::<R>(arena, hyper, Some(options), t) else {
        return Ok(());
    };
    let mut tensors = Vec::new();
    if count > 0 {
        let mut wrong = model::usable(list, "tensors");
        let addresses = model::addresses(list, count);
        wrong.unless(addresses.is_some(), GRADSTEP_ERROR_TOO_LONG, "count");
        if let (Some(addresses), Some(needs), true) = (addresses, call.needs, wrong.is_nothing()) {
            if arena.range(list, bytes).is_none() {
                return Ok(()); // only the caller can know
            }
            for index in 0..count {
                // SAFETY: numbers and pointers.
                let item = unsafe { arena.read(list.wrapping_add(index)) }.expect("a list");
                tensors.push(R::from_item(item));
            }
            wrong = wrong_tensors::<R>(&tensors, needs, &addresses);
            if call.wrong.is_nothing() && wrong.is_nothing() {
                let is_there = |tensor: &Tensor| {
                    let buffers = model::buffers::<R>(tensor, needs, true);
                    model::in_arena(&buffers, tensor.n, arena)
                };
                if !tensors.iter().all(is_there) {
                    return Ok(());
                }
            }
        }
        // Without hyperparameters nothing is known of the list.
        if call.needs.is_some() {
            call.wrong.extend(wrong);
        }
    }
    let before = arena.save();
    let mut expected = Expected::unchanged(arena);
    if let (Some((_, step)), Some(needs), true) = (&call.step, call.needs, call.wrong.is_nothing())
    {
        for tensor in &tensors {
            expected.step(arena, step, tensor, needs);
        }
    }
    on_every_backend(seen, |seen| {
        arena.restore(&before);
        // SAFETY: what is read is in the arena; so are the buffers, or the call must be refused.
        let status = unsafe { R::c_step_list(seen, hyper, options, t, count, list) };
        call.wrong.accept(status, seen);
        expected.compare(arena, R::name());
    });
    Ok(())
}

/// What is wrong with the first tensor that has something wrong.
fn wrong_tensors<R: Subject>(
    tensors: &[Tensor],
    needs: [bool; 3],
    list: &std::ops::Range<usize>,
) -> Wrong {
    for (index, tensor) in tensors.iter().enumerate() {
        let buffers = model::buffers::<R>(tensor, needs, true);
        let mut wrong = model::wrong_buffers(&buffers, tensor.n);
        let written = model::written(&buffers, tensor.n);
        let on_list = written.iter().any(|written| model::overlap(written, list));
        wrong.unless(!on_list, GRADSTEP_ERROR_OVERLAP, "tensors");
        if !wrong.is_nothing() {
            return wrong.of_tensor(index);
        }
    }
    Wrong::default()
}
