//! One recording, many runs: cut, scaled, rotated, repeated, its coarse clock smoothed.
//!
//! Scaling stretches time, so that bursts keep their shape and order but not their length: at twice
//! the rate a burst of 10 s lasts 5. Rotation starts the trace elsewhere and wraps around: the same
//! requests in the same rhythm, met by another state of the fleet, which is how seeds differ when
//! there is only one recording. Where blocks are shared, the wrap moves the first sight of a prefix.

use std::time::Duration;

use super::{MAX_REQUESTS, Trace, TraceError, collect::MAX_SPAN};
use crate::{Rng, Time};

impl Trace {
    /// With time stretched or squeezed so that the rate over the span becomes `rate` a second.
    ///
    /// # Errors
    /// [`TraceError::Setting`] for a rate that is not positive or stretches the span beyond a
    /// hundred years or below a nanosecond; [`TraceError::NoRate`] if all arrive at one instant.
    pub fn scaled_to_rate(self, rate: f64) -> Result<Self, TraceError> {
        if self.span.is_zero() {
            return Err(TraceError::NoRate { what: self.name });
        }
        let span = self.span.as_secs_f64();
        let requests = self.requests.len() as f64;
        // The bounds of the span, told as bounds of the rate.
        let longest = Duration::from_nanos(MAX_SPAN).as_secs_f64();
        let (least, most) = (requests / longest, requests * 1e9);
        if !(rate > least && rate <= most) {
            let allowed = format!("({least:.3e}, {most:.3e}]");
            return Err(TraceError::Setting { name: "rate", value: rate, allowed });
        }
        self.stretched(requests / span / rate)
    }

    /// With every time multiplied by `factor`: 2 halves the rate.
    ///
    /// # Errors
    /// [`TraceError::Setting`] for a factor that is not positive or stretches the span beyond a
    /// hundred years.
    pub fn stretched(mut self, factor: f64) -> Result<Self, TraceError> {
        let most = MAX_SPAN as f64 / (self.span.as_nanos() as f64).max(1.0);
        // A hair above, for the rate that makes exactly the longest span.
        if !(factor > 0.0 && factor <= most * (1.0 + 1e-9)) {
            let allowed = format!("(0, {most:.3e}]");
            return Err(TraceError::Setting { name: "factor", value: factor, allowed });
        }
        let scale = |nanos: u64| (nanos as f64 * factor).round() as u64;
        self.span = Duration::from_nanos(scale(self.span.as_nanos() as u64));
        for request in &mut self.requests {
            request.at = Time::from_nanos(scale(request.at.as_nanos()));
        }
        Ok(self)
    }

    /// The part that begins `from` after the start and lasts `length`, its times counted from there.
    ///
    /// # Errors
    /// [`TraceError::Empty`] if no request falls into it.
    pub fn window(mut self, from: Duration, length: Duration) -> Result<Self, TraceError> {
        let start = Time::ZERO + from;
        let end = start + length;
        self.requests.truncate(self.requests.partition_point(|request| request.at < end));
        self.requests.drain(..self.requests.partition_point(|request| request.at < start));
        if self.requests.is_empty() {
            let what = format!("{}, {length:?} from {from:?} on", self.name);
            return Err(TraceError::Empty { what });
        }
        for request in &mut self.requests {
            request.at = Time::ZERO + request.at.since(start);
        }
        self.span = end.since(start);
        Ok(self)
    }

    /// Starting `by` later, with what came before moved to the end; `by` counts modulo the span.
    pub fn rotated(mut self, by: Duration) -> Self {
        if self.span.is_zero() {
            return self;
        }
        let start = Time::from_nanos((by.as_nanos() % self.span.as_nanos()) as u64);
        let first = self.requests.partition_point(|request| request.at < start);
        self.requests.rotate_left(first);
        let rest = self.span.saturating_sub(start.since(Time::ZERO));
        for request in &mut self.requests {
            request.at = if request.at < start {
                request.at + rest
            } else {
                Time::ZERO + request.at.since(start)
            };
        }
        self
    }

    /// [`Trace::rotated`] by a time drawn from its span: one seed, one start.
    pub fn rotated_at_random(self, rng: &mut Rng) -> Self {
        let by = self.span.mul_f64(rng.unit());
        self.rotated(by)
    }

    /// `times` copies, one after the other. The blocks of each copy are its own: the same prompts
    /// again would make a prefix cache look better than it is.
    ///
    /// # Errors
    /// [`TraceError::Setting`] for no copies or more than fit into a hundred years,
    /// [`TraceError::TooMany`] for more requests than a trace holds.
    pub fn repeated(mut self, times: u32) -> Result<Self, TraceError> {
        let most = u64::from(u32::MAX).min(MAX_SPAN / (self.span.as_nanos() as u64).max(1)).max(1);
        if times == 0 || u64::from(times) > most {
            let allowed = format!("[1, {most}]");
            return Err(TraceError::Setting { name: "times", value: f64::from(times), allowed });
        }
        let once = self.requests.len();
        if once.saturating_mul(times as usize) > MAX_REQUESTS {
            let what = format!("{}, {times} times", self.name);
            return Err(TraceError::TooMany { what, limit: MAX_REQUESTS });
        }
        for copy in 1..times {
            let salt = u64::from(copy).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for index in 0..once {
                let mut request = self.requests[index].clone();
                request.at += self.span * copy;
                request.blocks.iter_mut().for_each(|hash| *hash ^= salt);
                self.requests.push(request);
            }
        }
        self.span *= times;
        Ok(self)
    }

    /// With each arrival moved later by a time drawn uniformly from `step`: for recordings whose
    /// clock ticks so coarsely that requests come in lumps. Mooncake's conversation trace has steps
    /// of 3 s.
    pub fn spread(mut self, step: Duration, rng: &mut Rng) -> Self {
        let step = step.min(Duration::from_nanos(MAX_SPAN));
        let last = self.requests.last().map_or(Time::ZERO, |request| request.at);
        for request in &mut self.requests {
            request.at += step.mul_f64(rng.unit());
        }
        self.requests.sort_by_key(|request| request.at);
        self.span = self.span.max((last + step).since(Time::ZERO));
        self
    }
}
