//! A model laid out for one group of endpoints, and the pick by it.

use std::{sync::Arc, time::Duration};

use super::{
    crowd::{Crowd, delay},
    load::Loads,
};
use crate::{
    learn::{CellCost, Model},
    node::Node,
    policy::{
        Candidates, Choice, Fallback, Mode, PeakEwma, Picker, Refusal,
        candidates::BLIND_DRAWS,
        prequal::{known::Known, pool::Pool},
        propensity,
    },
    rng::Rng,
    time::Time,
};

const SCAN_UP_TO: usize = 64;

/// A model laid out for one group of endpoints, or why it cannot be used for it.
#[derive(Debug)]
pub(super) struct Table {
    ready: Result<Ready, Fallback>,
}

#[derive(Debug)]
pub(super) struct Ready {
    model: Arc<Model>,
    /// Each candidate's archetype.
    archetypes: Box<[Option<u32>]>,
    /// Each archetype's candidates.
    members: Vec<Vec<u32>>,
    /// What a request there costs on each archetype, in nanoseconds.
    costs: Vec<f64>,
    /// The mean slope of all rows.
    slope: f64,
    expires: Option<Time>,
    unknown_archetypes: bool,
    pool: Arc<Pool>,
    known: Arc<Known>,
    crowd: Arc<Crowd>,
}

impl Table {
    pub(super) fn of(ready: Ready) -> Self {
        Self { ready: Ok(ready) }
    }

    pub(super) fn unusable(why: Fallback) -> Self {
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
    pub(super) fn new(
        model: Arc<Model>,
        group: &[Arc<Node>],
        expires: Option<Time>,
        pool: Arc<Pool>,
        known: Arc<Known>,
        crowd: Arc<Crowd>,
    ) -> Self {
        let labels: &[String] = group.first().map_or(&[], |node| &node.shared.archetype_labels);
        let archetypes: Box<[Option<u32>]> =
            group.iter().map(|node| model.archetype_of(&node.endpoint(), labels)).collect();
        let mut members = vec![Vec::new(); model.archetypes().len()];
        for (index, archetype) in archetypes.iter().enumerate() {
            if let Some(archetype) = archetype {
                members[*archetype as usize].push(index as u32);
            }
        }
        let unknown_archetypes = archetypes.contains(&None);
        let (costs, slope) = (mean_costs(&model), mean_slope(&model));
        Self {
            model,
            archetypes,
            members,
            costs,
            slope,
            expires,
            unknown_archetypes,
            pool,
            known,
            crowd,
        }
    }

    #[inline]
    fn cell(&self, class: usize, index: usize) -> Option<&CellCost> {
        self.model.cell(class, self.archetypes[index]? as usize)
    }

    /// The loads as this pick finds them; `None` while no server answers probes.
    #[inline]
    fn loads(&self, candidates: &Candidates<'_>) -> Option<Loads> {
        if !self.pool.is_lit(candidates.now) {
            return None;
        }
        let width = self.crowd.width(self.slope);
        Some(Loads::new(candidates, &self.pool, &self.archetypes, &self.known, width))
    }

    /// Nanoseconds until an answer from the candidate; `None` in a cell without support.
    #[inline]
    fn score(
        &self,
        candidates: &Candidates<'_>,
        loads: Option<&Loads>,
        class: usize,
        index: usize,
    ) -> Option<f64> {
        let cell = self.cell(class, index)?;
        let node = candidates.node(index);
        let queue = node.queue_delay(candidates.now);
        let Some(loads) = loads else {
            let ahead = node.work_in_flight_nanos();
            return Some(cell.service_nanos() + cell.slope() * ahead + queue);
        };
        let archetype = self.archetypes[index]?;
        let ahead = loads.ahead(candidates, &self.pool, archetype, index);
        let wait = self.costs[archetype as usize] * delay(ahead, loads.width);
        // Where the load is known, only failures are in the queue delay, or what they have left of it.
        Some(cell.service_nanos() + wait + queue.max(0.0))
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
        let loads = self.loads(candidates);
        let loads = loads.as_ref();
        if candidates.len() <= SCAN_UP_TO {
            self.scan(candidates, loads, class, rng, &mut best)?;
            return Ok(best.index);
        }
        if loads.is_some() {
            for found in self.pool.found(candidates) {
                let index = found.index;
                if candidates.is_eligible(index) {
                    best.offer(index, self.score(candidates, loads, class, index), rng)?;
                }
            }
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
                    best.offer(index, self.score(candidates, loads, class, index), rng)?;
                    left -= 1;
                }
                if left == 0 {
                    break;
                }
            }
        }
        if best.index.is_none() {
            self.scan(candidates, loads, class, rng, &mut best)?;
        }
        Ok(best.index)
    }

    #[inline]
    fn scan(
        &self,
        candidates: &Candidates<'_>,
        loads: Option<&Loads>,
        class: usize,
        rng: &mut Rng,
        best: &mut Best,
    ) -> Result<(), Fallback> {
        for index in candidates.eligible() {
            best.offer(index, self.score(candidates, loads, class, index), rng)?;
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
        let node = candidates.node(index);
        let wait = match (self.loads(candidates), self.archetypes[index]) {
            (Some(loads), Some(archetype)) => {
                let ahead = loads.ahead(candidates, &self.pool, archetype, index);
                if let Some(reading) = node.probe.load() {
                    // If another thread was first, its change is as good.
                    let _ = node.probe.use_once(reading, true);
                }
                // As if each of them cost as much, so that the outcome tells how many there were.
                ahead * cell.service_nanos()
            }
            _ => node.work_in_flight_nanos() * cell.slope(),
        };
        let wait = Duration::from_nanos(wait as u64);
        Choice::from(index).by(mode).predicting(cell.service(), wait)
    }
}

/// What a request costs on each archetype of those that a table sends there: classes weighted by their
/// rows and, since most of a class goes where it is cheap, by the inverse square of their cost there.
fn mean_costs(model: &Model) -> Vec<f64> {
    let archetypes = model.archetypes().len();
    let rows =
        |class| (0..archetypes).filter_map(move |a| model.cell(class, a)).map(CellCost::rows);
    let rows: Vec<f64> =
        (0..model.classes().len()).map(|class| rows(class).sum::<u64>() as f64).collect();
    let mean_cost = |archetype| {
        let (mut cost, mut weight) = (0.0, 0.0);
        for (class, rows) in rows.iter().enumerate() {
            if let Some(cell) = model.cell(class, archetype) {
                let service = cell.service_nanos();
                cost += rows / service;
                weight += rows / (service * service);
            }
        }
        if weight > 0.0 { cost / weight } else { 0.0 }
    };
    (0..archetypes).map(mean_cost).collect()
}

fn mean_slope(model: &Model) -> f64 {
    let cells = || {
        let pairs = (0..model.classes().len())
            .flat_map(|class| (0..model.archetypes().len()).map(move |a| (class, a)));
        pairs.filter_map(|(class, archetype)| model.cell(class, archetype))
    };
    let rows: f64 = cells().map(|cell| cell.rows() as f64).sum();
    cells().map(|cell| cell.slope() * cell.rows() as f64).sum::<f64>() / rows.max(1.0)
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
        // With answers, the pick that is asked about has changed them.
        if candidates.len() > SCAN_UP_TO || ready.pool.is_lit(candidates.now) {
            return false;
        }
        let score = |index| ready.score(candidates, None, class, index);
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
            .and_then(|(ready, class)| {
                ready.score(candidates, ready.loads(candidates).as_ref(), class, index)
            })
            .unwrap_or(f64::NAN)
    }
}
