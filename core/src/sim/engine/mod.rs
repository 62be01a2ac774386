//! The simulation: many balancers, many servers, one virtual clock.
//!
//! A discrete-event simulation of an open loop: requests come on their own schedule, each goes the way
//! it would go in a real process (the client's own [`Balancer`](crate::Balancer), lease, outcome), and
//! answers come when the server model says so. Events come from three places: the next arrival, the
//! servers' next ends (a winner tree), and a calendar for everything else. The arrivals, the work of
//! each request and what disturbs the servers are drawn from generators of their own, so all policies
//! meet the same world.
//!
//! Memory does not grow with the number of requests. Same scenario, policy, load and seed: same bytes.

mod agent;
mod arrivals;
mod asks;
mod befall;
mod calendar;
mod changes;
mod client;
mod directed;
mod ends;
mod environment;
mod fifo;
mod flights;
mod job;
mod llm;
mod probes;
mod recent;
mod routes;
mod server;
mod setup;
mod shape;
mod sharing;
mod tally;
mod tournament;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    results::{Endpoints, Happening, Run, Timeline},
    scenario::{Hedge, Scenario},
};
use crate::{
    Context, Endpoint, Failure, LoadReport, Node, ProbeAnswer, Prompt, Rng, Time,
    log::{DecisionLog, Row},
};
use agent::Agent;
pub use arrivals::ArrivalsError;
use arrivals::{Arrival, Arrivals};
use calendar::Calendar;
use changes::Change;
use client::Client;
use directed::{Directed, server_of};
pub use environment::{
    Environment, EnvironmentConfig, EnvironmentError, Feature, RewardWeights, Step,
};
use flights::{FlightId, Flights};
use job::{Job, Served, What};
use routes::Routes;
use server::{Demand, Server};
pub use setup::{Setup, SetupError};
use tally::{End, Tally};
use tournament::Tournament;

/// How often clients put their fleets in order: as often as data planes do.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Rows that a client's decision log holds until they are fetched.
const LOG_CAPACITY: usize = 1 << 16;

/// One run of a scenario under one policy.
#[derive(Debug)]
pub struct Simulation {
    scenario: Arc<Scenario>,
    now: Time,
    /// Mean requests a second, before the shape's factors.
    rate: f64,
    clients: Vec<Client>,
    servers: Vec<Server>,
    endpoints: Vec<Endpoint>,
    clocks: Tournament,
    calendar: Calendar<Event>,
    arrivals: Arrivals,
    pending: Option<Arrival>,
    flights: Flights,
    routes: Routes,
    changes: Vec<(usize, Change)>,
    tally: Tally,
    /// Set for the oracle and for agents.
    directed: Option<Directed>,
    oracle: bool,
    /// Set where an agent routes.
    agent: Option<Box<Agent>>,
    logs: Vec<Arc<DecisionLog>>,
    timeouts: Vec<Duration>,
    /// Whether requests may go to more than one server.
    repeats: bool,
    /// Whether clients probe.
    probing: bool,
    /// What befalls the servers, whatever the policy.
    world: Rng,
    /// Everything else that is left to chance.
    luck: Rng,
    // Kept to be used again.
    done: Vec<Served>,
    probed: Vec<Arc<Node>>,
}

/// What the calendar holds.
#[derive(Debug)]
enum Event {
    /// An attempt reaches its server.
    Reach(Job),
    /// It has been held up and enters the queue.
    Enter(Job),
    /// An answer reaches the client.
    Answer(Job, Answer),
    /// The client's word that it does not wait any more reaches the server.
    Dropped(Job),
    Timeout(FlightId),
    AttemptTimeout(Job),
    GiveUp(FlightId),
    Hedge(FlightId),
    /// A probe reaches a server.
    Probe {
        client: u32,
        server: u32,
    },
    ProbeAnswer {
        client: u32,
        server: u32,
        answer: Option<ProbeAnswer>,
    },
    IdleProbes {
        client: u32,
    },
    /// A server is asked for its load.
    Ask {
        flight: FlightId,
        server: u32,
    },
    Told {
        flight: FlightId,
        server: u32,
        report: Option<Box<LoadReport>>,
    },
    Change(usize),
    /// Clients hear of a change of the fleet.
    Discover {
        server: usize,
        listed: bool,
    },
    Steal(usize),
    Pause(usize),
    Report(usize),
    Reported {
        server: usize,
        client: u32,
        report: Arc<LoadReport>,
    },
    Look,
    Refresh,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    FirstByte,
    Done,
    Failed(Failure),
}

impl Simulation {
    /// Sets a run up.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(scenario: &Arc<Scenario>, setup: &Setup) -> Result<Self, SetupError> {
        Self::with(scenario, setup, setup.policy.is_oracle().then(Directed::default))
    }

    /// Sets a run up whose policy is `directed` where that is given.
    fn with(
        scenario: &Arc<Scenario>,
        setup: &Setup,
        directed: Option<Directed>,
    ) -> Result<Self, SetupError> {
        let seed = setup.seed;
        let count: u32 = scenario.servers.iter().map(|group| group.count.get() + group.spare).sum();
        let routes = Routes::new(scenario, count as usize, seed);
        let (servers, endpoints) = servers(scenario, &routes, seed)?;
        let mut config = scenario.clients.clone();
        config.outlier = setup.policy.outlier.or(config.outlier);
        let mut clients = Vec::with_capacity(config.count.index());
        let mut logs = Vec::new();
        let listed: Vec<Endpoint> = endpoints
            .iter()
            .zip(&servers)
            .filter(|(_, server)| server.listed)
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        for number in 0..scenario.clients.count.get() {
            let locality = number % routes.clients.len() as u32;
            let mut rng = Rng::seeded(mix(seed, u64::from(number) + 1));
            let (policy, place) = if let Some(directed) = &directed {
                let policy: Box<dyn crate::policy::Policy> = Box::new(directed.clone());
                (policy, crate::Place::default())
            } else {
                let here = &routes.clients[locality as usize];
                client::policy_for(&setup.policy, setup.model.clone(), here, &mut rng)
                    .map_err(SetupError::Policy)?
            };
            let log = (setup.log_sample > 0.0)
                .then(|| {
                    let name = format!("client-{number}");
                    DecisionLog::new(&name, setup.log_sample, LOG_CAPACITY, Duration::ZERO)
                        .map(Arc::new)
                })
                .transpose()?;
            logs.extend(log.clone());
            let mut client = Client::new(&config, policy, place, locality, &listed, rng, log)?;
            client.meet(servers.len(), server_of);
            for (server, node) in client.nodes.iter().enumerate() {
                if let Some(node) = node
                    && config.prefer_near
                {
                    node.record_round_trip(routes.base(locality, servers[server].locality) * 2);
                }
            }
            clients.push(client);
        }
        let timeouts: Vec<Duration> = scenario
            .classes
            .iter()
            .map(|class| class.timeout.unwrap_or(scenario.clients.timeout).get())
            .collect();
        let attempt = scenario.clients.attempt_timeout.map(super::scenario::Span::get);
        let lanes = timeouts.iter().copied().chain(attempt).chain(routes.trips());
        let rate = scenario.rate(setup.load);
        if rate <= 0.0 {
            return Err(SetupError::NoRate);
        }
        let slo = scenario.slo.map(super::scenario::Span::secs);
        let tally =
            Tally::new(scenario.duration.time(), scenario.warm_up.time(), slo, servers.len());
        let probing =
            clients.first().is_some_and(|client| client.balancer.probe_interval().is_some());
        let mut simulation = Self {
            now: Time::ZERO,
            rate,
            clocks: Tournament::new(servers.len()),
            calendar: Calendar::new(lanes),
            arrivals: Arrivals::new(scenario, rate, seed)?,
            pending: None,
            flights: Flights::default(),
            changes: Vec::new(),
            oracle: setup.policy.is_oracle(),
            directed,
            agent: None,
            logs,
            timeouts,
            repeats: scenario.clients.retries > 0 || scenario.clients.hedge.is_some(),
            probing,
            world: Rng::seeded(mix(seed, 0xD157)),
            luck: Rng::seeded(mix(seed, 0x10CC)),
            done: Vec::new(),
            probed: Vec::new(),
            scenario: Arc::clone(scenario),
            clients,
            servers,
            endpoints,
            routes,
            tally,
        };
        simulation.plan();
        simulation.pending = simulation.arrivals.next();
        Ok(simulation)
    }

    /// Runs to the end: until the last request has ended. `stop` ends it early.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut steps = 0_u32;
        while !self.step() {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(1024) && stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Runs to the end, handing the decision logs' rows to `take`.
    pub fn run_logged(&mut self, stop: &AtomicBool, mut take: impl FnMut(Row)) {
        let mut until_fetched = 0;
        loop {
            let over = self.step() || stop.load(Ordering::Relaxed);
            until_fetched += 1;
            if over || until_fetched >= LOG_CAPACITY / 2 {
                until_fetched = 0;
                for log in &self.logs {
                    while let Some(row) = log.pop() {
                        take(row);
                    }
                }
            }
            if over {
                return;
            }
        }
    }

    /// The run's figures.
    pub fn figures(&self) -> Run {
        let capacity: Vec<f64> = self.servers.iter().map(|server| server.capacity).collect();
        let present: Vec<bool> = self.servers.iter().map(|server| server.at_start).collect();
        let seconds = self.scenario.duration.secs() - self.scenario.warm_up.secs();
        self.tally.run(seconds, &capacity, &present)
    }

    /// The run's course.
    pub fn timeline(&self) -> Timeline {
        self.tally.timeline()
    }

    /// What each server did.
    pub fn endpoints(&self) -> Endpoints {
        let capacity: Vec<f64> = self.servers.iter().map(|server| server.capacity).collect();
        let groups = self
            .servers
            .iter()
            .map(|server| self.scenario.servers[server.group as usize].name.clone())
            .collect();
        let seconds = self.scenario.duration.secs() - self.scenario.warm_up.secs();
        self.tally.endpoints(self.ids(), groups, &capacity, seconds)
    }

    fn ids(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.id.clone()).collect()
    }

    /// Puts everything into the calendar that comes whatever the policy does.
    fn plan(&mut self) {
        for (at, server, change) in changes::plan(&self.scenario) {
            self.changes.push((server, change));
            self.calendar.at(at, Event::Change(self.changes.len() - 1));
        }
        for server in 0..self.servers.len() {
            let group = &self.scenario.servers[self.servers[server].group as usize];
            if let Some(every) = group.reports.and_then(|reports| reports.every) {
                // Servers do not report in step.
                let first = every.get().mul_f64(self.world.unit());
                self.calendar.at(Time::ZERO + first, Event::Report(server));
            }
            if let Some(antagonist) = &group.antagonist
                && self.world.unit() < antagonist.share.get()
            {
                self.calendar.at(Time::ZERO, Event::Steal(server));
            }
            if let Some(pauses) = group.pauses {
                let first = Duration::from_secs_f64(self.world.exponential(pauses.every.secs()));
                self.calendar.at(Time::ZERO + first, Event::Pause(server));
            }
        }
        if self.probing {
            for client in 0..self.clients.len() as u32 {
                self.calendar.at(Time::ZERO, Event::IdleProbes { client });
            }
        }
        self.calendar.at(Time::ZERO + REFRESH_EVERY, Event::Refresh);
        self.calendar.at(Time::from_nanos(self.tally.look_every()), Event::Look);
    }

    /// Does what comes next; true once everything is over.
    #[inline]
    fn step(&mut self) -> bool {
        if self.pending.is_none() && self.flights.under_way == 0 {
            return true;
        }
        let flights = &self.flights;
        self.calendar.skip_stale(|event| match event {
            Event::Timeout(flight) => flights.has_ended(*flight),
            _ => false,
        });
        let arrival = self.pending.as_ref().map_or(Time::MAX, |arrival| arrival.at);
        let (server_time, server) = self.clocks.first();
        let planned = self.calendar.next();
        if server_time <= planned && server_time <= arrival {
            self.now = server_time;
            self.wake(server);
        } else if planned <= arrival {
            if let Some((at, event)) = self.calendar.pop() {
                self.now = at;
                self.happen(event);
            }
        } else if let Some(arrival) = self.pending.take() {
            self.now = arrival.at;
            self.pending = self.arrivals.next();
            self.arrive(arrival);
        }
        false
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Reach(job) => self.reach(job),
            Event::Enter(job) => self.enter(job),
            Event::Answer(job, answer) => self.answered(job, answer),
            Event::Dropped(job) => self.drop_at_server(job),
            Event::Timeout(flight) => self.end_early(flight, End::TimedOut),
            Event::AttemptTimeout(job) => self.attempt_timed_out(job),
            Event::GiveUp(flight) => self.end_early(flight, End::Cancelled),
            Event::Hedge(flight) => self.hedge(flight),
            Event::Probe { client, server } => self.probe(client, server),
            Event::ProbeAnswer { client, server, answer } => {
                self.probe_answered(client, server, answer);
            }
            Event::IdleProbes { client } => self.idle_probes(client),
            Event::Ask { flight, server } => self.ask(flight, server),
            Event::Told { flight, server, report } => self.told(flight, server, report),
            Event::Change(index) => self.change(index),
            Event::Discover { server, listed } => self.discover(server, listed),
            Event::Steal(server) => self.steal(server),
            Event::Pause(server) => self.pause(server),
            Event::Report(server) => self.report(server),
            Event::Reported { server, client, report } => {
                if let Some(node) = &self.clients[client as usize].nodes[server] {
                    node.record_load_report(self.now, LoadReport::clone(&report));
                }
            }
            Event::Look => self.look(),
            Event::Refresh => {
                for client in &self.clients {
                    client.balancer.fleet().refresh();
                    client.balancer.tick(self.now);
                }
                self.calendar.after(self.now, REFRESH_EVERY, Event::Refresh);
            }
        }
    }

    /// A request comes to its client.
    #[inline]
    fn arrive(&mut self, arrival: Arrival) {
        let scenario = Arc::clone(&self.scenario);
        let client = arrival.client as usize;
        let (class, gives_up) = (arrival.class as usize, arrival.gives_up);
        self.tally.arrived(self.now);
        if let Some(agent) = &mut self.agent {
            agent.arrived(arrival.client, self.now);
        }
        if self.repeats {
            self.clients[client].budget.deposit(self.now);
        }
        let flight = self.flights.start(arrival, scenario.clients.retries);
        self.calendar.after(self.now, self.timeouts[class], Event::Timeout(flight));
        if gives_up && let Some(cancel) = scenario.clients.cancel {
            self.calendar.after(self.now, cancel.after.get(), Event::GiveUp(flight));
        }
        let hedge_after = match scenario.clients.hedge {
            None => None,
            Some(Hedge::After(after)) => Some(after.get()),
            Some(Hedge::Quantile(_)) => self.clients[client].slow.get(),
        };
        if let Some(after) = hedge_after {
            self.calendar.after(self.now, after, Event::Hedge(flight));
        }
        self.send(flight);
    }

    /// Picks a server for an attempt and sends it there, after asking where clients do, or has it wait
    /// until the agent does.
    #[inline]
    fn send(&mut self, flight: FlightId) {
        if self.agent.is_some() {
            self.await_agent(flight);
        } else if !(self.scenario.clients.ask_first && self.ask_before(flight)) {
            self.send_at_once(flight);
        }
    }

    /// The same with nothing left to wait for.
    #[inline]
    fn send_at_once(&mut self, flight: FlightId) {
        self.direct(flight);
        self.dispatch(flight);
    }

    /// Sends an attempt to the server that its client picks.
    #[inline]
    fn dispatch(&mut self, flight: FlightId) -> Option<u32> {
        let now = self.now;
        let flying = self.flights.flight(flight)?;
        let arrival = &flying.arrival;
        let client_number = arrival.client;
        let client = &mut self.clients[client_number as usize];
        let trace = self.arrivals.trace().map(AsRef::as_ref);
        let context = context(&self.scenario, flying, trace);
        let picked = client.balancer.pick(now, &context, &mut client.rng);
        let counts = self.tally.counts(arrival.at);
        let Ok(lease) = picked else {
            if flying.open == [None; 2] {
                self.finish(flight, End::Unroutable);
            }
            return None;
        };
        let server = server_of(lease.node());
        if self.repeats {
            flying.tried.push(lease.id().clone());
        }
        self.tally.attempts += u64::from(counts);
        let job = self.flights.send(flight, client_number, server, lease);
        if let Some(after) = self.scenario.clients.attempt_timeout {
            self.calendar.after(now, after.get(), Event::AttemptTimeout(job));
        }
        if self.probing {
            self.probe_for_pick(client_number);
        }
        let (locality, there) =
            (self.clients[client_number as usize].locality, &self.servers[server as usize]);
        if self.routes.is_cut(locality, server) {
            return Some(server);
        }
        let trip = self.routes.trip(locality, there.locality);
        if trip.is_zero() {
            self.reach(job);
        } else {
            self.calendar.after(now, trip, Event::Reach(job));
        }
        Some(server)
    }

    /// Points the oracle's next pick at the server that will answer first.
    fn direct(&mut self, flight: FlightId) {
        if !self.oracle {
            return;
        }
        let Some(flying) = self.flights.flight(flight) else { return };
        let arrival = flying.arrival.clone();
        let locality = self.clients[arrival.client as usize].locality;
        let demand = demand(&arrival, self.arrivals.trace().map(AsRef::as_ref));
        let mut best = (f64::INFINITY, 0);
        // From a place drawn at random on, so that equals take turns.
        let first = self.luck.below(self.servers.len());
        for offset in 0..self.servers.len() {
            let number = (first + offset) % self.servers.len();
            let server = &self.servers[number];
            let out = server.down || !server.listed || server.fails.is_some();
            if out || self.routes.is_cut(locality, number as u32) {
                continue;
            }
            let way = self.routes.base(locality, server.locality) * 2 + server.delay;
            let seconds = server.answer_in(self.now, &demand) + way.as_secs_f64();
            if seconds < best.0 {
                best = (seconds, number as u32);
            }
        }
        if let Some(directed) = &self.directed {
            directed.point_at(best.1);
        }
    }

    /// An attempt reaches its server.
    #[inline]
    fn reach(&mut self, job: Job) {
        let now = self.now;
        let Some(attempt) = self.flights.attempt(job) else { return };
        if attempt.lease.is_none() {
            // The client has given up meanwhile.
            self.flights.release(job);
            return;
        }
        let server = &mut self.servers[attempt.server as usize];
        if server.down {
            self.answer_after(job, Duration::ZERO, Answer::Failed(Failure::Connect));
        } else if let Some((share, after)) = server.fails
            && server.rng.unit() < share
        {
            server.reported.ended += 1;
            server.reported.errors += 1;
            self.answer_after(job, after, Answer::Failed(Failure::Status));
        } else if server.delay.is_zero() {
            self.enter(job);
        } else {
            let delay = server.delay;
            self.calendar.after(now, delay, Event::Enter(job));
        }
    }

    /// An attempt takes its place at the server.
    #[inline]
    fn enter(&mut self, job: Job) {
        let now = self.now;
        let Some(attempt) = self.flights.attempt(job) else { return };
        if attempt.lease.is_none() {
            self.flights.release(job);
            return;
        }
        let (server_number, flight) = (attempt.server as usize, attempt.flight);
        attempt.reached = now;
        attempt.found = self.servers[server_number].in_system;
        let Some(flying) = self.flights.flight(flight) else { return };
        let server = &mut self.servers[server_number];
        let demand = demand(&flying.arrival, self.arrivals.trace().map(AsRef::as_ref));
        let taken = !server.down && server.arrive(now, job, &demand);
        if !taken {
            let failure = if server.down { Failure::Connect } else { Failure::Status };
            self.answer_after(job, Duration::ZERO, Answer::Failed(failure));
            return;
        }
        self.clocks.set(server_number, server.next());
        if let Some(attempt) = self.flights.attempt(job) {
            attempt.at_server = true;
        }
    }

    /// A server does what is due.
    #[inline]
    fn wake(&mut self, number: usize) {
        let now = self.now;
        let mut done = std::mem::take(&mut self.done);
        self.servers[number].wake(now, &mut done);
        // All have left before any is answered: an answer may call off another that ended with it.
        for Served { job, what } in &done {
            if matches!(what, What::Done { .. }) {
                self.servers[number].left();
                if let Some(attempt) = self.flights.attempt(*job) {
                    attempt.at_server = false;
                }
            }
        }
        for Served { job, what } in done.drain(..) {
            match what {
                What::FirstToken => self.answer_after(job, Duration::ZERO, Answer::FirstByte),
                What::Done { seconds, cached_tokens } => {
                    let server = &mut self.servers[number];
                    let Some(attempt) = self.flights.attempt(job) else { continue };
                    attempt.seconds = seconds;
                    server.reported.ended += 1;
                    server.reported.seconds += seconds;
                    let reports = self.scenario.servers[server.group as usize].reports;
                    if reports.is_some_and(|reports| reports.in_band) {
                        attempt.load = Some(Box::new(server.report_with_answer(now)));
                    }
                    if self.probing {
                        let took = now.since(attempt.reached).as_secs_f64();
                        server.recent.record(now, attempt.found, took);
                    }
                    let flight = attempt.flight;
                    if attempt.lease.is_none() {
                        // Nobody waits for it.
                        self.flights.release(job);
                        continue;
                    }
                    if let Some(flying) = self.flights.flight(flight) {
                        let arrival = &flying.arrival;
                        self.tally.served(number, arrival.at, seconds);
                        if self.tally.counts(arrival.at) && arrival.prompt_tokens > 0 {
                            self.tally.prompt_tokens += u64::from(arrival.prompt_tokens);
                            self.tally.cached_tokens += u64::from(cached_tokens);
                        }
                    }
                    self.answer_after(job, Duration::ZERO, Answer::Done);
                }
            }
        }
        self.done = done;
        let next = self.servers[number].next();
        self.clocks.set(number, next);
    }

    /// Sends an answer on its way, `delay` from now.
    #[inline]
    fn answer_after(&mut self, job: Job, delay: Duration, answer: Answer) {
        let Some(attempt) = self.flights.attempt(job) else { return };
        let (client, server) = (attempt.client as usize, attempt.server);
        let locality = self.clients[client].locality;
        if self.routes.is_cut(locality, server) {
            return;
        }
        let trip = self.routes.trip(locality, self.servers[server as usize].locality) + delay;
        // A failure may send the request on at once; through the calendar it does so one by one.
        if trip.is_zero() && !matches!(answer, Answer::Failed(_)) {
            self.answered(job, answer);
        } else {
            self.calendar.after(self.now, trip, Event::Answer(job, answer));
        }
    }

    fn look(&mut self) {
        if self.now < self.scenario.duration.time() {
            let servers = self.servers.iter().map(|server| (server.in_system, server.listed));
            self.tally.look(self.now, servers);
            let every = Duration::from_nanos(self.tally.look_every());
            self.calendar.after(self.now, every, Event::Look);
        }
    }
}

/// What its client knows of a request.
fn context<'a>(
    scenario: &'a Scenario,
    flying: &'a flights::Flight,
    trace: Option<&'a super::trace::Trace>,
) -> Context<'a> {
    let arrival = &flying.arrival;
    let class = &scenario.classes[arrival.said as usize];
    let mut context = Context::new()
        .with_request_class(&class.name)
        .with_tried(&flying.tried)
        .with_asked(&flying.asked);
    context.key = arrival.key;
    let demand = demand(arrival, trace);
    if demand.prompt_tokens > 0 {
        // What it will answer, nobody knows yet.
        context = context.with_prompt(Prompt::new(demand.prompt_tokens, demand.blocks));
    }
    context
}

/// What a request asks of a server.
fn demand<'a>(arrival: &Arrival, trace: Option<&'a super::trace::Trace>) -> Demand<'a> {
    let blocks = match (arrival.traced, trace) {
        (Some(place), Some(trace)) => trace.requests()[place as usize].blocks.as_slice(),
        _ => &[],
    };
    Demand {
        class: arrival.class as usize,
        work: arrival.work,
        prompt_tokens: arrival.prompt_tokens,
        output_tokens: arrival.output_tokens,
        blocks,
    }
}

/// The scenario's events, for reports.
pub(super) fn happenings(scenario: &Scenario) -> Vec<Happening> {
    let all = |group: &super::scenario::Group| {
        let name = group.name.clone();
        (0..group.count.get() + group.spare).map(move |index| format!("{name}-{index}"))
    };
    let ids: Vec<String> = scenario.servers.iter().flat_map(all).collect();
    changes::happenings(scenario, &ids)
}

/// All servers, spare ones included, and what discovery says of them.
fn servers(
    scenario: &Scenario,
    routes: &Routes,
    seed: u64,
) -> Result<(Vec<Server>, Vec<Endpoint>), SetupError> {
    let (mut servers, mut endpoints) = (Vec::new(), Vec::new());
    for (place, group) in scenario.servers.iter().enumerate() {
        let locality = routes.servers.iter().position(|name| *name == group.locality);
        let locality = locality.expect("invariant: routes know every group's locality") as u32;
        for index in 0..group.count.get() + group.spare {
            let number = servers.len();
            let seed = mix(seed, 0x1_0000_0000 + number as u64);
            let server =
                Server::new(group, place as u32, index, locality, &scenario.classes, seed)?;
            endpoints.push(client::endpoint(&server, number, group)?);
            servers.push(server);
        }
    }
    Ok((servers, endpoints))
}

/// A seed of its own for each part.
fn mix(seed: u64, part: u64) -> u64 {
    xxhash_rust::xxh64::xxh64(&seed.to_le_bytes(), part)
}
