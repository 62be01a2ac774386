//! Adaptive client-side load balancing as Tower middleware.
//!
//! A [`Balancer`] picks an endpoint for each request by what has been measured of it; this crate sends
//! the request there and tells the balancer how it ended. No sidecar, no proxy, no extra hop.

mod balance;
pub mod body;
pub mod classify;
mod clock;
pub mod discover;
pub mod error;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "log")]
pub mod log;
pub mod metrics;
mod random;
mod route;
#[cfg(feature = "tonic")]
pub mod tonic;

pub use balance::{Builder, LoadBalancer, LoadBalancerLayer, MakeEndpoint, ResponseFuture};
pub use clock::Clock;
pub use error::{BoxError, Error};
pub use route::{ContextFn, Route};
pub use trimtab_core::{
    self, Balancer, ConfigError, Endpoint, Fleet, Node, PickError, Place, policy,
};
