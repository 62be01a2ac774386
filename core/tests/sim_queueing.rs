//! The simulator against queueing theory: where a formula is known, the simulation must give it.
#![cfg(all(feature = "sim", not(loom)))]

use std::sync::{Arc, atomic::AtomicBool};

use trimtab_core::sim::{PolicyChoice, Scenario, Setup, Simulation, results::Run};

fn run(policy: &str, scenario: &str) -> Run {
    let scenario = Scenario::parse(scenario, "test.toml".as_ref()).expect("a good scenario");
    let load = scenario.loads()[0];
    let setup = Setup::new(PolicyChoice::named(policy), load, 1);
    let mut simulation = Simulation::new(&Arc::new(scenario), &setup).expect("a good setup");
    simulation.run(&AtomicBool::new(false));
    simulation.figures()
}

/// About a million requests: the mean of a queue at 0.8 load varies by about 1 % from seed to seed.
fn near(measured: Option<f64>, expected: f64, tolerance: f64) {
    let measured = measured.expect("something was measured");
    let off = (measured / expected - 1.0).abs();
    assert!(off < tolerance, "{measured} where theory has {expected}");
}

const LONG: &str =
    "name = 'theory'\nduration = '2000s'\nwarm_up = '20s'\n[clients]\ncount = 3\ntimeout = '1h'\n";

#[test]
fn random_over_single_workers_is_mm1() {
    let run = run(
        "random",
        &format!(
            "{LONG}[traffic]\nload = 0.8\n[[classes]]\nname = 'all'\nwork = {{ exponential = '10ms' }}\n[[servers]]\nname = 's'\ncount = 6\n"
        ),
    );
    // 1 / (mu - lambda), and quantiles of an exponential of that mean.
    near(run.mean_ms, 50.0, 0.03);
    near(run.p50_ms, 50.0 * 2_f64.ln(), 0.03);
    near(run.p99_ms, 50.0 * 100_f64.ln(), 0.06);
    assert!((run.utilization - 0.8).abs() < 0.01, "{}", run.utilization);
}

#[test]
fn one_queue_of_four_workers_is_mm4() {
    let run = run(
        "random",
        &format!(
            "{LONG}[traffic]\nload = 0.8\n[[classes]]\nname = 'all'\nwork = {{ exponential = '10ms' }}\n[[servers]]\nname = 's'\nmodel = {{ fifo = {{ workers = 4 }} }}\n"
        ),
    );
    // Erlang C of 4 servers at 3.2 Erlang is 0.5964; mean wait = C / (4 mu - lambda).
    near(run.mean_ms, 10.0 + 0.5964 * 10.0 / 0.8, 0.03);
}

#[test]
fn work_that_is_always_the_same_is_md1() {
    let run = run(
        "random",
        &format!(
            "{LONG}[traffic]\nload = 0.8\n[[classes]]\nname = 'all'\nwork = {{ constant = '10ms' }}\n[[servers]]\nname = 's'\ncount = 4\n"
        ),
    );
    // Pollaczek-Khinchine: 10 + 10 x 0.8 / (2 x 0.2).
    near(run.mean_ms, 30.0, 0.02);
}

#[test]
fn processor_sharing_cares_for_the_mean_of_the_work_alone() {
    for work in
        ["exponential = '10ms'", "constant = '10ms'", "lognormal = { mean = '10ms', sigma = 1.0 }"]
    {
        let run = run(
            "random",
            &format!(
                "{LONG}[traffic]\nload = 0.8\n[[classes]]\nname = 'all'\nwork = {{ {work} }}\n[[servers]]\nname = 's'\ncount = 4\nmodel = {{ ps = {{ cores = 1 }} }}\n"
            ),
        );
        near(run.mean_ms, 50.0, 0.04);
    }
}

#[test]
fn two_choices_beat_one_by_what_mitzenmacher_says() {
    // One client that sees everything, many servers: mean number in system over the fixed point
    // s_i = rho^(2^i - 1), summed, over rho; 500 servers at 0.9 come within a few per cent.
    let run = run(
        "least_request",
        "name = 't'\nduration = '100s'\nwarm_up = '10s'\n[clients]\ntimeout = '1h'\n[traffic]\nload = 0.9\n[[classes]]\nname = 'all'\nwork = { exponential = '10ms' }\n[[servers]]\nname = 's'\ncount = 500\n",
    );
    let in_system: f64 = (1..40).map(|i| 0.9_f64.powf(2_f64.powi(i) - 1.0)).sum();
    near(run.mean_ms, 10.0 * in_system / 0.9, 0.03);
}

#[test]
fn bursts_make_queues_longer_as_kingman_says() {
    let scenario = |arrivals: &str| {
        format!(
            "{LONG}[traffic]\nload = 0.8\narrivals = {arrivals}\n[[classes]]\nname = 'all'\nwork = {{ exponential = '10ms' }}\n[[servers]]\nname = 's'\n"
        )
    };
    // Kingman: the mean wait is at most lambda (var(gap) + var(work)) / (2 (1 - rho)), sharp near full
    // load only.
    let steady = run("random", &scenario("'paced'"));
    let poisson = run("random", &scenario("'poisson'"));
    let bursty = run("random", &scenario("{ gamma = { cv = 3, together = true } }"));
    let weibull = run("random", &scenario("{ weibull = { cv = 3, together = true } }"));
    near(poisson.mean_ms, 50.0, 0.04);
    assert!(steady.mean_ms < poisson.mean_ms);
    let bound = 10.0 + 0.08 * (37.5_f64.powi(2) + 10.0_f64.powi(2)) / (2.0 * 0.2);
    for bursty in [bursty.mean_ms, weibull.mean_ms] {
        assert!(bursty > Some(bound * 0.6) && bursty < Some(bound), "{bursty:?} under {bound}");
    }
}
