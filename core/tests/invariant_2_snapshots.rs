//! Invariant 2: a choice is valid only for the snapshot it came from. Endpoints are known by a stable
//! id; their signals outlive snapshots, and leases outlive removal. No index is kept across two of
//! them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Lease, Node, Outcome, Place, Rng, Time, Weight,
    policy::{Candidates, Choice, Fallback, Mode, Picker, Policy, Refusal, RoundRobin},
};

const START: Time = Time::from_nanos(1_000_000_000);
const MS: Duration = Duration::from_millis(1);

fn balancer(ids: &[&str]) -> Balancer {
    let endpoints = ids.iter().map(Endpoint::new);
    Balancer::builder().policy(RoundRobin::default()).endpoints(endpoints).build().unwrap()
}

fn pick(balancer: &Balancer) -> Lease {
    balancer.pick(START, &Context::new(), &mut Rng::seeded(1)).unwrap()
}

fn node(balancer: &Balancer, id: &str) -> Arc<Node> {
    let snapshot = balancer.fleet().snapshot();
    Arc::clone(snapshot.nodes().iter().find(|node| node.id().as_str() == id).unwrap())
}

#[test]
fn a_refresh_without_news_keeps_the_snapshot() {
    let balancer = Balancer::builder().endpoints([Endpoint::new("a")]).build().unwrap();
    let fleet = balancer.fleet();
    let version = fleet.snapshot().version();
    fleet.refresh();
    assert_eq!(fleet.snapshot().version(), version);
    fleet.snapshot().nodes()[0].record_round_trip(std::time::Duration::from_millis(1));
    fleet.refresh();
    fleet.refresh();
    assert_eq!(fleet.snapshot().version(), version + 1);
}

#[test]
fn signals_outlive_snapshots() {
    let balancer = balancer(&["a"]);
    pick(&balancer).finish(START + MS, Outcome::success());
    let before = node(&balancer, "a");
    let heavier = Endpoint::new("a").with_weight(Weight::new(3.0).unwrap());
    balancer.fleet().replace(vec![Endpoint::new("b"), heavier]).unwrap();
    let after = node(&balancer, "a");
    assert!(Arc::ptr_eq(&before, &after), "the same node, whatever its place in the list");
    assert_eq!((after.total().successes, after.weight()), (1, 3.0));
    balancer.fleet().add(Endpoint::new("elsewhere").with_id("a"));
    assert_eq!(node(&balancer, "a").total().successes, 0, "another server: nothing is known of it");
}

#[test]
fn leases_outlive_removal() {
    let balancer = balancer(&["a"]);
    let lease = pick(&balancer);
    let gone = Arc::clone(lease.node());
    balancer.fleet().replace(vec![Endpoint::new("b")]).unwrap();
    assert_eq!((lease.address().as_ref(), gone.in_flight()), ("a", 1));
    lease.finish(START + MS, Outcome::success());
    assert_eq!((gone.in_flight(), gone.total().successes), (0, 1));
    assert_eq!(node(&balancer, "b").total().successes, 0);
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let balancer = balancer(&["a", "b"]);
    let held = balancer.fleet().snapshot();
    balancer.fleet().drain(&EndpointId::from("a")).unwrap();
    balancer.fleet().remove(&EndpointId::from("b")).unwrap();
    let ids: Vec<_> = held.nodes().iter().map(|node| node.id().as_str().to_owned()).collect();
    assert_eq!((ids, held.is_draining(0)), (vec!["a".to_owned(), "b".to_owned()], false));
    let newer = balancer.fleet().snapshot();
    assert_eq!((newer.nodes().len(), newer.is_draining(0)), (1, true));
    assert!(newer.version() > held.version());
}

#[test]
fn a_draining_endpoint_ends_what_it_has_and_goes() {
    let balancer = balancer(&["a", "b"]);
    let mut lease = pick(&balancer);
    let draining = lease.id().clone();
    balancer.fleet().drain(&draining).unwrap();
    assert!((0..10).all(|_| *pick(&balancer).id() != draining), "no new requests");
    balancer.fleet().refresh();
    assert_eq!(balancer.fleet().snapshot().nodes().len(), 2, "a request is still there");
    lease.first_byte(START + MS);
    lease.finish(START + MS, Outcome::success());
    balancer.fleet().refresh();
    assert_eq!(balancer.fleet().snapshot().nodes().len(), 1);
}

/// Endpoints that come and go without anybody calling `refresh` do not pile up; one that has a request
/// stays, and one that is added again is itself.
#[test]
fn drained_endpoints_do_not_pile_up() {
    let balancer = balancer(&["a"]);
    let lease = pick(&balancer);
    let fleet = balancer.fleet();
    fleet.add(Endpoint::new("b"));
    fleet.drain(lease.id()).unwrap();
    for which in 0..100 {
        let endpoint = Endpoint::new(format!("c{which}"));
        fleet.add(endpoint.clone());
        fleet.drain(endpoint.id()).unwrap();
        assert_eq!(fleet.snapshot().nodes().len(), 3, "a, b and the last one");
    }
    let node = Arc::clone(&fleet.snapshot().nodes()[2]);
    fleet.add(Endpoint::new("c99"));
    assert!(Arc::ptr_eq(&node, &fleet.snapshot().nodes()[2]), "drained no more, with its signals");
    lease.finish(START, Outcome::success());
    fleet.add(Endpoint::new("d"));
    let ids: Vec<_> =
        fleet.snapshot().nodes().iter().map(|node| node.id().as_str().to_owned()).collect();
    assert_eq!(ids, ["b", "c99", "d"]);
}

#[test]
fn failed_discovery_keeps_the_fleet() {
    let balancer = balancer(&["a", "b"]);
    assert!(balancer.fleet().replace(Vec::new()).is_err());
    assert!(balancer.fleet().replace(vec![Endpoint::new("c"), Endpoint::new("c")]).is_err());
    assert_eq!(balancer.fleet().snapshot().nodes().len(), 2);
    assert!(["a", "b"].contains(&pick(&balancer).id().as_str()));
}

/// Remembers an index for ever, as no policy may.
#[derive(Clone, Debug)]
struct Remembering(usize);

impl Policy for Remembering {
    fn name(&self) -> &'static str {
        "remembering"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(self.clone())
    }
}

impl Picker for Remembering {
    fn pick(&self, _: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
        Ok(self.0.into())
    }
}

#[test]
fn an_index_of_an_older_snapshot_is_overruled() {
    let balancer = Balancer::builder()
        .policy(Remembering(2))
        .endpoints(["a", "b", "c"].map(Endpoint::new))
        .build()
        .unwrap();
    assert_eq!(pick(&balancer).mode(), Mode::Policy);
    balancer.fleet().replace(vec![Endpoint::new("a"), Endpoint::new("b")]).unwrap();
    assert_eq!(pick(&balancer).mode(), Mode::Fallback(Fallback::Invalid));
    let counted = balancer.counters().fallbacks;
    assert!(counted.contains(&(Fallback::Invalid, 1)), "{counted:?}");
}

/// Picks while another thread swaps whole fleets: each lease is for an endpoint of one of them with
/// that fleet's address, and all ends with nothing in flight.
#[test]
fn picks_beside_replacements_are_whole() {
    let fleet = |letter: char, n: usize| -> Vec<Endpoint> {
        (0..n).map(|i| Endpoint::new(format!("{letter}{i}")).with_id(format!("{i}"))).collect()
    };
    for name in trimtab_core::policy::POLICY_NAMES {
        let policy =
            trimtab_core::policy::by_name(name, None, &Place::default(), &mut Rng::seeded(1));
        let balancer =
            Balancer::builder().policy(policy.unwrap()).endpoints(fleet('a', 5)).build().unwrap();
        let nodes = Mutex::new(balancer.fleet().snapshot().nodes().to_vec());
        let (done, picks) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for seed in 0..2 {
                let (balancer, done, picks) = (&balancer, &done, &picks);
                scope.spawn(move || {
                    let (mut rng, mut held) = (Rng::seeded(seed), Vec::new());
                    while !done.load(Ordering::Relaxed) {
                        let lease = balancer.pick(START, &Context::new(), &mut rng).unwrap();
                        let (id, address) = (lease.id().as_str(), lease.address());
                        assert!(address.ends_with(id) && "ab".contains(&address[..1]));
                        held.push(lease);
                        if held.len() > 3 {
                            held.swap_remove(0).finish(START + MS, Outcome::success());
                        }
                        picks.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // Until both have really run beside the replacements.
            let mut round = 0;
            while round < 200 || picks.load(Ordering::Relaxed) < 1000 {
                let (letter, n) = if round % 2 == 0 { ('b', 2) } else { ('a', 5) };
                balancer.fleet().replace(fleet(letter, n)).unwrap();
                nodes.lock().unwrap().extend(balancer.fleet().snapshot().nodes().to_vec());
                round += 1;
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(nodes.lock().unwrap().iter().all(|node| node.in_flight() == 0), "{name}");
    }
}
