//! The circuit breaker of the [`FailSafe`](super::FailSafe): closed, open, half open with one probe.
//!
//! Guards against the two ways in which a breaker hurts: a herd of probes on what has just failed, and
//! a probe that is never heard of again and keeps it open for ever.

use std::time::Duration;

use super::{FailSafeConfig, Feedback};
use crate::{
    signal::{health::equal_jitter, success::Success},
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

/// One word is the whole state, so that no two threads can send a probe:
///
/// - 0: closed;
/// - even: open until that time, half open from then on;
/// - odd: a probe is under way, and is taken for lost at that time.
#[derive(Debug)]
pub(crate) struct Breaker {
    config: FailSafeConfig,
    recent: Success,
    state: AtomicU64,
    openings_in_a_row: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Closed,
    /// Half open, and this request finds out.
    Probe,
    Refused,
}

/// Set in the time of a state with a probe under way.
const PROBING: u64 = 1;
/// A probe that has not ended by then is taken for lost.
const PROBE_LOST: Duration = Duration::from_secs(60);

impl Breaker {
    pub(crate) fn new(config: FailSafeConfig) -> Self {
        Self {
            config,
            recent: Success::new(),
            state: AtomicU64::new(0),
            openings_in_a_row: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }

    /// Whether the primary may decide; half open, that makes the request the probe.
    #[inline]
    pub(crate) fn admits(&self, now: Time) -> Admission {
        let state = self.state.load(Ordering::Relaxed);
        if state == 0 {
            Admission::Closed
        } else if now.as_nanos() >= state && self.change(state, probing_since(now)) {
            Admission::Probe
        } else {
            Admission::Refused
        }
    }

    /// The probe was not sent after all; the next request may be it.
    pub(crate) fn withdraw(&self, now: Time) {
        self.change(probing_since(now), (now.as_nanos() & !PROBING).max(2));
    }

    pub(crate) fn observe(&self, feedback: &Feedback<'_>) {
        let sent = feedback.now.as_nanos().saturating_sub(feedback.latency.as_nanos() as u64);
        self.ended(Time::from_nanos(sent), feedback.now, feedback.success);
    }

    /// A request that the primary had chosen for ended; `None` if that tells nothing.
    pub(crate) fn ended(&self, sent: Time, now: Time, success: Option<bool>) {
        let state = self.state.load(Ordering::Relaxed);
        if state != 0 {
            // Any other was sent before the breaker opened, and says nothing about now.
            if state == probing_since(sent) {
                self.probe_ended(state, now, success);
            }
            return;
        }
        let Some(success) = success else { return };
        self.recent.record(now, success);
        if !success {
            let recent = self.recent.window(now);
            let all = recent.successes + recent.failures;
            let failed = recent.failures as f64 / all as f64;
            if all >= self.config.min_requests && failed > self.config.max_failures {
                self.open(0, now);
            }
        }
    }

    fn probe_ended(&self, state: u64, now: Time, success: Option<bool>) {
        match success {
            Some(true) => {
                self.recent.clear();
                self.openings_in_a_row.store(0, Ordering::Relaxed);
                self.change(state, 0);
            }
            Some(false) => self.open(state, now),
            None => {
                self.change(state, (now.as_nanos() & !PROBING).max(2));
            }
        }
    }

    pub(crate) fn panicked(&self, now: Time) {
        let state = self.state.load(Ordering::Relaxed);
        if state == 0 || state & PROBING != 0 {
            self.open(state, now);
        }
    }

    /// Opens, if nobody has changed the state meanwhile.
    fn open(&self, state: u64, now: Time) {
        let row = self.openings_in_a_row.load(Ordering::Relaxed);
        let backoff = equal_jitter(self.config.base_open, self.config.max_open, row, 0);
        if self.change(state, ((now + backoff).as_nanos() & !PROBING).max(2)) {
            self.openings_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn openings_in_a_row(&self) -> u32 {
        self.openings_in_a_row.load(Ordering::Relaxed)
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The state while the probe sent at `now` is under way.
fn probing_since(now: Time) -> u64 {
    (now + PROBE_LOST).as_nanos() | PROBING
}
