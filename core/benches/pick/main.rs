//! Pick and release: what balancing costs a request, beside tower's own balancers in the same run.
//!
//! ```text
//! cargo bench -p trimtab-core --bench pick                  all sizes, writes tests/bench/results/pick.json
//! cargo bench -p trimtab-core --bench pick -- --quick       short rounds, writes nothing
//!     --sizes 10,1000   --peers peak_ewma,tower             a part of it; peers by prefix
//!     --rounds 15       --millis 100                        how often, and how long each
//!     --out FILE                                            elsewhere
//! ```
//!
//! One operation is one request whose service takes no time: two clock reads, a pick, and its release
//! as a success with all signals updated. For tower it is `poll_ready`, `call` and the future polled to
//! its end on a service that is always ready, without a runtime; tower reads the clock itself where
//! its load metric needs it. On two threads trimtab's balancer is shared as it is. tower's takes
//! `&mut self`, so there it stands behind a mutex; tower's own `Buffer` costs more, not less.
//!
//! Peers take turns within each round, so that what else the machine does falls on all alike; the
//! medians over rounds are printed, and every round is in the file. What it does not show: the network,
//! and how well a policy chooses.

mod peers;
mod report;

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

use peers::{Peer, Worker};
use report::{Machine, Measured, Report};

/// What to run.
struct Plan {
    sizes: Vec<usize>,
    peers: Vec<String>,
    rounds: usize,
    round: Duration,
    out: Option<String>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let plan = plan(&args);
    let mut measured = Vec::new();
    for size in &plan.sizes {
        measured.extend(measure(&plan, *size));
    }
    let report = Report { machine: Machine::this(), args, measured };
    report.print();
    if let Some(out) = plan.out {
        report.write(&out);
    }
}

fn plan(args: &[String]) -> Plan {
    let value = |name: &str| {
        let place = args.iter().position(|arg| arg == name)?;
        Some(args.get(place + 1).unwrap_or_else(|| panic!("{name} needs a value")).clone())
    };
    let number = |name: &str| value(name).map(|text| text.parse().expect("a number"));
    // Without `--bench` it is run as a test: only to see that it runs.
    let smoke = !args.iter().any(|arg| arg == "--bench");
    let quick = smoke || args.iter().any(|arg| arg == "--quick");
    let (rounds, millis) = if quick { (3, 10) } else { (15, 100) };
    let sizes = value("--sizes").map_or_else(
        || if smoke { vec![10] } else { vec![1, 10, 100, 1_000, 10_000, 100_000] },
        |list| list.split(',').map(|size| size.parse().expect("sizes are numbers")).collect(),
    );
    let default_out = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bench/results/pick.json");
    Plan {
        sizes,
        peers: value("--peers")
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        rounds: number("--rounds").unwrap_or(rounds),
        round: Duration::from_millis(number("--millis").unwrap_or(millis) as u64),
        out: value("--out").or_else(|| (!quick).then(|| default_out.to_owned())),
    }
}

fn measure(plan: &Plan, size: usize) -> Vec<Measured> {
    let wanted = |name: &str| {
        plan.peers.is_empty() || plan.peers.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut peers: Vec<Box<dyn Peer>> = peers::all(size, wanted);
    let mut measured: Vec<Measured> = peers
        .iter()
        .flat_map(|peer| [1, 2].map(|threads| Measured::new(peer.name(), size, threads)))
        .collect();
    // The first round only warms up.
    for round in 0..=plan.rounds {
        for (peer, pair) in peers.iter_mut().zip(measured.chunks_mut(2)) {
            for row in pair {
                let nanos = on_threads(&**peer, row.threads, plan.round);
                if round > 0 {
                    row.nanos.push(nanos);
                }
            }
        }
    }
    measured
}

/// Wall time over operations of all threads together, in nanoseconds.
fn on_threads(peer: &dyn Peer, threads: usize, round: Duration) -> f64 {
    let start = Barrier::new(threads);
    let rates: f64 = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|seed| {
                let start = &start;
                scope.spawn(move || {
                    let mut worker = peer.worker(seed as u64);
                    start.wait();
                    operations_a_nanosecond(&mut *worker, round)
                })
            })
            .collect();
        spawned.into_iter().map(|thread| thread.join().expect("a worker does not panic")).sum()
    });
    1.0 / rates
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn operations_a_nanosecond(worker: &mut dyn Worker, round: Duration) -> f64 {
    let (begun, mut operations, mut batch) = (Instant::now(), 0_u64, 1_u64);
    loop {
        worker.run(batch);
        operations += batch;
        let elapsed = begun.elapsed();
        if elapsed >= round {
            return operations as f64 / elapsed.as_nanos() as f64;
        }
        // Batches of about a hundredth of the round.
        let rate = operations as f64 / elapsed.as_nanos() as f64;
        batch = ((rate * round.as_nanos() as f64 / 100.0) as u64).max(1);
    }
}
