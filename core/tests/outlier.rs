//! Outlier detection: gRFC A50's rules, its traps, and latency, through the public API in virtual time.
#![cfg(not(loom))]

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use trimtab_core::{
    Balancer, ConfigError, Context, Endpoint, Failure, HealthConfig, Lease, Outcome, OutlierConfig,
    Rng, Time,
    outlier::{FailurePercentageEjection, LatencyEjection, SuccessRateEjection},
    policy::RoundRobin,
};

const INTERVAL: Duration = Duration::from_secs(10);

/// Requests at an endpoint: how many of a hundred fail, and how long each takes.
#[derive(Clone, Copy, Debug)]
struct Behaviour {
    failing: u32,
    takes: Duration,
}

const FINE: Behaviour = Behaviour { failing: 0, takes: Duration::from_millis(10) };
const DEAD: Behaviour = Behaviour { failing: 100, ..FINE };

fn failing(percent: u32) -> Behaviour {
    Behaviour { failing: percent, ..FINE }
}

fn slow(millis: u64) -> Behaviour {
    Behaviour { takes: Duration::from_millis(millis), ..FINE }
}

fn success_rate() -> OutlierConfig {
    let mut config = OutlierConfig::default();
    config.failure_percentage = None;
    config
}

fn failure_percentage() -> OutlierConfig {
    let mut config = OutlierConfig::default();
    config.success_rate = None;
    config
}

fn latency() -> OutlierConfig {
    let mut config = failure_percentage();
    (config.failure_percentage, config.latency) = (None, Some(LatencyEjection::default()));
    config
}

/// A fleet that takes turns, so that all endpoints which are up get the same number of requests.
struct World {
    balancer: Balancer,
    now: Time,
    rng: Rng,
}

impl World {
    fn new(size: usize, outlier: Option<OutlierConfig>) -> Self {
        Self::with_row(size, outlier, 0)
    }

    /// So many failures in a row eject too.
    fn with_row(size: usize, outlier: Option<OutlierConfig>, row: u32) -> Self {
        let mut health = HealthConfig::default();
        health.consecutive_failures = row;
        let mut builder = Balancer::builder()
            .policy(RoundRobin::default())
            .health(health)
            .endpoints((0..size).map(endpoint));
        if let Some(outlier) = outlier {
            builder = builder.outlier_detection(outlier);
        }
        let balancer = builder.build().unwrap();
        let now = Time::ZERO + Duration::from_secs(100);
        balancer.tick(now);
        Self { balancer, now, rng: Rng::seeded(1) }
    }

    fn pick(&mut self) -> Lease {
        self.balancer.pick(self.now, &Context::new(), &mut self.rng).unwrap()
    }

    /// `volume` requests for each endpoint that is up, and then the sweep.
    fn interval(&mut self, volume: u32, behaviour: impl Fn(usize) -> Behaviour) {
        let up = self.fleet() - self.out().len();
        for round in 0..volume {
            let leases: Vec<Lease> = (0..up).map(|_| self.pick()).collect();
            for lease in leases {
                let Behaviour { failing, takes } = behaviour(index(&lease));
                // Spread over the hundred.
                let fails = round * 37 % 100 < failing;
                let end = self.now + takes;
                lease.finish(end, outcome(fails));
            }
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        self.now += INTERVAL;
        self.balancer.tick(self.now);
    }

    fn fleet(&self) -> usize {
        self.balancer.fleet().snapshot().nodes().len()
    }

    fn out(&self) -> BTreeSet<usize> {
        let snapshot = self.balancer.fleet().snapshot();
        let out = snapshot.nodes().iter().filter(|node| !node.is_up(self.now));
        out.map(|node| node.id().as_str().parse().unwrap()).collect()
    }

    #[track_caller]
    fn assert_out(&self, expected: impl IntoIterator<Item = usize>) {
        assert_eq!(self.out(), expected.into_iter().collect());
    }

    fn ejections(&self) -> u64 {
        self.balancer.counters().ejections
    }
}

fn endpoint(index: usize) -> Endpoint {
    Endpoint::new(index.to_string())
}

fn index(lease: &Lease) -> usize {
    lease.id().as_str().parse().unwrap()
}

fn outcome(fails: bool) -> Outcome {
    if fails { Outcome::failure(Failure::Status) } else { Outcome::success() }
}

fn first_dead(count: usize) -> impl Fn(usize) -> Behaviour {
    move |index| if index < count { DEAD } else { FINE }
}

#[test]
fn nothing_is_ejected_unless_configured() {
    let mut world = World::new(10, None);
    (0..5).for_each(|_| world.interval(100, first_dead(1)));
    world.assert_out([]);
}

/// One of five that differs at all is two deviations below the mean: 1.9 finds it, 2.1 does not.
#[test]
fn success_rate_goes_by_the_population_deviation() {
    for (factor, out) in [(1.9, vec![3]), (1.999, vec![3]), (2.001, vec![]), (2.1, vec![])] {
        let mut config = success_rate();
        config.success_rate.as_mut().unwrap().stdev_factor = factor;
        let mut world = World::new(5, Some(config));
        world.interval(100, |index| if index == 3 { failing(10) } else { FINE });
        world.assert_out(out);
    }
}

/// Of a fleet with the part f dead alike, the rule finds them while f < 1 / (1 + 1.9^2) = 21.7 %.
#[test]
fn success_rate_is_blind_in_a_zone_outage_and_the_others_are_not() {
    let with = |config: OutlierConfig, size, row| {
        let mut config = config;
        config.max_ejection_percent = 50;
        let mut world = World::with_row(size, Some(config), row);
        world.interval(100, first_dead(5));
        world.out()
    };
    let dead: BTreeSet<usize> = (0..5).collect();
    assert_eq!(with(success_rate(), 24, 0), dead, "20.8 %");
    assert_eq!(with(success_rate(), 23, 0), BTreeSet::new(), "21.7 %");
    assert_eq!(with(success_rate(), 15, 0), BTreeSet::new(), "a third");
    assert_eq!(with(failure_percentage(), 15, 0), dead);
    assert_eq!(with(OutlierConfig::default(), 15, 0), dead);
    let mut world = World::with_row(15, Some(success_rate()), 5);
    let leases: Vec<Lease> = (0..150).map(|_| world.pick()).collect();
    for lease in leases {
        let dead = index(&lease) < 5;
        lease.finish(world.now, outcome(dead));
    }
    world.assert_out(0..5);
}

#[test]
fn failure_percentage_is_above_the_threshold() {
    for (percent, out) in [(84, vec![]), (85, vec![]), (86, vec![2]), (100, vec![2])] {
        let mut world = World::new(5, Some(failure_percentage()));
        world.interval(100, |index| if index == 2 { failing(percent) } else { FINE });
        world.assert_out(out);
    }
}

#[test]
fn too_few_requests_or_endpoints_judge_nobody() {
    for (config, enough) in [(success_rate(), 100), (failure_percentage(), 50)] {
        let after = |size, volume| {
            let mut world = World::new(size, Some(config));
            world.interval(volume, first_dead(1));
            world.out().len()
        };
        assert_eq!((after(5, enough), after(5, enough - 1), after(4, enough)), (1, 0, 0));
    }
}

/// The requests of one interval do not count in the next.
#[test]
fn each_interval_is_judged_by_itself() {
    let mut world = World::new(5, Some(failure_percentage()));
    world.interval(49, first_dead(1));
    world.interval(49, first_dead(1));
    world.assert_out([]);
    world.interval(50, first_dead(1));
    world.assert_out([0]);
}

/// The cap is looked at before each ejection: one can always go, and 10 % of 15 lets two go.
#[test]
fn the_cap_is_checked_before_each_ejection() {
    for (size, percent, out) in
        [(5, 10, 1), (10, 10, 1), (11, 10, 2), (15, 10, 2), (20, 10, 2), (21, 10, 3), (10, 0, 0)]
    {
        let mut config = failure_percentage();
        config.max_ejection_percent = percent;
        let mut world = World::new(size, Some(config));
        world.interval(100, first_dead(4));
        assert_eq!(world.out().len(), out, "{size} endpoints, {percent} %");
        world.interval(100, first_dead(4));
        assert_eq!(world.out().len(), out, "{size} endpoints, {percent} %");
        assert_eq!(world.ejections(), out as u64);
    }
}

#[test]
fn the_worst_goes_first() {
    let mut world = World::new(5, Some(failure_percentage()));
    world.interval(100, |index| failing([0, 90, 99, 95, 0][index]));
    world.assert_out([2]);
}

/// Endpoints that failures in a row put out count against the cap of the sweep; and the sweep's cap,
/// being full, is not taken for theirs.
#[test]
fn both_kinds_of_ejection_share_the_list() {
    for (row_of_failures, swept) in [(false, [1]), (true, [0])] {
        let mut config = failure_percentage();
        config.failure_percentage.as_mut().unwrap().threshold = 70;
        let mut world = World::with_row(10, Some(config), 5);
        // So late that who is out for a row of failures is out at the sweep.
        world.now += Duration::from_secs(9);
        let mut at_one = 0;
        for _ in 0..1000 {
            let lease = world.pick();
            at_one += u32::from(index(&lease) == 1);
            let fails = match index(&lease) {
                0 => row_of_failures,
                // Four of five, never five in a row.
                1 => at_one % 5 != 0,
                _ => false,
            };
            lease.finish(world.now, outcome(fails));
        }
        world.now += Duration::from_secs(1);
        world.balancer.tick(world.now);
        world.assert_out(swept);
        // Half of the fleet may be out by rows.
        for _ in 0..200 {
            let lease = world.pick();
            let fails = (2..5).contains(&index(&lease));
            lease.finish(world.now, outcome(fails));
        }
        world.assert_out(swept.into_iter().chain(2..5));
    }
}

/// Requests that were under way when it went neither eject it again nor prolong it.
#[test]
fn an_ejected_endpoint_is_not_ejected_again() {
    let mut config = failure_percentage();
    config.max_ejection_percent = 50;
    let mut world = World::new(5, Some(config));
    let leases: Vec<Lease> = (0..1000).map(|_| world.pick()).collect();
    let (mut under_way, others): (Vec<Lease>, Vec<Lease>) =
        leases.into_iter().partition(|lease| index(lease) == 0);
    drop(others);
    world.interval(100, first_dead(1));
    world.assert_out([0]);
    // Two more intervals full of failures of requests from before.
    for _ in 0..2 {
        for lease in under_way.split_off(under_way.len() - 100) {
            lease.finish(world.now, outcome(true));
        }
        world.interval(100, |_| FINE);
        world.assert_out([0]);
        assert_eq!(world.ejections(), 1);
    }
    world.now += INTERVAL;
    world.assert_out([]);
}

/// 30 s the first time, 60 the second, 90 the third; quiet intervals count back down.
#[test]
fn the_multiplier_grows_and_falls() {
    let mut world = World::new(5, Some(failure_percentage()));
    let out_for = |world: &mut World| {
        world.interval(100, first_dead(1));
        world.assert_out([0]);
        let since = world.now;
        while !world.out().is_empty() {
            world.interval(100, |_| FINE);
        }
        world.now.since(since).as_secs()
    };
    assert_eq!(out_for(&mut world), 30);
    assert_eq!(out_for(&mut world), 60);
    // The sweep at which it is back is not yet a quiet one; the next two are.
    world.interval(100, |_| FINE);
    world.interval(100, |_| FINE);
    assert_eq!(out_for(&mut world), 30);
}

#[test]
fn an_ejection_is_no_longer_than_the_longest() {
    for (base, max, times) in [(30, 45, [30, 45, 45]), (30, 10, [30, 30, 30])] {
        let mut config = failure_percentage();
        config.base_ejection_time = Duration::from_secs(base);
        config.max_ejection_time = Duration::from_secs(max);
        let mut world = World::new(5, Some(config));
        for time in times {
            world.interval(100, first_dead(1));
            let since = world.now;
            world.now = since + Duration::from_millis(time * 1000 - 1);
            world.assert_out([0]);
            world.now = since + Duration::from_secs(time);
            world.assert_out([]);
            world.balancer.tick(world.now);
        }
    }
}

#[test]
fn an_endpoint_that_leaves_is_forgotten() {
    let mut world = World::new(5, Some(failure_percentage()));
    world.interval(100, first_dead(1));
    world.assert_out([0]);
    world.balancer.fleet().remove(&"0".into()).unwrap();
    world.balancer.fleet().add(endpoint(0));
    world.assert_out([]);
    // Its place under the cap is free, and its multiplier is the first one again.
    world.interval(100, first_dead(1));
    world.assert_out([0]);
    world.now += Duration::from_secs(30);
    world.assert_out([]);
}

#[test]
fn enforcement_spares_a_part() {
    let out = |percent| {
        let mut config = failure_percentage();
        config.max_ejection_percent = 100;
        config.failure_percentage.as_mut().unwrap().enforcement_percentage = percent;
        let mut world = World::new(400, Some(config));
        world.interval(50, first_dead(200));
        world.out().len()
    };
    assert_eq!((out(0), out(100)), (0, 200));
    // Of 200 fair coins, beyond 60 or 140 once in 10^7.
    assert!((60..140).contains(&out(50)));
}

#[test]
fn a_slow_endpoint_is_found_beside_a_good_fleet() {
    let mut world = World::new(10, Some(latency()));
    let one_slow = |index| if index == 7 { slow(100) } else { slow(8 + index as u64) };
    world.interval(50, one_slow);
    world.assert_out([]);
    world.interval(50, one_slow);
    world.assert_out([7]);
    assert_eq!(world.ejections(), 1);
}

#[test]
fn latency_leaves_other_fleets_alone() {
    let after = |behaviour: &dyn Fn(u32, usize) -> Behaviour| {
        let mut world = World::new(10, Some(latency()));
        for nth in 0..6 {
            world.interval(50, |index| behaviour(nth, index));
        }
        world.ejections()
    };
    assert_eq!(after(&|_, index| slow(if index < 5 { 10 } else { 25 })), 0, "two kinds of servers");
    assert_eq!(after(&|nth, _| slow(10 + u64::from(nth) * 100)), 0, "all slow down");
    assert_eq!(after(&|_, index| slow(if index == 0 { 9 } else { 1 })), 0, "8 ms more");
    let once = |nth, index| slow(if index == 0 && nth == 2 { 45 } else { 10 });
    assert_eq!(after(&once), 0, "one slow interval");
    assert!(after(&|_, index| slow(if index == 0 { 45 } else { 10 })) > 0);
}

/// Nothing else comes from it: what was given up, or timed out, waited as long.
#[test]
fn an_endpoint_that_does_not_answer_is_slow() {
    for given_up in [true, false] {
        let mut world = World::new(10, Some(latency()));
        for _ in 0..2 {
            let leases: Vec<Lease> = (0..200).map(|_| world.pick()).collect();
            for lease in leases {
                let stuck = index(&lease) == 4;
                let end = world.now + Duration::from_millis(if stuck { 500 } else { 10 });
                match (stuck, given_up) {
                    (true, true) => lease.cancel(end),
                    (true, false) => lease.finish(end, Outcome::failure(Failure::Timeout)),
                    _ => lease.finish(end, outcome(false)),
                }
            }
            world.sweep();
        }
        world.assert_out([4]);
    }
}

/// Errors come fast and say nothing of how long answers take.
#[test]
fn fast_errors_do_not_hide_slow_answers() {
    let mut world = World::new(10, Some(latency()));
    for _ in 0..2 {
        let leases: Vec<Lease> = (0..1000).map(|_| world.pick()).collect();
        for (nth, lease) in leases.into_iter().enumerate() {
            let slow = index(&lease) == 4;
            let fails = slow && nth / 10 % 4 != 0;
            let takes = if fails {
                0
            } else if slow {
                100
            } else {
                10
            };
            lease.finish(world.now + Duration::from_millis(takes), outcome(fails));
        }
        world.sweep();
    }
    world.assert_out([4]);
}

#[test]
fn latency_wants_enough_requests_and_endpoints() {
    let after = |size, volume| {
        let mut world = World::new(size, Some(latency()));
        for _ in 0..3 {
            world.interval(volume, |index| if index == 0 { slow(500) } else { FINE });
        }
        world.out().len()
    };
    assert_eq!((after(5, 20), after(5, 19), after(4, 20)), (1, 0, 0));
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |change: &dyn Fn(&mut OutlierConfig)| {
        let mut config = OutlierConfig::default();
        config.latency = Some(LatencyEjection::default());
        change(&mut config);
        let endpoints = [endpoint(0)];
        match Balancer::builder().outlier_detection(config).endpoints(endpoints).build() {
            Err(ConfigError::OutOfRange { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    let rate = |change: fn(&mut SuccessRateEjection)| {
        refused(&|config| change(config.success_rate.as_mut().unwrap()))
    };
    let percentage = |change: fn(&mut FailurePercentageEjection)| {
        refused(&|config| change(config.failure_percentage.as_mut().unwrap()))
    };
    let slow = |change: fn(&mut LatencyEjection)| {
        refused(&|config| change(config.latency.as_mut().unwrap()))
    };
    assert_eq!(refused(&|config| config.interval = Duration::ZERO), "interval");
    assert_eq!(refused(&|config| config.max_ejection_percent = 101), "max_ejection_percent");
    assert_eq!(rate(|rule| rule.stdev_factor = f64::NAN), "stdev_factor");
    assert_eq!(rate(|rule| rule.enforcement_percentage = 101), "enforcement_percentage");
    assert_eq!(percentage(|rule| rule.threshold = 101), "threshold");
    assert_eq!(percentage(|rule| rule.enforcement_percentage = 101), "enforcement_percentage");
    assert_eq!(slow(|rule| rule.factor = 0.5), "factor");
    assert_eq!(slow(|rule| rule.sweeps = 0), "sweeps");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: never more out than the cap lets go, each ejection counted is an endpoint
    /// that went out, and none is prolonged while it is out.
    #[test]
    fn ejections_counted_are_endpoints_that_went_out(
        size in 5_usize..20,
        percent in 0_u32..=100,
        intervals in prop::collection::vec(
            (prop::collection::vec(prop_oneof![Just(0_u32), Just(40), Just(100)], 20), 0_usize..40, 0_u8..4),
            1..12,
        ),
    ) {
        let mut config = OutlierConfig::default();
        config.max_ejection_percent = percent;
        config.latency = Some(LatencyEjection::default());
        let mut world = World::new(size, Some(config));
        let (mut counted, mut held) = (0, Vec::new());
        for (shares, hold, change) in intervals {
            held.extend((0..hold).map(|_| world.pick()));
            let before = world.now;
            let was_out = world.out();
            // Old requests fail now, wherever they are.
            for lease in held.split_off(held.len() / 2) {
                lease.finish(world.now, outcome(true));
            }
            prop_assert_eq!(&world.out(), &was_out);
            let up = world.fleet() - was_out.len();
            for round in 0..100 {
                let leases: Vec<Lease> = (0..up).map(|_| world.pick()).collect();
                for lease in leases {
                    let fails = round < shares[index(&lease)];
                    lease.finish(world.now, outcome(fails));
                }
            }
            world.now = before + INTERVAL;
            let still_out = world.out();
            world.balancer.tick(world.now);
            let out = world.out();
            prop_assert!(out.is_superset(&still_out));
            let new = out.difference(&still_out).count() as u64;
            counted += new;
            prop_assert_eq!(world.ejections(), counted);
            let fleet = world.fleet();
            let cap = (fleet * percent as usize).div_ceil(100);
            prop_assert!(new == 0 || out.len() <= cap, "{} of {} out", out.len(), fleet);
            match change {
                0 if fleet > 5 => {
                    let _ = world.balancer.fleet().remove(&(size - 1).to_string().as_str().into());
                }
                1 => world.balancer.fleet().add(endpoint(size - 1)),
                _ => {}
            }
        }
    }
}
