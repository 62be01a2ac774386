//! A random generator for each thread, so that picks share no state.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
};

use trimtab_core::Rng;

thread_local! {
    // The standard library seeds its hash maps from the system; a hash of nothing is 64 such bits.
    static RNG: RefCell<Rng> = RefCell::new(Rng::seeded(RandomState::new().hash_one(())));
}

/// Runs `draw` with this thread's generator.
#[inline]
pub(crate) fn with<T>(draw: impl FnOnce(&mut Rng) -> T) -> T {
    RNG.with_borrow_mut(draw)
}
