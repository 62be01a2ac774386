//! Weighted round robin by static stride.
//!
//! Source: gRFC A58 and gRPC C-core. Weights are scaled so that the heaviest is K = 65535, weights
//! above 10 x the mean being capped first and none falling under 1 % of the mean (C-core; Go does
//! neither, Java's floor is 10 %). A sequence number names an endpoint and a generation; an endpoint
//! of weight w is passed over in all generations but w / K of them, spread evenly:
//!
//! ```text
//! i = seq % n; g = seq / n;  pass over if (w[i] g + i K/2) % K < K - w[i]
//! ```
//!
//! Weights {1, 2, 3} from sequence 0 give 1,2,2,0,1,2,1,2,2,0,1,2. Cost: max / mean tries a pick, at
//! most 10 on average.

use std::sync::Arc as StdArc;

use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{
    node::Node,
    rng::Rng,
    sync::{Arc, AtomicU32, Ordering},
};

const K: u64 = 65_535;
const CAP: f64 = 10.0;
const FLOOR: f64 = 0.01;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct WeightedRoundRobin {
    sequence: Arc<AtomicU32>,
}

impl WeightedRoundRobin {
    /// Starts from sequence number `start`; give each client its own.
    pub fn starting_at(start: u32) -> Self {
        Self { sequence: Arc::new(AtomicU32::new(start)) }
    }
}

impl Default for WeightedRoundRobin {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl Policy for WeightedRoundRobin {
    fn name(&self) -> &'static str {
        "weighted_round_robin"
    }

    fn picker(&self, group: &[StdArc<Node>]) -> Box<dyn Picker> {
        let weights: Vec<f64> = group.iter().map(|node| f64::from(node.weight())).collect();
        Box::new(Stride { weights: scale(&weights), sequence: Arc::clone(&self.sequence) })
    }
}

/// Weights on a scale to K, which the heaviest has; empty if there are none.
fn scale(weights: &[f64]) -> Box<[u16]> {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let cap = weights.iter().copied().fold(0.0, f64::max).min(CAP * mean);
    let scale = K as f64 / cap;
    let floor = (scale * mean * FLOOR).ceil();
    weights.iter().map(|w| (w.min(cap) * scale).round().max(floor) as u16).collect()
}

#[derive(Debug)]
struct Stride {
    weights: Box<[u16]>,
    sequence: Arc<AtomicU32>,
}

impl Stride {
    fn next(&self) -> Option<usize> {
        let n = self.weights.len() as u64;
        loop {
            let sequence = u64::from(self.sequence.fetch_add(1, Ordering::Relaxed));
            let (index, generation) = (sequence % n, sequence / n);
            let weight = u64::from(*self.weights.get(index as usize)?);
            if (weight * generation + index * (K / 2)) % K >= K - weight {
                return Some(index as usize);
            }
        }
    }
}

impl Picker for Stride {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        if self.weights.is_empty() {
            return Err(Refusal::NoneEligible);
        }
        for _ in 0..=self.weights.len() {
            match self.next() {
                Some(index) if candidates.is_eligible(index) => return Ok(index.into()),
                _ => {}
            }
        }
        // The few that are eligible are light: their turn may be far.
        candidates.draw(rng).map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        propensity::proportional(candidates, |i| f64::from(self.weights[i]), out);
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn shares(weights: &[f64], picks: usize) -> Vec<f64> {
        let stride = Stride { weights: scale(weights), sequence: Arc::default() };
        let mut counts = vec![0.0; weights.len()];
        for _ in 0..picks {
            counts[stride.next().unwrap()] += 1.0;
        }
        counts.iter().map(|c| c / picks as f64).collect()
    }

    #[test]
    fn golden_vector() {
        let stride = Stride { weights: scale(&[1.0, 2.0, 3.0]), sequence: Arc::default() };
        let picks: Vec<_> = (0..12).map(|_| stride.next().unwrap()).collect();
        assert_eq!(picks, [1, 2, 2, 0, 1, 2, 1, 2, 2, 0, 1, 2]);
    }

    #[test]
    fn a_heavy_endpoint_gets_what_c_core_gives_it() {
        let last = shares(&[1.0, 1.0, 100.0], 100_000)[2];
        assert!((last - 0.980).abs() < 0.001, "{last}");
    }

    #[test]
    fn extreme_weights_are_capped_and_floored() {
        let mut weights = vec![1.0; 100];
        weights[0] = 1e30;
        let shares = shares(&weights, 1_000_000);
        assert!(shares[0] < 0.95 && shares[99] > 0.0, "{} {}", shares[0], shares[99]);
    }
}
