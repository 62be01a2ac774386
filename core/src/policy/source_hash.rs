//! Source hash: the same key to the same endpoint, by position.
//!
//! `hash(key) mod n`, then onwards to the next eligible one. Simple and even, but most keys move when
//! the fleet changes; `rendezvous` moves only those of the endpoint that left. Without a key the
//! choice is random.

use std::sync::Arc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{node::Node, rng::Rng};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SourceHash {}

impl Policy for SourceHash {
    fn name(&self) -> &'static str {
        "source_hash"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

fn place(candidates: &Candidates<'_>, key: u64) -> Option<usize> {
    let n = candidates.len();
    let first = usize::try_from(key % u64::try_from(n).ok()?.max(1)).ok()?;
    (first..n).chain(0..first).find(|index| candidates.is_eligible(*index))
}

impl Picker for SourceHash {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let index = match candidates.context.key {
            Some(key) => place(candidates, key),
            None => candidates.draw(rng),
        };
        index.map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        match candidates.context.key {
            Some(key) => {
                if let Some(index) = place(candidates, key) {
                    out[index] = 1.0;
                }
            }
            None => propensity::proportional(candidates, |_| 1.0, out),
        }
        true
    }
}
