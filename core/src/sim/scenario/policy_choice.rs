//! Which policy runs, under which label, with which settings.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{super::rules, outlier::Outlier};
use crate::{
    error::ConfigError,
    learn::Model,
    locality::Place,
    policy::{
        self, LeastRequest, POLICY_NAMES, Policy, PrefixAffinity, PrefixAffinityConfig, Prequal,
        PrequalConfig, QTable, WeightedRoundRobin, WeightedRoundRobinConfig,
    },
    rng::Rng,
};

/// One policy to simulate.
///
/// Beside the policies of this crate it may name one of the simulator's own, for comparison only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyChoice {
    /// The policy's name.
    pub name: String,
    /// What tables call it; the name if left out. Two choices of one name need it.
    pub label: Option<String>,
    /// A model file for `q_table`, as seen from the scenario's folder.
    pub model: Option<PathBuf>,
    /// Its settings.
    #[serde(default)]
    pub options: BTreeMap<String, f64>,
    /// Outlier detection under it, in place of the clients'.
    pub outlier: Option<Outlier>,
}

/// An all-knowing router that sends each request where it will be answered first.
pub(crate) const ORACLE: &str = "oracle";

impl PolicyChoice {
    /// The policy of that name with default settings.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// What tables call it.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is the all-knowing router.
    pub(crate) fn is_oracle(&self) -> bool {
        self.name == ORACLE
    }

    /// Checks the name and the settings.
    ///
    /// # Errors
    /// In words, naming what is known.
    pub fn check(&self) -> Result<(), String> {
        if let Some(outlier) = &self.outlier {
            outlier.check().map_err(|rule| format!("has an `outlier` that {rule}"))?;
        }
        if self.is_oracle() {
            return if self.options.is_empty() {
                Ok(())
            } else {
                Err("oracle takes no options".to_owned())
            };
        }
        self.build(None, &Place::default(), &mut Rng::seeded(0)).map(drop)
    }

    /// Makes the policy for one client.
    pub(crate) fn build(
        &self,
        model: Option<Arc<Model>>,
        here: &Place,
        rng: &mut Rng,
    ) -> Result<Box<dyn Policy>, String> {
        if self.name == rules::FITTED_Q {
            return rules::FittedQ::new(&self.options).map(boxed);
        }
        if !self.options.is_empty() {
            return self.with_options(model, rng);
        }
        if let Some(rule) = rules::by_name(&self.name) {
            return Ok(rule);
        }
        policy::by_name(&self.name, model, here, rng).map_err(|error| match error {
            ConfigError::UnknownPolicy { name, .. } => {
                let known = [POLICY_NAMES, rules::RULE_NAMES, &[rules::FITTED_Q, ORACLE]]
                    .concat()
                    .join(", ");
                format!("names no policy: `{name}`; known are {known}")
            }
            error => error.to_string(),
        })
    }

    fn with_options(
        &self,
        model: Option<Arc<Model>>,
        rng: &mut Rng,
    ) -> Result<Box<dyn Policy>, String> {
        let mut options = self.options.clone();
        let mut set = |name: &str, field: &mut f64| {
            if let Some(value) = options.remove(name) {
                *field = value;
            }
        };
        let policy: Result<Box<dyn Policy>, ConfigError> = match self.name.as_str() {
            "least_request" => {
                let mut choices = 2.0;
                set("choices", &mut choices);
                LeastRequest::with_choices(choices.clamp(0.0, 255.0) as u8).map(boxed)
            }
            "weighted_round_robin" => {
                let mut config = WeightedRoundRobinConfig::default();
                for (name, field) in [
                    ("blackout_s", &mut config.blackout_period),
                    ("expiration_s", &mut config.weight_expiration_period),
                    ("update_s", &mut config.weight_update_period),
                ] {
                    let mut seconds = field.as_secs_f64();
                    set(name, &mut seconds);
                    *field = duration(seconds);
                }
                set("error_penalty", &mut config.error_utilization_penalty);
                let start = rng.bits() as u32;
                WeightedRoundRobin::new(config).map(|policy| boxed(policy.from_turn(start)))
            }
            "prequal" => Prequal::new(prequal(&mut set)).map(boxed),
            "q_table" => {
                let mut probes = PrequalConfig::default().probes_per_pick;
                set("probes_per_pick", &mut probes);
                QTable::new(model).with_probes_per_pick(probes).map(|table| boxed(table.guarded()))
            }
            "linear" => {
                let (mut lambda, mut alpha_s) = (rules::HALF, rules::ALPHA.as_secs_f64());
                set("lambda", &mut lambda);
                set("alpha_s", &mut alpha_s);
                rules::linear(lambda, duration(alpha_s), prequal(&mut set))
            }
            "c3" => {
                let mut clients = f64::from(rules::CLIENTS);
                set("clients", &mut clients);
                rules::c3(clients as u32, prequal(&mut set))
            }
            "prefix_affinity" => {
                let mut config = PrefixAffinityConfig::default();
                for (name, field) in [
                    ("key_blocks", &mut config.key_blocks),
                    ("candidates", &mut config.candidates),
                    ("deep_blocks", &mut config.deep_blocks),
                ] {
                    let mut value = *field as f64;
                    set(name, &mut value);
                    *field = value as usize;
                }
                set("cached", &mut config.cached);
                set("falloff", &mut config.falloff);
                set("cached_deep", &mut config.cached_deep);
                set("prefill_rate", &mut config.prefill_rate);
                set("decode_cost", &mut config.decode_cost);
                set("bound", &mut config.bound);
                set("bound_from", &mut config.bound_from);
                PrefixAffinity::new(config).map(boxed)
            }
            name => return Err(format!("`{name}` takes no options")),
        };
        match options.keys().next() {
            Some(unknown) => Err(format!("`{}` knows no option `{unknown}`", self.name)),
            None => policy.map_err(|error| error.to_string()),
        }
    }
}

/// Prequal's settings.
fn prequal(set: &mut impl FnMut(&str, &mut f64)) -> PrequalConfig {
    let mut config = PrequalConfig::default();
    let mut pool_size = config.pool_size as f64;
    let (mut max_age, mut idle_after) =
        (config.max_age.as_secs_f64(), config.idle_after.as_secs_f64());
    set("probes_per_pick", &mut config.probes_per_pick);
    set("removals_per_pick", &mut config.removals_per_pick);
    set("pool_size", &mut pool_size);
    set("max_age_s", &mut max_age);
    set("rif_quantile", &mut config.rif_quantile);
    set("reuse_delta", &mut config.reuse_delta);
    set("idle_after_s", &mut idle_after);
    config.pool_size = pool_size as usize;
    (config.max_age, config.idle_after) = (duration(max_age), duration(idle_after));
    config
}

/// Zero for what is no length of time; the policies refuse that.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

fn boxed(policy: impl Policy) -> Box<dyn Policy> {
    Box::new(policy)
}
