//! A small world in virtual time: clients with a balancer each, servers that do one thing at a time.
//! A heap of events and a clock; nothing sleeps.

#![allow(dead_code, unreachable_pub)] // each test file uses its part of it

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, Lease, Outcome, Rng, Time, Weight,
    learn::{Archetype, CellCost, Model, Parts},
    log::{DecisionLog, Row},
    policy::Policy,
};

pub const ORIGIN: Duration = Duration::from_secs(1_700_000_000);

/// Servers of two kinds and what two classes cost there in milliseconds.
#[derive(Clone)]
pub struct World {
    /// Kind of each server.
    pub kinds: Vec<usize>,
    /// Weight of each kind.
    pub weights: [f64; 2],
    pub classes: Vec<(&'static str, [f64; 2], f64)>,
    /// Spread of the service time, as the sigma of a lognormal of mean 1.
    pub sigma: f64,
    pub clients: usize,
    /// Whether servers report their processing time.
    pub report: bool,
    pub labelled: bool,
    pub explore: f64,
}

impl World {
    /// Ten servers of two kinds; each class is quick on one kind and slow on the other. What
    /// class-blind routing can carry is 400 requests/s.
    pub fn crossed() -> Self {
        Self {
            kinds: (0..10).map(|server| server % 2).collect(),
            weights: [1.0, 1.0],
            classes: vec![("short", [10.0, 40.0], 0.5), ("long", [40.0, 10.0], 0.5)],
            sigma: 0.3,
            clients: 5,
            report: true,
            labelled: true,
            explore: 0.05,
        }
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |(server, kind): (usize, &usize)| {
            let endpoint = Endpoint::new(format!("s{server}"))
                .with_weight(Weight::new(self.weights[*kind]).unwrap());
            if self.labelled {
                endpoint.with_label("archetype", ["x", "y"][*kind])
            } else {
                endpoint
            }
        };
        self.kinds.iter().enumerate().map(endpoint).collect()
    }

    pub fn balancers(&self, policy: impl Fn() -> Box<dyn Policy>) -> Vec<Balancer> {
        (0..self.clients)
            .map(|client| {
                let log = DecisionLog::new(&format!("c{client}"), 1.0, 1 << 16, ORIGIN).unwrap();
                Balancer::builder()
                    .policy(policy())
                    .endpoints(self.endpoints())
                    .explore(self.explore)
                    .unix_origin(ORIGIN)
                    .log(Arc::new(log))
                    .build()
                    .unwrap()
            })
            .collect()
    }

    /// Open-loop Poisson load of `rate` requests/s for `seconds`; returns latencies in milliseconds
    /// and the decision log.
    pub fn run(&self, balancers: &[Balancer], rate: f64, seconds: f64, seed: u64) -> Run {
        let mut rng = Rng::seeded(seed);
        let mut now = Time::ZERO;
        let mut free = vec![Time::ZERO; self.kinds.len()];
        let mut ends = BinaryHeap::new();
        let mut under_way: Vec<Option<(usize, Lease, Duration)>> = Vec::new();
        let mut run = Run { latencies: Vec::new(), rows: Vec::new() };
        let end = Time::ZERO + Duration::from_secs_f64(seconds);
        let mut next = now;
        loop {
            let due = ends.peek().map(|Reverse((at, _))| *at);
            if due.is_none_or(|due| next <= due) && next < end {
                now = next;
                next = now + Duration::from_secs_f64(rng.exponential(1.0 / rate));
                let (class, costs, _) = self.draw(&mut rng);
                let client = rng.below(balancers.len());
                let context = Context::new().with_request_class(class);
                let lease = balancers[client].pick(now, &context, &mut rng).unwrap();
                let server: usize = lease.id().as_str()[1..].parse().unwrap();
                let spread = (self.sigma * rng.normal() - self.sigma * self.sigma / 2.0).exp();
                let millis = costs[self.kinds[server]] * spread;
                let service = Duration::from_secs_f64(millis / 1e3);
                free[server] = free[server].max(now) + service;
                ends.push(Reverse((free[server], under_way.len())));
                under_way.push(Some((client, lease, service)));
            } else if let Some(Reverse((at, request))) = ends.pop() {
                now = at;
                let (client, lease, service) = under_way[request].take().unwrap();
                run.latencies.push(now.since(lease.started()).as_secs_f64() * 1e3);
                let mut outcome = Outcome::success();
                if self.report {
                    outcome = outcome.with_server_processing(service);
                }
                lease.finish(now, outcome);
                let log = balancers[client].log().unwrap();
                run.rows.extend(std::iter::from_fn(|| log.pop()));
            } else {
                return run;
            }
        }
    }

    fn draw(&self, rng: &mut Rng) -> (&'static str, [f64; 2], f64) {
        let mut point = rng.unit() * self.classes.iter().map(|(_, _, share)| share).sum::<f64>();
        for class in &self.classes {
            point -= class.2;
            if point < 0.0 {
                return *class;
            }
        }
        *self.classes.last().unwrap()
    }
}

pub struct Run {
    pub latencies: Vec<f64>,
    pub rows: Vec<Row>,
}

impl Run {
    pub fn mean(&self) -> f64 {
        self.latencies.iter().sum::<f64>() / self.latencies.len() as f64
    }

    /// The log as the file that a client writes.
    pub fn json_lines(&self) -> String {
        let lines = self.rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n");
        lines.collect()
    }
}

/// Trains as the command does: bytes in chunks, then a fit.
#[cfg(feature = "train")]
pub fn train(
    log: &str,
    config: &trimtab_core::learn::train::Config,
) -> trimtab_core::learn::train::Fit {
    use trimtab_core::learn::train::{Lines, Stats};
    let mut stats = Stats::new();
    let mut lines = Lines::new("log.jsonl");
    for chunk in log.as_bytes().chunks(1000) {
        lines.push(chunk, |line| stats.fold_json(line)).unwrap();
    }
    lines.finish(|line| stats.fold_json(line)).unwrap();
    assert_eq!(lines.wrong(), 0, "{:?}", lines.shown());
    stats.finalize(config).unwrap()
}

/// The archetypes x and y.
pub fn by_label() -> Vec<Archetype> {
    let archetype = |name: &str| Archetype { name: name.into(), members: vec![] };
    vec![archetype("archetype=x"), archetype("archetype=y")]
}

pub fn millis(service: u64, slope: f64, rows: u64) -> CellCost {
    CellCost::new(Duration::from_millis(service), slope, rows)
}

/// What is true of [`World::crossed`], as a model.
pub fn crossed_parts() -> Parts {
    Parts {
        classes: vec!["long".into(), "short".into()],
        archetypes: by_label(),
        cells: vec![
            Some(millis(40, 1.0, 100)),
            Some(millis(10, 1.0, 100)),
            Some(millis(10, 1.0, 100)),
            Some(millis(40, 1.0, 100)),
        ],
        feature_hash: trimtab_core::learn::feature_hash(&["archetype".to_owned()]),
        window: trimtab_core::learn::Window { start: ORIGIN, end: ORIGIN },
        rows: 400,
        note: "by hand".into(),
    }
}

pub fn crossed_model() -> Model {
    Model::new(crossed_parts()).unwrap()
}
