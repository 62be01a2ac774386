//! Failures above a fixed share, whatever the others do.
//!
//! Source: gRFC A50. It stands beside the success rate, which is blind where many are dead alike.

use super::{percentage, sweep::Observed};
use crate::error::ConfigError;

/// Ejects by the share of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailurePercentageEjection {
    /// Ejected above this, in percent. Default 85.
    pub threshold: u32,
    /// The part of those found that is ejected, in percent. Default 100.
    pub enforcement_percentage: u32,
    /// Endpoints with enough requests below which nobody is judged. Default 5.
    pub minimum_hosts: usize,
    /// Requests in the interval below which an endpoint is not judged. Default 50.
    pub request_volume: u64,
}

impl Default for FailurePercentageEjection {
    fn default() -> Self {
        Self { threshold: 85, enforcement_percentage: 100, minimum_hosts: 5, request_volume: 50 }
    }
}

impl FailurePercentageEjection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        percentage("threshold", self.threshold)?;
        percentage("enforcement_percentage", self.enforcement_percentage)
    }

    /// The places of the outliers, worst first.
    pub(super) fn find(&self, fleet: &[Observed]) -> Vec<usize> {
        let volume = self.request_volume.max(1);
        let judged: Vec<(usize, &Observed)> =
            fleet.iter().enumerate().filter(|(_, seen)| seen.volume() >= volume).collect();
        if judged.len() < self.minimum_hosts {
            return Vec::new();
        }
        // In whole numbers, so that exactly the threshold is not above it.
        let above = |seen: &Observed| {
            u128::from(seen.counts.failures) * 100
                > u128::from(seen.volume()) * u128::from(self.threshold)
        };
        let mut found: Vec<(usize, f64)> = judged
            .into_iter()
            .filter(|(_, seen)| above(seen))
            .map(|(place, seen)| (place, seen.counts.failures as f64 / seen.volume() as f64))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.into_iter().map(|(place, _)| place).collect()
    }
}
