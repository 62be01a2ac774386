//! The channel: a Tower service as generated clients want it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tonic::{Status, body::Body};
use tower_service::Service;
use trimtab_core::Balancer;

use super::{deadline, status};
use crate::{
    Builder,
    body::{LeasedBody, ReplayBody},
    classify::GrpcClassifier,
    hyper::{AddressError, Client, Config, Connector, PooledBody, Protocol, client_with},
};

/// A balanced channel. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Channel {
    client: Client<Body>,
}

/// A channel with default settings.
///
/// It always succeeds: a call that goes to an endpoint whose address is malformed moves on to another,
/// and fails with an error that names the endpoint if there is none. [`try_channel`] checks at once.
pub fn channel(balancer: Balancer) -> Channel {
    let builder = grpc(Builder::new(balancer));
    let config = http2(Config::default());
    let connector = Connector::named(builder.balancer(), config, builder.shared_name());
    Channel { client: builder.build(connector) }
}

/// A channel with default settings, whose endpoints' addresses have been checked.
///
/// # Errors
/// [`AddressError`], which names the endpoint.
pub fn try_channel(balancer: Balancer) -> Result<Channel, AddressError> {
    channel_with(grpc(Builder::new(balancer)), Config::default())
}

/// A channel with the settings of `builder`, its classifier included ([`GrpcClassifier`] is what suits),
/// and connections as `config` says, but for the protocol, which is HTTP/2.
///
/// # Errors
/// [`AddressError`], which names the endpoint.
pub fn channel_with(builder: Builder, config: Config) -> Result<Channel, AddressError> {
    Ok(Channel { client: client_with(builder, http2(config))? })
}

fn grpc(builder: Builder) -> Builder {
    builder.classify(GrpcClassifier::default())
}

fn http2(config: Config) -> Config {
    config.with_protocol(Protocol::Http2)
}

impl Channel {
    /// The balancer inside: its fleet, its statistics, its log.
    pub fn balancer(&self) -> &Balancer {
        self.client.balancer()
    }
}

type Answer = Response<LeasedBody<PooledBody<ReplayBody<Body>>>>;

impl Service<Request<Body>> for Channel {
    type Response = Answer;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let timeout = deadline::timeout(request.headers());
        let timer = timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
        ResponseFuture { answer: self.client.call(request), timer }
    }
}

pin_project! {
    /// A call's answer to come. Dropping it cancels the call.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture {
        #[pin]
        answer: crate::ResponseFuture<Connector<Body>, Body>,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl Future for ResponseFuture {
    type Output = Result<Answer, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.answer.as_mut().poll(cx) {
            return Poll::Ready(answer.map_err(status::from_error));
        }
        let Some(timer) = this.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        *this.timer = None;
        Poll::Ready(Err(status::from_error(this.answer.time_out())))
    }
}
