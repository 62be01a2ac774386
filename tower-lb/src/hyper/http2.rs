//! One HTTP/2 connection and the streams that this process has on it.
//!
//! The count is ours, from the moment a request is given to the connection until its answer's body has
//! ended or was dropped; the limit is the peer's, read from the connection each time it is driven. A
//! stream is taken only while there is room, so that requests rarely wait inside hyper, where they
//! would be lost to a `GOAWAY` without a trace.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::client::conn::http2::{Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::io::Stream as Io;
use crate::error::BoxError;

pub(super) struct Http2<B> {
    sender: SendRequest<B>,
    load: Arc<Load>,
    /// Sweeps that found it without a stream since one was taken.
    idle: u32,
}

#[derive(Debug)]
struct Load {
    streams: AtomicUsize,
    limit: AtomicUsize,
    /// A stream was taken since the last sweep.
    used: AtomicBool,
}

/// One stream on a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    load: Arc<Load>,
}

impl<B> Http2<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Lets the connection run in a task of its own; it ends with the connection, or when nobody can
    /// send on it any more and the last stream has ended.
    pub(super) fn drive(
        sender: SendRequest<B>,
        connection: Connection<TokioIo<Io>, B, TokioExecutor>,
        max_streams: usize,
    ) -> Self {
        let limit = max_streams.min(connection.current_max_send_streams());
        let load = Load {
            streams: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            used: AtomicBool::new(true),
        };
        let load = Arc::new(load);
        let driver = Driver { connection, load: Arc::clone(&load), max_streams };
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "HTTP/2 connection ended");
            }
        });
        Self { sender, load, idle: 0 }
    }
}

impl<B> Http2<B> {
    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn streams(&self) -> usize {
        self.load.streams.load(Ordering::Relaxed)
    }

    /// Sweeps in a row, this one included, in which it had no stream.
    pub(super) fn swept(&mut self) -> u32 {
        let used = self.load.used.swap(false, Ordering::Relaxed) || self.streams() > 0;
        self.idle = if used { 0 } else { self.idle + 1 };
        self.idle
    }

    /// A stream, if there is room for one.
    pub(super) fn take(&self) -> Option<(SendRequest<B>, Stream)> {
        let limit = self.load.limit.load(Ordering::Relaxed);
        let room = |streams: usize| (streams < limit).then_some(streams + 1);
        self.load.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        self.load.used.store(true, Ordering::Relaxed);
        Some((self.sender.clone(), Stream { load: Arc::clone(&self.load) }))
    }

    /// A stream whether there is room or not: the request waits inside the connection.
    pub(super) fn take_anyway(&self) -> (SendRequest<B>, Stream) {
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        self.load.used.store(true, Ordering::Relaxed);
        (self.sender.clone(), Stream { load: Arc::clone(&self.load) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.load.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drives the connection and notes the peer's limit of streams.
struct Driver<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    connection: Connection<TokioIo<Io>, B, TokioExecutor>,
    load: Arc<Load>,
    max_streams: usize,
}

impl<B> Future for Driver<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let result = Pin::new(&mut self.connection).poll(cx);
        let limit = self.connection.current_max_send_streams().min(self.max_streams);
        self.load.limit.store(limit, Ordering::Relaxed);
        result
    }
}
