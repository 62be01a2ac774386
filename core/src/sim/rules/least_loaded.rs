//! Least loaded: the fewest of the client's own requests in flight, of all endpoints.
//!
//! Source: the `LeastLoaded` of Prequal's section 5.2. A client sees only its own part of a server's load,
//! so with many clients it is nearly blind, and its ties, which are most picks then, are broken at random.
//! Cost: a look at every endpoint.

use std::sync::Arc;

use crate::{
    node::Node,
    policy::{Candidates, Choice, Picker, Policy, Refusal},
    rng::Rng,
};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastLoaded {}

impl Policy for LeastLoaded {
    fn name(&self) -> &'static str {
        "least_loaded"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

impl Picker for LeastLoaded {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let least = candidates.least(|index| self.score(candidates, index), rng);
        least.map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        f64::from(candidates.node(index).in_flight())
    }
}
