//! Routing by an agent: the run stops wherever an attempt needs a server and goes on once one is named.
//!
//! First attempts, retries and hedges all wait alike. No time passes while one waits, so nothing else
//! happens meanwhile. What the agent is to learn from is summed between two stops: how the requests
//! ended, each once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    Setup, SetupError, Simulation, arrivals::Arrival, directed::Directed, flights::FlightId,
    tally::End,
};
use crate::{
    sim::scenario::{PolicyChoice, Scenario},
    time::Time,
};

/// What a run keeps for the agent that routes in it.
#[derive(Debug)]
pub(super) struct Agent {
    /// Attempts that need a server.
    waiting: VecDeque<FlightId>,
    /// What each client has seen of its own traffic.
    pub(super) paces: Vec<Pace>,
    /// Since the last stop.
    pub(super) ended: Ended,
}

/// How requests ended. Those that their callers gave up are left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) requests: u32,
    pub(super) errors: u32,
    /// Seconds from arrival to end, summed. A failed request counts its whole timeout: a fast failure
    /// must not look like a fast answer.
    pub(super) seconds: f64,
}

/// A client's own traffic, averaged over about its last 60 requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    last: Option<Time>,
    /// Seconds between two requests.
    pub(super) gap: Mean,
    /// Seconds from arrival to end.
    pub(super) latency: Mean,
    pub(super) errors: Mean,
}

/// A moving average that starts at its first sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean(Option<f64>);

impl Simulation {
    /// Sets up a run whose attempts wait for [`Simulation::route`].
    pub(super) fn for_agent(
        scenario: &Arc<Scenario>,
        load: Option<f64>,
        seed: u64,
    ) -> Result<Self, SetupError> {
        let setup = Setup::new(PolicyChoice::named("agent"), load, seed);
        let mut simulation = Self::with(scenario, &setup, Some(Directed::default()))?;
        let paces = vec![Pace::default(); simulation.clients.len()];
        let agent = Agent { waiting: VecDeque::new(), paces, ended: Ended::default() };
        simulation.agent = Some(Box::new(agent));
        Ok(simulation)
    }

    /// Runs until an attempt needs a server; `None` once everything is over.
    #[inline]
    pub(super) fn next_decision(&mut self) -> Option<FlightId> {
        loop {
            if let Some(flight) = self.decision() {
                return Some(flight);
            }
            if self.step() {
                return None;
            }
        }
    }

    /// The attempt that needs a server now.
    #[inline]
    pub(super) fn decision(&self) -> Option<FlightId> {
        self.agent.as_ref()?.waiting.front().copied()
    }

    /// Sends the attempt that waits to a server; to one that may be chosen, at random, if that one may
    /// not. Returns where it went.
    #[inline]
    pub(super) fn route(&mut self, server: u32) -> Option<u32> {
        let flight = self.agent.as_mut()?.waiting.pop_front()?;
        if let Some(directed) = &self.directed {
            directed.point_at(server);
        }
        self.dispatch(flight)
    }

    /// Has an attempt wait, unless its client knows no server at all: then there is nothing to decide.
    #[inline]
    pub(super) fn await_agent(&mut self, flight: FlightId) {
        let Some(flying) = self.flights.look_at(flight) else { return };
        let nodes = &self.clients[flying.arrival.client as usize].nodes;
        if !nodes.iter().flatten().any(|node| node.is_member()) {
            self.dispatch(flight);
        } else if let Some(agent) = &mut self.agent {
            agent.waiting.push_back(flight);
        }
    }

    /// Marks in `mask` the servers that the balancer lets a policy choose for an attempt: those that
    /// are up and not tried by its request; if there are none, those that are up; if all are down, those
    /// not tried; if all are, any.
    pub(super) fn mask(&self, flight: FlightId, mask: &mut [i8]) {
        let Some(flying) = self.flights.look_at(flight) else { return };
        let nodes = &self.clients[flying.arrival.client as usize].nodes;
        let mut best = 1;
        for (level, node) in mask.iter_mut().zip(nodes) {
            *level = match node {
                Some(node) if node.is_member() => {
                    let untried = flying.tried.is_empty() || !flying.tried.contains(node.id());
                    1 + 2 * i8::from(node.is_up(self.now)) + i8::from(untried)
                }
                _ => 0,
            };
            best = best.max(*level);
        }
        for level in mask {
            *level = i8::from(*level == best);
        }
    }

    /// The mean, over the servers that discovery lists, of the part of each that is in use.
    pub(super) fn in_use(&self) -> f64 {
        let (mut sum, mut listed) = (0.0, 0_u32);
        for server in self.servers.iter().filter(|server| server.listed) {
            sum += server.in_use();
            listed += 1;
        }
        if listed == 0 { 0.0 } else { sum / f64::from(listed) }
    }
}

impl Agent {
    #[inline]
    pub(super) fn arrived(&mut self, client: u32, now: Time) {
        let pace = &mut self.paces[client as usize];
        if let Some(last) = pace.last.replace(now) {
            pace.gap.record(now.since(last).as_secs_f64());
        }
    }

    #[inline]
    pub(super) fn ended(&mut self, arrival: &Arrival, now: Time, timeout: Duration, end: End) {
        if end == End::Cancelled {
            return;
        }
        let seconds = now.since(arrival.at).as_secs_f64();
        let error = end != End::Ok;
        self.ended.requests += 1;
        self.ended.errors += u32::from(error);
        self.ended.seconds += if error { seconds.max(timeout.as_secs_f64()) } else { seconds };
        let pace = &mut self.paces[arrival.client as usize];
        pace.latency.record(seconds);
        pace.errors.record(f64::from(u8::from(error)));
    }
}

impl Mean {
    /// What a sample weighs.
    const WEIGHT: f64 = 1.0 / 60.0;

    #[inline]
    fn record(&mut self, sample: f64) {
        self.0 = Some(self.0.map_or(sample, |mean| mean + (sample - mean) * Self::WEIGHT));
    }

    /// The average; `None` before the first sample.
    #[inline]
    pub(super) fn get(self) -> Option<f64> {
        self.0
    }
}
