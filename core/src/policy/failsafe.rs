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

use super::{
    Candidates, Choice, Fallback, Feedback, Mode, Picker, Policy, Probing, Refusal,
    breaker::{Admission, Breaker},
};
use crate::{
    error::ConfigError,
    learn::Model,
    node::Node,
    rng::Rng,
    signal::LoadReport,
    sync::{AtomicU64, Ordering},
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

    fn reported(&self, node: &Node, now: Time, report: &LoadReport) {
        if catch_unwind(AssertUnwindSafe(|| self.primary.reported(node, now, report))).is_err() {
            self.state.breaker.panicked(now);
        }
        self.fallback.reported(node, now, report);
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

    /// The primary's; if it does not probe, the fallback's.
    fn probing(&self) -> Option<&dyn Probing> {
        self.primary.probing().or_else(|| self.fallback.probing())
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
            Err(Refusal::Fallback(why)) => {
                self.fallback.pick(candidates, rng).map(|choice| choice.by(Mode::Fallback(why)))
            }
            answer => answer,
        };
        if let Ok(Choice { mode: Mode::Fallback(why), .. }) = answer {
            self.state.counts.0[why as usize].fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    fn tick(&self, now: Time) {
        if catch_unwind(AssertUnwindSafe(|| self.primary.tick(now))).is_err() {
            self.state.breaker.panicked(now);
        }
        self.fallback.tick(now);
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        let open = !self.state.breaker.is_closed();
        if !open && self.primary.propensities(candidates, out) {
            return true;
        }
        out.fill(0.0);
        self.fallback.propensities(candidates, out)
    }

    fn propensities_by(&self, mode: Mode, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        use Fallback::{BreakerOpen, Invalid, NotANumber, Panicked};
        match mode {
            // Whatever the breaker's state: its probe is the primary's choice too.
            Mode::Policy => self.primary.propensities_by(mode, candidates, out),
            // What the primary would say of itself is not what happened.
            Mode::Fallback(BreakerOpen | Invalid | NotANumber | Panicked) => {
                self.fallback.propensities(candidates, out)
            }
            Mode::Fallback(_) | Mode::Explored => self.propensities(candidates, out),
        }
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let score = self.primary.score(candidates, index);
        if score.is_nan() { self.fallback.score(candidates, index) } else { score }
    }
}

#[derive(Debug, Default)]
struct Counts([AtomicU64; Fallback::ALL.len()]);
