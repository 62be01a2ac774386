//! Processor sharing: all requests advance together, each on at most one core.
//!
//! With n requests on c cores each advances at `pace x min(1, c / n)`. Counting that advance once for
//! all (a virtual time) a request ends when the count reaches the one at its arrival plus its work, so
//! an arrival or an end costs a heap operation and nothing else changes.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
};

use super::job::{Job, Served, What};
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Sharing {
    cores: f64,
    pace: f64,
    paused_until: Time,
    /// Seconds of work that each request present all the time would have got.
    advance: f64,
    at: Time,
    ends: BinaryHeap<Reverse<End>>,
    /// Jobs given up whose ends are still in the heap.
    gone: HashSet<(u32, u32)>,
    present: usize,
}

#[derive(Debug, PartialEq)]
struct End {
    advance: f64,
    work: f64,
    slot: u32,
    generation: u32,
}

impl Sharing {
    pub(super) fn new(cores: f64) -> Self {
        Self {
            cores,
            pace: 1.0,
            paused_until: Time::ZERO,
            advance: 0.0,
            at: Time::ZERO,
            ends: BinaryHeap::new(),
            gone: HashSet::new(),
            present: 0,
        }
    }

    #[inline]
    pub(super) fn arrive(&mut self, now: Time, job: Job, work: f64) {
        self.pass(now);
        self.present += 1;
        let Job { slot, generation } = job;
        self.ends.push(Reverse(End { advance: self.advance + work, work, slot, generation }));
    }

    #[inline]
    pub(super) fn next(&mut self) -> Time {
        self.drop_gone();
        let Some(Reverse(first)) = self.ends.peek() else { return Time::MAX };
        let seconds = (first.advance - self.advance).max(0.0) / self.rate();
        // Rounded up, so that what is due has got all its work.
        let start = self.at.max(self.paused_until).as_nanos();
        Time::from_nanos(start.saturating_add((seconds * 1e9).ceil() as u64))
    }

    #[inline]
    pub(super) fn wake(&mut self, now: Time, served: &mut Vec<Served>) {
        self.pass(now);
        // What rounding left over of the earliest is less than a nanosecond of work.
        let reached = self.advance + 1e-9 * self.pace;
        loop {
            self.drop_gone();
            match self.ends.peek() {
                Some(Reverse(first)) if first.advance <= reached => {}
                _ => break,
            }
            let Some(Reverse(End { work, slot, generation, .. })) = self.ends.pop() else { break };
            self.present -= 1;
            let what = What::Done { seconds: work / self.pace, cached_tokens: 0 };
            served.push(Served { job: Job { slot, generation }, what });
        }
        if self.present == 0 {
            // Keeps the count small, so that it stays exact.
            self.advance = 0.0;
        }
    }

    pub(super) fn cancel(&mut self, now: Time, job: Job) {
        self.pass(now);
        self.present -= 1;
        self.gone.insert((job.slot, job.generation));
    }

    pub(super) fn set_pace(&mut self, now: Time, pace: f64) {
        self.pass(now);
        self.pace = pace;
    }

    pub(super) fn pause(&mut self, now: Time, until: Time) {
        self.pass(now);
        self.paused_until = self.paused_until.max(until);
    }

    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.gone.clear();
        self.present = 0;
        self.advance = 0.0;
    }

    /// Seconds that a newcomer's work takes as many times as long.
    pub(super) fn crowding(&self) -> f64 {
        ((self.present + 1) as f64 / self.cores).max(1.0) / self.pace
    }

    #[inline]
    fn rate(&self) -> f64 {
        self.pace * (self.cores / self.present as f64).min(1.0)
    }

    /// Brings the count up to `now`.
    #[inline]
    fn pass(&mut self, now: Time) {
        let from = self.at.max(self.paused_until);
        if self.present > 0 && now > from {
            self.advance += now.since(from).as_secs_f64() * self.rate();
        }
        self.at = self.at.max(now);
    }

    #[inline]
    fn drop_gone(&mut self) {
        while !self.gone.is_empty() {
            let Some(Reverse(first)) = self.ends.peek() else { break };
            if !self.gone.remove(&(first.slot, first.generation)) {
                break;
            }
            self.ends.pop();
        }
    }
}

impl Eq for End {}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for End {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.advance
            .total_cmp(&other.advance)
            .then_with(|| (self.slot, self.generation).cmp(&(other.slot, other.generation)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn job(slot: u32) -> Job {
        Job { slot, generation: 0 }
    }

    fn ends(server: &mut Sharing) -> Vec<(f64, u32)> {
        let mut all = Vec::new();
        loop {
            let next = server.next();
            if next == Time::MAX {
                return all;
            }
            let mut done = Vec::new();
            server.wake(next, &mut done);
            all.extend(
                done.iter().map(|s| ((next.as_nanos() as f64 / 1e6).round() / 1e3, s.job.slot)),
            );
        }
    }

    #[test]
    fn two_on_one_core_take_turns() {
        let mut server = Sharing::new(1.0);
        server.arrive(Time::ZERO, job(1), 1.0);
        server.arrive(Time::ZERO + Duration::from_millis(500), job(2), 1.0);
        assert_eq!(ends(&mut server), [(1.5, 1), (2.0, 2)]);
    }

    #[test]
    fn no_request_uses_two_cores() {
        let mut server = Sharing::new(4.0);
        server.arrive(Time::ZERO, job(1), 1.0);
        server.arrive(Time::ZERO, job(2), 2.0);
        assert_eq!(ends(&mut server), [(1.0, 1), (2.0, 2)]);
    }

    #[test]
    fn what_is_given_up_leaves_its_share_to_others() {
        let mut server = Sharing::new(1.0);
        server.arrive(Time::ZERO, job(1), 1.0);
        server.arrive(Time::ZERO, job(2), 2.0);
        server.cancel(Time::ZERO + Duration::from_secs(1), job(1));
        assert_eq!(ends(&mut server), [(2.5, 2)]);
    }

    #[test]
    fn pace_and_pauses_stretch_what_is_left() {
        let mut server = Sharing::new(1.0);
        server.arrive(Time::ZERO, job(1), 2.0);
        server.set_pace(Time::ZERO + Duration::from_secs(1), 0.5);
        server.pause(Time::ZERO + Duration::from_secs(2), Time::ZERO + Duration::from_secs(5));
        assert_eq!(ends(&mut server), [(6.0, 1)]);
    }
}
