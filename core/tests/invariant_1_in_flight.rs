//! Invariant 1: in-flight counts are exact under cancellation, panic and timeout: zero when idle.
//!
//! The interleavings of threads are loom's (`core/src/loom_models.rs`).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use trimtab_core::{
    Balancer, Context, Counts, Endpoint, Failure, Lease, Node, Outcome, Rng, Time,
    log::DecisionLog,
    policy::{Candidates, Choice, Feedback, Picker, Policy, Refusal},
};

const START: Time = Time::from_nanos(1_000_000_000);
const MS: Duration = Duration::from_millis(1);

/// Takes the first, charges 7 ms for it, and panics when told of a failure by timeout.
#[derive(Debug)]
struct Charging;

impl Policy for Charging {
    fn name(&self) -> &'static str {
        "charging"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(Self)
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        assert!(feedback.latency < Duration::from_secs(9), "told of a timeout");
    }
}

impl Picker for Charging {
    fn pick(&self, _: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
        Ok(Choice::from(0).predicting(7 * MS, Duration::ZERO))
    }
}

fn balancer() -> Balancer {
    Balancer::builder().policy(Charging).endpoints([Endpoint::new("a")]).build().unwrap()
}

fn pick(balancer: &Balancer) -> Lease {
    balancer.pick(START, &Context::new(), &mut Rng::seeded(1)).unwrap()
}

/// Requests and charged work at the one endpoint.
fn held(balancer: &Balancer) -> (u32, Duration) {
    let snapshot = balancer.fleet().snapshot();
    let node = &snapshot.nodes()[0];
    (node.in_flight(), node.work_in_flight())
}

#[test]
fn every_way_to_end_gives_back_exactly_one() {
    let ends: [fn(Lease); 12] = [
        |lease| lease.finish(START + MS, Outcome::success()),
        |lease| lease.finish(START + MS, Outcome::failure(Failure::Status)),
        |lease| lease.finish(START + MS, Outcome::failure(Failure::Connect)),
        |lease| lease.finish(START + MS, Outcome::ignore()),
        |lease| lease.cancel(START + MS),
        drop,
        Lease::discard,
        |mut lease| {
            assert!(lease.discard_in_place());
            assert!(!lease.discard_in_place() && !lease.cancel_in_place(START + MS));
        },
        |mut lease| {
            lease.first_byte(START + MS);
            drop(lease);
        },
        // Ended in place, and then once more in every way: that counts for nothing.
        |mut lease| {
            assert!(lease.finish_in_place(START + MS, Outcome::success()));
            assert!(!lease.cancel_in_place(START + MS));
            lease.finish(START + MS, Outcome::success());
        },
        |mut lease| {
            assert!(lease.cancel_in_place(START + MS));
            assert!(!lease.finish_in_place(START + MS, Outcome::success()));
            drop(lease);
        },
        // A clock that went backwards is no reason to count wrongly.
        |lease| lease.finish(Time::ZERO, Outcome::success()),
    ];
    let balancer = balancer();
    let other = pick(&balancer);
    for (which, end) in ends.into_iter().enumerate() {
        let lease = pick(&balancer);
        assert_eq!(held(&balancer), (2, 14 * MS), "end {which}");
        end(lease);
        assert_eq!(held(&balancer), (1, 7 * MS), "end {which}");
    }
    drop(other);
    assert_eq!(held(&balancer), (0, Duration::ZERO));
}

/// What was picked but never sent leaves no trace: no row, no count, no latency.
#[test]
fn a_discarded_pick_leaves_no_trace() {
    let log = Arc::new(DecisionLog::new("c", 1.0, 8, Duration::ZERO).unwrap());
    let balancer = Balancer::builder()
        .policy(Charging)
        .endpoints([Endpoint::new("a")])
        .log(Arc::clone(&log))
        .build()
        .unwrap();
    pick(&balancer).discard();
    assert_eq!(log.pop(), None);
    assert_eq!(log.dropped(), 0);
    let snapshot = balancer.fleet().snapshot();
    let node = &snapshot.nodes()[0];
    assert_eq!((node.total(), node.cancelled(), node.mean_latency()), (Counts::default(), 0, None));
    assert_eq!(node.peak_latency(START), None);
    pick(&balancer).finish(START + MS, Outcome::ignore());
    assert!(log.pop().is_some(), "what was sent is logged");
}

#[test]
fn a_panic_gives_back_what_it_unwinds_through() {
    let balancer = balancer();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _lease = pick(&balancer);
        assert_eq!(held(&balancer).0, 1);
        panic!("the request's own code");
    }));
    assert!(unwound.is_err());
    assert_eq!(held(&balancer), (0, Duration::ZERO));
}

#[test]
fn a_policy_that_panics_at_the_end_gives_back_once() {
    let balancer = balancer();
    let lease = pick(&balancer);
    let late = START + Duration::from_secs(10);
    let unwound = catch_unwind(AssertUnwindSafe(|| lease.finish(late, Outcome::success())));
    assert!(unwound.is_err());
    assert_eq!(held(&balancer), (0, Duration::ZERO));
}

#[test]
fn a_dropped_future_gives_back() {
    let balancer = balancer();
    let request = async {
        let lease = pick(&balancer);
        std::future::pending::<()>().await;
        lease.finish(START + MS, Outcome::success());
    };
    let mut request = Box::pin(request);
    let waker = futures_util::task::noop_waker();
    let polled = request.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    assert!(polled.is_pending());
    assert_eq!(held(&balancer).0, 1);
    drop(request);
    assert_eq!(held(&balancer), (0, Duration::ZERO));
    assert_eq!(balancer.fleet().snapshot().nodes()[0].cancelled(), 1);
}

#[test]
fn threads_that_end_in_every_way_leave_nothing() {
    let balancer = balancer();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut rng = Rng::seeded(seed);
                let mut held = Vec::new();
                for _ in 0..20_000 {
                    held.push(pick(balancer));
                    if held.len() < 8 {
                        continue;
                    }
                    let lease = held.swap_remove(rng.below(8));
                    match rng.below(3) {
                        0 => lease.finish(START + MS, Outcome::success()),
                        1 => lease.cancel(START + MS),
                        _ => drop(lease),
                    }
                }
            });
        }
    });
    assert_eq!(held(&balancer), (0, Duration::ZERO));
}
