//! What befalls the simulated fleet, and what clients make of it. Bounds are wide: what is tested is
//! that each trouble and each remedy is there and acts as it says.
#![cfg(all(feature = "sim", not(loom)))]

use std::sync::{Arc, atomic::AtomicBool};

use trimtab_core::sim::{
    PolicyChoice, Scenario, Setup, Simulation,
    results::{Run, Timeline},
};

fn simulate(policy: &str, clients: &str, servers: &str, rest: &str) -> (Run, Timeline, Vec<f64>) {
    let simulation = run(policy, clients, servers, rest);
    (simulation.figures(), simulation.timeline(), simulation.endpoints().share)
}

/// Requests held by each server in each hundredth of the minute.
fn in_flight(policy: &str, clients: &str, servers: &str, rest: &str) -> Vec<Vec<f32>> {
    run(policy, clients, servers, rest).endpoints().in_flight
}

fn run(policy: &str, clients: &str, servers: &str, rest: &str) -> Simulation {
    let text = format!(
        "name = 't'\nduration = '60s'\n[clients]\ncount = 10\n{clients}\n[traffic]\nload = 0.5\n[[classes]]\nname = 'all'\nwork = {{ exponential = '10ms' }}\n[[servers]]\nname = 's'\ncount = 10\n{servers}\n{rest}"
    );
    let scenario = Scenario::parse(&text, "test.toml".as_ref()).expect("a good scenario");
    let load = scenario.loads()[0];
    let setup = Setup::new(PolicyChoice::named(policy), load, 1);
    let mut simulation = Simulation::new(&Arc::new(scenario), &setup).expect("a good setup");
    simulation.run(&AtomicBool::new(false));
    simulation
}

fn event(action: &str, rest: &str) -> String {
    format!("[[events]]\nat = '20s'\nuntil = '40s'\naction = {action}\n{rest}")
}

/// The mean of a timeline's values between two seconds of the sixty.
fn between(values: &[f64], from: f64, to: f64) -> f64 {
    let of = |second: f64| (second / 60.0 * values.len() as f64) as usize;
    let part = &values[of(from)..of(to)];
    part.iter().sum::<f64>() / part.len() as f64
}

#[test]
fn a_crash_loses_what_is_there_and_retries_save_it() {
    let crash = event("'crash'", "servers = { index = [0] }\n");
    let (bare, ..) = simulate("round_robin", "", "", &crash);
    let (retried, ..) = simulate("round_robin", "retries = 2", "", &crash);
    assert!(bare.failed > 0 && bare.retries == 0, "{bare:?}");
    assert_eq!(retried.failed, 0, "{retried:?}");
    assert!(retried.retries >= bare.failed, "{retried:?}");
    assert!(retried.amplification > 1.0 && retried.amplification < 1.2);
}

#[test]
fn failing_fast_is_seen_while_it_lasts() {
    let sinkhole =
        event("{ fail_fast = { share = 1.0, after = '1ms' } }", "servers = { index = [3] }\n");
    let (_, timeline, _) = simulate("round_robin", "consecutive_failures = 0", "", &sinkhole);
    assert!(between(&timeline.error_rate, 0.0, 20.0) == 0.0);
    assert!((between(&timeline.error_rate, 21.0, 40.0) - 0.1).abs() < 0.02);
    let (ejecting, ..) = simulate("round_robin", "", "", &sinkhole);
    assert!(ejecting.error_rate < 0.005, "{ejecting:?}");
}

/// Back from each ejection, a broken server fails one request of each client and goes out again: five to
/// eject, then one each at the ends of backoffs of 5, 10, 20 s less up to half, beside what is in flight.
#[test]
fn a_server_that_stays_broken_is_tried_with_one_request_at_a_time() {
    let broken = "[[events]]\nat = '10s'\naction = { fail_fast = {} }\nservers = { index = [3] }\n";
    let (run, ..) = simulate("round_robin", "", "", broken);
    let a_client = run.failed as f64 / 10.0;
    assert!((7.0..=11.0).contains(&a_client), "{a_client}");
}

/// Three of ten dead from 20 to 40 s. Their last ejections end by 50 s, and what they failed at is no
/// reason to leave them alone after that.
#[test]
fn servers_that_were_dead_are_used_again() {
    let dead = event("'crash'", "servers = { count = 3 }\n");
    for policy in ["least_request", "least_response_time", "peak_ewma", "prequal"] {
        let held = in_flight(policy, "retries = 2", "", &dead);
        let last = |server: &Vec<f32>| server[90..].iter().sum::<f32>();
        let dead: f32 = held[..3].iter().map(last).sum::<f32>() / 3.0;
        let others: f32 = held[3..].iter().map(last).sum::<f32>() / 7.0;
        assert!(dead > 0.5 * others, "{policy}: {dead} against {others}");
    }
}

/// A server holds requests up for two seconds; a second attempt elsewhere, after half of one, saves them.
#[test]
fn attempts_that_take_too_long_are_given_up() {
    let slow = event("{ delay = { by = '2s' } }", "servers = { index = [0] }\n");
    let (waiting, ..) = simulate("round_robin", "retries = 1", "", &slow);
    let clients = "retries = 1\nattempt_timeout = '500ms'";
    let (moving, ..) = simulate("round_robin", clients, "", &slow);
    assert!(waiting.p999_ms > Some(2000.0) && waiting.retries == 0, "{waiting:?}");
    assert!(moving.p999_ms < Some(1000.0) && moving.retries > 0, "{moving:?}");
    assert_eq!(moving.ok, moving.requests, "{moving:?}");
}

/// Three of ten requests fail at one server: seldom five in a row.
#[test]
fn outlier_detection_finds_who_fails_now_and_then() {
    let flaky =
        event("{ fail_fast = { share = 0.3, after = '1ms' } }", "servers = { index = [3] }\n");
    let (bare, ..) = simulate("round_robin", "", "", &flaky);
    let detecting = "outlier = { interval = '5s', base_ejection_time = '60s', success_rate = { request_volume = 20 } }";
    let (detected, timeline, _) = simulate("round_robin", detecting, "", &flaky);
    assert!((bare.error_rate - 0.01).abs() < 0.002, "{bare:?}");
    assert!(detected.error_rate < 0.5 * bare.error_rate, "{detected:?}");
    assert!(between(&timeline.error_rate, 31.0, 40.0) < 0.002);
}

#[test]
fn outlier_detection_finds_who_is_slow() {
    let slow = event("{ slow = { by = 10 } }", "servers = { index = [0] }\n");
    let (blind, ..) = simulate("round_robin", "consecutive_failures = 0", "", &slow);
    let detecting = "consecutive_failures = 0\noutlier = { interval = '3s', base_ejection_time = '60s', latency = { request_volume = 5 } }";
    let (detected, ..) = simulate("round_robin", detecting, "", &slow);
    // It is found in the eleventh of twenty seconds; what is there by then times out all the same.
    assert!(blind.timed_out > 300, "{blind:?}");
    let (detected, blind) = (detected.timed_out, blind.timed_out);
    assert!(detected < blind * 3 / 4, "{detected} of {blind}");
}

/// A policy's own detection goes before the clients'.
#[test]
fn each_policy_may_have_its_own_outlier_detection() {
    let head = "name = 't'\nduration = '60s'\n[clients]\noutlier = { latency = {} }\n[traffic]\nrate = 10\n[[classes]]\nname = 'all'\nwork = { exponential = '1ms' }\n[[servers]]\nname = 's'\n[[policies]]\nname = 'random'\n";
    let parse = |outlier: &str| Scenario::parse(&format!("{head}{outlier}"), "t.toml".as_ref());
    let scenario = parse("outlier = { success_rate = { stdev_factor = 2.5 } }").expect("good");
    let own = scenario.policies[0].outlier.expect("given");
    assert_eq!(own.success_rate.map(|rule| rule.stdev_factor), Some(2.5));
    assert!(scenario.clients.outlier.expect("given").latency.is_some() && own.latency.is_none());
    for (wrong, word) in [
        ("outlier = {}", "policies[0]` has an `outlier` that names no rule"),
        ("outlier = { latency = { factor = 0 } }", "factor = 0 must lie in [1, inf)"),
        ("outlier = { latencies = {} }", "unknown field `latencies`"),
        ("outlier = { success_rate = { volume = 3 } }", "unknown field `volume`"),
        ("outlier = { max_ejection_percent = 101, latency = {} }", "must lie in [0, 100]"),
    ] {
        let error = parse(wrong).expect_err("wrong");
        let mut text = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &error.to_string();
            cause = error.source();
        }
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_slow_server_is_avoided_by_who_measures() {
    let slow = event("{ slow = { by = 10 } }", "servers = { index = [0] }\n");
    let (_, blind, blind_share) = simulate("round_robin", "", "", &slow);
    let (_, _, share) = simulate("peak_ewma", "", "", &slow);
    let p50 = |timeline: &Timeline, from, to| {
        let known: Vec<f64> = timeline.p99_ms.iter().map(|p99| p99.unwrap_or(0.0)).collect();
        between(&known, from, to)
    };
    assert!(p50(&blind, 25.0, 40.0) > 10.0 * p50(&blind, 5.0, 20.0));
    assert!(share[0] < 0.8 * blind_share[0], "{} against {}", share[0], blind_share[0]);
}

#[test]
fn a_partition_swallows_requests_until_they_time_out() {
    let cut = event("{ partition = { clients = 'east' } }", "servers = { locality = 'west' }\n");
    let clients = "localities = ['east', 'west']\ntimeout = '500ms'\nconsecutive_failures = 0";
    let (run, ..) = simulate("random", clients, "locality = 'west'", &cut);
    // Half the clients, a third of the time.
    let share = run.timed_out as f64 / run.requests as f64;
    assert!((share - 1.0 / 6.0).abs() < 0.01, "{share}");
    assert_eq!(run.failed, 0);
}

#[test]
fn distance_takes_its_time() {
    let network = "[network]\nround_trip = '2ms'\n[[network.between]]\nfrom = 'east'\nto = 'west'\nround_trip = '80ms'\n";
    let (near, ..) = simulate("random", "localities = ['west/a']", "locality = 'west/b'", network);
    let (far, ..) = simulate("random", "localities = ['east']", "locality = 'west'", network);
    let (near, far) = (near.mean_ms.unwrap_or(0.0), far.mean_ms.unwrap_or(0.0));
    assert!((far - near - 78.0).abs() < 2.0, "{near} and {far}");
}

#[test]
fn hedges_cut_the_tail_of_servers_that_pause() {
    let pauses = "pauses = { every = '2s', lasts = '200ms' }";
    let (bare, ..) = simulate("random", "", pauses, "");
    let (hedged, ..) = simulate("random", "hedge = { after = '80ms' }", pauses, "");
    let (quantile, ..) = simulate("random", "hedge = { quantile = 0.95 }", pauses, "");
    assert!(hedged.hedges > 0 && quantile.hedges > 0 && bare.hedges == 0);
    for hedged in [hedged, quantile] {
        assert!(hedged.p99_ms < bare.p99_ms.map(|p99| p99 * 0.8), "{hedged:?}");
        assert!(hedged.amplification < 1.25);
    }
}

#[test]
fn clients_that_lose_interest_are_counted_apart() {
    let cancel = "cancel = { share = 0.25, after = '1ms' }";
    let (run, ..) = simulate("least_request", cancel, "", "");
    let share = run.cancelled as f64 / run.requests as f64;
    assert!(share > 0.2 && share < 0.25, "{share}");
    assert_eq!(run.ok + run.cancelled, run.requests);
}

#[test]
fn a_deployment_goes_round_without_losing_a_request() {
    let deploy = "[[events]]\nat = '10s'\naction = { deploy = { every = '4s', drain = '2s', down = '1s' } }\n";
    let (run, timeline, share) = simulate("least_request", "", "", deploy);
    assert_eq!(run.ok, run.requests, "{run:?}");
    assert!(timeline.error_rate.iter().all(|rate| *rate == 0.0));
    assert!(share.iter().all(|share| *share > 0.05 && *share < 0.15), "{share:?}");
    // Clients that hear of it late still send to servers that are down.
    let (stale, ..) = simulate("least_request", "discovery_delay = '4s'", "", deploy);
    assert!(stale.failed > 0, "{stale:?}");
}

#[test]
fn spare_servers_come_and_go() {
    let add = event("'add'", "servers = { group = 's' }\n");
    let (run, _, share) = simulate("least_request", "", "spare = 10", &add);
    assert_eq!(run.ok, run.requests, "{run:?}");
    let added: f64 = share[10..].iter().sum();
    // Half the traffic for a third of the time.
    assert!((added - 1.0 / 6.0).abs() < 0.02, "{added}");
}

#[test]
fn a_full_server_refuses() {
    let (run, ..) = simulate("round_robin", "consecutive_failures = 0", "limit = 1", "");
    // M/M/1/1 at half load refuses a third; round robin's arrivals are more even, so fewer.
    assert!(run.error_rate > 0.1 && run.error_rate < 0.34, "{run:?}");
}

#[test]
fn an_antagonist_takes_its_part() {
    let (free, ..) = simulate("random", "", "", "");
    let (robbed, ..) =
        simulate("random", "", "antagonist = { takes = [0.3, 0.3], every = '1s' }", "");
    // Work takes 1 / 0.7 times as long, and load 0.5 becomes 0.714.
    let ratio = robbed.mean_ms.unwrap_or(0.0) / free.mean_ms.unwrap_or(1.0);
    assert!((ratio - 0.5 / 0.7 / (1.0 - 0.5 / 0.7)).abs() < 0.3, "{ratio}");
}

#[test]
fn work_that_nobody_waits_for_goes_on_where_servers_do_not_listen() {
    let overload = "[[events]]\nat = '20s'\nuntil = '30s'\naction = { slow = { by = 4 } }\n";
    let (polite, ..) =
        simulate("random", "timeout = '200ms'\nconsecutive_failures = 0", "", overload);
    let deaf = "drops_cancelled = false";
    let (deaf, ..) =
        simulate("random", "timeout = '200ms'\nconsecutive_failures = 0", deaf, overload);
    assert!(
        deaf.timed_out > polite.timed_out * 5 / 4,
        "{} and {}",
        deaf.timed_out,
        polite.timed_out
    );
}

/// Two attempts of one request that one server ends at one moment: the first one's answer calls off the
/// second, which has left already.
#[test]
fn attempts_that_end_together_are_counted_out_once() {
    let text = "name = 't'\nduration = '20s'\n[clients]\nhedge = { after = '0s' }\nretry_budget = false\n[traffic]\nrate = 20\n[[classes]]\nname = 'all'\nwork = { constant = '10ms' }\n[[servers]]\nname = 's'\nmodel = { fifo = { workers = 2 } }\n";
    for model in ["fifo = { workers = 2 }", "ps = { cores = 2 }"] {
        let text = text.replace("fifo = { workers = 2 }", model);
        let scenario = Arc::new(Scenario::parse(&text, "test.toml".as_ref()).expect("good"));
        let setup = Setup::new(PolicyChoice::named("random"), None, 1);
        let mut simulation = Simulation::new(&scenario, &setup).expect("a good setup");
        simulation.run(&AtomicBool::new(false));
        let run = simulation.figures();
        assert_eq!(run.ok, run.requests, "{run:?}");
        assert_eq!(run.hedges, run.requests, "{run:?}");
    }
}

#[test]
fn a_server_slower_than_time_itself_only_times_out() {
    for model in ["model = { fifo = { workers = 1 } }", "model = { ps = { cores = 1 } }"] {
        let stopped = event("{ slow = { by = 1e9 } }", "");
        let (run, ..) =
            simulate("random", "timeout = '1s'\nconsecutive_failures = 0", model, &stopped);
        assert!(run.timed_out > run.requests / 4 && run.ok > run.requests / 4, "{run:?}");
    }
}

/// Everything that sends a second attempt, at once, while servers come and go.
#[test]
fn asking_hedging_and_retrying_go_together() {
    let clients = "ask_first = true\nretries = 3\nhedge = { after = '5ms' }\nretry_budget = false\ntimeout = '400ms'";
    let rest = format!(
        "{}[network]\nround_trip = '4ms'\nprobes = {{ loss = 0.2 }}\n",
        event("{ fail_fast = { share = 0.7, after = '3ms' } }", "servers = { share = 0.5 }\n")
    );
    let (run, ..) = simulate("prefix_affinity", clients, "", &rest);
    assert!(run.retries > 0 && run.hedges > 0, "{run:?}");
    assert_eq!(run.ok + run.failed + run.timed_out, run.requests, "{run:?}");
}
