//! A policy of your own: the cheapest endpoint that has a free slot. Run it with
//! `cargo run -p trimtab-core --example own_policy`.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, Node, Outcome, Rng, Time,
    policy::{Candidates, Choice, Picker, Policy, Refusal},
};

#[derive(Debug)]
struct Cheapest(u32);

impl Policy for Cheapest {
    fn name(&self) -> &'static str {
        "cheapest"
    }

    /// Off the request path, for each new fleet: look up once what a pick would look up each time.
    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let costs = group.iter().map(|node| node.endpoint().cost()).collect();
        Box::new(Prices { costs, slots: self.0 })
    }
}

/// What the request path asks: no locks, no allocation.
#[derive(Debug)]
struct Prices {
    costs: Vec<f64>,
    slots: u32,
}

impl Picker for Prices {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let price = |index: usize| {
            let free = candidates.node(index).in_flight() < self.slots;
            if free { self.costs[index] } else { f64::INFINITY }
        };
        // The lowest of those that are up; equals share by chance.
        candidates.least(price, rng).map(Choice::from).ok_or(Refusal::NoneEligible)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let endpoints = [("spot", 1.0), ("reserved", 2.0), ("on-demand", 5.0)];
    let endpoints = endpoints.into_iter().map(|(name, cost)| Endpoint::new(name).with_cost(cost));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
    let balancer = Balancer::builder().policy(Cheapest(4)).endpoints(endpoints).build()?;

    let (mut rng, now) = (Rng::seeded(1), Time::ZERO);
    let mut pick = || balancer.pick(now, &Context::new(), &mut rng);
    let leases = (0..10).map(|_| pick()).collect::<Result<Vec<_>, _>>()?;
    let mut went = BTreeMap::new();
    for lease in leases {
        *went.entry(lease.id().clone()).or_insert(0) += 1;
        lease.finish(now + Duration::from_millis(5), Outcome::success());
    }
    println!("ten requests at once went to {went:?}");
    Ok(())
}
