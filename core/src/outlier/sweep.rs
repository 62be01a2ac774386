//! The sweep: what ended since the last one, who is an outlier, who goes.
//!
//! A pure function of the time it is told and of what has been counted. The counts of an interval are
//! the differences of those of all time, so the request path knows nothing of sweeps. The chance that
//! `enforcement_percentage` asks for is a hash of the endpoint and the time: the same history gives the
//! same ejections.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use xxhash_rust::xxh64::xxh64;

use super::OutlierConfig;
use crate::{
    ejected::Refused,
    endpoint::EndpointId,
    node::Node,
    signal::{success::Counts, waits::Waited},
    snapshot::Snapshot,
    sync::{Mutex, lock},
    time::Time,
};

/// The configuration and what is remembered from sweep to sweep.
#[derive(Debug)]
pub(crate) struct Detector {
    config: OutlierConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before the first tick, which starts the timer.
    next: Option<Time>,
    known: HashMap<EndpointId, Known>,
}

/// What is remembered of one endpoint.
#[derive(Debug)]
struct Known {
    /// Tells it from another of the same id.
    node: Weak<Node>,
    /// Its counts at the last sweep.
    counted: Counts,
    /// Ejections, less the quiet intervals since.
    multiplier: u32,
    /// Ejected by a sweep until then, and not seen back yet.
    until: Option<Time>,
    /// Sweeps in a row in which it was slow.
    slow: u32,
}

/// One endpoint's requests in the interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Observed {
    pub(super) counts: Counts,
    /// How long they waited for their answers; not counted where no rule asks.
    pub(super) waits: Waited,
}

impl Observed {
    pub(super) fn volume(&self) -> u64 {
        self.counts.successes + self.counts.failures
    }
}

impl Known {
    fn new(node: &Arc<Node>) -> Self {
        let node = Arc::downgrade(node);
        Self { node, counted: Counts::default(), multiplier: 0, until: None, slow: 0 }
    }

    fn observe(&mut self, node: &Node) -> Observed {
        let total = node.total();
        let counts = Counts {
            successes: total.successes.saturating_sub(self.counted.successes),
            failures: total.failures.saturating_sub(self.counted.failures),
        };
        self.counted = total;
        Observed { counts, waits: node.waits.take() }
    }
}

/// An endpoint whose counts begin now.
fn baseline(node: &Arc<Node>) -> (EndpointId, Known) {
    let mut known = Known::new(node);
    known.observe(node);
    (node.id().clone(), known)
}

impl Detector {
    pub(crate) fn new(config: OutlierConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Sweeps if the interval is over.
    pub(crate) fn tick(&self, snapshot: &Snapshot, now: Time) {
        let mut state = lock(&self.state);
        let due = state.next.is_some_and(|next| now >= next);
        if due || state.next.is_none() {
            state.next = Some(now + self.config.interval);
        }
        if state.known.is_empty() {
            // What came before is of no interval.
            state.known = snapshot.nodes().iter().map(baseline).collect();
        } else if due {
            self.sweep(&mut state.known, snapshot, now);
        }
    }

    fn sweep(&self, known: &mut HashMap<EndpointId, Known>, snapshot: &Snapshot, now: Time) {
        let nodes: Vec<&Arc<Node>> = snapshot.nodes().iter().collect();
        // Those that have left are forgotten.
        let mut fleet: Vec<Known> = nodes
            .iter()
            .map(|node| {
                let old = known.remove(node.id()).filter(|old| same(&old.node, node));
                old.unwrap_or_else(|| Known::new(node))
            })
            .collect();
        let mut seen: Vec<Observed> =
            fleet.iter_mut().zip(&nodes).map(|(known, node)| known.observe(node)).collect();
        for (index, seen) in seen.iter_mut().enumerate() {
            if snapshot.is_draining(index) {
                // Watched, so that it is judged by its interval once it is back, but not judged.
                *seen = Observed::default();
            }
        }
        for (outliers, enforced) in self.outliers(&seen, &mut fleet) {
            for place in outliers {
                let chance = xxh64(nodes[place].id().as_str().as_bytes(), now.as_nanos()) % 100;
                if chance >= u64::from(enforced) {
                    continue;
                }
                if self.eject(nodes[place], &mut fleet[place], now) == Err(Refused::Full) {
                    break;
                }
            }
        }
        for known in &mut fleet {
            match known.until {
                Some(until) if now >= until => known.until = None,
                Some(_) => {}
                None => known.multiplier = known.multiplier.saturating_sub(1),
            }
        }
        *known = nodes.into_iter().map(|node| node.id().clone()).zip(fleet).collect();
    }

    /// By each rule that is set, in A50's order: who is an outlier, and the percentage that goes.
    fn outliers(&self, seen: &[Observed], fleet: &mut [Known]) -> Vec<(Vec<usize>, u32)> {
        let OutlierConfig { success_rate, failure_percentage, latency, .. } = &self.config;
        let mut found = Vec::new();
        found.extend(success_rate.map(|rule| (rule.find(seen), rule.enforcement_percentage)));
        found.extend(failure_percentage.map(|rule| (rule.find(seen), rule.enforcement_percentage)));
        if let Some(rule) = latency {
            let mut slow = rule.find(seen);
            for (place, known) in fleet.iter_mut().enumerate() {
                known.slow = if slow.contains(&place) { known.slow.saturating_add(1) } else { 0 };
            }
            slow.retain(|place| fleet[*place].slow >= rule.sweeps);
            found.push((slow, rule.enforcement_percentage));
        }
        found
    }

    fn eject(&self, node: &Arc<Node>, known: &mut Known, now: Time) -> Result<(), Refused> {
        let OutlierConfig { base_ejection_time, max_ejection_time, .. } = self.config;
        let multiplier = known.multiplier.saturating_add(1);
        let lasts = base_ejection_time
            .saturating_mul(multiplier)
            .min(base_ejection_time.max(max_ejection_time));
        let lasts = lasts.max(Duration::from_nanos(2));
        let until =
            node.shared.eject_outlier(node, now, lasts, self.config.max_ejection_percent)?;
        (known.multiplier, known.until, known.slow) = (multiplier, Some(until), 0);
        Ok(())
    }
}

fn same(known: &Weak<Node>, node: &Arc<Node>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(node))
}
