//! The balancer: one fleet, one policy, and the way from a request to a lease.

use std::{sync::Arc, time::Duration};

use crate::{
    context::Context,
    endpoint::Endpoint,
    error::{ConfigError, PickError},
    fleet::Fleet,
    learn::Model,
    lease::Lease,
    locality::Place,
    log::DecisionLog,
    outlier::{Detector, OutlierConfig},
    policy::{Candidates, Choice, Fallback, Mode, PeakEwma, Policy},
    rng::Rng,
    shared::Shared,
    signal::{health::HealthConfig, latency::Tau},
    snapshot::Tier,
    sync::Ordering,
    time::Time,
};

/// Picks endpoints for requests. Cheap to clone; clones share everything.
///
/// ```
/// use std::time::Duration;
/// use trimtab_core::{Balancer, Context, Endpoint, Outcome, Rng, Time, policy::PeakEwma};
/// let balancer = Balancer::builder()
///     .policy(PeakEwma::default())
///     .endpoints([Endpoint::new("10.0.0.1:80"), Endpoint::new("10.0.0.2:80")])
///     .build()?;
/// let mut rng = Rng::seeded(1);
/// let lease = balancer.pick(Time::ZERO, &Context::new(), &mut rng)?;
/// // ... send the request to lease.address() ...
/// lease.finish(Time::ZERO + Duration::from_millis(3), Outcome::success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Balancer {
    fleet: Fleet,
}

impl Balancer {
    /// Starts to configure one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Chooses an endpoint for a request. Takes no lock and, unless the decision log takes this
    /// request, allocates nothing.
    ///
    /// # Errors
    /// [`PickError::NoEndpoints`] if the fleet is empty or draining. Endpoints that are down are used
    /// when no other is left.
    #[inline]
    pub fn pick(
        &self,
        now: Time,
        context: &Context<'_>,
        rng: &mut Rng,
    ) -> Result<Lease, PickError> {
        let shared = self.fleet.shared();
        let snapshot = self.fleet.published().load();
        let explore = shared.explore > 0.0 && rng.unit() < shared.explore;
        let ask = |tier: &Tier, candidates: &Candidates<'_>, rng: &mut Rng| {
            if explore && let Some(index) = candidates.draw(rng) {
                return Ok(Choice::from(index).by(Mode::Explored));
            }
            tier.picker.pick(candidates, rng)
        };
        let Some(picked) = snapshot.pick(now, context, rng, ask) else {
            return Err(self.no_endpoints());
        };
        if picked.gate.is_open() {
            shared.counters.fail_open.fetch_add(1, Ordering::Relaxed);
        }
        let record = match &shared.log {
            Some(log) if log.takes(rng) => Some(log.begin(&snapshot, &picked, now, context)),
            _ => None,
        };
        let node = Arc::clone(&picked.tier.nodes[picked.choice.index]);
        let repeat = !context.tried.is_empty() && context.tried.contains(node.id());
        Ok(Lease::new(node, now, picked.choice, repeat, record))
    }

    /// Takes what was measured since the last time into account, in [outlier
    /// detection](crate::outlier) and in the policy: off the request path, in time proportional to the
    /// fleet, whether or not there is traffic. Call it every second. Picks
    /// under way do not wait for it.
    ///
    /// ```
    /// # use trimtab_core::{Balancer, Endpoint, LoadReport, Time, policy::WeightedRoundRobin};
    /// # use std::time::Duration;
    /// # let balancer = Balancer::builder()
    /// #     .policy(WeightedRoundRobin::default())
    /// #     .endpoints([Endpoint::new("a"), Endpoint::new("b")])
    /// #     .build()?;
    /// # let mut now = Time::ZERO;
    /// for _ in 0..60 {
    ///     now += Duration::from_secs(1); // a timer of the data plane's
    ///     balancer.tick(now);
    /// }
    /// # Ok::<(), trimtab_core::ConfigError>(())
    /// ```
    pub fn tick(&self, now: Time) {
        let snapshot = self.fleet.snapshot();
        if let Some(outlier) = &self.fleet.shared().outlier {
            outlier.tick(&snapshot, now);
        }
        for tier in &snapshot.tiers {
            tier.picker.tick(now);
        }
    }

    /// Jitters backoffs by `seed`; data planes give a number of their process. With one seed for all, clients
    /// that ejected an endpoint together would come back to it together, to the nanosecond.
    pub fn jitter_by(&self, seed: u64) {
        self.fleet.shared().jitter.store(seed, Ordering::Relaxed);
    }

    /// The handle to change endpoints by.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The policy's name.
    pub fn policy_name(&self) -> &str {
        self.fleet.shared().policy.name()
    }

    /// Gives a learning policy a new model; the next pick uses it.
    ///
    /// # Errors
    /// [`ConfigError::NoModelWanted`] if the policy uses none.
    pub fn set_model(&self, model: Model) -> Result<(), ConfigError> {
        self.fleet.set_model(Arc::new(model))
    }

    /// The decision log, if one was configured.
    pub fn log(&self) -> Option<&Arc<DecisionLog>> {
        self.fleet.shared().log.as_ref()
    }

    /// What has been counted since the balancer was built.
    pub fn counters(&self) -> Counters {
        let shared = self.fleet.shared();
        Counters {
            ejections: shared.counters.ejections.load(Ordering::Relaxed),
            returns: shared.counters.returns.load(Ordering::Relaxed),
            fail_open: shared.counters.fail_open.load(Ordering::Relaxed),
            fallbacks: shared.fallbacks(),
        }
    }

    #[cold]
    fn no_endpoints(&self) -> PickError {
        let snapshot = self.fleet.snapshot();
        let total = snapshot.nodes().len();
        let draining = (0..total).filter(|index| snapshot.is_draining(*index)).count();
        PickError::NoEndpoints { total, draining }
    }
}

/// Events counted since a balancer was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Endpoints taken out, for failures or because they could not be connected to.
    pub ejections: u64,
    /// Endpoints that answered again after that.
    pub returns: u64,
    /// Picks made with every endpoint down.
    pub fail_open: u64,
    /// Picks that a fallback policy made, by reason.
    pub fallbacks: Vec<(Fallback, u64)>,
}

/// Configures a [`Balancer`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    shared: Shared,
    outlier: Option<OutlierConfig>,
    tau: Duration,
    place: Place,
    endpoints: Vec<Endpoint>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            shared: Shared::new(Box::new(PeakEwma::default())),
            outlier: None,
            tau: Duration::from_secs(10),
            place: Place::default(),
            endpoints: Vec::new(),
        }
    }
}

impl Builder {
    /// How to choose; [`PeakEwma`] if not told.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.shared.policy = Box::new(policy);
        self
    }

    /// The endpoints to start with. At least one is needed.
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }

    /// Prefers the endpoints near this place: the same region, then the nearest regions in order, then
    /// all.
    pub fn locality(mut self, here: Place) -> Self {
        self.place = here;
        self
    }

    /// When failing endpoints are left alone.
    pub fn health(mut self, health: HealthConfig) -> Self {
        self.shared.health = health;
        self
    }

    /// Ejects the endpoints that do worse than the others; none if not told. It needs
    /// [`Balancer::tick`].
    pub fn outlier_detection(mut self, outlier: OutlierConfig) -> Self {
        self.outlier = Some(outlier);
        self
    }

    /// Time constant of the latency averages; 10 s if not told.
    pub fn decay(mut self, tau: Duration) -> Self {
        self.tau = tau;
        self
    }

    /// The latency that a failure counts as, at least; 5 s if not told. Where answers take long it counts
    /// as ten times the slowest success of late. A server's own word (Retry-After) takes its place, up
    /// to 300 s.
    pub fn failure_penalty(mut self, penalty: Duration) -> Self {
        self.shared.failure_penalty = penalty;
        self
    }

    /// Where decisions are logged.
    pub fn log(mut self, log: Arc<DecisionLog>) -> Self {
        self.shared.log = Some(log);
        self
    }

    /// Share of picks, 0 to 1, that choose uniformly at random, so that the log covers what the policy
    /// would not try. 0 if not told.
    pub fn explore(mut self, share: f64) -> Self {
        self.shared.explore = share;
        self
    }

    /// The labels whose values make an endpoint's archetype in logs and models; `["archetype"]` if not
    /// told.
    pub fn archetype_labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.shared.archetype_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Unix time at [`Time::ZERO`], for the log's timestamps and the age of models.
    pub fn unix_origin(mut self, origin: Duration) -> Self {
        self.shared.unix_origin = origin;
        self
    }

    /// Makes the balancer.
    ///
    /// # Errors
    /// [`ConfigError::EmptyFleet`], [`ConfigError::DuplicateId`], or [`ConfigError::OutOfRange`] for a
    /// setting outside its range.
    pub fn build(mut self) -> Result<Balancer, ConfigError> {
        in_range("explore", self.shared.explore, "[0, 1]", |v| (0.0..=1.0).contains(&v))?;
        in_range("decay", self.tau.as_secs_f64(), "(0, inf)", |v| v > 0.0)?;
        self.shared.tau = Tau::new(self.tau);
        let max_ejected = self.shared.health.max_ejected;
        in_range("max_ejected", max_ejected, "[0, 1]", |v| (0.0..=1.0).contains(&v))?;
        if let Some(outlier) = self.outlier {
            outlier.check()?;
            self.shared.counts_waits = outlier.latency.is_some();
            self.shared.outlier = Some(Detector::new(outlier));
        }
        let fleet = Fleet::new(Arc::new(self.shared), self.place, self.endpoints)?;
        Ok(Balancer { fleet })
    }
}

fn in_range(
    name: &'static str,
    value: f64,
    allowed: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), ConfigError> {
    if holds(value) { Ok(()) } else { Err(ConfigError::OutOfRange { name, value, allowed }) }
}
