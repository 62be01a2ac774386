//! The weight that an endpoint's own load reports give it, since when, and whether it may be used.
//!
//! Source: gRFC A58. A weight is usable once reports have come for the blackout, which spares a server
//! that has just come up the load of a first, tiny measurement; and until none has come for the
//! expiration. The blackout begins again with the first report after the weight expired, or after the
//! endpoint was away.
//!
//! gRPC notes the expiry when the weight is looked up. Here a lookup changes nothing: the report that
//! comes after the expiry sees it by itself, so what is found does not hang on how often one looks.
//!
//! Cost: a report is three loads and up to three stores; a lookup is three loads.

use std::time::Duration;

use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

/// A start that no report has set yet.
const NOT_YET: u64 = u64::MAX;

/// The last reported weight of one endpoint.
#[derive(Debug)]
pub(crate) struct ReportedWeight {
    /// When the last report came, plus one; 0 before the first. Written last and read first, so that
    /// whoever sees a report's time sees what came with it.
    updated: AtomicU64,
    /// When the reports began.
    since: AtomicU64,
    /// As `f32` bits.
    weight: AtomicU32,
}

impl ReportedWeight {
    pub(crate) fn new() -> Self {
        Self {
            updated: AtomicU64::new(0),
            since: AtomicU64::new(NOT_YET),
            weight: AtomicU32::new(0),
        }
    }

    /// A report of `weight`, which is above 0, came.
    pub(crate) fn record(&self, now: Time, weight: f32, expiration: Duration) {
        let expired = is_expired(self.updated.load(Ordering::Acquire), now, expiration);
        if expired || self.since.load(Ordering::Relaxed) == NOT_YET {
            self.since.store(now.as_nanos(), Ordering::Relaxed);
        }
        self.weight.store(weight.to_bits(), Ordering::Relaxed);
        // The latest, whichever of two threads comes last.
        self.updated.fetch_max(now.as_nanos().saturating_add(1), Ordering::Release);
    }

    /// The endpoint was away: the blackout begins again with its next report.
    pub(crate) fn restart(&self) {
        self.since.store(NOT_YET, Ordering::Relaxed);
    }

    /// The weight, if it may be used at `now`.
    pub(crate) fn get(&self, now: Time, blackout: Duration, expiration: Duration) -> Option<f32> {
        if is_expired(self.updated.load(Ordering::Acquire), now, expiration) {
            return None;
        }
        let since = self.since.load(Ordering::Relaxed);
        let young = since == NOT_YET || now.since(Time::from_nanos(since)) < blackout;
        if young && !blackout.is_zero() {
            return None;
        }
        Some(f32::from_bits(self.weight.load(Ordering::Relaxed)))
    }
}

fn is_expired(updated: u64, now: Time, expiration: Duration) -> bool {
    updated == 0 || now.since(Time::from_nanos(updated - 1)) >= expiration
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BLACKOUT: Duration = Duration::from_secs(10);
    const EXPIRATION: Duration = Duration::from_secs(180);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn usable_from_the_blackout_to_the_expiration() {
        let reported = ReportedWeight::new();
        let get = |now| reported.get(now, BLACKOUT, EXPIRATION);
        assert_eq!(get(at(0)), None);
        reported.record(at(0), 5.0, EXPIRATION);
        reported.record(at(7), 6.0, EXPIRATION);
        assert_eq!((get(at(9)), get(at(10))), (None, Some(6.0)));
        assert_eq!((get(at(186)), get(at(187))), (Some(6.0), None));
        // The first report after the expiry begins a blackout, though nobody looked in between.
        reported.record(at(187), 7.0, EXPIRATION);
        assert_eq!((get(at(196)), get(at(197))), (None, Some(7.0)));
    }

    #[test]
    fn coming_back_begins_the_blackout_with_the_next_report() {
        let reported = ReportedWeight::new();
        let get = |now| reported.get(now, BLACKOUT, EXPIRATION);
        reported.record(at(0), 5.0, EXPIRATION);
        reported.restart();
        assert_eq!(get(at(20)), None);
        reported.record(at(20), 5.0, EXPIRATION);
        assert_eq!((get(at(29)), get(at(30))), (None, Some(5.0)));
    }

    #[test]
    fn without_a_blackout_a_weight_counts_at_once() {
        let reported = ReportedWeight::new();
        reported.record(at(0), 5.0, EXPIRATION);
        assert_eq!(reported.get(at(0), Duration::ZERO, EXPIRATION), Some(5.0));
    }
}
