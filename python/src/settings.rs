//! A balancer's settings, from Python's keyword arguments to the core's types.

use std::{path::PathBuf, sync::Arc, time::Duration};

use pyo3::{prelude::*, types::PyTuple};
use trimtab_core::{
    Builder, ConfigError, GeoPoint, HealthConfig, Place,
    learn::Model,
    log::DecisionLog,
    policy::{self, POLICY_NAMES, Policy, QTable},
};

use crate::{clock, error, log::Log};

/// Every policy's name.
pub(crate) fn policies(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    PyTuple::new(py, POLICY_NAMES)
}

/// When endpoints are left alone; times in seconds.
pub(crate) struct Health {
    pub(crate) consecutive_failures: u32,
    pub(crate) base_ejection: f64,
    pub(crate) max_ejection: f64,
    pub(crate) base_reconnect: f64,
    pub(crate) max_reconnect: f64,
    pub(crate) max_ejected: f64,
}

impl Health {
    pub(crate) fn to_core(&self, py: Python<'_>) -> PyResult<HealthConfig> {
        let mut health = HealthConfig::default();
        health.consecutive_failures = self.consecutive_failures;
        health.base_ejection = seconds(py, "base_ejection", self.base_ejection)?;
        health.max_ejection = seconds(py, "max_ejection", self.max_ejection)?;
        health.base_reconnect = seconds(py, "base_reconnect", self.base_reconnect)?;
        health.max_reconnect = seconds(py, "max_reconnect", self.max_reconnect)?;
        health.max_ejected = self.max_ejected;
        Ok(health)
    }
}

/// The decision log's settings.
pub(crate) struct Logging {
    pub(crate) path: Option<PathBuf>,
    pub(crate) sample: f64,
    pub(crate) capacity: usize,
    pub(crate) client: Option<String>,
}

impl Logging {
    /// The log and what the core writes to; neither without a path.
    pub(crate) fn open(self, py: Python<'_>) -> PyResult<Option<(Arc<DecisionLog>, Log)>> {
        // Checked without a path too: a bad setting must not wait for the day the log is turned on.
        let client = match self.client {
            Some(client) => client,
            None => default_client(py)?,
        };
        let decisions = DecisionLog::new(&client, self.sample, self.capacity, clock::unix_origin())
            .map_err(|error| error::config(py, &error))?;
        let Some(path) = self.path else { return Ok(None) };
        let decisions = Arc::new(decisions);
        let log = Log::new(py, Arc::clone(&decisions), path, client)?;
        Ok(Some((decisions, log)))
    }
}

fn default_client(py: Python<'_>) -> PyResult<String> {
    let host: String = py.import("platform")?.call_method0("node")?.extract()?;
    Ok(format!("{host}:{}", std::process::id()))
}

/// Where this process is.
pub(crate) fn place(
    py: Python<'_>,
    region: Option<String>,
    geo: Option<(f64, f64)>,
) -> PyResult<Place> {
    let place = Place::in_region(region.unwrap_or_default());
    let Some((latitude, longitude)) = geo else { return Ok(place) };
    let geo = GeoPoint::new(latitude, longitude)
        .map_err(|error| error::CONFIG_ERROR.new_err(py, format_args!("geo: {error}")))?;
    Ok(place.at(geo))
}

/// The builder for `policy`, with everything else as the core has it.
pub(crate) fn builder(
    py: Python<'_>,
    name: &str,
    (model, max_age): (Option<Model>, Option<Duration>),
    place: Place,
    rng: &mut trimtab_core::Rng,
) -> PyResult<Builder> {
    let model = model.map(Arc::new);
    let policy: Result<Box<dyn Policy>, ConfigError> = match max_age {
        Some(age) if name == "q_table" => {
            Ok(Box::new(QTable::new(model).with_max_age(age).guarded()))
        }
        Some(_) if POLICY_NAMES.contains(&name) => {
            Err(ConfigError::NoModelWanted { policy: name.to_owned() })
        }
        _ => policy::by_name(name, model, &place, rng),
    };
    let builder = trimtab_core::Balancer::builder()
        .policy(policy.map_err(|error| error::config(py, &error))?)
        .unix_origin(clock::unix_origin());
    // Its score has the place in it; tiers would leave it only the own region to compare.
    Ok(if name == "geo_score" { builder } else { builder.locality(place) })
}

/// A setting that is a time.
pub(crate) fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        let message = format_args!("{name} = {value} must be a number of seconds, at least 0");
        error::CONFIG_ERROR.new_err(py, message)
    })
}
