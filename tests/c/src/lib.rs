//! What the Rust half of the C tests shares. The tests themselves are in `c/`; those in `tests/`
//! call them, and give the numbers to compare with.

pub mod told;

use std::ffi::c_char;

/// `struct tally` of check.h.
#[repr(C)]
pub struct Tally {
    checks: i32,
    failures: i32,
    context: [c_char; 160],
}

impl Tally {
    /// Runs a C test, prints how many checks it made, and fails if one of them did.
    ///
    /// # Panics
    ///
    /// A check failed, or none was made.
    pub fn of(name: &str, test: impl FnOnce(*mut Tally)) {
        let mut tally = Tally { checks: 0, failures: 0, context: [0; 160] };
        test(&mut tally);
        println!("{name}: {} checks", tally.checks);
        assert!(tally.checks > 0, "{name}: checked nothing");
        assert_eq!(tally.failures, 0, "{name}: of {} checks failed", tally.checks);
    }
}

/// Calls C functions `void f(struct tally *)`, each as a test of its own.
#[macro_export]
macro_rules! c_tests {
    ($($test:ident)*) => {
        mod c {
            unsafe extern "C" {
                $(pub fn $test(tally: *mut $crate::Tally);)*
            }
        }

        $(
            #[test]
            fn $test() {
                // SAFETY: the C function is declared as it is defined.
                $crate::Tally::of(stringify!($test), |tally| unsafe { c::$test(tally) });
            }
        )*
    };
}
