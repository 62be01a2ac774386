//! One request: an attempt, and further ones where [`super::attempts`] allows them.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;
use tracing::{Span, field::Empty};
#[cfg(feature = "tonic")]
use trimtab_core::{Failure, Outcome};
use trimtab_core::{Lease, Verdict, policy::Mode};

use super::{
    MakeEndpoint,
    attempts::{Allowed, Attempts},
    in_flight::{InFlight, Reading},
    service::Inner,
};
use crate::{
    body::{LeasedBody, ReplayBody},
    error::{BoxError, Error},
};

pin_project! {
    /// The future of a balanced request. Dropping it cancels the request.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<M, B>
    where
        M: MakeEndpoint,
        M::Service: Service<Request<ReplayBody<B>>>,
    {
        balancer: Arc<Inner<M>>,
        attempts: Attempts<B>,
        #[pin]
        state: State<M::Service, B>,
        span: Span,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        // Where the next attempt goes is not decided.
        Picking { body: Option<ReplayBody<B>>, allowed: Allowed },
        // Decided; the endpoint's service is not ready.
        Waiting { service: S, body: Option<ReplayBody<B>>, attempt: Option<InFlight> },
        // Sent.
        Sent { #[pin] future: S::Future, attempt: Option<InFlight> },
        Done,
    }
}

impl<M, B> ResponseFuture<M, B>
where
    M: MakeEndpoint,
    M::Service: Service<Request<ReplayBody<B>>>,
    B: Body<Data = Bytes>,
{
    pub(super) fn new(balancer: Arc<Inner<M>>, request: Request<B>) -> Self {
        let (attempts, body) = Attempts::new(&balancer, request);
        let state = State::Picking { body: Some(body), allowed: Allowed::First };
        let span = tracing::debug_span!(
            "balanced_request",
            balancer = &*balancer.name,
            policy = balancer.balancer.policy_name(),
            endpoint = Empty,
            mode = Empty,
            attempts = Empty,
            outcome = Empty,
        );
        Self { balancer, attempts, state, span }
    }

    /// The caller's time is up: the attempt under way ends as a timeout, which the endpoint answers
    /// for.
    #[cfg(feature = "tonic")]
    pub(crate) fn time_out(self: Pin<&mut Self>) -> Error {
        let mut this = self.project();
        let attempt = match this.state.as_mut().project() {
            StateProj::Waiting { attempt, .. } | StateProj::Sent { attempt, .. } => attempt.take(),
            StateProj::Picking { .. } | StateProj::Done => None,
        };
        this.state.set(State::Done);
        this.span.record("outcome", "timeout");
        let endpoint = attempt.as_ref().map(|attempt| attempt.lease().id().clone());
        if let Some(attempt) = attempt {
            attempt.finish(Outcome::failure(Failure::Timeout));
        }
        Error::Timeout { endpoint }
    }
}

impl<M, B, ResBody> Future for ResponseFuture<M, B>
where
    M: MakeEndpoint,
    M::Service: Service<Request<ReplayBody<B>>, Response = Response<ResBody>>,
    M::Service: Clone + Send + Sync + 'static,
    <M::Service as Service<Request<ReplayBody<B>>>>::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    ResBody: Body,
{
    type Output = Result<Response<LeasedBody<ResBody>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.span.enter();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Picking { body, allowed } => {
                    let (allowed, body) = (*allowed, body.take());
                    this.attempts.pick(this.balancer, allowed).map(|lease| {
                        note_pick(this.span, &lease, this.attempts.number());
                        let (service, meters) = this.balancer.endpoint(lease.node());
                        let attempt = Some(InFlight::new(lease, meters, this.balancer.clock));
                        State::Waiting { service, body, attempt }
                    })
                }
                StateProj::Waiting { service, body, attempt } => {
                    match ready!(service.poll_ready(cx)) {
                        Ok(()) => {
                            let request = this.attempts.request(this.balancer, body.take());
                            Ok(State::Sent {
                                future: service.call(request),
                                attempt: attempt.take(),
                            })
                        }
                        Err(error) => {
                            let attempt = attempt.take();
                            this.attempts.failed(this.balancer, attempt, error.into()).map(picking)
                        }
                    }
                }
                StateProj::Sent { future, attempt } => {
                    let result = ready!(future.poll(cx));
                    let attempt = attempt.take();
                    match result {
                        Ok(response) => {
                            this.state.set(State::Done);
                            this.attempts.answered();
                            let answer = leased(this.balancer, attempt, response, this.span);
                            return Poll::Ready(Ok(answer));
                        }
                        Err(error) => {
                            this.attempts.failed(this.balancer, attempt, error.into()).map(picking)
                        }
                    }
                }
                StateProj::Done => panic!("ResponseFuture polled after it was ready"),
            };
            match next {
                Ok(state) => this.state.set(state),
                Err(error) => {
                    this.state.set(State::Done);
                    this.span.record("outcome", "error");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

fn picking<S, B>((allowed, body): (Allowed, ReplayBody<B>)) -> State<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    State::Picking { body: Some(body), allowed }
}

/// Where the attempt goes, and who decided that.
fn note_pick(span: &Span, lease: &Lease, attempt: u32) {
    let mode = match lease.mode() {
        Mode::Policy => "policy",
        Mode::Explored => "explored",
        Mode::Fallback(reason) => {
            let reason = reason.as_str();
            tracing::debug!(endpoint = %lease.id(), reason, "a fallback chose the endpoint");
            "fallback"
        }
        _ => "other",
    };
    span.record("endpoint", lease.id().as_str());
    span.record("mode", mode);
    span.record("attempts", attempt);
}

/// The answer, holding its lease.
fn leased<M, B: Body>(
    balancer: &Inner<M>,
    attempt: Option<InFlight>,
    response: Response<B>,
    span: &Span,
) -> Response<LeasedBody<B>> {
    let attempt = attempt.expect("invariant: Sent is left when it is answered");
    let outcome = balancer.classify.head(response.status(), response.headers());
    // So far: the body is still to come, and with it a gRPC status.
    let verdict = match outcome.verdict {
        Verdict::Success => "success",
        Verdict::Failure(failure) => failure.as_str(),
        _ => "ignored",
    };
    span.record("outcome", verdict);
    let reading = Reading::new(attempt, Arc::clone(&balancer.classify), outcome);
    response.map(|body| LeasedBody::new(body, reading))
}

impl<M, B> std::fmt::Debug for ResponseFuture<M, B>
where
    M: MakeEndpoint,
    M::Service: Service<Request<ReplayBody<B>>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
