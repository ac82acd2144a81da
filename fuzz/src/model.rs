//! What a call should come to, found without looking at how the library does it: what is wrong with
//! it, from the words of the header; what it leaves in memory, from the Rust API, an element at a
//! time.

use std::collections::BTreeSet;
use std::ops::Range;

use gradstep::capi::*;
use gradstep::{Argument, Backend, Error, ErrorKind, Step};

use crate::{Arena, Seen, Subject, texts};

/// The pointers of one tensor.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    /// The number of elements.
    pub n: usize,
    /// The parameters.
    pub param: *mut f32,
    /// The gradient.
    pub grad: *const f32,
    /// The state, in the order of C's arguments.
    pub state: [*mut f32; 3],
}

/// All statuses that say something true of a call; none for a call that must succeed.
///
/// Which of several is told, the header leaves open, but for lists: of the first tensor.
#[derive(Clone, Debug, Default)]
pub struct Wrong(BTreeSet<i32>);

impl Wrong {
    /// Whether nothing is wrong.
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a status of that reason and argument.
    pub fn add(&mut self, error: i32, argument: &str) {
        let number = Argument::ALL.iter().find(|known| known.name() == argument);
        let number = *number.unwrap_or_else(|| panic!("no argument is named {argument}")) as i32;
        self.0.insert(number << 8 | error);
    }

    /// The same, if the condition does not hold.
    pub fn unless(&mut self, holds: bool, error: i32, argument: &str) {
        if !holds {
            self.add(error, argument);
        }
    }

    /// Adds all of another call's.
    pub fn extend(&mut self, other: Wrong) {
        self.0.extend(other.0);
    }

    /// The same, of the tensor with this index.
    pub fn of_tensor(self, index: usize) -> Self {
        Self(self.0.into_iter().map(|status| (index as i32 + 1) << 16 | status).collect())
    }

    /// Checks a status, and its texts.
    pub fn accept(&self, status: i32, seen: &mut Seen) {
        let (message, argument, tensor) = texts(status, seen);
        let said = format!("{status:#x}, tensor {tensor}: {argument:?} {message}");
        if self.is_nothing() {
            assert_eq!(status, GRADSTEP_OK, "refused, but nothing is wrong: {said}");
        } else {
            assert!(self.0.contains(&status), "said {said}; but true is {:#x?}", self.0);
            assert!(!message.is_empty() && !argument.is_empty());
            assert_eq!(tensor, (status >> 16) - 1);
        }
    }
}

/// A pointer that is read or written as a `T`.
pub fn usable<T>(pointer: *const T, name: &str) -> Wrong {
    let mut wrong = Wrong::default();
    if pointer.is_null() {
        wrong.add(GRADSTEP_ERROR_NULL, name);
    }
    wrong.unless(pointer.addr().is_multiple_of(align_of::<T>()), GRADSTEP_ERROR_MISALIGNED, name);
    wrong
}

/// The addresses of `n` values, if there are such: the last one is not the last of all.
pub fn addresses<T>(pointer: *const T, n: usize) -> Option<Range<usize>> {
    let bytes = n.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize)?;
    Some(pointer.addr()..pointer.addr().checked_add(bytes)?)
}

pub(crate) fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

/// A buffer of a call.
#[derive(Debug)]
pub struct Buffer {
    name: &'static str,
    pointer: *const f32,
    written: bool,
    /// May be null, where it is not needed.
    optional: bool,
    needed: bool,
}

/// The buffers of an init, and for a step the parameters and the gradient as well.
pub fn buffers<R: Subject>(tensor: &Tensor, needs: [bool; 3], is_step: bool) -> Vec<Buffer> {
    let plain =
        |name, pointer, written| Buffer { name, pointer, written, optional: false, needed: true };
    let mut buffers = Vec::new();
    if is_step {
        buffers.push(plain("param", tensor.param.cast_const(), true));
        buffers.push(plain("grad", tensor.grad, false));
    }
    for ((&(name, optional), pointer), needed) in R::BUFFERS.iter().zip(tensor.state).zip(needs) {
        buffers.push(Buffer { optional, needed, ..plain(name, pointer.cast_const(), true) });
    }
    buffers
}

/// What is wrong with buffers of `n` elements each.
pub fn wrong_buffers(buffers: &[Buffer], n: usize) -> Wrong {
    let mut wrong = Wrong::default();
    if n == 0 {
        return wrong;
    }
    for buffer in buffers {
        if !buffer.needed {
            wrong.unless(buffer.pointer.is_null(), GRADSTEP_ERROR_UNUSED, buffer.name);
            continue;
        }
        if buffer.pointer.is_null() && buffer.optional {
            wrong.add(GRADSTEP_ERROR_MISSING, buffer.name);
        } else {
            wrong.extend(usable(buffer.pointer, buffer.name));
        }
        let addresses = addresses(buffer.pointer, n);
        wrong.unless(addresses.is_some(), GRADSTEP_ERROR_TOO_LONG, "n");
    }
    let used: Vec<_> = buffers.iter().filter(|buffer| buffer.needed).collect();
    for (index, a) in used.iter().enumerate() {
        for b in used[..index].iter().filter(|b| a.written || b.written) {
            if let (Some(x), Some(y)) = (addresses(a.pointer, n), addresses(b.pointer, n))
                && overlap(&x, &y)
            {
                wrong.add(GRADSTEP_ERROR_OVERLAP, a.name);
                wrong.add(GRADSTEP_ERROR_OVERLAP, b.name);
            }
        }
    }
    wrong
}

/// The addresses that are written.
pub fn written(buffers: &[Buffer], n: usize) -> Vec<Range<usize>> {
    let written = buffers.iter().filter(|buffer| buffer.needed && buffer.written);
    written.filter_map(|buffer| addresses(buffer.pointer, n)).collect()
}

/// Whether the memory is there: what a caller vouches for.
pub fn in_arena(buffers: &[Buffer], n: usize, arena: &Arena) -> bool {
    let bytes = n.saturating_mul(size_of::<f32>());
    let mut used = buffers.iter().filter(|buffer| buffer.needed && n > 0);
    used.all(|buffer| arena.range(buffer.pointer, bytes).is_some())
}

/// What is wrong before any buffer, and the step if nothing is. `None` where the memory that is
/// read is not there.
pub struct Prepared<R: Subject> {
    /// What is wrong.
    pub wrong: Wrong,
    /// The rule in Rust, and its step.
    pub step: Option<(R, Step<R>)>,
    /// The buffers that these hyperparameters need; unknown where they cannot be read.
    pub needs: Option<[bool; 3]>,
}

/// Reads and judges hyperparameters, step count, and options, `None` for a call that takes none.
pub fn prepare<R: Subject>(
    arena: &Arena,
    hyper: *const R::Hyper,
    options: Option<*const gradstep_options>,
    t: u64,
) -> Option<Prepared<R>> {
    let mut wrong = usable(hyper, "hyper");
    if !wrong.is_nothing() {
        // Nobody can know more.
        return Some(Prepared { wrong, step: None, needs: None });
    }
    // SAFETY: hyperparameters are numbers.
    let hyper = unsafe { arena.read(hyper) }?;
    let fields = R::wrong(&hyper);
    let rule = R::from_c(&hyper);
    let step = rule.map(|rule| rule.at(t.max(1)));
    if let Some(Ok(_)) = step {
        let reserved_alone = fields.0.iter().all(|status| status & 0xff == GRADSTEP_ERROR_NOT_ZERO);
        assert!(reserved_alone, "Rust takes what the header refuses: {fields:#x?}");
    }
    wrong.extend(fields.clone());
    wrong.unless(t > 0, GRADSTEP_ERROR_ZERO, "t");
    if let Some(Err(error)) = step {
        if together(error) {
            wrong.add(error.kind() as i32, error.argument().name());
        } else {
            assert!(!fields.is_nothing(), "Rust refuses what the header takes: {error}");
        }
    }
    let mut step = step.and_then(Result::ok);
    if let Some(options) = options.filter(|options| !options.is_null()) {
        let unusable = usable(options, "options");
        if unusable.is_nothing() {
            // SAFETY: numbers. Only the size is there for certain.
            let size = unsafe { arena.read(options.cast::<usize>()) }?;
            if size == size_of::<gradstep_options>() {
                // SAFETY: numbers.
                let gradstep_options { grad_scale, grad_clamp, .. } =
                    unsafe { arena.read(options) }?;
                let finite = (grad_scale as f32).is_finite();
                wrong.unless(finite, GRADSTEP_ERROR_NOT_FINITE, "grad_scale");
                wrong.unless(grad_clamp >= 0.0, GRADSTEP_ERROR_NOT_A_BOUND, "grad_clamp");
                step = step.and_then(|step| {
                    let scaled = step.scale_grad(grad_scale);
                    assert_eq!(scaled.is_ok(), finite);
                    let clamped = scaled.ok()?.clamp_grad(grad_clamp);
                    assert_eq!(clamped.is_ok(), grad_clamp >= 0.0);
                    clamped.ok()
                });
            } else {
                wrong.add(GRADSTEP_ERROR_WRONG_SIZE, "size");
            }
        } else {
            wrong.extend(unusable);
        }
    }
    let step = rule.zip(step).filter(|_| wrong.is_nothing());
    assert!(step.is_some() || !wrong.is_nothing());
    Some(Prepared { wrong, step, needs: Some(R::needs(&hyper)) })
}

/// Errors of fields that are fine each: those that the documentation tells.
fn together(error: Error) -> bool {
    matches!(
        (error.kind(), error.argument()),
        (ErrorKind::NesterovNeedsMomentum, Argument::Nesterov)
            | (ErrorKind::NotFinite, Argument::Lr | Argument::WeightDecay)
    )
}

/// The bytes that a call should leave.
pub struct Expected {
    bytes: Vec<u8>,
    /// Of each 4-byte word, whether it is a float of the result, in which a NaN may be any NaN.
    results: [bool; Arena::SIZE / 4],
}

impl Expected {
    /// Those that are there.
    pub fn unchanged(arena: &Arena) -> Self {
        Self { bytes: arena.save(), results: [false; Arena::SIZE / 4] }
    }

    /// Puts a value there.
    pub fn put<T: Copy>(&mut self, arena: &Arena, pointer: *const T, bytes: &[u8]) {
        let range = arena.range(pointer, bytes.len()).expect("in the arena");
        self.bytes[range].copy_from_slice(bytes);
    }

    fn get_float(&self, arena: &Arena, pointer: *const f32, index: usize) -> f32 {
        let range = arena.range(pointer.wrapping_add(index), 4).expect("in the arena");
        f32::from_ne_bytes(self.bytes[range].try_into().unwrap())
    }

    fn put_float(&mut self, arena: &Arena, pointer: *const f32, index: usize, value: f32) {
        let pointer = pointer.wrapping_add(index);
        self.results[arena.range(pointer, 4).expect("in the arena").start / 4] = true;
        self.put(arena, pointer, &value.to_ne_bytes());
    }

    /// A step on a tensor with which nothing is wrong, element by element.
    pub fn step<R: Subject>(
        &mut self,
        arena: &Arena,
        step: &Step<R>,
        tensor: &Tensor,
        needs: [bool; 3],
    ) {
        Backend::Scalar.force().unwrap();
        let Tensor { n, param, grad, state } = *tensor;
        for index in 0..n {
            let mut p = [self.get_float(arena, param, index)];
            let g = [self.get_float(arena, grad, index)];
            let mut buffers: [[f32; 1]; 3] = Default::default();
            for (at, buffer) in buffers.iter_mut().enumerate().filter(|(at, _)| needs[*at]) {
                *buffer = [self.get_float(arena, state[at], index)];
            }
            let mut at = 0..;
            let named = buffers
                .each_mut()
                .map(|buffer| at.next().filter(|&at| needs[at]).map(|_| &mut buffer[..]));
            step.apply(&mut p, &g, R::bind(named)).unwrap();
            self.put_float(arena, param, index, p[0]);
            for (at, [value]) in buffers.into_iter().enumerate().filter(|(at, _)| needs[*at]) {
                self.put_float(arena, state[at], index, value);
            }
        }
    }

    /// An init, element by element.
    pub fn init<R: Subject>(&mut self, arena: &Arena, rule: &R, tensor: &Tensor, needs: [bool; 3]) {
        if needs == [false; 3] {
            return; // and `n` may be anything
        }
        for index in 0..tensor.n {
            let mut buffers = [[f32::NAN; 1]; 3];
            let mut at = 0..;
            let named = buffers
                .each_mut()
                .map(|buffer| at.next().filter(|&at| needs[at]).map(|_| &mut buffer[..]));
            rule.init(R::bind(named)).unwrap();
            for (at, [value]) in buffers.into_iter().enumerate().filter(|(at, _)| needs[*at]) {
                self.put_float(arena, tensor.state[at], index, value);
            }
        }
    }

    /// Compares every byte.
    pub fn compare(&self, arena: &Arena, what: &str) {
        let found = arena.bytes();
        if found == self.bytes {
            return;
        }
        let name = Backend::current().name();
        for (word, (ours, expected)) in
            found.chunks_exact(4).zip(self.bytes.chunks_exact(4)).enumerate()
        {
            let [a, b] = [ours, expected].map(|word| f32::from_ne_bytes(word.try_into().unwrap()));
            let is_result = self.results[word];
            let same = ours == expected || is_result && a.is_nan() && b.is_nan();
            assert!(
                same,
                "{what} on {name}: at byte {}, {}: {a:e} ({:#x}), should be {b:e} ({:#x})",
                word * 4,
                if is_result { "a float of the result" } else { "no float of the result" },
                a.to_bits(),
                b.to_bits()
            );
        }
    }
}
