//! Tiers by locality, and the geo score.

use std::time::Duration;

use trimtab_core::{
    Balancer, Context, Endpoint, Failure, GeoPoint, Outcome, Place, Rng, Time,
    log::DecisionLog,
    policy::{GeoScore, RoundRobin},
};

const START: Time = Time::from_nanos(1_000_000_000);

fn point(latitude: f64, longitude: f64) -> GeoPoint {
    GeoPoint::new(latitude, longitude).unwrap()
}

fn paris() -> Place {
    Place::in_region("paris").at(point(48.86, 2.35))
}

fn endpoint(id: &str, region: &str, geo: Option<GeoPoint>) -> Endpoint {
    let endpoint = Endpoint::new(id).with_region(region);
    match geo {
        Some(geo) => endpoint.with_geo(geo),
        None => endpoint,
    }
}

/// Two in each of three regions by distance from Paris, and one of which no place is known.
fn balancer() -> Balancer {
    let (london, tokyo) = (Some(point(51.51, -0.13)), Some(point(35.68, 139.69)));
    Balancer::builder()
        .policy(RoundRobin::default())
        .locality(paris())
        .endpoints([
            endpoint("nowhere", "atlantis", None),
            endpoint("tokyo-1", "tokyo", tokyo),
            endpoint("tokyo-2", "tokyo", tokyo),
            endpoint("london-1", "london", london),
            endpoint("london-2", "london", london),
            endpoint("paris-1", "paris", None),
            endpoint("paris-2", "paris", None),
        ])
        .build()
        .unwrap()
}

fn take_down(balancer: &Balancer, prefix: &str) {
    for node in balancer.fleet().snapshot().nodes() {
        if node.id().as_str().starts_with(prefix) {
            node.connect_failed(START);
        }
    }
}

/// The regions that twenty picks go to.
fn regions(balancer: &Balancer) -> Vec<String> {
    let mut rng = Rng::seeded(1);
    let mut regions: Vec<String> = (0..20)
        .map(|_| {
            let lease = balancer.pick(START, &Context::new(), &mut rng).unwrap();
            lease.node().endpoint().locality().region.clone()
        })
        .collect();
    regions.sort();
    regions.dedup();
    regions
}

#[test]
fn the_own_region_then_the_nearest_then_all() {
    let balancer = balancer();
    for region in ["paris", "london", "tokyo"] {
        assert_eq!(regions(&balancer), [region]);
        take_down(&balancer, region);
    }
    assert_eq!(regions(&balancer), ["atlantis"], "unknown distance comes last");
}

#[test]
fn one_that_is_up_keeps_its_region_in_use() {
    let balancer = balancer();
    take_down(&balancer, "paris-1");
    assert_eq!(regions(&balancer), ["paris"]);
}

#[test]
fn a_retry_goes_to_the_next_region_before_it_repeats() {
    let balancer = balancer();
    let tried = ["paris-1".into(), "paris-2".into()];
    let context = Context::new().with_tried(&tried);
    let lease = balancer.pick(START, &context, &mut Rng::seeded(1)).unwrap();
    assert_eq!(lease.node().endpoint().locality().region, "london");
    assert!(!lease.is_repeat());
}

#[test]
fn with_every_region_down_the_nearest_is_tried() {
    let balancer = balancer();
    take_down(&balancer, "");
    assert_eq!(regions(&balancer), ["paris"]);
    assert_eq!(balancer.counters().fail_open, 20);
}

/// The map says London; measurements say that Tokyo answers sooner.
#[test]
fn a_measured_round_trip_beats_the_map() {
    let balancer = balancer();
    take_down(&balancer, "paris");
    let snapshot = balancer.fleet().snapshot();
    let find = |id: &str| snapshot.nodes().iter().find(|node| node.id().as_str() == id).unwrap();
    // By the map London is 3.4 ms away (344 km at 100 km a millisecond).
    find("tokyo-1").record_round_trip(Duration::from_millis(3));
    assert_eq!(regions(&balancer), ["london"], "until the next refresh");
    balancer.fleet().refresh();
    assert_eq!(regions(&balancer), ["tokyo"]);
    find("london-2").record_round_trip(Duration::from_millis(2));
    // The shortest counts: a slow connection does not move a region away.
    find("london-2").record_round_trip(Duration::from_millis(200));
    balancer.fleet().refresh();
    assert_eq!(regions(&balancer), ["london"]);
    find("nowhere").record_round_trip(Duration::from_nanos(0));
    balancer.fleet().refresh();
    assert_eq!(regions(&balancer), ["atlantis"], "measured, and so known");
    assert_eq!(find("tokyo-1").round_trip(), Some(Duration::from_millis(3)));
}

#[test]
fn the_own_region_is_nearest_whatever_is_measured() {
    let balancer = balancer();
    for node in balancer.fleet().snapshot().nodes() {
        let own = node.id().as_str().starts_with("paris");
        node.record_round_trip(if own { Duration::from_secs(1) } else { Duration::ZERO });
    }
    balancer.fleet().refresh();
    assert_eq!(regions(&balancer), ["paris"]);
}

#[test]
fn without_a_place_all_are_one() {
    let balancer = Balancer::builder()
        .policy(RoundRobin::default())
        .endpoints(["a", "b"].map(|id| endpoint(id, id, None)))
        .build()
        .unwrap();
    assert_eq!(regions(&balancer), ["a", "b"]);
}

#[test]
fn round_trips_are_estimated_from_the_great_circle() {
    let new_york = endpoint("a", "us", Some(point(40.7128, -74.0060)));
    let estimate = paris().estimated_round_trip(&new_york).unwrap();
    // 5837 km at 100 km a millisecond.
    assert!((estimate.as_secs_f64() * 1e3 - 58.37).abs() < 0.1, "{estimate:?}");
    assert_eq!(paris().estimated_round_trip(&endpoint("b", "us", None)), None);
    assert_eq!(Place::in_region("paris").estimated_round_trip(&new_york), None);
    let antipodes = point(0.0, 0.0).distance_km(point(0.0, 180.0));
    assert!((antipodes - std::f64::consts::PI * 6371.0).abs() < 1e-6);
}

/// score = 0.5 / (1 + latency) + 0.3 health + 0.2 region, by hand.
#[test]
fn geo_score_formula() {
    let log = DecisionLog::new("test", 1.0, 10, Duration::ZERO).unwrap();
    let balancer = Balancer::builder()
        .policy(GeoScore::new(paris()))
        .log(log.into())
        .endpoints([
            endpoint("near", "paris", None),
            endpoint("far", "ny", Some(point(40.7128, -74.0060))),
            endpoint("slow", "paris", None),
            endpoint("failing", "paris", None),
        ])
        .build()
        .unwrap();
    let mut rng = Rng::seeded(1);
    let all = ["near", "far", "slow", "failing"];
    let mut send = |to: &str, took: Duration, outcome: Outcome| {
        let others: Vec<_> = all.iter().filter(|id| **id != to).map(|id| (*id).into()).collect();
        let context = Context::new().with_tried(&others);
        let lease = balancer.pick(START, &context, &mut rng).unwrap();
        assert_eq!(lease.id().as_str(), to);
        lease.finish(START + took, outcome);
    };
    let second = Duration::from_secs(1);
    send("slow", second, Outcome::success());
    // Half fail: its mean of 1 s takes two attempts.
    send("failing", second, Outcome::success());
    send("failing", second, Outcome::failure(Failure::Status));
    let log = balancer.log().unwrap();
    while log.pop().is_some() {}
    let lease = balancer.pick(START + second, &Context::new(), &mut Rng::seeded(1)).unwrap();
    assert_eq!(lease.id().as_str(), "near");
    lease.finish(START + second, Outcome::success());
    let row = log.pop().unwrap();
    // The log has what is compared, lower first.
    let score =
        |id: &str| -row.candidates.iter().find(|c| c.endpoint == id).unwrap().score.unwrap();
    for (id, expected) in [
        ("near", 0.5 + 0.3 + 0.2),
        ("far", 0.5 / (1.0 + 0.05837) + 0.3 + 0.2 * 0.8),
        ("slow", 0.5 / 2.0 + 0.3 + 0.2),
        ("failing", 0.5 / 3.0 + 0.3 * 0.5 + 0.2),
    ] {
        assert!((score(id) - expected).abs() < 1e-4, "{id}: {} for {expected}", score(id));
    }
}
