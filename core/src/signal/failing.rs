//! The share of an endpoint's requests that fails, with a memory that fits slow fleets.
//!
//! The windows of `success.rs` forget after ten seconds, in which a client of a language model may
//! have sent an endpoint one request. This average goes by requests instead, a quarter of the way to each
//! outcome, and fades with a time constant of a minute:
//!
//! ```text
//! f = 3/4 f exp(-dt / 60 s) + 1/4 [failed]        0 below 1/10
//! ```
//!
//! What is small ends at nothing, or an endpoint that failed once would look worse than its equals for ever,
//! and never get the request that clears it. From 1 that takes 138 s.
//!
//! Cost: an endpoint that has never failed costs a load a request; else a compare-and-swap.

use crate::{
    sync::{AtomicU64, Ordering},
    time::Time,
};

const STEP: f32 = 0.25;
const FADES_MILLIS: f32 = 60_000.0;
/// Less than this is nothing.
const NOTHING: f32 = 0.1;

/// The average as `f32` bits in the high half, and the millisecond of its last change, wrapping, in the
/// low; 0 while it is nothing.
#[derive(Debug)]
pub(crate) struct Failing(AtomicU64);

impl Failing {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A request ended.
    #[inline]
    pub(crate) fn record(&self, now: Time, failed: bool) {
        if failed || self.0.load(Ordering::Relaxed) != 0 {
            self.change(now, failed);
        }
    }

    #[cold]
    fn change(&self, now: Time, failed: bool) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let average = read(word, now) * (1.0 - STEP) + if failed { STEP } else { 0.0 };
            let new = if average < NOTHING {
                0
            } else {
                u64::from(average.to_bits()) << 32 | u64::from(millis(now))
            };
            match self.0.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// The share from 0 to 1.
    pub(crate) fn get(&self, now: Time) -> f32 {
        read(self.0.load(Ordering::Relaxed), now)
    }
}

fn read(word: u64, now: Time) -> f32 {
    if word == 0 {
        return 0.0;
    }
    // Wraps after 49 days; a time before the last change, by another thread's clock, is that change's.
    let quiet = millis(now).wrapping_sub(word as u32).cast_signed().max(0);
    let left = f32::from_bits((word >> 32) as u32) * (-(quiet as f32) / FADES_MILLIS).exp();
    if left < NOTHING { 0.0 } else { left }
}

fn millis(now: Time) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn goes_by_requests_however_rare() {
        let failing = Failing::new();
        for second in 0..100 {
            failing.record(at(7 * second), second % 3 == 0);
        }
        let share = failing.get(at(7 * 99));
        assert!((0.15..0.5).contains(&share), "{share}");
    }

    #[test]
    fn fades_and_is_forgotten() {
        let failing = Failing::new();
        failing.record(at(0), true);
        assert_eq!(failing.get(at(0)), 0.25);
        let after_half_a_minute = failing.get(at(30));
        assert!((after_half_a_minute - 0.25 * (-0.5_f32).exp()).abs() < 1e-3);
        assert_eq!(failing.get(at(60)), 0.0);
        for second in 0..100 {
            failing.record(at(second), true);
        }
        assert!(failing.get(at(99)) > 0.9 && failing.get(at(239)) == 0.0);
        failing.record(at(600), false);
        assert_eq!(failing.get(at(0)), 0.0);
    }
}
