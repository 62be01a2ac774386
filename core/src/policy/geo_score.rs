//! The geographic score: performance, health and region in one number, the highest wins.
//!
//! ```text
//! performance = 1 / (1 + latency_ms / 1000)
//! score       = 0.5 performance + 0.3 health + 0.2 region     region: 1.0 the same, 0.8 another
//! ```
//!
//! Latency is [`Node::answer_time`], the mean of successes where none failed, or the estimated network
//! round trip before the first sample. By successes alone a server that fails at once would beat a
//! healthy one that takes two seconds. Health is the success rate of the last ten seconds. It scores
//! what locality tiers only order, so use it with locality off. All endpoints are compared up to 16, else two distinct ones drawn at random.

use std::sync::Arc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{locality::Place, node::Node, rng::Rng, time::Time};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct GeoScore {
    here: Place,
}

impl GeoScore {
    /// Scores as seen from `here`.
    pub fn new(here: Place) -> Self {
        Self { here }
    }
}

impl Policy for GeoScore {
    fn name(&self) -> &'static str {
        "geo_score"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let fixed = group
            .iter()
            .map(|node| {
                let endpoint = node.endpoint();
                let same = endpoint.locality().region == self.here.region;
                let trip = node.round_trip().or_else(|| self.here.estimated_round_trip(&endpoint));
                Fixed {
                    region: if same { 1.0 } else { 0.8 },
                    trip_ms: trip.map_or(0.0, |t| t.as_secs_f32() * 1e3),
                }
            })
            .collect();
        Box::new(Scores { fixed })
    }
}

/// What of an endpoint's score does not change with traffic.
#[derive(Debug)]
struct Fixed {
    region: f32,
    trip_ms: f32,
}

#[derive(Debug)]
struct Scores {
    fixed: Box<[Fixed]>,
}

impl Scores {
    fn score_of(&self, node: &Node, index: usize, now: Time) -> f64 {
        let fixed = &self.fixed[index];
        let latency_ms = node.answer_time(now).map_or(fixed.trip_ms, |nanos| nanos / 1e6);
        let performance = 1.0 / (1.0 + latency_ms / 1000.0);
        let health = node.recent(now).rate().unwrap_or(1.0) as f32;
        f64::from(0.5 * performance + 0.3 * health + 0.2 * fixed.region)
    }
}

impl Picker for Scores {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let best = candidates.least_or_of_two(|index| self.score(candidates, index), rng);
        best.map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        propensity::least_or_of_two(candidates, |index| self.score(candidates, index), out);
        true
    }

    /// Lower is better, so the score is negated.
    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        -self.score_of(candidates.node(index), index, candidates.now)
    }
}
