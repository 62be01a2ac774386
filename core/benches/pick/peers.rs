//! What is compared: each policy of trimtab, and tower's `Balance` with its two load metrics.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use futures_util::task::noop_waker_ref;
use tower::{
    Service,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, Load, PeakEwma, PendingRequests},
};
use trimtab_core::{
    Balancer, Context, Endpoint, Node, Outcome, Place, ProbeAnswer, Prompt, Rng, Time,
    learn::{Archetype, CellCost, Model, Parts, feature_hash},
    policy::{POLICY_NAMES, by_name},
};

/// Something that balances, shared by threads.
pub(crate) trait Peer: Sync {
    fn name(&self) -> String;
    /// One thread's side of it.
    fn worker(&self, seed: u64) -> Box<dyn Worker + '_>;
}

/// Sends requests.
pub(crate) trait Worker {
    fn run(&mut self, requests: u64);
}

/// Every peer whose name is `wanted`, with `size` endpoints.
pub(crate) fn all(size: usize, wanted: impl Fn(&str) -> bool) -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = Vec::new();
    if wanted(CLOCK) {
        peers.push(Box::new(Clock::new()));
    }
    for name in POLICY_NAMES.iter().filter(|name| wanted(name)) {
        peers.push(Box::new(Trimtab::new(name, size)));
    }
    if wanted(PROBED) {
        peers.push(Box::new(Trimtab { probed: true, ..Trimtab::new("prequal", size) }));
    }
    if wanted(TOWER_EWMA) {
        let metric = |service| {
            let (default, decay) = (Duration::from_millis(1), 1e10);
            PeakEwma::new(service, default, decay, CompleteOnResponse::default())
        };
        peers.push(Box::new(Tower::new(TOWER_EWMA, size, metric)));
    }
    if wanted(TOWER_PENDING) {
        let metric = |service| PendingRequests::new(service, CompleteOnResponse::default());
        peers.push(Box::new(Tower::new(TOWER_PENDING, size, metric)));
    }
    peers
}

const CLOCK: &str = "two clock reads, nothing else";

/// What of every other figure is the clock's.
struct Clock {
    origin: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// A clock read, and what a data plane makes of it.
    #[inline]
    fn now(&self) -> Time {
        Time::from_nanos(self.origin.elapsed().as_nanos() as u64)
    }
}

impl Peer for Clock {
    fn name(&self) -> String {
        CLOCK.to_owned()
    }

    fn worker(&self, _: u64) -> Box<dyn Worker + '_> {
        Box::new(Reading(self))
    }
}

struct Reading<'a>(&'a Clock);

impl Worker for Reading<'_> {
    fn run(&mut self, requests: u64) {
        for _ in 0..requests {
            black_box(self.0.now());
            black_box(self.0.now());
        }
    }
}

struct Trimtab {
    name: &'static str,
    balancer: Balancer,
    clock: Clock,
    keyed: bool,
    /// Whether each pick's probes are drawn and answered at once.
    probed: bool,
}

impl Trimtab {
    fn new(name: &'static str, size: usize) -> Self {
        let model = (name == "q_table").then(|| Arc::new(table()));
        let policy = by_name(name, model, &Place::default(), &mut Rng::seeded(1));
        let endpoints = (0..size).map(|index| {
            let archetype = if index % 2 == 0 { "a" } else { "b" };
            Endpoint::new(format!("http://10.0.0.1:{index}")).with_label("archetype", archetype)
        });
        let balancer = Balancer::builder()
            .policy(policy.expect("a known name"))
            .endpoints(endpoints)
            .build()
            .expect("a valid fleet");
        let keyed = ["source_hash", "rendezvous", "prefix_affinity"].contains(&name);
        Self { name, balancer, clock: Clock::new(), keyed, probed: false }
    }
}

/// A learned table of two classes on two archetypes.
fn table() -> Model {
    let archetype = |name: &str| Archetype { name: name.into(), members: Vec::new() };
    let cell = |millis| Some(CellCost::new(Duration::from_millis(millis), 0.5, 1000));
    Model::new(Parts {
        classes: vec!["chat".into(), "embed".into()],
        archetypes: vec![archetype("archetype=a"), archetype("archetype=b")],
        cells: vec![cell(20), cell(30), cell(9), cell(5)],
        feature_hash: feature_hash(&["archetype".to_owned()]),
        rows: 4000,
        ..Parts::default()
    })
    .expect("a sound model")
}

impl Peer for Trimtab {
    fn name(&self) -> String {
        if self.probed { PROBED } else { self.name }.to_owned()
    }

    fn worker(&self, seed: u64) -> Box<dyn Worker + '_> {
        let to_probe = Vec::with_capacity(16);
        Box::new(Picking { peer: self, rng: Rng::seeded(seed), sent: seed << 32, to_probe })
    }
}

struct Picking<'a> {
    peer: &'a Trimtab,
    rng: Rng,
    sent: u64,
    to_probe: Vec<Arc<Node>>,
}

impl Picking<'_> {
    /// What Prequal costs beside the pick: three endpoints drawn, three answers taken in.
    fn probe(&mut self, now: Time) {
        let balancer = &self.peer.balancer;
        balancer.probes_for_pick(now, &mut self.rng, &mut self.to_probe);
        for node in self.to_probe.drain(..) {
            let latency = Duration::from_micros(self.rng.bits() % 1000);
            balancer.probe_answered(now, &node, ProbeAnswer::new(node.in_flight(), latency));
        }
    }
}

impl Worker for Picking<'_> {
    fn run(&mut self, requests: u64) {
        for _ in 0..requests {
            self.sent += 1;
            let mut blocks = [1, 2, 3, 4, 5];
            let mut context = Context::new().with_request_class("chat");
            if self.peer.keyed {
                context = context.with_key(self.sent.to_le_bytes());
                blocks[2] = self.sent;
                context = context.with_prompt(Prompt::new(2561, &blocks));
            }
            let lease = self.peer.balancer.pick(self.peer.clock.now(), &context, &mut self.rng);
            let lease = lease.expect("a fleet");
            black_box(lease.address());
            if self.peer.probed {
                self.probe(lease.started());
            }
            lease.finish(self.peer.clock.now(), Outcome::success());
        }
    }
}

const PROBED: &str = "prequal, three answers a pick";
const TOWER_EWMA: &str = "tower Balance, PeakEwma";
const TOWER_PENDING: &str = "tower Balance, PendingRequests";

/// Answers at once, and is always ready.
#[derive(Clone)]
struct Instantly;

impl Service<u64> for Instantly {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

struct Tower<S: Service<u64>> {
    name: &'static str,
    balance: Mutex<Balance<ServiceList<Vec<S>>, u64>>,
}

impl<S> Tower<S>
where
    S: Service<u64, Error = Infallible> + Load + Send,
    S::Metric: std::fmt::Debug,
{
    fn new(name: &'static str, size: usize, metric: impl Fn(Instantly) -> S) -> Self {
        let services: Vec<S> = (0..size).map(|_| metric(Instantly)).collect();
        Self { name, balance: Mutex::new(Balance::new(ServiceList::new::<u64>(services))) }
    }
}

impl<S> Peer for Tower<S>
where
    S: Service<u64, Response = u64, Error = Infallible> + Load + Send,
    S::Metric: std::fmt::Debug,
    S::Future: Send,
{
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn worker(&self, _: u64) -> Box<dyn Worker + '_> {
        Box::new(Calling { peer: self })
    }
}

struct Calling<'a, S: Service<u64>> {
    peer: &'a Tower<S>,
}

impl<S> Worker for Calling<'_, S>
where
    S: Service<u64, Response = u64, Error = Infallible> + Load,
    S::Metric: std::fmt::Debug,
{
    fn run(&mut self, requests: u64) {
        let mut task = TaskContext::from_waker(noop_waker_ref());
        for request in 0..requests {
            let future = {
                let mut balance = self.peer.balance.lock().expect("nobody panics");
                let polled = balance.poll_ready(&mut task);
                assert!(matches!(polled, Poll::Ready(Ok(()))), "all are ready");
                balance.call(request)
            };
            let answer = pin!(future).poll(&mut task);
            assert!(matches!(black_box(answer), Poll::Ready(Ok(_))), "answers at once");
        }
    }
}
