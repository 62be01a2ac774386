//! The service that carries requests to one endpoint.

use std::{
    error::Error as _,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::client::conn::TrySendError;
use tower_service::Service;

use super::{
    address::AddressError,
    pool::{Carrier, Pool},
    pooled_body::PooledBody,
    rewrite,
};
use crate::{
    body::{Replay, ReplayBody},
    error::{BoxError, TransportError},
};

/// A pooled client of one endpoint. Cheap to clone; clones share the connections.
pub struct EndpointClient<B> {
    pool: Result<Arc<Pool<ReplayBody<B>>>, AddressError>,
}

/// The answer to come.
pub type EndpointFuture<B> =
    Pin<Box<dyn Future<Output = Result<Answer<B>, TransportError>> + Send>>;

type Answer<B> = Response<PooledBody<ReplayBody<B>>>;

impl<B> EndpointClient<B> {
    pub(super) fn new(pool: Result<Arc<Pool<ReplayBody<B>>>, AddressError>) -> Self {
        Self { pool }
    }
}

impl<B> Service<Request<ReplayBody<B>>> for EndpointClient<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer<B>;
    type Error = TransportError;
    type Future = EndpointFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<B>>) -> EndpointFuture<B> {
        match &self.pool {
            Ok(pool) => Box::pin(send(Arc::clone(pool), request)),
            Err(error) => {
                let error = TransportError::connect(error.clone());
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }
}

/// Sends the request on a connection of the pool; on another if that one turns out to be closed before
/// anything was written to it.
async fn send<B>(
    pool: Arc<Pool<ReplayBody<B>>>,
    mut request: Request<ReplayBody<B>>,
) -> Result<Answer<B>, TransportError>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Closed connections in a row, after which the endpoint and not the pool is to blame.
    const STALE: u32 = 8;
    let host = pool.dialer.config.host;
    let mut stale = 0;
    loop {
        let failed = match pool.carrier().await? {
            Carrier::Http1(mut sender) => {
                rewrite::for_http1(&mut request, &pool.address, host);
                // Whatever HTTP/1.1 has begun to send may have been processed.
                request.body_mut().keep_nothing();
                match sender.try_send_request(request).await {
                    Ok(answer) => {
                        return Ok(answer.map(|body| PooledBody::http1(body, sender, &pool)));
                    }
                    Err(failed) => failed,
                }
            }
            Carrier::Http2(mut sender, stream) => {
                rewrite::for_http2(&mut request, &pool.address, host);
                let body = request.body().watch();
                match sender.try_send_request(request).await {
                    Ok(answer) => {
                        return Ok(answer.map(|body| PooledBody::http2(body, stream, &pool)));
                    }
                    Err(failed) if never_opened(&failed, &body) => {
                        return Err(TransportError::closing(failed.into_error()));
                    }
                    Err(failed) => failed,
                }
            }
        };
        let mut failed = failed;
        match failed.take_message() {
            Some(unsent) if stale < STALE => {
                stale += 1;
                request = unsent;
            }
            Some(_) => return Err(TransportError::unsent(failed.into_error())),
            None => return Err(diagnose(failed.into_error())),
        }
    }
}

/// Whether the request was waiting inside the connection for a stream when the connection ended. hyper
/// then drops it, which it calls the caller's doing, and has not looked at its body.
fn never_opened<B>(failed: &TrySendError<Request<ReplayBody<B>>>, body: &Replay<B>) -> bool {
    failed.message().is_none() && failed.error().is_user() && body.is_untouched()
}

/// How far the request got. A stream sees a `GOAWAY` of the peer only if its id is above the last one
/// that the peer processed.
fn diagnose(error: hyper::Error) -> TransportError {
    let http2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    if let Some(http2) = http2.filter(|http2| http2.is_remote()) {
        let reason = http2.reason();
        if http2.is_go_away() && reason == Some(h2::Reason::NO_ERROR) {
            return TransportError::closing(error);
        }
        if http2.is_go_away() || reason == Some(h2::Reason::REFUSED_STREAM) {
            return TransportError::refused(error);
        }
    }
    if error.is_user() { TransportError::request(error) } else { TransportError::reset(error) }
}

impl<B> Clone for EndpointClient<B> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone() }
    }
}

impl<B> std::fmt::Debug for EndpointClient<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.pool.as_ref().map(|pool| pool.address.authority.as_str());
        f.debug_struct("EndpointClient").field("address", &address).finish()
    }
}
