//! Rendezvous hashing: every endpoint is ranked for the key, the highest rank wins.
//!
//! Source: Thaler and Ravishankar, 1998; weights by Schindelhauer and Schomaker's logarithmic method.
//! The rank is XXH64 of the address seeded with the key's hash; with unequal weights it becomes
//! `-ln(u) / weight`, u the rank as a fraction, and the lowest wins. When an endpoint leaves only its
//! own keys move, and clients agree without talking. Without a key the choice is random.
//!
//! Cost: one hash an endpoint and pick, about 4 ns each; for thousands of endpoints prefer a table.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{node::Node, rng::Rng};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Rendezvous {}

impl Policy for Rendezvous {
    fn name(&self) -> &'static str {
        "rendezvous"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let weighted = group.windows(2).any(|pair| pair[0].weight() != pair[1].weight());
        Box::new(Ranks { weighted })
    }
}

#[derive(Debug)]
struct Ranks {
    weighted: bool,
}

impl Ranks {
    fn highest(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        let rank = |index: usize| xxh64(candidates.node(index).address().as_bytes(), key);
        if !self.weighted {
            return candidates.eligible().max_by_key(|index| rank(*index));
        }
        let cost = |index: usize| {
            let unit = ((rank(index) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            -unit.ln() / f64::from(candidates.node(index).weight())
        };
        candidates.eligible().min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
    }
}

impl Picker for Ranks {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let index = match candidates.context.key {
            Some(key) => self.highest(candidates, key),
            None => candidates.draw(rng),
        };
        index.map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        match candidates.context.key {
            Some(key) => {
                if let Some(index) = self.highest(candidates, key) {
                    out[index] = 1.0;
                }
            }
            None => propensity::proportional(candidates, |_| 1.0, out),
        }
        true
    }
}
