//! What is measured: histograms and sums, so that a run of a hundred million requests takes the memory
//! of one of a thousand.

use hdrhistogram::Histogram;

use super::super::results::{Endpoints, Run, Timeline};
use crate::time::Time;

/// Parts that a run is cut into for its timeline and heat map.
const WINDOWS: usize = 100;
/// Looks at the whole fleet within a window.
const LOOKS: usize = 10;
/// One hour, in the histograms' microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    Failed,
    TimedOut,
    Cancelled,
    /// No endpoint could be picked.
    Unroutable,
}

#[derive(Debug)]
pub(super) struct Tally {
    from: Time,
    window: u64,
    slo: Option<f64>,
    latency: Histogram<u32>,
    first_byte: Histogram<u32>,
    sum_seconds: f64,
    good: u64,
    ends: [u64; 5],
    pub(super) attempts: u64,
    pub(super) retries: u64,
    pub(super) hedges: u64,
    pub(super) probes: u64,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    windows: Vec<Window>,
    servers: Vec<PerServer>,
    /// Sums over the looks at the fleet: the most in flight anywhere, the mean.
    looks: (f64, f64),
}

#[derive(Clone, Debug)]
struct Window {
    arrived: u64,
    ended: u64,
    errors: u64,
    latency: Option<Box<Histogram<u32>>>,
}

#[derive(Clone, Debug, Default)]
struct PerServer {
    requests: u64,
    busy_seconds: f64,
    /// In flight, summed over the looks of each window.
    in_flight: Vec<f32>,
}

impl Tally {
    pub(super) fn new(duration: Time, warm_up: Time, slo: Option<f64>, servers: usize) -> Self {
        let empty = Window { arrived: 0, ended: 0, errors: 0, latency: None };
        Self {
            from: warm_up,
            window: duration.as_nanos().div_ceil(WINDOWS as u64).max(1),
            slo,
            latency: histogram(3),
            first_byte: histogram(3),
            sum_seconds: 0.0,
            good: 0,
            ends: [0; 5],
            attempts: 0,
            retries: 0,
            hedges: 0,
            probes: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            windows: vec![empty; WINDOWS],
            servers: vec![
                PerServer { in_flight: vec![0.0; WINDOWS], ..PerServer::default() };
                servers
            ],
            looks: (0.0, 0.0),
        }
    }

    /// Time between looks at the fleet.
    pub(super) fn look_every(&self) -> u64 {
        (self.window / LOOKS as u64).max(1)
    }

    /// Whether what arrives at `at` counts.
    #[inline]
    pub(super) fn counts(&self, at: Time) -> bool {
        at >= self.from
    }

    #[inline]
    pub(super) fn arrived(&mut self, at: Time) {
        let window = self.window_of(at);
        self.windows[window].arrived += 1;
    }

    /// A request that arrived at `arrived` ended at `now`.
    #[inline]
    pub(super) fn ended(&mut self, arrived: Time, first_byte: Option<Time>, now: Time, end: End) {
        let micros = (now.as_nanos() - arrived.as_nanos()) / 1000;
        let window = &mut self.windows[((now.as_nanos() / self.window) as usize).min(WINDOWS - 1)];
        window.ended += 1;
        let error = matches!(end, End::Failed | End::TimedOut | End::Unroutable);
        window.errors += u64::from(error);
        if end != End::Cancelled {
            window
                .latency
                .get_or_insert_with(|| Box::new(histogram(2)))
                .saturating_record(micros.max(1));
        }
        if !self.counts(arrived) {
            return;
        }
        self.ends[end as usize] += 1;
        if end == End::Cancelled {
            return;
        }
        self.latency.saturating_record(micros.max(1));
        self.sum_seconds += micros as f64 / 1e6;
        let first = first_byte.map(|at| (at.as_nanos() - arrived.as_nanos()) / 1000);
        if let Some(first) = first.or(error.then_some(micros)) {
            self.first_byte.saturating_record(first.max(1));
        }
        if !error {
            let first = first.unwrap_or(micros) as f64 / 1e6;
            self.good += u64::from(self.slo.is_none_or(|slo| first <= slo));
        }
    }

    /// A server finished a request after so many seconds of work.
    #[inline]
    pub(super) fn served(&mut self, server: usize, arrived: Time, seconds: f64) {
        if self.counts(arrived) {
            self.servers[server].requests += 1;
            self.servers[server].busy_seconds += seconds;
        }
    }

    /// Notes what every server holds now.
    pub(super) fn look(&mut self, now: Time, in_flight: impl Iterator<Item = (u32, bool)>) {
        let window = self.window_of(now);
        let counts = self.counts(now);
        let (mut most, mut sum, mut present) = (0, 0, 0);
        for (server, (here, in_fleet)) in in_flight.enumerate() {
            self.servers[server].in_flight[window] += here as f32 / LOOKS as f32;
            if in_fleet {
                most = most.max(here);
                sum += here;
                present += 1;
            }
        }
        if counts && present > 0 {
            self.looks.0 += f64::from(most);
            self.looks.1 += f64::from(sum) / f64::from(present);
        }
    }

    fn window_of(&self, at: Time) -> usize {
        ((at.as_nanos() / self.window) as usize).min(WINDOWS - 1)
    }

    pub(super) fn timeline(&self) -> Timeline {
        let seconds = self.window as f64 / 1e9;
        let mean_in_flight = |window: usize| {
            self.servers.iter().map(|server| f64::from(server.in_flight[window])).sum::<f64>()
        };
        let quantile = |window: &Window, q| {
            window.latency.as_ref().map(|h| h.value_at_quantile(q) as f64 / 1e3)
        };
        let all = || self.windows.iter();
        Timeline {
            window_s: seconds,
            start_s: (0..WINDOWS).map(|index| index as f64 * seconds).collect(),
            rate_rps: all().map(|window| window.arrived as f64 / seconds).collect(),
            error_rate: all().map(|window| ratio(window.errors, window.ended)).collect(),
            p50_ms: all().map(|window| quantile(window, 0.5)).collect(),
            p99_ms: all().map(|window| quantile(window, 0.99)).collect(),
            in_flight: (0..WINDOWS).map(mean_in_flight).collect(),
        }
    }

    /// `capacity`: what each server has of worker seconds a second.
    pub(super) fn endpoints(
        &self,
        ids: Vec<String>,
        groups: Vec<String>,
        capacity: &[f64],
        seconds: f64,
    ) -> Endpoints {
        let all: u64 = self.servers.iter().map(|server| server.requests).sum();
        Endpoints {
            ids,
            groups,
            share: self.servers.iter().map(|server| ratio(server.requests, all)).collect(),
            utilization: self
                .servers
                .iter()
                .zip(capacity)
                .map(|(server, capacity)| server.busy_seconds / (capacity * seconds))
                .collect(),
            in_flight: self.servers.iter().map(|server| server.in_flight.clone()).collect(),
        }
    }

    /// The run's figures; `present` says which servers were in the fleet from the start.
    pub(super) fn run(&self, seconds: f64, capacity: &[f64], present: &[bool]) -> Run {
        let [ok, failed, timed_out, cancelled, unroutable] = self.ends;
        let counted = ok + failed + timed_out + unroutable;
        let ms = |histogram: &Histogram<u32>, q| {
            (!histogram.is_empty()).then(|| histogram.value_at_quantile(q) as f64 / 1e3)
        };
        let fleet =
            || self.servers.iter().zip(present).filter(|(_, present)| **present).map(|(s, _)| s);
        let most = fleet().map(|server| server.requests).max().unwrap_or(0) as f64;
        let mean = fleet().map(|server| server.requests).sum::<u64>() as f64
            / fleet().count().max(1) as f64;
        let busy: f64 = self.servers.iter().map(|server| server.busy_seconds).sum();
        let capacity: f64 = capacity.iter().zip(present).filter(|(_, p)| **p).map(|(c, _)| c).sum();
        Run {
            requests: counted + cancelled,
            ok,
            failed,
            timed_out,
            refused: unroutable,
            cancelled,
            attempts: self.attempts,
            retries: self.retries,
            hedges: self.hedges,
            probes: self.probes,
            throughput_rps: ok as f64 / seconds,
            mean_ms: (counted > 0).then(|| self.sum_seconds * 1e3 / counted as f64),
            p50_ms: ms(&self.latency, 0.5),
            p90_ms: ms(&self.latency, 0.9),
            p99_ms: ms(&self.latency, 0.99),
            p999_ms: ms(&self.latency, 0.999),
            first_byte_p50_ms: ms(&self.first_byte, 0.5),
            first_byte_p90_ms: ms(&self.first_byte, 0.9),
            first_byte_p99_ms: ms(&self.first_byte, 0.99),
            error_rate: ratio(failed + timed_out + unroutable, counted),
            goodput: ratio(self.good, counted),
            amplification: ratio(self.attempts, counted + cancelled),
            load_max_over_mean: if mean > 0.0 { most / mean } else { 0.0 },
            in_flight_max_over_mean: if self.looks.1 > 0.0 {
                self.looks.0 / self.looks.1
            } else {
                0.0
            },
            utilization: busy / (capacity * seconds),
            cache_hit: (self.prompt_tokens > 0)
                .then(|| ratio(self.cached_tokens, self.prompt_tokens)),
        }
    }
}

/// From a microsecond to an hour, to so many digits.
fn histogram(digits: u8) -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_US, digits)
        .expect("invariant: bounds in order, digits up to 5")
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
