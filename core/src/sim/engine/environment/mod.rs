//! The routing environment: a run of a scenario in which an agent chooses the servers.
//!
//! A step is one decision: the server for the attempt (a request's first, a retry or a hedge) that the
//! last observation shows. Then the run goes on until the next attempt needs a server.
//!
//! The step's reward is `-(0.5 x response time + 0.3 x errors + 0.2 x utilisation)` with
//! [weights](RewardWeights) that can be set. Response times and errors are summed over the requests that
//! ended since the last decision, so that each request counts once and the return of an episode is what
//! all its requests cost. With a mean in place of the sum, an agent could gain by having slow answers
//! come in bunches. Utilisation is the mean, over the listed servers, of the part of each that is in use
//! at the decision. The response time of a request that failed is its whole timeout, however soon it
//! failed: a fast failure must not look like a fast answer. What callers gave up is left out.
//!
//! An episode ends with the scenario, once the last request has ended (the last step's reward holds all
//! of these), or after a number of steps, with what is under way left out.
//!
//! Cost: a step of a small fleet is about a microsecond; see `tests/bench`.

mod observation;

use std::{num::NonZeroU64, sync::Arc};

pub use observation::Feature;
use observation::Layout;

use super::{SetupError, Simulation, agent::Ended, mix};
use crate::sim::scenario::Scenario;

/// The most that clients may send over what the fleet can carry, as for a study.
const HEAVIEST_LOAD: f64 = 10.0;

/// A run of a scenario in which an agent chooses the servers.
///
/// ```
/// use std::sync::Arc;
/// use trimtab_core::sim::{Environment, EnvironmentConfig, Scenario};
/// # let text = r#"
/// #     name = "two servers"
/// #     duration = "2s"
/// #     [traffic]
/// #     load = 0.5
/// #     [[classes]]
/// #     name = "all"
/// #     work = { exponential = "10ms" }
/// #     [[servers]]
/// #     name = "server"
/// #     count = 2
/// # "#;
/// let scenario = Scenario::parse(text, "inline.toml".as_ref())?;
/// let mut environment = Environment::new(&Arc::new(scenario), &EnvironmentConfig::default())?;
/// let mut observation = vec![0.0; environment.features().len()];
/// let mut mask = vec![0; environment.servers().len()];
/// environment.reset(1)?;
/// loop {
///     environment.observe(&mut observation, &mut mask);
///     let server = mask.iter().position(|allowed| *allowed == 1).unwrap_or(0);
///     if environment.step(server)?.truncated {
///         break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Environment {
    scenario: Arc<Scenario>,
    config: Arc<EnvironmentConfig>,
    layout: Arc<Layout>,
    simulation: Option<Simulation>,
    /// Decisions in this episode.
    steps: u64,
    /// Whose request the last decision was for.
    viewer: u32,
}

/// How an [`Environment`] is run and rewarded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EnvironmentConfig {
    /// Loads as fractions of the capacity, in place of the scenario's; each episode draws one of them.
    pub loads: Vec<f64>,
    /// What the reward is made of.
    pub weights: RewardWeights,
    /// The unit of the reward's response times and the observation's latencies, in seconds.
    pub time_scale: f64,
    /// Decisions after which an episode is cut; the scenario's end if not told.
    pub max_steps: Option<NonZeroU64>,
}

impl Default for EnvironmentConfig {
    fn default() -> Self {
        Self {
            loads: Vec::new(),
            weights: RewardWeights::default(),
            time_scale: 1.0,
            max_steps: None,
        }
    }
}

/// What each part of the reward weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RewardWeights {
    /// A response time of one time scale.
    pub response_time: f64,
    /// A request that failed.
    pub error_rate: f64,
    /// A fleet in full use.
    pub utilization: f64,
}

impl Default for RewardWeights {
    fn default() -> Self {
        Self { response_time: 0.5, error_rate: 0.3, utilization: 0.2 }
    }
}

/// What a step brought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// `-(w1 x response_time + w2 x errors + w3 x utilization)`.
    pub reward: f64,
    /// Response times of the requests that ended, summed, in time scales.
    pub response_time: f64,
    /// How many of them failed.
    pub errors: u32,
    /// How many ended.
    pub completed: u32,
    /// The part of the fleet in use, 0 to 1.
    pub utilization: f64,
    /// Where the request went; `None` if it could go nowhere. Another server than the action's if the
    /// mask forbade that one.
    pub server: Option<u32>,
    /// Whether the episode has ended.
    pub truncated: bool,
}

/// Why an environment cannot be made, or a step not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Loads for a scenario that takes none.
    #[error(
        "load can be given for a scenario that has `traffic.load` or `traffic.loads`; this one has a rate"
    )]
    NoLoads,
    /// A number outside its range.
    #[error("{name} = {value} must {rule}")]
    OutOfRange {
        /// Which number.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A server that there is not.
    #[error("action {action} is no server; there are {servers}, from 0")]
    Action {
        /// What was given.
        action: usize,
        /// How many servers there are.
        servers: usize,
    },
    /// A step before the first reset.
    #[error("reset the environment before its first step")]
    NotReset,
    /// The scenario cannot be run.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Environment {
    /// Makes an environment; [`Environment::reset`] comes next.
    ///
    /// # Errors
    /// [`EnvironmentError`], for a number out of its range or a scenario that cannot be run.
    pub fn new(
        scenario: &Arc<Scenario>,
        config: &EnvironmentConfig,
    ) -> Result<Self, EnvironmentError> {
        config.check()?;
        let mut loads = scenario.loads();
        if !config.loads.is_empty() {
            if loads == [None] {
                return Err(EnvironmentError::NoLoads);
            }
            loads = config.loads.iter().copied().map(Some).collect();
        }
        let first = loads[0];
        let loads = loads.into_iter().flatten().collect();
        let config = EnvironmentConfig { loads, ..config.clone() };
        let simulation = Simulation::for_agent(scenario, first, 0)?;
        let layout = Layout::new(&simulation, config.time_scale);
        Ok(Self {
            scenario: Arc::clone(scenario),
            config: Arc::new(config),
            layout: Arc::new(layout),
            simulation: None,
            steps: 0,
            viewer: 0,
        })
    }

    /// Another one like this, not reset yet. They share what does not change.
    pub fn another(&self) -> Self {
        Self {
            scenario: Arc::clone(&self.scenario),
            config: Arc::clone(&self.config),
            layout: Arc::clone(&self.layout),
            simulation: None,
            steps: 0,
            viewer: 0,
        }
    }

    /// The servers' ids, spare ones included: an action is a place in this list.
    pub fn servers(&self) -> &[String] {
        self.layout.servers()
    }

    /// What the entries of an observation are.
    pub fn features(&self) -> &[Feature] {
        self.layout.features()
    }

    /// Starts an episode. The same seed and actions give the same episode.
    ///
    /// # Errors
    /// [`EnvironmentError::Setup`], for traffic that cannot be generated.
    pub fn reset(&mut self, seed: u64) -> Result<(), EnvironmentError> {
        let loads = &self.config.loads;
        let drawn = mix(seed, 0x10AD) as usize % loads.len().max(1);
        let mut simulation =
            Simulation::for_agent(&self.scenario, loads.get(drawn).copied(), seed)?;
        simulation.next_decision();
        self.simulation = Some(simulation);
        (self.steps, self.viewer) = (0, 0);
        Ok(())
    }

    /// Writes what the client of the request that waits can see of itself, the request and the fleet to
    /// `observation`, as long as [`Environment::features`], and to `mask`, as long as
    /// [`Environment::servers`], 1 for each server that may be chosen, else 0. After the last request of
    /// an episode there is no request to be seen, and nothing may be chosen.
    ///
    /// # Panics
    /// If a slice is shorter than that.
    pub fn observe(&mut self, observation: &mut [f32], mask: &mut [i8]) {
        observation.fill(0.0);
        mask.fill(0);
        let Some(simulation) = &self.simulation else { return };
        let decision = simulation.decision();
        if let Some(flying) = decision.and_then(|flight| simulation.flights.look_at(flight)) {
            self.viewer = flying.arrival.client;
        }
        if let Some(flight) = decision {
            simulation.mask(flight, mask);
        }
        self.layout.fill(simulation, decision, self.viewer, observation);
    }

    /// Sends the attempt that waits to the server of that number, and goes on to the next one. To one
    /// that the mask forbids nothing is sent: the balancer draws another.
    ///
    /// # Errors
    /// [`EnvironmentError::Action`], [`EnvironmentError::NotReset`].
    pub fn step(&mut self, action: usize) -> Result<Step, EnvironmentError> {
        let servers = self.servers().len();
        if action >= servers {
            return Err(EnvironmentError::Action { action, servers });
        }
        let simulation = self.simulation.as_mut().ok_or(EnvironmentError::NotReset)?;
        let utilization = simulation.in_use();
        if let Some(agent) = &mut simulation.agent {
            agent.ended = Ended::default();
        }
        let server = simulation.route(action as u32);
        self.steps += 1;
        let over = simulation.next_decision().is_none();
        let ended = simulation.agent.as_ref().map(|agent| agent.ended).unwrap_or_default();
        let response_time = ended.seconds / self.config.time_scale;
        let weights = &self.config.weights;
        let cost = weights.response_time * response_time
            + weights.error_rate * f64::from(ended.errors)
            + weights.utilization * utilization;
        Ok(Step {
            reward: -cost,
            response_time,
            errors: ended.errors,
            completed: ended.requests,
            utilization,
            server,
            truncated: over || self.config.max_steps.is_some_and(|most| self.steps >= most.get()),
        })
    }

    /// Virtual seconds since the episode began.
    pub fn seconds(&self) -> f64 {
        self.simulation.as_ref().map_or(0.0, |simulation| simulation.now.as_nanos() as f64 / 1e9)
    }

    /// Requests that each server holds now, waiting ones included. For people to look at: agents see
    /// only what their clients sent.
    pub fn held(&self) -> Vec<u32> {
        let servers = self.simulation.iter().flat_map(|simulation| &simulation.servers);
        servers.map(|server| server.in_system).collect()
    }
}

impl EnvironmentConfig {
    fn check(&self) -> Result<(), EnvironmentError> {
        let in_range = |name, value: f64, rule, holds: bool| {
            if holds { Ok(()) } else { Err(EnvironmentError::OutOfRange { name, value, rule }) }
        };
        for load in &self.loads {
            let holds = *load > 0.0 && *load <= HEAVIEST_LOAD;
            in_range("load", *load, "be above 0 and at most 10", holds)?;
        }
        let RewardWeights { response_time, error_rate, utilization } = self.weights;
        for (name, weight) in [
            ("weights.response_time", response_time),
            ("weights.error_rate", error_rate),
            ("weights.utilization", utilization),
        ] {
            in_range(
                name,
                weight,
                "be at least 0 and finite",
                weight >= 0.0 && weight.is_finite(),
            )?;
        }
        let scale = self.time_scale;
        in_range("time_scale", scale, "be seconds above 0", scale > 0.0 && scale.is_finite())
    }
}
