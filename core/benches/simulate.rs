//! Simulated requests a second, on one core.
//!
//! ```text
//! cargo bench -p trimtab-core --features sim --bench simulate -- [--rounds 5] [--out FILE]
//! ```
//!
//! One hundred single-worker servers at 0.8 load, a hundred clients with balancers of their own, no network:
//! a million and a half requests a round. Policies take turns within a round; the medians are printed and
//! every round is in the file, as JSON lines.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use trimtab_core::sim::{PolicyChoice, Scenario, Setup, Simulation};

const SCENARIO: &str = r#"
name = "speed"
duration = "20s"
[clients]
count = 100
[traffic]
load = 0.8
[[classes]]
name = "all"
work = { exponential = "1ms" }
[[servers]]
name = "server"
count = 100
"#;
const POLICIES: [&str; 5] = ["random", "round_robin", "least_request", "peak_ewma", "prequal"];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| Some(args.get(args.iter().position(|arg| arg == name)? + 1)?.as_str());
    let rounds: usize =
        value("--rounds").map_or(5, |text| text.parse().expect("a number of rounds"));
    let scenario =
        Arc::new(Scenario::parse(SCENARIO, "bench.toml".as_ref()).expect("a good scenario"));
    let mut rates = vec![Vec::new(); POLICIES.len()];
    for _ in 0..rounds {
        for (policy, rates) in POLICIES.iter().zip(&mut rates) {
            rates.push(requests_a_second(&scenario, policy));
        }
    }
    let mut lines = String::new();
    for (policy, rates) in POLICIES.iter().zip(&mut rates) {
        let _ = writeln!(lines, r#"{{"policy":"{policy}","requests_per_second":{rates:.0?}}}"#);
        rates.sort_by(f64::total_cmp);
        println!("{policy:<16} {:.2} M requests/s", rates[rates.len() / 2] / 1e6);
    }
    if let Some(out) = value("--out") {
        std::fs::write(out, lines).expect("the file can be written");
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is what reads the clock")]
fn requests_a_second(scenario: &Arc<Scenario>, policy: &str) -> f64 {
    let begin = Instant::now();
    let setup = Setup::new(PolicyChoice::named(policy), Some(0.8), 1);
    let mut simulation = Simulation::new(scenario, &setup).expect("a good setup");
    simulation.run(&AtomicBool::new(false));
    simulation.figures().requests as f64 / begin.elapsed().as_secs_f64()
}
