//! Peak-EWMA and mean latency of one endpoint.
//!
//! Source: Finagle's peak-EWMA and linkerd2-proxy's reading of it. The peak jumps up to any sample
//! above it and comes down as `peak = rtt (1 - w) + peak w`, `w = exp(-dt / tau)`; the mean is the
//! plain moving average with the same weight.
//!
//! Failures guarded against:
//! - tower's reads mutate, so its average depends on how often it is looked at; here they do not;
//! - a fast failure looks like a fast success: a failure raises the peak to a penalty instead;
//! - a failure's penalty takes many time constants to fade, and would keep traffic away long after a server
//!   that was dead is well: what is ejected is forgotten, and comes back as one that was never measured;
//! - a cancelled request says only "at least this long": it can raise the peak, never lower it;
//! - an idle endpoint must decay, or one bad sample bars it for ever, but a decayed cost attracts a
//!   herd. So the decayed cost counts only while nothing is in flight there: the trial that it
//!   attracts is one request, and while that is under way the remembered cost holds.
//!
//! Cost: a sample is two compare-and-swaps, or two loads within tau / 16384 (0.6 ms at 10 s) of the last
//! one; a read is two loads, and an exponential only for an idle endpoint.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::Time,
};

/// The stamp before the first sample.
const NEVER: u64 = u64::MAX;
/// Samples are averaged at most this often in a time constant; in between they only raise the peak.
const SHORTEST: u32 = 1 << 14;

/// A time constant, ready to reckon with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tau {
    per_nano: f32,
    shortest: u64,
}

impl Tau {
    pub(crate) const fn new(tau: Duration) -> Self {
        Self {
            per_nano: 1.0 / tau.as_nanos() as f32,
            shortest: (tau.as_nanos() / SHORTEST as u128) as u64,
        }
    }

    /// `exp(-nanos / tau)`: what the past still weighs after that time.
    #[inline]
    pub(crate) fn decay(self, nanos: u64) -> f32 {
        let x = nanos as f32 * self.per_nano;
        if x < 0.02 {
            // Three terms of the series: off by less than x^3 / 6 = 1.4e-6, for a tenth of exp's cost.
            1.0 - x + 0.5 * x * x
        } else {
            (-x).exp()
        }
    }
}

/// Both averages as `f32` nanoseconds in one word, and when they were last fed.
#[derive(Debug)]
pub(crate) struct Latency {
    /// Peak in the high half, mean in the low half; NaN where nothing was measured.
    averages: AtomicU64,
    stamp: AtomicU64,
}

#[derive(Clone, Copy)]
struct Averages {
    peak: f32,
    mean: f32,
}

impl Averages {
    const UNMEASURED: Self = Self { peak: f32::NAN, mean: f32::NAN };

    fn pack(self) -> u64 {
        u64::from(self.peak.to_bits()) << 32 | u64::from(self.mean.to_bits())
    }

    fn unpack(word: u64) -> Self {
        Self { peak: f32::from_bits((word >> 32) as u32), mean: f32::from_bits(word as u32) }
    }
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self { averages: AtomicU64::new(Averages::UNMEASURED.pack()), stamp: AtomicU64::new(NEVER) }
    }

    /// A request was answered after `rtt` nanoseconds.
    #[inline]
    pub(crate) fn record(&self, now: Time, rtt: u64, tau: Tau) {
        let rtt = rtt as f32;
        let word = self.averages.load(Ordering::Relaxed);
        let Some(w) = self.weight_of_past(now, tau) else {
            return self.raise(rtt);
        };
        let a = Averages::unpack(word);
        let next = Averages {
            // A NaN average is replaced: no comparison with it holds.
            peak: if a.peak >= rtt { rtt * (1.0 - w) + a.peak * w } else { rtt },
            mean: if a.mean.is_nan() { rtt } else { rtt * (1.0 - w) + a.mean * w },
        };
        self.replace(word, next, rtt);
    }

    /// The endpoint is to be treated as if it had just taken `cost` nanoseconds: a failure's penalty, or the time
    /// that a request had taken when it was given up.
    pub(crate) fn record_at_least(&self, now: Time, cost: u64, tau: Tau) {
        let cost = cost as f32;
        let word = self.averages.load(Ordering::Relaxed);
        let Some(w) = self.weight_of_past(now, tau) else {
            return self.raise(cost);
        };
        let a = Averages::unpack(word);
        let peak = if a.peak * w >= cost { a.peak * w } else { cost };
        self.replace(word, Averages { peak, ..a }, cost);
    }

    /// Forgets everything: the endpoint counts as unmeasured again.
    pub(crate) fn forget(&self) {
        // The stamp first: a sample between the two then counts in full.
        self.stamp.store(NEVER, Ordering::Relaxed);
        self.averages.store(Averages::UNMEASURED.pack(), Ordering::Relaxed);
    }

    /// Puts `next` in the place of `word`. If that has changed, what is there now is a sample of this
    /// very moment, which must not be decayed as the past: then `sample` only lifts the peak.
    #[inline]
    fn replace(&self, word: u64, next: Averages, sample: f32) {
        let swapped =
            self.averages.compare_exchange(word, next.pack(), Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_err() {
            self.raise(sample);
        }
    }

    /// Lifts the peak to `cost` if it is lower.
    #[inline]
    fn raise(&self, cost: f32) {
        let mut word = self.averages.load(Ordering::Relaxed);
        loop {
            let a = Averages::unpack(word);
            if a.peak >= cost {
                return;
            }
            let new = Averages { peak: cost, ..a }.pack();
            match self.averages.compare_exchange_weak(
                word,
                new,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// The peak in nanoseconds as a request arriving now has to expect it, with `in_flight` others
    /// there; `None` before the first sample.
    #[inline]
    pub(crate) fn peak(&self, now: Time, in_flight: u32, tau: Tau) -> Option<f32> {
        let peak = Averages::unpack(self.averages.load(Ordering::Relaxed)).peak;
        if peak.is_nan() {
            return None;
        }
        if in_flight > 0 {
            return Some(peak);
        }
        let idle = now.as_nanos().saturating_sub(self.stamp.load(Ordering::Relaxed));
        Some(peak * tau.decay(idle))
    }

    /// When a request of this client was last answered, failed or given up; the origin before the first.
    pub(crate) fn last_fed(&self) -> Time {
        match self.stamp.load(Ordering::Relaxed) {
            NEVER => Time::ZERO,
            stamp => Time::from_nanos(stamp),
        }
    }

    /// The mean latency in nanoseconds; `None` before the first success.
    #[inline]
    pub(crate) fn mean(&self) -> Option<f32> {
        let mean = Averages::unpack(self.averages.load(Ordering::Relaxed)).mean;
        (!mean.is_nan()).then_some(mean)
    }

    /// What the past still weighs after the time since the last sample; each stretch of time is taken
    /// once, however many threads feed. `None` if it is too short to weigh: single precision would lose
    /// it, and at such a rate the next sample is near.
    #[inline]
    fn weight_of_past(&self, now: Time, tau: Tau) -> Option<f32> {
        let last = self.stamp.load(Ordering::Relaxed);
        let dt = now.as_nanos().saturating_sub(last);
        let measured = last != NEVER;
        if measured && dt < tau.shortest {
            return None;
        }
        self.stamp
            .compare_exchange(last, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed)
            .ok()
            .map(|_| if measured { tau.decay(dt) } else { 0.0 })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TAU: Tau = Tau::new(Duration::from_secs(10));
    const MS: u64 = 1_000_000;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn millis(nanos: Option<f32>) -> f32 {
        nanos.unwrap() / 1e6
    }

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let l = Latency::new();
        l.record(at(0), 10 * MS, TAU);
        l.record(at(0), 100 * MS, TAU);
        assert_eq!(millis(l.peak(at(0), 1, TAU)), 100.0);
        l.record(at(10), 10 * MS, TAU);
        let w = (-1.0_f32).exp();
        assert!((millis(l.peak(at(10), 1, TAU)) - (10.0 * (1.0 - w) + 100.0 * w)).abs() < 1e-3);
    }

    #[test]
    fn reads_do_not_change_it() {
        let l = Latency::new();
        l.record(at(0), 100 * MS, TAU);
        let once = l.peak(at(20), 0, TAU);
        for t in 0..20 {
            l.peak(at(t), 0, TAU);
        }
        assert_eq!(l.peak(at(20), 0, TAU), once);
    }

    #[test]
    fn decay_shows_only_to_the_first_to_try() {
        let l = Latency::new();
        l.record_at_least(at(0), 5000 * MS, TAU);
        assert!(millis(l.peak(at(60), 0, TAU)) < 20.0);
        assert_eq!(millis(l.peak(at(60), 1, TAU)), 5000.0);
    }

    #[test]
    fn a_penalty_is_not_a_latency() {
        let l = Latency::new();
        l.record(at(0), 10 * MS, TAU);
        l.record_at_least(at(1), 5000 * MS, TAU);
        assert_eq!(millis(l.mean()), 10.0);
        // A shorter wait that was given up says nothing new.
        l.record_at_least(at(1), MS, TAU);
        assert_eq!(millis(l.peak(at(1), 1, TAU)), 5000.0);
    }

    #[test]
    fn many_samples_in_little_time_still_move_the_mean() {
        let l = Latency::new();
        l.record(Time::ZERO, 10 * MS, TAU);
        let mut now = Time::ZERO;
        for _ in 0..1_000_000 {
            now += Duration::from_micros(20); // 20 s in all
            l.record(now, 20 * MS, TAU);
        }
        assert!((millis(l.mean()) - (20.0 - 10.0 * (-2.0_f32).exp())).abs() < 0.1);
    }
}
