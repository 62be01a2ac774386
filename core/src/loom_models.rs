//! Loom models of the lock-free parts: every interleaving of a few threads, every value a relaxed load
//! may see. `make test-loom` runs them.
//!
//! Loom counts what is left when a model ends and reports it, so a lost node is a failure too.

use std::{sync::Arc as StdArc, time::Duration};

use loom::{sync::Arc, thread};

use crate::{
    Balancer, Context, Endpoint, EndpointId, Outcome, RetryBudget, Rng, Time,
    policy::{Candidates, Choice, FailSafeConfig, Picker, Policy, Refusal},
    signal::{
        failing::Failing,
        health::{Cause, Health, HealthConfig},
        latency::{Latency, Tau},
        probe::{ProbeSlot, Reading},
        reported_weight::ReportedWeight,
        residual::Residual,
        slowest::Slowest,
        success::{Counts, Success},
        waits::Waits,
    },
};

const TAU: Tau = Tau::new(Duration::from_secs(10));
const MS: u64 = 1_000_000;

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// Explores all interleavings with up to `preemptions` forced switches, which finds nearly all bugs
/// (Musuvathi and Qadeer, 2007) in a small part of the time.
fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

/// The one at `0`, without looking at signals: a model of the lease needs no policy's loads.
#[derive(Debug)]
struct First;

impl Policy for First {
    fn name(&self) -> &'static str {
        "first"
    }

    fn picker(&self, _: &[StdArc<crate::Node>]) -> Box<dyn Picker> {
        Box::new(First)
    }
}

impl Picker for First {
    fn pick(&self, _: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
        Ok(0.into())
    }
}

fn balancer(ids: &[&str]) -> Balancer {
    let endpoints: Vec<Endpoint> = ids.iter().map(Endpoint::new).collect();
    Balancer::builder().policy(First).endpoints(endpoints).build().unwrap()
}

fn pick(balancer: &Balancer, now: Time) -> crate::Lease {
    balancer.pick(now, &Context::new(), &mut Rng::seeded(1)).unwrap()
}

/// Invariant 1: however picks, finishes, cancellations and drops of three threads interleave, the
/// count is exact at the end.
#[test]
fn in_flight_is_exact() {
    model(2, || {
        let balancer = balancer(&["a"]);
        let threads: Vec<_> = (0..2)
            .map(|which| {
                let balancer = balancer.clone();
                thread::spawn(move || {
                    let lease = pick(&balancer, at(1));
                    assert!(lease.node().in_flight() >= 1, "a held lease counts");
                    match which {
                        0 => lease.finish(at(2), Outcome::success()),
                        _ => drop(lease),
                    }
                })
            })
            .collect();
        let mine = pick(&balancer, at(1));
        let node = StdArc::clone(mine.node());
        mine.cancel(at(2));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((node.in_flight(), node.total().successes, node.cancelled()), (0, 1, 2));
    });
}

/// Invariant 2: a pick beside a replacement of the fleet gets an endpoint of the one snapshot or of the
/// other, and its lease ends on the node that it began on.
#[test]
fn pick_beside_replace() {
    model(2, || {
        let balancer = balancer(&["a", "b"]);
        let old = balancer.fleet().snapshot();
        let other = balancer.clone();
        let replacing = thread::spawn(move || {
            other.fleet().replace(vec![Endpoint::new("c")]).unwrap();
        });
        let lease = pick(&balancer, at(1));
        let node = StdArc::clone(lease.node());
        assert!(["a", "c"].contains(&node.id().as_str()));
        lease.finish(at(2), Outcome::success());
        replacing.join().unwrap();
        assert_eq!((node.in_flight(), node.total().successes), (0, 1));
        assert_eq!(pick(&balancer, at(3)).id(), &EndpointId::from("c"));
        assert!(old.nodes().iter().all(|node| node.in_flight() == 0));
    });
}

/// A success is never lost from the bucket, whichever thread opens the second.
#[test]
fn success_buckets_count_exactly() {
    model(3, || {
        let success = Arc::new(Success::new());
        // What is there leaves the window when either thread opens the bucket anew.
        success.record(at(500), true);
        let other = Arc::clone(&success);
        let thread = thread::spawn(move || {
            other.record(at(10_500), false);
            other.record(at(10_600), true);
        });
        success.record(at(10_500), true);
        thread.join().unwrap();
        assert_eq!(success.window(at(10_700)), Counts { successes: 2, failures: 1 });
        assert_eq!(success.total(), Counts { successes: 3, failures: 1 });
    });
}

/// The word of both averages is never torn, and a peak is never lost to a lower sample beside it.
#[test]
fn latency_keeps_the_peak() {
    model(3, || {
        let latency = Arc::new(Latency::new());
        latency.record(at(0), 10 * MS, TAU);
        let other = Arc::clone(&latency);
        let thread = thread::spawn(move || other.record_at_least(at(1000), 500 * MS, TAU));
        latency.record(at(1000), 10 * MS, TAU);
        thread.join().unwrap();
        let peak = latency.peak(at(1000), 1, TAU).unwrap() / 1e6;
        // Either it came last (500), or the other sample has averaged it once (454).
        assert!((450.0..=500.0).contains(&peak), "peak {peak}");
        let mean = latency.mean().unwrap() / 1e6;
        assert!((mean - 10.0).abs() < 1e-3, "a penalty is no latency: {mean}");
    });
}

/// A failure beside the very first success: the success, which weighs the empty past at nothing, does
/// not wipe out the penalty.
#[test]
fn latency_keeps_a_penalty_beside_the_first_sample() {
    model(3, || {
        let latency = Arc::new(Latency::new());
        let other = Arc::clone(&latency);
        let thread = thread::spawn(move || other.record_at_least(at(1), 5000 * MS, TAU));
        latency.record(at(1), 10 * MS, TAU);
        thread.join().unwrap();
        assert_eq!(latency.peak(at(1), 1, TAU), Some(5e9));
    });
}

/// The slowest of two answers is held, whichever opens the window.
#[test]
fn slowest_keeps_the_maximum() {
    model(3, || {
        let slowest = Arc::new(Slowest::default());
        slowest.record(at(1), 9 * MS);
        let later = at(60_000);
        let other = Arc::clone(&slowest);
        let thread = thread::spawn(move || other.record(later, 7 * MS));
        slowest.record(later, 5 * MS);
        thread.join().unwrap();
        assert_eq!(slowest.get(at(90_000)), Duration::from_millis(7));
    });
}

/// Two failures' penalties: the higher one stays, whichever comes first.
#[test]
fn residual_keeps_the_worst() {
    model(3, || {
        let residual = Arc::new(Residual::new());
        let other = Arc::clone(&residual);
        let thread = thread::spawn(move || other.record_at_least(at(5000), 3e9));
        residual.record_at_least(at(5000), 5e9);
        thread.join().unwrap();
        assert_eq!(residual.get(at(5000), 1), 5e9);
    });
}

/// A report after the expiry begins a blackout: nobody sees its time with the start of long ago.
#[test]
fn a_late_report_is_never_usable_at_once() {
    const BLACKOUT: Duration = Duration::from_secs(10);
    const EXPIRATION: Duration = Duration::from_secs(180);
    model(3, || {
        let reported = Arc::new(ReportedWeight::new());
        reported.record(at(0), 1.0, EXPIRATION);
        assert_eq!(reported.get(at(10_000), BLACKOUT, EXPIRATION), Some(1.0));
        let threads = [2.0, 3.0].map(|weight| {
            let reported = Arc::clone(&reported);
            thread::spawn(move || reported.record(at(200_000), weight, EXPIRATION))
        });
        assert_eq!(reported.get(at(200_000), BLACKOUT, EXPIRATION), None);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(reported.get(at(209_000), BLACKOUT, EXPIRATION), None);
        let weight = reported.get(at(210_000), BLACKOUT, EXPIRATION).unwrap();
        assert!([2.0, 3.0].contains(&weight));
    });
}

/// One ejection a run of failures, however many threads see its end.
#[test]
fn health_ejects_once() {
    model(3, || {
        let health = Arc::new(Health::new());
        let config = HealthConfig::default();
        let other = Arc::clone(&health);
        let thread =
            thread::spawn(move || other.eject(Cause::Failing, at(1), &config, 1).is_some());
        let mine = health.eject(Cause::Failing, at(1), &config, 1).is_some();
        assert!(mine ^ thread.join().unwrap(), "ejected exactly once");
        assert!(!health.is_up(at(1)));
    });
}

/// A success that ends an old row does not undo an ejection that begins at the same time.
#[test]
fn health_keeps_the_newer_ejection() {
    model(3, || {
        let health = Arc::new(Health::new());
        let config = HealthConfig::default();
        let first = health.eject(Cause::Failing, at(1), &config, 1).unwrap();
        let later = first + Duration::from_nanos(MS);
        let other = Arc::clone(&health);
        let thread = thread::spawn(move || other.eject(Cause::Failing, later, &config, 1));
        health.succeeded(later, false);
        if let Some(until) = thread.join().unwrap() {
            assert!(health.is_out_until(until, later), "the ejection was undone");
        }
    });
}

/// Reports of a connection beside an ejection for failures: the ejection stands.
#[test]
fn health_connected_beside_eject() {
    model(3, || {
        let health = Arc::new(Health::new());
        let config = HealthConfig::default();
        let first = health.eject(Cause::Unreachable, at(1), &config, 1).unwrap();
        let later = first + Duration::from_nanos(MS);
        let other = Arc::clone(&health);
        let thread = thread::spawn(move || other.eject(Cause::Failing, later, &config, 1));
        health.connected();
        if let Some(until) = thread.join().unwrap() {
            assert!(health.is_out_until(until, later), "a connection excused failures");
        }
    });
}

/// With one retry in the budget, one of two threads gets it.
#[test]
fn retry_budget_pays_once() {
    model(3, || {
        let budget = Arc::new(RetryBudget::new(1.0, 0.0, 1.0));
        budget.deposit(at(1));
        let other = Arc::clone(&budget);
        let thread = thread::spawn(move || other.withdraw(at(1)));
        let mine = budget.withdraw(at(1));
        assert!(mine ^ thread.join().unwrap(), "paid for exactly once");
    });
}

/// Half open, one request is the probe; its failure opens the breaker for the next time, whatever the
/// other thread does meanwhile.
#[test]
fn breaker_sends_one_probe() {
    use crate::policy::breaker::{Admission, Breaker};
    model(3, || {
        let breaker = Arc::new(Breaker::new(FailSafeConfig::default()));
        breaker.panicked(at(0));
        let other = Arc::clone(&breaker);
        let thread = thread::spawn(move || other.admits(at(10_000)) == Admission::Probe);
        let mine = breaker.admits(at(10_001)) == Admission::Probe;
        if mine {
            breaker.ended(at(10_001), at(10_002), Some(false));
        }
        assert!(mine ^ thread.join().unwrap(), "one probe");
        if mine {
            assert_eq!(breaker.admits(at(10_003)), Admission::Refused);
            assert_eq!(breaker.admits(at(40_000)), Admission::Probe, "no probe was lost");
        }
    });
}

/// Two probes' worth of requests at a breaker that closes: nobody opens it again by an old failure.
#[test]
fn breaker_opens_once() {
    use crate::policy::breaker::{Admission, Breaker};
    model(3, || {
        let config = FailSafeConfig { min_requests: 1, ..FailSafeConfig::default() };
        let breaker = Arc::new(Breaker::new(config));
        let other = Arc::clone(&breaker);
        let thread = thread::spawn(move || other.ended(at(0), at(1), Some(false)));
        breaker.ended(at(0), at(1), Some(false));
        thread.join().unwrap();
        // Had both opened it, the row would be two and the time up to ten seconds.
        assert_eq!(breaker.admits(at(5_001)), Admission::Probe);
        assert_eq!(breaker.openings_in_a_row(), 1);
    });
}

/// Two threads on one counter: turns are neither lost nor taken twice.
#[test]
fn turns_are_taken_once() {
    model(2, || {
        let balancer = Balancer::builder()
            .policy(crate::policy::WeightedRoundRobin::default())
            .endpoints(["a", "b"].map(Endpoint::new))
            .build()
            .unwrap();
        let other = balancer.clone();
        let thread = thread::spawn(move || pick(&other, at(1)).id().clone());
        let mine = pick(&balancer, at(1)).id().clone();
        assert_ne!(mine, thread.join().unwrap(), "equal weights take turns");
    });
}

/// Failures on two endpoints at once: the cap of one ejection holds.
#[test]
fn ejections_stay_under_the_cap() {
    model(2, || {
        let health = HealthConfig { consecutive_failures: 1, ..HealthConfig::default() };
        let balancer = Balancer::builder()
            .policy(First)
            .health(health)
            .endpoints(["a", "b"].map(Endpoint::new))
            .build()
            .unwrap();
        let nodes = balancer.fleet().snapshot().nodes().to_vec();
        let other = StdArc::clone(&nodes[1]);
        let thread = thread::spawn(move || other.shared.failed(&other, at(1), at(1)));
        nodes[0].shared.failed(&nodes[0], at(1), at(1));
        thread.join().unwrap();
        assert_eq!(nodes.iter().filter(|node| node.is_up(at(1))).count(), 1);
    });
}

/// A sweep's ejection beside one for failures in a row, each with room for one: one goes.
#[test]
fn a_sweep_and_a_row_of_failures_share_the_cap() {
    model(2, || {
        let health = HealthConfig { consecutive_failures: 1, ..HealthConfig::default() };
        let balancer = Balancer::builder()
            .policy(First)
            .health(health)
            .endpoints(["a", "b"].map(Endpoint::new))
            .build()
            .unwrap();
        let nodes = balancer.fleet().snapshot().nodes().to_vec();
        let other = StdArc::clone(&nodes[1]);
        let thread = thread::spawn(move || other.shared.failed(&other, at(1), at(1)));
        let swept = nodes[0].shared.eject_outlier(&nodes[0], at(1), Duration::from_secs(30), 50);
        thread.join().unwrap();
        assert_eq!(swept.is_ok(), !nodes[0].is_up(at(1)));
        assert_eq!(nodes.iter().filter(|node| node.is_up(at(1))).count(), 1);
    });
}

/// The waits of two requests and a sweep: each is in one interval.
#[test]
fn waits_are_taken_once() {
    model(3, || {
        let waits = Arc::new(Waits::new());
        let other = Arc::clone(&waits);
        let thread = thread::spawn(move || {
            other.record(3 * MS);
            other.record(5 * MS);
        });
        let first = waits.take();
        thread.join().unwrap();
        let second = waits.take();
        assert_eq!(first.count + second.count, 2);
        let means = [first, second].map(|taken| taken.mean.as_millis() as u64 * taken.count);
        assert_eq!(means.iter().sum::<u64>(), 8);
    });
}

/// A place that is freed while another thread finds none is not overlooked for good.
#[test]
fn a_freed_place_is_found() {
    model(2, || {
        let health = HealthConfig { consecutive_failures: 1, ..HealthConfig::default() };
        let balancer = Balancer::builder()
            .policy(First)
            .health(health)
            .endpoints(["a", "b"].map(Endpoint::new))
            .build()
            .unwrap();
        let nodes = balancer.fleet().snapshot().nodes().to_vec();
        nodes[0].shared.failed(&nodes[0], at(1), at(1));
        assert!(!nodes[0].is_up(at(1)));
        let returning = StdArc::clone(&nodes[0]);
        let thread = thread::spawn(move || {
            assert!(returning.health.succeeded(at(2), true));
            returning.shared.returned();
        });
        let other = &nodes[1];
        other.shared.failed(other, at(2), at(2));
        thread.join().unwrap();
        if other.is_up(at(2)) {
            other.shared.failed(other, at(2), at(2));
        }
        assert!(!other.is_up(at(2)), "the cap is taken for full though nobody is out");
    });
}

/// An answer with one use left is used once.
#[test]
fn a_probes_answer_is_used_up_once() {
    model(3, || {
        let slot = Arc::new(ProbeSlot::new());
        slot.put(Reading::new(1, 2, 3e6));
        let seen = slot.load().unwrap();
        let other = Arc::clone(&slot);
        let thread = thread::spawn(move || other.use_once(seen, false).is_ok());
        let mine = slot.use_once(seen, false).is_ok();
        assert!(mine ^ thread.join().unwrap(), "used exactly once");
        assert_eq!(slot.load(), None);
    });
}

/// A use and a removal beside a newer answer: that one stays, as it came or with the use counted.
#[test]
fn a_newer_answer_is_not_taken_for_the_old_one() {
    model(3, || {
        let slot = Arc::new(ProbeSlot::new());
        slot.put(Reading::new(1, 2, 3e6));
        let seen = slot.load().unwrap();
        let newer = Reading::new(9, 7, 5e6);
        let other = Arc::clone(&slot);
        let thread = thread::spawn(move || other.put(newer));
        let left = slot.use_once(seen, true);
        if let Ok(Some(left)) = left {
            assert_eq!((left.in_flight(), left.uses()), (3, 1));
            let _ = slot.remove(left);
        }
        thread.join().unwrap();
        assert_eq!(slot.load(), Some(newer));
    });
}

/// Two failures at once are both counted.
#[test]
fn failing_counts_both() {
    model(3, || {
        let failing = Arc::new(Failing::new());
        let other = Arc::clone(&failing);
        let thread = thread::spawn(move || other.record(at(1), true));
        failing.record(at(1), true);
        thread.join().unwrap();
        assert!((failing.get(at(1)) - 0.4375).abs() < 1e-6);
    });
}

/// Two threads pick from a pool of two answers, one use each, while an answer comes: no answer is used
/// twice, and nothing waits.
#[test]
fn a_pool_is_shared() {
    use crate::{
        ProbeAnswer,
        policy::{Prequal, PrequalConfig},
    };
    model(2, || {
        let config = PrequalConfig::default().with_removals_per_pick(0.0).with_reuse_delta(0.0);
        let balancer = Balancer::builder()
            .policy(Prequal::new(config.with_rif_quantile(1.0)).unwrap())
            .endpoints((0..8).map(|i| Endpoint::new(i.to_string())))
            .build()
            .unwrap();
        let nodes = balancer.fleet().snapshot().nodes().to_vec();
        let answer = |millis| ProbeAnswer::new(1, Duration::from_millis(millis));
        for (node, millis) in [(3, 3), (5, 5), (7, 7)] {
            balancer.probe_answered(at(1), &nodes[node], answer(millis));
        }
        let other = balancer.clone();
        let thread = thread::spawn(move || pick(&other, at(1)).id().clone());
        let mine = pick(&balancer, at(1)).id().clone();
        let theirs = thread.join().unwrap();
        assert_ne!(mine, theirs, "each answer is used once");
        let left = |node: usize| nodes[node].probe.load().is_some();
        assert_eq!((left(3), left(5), left(7)), (false, false, true));
    });
}
