//! Success rate over the last ten seconds, from ten exact buckets.
//!
//! linkerd counts in buckets because an EWMA of the success rate hides an outage behind a burst of
//! earlier successes; so do we. A bucket is one word (second, successes, failures) changed by one
//! compare-and-swap, so a count never lands in the wrong second. What leaves the window is added to
//! the totals, so that totals cost the request path nothing.
//!
//! Counts saturate at 1,048,575 a second and endpoint.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::Time,
};

const BUCKETS: u64 = 10;
const WIDTH: Duration = Duration::from_secs(1);
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// Successes and failures, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that succeeded.
    pub successes: u64,
    /// Requests that failed.
    pub failures: u64,
}

impl Counts {
    /// Successes over all; `None` where there are none of either.
    pub fn rate(self) -> Option<f64> {
        let all = self.successes + self.failures;
        (all > 0).then(|| self.successes as f64 / all as f64)
    }
}

/// Counts of the last ten seconds and of all time.
#[derive(Debug)]
pub(crate) struct Success {
    buckets: [AtomicU64; BUCKETS as usize],
    /// What has left the window.
    past_successes: AtomicU64,
    past_failures: AtomicU64,
}

/// A bucket's word: second (24 bits, 194 days), successes, failures.
#[derive(Clone, Copy)]
struct Bucket {
    second: u64,
    counts: Counts,
}

impl Bucket {
    fn unpack(word: u64) -> Self {
        Self {
            second: word >> (2 * COUNT_BITS),
            counts: Counts {
                successes: word >> COUNT_BITS & COUNT_MAX,
                failures: word & COUNT_MAX,
            },
        }
    }

    /// Whether it is of a later second, as seconds wrap around.
    fn is_after(self, second: u64) -> bool {
        let ahead = self.second.wrapping_sub(second) & 0xFF_FFFF;
        ahead != 0 && ahead < 1 << 23 && self.second != 0
    }

    fn pack(self) -> u64 {
        self.second << (2 * COUNT_BITS)
            | self.counts.successes.min(COUNT_MAX) << COUNT_BITS
            | self.counts.failures.min(COUNT_MAX)
    }
}

/// The number of the bucket that `now` falls into. Starts at 1, so that an untouched word is old.
fn second(now: Time) -> u64 {
    (now.as_nanos() / WIDTH.as_nanos() as u64 + 1) & 0xFF_FFFF
}

impl Success {
    pub(crate) fn new() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            past_successes: AtomicU64::new(0),
            past_failures: AtomicU64::new(0),
        }
    }

    /// Counts one request that ended at `now`.
    #[inline]
    pub(crate) fn record(&self, now: Time, success: bool) {
        let second = second(now);
        let slot = &self.buckets[(second % BUCKETS) as usize];
        let word = slot.load(Ordering::Relaxed);
        let bucket = Bucket::unpack(word);
        let Counts { successes, failures } = bucket.counts;
        let one = if success { 1 << COUNT_BITS } else { 1 };
        let common = bucket.second == second && successes < COUNT_MAX && failures < COUNT_MAX;
        let counted = common
            && slot
                .compare_exchange(word, word + one, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !counted {
            self.record_anew(slot, second, success);
        }
    }

    /// The first of a second, a full bucket, or another thread at the same one.
    #[cold]
    fn record_anew(&self, slot: &AtomicU64, second: u64, success: bool) {
        let mut word = slot.load(Ordering::Relaxed);
        loop {
            let old = Bucket::unpack(word);
            if old.is_after(second) {
                // Told so late that its bucket has been taken by a second after it.
                let past = if success { &self.past_successes } else { &self.past_failures };
                past.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let fresh = old.second != second;
            let mut new = if fresh { Bucket { second, counts: Counts::default() } } else { old };
            if success {
                new.counts.successes += 1;
            } else {
                new.counts.failures += 1;
            }
            match slot.compare_exchange_weak(word, new.pack(), Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => {
                    if fresh {
                        self.past_successes.fetch_add(old.counts.successes, Ordering::Relaxed);
                        self.past_failures.fetch_add(old.counts.failures, Ordering::Relaxed);
                    }
                    return;
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Counts of the last ten seconds, the current one included.
    pub(crate) fn window(&self, now: Time) -> Counts {
        let now = second(now);
        self.sum(|bucket| now.wrapping_sub(bucket.second) & 0xFF_FFFF < BUCKETS)
    }

    /// Counts of all time.
    pub(crate) fn total(&self) -> Counts {
        let live = self.sum(|_| true);
        Counts {
            successes: live.successes + self.past_successes.load(Ordering::Relaxed),
            failures: live.failures + self.past_failures.load(Ordering::Relaxed),
        }
    }

    /// Forgets the last ten seconds.
    pub(crate) fn clear(&self) {
        for slot in &self.buckets {
            slot.store(0, Ordering::Relaxed);
        }
    }

    fn sum(&self, wanted: impl Fn(&Bucket) -> bool) -> Counts {
        self.buckets
            .iter()
            .map(|slot| Bucket::unpack(slot.load(Ordering::Relaxed)))
            .filter(wanted)
            .fold(Counts::default(), |sum, bucket| Counts {
                successes: sum.successes + bucket.counts.successes,
                failures: sum.failures + bucket.counts.failures,
            })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Time {
        Time::ZERO + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_outage_shows_behind_a_burst_of_successes() {
        let s = Success::new();
        for _ in 0..1000 {
            s.record(at(0.5), true);
        }
        for _ in 0..10 {
            s.record(at(10.5), false);
        }
        assert_eq!(s.window(at(10.5)), Counts { successes: 0, failures: 10 });
        assert_eq!(s.total(), Counts { successes: 1000, failures: 10 });
    }

    #[test]
    fn the_window_is_ten_seconds_and_moves_without_traffic() {
        let s = Success::new();
        s.record(at(0.0), true);
        assert_eq!(s.window(at(9.9)).successes, 1);
        assert_eq!(s.window(at(10.0)).rate(), None);
        assert_eq!(s.total().successes, 1);
    }

    #[test]
    fn a_late_end_does_not_wipe_out_what_came_after_it() {
        let s = Success::new();
        s.record(at(20.5), true);
        s.record(at(10.5), false);
        assert_eq!(s.window(at(20.5)), Counts { successes: 1, failures: 0 });
        assert_eq!(s.total(), Counts { successes: 1, failures: 1 });
    }

    #[test]
    fn counts_saturate_instead_of_spilling() {
        let s = Success::new();
        for _ in 0..(COUNT_MAX + 5) {
            s.record(at(1.0), false);
        }
        assert_eq!(s.window(at(1.0)), Counts { successes: 0, failures: COUNT_MAX });
    }
}
