//! Weighted round robin by load reports: gRFC A58 and A114 through the public API, in virtual time.
#![cfg(not(loom))]

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use trimtab_core::{
    Balancer, ConfigError, Context, Endpoint, Failure, HealthConfig, LoadReport, Node, Outcome,
    Rng, Time, Weight,
    policy::{FailSafe, FailSafeConfig, RoundRobin, WeightedRoundRobin, WeightedRoundRobinConfig},
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn at(seconds: f64) -> Time {
    Time::ZERO + Duration::from_secs_f64(seconds)
}

fn balancer(policy: WeightedRoundRobin, weights: &[f64]) -> Balancer {
    let endpoint = |(name, weight): (&str, &f64)| {
        Endpoint::new(name).with_weight(Weight::new(*weight).unwrap())
    };
    let endpoints = NAMES.into_iter().zip(weights).map(endpoint);
    let mut health = HealthConfig::default();
    health.base_ejection = Duration::from_secs(5);
    Balancer::builder().policy(policy).health(health).endpoints(endpoints).build().unwrap()
}

fn node(balancer: &Balancer, index: usize) -> Arc<Node> {
    let snapshot = balancer.fleet().snapshot();
    Arc::clone(snapshot.nodes().iter().find(|node| node.id().as_str() == NAMES[index]).unwrap())
}

/// So many requests a second at that share of the CPU.
fn load(rps: f64, cpu: f64) -> LoadReport {
    LoadReport { rps, cpu_utilization: cpu, ..LoadReport::default() }
}

fn report(balancer: &Balancer, now: Time, index: usize, report: LoadReport) {
    node(balancer, index).record_load_report(now, report);
}

/// Who the next picks go to; nothing is sent.
fn picks(balancer: &Balancer, now: Time, count: usize) -> Vec<usize> {
    let mut rng = Rng::seeded(1);
    let pick = |_| {
        let lease = balancer.pick(now, &Context::new(), &mut rng).unwrap();
        let index = NAMES.iter().position(|name| *name == lease.id().as_str()).unwrap();
        lease.discard();
        index
    };
    (0..count).map(pick).collect()
}

fn shares(balancer: &Balancer, now: Time) -> Vec<f64> {
    const PICKS: usize = 60_000;
    let mut counts = vec![0; balancer.fleet().snapshot().nodes().len()];
    for index in picks(balancer, now, PICKS) {
        counts[index] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / PICKS as f64).collect()
}

#[track_caller]
fn assert_shares(balancer: &Balancer, now: Time, weights: &[f64]) {
    let shares = shares(balancer, now);
    let sum: f64 = weights.iter().sum();
    for (share, weight) in shares.iter().zip(weights) {
        assert!((share - weight / sum).abs() < 0.002, "{shares:?} for weights {weights:?}");
    }
}

/// Reports of weights 1, 2, 3 give the golden vector of gRPC's scheduler.
#[test]
fn golden_vector_from_reports() {
    let policy = WeightedRoundRobin::new(WeightedRoundRobinConfig::default()).unwrap();
    let balancer = balancer(policy.from_turn(0), &[1.0; 3]);
    for (index, rps) in [10.0, 20.0, 30.0].into_iter().enumerate() {
        report(&balancer, at(0.0), index, load(rps, 0.5));
    }
    balancer.tick(at(10.0));
    assert_eq!(picks(&balancer, at(10.0), 12), [1, 2, 2, 0, 1, 2, 1, 2, 2, 0, 1, 2]);
}

#[test]
fn in_the_blackout_it_is_round_robin() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 3]);
    for (index, rps) in [10.0, 20.0, 30.0].into_iter().enumerate() {
        report(&balancer, at(0.0), index, load(rps, 0.5));
    }
    balancer.tick(at(9.9));
    assert_eq!(picks(&balancer, at(9.9), 6), [0, 1, 2, 0, 1, 2]);
    balancer.tick(at(10.9));
    assert_shares(&balancer, at(10.9), &[1.0, 2.0, 3.0]);
}

#[test]
fn the_weight_is_the_rate_over_utilization_and_penalized_errors() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 4]);
    report(&balancer, at(0.0), 0, load(100.0, 0.5));
    // As much, but for a tenth of errors: 100 / (0.5 + 0.1).
    report(&balancer, at(0.0), 1, LoadReport { eps: 10.0, ..load(100.0, 0.5) });
    // The application's own word counts before the CPU's.
    let own = LoadReport { application_utilization: 0.25, ..load(100.0, 0.9) };
    report(&balancer, at(0.0), 2, own);
    report(&balancer, at(0.0), 3, load(50.0, 0.5));
    balancer.tick(at(10.0));
    assert_shares(&balancer, at(10.0), &[200.0, 166.667, 400.0, 100.0]);
}

#[test]
fn the_penalty_can_be_set_and_taken_away() {
    for (penalty, weight) in [(0.0, 200.0), (5.0, 100.0)] {
        let mut config = WeightedRoundRobinConfig::default();
        config.error_utilization_penalty = penalty;
        let balancer = balancer(WeightedRoundRobin::new(config).unwrap(), &[1.0; 2]);
        report(&balancer, at(0.0), 0, load(100.0, 0.5));
        report(&balancer, at(0.0), 1, LoadReport { eps: 10.0, ..load(100.0, 0.5) });
        balancer.tick(at(10.0));
        assert_shares(&balancer, at(10.0), &[200.0, weight]);
    }
}

/// A114: the application's own measure, else the largest of the named metrics, else the CPU.
#[test]
fn named_metrics_stand_for_the_utilization() {
    let mut config = WeightedRoundRobinConfig::default();
    config.metric_names_for_computing_utilization =
        ["named_metrics.kv", "mem_utilization", "utilization.gpu"].map(String::from).to_vec();
    let balancer = balancer(WeightedRoundRobin::new(config).unwrap(), &[1.0; 4]);
    let named = |metrics: &[(&str, f64)], mem: f64, app: f64| LoadReport {
        named_metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        mem_utilization: mem,
        application_utilization: app,
        ..load(10.0, 0.1)
    };
    report(&balancer, at(0.0), 0, named(&[("kv", 0.5), ("utilization.gpu", 0.8)], 0.2, 0.0));
    report(&balancer, at(0.0), 1, named(&[("kv", f64::NAN), ("gpu", 0.9)], 0.4, 0.0));
    report(&balancer, at(0.0), 2, named(&[("kv", 0.5)], 0.2, 0.25));
    report(&balancer, at(0.0), 3, named(&[("kv", -1.0)], 0.0, 0.0));
    balancer.tick(at(10.0));
    assert_shares(&balancer, at(10.0), &[10.0 / 0.8, 10.0 / 0.4, 10.0 / 0.25, 10.0 / 0.1]);
}

#[test]
fn one_usable_weight_is_round_robin_and_the_third_gets_the_mean_of_two() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 3]);
    report(&balancer, at(0.0), 0, load(10.0, 0.1));
    balancer.tick(at(10.0));
    assert_eq!(picks(&balancer, at(10.0), 6), [0, 1, 2, 0, 1, 2]);
    report(&balancer, at(10.0), 1, load(30.0, 0.1));
    balancer.tick(at(20.0));
    assert_shares(&balancer, at(20.0), &[100.0, 300.0, 200.0]);
}

/// The operator's weights count where no reports are, and for those without one.
#[test]
fn static_weights_stand_in_for_reports() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0, 3.0, 4.0]);
    balancer.tick(at(0.0));
    assert_shares(&balancer, at(0.0), &[1.0, 3.0, 4.0]);
    report(&balancer, at(0.0), 0, load(10.0, 0.1));
    balancer.tick(at(10.0));
    assert_shares(&balancer, at(10.0), &[1.0, 3.0, 4.0]);
    report(&balancer, at(10.0), 1, load(30.0, 0.1));
    balancer.tick(at(20.0));
    // 100 and 300 as reported; the third is twice the mean endpoint of weight 2, which has 200.
    assert_shares(&balancer, at(20.0), &[100.0, 300.0, 400.0]);
}

#[test]
fn weights_expire_and_a_late_report_begins_a_blackout() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 2]);
    report(&balancer, at(0.0), 0, load(10.0, 0.1));
    report(&balancer, at(0.0), 1, load(30.0, 0.1));
    balancer.tick(at(179.9));
    assert_shares(&balancer, at(179.9), &[1.0, 3.0]);
    balancer.tick(at(181.0));
    assert_shares(&balancer, at(181.0), &[1.0, 1.0]);
    for second in 190..200 {
        let now = at(f64::from(second));
        report(&balancer, now, 0, load(10.0, 0.1));
        report(&balancer, now, 1, load(30.0, 0.1));
        balancer.tick(now);
        assert_shares(&balancer, now, &[1.0, 1.0]);
    }
    balancer.tick(at(200.0));
    assert_shares(&balancer, at(200.0), &[1.0, 3.0]);
}

/// A report that says too little is no report: the last weight stands, and ages.
#[test]
fn empty_reports_neither_count_nor_keep_a_weight_alive() {
    let empty = [
        load(0.0, 0.5),
        load(5.0, 0.0),
        load(f64::NAN, 0.5),
        load(f64::INFINITY, 0.5),
        load(5.0, f64::NAN),
        load(-5.0, 0.5),
        load(5.0, -0.5),
        load(5.0, f64::INFINITY),
    ];
    for empty in empty {
        let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 2]);
        report(&balancer, at(0.0), 0, load(10.0, 0.1));
        report(&balancer, at(0.0), 1, load(30.0, 0.1));
        for second in 1..=179 {
            report(&balancer, at(f64::from(second)), 1, empty.clone());
        }
        balancer.tick(at(179.0));
        assert_shares(&balancer, at(179.0), &[1.0, 3.0]);
        balancer.tick(at(180.0));
        assert_shares(&balancer, at(180.0), &[1.0, 1.0]);
    }
}

/// `non_empty_since` restarts when an endpoint comes back; what it says while it is out does not count.
#[test]
fn an_endpoint_that_comes_back_is_in_the_blackout() {
    let out: [fn(&Balancer); 3] = [
        |balancer| node(balancer, 1).connect_failed(at(20.0)),
        |balancer| {
            let mut rng = Rng::seeded(1);
            let all: Vec<_> = (0..20)
                .map(|_| balancer.pick(at(20.0), &Context::new(), &mut rng).unwrap())
                .collect();
            for lease in all {
                let failing = lease.id().as_str() == "b";
                let failure = Outcome::failure(Failure::Status);
                lease.finish(at(20.0), if failing { failure } else { Outcome::success() });
            }
        },
        |balancer| balancer.fleet().drain(&"b".into()).unwrap(),
    ];
    for (case, out) in out.into_iter().enumerate() {
        let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 3]);
        let all = |now| {
            for index in 0..3 {
                let weight = [10.0, 30.0, 20.0][index];
                let node = node(&balancer, index);
                node.record_load_report(now, load(weight, 0.1));
            }
        };
        all(at(0.0));
        all(at(19.0));
        balancer.tick(at(20.0));
        assert_shares(&balancer, at(20.0), &[1.0, 3.0, 2.0]);
        out(&balancer);
        if case < 2 {
            assert!(!node(&balancer, 1).is_up(at(20.0)), "{case}");
            all(at(20.01));
        } else {
            balancer.fleet().add(Endpoint::new("b"));
        }
        // Longest back after the backoff of five seconds.
        all(at(30.0));
        balancer.tick(at(39.0));
        assert_shares(&balancer, at(39.0), &[1.0, 1.5, 2.0]);
        balancer.tick(at(40.0));
        assert_shares(&balancer, at(40.0), &[1.0, 3.0, 2.0]);
    }
}

/// An answer's report counts as one that comes beside answers does.
#[test]
fn reports_come_with_answers() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 2]);
    let mut rng = Rng::seeded(1);
    for _ in 0..2 {
        let lease = balancer.pick(at(0.0), &Context::new(), &mut rng).unwrap();
        let rps = if lease.id().as_str() == "a" { 10.0 } else { 40.0 };
        lease.finish(at(0.0), Outcome::success().with_load(load(rps, 0.1)));
    }
    balancer.tick(at(10.0));
    assert_shares(&balancer, at(10.0), &[1.0, 4.0]);
}

/// At most once in an update period, which is at least a tenth of a second.
#[test]
fn weights_are_updated_once_in_a_period() {
    let mut config = WeightedRoundRobinConfig::default();
    config.blackout_period = Duration::ZERO;
    config.weight_update_period = Duration::ZERO;
    let balancer = balancer(WeightedRoundRobin::new(config).unwrap(), &[1.0; 2]);
    balancer.tick(at(1.0));
    report(&balancer, at(1.0), 0, load(10.0, 0.1));
    report(&balancer, at(1.0), 1, load(30.0, 0.1));
    balancer.tick(at(1.05));
    assert_shares(&balancer, at(1.05), &[1.0, 1.0]);
    balancer.tick(at(1.1));
    assert_shares(&balancer, at(1.1), &[1.0, 3.0]);
}

/// A change of the fleet between two updates keeps the weights that are known.
#[test]
fn a_new_fleet_starts_with_the_weights_that_are_known() {
    let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 2]);
    report(&balancer, at(0.0), 0, load(10.0, 0.1));
    report(&balancer, at(0.0), 1, load(30.0, 0.1));
    balancer.tick(at(10.0));
    balancer.fleet().add(Endpoint::new("c"));
    assert_shares(&balancer, at(10.1), &[1.0, 3.0, 2.0]);
}

#[test]
fn behind_a_breaker_it_hears_of_reports_and_updates() {
    let guarded = FailSafe::new(
        WeightedRoundRobin::default(),
        RoundRobin::default(),
        FailSafeConfig::default(),
    );
    let endpoints = ["a", "b"].map(Endpoint::new);
    let balancer = Balancer::builder().policy(guarded).endpoints(endpoints).build().unwrap();
    report(&balancer, at(0.0), 0, load(10.0, 0.1));
    report(&balancer, at(0.0), 1, load(30.0, 0.1));
    balancer.tick(at(10.0));
    assert_shares(&balancer, at(10.0), &[1.0, 3.0]);
}

#[test]
fn settings_out_of_range_are_named() {
    for penalty in [-0.1, f64::NAN, f64::INFINITY] {
        let mut config = WeightedRoundRobinConfig::default();
        config.error_utilization_penalty = penalty;
        let error = WeightedRoundRobin::new(config).unwrap_err().to_string();
        assert!(error.contains("error_utilization_penalty"), "{error}");
    }
    let mut config = WeightedRoundRobinConfig::default();
    config.weight_expiration_period = Duration::ZERO;
    let error = WeightedRoundRobin::new(config).unwrap_err();
    assert!(matches!(error, ConfigError::OutOfRange { name: "weight_expiration_period", .. }));
    for name in ["kv", "named_metrics.", "named_metrics", "gpu.kv", ""] {
        let mut config = WeightedRoundRobinConfig::default();
        config.metric_names_for_computing_utilization = vec![name.to_owned()];
        let error = WeightedRoundRobin::new(config).unwrap_err();
        assert_eq!(error, ConfigError::UnknownMetric { name: name.to_owned() });
    }
}

/// A slow and obvious model of A58's `UpdateWeight` and `GetWeight`, for one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    weight: f64,
    updated: Option<f64>,
    non_empty_since: Option<f64>,
}

impl Model {
    fn report(&mut self, now: f64, weight: f64) {
        if self.updated.is_some_and(|updated| now - updated >= 180.0) {
            self.non_empty_since = None;
        }
        self.non_empty_since.get_or_insert(now);
        (self.weight, self.updated) = (weight, Some(now));
    }

    fn get(&self, now: f64) -> Option<f64> {
        let (updated, since) = (self.updated?, self.non_empty_since?);
        (now - updated < 180.0 && now - since >= 10.0).then_some(self.weight)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes when: the shares are those of the model's weights.
    #[test]
    fn shares_follow_the_model(
        steps in prop::collection::vec((0_usize..3, 0_u32..12, 0_u32..100, 1_u32..9), 1..40),
    ) {
        let balancer = balancer(WeightedRoundRobin::default(), &[1.0; 3]);
        let (mut models, mut now) = ([Model::default(); 3], 0.0);
        for (index, kind, wait, rps) in steps {
            // Now and then so long that weights expire.
            now += if wait > 95 { 170.0 } else { f64::from(wait) / 10.0 };
            match kind {
                0 => {
                    // Reached again at once: the blackout restarts.
                    node(&balancer, index).connect_failed(at(now));
                    node(&balancer, index).connected();
                    models[index].non_empty_since = None;
                }
                1 => report(&balancer, at(now), index, load(f64::from(rps), 0.0)),
                _ => {
                    report(&balancer, at(now), index, load(f64::from(rps), 0.5));
                    models[index].report(now, f64::from(rps) / 0.5);
                }
            }
        }
        now += 1.0;
        balancer.tick(at(now));
        let known = models.map(|model| model.get(now));
        let usable: Vec<f64> = known.iter().flatten().copied().collect();
        let mean = usable.iter().sum::<f64>() / usable.len() as f64;
        let weights = known.map(|weight| if usable.len() < 2 { 1.0 } else { weight.unwrap_or(mean) });
        let sum: f64 = weights.iter().sum();
        for (share, weight) in shares(&balancer, at(now)).iter().zip(weights) {
            prop_assert!((share - weight / sum).abs() < 0.002, "{share} for {weights:?}");
        }
    }
}
