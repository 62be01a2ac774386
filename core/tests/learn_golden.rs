//! One log and one model, two languages: what Python logged trains the model here that Python trained
//! from it, and routes; what is logged here is the file that Python's tests train from.
//!
//! `UPDATE_GOLDEN=1 cargo test -p trimtab-core --features train --test learn_golden` writes the log of
//! this side anew; `python tests/golden/make.py` writes Python's.

#![cfg(feature = "train")]

mod learn_support;

use std::{fs, path::PathBuf, sync::Arc};

use learn_support::{World, train};
use trimtab_core::{
    Balancer, Context, Outcome, Rng, Time,
    learn::{Model, train::Config},
    log::Row,
    policy::{Policy, QTable, Random},
};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// Four servers, two of each kind, as in the golden logs of both languages.
fn world() -> World {
    World { kinds: vec![0, 1, 0, 1], clients: 1, explore: 0.1, sigma: 0.1, ..World::crossed() }
}

fn assert_routes(model: Model) {
    let balancer = Balancer::builder()
        .policy(QTable::new(Some(Arc::new(model))))
        .endpoints(world().endpoints())
        .build()
        .unwrap();
    let mut rng = Rng::seeded(1);
    for (class, quick) in [("short", ["s0", "s2"]), ("long", ["s1", "s3"])] {
        for _ in 0..100 {
            let context = Context::new().with_request_class(class);
            let lease = balancer.pick(Time::ZERO, &context, &mut rng).unwrap();
            assert!(quick.contains(&lease.id().as_str()), "{class} went to {}", lease.id());
            lease.finish(Time::ZERO, Outcome::success());
        }
    }
}

#[test]
fn a_model_trained_by_python_routes_here() {
    let theirs = fs::read(golden("python.qtable")).unwrap();
    let log = fs::read_to_string(golden("python_log.jsonl")).unwrap();
    let ours = train(&log, &Config::default().with_min_rows(10).with_note("golden"));
    assert!(ours.model.to_bytes() == theirs, "{:?}", ours.model);
    assert_routes(Model::from_bytes(&theirs).unwrap());
}

#[test]
fn the_log_that_python_trains_from_is_what_is_written_here() {
    let path = golden("rust_log.jsonl");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let balancers = world().balancers(|| Box::new(Random::default()) as Box<dyn Policy>);
        fs::write(&path, world().run(&balancers, 50.0, 2.0, 4).json_lines()).unwrap();
    }
    let log = fs::read_to_string(path).unwrap();
    for line in log.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&row).unwrap(), line, "the layout of rows has changed");
    }
    let fit = train(&log, &Config::default().with_min_rows(10));
    assert_routes(fit.model);
}
