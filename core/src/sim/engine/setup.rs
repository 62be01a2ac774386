//! What one run is given beside the scenario, and why it may not be possible.

use std::sync::Arc;

use super::{super::scenario::PolicyChoice, ArrivalsError};
use crate::learn::Model;

/// What one run is given beside the scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// The policy.
    pub policy: PolicyChoice,
    /// Its model, if it takes one.
    pub model: Option<Arc<Model>>,
    /// The load, as a fraction of the capacity, where the scenario asks for loads.
    pub load: Option<f64>,
    /// Where all randomness starts.
    pub seed: u64,
    /// The share of attempts that decision logs keep, 0 to 1.
    pub log_sample: f64,
}

impl Setup {
    /// The policy at a load, with a seed, and without a model or logs.
    pub fn new(policy: PolicyChoice, load: Option<f64>, seed: u64) -> Self {
        Self { policy, model: None, load, seed, log_sample: 0.0 }
    }

    /// With a learned model.
    pub fn with_model(mut self, model: Arc<Model>) -> Self {
        self.model = Some(model);
        self
    }

    /// Keeps this share of the attempts in decision logs.
    pub fn with_log(mut self, sample: f64) -> Self {
        self.log_sample = sample;
        self
    }
}

/// Why a run cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The policy cannot be made.
    #[error("policy: {0}")]
    Policy(String),
    /// A number outside its range.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// Traffic that cannot be made.
    #[error("traffic.arrivals: {0}")]
    Arrivals(#[from] ArrivalsError),
    /// A server that cannot be made.
    #[error("servers: {0}")]
    Preset(#[from] crate::sim::PresetError),
    /// There is no load to run at.
    #[error("the scenario gives `load`; a run needs one")]
    NoRate,
}
