//! An attempt under way, from pick to end: the lease with what belongs to it.

use std::sync::Arc;

use http::HeaderMap;
use trimtab_core::{Lease, Outcome, Time, Verdict};

use crate::{classify::Classify, clock::Clock, metrics::Meters};

/// A lease that knows the time: dropped, it is cancelled now, whatever path leads there.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Taken when it ends.
    lease: Option<Lease>,
    meters: Meters,
    clock: Clock,
}

impl InFlight {
    pub(super) fn new(lease: Lease, meters: Meters, clock: Clock) -> Self {
        meters.picked();
        Self { lease: Some(lease), meters, clock }
    }

    pub(super) fn lease(&self) -> &Lease {
        self.lease.as_ref().expect("invariant: the lease is taken only by what consumes self")
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(Some(outcome));
    }

    /// This attempt failed and another follows.
    pub(super) fn retried(&self) {
        self.meters.retried();
    }

    fn first_byte(&mut self) {
        if let Some(lease) = &mut self.lease {
            let now = self.clock.now();
            lease.first_byte(now);
            self.meters.first_byte(now.since(lease.started()));
        }
    }

    fn end(&mut self, outcome: Option<Outcome>) {
        if let Some(lease) = self.lease.take() {
            let now = self.clock.now();
            self.meters.ended(outcome.as_ref());
            match outcome {
                Some(outcome) => finish(lease, now, outcome),
                None => lease.cancel(now),
            }
        }
    }
}

/// Ends the lease, and tells if that took its endpoint out or brought it back. Of requests that end in
/// the same moment more than one may tell; the balancer's counters are exact.
fn finish(mut lease: Lease, now: Time, outcome: Outcome) {
    let (was_up, was_recovering) = (lease.node().is_up(now), lease.node().is_recovering());
    let verdict = outcome.verdict;
    lease.finish_in_place(now, outcome);
    let (endpoint, node) = (lease.id(), lease.node());
    if was_up && !node.is_up(now) {
        tracing::warn!(%endpoint, ?verdict, "endpoint ejected");
    } else if was_recovering && !node.is_recovering() {
        tracing::info!(%endpoint, "endpoint returned");
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// An attempt whose answer is being read.
#[derive(Debug)]
pub(crate) struct Reading {
    in_flight: InFlight,
    classify: Arc<dyn Classify>,
    so_far: Outcome,
    bytes: u64,
    answered: bool,
}

impl Reading {
    pub(super) fn new(in_flight: InFlight, classify: Arc<dyn Classify>, head: Outcome) -> Self {
        Self { in_flight, classify, so_far: head, bytes: 0, answered: false }
    }

    /// A frame of data.
    pub(crate) fn data(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if !self.answered {
            self.answered = true;
            if self.so_far.verdict == Verdict::Success {
                self.in_flight.first_byte();
            }
        }
    }

    /// The end of the stream.
    pub(crate) fn end(self, trailers: Option<&HeaderMap>) {
        let outcome = self.classify.end(self.so_far, trailers).with_bytes(self.bytes);
        self.in_flight.finish(outcome);
    }

    /// The stream broke off.
    pub(crate) fn broke(self) {
        let outcome = self.classify.broke(self.so_far).with_bytes(self.bytes);
        self.in_flight.finish(outcome);
    }
}
