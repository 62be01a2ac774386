//! What a server answers to a probe: how many requests it holds and what requests took that found as
//! many.
//!
//! Source: the Prequal paper: the latency estimate is the median of recent latencies of requests that
//! arrived at or near the present number in flight. Recent is here ten seconds: a server that was slow,
//! and that nobody has asked anything since, says that it does not know. Without that it would go on
//! telling what put everybody off, and never be asked again.

use std::time::Duration;

use crate::time::Time;

/// Latencies kept for each number of requests in flight.
const KEPT: usize = 16;
/// Numbers of requests in flight told apart.
const LEVELS: usize = 512;
/// Older ones are forgotten.
const RECENT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Recent {
    levels: Vec<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    seconds: [f32; KEPT],
    at: [Time; KEPT],
    recorded: usize,
}

impl Recent {
    /// A request that found `found` others here took so many seconds until `now`.
    pub(super) fn record(&mut self, now: Time, found: u32, seconds: f64) {
        let level = (found as usize).min(LEVELS - 1);
        if self.levels.len() <= level {
            let empty = Level { seconds: [0.0; KEPT], at: [Time::ZERO; KEPT], recorded: 0 };
            self.levels.resize(level + 1, empty);
        }
        let level = &mut self.levels[level];
        let place = level.recorded % KEPT;
        level.seconds[place] = seconds as f32;
        level.at[place] = now;
        level.recorded += 1;
    }

    /// The median at the number in flight nearest to `found` that has recent ones; zero without any.
    pub(super) fn median(&self, now: Time, found: u32) -> Duration {
        let found = (found as usize).min(LEVELS - 1);
        let known = (0..self.levels.len()).filter(|level| self.levels[*level].is_recent(now));
        let Some(nearest) = known.min_by_key(|level| level.abs_diff(found)) else {
            return Duration::ZERO;
        };
        self.levels[nearest].median(now)
    }
}

impl Level {
    fn is_recent(&self, now: Time) -> bool {
        self.recorded > 0 && now.since(self.at[(self.recorded - 1) % KEPT]) <= RECENT
    }

    fn median(&self, now: Time) -> Duration {
        let mut kept = [0.0; KEPT];
        let mut count = 0;
        for place in 0..KEPT.min(self.recorded) {
            if now.since(self.at[place]) <= RECENT {
                kept[count] = self.seconds[place];
                count += 1;
            }
        }
        let kept = &mut kept[..count];
        kept.sort_by(f32::total_cmp);
        Duration::from_secs_f32(kept[count / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_nearest_level_and_of_late() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut recent = Recent::default();
        assert_eq!(recent.median(at(0), 3), Duration::ZERO);
        recent.record(at(0), 2, 9.0);
        for seconds in [0.25, 0.5, 4.0] {
            recent.record(at(7), 2, seconds);
        }
        recent.record(at(8), 9, 1.0);
        assert_eq!(recent.median(at(12), 0), Duration::from_millis(500));
        assert_eq!(recent.median(at(12), 600), Duration::from_secs(1));
        assert_eq!(recent.median(at(18), 0), Duration::from_secs(1), "level 2 is forgotten");
        assert_eq!(recent.median(at(30), 0), Duration::ZERO);
    }
}
