//! Least response time: the lowest mean latency x (in flight + 1) / weight.
//!
//! All endpoints are compared up to 16, else two distinct ones drawn at random: a full scan of a
//! large fleet costs more than it gains, and herds. The mean is the moving average of successes (time
//! to first byte); an endpoint not measured yet counts as the fastest while it is idle, so that it
//! gets its first request, and as the slowest while that is under way. An endpoint whose requests
//! fail would look fast by its successes, so [`Node::answer_time`] takes its failures into account.

use std::sync::Arc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{node::Node, rng::Rng, time::Time};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastResponseTime {}

impl Policy for LeastResponseTime {
    fn name(&self) -> &'static str {
        "least_response_time"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

impl Picker for LeastResponseTime {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let best = candidates.least_or_of_two(|index| self.score(candidates, index), rng);
        best.map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        propensity::least_or_of_two(candidates, |index| self.score(candidates, index), out);
        true
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        response_time(candidates.node(index), candidates.now)
    }
}

fn response_time(node: &Node, now: Time) -> f64 {
    let in_flight = f64::from(node.in_flight());
    let rate = node.recent(now).rate();
    let time = match node.answer_time_at(rate, now) {
        // What fails at once takes no time, so with rate s it is idle that much more often than one that
        // answers: without the second s its share would grow.
        Some(time) => f64::from(time) / rate.unwrap_or(1.0),
        None if in_flight == 0.0 => 0.0,
        None => f64::INFINITY,
    };
    time * (in_flight + 1.0) / f64::from(node.weight())
}
