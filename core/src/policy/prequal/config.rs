//! Prequal's settings, with the paper's values where it names one.

use std::time::Duration;

use crate::error::ConfigError;

/// How [`Prequal`](super::Prequal) probes and what it makes of the answers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PrequalConfig {
    /// Endpoints probed for each pick, on average (the paper's `r_probe`), 0 to 16. Default 3.
    pub probes_per_pick: f64,
    /// Answers taken out of the pool by each pick beside those used up, on average (`r_remove`), 0 to
    /// 16. Default 1.
    pub removals_per_pick: f64,
    /// The most answers in the pool (`m`), 2 to 64. Default 16. A fleet of n endpoints has at most
    /// max(2, n / 2).
    pub pool_size: usize,
    /// How long an answer is of use, 1 ms to 10 min. Default 1 s.
    pub max_age: Duration,
    /// The quantile of the known requests in flight above which an endpoint is hot (`Q_RIF`), 0 to 1.
    /// 0 looks at requests in flight alone, 1 at latency alone. Default 2^-0.25 = 0.84; 0.6 to 0.9 do
    /// well.
    pub rif_quantile: f64,
    /// How much faster answers come into the pool than they leave it (`delta`), at most 16. Default 1.
    pub reuse_delta: f64,
    /// With nothing asked for so long, a few endpoints are probed, so that the next pick finds a
    /// filled pool; 1 ms to 10 min. Default 500 ms, half of the age.
    pub idle_after: Duration,
}

impl Default for PrequalConfig {
    fn default() -> Self {
        Self {
            probes_per_pick: 3.0,
            removals_per_pick: 1.0,
            pool_size: 16,
            max_age: Duration::from_secs(1),
            rif_quantile: 0.5_f64.sqrt().sqrt(),
            reuse_delta: 1.0,
            idle_after: Duration::from_millis(500),
        }
    }
}

impl PrequalConfig {
    /// Sets [`PrequalConfig::probes_per_pick`].
    pub fn with_probes_per_pick(mut self, probes: f64) -> Self {
        self.probes_per_pick = probes;
        self
    }

    /// Sets [`PrequalConfig::removals_per_pick`].
    pub fn with_removals_per_pick(mut self, removals: f64) -> Self {
        self.removals_per_pick = removals;
        self
    }

    /// Sets [`PrequalConfig::pool_size`].
    pub fn with_pool_size(mut self, size: usize) -> Self {
        self.pool_size = size;
        self
    }

    /// Sets [`PrequalConfig::max_age`].
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets [`PrequalConfig::rif_quantile`].
    pub fn with_rif_quantile(mut self, quantile: f64) -> Self {
        self.rif_quantile = quantile;
        self
    }

    /// Sets [`PrequalConfig::reuse_delta`].
    pub fn with_reuse_delta(mut self, delta: f64) -> Self {
        self.reuse_delta = delta;
        self
    }

    /// Sets [`PrequalConfig::idle_after`].
    pub fn with_idle_after(mut self, idle: Duration) -> Self {
        self.idle_after = idle;
        self
    }

    /// Itself, if each setting lies in its range.
    pub(crate) fn checked(self) -> Result<Self, ConfigError> {
        let size = self.pool_size as f64;
        check("probes_per_pick", self.probes_per_pick, "[0, 16]", 0.0, 16.0)?;
        check("removals_per_pick", self.removals_per_pick, "[0, 16]", 0.0, 16.0)?;
        check("pool_size", size, "[2, 64]", 2.0, 64.0)?;
        check("max_age", self.max_age.as_secs_f64(), "[0.001, 600] s", 0.001, 600.0)?;
        check("rif_quantile", self.rif_quantile, "[0, 1]", 0.0, 1.0)?;
        check("reuse_delta", self.reuse_delta, "[0, 16]", 0.0, 16.0)?;
        check("idle_after", self.idle_after.as_secs_f64(), "[0.001, 600] s", 0.001, 600.0)?;
        Ok(self)
    }
}

fn check(
    name: &'static str,
    value: f64,
    allowed: &'static str,
    least: f64,
    most: f64,
) -> Result<(), ConfigError> {
    // Not a number is in no range.
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange { name, value, allowed })
    }
}
