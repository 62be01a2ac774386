//! Prequal on fleets that answer probes, in virtual time: what theta does, small fleets, sinkholes.
//!
//! Every run has a fixed seed, so what is asserted either holds or does not; the margins are for changes of
//! the code, not for chance.

mod probed;

use std::time::Duration;

use probed::{Run, Server, Setting, run};
use trimtab_core::policy::{LeastRequest, PeakEwma, Policy, Prequal, PrequalConfig};

const MS: Duration = Duration::from_millis(1);

/// `clients` that together ask for `load` of what the servers can do.
fn setting(servers: Vec<Server>, load: f64, clients: usize) -> Setting {
    let capacity: f64 = servers.iter().map(|s| s.workers as f64 / s.mean.as_secs_f64()).sum();
    Setting {
        servers,
        clients,
        rate: load * capacity,
        requests: 20_000,
        warm: 2_000,
        probe: MS,
        ejection: true,
        seed: 1,
    }
}

/// `n` servers of four workers, every other one `times` slower than 40 ms.
fn servers(n: usize, times: u32) -> Vec<Server> {
    (0..n).map(|i| Server::new(4, 40 * MS * if i % 2 == 0 { 1 } else { times })).collect()
}

fn at_quantile(setting: &Setting, quantile: f64) -> Run {
    let config = PrequalConfig::default().with_rif_quantile(quantile);
    run(setting, |_| Box::new(Prequal::new(config).unwrap()))
}

fn prequal(setting: &Setting) -> Run {
    run(setting, |_| Box::new(Prequal::default()))
}

fn peak_ewma(setting: &Setting) -> Run {
    run(setting, |_| Box::new(PeakEwma::default()))
}

/// The shape of the paper's figure 9: with slower servers in the fleet the tail is shorter if latency has a
/// say than with requests in flight alone, and much longer with latency alone.
#[test]
fn theta_controls_what_decides() {
    let setting = setting(servers(50, 2), 0.75, 4);
    let runs = [0.0, 0.6, 0.99, 0.999, 1.0].map(|quantile| at_quantile(&setting, quantile));
    let p99 = |which: usize| runs[which].latency(0.99);
    let in_flight = |which: usize| runs[which].in_flight(0.99);
    assert!(p99(1) < p99(0), "{:?}, {:?}", p99(1), p99(0));
    assert!(2 * p99(1) < p99(4), "{:?}, {:?}", p99(1), p99(4));
    let grows = (1..runs.len()).all(|which| in_flight(which - 1) <= in_flight(which));
    assert!(grows, "{:?}", [0, 1, 2, 3, 4].map(in_flight));
    // The trap: a strict comparison would have made these two the same.
    assert!(4 * in_flight(3) < 3 * in_flight(4), "{:?}", [3, 4].map(in_flight));
}

/// From one endpoint up, around where the paper's formula breaks down: nobody starves, nobody drowns, and
/// the tail is about that of peak-EWMA, which sees a quarter of the load with four clients.
#[test]
fn small_fleets() {
    for n in [1, 2, 3, 4, 5, 8, 16, 24, 25, 26] {
        let setting = Setting { requests: 8000, ..setting(servers(n, 1), 0.7, 4) };
        let (ours, other) = (prequal(&setting), peak_ewma(&setting));
        if n <= 5 {
            // Above, latencies measured by chance decide more than a short run evens out.
            let mut shares = (0..n).map(|server| ours.share(server) * n as f64);
            assert!(
                shares.all(|of_fair| (0.8..1.25).contains(&of_fair)),
                "{n} servers: {:?}",
                ours.sent
            );
        }
        let (tail, bound) = (ours.latency(0.99), other.latency(0.99).mul_f64(1.1));
        assert!(tail <= bound, "{n} servers: {tail:?}, peak-EWMA {:?}", other.latency(0.99));
        let asked = ours.probes as f64 / setting.requests as f64;
        let wanted = if n == 1 { 0.0 } else { n.min(3) as f64 };
        assert!((asked - wanted).abs() < 0.01, "{n} servers: {asked} probes a request");
    }
}

/// With many clients each sees little by itself; probes see all. Both comparisons are blind to what
/// others send, more or less.
#[test]
fn many_clients() {
    let setting = setting(servers(24, 2), 0.8, 50);
    let tail = |policy: fn(usize) -> Box<dyn Policy>| run(&setting, policy).latency(0.99);
    let ours = tail(|_| Box::new(Prequal::default()));
    let (ewma, least) =
        (tail(|_| Box::new(PeakEwma::default())), tail(|_| Box::new(LeastRequest::default())));
    assert!(ours < ewma && 2 * ours < least, "{ours:?}, {ewma:?}, {least:?}");
}

fn sinkhole(n: usize, mean: Duration, failing: f64, quantile: f64) -> f64 {
    let mut servers = vec![Server::new(4, mean); n];
    servers[n / 2] = servers[n / 2].failing(failing);
    let mut setting = setting(servers, 0.6, 4);
    setting.ejection = false;
    (setting.requests, setting.warm) = (3000, 300);
    at_quantile(&setting, quantile).share(n / 2) * n as f64
}

/// Invariant 7, with answers that make the sinkhole look best of all, without ejection, whether latency
/// or requests in flight decide, for answers of 40 ms and, as from language models, of 5 s: it gets less
/// than its fair share, and next to nothing if it always fails.
#[test]
fn a_sinkhole_does_not_attract() {
    for mean in [40 * MS, 5000 * MS] {
        for (n, quantile) in [(3, 0.84), (10, 0.0), (10, 0.84), (10, 1.0)] {
            let always = sinkhole(n, mean, 1.0, quantile);
            let third = sinkhole(n, mean, 0.3, quantile);
            assert!(always < 0.2, "{mean:?}, {n} servers, {quantile}: {always} of its share");
            assert!(third < 0.7, "{mean:?}, {n} servers, {quantile}: {third} of its share");
        }
    }
}

/// Errors that all servers have alike are not what tells them apart.
#[test]
fn errors_alike_do_not_drown_the_latencies() {
    let fine = setting(servers(24, 2), 0.75, 4);
    let mut failing = fine.clone();
    for server in &mut failing.servers {
        *server = server.failing(0.01);
    }
    let (fine, failing) = (prequal(&fine).latency(0.99), prequal(&failing).latency(0.99));
    assert!(failing < fine.mul_f64(1.1), "{failing:?}, {fine:?}");
}

/// Invariant 9.
#[test]
fn same_inputs_same_picks() {
    let mut setting = setting(servers(30, 2), 0.7, 3);
    setting.servers[7] = setting.servers[7].failing(0.5);
    assert_eq!(prequal(&setting), prequal(&setting));
    let other = prequal(&Setting { seed: 2, ..setting.clone() });
    assert_ne!(prequal(&setting).sent, other.sent);
}
