//! The settings of prefix affinity, each with its reason.

use std::time::Duration;

use super::ranks::MOST;
use crate::error::ConfigError;

/// Settings of [`PrefixAffinity`](super::PrefixAffinity).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PrefixAffinityConfig {
    /// Leading blocks of the prompt that make its key; 3. Long enough to tell conversations apart behind
    /// a short common beginning, short enough to be the same from a conversation's first turn.
    /// A shorter prompt's key is made of what it has, but not of one block: that is often everybody's.
    pub key_blocks: usize,
    /// Replicas that share a key, 1 to 7; 2.
    pub candidates: usize,
    /// Blocks that make a second, deeper key, which gives one candidate more; 12. It tells
    /// conversations apart where a long system prompt makes the first key the same for all. Not above
    /// `key_blocks`: no second key.
    pub deep_blocks: usize,
    /// Share of a prompt that is taken to be cached at the first candidate, 0 to 1; 0.8. Higher keeps
    /// requests together, lower evens out the load.
    pub cached: f64,
    /// The same at each next candidate, relative to the one before, 0 to 1; 0.3. Well below 1, or
    /// requests of one conversation take turns and every one of them is computed anew.
    pub falloff: f64,
    /// The same at the deeper key's candidate, 0 to 1; 0.5.
    pub cached_deep: f64,
    /// Prompt tokens that a replica computes a second; 8,000. For own work in flight, and for how far a
    /// reported queue has gone down since.
    pub prefill_rate: f64,
    /// What a request already running at a replica costs one that is to decode there, in prompt tokens
    /// for each token of the answer, 0 or more; 1. Replicas measured lie between 1 and 3.
    pub decode_cost: f64,
    /// A candidate with more requests than this factor times the fleet's mean is passed over, above 1;
    /// 2.
    pub bound: f64,
    /// Requests that never are too many, at least 1; 8.
    pub bound_from: f64,
    /// Load reports older than this say nothing any more; 10 s.
    pub report_max_age: Duration,
}

impl Default for PrefixAffinityConfig {
    fn default() -> Self {
        Self {
            key_blocks: 3,
            candidates: 2,
            deep_blocks: 12,
            cached: 0.8,
            falloff: 0.3,
            cached_deep: 0.5,
            prefill_rate: 8_000.0,
            decode_cost: 1.0,
            bound: 2.0,
            bound_from: 8.0,
            report_max_age: Duration::from_secs(10),
        }
    }
}

impl PrefixAffinityConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let within = |name, value: f64, allowed, holds: bool| {
            if holds { Ok(()) } else { Err(ConfigError::OutOfRange { name, value, allowed }) }
        };
        let share = |name, value| within(name, value, "[0, 1]", (0.0..=1.0).contains(&value));
        within("key_blocks", self.key_blocks as f64, "[1, inf)", self.key_blocks >= 1)?;
        within(
            "candidates",
            self.candidates as f64,
            "[1, 7]",
            (1..MOST).contains(&self.candidates),
        )?;
        share("cached", self.cached)?;
        share("falloff", self.falloff)?;
        share("cached_deep", self.cached_deep)?;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        within("prefill_rate", self.prefill_rate, "(0, inf)", positive(self.prefill_rate))?;
        let finite = self.decode_cost.is_finite() && self.decode_cost >= 0.0;
        within("decode_cost", self.decode_cost, "[0, inf)", finite)?;
        within("bound", self.bound, "(1, inf]", self.bound > 1.0)?;
        within("bound_from", self.bound_from, "[1, inf]", self.bound_from >= 1.0)?;
        let age = self.report_max_age.as_secs_f64();
        within("report_max_age", age, "(0, inf)", age > 0.0)
    }
}
