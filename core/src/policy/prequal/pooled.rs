//! A policy that picks from a pool of answers by some rank: Prequal, and what it is compared with.

use std::sync::Arc;

use super::{
    PrequalConfig,
    known::Known,
    pool::{Found, Pool},
    rank::Rank,
};
use crate::{
    error::ConfigError,
    node::Node,
    policy::{
        Candidates, Choice, Feedback, Picker, Policy, Probing, Refusal, peak_ewma, propensity,
    },
    rng::Rng,
    signal::probe::Reading,
    sync::{AtomicU32, Ordering},
};

/// How often a pick looks again because another thread has changed the answer that it chose.
const LOOKS: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Pooled<R> {
    rank: R,
    known: Arc<Known>,
}

impl<R: Rank> Pooled<R> {
    pub(crate) fn new(rank: R, config: PrequalConfig) -> Result<Self, ConfigError> {
        Ok(Self { rank, known: Arc::new(Known::new(config.checked()?)) })
    }
}

impl<R: Rank> Policy for Pooled<R> {
    fn name(&self) -> &str {
        self.rank.name()
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(PoolPicker {
            rank: self.rank.clone(),
            pool: self.known.pool(group),
            known: Arc::clone(&self.known),
            turn: AtomicU32::new(0),
        })
    }

    /// A failure takes the endpoint's answer away: it vouched for more than was true.
    fn observe(&self, feedback: &Feedback<'_>) {
        let Some(success) = feedback.success else { return };
        feedback.node.failing.record(feedback.now, !success);
        if !success {
            feedback.node.probe.clear();
        }
    }

    fn probing(&self) -> Option<&dyn Probing> {
        Some(&*self.known)
    }
}

#[derive(Debug)]
struct PoolPicker<R> {
    rank: R,
    known: Arc<Known>,
    pool: Arc<Pool>,
    /// Counts removals, which take the oldest and the worst in turn.
    turn: AtomicU32,
}

/// The pool as one pick sees it.
#[derive(Debug, Default)]
struct Survey {
    /// Answers whose endpoint may be chosen.
    usable: u32,
    best: Option<Ranked>,
    worst: Option<Ranked>,
    oldest: Option<Found>,
}

#[derive(Clone, Copy, Debug)]
struct Ranked {
    key: u64,
    found: Found,
}

impl<R: Rank> Picker for PoolPicker<R> {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        if !self.pool.is_lit(candidates.now) {
            return self.pick_unprobed(candidates, rng);
        }
        for _ in 0..LOOKS {
            let survey = self.survey(candidates);
            let Some(best) = survey.best.filter(|_| survey.usable >= 2) else { break };
            let Found { index, reading, .. } = best.found;
            let stays = self.pool.limits.stays(reading.uses() + 1, rng);
            if let Ok(left) = candidates.node(index).probe.use_once(reading, stays) {
                self.remove(survey, index, left, candidates, rng);
                return Ok(index.into());
            }
        }
        candidates.draw(rng).map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    /// It can tell only while there are no answers: with them, the pick that is asked about has changed
    /// the pool.
    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        let unprobed = !self.pool.is_lit(candidates.now);
        if unprobed {
            propensity::two_distinct(candidates, |index| self.score(candidates, index), out);
        }
        unprobed
    }

    /// The expected cost that candidates are compared by while there are no answers.
    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        if self.pool.is_lit(candidates.now) {
            return f64::NAN;
        }
        peak_ewma::load(candidates.node(index), candidates.now)
    }
}

impl<R: Rank> PoolPicker<R> {
    /// No server answers: the client's own requests in flight and latency, failures included, stand in
    /// for what it would have said, for two candidates drawn at random.
    #[cold]
    fn pick_unprobed(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let (a, b) = candidates.draw_two(rng).ok_or(Refusal::NoneEligible)?;
        let better = a != b && self.score(candidates, b) < self.score(candidates, a);
        Ok(if better { b } else { a }.into())
    }

    fn survey(&self, candidates: &Candidates<'_>) -> Survey {
        let hot_from = self.known.hot_from();
        let mut survey = Survey::default();
        for found in self.pool.found(candidates) {
            let key = self.rank.key(found.reading, candidates.node(found.index), hot_from);
            let ranked = Ranked { key, found };
            if candidates.is_eligible(found.index) {
                survey.usable += 1;
                // Of equals the fresher one.
                let order = |r: Ranked| (r.key, r.found.age);
                if survey.best.is_none_or(|best| order(ranked) < order(best)) {
                    survey.best = Some(ranked);
                }
            }
            if survey.worst.is_none_or(|worst| key > worst.key) {
                survey.worst = Some(ranked);
            }
            if survey.oldest.is_none_or(|oldest| found.age > oldest.age) {
                survey.oldest = Some(found);
            }
        }
        survey
    }

    /// Removes as many answers as are due with this pick, of which the one at `used` has `left` this.
    fn remove(
        &self,
        mut survey: Survey,
        used: usize,
        left: Option<Reading>,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) {
        let due = self.pool.limits.removals(rng);
        for nth in 0..due {
            if nth > 0 {
                survey = self.survey(candidates);
            }
            let oldest_first = self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            let victim =
                if oldest_first { survey.oldest } else { survey.worst.map(|worst| worst.found) };
            let Some(Found { index, reading, .. }) = victim else { return };
            let reading = if nth == 0 && index == used { left } else { Some(reading) };
            if let Some(reading) = reading {
                // If another thread was first, that one's change is as good.
                let _ = candidates.node(index).probe.remove(reading);
            }
        }
    }
}
