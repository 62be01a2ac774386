//! A pooled HTTP client for each endpoint (feature `hyper`).
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use tower::{Service, ServiceExt};
//! use tower_lb::{Balancer, Endpoint};
//! let balancer = Balancer::builder()
//!     .endpoints([Endpoint::new("http://10.0.0.1:8000"), Endpoint::new("http://10.0.0.2:8000")])
//!     .build()?;
//! let mut client = tower_lb::hyper::client(balancer)?;
//! let request = http::Request::get("/v1/models").body(http_body_util::Empty::<bytes::Bytes>::new())?;
//! let answer = client.call(request).await?;
//! # let _ = answer;
//! # Ok(())
//! # }
//! ```
//!
//! - **Addresses** are `http://host:port` or `https://host:port` (feature `tls`); the endpoint's scheme
//!   and authority replace the request's. By default the `Host` header does too; [`Host::Caller`]
//!   keeps the caller's.
//! - **HTTP/1.1** connections are kept alive: the last used first, at most [`Config::max_idle`] an
//!   endpoint, for at most [`Config::idle_timeout`].
//! - **HTTP/2** requests share a connection up to the peer's limit of streams; further connections open
//!   when streams run out, up to [`Config::max_http2_connections`], and close after [`Config::idle_timeout`]
//!   without a stream. Pings can find dead peers.
//! - **A connection that cannot be made** fails the attempt, which moves on to another endpoint, and
//!   starts a background task that tries again after a full-jitter backoff, needs no traffic, and tells
//!   the balancer when the endpoint answers. The task ends when the endpoint is back or gone.
//! - **Connecting goes on** when the request that asked for it is given up: the next one finds the
//!   connection ready.
//! - **The last clone of a client** that is dropped closes its connections, those at work with their last
//!   answer. Clone a client rather than make another: each one made has connections of its own.
//!
//! Tasks are spawned on the Tokio runtime that requests run on. None of them keeps the balancer alive.

mod address;
mod config;
mod connect;
mod connector;
mod endpoint;
mod http2;
mod io;
mod keeper;
mod pool;
mod pooled_body;
mod reconnect;
mod rewrite;
#[cfg(feature = "tls")]
mod tls;

pub use address::AddressError;
pub use config::{Config, Host, Protocol};
pub use connector::{Client, Connector, client, client_with};
pub use endpoint::{EndpointClient, EndpointFuture};
pub use pooled_body::PooledBody;
#[cfg(feature = "tls")]
pub use tls::TlsError;
