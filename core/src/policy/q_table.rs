//! The learned table, decomposed: predicted service cost, plus what waits in front of it.
//!
//! ```text
//! score = m[class, archetype] + slope x own work in flight + queue delay (1 s average)
//! ```
//!
//! `m` and `slope` come from a [`Model`] trained offline from logs; own work is the sum of the
//! predicted costs of this process's requests there; the queue delay is learned online from what
//! requests take beyond their prediction. What it can win is request class x endpoint archetype,
//! which no class-blind policy sees.
//!
//! It refuses, so that its fallback decides, where the model is missing, stale or made for other
//! features, and for classes it does not know. Where only some candidates' cells have too few rows it
//! follows SPIBB (Laroche and others, 2019): a peak-EWMA pick that falls on such a candidate stands,
//! and any other goes to the best supported one. Fleets up to 64 are scanned; larger ones draw two
//! candidates an archetype.

use std::{sync::Arc, time::Duration};

use super::{
    Candidates, Choice, FailSafe, FailSafeConfig, Fallback, Feedback, Mode, PeakEwma, Picker,
    Policy, Refusal, candidates::BLIND_DRAWS, propensity,
};
use crate::{
    cell::Cell,
    error::ConfigError,
    learn::{CellCost, Model, feature_hash},
    node::Node,
    rng::Rng,
    time::Time,
};

const SCAN_UP_TO: usize = 64;

/// See the [module](self). Use it [guarded](QTable::guarded), as
/// [`by_name("q_table")`](super::by_name) does.
#[derive(Debug)]
pub struct QTable {
    model: Arc<Cell<Option<Arc<Model>>>>,
    max_age: Option<Duration>,
}

impl QTable {
    /// Routes by `model`; without one it refuses until [`Policy::set_model`] brings one.
    pub fn new(model: Option<Arc<Model>>) -> Self {
        Self { model: Arc::new(Cell::new(Arc::new(model))), max_age: None }
    }

    /// Refuses a model whose training window ended longer ago than this. Needs the balancer's
    /// [`unix_origin`](crate::Builder::unix_origin).
    ///
    /// ```
    /// use std::time::Duration;
    /// use trimtab_core::policy::QTable;
    /// let policy = QTable::new(None).with_max_age(Duration::from_secs(86_400)).guarded();
    /// ```
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Behind a [`FailSafe`] with its default settings and [`PeakEwma`] as the fallback: what
    /// [`by_name("q_table")`](super::by_name) returns.
    pub fn guarded(self) -> FailSafe {
        FailSafe::new(self, PeakEwma::default(), FailSafeConfig::default())
    }
}

impl Policy for QTable {
    fn name(&self) -> &'static str {
        "q_table"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let Some(model) = (*self.model.load()).clone() else {
            return Box::new(Table::unusable(Fallback::NoModel));
        };
        let labels: &[String] = group.first().map_or(&[], |node| &node.shared.archetype_labels);
        if model.feature_hash() != feature_hash(labels) {
            return Box::new(Table::unusable(Fallback::FeatureHash));
        }
        let archetypes: Box<[Option<u32>]> =
            group.iter().map(|node| model.archetype_of(&node.endpoint(), labels)).collect();
        let mut members = vec![Vec::new(); model.archetypes().len()];
        for (index, archetype) in archetypes.iter().enumerate() {
            if let Some(archetype) = archetype {
                members[*archetype as usize].push(index as u32);
            }
        }
        let expires = self.max_age.zip(group.first()).map(|(age, node)| {
            // Model times are Unix times; the shared log origin translates them.
            let until = model.window().end + age;
            Time::from_nanos(
                u64::try_from(until.saturating_sub(node.shared.unix_origin).as_nanos())
                    .unwrap_or(u64::MAX),
            )
        });
        let unknown_archetypes = archetypes.contains(&None);
        Box::new(Table {
            ready: Ok(Ready { model, archetypes, members, expires, unknown_archetypes }),
        })
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        let Feedback { node, now, latency, .. } = *feedback;
        if feedback.success == Some(false) {
            let cost = node.shared.failure_cost(now).as_nanos() as f64;
            node.residual.record_at_least(now, cost);
            return;
        }
        if feedback.charge.is_zero() {
            return;
        }
        let predicted = feedback.charge + feedback.expected_wait;
        let excess = latency.as_nanos() as f64 - predicted.as_nanos() as f64;
        if feedback.success == Some(true) {
            node.residual.record(now, excess);
        } else {
            node.residual.record_at_least(now, excess);
        }
    }

    fn set_model(&self, model: Arc<Model>) -> Result<(), ConfigError> {
        self.model.store(Arc::new(Some(model)));
        Ok(())
    }

    fn model_hash(&self) -> Option<u64> {
        self.model.load().as_ref().map(|model| model.hash())
    }
}

/// A model laid out for one group of endpoints, or why it cannot be used for it.
#[derive(Debug)]
struct Table {
    ready: Result<Ready, Fallback>,
}

#[derive(Debug)]
struct Ready {
    model: Arc<Model>,
    /// Each candidate's archetype.
    archetypes: Box<[Option<u32>]>,
    /// Each archetype's candidates.
    members: Vec<Vec<u32>>,
    expires: Option<Time>,
    unknown_archetypes: bool,
}

impl Table {
    fn unusable(why: Fallback) -> Self {
        Self { ready: Err(why) }
    }

    /// The layout and the request's row in it.
    fn row(&self, candidates: &Candidates<'_>) -> Result<(&Ready, usize), Fallback> {
        let ready = self.ready.as_ref().map_err(|why| *why)?;
        if ready.expires.is_some_and(|expires| candidates.now > expires) {
            return Err(Fallback::Stale);
        }
        let class = candidates.context.request_class.ok_or(Fallback::UnsupportedClass)?;
        let class = ready.model.class_index(class).ok_or(Fallback::UnsupportedClass)?;
        Ok((ready, class))
    }
}

impl Ready {
    #[inline]
    fn cell(&self, class: usize, index: usize) -> Option<&CellCost> {
        self.model.cell(class, self.archetypes[index]? as usize)
    }

    /// Nanoseconds until an answer from the candidate; `None` in a cell without support.
    #[inline]
    fn score(&self, candidates: &Candidates<'_>, class: usize, index: usize) -> Option<f64> {
        let cell = self.cell(class, index)?;
        let node = candidates.node(index);
        let ahead = node.work_in_flight_nanos();
        let queue = node.queue_delay(candidates.now);
        Some(cell.service_nanos() + cell.slope() * ahead + queue)
    }

    /// The best supported candidate: all of them compared in a small fleet, else two of each
    /// archetype, or all again where the draws found nobody eligible. `Err` if a score is not a number.
    fn best(
        &self,
        candidates: &Candidates<'_>,
        class: usize,
        rng: &mut Rng,
    ) -> Result<Option<usize>, Fallback> {
        let mut best = Best::default();
        if candidates.len() <= SCAN_UP_TO {
            self.scan(candidates, class, rng, &mut best)?;
            return Ok(best.index);
        }
        for (archetype, members) in self.members.iter().enumerate() {
            if self.model.cell(class, archetype).is_none() {
                continue;
            }
            let mut left = 2;
            for _ in 0..BLIND_DRAWS {
                let Some(index) = members.get(rng.below(members.len())) else { break };
                let index = *index as usize;
                if candidates.is_eligible(index) {
                    best.offer(index, self.score(candidates, class, index), rng)?;
                    left -= 1;
                }
                if left == 0 {
                    break;
                }
            }
        }
        if best.index.is_none() {
            self.scan(candidates, class, rng, &mut best)?;
        }
        Ok(best.index)
    }

    #[inline]
    fn scan(
        &self,
        candidates: &Candidates<'_>,
        class: usize,
        rng: &mut Rng,
        best: &mut Best,
    ) -> Result<(), Fallback> {
        for index in candidates.eligible() {
            best.offer(index, self.score(candidates, class, index), rng)?;
        }
        Ok(())
    }

    fn choice(
        &self,
        candidates: &Candidates<'_>,
        class: usize,
        index: usize,
        mode: Mode,
    ) -> Choice {
        let Some(cell) = self.cell(class, index) else {
            return Choice::from(index).by(mode);
        };
        let wait = candidates.node(index).work_in_flight_nanos() * cell.slope();
        let wait = Duration::from_nanos(wait as u64);
        Choice::from(index).by(mode).predicting(cell.service(), wait)
    }
}

/// The lowest score so far; ties are broken at random.
#[derive(Default)]
struct Best {
    index: Option<usize>,
    score: f64,
    ties: usize,
}

impl Best {
    #[inline]
    fn offer(&mut self, index: usize, score: Option<f64>, rng: &mut Rng) -> Result<(), Fallback> {
        let Some(score) = score else { return Ok(()) };
        if !score.is_finite() {
            return Err(Fallback::NotANumber);
        }
        if self.index.is_none() || score < self.score {
            *self = Self { index: Some(index), score, ties: 1 };
        } else if score == self.score {
            self.ties += 1;
            if rng.below(self.ties) == 0 {
                self.index = Some(index);
            }
        }
        Ok(())
    }
}

impl Picker for Table {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let (ready, class) = self.row(candidates).map_err(Refusal::Fallback)?;
        if !ready.model.is_row_full(class) || ready.unknown_archetypes {
            // SPIBB: the baseline keeps its say over what the model does not know.
            let baseline = PeakEwma::default().pick(candidates, rng)?;
            if ready.cell(class, baseline.index).is_none() {
                let mode = Mode::Fallback(Fallback::UnsupportedCell);
                return Ok(baseline.by(mode));
            }
        }
        match ready.best(candidates, class, rng).map_err(Refusal::Fallback)? {
            Some(index) => Ok(ready.choice(candidates, class, index, Mode::Policy)),
            None if candidates.eligible().next().is_none() => Err(Refusal::NoneEligible),
            // The class has support, so its endpoints have just gone down.
            None => Err(Refusal::Fallback(Fallback::Invalid)),
        }
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        let Ok((ready, class)) = self.row(candidates) else { return false };
        if candidates.len() > SCAN_UP_TO {
            return false;
        }
        let score = |index| ready.score(candidates, class, index);
        PeakEwma::default().propensities(candidates, out);
        let mut supported_mass = 0.0;
        for index in candidates.eligible() {
            if score(index).is_some() {
                supported_mass += std::mem::take(&mut out[index]);
            }
        }
        let mut best = vec![0.0; out.len()];
        propensity::least(candidates, |i| score(i).unwrap_or(f64::INFINITY), &mut best);
        for index in candidates.eligible() {
            if score(index).is_some() {
                out[index] = supported_mass * best[index];
            }
        }
        true
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        self.row(candidates)
            .ok()
            .and_then(|(ready, class)| ready.score(candidates, class, index))
            .unwrap_or(f64::NAN)
    }
}
