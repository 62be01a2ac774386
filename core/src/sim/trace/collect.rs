//! Requests as a reader finds them, made into a [`Trace`].
//!
//! The first arrival becomes the trace's start, whatever the file counts from (an epoch, midnight).
//! A file says when requests come, not when it was cut: the time it covers is taken to end one mean
//! gap after the last arrival, so that `n` requests at a steady rate cover `n` gaps.

use std::time::Duration;

use super::{MAX_REQUESTS, Trace, TraceError, TraceRequest, lines::Line};
use crate::Time;

#[derive(Default)]
pub(super) struct Collect {
    requests: Vec<TraceRequest>,
    /// Nanoseconds from the file's own origin.
    first: u128,
    last: u128,
}

impl Collect {
    /// Takes a request that arrives `at` nanoseconds from the file's origin; its `at` is set here.
    pub(super) fn push(
        &mut self,
        line: &Line<'_>,
        at: u128,
        mut request: TraceRequest,
    ) -> Result<(), TraceError> {
        if self.requests.is_empty() {
            self.first = at;
        } else if at < self.last {
            return Err(TraceError::NotSorted { file: line.file.to_owned(), line: line.number });
        }
        if self.requests.len() == MAX_REQUESTS {
            return Err(TraceError::TooMany { what: line.file.to_owned(), limit: MAX_REQUESTS });
        }
        let Some(since) = u64::try_from(at - self.first).ok().filter(|since| *since <= MAX_SPAN)
        else {
            return Err(TraceError::Malformed {
                file: line.file.to_owned(),
                line: line.number,
                reason: "more than a hundred years after the first request".to_owned(),
            });
        };
        self.last = at;
        request.at = Time::from_nanos(since);
        self.requests.push(request);
        Ok(())
    }

    pub(super) fn finish(self, name: &str) -> Result<Trace, TraceError> {
        let Some(last) = self.requests.last() else {
            return Err(TraceError::Empty { what: name.to_owned() });
        };
        let last = last.at.as_nanos();
        let gaps = (self.requests.len() as u64 - 1).max(1);
        Ok(Trace {
            name: name.to_owned(),
            span: Duration::from_nanos(last + last / gaps),
            requests: self.requests,
            classes: Vec::new(),
            block_tokens: None,
        })
    }
}

/// A hundred years in nanoseconds: room for twice that and more below 2^64.
pub(super) const MAX_SPAN: u64 = 100 * 365 * 86_400 * 1_000_000_000;
