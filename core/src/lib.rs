//! Client-side load balancing without I/O: endpoints, lock-free signals, policies, learned tables.
//!
//! This crate decides; it never connects, sleeps, or asks for the time. Time and randomness come in as
//! arguments, so everything runs under a virtual clock and the same inputs give the same picks. The
//! crate `tower-lb` puts it in front of tonic and hyper clients, the Python package `trimtab` in front
//! of httpx and the OpenAI client.
//!
//! A request's way: [`Balancer::pick`] takes the published [`Snapshot`], asks the [`policy`] for one of
//! the eligible endpoints of the nearest tier, and returns a [`Lease`]. The lease counts as in flight
//! until it is finished with an [`Outcome`], cancelled or dropped; the outcome feeds the endpoint's
//! signals, the policy that learns, and the [decision log](log).

mod balancer;
mod cell;
mod context;
mod ejected;
mod endpoint;
mod error;
mod fleet;
pub mod learn;
mod lease;
mod locality;
pub mod log;
#[cfg(all(test, loom))]
mod loom_models;
mod node;
mod outcome;
pub mod outlier;
pub mod policy;
mod probes;
pub mod prompt;
mod retry_budget;
mod rng;
mod shared;
mod signal;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
mod sync;
mod time;

pub use balancer::{Balancer, Builder, Counters};
pub use context::Context;
pub use endpoint::{Endpoint, EndpointId, GeoPoint, Locality, Weight};
pub use error::{ConfigError, PickError};
pub use fleet::Fleet;
pub use lease::Lease;
pub use locality::Place;
pub use node::{Node, next_owner};
pub use outcome::{Failure, Outcome, Verdict};
pub use outlier::OutlierConfig;
pub use policy::ProbeAnswer;
pub use prompt::Prompt;
pub use retry_budget::RetryBudget;
pub use rng::Rng;
pub use signal::{LlmLoad, LoadReport, health::HealthConfig, success::Counts};
pub use snapshot::Snapshot;
pub use time::Time;
