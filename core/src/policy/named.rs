//! Policies by name: the same names in Rust, Python, configuration files and metrics.

use std::sync::Arc;

use super::{
    GeoScore, LeastRequest, LeastResponseTime, PeakEwma, Policy, PrefixAffinity, Prequal, QTable,
    Random, Rendezvous, RoundRobin, SourceHash, WeightedRoundRobin,
};
use crate::{error::ConfigError, learn::Model, locality::Place, rng::Rng};

/// Every name that [`by_name`] knows.
pub const POLICY_NAMES: &[&str] = &[
    "random",
    "round_robin",
    "weighted_round_robin",
    "least_request",
    "least_response_time",
    "peak_ewma",
    "prequal",
    "source_hash",
    "rendezvous",
    "geo_score",
    "prefix_affinity",
    "q_table",
];

/// The policy called `name`, with default settings.
///
/// `q_table` comes [guarded](QTable::guarded) by `peak_ewma`, and may be given its model later; for a
/// model that may grow too old, build it with [`QTable::with_max_age`]. `here` is where this process is, for `geo_score`. `rng` gives the turn-taking policies their
/// start, so that many clients do not march in step.
///
/// # Errors
/// [`ConfigError::UnknownPolicy`]; [`ConfigError::NoModelWanted`] if a model is given to a policy that
/// uses none.
pub fn by_name(
    name: &str,
    model: Option<Arc<Model>>,
    here: &Place,
    rng: &mut Rng,
) -> Result<Box<dyn Policy>, ConfigError> {
    if model.is_some() && name != "q_table" && POLICY_NAMES.contains(&name) {
        return Err(ConfigError::NoModelWanted { policy: name.to_owned() });
    }
    Ok(match name {
        "random" => Box::new(Random::default()),
        "round_robin" => Box::new(RoundRobin::starting_at(rng.bits() as u32)),
        "weighted_round_robin" => Box::new(WeightedRoundRobin::starting_at(rng.bits() as u32)),
        "least_request" => Box::new(LeastRequest::default()),
        "least_response_time" => Box::new(LeastResponseTime::default()),
        "peak_ewma" => Box::new(PeakEwma::default()),
        "prequal" => Box::new(Prequal::default()),
        "source_hash" => Box::new(SourceHash::default()),
        "rendezvous" => Box::new(Rendezvous::default()),
        "geo_score" => Box::new(GeoScore::new(here.clone())),
        "prefix_affinity" => Box::new(PrefixAffinity::default()),
        "q_table" => Box::new(QTable::new(model).guarded()),
        _ => {
            return Err(ConfigError::UnknownPolicy { name: name.to_owned(), known: POLICY_NAMES });
        }
    })
}
