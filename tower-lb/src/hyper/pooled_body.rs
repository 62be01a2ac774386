//! An answer's body that gives its connection back when it ends.
//!
//! Dropped before its end, it closes an HTTP/1.1 connection (the rest of the answer is still to come on
//! it) and resets an HTTP/2 stream.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http1::SendRequest};

use super::{http2::Stream, pool::Pool};

/// The body of an answer from an endpoint's pool, to which it gives the connection back when it ends.
///
/// Dropped before its end, it closes an HTTP/1.1 connection, since the rest of the answer is still to
/// come on it, and resets an HTTP/2 stream.
pub struct PooledBody<B> {
    body: Incoming,
    held: Held<B>,
}

enum Held<B> {
    Http1(SendRequest<B>, Weak<Pool<B>>),
    Http2(Stream, Weak<Pool<B>>),
    Nothing,
}

impl<B: Send + 'static> PooledBody<B> {
    pub(super) fn http1(body: Incoming, sender: SendRequest<B>, pool: &Arc<Pool<B>>) -> Self {
        Self::new(body, Held::Http1(sender, Arc::downgrade(pool)))
    }

    pub(super) fn http2(body: Incoming, stream: Stream, pool: &Arc<Pool<B>>) -> Self {
        Self::new(body, Held::Http2(stream, Arc::downgrade(pool)))
    }

    fn new(body: Incoming, held: Held<B>) -> Self {
        let mut this = Self { body, held };
        if this.body.is_end_stream() {
            this.held.release(true);
        }
        this
    }
}

impl<B: Send + 'static> Body for PooledBody<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) if self.body.is_end_stream() => self.held.release(true),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.held.release(false),
            None => self.held.release(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Held<B> {
    fn end_stream(&mut self) {
        if let Self::Http2(stream, pool) = std::mem::replace(self, Self::Nothing) {
            drop(stream);
            if let Some(pool) = pool.upgrade() {
                pool.stream_ended();
            }
        }
    }
}

impl<B: Send + 'static> Held<B> {
    /// Gives the connection back; if the answer did not end well, an HTTP/1.1 connection is closed.
    fn release(&mut self, whole: bool) {
        match std::mem::replace(self, Self::Nothing) {
            Self::Http1(mut sender, pool) if whole => {
                let Some(strong) = pool.upgrade() else { return };
                if sender.is_ready() {
                    return strong.give_back(sender);
                }
                drop(strong);
                // The request's body is still being sent, or the connection has not been polled since.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move {
                        if sender.ready().await.is_ok()
                            && let Some(pool) = pool.upgrade()
                        {
                            pool.give_back(sender);
                        }
                    });
                }
            }
            held @ Self::Http2(..) => {
                *self = held;
                self.end_stream();
            }
            Self::Http1(..) | Self::Nothing => {}
        }
    }
}

impl<B> Drop for PooledBody<B> {
    fn drop(&mut self) {
        self.held.end_stream();
    }
}

impl<B> std::fmt::Debug for PooledBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PooledBody").field("body", &self.body).finish_non_exhaustive()
    }
}
