//! A primary policy behind a breaker, with a fallback policy.
//!
//! The fallback decides when the primary refuses (no model, an unsupported class), chooses nobody or
//! somebody not eligible, or when requests sent by its choice fail: the breaker opens once at least 20
//! of the primary's requests ended in the last ten seconds and more than half of them failed. Open
//! lasts an equal-jitter backoff of 5 to 300 s, doubling; then one probing request is sent by the
//! primary's choice, and its success closes the breaker. Every pick of the fallback is counted by
//! reason.

use std::{sync::Arc, time::Duration};

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
        self.primary.observe(feedback);
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
        if !self.state.breaker.admits(candidates.now) {
            return Err(Refusal::Fallback(Fallback::BreakerOpen));
        }
        let answer = self.primary.pick(candidates, rng);
        let sound = answer.is_ok_and(|choice| candidates.is_eligible(choice.index));
        if !sound {
            self.state.breaker.withdraw();
        }
        match answer {
            Ok(_) if !sound => Err(Refusal::Fallback(Fallback::Invalid)),
            answer => answer,
        }
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

/// Closed while `open_until` is 0; open before it; half open from then on.
#[derive(Debug)]
struct Breaker {
    config: FailSafeConfig,
    recent: Success,
    open_until: AtomicU64,
    /// When the half-open probe was sent; 0 while there is none.
    probing_since: AtomicU64,
    openings_in_a_row: AtomicU32,
}

impl Breaker {
    /// A probe that has not ended by then is taken for lost.
    const PROBE_LOST: Duration = Duration::from_secs(60);

    fn new(config: FailSafeConfig) -> Self {
        Self {
            config,
            recent: Success::new(),
            open_until: AtomicU64::new(0),
            probing_since: AtomicU64::new(0),
            openings_in_a_row: AtomicU32::new(0),
        }
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.open_until.load(Ordering::Relaxed) == 0
    }

    /// Whether the primary may decide; half open, that makes the request the probe.
    #[inline]
    fn admits(&self, now: Time) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        until == 0 || (now.as_nanos() >= until && self.take_probe(now))
    }

    fn take_probe(&self, now: Time) -> bool {
        let since = self.probing_since.load(Ordering::Relaxed);
        let free = since == 0 || now.since(Time::from_nanos(since)) > Self::PROBE_LOST;
        let mine = now.as_nanos().max(1);
        free && self
            .probing_since
            .compare_exchange(since, mine, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The primary gave no sound answer, so the request is no probe.
    fn withdraw(&self) {
        if !self.is_closed() {
            self.probing_since.store(0, Ordering::Relaxed);
        }
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        let now = feedback.now;
        let until = self.open_until.load(Ordering::Relaxed);
        if until != 0 {
            // Requests sent before it opened say nothing about now.
            let sent = now.as_nanos().saturating_sub(feedback.latency.as_nanos() as u64);
            if sent >= until {
                self.probe_ended(now, feedback.success);
            }
            return;
        }
        let Some(success) = feedback.success else { return };
        self.recent.record(now, success);
        if !success {
            let recent = self.recent.window(now);
            let all = recent.successes + recent.failures;
            let failed = recent.failures as f64 / all as f64;
            if all >= self.config.min_requests && failed > self.config.max_failures {
                self.open(now);
            }
        }
    }

    fn probe_ended(&self, now: Time, success: Option<bool>) {
        match success {
            Some(true) => {
                self.recent.clear();
                self.openings_in_a_row.store(0, Ordering::Relaxed);
                self.open_until.store(0, Ordering::Relaxed);
            }
            Some(false) => self.open(now),
            None => {}
        }
        self.probing_since.store(0, Ordering::Relaxed);
    }

    fn open(&self, now: Time) {
        let row = self.openings_in_a_row.fetch_add(1, Ordering::Relaxed);
        let backoff = equal_jitter(self.config.base_open, self.config.max_open, row, 0);
        self.open_until.store((now + backoff).as_nanos(), Ordering::Relaxed);
    }
}
