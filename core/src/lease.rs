//! A request under way: who it went to, since when, and the duty to say how it ended.
//!
//! The lease counts in the endpoint's in-flight number from pick to end, and ends exactly once:
//! by [`Lease::finish`], by [`Lease::cancel`], by [`Lease::discard`] if nothing was sent, or by being
//! dropped (a cancellation whose time is not known), whatever path a cancelled future or a panic takes.

use std::{sync::Arc, time::Duration};

use crate::{
    endpoint::EndpointId,
    log::Record,
    node::Node,
    outcome::{Failure, Outcome, Verdict},
    policy::{Choice, Feedback, Hold, Mode},
    sync::Ordering,
    time::Time,
};

/// One attempt of one request at one endpoint.
#[derive(Debug)]
#[must_use = "dropping a lease cancels it"]
pub struct Lease {
    node: Arc<Node>,
    started: Time,
    /// Predicted service cost in microseconds.
    charge: u32,
    /// What of it is held against the endpoint now; taken back when the lease ends, if not before.
    held: u32,
    hold: Hold,
    /// Predicted wait before that service, in microseconds.
    wait: u32,
    mode: Mode,
    repeat: bool,
    /// Sent although the endpoint was ejected, all others being so too.
    while_out: bool,
    ended: bool,
    /// Time to first byte, once known.
    first_byte: Option<Duration>,
    record: Option<Box<Record>>,
}

impl Lease {
    #[inline]
    pub(crate) fn new(
        node: Arc<Node>,
        now: Time,
        choice: Choice,
        repeat: bool,
        record: Option<Box<Record>>,
    ) -> Self {
        let while_out = !node.is_up(now);
        let charge = choice.cost_micros();
        node.in_flight.fetch_add(1, Ordering::Relaxed);
        if charge > 0 {
            node.work.fetch_add(u64::from(charge), Ordering::Relaxed);
        }
        Self {
            node,
            started: now,
            charge,
            held: charge,
            hold: choice.hold(),
            wait: choice.wait_micros(),
            mode: choice.mode,
            repeat,
            while_out,
            ended: false,
            first_byte: None,
            record,
        }
    }

    /// Where the request goes.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The endpoint's id.
    pub fn id(&self) -> &EndpointId {
        self.node.id()
    }

    /// Where to connect to.
    pub fn address(&self) -> &Arc<str> {
        self.node.address()
    }

    /// When the pick was made.
    pub fn started(&self) -> Time {
        self.started
    }

    /// Whether the policy, exploration or a fallback chose.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether this request has been to this endpoint before: there was no other.
    pub fn is_repeat(&self) -> bool {
        self.repeat
    }

    /// The first byte of the answer is here. Its latency feeds the averages at once; a stream may go
    /// on for minutes. Only the first call counts.
    pub fn first_byte(&mut self, now: Time) {
        if self.first_byte.is_none() && !self.ended {
            let latency = now.since(self.started);
            self.first_byte = Some(latency);
            if self.hold == Hold::ToFirstByte {
                self.give_back();
            }
            self.answered(now, latency.as_nanos() as u64);
        }
    }

    /// The request ended.
    #[inline]
    pub fn finish(mut self, now: Time, outcome: Outcome) {
        self.finish_in_place(now, outcome);
    }

    /// As [`Lease::finish`], for an owner that keeps the lease for what it knows. False, with nothing
    /// done, if it had ended.
    #[inline]
    pub fn finish_in_place(&mut self, now: Time, outcome: Outcome) -> bool {
        if self.ended {
            return false;
        }
        // First of all, so that a policy that panics takes no count with it.
        self.release();
        let success = self.learn(now, &outcome);
        self.tell_policy(now, success);
        if self.record.is_some() {
            self.log(Some(now), Some(outcome));
        }
        true
    }

    /// The request was given up at `now`: a dropped future, a timeout of the caller's, a body that was
    /// not read to its end.
    pub fn cancel(mut self, now: Time) {
        self.cancel_in_place(now);
    }

    /// As [`Lease::cancel`], for an owner that keeps the lease. False, with nothing done, if it had
    /// ended.
    pub fn cancel_in_place(&mut self, now: Time) -> bool {
        if self.ended {
            return false;
        }
        self.release();
        self.gave_up();
        if self.first_byte.is_none() {
            // It would have taken at least this long.
            let nanos = self.nanos_until(now);
            self.node.latency.record_at_least(now, nanos, self.node.shared.tau);
            self.waited(nanos);
        }
        self.tell_policy(now, None);
        self.log(Some(now), None);
        true
    }

    /// Nothing was sent: the in-flight count is given back, and neither the endpoint's signals and
    /// counters nor the decision log hear of the pick. The policy is told that it ended with no result,
    /// so that a breaker's probe that was not sent is not waited for.
    pub fn discard(mut self) {
        self.discard_in_place();
    }

    /// As [`Lease::discard`], for an owner that keeps the lease. False, with nothing done, if it had
    /// ended.
    pub fn discard_in_place(&mut self) -> bool {
        if self.ended {
            return false;
        }
        self.release();
        self.record = None;
        // A prediction that was not put to the test is not held against anybody.
        (self.charge, self.wait) = (0, 0);
        self.tell_policy(self.started, None);
        true
    }

    /// Whether it was ended in place.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    #[inline]
    fn answered(&self, now: Time, nanos: u64) {
        self.node.latency.record(now, nanos, self.node.shared.tau);
        self.node.shared.slowest.record(now, nanos);
        self.waited(nanos);
    }

    #[inline]
    fn waited(&self, nanos: u64) {
        if self.node.shared.counts_waits {
            self.node.waits.record(nanos);
        }
    }

    #[inline]
    fn release(&mut self) {
        self.ended = true;
        self.node.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.give_back();
    }

    /// Takes the predicted cost off the endpoint.
    #[inline]
    fn give_back(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            self.node.work.fetch_sub(u64::from(held), Ordering::Relaxed);
        }
    }

    #[inline]
    fn tell_policy(&self, now: Time, success: Option<bool>) {
        self.node.shared.policy.observe(&Feedback {
            node: &self.node,
            now,
            latency: now.since(self.started),
            success,
            charge: Duration::from_micros(u64::from(self.charge)),
            expected_wait: Duration::from_micros(u64::from(self.wait)),
            mode: self.mode,
        });
    }

    #[cold]
    fn log(&mut self, now: Option<Time>, outcome: Option<Outcome>) {
        let elapsed = now.map(|now| now.since(self.started));
        if let Some(record) = self.record.take()
            && let Some(log) = &self.node.shared.log
        {
            log.end(record, elapsed, self.first_byte, outcome);
        }
    }

    /// Feeds the signals. Whether the endpoint did its work; `None` if the outcome says nothing of that.
    #[inline]
    fn learn(&mut self, now: Time, outcome: &Outcome) -> Option<bool> {
        let (node, shared) = (&self.node, &self.node.shared);
        let success = match outcome.verdict {
            Verdict::Success => {
                if self.first_byte.is_none() {
                    self.answered(now, self.nanos_until(now));
                }
                node.success.record(now, true);
                if node.health.succeeded(now, self.while_out) {
                    shared.returned();
                }
                Some(true)
            }
            Verdict::Failure(failure) => {
                self.failed(now, failure, outcome.retry_after);
                Some(false)
            }
            Verdict::Ignore => None,
        };
        if let Some(load) = &outcome.load {
            node.record_load_report(now, load.clone());
        }
        success
    }

    #[cold]
    fn failed(&self, now: Time, failure: Failure, pushback: Option<Duration>) {
        const LONGEST_PUSHBACK: Duration = Duration::from_secs(300);
        let (node, shared) = (&self.node, &self.node.shared);
        node.success.record(now, false);
        if failure == Failure::Timeout && self.first_byte.is_none() {
            self.waited(self.nanos_until(now));
        }
        if failure == Failure::Connect {
            shared.connect_failed(node, now);
        } else {
            shared.failed(node, now, self.started);
        }
        let pushback = pushback.map(|after| after.min(LONGEST_PUSHBACK));
        if !node.health.is_up(now) && pushback.is_none() {
            // Its ejection keeps traffic away; a penalty would go on doing so when it is well again.
            node.latency.forget();
        } else if !node.health.is_news_to(self.started) || pushback.is_some() {
            let cost = pushback.unwrap_or_else(|| shared.failure_cost(now)).as_nanos() as u64;
            node.latency.record_at_least(now, cost.max(self.nanos_until(now)), shared.tau);
        }
    }

    fn gave_up(&self) {
        self.node.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn nanos_until(&self, now: Time) -> u64 {
        now.as_nanos().saturating_sub(self.started.as_nanos())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            self.release();
            self.gave_up();
            self.log(None, None);
        }
    }
}
