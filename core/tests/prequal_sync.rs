//! Prequal's synchronous mode: when a request has waited enough, and where it goes then.

use std::{sync::Arc, time::Duration};

use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};
use trimtab_core::{
    Balancer, Endpoint, Node, ProbeAnswer, Time,
    policy::{SyncDecision, SyncProbe},
};

const MS: Duration = Duration::from_millis(1);
const START: Time = Time::from_nanos(1_000_000_000);

fn nodes(n: usize) -> (Balancer, Vec<Arc<Node>>) {
    let endpoints = (0..n).map(|i| Endpoint::new(i.to_string()));
    let balancer = Balancer::builder().endpoints(endpoints).build().unwrap();
    let nodes = balancer.fleet().snapshot().nodes().to_vec();
    (balancer, nodes)
}

fn answer(in_flight: u32, millis: u32) -> ProbeAnswer {
    ProbeAnswer::new(in_flight, millis * MS)
}

fn send(node: &Arc<Node>) -> SyncDecision {
    SyncDecision::Send(Arc::clone(node))
}

#[test]
fn waits_for_all_but_one() {
    let (_balancer, nodes) = nodes(4);
    let mut probe = SyncProbe::new(START, nodes.clone(), 5);
    for (node, millis) in [(0, 9), (1, 7)] {
        probe.answered(&nodes[node], answer(1, millis));
        assert_eq!(probe.decision(START), SyncDecision::Wait);
    }
    probe.answered(&nodes[2], answer(1, 8));
    assert_eq!(probe.decision(START), send(&nodes[1]));
}

#[test]
fn waits_three_milliseconds_at_most() {
    let (_balancer, nodes) = nodes(5);
    let mut probe = SyncProbe::new(START, nodes.clone(), 5);
    assert_eq!(probe.deadline(), START + 3 * MS);
    assert_eq!(probe.decision(START + 2 * MS), SyncDecision::Wait);
    assert_eq!(probe.decision(START + 3 * MS), SyncDecision::Unanswered);
    probe.answered(&nodes[3], answer(1, 7));
    assert_eq!(probe.decision(START + 2 * MS), SyncDecision::Wait);
    assert_eq!(probe.decision(START + 3 * MS), send(&nodes[3]));
    let patient = SyncProbe::new(START, nodes, 5).with_deadline(START + 9 * MS);
    assert_eq!(patient.decision(START + 8 * MS), SyncDecision::Wait);
}

/// Who fails is not waited for, and who is down by then is passed over.
#[test]
fn failures_are_not_waited_for() {
    let (_balancer, nodes) = nodes(3);
    let mut probe = SyncProbe::new(START, nodes.clone(), 5);
    probe.failed(&nodes[0]);
    probe.answered(&nodes[1], answer(1, 7));
    assert_eq!(probe.decision(START), SyncDecision::Wait);
    probe.failed(&nodes[2]);
    assert_eq!(probe.decision(START), send(&nodes[1]));
    nodes[1].connect_failed(START);
    assert_eq!(probe.decision(START), SyncDecision::Unanswered);
}

#[test]
fn cold_before_hot() {
    let (_balancer, nodes) = nodes(4);
    let decide = |hot_from, answers: [(u32, u32); 4]| {
        let mut probe = SyncProbe::new(START, nodes.clone(), hot_from);
        for (node, (in_flight, millis)) in nodes.iter().zip(answers) {
            probe.answered(node, answer(in_flight, millis));
        }
        let SyncDecision::Send(node) = probe.decision(START) else { panic!("it can decide") };
        node.id().as_str().parse::<usize>().unwrap()
    };
    let answers = [(9, 1), (4, 30), (3, 40), (6, 2)];
    assert_eq!(decide(5, answers), 1, "the fastest of the cold");
    assert_eq!(decide(3, answers), 2, "all hot: the fewest in flight");
    assert_eq!((decide(0, answers), decide(u32::MAX, answers)), (2, 0), "the ends");
}

/// The first word counts, a stranger's does not, and one endpoint alone is waited for.
#[test]
fn each_is_heard_once() {
    let (_balancer, nodes) = nodes(3);
    let mut probe = SyncProbe::new(START, nodes[..1].to_vec(), 5);
    probe.answered(&nodes[2], answer(0, 1));
    assert_eq!(probe.decision(START), SyncDecision::Wait);
    probe.answered(&nodes[0], answer(0, 1));
    probe.failed(&nodes[0]);
    assert_eq!(probe.decision(START), send(&nodes[0]));
    assert_eq!(SyncProbe::new(START, vec![], 5).decision(START), SyncDecision::Unanswered);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: it decides once all but one have answered or all were heard of,
    /// for one that answered, and never waits beyond the deadline.
    #[test]
    fn decides_when_it_should(events in prop::collection::vec((0_usize..5, 0_u32..4, 0_u32..50), 0..12)) {
        let (_balancer, nodes) = nodes(5);
        let mut probe = SyncProbe::new(START, nodes.clone(), 2);
        let mut heard = [None; 5];
        for (node, in_flight, millis) in events {
            // Three in flight stands for a failure.
            let failed = in_flight == 3;
            heard[node] = heard[node].or(Some(!failed));
            if failed {
                probe.failed(&nodes[node]);
            } else {
                probe.answered(&nodes[node], answer(in_flight, millis));
            }
            let answers = heard.iter().filter(|heard| **heard == Some(true)).count();
            let due = answers >= 4 || heard.iter().all(Option::is_some);
            let decision = probe.decision(START);
            prop_assert_eq!(decision == SyncDecision::Wait, !due);
            for decision in [decision, probe.decision(START + 3 * MS)] {
                if let SyncDecision::Send(node) = decision {
                    let which = nodes.iter().position(|known| Arc::ptr_eq(known, &node)).unwrap();
                    prop_assert_eq!(heard[which], Some(true));
                }
            }
            prop_assert!(probe.decision(START + 3 * MS) != SyncDecision::Wait);
        }
    }
}
