//! Sinkhole aversion: a server that fails fast must not look like the best of all.
//!
//! It has nothing in flight and answers at once, so its probes are the coldest and the fastest, and every
//! request sent there fails. The paper names the problem and leaves its remedy out. Ours rests on what only
//! the client knows, the outcomes of its own requests, and touches the server's own figures as little as
//! they deserve:
//!
//! ```text
//! p = 1 - the average of failures in `signal/failing.rs`, which remembers the last few requests
//! s = (successes + 2 p) / (requests + 2)              of this client, there, in the last ten seconds
//! latency'  = (latency + (1 - s) x 3 x longest latency known) / s^2
//! rif' + 1  = (rif + (1 - s) x 3 x highest rif known + 1) / s^2
//! ```
//!
//! One 1/s, because it takes 1/s attempts to get an answer there. The other, because what fails at once
//! takes no time, so the server is idle that much more often and would be picked that much more often. The
//! sum, because a failure's own speed may be a thousandth of an answer's, and no factor makes up for that:
//! a failure counts as thrice the worst that any server has said of late. Where nothing fails, nothing
//! changes; one failure in a hundred adds some hundredths: errors that all servers have alike do not
//! drown the latencies, as a fixed penalty of seconds would.
//!
//! An answer is charged when it comes, off the path of a pick; and a failure takes the answer that is
//! there away, since it vouched for more than was true. What has only failed is tried again as its
//! failures fade.

use crate::{
    node::Node,
    signal::{probe::MAX_RIF, success::Counts},
    time::Time,
};

/// A failure is as bad as so many times the worst known.
const WORSE: f32 = 3.0;
/// Requests that the longer memory weighs as much as.
const PRIOR: f32 = 2.0;
/// What has never succeeded is charged as if this share had.
const LEAST_RATE: f32 = 1e-3;

/// What `node` said, in requests in flight and nanoseconds, charged with its failures; `highest` tells the
/// most in flight and the longest latency that any has said.
pub(super) fn charged(
    said: (u32, f32),
    node: &Node,
    now: Time,
    highest: impl FnOnce() -> (u32, f32),
) -> (u32, f32) {
    let rate = success_rate(node.recent(now), node.failing.get(now));
    if rate < 1.0 { at_rate(said, rate, highest()) } else { said }
}

fn success_rate(recent: Counts, failing: f32) -> f32 {
    let requests = (recent.successes + recent.failures) as f32;
    let rate = (recent.successes as f32 + PRIOR * (1.0 - failing)) / (requests + PRIOR);
    rate.max(LEAST_RATE)
}

fn at_rate((in_flight, latency): (u32, f32), rate: f32, highest: (u32, f32)) -> (u32, f32) {
    let worse = (1.0 - rate) * WORSE;
    let latency = (latency + worse * highest.1) / (rate * rate);
    let queue = in_flight as f32 + worse * highest.0 as f32 + 1.0;
    let in_flight = (queue / (rate * rate) - 1.0).round();
    (in_flight.min(MAX_RIF as f32) as u32, latency)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const HIGHEST: (u32, f32) = (8, 80e6);

    fn charged(said: (u32, f32), successes: u64, failures: u64, failing: f32) -> (u32, f32) {
        let rate = success_rate(Counts { successes, failures }, failing);
        at_rate(said, rate, HIGHEST)
    }

    #[test]
    fn without_failures_the_servers_word_stands() {
        assert_eq!(charged((3, 5e6), 0, 0, 0.0), (3, 5e6));
        assert_eq!(charged((3, 5e6), 9, 0, 0.0), (3, 5e6));
    }

    #[test]
    fn what_only_fails_is_worse_than_the_worst() {
        let mut failing = 0.0;
        for failures in 1..100 {
            failing += 0.25 * (1.0 - failing);
            let (in_flight, latency) = charged((0, 1e3), 0, failures, failing);
            assert!(in_flight > HIGHEST.0 && latency > HIGHEST.1, "{failures}");
        }
    }

    #[test]
    fn a_rare_failure_hardly_shows() {
        let (in_flight, latency) = charged((3, 50e6), 99, 1, 0.01);
        assert_eq!(in_flight, 3);
        assert!(latency < 55e6, "{latency}");
    }

    #[test]
    fn more_failures_never_look_better() {
        let mut before = (0, 0.0);
        for failures in 0..10_000 {
            let now = charged((2, 20e6), 50, failures, 0.1);
            assert!(now.0 >= before.0 && now.1 >= before.1, "{failures}");
            before = now;
        }
        assert_eq!(before.0, MAX_RIF);
    }
}
