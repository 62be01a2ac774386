//! The queue-delay average: what requests take beyond their predicted service cost.
//!
//! A learned table knows what a request costs on an idle server. What the queue adds now is learned
//! online: an average of (latency - prediction) with a time constant of 1 s, signed, so that a server
//! that became faster than its model is seen too. A failure or a request given up raises it at once,
//! so that a fast failure does not look like a short queue. For an idle endpoint it decays to zero in
//! reading, so that one bad second does not bar it; while a trial is under way it holds.

use std::time::Duration;

use super::latency::Tau;
use crate::{
    sync::{AtomicU64, Ordering},
    time::Time,
};

const TAU: Tau = Tau::new(Duration::from_secs(1));

/// A moving average of prediction errors in nanoseconds.
#[derive(Debug)]
pub(crate) struct Residual {
    /// `f64` bits.
    average: AtomicU64,
    stamp: AtomicU64,
}

impl Residual {
    pub(crate) fn new() -> Self {
        Self { average: AtomicU64::new(0.0_f64.to_bits()), stamp: AtomicU64::new(0) }
    }

    /// A request took `nanos` more than predicted (less, if negative). What is not finite is ignored.
    pub(crate) fn record(&self, now: Time, nanos: f64) {
        if !nanos.is_finite() {
            return;
        }
        let seen = self.average.load(Ordering::Relaxed);
        let w = self.weight_of_past(now);
        // If another thread was first, its sample of this moment stands for both.
        let _ = self.replace(seen, nanos * (1.0 - w) + f64::from_bits(seen) * w);
    }

    /// A request failed, or was given up after taking `nanos` more than predicted.
    pub(crate) fn record_at_least(&self, now: Time, nanos: f64) {
        if !nanos.is_finite() {
            return;
        }
        let seen = self.average.load(Ordering::Relaxed);
        let w = self.weight_of_past(now);
        let mut replaced = self.replace(seen, nanos.max(f64::from_bits(seen) * w));
        // What another thread put there is of this moment: it is not decayed, and the higher one stays.
        while let Err(seen) = replaced {
            replaced = self.replace(seen, nanos.max(f64::from_bits(seen)));
        }
    }

    fn weight_of_past(&self, now: Time) -> f64 {
        let last = self.stamp.swap(now.as_nanos(), Ordering::Relaxed);
        f64::from(TAU.decay(now.as_nanos().saturating_sub(last)))
    }

    fn replace(&self, seen: u64, average: f64) -> Result<u64, u64> {
        self.average.compare_exchange(seen, average.to_bits(), Ordering::Relaxed, Ordering::Relaxed)
    }

    /// The average in nanoseconds as a request arriving now has to expect it.
    #[inline]
    pub(crate) fn get(&self, now: Time, in_flight: u32) -> f64 {
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        if average == 0.0 || in_flight > 0 {
            return average;
        }
        let idle = now.as_nanos().saturating_sub(self.stamp.load(Ordering::Relaxed));
        average * f64::from(TAU.decay(idle))
    }
}
