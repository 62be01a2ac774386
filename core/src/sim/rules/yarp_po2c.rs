//! YARP-Po2C: of two endpoints drawn at random, the one that last reported fewer requests in flight.
//!
//! Source: the YARP-Po2C of Prequal's section 5.2: each client polls all servers periodically for their
//! requests in flight. Between two polls the same report is used by every pick of every client, which is
//! what Prequal's probes, few uses and RIF + 1 avoid. (YARP itself compares the proxy's own counts.)
//! An endpoint that has not reported yet counts with the client's own requests there. The interval, 500 ms
//! if not told, is ours.

use std::{sync::Arc, time::Duration};

use crate::{
    node::Node,
    policy::{Candidates, Choice, Picker, Policy, ProbeAnswer, Probing, Refusal},
    rng::Rng,
    signal::probe::Reading,
    sync::{AtomicU64, Ordering},
    time::Time,
};

/// The time of the last poll before the first.
const NEVER: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub struct YarpPo2c {
    polls: Polls,
}

impl YarpPo2c {
    /// Polls every server once an `interval`.
    pub fn polling_every(interval: Duration) -> Self {
        Self { polls: Polls { interval, last: AtomicU64::new(NEVER) } }
    }
}

impl Default for YarpPo2c {
    fn default() -> Self {
        Self::polling_every(Duration::from_millis(500))
    }
}

impl Policy for YarpPo2c {
    fn name(&self) -> &'static str {
        "yarp_po2c"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(OfTwo)
    }

    fn probing(&self) -> Option<&dyn Probing> {
        Some(&self.polls)
    }
}

#[derive(Debug)]
struct Polls {
    interval: Duration,
    last: AtomicU64,
}

impl Probing for Polls {
    fn wanted_for_pick(&self, _: Time, _: &mut Rng) -> usize {
        0
    }

    fn wanted_when_idle(&self, now: Time, _: &mut Rng) -> usize {
        let last = self.last.load(Ordering::Relaxed);
        if last != NEVER && now.since(Time::from_nanos(last)) < self.interval {
            return 0;
        }
        self.last.store(now.as_nanos(), Ordering::Relaxed);
        usize::MAX
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn answered(&self, _: Time, node: &Arc<Node>, answer: ProbeAnswer) {
        node.probe.put(Reading::new(0, answer.in_flight, answer.latency.as_nanos() as f32));
    }

    fn failed(&self, _: Time, _: &Arc<Node>) {}
}

#[derive(Debug)]
struct OfTwo;

impl Picker for OfTwo {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let (a, b) = candidates.draw_two(rng).ok_or(Refusal::NoneEligible)?;
        let better = self.score(candidates, b) < self.score(candidates, a);
        Ok(if better { b } else { a }.into())
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let node = candidates.node(index);
        f64::from(node.probe.load().map_or_else(|| node.in_flight(), Reading::in_flight))
    }
}
