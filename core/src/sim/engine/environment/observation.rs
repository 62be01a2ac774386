//! What an agent sees: a vector of fixed length, with names and bounds.
//!
//! It holds what the client of the request that waits can know by itself: the request, the client's own
//! traffic, and of each server what its balancer has measured there. What the servers hide (their
//! queues, their speed) is not in it. First the request's and the client's entries, then the same
//! entries for each server.
//!
//! | entry | unit | bounds |
//! |---|---|---|
//! | `time_sin`, `time_cos` | the time of day: where the scenario's day is now; a day has 24 h if it gives none | -1 to 1 |
//! | `rate` | the client's requests a second over its mean share of the scenario's rate | 0 to 100 |
//! | `mean_latency` | time scales that its requests took | 0 to 1000 |
//! | `error_rate` | the part of them that failed | 0 to 1 |
//! | `attempt` | attempts of this request before this one | 0 to 100 |
//! | `prompt_ktokens` | thousands of tokens in the prompt, where a server is an LLM | 0 to 10000 |
//! | `class=NAME` | 1 for the class that the request says it has | 0 or 1 |
//! | `region=NAME` | 1 for where the client is, where clients are in several places | 0 or 1 |
//! | `SERVER.up` | 1 if it is listed and not ejected | 0 or 1 |
//! | `SERVER.in_flight` | the client's own requests there | 0 to 1e6 |
//! | `SERVER.mean_latency` | moving average of its latency (to the first byte), time scales | 0 to 1000 |
//! | `SERVER.peak_latency` | the same as peak-EWMA, failures included: what to expect now | 0 to 1000 |
//! | `SERVER.error_rate` | failures over answers in the last ten seconds | 0 to 1 |
//! | `SERVER.round_trip` | the network's round trip, time scales, where there is a network | 0 to 1000 |
//! | `SERVER.archetype=NAME` | 1 for what kind of server it is said to be | 0 or 1 |
//!
//! The client's averages are over about its last 60 requests. What was never measured is 0; so is
//! everything of a server that the client has not heard of. Values beyond their bounds are cut.

use super::super::{Simulation, flights::FlightId};
use crate::node::Node;

/// One entry of an observation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Feature {
    /// What it is.
    pub name: String,
    /// The least that it can be.
    pub low: f32,
    /// The most that it can be.
    pub high: f32,
}

const RATE: f32 = 100.0;
const LATENCY: f32 = 1000.0;
const ATTEMPTS: f32 = 100.0;
const KTOKENS: f32 = 10_000.0;
const IN_FLIGHT: f32 = 1e6;
/// A day, where the scenario gives none.
const DAY_S: f64 = 86_400.0;

/// Which entry stands where, and in which units.
#[derive(Debug)]
pub(super) struct Layout {
    features: Vec<Feature>,
    servers: Vec<String>,
    /// Entries before the servers'.
    ahead: usize,
    per_server: usize,
    classes: usize,
    /// Where clients are; 0 if all are in one place.
    regions: usize,
    /// Of each server.
    archetypes: Vec<usize>,
    tokens: bool,
    network: bool,
    day_s: f64,
    time_scale: f64,
}

impl Layout {
    pub(super) fn new(simulation: &Simulation, time_scale: f64) -> Self {
        let scenario = &simulation.scenario;
        let names: Vec<&String> = scenario
            .servers
            .iter()
            .map(|group| group.archetype.as_ref().unwrap_or(&group.name))
            .collect();
        let mut known = Vec::new();
        for name in &names {
            if !known.contains(name) {
                known.push(*name);
            }
        }
        let place = |group: u32| known.iter().position(|name| *name == names[group as usize]);
        let archetypes: Vec<usize> =
            simulation.servers.iter().filter_map(|server| place(server.group)).collect();
        let places = &simulation.routes.clients;
        let regions = if places.len() > 1 { places.as_slice() } else { &[] };
        let tokens = scenario.has_llm();
        let network = simulation.routes.trips().iter().any(|trip| !trip.is_zero())
            || scenario.network.jitter.get() > 0.0;

        let mut features = Vec::new();
        let mut add = |name: String, low: f32, high: f32| {
            features.push(Feature { name, low, high });
        };
        add("time_sin".to_owned(), -1.0, 1.0);
        add("time_cos".to_owned(), -1.0, 1.0);
        add("rate".to_owned(), 0.0, RATE);
        add("mean_latency".to_owned(), 0.0, LATENCY);
        add("error_rate".to_owned(), 0.0, 1.0);
        add("attempt".to_owned(), 0.0, ATTEMPTS);
        if tokens {
            add("prompt_ktokens".to_owned(), 0.0, KTOKENS);
        }
        for class in &scenario.classes {
            add(format!("class={}", class.name), 0.0, 1.0);
        }
        for region in regions {
            add(format!("region={region}"), 0.0, 1.0);
        }
        let servers = simulation.ids();
        for server in &servers {
            add(format!("{server}.up"), 0.0, 1.0);
            add(format!("{server}.in_flight"), 0.0, IN_FLIGHT);
            add(format!("{server}.mean_latency"), 0.0, LATENCY);
            add(format!("{server}.peak_latency"), 0.0, LATENCY);
            add(format!("{server}.error_rate"), 0.0, 1.0);
            if network {
                add(format!("{server}.round_trip"), 0.0, LATENCY);
            }
            for archetype in &known {
                add(format!("{server}.archetype={archetype}"), 0.0, 1.0);
            }
        }
        let (classes, regions) = (scenario.classes.len(), regions.len());
        Self {
            features,
            servers,
            ahead: 6 + usize::from(tokens) + classes + regions,
            per_server: 5 + usize::from(network) + known.len(),
            classes,
            regions,
            archetypes,
            tokens,
            network,
            day_s: scenario.traffic.day.map_or(DAY_S, |day| day.period.secs()),
            time_scale,
        }
    }

    pub(super) fn features(&self) -> &[Feature] {
        &self.features
    }

    pub(super) fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Fills an observation, all of it 0 before, with what a client sees.
    #[inline]
    pub(super) fn fill(
        &self,
        simulation: &Simulation,
        decision: Option<FlightId>,
        viewer: u32,
        observation: &mut [f32],
    ) {
        let (ahead, servers) = observation.split_at_mut(self.ahead);
        self.fill_ahead(simulation, decision, viewer, ahead);
        let client = &simulation.clients[viewer as usize];
        let blocks = servers.chunks_exact_mut(self.per_server);
        for (number, (node, block)) in client.nodes.iter().zip(blocks).enumerate() {
            if let Some(node) = node {
                self.fill_server(simulation, client.locality, number, node, block);
            }
        }
    }

    fn fill_ahead(
        &self,
        simulation: &Simulation,
        decision: Option<FlightId>,
        viewer: u32,
        entries: &mut [f32],
    ) {
        let day = simulation.now.as_nanos() as f64 / 1e9 / self.day_s;
        let (sin, cos) = (std::f64::consts::TAU * day.fract()).sin_cos();
        (entries[0], entries[1]) = (sin as f32, cos as f32);
        if let Some(agent) = &simulation.agent {
            let pace = &agent.paces[viewer as usize];
            if let Some(gap) = pace.gap.get() {
                let share = simulation.rate / simulation.clients.len() as f64;
                entries[2] = cut(1.0 / (gap * share), RATE);
            }
            entries[3] = self.scaled(pace.latency.get().unwrap_or(0.0));
            entries[4] = pace.errors.get().unwrap_or(0.0) as f32;
        }
        let places = 6 + usize::from(self.tokens);
        if self.regions > 0 {
            let region = simulation.clients[viewer as usize].locality as usize;
            entries[places + self.classes + region] = 1.0;
        }
        let Some(flying) = decision.and_then(|flight| simulation.flights.look_at(flight)) else {
            return;
        };
        entries[5] = cut(f64::from(flying.attempts), ATTEMPTS);
        if self.tokens {
            entries[6] = cut(f64::from(flying.arrival.prompt_tokens) / 1e3, KTOKENS);
        }
        entries[places + flying.arrival.said as usize] = 1.0;
    }

    #[inline]
    fn fill_server(
        &self,
        simulation: &Simulation,
        locality: u32,
        number: usize,
        node: &Node,
        entries: &mut [f32],
    ) {
        let now = simulation.now;
        let nanos = |nanos: Option<f32>| self.scaled(f64::from(nanos.unwrap_or(0.0)) / 1e9);
        entries[0] = f32::from(u8::from(node.is_member() && node.is_up(now)));
        entries[1] = cut(f64::from(node.in_flight()), IN_FLIGHT);
        entries[2] = nanos(node.mean_latency());
        entries[3] = nanos(node.peak_latency(now));
        entries[4] = node.recent(now).rate().map_or(0.0, |good| (1.0 - good) as f32);
        if self.network {
            let there = simulation.servers[number].locality;
            let trip = simulation.routes.base(locality, there) * 2;
            entries[5] = self.scaled(trip.as_secs_f64());
        }
        entries[5 + usize::from(self.network) + self.archetypes[number]] = 1.0;
    }

    /// Seconds as time scales.
    #[inline]
    fn scaled(&self, seconds: f64) -> f32 {
        cut(seconds / self.time_scale, LATENCY)
    }
}

/// A number of at least 0 kept below its bound; what is no number is 0.
#[inline]
fn cut(value: f64, high: f32) -> f32 {
    (value as f32).max(0.0).min(high)
}
