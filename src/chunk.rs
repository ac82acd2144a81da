//! Cutting a slice for threads.

use core::ops::Range;

use crate::error::{Argument, Error, ErrorKind};

/// Chunks begin at multiples of this many elements: the blocks of a [`Norm`](crate::Norm), of which
/// none may be cut. A block is 16 cache lines of 64 bytes, and a whole number of registers of every
/// instruction set.
pub(crate) const BLOCK: usize = 256;

/// The elements of chunk `index` when `n` elements are cut into `chunks` parts.
///
/// The parts follow each other, differ in length by no more than 256 elements, and begin at
/// multiples of 256 elements, so that two threads never write to the same 64-byte line of a slice
/// whose first element is at the start of one. With fewer such blocks than chunks some parts are
/// empty.
///
/// A step on each part, in any order and on any thread, gives the same bits as a step on the whole, and
/// so do the parts' [norms](crate::Norm), merged in any order:
///
/// ```
/// use gradstep::{Adam, AdamState, Rule, chunk};
///
/// let step = Adam::default().at(1)?;
/// let n = 1000;
/// let (mut p, g, mut m, mut v) = (vec![1.0; n], vec![0.5; n], vec![0.0; n], vec![0.0; n]);
/// let threads = 4;
///
/// std::thread::scope(|scope| {
///     let (mut p, mut g, mut m, mut v) = (&mut p[..], &g[..], &mut m[..], &mut v[..]);
///     for index in 0..threads {
///         let len = chunk(n, threads, index)?.len();
///         let param = p.split_off_mut(..len).unwrap();
///         let grad = g.split_off(..len).unwrap();
///         let state = AdamState {
///             exp_avg: m.split_off_mut(..len).unwrap(),
///             exp_avg_sq: v.split_off_mut(..len).unwrap(),
///             max_exp_avg_sq: None,
///         };
///         scope.spawn(move || step.apply(param, grad, state));
///     }
///     Ok::<(), gradstep::Error>(())
/// })?;
/// assert!(p.iter().all(|&p| p == 0.999));
/// # Ok::<(), gradstep::Error>(())
/// ```
///
/// # Errors
///
/// `chunks` is 0, or `index` is not below `chunks`.
pub fn chunk(n: usize, chunks: usize, index: usize) -> Result<Range<usize>, Error> {
    if chunks == 0 {
        return Err(Error::new(ErrorKind::Zero, Argument::Chunks));
    }
    if index >= chunks {
        return Err(Error::new(ErrorKind::OutOfRange, Argument::Index));
    }
    let blocks = share(n.div_ceil(BLOCK), chunks, index);
    let place = |block: usize| block.saturating_mul(BLOCK).min(n);
    Ok(place(blocks.start)..place(blocks.end))
}

/// Which of `units` are in chunk `index`, which is below `chunks`.
///
/// The last chunks get what is left over, so that a last unit that is not full is in one of them.
pub(crate) fn share(units: usize, chunks: usize, index: usize) -> Range<usize> {
    let each = units.checked_div(chunks).unwrap_or(0);
    let more = units - each * chunks;
    let begin = |index: usize| each * index + index.saturating_sub(chunks - more);
    begin(index)..begin(index + 1)
}
