//! The one place where a published value is swapped under its readers.
//!
//! Readers take what is published now without a lock and without touching a shared counter; writers
//! replace it whole. Inside is arc-swap; its issue 210 reports a use after free that is not settled,
//! so nothing outside this module knows what is inside and it can be exchanged here. Under loom a
//! plain lock stands in: loom checks what is built on the cell, not arc-swap.
//!
//! Cost: a load is about 5 ns, a store waits for readers that are in the middle of a load.

use std::{fmt, ops::Deref, sync::Arc};

/// A slot holding an `Arc<T>` that can be replaced while others read it.
pub(crate) struct Cell<T> {
    #[cfg(not(loom))]
    inner: arc_swap::ArcSwap<T>,
    #[cfg(loom)]
    inner: loom::sync::RwLock<Arc<T>>,
}

/// A value taken from a [`Cell`]; it stays whole while held. Hold it briefly.
pub(crate) struct Loaded<T> {
    #[cfg(not(loom))]
    inner: arc_swap::Guard<Arc<T>>,
    #[cfg(loom)]
    inner: Arc<T>,
}

impl<T> Cell<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        #[cfg(not(loom))]
        let inner = arc_swap::ArcSwap::new(value);
        #[cfg(loom)]
        let inner = loom::sync::RwLock::new(value);
        Self { inner }
    }

    /// What is published now.
    #[inline]
    pub(crate) fn load(&self) -> Loaded<T> {
        #[cfg(not(loom))]
        let inner = self.inner.load();
        #[cfg(loom)]
        let inner = Arc::clone(&self.inner.read().expect("loom does not poison"));
        Loaded { inner }
    }

    /// What is published now, to keep.
    pub(crate) fn load_full(&self) -> Arc<T> {
        #[cfg(not(loom))]
        return self.inner.load_full();
        #[cfg(loom)]
        return Arc::clone(&self.inner.read().expect("loom does not poison"));
    }

    /// Publishes `value`.
    pub(crate) fn store(&self, value: Arc<T>) {
        #[cfg(not(loom))]
        self.inner.store(value);
        #[cfg(loom)]
        {
            *self.inner.write().expect("loom does not poison") = value;
        }
    }
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_value_outlives_its_replacement() {
        let cell = Cell::new(Arc::new(1));
        let before = cell.load();
        cell.store(Arc::new(2));
        assert_eq!((*before, *cell.load()), (1, 2));
    }

    /// Many short-lived values under readers: what a reader sees is always one that was stored,
    /// and versions never run backwards for it. Miri and the sanitizers can run this one.
    #[test]
    fn readers_see_only_whole_values_in_order() {
        let rounds = if cfg!(miri) { 50 } else { 20_000_u64 };
        let cell = Arc::new(Cell::new(Arc::new([0_u64; 4])));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let cell = Arc::clone(&cell);
                scope.spawn(move || {
                    let mut last = 0;
                    while last < rounds {
                        let seen = cell.load();
                        assert!(seen.iter().all(|v| *v == seen[0]), "torn: {:?}", *seen);
                        assert!(seen[0] >= last, "went back from {last} to {}", seen[0]);
                        last = seen[0];
                    }
                });
            }
            for version in 1..=rounds {
                cell.store(Arc::new([version; 4]));
            }
        });
    }
}
