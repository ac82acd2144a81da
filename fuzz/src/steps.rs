//! A step, or the start of a state.

use arbitrary::{Result, Unstructured};
use gradstep::capi::gradstep_options;

use crate::draw::{self, Places};
use crate::model::{self, Expected, Tensor};
use crate::{Arena, Seen, Subject, on_every_backend};

/// As many elements as fit in the arena for each buffer.
const MOST: usize = 320;

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
    let is_step = u.int_in_range(0..=3)? != 3;
    let mut places = Places::new(arena);
    let (hyper, needs) = hyper::<R>(u, &mut places, arena)?;
    let options = options(u, &mut places, arena)?;
    let t = draw::t(u)?;
    let tensor = tensor(u, &mut places, needs, MOST)?;

    let called_with = is_step.then_some(options);
    let settled = u64::MAX; // an init knows no step, and takes a late one
    let at = if is_step { t } else { settled };
    let Some(mut call) = model::prepare::<R>(arena, hyper, called_with, at) else {
        return Ok(());
    };
    if let Some(needs) = call.needs {
        let buffers = model::buffers::<R>(&tensor, needs, is_step);
        call.wrong.extend(model::wrong_buffers(&buffers, tensor.n));
        if call.wrong.is_nothing() && !model::in_arena(&buffers, tensor.n, arena) {
            return Ok(());
        }
    }
    let before = arena.save();
    let mut expected = Expected::unchanged(arena);
    if let (Some((rule, step)), Some(needs), true) =
        (&call.step, call.needs, call.wrong.is_nothing())
        && tensor.n > 0
    {
        if is_step {
            expected.step(arena, step, &tensor, needs);
        } else {
            expected.init(arena, rule, &tensor, needs);
        }
    }
    on_every_backend(seen, |seen| {
        arena.restore(&before);
        // SAFETY: what is read is in the arena; so are the buffers, or the call must be refused.
        let status = unsafe {
            if is_step {
                R::c_step(seen, hyper, options, t, tensor)
            } else {
                R::c_init(seen, hyper, tensor)
            }
        };
        call.wrong.accept(status, seen);
        expected.compare(arena, R::name());
    });
    Ok(())
}

/// Hyperparameters in the arena, and the buffers that they need.
pub(crate) fn hyper<R: Subject>(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
) -> Result<(*const R::Hyper, [bool; 3])> {
    let values = R::draw(u)?;
    let pointer = places.pointer(u, size_of::<R::Hyper>(), align_of::<R::Hyper>())?;
    arena.write(pointer, values);
    Ok((pointer.cast(), R::needs(&values)))
}

/// Options in the arena, or null.
pub(crate) fn options(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    arena: &Arena,
) -> Result<*const gradstep_options> {
    if u.int_in_range(0..=1)? == 0 {
        return Ok(std::ptr::null());
    }
    let mut size = size_of::<gradstep_options>();
    if u.int_in_range(0..=15)? == 15 {
        size = if u.arbitrary()? { draw::huge(u)? } else { u.int_in_range(0..=64)? };
    }
    let values = gradstep_options {
        size,
        grad_scale: draw::real(u, &[1.0, 0.5, -3.0, 0.0])?,
        grad_clamp: draw::real(u, &[f64::INFINITY, 1.0, 0.0, 1e300])?,
    };
    if size == size_of::<gradstep_options>() {
        let pointer = places.pointer(u, size, align_of::<gradstep_options>())?;
        arena.write(pointer, values);
        Ok(pointer.cast())
    } else {
        // Only the size has to be there, for instance at the end of the memory.
        let pointer = places.pointer(u, size_of::<usize>(), align_of::<gradstep_options>())?;
        arena.write(pointer, size);
        Ok(pointer.cast())
    }
}

/// A tensor with the buffers that are needed, or nearly.
pub(crate) fn tensor(
    u: &mut Unstructured<'_>,
    places: &mut Places<'_>,
    needs: [bool; 3],
    most: usize,
) -> Result<Tensor> {
    let n = draw::length(u, most)?;
    let bytes = n.saturating_mul(size_of::<f32>());
    let mut pointer = |u: &mut Unstructured<'_>| -> Result<*mut f32> {
        if u.int_in_range(0..=31)? == 31 {
            places.step_back(4 * u.int_in_range(1..=n.clamp(1, 100))?);
        }
        Ok(places.pointer(u, bytes, align_of::<f32>())?.cast())
    };
    let (param, grad) = (pointer(u)?, pointer(u)?.cast_const());
    let mut state = [std::ptr::null_mut(); 3];
    for (buffer, needed) in state.iter_mut().zip(needs) {
        if needed != (u.int_in_range(0..=31)? == 31) {
            *buffer = pointer(u)?;
        }
    }
    Ok(Tensor { n, param, grad, state })
}
