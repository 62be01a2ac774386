//! The balancing service: picks an endpoint a request, sends it there, and tells how it ended.

mod attempts;
mod builder;
mod future;
mod in_flight;
mod layer;
mod make;
mod service;

pub use builder::Builder;
#[cfg(feature = "hyper")]
pub(crate) use builder::next_name;
pub use future::ResponseFuture;
pub(crate) use in_flight::Reading;
pub use layer::LoadBalancerLayer;
pub use make::MakeEndpoint;
pub use service::LoadBalancer;
