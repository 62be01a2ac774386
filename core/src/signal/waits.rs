//! Requests that ended since they were last taken: how many, and how long they waited on average for
//! the first byte of an answer, or until they were given up.
//!
//! An exact mean of an interval, for whoever judges intervals: a moving average is its first sample for
//! as long as its time constant. Count and sum are one word, so that they always belong together.
//!
//! Cost: an addition a request. 16.7 million of them, or 12 days of their time together, fit into an
//! interval.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

const SUM_BITS: u32 = 40;

/// Count in the high 24 bits, microseconds in the low 40.
#[derive(Debug)]
pub(crate) struct Waits(AtomicU64);

/// What was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) count: u64,
    pub(crate) mean: Duration,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn record(&self, nanos: u64) {
        const LONGEST_MICROS: u64 = 86_400_000_000;
        let micros = (nanos / 1000).min(LONGEST_MICROS);
        self.0.fetch_add(1 << SUM_BITS | micros, Ordering::Relaxed);
    }

    /// Takes all: the next interval begins.
    pub(crate) fn take(&self) -> Waited {
        let word = self.0.swap(0, Ordering::Relaxed);
        let (count, micros) = (word >> SUM_BITS, word & ((1 << SUM_BITS) - 1));
        Waited { count, mean: Duration::from_micros(micros.checked_div(count).unwrap_or(0)) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_exact_and_each_interval_its_own() {
        let waits = Waits::new();
        assert_eq!(waits.take(), Waited::default());
        for millis in [100, 10, 40] {
            waits.record(millis * 1_000_000);
        }
        assert_eq!(waits.take(), Waited { count: 3, mean: Duration::from_millis(50) });
        waits.record(u64::MAX);
        assert_eq!(waits.take().mean, Duration::from_secs(86_400));
        assert_eq!(waits.take(), Waited::default());
    }
}
