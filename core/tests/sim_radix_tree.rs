//! The learned tree that prefix affinity is compared with: thresholds, balance, and the cut.
#![cfg(feature = "sim")]

use std::{collections::BTreeSet, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Lease, Prompt, Rng, Time,
    sim::rules::{RadixTree, by_name},
};

fn balancer(rule: RadixTree, n: usize) -> Balancer {
    let endpoints = (0..n).map(|index| Endpoint::new(index.to_string()));
    Balancer::builder().policy(rule).endpoints(endpoints).build().unwrap()
}

fn pick(balancer: &Balancer, now: Time, blocks: &[u64], rng: &mut Rng) -> Lease {
    let prompt = Prompt::new(512 * blocks.len() as u32, blocks);
    balancer.pick(now, &Context::new().with_prompt(prompt), rng).unwrap()
}

fn send(balancer: &Balancer, now: Time, blocks: &[u64], rng: &mut Rng) -> EndpointId {
    pick(balancer, now, blocks, rng).id().clone()
}

#[test]
fn it_is_known_by_its_name() {
    assert_eq!(by_name("radix_tree").unwrap().name(), "radix_tree");
    assert!(by_name("radix").is_none());
}

/// More than three tenths of the prompt lead to where it was; three tenths to the smallest tree.
#[test]
fn the_match_must_be_long_enough() {
    for (shared, follows) in [(4, true), (3, false)] {
        let (balancer, mut rng) = (balancer(RadixTree::default(), 8), Rng::seeded(1));
        let first: Vec<u64> = (0..shared).collect();
        let other: Vec<u64> = (0..10).map(|i| if i < shared { i } else { 100 + i }).collect();
        let was = send(&balancer, Time::ZERO, &first, &mut rng);
        assert_eq!(send(&balancer, Time::ZERO, &other, &mut rng) == was, follows, "{shared}");
    }
}

#[test]
fn new_prompts_go_to_the_smallest_tree() {
    let (balancer, mut rng) = (balancer(RadixTree::default(), 8), Rng::seeded(1));
    let ids: BTreeSet<EndpointId> =
        (0..8).map(|i| send(&balancer, Time::ZERO, &[10 * i, 10 * i + 1], &mut rng)).collect();
    assert_eq!(ids.len(), 8);
}

/// It stays on one replica until that has 65 more than another, whatever it waits for there.
#[test]
fn balance_counts_only_past_both_thresholds() {
    let (balancer, mut rng) = (balancer(RadixTree::default(), 4), Rng::seeded(1));
    let leases: Vec<Lease> =
        (0..66).map(|_| pick(&balancer, Time::ZERO, &[1, 2], &mut rng)).collect();
    let ids: BTreeSet<&EndpointId> = leases[..65].iter().map(Lease::id).collect();
    assert_eq!(ids.len(), 1);
    assert_ne!(leases[65].id(), leases[0].id());
}

/// Two clients that do not talk know nothing of each other's.
#[test]
fn each_client_learns_its_own() {
    let mut rng = Rng::seeded(1);
    let clients: Vec<Balancer> = (0..8).map(|_| balancer(RadixTree::default(), 8)).collect();
    let ids: BTreeSet<EndpointId> =
        clients.iter().map(|client| send(client, Time::ZERO, &[1, 2, 3], &mut rng)).collect();
    assert!(ids.len() > 2, "{ids:?}");
}

/// The oldest leaves go first, and not before it is time.
#[test]
fn a_tree_is_cut_to_its_size() {
    let minute = Time::ZERO + Duration::from_secs(61);
    for (cut, now) in [(false, Time::ZERO), (true, minute)] {
        let (balancer, mut rng) = (balancer(RadixTree::with_size(4), 1), Rng::seeded(1));
        balancer.fleet().add(Endpoint::new("new"));
        let snapshot = balancer.fleet().snapshot();
        let old = &snapshot.nodes()[0];
        snapshot.nodes()[1].connect_failed(Time::ZERO);
        // All to the first: the other is not up.
        for blocks in [[1, 2, 3, 4], [1, 5, 6, 7]] {
            assert_eq!(send(&balancer, Time::ZERO, &blocks, &mut rng), *old.id());
        }
        snapshot.nodes()[1].connected();
        let kept = send(&balancer, now, &[1, 5, 6, 7], &mut rng);
        assert_eq!(kept, *old.id());
        // Of this one the root is left, a quarter of it.
        let id = send(&balancer, now, &[1, 2, 3, 4], &mut rng);
        assert_eq!(id == *old.id(), !cut);
    }
}
