//! Cutting a slice for threads.

use core::ops::Range;

use crate::error::{Argument, Error, ErrorKind};

/// Chunks begin at multiples of this many elements: a cache line of 64 bytes, and a whole number
/// of registers of every instruction set.
const LINE: usize = 16;

/// The elements of chunk `index` when `n` elements are cut into `chunks` parts.
///
/// The parts follow each other, differ in length by no more than a cache line, and begin at
/// multiples of 16 elements, so that two threads never write to the same 64-byte line of a slice
/// whose first element is at the start of one. With fewer lines than chunks some parts are empty.
///
/// A step on each part, in any order and on any thread, gives the same bits as a step on the whole:
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
    let lines = n.div_ceil(LINE);
    let (each, more) = (lines / chunks, lines % chunks);
    // The last parts get the lines that are left over, so that the one line that may not be full
    // is in one of them.
    let begin = |index: usize| {
        let lines = each * index + index.saturating_sub(chunks - more);
        lines.saturating_mul(LINE).min(n)
    };
    Ok(begin(index)..begin(index + 1))
}
