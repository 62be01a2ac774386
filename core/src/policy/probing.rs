//! What a policy that probes tells the data plane, and what it takes back.
//!
//! The core does no I/O: it says whom to ask now, and is told the answers. A policy with
//! [`Probing`] says how many; the balancer draws them, distinct and uniformly, from the nearest tier with
//! an endpoint that is up.

use std::{fmt, sync::Arc, time::Duration};

use crate::{node::Node, rng::Rng, time::Time};

/// What a server says when probed: its requests in flight, and its median latency at or near that
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeAnswer {
    /// Requests that the server is working on or has queued, of all clients.
    pub in_flight: u32,
    /// The median of the latencies that it measured lately with about that many in flight; the later, the
    /// better, for figures of long ago keep requests away.
    pub latency: Duration,
}

impl ProbeAnswer {
    /// An answer.
    pub fn new(in_flight: u32, latency: Duration) -> Self {
        Self { in_flight, latency }
    }
}

/// The part of a policy that asks servers for their load.
pub trait Probing: fmt::Debug + Send + Sync {
    /// How many endpoints to probe because a request was just picked.
    fn wanted_for_pick(&self, now: Time, rng: &mut Rng) -> usize;

    /// How many to probe because nothing was asked for too long; 0 if that is not so.
    fn wanted_when_idle(&self, now: Time, rng: &mut Rng) -> usize;

    /// How often [`Probing::wanted_when_idle`] is to be asked.
    fn interval(&self) -> Duration;

    /// A server answered. Off the path of a pick: it may take a lock.
    fn answered(&self, now: Time, node: &Arc<Node>, answer: ProbeAnswer);

    /// A server did not answer.
    fn failed(&self, now: Time, node: &Arc<Node>);
}
