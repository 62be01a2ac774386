//! A fleet that answers probes, in virtual time: open-loop arrivals from several clients, servers with a
//! queue each, probes that take a while.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use trimtab_core::{
    Balancer, Context, Endpoint, Failure, HealthConfig, Lease, Node, Outcome, ProbeAnswer, Rng,
    Time, policy::Policy,
};

/// How one server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Requests that it works on at a time; the rest waits.
    pub(crate) workers: usize,
    /// Mean of the exponential time that a worker takes.
    pub(crate) mean: Duration,
    /// Share of requests that fail after `fails_after`, without a worker.
    pub(crate) failing: f64,
    pub(crate) fails_after: Duration,
}

impl Server {
    pub(crate) fn new(workers: usize, mean: Duration) -> Self {
        Self { workers, mean, failing: 0.0, fails_after: Duration::from_millis(1) }
    }

    pub(crate) fn failing(mut self, share: f64) -> Self {
        self.failing = share;
        self
    }
}

/// A run to make.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: usize,
    /// Requests a second, of all clients.
    pub(crate) rate: f64,
    pub(crate) requests: usize,
    /// Requests at the start that are not counted.
    pub(crate) warm: usize,
    /// Time from a probe to its answer; half of it before the server looks.
    pub(crate) probe: Duration,
    pub(crate) ejection: bool,
    pub(crate) seed: u64,
}

/// What happened to the requests that count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Run {
    /// Requests to each server.
    pub(crate) sent: Vec<usize>,
    /// Of successes, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Of its server, as each request found it, itself not counted; sorted.
    pub(crate) in_flight: Vec<u32>,
    pub(crate) failures: usize,
    pub(crate) probes: usize,
}

impl Run {
    pub(crate) fn latency(&self, quantile: f64) -> Duration {
        self.latencies[(quantile * (self.latencies.len() - 1) as f64) as usize]
    }

    pub(crate) fn in_flight(&self, quantile: f64) -> u32 {
        self.in_flight[(quantile * (self.in_flight.len() - 1) as f64) as usize]
    }

    pub(crate) fn share(&self, server: usize) -> f64 {
        self.sent[server] as f64 / self.sent.iter().sum::<usize>() as f64
    }
}

/// Events in order of time, then of their making.
struct Agenda {
    heap: BinaryHeap<Reverse<(Time, usize)>>,
    events: Vec<Option<Event>>,
}

enum Event {
    Arrival,
    /// A worker is done, or a failure is.
    End {
        lease: Box<Lease>,
        server: usize,
        arrived: Time,
        found: u32,
        fails: bool,
        counts: bool,
    },
    ProbeArrives {
        client: usize,
        node: Arc<Node>,
    },
    ProbeAnswered {
        client: usize,
        node: Arc<Node>,
        answer: ProbeAnswer,
    },
    Idle {
        client: usize,
    },
}

impl Agenda {
    fn add(&mut self, at: Time, event: Event) {
        self.heap.push(Reverse((at, self.events.len())));
        self.events.push(Some(event));
    }

    fn next(&mut self) -> Option<(Time, Event)> {
        let Reverse((at, which)) = self.heap.pop()?;
        Some((at, self.events[which].take().expect("each event happens once")))
    }
}

struct State {
    server: Server,
    in_flight: u32,
    /// When each worker is free.
    free: Vec<Time>,
    /// The requests found on arrival, and the latency, of the last completions.
    done: VecDeque<(u32, Duration)>,
}

impl State {
    fn new(server: Server) -> Self {
        let free = vec![Time::ZERO; server.workers];
        Self { server, in_flight: 0, free, done: VecDeque::new() }
    }

    /// When a request that arrives now ends.
    fn end(&mut self, now: Time, fails: bool, world: &mut Rng) -> Time {
        if fails {
            return now + self.server.fails_after;
        }
        let worker = self.free.iter_mut().min().expect("a worker");
        let takes = Duration::from_secs_f64(world.exponential(self.server.mean.as_secs_f64()));
        *worker = (*worker).max(now) + takes;
        *worker
    }

    /// The median latency of the sixteen of the last completions that are nearest to its requests in
    /// flight.
    fn answer(&self) -> ProbeAnswer {
        let mut near: Vec<_> = self.done.iter().copied().collect();
        near.sort_by_key(|(found, _)| found.abs_diff(self.in_flight));
        near.truncate(16);
        near.sort_by_key(|(_, latency)| *latency);
        let median = near.get(near.len() / 2).map_or(Duration::ZERO, |(_, latency)| *latency);
        ProbeAnswer::new(self.in_flight, median)
    }
}

/// Runs it, each client with a balancer of its own.
pub(crate) fn run(setting: &Setting, policy: impl Fn(usize) -> Box<dyn Policy>) -> Run {
    let balancers = balancers(setting, policy);
    let mut servers: Vec<State> =
        setting.servers.iter().map(|server| State::new(*server)).collect();
    let mut rng = Rng::seeded(setting.seed);
    let mut world = Rng::seeded(setting.seed ^ 0xABCD);
    let mut agenda = Agenda { heap: BinaryHeap::new(), events: Vec::new() };
    let mut run = Run { sent: vec![0; servers.len()], ..Run::default() };
    let start = Time::ZERO + Duration::from_secs(1);
    agenda.add(start, Event::Arrival);
    for (client, balancer) in balancers.iter().enumerate() {
        if balancer.probe_interval().is_some() {
            agenda.add(start, Event::Idle { client });
        }
    }
    let (mut arrived, mut to_probe) = (0, Vec::new());
    while let Some((now, event)) = agenda.next() {
        match event {
            Event::Arrival => {
                let gap = world.exponential(1.0 / setting.rate);
                let client = world.below(setting.clients);
                let balancer = &balancers[client];
                let lease = balancer.pick(now, &Context::new(), &mut rng).unwrap();
                balancer.probes_for_pick(now, &mut rng, &mut to_probe);
                let server: usize = lease.id().as_str().parse().unwrap();
                let state = &mut servers[server];
                let fails = world.unit() < state.server.failing;
                let end = state.end(now, fails, &mut world);
                let (found, counts) = (state.in_flight, arrived >= setting.warm);
                state.in_flight += 1;
                let lease = Box::new(lease);
                agenda.add(end, Event::End { lease, server, arrived: now, found, fails, counts });
                arrived += 1;
                if arrived < setting.requests {
                    agenda.add(now + Duration::from_secs_f64(gap), Event::Arrival);
                }
                for node in to_probe.drain(..) {
                    run.probes += 1;
                    agenda.add(now + setting.probe / 2, Event::ProbeArrives { client, node });
                }
            }
            Event::End { lease, server, arrived, found, fails, counts } => {
                let state = &mut servers[server];
                state.in_flight -= 1;
                let latency = now.since(arrived);
                state.done.push_back((found, latency));
                if state.done.len() > 64 {
                    state.done.pop_front();
                }
                let failure = Outcome::failure(Failure::Status);
                lease.finish(now, if fails { failure } else { Outcome::success() });
                if counts {
                    run.sent[server] += 1;
                    run.in_flight.push(found);
                    run.failures += usize::from(fails);
                    if !fails {
                        run.latencies.push(latency);
                    }
                }
            }
            Event::ProbeArrives { client, node } => {
                let server: usize = node.id().as_str().parse().unwrap();
                let answer = servers[server].answer();
                agenda.add(now + setting.probe / 2, Event::ProbeAnswered { client, node, answer });
            }
            Event::ProbeAnswered { client, node, answer } => {
                balancers[client].probe_answered(now, &node, answer);
            }
            Event::Idle { client } => {
                let balancer = &balancers[client];
                balancer.idle_probes(now, &mut rng, &mut to_probe);
                for node in to_probe.drain(..) {
                    run.probes += 1;
                    agenda.add(now + setting.probe / 2, Event::ProbeArrives { client, node });
                }
                let interval = balancer.probe_interval().expect("it probes");
                if arrived < setting.requests {
                    agenda.add(now + interval, Event::Idle { client });
                }
            }
        }
    }
    let snapshots = balancers.iter().map(|balancer| balancer.fleet().snapshot());
    for snapshot in snapshots {
        assert!(snapshot.nodes().iter().all(|node| node.in_flight() == 0), "nothing leaks");
    }
    run.latencies.sort();
    run.in_flight.sort_unstable();
    run
}

fn balancers(setting: &Setting, policy: impl Fn(usize) -> Box<dyn Policy>) -> Vec<Balancer> {
    let mut health = HealthConfig::default();
    if !setting.ejection {
        health.consecutive_failures = 0;
    }
    let endpoints = || (0..setting.servers.len()).map(|server| Endpoint::new(server.to_string()));
    let builders = (0..setting.clients).map(|client| Balancer::builder().policy(policy(client)));
    builders.map(|builder| builder.health(health).endpoints(endpoints()).build().unwrap()).collect()
}
