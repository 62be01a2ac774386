//! What every node of a fleet shares: configuration, counters, the policy that learns, the log.
//!
//! Nodes hold it and it holds none of them fast, so nothing keeps itself alive.

use std::{sync::Arc, time::Duration};

use xxhash_rust::xxh64::xxh64;

use crate::{
    ejected::{Ejected, Refused},
    endpoint::EndpointId,
    log::DecisionLog,
    node::Node,
    outlier::Detector,
    policy::{Fallback, Policy},
    signal::{
        health::{Cause, HealthConfig},
        latency::Tau,
        slowest::Slowest,
    },
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) health: HealthConfig,
    /// Time constant of the latency averages.
    pub(crate) tau: Tau,
    /// What a failure costs at least.
    pub(crate) failure_penalty: Duration,
    pub(crate) log: Option<Arc<DecisionLog>>,
    /// Share of picks that choose uniformly at random, for the log's sake.
    pub(crate) explore: f64,
    /// Labels whose values make an endpoint's archetype.
    pub(crate) archetype_labels: Vec<String>,
    /// Unix time at [`Time::ZERO`].
    pub(crate) unix_origin: Duration,
    pub(crate) counters: Counters,
    pub(crate) slowest: Slowest,
    /// Endpoints in the fleet that are not draining.
    fleet_size: AtomicU32,
    /// Not 0 if an endpoint's round trip was found shorter since the last refresh.
    pub(crate) nearer: AtomicU32,
    /// Touched only when an ejection is due.
    pub(crate) ejected: Ejected,
    /// What this process's backoffs are jittered by.
    pub(crate) jitter: AtomicU64,
    pub(crate) outlier: Option<Detector>,
    /// Whether slow endpoints are looked for.
    pub(crate) counts_waits: bool,
}

/// Events counted since the balancer was built.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) ejections: AtomicU64,
    pub(crate) returns: AtomicU64,
    pub(crate) fail_open: AtomicU64,
    /// Choices that the policy could not or may not make, by reason, and that chance made.
    pub(crate) overruled: [AtomicU64; Fallback::ALL.len()],
}

impl Shared {
    pub(crate) fn new(policy: Box<dyn Policy>) -> Self {
        Self {
            policy,
            health: HealthConfig::default(),
            tau: Tau::new(Duration::from_secs(10)),
            failure_penalty: Duration::from_secs(5),
            log: None,
            explore: 0.0,
            archetype_labels: vec!["archetype".to_owned()],
            unix_origin: Duration::ZERO,
            counters: Counters::default(),
            slowest: Slowest::default(),
            fleet_size: AtomicU32::new(0),
            nearer: AtomicU32::new(0),
            ejected: Ejected::new(),
            jitter: AtomicU64::new(0),
            outlier: None,
            counts_waits: false,
        }
    }

    /// What a failure at `now` costs: more than any answer, so that failing fast never pays.
    pub(crate) fn failure_cost(&self, now: Time) -> Duration {
        const ABOVE_THE_SLOWEST: u32 = 10;
        self.failure_penalty.max(self.slowest.get(now).saturating_mul(ABOVE_THE_SLOWEST))
    }

    pub(crate) fn connect_failed(&self, node: &Node, now: Time) {
        if node.health.eject(Cause::Unreachable, now, &self.health, self.seed(node.id())).is_some()
        {
            node.reported_weight.restart();
            self.counters.ejections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a failure of `node` and ejects it if its row is long enough and the cap allows. One that
    /// has left the fleet is past ejecting, and takes no other's place under the cap.
    pub(crate) fn failed(&self, node: &Arc<Node>, now: Time, sent: Time) {
        let due = node.health.failed(&self.health, sent);
        if !due || !node.is_member() || !node.is_up(now) {
            return;
        }
        let fleet = self.fleet_size.load(Ordering::Relaxed);
        let cap = (f64::from(fleet) * self.health.max_ejected).floor() as usize;
        let eject = || node.health.eject(Cause::Failing, now, &self.health, self.seed(node.id()));
        if self.ejected.add(Arc::downgrade(node), now, cap.max(1), eject) {
            node.reported_weight.restart();
            self.counters.ejections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ejects `node` as an outlier, unless `max_percent` of the fleet are out for failures. The time it is
    /// out until.
    pub(crate) fn eject_outlier(
        &self,
        node: &Arc<Node>,
        now: Time,
        lasts: Duration,
        max_percent: u32,
    ) -> Result<Time, Refused> {
        let fleet = u64::from(self.fleet_size.load(Ordering::Relaxed));
        // Another may go as long as fewer than that part are out.
        let places = (fleet * u64::from(max_percent)).div_ceil(100) as usize;
        let eject = || node.health.eject_for(Cause::Failing, now, lasts);
        let until = self.ejected.add_within(Arc::downgrade(node), now, places, eject)?;
        node.reported_weight.restart();
        self.counters.ejections.fetch_add(1, Ordering::Relaxed);
        Ok(until)
    }

    /// The fleet has changed to `size` endpoints that are not draining.
    pub(crate) fn resized(&self, size: u32) {
        self.fleet_size.store(size, Ordering::Relaxed);
        self.ejected.freed();
    }

    /// Picks that the policy's fallback made, and those that chance made in its place, by reason.
    pub(crate) fn fallbacks(&self) -> Vec<(Fallback, u64)> {
        let overruled = &self.counters.overruled;
        let mut counts: Vec<(Fallback, u64)> = Fallback::ALL
            .iter()
            .map(|why| (*why, overruled[*why as usize].load(Ordering::Relaxed)))
            .collect();
        for (why, count) in self.policy.fallbacks() {
            counts[why as usize].1 += count;
        }
        counts
    }

    /// Where the jitter of an endpoint's backoffs starts.
    fn seed(&self, id: &EndpointId) -> u64 {
        xxh64(id.as_str().as_bytes(), self.jitter.load(Ordering::Relaxed))
    }

    pub(crate) fn returned(&self) {
        self.ejected.freed();
        self.counters.returns.fetch_add(1, Ordering::Relaxed);
    }
}
