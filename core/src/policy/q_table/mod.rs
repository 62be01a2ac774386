//! The learned table, decomposed: predicted service cost, plus what waits in front of it.
//!
//! ```text
//! servers answer probes:  m[class, archetype] + c[archetype] x delay(requests there) + failures
//! nobody does:            m[class, archetype] + slope x own work in flight + queue delay (1 s average)
//! ```
//!
//! `m` and `slope` come from a [`Model`] trained offline from logs. What it can win is request class x
//! endpoint archetype, which no class-blind policy sees.
//!
//! The rest is the load, which no log knows. With many clients a process's own requests say little of
//! it, so three random endpoints are probed with each pick, as under [`prequal`](super::prequal), and the
//! answers of up to 64 endpoints are kept for a second. An answer says how many requests are there; what
//! it says is worth less the older it is, and falls to the mean of its archetype (`load.rs`). `c` is what
//! one of them costs there, and `delay` what a request waits behind so many (`crowd.rs`). What this process
//! has sent since counts too, and it is never thought to have fewer there than it knows of. Failures
//! charge the answer as they do under `prequal`, and at once by their cost, which fades within
//! seconds.
//!
//! While no answer has come for a second, own work stands in, the sum of the predicted costs of this
//! process's requests there, and the queue delay is learned online from what requests take beyond their
//! prediction. That average is noise where a client sends an endpoint few requests a second, so where
//! there are answers it is left out.
//!
//! It refuses, so that its fallback decides, where the model is missing, stale or made for other
//! features, and for classes it does not know. Where only some candidates' cells have too few rows it
//! follows SPIBB (Laroche and others, 2019): a peak-EWMA pick that falls on such a candidate stands,
//! and any other goes to the best supported one. Fleets up to 64 are scanned; larger ones draw two
//! candidates an archetype, and compare them with those that have answered.

mod crowd;
mod load;
mod table;

use std::{sync::Arc, time::Duration};

use self::{
    crowd::Crowd,
    table::{Ready, Table},
};
use super::{
    FailSafe, FailSafeConfig, Fallback, Feedback, PeakEwma, Picker, Policy, PrequalConfig, Probing,
    prequal::{known::Known, limits::Limits},
};
use crate::{
    cell::Cell,
    error::ConfigError,
    learn::{Model, feature_hash},
    node::Node,
    time::Time,
};

/// See the [module](self). Use it [guarded](QTable::guarded), as
/// [`by_name("q_table")`](super::by_name) does.
#[derive(Debug)]
pub struct QTable {
    model: Arc<Cell<Option<Arc<Model>>>>,
    max_age: Option<Duration>,
    known: Arc<Known>,
    crowd: Arc<Crowd>,
}

/// Endpoints whose answers are kept.
const ANSWERS: usize = 64;

impl QTable {
    /// Routes by `model`; without one it refuses until [`Policy::set_model`] brings one.
    pub fn new(model: Option<Arc<Model>>) -> Self {
        Self {
            model: Arc::new(Cell::new(Arc::new(model))),
            max_age: None,
            known: Arc::new(known(PrequalConfig::default())),
            crowd: Arc::new(Crowd::new()),
        }
    }

    /// Probes so many endpoints with each pick, on average, 0 to 16; 3 if not told. With 0 it asks nobody.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for any other number.
    pub fn with_probes_per_pick(mut self, probes: f64) -> Result<Self, ConfigError> {
        let config = PrequalConfig::default().with_probes_per_pick(probes);
        self.known = Arc::new(known(config.checked()?));
        Ok(self)
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

fn known(config: PrequalConfig) -> Known {
    let keep_all = |config: &PrequalConfig, endpoints: usize| Limits {
        size: config.pool_size.min(endpoints),
        uses: f64::INFINITY,
        removals: 0.0,
    };
    Known::with_limits(config.with_pool_size(ANSWERS), keep_all)
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
        let expires = self.max_age.zip(group.first()).map(|(age, node)| {
            // Model times are Unix times; the shared log origin translates them.
            let until = model.window().end + age;
            Time::from_nanos(
                u64::try_from(until.saturating_sub(node.shared.unix_origin).as_nanos())
                    .unwrap_or(u64::MAX),
            )
        });
        let pool = self.known.pool(group);
        let (known, crowd) = (Arc::clone(&self.known), Arc::clone(&self.crowd));
        Box::new(Table::of(Ready::new(model, group, expires, pool, known, crowd)))
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        let Feedback { node, now, latency, .. } = *feedback;
        if let Some(success) = feedback.success {
            node.failing.record(now, !success);
        }
        if feedback.success == Some(false) {
            // It vouched for more than was true.
            node.probe.clear();
            let cost = node.shared.failure_cost(now).as_nanos() as f64;
            node.residual.record_at_least(now, cost);
            return;
        }
        if feedback.charge.is_zero() {
            return;
        }
        let cost = feedback.charge.as_nanos() as f64;
        let wait = feedback.expected_wait.as_nanos() as f64;
        let excess = latency.as_nanos() as f64 - cost;
        let lit = self.known.is_lit(now);
        match (feedback.success, lit) {
            (Some(true), true) => {
                node.residual.record(now, 0.0);
                self.crowd.record(wait / cost, excess / cost);
            }
            (Some(true), false) => node.residual.record(now, excess - wait),
            (_, false) => node.residual.record_at_least(now, excess - wait),
            (_, true) => {}
        }
    }

    fn probing(&self) -> Option<&dyn Probing> {
        self.known.asks().then_some(&*self.known as &dyn Probing)
    }

    fn set_model(&self, model: Arc<Model>) -> Result<(), ConfigError> {
        self.model.store(Arc::new(Some(model)));
        Ok(())
    }

    fn model_hash(&self) -> Option<u64> {
        self.model.load().as_ref().map(|model| model.hash())
    }
}
