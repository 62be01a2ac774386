//! First come first served by k workers.
//!
//! A change of pace or a pause moves the ends of what is being served; what waits costs what it costs
//! when its turn comes. Cost: an arrival and an end are linear in k.

use std::collections::VecDeque;

use super::job::{Job, Served, What};
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Fifo {
    workers: usize,
    serving: Vec<Serving>,
    waiting: VecDeque<(Job, f64)>,
    /// Jobs given up while they waited; they are dropped when they come to the front.
    gone: Vec<Job>,
    /// Seconds of work done in a second.
    pace: f64,
    paused_until: Time,
}

#[derive(Debug)]
struct Serving {
    end: Time,
    job: Job,
    seconds: f64,
}

impl Fifo {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            serving: Vec::with_capacity(workers.min(64)),
            waiting: VecDeque::new(),
            gone: Vec::new(),
            pace: 1.0,
            paused_until: Time::ZERO,
        }
    }

    #[inline]
    pub(super) fn arrive(&mut self, now: Time, job: Job, work: f64) {
        if self.serving.len() < self.workers {
            self.start(now, job, work);
        } else {
            self.waiting.push_back((job, work));
        }
    }

    /// When the next job ends.
    #[inline]
    pub(super) fn next(&self) -> Time {
        self.serving.iter().map(|serving| serving.end).min().unwrap_or(Time::MAX)
    }

    /// Ends what is due and starts what waits.
    #[inline]
    pub(super) fn wake(&mut self, now: Time, served: &mut Vec<Served>) {
        while let Some(index) = self.serving.iter().position(|serving| serving.end <= now) {
            let Serving { job, seconds, .. } = self.serving.swap_remove(index);
            served.push(Served { job, what: What::Done { seconds, cached_tokens: 0 } });
            self.start_waiting(now);
        }
    }

    /// Drops a job; what waits takes its worker.
    pub(super) fn cancel(&mut self, now: Time, job: Job) {
        if let Some(index) = self.serving.iter().position(|serving| serving.job == job) {
            self.serving.swap_remove(index);
            self.start_waiting(now);
        } else {
            self.gone.push(job);
            if self.gone.len() > 64 + self.waiting.len() / 4 {
                self.sweep();
            }
        }
    }

    pub(super) fn set_pace(&mut self, now: Time, pace: f64) {
        for serving in &mut self.serving {
            let left = serving.end.since(now.max(self.paused_until)).as_secs_f64();
            let stays = now.max(self.paused_until).min(serving.end);
            serving.end = stays + std::time::Duration::from_secs_f64(left * self.pace / pace);
        }
        self.pace = pace;
    }

    pub(super) fn pause(&mut self, now: Time, until: Time) {
        let more = until.since(now.max(self.paused_until));
        for serving in &mut self.serving {
            serving.end += more;
        }
        self.paused_until = self.paused_until.max(until);
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.serving.clear();
        self.waiting.clear();
        self.gone.clear();
    }

    /// Seconds of work that stand before a newcomer.
    pub(super) fn backlog(&self, now: Time) -> f64 {
        let under_way: f64 =
            self.serving.iter().map(|serving| serving.end.since(now).as_secs_f64()).sum();
        let waiting: f64 = self.waiting.iter().map(|(_, work)| work / self.pace).sum();
        if self.serving.len() < self.workers {
            return 0.0;
        }
        (under_way + waiting) / self.workers as f64
    }

    pub(super) fn pace(&self) -> f64 {
        self.pace
    }

    #[inline]
    fn start(&mut self, now: Time, job: Job, work: f64) {
        let seconds = work / self.pace;
        let nanos = (seconds * 1e9).max(1.0) as u64;
        let end = now.max(self.paused_until).as_nanos().saturating_add(nanos);
        self.serving.push(Serving { end: Time::from_nanos(end), job, seconds });
    }

    #[inline]
    fn start_waiting(&mut self, now: Time) {
        while let Some((job, work)) = self.waiting.pop_front() {
            if let Some(index) = self.gone.iter().position(|gone| *gone == job) {
                self.gone.swap_remove(index);
                continue;
            }
            self.start(now, job, work);
            return;
        }
    }

    fn sweep(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let keys: std::collections::HashSet<_> =
            gone.iter().map(|job| (job.slot, job.generation)).collect();
        self.waiting.retain(|(job, _)| !keys.contains(&(job.slot, job.generation)));
    }
}
