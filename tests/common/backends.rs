//! The instruction sets that the machine has. Which one is in use is the process's, and the tests are
//! its threads: whoever wants a certain one takes turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gradstep::Backend;

static BACKEND: Mutex<()> = Mutex::new(());

/// While it lasts nobody else chooses; then the widest is in use again.
pub struct Exclusive {
    _turn: MutexGuard<'static, ()>,
}

pub fn exclusive() -> Exclusive {
    Exclusive { _turn: BACKEND.lock().unwrap_or_else(PoisonError::into_inner) }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        use_backend(widest());
    }
}

/// All that are here, narrow ones first.
pub fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.iter().copied().filter(|backend| backend.is_available())
}

pub fn widest() -> Backend {
    backends().last().unwrap()
}

pub fn use_backend(backend: Backend) {
    backend.force().unwrap();
    assert_eq!(Backend::current(), backend);
}
