//! Invariant 10: a learned model can't hurt. Whatever the primary policy does, the fail-safe answers
//! with its fallback, and counts it.
//!
//! What the learned table itself refuses is tested with it, in `learn_*.rs`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Failure, Lease, Node, Outcome, Rng, Time,
    log::DecisionLog,
    policy::{
        Candidates, Choice, FailSafe, FailSafeConfig, Fallback, Feedback, Mode, Picker, Policy,
        Random, Refusal,
    },
};

const START: Time = Time::from_nanos(1_000_000_000);

/// What the primary does when asked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Mood {
    Sound,
    NoModel,
    NotANumber,
    OutOfRange,
    Ineligible,
    Nobody,
    Panics,
    PanicsAtTheEnd,
    /// Lets its own fallback decide, as the learned table does in cells without support.
    Defers,
}

const MOODS: [Mood; 9] = [
    Mood::Sound,
    Mood::NoModel,
    Mood::NotANumber,
    Mood::OutOfRange,
    Mood::Ineligible,
    Mood::Nobody,
    Mood::Panics,
    Mood::PanicsAtTheEnd,
    Mood::Defers,
];

/// Always the first endpoint, `good`, in a sound mood.
#[derive(Clone, Debug, Default)]
struct Moody(Arc<AtomicU8>);

impl Moody {
    fn set(&self, mood: Mood) {
        self.0.store(mood as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Mood {
        MOODS[usize::from(self.0.load(Ordering::Relaxed))]
    }
}

impl Policy for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(self.clone())
    }

    fn observe(&self, _: &Feedback<'_>) {
        assert!(self.get() != Mood::PanicsAtTheEnd, "told to");
    }
}

impl Picker for Moody {
    fn pick(&self, candidates: &Candidates<'_>, _: &mut Rng) -> Result<Choice, Refusal> {
        match self.get() {
            Mood::Sound | Mood::PanicsAtTheEnd => Ok(0.into()),
            Mood::NoModel => Err(Refusal::Fallback(Fallback::NoModel)),
            Mood::NotANumber => Err(Refusal::Fallback(Fallback::NotANumber)),
            Mood::OutOfRange => Ok(usize::MAX.into()),
            Mood::Ineligible => {
                let ineligible = (0..candidates.len()).find(|i| !candidates.is_eligible(*i));
                Ok(ineligible.expect("one is down").into())
            }
            Mood::Nobody => Err(Refusal::NoneEligible),
            Mood::Panics => panic!("told to"),
            Mood::Defers => {
                let mut choice = Choice::from(0);
                choice.mode = Mode::Fallback(Fallback::UnsupportedCell);
                Ok(choice)
            }
        }
    }

    /// Of the sound moods; the others do not keep to it.
    fn propensities(&self, _: &Candidates<'_>, out: &mut [f64]) -> bool {
        out[0] = 1.0;
        self.get() != Mood::NoModel
    }
}

struct World {
    primary: Moody,
    balancer: Balancer,
    log: Arc<DecisionLog>,
    rng: Rng,
    now: Time,
}

impl World {
    /// Three endpoints of which the third is down for a while.
    fn new() -> Self {
        let primary = Moody::default();
        let log = Arc::new(DecisionLog::new("test", 1.0, 10_000, Duration::ZERO).unwrap());
        let mut health = trimtab_core::HealthConfig::default();
        // Here the breaker must do it.
        health.consecutive_failures = 0;
        health.base_reconnect = Duration::from_secs(3600);
        health.max_reconnect = Duration::from_secs(3600);
        let balancer = Balancer::builder()
            .policy(FailSafe::new(primary.clone(), Random::default(), FailSafeConfig::default()))
            .endpoints(["good", "other", "down"].map(Endpoint::new))
            .health(health)
            .log(Arc::clone(&log))
            .build()
            .unwrap();
        balancer.fleet().snapshot().nodes()[2].connect_failed(START);
        Self { primary, balancer, log, rng: Rng::seeded(1), now: START }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn pick(&mut self) -> Lease {
        let lease = self.balancer.pick(self.now, &Context::new(), &mut self.rng).unwrap();
        assert_ne!(lease.id(), &EndpointId::from("down"));
        lease
    }

    /// Picks and ends at once.
    fn send(&mut self, outcome: Outcome) -> Mode {
        let lease = self.pick();
        let mode = lease.mode();
        lease.finish(self.now, outcome);
        mode
    }

    fn succeed(&mut self) -> Mode {
        self.send(Outcome::success())
    }

    fn fail(&mut self) -> Mode {
        self.send(Outcome::failure(Failure::Status))
    }

    fn counted(&self, why: Fallback) -> u64 {
        let counts = self.balancer.counters().fallbacks;
        counts.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| *count)
    }

    /// Fails until the breaker opens, as late as it should.
    fn open(&mut self) {
        for request in 0..20 {
            assert_eq!(self.fail(), Mode::Policy, "request {request} of the 20 that it takes");
        }
        assert_eq!(self.succeed(), Mode::Fallback(Fallback::BreakerOpen));
    }
}

#[test]
fn whatever_the_primary_does_the_request_goes_on_and_is_counted_and_logged() {
    for (mood, why) in [
        (Mood::NoModel, Fallback::NoModel),
        (Mood::NotANumber, Fallback::NotANumber),
        (Mood::OutOfRange, Fallback::Invalid),
        (Mood::Ineligible, Fallback::Invalid),
        (Mood::Panics, Fallback::Panicked),
        (Mood::Defers, Fallback::UnsupportedCell),
    ] {
        let mut world = World::new();
        world.primary.set(mood);
        assert_eq!(world.succeed(), Mode::Fallback(why), "{mood:?}");
        assert_eq!(world.counted(why), 1, "{mood:?}");
        let row = world.log.pop().expect("every request is logged");
        assert_eq!(
            (row.mode.as_str(), row.fallback_reason.as_deref()),
            ("fallback", Some(why.as_str()))
        );
        let sampled_by_the_primary = mood == Mood::Defers;
        let propensity = if sampled_by_the_primary { 1.0 } else { 0.5 };
        assert_eq!(row.propensity, Some(propensity), "{mood:?}");
        // And the fallback is the fallback policy: over many picks both that are up get some.
        let used: std::collections::BTreeSet<_> =
            (0..50).map(|_| world.pick().id().clone()).collect();
        assert!(used.len() == 2 || mood == Mood::Defers, "{mood:?}: {used:?}");
    }
}

#[test]
fn a_primary_that_finds_nobody_where_there_is_somebody_is_overruled() {
    let mut world = World::new();
    world.primary.set(Mood::Nobody);
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::Invalid));
    assert_eq!(world.counted(Fallback::Invalid), 1);
}

#[test]
fn a_panic_opens_the_breaker_at_once() {
    let mut world = World::new();
    world.primary.set(Mood::Panics);
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::Panicked));
    world.primary.set(Mood::Sound);
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen));
    world.wait(Duration::from_secs(5));
    assert_eq!(world.succeed(), Mode::Policy, "the probe");
    assert_eq!(world.succeed(), Mode::Policy, "closed");
}

#[test]
fn a_panic_while_it_learns_opens_it_too() {
    let mut world = World::new();
    world.primary.set(Mood::PanicsAtTheEnd);
    assert_eq!(world.succeed(), Mode::Policy);
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen));
    assert!(world.balancer.fleet().snapshot().nodes().iter().all(|node| node.in_flight() == 0));
}

#[test]
fn failing_requests_open_it_and_one_probe_closes_it() {
    let mut world = World::new();
    world.open();
    assert_eq!(world.counted(Fallback::BreakerOpen), 1);
    // Equal jitter: open for at least half of 5 s and at most all of it.
    world.wait(Duration::from_millis(2400));
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen));
    world.wait(Duration::from_millis(2600));
    while world.log.pop().is_some() {}
    let probe = world.pick();
    assert_eq!(probe.mode(), Mode::Policy);
    for _ in 0..10 {
        assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen), "one probe at a time");
        let row = world.log.pop().expect("every request is logged");
        assert_eq!(row.propensity, Some(0.5), "the fallback's");
    }
    probe.finish(world.now, Outcome::success());
    let row = world.log.pop().expect("every request is logged");
    assert_eq!(row.propensity, Some(1.0), "the primary's, whose choice the probe is");
    for _ in 0..10 {
        assert_eq!(world.succeed(), Mode::Policy, "closed");
    }
    // The failures of before are forgotten: with the ten successes it takes eleven to be more than half.
    for _ in 0..11 {
        assert_eq!(world.fail(), Mode::Policy);
    }
    assert_eq!(world.fail(), Mode::Fallback(Fallback::BreakerOpen));
}

#[test]
fn a_probe_that_fails_opens_it_for_longer() {
    let mut world = World::new();
    world.open();
    for doubled in [10, 20, 40, 80, 160, 300, 300] {
        world.wait(Duration::from_secs(300));
        assert_eq!(world.fail(), Mode::Policy, "the probe");
        world.wait(Duration::from_millis(doubled * 500 - 1));
        assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen), "{doubled}");
    }
}

#[test]
fn half_of_the_requests_may_fail() {
    let mut world = World::new();
    for _ in 0..100 {
        assert_eq!((world.succeed(), world.fail()), (Mode::Policy, Mode::Policy));
    }
}

#[test]
fn the_fallbacks_failures_do_not_count_against_the_primary() {
    let mut world = World::new();
    world.primary.set(Mood::NoModel);
    for _ in 0..100 {
        world.fail();
    }
    world.primary.set(Mood::Sound);
    assert_eq!(world.succeed(), Mode::Policy);
}

/// Requests from before it opened end while the probe is under way: they are not the probe.
#[test]
fn an_old_request_does_not_pass_for_the_probe() {
    let mut world = World::new();
    let (old, older) = (world.pick(), world.pick());
    world.wait(Duration::from_millis(1));
    world.open();
    world.wait(Duration::from_secs(5));
    let probe = world.pick();
    assert_eq!(probe.mode(), Mode::Policy);
    old.finish(world.now, Outcome::success());
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen), "not closed by it");
    older.finish(world.now, Outcome::failure(Failure::Status));
    probe.finish(world.now, Outcome::success());
    assert_eq!(world.succeed(), Mode::Policy, "nor opened");
}

/// A probe whose end tells nothing, or whose place the primary leaves to a fallback, or that is never
/// heard of again, does not keep the breaker open for ever.
#[test]
fn a_probe_cannot_get_lost() {
    let mut world = World::new();
    world.open();
    world.wait(Duration::from_secs(5));
    let now = world.now;
    let probe = world.pick();
    assert_eq!(probe.mode(), Mode::Policy);
    probe.cancel(now);
    world.wait(Duration::from_millis(1));
    let unsent = world.pick();
    assert_eq!(unsent.mode(), Mode::Policy);
    unsent.discard();
    world.wait(Duration::from_millis(1));
    for mood in [Mood::NoModel, Mood::Ineligible, Mood::Defers] {
        world.primary.set(mood);
        assert_ne!(world.succeed(), Mode::Policy);
        world.primary.set(Mood::Sound);
        world.wait(Duration::from_millis(1));
        let probe = world.pick();
        assert_eq!(probe.mode(), Mode::Policy, "the next is the probe, after {mood:?}");
        probe.finish(world.now, Outcome::ignore());
    }
    let lost = world.pick();
    assert_eq!(lost.mode(), Mode::Policy);
    drop(lost);
    world.wait(Duration::from_secs(59));
    assert_eq!(world.succeed(), Mode::Fallback(Fallback::BreakerOpen));
    world.wait(Duration::from_secs(2));
    assert_eq!(world.succeed(), Mode::Policy, "another probe, a minute later");
    assert_eq!(world.succeed(), Mode::Policy);
}

/// Without a fail-safe around it a broken policy still loses only its say.
#[test]
fn a_bare_policy_is_overruled_too() {
    let primary = Moody::default();
    let balancer = Balancer::builder()
        .policy(primary.clone())
        .endpoints([Endpoint::new("a")])
        .build()
        .unwrap();
    for (mood, why) in [
        (Mood::OutOfRange, Fallback::Invalid),
        (Mood::Nobody, Fallback::Invalid),
        (Mood::NoModel, Fallback::NoModel),
    ] {
        primary.set(mood);
        let before = balancer.counters().fallbacks;
        let lease = balancer.pick(START, &Context::new(), &mut Rng::seeded(1)).unwrap();
        assert_eq!(lease.mode(), Mode::Fallback(why));
        assert_ne!(balancer.counters().fallbacks, before, "{mood:?} is counted");
    }
}
