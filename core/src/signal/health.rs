//! Whether an endpoint may be picked: up, or ejected until a time.
//!
//! Two things eject at once: a connection that could not be made, and a run of failures (Envoy's and
//! linkerd's consecutive failures, 5); [outlier detection](crate::outlier) ejects from time to time, for
//! times of its own. The endpoint stays out for an equal-jitter backoff that doubles
//! with each ejection in a row, then it is eligible again by the passing of time alone, so nothing is
//! ever evicted for ever. Back from an ejection for failures it is on trial: the first failure of what was
//! sent since puts it out again, so that a server that is still broken fails one request each time and
//! not five. A success ends the row. A connection ends only what a connection began: a server that accepts
//! and then fails stays out, however often one connects to it.
//!
//! Health only orders whom to ask. The fleet fails open: with every endpoint out, each is eligible again
//! and the policy chooses among all. Failing requests put out at most a share of the fleet, half by
//! default, so that an error of the request's own, or of something behind all servers, cannot heap the
//! load on a last few. Endpoints that cannot be connected to are not under that cap, and there is no
//! panic threshold: with one endpoint in a hundred left, it gets everything.
//!
//! The jitter comes from a hash of endpoint and attempt, not from a generator, so that the same
//! history gives the same times (and endpoints that failed together do not return together).

use std::time::Duration;

use xxhash_rust::xxh64::xxh64;

use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

/// When a failing endpoint is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthConfig {
    /// Failures in a row that eject; 0 never ejects for failures. Default 5.
    pub consecutive_failures: u32,
    /// The first backoff after failures. Default 5 s.
    pub base_ejection: Duration,
    /// The first backoff after a connection could not be made. Default 100 ms.
    pub base_reconnect: Duration,
    /// The longest backoff after failures. Default 300 s.
    pub max_ejection: Duration,
    /// The longest backoff after connection failures. Default 10 s: gRPC's 120 s is what its users
    /// complain of most.
    pub max_reconnect: Duration,
    /// At most this share of the fleet is ejected for failures at once (one endpoint always can be);
    /// endpoints that cannot be connected to do not count against it. Default 0.5.
    pub max_ejected: f64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection: Duration::from_secs(5),
            base_reconnect: Duration::from_millis(100),
            max_ejection: Duration::from_secs(300),
            max_reconnect: Duration::from_secs(10),
            max_ejected: 0.5,
        }
    }
}

/// Why an endpoint is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its requests fail, one after the other.
    Failing,
    /// It cannot be connected to.
    Unreachable,
}

/// The health of one endpoint.
#[derive(Debug)]
pub(crate) struct Health {
    /// 0 while up, else nanoseconds, of which the lowest bit tells the cause.
    ejected_until: AtomicU64,
    failures_in_a_row: AtomicU32,
    /// Ejections since it last answered, by cause: a server that starts up and is not ready yet is not
    /// held to the backoff of the minute in which it could not be reached.
    ejections_in_a_row: [AtomicU32; 2],
}

/// Set in the time of an ejection for being unreachable.
const UNREACHABLE: u64 = 1;

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            ejected_until: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            ejections_in_a_row: [AtomicU32::new(0), AtomicU32::new(0)],
        }
    }

    #[inline]
    pub(crate) fn is_up(&self, now: Time) -> bool {
        self.ejected_until.load(Ordering::Relaxed) <= now.as_nanos()
    }

    /// Whether a request sent then knew nothing of the last ejection: that has come since, or it was sent
    /// in spite of it.
    #[inline]
    pub(crate) fn is_news_to(&self, sent: Time) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > sent.as_nanos()
    }

    /// Whether it is out, or was and has not answered since.
    pub(crate) fn is_recovering(&self) -> bool {
        self.ejections_in_a_row.iter().any(|row| row.load(Ordering::Relaxed) != 0)
    }

    /// Whether the ejection that [`Health::eject`] reported as `until` lasts.
    pub(crate) fn is_out_until(&self, until: Time, now: Time) -> bool {
        until > now && self.ejected_until.load(Ordering::Relaxed) == until.as_nanos()
    }

    /// A request succeeded. While ejected that counts for nothing, for it was sent before; unless it was
    /// sent in spite of the ejection, all endpoints being down. True if it ended a row of ejections.
    #[inline]
    pub(crate) fn succeeded(&self, now: Time, sent_while_out: bool) -> bool {
        // Loads first: the common case writes nothing.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
        if !self.is_recovering() {
            return false;
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        let lifted = (until <= now.as_nanos() || sent_while_out) && self.lift(until);
        // Both rows end, so no short circuit.
        lifted && (end(&self.ejections_in_a_row[0]) | end(&self.ejections_in_a_row[1]))
    }

    /// The endpoint can be reached again, which says nothing of whether its requests succeed. True if
    /// that ended a row of ejections.
    pub(crate) fn connected(&self) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        let lifted = until & UNREACHABLE == 0 || self.lift(until);
        lifted && end(&self.ejections_in_a_row[Cause::Unreachable as usize])
    }

    /// Ends the ejection seen as `until`, and no newer one.
    fn lift(&self, until: u64) -> bool {
        self.ejected_until.compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts a failure of a request sent at `sent`; true if that is enough to eject: a row that is long
    /// enough, or a single one of an endpoint that came back from an ejection and has not succeeded since.
    pub(crate) fn failed(&self, config: &HealthConfig, sent: Time) -> bool {
        let row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let enough = if self.is_on_trial(sent) { 1 } else { config.consecutive_failures };
        config.consecutive_failures > 0 && row >= enough
    }

    /// Whether a request sent then was to show that an endpoint ejected for failures works again.
    fn is_on_trial(&self, sent: Time) -> bool {
        self.ejections_in_a_row[Cause::Failing as usize].load(Ordering::Relaxed) != 0
            && !self.is_news_to(sent)
    }

    /// Ejects for the next backoff of the cause's row, unless it is ejected already: requests that were
    /// in flight when it was do not prolong it. The time it is out until, if this call did it.
    pub(crate) fn eject(
        &self,
        cause: Cause,
        now: Time,
        config: &HealthConfig,
        seed: u64,
    ) -> Option<Time> {
        let (base, max) = match cause {
            Cause::Failing => (config.base_ejection, config.max_ejection),
            Cause::Unreachable => (config.base_reconnect, config.max_reconnect),
        };
        let row = self.ejections_in_a_row[cause as usize].load(Ordering::Relaxed);
        self.eject_for(cause, now, equal_jitter(base, max, row, seed))
    }

    /// The same for a given time.
    pub(crate) fn eject_for(&self, cause: Cause, now: Time, lasts: Duration) -> Option<Time> {
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until > now.as_nanos() {
            return None;
        }
        let next = now + lasts;
        let next = next.as_nanos() & !UNREACHABLE | cause as u64;
        self.ejected_until
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        self.ejections_in_a_row[cause as usize].fetch_add(1, Ordering::Relaxed);
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        Some(Time::from_nanos(next))
    }
}

fn end(row: &AtomicU32) -> bool {
    row.load(Ordering::Relaxed) != 0 && row.swap(0, Ordering::Relaxed) != 0
}

/// Between half of `min(max, base x 2^row)` and all of it.
pub(crate) fn equal_jitter(base: Duration, max: Duration, row: u32, seed: u64) -> Duration {
    let full = base.saturating_mul(1 << row.min(20)).min(max);
    let unit = (xxh64(&seed.to_le_bytes(), u64::from(row)) >> 11) as f64 / (1_u64 << 53) as f64;
    full.mul_f64(0.5 + 0.5 * unit)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const FAILING: Cause = Cause::Failing;

    fn config() -> HealthConfig {
        let (base_ejection, max_ejection) = (Duration::from_secs(1), Duration::from_secs(10));
        HealthConfig { base_ejection, max_ejection, ..HealthConfig::default() }
    }

    #[test]
    fn backoff_doubles_is_capped_and_ends_by_time_alone() {
        let health = Health::new();
        let mut now = Time::ZERO + Duration::from_secs(1);
        for row in 0..12 {
            assert!(health.eject(FAILING, now, &config(), 7).is_some());
            assert_eq!(health.eject(FAILING, now, &config(), 7), None, "already ejected");
            let full = Duration::from_secs(1 << row.min(4)).min(config().max_ejection);
            assert!(!health.is_up(now + full.mul_f64(0.49)));
            assert!(health.is_up(now + full));
            now += full;
        }
    }

    #[test]
    fn a_success_ends_the_row() {
        let health = Health::new();
        for _ in 0..4 {
            assert!(!health.failed(&config(), Time::ZERO));
        }
        health.succeeded(Time::ZERO, false);
        assert!(!health.failed(&config(), Time::ZERO));
    }

    #[test]
    fn one_failure_is_enough_after_a_return() {
        let (health, sent) = (Health::new(), Time::ZERO);
        health.eject(FAILING, sent, &config(), 7);
        let back = sent + config().base_ejection;
        assert!(!health.failed(&config(), sent), "it was sent before the ejection");
        assert!(health.failed(&config(), back));
        health.succeeded(back, false);
        assert!(!health.failed(&config(), back), "it has shown that it works");
    }

    #[test]
    fn who_never_ejects_for_failures_has_no_trials() {
        let (health, never) = (Health::new(), HealthConfig { consecutive_failures: 0, ..config() });
        health.eject(FAILING, Time::ZERO, &never, 7);
        assert!(!health.failed(&never, Time::ZERO + never.max_ejection));
    }

    #[test]
    fn a_connection_does_not_excuse_failing_requests() {
        let (health, now) = (Health::new(), Time::ZERO);
        health.eject(FAILING, now, &config(), 7);
        assert!(!health.connected() && !health.is_up(now));
        let later = now + Duration::from_secs(2);
        health.eject(Cause::Unreachable, later, &config(), 7);
        assert!(health.connected() && health.is_up(later));
    }

    #[test]
    fn each_cause_has_its_own_row() {
        let (health, mut now) = (Health::new(), Time::ZERO);
        for _ in 0..10 {
            health.eject(Cause::Unreachable, now, &config(), 7);
            now += config().max_reconnect;
        }
        health.eject(FAILING, now, &config(), 7);
        assert!(
            health.is_up(now + config().base_ejection),
            "a first ejection takes the first time"
        );
    }

    #[test]
    fn only_what_was_sent_while_out_brings_it_back_early() {
        let (health, now) = (Health::new(), Time::ZERO);
        health.eject(FAILING, now, &config(), 7);
        assert!(!health.succeeded(now, false) && !health.is_up(now));
        assert!(health.succeeded(now, true) && health.is_up(now));
    }
}
