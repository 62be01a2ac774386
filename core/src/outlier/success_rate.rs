//! Success rates far below the others'.
//!
//! Source: gRFC A50. Over the endpoints with enough requests: below `mean - factor x deviation` of
//! their success rates, the deviation being that of the population.

use super::{out_of_range, percentage, sweep::Observed};
use crate::error::ConfigError;

/// Ejects by the success rate relative to the others'.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SuccessRateEjection {
    /// Standard deviations below the mean; gRPC's configuration writes it times 1000. Default 1.9.
    pub stdev_factor: f64,
    /// The part of those found that is ejected, in percent. Default 100.
    pub enforcement_percentage: u32,
    /// Endpoints with enough requests below which nobody is judged. Default 5.
    pub minimum_hosts: usize,
    /// Requests in the interval below which an endpoint is not judged. Default 100.
    pub request_volume: u64,
}

impl Default for SuccessRateEjection {
    fn default() -> Self {
        Self {
            stdev_factor: 1.9,
            enforcement_percentage: 100,
            minimum_hosts: 5,
            request_volume: 100,
        }
    }
}

impl SuccessRateEjection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(self.stdev_factor.is_finite() && self.stdev_factor >= 0.0) {
            return Err(out_of_range("stdev_factor", self.stdev_factor, "[0, inf)"));
        }
        percentage("enforcement_percentage", self.enforcement_percentage)
    }

    /// The places of the outliers, worst first.
    pub(super) fn find(&self, fleet: &[Observed]) -> Vec<usize> {
        let volume = self.request_volume.max(1);
        let mut rates: Vec<(usize, f64)> = fleet
            .iter()
            .enumerate()
            .filter(|(_, seen)| seen.volume() >= volume)
            .filter_map(|(place, seen)| Some((place, seen.counts.rate()?)))
            .collect();
        if rates.len() < self.minimum_hosts || rates.is_empty() {
            return Vec::new();
        }
        let n = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / n;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / n;
        let threshold = mean - self.stdev_factor * variance.sqrt();
        rates.retain(|(_, rate)| *rate < threshold);
        rates.sort_by(|a, b| a.1.total_cmp(&b.1));
        rates.into_iter().map(|(place, _)| place).collect()
    }
}
