//! What a request costs at a replica, in prompt tokens: those to compute for it, those that wait there
//! already, and what decoding beside others is worth of them.
//!
//! A report is a moment of the past. Since then the server has computed tokens at its rate, and this
//! client has sent and seen ended requests of its own; both are reckoned in, so that a report's
//! interval of own requests does not all go to the replica that was idle when it came. Where there is no
//! report of late, but others have sent one, theirs stand in for it: silence is not idleness. With none
//! at all own requests in flight are all that is known.

use std::time::Duration;

use super::PrefixAffinityConfig;
use crate::{node::Node, prompt::Prompt, time::Time};

/// Tokens of an answer of which nothing is known.
const OUTPUT: f64 = 256.0;
/// Of a prompt like this one, what a running request has yet to compute, where the server does not tell:
/// most are past their prompt.
const RUNNING_SHARE: f64 = 0.3;
/// Tokens that a waiting or running request stands for at least.
const TYPICAL_PROMPT: f64 = 8_192.0;
/// What a full KV cache costs, in seconds of prefill: times `k / (1 - k)`, the usage `k`.
const KV_PRESSURE: f64 = 0.15;
/// Usage counts as at most this.
const KV_FULL: f64 = 0.99;

/// One request's cost, anywhere.
pub(super) struct Costs<'a> {
    config: &'a PrefixAffinityConfig,
    prompt: f64,
    output: f64,
    now: Time,
    mean_weight: f64,
    /// At an endpoint of mean weight that has not reported of late.
    unheard: Load,
}

impl<'a> Costs<'a> {
    pub(super) fn new(
        config: &'a PrefixAffinityConfig,
        prompt: &Prompt<'_>,
        now: Time,
        mean_weight: f64,
        unheard: Load,
    ) -> Self {
        let output = prompt.output_tokens.map_or(OUTPUT, f64::from);
        Self { config, prompt: f64::from(prompt.tokens), output, now, mean_weight, unheard }
    }

    /// Takes those that have not reported of late to be like the mean of those of `nodes` that have, if
    /// these are at least half: one busy replica does not make a busy fleet.
    pub(super) fn learn_unheard<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>) {
        let (mut sum, mut heard, mut silent) = (Load::default(), 0.0, 0.0);
        for node in nodes {
            let Some(load) = self.reported(node) else {
                silent += 1.0;
                continue;
            };
            sum.queued += load.queued / self.share(node);
            sum.running += load.running / self.share(node);
            heard += 1.0;
        }
        if heard > 0.0 && heard >= silent {
            self.unheard = Load { queued: sum.queued / heard, running: sum.running / heard };
        }
    }

    /// In tokens, at `node`, which is credited with having `credit` of the prompt in its cache.
    pub(super) fn of(&self, node: &Node, credit: f64) -> f64 {
        let load = self.load(node);
        let decode = self.config.decode_cost * self.output * load.running;
        let tokens = self.new_tokens(credit) + (load.queued + decode) / self.share(node);
        let success = node.recent(self.now).rate().unwrap_or(1.0);
        tokens.max(1.0) / success
    }

    /// Requests at `node` as far as is known, for an endpoint of mean weight.
    pub(super) fn running(&self, node: &Node) -> f64 {
        self.load(node).running / self.share(node)
    }

    /// How long the prompt takes to compute, less the credit.
    pub(super) fn prefill_time(&self, credit: f64) -> Duration {
        Duration::try_from_secs_f64(self.new_tokens(credit) / self.config.prefill_rate)
            .unwrap_or(Duration::MAX)
    }

    /// What of the load it is there to take, relative to the others. The prompt's own tokens are not
    /// divided by it: the ranks see to it that it gets its share of prompts.
    fn share(&self, node: &Node) -> f64 {
        f64::from(node.weight()) / self.mean_weight
    }

    fn new_tokens(&self, credit: f64) -> f64 {
        self.prompt * (1.0 - credit)
    }

    fn load(&self, node: &Node) -> Load {
        self.reported(node).unwrap_or_else(|| {
            let (own, share) = (self.own(node), self.share(node));
            Load {
                queued: own.queued.max(self.unheard.queued * share),
                running: own.running.max(self.unheard.running * share),
            }
        })
    }

    /// This client's own.
    fn own(&self, node: &Node) -> Load {
        let queued = node.work_in_flight().as_secs_f64() * self.config.prefill_rate;
        Load { queued, running: f64::from(node.in_flight()) }
    }

    /// By the last report, if it is of late.
    fn reported(&self, node: &Node) -> Option<Load> {
        let rate = self.config.prefill_rate;
        let report = node.llm_load()?;
        let age = self.now.since(report.at);
        if age > self.config.report_max_age {
            return None;
        }
        let own = self.own(node);
        let guess = (report.waiting + RUNNING_SHARE * report.running) * TYPICAL_PROMPT;
        let told = report.prompt_tokens.unwrap_or(guess);
        let left = (told - age.as_secs_f64() * rate).max(0.0);
        let since = own.queued - report.own_work.as_secs_f64() * rate;
        let kv = report.kv_usage.min(KV_FULL);
        let requests_since = own.running - f64::from(report.own_in_flight);
        let pressure = KV_PRESSURE * rate * kv / (1.0 - kv);
        Some(Load {
            queued: (left + since).max(0.0) + pressure,
            running: (report.running + report.waiting + requests_since).max(own.running),
        })
    }
}

/// What is at a replica.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    /// Prompt tokens to compute.
    queued: f64,
    /// Requests, waiting ones included.
    running: f64,
}
