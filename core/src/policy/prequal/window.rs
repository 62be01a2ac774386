//! The last answers, of whichever endpoint: where hot begins, and what an answer is charged against.
//!
//! An endpoint is hot if its requests in flight exceed theta, the `Q_RIF` quantile of those known. With
//! "exceed" taken strictly and the quantile of N values taken as their `ceil(Q N)`-th, nothing exceeds
//! it as soon as Q > 1 - 1 / N: 0.999 would be the same as 1. So theta is the value at
//! `floor(Q (N - 1))` of the sorted N, which for Q < 1 leaves the highest above it, unless others tie
//! with it. The ends are exact: at Q = 0 all are hot and requests in flight decide alone, at Q = 1 none is
//! and latency does.
//!
//! Answers from before a time without any are of another load, and are forgotten. Cost: an answer copies
//! and partly sorts 128 short numbers; a pick pays nothing, theta is kept ready.

use std::time::Duration;

use crate::{signal::probe::MAX_RIF, time::Time};

const LAST: usize = 128;

/// The last answers.
#[derive(Debug)]
pub(super) struct Window {
    in_flight: [u16; LAST],
    /// Nanoseconds.
    latency: [f32; LAST],
    len: usize,
    next: usize,
    newest: Time,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { in_flight: [0; LAST], latency: [0.0; LAST], len: 0, next: 0, newest: Time::ZERO }
    }

    /// Takes in an answer; those before a gap longer than `gap` are forgotten.
    pub(super) fn push(&mut self, now: Time, gap: Duration, in_flight: u32, latency: f32) {
        if now.since(self.newest) > gap {
            (self.len, self.next) = (0, 0);
        }
        self.newest = self.newest.max(now);
        self.in_flight[self.next] = in_flight.min(MAX_RIF) as u16;
        self.latency[self.next] = latency;
        self.next = (self.next + 1) % LAST;
        self.len = (self.len + 1).min(LAST);
    }

    /// The fewest requests in flight that are hot at the `quantile`.
    pub(super) fn hot_from(&self, quantile: f64) -> u32 {
        if quantile <= 0.0 {
            return 0;
        }
        if quantile >= 1.0 || self.len == 0 {
            return u32::MAX;
        }
        let mut known = self.in_flight;
        let known = &mut known[..self.len];
        let place = (quantile * (known.len() - 1) as f64).floor() as usize;
        let (_, theta, _) = known.select_nth_unstable(place);
        u32::from(*theta) + 1
    }

    /// The mean number in flight of the answers known; zero before the first.
    pub(super) fn mean_in_flight(&self) -> f32 {
        let known = &self.in_flight[..self.len];
        known.iter().map(|n| f32::from(*n)).sum::<f32>() / known.len().max(1) as f32
    }

    /// The most in flight and the longest latency of the answers known.
    pub(super) fn highest(&self) -> (u32, f32) {
        let in_flight = self.in_flight[..self.len].iter().copied().max().unwrap_or(0);
        (u32::from(in_flight), self.latency[..self.len].iter().copied().fold(0.0, f32::max))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GAP: Duration = Duration::from_secs(1);

    fn window(values: impl IntoIterator<Item = u32>) -> Window {
        let mut window = Window::new();
        for value in values {
            window.push(Time::ZERO, GAP, value, value as f32);
        }
        window
    }

    #[test]
    fn the_quantiles_ends_are_exact() {
        for known in [vec![], vec![3], vec![3; 200], (0..128).collect()] {
            let window = window(known);
            assert_eq!((window.hot_from(0.0), window.hot_from(1.0)), (0, u32::MAX));
        }
    }

    /// The trap: with a strict "exceeds", 0.999 is the same as 1 unless care is taken.
    #[test]
    fn short_of_one_the_highest_is_hot() {
        let known = window(0..128);
        for quantile in [0.993, 0.999, 1.0 - f64::EPSILON] {
            assert_eq!(known.hot_from(quantile), 127);
        }
        assert_eq!(known.hot_from(0.5), 64);
        assert_eq!(window([2, 9]).hot_from(0.999), 3);
        assert_eq!(window([9]).hot_from(0.5), 10, "none exceeds itself");
        assert_eq!(window([4; 50]).hot_from(0.84), 5, "all alike: all cold");
    }

    #[test]
    fn a_gap_ends_what_was_known() {
        let mut window = window([40; 50]);
        window.push(Time::ZERO + GAP, GAP, 2, 2.0);
        assert_eq!(window.hot_from(0.84), 41);
        window.push(Time::ZERO + 3 * GAP, GAP, 2, 2.0);
        assert_eq!((window.hot_from(0.84), window.highest()), (3, (2, 2.0)));
    }

    proptest! {
        #[test]
        fn at_most_the_share_above_the_quantile_is_hot(
            known in prop::collection::vec(0_u32..20_000, 1..300), quantile in 0.001..0.999,
        ) {
            let hot_from = window(known.iter().copied()).hot_from(quantile);
            let last: Vec<u32> = known.iter().rev().take(LAST).map(|v| (*v).min(MAX_RIF)).collect();
            let hot = last.iter().filter(|v| **v >= hot_from).count();
            // One more than the share, for the highest is hot at any quantile below 1.
            prop_assert!(hot as f64 <= (1.0 - quantile) * (last.len() - 1) as f64 + 1.0, "{hot}");
            let distinct = last.iter().collect::<std::collections::BTreeSet<_>>().len();
            prop_assert!(hot < last.len() || distinct == 1);
        }
    }
}
