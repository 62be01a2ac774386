//! Weighted round robin, by what servers report of their load.
//!
//! Source: gRFC A58 and A114, gRPC C-core. A server that tells its rate of requests and how full that
//! makes it tells what it could carry: its weight ([`WeightedRoundRobinConfig`]) is the rate over the
//! utilization. Turns are dealt by static stride (`stride.rs`), so that shares are even in time and not
//! by chance.
//!
//! Which weight an endpoint has, at each update:
//!
//! - at least two endpoints of the group have a usable report: those have the reported weight, and the
//!   operator's counts no longer for them, for it would say the same thing twice. One without has the
//!   mean of the reported ones, times its operator's weight over the mean of theirs; A58's plain mean
//!   where the operator gave no weights;
//! - fewer: each has the operator's weight. Where there are none of these either, that is plain round
//!   robin, as in A58.
//!
//! A report is usable from the blackout, which begins with the first one, to its expiration. The
//! blackout begins again after the expiration, and when an endpoint comes back: from an ejection, or
//! from draining. Reports that come while it is ejected do not count.
//!
//! Reports come with the answers ([`Outcome::with_load`](crate::Outcome::with_load)) or beside them
//! ([`Node::record_load_report`]); A58 has one of the two switched on, here both are heard.
//!
//! Failure guarded against: fast and slow servers under equal shares. Not guarded against: queues
//! between two reports; weights are seconds old.
//!
//! Cost: a pick is a load of the turns, and max / mean tries in them; a report is a few stores; an
//! update is proportional to the fleet, off the request path, in [`Balancer::tick`](crate::Balancer::tick).
//! Where nobody calls that, operator's weights are all there is.

mod config;
mod stride;

use std::sync::Arc as StdArc;

pub use config::WeightedRoundRobinConfig;

use self::{config::Settings, stride::Turns};
use super::{Candidates, Choice, Picker, Policy, Refusal, propensity};
use crate::{
    cell::Cell,
    error::ConfigError,
    node::Node,
    rng::Rng,
    signal::LoadReport,
    sync::{Arc, AtomicU32, AtomicU64, Ordering},
    time::Time,
};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct WeightedRoundRobin {
    state: Arc<State>,
}

/// What outlives the fleet's changes.
#[derive(Debug)]
struct State {
    settings: Settings,
    sequence: AtomicU32,
    /// The latest time that an update was told, for groups that are new between two.
    updated: AtomicU64,
}

impl WeightedRoundRobin {
    /// With other settings than the default ones.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] and [`ConfigError::UnknownMetric`].
    pub fn new(config: WeightedRoundRobinConfig) -> Result<Self, ConfigError> {
        Ok(Self::with(config.parse()?, 0))
    }

    /// Starts from sequence number `start`; give each client its own.
    pub fn starting_at(start: u32) -> Self {
        Self::with(Settings::default(), start)
    }

    /// The same from sequence number `start`.
    pub fn from_turn(self, start: u32) -> Self {
        self.state.sequence.store(start, Ordering::Relaxed);
        self
    }

    fn with(settings: Settings, start: u32) -> Self {
        let (sequence, updated) = (AtomicU32::new(start), AtomicU64::new(0));
        Self { state: Arc::new(State { settings, sequence, updated }) }
    }
}

impl Default for WeightedRoundRobin {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl Policy for WeightedRoundRobin {
    fn name(&self) -> &'static str {
        "weighted_round_robin"
    }

    fn picker(&self, group: &[StdArc<Node>]) -> Box<dyn Picker> {
        let now = Time::from_nanos(self.state.updated.load(Ordering::Relaxed));
        let turns = StdArc::new(self.state.turns(group, now));
        Box::new(Weighted {
            state: Arc::clone(&self.state),
            nodes: group.into(),
            due: AtomicU64::new(0),
            turns: Cell::new(turns),
        })
    }

    fn reported(&self, node: &Node, now: Time, report: &LoadReport) {
        if let Some(weight) = self.state.settings.weight_of(report)
            && node.is_up(now)
        {
            node.reported_weight.record(now, weight, self.state.settings.expiration);
        }
    }
}

impl State {
    fn turns(&self, nodes: &[StdArc<Node>], now: Time) -> Turns {
        Turns::new(&self.weights(nodes, now))
    }

    /// What each is to have, relative to the others.
    fn weights(&self, nodes: &[StdArc<Node>], now: Time) -> Vec<f64> {
        let Settings { blackout, expiration, .. } = self.settings;
        let reported = |node: &Node| node.reported_weight.get(now, blackout, expiration);
        let reported: Vec<Option<f64>> =
            nodes.iter().map(|node| reported(node).map(f64::from)).collect();
        let given: Vec<f64> = nodes.iter().map(|node| f64::from(node.weight())).collect();
        let usable = || given.iter().zip(&reported).filter_map(|(g, r)| Some((*g, (*r)?)));
        if usable().nth(1).is_none() {
            return given;
        }
        let (all_given, all_reported) =
            usable().fold((0.0, 0.0), |(given, reported), (g, r)| (given + g, reported + r));
        let mean = all_reported / all_given;
        given
            .iter()
            .zip(reported)
            .map(|(given, reported)| reported.unwrap_or(given * mean))
            .collect()
    }
}

/// A group of endpoints and their turns.
#[derive(Debug)]
struct Weighted {
    state: Arc<State>,
    nodes: Box<[StdArc<Node>]>,
    /// When the next update is due.
    due: AtomicU64,
    turns: Cell<Turns>,
}

impl Picker for Weighted {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let turns = self.turns.load();
        if turns.is_empty() {
            return Err(Refusal::NoneEligible);
        }
        for _ in 0..=turns.len() {
            match turns.next(&self.state.sequence) {
                Some(index) if candidates.is_eligible(index) => return Ok(index.into()),
                _ => {}
            }
        }
        // The few that are eligible are light: their turn may be far.
        candidates.draw(rng).map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        let turns = self.turns.load();
        propensity::proportional(candidates, |index| turns.share(index), out);
        true
    }

    fn tick(&self, now: Time) {
        self.state.updated.fetch_max(now.as_nanos(), Ordering::Relaxed);
        if now.as_nanos() < self.due.load(Ordering::Relaxed) {
            return;
        }
        let next = now + self.state.settings.update_every;
        self.due.store(next.as_nanos(), Ordering::Relaxed);
        let turns = self.state.turns(&self.nodes, now);
        if *self.turns.load() != turns {
            self.turns.store(StdArc::new(turns));
        }
    }
}
