//! A primary policy behind a breaker, with a fallback policy.
//!
//! The fallback decides when the primary refuses (no model, an unsupported class), chooses nobody or
//! somebody not eligible, panics, or when requests sent by its choice fail: the breaker opens once at
//! least 20 of the primary's requests ended in the last ten seconds and more than half of them failed.
//! A panic opens it at once: a policy that panics will do it again. Open lasts an equal-jitter backoff
//! of 5 to 300 s, doubling; then one probing request is sent by the primary's choice, and its success
//! closes the breaker. Every pick of the fallback is counted by reason.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{Candidates, Choice, Fallback, Feedback, Mode, Picker, Policy, Refusal};
use crate::{
    error::ConfigError,
    learn::Model,
    node::Node,
    rng::Rng,
    signal::{health::equal_jitter, success::Success},
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FailSafeConfig {
    /// Requests in ten seconds below which it stays closed. Default 20.
    pub min_requests: u64,
    /// Share of failures above which it opens. Default 0.5.
    pub max_failures: f64,
    /// The first time it stays open. Default 5 s.
    pub base_open: Duration,
    /// The longest time it stays open. Default 300 s.
    pub max_open: Duration,
}

impl Default for FailSafeConfig {
    fn default() -> Self {
        Self {
            min_requests: 20,
            max_failures: 0.5,
            base_open: Duration::from_secs(5),
            max_open: Duration::from_secs(300),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct FailSafe {
    primary: Box<dyn Policy>,
    fallback: Box<dyn Policy>,
    state: Arc<State>,
}

impl FailSafe {
    /// `primary` decides where it can, `fallback` where it cannot.
    pub fn new(primary: impl Policy, fallback: impl Policy, config: FailSafeConfig) -> Self {
        Self {
            primary: Box::new(primary),
            fallback: Box::new(fallback),
            state: Arc::new(State { breaker: Breaker::new(config), counts: Counts::default() }),
        }
    }
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    counts: Counts,
}

impl Policy for FailSafe {
    fn name(&self) -> &str {
        self.primary.name()
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(Guarded {
            primary: self.primary.picker(group),
            fallback: self.fallback.picker(group),
            state: Arc::clone(&self.state),
        })
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        if catch_unwind(AssertUnwindSafe(|| self.primary.observe(feedback))).is_err() {
            self.state.breaker.panicked(feedback.now);
        }
        self.fallback.observe(feedback);
        if feedback.mode == Mode::Policy {
            self.state.breaker.observe(feedback);
        }
    }

    fn set_model(&self, model: Arc<Model>) -> Result<(), ConfigError> {
        self.primary.set_model(model)
    }

    fn fallbacks(&self) -> Vec<(Fallback, u64)> {
        let counts = &self.state.counts.0;
        Fallback::ALL.iter().zip(counts).map(|(f, n)| (*f, n.load(Ordering::Relaxed))).collect()
    }

    fn model_hash(&self) -> Option<u64> {
        self.primary.model_hash()
    }
}

#[derive(Debug)]
struct Guarded {
    primary: Box<dyn Picker>,
    fallback: Box<dyn Picker>,
    state: Arc<State>,
}

impl Guarded {
    /// The primary's choice, if it may decide now and its choice is sound.
    fn ask_primary(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let admission = self.state.breaker.admits(candidates.now);
        if admission == Admission::Refused {
            return Err(Refusal::Fallback(Fallback::BreakerOpen));
        }
        // What a panic leaves half done is the primary's own state, which no soundness rests on.
        let asked = catch_unwind(AssertUnwindSafe(|| self.primary.pick(candidates, rng)));
        let Ok(answer) = asked else {
            self.state.breaker.panicked(candidates.now);
            return Err(Refusal::Fallback(Fallback::Panicked));
        };
        let answer = match answer {
            Ok(choice) if !candidates.is_eligible(choice.index) => {
                Err(Refusal::Fallback(Fallback::Invalid))
            }
            answer => answer,
        };
        let decided = answer.is_ok_and(|choice| choice.mode == Mode::Policy);
        if admission == Admission::Probe && !decided {
            self.state.breaker.withdraw(candidates.now);
        }
        answer
    }
}

impl Picker for Guarded {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let answer = match self.ask_primary(candidates, rng) {
            Err(Refusal::Fallback(why)) => self
                .fallback
                .pick(candidates, rng)
                .map(|choice| Choice { mode: Mode::Fallback(why), ..choice }),
            answer => answer,
        };
        if let Ok(Choice { mode: Mode::Fallback(why), .. }) = answer {
            self.state.counts.0[why as usize].fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        let open = !self.state.breaker.is_closed();
        if !open && self.primary.propensities(candidates, out) {
            return true;
        }
        out.fill(0.0);
        self.fallback.propensities(candidates, out)
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let score = self.primary.score(candidates, index);
        if score.is_nan() { self.fallback.score(candidates, index) } else { score }
    }
}

#[derive(Debug, Default)]
struct Counts([AtomicU64; Fallback::ALL.len()]);

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
    fn is_closed(&self) -> bool {
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

    fn change(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The state while the probe sent at `now` is under way.
fn probing_since(now: Time) -> u64 {
    (now + PROBE_LOST).as_nanos() | PROBING
}
