//! The rules that Prequal is compared with: each prefers what its definition says.
#![cfg(feature = "sim")]

use std::{sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, Failure, Lease, Node, Outcome, ProbeAnswer, Rng, Time,
    policy::{Policy, PrequalConfig},
    sim::rules::{FittedQ, RULE_NAMES, YarpPo2c, by_name, c3, linear},
};

const MS: Duration = Duration::from_millis(1);
const START: Time = Time::from_nanos(1_000_000_000);

/// Four endpoints under `policy`, which answer probes with so many in flight and milliseconds.
struct Fleet {
    balancer: Balancer,
    nodes: Vec<Arc<Node>>,
    rng: Rng,
}

impl Fleet {
    fn new(policy: impl Policy) -> Self {
        let endpoints = ["a", "b", "c", "d"].map(Endpoint::new);
        let balancer = Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap();
        let nodes = balancer.fleet().snapshot().nodes().to_vec();
        Self { balancer, nodes, rng: Rng::seeded(1) }
    }

    fn answer(&self, now: Time, node: usize, in_flight: u32, millis: u32) {
        let answer = ProbeAnswer::new(in_flight, millis * MS);
        self.balancer.probe_answered(now, &self.nodes[node], answer);
    }

    fn pick(&mut self, now: Time) -> Lease {
        self.balancer.pick(now, &Context::new(), &mut self.rng).unwrap()
    }

    fn polled(&mut self, now: Time) -> usize {
        let mut out = Vec::new();
        self.balancer.idle_probes(now, &mut self.rng, &mut out);
        out.len()
    }
}

#[test]
fn each_name_is_its_rule() {
    for name in RULE_NAMES {
        assert_eq!(by_name(name).unwrap().name(), *name);
    }
    assert!(by_name("prequal").is_none(), "a policy of its own");
}

#[test]
fn least_loaded_takes_the_least_of_all() {
    let mut fleet = Fleet::new(by_name("least_loaded").unwrap());
    let held: Vec<Lease> = (0..8).map(|_| fleet.pick(START)).collect();
    assert!(fleet.nodes.iter().all(|node| node.in_flight() == 2), "level after two rounds");
    let mut held = held.into_iter();
    drop(held.next());
    let freed = fleet.nodes.iter().position(|node| node.in_flight() == 1).unwrap();
    assert_eq!(fleet.pick(START).id(), fleet.nodes[freed].id());
    assert_eq!(fleet.balancer.probe_interval(), None);
}

/// Half a request in flight is 37.5 ms: 2 at 100 ms are as good as 0 at 250, and better than 4 at 30.
#[test]
fn linear_weighs_both() {
    let two = PrequalConfig::default();
    let pick = |lambda: f64, answers: [(u32, u32); 2]| {
        let alpha = 75 * MS;
        let mut fleet = Fleet::new(linear(lambda, alpha, two).unwrap());
        for (node, (in_flight, millis)) in answers.into_iter().enumerate() {
            fleet.answer(START, node, in_flight, millis);
        }
        fleet.pick(START).id().as_str().to_owned()
    };
    assert_eq!(pick(0.5, [(2, 100), (0, 260)]), "a");
    assert_eq!(pick(0.5, [(2, 100), (0, 240)]), "b");
    assert_eq!(pick(0.5, [(4, 30), (2, 100)]), "b");
    assert_eq!(pick(0.0, [(9, 30), (2, 31)]), "a", "latency alone");
    assert_eq!(pick(1.0, [(3, 30), (2, 900)]), "b", "requests in flight alone");
    let error = linear(1.5, 75 * MS, two).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "lambda = 1.5 must lie in [0, 1]");
}

/// Queue estimates 1 + 2 and 1 + 3, cubed: 27 x 20 ms against 64 x 8 ms.
#[test]
fn c3_cubes_the_queue() {
    let answers = |fleet: &Fleet| {
        fleet.answer(START, 0, 2, 20);
        fleet.answer(START, 1, 3, 8);
    };
    let mut fleet = Fleet::new(c3(10, PrequalConfig::default()).unwrap());
    answers(&fleet);
    let held = fleet.pick(START);
    assert_eq!(held.id().as_str(), "b");
    // Now one of its own is there, for which ten clients count.
    answers(&fleet);
    assert_eq!(fleet.pick(START).id().as_str(), "a");
    drop(held);
    answers(&fleet);
    assert_eq!(fleet.pick(START).id().as_str(), "b");
}

#[test]
fn yarp_polls_all_and_believes_it_until_the_next_poll() {
    let mut fleet = Fleet::new(YarpPo2c::polling_every(100 * MS));
    assert_eq!(fleet.balancer.probe_interval(), Some(100 * MS));
    assert_eq!((fleet.polled(START), fleet.polled(START + 99 * MS)), (4, 0));
    assert_eq!(fleet.polled(START + 100 * MS), 4);
    let mut out = Vec::new();
    fleet.balancer.probes_for_pick(START, &mut fleet.rng, &mut out);
    assert!(out.is_empty(), "a pick polls nobody");
    for node in 0..4 {
        fleet.answer(START, node, if node == 2 { 1 } else { 5 }, 1);
    }
    // The reports are as old as they may be, and what this client has sent does not change them.
    let later = START + 1000 * MS;
    let held: Vec<Lease> = (0..4000).map(|_| fleet.pick(later)).collect();
    let to_c = held.iter().filter(|lease| lease.id().as_str() == "c").count();
    // In one of two pairs; the standard deviation is 32.
    assert!((1850..2150).contains(&to_c), "{to_c}");
}

/// What has failed is worth less than what has not been tried, whatever chance explores.
#[test]
fn q_learning_leaves_what_fails() {
    let policy = by_name("q_learning").unwrap();
    let endpoints = (0..4).map(|number| Endpoint::new(number.to_string()));
    let balancer = Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap();
    let mut rng = Rng::seeded(1);
    let mut failed = 0;
    for request in 0..1000 {
        let now = START + request * Duration::from_millis(10);
        let lease = balancer.pick(now, &Context::new(), &mut rng).unwrap();
        let fails = lease.id().as_str() == "2";
        failed += usize::from(fails);
        let outcome = if fails { Outcome::failure(Failure::Status) } else { Outcome::success() };
        lease.finish(now + Duration::from_millis(5), outcome);
    }
    // A tenth of picks explores, and a quarter of those goes there: 25, deviation 5.
    assert!((5..60).contains(&failed), "{failed}");
}

/// Flat extrapolation: beyond what was logged it sees no queue.
#[test]
fn fitted_q_is_blind_beyond_its_log() {
    let cells = [("c/x/0", 10.0), ("c/x/1", 12.0), ("c/y/0", 20.0), ("d/y/0", 5.0), ("d/x/0", 9.0)];
    let cells = cells.map(|(name, ms)| (name.to_owned(), ms)).into();
    let endpoints = ["x", "y"].map(|kind| Endpoint::new(kind).with_label("archetype", kind));
    let policy = FittedQ::new(&cells).unwrap();
    let balancer = Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap();
    let mut rng = Rng::seeded(1);
    let mut pick = |class| {
        let context = Context::new().with_request_class(class);
        balancer.pick(START, &context, &mut rng).unwrap()
    };
    assert_eq!(pick("d").id().as_str(), "y");
    let held: Vec<Lease> = (0..100).map(|_| pick("c")).collect();
    assert!(
        held.iter().all(|lease| lease.id().as_str() == "x"),
        "a hundred there, and more to come"
    );
}
