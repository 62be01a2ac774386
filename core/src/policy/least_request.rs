//! Least request: the fewest in flight of a few drawn at random.
//!
//! Source: gRFC A48 and Envoy. `choices` endpoints are drawn with replacement and the one with the
//! lowest `(in flight + 1) / weight` wins, the earlier draw on a tie. Two choices already take most
//! of the imbalance of random (Mitzenmacher) without the herding of a full scan.

use std::sync::Arc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{error::ConfigError, node::Node, rng::Rng};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct LeastRequest {
    choices: u8,
}

impl LeastRequest {
    /// Draws `choices` endpoints a pick, 2 to 10 (gRFC A48's range).
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] outside that.
    pub fn with_choices(choices: u8) -> Result<Self, ConfigError> {
        if (2..=10).contains(&choices) {
            return Ok(Self { choices });
        }
        Err(ConfigError::OutOfRange {
            name: "choices",
            value: f64::from(choices),
            allowed: "[2, 10]",
        })
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { choices: 2 }
    }
}

impl Policy for LeastRequest {
    fn name(&self) -> &'static str {
        "least_request"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

impl Picker for LeastRequest {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let mut best = candidates.draw(rng).ok_or(Refusal::NoneEligible)?;
        let mut least = load(candidates.node(best));
        for _ in 1..self.choices {
            let Some(other) = candidates.draw(rng) else { break };
            let load = load(candidates.node(other));
            if load < least {
                (best, least) = (other, load);
            }
        }
        Ok(best.into())
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        let score = |i| self.score(candidates, i);
        propensity::with_replacement(candidates, usize::from(self.choices), score, out);
        true
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        f64::from(load(candidates.node(index)))
    }
}

#[inline]
fn load(node: &Node) -> f32 {
    (node.in_flight() as f32 + 1.0) / node.weight()
}
