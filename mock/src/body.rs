//! Response bodies, and the one that breaks off.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::Notify;

pub(crate) type BodyError = Box<dyn Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is there already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Closes the connection it belongs to, when told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hangup(Arc<Notify>);

impl Hangup {
    pub(crate) async fn requested(&self) {
        self.0.notified().await;
    }

    /// The response whose body stops after half of its first piece, whereupon the connection
    /// closes. Headers promise the whole body, so the client can tell.
    pub(crate) fn midway<B>(self, response: Response<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        response.map(|body| {
            let frames =
                stream::unfold((body, self, false), |(mut body, hangup, sent)| async move {
                    if sent {
                        // Lets what was sent so far leave before the connection closes.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        hangup.0.notify_one();
                        return None;
                    }
                    let mut data = body.frame().await?.ok()?.into_data().ok()?;
                    data.truncate(data.len().div_ceil(2));
                    Some((Ok::<_, BodyError>(Frame::data(data)), (body, hangup, true)))
                });
            // A body that just ends would look whole; one that waits is cut by the hang-up.
            let never = stream::pending();
            BodyExt::boxed_unsync(StreamBody::new(stream::StreamExt::chain(frames, never)))
        })
    }
}
