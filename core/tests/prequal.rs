//! Prequal pick by pick: what is in the pool, what is hot, and what happens at the edges.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Failure, HealthConfig, Lease, Node, Outcome,
    ProbeAnswer, Rng, Time,
    policy::{FailSafe, FailSafeConfig, PeakEwma, Prequal, PrequalConfig},
};

const MS: Duration = Duration::from_millis(1);
const START: Time = Time::from_nanos(1_000_000_000);

/// Endpoints `0`, `1`, ... under Prequal.
struct Fleet {
    balancer: Balancer,
    rng: Rng,
}

impl Fleet {
    fn new(n: usize, config: PrequalConfig) -> Self {
        let balancer = Balancer::builder()
            .policy(Prequal::new(config).unwrap())
            .endpoints((0..n).map(|i| Endpoint::new(i.to_string())))
            .build()
            .unwrap();
        Self { balancer, rng: Rng::seeded(1) }
    }

    fn node(&self, node: usize) -> Arc<Node> {
        let snapshot = self.balancer.fleet().snapshot();
        let found = snapshot.nodes().iter().find(|known| known.id().as_str() == node.to_string());
        Arc::clone(found.unwrap())
    }

    fn answer(&self, now: Time, node: usize, in_flight: u32, millis: u32) {
        let answer = ProbeAnswer::new(in_flight, millis * MS);
        self.balancer.probe_answered(now, &self.node(node), answer);
    }

    fn lease(&mut self, now: Time) -> Lease {
        self.balancer.pick(now, &Context::new(), &mut self.rng).unwrap()
    }

    fn pick(&mut self, now: Time) -> usize {
        index(&self.lease(now))
    }

    fn picks(&mut self, now: Time, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.pick(now)).collect()
    }

    fn asked(&mut self, now: Time) -> Vec<Arc<Node>> {
        let mut out = Vec::new();
        self.balancer.probes_for_pick(now, &mut self.rng, &mut out);
        out
    }

    fn asked_when_idle(&mut self, now: Time) -> usize {
        let mut out = Vec::new();
        self.balancer.idle_probes(now, &mut self.rng, &mut out);
        out.len()
    }
}

fn index(lease: &Lease) -> usize {
    lease.id().as_str().parse().unwrap()
}

fn config() -> PrequalConfig {
    PrequalConfig::default()
}

/// Answers stay until they age: 15 uses, no removals.
fn lasting() -> PrequalConfig {
    config().with_removals_per_pick(0.0).with_probes_per_pick(0.05)
}

/// Whether `picks` look drawn from all of `n` alike, at a false alarm in a million.
fn uniform(picks: &[usize], n: usize) -> bool {
    let mut counts = vec![0.0; n];
    for pick in picks {
        counts[*pick] += 1.0;
    }
    let expected = picks.len() as f64 / n as f64;
    let chi: f64 = counts.iter().map(|c: &f64| (c - expected).powi(2) / expected).sum();
    // Wilson and Hilferty's approximation of the chi-squared quantile.
    let freedom = (n - 1) as f64;
    let term = 2.0 / (9.0 * freedom);
    chi < freedom * (1.0 - term + 4.75 * term.sqrt()).powi(3)
}

#[test]
fn the_fastest_of_the_cold() {
    let mut fleet = Fleet::new(100, config());
    // Theta is 4: of the four smaller ones, the fastest is 7.
    for (node, in_flight, millis) in [(3, 9, 1), (5, 1, 40), (7, 3, 20), (9, 4, 30), (11, 2, 50)] {
        fleet.answer(START, node, in_flight, millis);
    }
    assert_eq!(fleet.pick(START), 7);
}

#[test]
fn the_least_of_the_hot() {
    let mut fleet = Fleet::new(100, config().with_rif_quantile(0.2));
    for node in 0..60 {
        fleet.answer(START, node, 1, 10);
    }
    // These push the earlier ones out of the pool, but not out of what is known.
    for node in 60..76 {
        fleet.answer(START, node, 90 - node as u32, 1);
    }
    assert_eq!(fleet.pick(START), 75);
}

/// The trap of the ends: at 0 nothing but requests in flight, at 1 nothing but latency.
#[test]
fn quantiles_at_the_ends() {
    for (quantile, wanted) in [(0.0, 0), (1.0, 1)] {
        let mut fleet = Fleet::new(100, config().with_rif_quantile(quantile));
        fleet.answer(START, 0, 3, 900);
        fleet.answer(START, 1, 1000, 1);
        assert_eq!(fleet.pick(START), wanted, "{quantile}");
        // Alike in what decides: the other number does.
        let mut fleet = Fleet::new(100, config().with_rif_quantile(quantile));
        fleet.answer(START, 0, 3, 9);
        fleet.answer(START, 1, 3, if quantile == 0.0 { 8 } else { 9 });
        fleet.answer(START, 2, if quantile == 0.0 { 4 } else { 2 }, 9);
        assert_eq!(fleet.pick(START), if quantile == 0.0 { 1 } else { 2 }, "{quantile}");
    }
}

/// The trap of the strict comparison: 0.999 is not 1.
#[test]
fn just_short_of_one_spares_the_fullest() {
    let mut fleet = Fleet::new(100, config().with_rif_quantile(0.999));
    for node in 0..10 {
        fleet.answer(START, node, if node == 4 { 50 } else { 2 }, if node == 4 { 1 } else { 20 });
    }
    assert_ne!(fleet.pick(START), 4);
}

#[test]
fn each_use_counts_one_more_in_flight() {
    let mut fleet = Fleet::new(100, lasting().with_rif_quantile(0.0));
    fleet.answer(START, 0, 2, 10);
    fleet.answer(START, 1, 4, 10);
    assert_eq!(fleet.picks(START, 2), [0, 0]);
    // Four in flight on both by now: they take turns.
    let mut counts = [0; 2];
    for pick in fleet.picks(START, 8) {
        counts[pick] += 1;
        assert!(counts[0] + 1 >= counts[1] && counts[1] + 1 >= counts[0], "{counts:?}");
    }
}

/// Cancelled requests have nothing to give back: the next answer says what is true.
#[test]
fn a_cancelled_request_leaks_nothing() {
    let mut fleet = Fleet::new(100, lasting().with_rif_quantile(0.0));
    fleet.answer(START, 1, 7, 10);
    for round in 0..3 {
        let now = START + round * MS;
        fleet.answer(now, 0, 0, 10);
        fleet.answer(now, 1, 7, 10);
        for _ in 0..7 {
            let lease = fleet.lease(now);
            assert_eq!(index(&lease), 0, "round {round}");
            if round % 2 == 0 { drop(lease) } else { lease.cancel(now) }
        }
    }
    assert_eq!(fleet.node(0).in_flight(), 0);
}

/// 100 endpoints: 1.32 uses by default, and no more than the limit however many picks there are.
#[test]
fn an_answer_is_used_as_often_as_the_formula_says() {
    let mut fleet = Fleet::new(100, config().with_rif_quantile(1.0).with_removals_per_pick(0.0));
    // (1 + 1) / (0.84 x 3) = 0.79, at least 1: once. And with fewer probes, 2 / (0.84 x 0.9) = 2.65.
    let often = config().with_rif_quantile(1.0).with_removals_per_pick(0.0);
    let mut lasting = Fleet::new(100, often.with_probes_per_pick(0.9));
    let mut uses = [0; 2];
    let rounds = 4000;
    for round in 0..rounds {
        let now = START + round * 2 * Duration::from_secs(1);
        for (which, fleet) in [&mut fleet, &mut lasting].into_iter().enumerate() {
            fleet.answer(now, 0, 1, 1);
            fleet.answer(now, 1, 1, 50);
            fleet.answer(now, 2, 1, 50);
            uses[which] += fleet.picks(now, 5).into_iter().take_while(|pick| *pick == 0).count();
        }
    }
    assert_eq!(uses[0], rounds as usize);
    // The standard deviation of the mean is 0.0075.
    let mean = uses[1] as f64 / f64::from(rounds);
    assert!((mean - 2.0 / (0.84 * 0.9)).abs() < 0.04, "{mean}");
}

/// Four answers, the oldest the fastest. Of the three picks the first removes the oldest, which is the
/// one it used, the second the worst, the third the oldest of the two that are left.
#[test]
fn the_oldest_and_the_worst_are_removed_in_turn() {
    let often = config().with_rif_quantile(1.0).with_reuse_delta(16.0);
    let mut left = Vec::new();
    for seed in 0..2000 {
        let mut fleet = Fleet::new(100, often);
        fleet.rng = Rng::seeded(seed);
        for (node, millis) in [(0, 10), (1, 20), (2, 30), (3, 40)] {
            fleet.answer(START + node as u32 * MS, node, 1, millis);
        }
        assert_eq!(fleet.picks(START + 4 * MS, 3), [0, 1, 1]);
        left.push(fleet.pick(START + 4 * MS));
    }
    assert!(uniform(&left, 100), "one answer is left, so all endpoints are drawn from");
}

/// The worst is the hottest if any is hot, not the slowest.
#[test]
fn the_hottest_goes_before_the_slowest() {
    let often = config().with_rif_quantile(0.5).with_reuse_delta(16.0);
    let mut fleet = Fleet::new(100, often);
    for (node, in_flight, millis) in [(0, 1, 10), (1, 1, 20), (2, 1, 900), (3, 7, 1)] {
        fleet.answer(START + node as u32 * MS, node, in_flight, millis);
    }
    // The first removes 0, the second 3.
    assert_eq!(fleet.picks(START + 4 * MS, 2), [0, 1]);
    // Would 3 have stayed and 2 gone, 1 would have nobody beside it that is cold.
    fleet.answer(START + 5 * MS, 1, 9, 20);
    assert_eq!(fleet.pick(START + 5 * MS), 2);
}

#[test]
fn with_fewer_than_two_answers_anybody() {
    let mut fleet = Fleet::new(50, lasting());
    fleet.answer(START, 7, 0, 1);
    assert!(uniform(&fleet.picks(START, 20_000), 50));
}

#[test]
fn answers_age() {
    let mut fleet = Fleet::new(50, lasting());
    fleet.answer(START, 0, 0, 1);
    fleet.answer(START + 500 * MS, 1, 0, 5);
    fleet.answer(START + 500 * MS, 2, 0, 9);
    assert_eq!(fleet.pick(START + 1000 * MS), 0, "just fresh");
    assert_eq!(fleet.pick(START + 1001 * MS), 1, "just not");
    // Times wrap in the word that an answer is kept in; nothing old comes to life by that.
    for millis in (1600..60_000).step_by(97) {
        let now = START + millis * MS;
        fleet.answer(now, 3, 9, 900);
        fleet.answer(now, 4, 9, 901);
        assert_eq!(fleet.pick(now), 3, "{millis} ms");
    }
}

/// The pool holds 16: the oldest answer gives way.
#[test]
fn a_full_pool_drops_the_oldest() {
    let mut fleet = Fleet::new(100, lasting().with_rif_quantile(1.0));
    for node in 0..17 {
        fleet.answer(START + node as u32 * MS, node, 1, 10 + node as u32);
    }
    assert_eq!(fleet.pick(START + 17 * MS), 1);
    // An endpoint's new answer takes the place of its old one, and nobody else's.
    fleet.answer(START + 18 * MS, 16, 1, 5);
    assert_eq!(fleet.pick(START + 18 * MS), 16);
    fleet.answer(START + 19 * MS, 16, 1, 500);
    assert_eq!(fleet.pick(START + 19 * MS), 1);
}

#[test]
fn tried_endpoints_are_passed_over() {
    let mut fleet = Fleet::new(100, lasting());
    for (node, millis) in [(0, 1), (1, 2), (2, 3)] {
        fleet.answer(START, node, 1, millis);
    }
    let tried: [EndpointId; 1] = ["0".into()];
    let context = Context::new().with_tried(&tried);
    let lease = fleet.balancer.pick(START, &context, &mut fleet.rng).unwrap();
    assert_eq!(index(&lease), 1);
    assert_eq!(fleet.pick(START), 0, "it was only passed over");
}

#[test]
fn what_is_down_is_neither_picked_nor_asked() {
    let mut fleet = Fleet::new(20, lasting());
    for node in 0..10 {
        fleet.answer(START, node, 1, 1 + node as u32);
    }
    fleet.node(0).connect_failed(START);
    assert_eq!(fleet.pick(START), 1);
    for _ in 0..200 {
        assert!(fleet.asked(START).iter().all(|node| node.is_up(START)));
    }
    for node in 1..20 {
        fleet.node(node).connect_failed(START);
    }
    assert_eq!(fleet.asked(START).len(), 0, "lasting asks one in twenty times");
    let mut asked = Fleet::new(20, config());
    asked.node(3).connect_failed(START);
    let mut seen = BTreeMap::new();
    for _ in 0..2000 {
        for node in asked.asked(START) {
            *seen.entry(node.id().to_string()).or_insert(0) += 1;
        }
    }
    assert!(seen.len() == 19 && !seen.contains_key("3"), "{seen:?}");
    (0..20).for_each(|node| asked.node(node).connect_failed(START));
    assert_eq!(asked.asked(START).len(), 3, "with all down, all are asked");
}

#[test]
fn a_failed_probe_takes_the_answer_away() {
    let mut fleet = Fleet::new(20, lasting());
    for (node, millis) in [(0, 1), (1, 2), (2, 3)] {
        fleet.answer(START, node, 1, millis);
    }
    fleet.balancer.probe_failed(START, &fleet.node(0));
    assert_eq!(fleet.pick(START), 1);
}

/// Invariant 2: answers belong to endpoints, not to places in a snapshot.
#[test]
fn answers_outlive_snapshots() {
    let mut fleet = Fleet::new(40, lasting().with_rif_quantile(1.0));
    for (node, millis) in [(10, 1), (20, 2), (30, 3), (35, 4)] {
        fleet.answer(START, node, 1, millis);
    }
    let (gone, old) = (fleet.node(10), fleet.balancer.fleet().snapshot());
    fleet.balancer.fleet().remove(&"10".into()).unwrap();
    assert_eq!(fleet.pick(START), 20, "the places of all after 10 have moved");
    fleet.balancer.probe_answered(START, &gone, ProbeAnswer::new(0, Duration::ZERO));
    assert_eq!(fleet.pick(START), 20, "what has left is not listened to");
    // A smaller fleet has a smaller pool; an old snapshot in somebody's hand takes no part in it.
    let rest = [20, 30, 35, 36].map(|node: usize| Endpoint::new(node.to_string()));
    fleet.balancer.fleet().replace(rest.to_vec()).unwrap();
    fleet.answer(START + MS, 35, 1, 1);
    fleet.answer(START + MS, 36, 1, 7);
    let picks = fleet.picks(START + MS, 1);
    assert_eq!(picks, [35]);
    drop(old);
    // Drained and back again, ten seconds later, with the same node: its answer is not.
    let node = fleet.node(36);
    fleet.balancer.fleet().drain(&"36".into()).unwrap();
    fleet.balancer.fleet().add(Endpoint::new("36"));
    assert!(Arc::ptr_eq(&node, &fleet.node(36)));
    for later in [2, 4, 6, 8, 10] {
        let now = START + later * Duration::from_secs(1);
        fleet.answer(now, 20, 1, 10);
        fleet.answer(now, 30, 1, 20);
        assert_eq!(fleet.pick(now), 20, "{later} s");
    }
}

/// Nor do its answers say where hot begins.
#[test]
fn what_has_left_moves_no_quantile() {
    let mut fleet = Fleet::new(100, config());
    let gone = fleet.node(9);
    fleet.balancer.fleet().remove(&"9".into()).unwrap();
    for _ in 0..60 {
        fleet.balancer.probe_answered(START, &gone, ProbeAnswer::new(1000, MS));
    }
    fleet.answer(START, 0, 5, 1);
    fleet.answer(START, 1, 1, 50);
    assert_eq!(fleet.pick(START), 1, "five are hot");
}

#[test]
fn an_endpoint_that_moved_starts_anew() {
    let mut fleet = Fleet::new(8, lasting());
    for (node, millis) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        fleet.answer(START, node, 1, millis);
    }
    fleet.balancer.fleet().add(Endpoint::new("elsewhere").with_id("0"));
    assert_eq!(fleet.pick(START), 1);
}

/// Where nobody answers, what the client knows itself decides, not chance.
#[test]
fn without_probes_its_own_latency_and_requests_decide() {
    let mut fleet = Fleet::new(20, config());
    let mut now = START;
    let mut slow = 0;
    for request in 0..4000 {
        now += MS;
        let lease = fleet.lease(now);
        let takes = if index(&lease) < 10 { 100 } else { 10 };
        slow += usize::from(request >= 400 && takes == 100);
        lease.finish(now + takes * MS, Outcome::success());
    }
    // Chance would send 1800; two of ten slow ones are drawn in 9 of 38 picks.
    assert!((600..1000).contains(&slow), "{slow}");
}

#[test]
fn as_many_probes_as_configured() {
    for (probes, n, least, most) in
        [(3.0, 100, 3.0, 3.0), (0.5, 100, 0.45, 0.55), (5.0, 3, 3.0, 3.0), (0.0, 9, 0.0, 0.0)]
    {
        let mut fleet = Fleet::new(n, config().with_probes_per_pick(probes));
        let mut places = Vec::new();
        for _ in 0..4000 {
            let asked = fleet.asked(START);
            let mut distinct: Vec<_> = asked.iter().map(|node| node.id().clone()).collect();
            places.extend(distinct.first().map(|id| id.as_str().parse::<usize>().unwrap()));
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), asked.len());
        }
        let mut total = 0;
        for _ in 0..4000 {
            total += fleet.asked(START).len();
        }
        let mean = f64::from(total as u32) / 4000.0;
        assert!((least..=most).contains(&mean), "{probes} of {n}: {mean}");
        assert!(probes == 0.0 || uniform(&places, n), "{probes} of {n}: the order favours some");
    }
    for n in [1, 2] {
        let mut fleet = Fleet::new(n, config());
        assert_eq!(
            fleet.asked(START).len(),
            if n == 1 { 0 } else { 2 },
            "{n}: no choice, no probe"
        );
    }
}

#[test]
fn idle_clients_ask_now_and_then() {
    let mut fleet = Fleet::new(30, config());
    assert_eq!(fleet.balancer.probe_interval(), Some(500 * MS));
    assert_eq!(fleet.asked_when_idle(START), 3, "nobody has been asked yet");
    assert_eq!(fleet.asked_when_idle(START + 499 * MS), 0);
    assert_eq!(fleet.asked_when_idle(START + 500 * MS), 3);
    assert_eq!(fleet.asked(START + 900 * MS).len(), 3);
    assert_eq!(fleet.asked_when_idle(START + 1000 * MS), 0, "a pick asked");
    assert_eq!(fleet.asked_when_idle(START + 1400 * MS), 3);
    let other = Balancer::builder().endpoints([Endpoint::new("a")]).build().unwrap();
    assert_eq!(other.probe_interval(), None);
}

/// Behind a fail-safe it probes as it does alone.
#[test]
fn a_fail_safe_hands_probes_through() {
    let inner = Prequal::default();
    let policy = FailSafe::new(inner, PeakEwma::default(), FailSafeConfig::default());
    let endpoints = (0..100).map(|i| Endpoint::new(i.to_string()));
    let balancer = Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap();
    let mut fleet = Fleet { balancer, rng: Rng::seeded(1) };
    assert_eq!(fleet.asked(START).len(), 3);
    for (node, millis) in [(0, 3), (1, 1), (2, 2)] {
        fleet.answer(START, node, 1, millis);
    }
    assert_eq!(fleet.pick(START), 1);
}

/// A failure takes the answer away at once, and the next one is charged with it.
#[test]
fn a_failure_is_held_against_the_servers_word() {
    let mut fleet = Fleet::new(100, config().with_rif_quantile(1.0));
    let answers = |fleet: &Fleet, now| {
        for (node, millis) in [(0, 1), (1, 20), (2, 30)] {
            fleet.answer(now, node, 1, millis);
        }
    };
    answers(&fleet, START);
    let lease = fleet.lease(START);
    assert_eq!(index(&lease), 0);
    answers(&fleet, START);
    lease.finish(START + MS, Outcome::failure(Failure::Status));
    assert_eq!(fleet.pick(START + MS), 1, "the answer is gone");
    answers(&fleet, START + 2 * MS);
    assert_eq!(fleet.pick(START + 2 * MS), 1, "the next one is charged");
    // Nothing is for ever: its failure fades.
    let later = START + Duration::from_secs(240);
    answers(&fleet, later);
    assert_eq!(fleet.pick(later), 0);
}

/// An idle server that says it is slow, as it was when it was last used, is tried after a while; one that
/// has requests in flight knows what it says.
#[test]
fn no_server_is_left_alone_for_ever() {
    for (in_flight, wanted) in [(0, true), (1, false)] {
        let mut fleet = Fleet::new(100, config().with_rif_quantile(1.0));
        let mut tried = None;
        for second in 0..120 {
            let now = Time::ZERO + second * Duration::from_secs(1);
            fleet.answer(now, 0, 0, 10);
            fleet.answer(now, 1, in_flight, 100);
            let lease = fleet.lease(now);
            if index(&lease) == 1 {
                tried.get_or_insert(second);
            }
            lease.finish(now + 10 * MS, Outcome::success());
        }
        assert_eq!(tried.is_some(), wanted, "{in_flight} in flight: {tried:?}");
        // 30 s and ten times the logarithm of ten.
        assert!(tried.is_none_or(|second| (53..56).contains(&second)), "{tried:?}");
    }
}

#[test]
fn settings_outside_their_range() {
    let cases: [(PrequalConfig, &str); 8] = [
        (config().with_probes_per_pick(-1.0), "probes_per_pick = -1 must lie in [0, 16]"),
        (config().with_probes_per_pick(f64::NAN), "probes_per_pick = NaN must lie in [0, 16]"),
        (config().with_removals_per_pick(17.0), "removals_per_pick = 17 must lie in [0, 16]"),
        (config().with_pool_size(1), "pool_size = 1 must lie in [2, 64]"),
        (config().with_max_age(Duration::ZERO), "max_age = 0 must lie in [0.001, 600] s"),
        (config().with_rif_quantile(1.01), "rif_quantile = 1.01 must lie in [0, 1]"),
        (config().with_reuse_delta(f64::INFINITY), "reuse_delta = inf must lie in [0, 16]"),
        (
            config().with_idle_after(1000 * 1000 * MS),
            "idle_after = 1000 must lie in [0.001, 600] s",
        ),
    ];
    for (config, words) in cases {
        assert_eq!(Prequal::new(config).map(drop).unwrap_err().to_string(), words);
    }
    for age in [MS, Duration::from_secs(600)] {
        let mut fleet = Fleet::new(20, config().with_max_age(age).with_removals_per_pick(0.0));
        fleet.answer(START, 0, 1, 5);
        fleet.answer(START, 1, 1, 4);
        assert_eq!(fleet.pick(START + age), 1, "{age:?}");
    }
}

/// Ejection and Prequal together: an endpoint that comes back is picked again.
#[test]
fn what_comes_back_is_picked_again() {
    let health = HealthConfig::default();
    let balancer = Balancer::builder()
        .policy(Prequal::default())
        .health(health)
        .endpoints((0..4).map(|i| Endpoint::new(i.to_string())))
        .build()
        .unwrap();
    let mut fleet = Fleet { balancer, rng: Rng::seeded(3) };
    let (mut now, mut after) = (START, 0);
    let recovered = START + Duration::from_secs(20);
    while now < START + Duration::from_secs(200) {
        now += 10 * MS;
        for node in fleet.asked(now) {
            let answer = ProbeAnswer::new(node.in_flight(), 10 * MS);
            fleet.balancer.probe_answered(now, &node, answer);
        }
        let lease = fleet.lease(now);
        let failing = index(&lease) == 2 && now < recovered;
        after += usize::from(index(&lease) == 2 && now >= recovered);
        let failure = Outcome::failure(Failure::Status);
        lease.finish(now + MS, if failing { failure } else { Outcome::success() });
    }
    assert!(after > 1000, "{after} of 18000");
}

/// Two threads pick while a third changes the fleet and answers for endpoints that come and go: every pick
/// is of the fleet, and all ends with nothing in flight.
#[test]
fn picks_beside_answers_and_changes() {
    let fleet = |n: usize| (0..n).map(|i| Endpoint::new(i.to_string())).collect::<Vec<_>>();
    let balancer =
        Balancer::builder().policy(Prequal::default()).endpoints(fleet(30)).build().unwrap();
    let all = balancer.fleet().snapshot().nodes().to_vec();
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut rng = Rng::seeded(seed);
                for round in 0..20_000_u32 {
                    let now = START + round / 20 * MS;
                    let lease = balancer.pick(now, &Context::new(), &mut rng).unwrap();
                    assert!(index(&lease) < 30);
                    lease.finish(now, Outcome::success());
                }
            });
        }
        let (balancer, all) = (&balancer, &all);
        scope.spawn(move || {
            for round in 0..1000_u32 {
                let now = START + round * MS;
                for node in all {
                    balancer.probe_answered(now, node, ProbeAnswer::new(round % 5, MS));
                }
                if round % 10 == 0 {
                    balancer.fleet().replace(fleet(20 + round as usize / 10 % 11)).unwrap();
                }
            }
        });
    });
    assert!(all.iter().all(|node| node.in_flight() == 0));
}
