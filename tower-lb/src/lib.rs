//! Adaptive client-side load balancing as Tower middleware, for tonic and hyper clients.
//!
//! A [`Balancer`] picks an endpoint for each request by what has been measured of it; this crate sends
//! the request there and tells the balancer how it ended. No sidecar, no proxy, no extra hop.
//!
#![cfg_attr(feature = "tonic", doc = "```no_run")]
#![cfg_attr(not(feature = "tonic"), doc = "```ignore")]
//! use tower_lb::{Balancer, Endpoint, policy::PeakEwma};
//! # use tonic_health::pb::health_client::HealthClient as GreeterClient;
//! # fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoints = ["http://10.0.0.1:50051", "http://10.0.0.2:50051"].map(Endpoint::new);
//!
//! let balancer = Balancer::builder().policy(PeakEwma::default()).endpoints(endpoints).build()?;
//! let mut greeter = GreeterClient::new(tower_lb::tonic::channel(balancer));
//! # let _ = &mut greeter;
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! - [`LoadBalancer`] is the service: cloneable, always ready, over any
//!   `Service<http::Request<ReplayBody<B>>>` that a [`MakeEndpoint`] makes for each endpoint.
//!   [`LoadBalancerLayer`] is the same as a layer, [`Builder`] has the settings.
//! - `hyper` (feature) makes pooled HTTP/1.1 and HTTP/2 clients, with TLS by the feature `tls`;
//!   `tonic` (feature) makes channels for generated clients.
//! - [`classify`] tells success from failure, one classifier a transport.
//! - [`discover`] follows a stream of changes to the fleet; [`Balancer::fleet`] changes it by hand.
//! - `log` (feature) writes the decision log; [`metrics`] says what is counted (feature `metrics`).
//!
//! No feature is on by default, and each works alone.
//!
//! # A request's way
//!
//! The [`Route`] in its extensions, or a [`ContextFn`], gives its key, class and region. The balancer
//! picks; the endpoint's count of requests in flight goes up; the request is sent. The count goes down
//! when the answer's body has ended or failed, or when the future or the body is dropped: always, and
//! exactly once. Latency is taken at the first byte of the answer's body.
//!
//! # When a request is sent again
//!
//! Only when the server certainly did not process it, at most three times in all, and never after the
//! answer's head:
//!
//! | the attempt | the next one |
//! |---|---|
//! | was never sent: no connection, or one that closed first | at an endpoint not tried; free if nothing is known against that one, else within the retry budget |
//! | was refused unprocessed: HTTP/2 `REFUSED_STREAM`, or `GOAWAY` | the first time free, at the same endpoint if there is no other; then elsewhere, within the budget |
//!
//! The free ones put no load on any server: requests that servers work on stay within the budget,
//! 1.2 x requests + 10 a second. A body that was partly read is sent again from kept `Bytes`, up to
//! 64 KiB; beyond that it is not.
//!
//! # Limits
//!
//! - An answered request is not sent again, whatever its status.
//! - The pooled client opens as many HTTP/1.1 connections to an endpoint as requests are in flight
//!   there. Where that is too many, put `tower::limit::ConcurrencyLimit` before the balancer.
//! - HTTP/1.1 upgrades and `CONNECT` are not supported by the pooled client.
//! - A request that a server closes an idle HTTP/1.1 connection on, in the moment in which it is
//!   written, fails: nobody can tell whether it was processed. `hyper::Config::idle_timeout` should be
//!   under the servers'.
//!
//! # What it tells
//!
//! Through `tracing`: a span `balanced_request` a request, at debug level, with `balancer`, `policy`,
//! `endpoint`, `mode`, `attempts` and `outcome` (as it stood at the answer's head); events when an
//! attempt fails or a fallback chooses (debug), when an endpoint is ejected or cannot be reached (warn),
//! and when it is back (info). Through [`metrics`]: counts.
//!
//! # Cost
//!
//! `cargo bench -p tower-lb --all-features --bench throughput` compares with the bare clients; figures are
//! in `tests/bench/README.md` of the repository. Of what is added to a request, the largest part is a
//! copy of its head, so that it can be sent again.

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
    self, Balancer, ConfigError, Endpoint, EndpointId, Fleet, GeoPoint, HealthConfig, Node,
    PickError, Place, RetryBudget, Weight, policy,
};
