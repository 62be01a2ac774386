//! Everything that can be wrong with what the core is given.

use crate::endpoint::EndpointId;

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A fleet without endpoints.
    #[error("the fleet has no endpoints; give at least one")]
    EmptyFleet,
    /// Two endpoints of one id.
    #[error("two endpoints have the id {id:?}; ids must differ")]
    DuplicateId {
        /// The id in question.
        id: EndpointId,
    },
    /// A weight that is not a positive number of usable size.
    #[error("weight {weight} must be a positive number in [1e-12, 1e12]")]
    Weight {
        /// What was given.
        weight: f64,
    },
    /// A cost that is not a non-negative finite number.
    #[error("cost {cost} is not a finite number of at least 0")]
    Cost {
        /// What was given.
        cost: f64,
    },
    /// Degrees outside the globe.
    #[error("latitude {latitude} must lie in [-90, 90] and longitude {longitude} in [-180, 180]")]
    Coordinates {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
    },
    /// A policy name that nobody knows.
    #[error("unknown policy {name:?}; known are {}", known.join(", "))]
    UnknownPolicy {
        /// What was asked for.
        name: String,
        /// What there is.
        known: &'static [&'static str],
    },
    /// A metric that weighted round robin cannot read a utilization from.
    #[error(
        "metric {name:?} is not known; allowed are cpu_utilization, mem_utilization, \
         application_utilization, named_metrics.<name>, utilization.<name> and request_cost.<name>"
    )]
    UnknownMetric {
        /// What was asked for.
        name: String,
    },
    /// A number outside its range.
    #[error("{name} = {value} must lie in {allowed}")]
    OutOfRange {
        /// The setting's name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed, as an interval.
        allowed: &'static str,
    },
    /// A model was given to a policy that uses none.
    #[error("policy {policy:?} takes no model; use \"q_table\"")]
    NoModelWanted {
        /// The policy in use.
        policy: String,
    },
    /// An id that is not in the fleet.
    #[error("no endpoint has the id {id:?}")]
    UnknownId {
        /// The id in question.
        id: EndpointId,
    },
}

/// No endpoint can be picked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// The fleet is empty, or all of it is draining.
    #[error("no endpoint to pick: the fleet has {total}, of which {draining} are draining")]
    NoEndpoints {
        /// Endpoints in the fleet.
        total: usize,
        /// Of these, draining.
        draining: usize,
    },
}
