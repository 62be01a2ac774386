//! When requests came: the log's first attempts in order of time.
//!
//! A row that stands for `w` requests (a log that keeps one in `w`) comes with the others put back:
//! `w - 1` of its class, each at a moment drawn evenly from its [`NEAR`] logged neighbours before it to
//! those after it. That keeps the rate and its course, and within a neighbourhood the requests come as
//! a Poisson process, as they do where clients do not know of each other; bursts shorter than that
//! are lost.

use std::fmt::Write as _;

use super::{FromLogs, FromLogsError, names::Names};
use crate::Rng;

/// Requests that a trace can hold.
const MAX_REQUESTS: usize = 20_000_000;

/// Logged requests to either side between which one is put back.
const NEAR: usize = 10;

/// All requests.
pub(super) struct Traffic {
    /// Seconds from the first one, and class; in order.
    pub(super) requests: Vec<(f64, u32)>,
    /// How many of them are logged; the others were put back.
    pub(super) logged: usize,
    /// Requests that a logged one stands for.
    pub(super) weight: f64,
    /// Unix time of the first one.
    pub(super) start: f64,
    /// Up to one mean gap after the last one.
    pub(super) seconds: f64,
}

impl Traffic {
    pub(super) fn of(logs: &FromLogs) -> Result<Self, FromLogsError> {
        let mut logged: Vec<(f64, u32, f64)> = logs
            .attempts
            .iter()
            .filter(|attempt| attempt.first)
            .map(|attempt| (attempt.at, attempt.class, attempt.weight))
            .collect();
        if logged.is_empty() {
            let retries = logs.counts.retries + logs.counts.hedges;
            if retries == 0 {
                // Says how many rows were read and why none could be used.
                logs.stats.finalize(&super::fleet::config())?;
            }
            return Err(FromLogsError::NoRequests { retries });
        }
        logged.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (start, last) = (logged[0].0, logged[logged.len() - 1].0);
        if last <= start {
            return Err(FromLogsError::NoSpan { requests: logged.len() });
        }
        let weights: f64 = logged.iter().map(|(_, _, weight)| weight).sum();
        if weights > MAX_REQUESTS as f64 * 0.99 {
            return Err(FromLogsError::TooMany { limit: MAX_REQUESTS });
        }
        let mut rng = Rng::seeded(0x10C5);
        let mut requests = Vec::with_capacity(weights as usize);
        for (place, (at, class, weight)) in logged.iter().enumerate() {
            requests.push((at - start, *class));
            let (from, to) = (place.saturating_sub(NEAR), (place + NEAR).min(logged.len() - 1));
            let (from, to) = (logged[from].0, logged[to].0);
            // Where the row stands for a part of one more, chance decides.
            for _ in 0..(*weight - 1.0 + rng.unit()).max(0.0) as usize {
                requests.push((from - start + (to - from) * rng.unit(), *class));
            }
        }
        requests.sort_by(|a, b| a.0.total_cmp(&b.0));
        let span = last - start;
        let gap = span / (requests.len() - 1) as f64;
        let weight = weights / logged.len() as f64;
        let logged = logged.len();
        Ok(Self { requests, logged, weight, start, seconds: span + gap })
    }

    pub(super) fn csv(&self, classes: &Names) -> String {
        let names = classes.plain();
        let mut csv = String::with_capacity(self.requests.len() * 20);
        csv.push_str("at_s,class\n");
        for (at, class) in &self.requests {
            // Writing to a String cannot fail.
            let _ = writeln!(csv, "{at:.6},{}", names[*class as usize]);
        }
        csv
    }
}
