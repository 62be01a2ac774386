//! What a server answers to a probe: how many requests it holds and what requests took that found as
//! many.
//!
//! Source: the Prequal paper: the latency estimate is the median of recent latencies of requests that
//! arrived at or near the present number in flight.

use std::time::Duration;

/// Latencies kept for each number of requests in flight.
const KEPT: usize = 16;
/// Numbers of requests in flight told apart.
const LEVELS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Recent {
    levels: Vec<Level>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    seconds: [f32; KEPT],
    recorded: u32,
}

impl Recent {
    /// A request that found `found` others here took so many seconds.
    pub(super) fn record(&mut self, found: u32, seconds: f64) {
        let level = (found as usize).min(LEVELS - 1);
        if self.levels.len() <= level {
            self.levels.resize(level + 1, Level::default());
        }
        let level = &mut self.levels[level];
        level.seconds[level.recorded as usize % KEPT] = seconds as f32;
        level.recorded += 1;
    }

    /// The median at the number in flight nearest to `found` that has any; zero before the first.
    pub(super) fn median(&self, found: u32) -> Duration {
        let found = (found as usize).min(LEVELS - 1);
        let distance = |level: usize| level.abs_diff(found);
        let known = (0..self.levels.len()).filter(|level| self.levels[*level].recorded > 0);
        let Some(nearest) = known.min_by_key(|level| distance(*level)) else {
            return Duration::ZERO;
        };
        let level = &self.levels[nearest];
        let mut kept = level.seconds;
        let kept = &mut kept[..KEPT.min(level.recorded as usize)];
        kept.sort_by(f32::total_cmp);
        Duration::from_secs_f32(kept[kept.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_nearest_level() {
        let mut recent = Recent::default();
        assert_eq!(recent.median(3), Duration::ZERO);
        for seconds in [0.25, 0.5, 4.0] {
            recent.record(2, seconds);
        }
        recent.record(9, 1.0);
        assert_eq!(recent.median(0), Duration::from_millis(500));
        assert_eq!(recent.median(600), Duration::from_secs(1));
    }
}
