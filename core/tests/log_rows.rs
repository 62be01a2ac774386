//! What a decision log row says of the client and of the attempts.

use std::{sync::Arc, time::Duration};

use trimtab_core::{
    Balancer, Context, Endpoint, EndpointId, Outcome, Rng, Time,
    log::{DecisionLog, Kind, Row},
};

fn logged() -> (Balancer, Arc<DecisionLog>) {
    let log = Arc::new(DecisionLog::new("test", 1.0, 100, Duration::ZERO).unwrap());
    let balancer = Balancer::builder()
        .endpoints(["a", "b", "c"].map(Endpoint::new))
        .log(Arc::clone(&log))
        .build()
        .unwrap();
    (balancer, log)
}

fn rows(log: &DecisionLog) -> Vec<Row> {
    std::iter::from_fn(|| log.pop()).collect()
}

#[test]
fn the_clients_own_load_is_noted_over_the_whole_fleet() {
    let (balancer, log) = logged();
    let mut rng = Rng::seeded(1);
    let now = Time::ZERO + Duration::from_secs(1);
    let held: Vec<_> =
        (0..5).map(|_| balancer.pick(now, &Context::new(), &mut rng).unwrap()).collect();
    for lease in held {
        lease.finish(now, Outcome::success());
    }
    balancer.pick(now, &Context::new(), &mut rng).unwrap().finish(now, Outcome::success());
    let rows = rows(&log);
    let in_flight: Vec<_> = rows.iter().map(|row| row.client_in_flight).collect();
    assert_eq!(in_flight, [0, 1, 2, 3, 4, 0].map(Some));
    // Five ended within the last ten seconds.
    assert_eq!(rows[5].client_rate, Some(0.5));
}

#[test]
fn attempts_share_an_event_and_requests_that_were_told_none_do_not() {
    let (balancer, log) = logged();
    let mut rng = Rng::seeded(1);
    let tried = [EndpointId::from("a")];
    let first = Context::new().with_event(7);
    for context in [first, first.with_tried(&tried), Context::new(), Context::new()] {
        let lease = balancer.pick(Time::ZERO, &context, &mut rng).unwrap();
        lease.finish(Time::ZERO, Outcome::success());
    }
    let rows = rows(&log);
    let attempts: Vec<_> = rows.iter().map(|row| (row.attempt, row.kind)).collect();
    let first = (0, Kind::First);
    assert_eq!(attempts, [first, (1, Kind::Retry), first, first]);
    let events: Vec<_> = rows.iter().map(|row| row.event).collect();
    assert_eq!(events[..2], [7, 7]);
    assert!(events[2] != events[3] && events[2] != 0 && events[3] != 0, "{events:?}");
}
