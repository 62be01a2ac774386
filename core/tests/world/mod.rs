//! A fleet in virtual time: open-loop arrivals, one balancer, servers that answer after a while.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use trimtab_core::{Balancer, Context, Failure, Lease, Outcome, Rng, Time};

/// How one server answers: the share of requests that fails after a millisecond, and the mean of the
/// exponential time that the others take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) failing: f64,
    pub(crate) mean: Duration,
}

impl Server {
    pub(crate) fn healthy(mean: Duration) -> Self {
        Self { failing: 0.0, mean }
    }
}

/// What happened.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Run {
    /// The server of each request, in order.
    pub(crate) picks: Vec<usize>,
    pub(crate) failures: usize,
}

/// Sends `requests` at `rate` a second through `balancer`, whose endpoints are named by their index
/// into `servers`.
pub(crate) fn run(
    balancer: &Balancer,
    servers: &[Server],
    rate: f64,
    requests: usize,
    seed: u64,
    context: impl Fn(usize) -> Context<'static>,
) -> Run {
    let mut rng = Rng::seeded(seed);
    let mut world = Rng::seeded(seed ^ 0xABCD);
    let mut now = Time::ZERO + Duration::from_secs(1);
    let mut under_way: BinaryHeap<Reverse<(Time, usize)>> = BinaryHeap::new();
    let mut leases: Vec<Option<(Lease, bool)>> = Vec::new();
    let mut run = Run::default();
    for request in 0..requests {
        now += Duration::from_secs_f64(world.exponential(1.0 / rate));
        while under_way.peek().is_some_and(|Reverse((end, _))| *end <= now) {
            let Reverse((end, which)) = under_way.pop().unwrap();
            let (lease, fails) = leases[which].take().unwrap();
            let outcome =
                if fails { Outcome::failure(Failure::Status) } else { Outcome::success() };
            lease.finish(end, outcome);
        }
        let lease = balancer.pick(now, &context(request), &mut rng).unwrap();
        let server: usize = lease.id().as_str().parse().unwrap();
        let Server { failing, mean } = servers[server];
        let fails = world.unit() < failing;
        let takes = world.exponential(mean.as_secs_f64());
        let takes = if fails { Duration::from_millis(1) } else { Duration::from_secs_f64(takes) };
        run.failures += usize::from(fails);
        run.picks.push(server);
        under_way.push(Reverse((now + takes, leases.len())));
        leases.push(Some((lease, fails)));
    }
    run
}
