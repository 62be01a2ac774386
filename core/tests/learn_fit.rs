//! What the fit makes of logs: confounded ones, censored ones, unlabelled ones, and its advice.

#![cfg(feature = "train")]

mod learn_support;

use learn_support::{World, train};
use proptest::prelude::*;
use trimtab_core::{
    learn::{
        feature_hash,
        train::{Basis, Config, End, Fit, Observation, Raw, Sample, Stats, TrainError, gain},
    },
    policy::{Policy, WeightedRoundRobin},
};

/// Ten endpoints of a faster and ten of a slower type, and a logging policy that sends the faster type
/// so much that its queues make it look slower.
fn confounded() -> World {
    World {
        kinds: (0..20).map(|server| server % 2).collect(),
        weights: [19.0, 1.0],
        classes: vec![("only", [10.0, 25.0], 1.0)],
        clients: 20,
        explore: 0.0,
        ..World::crossed()
    }
}

fn confounded_fit(report: bool) -> (f64, f64, Fit) {
    let world = World { report, ..confounded() };
    let turns = std::cell::Cell::new(0);
    let balancers = world.balancers(|| {
        turns.set(turns.get() + 37);
        Box::new(WeightedRoundRobin::starting_at(turns.get())) as Box<dyn Policy>
    });
    let run = world.run(&balancers, 980.0, 8.0, 5);
    let plain = |archetype: &str| {
        let here = run.rows.iter().filter(|row| row.archetype.as_deref() == Some(archetype));
        let latencies: Vec<f64> = here.filter_map(|row| row.latency_ms).collect();
        latencies.iter().sum::<f64>() / latencies.len() as f64
    };
    (plain("archetype=x"), plain("archetype=y"), train(&run.json_lines(), &Config::default()))
}

fn service(fit: &Fit, class: &str, archetype: &str) -> f64 {
    let cells = fit.report.cells.iter();
    let mut here = cells.filter(|cell| cell.class == class && cell.archetype == archetype);
    here.next().unwrap().service_ms.unwrap()
}

/// DESIGN's trap: a plain mean of latency learns that the faster type is the slower one.
#[test]
fn a_confounded_log_does_not_turn_fast_into_slow() {
    for report in [true, false] {
        let (plain_x, plain_y, fit) = confounded_fit(report);
        assert!(plain_x > plain_y, "the log is not confounded: {plain_x:.1} and {plain_y:.1}");
        let x = service(&fit, "only", "archetype=x");
        let y = service(&fit, "only", "archetype=y");
        println!("reported {report}: plain {plain_x:.1}, {plain_y:.1}; fitted {x:.1}, {y:.1} ms");
        assert!(x < 0.7 * y, "fitted {x:.1} and {y:.1}, true 10 and 25");
        let basis = if report { Basis::Server } else { Basis::Latency };
        assert_eq!(fit.report.classes[0].basis, basis);
    }
}

/// Within four standard errors: a false alarm in 16,000, on a fixed seed.
#[test]
fn reported_server_times_are_learned() {
    let (_, _, fit) = confounded_fit(true);
    for (cell, truth) in fit.report.cells.iter().zip([10.0, 25.0]) {
        let error = cell.service_ms.unwrap() / truth - 1.0;
        let expected = 0.3 / (cell.server_reported as f64).sqrt();
        assert!(error.abs() < 4.0 * expected, "{}: {error} of {expected}", cell.archetype);
    }
}

/// One class at one endpoint, `n` rows.
struct Put<'a> {
    class: &'a str,
    endpoint: &'a str,
    archetype: Option<&'a str>,
    status: &'a str,
    latency: f64,
    server: Option<f64>,
    in_flight: i64,
    n: usize,
}

const PUT: Put<'_> = Put {
    class: "a",
    endpoint: "e",
    archetype: Some("archetype=x"),
    status: "ok",
    latency: 10.0,
    server: None,
    in_flight: 0,
    n: 100,
};

fn stats(puts: &[Put<'_>]) -> Stats {
    let mut stats = Stats::new();
    for put in puts {
        let raw = Raw {
            latency_ms: Some(put.latency),
            server_ms: put.server,
            in_flight: Some(put.in_flight),
            ..Raw::default()
        };
        let sample = Sample::new(End::from_columns(put.status, false).unwrap(), &raw).unwrap();
        for _ in 0..put.n {
            let Put { class, endpoint: chosen, archetype, .. } = *put;
            stats.observe(&Observation { class, chosen, archetype, sample }).unwrap();
        }
    }
    stats
}

fn fit(puts: &[Put<'_>]) -> Fit {
    stats(puts).finalize(&Config::default()).unwrap()
}

/// An endpoint that times out three times of four is not as quick as its answers.
#[test]
fn timeouts_count_as_lower_bounds() {
    let timeouts = Put { status: "timeout", latency: 1000.0, n: 300, ..PUT };
    for server in [None, Some(10.0)] {
        let put = Put { server, ..PUT };
        let quick = service(&fit(&[put]), "a", "archetype=x");
        let put = Put { server, ..PUT };
        let with_timeouts = fit(&[put, Put { ..timeouts }]);
        let slow = service(&with_timeouts, "a", "archetype=x");
        let cell = &with_timeouts.report.cells[0];
        assert_eq!((cell.rows, cell.answered, cell.censored), (400, 100, 300));
        match server {
            // Three quarters at 1,000 ms or more.
            Some(_) => assert!((slow / 752.5 - 1.0).abs() < 0.01, "{slow}"),
            // The lowest tenth was answered.
            None => assert!((slow / quick - 1.0).abs() < 0.01, "{slow}"),
        }
        assert!(!with_timeouts.report.advice.enable);
    }
    let never_answers = service(&fit(&[timeouts]), "a", "archetype=x");
    assert!((never_answers / 1000.0 - 1.0).abs() < 0.01, "{never_answers}");
}

/// A fast failure is not a fast answer.
#[test]
fn failures_are_counted_apart() {
    let fit = fit(&[PUT, Put { status: "status", latency: 0.1, n: 1000, ..PUT }]);
    let cell = &fit.report.cells[0];
    assert_eq!((cell.rows, cell.answered, cell.failed), (1100, 100, 1000));
    assert!((cell.service_ms.unwrap() / 10.0 - 1.0).abs() < 0.01);
}

/// Each request ahead of it costs a request 8 ms where one costs 10 ms: a slope near 0.8.
#[test]
fn the_slope_is_the_wait_for_each_unit_of_work_ahead() {
    let ahead = |k: i64| Put { latency: 10.0 + 8.0 * k as f64, in_flight: k, ..PUT };
    let slope = |puts: &[Put<'_>]| fit(puts).report.cells[0].slope.unwrap();
    let found = slope(&[ahead(0), ahead(1), ahead(2), ahead(5)]);
    assert!((found - 0.8).abs() < 0.02, "{found}");
    // Pessimistic: never below the floor, never above 1, and 1 where nothing is known.
    let quicker = |k: i64| Put { latency: 20.0 - k as f64, in_flight: k, ..PUT };
    assert_eq!(slope(&[quicker(0), quicker(1), quicker(5)]), 0.05);
    let jammed = |k: i64| Put { latency: 10.0 + 90.0 * k as f64, in_flight: k, ..PUT };
    assert_eq!(slope(&[jammed(0), jammed(1), jammed(5)]), 1.0);
    assert_eq!(slope(&[PUT]), 1.0);
}

#[test]
fn a_cell_with_too_few_rows_is_unsupported() {
    let y = Some("archetype=y");
    let few = Put { archetype: y, endpoint: "f", n: 29, ..PUT };
    let sparse = fit(&[PUT, few]);
    assert_eq!(sparse.model.cell(0, 1), None);
    assert!(sparse.report.coverage < 0.8 && sparse.report.comparable == 0.0);
    assert!(!sparse.report.advice.enable);
    let enough = Put { archetype: y, endpoint: "f", n: 30, ..PUT };
    assert_eq!(fit(&[PUT, enough]).model.cell(0, 1).unwrap().rows(), 30);
    let error = stats(&[Put { n: 7, ..PUT }]).finalize(&Config::default()).unwrap_err();
    assert_eq!(error, TrainError::NoSupport { needed: 30, fullest: 7 });
}

/// A row stands for as many attempts as its weight says: a log that samples one in ten of class b.
#[test]
fn weights_count_in_the_shares_of_the_traffic() {
    let mut stats = stats(&[PUT]);
    let raw = Raw { latency_ms: Some(10.0), sample_weight: Some(10.0), ..Raw::default() };
    let sample = Sample::new(End::Ok, &raw).unwrap();
    for _ in 0..30 {
        let (class, chosen, archetype) = ("b", "e", Some("archetype=x"));
        stats.observe(&Observation { class, chosen, archetype, sample }).unwrap();
    }
    let report = stats.finalize(&Config::default()).unwrap().report;
    let shares: Vec<f64> = report.classes.iter().map(|class| class.share).collect();
    assert_eq!(shares, [0.25, 0.75]);
}

/// One class never mixes two measures: x reports server times, y does not, so both go by latency.
#[test]
fn a_class_is_priced_on_one_basis() {
    let x = Put { server: Some(2.0), ..PUT };
    let y = Put { archetype: Some("archetype=y"), endpoint: "f", ..PUT };
    let fit = fit(&[x, y]);
    assert_eq!(fit.report.classes[0].basis, Basis::Latency);
    let (x, y) = (service(&fit, "a", "archetype=x"), service(&fit, "a", "archetype=y"));
    assert_eq!(x, y);
}

#[test]
fn endpoints_without_labels_are_clustered_by_what_they_cost() {
    let put = |endpoint, class, latency| Put { endpoint, class, latency, archetype: None, ..PUT };
    let fit = fit(&[
        put("d", "a", 10.0),
        put("d", "b", 40.0),
        put("b", "a", 11.0),
        put("b", "b", 42.0),
        put("c", "a", 40.0),
        put("c", "b", 10.0),
        put("a", "a", 41.0),
        put("a", "b", 10.5),
        Put { n: 3, ..put("e", "a", 10.0) },
    ]);
    let members = |index: usize| fit.report.archetypes[index].members.clone();
    assert_eq!(fit.report.archetypes.len(), 2);
    assert_eq!(
        (members(0), members(1)),
        (vec!["a".into(), "c".into()], vec!["b".into(), "d".into()])
    );
    assert_eq!(fit.report.left_out, ["e"]);
    assert!(fit.report.gain.unwrap().ratio > 2.0);
}

#[test]
fn labels_must_be_the_balancers_own() {
    let labelled = Put { archetype: Some("gpu=h100,tier=a,b"), ..PUT };
    let stats = stats(&[labelled]);
    let found = stats.finalize(&Config::default()).unwrap();
    assert_eq!(found.report.archetype_labels, ["gpu", "tier"]);
    assert_eq!(found.model.feature_hash(), feature_hash(&["gpu".into(), "tier".into()]));
    let asked = Config::default().with_archetype_labels(["zone"]);
    let error = stats.finalize(&asked).unwrap_err();
    assert!(matches!(error, TrainError::Labels { .. }), "{error}");
}

#[test]
fn alike_endpoints_are_advised_against() {
    let y = Put { archetype: Some("archetype=y"), endpoint: "f", ..PUT };
    let fit = fit(&[PUT, y]);
    assert!((fit.report.gain.as_ref().unwrap().ratio - 1.0).abs() < 1e-6);
    assert!(!fit.report.advice.enable);
    assert!(fit.report.advice.reasons[0].contains("1.000 times"), "{:?}", fit.report.advice);
}

#[test]
fn settings_out_of_range_are_refused() {
    let stats = stats(&[PUT]);
    let refused = [
        Config::default().with_min_rows(0),
        Config::default().with_tolerance(-1.0),
        Config::default().with_tolerance(f64::NAN),
    ];
    for config in refused {
        let error = stats.finalize(&config).unwrap_err();
        assert!(matches!(error, TrainError::Setting { .. }), "{error}");
    }
}

/// The example of the design: crossed costs of 10 and 40 ms carry 2.5 times the load.
#[test]
fn the_gain_of_crossed_costs_is_known() {
    let found = gain(&[vec![10.0, 40.0], vec![40.0, 10.0]], &[1.0, 1.0], &[5.0, 5.0]).unwrap();
    assert!((found.ratio - 2.5).abs() < 1e-6, "{found:?}");
    assert!(found.shares[0][0] > 0.999 && found.shares[1][1] > 0.999, "{found:?}");
    assert_eq!(gain(&[vec![10.0, f64::NAN]], &[1.0], &[1.0, 1.0]), None);
    assert_eq!(gain(&[], &[], &[1.0]), None);
    assert_eq!(gain(&[vec![1.0]], &[1.0, 2.0], &[1.0]), None);
}

proptest! {
    /// The linear program against brute force over a grid, two classes by two archetypes.
    #[test]
    fn the_gain_is_that_of_brute_force(
        costs in prop::array::uniform4(1.0_f64..100.0),
        rates in prop::array::uniform2(0.1_f64..10.0),
        servers in prop::array::uniform2(1_u32..20),
    ) {
        const STEPS: usize = 200;
        let servers = servers.map(f64::from);
        let utilisation = |p: f64, q: f64| {
            let first = rates[0] * p * costs[0] + rates[1] * q * costs[2];
            let second = rates[0] * (1.0 - p) * costs[1] + rates[1] * (1.0 - q) * costs[3];
            (first / servers[0]).max(second / servers[1])
        };
        let share = |step: usize| step as f64 / STEPS as f64;
        let pairs = (0..=STEPS).flat_map(|p| (0..=STEPS).map(move |q| (p, q)));
        let best = pairs.map(|(p, q)| utilisation(share(p), share(q))).fold(f64::MAX, f64::min);
        let blind = (0..=100 * STEPS)
            .map(|p| utilisation(p as f64 / (100 * STEPS) as f64, p as f64 / (100 * STEPS) as f64))
            .fold(f64::MAX, f64::min);
        let found = gain(&[costs[..2].to_vec(), costs[2..].to_vec()], &rates, &servers).unwrap();
        // The grid can only be worse than the optimum, and by no more than its step.
        prop_assert!(found.ratio >= blind / best - 2e-3, "{} < {}", found.ratio, blind / best);
        prop_assert!(found.ratio <= 1.05 * blind / best, "{} > {}", found.ratio, blind / best);
    }
}
