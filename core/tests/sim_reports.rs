//! Load reports in the simulator: weighted round robin gives each server what it can carry.
#![cfg(all(feature = "sim", not(loom)))]

use std::sync::{Arc, atomic::AtomicBool};

use trimtab_core::sim::{PolicyChoice, Scenario, Setup, Simulation, results::Run};

/// Five servers of speed 1 and five of speed 3, at 0.45 of what they can carry together. The figures and
/// the part of the requests that went to the fast ones.
fn simulate(policy: &str, options: &[(&str, f64)], reports: &str) -> (Run, f64) {
    let text = format!(
        "name = 't'\nduration = '60s'\nwarm_up = '20s'\n[clients]\ncount = 4\nconsecutive_failures = 0\n[traffic]\nload = 0.45\n[[classes]]\nname = 'all'\nwork = {{ exponential = '10ms' }}\n[[servers]]\nname = 'slow'\ncount = 5\n{reports}\n[[servers]]\nname = 'fast'\ncount = 5\nspeed = 3.0\n{reports}\n"
    );
    share_of_last_half(policy, options, &text)
}

fn share_of_last_half(policy: &str, options: &[(&str, f64)], text: &str) -> (Run, f64) {
    let scenario = Scenario::parse(text, "test.toml".as_ref()).expect("a good scenario");
    let load = scenario.loads()[0];
    let mut choice = PolicyChoice::named(policy);
    choice.options = options.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    choice.check().expect("a good choice");
    let setup = Setup::new(choice, load, 1);
    let mut simulation = Simulation::new(&Arc::new(scenario), &setup).expect("a good setup");
    simulation.run(&AtomicBool::new(false));
    (simulation.figures(), simulation.endpoints().share[5..].iter().sum())
}

const REPORTS: &str = "reports = { every = '1s', delay = '5ms' }";

#[test]
fn weights_from_reports_find_the_fast_servers() {
    let (blind, even) = simulate("weighted_round_robin", &[], "");
    let (run, share) = simulate("weighted_round_robin", &[], REPORTS);
    assert!((even - 0.5).abs() < 0.01, "{even}");
    assert!((share - 0.75).abs() < 0.03, "{share}");
    assert!(run.mean_ms.unwrap_or(f64::MAX) < 0.5 * blind.mean_ms.unwrap_or(0.0), "{run:?}");
}

#[test]
fn a_blackout_longer_than_the_run_is_round_robin() {
    let (_, share) = simulate("weighted_round_robin", &[("blackout_s", 100.0)], REPORTS);
    assert!((share - 0.5).abs() < 0.01, "{share}");
}

#[test]
fn reports_that_are_lost_are_made_up_for_by_others() {
    let lossy = "reports = { every = '1s', loss = 0.9 }";
    let (_, share) = simulate("weighted_round_robin", &[], lossy);
    assert!((share - 0.75).abs() < 0.06, "{share}");
}

/// Half of its promise is twice the utilization, and so half the weight.
#[test]
fn utilization_is_of_what_the_server_was_promised() {
    let simulate = |slow: &str, fast: &str| {
        let text = format!(
            "name = 't'\nduration = '60s'\nwarm_up = '20s'\n[clients]\ncount = 4\n[traffic]\nload = 0.2\n[[classes]]\nname = 'all'\nwork = {{ exponential = '10ms' }}\n[[servers]]\nname = 'a'\ncount = 5\nmodel = {{ fifo = {{ workers = 3 }} }}\nreports = {{ every = '1s'{slow} }}\n[[servers]]\nname = 'b'\ncount = 5\nmodel = {{ fifo = {{ workers = 3 }} }}\nreports = {{ every = '1s'{fast} }}\n"
        );
        share_of_last_half("weighted_round_robin", &[], &text)
    };
    let (as_they_are, promised) = (simulate("", "").1, simulate(", of = 1.0", ", of = 2.0").1);
    assert!((as_they_are - 0.5).abs() < 0.03, "{as_they_are}");
    assert!((promised - 2.0 / 3.0).abs() < 0.03, "{promised}");
}
