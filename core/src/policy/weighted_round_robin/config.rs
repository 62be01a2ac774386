//! The settings of weighted round robin, named as gRPC's service config names them, and the weight that
//! a load report comes to under them.
//!
//! Sources: gRFC A58 for the formula, A114 for the metrics that may stand for the utilization:
//!
//! ```text
//! utilization = application_utilization if > 0, else the largest of the named metrics that is > 0,
//!               else cpu_utilization
//! weight      = rps / (utilization + eps / rps x error_utilization_penalty)
//! ```
//!
//! A report without a rate or without a utilization gives no weight, and leaves the last one standing.

use std::time::Duration;

use crate::{error::ConfigError, signal::LoadReport};

/// Values below this are raised to it.
const SHORTEST_UPDATE: Duration = Duration::from_millis(100);

/// How load reports become weights.
///
/// ```
/// use trimtab_core::policy::{WeightedRoundRobin, WeightedRoundRobinConfig};
/// let mut config = WeightedRoundRobinConfig::default();
/// config.metric_names_for_computing_utilization = vec!["named_metrics.kv_cache_usage_perc".into()];
/// let policy = WeightedRoundRobin::new(config)?;
/// # Ok::<(), trimtab_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WeightedRoundRobinConfig {
    /// Reports must have come for this long before they count. Default 10 s.
    pub blackout_period: Duration,
    /// A weight that is older than this no longer counts. Default 180 s.
    pub weight_expiration_period: Duration,
    /// How often the turns are laid out anew, if [`Balancer::tick`](crate::Balancer::tick) is called as
    /// often. Default 1 s; at least 100 ms, to which lower values are raised.
    pub weight_update_period: Duration,
    /// What an error rate of 1 adds to the utilization. Default 1.
    pub error_utilization_penalty: f64,
    /// Metrics that stand for the utilization where a server tells no `application_utilization`: the
    /// largest counts. `cpu_utilization`, `mem_utilization`, `application_utilization`, or
    /// `named_metrics.`, `utilization.` or `request_cost.` and a name. Default none.
    pub metric_names_for_computing_utilization: Vec<String>,
}

impl Default for WeightedRoundRobinConfig {
    fn default() -> Self {
        Self {
            blackout_period: Duration::from_secs(10),
            weight_expiration_period: Duration::from_secs(180),
            weight_update_period: Duration::from_secs(1),
            error_utilization_penalty: 1.0,
            metric_names_for_computing_utilization: Vec::new(),
        }
    }
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) blackout: Duration,
    pub(super) expiration: Duration,
    pub(super) update_every: Duration,
    penalty: f64,
    metrics: Vec<Metric>,
}

impl Default for Settings {
    fn default() -> Self {
        let config = WeightedRoundRobinConfig::default();
        config.parse().expect("invariant: the defaults lie in their ranges")
    }
}

impl WeightedRoundRobinConfig {
    pub(super) fn parse(self) -> Result<Settings, ConfigError> {
        let penalty = self.error_utilization_penalty;
        if !(penalty.is_finite() && penalty >= 0.0) {
            return Err(ConfigError::OutOfRange {
                name: "error_utilization_penalty",
                value: penalty,
                allowed: "[0, inf)",
            });
        }
        if self.weight_expiration_period.is_zero() {
            return Err(ConfigError::OutOfRange {
                name: "weight_expiration_period",
                value: 0.0,
                allowed: "(0, inf) seconds",
            });
        }
        let names = self.metric_names_for_computing_utilization;
        Ok(Settings {
            blackout: self.blackout_period,
            expiration: self.weight_expiration_period,
            update_every: self.weight_update_period.max(SHORTEST_UPDATE),
            penalty,
            metrics: names.into_iter().map(Metric::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl Settings {
    /// The weight that a report comes to; `None` if it says too little.
    pub(super) fn weight_of(&self, report: &LoadReport) -> Option<f32> {
        let (rps, utilization) = (report.rps, self.utilization(report));
        // What is not a number is not above 0 either.
        if !(rps > 0.0 && utilization > 0.0) {
            return None;
        }
        let penalty = if report.eps > 0.0 { report.eps / rps * self.penalty } else { 0.0 };
        let weight = (rps / (utilization + penalty)) as f32;
        (weight.is_finite() && weight > 0.0).then_some(weight)
    }

    fn utilization(&self, report: &LoadReport) -> f64 {
        if is_told(report.application_utilization) {
            return report.application_utilization;
        }
        let told = self.metrics.iter().map(|metric| metric.read(report)).filter(|v| is_told(*v));
        told.reduce(f64::max).unwrap_or(report.cpu_utilization)
    }
}

fn is_told(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[derive(Clone, Debug)]
enum Metric {
    Application,
    Cpu,
    Memory,
    /// By its name in [`LoadReport::named_metrics`].
    Named(String),
}

impl Metric {
    fn parse(name: String) -> Result<Self, ConfigError> {
        Ok(match (name.as_str(), name.split_once('.')) {
            ("application_utilization", _) => Self::Application,
            ("cpu_utilization", _) => Self::Cpu,
            ("mem_utilization", _) => Self::Memory,
            (_, Some(("named_metrics", key))) if !key.is_empty() => Self::Named(key.to_owned()),
            // Entries of ORCA's other maps keep the map's name among the named metrics.
            (_, Some(("utilization" | "request_cost", key))) if !key.is_empty() => {
                Self::Named(name)
            }
            _ => return Err(ConfigError::UnknownMetric { name }),
        })
    }

    /// 0 if the report does not tell.
    fn read(&self, report: &LoadReport) -> f64 {
        match self {
            Self::Application => report.application_utilization,
            Self::Cpu => report.cpu_utilization,
            Self::Memory => report.mem_utilization,
            Self::Named(key) => report.named_metrics.get(key).copied().unwrap_or(0.0),
        }
    }
}
