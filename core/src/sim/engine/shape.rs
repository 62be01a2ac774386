//! How the rate changes over time, and how a steady stream of arrivals is bent to follow it.
//!
//! The rate's factor is a chain of straight lines. Arrivals are drawn in a time of their own in which
//! the mean rate is steady; a moment of that time maps to the moment at which as much has passed of
//! the factor's integral. A renewal process so keeps the burstiness it was given.

use super::super::scenario::{Day, Point};
use crate::time::Time;

/// Straight lines that stand for one day of a sine.
const LINES_A_DAY: u32 = 96;

#[derive(Debug)]
pub(super) struct Shape {
    lines: Vec<Line>,
    /// The line that the last moment fell on; moments ascend.
    current: usize,
}

/// From `start`, the factor is `factor + slope x (t - start)`; `passed` has passed before it.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: f64,
    factor: f64,
    slope: f64,
    passed: f64,
}

impl Shape {
    /// Follows the points and the day's curve until `end` seconds.
    pub(super) fn new(points: &[Point], day: Option<Day>, end: f64) -> Self {
        let mut corners = vec![0.0, end];
        for point in points {
            corners.push(point.at.secs());
            corners.push((point.at.get().saturating_sub(point.ramp.get())).as_secs_f64());
        }
        if let Some(day) = day {
            let step = day.period.secs() / f64::from(LINES_A_DAY);
            let steps = (end / step).min(1e6) as u32;
            corners.extend((0..steps).map(|index| f64::from(index) * step));
        }
        corners.retain(|at| (0.0..=end).contains(at));
        corners.sort_by(f64::total_cmp);
        corners.dedup();
        let sun = |at: f64| {
            day.map_or(1.0, |day| {
                1.0 + day.amplitude.get() * (std::f64::consts::TAU * at / day.period.secs()).sin()
            })
        };
        let mut lines: Vec<Line> = Vec::with_capacity(corners.len());
        let mut passed = 0.0;
        for pair in corners.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let (high, low) =
                (factor(points, from, true) * sun(from), factor(points, to, false) * sun(to));
            lines.push(Line {
                start: from,
                factor: high,
                slope: (low - high) / (to - from),
                passed,
            });
            passed += f64::midpoint(high, low) * (to - from);
        }
        let last = factor(points, end, true) * sun(end);
        lines.push(Line { start: end, factor: last, slope: 0.0, passed });
        Self { lines, current: 0 }
    }

    /// When `steady` seconds of the steady time have passed; [`Time::MAX`] for never. Must ascend.
    #[inline]
    pub(super) fn moment(&mut self, steady: f64) -> Time {
        while self.lines.get(self.current + 1).is_some_and(|next| next.passed <= steady) {
            self.current += 1;
        }
        let line = self.lines[self.current];
        let rest = steady - line.passed;
        let after = if line.slope == 0.0 {
            if line.factor <= 0.0 {
                return Time::MAX;
            }
            rest / line.factor
        } else {
            let root = (line.factor * line.factor + 2.0 * line.slope * rest).max(0.0).sqrt();
            // The same as (root - factor) / slope, without the cancellation for small slopes.
            2.0 * rest / (line.factor + root)
        };
        Time::from_nanos(((line.start + after) * 1e9) as u64)
    }
}

/// The points' factor at a time; at a step, the factor after it if `after`.
fn factor(points: &[Point], at: f64, after: bool) -> f64 {
    let mut last = match points.first() {
        Some(first) if first.at.is_zero() => first.factor.get(),
        _ => 1.0,
    };
    for point in points {
        let (reached, ramp) = (point.at.secs(), point.ramp.secs());
        if at > reached || (at == reached && (after || ramp > 0.0)) {
            last = point.factor.get();
        } else if ramp > 0.0 && at > reached - ramp {
            return last + (point.factor.get() - last) * (at - (reached - ramp)) / ramp;
        } else {
            return last;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(text: &str) -> Point {
        toml::from_str(text).expect("a point")
    }

    #[test]
    fn steps_and_ramps_bend_the_time() {
        let points = [
            point("at = '10s'\nfactor = 2"),
            point("at = '30s'\nfactor = 0\nramp = '10s'"),
            point("at = '40s'\nfactor = 1"),
        ];
        let mut shape = Shape::new(&points, None, 50.0);
        let mut at = |steady: f64| shape.moment(steady).as_nanos() as f64 / 1e9;
        assert_eq!(at(5.0), 5.0);
        assert_eq!(at(10.0), 10.0);
        assert_eq!(at(20.0), 15.0);
        assert_eq!(at(30.0), 20.0);
        // The ramp holds 10 in all; three quarters of it pass in its first half.
        assert!((at(37.5) - 25.0).abs() < 1e-6);
        assert!((at(41.0) - 41.0).abs() < 1e-6, "nothing comes while the factor is 0");
        assert!((at(50.0) - 50.0).abs() < 1e-6);
    }

    #[test]
    fn a_day_brings_what_a_steady_day_does() {
        let day = toml::from_str("amplitude = 0.8\nperiod = '100s'").expect("a day");
        let mut shape = Shape::new(&[], Some(day), 100.0);
        let noon = shape.moment(50.0 + 0.8 * 100.0 / std::f64::consts::PI);
        assert!((noon.as_nanos() as f64 / 1e9 - 50.0).abs() < 0.1, "{noon:?}");
        let end = shape.moment(100.0);
        assert!((end.as_nanos() as f64 / 1e9 - 100.0).abs() < 0.01, "{end:?}");
    }

    #[test]
    fn no_rate_brings_no_requests() {
        let mut shape = Shape::new(&[point("at = '0s'\nfactor = 0")], None, 10.0);
        assert_eq!(shape.moment(0.001), Time::MAX);
    }
}
