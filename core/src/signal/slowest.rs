//! The slowest recent success anywhere in the fleet: what a failure has to cost more than.
//!
//! A fixed penalty of some seconds is a deterrent where answers take milliseconds. Where they take as
//! long as the penalty, as from language models, a server that fails at once would look no slower than
//! the healthy ones, and idler. So the penalty follows what answers take.
//!
//! The maxima of this window of 34 s and of the last one. Cost: a success is one load of a line that all
//! threads share and few write: a new maximum is rare, and rarer the more successes there were.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::Time,
};

/// Windows of 2^35 nanoseconds, 34 s.
const WINDOW_BITS: u32 = 35;

/// A maximum over the last 34 to 69 seconds.
#[derive(Debug, Default)]
pub(crate) struct Slowest {
    /// By the window's parity: the window's number and the maximum as `f32` nanoseconds.
    windows: [AtomicU64; 2],
}

/// The number of the window that `now` falls into. Starts at 1, so that an untouched word is old.
fn window(now: Time) -> u32 {
    (now.as_nanos() >> WINDOW_BITS) as u32 + 1
}

fn unpack(word: u64) -> (u32, f32) {
    ((word >> 32) as u32, f32::from_bits(word as u32))
}

impl Slowest {
    /// A request succeeded after `took` nanoseconds.
    #[inline]
    pub(crate) fn record(&self, now: Time, took: u64) {
        let (window, took) = (window(now), took as f32);
        let slot = &self.windows[window as usize % 2];
        let word = slot.load(Ordering::Relaxed);
        if unpack(word).0 != window || unpack(word).1 < took {
            Self::raise(slot, word, window, took);
        }
    }

    #[cold]
    fn raise(slot: &AtomicU64, mut word: u64, window: u32, took: f32) {
        while unpack(word).0 != window || unpack(word).1 < took {
            let new = u64::from(window) << 32 | u64::from(took.to_bits());
            match slot.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// The slowest success of this window and the last; zero if there was none.
    pub(crate) fn get(&self, now: Time) -> Duration {
        let now = window(now);
        let nanos = self
            .windows
            .iter()
            .map(|slot| unpack(slot.load(Ordering::Relaxed)))
            .filter(|(window, _)| now.wrapping_sub(*window) <= 1)
            .fold(0.0, |slowest, (_, took)| took.max(slowest));
        Duration::from_nanos(nanos as u64)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn holds_the_maximum_for_at_least_half_a_minute() {
        let slowest = Slowest::default();
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        assert_eq!(slowest.get(at(0)), Duration::ZERO);
        slowest.record(at(1), 8 << 30);
        slowest.record(at(2), 4 << 30);
        assert_eq!(slowest.get(at(3)), Duration::from_nanos(8 << 30));
        slowest.record(at(35), 2 << 30);
        assert_eq!(slowest.get(at(68)), Duration::from_nanos(8 << 30));
        assert_eq!(slowest.get(at(69)), Duration::from_nanos(2 << 30));
        assert_eq!(slowest.get(at(120)), Duration::ZERO);
    }
}
