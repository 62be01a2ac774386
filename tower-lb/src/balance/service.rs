//! The service: cloneable, always ready, everything through `&self`.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;
use trimtab_core::{Balancer, Node, RetryBudget, Rng, Time, next_owner};

use super::{Builder, MakeEndpoint, ResponseFuture};
use crate::{
    body::{LeasedBody, ReplayBody},
    classify::Classify,
    clock::Clock,
    error::{BoxError, Error},
    metrics::Meters,
    random,
    route::ContextFn,
};

/// Sends each request to the endpoint that the balancer picks for it.
///
/// It is always ready, costs an atomic increment to clone, and has no task or buffer on the request's
/// way; clones share everything. The endpoint services are made by `M`; one that is not ready is
/// waited for, with the request in flight there.
///
/// A request whose attempt failed without the server processing it is sent to another endpoint; see
/// the crate's documentation for when. Cancel safety: dropping the future or the answer's body cancels
/// the request; its lease ends there and then.
pub struct LoadBalancer<M> {
    pub(super) inner: Arc<Inner<M>>,
}

pub(super) struct Inner<M> {
    pub(super) make: M,
    pub(super) balancer: Balancer,
    pub(super) name: Arc<str>,
    pub(super) clock: Clock,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) context: Option<ContextFn>,
    pub(super) max_attempts: u32,
    pub(super) replay_limit: usize,
    budget: Arc<RetryBudget>,
    /// The budget's zero; see [`Builder`].
    born: Time,
    owner: u64,
}

/// What hangs on a node for one balancing service.
struct Attached<S> {
    service: S,
    meters: Meters,
}

impl<M: MakeEndpoint> LoadBalancer<M> {
    /// Balances by `balancer` over what `make` makes, with default settings.
    pub fn new(balancer: Balancer, make: M) -> Self {
        Builder::new(balancer).build(make)
    }

    pub(super) fn from_builder(builder: Builder, make: M) -> Self {
        builder.balancer.jitter_by(random::with(Rng::bits));
        let inner = Inner {
            make,
            balancer: builder.balancer,
            name: builder.name,
            clock: Clock::process(),
            classify: builder.classify,
            context: builder.context,
            max_attempts: builder.max_attempts,
            replay_limit: builder.replay_limit,
            budget: builder.budget,
            born: builder.born,
            owner: next_owner(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The balancer inside: its fleet, its statistics, its log.
    pub fn balancer(&self) -> &Balancer {
        &self.inner.balancer
    }
}

impl<M> Inner<M> {
    pub(super) fn deposit(&self, now: Time) {
        self.budget.deposit(self.since_birth(now));
    }

    pub(super) fn withdraw(&self, now: Time) -> bool {
        self.budget.withdraw(self.since_birth(now))
    }

    fn since_birth(&self, now: Time) -> Time {
        Time::ZERO + now.since(self.born)
    }
}

impl<M: MakeEndpoint> Inner<M>
where
    M::Service: Clone + Send + Sync + 'static,
{
    /// The endpoint's service and its meters.
    pub(super) fn endpoint(&self, node: &Arc<Node>) -> (M::Service, Meters) {
        let attached = node.attached(self.owner, || Attached {
            service: self.make.make(node),
            meters: Meters::new(node.id(), self.balancer.policy_name()),
        });
        (attached.service.clone(), attached.meters.clone())
    }
}

impl<M, B, ResBody> Service<Request<B>> for LoadBalancer<M>
where
    M: MakeEndpoint,
    M::Service: Service<Request<ReplayBody<B>>, Response = Response<ResBody>>,
    M::Service: Clone + Send + Sync + 'static,
    <M::Service as Service<Request<ReplayBody<B>>>>::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    ResBody: Body,
{
    type Response = Response<LeasedBody<ResBody>>;
    type Error = Error;
    type Future = ResponseFuture<M, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<M, B> {
        ResponseFuture::new(Arc::clone(&self.inner), request)
    }
}

impl<M> Clone for LoadBalancer<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M> fmt::Debug for LoadBalancer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadBalancer").field("balancer", &self.inner.balancer).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(_: &Arc<Node>) {}

    /// Two zeros further apart than the budget's tolerance would refill it at each change of hands.
    #[test]
    fn clients_that_share_a_budget_count_its_time_from_one_zero() {
        let balancer = Balancer::builder().endpoints([trimtab_core::Endpoint::new("e0")]).build();
        let builder = Builder::new(balancer.unwrap());
        let first = builder.clone().build(idle);
        let then = Clock::process().now();
        while Clock::process().now() == then {}
        let second = builder.build(idle);
        let later = Clock::process().now() + std::time::Duration::from_secs(120);
        assert_eq!(first.inner.since_birth(later), second.inner.since_birth(later));
        while first.inner.withdraw(later) {}
        assert!(!second.inner.withdraw(later), "it is one budget");
    }
}
