//! Peak-EWMA with the power of two choices.
//!
//! Source: Finagle's `p2c` with peak-EWMA; linkerd2-proxy. Of two distinct endpoints drawn at random,
//! the one with the lower `peak latency x (in flight + 1) / weight` is chosen.
//!
//! An endpoint without a measurement costs nothing while nothing is in flight there and a large
//! penalty otherwise, so a new one gets one probing request at a time. What else it guards against
//! stands in `signal/latency.rs`. Cost: two draws and two cache lines, whatever the size
//! of the fleet.

use std::sync::Arc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{node::Node, rng::Rng, time::Time};

/// An unmeasured endpoint that already has its probing request: worse than any measured one.
const UNMEASURED: f64 = 1e15;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PeakEwma {}

impl Policy for PeakEwma {
    fn name(&self) -> &'static str {
        "peak_ewma"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(*self)
    }
}

impl Picker for PeakEwma {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let (a, b) = candidates.draw_two(rng).ok_or(Refusal::NoneEligible)?;
        if a == b {
            return Ok(a.into());
        }
        let now = candidates.now;
        let better = load(candidates.node(b), now) < load(candidates.node(a), now);
        Ok(if better { b } else { a }.into())
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        propensity::two_distinct(candidates, |i| self.score(candidates, i), out);
        true
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        load(candidates.node(index), candidates.now)
    }
}

/// Expected cost of sending one more request to `node`, in nanoseconds.
#[inline]
pub(super) fn load(node: &Node, now: Time) -> f64 {
    let peak = node.peak_latency(now).map(f64::from);
    expected_cost(peak, f64::from(node.in_flight()), f64::from(node.weight()))
}

/// The formula, in the unit of `peak`; evaluation applies it to logged candidates.
#[inline]
pub(crate) fn expected_cost(peak: Option<f64>, in_flight: f64, weight: f64) -> f64 {
    let cost = match peak {
        Some(peak) => peak,
        None if in_flight == 0.0 => 0.0,
        None => UNMEASURED,
    };
    cost * (in_flight + 1.0) / weight
}
