//! Invariant 3: an ejected endpoint is never picked while an eligible one exists; when all are down,
//! all are used.
//!
//! Random sequences of everything that can happen to a fleet, against a slow and obvious model of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proptest::prelude::*;
use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Failure, HealthConfig, Lease, Node, Outcome, Place,
    Rng, Time,
    policy::{Fallback, Mode, POLICY_NAMES, by_name},
};

/// Failures in a row that eject.
const ROW: u32 = 3;
const NAMES: [&str; 6] = ["e0", "e1", "e2", "e3", "e4", "e5"];
#[derive(Clone, Debug)]
enum Op {
    Pick { retry: bool },
    Finish { which: usize, how: usize },
    Cancel { which: usize },
    Drop { which: usize },
    Wait { millis: u64 },
    Add { name: usize },
    Remove { name: usize },
    Drain { name: usize },
    Replace { names: Vec<usize> },
    Refresh,
    ConnectFailed { name: usize },
    Connected { name: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    prop_oneof![
        8 => any::<bool>().prop_map(|retry| Op::Pick { retry }),
        // Failures are frequent, so that rows of them occur.
        10 => (any::<prop::sample::Index>(), 0_usize..10)
            .prop_map(|(which, how)| Op::Finish { which: which.index(1 << 20), how }),
        1 => any::<prop::sample::Index>().prop_map(|i| Op::Cancel { which: i.index(1 << 20) }),
        1 => any::<prop::sample::Index>().prop_map(|i| Op::Drop { which: i.index(1 << 20) }),
        4 => (0_u64..3000).prop_map(|millis| Op::Wait { millis }),
        1 => name.clone().prop_map(|name| Op::Add { name }),
        1 => name.clone().prop_map(|name| Op::Remove { name }),
        1 => name.clone().prop_map(|name| Op::Drain { name }),
        1 => prop::collection::vec(name.clone(), 1..6).prop_map(|names| Op::Replace { names }),
        1 => Just(Op::Refresh),
        2 => name.clone().prop_map(|name| Op::ConnectFailed { name }),
        2 => name.prop_map(|name| Op::Connected { name }),
    ]
}

fn outcome(how: usize) -> Outcome {
    match how {
        0 | 1 => Outcome::success(),
        2 => Outcome::ignore(),
        3 => Outcome::failure(Failure::Connect),
        4 => Outcome::failure(Failure::Timeout),
        5 => Outcome::failure(Failure::Reset),
        _ => Outcome::failure(Failure::Status),
    }
}

fn config() -> HealthConfig {
    let mut config = HealthConfig::default();
    config.consecutive_failures = ROW;
    config.base_ejection = Duration::from_secs(1);
    config.max_ejection = Duration::from_secs(4);
    config.base_reconnect = Duration::from_millis(100);
    config.max_reconnect = Duration::from_secs(2);
    config
}

fn endpoint(name: usize) -> Endpoint {
    // The three regions are ordered by name, none being measured.
    Endpoint::new(NAMES[name]).with_region(["here", "next", "there"][name % 3])
}

/// What the model knows of one node.
#[derive(Clone, Debug)]
struct Known {
    node: Arc<Node>,
    member: bool,
    /// Ejected since then for that cause, with a backoff of at most this.
    ejected: Option<(Time, Failing, Duration)>,
    failures: u32,
    rows: [u32; 2],
    /// Ejections there ever were.
    ejections: u32,
    leases: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Failing {
    Requests,
    Connections,
}

impl Known {
    /// Equal jitter: surely out for the first half of the backoff, surely back after all of it; between
    /// the two the node's word is taken.
    fn is_up(&self, now: Time) -> bool {
        match self.ejected {
            // The time of an ejection is told to the nanosecond but for its last bit.
            Some((since, _, full)) if now.since(since) + Duration::from_nanos(2) < full / 2 => {
                false
            }
            Some((since, _, full)) if now.since(since) < full => self.node.is_up(now),
            _ => true,
        }
    }

    fn connected(&mut self) {
        if matches!(self.ejected, Some((_, Failing::Connections, _))) {
            self.ejected = None;
        }
        self.rows[Failing::Connections as usize] = 0;
    }

    fn eject(&mut self, now: Time, why: Failing) {
        if !self.is_up(now) {
            return;
        }
        let HealthConfig { base_ejection, max_ejection, base_reconnect, max_reconnect, .. } =
            config();
        let (base, max) = match why {
            Failing::Requests => (base_ejection, max_ejection),
            Failing::Connections => (base_reconnect, max_reconnect),
        };
        let row = &mut self.rows[why as usize];
        self.ejected = Some((now, why, (base * (1 << (*row).min(10))).min(max)));
        *row += 1;
        self.ejections += 1;
        self.failures = 0;
    }
}

#[derive(Debug, Default)]
struct Model {
    /// All nodes there ever were.
    nodes: Vec<Known>,
    now: Time,
}

impl Model {
    fn of(&mut self, node: &Arc<Node>) -> &mut Known {
        let place = self.nodes.iter().position(|known| Arc::ptr_eq(&known.node, node));
        let place = place.unwrap_or_else(|| {
            self.nodes.push(Known {
                node: Arc::clone(node),
                member: false,
                ejected: None,
                failures: 0,
                rows: [0; 2],
                ejections: 0,
                leases: 0,
            });
            self.nodes.len() - 1
        });
        &mut self.nodes[place]
    }

    fn members(&self) -> impl Iterator<Item = &Known> {
        self.nodes.iter().filter(|known| known.member)
    }

    /// Who is in the fleet is the fleet's to say; that it says so rightly is checked by name.
    fn follow(&mut self, balancer: &Balancer) {
        let snapshot = balancer.fleet().snapshot();
        self.nodes.iter_mut().for_each(|known| known.member = false);
        for (index, node) in snapshot.nodes().iter().enumerate() {
            self.of(node).member = !snapshot.is_draining(index);
        }
    }

    fn failed(&mut self, node: &Arc<Node>, sent: Sent) {
        let now = self.now;
        let out = self
            .members()
            .filter(|known| matches!(known.ejected, Some((_, Failing::Requests, _))))
            .filter(|known| !known.is_up(now))
            .count();
        let cap = (self.members().count() / 2).max(1);
        let known = self.of(node);
        known.failures += 1;
        // Sent since it came back, and nothing has succeeded yet.
        let returned =
            known.ejected.is_none() || (sent.ejections == known.ejections && !sent.while_out);
        let on_trial = known.rows[Failing::Requests as usize] > 0 && returned;
        if (known.failures >= ROW || on_trial) && known.member && out < cap {
            known.eject(now, Failing::Requests);
        }
    }

    fn ended(&mut self, node: &Arc<Node>, sent: Sent, how: usize) {
        let now = self.now;
        match how {
            0 | 1 => {
                let known = self.of(node);
                known.failures = 0;
                if known.is_up(now) || sent.while_out {
                    (known.ejected, known.rows) = (None, [0; 2]);
                }
            }
            2 => {}
            3 => self.of(node).eject(now, Failing::Connections),
            _ => self.failed(node, sent),
        }
    }

    /// Those of whom one must be picked: the nearest region of the best kind that there is.
    fn allowed(&self, tried: &[EndpointId], locality: bool) -> Vec<&Arc<Node>> {
        let untried = |known: &&Known| !tried.contains(known.node.id());
        let up = |known: &&Known| known.is_up(self.now);
        let kinds: [Vec<&Known>; 4] = [
            self.members().filter(up).filter(untried).collect(),
            self.members().filter(up).collect(),
            self.members().filter(untried).collect(),
            self.members().collect(),
        ];
        let kind = kinds.into_iter().find(|kind| !kind.is_empty()).unwrap_or_default();
        let region = |known: &&Known| known.node.endpoint().locality().region.clone();
        let nearest = kind.iter().map(region).min();
        kind.into_iter()
            .filter(|known| !locality || Some(region(known)) == nearest)
            .map(|known| &known.node)
            .collect()
    }
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    sent: Sent,
}

/// How the endpoint stood when a request was sent there.
#[derive(Clone, Copy, Debug)]
struct Sent {
    while_out: bool,
    ejections: u32,
}

/// The balancer under test and the model beside it.
struct World {
    balancer: Balancer,
    locality: bool,
    model: Model,
    held: Vec<Held>,
    tried: Vec<EndpointId>,
    rng: Rng,
}

impl World {
    fn new(policy: &str, locality: bool) -> Self {
        let mut rng = Rng::seeded(1);
        let mut builder = Balancer::builder()
            .policy(by_name(policy, None, &Place::default(), &mut rng).unwrap())
            .health(config())
            .endpoints((0..4).map(endpoint));
        if locality {
            builder = builder.locality(Place::in_region("here"));
        }
        let balancer = builder.build().unwrap();
        let mut model = Model { now: Time::from_nanos(1_000_000_001), ..Model::default() };
        model.follow(&balancer);
        Self { balancer, locality, model, held: Vec::new(), tried: Vec::new(), rng }
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Pick { retry } => self.pick(*retry)?,
            Op::Finish { which, how } => {
                if let Some(Held { lease, sent }) = self.take(*which) {
                    self.model.ended(lease.node(), sent, *how);
                    lease.finish(self.model.now, outcome(*how));
                }
            }
            Op::Cancel { which } => {
                if let Some(Held { lease, .. }) = self.take(*which) {
                    lease.cancel(self.model.now);
                }
            }
            Op::Drop { which } => drop(self.take(*which)),
            Op::Wait { millis } => self.model.now += Duration::from_millis(*millis),
            Op::ConnectFailed { name } => {
                if let Some(node) = self.find(*name) {
                    let now = self.model.now;
                    self.model.of(&node).eject(now, Failing::Connections);
                    node.connect_failed(now);
                }
            }
            Op::Connected { name } => {
                if let Some(node) = self.find(*name) {
                    self.model.of(&node).connected();
                    node.connected();
                }
            }
            change => self.change(change)?,
        }
        for known in &self.model.nodes {
            let up = known.is_up(self.model.now);
            prop_assert_eq!(known.node.is_up(self.model.now), up, "{:?} after {:?}", known, op);
            prop_assert_eq!(known.node.in_flight(), known.leases);
        }
        Ok(())
    }

    fn pick(&mut self, retry: bool) -> Result<(), TestCaseError> {
        if !retry {
            self.tried.clear();
        }
        let now = self.model.now;
        let context = Context::new().with_request_class("chat").with_tried(&self.tried);
        let context = if retry { context.with_key("k") } else { context };
        let allowed = self.model.allowed(&self.tried, self.locality);
        let Ok(lease) = self.balancer.pick(now, &context, &mut self.rng) else {
            prop_assert!(allowed.is_empty(), "refused, with {allowed:?} there");
            return Ok(());
        };
        let sound = allowed.iter().any(|node| Arc::ptr_eq(node, lease.node()));
        prop_assert!(sound, "picked {:?}, not of {allowed:?}", lease.id());
        // It was the policy's own choice: none had to be overruled.
        let fine = [Mode::Policy, Mode::Fallback(Fallback::NoModel)].contains(&lease.mode());
        prop_assert!(fine, "{:?}", lease.mode());
        prop_assert_eq!(lease.is_repeat(), self.tried.contains(lease.id()));
        let known = self.model.of(lease.node());
        known.leases += 1;
        let sent = Sent { while_out: !known.is_up(now), ejections: known.ejections };
        self.tried.push(lease.id().clone());
        self.held.push(Held { lease, sent });
        Ok(())
    }

    fn take(&mut self, which: usize) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let held = self.held.swap_remove(which % self.held.len());
        self.model.of(held.lease.node()).leases -= 1;
        Some(held)
    }

    fn change(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let fleet = self.balancer.fleet();
        match op {
            Op::Add { name } => fleet.add(endpoint(*name)),
            Op::Remove { name } => {
                let there = self.find(*name).is_some();
                prop_assert_eq!(fleet.remove(&NAMES[*name].into()).is_ok(), there);
                prop_assert!(self.find(*name).is_none());
            }
            Op::Drain { name } => {
                let there = self.find(*name).is_some();
                prop_assert_eq!(fleet.drain(&NAMES[*name].into()).is_ok(), there);
            }
            Op::Replace { names } => {
                let names: BTreeSet<usize> = names.iter().copied().collect();
                fleet.replace(names.iter().map(|name| endpoint(*name)).collect()).unwrap();
                prop_assert_eq!(fleet.snapshot().nodes().len(), names.len());
            }
            _ => fleet.refresh(),
        }
        self.model.follow(&self.balancer);
        let is_member = |name: &usize| {
            self.model.members().any(|known| *known.node.id() == NAMES[*name].into())
        };
        match op {
            Op::Add { name } => prop_assert!(is_member(name)),
            Op::Remove { name } | Op::Drain { name } => prop_assert!(!is_member(name)),
            Op::Replace { names } => prop_assert!(names.iter().all(is_member)),
            _ => {}
        }
        Ok(())
    }

    fn find(&self, name: usize) -> Option<Arc<Node>> {
        let snapshot = self.balancer.fleet().snapshot();
        snapshot.nodes().iter().find(|node| node.id().as_str() == NAMES[name]).cloned()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_ejected_endpoint_is_never_picked_while_an_eligible_one_exists(
        policy in prop::sample::select(POLICY_NAMES),
        locality in any::<bool>(),
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let mut world = World::new(policy, locality);
        for op in &ops {
            world.apply(op)?;
        }
        world.held.clear();
        prop_assert!(world.model.nodes.iter().all(|known| known.node.in_flight() == 0));
    }
}

#[test]
fn when_all_are_down_all_are_used() {
    let mut rng = Rng::seeded(1);
    for policy in ["random", "round_robin", "least_request", "peak_ewma"] {
        let balancer = Balancer::builder()
            .policy(by_name(policy, None, &Place::default(), &mut rng).unwrap())
            .endpoints((0..4).map(endpoint))
            .build()
            .unwrap();
        let now = Time::from_nanos(1_000_000_000);
        let snapshot = balancer.fleet().snapshot();
        for node in snapshot.nodes() {
            node.connect_failed(now);
        }
        let leases: Vec<Lease> =
            (0..100).map(|_| balancer.pick(now, &Context::new(), &mut rng).unwrap()).collect();
        let used: BTreeSet<_> = leases.iter().map(Lease::id).collect();
        assert_eq!(used.len(), 4, "{policy}");
        assert_eq!(balancer.counters().fail_open, 100, "{policy}");
        // The first to answer is back at once; it does not have to wait for its backoff.
        let answered = Arc::clone(leases[0].node());
        leases.into_iter().next().unwrap().finish(now, Outcome::success());
        assert!(answered.is_up(now), "{policy}");
    }
}

#[test]
fn clients_that_ejected_together_do_not_return_together() {
    let back = |jitter| {
        let balancer = Balancer::builder().endpoints([endpoint(0), endpoint(1)]).build().unwrap();
        balancer.jitter_by(jitter);
        let node = Arc::clone(&balancer.fleet().snapshot().nodes()[0]);
        node.connect_failed(Time::ZERO);
        let after = |millis| Time::ZERO + Duration::from_millis(millis);
        (0..200).find(|millis| node.is_up(after(*millis))).expect("a backoff of 100 ms at most")
    };
    let times: BTreeSet<u64> = (0..50).map(back).collect();
    assert!(times.len() > 10, "{times:?}");
    assert_eq!(back(7), back(7));
}
