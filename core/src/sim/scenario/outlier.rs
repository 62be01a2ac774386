//! Outlier detection in a scenario file, by gRPC's names; a rule that is not named is off.
//!
//! ```toml
//! [clients]
//! outlier = { interval = "5s", success_rate = {}, latency = { factor = 2 } }
//! ```

use serde::Deserialize;

use super::units::Span;
use crate::outlier::{
    FailurePercentageEjection, LatencyEjection, OutlierConfig, SuccessRateEjection,
};

/// How clients eject the endpoints that do worse than the others.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Outlier {
    /// Time between two sweeps.
    pub interval: Span,
    /// How long an endpoint is out, times its multiplier.
    pub base_ejection_time: Span,
    /// How long at most.
    pub max_ejection_time: Span,
    /// No more are ejected once this part of the fleet is out, in percent.
    pub max_ejection_percent: u32,
    /// By the success rate relative to the others'.
    pub success_rate: Option<SuccessRate>,
    /// By the share of failures.
    pub failure_percentage: Option<FailurePercentage>,
    /// By the mean latency relative to the others'.
    pub latency: Option<Latency>,
}

/// See [`SuccessRateEjection`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the core's rule")]
pub struct SuccessRate {
    pub stdev_factor: f64,
    pub enforcement_percentage: u32,
    pub minimum_hosts: usize,
    pub request_volume: u64,
}

/// See [`FailurePercentageEjection`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the core's rule")]
pub struct FailurePercentage {
    pub threshold: u32,
    pub enforcement_percentage: u32,
    pub minimum_hosts: usize,
    pub request_volume: u64,
}

/// See [`LatencyEjection`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the core's rule")]
pub struct Latency {
    pub factor: f64,
    pub min_excess: Span,
    pub sweeps: u32,
    pub enforcement_percentage: u32,
    pub minimum_hosts: usize,
    pub request_volume: u64,
}

impl Outlier {
    /// Checks the settings.
    ///
    /// # Errors
    /// In words, naming what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let config = self.config();
        let rules = (config.success_rate, config.failure_percentage, config.latency);
        if rules == (None, None, None) {
            let known = "`success_rate = {}`, `failure_percentage = {}`, `latency = {}`";
            return Err(format!("names no rule; give at least one of {known}"));
        }
        config.check().map_err(|error| format!("is wrong: {error}"))
    }

    pub(crate) fn config(&self) -> OutlierConfig {
        OutlierConfig {
            interval: self.interval.get(),
            base_ejection_time: self.base_ejection_time.get(),
            max_ejection_time: self.max_ejection_time.get(),
            max_ejection_percent: self.max_ejection_percent,
            success_rate: self.success_rate.map(|rule| SuccessRateEjection {
                stdev_factor: rule.stdev_factor,
                enforcement_percentage: rule.enforcement_percentage,
                minimum_hosts: rule.minimum_hosts,
                request_volume: rule.request_volume,
            }),
            failure_percentage: self.failure_percentage.map(|rule| FailurePercentageEjection {
                threshold: rule.threshold,
                enforcement_percentage: rule.enforcement_percentage,
                minimum_hosts: rule.minimum_hosts,
                request_volume: rule.request_volume,
            }),
            latency: self.latency.map(|rule| LatencyEjection {
                factor: rule.factor,
                min_excess: rule.min_excess.get(),
                sweeps: rule.sweeps,
                enforcement_percentage: rule.enforcement_percentage,
                minimum_hosts: rule.minimum_hosts,
                request_volume: rule.request_volume,
            }),
        }
    }
}

impl Default for Outlier {
    fn default() -> Self {
        let core = OutlierConfig::default();
        Self {
            interval: core.interval.into(),
            base_ejection_time: core.base_ejection_time.into(),
            max_ejection_time: core.max_ejection_time.into(),
            max_ejection_percent: core.max_ejection_percent,
            success_rate: None,
            failure_percentage: None,
            latency: None,
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        let core = SuccessRateEjection::default();
        Self {
            stdev_factor: core.stdev_factor,
            enforcement_percentage: core.enforcement_percentage,
            minimum_hosts: core.minimum_hosts,
            request_volume: core.request_volume,
        }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        let core = FailurePercentageEjection::default();
        Self {
            threshold: core.threshold,
            enforcement_percentage: core.enforcement_percentage,
            minimum_hosts: core.minimum_hosts,
            request_volume: core.request_volume,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        let core = LatencyEjection::default();
        Self {
            factor: core.factor,
            min_excess: core.min_excess.into(),
            sweeps: core.sweeps,
            enforcement_percentage: core.enforcement_percentage,
            minimum_hosts: core.minimum_hosts,
            request_volume: core.request_volume,
        }
    }
}
