//! The decision log: one row an attempt, with the candidates as the policy saw them.
//!
//! The request path notes what it saw and pushes the row to a bounded ring when the attempt ends; if
//! the ring is full the row is dropped and counted, and the request goes on. Whoever drains the ring
//! writes the rows where they belong. Only requests that the log samples pay for it: the row, its list
//! of candidates, copies of the request's class and region, and the policy's propensities, which take a
//! sort of the candidates.

mod record;
mod row;

use std::{sync::Arc, time::Duration};

use crossbeam_queue::ArrayQueue;

pub use record::Record;
pub use row::{Candidate, Kind, Row};

use crate::{
    context::Context,
    error::ConfigError,
    outcome::Outcome,
    rng::Rng,
    snapshot::{Picked, Snapshot},
    sync::{AtomicBool, AtomicU64, Ordering},
    time::Time,
};

/// Takes a sample of the decisions and holds finished rows until they are drained.
#[derive(Debug)]
pub struct DecisionLog {
    ring: ArrayQueue<Box<Record>>,
    sample: f64,
    client: Arc<str>,
    unix_origin: Duration,
    sequence: AtomicU64,
    dropped: AtomicU64,
    closed: AtomicBool,
}

impl DecisionLog {
    /// Logs the share `sample` (0 to 1) of attempts, holding up to `capacity` rows. `client` names this
    /// process; `unix_origin` is Unix time at [`Time::ZERO`].
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a sample outside [0, 1] or no capacity.
    pub fn new(
        client: &str,
        sample: f64,
        capacity: usize,
        unix_origin: Duration,
    ) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&sample) {
            let (name, allowed) = ("log sample", "[0, 1]");
            return Err(ConfigError::OutOfRange { name, value: sample, allowed });
        }
        if capacity == 0 {
            let (name, allowed) = ("log capacity", "[1, inf)");
            return Err(ConfigError::OutOfRange { name, value: 0.0, allowed });
        }
        Ok(Self {
            ring: ArrayQueue::new(capacity),
            sample,
            client: client.into(),
            unix_origin,
            sequence: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// Takes no more rows: what ends from now on is counted as dropped. For when nobody drains the ring
    /// any more; the rows in it stay.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether it has been closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Rows lost because the ring was full or the log closed.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The next finished row, if there is one.
    pub fn pop(&self) -> Option<Row> {
        self.ring.pop().map(|record| record.into_row(self))
    }

    #[inline]
    pub(crate) fn takes(&self, rng: &mut Rng) -> bool {
        self.sample >= 1.0 || rng.unit() < self.sample
    }

    #[cold]
    pub(crate) fn begin(
        &self,
        snapshot: &Snapshot,
        picked: &Picked<'_>,
        now: Time,
        context: &Context<'_>,
    ) -> Box<Record> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        Box::new(Record::begin(sequence, snapshot, picked, now, context))
    }

    pub(crate) fn end(
        &self,
        mut record: Box<Record>,
        elapsed: Option<Duration>,
        first_byte: Option<Duration>,
        outcome: Option<Outcome>,
    ) {
        record.end(elapsed, first_byte, outcome);
        if self.is_closed() || self.ring.push(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
