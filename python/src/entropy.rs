//! Seeds that differ between processes, also between a process and its forked child.

use std::{
    hash::{BuildHasher, RandomState},
    process,
    time::SystemTime,
};

/// A fresh seed.
pub(crate) fn seed() -> u64 {
    // A forked child starts with its parent's hash keys; its process id tells them apart.
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    RandomState::new().hash_one((process::id(), nanos))
}
