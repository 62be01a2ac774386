//! The attempts of one request, and when there may be another.
//!
//! | the attempt | another attempt |
//! |---|---|
//! | was never sent | at an endpoint not tried; free if nothing is known against that one, else within the retry budget |
//! | was refused unprocessed | the first time free, at the same endpoint if there is no other; then within the budget, elsewhere |
//! | may have been processed | none |
//!
//! An attempt that no server worked on is no load on the fleet, so moving it on to an endpoint with
//! nothing against it multiplies nothing; moving among endpoints that are down, or were and have not
//! answered since, would, and the budget bounds it. After the answer's
//! head there is no further attempt, nor without the request's body, nor beyond the configured number.

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use trimtab_core::{Context, EndpointId, Lease, Time};

use super::{MakeEndpoint, in_flight::InFlight, service::Inner};
use crate::{
    body::{Replay, ReplayBody},
    error::{BoxError, Error, Reach},
    random,
    route::Route,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Attempts<B> {
    /// Taken by the last attempt there can be.
    head: Option<Parts>,
    body: Replay<B>,
    route: Route,
    event: u64,
    /// Where attempts failed.
    tried: Vec<EndpointId>,
    refused_before: bool,
    /// Why the last attempt failed.
    failure: Option<Error>,
}

/// What the next attempt may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// The first: anything.
    First,
    /// Go anywhere, for free.
    Anywhere,
    /// Go elsewhere, for free where that endpoint is up.
    Elsewhere,
    /// Go elsewhere, within the budget.
    ElsewherePaid,
}

impl<B: Body<Data = Bytes>> Attempts<B> {
    pub(super) fn new<M>(balancer: &Inner<M>, request: Request<B>) -> (Self, ReplayBody<B>) {
        let (mut head, body) = request.into_parts();
        let route = match head.extensions.remove::<Route>() {
            Some(route) => route,
            None => balancer.context.as_ref().map(|f| f.derive(&head)).unwrap_or_default(),
        };
        let (replay, body) = Replay::new(body, balancer.replay_limit);
        if balancer.max_attempts == 1 {
            replay.stop_keeping();
        }
        let attempts = Self {
            head: Some(head),
            body: replay,
            route,
            event: random::with(trimtab_core::Rng::bits),
            tried: Vec::new(),
            refused_before: false,
            failure: None,
        };
        (attempts, body)
    }

    /// Where the next attempt goes; the last one's error if it may go nowhere.
    pub(super) fn pick<M>(
        &mut self,
        balancer: &Inner<M>,
        allowed: Allowed,
    ) -> Result<Lease, Error> {
        let now = balancer.clock.now();
        let context = context(&self.route, balancer, &self.tried, self.event);
        let picked = random::with(|rng| balancer.balancer.pick(now, &context, rng));
        let Some(failure) = self.failure.take() else {
            balancer.deposit(now);
            return Ok(picked?);
        };
        let Ok(lease) = picked else { return Err(failure) };
        let elsewhere = !lease.is_repeat();
        let free = match allowed {
            Allowed::First | Allowed::Anywhere => true,
            Allowed::Elsewhere => elsewhere && !lease.node().is_recovering(),
            Allowed::ElsewherePaid => false,
        };
        if free || elsewhere && balancer.withdraw(now) {
            return Ok(lease);
        }
        lease.discard();
        Err(failure)
    }

    /// The request as this attempt sends it.
    pub(super) fn request<M: MakeEndpoint>(
        &mut self,
        balancer: &Inner<M>,
        body: Option<ReplayBody<B>>,
    ) -> Request<ReplayBody<B>> {
        let head = self.head.take().expect("invariant: only the last attempt leaves no head");
        if self.number() < balancer.max_attempts {
            self.head = Some(balancer.make.copy_head(&head));
        }
        let body = body.expect("invariant: an attempt is sent once");
        Request::from_parts(head, body)
    }

    /// The head of an answer is here: this was the last attempt.
    pub(super) fn answered(&self) {
        self.body.stop_keeping();
    }

    /// The attempt failed. What the next one may do, with its body; the error if there is none.
    pub(super) fn failed<M>(
        &mut self,
        balancer: &Inner<M>,
        attempt: Option<InFlight>,
        source: BoxError,
    ) -> Result<(Allowed, ReplayBody<B>), Error> {
        let attempt = attempt.expect("invariant: an attempt fails once");
        let fault = balancer.classify.error(&*source);
        let endpoint = attempt.lease().id().clone();
        let attempts = self.number();
        tracing::debug!(%endpoint, attempts, reach = ?fault.reach, error = %source, "attempt failed");
        let allowed = match fault.reach {
            Reach::Unsent => Some(Allowed::Elsewhere),
            Reach::Refused if self.refused_before => Some(Allowed::ElsewherePaid),
            Reach::Refused => Some(Allowed::Anywhere),
            Reach::Unknown => None,
        };
        self.refused_before |= fault.reach == Reach::Refused;
        let allowed = allowed.filter(|_| attempts < balancer.max_attempts);
        let next = allowed.and_then(|allowed| Some((allowed, self.body.take_over()?)));
        if next.is_some() {
            attempt.retried();
        }
        attempt.finish(fault.outcome);
        self.tried.push(endpoint.clone());
        let error = Error::Attempt { endpoint, attempts, reach: fault.reach, source };
        let Some(next) = next else { return Err(error) };
        self.failure = Some(error);
        Ok(next)
    }

    /// The number of the attempt under way, from 1.
    pub(super) fn number(&self) -> u32 {
        self.tried.len() as u32 + 1
    }
}

fn context<'a, M>(
    route: &'a Route,
    balancer: &Inner<M>,
    tried: &'a [EndpointId],
    event: u64,
) -> Context<'a> {
    let mut context = Context::new().with_tried(tried).with_event(event);
    context.key = route.key;
    context.request_class = route.class.as_deref();
    context.region = route.region.as_deref();
    context.deadline = route.deadline.map(|deadline| -> Time { balancer.clock.at(deadline) });
    context
}
