//! Latencies far above the others'.
//!
//! Not in gRFC A50, and needed where a policy does not look at latencies, or a server is so slow that
//! the few requests which are still sent there spoil the tail. An endpoint is an outlier if the time
//! that its requests waited in the interval for the first byte of an answer is on average
//!
//! ```text
//! above max(factor x median, median + min_excess)     in `sweeps` sweeps in a row
//! ```
//!
//! - The median, not the mean: one endpoint that takes a hundred times as long moves the mean and the
//!   deviation so far that it hides itself, and the median stays put until half are slow. Where all slow
//!   down together nobody is an outlier.
//! - A ratio, not deviations: in a fleet of like servers the deviations are next to nothing, and the
//!   slowest of them would always be an outlier; a fleet of two kinds of servers, one half as fast,
//!   is no reason to eject either kind.
//! - An excess in time: a fifth of a millisecond more is not worth a server, whatever the ratio.
//! - In a row: a full queue or a collection of garbage is over by the next sweep, and what an ejection
//!   takes away, capacity, is what a queue needs.
//! - The interval's own mean, not the moving average, which is its first sample for seconds.
//! - What was given up waited too: a server in trouble answers little, and were only answers counted,
//!   it would be out of sight until it is well again. Errors are the other rules' business.
//!
//! Cost: an addition a request on the request path, where the rule is set.

use std::time::Duration;

use super::{out_of_range, percentage, sweep::Observed};
use crate::error::ConfigError;

/// Ejects by the mean latency relative to the others'.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LatencyEjection {
    /// Times the median. Default 3.
    pub factor: f64,
    /// Above the median by at least this. Default 10 ms.
    pub min_excess: Duration,
    /// Sweeps in a row. Default 2.
    pub sweeps: u32,
    /// The part of those found that is ejected, in percent. Default 100.
    pub enforcement_percentage: u32,
    /// Endpoints with enough requests below which nobody is judged. Default 5.
    pub minimum_hosts: usize,
    /// Requests that waited in the interval below which an endpoint is not judged; 20 are enough for a mean that is
    /// off by a factor. Default 20.
    pub request_volume: u64,
}

impl Default for LatencyEjection {
    fn default() -> Self {
        Self {
            factor: 3.0,
            min_excess: Duration::from_millis(10),
            sweeps: 2,
            enforcement_percentage: 100,
            minimum_hosts: 5,
            request_volume: 20,
        }
    }
}

impl LatencyEjection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            return Err(out_of_range("factor", self.factor, "[1, inf)"));
        }
        if self.sweeps == 0 {
            return Err(out_of_range("sweeps", 0.0, "[1, inf)"));
        }
        percentage("enforcement_percentage", self.enforcement_percentage)
    }

    /// The places of those that are slow in this sweep, slowest first.
    pub(super) fn find(&self, fleet: &[Observed]) -> Vec<usize> {
        let volume = self.request_volume.max(1);
        let mut means: Vec<(usize, Duration)> = fleet
            .iter()
            .enumerate()
            .filter(|(_, seen)| seen.waits.count >= volume)
            .map(|(place, seen)| (place, seen.waits.mean))
            .collect();
        if means.len() < self.minimum_hosts || means.is_empty() {
            return Vec::new();
        }
        means.sort_by_key(|(_, mean)| std::cmp::Reverse(*mean));
        // Of an even number the lower of the two in the middle.
        let median = means[means.len() / 2].1;
        let ratio = Duration::try_from_secs_f64(median.as_secs_f64() * self.factor);
        let threshold = ratio.unwrap_or(Duration::MAX).max(median.saturating_add(self.min_excess));
        means.into_iter().filter(|(_, mean)| *mean > threshold).map(|(place, _)| place).collect()
    }
}
