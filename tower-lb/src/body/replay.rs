//! A request body that another attempt can take over.
//!
//! The caller's body stays in one place that the attempts of a request share; the attempt whose turn
//! it is reads from there. What it reads is kept (as cheap [`Bytes`] clones, up to a limit) until the
//! answer's head arrives, so that the next attempt can begin anew. A body that nobody has read costs
//! nothing to take over, whatever its size; one that was read beyond the limit cannot be.
//!
//! Failure guarded against: a connection task may still hold the body of an attempt that failed. The
//! takeover does not wait for it to let go: the turn passes, and the old holder gets an error.
//!
//! Cost: an allocation a request, and an uncontended lock a frame. An empty body has neither.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// The body of one attempt: what endpoint services receive.
#[derive(Debug)]
pub struct ReplayBody<B> {
    /// `None` for a body that is empty from the start.
    shared: Option<Shared<B>>,
    turn: u32,
    /// The next kept frame to read.
    next: usize,
}

/// The request's own hold on its body, from which attempts get theirs.
#[derive(Debug)]
pub(crate) struct Replay<B> {
    shared: Option<Shared<B>>,
}

type Shared<B> = Arc<Mutex<Recording<B>>>;

#[derive(Debug)]
struct Recording<B> {
    body: B,
    /// Whose turn it is to read.
    turn: u32,
    kept: KeptFrames,
    /// Room left for what is kept.
    room: usize,
    keeping: bool,
    /// Something was read that is not kept.
    lost: bool,
    ended: bool,
}

/// Most bodies are one frame, which then needs no list.
#[derive(Debug, Default)]
struct KeptFrames {
    first: Option<Kept>,
    more: Vec<Kept>,
}

impl KeptFrames {
    fn push(&mut self, kept: Kept) {
        if self.first.is_none() {
            self.first = Some(kept);
        } else {
            self.more.push(kept);
        }
    }

    fn get(&self, index: usize) -> Option<&Kept> {
        if index == 0 { self.first.as_ref() } else { self.more.get(index - 1) }
    }

    fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.first.iter().chain(&self.more)
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[derive(Clone, Debug)]
enum Kept {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

/// An attempt went on reading its body after another had taken over.
#[derive(Debug, thiserror::Error)]
#[error("another attempt has taken this request's body over")]
struct TakenOver;

/// The caller's body failed: whatever it says is no word of the endpoint's.
#[derive(Debug, thiserror::Error)]
#[error("the request's body failed")]
pub(crate) struct RequestBodyError(#[source] BoxError);

impl<B: Body<Data = Bytes>> Replay<B> {
    /// Keeps up to `limit` bytes of `body`; the first attempt's body comes with it.
    pub(crate) fn new(body: B, limit: usize) -> (Self, ReplayBody<B>) {
        let shared = (!body.is_end_stream()).then(|| {
            Arc::new(Mutex::new(Recording {
                body,
                turn: 0,
                kept: KeptFrames::default(),
                room: limit,
                keeping: true,
                lost: false,
                ended: false,
            }))
        });
        (Self { shared: shared.clone() }, ReplayBody { shared, turn: 0, next: 0 })
    }

    /// The body from its start, for the next attempt; `None` if some of it is gone.
    pub(crate) fn take_over(&self) -> Option<ReplayBody<B>> {
        let Some(shared) = &self.shared else {
            return Some(ReplayBody { shared: None, turn: 0, next: 0 });
        };
        let mut recording = lock(shared);
        if recording.lost {
            return None;
        }
        recording.turn += 1;
        Some(ReplayBody { shared: Some(Arc::clone(shared)), turn: recording.turn, next: 0 })
    }

    /// There will be no further attempt: nothing more is kept.
    pub(crate) fn stop_keeping(&self) {
        if let Some(shared) = &self.shared {
            lock(shared).keeping = false;
        }
    }
}

impl<B> Replay<B> {
    /// Whether no attempt has read any of it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let recording = lock(shared);
            recording.kept.len() == 0 && !recording.lost && !recording.ended
        })
    }
}

impl<B> ReplayBody<B> {
    /// A hold on the body that outlives this attempt.
    #[cfg(feature = "hyper")]
    pub(crate) fn watch(&self) -> Replay<B> {
        Replay { shared: self.shared.clone() }
    }

    /// Tells that this attempt will be the last once its body has been read, so that nothing need be
    /// kept: for transports that cannot tell an attempt that was refused from one that was processed.
    pub fn keep_nothing(&mut self) {
        if let Some(shared) = &self.shared {
            lock(shared).keeping = false;
        }
    }

    /// Whether any of it has been read, in this attempt or an earlier one.
    pub fn is_untouched(&self) -> bool {
        Replay { shared: self.shared.clone() }.is_untouched()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Recording<B> {
    fn poll_read(
        &mut self,
        next: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(kept) = self.kept.get(*next) {
            *next += 1;
            let frame = match kept.clone() {
                Kept::Data(data) => Frame::data(data),
                Kept::Trailers(trailers) => Frame::trailers(trailers),
            };
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.keep(frame);
                *next = self.kept.len();
            }
            Some(Err(_)) => self.lost = true,
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let size = frame.data_ref().map_or(0, Bytes::len);
        if !self.keeping || size > self.room {
            self.lost = true;
            self.kept.clear();
            return;
        }
        self.room -= size;
        if let Some(data) = frame.data_ref() {
            self.kept.push(Kept::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            self.kept.push(Kept::Trailers(trailers.clone()));
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(shared) = &this.shared else { return Poll::Ready(None) };
        let mut recording = lock(shared);
        if recording.turn != this.turn {
            return Poll::Ready(Some(Err(TakenOver.into())));
        }
        recording
            .poll_read(&mut this.next, cx)
            .map_err(|error| RequestBodyError(error.into()).into())
    }

    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let recording = lock(shared);
            self.next >= recording.kept.len() && (recording.ended || recording.body.is_end_stream())
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else { return SizeHint::with_exact(0) };
        let recording = lock(shared);
        let kept = recording.kept.iter().skip(self.next).map(|kept| match kept {
            Kept::Data(data) => data.len() as u64,
            Kept::Trailers(_) => 0,
        });
        let kept: u64 = kept.sum();
        let rest = recording.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(kept + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept + upper);
        }
        hint
    }
}

/// A body that panicked while it was read is as good as lost, but its lock is not.
fn lock<B>(shared: &Shared<B>) -> MutexGuard<'_, Recording<B>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
