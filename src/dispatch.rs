//! The one place that chooses an instruction set.

use pulp::WithSimd;

use crate::error::{Argument, Error, ErrorKind};

/// An instruction set that the kernels are compiled for. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Backend {
    /// One element at a time.
    Scalar = 1,
    /// Arm's 128-bit vectors.
    Neon = 2,
    /// WebAssembly's 128-bit vectors.
    Simd128 = 3,
    /// 256-bit vectors of x86.
    Avx2 = 4,
    /// 512-bit vectors of x86.
    Avx512 = 5,
}

impl Backend {
    /// All of them, narrow ones first.
    pub const ALL: &'static [Backend] =
        &[Backend::Scalar, Backend::Neon, Backend::Simd128, Backend::Avx2, Backend::Avx512];

    /// `"scalar"`, `"neon"`, `"simd128"`, `"avx2"` or `"avx512"`.
    pub const fn name(self) -> &'static str {
        match self.c_str().to_str() {
            Ok(name) => name,
            Err(_) => "",
        }
    }

    /// The same, for C.
    pub(crate) const fn c_str(self) -> &'static core::ffi::CStr {
        match self {
            Backend::Scalar => c"scalar",
            Backend::Neon => c"neon",
            Backend::Simd128 => c"simd128",
            Backend::Avx2 => c"avx2",
            Backend::Avx512 => c"avx512",
        }
    }

    /// Whether this machine, and this build, has it.
    pub fn is_available(self) -> bool {
        self == Backend::Scalar || machine::has(self)
    }

    /// The one in use: the widest available, unless [`force`](Backend::force) said otherwise.
    pub fn current() -> Backend {
        machine::current()
    }

    /// Uses this one from now on, in all threads.
    ///
    /// For tests and measurements; there is nothing else to gain, since the results are the same.
    ///
    /// # Errors
    ///
    /// It is not available here; the choice stays as it was.
    pub fn force(self) -> Result<(), Error> {
        if self.is_available() {
            machine::force(self);
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unavailable, Argument::Backend))
        }
    }
}

/// Something to run on any instruction set, or one element at a time.
///
/// The latter does not go through `pulp`'s own scalars, whose square root is a software routine
/// without `std`, also where the processor has an instruction for it.
pub(crate) trait Operation: WithSimd<Output = ()> {
    fn with_scalars(self);
}

/// Runs `op` on the current instruction set.
#[inline(always)]
pub(crate) fn dispatch(op: impl Operation) {
    match machine::current() {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Backend::Avx512 => pulp::Simd::vectorize(machine::avx512(), op),
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Backend::Avx2 => pulp::Simd::vectorize(machine::avx2(), op),
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        Backend::Neon => pulp::Simd::vectorize(machine::neon(), op),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Backend::Simd128 => pulp::Simd::vectorize(machine::simd128(), op),
        _ => op.with_scalars(),
    }
}

/// Asks for the cache lines of a slice like this one that begins `ahead` elements later, where there is
/// an instruction for that; there need be no memory.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in slice.chunks(64 / size_of::<T>()) {
        machine::prefetch(line.as_ptr().wrapping_add(ahead));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, ahead);
}

/// A choice that can be made only once the program runs, or that a test has forced.
#[cfg(any(
    target_arch = "x86",
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon"),
    all(target_arch = "wasm32", target_feature = "simd128"),
))]
mod machine {
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

    use super::Backend;

    pub(super) use instruction_sets::*;

    /// The number of the current backend, or 0 while nobody has asked.
    ///
    /// Relaxed is enough: the number says nothing about other memory, and every thread that finds
    /// 0 comes to the same answer.
    static CURRENT: AtomicU8 = AtomicU8::new(0);

    #[inline]
    pub(super) fn current() -> Backend {
        match CURRENT.load(Relaxed) {
            1 => Backend::Scalar,
            2 => Backend::Neon,
            3 => Backend::Simd128,
            4 => Backend::Avx2,
            5 => Backend::Avx512,
            _ => detect(),
        }
    }

    #[cold]
    fn detect() -> Backend {
        let widest = Backend::ALL.iter().copied().rfind(|backend| backend.is_available());
        let widest = widest.unwrap_or(Backend::Scalar);
        // Not over a choice that another thread forced meanwhile.
        let _ = CURRENT.compare_exchange(0, widest as u8, Relaxed, Relaxed);
        widest
    }

    pub(super) fn force(backend: Backend) {
        CURRENT.store(backend as u8, Relaxed);
    }

    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    #[allow(unsafe_code)]
    mod instruction_sets {
        use pulp::x86::{V3, V4};

        use super::Backend;

        // The operating system's word counts as well as the processor's: an instruction set is
        // there only if its registers are saved. `pulp` without `std` asks the processor alone.
        cpufeatures::new!(saved_avx2, "avx2", "fma");
        cpufeatures::new!(saved_avx512, "avx512f", "avx512vl");

        pub(in super::super) fn has(backend: Backend) -> bool {
            match backend {
                Backend::Avx2 => saved_avx2::get() && V3::try_new().is_some(),
                Backend::Avx512 => saved_avx512::get() && V4::try_new().is_some(),
                _ => false,
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[inline(always)]
        pub(in super::super) fn prefetch<T>(place: *const T) {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: it reads nothing that anybody sees, and an address where nothing is does no harm.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
        }

        /// For a caller whose current backend is AVX2.
        #[inline(always)]
        pub(in super::super) fn avx2() -> V3 {
            // SAFETY: `Avx2` becomes current only after `has` found every feature of `V3`.
            unsafe { V3::new_unchecked() }
        }

        /// For a caller whose current backend is AVX-512.
        #[inline(always)]
        pub(in super::super) fn avx512() -> V4 {
            // SAFETY: `Avx512` becomes current only after `has` found every feature of `V4`.
            unsafe { V4::new_unchecked() }
        }
    }

    /// NEON is part of the target: there is nothing to detect.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    #[allow(unsafe_code)]
    mod instruction_sets {
        use super::Backend;

        pub(in super::super) fn has(backend: Backend) -> bool {
            backend == Backend::Neon
        }

        #[inline(always)]
        pub(in super::super) fn neon() -> pulp::aarch64::Neon {
            // SAFETY: compiled only where the whole target has NEON.
            unsafe { pulp::aarch64::Neon::new_unchecked() }
        }
    }

    /// A WebAssembly module with vectors loads only where there are some.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[allow(unsafe_code)]
    mod instruction_sets {
        use super::Backend;

        pub(in super::super) fn has(backend: Backend) -> bool {
            backend == Backend::Simd128
        }

        #[inline(always)]
        pub(in super::super) fn simd128() -> pulp::wasm::Simd128 {
            // SAFETY: compiled only where the whole module has simd128.
            unsafe { pulp::wasm::Simd128::new_unchecked() }
        }
    }
}

/// Everywhere else there is one element at a time, and no choice.
#[cfg(not(any(
    target_arch = "x86",
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon"),
    all(target_arch = "wasm32", target_feature = "simd128"),
)))]
mod machine {
    use super::Backend;

    pub(super) fn has(_: Backend) -> bool {
        false
    }

    pub(super) fn current() -> Backend {
        Backend::Scalar
    }

    pub(super) fn force(_: Backend) {}
}
