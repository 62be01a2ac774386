//! A balanced channel for clients that tonic generated (feature `tonic`).
//!
//! ```no_run
//! # fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_lb::{Balancer, Endpoint, policy::PeakEwma};
//! let endpoints = ["http://10.0.0.1:50051", "http://10.0.0.2:50051"].map(Endpoint::new);
//! let balancer = Balancer::builder().policy(PeakEwma::default()).endpoints(endpoints).build()?;
//! let channel = tower_lb::tonic::channel(balancer);
//! // let mut greeter = GreeterClient::new(channel);
//! # let _ = channel;
//! # Ok(())
//! # }
//! ```
//!
//! Unary calls and all kinds of streaming go through it: a call's lease ends with its last message or
//! its trailers. `http://` addresses are spoken to in HTTP/2 with prior knowledge, `https://` ones
//! through TLS (feature `tls`). A [`Route`](crate::Route) in the extensions of a `tonic::Request` sets
//! the call's key and class. As in tonic's own channel, a `grpc-timeout` ends a call whose answer has
//! not begun by then, with `CANCELLED` and the message `Timeout expired`; here it also counts against
//! the endpoint.
//!
//! The adapter is thin: everything but the timeout and the errors' translation to [`tonic::Status`] is
//! the [`hyper`](crate::hyper) client's.

mod channel;
mod deadline;
mod status;

pub use channel::{Channel, ResponseFuture, channel, channel_with, try_channel};
