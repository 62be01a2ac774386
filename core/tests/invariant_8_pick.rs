//! Invariant 8: a pick takes no lock and allocates nothing; reads never change a signal.
//!
//! That reads change nothing is shown on whole runs in `invariant_9_same_picks.rs`, and by each
//! signal's own tests. The clock cannot be read more than once: the caller reads it, and `clippy.toml`
//! forbids the core to.

mod table;

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Failure, Node, Outcome, Place, ProbeAnswer, Prompt,
    Rng, Time,
    policy::{Candidates, Choice, POLICY_NAMES, PeakEwma, Picker, Policy, Refusal, by_name},
};

const START: Time = Time::from_nanos(1_000_000_000);

fn balancer(name: &str, n: usize) -> Balancer {
    let model = (name == "q_table").then(|| table::model(Duration::from_millis(20)));
    Balancer::builder()
        .policy(by_name(name, model, &Place::default(), &mut Rng::seeded(1)).unwrap())
        .locality(Place::in_region("r0"))
        .endpoints((0..n).map(|i| {
            let region = format!("r{}", i % 2);
            Endpoint::new(i.to_string()).with_region(region).with_label("archetype", "x")
        }))
        .build()
        .unwrap()
}

/// Picks and ends in every way, with ejections, retries, and all endpoints down now and then.
fn picks(balancer: &Balancer, rng: &mut Rng, tried: &[EndpointId], nodes: &[Arc<Node>]) {
    let mut now = START;
    let context = Context::new().with_request_class("chat").with_region("r0").with_tried(tried);
    for round in 0_u32..1000 {
        now += Duration::from_millis(1);
        let context = if round % 2 == 0 { context } else { context.with_key(round.to_le_bytes()) };
        let blocks = [1, 2, u64::from(round / 8), 4, 5];
        let context = match round % 3 {
            0 => context,
            _ => context.with_prompt(Prompt::new(3000, &blocks)),
        };
        let mut lease = balancer.pick(now, &context, rng).unwrap();
        match round % 5 {
            0 => lease.finish(now, Outcome::success()),
            1 => lease.first_byte(now),
            2 => lease.cancel(now),
            3 => lease.finish(now, Outcome::failure(Failure::Connect)),
            _ => drop(lease),
        }
        if round == 500 {
            for node in nodes {
                node.connect_failed(now);
            }
        }
    }
}

#[test]
fn a_pick_allocates_nothing() {
    for name in POLICY_NAMES {
        for n in [1, 8, 100, 300] {
            let balancer = balancer(name, n);
            let mut rng = Rng::seeded(1);
            let tried = ["0".into(), "2".into()];
            let nodes = balancer.fleet().snapshot().nodes().to_vec();
            // What a thread's first pick sets up in the snapshot cell is once a thread.
            drop(balancer.pick(START, &Context::new(), &mut rng));
            let counted =
                allocation_counter::measure(|| picks(&balancer, &mut rng, &tried, &nodes));
            assert_eq!(counted.count_total, 0, "{name}, {n} endpoints: {counted:?}");
        }
    }
}

/// With answers to choose from as well; what asks for them only fills the caller's list.
#[test]
fn a_pick_from_a_pool_of_answers_allocates_nothing() {
    for n in [2, 8, 100, 300] {
        let balancer = balancer("prequal", n);
        let (mut rng, mut now) = (Rng::seeded(1), START);
        let mut asked: Vec<Arc<Node>> = Vec::with_capacity(16);
        drop(balancer.pick(now, &Context::new(), &mut rng).unwrap());
        let counted = allocation_counter::measure(|| {
            for round in 0..1000_u32 {
                now += Duration::from_millis(1);
                balancer.probes_for_pick(now, &mut rng, &mut asked);
                balancer.idle_probes(now, &mut rng, &mut asked);
                for node in asked.drain(..) {
                    let latency = Duration::from_micros(u64::from(node.in_flight() + round % 7));
                    balancer.probe_answered(now, &node, ProbeAnswer::new(round % 5, latency));
                }
                let lease = balancer.pick(now, &Context::new(), &mut rng).unwrap();
                let failure = Outcome::failure(Failure::Status);
                lease.finish(now, if round % 9 == 0 { failure } else { Outcome::success() });
            }
        });
        assert_eq!(counted.count_total, 0, "{n} endpoints: {counted:?}");
    }
}

/// Makes pickers only when told that it may.
#[derive(Debug)]
struct Gated<P> {
    inner: P,
    entered: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl<P: Policy> Policy for Gated<P> {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        self.entered.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        self.inner.picker(group)
    }
}

/// While a change of the fleet is stuck half way, with the control lock held, requests go on as if
/// nothing were.
#[test]
fn a_pick_waits_for_no_change_of_the_fleet() {
    let (entered, has_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let policy = Gated { inner: PeakEwma::default(), entered, go: Mutex::new(go) };
    let_go.send(()).unwrap();
    let balancer = Balancer::builder().policy(policy).endpoints([Endpoint::new("a")]).build();
    let balancer = balancer.unwrap();
    has_entered.recv().unwrap();
    std::thread::scope(|scope| {
        let changing = balancer.clone();
        let change = scope.spawn(move || changing.fleet().add(Endpoint::new("b")));
        has_entered.recv().unwrap();
        // The lock is held by a thread inside of `picker`, which only this one lets go.
        let (picked, has_picked) = mpsc::channel();
        let picking = &balancer;
        scope.spawn(move || {
            let mut rng = Rng::seeded(1);
            let outcomes = [Outcome::success(), Outcome::failure(Failure::Status)];
            for outcome in outcomes.into_iter().chain([Outcome::ignore()]) {
                let lease = picking.pick(START, &Context::new(), &mut rng).unwrap();
                picked.send(lease.id().clone()).unwrap();
                lease.finish(START, outcome);
            }
        });
        // The time is only there to end a test that has failed.
        let ids: Vec<_> =
            (0..3).map_while(|_| has_picked.recv_timeout(Duration::from_secs(20)).ok()).collect();
        let nodes = balancer.fleet().snapshot().nodes().len();
        for _ in 0..9 {
            let_go.send(()).unwrap();
        }
        change.join().unwrap();
        assert_eq!(ids, vec![EndpointId::from("a"); 3], "the old fleet serves meanwhile");
        assert_eq!(nodes, 1);
    });
    assert_eq!(balancer.fleet().snapshot().nodes().len(), 2);
}

/// Stops in the middle of a pick until told to go on.
#[derive(Debug)]
struct Slow {
    inside: mpsc::Sender<()>,
    go: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Policy for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(Self { inside: self.inside.clone(), go: Arc::clone(&self.go) })
    }
}

impl Picker for Slow {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        if candidates.context.request_class == Some("slow") {
            self.inside.send(()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
        }
        candidates.draw(rng).map(Choice::from).ok_or(Refusal::NoneEligible)
    }
}

/// And the other way round: a pick that is under way keeps neither other picks nor changes of the
/// fleet waiting.
#[test]
fn nothing_waits_for_a_pick() {
    let (inside, is_inside) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let policy = Slow { inside, go: Arc::new(Mutex::new(go)) };
    let balancer = Balancer::builder().policy(policy).endpoints([Endpoint::new("a")]).build();
    let balancer = balancer.unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let context = Context::new().with_request_class("slow");
            balancer.pick(START, &context, &mut Rng::seeded(1)).unwrap().id().clone()
        });
        is_inside.recv().unwrap();
        drop(balancer.pick(START, &Context::new(), &mut Rng::seeded(1)).unwrap());
        balancer.fleet().replace(vec![Endpoint::new("b")]).unwrap();
        assert_eq!(balancer.fleet().snapshot().nodes()[0].id().as_str(), "b");
        let_go.send(()).unwrap();
        assert_eq!(slow.join().unwrap().as_str(), "a", "its own snapshot");
    });
}

/// The sampled policies' work does not grow with the fleet: they look at as many endpoints in a large
/// one as in a small one. Counted by generator draws, which each look costs.
#[test]
fn sampled_policies_look_at_few() {
    for policy in ["random", "least_request", "peak_ewma", "least_response_time", "geo_score"] {
        let mut rng = Rng::seeded(1);
        let balancer = Balancer::builder()
            .policy(by_name(policy, None, &Place::default(), &mut rng).unwrap())
            .endpoints((0..1000).map(|i| Endpoint::new(i.to_string())))
            .build()
            .unwrap();
        let mut after = rng.clone();
        for _ in 0..100 {
            drop(balancer.pick(START, &Context::new(), &mut rng).unwrap());
        }
        let draws = (0..1000).find(|_| after.bits() == rng.clone().bits());
        assert!(draws.is_some_and(|draws| draws <= 300), "{policy}: {draws:?} draws in 100 picks");
    }
}
