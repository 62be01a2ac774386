//! Each in turn, whatever its weight.
//!
//! One counter, started at random so that many clients do not march in step; ineligible endpoints are
//! passed over. The counter outlives snapshots.

use std::sync::Arc as StdArc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{
    node::Node,
    rng::Rng,
    sync::{Arc, AtomicU32, Ordering},
};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct RoundRobin {
    next: Arc<AtomicU32>,
}

impl RoundRobin {
    /// Starts at the `start`-th endpoint; give each client its own.
    pub fn starting_at(start: u32) -> Self {
        Self { next: Arc::new(AtomicU32::new(start)) }
    }
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn picker(&self, _: &[StdArc<Node>]) -> Box<dyn Picker> {
        Box::new(self.clone())
    }
}

impl Picker for RoundRobin {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
        let n = candidates.len();
        for _ in 0..n {
            let index = self.next.fetch_add(1, Ordering::Relaxed) as usize % n;
            if candidates.is_eligible(index) {
                return Ok(index.into());
            }
        }
        // Other threads may have taken the turns of the eligible ones.
        candidates.eligible().next().map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        // Over the counter's random start; the request has no say in it.
        propensity::proportional(candidates, |_| 1.0, out);
        true
    }
}
