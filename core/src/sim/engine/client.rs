//! One client: its own balancer, its own view, its own luck.

use std::{sync::Arc, time::Duration};

use super::{
    super::scenario::{Clients, PolicyChoice, within},
    server::Server,
};
use crate::{
    Balancer, ConfigError, Endpoint, HealthConfig, Node, Place, RetryBudget, Rng, Weight,
    learn::Model, log::DecisionLog, policy::Policy,
};

#[derive(Debug)]
pub(super) struct Client {
    pub(super) balancer: Balancer,
    pub(super) rng: Rng,
    pub(super) budget: RetryBudget,
    /// Its locality's place in the routes.
    pub(super) locality: u32,
    /// Its nodes by server, those it has met in its fleet.
    pub(super) nodes: Vec<Option<Arc<Node>>>,
    pub(super) slow: SlowEnough,
}

impl Client {
    pub(super) fn new(
        config: &Clients,
        policy: Box<dyn Policy>,
        place: Place,
        locality: u32,
        endpoints: &[Endpoint],
        mut rng: Rng,
        log: Option<Arc<DecisionLog>>,
    ) -> Result<Self, ConfigError> {
        let health = HealthConfig {
            consecutive_failures: config.consecutive_failures,
            ..HealthConfig::default()
        };
        let mut builder = Balancer::builder()
            .policy(policy)
            .endpoints(endpoints.iter().cloned())
            .decay(config.decay.get())
            .health(health)
            .explore(config.explore.get());
        if let Some(outlier) = &config.outlier {
            builder = builder.outlier_detection(outlier.config());
        }
        if config.prefer_near {
            builder = builder.locality(place);
        }
        if let Some(log) = log {
            builder = builder.log(log);
        }
        let balancer = builder.build()?;
        balancer.jitter_by(rng.bits());
        Ok(Self {
            balancer,
            rng,
            budget: RetryBudget::default(),
            locality,
            nodes: Vec::new(),
            slow: SlowEnough::default(),
        })
    }

    /// Finds its nodes again after its fleet has changed.
    pub(super) fn meet(&mut self, servers: usize, number: impl Fn(&Node) -> u32) {
        self.nodes.resize(servers, None);
        for node in self.balancer.fleet().snapshot().nodes() {
            let server = number(node) as usize;
            if self.nodes[server].as_ref().is_none_or(|known| !Arc::ptr_eq(known, node)) {
                self.nodes[server] = Some(Arc::clone(node));
            }
        }
    }
}

/// The policy of one client, and the place it is told it is at.
pub(super) fn policy_for(
    choice: &PolicyChoice,
    model: Option<Arc<Model>>,
    locality: &str,
    rng: &mut Rng,
) -> Result<(Box<dyn Policy>, Place), String> {
    let place = Place::in_region(region(locality));
    choice.build(model, &place, rng).map(|policy| (policy, place))
}

/// The description that discovery gives of a server.
pub(super) fn endpoint(
    server: &Server,
    number: usize,
    group: &super::super::scenario::Group,
) -> Result<Endpoint, ConfigError> {
    let archetype = group.archetype.as_ref().unwrap_or(&group.name);
    let mut endpoint = Endpoint::new(number.to_string())
        .with_id(server.id.as_str())
        .with_weight(Weight::new(group.weight.get())?)
        .with_label("archetype", archetype.as_str());
    if !group.locality.is_empty() {
        endpoint = endpoint.with_region(region(&group.locality));
        if let Some((_, zone)) = group.locality.split_once('/') {
            endpoint = endpoint.with_zone(zone);
        }
    }
    Ok(endpoint)
}

fn region(locality: &str) -> &str {
    locality.split_once('/').map_or(locality, |(region, _)| region)
}

/// Whether a rule for `place` holds for `locality`; an empty locality lies nowhere.
pub(super) fn lies_in(locality: &str, place: &str) -> bool {
    within(locality, place)
}

/// When an answer is slow enough for a second attempt: a quantile of the last 256 latencies, looked at
/// anew every 32.
#[derive(Debug, Default)]
pub(super) struct SlowEnough {
    latest: Vec<u64>,
    recorded: usize,
    known: Option<Duration>,
}

impl SlowEnough {
    const KEPT: usize = 256;
    const EVERY: usize = 32;

    pub(super) fn record(&mut self, took: Duration, quantile: f64) {
        let nanos = took.as_nanos() as u64;
        if self.latest.len() < Self::KEPT {
            self.latest.push(nanos);
        } else {
            self.latest[self.recorded % Self::KEPT] = nanos;
        }
        self.recorded += 1;
        if self.recorded.is_multiple_of(Self::EVERY) {
            let mut sorted = self.latest.clone();
            sorted.sort_unstable();
            let place = ((sorted.len() - 1) as f64 * quantile).round() as usize;
            self.known = Some(Duration::from_nanos(sorted[place]));
        }
    }

    /// `None` until enough is known.
    pub(super) fn get(&self) -> Option<Duration> {
        self.known
    }
}
