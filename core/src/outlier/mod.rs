//! Outlier detection: endpoints that do worse than the others are left alone for a while.
//!
//! Source: gRFC A50, which follows Envoy. Once in an interval the requests that ended since the last
//! time are judged, endpoint by endpoint, by the rules that are set:
//!
//! - [success rate](SuccessRateEjection): far below the fleet's mean, in standard deviations. It finds
//!   one bad endpoint in a good fleet, and none where 21.7 % or more are dead alike: with that part f
//!   dead, mean - 1.9 deviations = (1 - f) - 1.9 sqrt(f (1 - f)) is no more than 0. So a zone's outage
//!   needs the next one beside it, or [`HealthConfig::consecutive_failures`](crate::HealthConfig);
//! - [failure percentage](FailurePercentageEjection): above a fixed share, whatever the others do;
//! - [latency](LatencyEjection): far above the fleet's median. A50 has no such rule.
//!
//! What is found is ejected, worst first, for `min(base x multiplier, max(base, max))`; the multiplier
//! grows with each ejection and falls by one in each interval that begins without one. Before each
//! ejection the cap is looked at: all that are out for failures, by whatever rule, count against it, so
//! one can always go. An endpoint that is out is not ejected again by requests that were under way.
//!
//! Unlike in A50 an endpoint is back when its time is over, not with the sweep after that.
//!
//! Cost: on the request path nothing, for the counts are kept anyway, but for the latency rule; a sweep is proportional to the
//! fleet. It needs [`Balancer::tick`](crate::Balancer::tick).

mod failure_percentage;
mod latency;
mod success_rate;
mod sweep;

use std::time::Duration;

pub use failure_percentage::FailurePercentageEjection;
pub use latency::LatencyEjection;
pub use success_rate::SuccessRateEjection;
pub(crate) use sweep::Detector;

use crate::error::ConfigError;

/// Which outliers are ejected, and for how long. The names and defaults are those of gRPC and Envoy.
///
/// ```
/// use trimtab_core::{Balancer, Endpoint, outlier::{LatencyEjection, OutlierConfig}};
/// let mut outlier = OutlierConfig::default();
/// outlier.latency = Some(LatencyEjection::default());
/// let balancer = Balancer::builder()
///     .outlier_detection(outlier)
///     .endpoints([Endpoint::new("10.0.0.1:80"), Endpoint::new("10.0.0.2:80")])
///     .build()?;
/// # Ok::<(), trimtab_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutlierConfig {
    /// Time between two sweeps. Default 10 s.
    pub interval: Duration,
    /// How long an endpoint is out, times its multiplier. Default 30 s.
    pub base_ejection_time: Duration,
    /// How long at most; not less than the base. Default 300 s.
    pub max_ejection_time: Duration,
    /// No more are ejected once this part of the fleet is out for failures, in percent: 10 % of 15 lets
    /// two go. 0 ejects none. Default 10.
    pub max_ejection_percent: u32,
    /// On by default.
    pub success_rate: Option<SuccessRateEjection>,
    /// On by default.
    pub failure_percentage: Option<FailurePercentageEjection>,
    /// Off by default.
    pub latency: Option<LatencyEjection>,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
            success_rate: Some(SuccessRateEjection::default()),
            failure_percentage: Some(FailurePercentageEjection::default()),
            latency: None,
        }
    }
}

impl OutlierConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        // Beyond a day the sums of what requests waited might not fit.
        if self.interval.is_zero() || self.interval > Duration::from_secs(86_400) {
            return Err(out_of_range(
                "interval",
                self.interval.as_secs_f64(),
                "(0, 86400] seconds",
            ));
        }
        percentage("max_ejection_percent", self.max_ejection_percent)?;
        if let Some(rule) = &self.success_rate {
            rule.check()?;
        }
        if let Some(rule) = &self.failure_percentage {
            rule.check()?;
        }
        self.latency.as_ref().map_or(Ok(()), LatencyEjection::check)
    }
}

fn percentage(name: &'static str, value: u32) -> Result<(), ConfigError> {
    if value <= 100 { Ok(()) } else { Err(out_of_range(name, f64::from(value), "[0, 100]")) }
}

fn out_of_range(name: &'static str, value: f64, allowed: &'static str) -> ConfigError {
    ConfigError::OutOfRange { name, value, allowed }
}
