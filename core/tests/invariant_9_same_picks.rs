//! Invariant 9: same seed, same clock, same inputs: same picks; for every policy.

mod table;
mod world;

use std::time::Duration;

use trimtab_core::{
    Balancer, Context, Endpoint, Place, Rng, Weight,
    policy::{POLICY_NAMES, by_name},
};
use world::{Run, Server, run};

fn once(name: &str, seed: u64, n: usize, looking: bool) -> Run {
    let mut rng = Rng::seeded(seed);
    let model = (name == "q_table").then(|| table::model(Duration::from_millis(20)));
    let endpoints = (0..n).map(|index| {
        let weight = Weight::new(1.0 + (index % 3) as f64).unwrap();
        Endpoint::new(index.to_string()).with_weight(weight).with_label("archetype", "x")
    });
    let balancer = Balancer::builder()
        .policy(by_name(name, model, &Place::default(), &mut rng).unwrap())
        .endpoints(endpoints)
        .build()
        .unwrap();
    let mut servers = vec![Server::healthy(Duration::from_millis(20)); n];
    servers[1].failing = 0.6;
    servers[2].mean = Duration::from_millis(60);
    let other = balancer.clone();
    run(&balancer, &servers, 300.0, 3000, seed, move |request| {
        if looking {
            look(&other, request);
        }
        let context = Context::new().with_request_class("chat");
        // Two of three have a key, for the policies that hash.
        if request % 3 == 0 { context } else { context.with_key(request.to_le_bytes()) }
    })
}

/// Reads all that can be read.
fn look(balancer: &Balancer, request: usize) {
    let snapshot = balancer.fleet().snapshot();
    for node in snapshot.nodes() {
        for ahead in [0, 1, 3600] {
            let time = trimtab_core::Time::from_nanos((request as u64 + ahead) * 1_000_000_000);
            let _ = (node.peak_latency(time), node.queue_delay(time), node.recent(time));
            let _ = (node.is_up(time), node.mean_latency(), node.total(), node.load_report());
        }
    }
    let _ = balancer.counters();
}

/// The two sizes lie on either side of where some policies turn from scanning to sampling.
#[test]
fn same_inputs_same_picks() {
    for name in POLICY_NAMES {
        for n in [8, 70] {
            let first = once(name, 5, n, false);
            assert!(first.failures > 0, "{name}: the run is not all of one kind");
            assert_eq!(first, once(name, 5, n, false), "{name}, {n} endpoints");
        }
    }
}

/// A generator that is not the caller's would make the seed matter nothing, or the same seed differ.
#[test]
fn another_seed_other_picks() {
    for name in POLICY_NAMES {
        let (one, other) = (once(name, 5, 8, false), once(name, 6, 8, false));
        assert_ne!(one.picks, other.picks, "{name}");
    }
}

/// Invariant 8: reads never change a signal, so how often one looks cannot change what is picked.
#[test]
fn looking_changes_nothing() {
    for name in POLICY_NAMES {
        for n in [8, 70] {
            assert_eq!(once(name, 5, n, false), once(name, 5, n, true), "{name}, {n} endpoints");
        }
    }
}
