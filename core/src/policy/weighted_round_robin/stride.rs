//! Turns by weight: static stride.
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
//! Weights {1, 2, 3} from sequence 0 give 1,2,2,0,1,2,1,2,2,0,1,2. Equal weights give round robin.
//! Cost: max / mean tries a pick, at most 10 on average.

use crate::sync::{AtomicU32, Ordering};

const K: u64 = 65_535;
const CAP: f64 = 10.0;
const FLOOR: f64 = 0.01;

/// Weights on a scale to K, which the heaviest has; empty if there are none.
#[derive(Debug, PartialEq)]
pub(super) struct Turns(Box<[u16]>);

impl Turns {
    pub(super) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let cap = weights.iter().copied().fold(0.0, f64::max).min(CAP * mean);
        let scale = K as f64 / cap;
        let floor = (scale * mean * FLOOR).ceil();
        Self(weights.iter().map(|w| (w.min(cap) * scale).round().max(floor) as u16).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many turns it gets, relative to the others.
    pub(super) fn share(&self, index: usize) -> f64 {
        f64::from(self.0[index])
    }

    /// Whose turn it is; `None` without endpoints.
    #[inline]
    pub(super) fn next(&self, sequence: &AtomicU32) -> Option<usize> {
        let n = self.0.len() as u64;
        loop {
            let sequence = u64::from(sequence.fetch_add(1, Ordering::Relaxed));
            let (index, generation) = (sequence.checked_rem(n)?, sequence / n);
            let weight = u64::from(self.0[index as usize]);
            if (weight * generation + index * (K / 2)) % K >= K - weight {
                return Some(index as usize);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn shares(weights: &[f64], picks: usize) -> Vec<f64> {
        let (turns, sequence) = (Turns::new(weights), AtomicU32::new(0));
        let mut counts = vec![0.0; weights.len()];
        for _ in 0..picks {
            counts[turns.next(&sequence).unwrap()] += 1.0;
        }
        counts.iter().map(|c| c / picks as f64).collect()
    }

    #[test]
    fn golden_vector() {
        let (turns, sequence) = (Turns::new(&[1.0, 2.0, 3.0]), AtomicU32::new(0));
        let picks: Vec<_> = (0..12).map(|_| turns.next(&sequence).unwrap()).collect();
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
