//! Scenarios made of decision logs: the loop closes, and bad logs are refused by name.
#![cfg(all(feature = "sim", feature = "train", not(loom)))]

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use trimtab_core::{
    log::Row,
    sim::{
        PolicyChoice, Scenario, Setup, Simulation,
        from_logs::{Built, FromLogs, FromLogsError},
        results::Run,
    },
};

/// Two kinds of servers, each quick at one class; `MODEL` stands for how they queue.
const TWO_KINDS: &str = r#"
name = "two kinds"
duration = "80s"
warm_up = "5s"
[clients]
count = 6
timeout = "2s"
[traffic]
load = 0.45
[[classes]]
name = "chat"
share = 3
work = { exponential = "12ms" }
[[classes]]
name = "code, long"
work = { lognormal = { mean = "40ms", sigma = 0.7 } }
[[servers]]
name = "h100"
count = 4
locality = "eu/a"
model = { MODEL }
speed_by_class = { "code, long" = 3.0 }
[[servers]]
name = "a100"
count = 4
model = { MODEL }
speed = 0.8
[network]
round_trip = "2ms"
"#;

fn original(model: &str) -> Arc<Scenario> {
    let text = TWO_KINDS.replace("MODEL", model);
    Arc::new(Scenario::parse(&text, "original.toml".as_ref()).expect("a good scenario"))
}

fn logged(scenario: &Arc<Scenario>, sample: f64) -> Vec<Row> {
    let setup =
        Setup::new(PolicyChoice::named("least_request"), scenario.loads()[0], 1).with_log(sample);
    let mut simulation = Simulation::new(scenario, &setup).expect("it can be set up");
    let mut rows = Vec::new();
    simulation.run_logged(&AtomicBool::new(false), |row| rows.push(row));
    rows
}

fn built(rows: &[Row]) -> Built {
    let mut logs = FromLogs::new();
    for row in rows {
        logs.row(row).expect("a good row");
    }
    logs.build().expect("enough rows")
}

fn rebuilt(built: &Built, name: &str) -> Arc<Scenario> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("from-logs-{name}"));
    let (_, scenario) = built.write(&folder).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(scenario)
}

/// With the seed of the log, so that the original meets the arrivals that the rebuilt scenario replays:
/// near saturation those of another seed make a difference of their own.
fn run(scenario: &Arc<Scenario>, policy: &str) -> Run {
    let setup = Setup::new(PolicyChoice::named(policy), scenario.loads()[0], 1);
    let mut simulation = Simulation::new(scenario, &setup).expect("it can be set up");
    simulation.run(&AtomicBool::new(false));
    simulation.figures()
}

/// Mean and 99th percentile of three policies in the rebuilt scenario lie within `mean` and `p99` of the
/// original's, and are in the same order.
fn check_loop(original: &Arc<Scenario>, rebuilt: &Arc<Scenario>, mean: f64, p99: f64) {
    let mut means = Vec::new();
    for policy in ["random", "least_request", "peak_ewma"] {
        let (truth, again) = (run(original, policy), run(rebuilt, policy));
        let ratio = |a: Option<f64>, b: Option<f64>| a.expect("answers") / b.expect("answers");
        let (of_mean, of_p99) =
            (ratio(again.mean_ms, truth.mean_ms), ratio(again.p99_ms, truth.p99_ms));
        means.push((truth.mean_ms, again.mean_ms, of_mean, of_p99));
    }
    for (_, _, of_mean, of_p99) in &means {
        assert!(of_mean.ln().abs() < mean.ln_1p() && of_p99.ln().abs() < p99.ln_1p(), "{means:?}");
    }
    for pair in means.windows(2) {
        assert_eq!(pair[0].0 > pair[1].0, pair[0].1 > pair[1].1, "{means:?}");
    }
}

#[test]
fn the_loop_closes_first_come_first_served() {
    let original = original("fifo = { workers = 1 }");
    let built = built(&logged(&original, 1.0));
    assert!(built.scenario.contains("fifo = { workers = 1 }"), "{}", built.scenario);
    assert!(!built.scenario.contains("were given up"));
    check_loop(&original, &rebuilt(&built, "fifo"), 0.15, 0.2);
}

#[test]
fn the_loop_closes_with_shared_servers() {
    let original = original("ps = { cores = 2 }");
    let built = built(&logged(&original, 1.0));
    assert!(built.scenario.contains("ps = { cores = 2 }"), "{}", built.scenario);
    check_loop(&original, &rebuilt(&built, "ps"), 0.15, 0.2);
}

#[test]
fn the_loop_closes_without_the_servers_own_times() {
    for (model, name) in
        [("fifo = { workers = 2 }", "bare-fifo"), ("ps = { cores = 1 }", "bare-ps")]
    {
        let original = original(model);
        let mut rows = logged(&original, 1.0);
        for row in &mut rows {
            row.server_ms = None;
        }
        let built = built(&rows);
        assert!(built.scenario.contains(model), "{}", built.scenario);
        check_loop(&original, &rebuilt(&built, name), 0.2, 0.25);
    }
}

#[test]
fn a_sampled_log_is_filled_up() {
    let original = original("ps = { cores = 1 }");
    let (all, some) = (logged(&original, 1.0), logged(&original, 0.2));
    let built = built(&some);
    let requests = built.arrivals.lines().count() as f64;
    assert!((requests / all.len() as f64 - 1.0).abs() < 0.05, "{requests} of {}", all.len());
    // A fifth of the log does not tell how bursts came together: the tail of `random` comes out 1.4 times
    // as long as it was, those of the others 1.15 times.
    check_loop(&original, &rebuilt(&built, "sampled"), 0.3, 0.45);
}

#[test]
fn a_log_of_an_overload_says_that_its_costs_are_too_low() {
    let text = TWO_KINDS.replace("MODEL", "fifo = { workers = 1 }").replace("0.45", "1.3");
    let overload = Scenario::parse(&text, "overload.toml".as_ref()).expect("a good scenario");
    let built = built(&logged(&Arc::new(overload), 1.0));
    assert!(built.scenario.contains("% of the attempts were given up"));
    assert!(built.scenario.contains("timeout = \"2.000000s\""), "the one that timed out");
}

/// A row a line: class, endpoint, client, sequence, time and latency.
fn line(class: &str, endpoint: &str, sequence: u64, ts: f64) -> String {
    format!(
        r#"{{"class":{class},"chosen":"{endpoint}","client":"one","sequence":{sequence},"ts":{ts},"latency_ms":20.0,"server_ms":18.0,"in_flight":0,"status":"ok"}}"#
    ) + "\n"
}

fn read(text: &str) -> Result<FromLogs, FromLogsError> {
    let mut logs = FromLogs::new();
    logs.open("my.jsonl");
    // In two pieces that end inside a line.
    let (a, b) = text.as_bytes().split_at(text.len() / 2);
    logs.push(a)?;
    logs.push(b)?;
    logs.close()?;
    Ok(logs)
}

fn refused(text: &str) -> String {
    let error = read(text).and_then(|logs| logs.build()).expect_err("refused");
    error.to_string()
}

#[test]
fn bad_logs_are_refused_by_file_and_line() {
    assert!(refused("").contains("no usable rows: 0 read"));
    assert!(refused("{\n[]\n").contains("2 read, 2 of them wrong"));
    let no_ts = r#"{"class":"a","chosen":"x","latency_ms":2.0,"status":"ok"}"#.to_owned() + "\n";
    let missing = refused(&no_ts);
    assert!(missing.contains("my.jsonl") && missing.contains("missing: ts"), "{missing}");
    let one: String = (0..50).map(|n| line("\"a\"", "only", n, n as f64)).collect();
    assert!(refused(&one).contains("the one endpoint \"only\""));
    let moment: String =
        (0..50).map(|n| line("\"a\"", ["x", "y"][n as usize % 2], n, 7.0)).collect();
    assert!(refused(&moment).contains("all 50 requests came at the same moment"));
    let few: String =
        (0..4).map(|n| line("\"a\"", ["x", "y"][n as usize % 2], n, n as f64)).collect();
    assert!(refused(&few).contains("no cell has 30 usable rows"));
    let mut back: Vec<String> =
        (0..50).map(|n| line("\"a\"", ["x", "y"][n as usize % 2], n, 100.0 + n as f64)).collect();
    back[30] = line("\"a\"", "x", 30, 60.0);
    let back = refused(&back.concat());
    assert!(
        back.contains("my.jsonl:31: the clock of client \"one\" goes back by 69.0 s"),
        "{back}"
    );
}

#[test]
fn files_may_come_in_any_order() {
    let mut logs = FromLogs::new();
    for (file, start, rows) in [("b.jsonl", 900.0, 100), ("a.jsonl", 100.0, 200)] {
        logs.open(file);
        for n in 0..rows {
            let row = line("\"a\"", ["x", "y"][n as usize % 2], n, start + n as f64);
            logs.push(row.as_bytes()).expect("another process of that name, earlier");
        }
        logs.close().expect("no line left");
    }
    let built = logs.build().expect("enough rows");
    let times: Vec<&str> = built.arrivals.lines().skip(1).collect();
    assert_eq!((times[0], times[299]), ("0.000000,a", "899.000000,a"));
}

#[test]
fn a_restart_is_no_clock_set_back_and_wrong_rows_are_left_out() {
    let mut rows: Vec<String> = (0..200)
        .map(|n| line("null", ["x", "y"][n as usize % 2], n % 100, 100.0 + n as f64 / 8.0))
        .collect();
    rows.insert(40, "{\"class\":\n".to_owned());
    let logs = read(&rows.concat()).expect("readable");
    assert_eq!(logs.wrong(), 1);
    assert!(logs.shown()[0].to_string().starts_with("my.jsonl:41: malformed"));
    let built = logs.build().expect("enough rows");
    assert!(built.scenario.contains("\"unclassified\""), "requests without a class are a class");
    assert!(built.scenario.contains("count = 2"), "{}", built.scenario);
}
