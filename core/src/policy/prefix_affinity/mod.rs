//! Prefix affinity for LLM serving: to the replica that has the prompt's beginning in its cache,
//! unless that costs more than computing it anew elsewhere.
//!
//! Uncoordinated clients each see few requests, so what they learn of the caches is worthless: with 64
//! clients a learned tree finds as little as chance does. So affinity comes from hashing: rendezvous
//! ranks the replicas for the prompt's first blocks, alike at every client, and each conversation
//! fills the caches of its first few replicas only. Among these and two drawn at random (the way out
//! when they are busy) the lowest cost in tokens wins:
//!
//! ```text
//! cost = (new + (queued + decode x output x running) / weight) / success rate
//! new     = prompt x (1 - cached x falloff^rank); prompt at the drawn ones
//! queued  = prompt tokens waiting there: reported, less what it has computed since, plus own since
//! running = requests there: reported, plus own since
//! ```
//!
//! Reports are old when they are used, and where requests are many or few servers have them all clients run
//! after the same news. A data plane that can, asks the candidates first
//! ([`Balancer::asks_before`](crate::Balancer::asks_before)): those that the prompt names and three drawn.
//! That is a round trip and six small questions a request, next to a prompt's seconds of computing, and
//! the lowest cost of those that answered wins.
//!
//! Sources: rendezvous by Thaler and Ravishankar; new tokens plus tokens in flight as in `LMetric`
//! (OSDI '26), whose product with the running requests gave up more hits than it won and became a sum;
//! KV-cache pressure and credit for what was sent since a report from queue-aware routers. The ranks are
//! in `ranks.rs`, the cost in `cost.rs`.
//!
//! Failures guarded against:
//! - a system prompt that all share makes one key of all requests: a key from deeper in the prompt
//!   gives one candidate more, and the cost leads there;
//! - one hot prefix drowning its replica: candidates with more requests than `bound` times the mean
//!   are passed over, so the next in rank gets them, and then the drawn ones;
//! - one that has not reported of late looks idle beside others that have: it counts as their mean;
//! - a replica that fails fast looks idle: its cost is that of the attempts an answer takes.
//!
//! Without a prompt it is `peak_ewma`. Cost: the ranks for two keys, some nanoseconds an endpoint up to
//! 1,024 of them and no more above; then up to 16 endpoints are looked at for the mean, and five compared.

mod config;
mod cost;
mod ranks;

use std::sync::Arc;

pub use config::PrefixAffinityConfig;

use self::{
    cost::{Costs, Load},
    ranks::{Ranked, Ranks},
};
use super::{Candidates, Choice, PeakEwma, Picker, Policy, Refusal, candidates::SCAN_UP_TO};
use crate::{error::ConfigError, node::Node, prompt::Prompt, rng::Rng};

/// Candidates drawn at random beside those that the prompt's hash names.
const DRAWN: usize = 2;
/// The same where they are asked for their load: what they say is true, so nobody runs after old news.
const DRAWN_TO_ASK: usize = 3;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct PrefixAffinity {
    config: PrefixAffinityConfig,
}

impl PrefixAffinity {
    /// With these settings.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`], which names the setting.
    pub fn new(config: PrefixAffinityConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config })
    }
}

impl Policy for PrefixAffinity {
    fn name(&self) -> &'static str {
        "prefix_affinity"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let sum: f64 = group.iter().map(|node| f64::from(node.weight())).sum();
        Box::new(Affine {
            config: self.config,
            ranks: Ranks::new(group),
            mean_weight: sum / (group.len() as f64).max(1.0),
            without_prompt: PeakEwma::default(),
        })
    }
}

#[derive(Debug)]
struct Affine {
    config: PrefixAffinityConfig,
    ranks: Ranks,
    mean_weight: f64,
    without_prompt: PeakEwma,
}

impl Affine {
    /// The replicas that have the prompt's beginning if any have, the most likely first, each with the
    /// share of the prompt it is credited with.
    fn named(&self, candidates: &Candidates<'_>, prompt: &Prompt<'_>) -> Ranked {
        let config = &self.config;
        let mut named = Ranked::default();
        let last = prompt.blocks.len().saturating_sub(1);
        if last == 0 {
            return named;
        }
        let key = prompt.blocks[last.min(config.key_blocks - 1)];
        let mut credit = config.cached;
        for index in self.ranks.top(key, config.candidates, candidates) {
            named.push(index, credit);
            credit *= config.falloff;
        }
        if last >= config.key_blocks && config.deep_blocks > config.key_blocks {
            let key = prompt.blocks[last.min(config.deep_blocks - 1)];
            for index in self.ranks.top(key, 1, candidates) {
                named.push(index, config.cached_deep);
            }
        }
        named
    }

    fn costs(&self, prompt: &Prompt<'_>, candidates: &Candidates<'_>, unheard: Load) -> Costs<'_> {
        Costs::new(&self.config, prompt, candidates.now, self.mean_weight, unheard)
    }

    /// Looks at up to 16 endpoints: what is taken to be at one that has not reported of late, and how many
    /// requests are too many.
    fn survey(
        &self,
        prompt: &Prompt<'_>,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> (Costs<'_>, f64) {
        let n = candidates.len();
        let mut places = [0; SCAN_UP_TO];
        let mut seen = 0;
        for place in 0..n.min(SCAN_UP_TO) {
            let index = if n <= SCAN_UP_TO { place } else { rng.below(n) };
            if candidates.is_eligible(index) {
                places[seen] = index;
                seen += 1;
            }
        }
        let nodes = || places[..seen].iter().map(|index| &**candidates.node(*index));
        let mut costs = self.costs(prompt, candidates, Load::default());
        costs.learn_unheard(nodes());
        let running: f64 = nodes().map(|node| costs.running(node)).sum();
        let limit = self.config.bound * running / f64::max(seen as f64, 1.0);
        (costs, limit.max(self.config.bound_from))
    }

    fn with_prompt(
        &self,
        prompt: &Prompt<'_>,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> Option<Choice> {
        let named = self.named(candidates, prompt);
        let (costs, limit) = self.survey(prompt, candidates, rng);
        let mut best: Option<(f64, usize, f64)> = None;
        let mut consider = |index: usize, credit: f64| {
            let cost = costs.of(candidates.node(index), credit);
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, index, credit));
            }
        };
        for (index, credit) in named.iter() {
            if costs.running(candidates.node(index)) <= limit {
                consider(index, credit);
            }
        }
        for _ in 0..DRAWN {
            let index = candidates.draw(rng)?;
            if !named.iter().any(|(known, _)| known == index) {
                consider(index, 0.0);
            }
        }
        let (_, index, credit) = match best {
            Some(best) => best,
            // All are over the limit, and chance drew the same again.
            None => (0.0, candidates.draw(rng)?, 0.0),
        };
        Some(choice(index, &costs, credit))
    }

    /// The best of those that were just asked.
    fn of_asked(&self, prompt: &Prompt<'_>, candidates: &Candidates<'_>) -> Option<Choice> {
        let asked = candidates.context.asked;
        if asked.is_empty() {
            return None;
        }
        let named = self.named(candidates, prompt);
        let costs = self.costs(prompt, candidates, Load::default());
        let mut best: Option<(f64, usize)> = None;
        for index in candidates.eligible() {
            let node = candidates.node(index);
            if !asked.contains(node.id()) {
                continue;
            }
            let cost = costs.of(node, named.credit(index));
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, index));
            }
        }
        best.map(|(_, index)| choice(index, &costs, named.credit(index)))
    }
}

fn choice(index: usize, costs: &Costs<'_>, credit: f64) -> Choice {
    Choice::from(index)
        .predicting(costs.prefill_time(credit), std::time::Duration::ZERO)
        .until_first_byte()
}

impl Picker for Affine {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let Some(prompt) = &candidates.context.prompt else {
            return self.without_prompt.pick(candidates, rng);
        };
        self.of_asked(prompt, candidates)
            .or_else(|| self.with_prompt(prompt, candidates, rng))
            .ok_or(Refusal::NoneEligible)
    }

    fn asks_before(&self, candidates: &Candidates<'_>, rng: &mut Rng, out: &mut Vec<Arc<Node>>) {
        let Some(prompt) = &candidates.context.prompt else { return };
        let before = out.len();
        candidates.draw_distinct(DRAWN_TO_ASK, rng, out);
        for (index, _) in self.named(candidates, prompt).iter() {
            let node = candidates.node(index);
            if !out[before..].iter().any(|known| Arc::ptr_eq(known, node)) {
                out.push(Arc::clone(node));
            }
        }
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        // With a prompt the limit itself is drawn, in a large fleet.
        candidates.context.prompt.is_none() && self.without_prompt.propensities(candidates, out)
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let Some(prompt) = &candidates.context.prompt else {
            return self.without_prompt.score(candidates, index);
        };
        let credit = self.named(candidates, prompt).credit(index);
        self.costs(prompt, candidates, Load::default()).of(candidates.node(index), credit)
    }
}
