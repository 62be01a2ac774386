//! `q_table` refuses what it cannot know: each reason, counted, with peak-EWMA in its place.

mod learn_support;

use std::{sync::Arc, time::Duration};

use learn_support::{ORIGIN, World, crossed_model, crossed_parts};
use trimtab_core::{
    Balancer, Context, Endpoint, Node, Outcome, Rng, Time,
    learn::{Model, Parts},
    policy::{
        Candidates, Choice, FailSafe, FailSafeConfig, Fallback, PeakEwma, Picker, Policy, QTable,
        Refusal,
    },
};

fn balancer(policy: QTable, endpoints: Vec<Endpoint>) -> Balancer {
    Balancer::builder()
        .policy(policy.guarded())
        .endpoints(endpoints)
        .unix_origin(ORIGIN)
        .build()
        .unwrap()
}

fn table(parts: Parts) -> Balancer {
    let model = Arc::new(Model::new(parts).unwrap());
    balancer(QTable::new(Some(model)), World::crossed().endpoints())
}

const PICKS: u64 = 1000;

/// Serves `PICKS` requests at `at`; returns how many each kind of endpoint got.
fn serve(balancer: &Balancer, class: Option<&str>, at: Time) -> [u64; 2] {
    let mut rng = Rng::seeded(3);
    let mut context = Context::new();
    context.request_class = class;
    let mut counts = [0; 2];
    for _ in 0..PICKS {
        let lease = balancer.pick(at, &context, &mut rng).unwrap();
        let server: usize = lease.id().as_str()[1..].parse().unwrap();
        counts[server % 2] += 1;
        lease.finish(at, Outcome::success());
    }
    for node in balancer.fleet().snapshot().nodes() {
        assert_eq!(node.in_flight(), 0);
        assert!(node.work_in_flight().is_zero());
    }
    counts
}

fn fallbacks(balancer: &Balancer) -> Vec<(Fallback, u64)> {
    balancer.counters().fallbacks.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn assert_falls_back(balancer: &Balancer, class: Option<&str>, at: Time, why: Fallback) {
    serve(balancer, class, at);
    assert_eq!(fallbacks(balancer), [(why, PICKS)]);
}

#[test]
fn it_routes_each_class_to_the_archetype_that_is_quick_at_it() {
    let balancer = table(crossed_parts());
    assert_eq!(serve(&balancer, Some("short"), Time::ZERO), [PICKS, 0]);
    assert_eq!(serve(&balancer, Some("long"), Time::ZERO), [0, PICKS]);
    assert_eq!(fallbacks(&balancer), []);
}

#[test]
fn no_model() {
    let balancer = balancer(QTable::new(None), World::crossed().endpoints());
    assert_falls_back(&balancer, Some("short"), Time::ZERO, Fallback::NoModel);
    // A model that comes later is used from the next pick on.
    balancer.set_model(crossed_model()).unwrap();
    serve(&balancer, Some("short"), Time::ZERO);
    assert_eq!(fallbacks(&balancer), [(Fallback::NoModel, PICKS)]);
}

#[test]
fn a_model_for_other_features() {
    let balancer = table(Parts { feature_hash: 7, ..crossed_parts() });
    assert_falls_back(&balancer, Some("short"), Time::ZERO, Fallback::FeatureHash);
}

#[test]
fn a_stale_model() {
    let hour = Duration::from_secs(3600);
    let model = Some(Arc::new(crossed_model()));
    let fresh = balancer(QTable::new(model).with_max_age(hour), World::crossed().endpoints());
    assert_eq!(serve(&fresh, Some("short"), Time::ZERO + hour), [PICKS, 0]);
    assert_eq!(fallbacks(&fresh), []);
    let later = Time::ZERO + hour + Duration::from_nanos(1);
    assert_falls_back(&fresh, Some("short"), later, Fallback::Stale);
}

#[test]
fn an_unsupported_class() {
    assert_falls_back(
        &table(crossed_parts()),
        Some("medium"),
        Time::ZERO,
        Fallback::UnsupportedClass,
    );
    assert_falls_back(&table(crossed_parts()), None, Time::ZERO, Fallback::UnsupportedClass);
    let mut nothing_known = crossed_parts();
    nothing_known.cells[2] = None;
    nothing_known.cells[3] = None;
    let balancer = table(nothing_known);
    serve(&balancer, Some("short"), Time::ZERO);
    let all: u64 = fallbacks(&balancer).iter().map(|(_, count)| count).sum();
    assert_eq!(all, PICKS);
}

/// SPIBB: what the baseline gives to unsupported endpoints stays there, and the rest goes to the best
/// supported one. With five of ten endpoints unsupported and all alike to peak-EWMA, half stays.
/// False alarm of the interval on a fixed seed: 6 sigma, 2e-9.
#[test]
fn an_unsupported_cell() {
    let mut parts = crossed_parts();
    parts.cells[3] = None; // short on y
    let balancer = table(parts);
    let [x, y] = serve(&balancer, Some("short"), Time::ZERO);
    assert_eq!(fallbacks(&balancer), [(Fallback::UnsupportedCell, y)]);
    let sigma = (PICKS as f64 / 4.0).sqrt();
    assert!((x as f64 - PICKS as f64 / 2.0).abs() < 6.0 * sigma, "{x} and {y}");
    // The other class is not concerned.
    assert_eq!(serve(&balancer, Some("long"), Time::ZERO), [0, PICKS]);
}

#[test]
fn an_endpoint_of_an_unknown_archetype_keeps_its_share() {
    let mut endpoints = World::crossed().endpoints();
    endpoints[1] = Endpoint::new("s1").with_label("archetype", "z");
    let balancer = balancer(QTable::new(Some(Arc::new(crossed_model()))), endpoints);
    let [_, y] = serve(&balancer, Some("short"), Time::ZERO);
    assert_eq!(fallbacks(&balancer), [(Fallback::UnsupportedCell, y)]);
    assert!(y > PICKS / 20, "one of ten endpoints got {y} of {PICKS}");
}

/// No sound model has a cost that is not a number (`learn_model_file.rs`), so a score can only be one
/// by a fault elsewhere; the refusal is then counted like any other.
#[test]
fn not_a_number() {
    #[derive(Debug)]
    struct Broken;
    impl Policy for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }
        fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
            Box::new(Self)
        }
    }
    impl Picker for Broken {
        fn pick(&self, _: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
            Err(Refusal::Fallback(Fallback::NotANumber))
        }
    }
    let policy = FailSafe::new(Broken, PeakEwma::default(), FailSafeConfig::default());
    let endpoints = World::crossed().endpoints();
    let balancer = Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap();
    assert_falls_back(&balancer, Some("short"), Time::ZERO, Fallback::NotANumber);
}

/// Clusters route by id.
#[test]
fn endpoints_without_labels_are_known_by_id() {
    let world = World { labelled: false, ..World::crossed() };
    let mut parts = crossed_parts();
    for (kind, archetype) in parts.archetypes.iter_mut().enumerate() {
        archetype.name = format!("cluster-{kind}");
        archetype.members =
            (0..10).filter(|s| s % 2 == kind).map(|s| format!("s{s}").into()).collect();
    }
    let model = Some(Arc::new(Model::new(parts).unwrap()));
    let balancer = balancer(QTable::new(model), world.endpoints());
    assert_eq!(serve(&balancer, Some("short"), Time::ZERO), [PICKS, 0]);
    assert_eq!(fallbacks(&balancer), []);
}

/// In a large fleet two of each archetype are drawn. With ten of two thousand up the draws mostly find
/// nobody: the table decides nevertheless, among those that are up. Now and then the draws find only
/// the slower archetype, one pick in 26 (38 expected of 1000, so 200 is 26 sigma).
#[test]
fn the_last_ones_of_a_large_fleet_are_found() {
    let world = World { kinds: (0..2000).map(|server| server % 2).collect(), ..World::crossed() };
    let balancer = balancer(QTable::new(Some(Arc::new(crossed_model()))), world.endpoints());
    for node in &balancer.fleet().snapshot().nodes()[10..] {
        node.connect_failed(Time::ZERO);
    }
    let slower = [
        serve(&balancer, Some("short"), Time::ZERO)[1],
        serve(&balancer, Some("long"), Time::ZERO)[0],
    ];
    assert!(slower.iter().all(|picks| *picks < PICKS / 5), "{slower:?}");
    assert_eq!(fallbacks(&balancer), []);
}
