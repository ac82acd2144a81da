//! No step reads or writes beyond its slices: pages without access lie right behind them, and right
//! before them. What is wrong here ends the test's process.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm")
))]

mod common;

use std::ffi::{c_int, c_void};
use std::slice;

use gradstep::Backend;

use common::{Owned, Rng, Subject, buffer_names, same_bits, some_variants};

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
            Self { mapping }
        }
    }

    /// The last `len` numbers before the fence, or the first ones behind it.
    fn slice(&mut self, len: usize, last: bool) -> &mut [f32] {
        assert!(len * 4 <= PAGES);
        let offset = if last { 2 * PAGES - len * 4 } else { PAGES };
        // SAFETY: inside of the accessible pages, aligned to 4, and borrowed like `self`; any bits
        // are numbers.
        unsafe { slice::from_raw_parts_mut(self.mapping.byte_add(offset).cast(), len) }
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
    for backend in Backend::ALL.iter().filter(|backend| backend.is_available()) {
        backend.force().unwrap();
        macro_rules! each {
            ($($rule:ident),*) => { $(steps += fenced_steps::<gradstep::$rule>();)* };
        }
        gradstep::for_each_rule!(each);
    }
    println!("{steps} steps between pages without access");
}

fn fenced_steps<R: Subject>() -> usize {
    let mut rng = Rng(41);
    let (mut param, mut grad) = (Fenced::new(), Fenced::new());
    let mut buffers = [Fenced::new(), Fenced::new(), Fenced::new()];
    let mut steps = 0;
    for rule in some_variants::<R>() {
        let step = rule.at(1).unwrap();
        for len in (0..=70).chain([127, 128, 129, 1000]) {
            for last in [true, false] {
                let param = param.slice(len, last);
                let grad = grad.slice(len, last);
                param.fill_with(|| rng.number());
                grad.fill_with(|| rng.number());
                let mut expected = Owned::new(&rule, param.to_vec(), grad.to_vec());
                expected.apply(&step).unwrap();
                let mut state = [None, None, None];
                for ((slice, fenced), name) in
                    state.iter_mut().zip(&mut buffers).zip(buffer_names(&rule))
                {
                    *slice = name.map(|_| fenced.slice(len, last));
                }
                rule.init(R::bind(state.each_mut().map(|b| b.as_deref_mut()))).unwrap();
                step.apply(param, grad, R::bind(state)).unwrap();
                assert!(same_bits(param, &expected.param), "{len} {rule:?}");
                steps += 1;
            }
        }
    }
    steps
}
