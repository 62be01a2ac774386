//! Bad input gets an error that names what was wrong and what would be right: variant and words.

mod table;

use std::{sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Builder, ConfigError, Context, Endpoint, EndpointId, GeoPoint, HealthConfig, Place,
    Rng, Time, Weight,
    learn::Model,
    log::DecisionLog,
    policy::{LeastRequest, POLICY_NAMES, QTable, by_name},
};

fn builder() -> Builder {
    Balancer::builder().endpoints([Endpoint::new("a")])
}

/// The setting, the value and the interval of an [`ConfigError::OutOfRange`], and its words.
fn out_of_range<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> (&'static str, String) {
    match result {
        Err(error @ ConfigError::OutOfRange { name, .. }) => (name, error.to_string()),
        other => panic!("expected OutOfRange, got {other:?}"),
    }
}

#[test]
fn numbers_that_no_endpoint_can_have() {
    type Case = (fn(f64) -> Result<(), ConfigError>, fn(&ConfigError) -> bool, &'static str);
    let cases: [Case; 4] = [
        (
            |v| Weight::new(v).map(drop),
            |error| matches!(error, ConfigError::Weight { .. }),
            "weight {} must be a positive number in [1e-12, 1e12]",
        ),
        (
            |v| Endpoint::new("a").with_cost(v).map(drop),
            |error| matches!(error, ConfigError::Cost { .. }),
            "cost {} is not a finite number of at least 0",
        ),
        (
            |v| GeoPoint::new(v, 0.0).map(drop),
            |error| matches!(error, ConfigError::Coordinates { .. }),
            "latitude {} must lie in [-90, 90] and longitude 0 in [-180, 180]",
        ),
        (
            |v| GeoPoint::new(0.0, v).map(drop),
            |error| matches!(error, ConfigError::Coordinates { .. }),
            "latitude 0 must lie in [-90, 90] and longitude {} in [-180, 180]",
        ),
    ];
    let bad: [&[f64]; 4] = [
        &[0.0, -1.0, 1e-13, 1e13, f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        &[-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        &[90.1, -90.1, f64::NAN, f64::INFINITY],
        &[180.1, -180.1, f64::NAN, f64::INFINITY],
    ];
    let good: [&[f64]; 4] = [&[1e-12, 1.0, 1e12], &[0.0, 1e300], &[-90.0, 90.0], &[-180.0, 180.0]];
    for (((make, is_it, words), bad), good) in cases.into_iter().zip(bad).zip(good) {
        for value in bad {
            let error = make(*value).unwrap_err();
            assert!(is_it(&error), "{error:?}");
            assert_eq!(error.to_string(), words.replace("{}", &value.to_string()));
        }
        for value in good {
            make(*value).unwrap();
        }
    }
}

#[test]
fn settings_outside_their_range() {
    for share in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
        let (name, words) = out_of_range(builder().explore(share).build());
        assert_eq!(name, "explore");
        assert_eq!(words, format!("explore = {share} must lie in [0, 1]"));
        let mut health = HealthConfig::default();
        health.max_ejected = share;
        let (name, words) = out_of_range(builder().health(health).build());
        assert_eq!(name, "max_ejected");
        assert_eq!(words, format!("max_ejected = {share} must lie in [0, 1]"));
        let (name, words) = out_of_range(DecisionLog::new("c", share, 8, Duration::ZERO));
        assert_eq!(name, "log sample");
        assert_eq!(words, format!("log sample = {share} must lie in [0, 1]"));
    }
    let (name, words) = out_of_range(builder().decay(Duration::ZERO).build());
    assert_eq!(name, "decay");
    assert_eq!(words, "decay = 0 must lie in (0, inf)");
    let (name, words) = out_of_range(DecisionLog::new("c", 1.0, 0, Duration::ZERO));
    assert_eq!(name, "log capacity");
    assert_eq!(words, "log capacity = 0 must lie in [1, inf)");
    for choices in [0, 1, 11, u8::MAX] {
        let (name, words) = out_of_range(LeastRequest::with_choices(choices));
        assert_eq!(name, "choices");
        assert_eq!(words, format!("choices = {choices} must lie in [2, 10]"));
    }
}

#[test]
fn a_fleet_of_nobody() {
    let error = Balancer::builder().build().unwrap_err();
    assert_eq!(error, ConfigError::EmptyFleet);
    assert_eq!(error.to_string(), "the fleet has no endpoints; give at least one");
    let balancer = builder().build().unwrap();
    assert_eq!(balancer.fleet().replace(Vec::new()), Err(ConfigError::EmptyFleet));
    let lease = balancer.pick(Time::ZERO, &Context::new(), &mut Rng::seeded(1)).unwrap();
    assert_eq!(lease.id().as_str(), "a", "the fleet is as before");
}

#[test]
fn an_id_given_twice() {
    let twice = || ["b", "c", "b"].map(Endpoint::new);
    let wanted = ConfigError::DuplicateId { id: EndpointId::from("b") };
    assert_eq!(wanted.to_string(), "two endpoints have the id \"b\"; ids must differ");
    assert_eq!(Balancer::builder().endpoints(twice()).build().unwrap_err(), wanted);
    let balancer = builder().build().unwrap();
    assert_eq!(balancer.fleet().replace(twice().to_vec()), Err(wanted));
    assert_eq!(balancer.fleet().snapshot().nodes().len(), 1);
}

#[test]
fn an_id_that_is_not_there() {
    let balancer = builder().build().unwrap();
    let gone = EndpointId::from("z");
    let wanted = ConfigError::UnknownId { id: gone.clone() };
    assert_eq!(wanted.to_string(), "no endpoint has the id \"z\"");
    assert_eq!(balancer.fleet().remove(&gone), Err(wanted.clone()));
    assert_eq!(balancer.fleet().drain(&gone), Err(wanted));
}

#[test]
fn a_policy_that_nobody_knows() {
    for name in ["peak-ewma", "", "Q_TABLE"] {
        let error =
            by_name(name, None, &Place::default(), &mut Rng::seeded(1)).map(drop).unwrap_err();
        let known = POLICY_NAMES;
        assert_eq!(error, ConfigError::UnknownPolicy { name: name.to_owned(), known });
        let words = format!("unknown policy {name:?}; known are {}", POLICY_NAMES.join(", "));
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn a_model_for_a_policy_without_one() {
    let model = table::model(Duration::from_millis(1));
    for name in POLICY_NAMES.iter().filter(|name| **name != "q_table") {
        let given = Some(Arc::clone(&model));
        let error =
            by_name(name, given, &Place::default(), &mut Rng::seeded(1)).map(drop).unwrap_err();
        assert_eq!(error, ConfigError::NoModelWanted { policy: (*name).to_owned() });
        let words = format!("policy {name:?} takes no model; use \"q_table\"");
        assert_eq!(error.to_string(), words);
        let policy = by_name(name, None, &Place::default(), &mut Rng::seeded(1)).unwrap();
        let balancer = builder().policy(policy).build().unwrap();
        assert_eq!(balancer.set_model(Model::clone(&model)), Err(error));
    }
    let balancer = builder().policy(QTable::new(None).guarded()).build().unwrap();
    balancer.set_model(Model::clone(&model)).unwrap();
}
