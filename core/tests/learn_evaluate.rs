//! Off-policy evaluation against what can be worked out by hand, and against the truth in simulation.

#![cfg(feature = "train")]

mod learn_support;

use std::sync::Arc;

use learn_support::{World, crossed_model, crossed_parts};
use trimtab_core::{
    learn::{
        Model, Parts,
        train::{Decision, End, Evaluation, Lines, RowError, Seen, TrainError, Verdict},
    },
    policy::{FailSafe, FailSafeConfig, PeakEwma, Policy, QTable, Random},
};

/// Two candidates, x with nothing in flight and y with one request; y was measured slower.
fn seen() -> [Seen<'static>; 2] {
    let x = Seen {
        endpoint: "s0",
        archetype: Some("archetype=x"),
        in_flight: 0.0,
        queue_delay_ms: 0.0,
        peak_ms: Some(10.0),
        weight: 1.0,
        eligible: true,
        propensity: Some(0.25),
    };
    let y = Seen {
        endpoint: "s1",
        archetype: Some("archetype=y"),
        in_flight: 1.0,
        peak_ms: Some(50.0),
        propensity: Some(0.75),
        ..x
    };
    [x, y]
}

fn decision<'a>(candidates: &'a [Seen<'a>], chosen: usize, latency: f64) -> Decision<'a> {
    Decision {
        class: Some("short"),
        chosen,
        eligible: Some(2),
        candidates,
        propensity: candidates[chosen].propensity,
        end: End::Ok,
        latency_ms: Some(latency),
        weight: 1.0,
    }
}

fn judge(model: Model, decisions: &[Decision<'_>]) -> Verdict {
    let mut evaluation = Evaluation::new(Arc::new(model));
    for decision in decisions {
        evaluation.add(decision).unwrap();
    }
    evaluation.verdict().unwrap()
}

/// For "short" the table takes x (10 ms against 40 + 25 ms): rows that went to y weigh nothing, rows
/// that went to x weigh 4. SNIPS is their mean, 12; the interval is 1.96 sqrt(2 x 16 x 4) / 8.
#[test]
fn a_case_worked_out_by_hand() {
    let seen = seen();
    let rows = [decision(&seen, 0, 10.0), decision(&seen, 0, 14.0), decision(&seen, 1, 90.0)];
    let verdict = judge(crossed_model(), &rows);
    assert!((verdict.snips_mean_ms.unwrap() - 12.0).abs() < 1e-9);
    assert!((verdict.logged_mean_ms.unwrap() - 38.0).abs() < 1e-9);
    let (low, high) = verdict.interval_ms.unwrap();
    let half = 1.96 * (2.0 * 16.0 * 4.0_f64).sqrt() / 8.0;
    assert!((low - (12.0 - half)).abs() < 1e-9 && (high - (12.0 + half)).abs() < 1e-9);
    assert!((verdict.effective_sample_size - 2.0).abs() < 1e-9);
    assert_eq!((verdict.coverage, verdict.decided_by_table), (1.0, 1.0));
    assert_eq!(verdict.overlap, Some(1.0));
}

/// With "short" unknown on y, a peak-EWMA pick of y would stand. Of two candidates peak-EWMA always
/// takes the better one, x, so y's rows weigh nothing and the target is x; with y the better one, it is
/// y.
#[test]
fn an_unsupported_cell_follows_the_baseline() {
    let mut parts = crossed_parts();
    parts.cells[3] = None;
    let model = || Model::new(Parts { ..parts.clone() }).unwrap();
    let mut seen = seen();
    let verdict = judge(model(), &[decision(&seen, 0, 10.0), decision(&seen, 1, 90.0)]);
    assert_eq!(verdict.snips_mean_ms, Some(10.0));
    assert_eq!((verdict.coverage, verdict.decided_by_table), (0.5, 0.0));
    seen[1].peak_ms = Some(1.0);
    let verdict = judge(model(), &[decision(&seen, 0, 10.0), decision(&seen, 1, 90.0)]);
    assert_eq!(verdict.snips_mean_ms, Some(90.0));
}

/// The baseline is weighted, so its evaluation is: of x at 10 ms and y at 50 ms x 2 in flight it takes
/// x, unless y carries eleven times as much.
#[test]
fn the_baseline_goes_by_weight() {
    let unknown = |seen: [Seen<'static>; 2]| {
        let row = |chosen| Decision {
            class: Some("odd"),
            ..decision(&seen, chosen, [10.0, 90.0][chosen])
        };
        judge(crossed_model(), &[row(0), row(1)]).snips_mean_ms
    };
    assert_eq!(unknown(seen()), Some(10.0));
    let [x, y] = seen();
    assert_eq!(unknown([x, Seen { weight: 9.0, ..y }]), Some(10.0));
    assert_eq!(unknown([x, Seen { weight: 11.0, ..y }]), Some(90.0));
    assert_eq!(unknown([Seen { weight: 0.05, ..x }, y]), Some(90.0));
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let seen = [x, Seen { weight, ..y }];
        let mut evaluation = Evaluation::new(Arc::new(crossed_model()));
        let error = evaluation.add(&decision(&seen, 0, 10.0)).unwrap_err();
        assert!(
            matches!(error, RowError::OutOfRange { column: "candidates.weight", .. }),
            "{error}"
        );
    }
}

/// From the log to the estimate: what a weighted balancer logs is weighed as it was, in lines and in
/// rows; a log without weights means 1.
#[test]
fn weights_come_from_the_log() {
    let world = World { weights: [1.0, 50.0], clients: 1, explore: 0.0, ..World::crossed() };
    let balancers = world.balancers(|| Box::new(PeakEwma::default()) as Box<dyn Policy>);
    let run = world.run(&balancers, 50.0, 1.0, 5);
    let told: Vec<f64> = run.rows[0].candidates.iter().map(|seen| seen.weight).collect();
    assert_eq!(told[..4], [1.0, 50.0, 1.0, 50.0]);
    let text = run.json_lines();
    assert!(text.contains("\"weight\":50.0") && !text.contains("\"weight\":1.0"));
    let row: trimtab_core::log::Row = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(row, run.rows[0]);

    let mean = |text: &str| {
        let mut parts = crossed_parts();
        parts.classes = vec!["other".into(), "yet another".into()];
        let mut evaluation = Evaluation::new(Arc::new(Model::new(parts).unwrap()));
        let mut lines = Lines::new("log.jsonl");
        lines.push(text.as_bytes(), |line| evaluation.add_json(line)).unwrap();
        lines.finish(|line| evaluation.add_json(line)).unwrap();
        evaluation.verdict().unwrap()
    };
    // Its own target: every row then counts for just what it was.
    let same = mean(&text);
    assert!((same.effective_sample_size - same.used as f64).abs() < 1e-6, "{same:?}");
    let unweighted = mean(&text.replace("\"weight\":50.0,", ""));
    assert!(unweighted.effective_sample_size < 0.9 * unweighted.used as f64, "{unweighted:?}");
}

#[test]
fn an_unknown_class_is_the_baselines() {
    let seen = seen();
    let unknown = |chosen| Decision { class: Some("odd"), ..decision(&seen, chosen, 10.0) };
    let verdict = judge(crossed_model(), &[unknown(0), unknown(1)]);
    assert_eq!((verdict.coverage, verdict.decided_by_table), (0.0, 0.0));
    assert!(verdict.warnings.iter().any(|w| w.contains("does not know")), "{verdict:?}");
}

#[test]
fn failures_and_lower_bounds_are_told_apart() {
    let seen = seen();
    let failed = Decision { end: End::Failed, ..decision(&seen, 0, 0.1) };
    let timeout = Decision { end: End::Censored, ..decision(&seen, 0, 30.0) };
    let verdict = judge(crossed_model(), &[decision(&seen, 0, 10.0), failed, timeout]);
    assert_eq!(verdict.snips_mean_ms, Some(20.0), "a fast failure is no latency");
    assert!((verdict.snips_failures.unwrap() - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(verdict.censored, 1);
}

#[test]
fn what_cannot_be_weighed_is_refused_and_counted() {
    let seen = seen();
    let mut evaluation = Evaluation::new(Arc::new(crossed_model()));
    let fine = decision(&seen, 0, 10.0);
    evaluation.add(&Decision { propensity: None, ..fine }).unwrap();
    evaluation.add(&Decision { eligible: Some(3), ..fine }).unwrap();
    for propensity in [0.0, -1.0, 1.5, f64::INFINITY] {
        let error = evaluation.add(&Decision { propensity: Some(propensity), ..fine }).unwrap_err();
        assert!(matches!(error, RowError::OutOfRange { column: "propensity", .. }), "{error}");
    }
    let error = evaluation.add(&Decision { chosen: 2, ..fine }).unwrap_err();
    assert!(matches!(error, RowError::NotACandidate { .. }), "{error}");
    let nothing = evaluation.verdict().unwrap_err();
    let counted = TrainError::NothingToJudge { rows: 7, wrong: 5, without_propensity: 1, cut: 1 };
    assert_eq!(nothing, counted);
}

/// At low load, where an action hardly changes the queues, the estimate from a random policy's log is
/// near what the table then measures.
#[test]
fn at_low_load_the_estimate_is_near_the_truth() {
    let world = World { explore: 0.0, ..World::crossed() };
    let logging = world.balancers(|| Box::new(Random::default()) as Box<dyn Policy>);
    let log = world.run(&logging, 20.0, 60.0, 7);
    let mut evaluation = Evaluation::new(Arc::new(crossed_model()));
    let mut lines = Lines::new("log.jsonl");
    lines.push(log.json_lines().as_bytes(), |line| evaluation.add_json(line)).unwrap();
    lines.finish(|line| evaluation.add_json(line)).unwrap();
    assert_eq!(lines.wrong(), 0, "{:?}", lines.shown());
    let verdict = evaluation.verdict().unwrap();
    let model = Arc::new(crossed_model());
    let learned = world.balancers(|| {
        let table = QTable::new(Some(Arc::clone(&model)));
        let config = FailSafeConfig::default();
        Box::new(FailSafe::new(table, PeakEwma::default(), config)) as Box<dyn Policy>
    });
    let truth = world.run(&learned, 20.0, 60.0, 8).mean();
    let estimate = verdict.snips_mean_ms.unwrap();
    println!("logged {:?}, estimate {estimate:.2}, truth {truth:.2} ms", verdict.logged_mean_ms);
    assert!((estimate / truth - 1.0).abs() < 0.15, "{estimate} for {truth}");
    assert!(verdict.logged_mean_ms.unwrap() > 2.0 * truth);
    assert_eq!(verdict.used, log.rows.len() as u64);
}
