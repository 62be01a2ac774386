//! An answer's body that holds the request's lease until it ends.
//!
//! The lease is finished at the end of the stream (after the trailers, where there are any) or at its
//! first error, and cancelled if the body is dropped before that. The time to first byte is taken at
//! the first data frame, or at the end if there is none: a server of events or tokens sends its head
//! at once, so the head says nothing of how long the work takes. It is taken from answers that are
//! successes so far only: a fast failure must not make an endpoint look fast.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::balance::Reading;

pin_project! {
    /// An answer's body that holds the request's lease until it ends.
    ///
    /// The lease is finished at the end of the stream or at its first error, and cancelled if the body
    /// is dropped before that. The first data frame is the first byte, by which latency is measured.
    #[derive(Debug)]
    pub struct LeasedBody<B> {
        #[pin]
        body: B,
        // Taken when the answer has ended. Boxed: answers are moved about a good deal.
        reading: Option<Box<Reading>>,
    }
}

impl<B: Body> LeasedBody<B> {
    pub(crate) fn new(body: B, reading: Reading) -> Self {
        let mut this = Self { body, reading: Some(Box::new(reading)) };
        if this.body.is_end_stream() {
            end(&mut this.reading, None);
        }
        this
    }

    /// The body inside, for a look.
    pub fn get_ref(&self) -> &B {
        &self.body
    }
}

impl<B: Body> Body for LeasedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    end(this.reading, Some(trailers));
                } else if let (Some(data), Some(reading)) = (frame.data_ref(), &mut *this.reading) {
                    reading.data(data.remaining());
                    // Readers stop here when the length was known.
                    if this.body.is_end_stream() {
                        end(this.reading, None);
                    }
                }
            }
            Some(Err(_)) => {
                if let Some(reading) = this.reading.take() {
                    reading.broke();
                }
            }
            None => end(this.reading, None),
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

fn end(reading: &mut Option<Box<Reading>>, trailers: Option<&http::HeaderMap>) {
    if let Some(reading) = reading.take() {
        reading.end(trailers);
    }
}
