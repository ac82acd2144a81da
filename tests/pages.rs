//! No step touches anything beyond its slices: pages without access lie right behind them, or right
//! before them, or a few elements away, whose bytes must stay as they are. A touch of such a page
//! ends the test's process.
//!
//! What is multiplied by what: each layout of a rule's state, with and without a factor and a bound
//! for the gradient, by every instruction set, every length, every distance from the fence at either
//! end, and every arrangement of a call's slices to each other. The other hyperparameters are branches
//! that are the same for all elements and read no memory, so all variants of them are multiplied
//! by every length at the fences only. For an emulator, `GRADSTEP_EVERY=7` takes every seventh
//! distance and variant.

#![cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "s390x"
    )
))]

mod common;

use std::ffi::{c_int, c_void};
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gradstep::{Backend, Norm, Step};

use common::{Buffers, Owned, Rng, Subject, buffer_names, every, random_state, same_bits};

/// The backend is the process's, and the tests are its threads.
static BACKEND: Mutex<()> = Mutex::new(());

fn exclusive() -> MutexGuard<'static, ()> {
    BACKEND.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" {
    fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: isize,
    ) -> *mut c_void;
    fn mprotect(address: *mut c_void, length: usize, protection: c_int) -> c_int;
    fn munmap(address: *mut c_void, length: usize) -> c_int;
}

const NO_ACCESS: c_int = 0;
const READ_AND_WRITE: c_int = 3;
const PRIVATE_AND_ANONYMOUS: c_int = 0x22;

/// A multiple of every size that a page has on these targets.
const PAGES: usize = 1 << 16;

/// All lengths up to more than eight registers of 16 floats.
const LENGTHS: std::ops::RangeInclusive<usize> = 0..=130;

/// The farthest that a slice is from its fence, in elements: 64 bytes.
const FARTHEST: usize = 16;

/// Elements on either side of a slice that are looked at, as far as there are any: more than two
/// registers, which is what the loop has in flight.
const LOOKED_AT: usize = 40;

/// What is there before a step; no result has these bits.
const UNTOUCHED: u32 = 0x7fc1_2345;

/// Where in its pages a slice lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Before the fence at the end, or behind the one at the beginning.
    last: bool,
    /// Elements between the slice and the fence.
    distance: usize,
}

/// How the slices of one call lie to each other, given the place of the first.
const ARRANGEMENTS: [fn(Place, usize) -> Place; 4] = [
    // All alike.
    |place, _| place,
    // At both ends in turn: the parameter last and the gradient first, and the other way around.
    |place, index| Place { last: place.last ^ (index % 2 == 1), ..place },
    // Each at another offset from a multiple of 64 bytes.
    |place, index| Place { distance: (place.distance + 5 * index) % (FARTHEST + 1), ..place },
    // Both.
    |place, index| Place {
        last: place.last ^ (index % 2 == 1),
        distance: (place.distance + 11 * index) % (FARTHEST + 1),
    },
];

/// Room for some numbers between pages without access.
struct Fenced {
    mapping: *mut c_void,
}

impl Fenced {
    fn new() -> Self {
        // SAFETY: a new mapping, of which the middle third becomes accessible.
        unsafe {
            let mapping =
                mmap(std::ptr::null_mut(), 3 * PAGES, NO_ACCESS, PRIVATE_AND_ANONYMOUS, -1, 0);
            assert_ne!(mapping.addr(), usize::MAX, "no memory");
            assert_eq!(mprotect(mapping.byte_add(PAGES), PAGES, READ_AND_WRITE), 0);
            let mut fenced = Self { mapping };
            fenced.all().fill(f32::from_bits(UNTOUCHED));
            fenced
        }
    }

    /// Everything between the fences.
    fn all(&mut self) -> &mut [f32] {
        // SAFETY: the accessible pages, aligned to more than 4, and borrowed like `self`; any bits
        // are numbers.
        unsafe { slice::from_raw_parts_mut(self.mapping.byte_add(PAGES).cast(), PAGES / 4) }
    }

    /// `len` elements at a place.
    fn slice(&mut self, len: usize, place: Place) -> &mut [f32] {
        let from = if place.last { PAGES / 4 - len - place.distance } else { place.distance };
        &mut self.all()[from..from + len]
    }

    /// Whether the elements around a slice are as they were; the slice then becomes so again.
    fn untouched_around(&mut self, len: usize, place: Place) -> bool {
        self.slice(len, place).fill(f32::from_bits(UNTOUCHED));
        let (width, all) = (len + place.distance + LOOKED_AT, self.all());
        let seen = if place.last { &all[all.len() - width..] } else { &all[..width] };
        seen.iter().all(|x| x.to_bits() == UNTOUCHED)
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nothing borrows any more.
        unsafe { munmap(self.mapping, 3 * PAGES) };
    }
}

#[test]
fn nothing_beyond_the_slices() {
    let mut steps = 0;
    let _exclusive = exclusive();
    for backend in Backend::ALL.iter().filter(|backend| backend.is_available()) {
        backend.force().unwrap();
        macro_rules! each {
            ($($rule:ident),*) => { $(steps += fenced_steps::<gradstep::$rule>();)* };
        }
        gradstep::for_each_rule!(each);
    }
    println!("{steps} combinations of variant, instruction set, length, place and arrangement");
}

/// A norm reads its slice and no more, on every instruction set, at every length up to more than two
/// blocks, and every distance from the fence at either end.
#[test]
fn a_norm_reads_nothing_beyond_its_slice() {
    let mut rng = Rng(42);
    let numbers: Vec<f32> = (0..600).map(|_| rng.number()).collect();
    let mut fenced = Fenced::new();
    let mut norms = 0;
    let _exclusive = exclusive();
    for backend in Backend::ALL.iter().filter(|backend| backend.is_available()) {
        backend.force().unwrap();
        for len in 0..=numbers.len() {
            let mut expected = Norm::new();
            expected.add(&numbers[..len]);
            for distance in (0..=FARTHEST).step_by(every()) {
                for last in [true, false] {
                    let place = Place { last, distance };
                    let slice = fenced.slice(len, place);
                    slice.copy_from_slice(&numbers[..len]);
                    let mut norm = Norm::new();
                    norm.add(slice);
                    assert_eq!(norm, expected, "{len} elements, {place:?}, {}", backend.name());
                    assert!(fenced.untouched_around(len, place));
                    norms += 1;
                }
            }
        }
    }
    println!("{norms} combinations of instruction set, length and place");
}

/// All steps of a rule on the instruction set in use; counts them.
fn fenced_steps<R: Subject>() -> usize {
    let mut fences = Fences::new();
    let mut rng = Rng(41);
    let mut layouts = Vec::new();
    for (index, rule) in R::variants().enumerate() {
        let new_layout = !layouts.contains(&buffer_names(&rule));
        if new_layout {
            layouts.push(buffer_names(&rule));
        }
        if !new_layout && index % every() != 0 {
            continue;
        }
        let step = rule.at(3).unwrap();
        let treated = step.scale_grad(-3.0).unwrap().clamp_grad(2.0).unwrap();
        let steps = if new_layout { vec![step, treated] } else { vec![step] };
        let arrangements = if new_layout { &ARRANGEMENTS[..] } else { &ARRANGEMENTS[..1] };
        let distances = if new_layout { 0..=FARTHEST } else { 0..=0 };
        for step in steps {
            let case = Case::new(rule, step, &mut rng);
            for len in LENGTHS {
                for distance in distances.clone().step_by(every()) {
                    for last in [true, false] {
                        for arrangement in arrangements {
                            let place = Place { last, distance };
                            fences.compare(&case, len, |slice| arrangement(place, slice));
                        }
                    }
                }
            }
        }
    }
    fences.steps
}

/// A step, the slices before it, and the same after it, the gradient being the one before.
struct Case<R: Subject> {
    rule: R,
    step: Step<R>,
    start: Owned,
    expected: Owned,
}

impl<R: Subject> Case<R> {
    fn new(rule: R, step: Step<R>, rng: &mut Rng) -> Self {
        let longest = *LENGTHS.end();
        let start = Owned {
            param: (0..longest).map(|_| rng.number()).collect(),
            grad: (0..longest).map(|_| rng.number()).collect(),
            state: random_state(&rule, longest, rng),
        };
        let mut expected = start.clone();
        expected.apply(&step).unwrap();
        Self { rule, step, start, expected }
    }
}

/// The memory of one call.
struct Fences {
    param: Fenced,
    grad: Fenced,
    state: [Fenced; 3],
    steps: usize,
}

impl Fences {
    fn new() -> Self {
        let [param, grad, a, b, c] = std::array::from_fn(|_| Fenced::new());
        Self { param, grad, state: [a, b, c], steps: 0 }
    }

    /// A step on the first `len` elements, the slices being numbered in the order of the C ABI.
    fn compare<R: Subject>(&mut self, case: &Case<R>, len: usize, place: impl Fn(usize) -> Place) {
        self.steps += 1;
        let Case { rule, step, start, expected } = case;
        let context = || format!("{len} elements, {:?}, {rule:?}", place(0));
        let param = self.param.slice(len, place(0));
        param.copy_from_slice(&start.param[..len]);
        let grad = self.grad.slice(len, place(1));
        grad.copy_from_slice(&start.grad[..len]);
        let mut state: Buffers<&mut [f32]> = [None, None, None];
        for (index, (fenced, from)) in self.state.iter_mut().zip(&start.state).enumerate() {
            state[index] = from.as_ref().map(|from| {
                let slice = fenced.slice(len, place(2 + index));
                slice.copy_from_slice(&from[..len]);
                slice
            });
        }

        let lent = state.each_mut().map(|slice| slice.as_deref_mut());
        step.apply(param, grad, R::bind(lent)).unwrap();

        assert!(same_bits(param, &expected.param[..len]), "{}", context());
        assert!(same_bits(grad, &start.grad[..len]), "the gradient: {}", context());
        for (slice, expected) in state.iter().flatten().zip(expected.state.iter().flatten()) {
            assert!(same_bits(slice, &expected[..len]), "the state: {}", context());
        }
        let all = [&mut self.param, &mut self.grad].into_iter().chain(&mut self.state);
        for (index, fenced) in all.enumerate() {
            assert!(fenced.untouched_around(len, place(index)), "around {index}: {}", context());
        }
    }
}
