//! What is kept of the rows of one class at one place: counts, integer sums, sketches.
//!
//! All of it adds up, exactly and in any order; nothing here depends on which row came first.

use super::{End, Sample, Sketch};

/// The rows of one class at one endpoint, or at the endpoints of one archetype.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CellStats {
    pub(super) answered: u64,
    pub(super) censored: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
    /// Processing times that servers reported, and their sum.
    pub(super) server: Sketch,
    pub(super) server_sum: u128,
    /// Latencies of answers to requests that found none of this process's there.
    pub(super) idle: Sketch,
    /// Latencies of the other answers.
    pub(super) busy: Sketch,
    /// Lower bounds, of the same two kinds.
    pub(super) idle_bounds: Sketch,
    pub(super) busy_bounds: Sketch,
    pub(super) trend: Trend,
}

/// Sums for the regression of latency (y) on this process's requests there (k).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trend {
    pub(super) n: u64,
    /// Of `n`, those with k above zero.
    pub(super) loaded: u64,
    k: u64,
    y: u128,
    kk: u128,
    ky: u128,
    yy: u128,
}

/// Squares of latencies are summed in microseconds, so that 2^64 rows of a day each fit 128 bits.
const SQUARED_IN: u64 = 1000;

impl CellStats {
    #[inline]
    pub(super) fn add(&mut self, sample: &Sample) {
        match sample.end {
            End::Ok => self.answer(sample),
            End::Censored => {
                self.censored += 1;
                // A row dropped at an unknown time bounds nothing, but counts.
                if let Some(bound) = sample.latency {
                    let idle = sample.in_flight == Some(0);
                    let bounds = if idle { &mut self.idle_bounds } else { &mut self.busy_bounds };
                    bounds.add(bound);
                }
            }
            End::Failed => self.failed += 1,
            End::Ignored => self.ignored += 1,
        }
    }

    #[inline]
    fn answer(&mut self, sample: &Sample) {
        self.answered += 1;
        if let Some(server) = sample.server {
            self.server.add(server);
            self.server_sum += u128::from(server);
        }
        let Some(latency) = sample.latency else { return };
        // One of two is chosen, not one of two branches taken: in flight or not is a coin's toss.
        let latencies = if sample.in_flight == Some(0) { &mut self.idle } else { &mut self.busy };
        latencies.add(latency);
        if let Some(in_flight) = sample.in_flight {
            self.trend.add(in_flight, latency);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.answered += other.answered;
        self.censored += other.censored;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.server.merge(&other.server);
        self.server_sum += other.server_sum;
        self.idle.merge(&other.idle);
        self.busy.merge(&other.busy);
        self.idle_bounds.merge(&other.idle_bounds);
        self.busy_bounds.merge(&other.busy_bounds);
        self.trend.merge(&other.trend);
    }

    pub(super) fn rows(&self) -> u64 {
        self.answered + self.censored + self.failed + self.ignored
    }

    /// Rows that say something of the latency.
    pub(super) fn informative(&self) -> u64 {
        self.answered + self.idle_bounds.total() + self.busy_bounds.total()
    }

    /// Mean processing time in nanoseconds. Of the requests that found the endpoint idle of this
    /// process's own, the share that was never answered counts with its lower bounds, and with at least
    /// the mean: what timed out was not quick.
    pub(super) fn mean_service(&self) -> Option<f64> {
        if self.server.total() == 0 {
            return None;
        }
        let mean = self.server_sum as f64 / self.server.total() as f64;
        let lost = self.idle_bounds.total() as f64;
        if lost == 0.0 {
            return Some(mean);
        }
        let bounds: f64 =
            self.idle_bounds.middles().map(|(b, n)| mean.max(b as f64) * n as f64).sum();
        let share = lost / (lost + self.idle.total() as f64);
        Some((1.0 - share) * mean + share * bounds / lost)
    }

    /// A low quantile of latency in nanoseconds: over the requests that found the endpoint idle of this
    /// process's own where there are `enough`, else over all.
    pub(super) fn low_latency(&self, q: f64, enough: u64) -> Option<f64> {
        let idle = self.idle.total() + self.idle_bounds.total();
        if idle >= enough {
            return self.idle.quantile_with_censored(&self.idle_bounds, q).map(|n| n as f64);
        }
        let (mut all, mut bounds) = (self.idle.clone(), self.idle_bounds.clone());
        all.merge(&self.busy);
        bounds.merge(&self.busy_bounds);
        all.quantile_with_censored(&bounds, q).map(|n| n as f64)
    }

    /// Latency of every answer, for the report.
    pub(super) fn latency(&self) -> Sketch {
        let mut all = self.idle.clone();
        all.merge(&self.busy);
        all
    }
}

impl Trend {
    #[inline]
    fn add(&mut self, in_flight: u32, latency: u64) {
        let k = u64::from(in_flight);
        let micros = u128::from(latency / SQUARED_IN);
        self.n += 1;
        self.loaded += u64::from(k > 0);
        self.k += k;
        self.y += u128::from(latency);
        self.kk += u128::from(k * k);
        self.ky += u128::from(k) * u128::from(latency);
        self.yy += micros * micros;
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.loaded += other.loaded;
        self.k += other.k;
        self.y += other.y;
        self.kk += other.kk;
        self.ky += other.ky;
        self.yy += other.yy;
    }

    /// Sums of squares and products about the means: of k, of k with y, of y.
    pub(super) fn centred(&self) -> Centred {
        let n = (self.n as f64).max(1.0);
        let (k, y) = (self.k as f64, self.y as f64);
        let squares = self.yy as f64 * (SQUARED_IN * SQUARED_IN) as f64;
        Centred {
            n: self.n as f64,
            kk: (self.kk as f64 - k * k / n).max(0.0),
            ky: self.ky as f64 - k * y / n,
            yy: (squares - y * y / n).max(0.0),
        }
    }
}

/// See [`Trend::centred`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Centred {
    n: f64,
    kk: f64,
    ky: f64,
    yy: f64,
}

impl Centred {
    /// Both together, each about its own means.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            kk: self.kk + other.kk,
            ky: self.ky + other.ky,
            yy: self.yy + other.yy,
        }
    }

    /// Nanoseconds of wait for each request ahead, plus one standard error; `None` if k never varied.
    pub(super) fn wait_for_each(&self) -> Option<f64> {
        if self.kk <= 0.0 || self.n < 3.0 {
            return None;
        }
        let slope = self.ky / self.kk;
        let unexplained = (self.yy - slope * self.ky).max(0.0) / (self.n - 2.0);
        Some(slope + (unexplained / self.kk).sqrt())
    }
}
