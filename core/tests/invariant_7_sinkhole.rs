//! Invariant 7: a fast failure never attracts traffic.
//!
//! Ten servers with two requests each on average; one fails all, or a third, of its requests after a
//! millisecond, so that it is nearly always idle. Answers take 50 ms
//! or, as from language models, 5 s. Where a policy's own signals must keep it
//! from being preferred, ejection is off.

mod table;
mod world;

use std::time::Duration;

use trimtab_core::{
    Balancer, Context, Endpoint, HealthConfig, Place, Rng,
    policy::{GeoScore, LeastResponseTime, POLICY_NAMES, PeakEwma, Policy, QTable, by_name},
};
use world::{Run, Server, run};

const FAIR: f64 = 0.1;
/// Requests on a server at any time, on average.
const IN_FLIGHT: f64 = 2.0;
const REQUESTS: usize = 20_000;
/// Requests in which the policy may still be finding out.
const WARM: usize = 1000;

fn servers(failing: f64, mean: Duration) -> [Server; 10] {
    let mut servers = [Server::healthy(mean); 10];
    servers[3].failing = failing;
    servers
}

fn sinkhole(policy: impl Policy, ejection: bool, failing: f64, mean: Duration) -> Run {
    let mut health = HealthConfig::default();
    if !ejection {
        health.consecutive_failures = 0;
    }
    let balancer = Balancer::builder()
        .policy(policy)
        .health(health)
        .endpoints((0..10).map(|i| Endpoint::new(i.to_string()).with_label("archetype", "x")))
        .build()
        .unwrap();
    let rate = 10.0 * IN_FLIGHT / mean.as_secs_f64();
    run(&balancer, &servers(failing, mean), rate, REQUESTS, 7, |_| {
        Context::new().with_request_class("chat")
    })
}

/// The share of requests that went to the sinkhole.
fn share(run: &Run) -> f64 {
    let late = &run.picks[WARM..];
    late.iter().filter(|server| **server == 3).count() as f64 / late.len() as f64
}

/// Policies that look at answers: their own signals keep a sinkhole from getting more than its share,
/// and one that fails always from getting nearly anything.
#[test]
fn signals_alone_keep_it_from_attracting() {
    for mean in [Duration::from_millis(50), Duration::from_secs(5)] {
        let policies: [fn(Duration) -> Box<dyn Policy>; 4] = [
            |_| Box::new(PeakEwma::default()),
            |_| Box::new(LeastResponseTime::default()),
            |_| Box::new(GeoScore::new(Place::default())),
            |mean| Box::new(QTable::new(Some(table::model(mean)))),
        ];
        for policy in policies {
            let name = policy(mean).name().to_owned();
            let all = share(&sinkhole(policy(mean), false, 1.0, mean));
            let third = share(&sinkhole(policy(mean), false, 0.3, mean));
            assert!(all < 0.2 * FAIR, "{name}, {mean:?}, failing always: {all}");
            assert!(third <= FAIR, "{name}, {mean:?}, failing 30 %: {third}");
        }
    }
}

/// What every policy gets from ejection, blind ones too: a twentieth of the fair share at most.
#[test]
fn ejection_keeps_traffic_from_what_always_fails() {
    for name in POLICY_NAMES {
        let policy = by_name(name, None, &Place::default(), &mut Rng::seeded(1)).unwrap();
        let all = share(&sinkhole(policy, true, 1.0, Duration::from_millis(50)));
        assert!(all < 0.05 * FAIR, "{name}: {all}");
    }
}

/// What fails three times of ten is rarely ejected. Blind policies give it its share, and one that counts
/// requests gives it little more, for what it is idle sooner.
#[test]
fn what_fails_at_times_gets_its_share_at_most() {
    for name in POLICY_NAMES {
        let policy = by_name(name, None, &Place::default(), &mut Rng::seeded(1)).unwrap();
        let third = share(&sinkhole(policy, true, 0.3, Duration::from_millis(50)));
        assert!(third < 1.1 * FAIR, "{name}: {third}");
    }
}
