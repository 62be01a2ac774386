//! `q_table` where servers answer probes: what they say of their load joins what the table has learned.

mod learn_support;

use std::{sync::Arc, time::Duration};

use learn_support::{World, crossed_model};
use trimtab_core::{
    Balancer, ConfigError, Context, Endpoint, Failure, Outcome, ProbeAnswer, Rng, Time,
    policy::{Policy, QTable},
};

const START: Time = Time::from_nanos(1_000_000_000);

fn balancer(policy: QTable, servers: usize) -> Balancer {
    let world =
        World { kinds: (0..servers).map(|server| server % 2).collect(), ..World::crossed() };
    Balancer::builder().policy(policy.guarded()).endpoints(world.endpoints()).build().unwrap()
}

fn table(servers: usize) -> Balancer {
    balancer(QTable::new(Some(Arc::new(crossed_model()))), servers)
}

/// Server by server, how many requests each says it has.
fn answer(balancer: &Balancer, at: Time, in_flight: impl Fn(usize) -> u32) {
    for (server, node) in balancer.fleet().snapshot().nodes().iter().enumerate() {
        let answer = ProbeAnswer::new(in_flight(server), Duration::from_millis(20));
        balancer.probe_answered(at, node, answer);
    }
}

/// Where `picks` requests of a class go, one after the other, all of them under way.
fn picks(balancer: &Balancer, class: &str, at: Time, picks: usize) -> Vec<usize> {
    let mut rng = Rng::seeded(3);
    let context = Context::new().with_request_class(class);
    let leases: Vec<_> =
        (0..picks).map(|_| balancer.pick(at, &context, &mut rng).unwrap()).collect();
    leases.iter().map(|lease| lease.id().as_str()[1..].parse().unwrap()).collect()
}

#[test]
fn of_servers_alike_the_emptier_ones_are_filled_first() {
    let balancer = table(10);
    answer(&balancer, START, |server| if server == 4 { 2 } else { 9 });
    let picked = picks(&balancer, "short", START, 5);
    assert_eq!(picked[..4], [4; 4], "what was sent since the answer counts: {picked:?}");
}

/// 10 ms on one kind against 40 ms on the other: a short queue is no reason to go where the class is slow,
/// a long one is.
#[test]
fn cost_and_queue_are_one_sum() {
    let kind = |in_flight: u32| {
        let balancer = table(10);
        answer(&balancer, START, |server| if server % 2 == 0 { in_flight } else { 0 });
        picks(&balancer, "short", START, 1)[0] % 2
    };
    assert_eq!(kind(1), 0);
    assert_eq!(kind(40), 1);
}

/// An answer a fifth of a second old says nothing any more, so that no herd follows it.
#[test]
fn old_answers_are_not_followed() {
    let balancer = table(10);
    answer(&balancer, START, |server| if server == 4 { 0 } else { 9 });
    let later = START + Duration::from_millis(900);
    // One that is new, so that there is a load to speak of.
    let nodes = balancer.fleet().snapshot();
    balancer.probe_answered(later, &nodes.nodes()[1], ProbeAnswer::new(9, Duration::ZERO));
    let picked = picks(&balancer, "short", later, 5);
    let first = picked.iter().filter(|server| **server == 4).count();
    assert!(first <= 1, "{picked:?}");
}

/// Answered once and silent since: after a second without any answer it is as if nobody had been asked.
#[test]
fn silence_brings_back_what_the_client_knows_itself() {
    let (probed, blind) = (table(10), table(10));
    answer(&probed, START, |server| if server == 4 { 0 } else { 9 });
    let later = START + Duration::from_secs(2);
    assert_eq!(picks(&probed, "short", later, 50), picks(&blind, "short", later, 50));
}

#[test]
fn a_fast_failure_does_not_look_like_an_empty_server() {
    let balancer = table(10);
    let mut rng = Rng::seeded(1);
    let context = Context::new().with_request_class("short");
    let mut now = START;
    let mut failures = 0;
    for _ in 0..1000 {
        now += Duration::from_millis(2);
        answer(&balancer, now, |server| if server == 4 { 0 } else { 3 });
        let lease = balancer.pick(now, &context, &mut rng).unwrap();
        let fails = lease.id().as_str() == "s4";
        failures += usize::from(fails);
        let outcome = if fails { Outcome::failure(Failure::Status) } else { Outcome::success() };
        lease.finish(now + Duration::from_millis(1), outcome);
    }
    assert!((1..10).contains(&failures), "{failures}");
}

#[test]
fn who_probes_nobody_is_asked_for_nothing() {
    let model = || Some(Arc::new(crossed_model()));
    let silent = QTable::new(model()).with_probes_per_pick(0.0).unwrap();
    assert!(silent.probing().is_none());
    assert_eq!(balancer(silent, 10).probe_interval(), None);
    let mut asked = Vec::new();
    table(10).probes_for_pick(START, &mut Rng::seeded(1), &mut asked);
    assert_eq!(asked.len(), 3);
    for probes in [-1.0, 17.0, f64::NAN] {
        let error = QTable::new(None).with_probes_per_pick(probes).unwrap_err();
        assert!(matches!(error, ConfigError::OutOfRange { name: "probes_per_pick", .. }));
    }
}

/// Invariants 8 and 9 where there are answers: the same picks again, and nothing allocated.
#[test]
fn a_pick_by_answers_allocates_nothing_and_can_be_repeated() {
    for servers in [1, 10, 200] {
        let once = || {
            let balancer = table(servers);
            let mut rng = Rng::seeded(5);
            let mut picked = Vec::with_capacity(400);
            for round in 0..4_u32 {
                let now = START + round * Duration::from_millis(300);
                answer(&balancer, now, |server| (server as u32 * 7 + round) % 5);
                for nth in 0..100 {
                    let class = if nth % 2 == 0 { "short" } else { "long" };
                    let context = Context::new().with_request_class(class);
                    let mut lease = None;
                    let counted = allocation_counter::measure(|| {
                        lease = balancer.pick(now, &context, &mut rng).ok();
                    });
                    assert_eq!(counted.count_total, 0, "{servers} servers, round {round}");
                    picked.push(lease.unwrap().id().as_str().to_owned());
                }
            }
            picked
        };
        drop(table(servers).pick(START, &Context::new(), &mut Rng::seeded(1)));
        assert_eq!(once(), once());
    }
}

/// In a fleet too large to be compared whole, the answers that there are find the emptiest server.
#[test]
fn a_large_fleet_is_searched_by_its_answers() {
    let balancer = table(1000);
    let nodes = balancer.fleet().snapshot();
    for (server, in_flight) in [(100, 7), (200, 0), (300, 7)] {
        let answer = ProbeAnswer::new(in_flight, Duration::ZERO);
        balancer.probe_answered(START, &nodes.nodes()[server], answer);
    }
    assert_eq!(picks(&balancer, "short", START, 1), [200]);
}

#[test]
fn endpoints_the_model_does_not_know_are_left_to_the_baseline() {
    let mut endpoints = World::crossed().endpoints();
    endpoints[1] = Endpoint::new("s1").with_label("archetype", "z");
    let policy = QTable::new(Some(Arc::new(crossed_model()))).guarded();
    let balancer = Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap();
    answer(&balancer, START, |_| 3);
    let unknown = picks(&balancer, "short", START, 200);
    let unknown = unknown.iter().filter(|server| **server == 1).count();
    assert!((1..100).contains(&unknown), "{unknown} of 200");
}
