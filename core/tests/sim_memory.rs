//! A simulation's memory does not grow with the number of its requests.
#![cfg(all(feature = "sim", not(loom)))]

use std::sync::{Arc, atomic::AtomicBool};

use trimtab_core::sim::{PolicyChoice, Scenario, Setup, Simulation};

/// Bytes at most held while the scenario runs for so many seconds, and the requests it counted.
fn peak(seconds: u32) -> (u64, u64) {
    let text = format!(
        "name = 't'\nduration = '{seconds}s'\n[clients]\ncount = 10\nretries = 1\nhedge = {{ quantile = 0.95 }}\n[traffic]\nload = 0.8\n[[classes]]\nname = 'all'\nwork = {{ exponential = '2ms' }}\n[[servers]]\nname = 's'\ncount = 10\npauses = {{ every = '1s', lasts = '10ms' }}\n[network]\nround_trip = '1ms'\n"
    );
    let scenario = Arc::new(Scenario::parse(&text, "test.toml".as_ref()).expect("a good scenario"));
    let mut requests = 0;
    let memory = allocation_counter::measure(|| {
        let setup = Setup::new(PolicyChoice::named("prequal"), Some(0.8), 1);
        let mut simulation = Simulation::new(&scenario, &setup).expect("a good setup");
        simulation.run(&AtomicBool::new(false));
        requests = simulation.figures().requests;
    });
    (memory.bytes_max, requests)
}

#[test]
fn ten_times_the_requests_take_the_same_memory() {
    let (short, few) = peak(10);
    let (long, many) = peak(100);
    assert!(many > 9 * few, "{few} and {many}");
    // Queues reach a little deeper in a longer run.
    assert!(long < short + short / 4, "{short} and {long} bytes for {few} and {many} requests");
}
