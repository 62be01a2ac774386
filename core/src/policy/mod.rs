//! Policies: which of the eligible endpoints a request goes to.
//!
//! A [`Policy`] is the configuration and whatever outlives fleet changes. From each new snapshot, off
//! the request path, it makes a [`Picker`] for each group of endpoints, with tables as it needs them;
//! the request path asks only the picker. One algorithm, one file.
//!
//! To write your own, implement both traits; `examples/own_policy.rs` does it in a page.

pub(crate) mod breaker;
pub(crate) mod candidates;
pub mod failsafe;
pub mod geo_score;
pub mod least_request;
pub mod least_response_time;
mod named;
pub mod peak_ewma;
pub mod prefix_affinity;
pub mod prequal;
mod probing;
mod propensity;
pub mod q_table;
pub mod random;
pub mod rendezvous;
pub mod round_robin;
pub mod source_hash;
pub mod weighted_round_robin;

use std::{fmt, sync::Arc, time::Duration};

pub use candidates::Candidates;
pub use failsafe::{FailSafe, FailSafeConfig};
pub use geo_score::GeoScore;
pub use least_request::LeastRequest;
pub use least_response_time::LeastResponseTime;
pub use named::{POLICY_NAMES, by_name};
pub use peak_ewma::PeakEwma;
pub use prefix_affinity::{PrefixAffinity, PrefixAffinityConfig};
pub use prequal::{Prequal, PrequalConfig, SyncDecision, SyncProbe};
pub use probing::{ProbeAnswer, Probing};
pub use q_table::QTable;
pub use random::Random;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;
pub use source_hash::SourceHash;
pub use weighted_round_robin::{WeightedRoundRobin, WeightedRoundRobinConfig};

use crate::{
    error::ConfigError, learn::Model, node::Node, rng::Rng, signal::LoadReport, time::Time,
};

/// A load-balancing algorithm.
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// Its name in configurations, logs and metrics.
    fn name(&self) -> &str;

    /// Prepares to pick among `group`, one locality tier of a new snapshot. Runs off the request path.
    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker>;

    /// A request ended. Runs on the request path for every attempt, so it must be short.
    fn observe(&self, _feedback: &Feedback<'_>) {}

    /// A load report of `node` came, with an answer or beside one. It may run on the request path, so it
    /// must be short.
    fn reported(&self, _node: &Node, _now: Time, _report: &LoadReport) {}

    /// Takes a new model; the balancer makes new pickers afterwards.
    ///
    /// # Errors
    /// [`ConfigError::NoModelWanted`] from every policy that uses none.
    fn set_model(&self, _model: Arc<Model>) -> Result<(), ConfigError> {
        Err(ConfigError::NoModelWanted { policy: self.name().to_owned() })
    }

    /// Picks that a fallback had to make, by reason; empty for policies without one.
    fn fallbacks(&self) -> Vec<(Fallback, u64)> {
        Vec::new()
    }

    /// A hash of the model in use, for the decision log.
    fn model_hash(&self) -> Option<u64> {
        None
    }

    /// How it asks servers for their load, if it does.
    fn probing(&self) -> Option<&dyn Probing> {
        None
    }
}

impl Policy for Box<dyn Policy> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        (**self).picker(group)
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        (**self).observe(feedback);
    }

    fn reported(&self, node: &Node, now: Time, report: &LoadReport) {
        (**self).reported(node, now, report);
    }

    fn set_model(&self, model: Arc<Model>) -> Result<(), ConfigError> {
        (**self).set_model(model)
    }

    fn fallbacks(&self) -> Vec<(Fallback, u64)> {
        (**self).fallbacks()
    }

    fn model_hash(&self) -> Option<u64> {
        (**self).model_hash()
    }

    fn probing(&self) -> Option<&dyn Probing> {
        (**self).probing()
    }
}

/// A policy bound to one group of endpoints.
pub trait Picker: fmt::Debug + Send + Sync {
    /// Chooses one of the eligible candidates. Takes no lock and allocates nothing.
    ///
    /// # Errors
    /// A [`Refusal`] if it has no answer; somebody else then chooses.
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal>;

    /// Appends those whose load it would like to know before it picks for this request; usually none.
    fn asks_before(&self, _candidates: &Candidates<'_>, _rng: &mut Rng, _out: &mut Vec<Arc<Node>>) {
    }

    /// Takes what was measured since the last time into account. [`Balancer::tick`](crate::Balancer::tick)
    /// calls it now and then, off the request path, beside picks.
    fn tick(&self, _now: Time) {}

    /// The probability with which [`Picker::pick`] would now choose each candidate, written to `out`
    /// (one entry a candidate, already zero). False if it cannot tell; then the decision log says so.
    fn propensities(&self, _candidates: &Candidates<'_>, _out: &mut [f64]) -> bool {
        false
    }

    /// The same given who made the choice. A picker that hands some choices on to another answers for
    /// the one that chose; for all others it makes no difference.
    fn propensities_by(&self, _mode: Mode, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        self.propensities(candidates, out)
    }

    /// What the picker compares candidates by, lower first; NaN if nothing. For logs.
    fn score(&self, _candidates: &Candidates<'_>, _index: usize) -> f64 {
        f64::NAN
    }
}

/// A picker's answer: which candidate, who chose it, and what is predicted of the request there.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Index into the candidates.
    pub index: usize,
    // Microseconds in 32 bits, over an hour: copied on every pick, so it is small.
    cost: u32,
    wait: u32,
    hold: Hold,
    /// Who chose.
    pub mode: Mode,
}

impl Choice {
    /// Predicts the service cost, which is held against the endpoint while the request is there, and the
    /// wait before its service, which is held against the outcome. Both end at 71 minutes.
    pub fn predicting(mut self, cost: Duration, wait: Duration) -> Self {
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        (self.cost, self.wait) = (micros(cost), micros(wait));
        self
    }

    /// Says that the endpoint is done with the predicted cost when the answer's first byte is here: the
    /// prefill of an LLM request, after which only its decoding is left.
    pub fn until_first_byte(mut self) -> Self {
        self.hold = Hold::ToFirstByte;
        self
    }

    /// Says who chose.
    #[inline]
    pub fn by(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How long the cost is held against the endpoint.
    #[inline]
    pub(crate) fn hold(&self) -> Hold {
        self.hold
    }

    /// Predicted service cost in microseconds.
    #[inline]
    pub(crate) fn cost_micros(&self) -> u32 {
        self.cost
    }

    /// Predicted wait in microseconds.
    #[inline]
    pub(crate) fn wait_micros(&self) -> u32 {
        self.wait
    }
}

impl From<usize> for Choice {
    #[inline]
    fn from(index: usize) -> Self {
        Self { index, cost: 0, wait: 0, hold: Hold::ToEnd, mode: Mode::Policy }
    }
}

/// How long a predicted cost is held against the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Until the request ends.
    ToEnd,
    /// Until the first byte of its answer, or its end before that.
    ToFirstByte,
}

/// Who made a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The configured policy.
    Policy,
    /// Uniform chance, for the decision log.
    Explored,
    /// A fallback policy, and why.
    Fallback(Fallback),
}

/// Why a fallback policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fallback {
    /// There is no model (yet).
    NoModel,
    /// The model was made for other features.
    FeatureHash,
    /// The model is older than allowed.
    Stale,
    /// The request's class is not in the model, or in too few rows.
    UnsupportedClass,
    /// A candidate's archetype has too few rows for the class.
    UnsupportedCell,
    /// A score is not a number.
    NotANumber,
    /// The policy chose nobody, or somebody not eligible.
    Invalid,
    /// The policy's requests fail, or it panicked: its breaker is open.
    BreakerOpen,
    /// The policy panicked.
    Panicked,
}

impl Fallback {
    /// All reasons, for counters.
    pub const ALL: [Self; 9] = [
        Self::NoModel,
        Self::FeatureHash,
        Self::Stale,
        Self::UnsupportedClass,
        Self::UnsupportedCell,
        Self::NotANumber,
        Self::Invalid,
        Self::BreakerOpen,
        Self::Panicked,
    ];

    /// As logs and metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoModel => "no_model",
            Self::FeatureHash => "feature_hash",
            Self::Stale => "stale",
            Self::UnsupportedClass => "unsupported_class",
            Self::UnsupportedCell => "unsupported_cell",
            Self::NotANumber => "not_a_number",
            Self::Invalid => "invalid",
            Self::BreakerOpen => "breaker_open",
            Self::Panicked => "panicked",
        }
    }
}

/// Why a picker gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No candidate of this group is eligible.
    NoneEligible,
    /// It cannot tell; a fallback should.
    Fallback(Fallback),
}

/// How a request ended, for policies that learn.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Feedback<'a> {
    /// Where it had gone.
    pub node: &'a Node,
    /// When it ended.
    pub now: Time,
    /// From the pick to the end.
    pub latency: Duration,
    /// `None` if it was cancelled or says nothing of the endpoint.
    pub success: Option<bool>,
    /// The service cost predicted by the choice.
    pub charge: Duration,
    /// The wait before its service predicted by the choice.
    pub expected_wait: Duration,
    /// Who had chosen.
    pub mode: Mode,
}
