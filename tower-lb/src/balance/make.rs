//! Making the service that carries requests to one endpoint.

use std::sync::Arc;

use http::request::Parts;
use trimtab_core::Node;

/// Makes a service for each endpoint; once, when the first request goes there.
///
/// The service lives as long as the endpoint's node: as long as the fleet or a request holds it, across
/// all changes of the fleet, and longer than the [`LoadBalancer`](super::LoadBalancer) that had it made:
/// close in `M`'s drop what it holds open, and make one `LoadBalancer` and clone it. It must not hold the node itself, or neither would ever go: keep a
/// [`Weak`](std::sync::Weak) if it needs one. Any function of this shape will do:
///
/// ```
/// use std::sync::Arc;
/// use tower_lb::{MakeEndpoint, Node};
/// #[derive(Clone)]
/// struct Client(String);
/// fn check<M: MakeEndpoint>(_: &M) {}
/// check(&|node: &Arc<Node>| Client(node.address().to_string()));
/// ```
pub trait MakeEndpoint {
    /// What carries the requests.
    type Service;

    /// A service for `node`, whose [`address`](Node::address) says where to connect to. It must not
    /// block.
    fn make(&self, node: &Arc<Node>) -> Self::Service;

    /// A copy of a request's head, for another attempt; made once a request, before the first. Override
    /// it to leave out extensions that the services have no use for.
    fn copy_head(&self, head: &Parts) -> Parts {
        head.clone()
    }
}

impl<F, S> MakeEndpoint for F
where
    F: Fn(&Arc<Node>) -> S,
{
    type Service = S;

    fn make(&self, node: &Arc<Node>) -> S {
        self(node)
    }
}
