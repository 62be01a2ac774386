//! Where an answer's time went, as W3C Server Timing: `queue;dur=1.250, processing;dur=93.412` in
//! milliseconds.
//!
//! Whole HTTP answers carry it as a header. Streams and gRPC carry it as a trailer, which that
//! standard allows: only at the end is it known. Over HTTP/1.1 a client gets trailers if it says
//! `te: trailers`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use trimtab_core::sim::Timing;

pub(crate) const SERVER_TIMING: &str = "server-timing";

/// Sets the header or trailer.
pub(crate) fn insert(headers: &mut HeaderMap, queue: Duration, processing: Duration) {
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let value = format!("queue;dur={:.3}, processing;dur={:.3}", millis(queue), millis(processing));
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(SERVER_TIMING, value);
    }
}

/// A way for a gRPC handler to tell its times to what writes the trailers; several answers in one
/// call add up.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallTimes(Arc<Mutex<Option<(Duration, Duration)>>>);

impl CallTimes {
    pub(crate) fn add(&self, timing: &Timing) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (queue, processing) = sum.unwrap_or_default();
        *sum = Some((queue + timing.queue, processing + timing.processing()));
    }

    pub(crate) fn insert(&self, trailers: &mut HeaderMap) {
        let sum = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((queue, processing)) = sum {
            insert(trailers, queue, processing);
        }
    }
}
