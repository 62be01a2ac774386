//! Logs in, model out, routes by it: the whole way in virtual time.

#![cfg(feature = "train")]

mod learn_support;

use learn_support::{World, train};
use trimtab_core::{
    Balancer, Place, Rng,
    learn::{
        Model,
        train::{Config, Stats},
    },
    policy::{Fallback, by_name},
};

fn balancers(world: &World, policy: &str) -> Vec<Balancer> {
    let mut rng = Rng::seeded(9);
    let names: Vec<_> = (0..world.clients)
        .map(|_| by_name(policy, None, &Place::default(), &mut rng).unwrap())
        .collect();
    let names = std::cell::RefCell::new(names);
    world.balancers(|| names.borrow_mut().pop().unwrap())
}

fn assert_idle(balancers: &[Balancer]) {
    for balancer in balancers {
        for node in balancer.fleet().snapshot().nodes() {
            assert_eq!(node.in_flight(), 0, "{}", node.id());
            assert!(node.work_in_flight().is_zero(), "{}", node.id());
        }
    }
}

/// The claim of the design: at 90 % of what class-blind policies can carry, a table trained from their
/// own log beats peak-EWMA by far, and leaves nothing in flight.
#[test]
fn a_table_trained_from_peak_ewmas_log_beats_it_at_high_load() {
    let world = World::crossed();
    let logging = balancers(&world, "peak_ewma");
    let log = world.run(&logging, 300.0, 60.0, 1);
    let fit = train(&log.json_lines(), &Config::default());
    let model = Model::from_bytes(&fit.model.to_bytes()).unwrap();
    assert!(fit.report.advice.enable, "{:?}", fit.report.advice);

    let world = World { explore: 0.0, ..world };
    let (baseline, learned) = (balancers(&world, "peak_ewma"), balancers(&world, "q_table"));
    for balancer in &learned {
        balancer.set_model(model.clone()).unwrap();
    }
    let before = world.run(&baseline, 360.0, 60.0, 2);
    let after = world.run(&learned, 360.0, 60.0, 2);
    println!("peak_ewma {:.1} ms, q_table {:.1} ms", before.mean(), after.mean());
    assert!(after.mean() < 0.6 * before.mean(), "{} against {}", after.mean(), before.mean());
    assert_idle(&baseline);
    assert_idle(&learned);
    for balancer in &learned {
        let fallbacks: u64 = balancer.counters().fallbacks.iter().map(|(_, n)| n).sum();
        assert_eq!(fallbacks, 0, "{:?}", balancer.counters().fallbacks);
    }
}

/// The other half of the claim: where there is nothing to win it is not worse. All endpoints are alike,
/// fifty clients see only their own requests, servers report nothing, and the log is peak-EWMA's own.
#[test]
fn where_endpoints_are_alike_the_table_ties() {
    let classes = vec![("short", [10.0, 10.0], 0.5), ("long", [20.0, 20.0], 0.5)];
    let world = World { classes, clients: 50, report: false, sigma: 0.5, ..World::crossed() };
    let log = world.run(&balancers(&world, "peak_ewma"), 450.0, 15.0, 1);
    let fit = train(&log.json_lines(), &Config::default());
    assert!(!fit.report.advice.enable, "{:?}", fit.report.advice);
    let world = World { explore: 0.0, ..world };
    let (baseline, learned) = (balancers(&world, "peak_ewma"), balancers(&world, "q_table"));
    for balancer in &learned {
        balancer.set_model(fit.model.clone()).unwrap();
    }
    let before = world.run(&baseline, 530.0, 15.0, 2).mean();
    let after = world.run(&learned, 530.0, 15.0, 2).mean();
    println!("peak_ewma {before:.1} ms, q_table {after:.1} ms");
    assert!(after < 1.15 * before, "{after} against {before}");
}

/// A process that folds its own rows learns what the command learns from its file.
#[test]
fn rows_in_memory_and_lines_in_a_file_teach_the_same() {
    let world = World::crossed();
    let run = world.run(&balancers(&world, "least_request"), 200.0, 5.0, 4);
    let mut stats = Stats::new();
    for row in &run.rows {
        stats.fold(row).unwrap().unwrap();
    }
    let direct = stats.finalize(&Config::default()).unwrap();
    assert_eq!(direct, train(&run.json_lines(), &Config::default()));
}

/// Without a model the same policy is peak-EWMA, counted.
#[test]
fn without_a_model_every_pick_is_counted_as_a_fallback() {
    let world = World { explore: 0.0, ..World::crossed() };
    let clients = balancers(&world, "q_table");
    let run = world.run(&clients, 100.0, 5.0, 3);
    let fallbacks: u64 = clients
        .iter()
        .flat_map(|balancer| balancer.counters().fallbacks)
        .filter(|(why, _)| *why == Fallback::NoModel)
        .map(|(_, count)| count)
        .sum();
    assert_eq!(fallbacks, run.latencies.len() as u64);
    assert_idle(&clients);
}
