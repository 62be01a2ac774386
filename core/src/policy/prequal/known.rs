//! What the answers have told: the pools they are in, where hot begins, and when anybody was asked.
//!
//! It outlives every snapshot. Answers come off the path of a pick and take a lock among themselves;
//! picks read one number here.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    PrequalConfig,
    aversion::charged,
    limits::{Limits, randomly_rounded},
    pool::{Pool, Ticks},
    starvation::believed,
    window::Window,
};
use crate::{
    node::Node,
    policy::{ProbeAnswer, Probing},
    rng::Rng,
    sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock},
    time::Time,
};

/// When anybody was asked, before the first time.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Known {
    config: PrequalConfig,
    ticks: Ticks,
    /// The fewest requests in flight that are hot.
    hot_from: AtomicU32,
    /// Mean requests in flight of the last answers, as `f32` bits.
    mean: AtomicU32,
    limits: fn(&PrequalConfig, usize) -> Limits,
    asked: AtomicU64,
    /// When an answer last came.
    answered: AtomicU64,
    answers: Mutex<Answers>,
}

#[derive(Debug)]
struct Answers {
    /// Of each group of each snapshot that is still in use, the newest last.
    pools: Vec<Weak<Pool>>,
    window: Window,
}

impl Known {
    pub(super) fn new(config: PrequalConfig) -> Self {
        Self::with_limits(config, Limits::new)
    }

    /// With another rule for the limits of a group's pool.
    pub(in crate::policy) fn with_limits(
        config: PrequalConfig,
        limits: fn(&PrequalConfig, usize) -> Limits,
    ) -> Self {
        let window = Window::new();
        Self {
            config,
            ticks: Ticks::new(config.max_age),
            hot_from: AtomicU32::new(window.hot_from(config.rif_quantile)),
            mean: AtomicU32::new(0),
            limits,
            asked: AtomicU64::new(NEVER),
            answered: AtomicU64::new(NEVER),
            answers: Mutex::new(Answers { pools: Vec::new(), window }),
        }
    }

    /// A pool for `group`, with the answers that are known of its endpoints.
    pub(in crate::policy) fn pool(&self, group: &[Arc<Node>]) -> Arc<Pool> {
        let limits = (self.limits)(&self.config, group.len());
        let pool = Arc::new(Pool::new(group, limits, self.ticks));
        let mut answers = lock(&self.answers);
        answers.pools.retain(|old| old.strong_count() > 0);
        for old in answers.pools.iter().filter_map(Weak::upgrade) {
            pool.inherit(&old);
        }
        answers.pools.push(Arc::downgrade(&pool));
        pool
    }

    #[inline]
    pub(super) fn hot_from(&self) -> u32 {
        self.hot_from.load(Ordering::Relaxed)
    }

    /// Whether anybody is to be asked at all.
    pub(in crate::policy) fn asks(&self) -> bool {
        self.config.probes_per_pick > 0.0
    }

    /// Whether an answer has come within the greatest age.
    #[inline]
    pub(in crate::policy) fn is_lit(&self, now: Time) -> bool {
        let answered = self.answered.load(Ordering::Relaxed);
        answered != NEVER && now.since(Time::from_nanos(answered)) <= self.config.max_age
    }

    /// Mean requests in flight of the last answers.
    #[inline]
    pub(in crate::policy) fn mean_in_flight(&self) -> f32 {
        f32::from_bits(self.mean.load(Ordering::Relaxed))
    }

    /// Notes that somebody was asked; to an eighth of the idle time, so that picks seldom write it.
    fn note_asked(&self, now: Time) {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked == NEVER || now.since(Time::from_nanos(asked)) >= self.config.idle_after / 8 {
            self.asked.store(now.as_nanos(), Ordering::Relaxed);
        }
    }
}

impl Probing for Known {
    fn wanted_for_pick(&self, now: Time, rng: &mut Rng) -> usize {
        let wanted = randomly_rounded(self.config.probes_per_pick, rng);
        if wanted > 0 {
            self.note_asked(now);
        }
        wanted as usize
    }

    fn wanted_when_idle(&self, now: Time, _: &mut Rng) -> usize {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked != NEVER && now.since(Time::from_nanos(asked)) < self.config.idle_after {
            return 0;
        }
        self.asked.store(now.as_nanos(), Ordering::Relaxed);
        // With fewer than two answers there is nothing to choose between.
        self.config.probes_per_pick.ceil().max(2.0) as usize
    }

    fn interval(&self) -> Duration {
        self.config.idle_after
    }

    fn answered(&self, now: Time, node: &Arc<Node>, answer: ProbeAnswer) {
        let said = (answer.in_flight, answer.latency.as_nanos() as f32);
        let mut answers = lock(&self.answers);
        let Answers { pools, window } = &mut *answers;
        // What the server said, not what it is charged: one sinkhole is not to move theta.
        window.push(now, self.config.max_age, said.0, said.1);
        self.hot_from.store(window.hot_from(self.config.rif_quantile), Ordering::Relaxed);
        self.answered.store(now.as_nanos(), Ordering::Relaxed);
        self.mean.store(window.mean_in_flight().to_bits(), Ordering::Relaxed);
        let (in_flight, latency) =
            charged(believed(said, node, now), node, now, || window.highest());
        let reading = self.ticks.reading(now, in_flight, latency);
        // The newest pool that has it; an older one may be held by somebody's old snapshot.
        let mut newest_first = pools.iter().rev().filter_map(Weak::upgrade);
        let found = newest_first.find_map(|pool| pool.place(node).map(|place| (pool, place)));
        if let Some((pool, place)) = found {
            pool.put(now, place, reading);
        }
    }

    fn failed(&self, _: Time, node: &Arc<Node>) {
        node.probe.clear();
    }
}
