//! What is published through the `metrics` facade.
#![cfg(feature = "metrics")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tower::{ServiceExt, service_fn};
use tower_lb::{
    Balancer, BoxError, Builder, Endpoint, Node, body::ReplayBody, error::TransportError,
    policy::RoundRobin,
};

/// Keeps every metric by its name and labels. Gauges and counters are numbers, histograms counts.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

struct Samples(Arc<AtomicU64>);

impl metrics::HistogramFn for Samples {
    fn record(&self, value: f64) {
        assert!((0.0..10.0).contains(&value), "seconds");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Kept {
    fn slot(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn get(&self, name: &str) -> u64 {
        let slots = self.0.lock().unwrap();
        let slot = slots.get(name).unwrap_or_else(|| panic!("no {name:?} in {:?}", slots.keys()));
        slot.load(Ordering::Relaxed)
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Samples(self.slot(key))))
    }
}

#[test]
fn every_event_is_counted_once() {
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(requests());
    });
    let endpoint = |name: &str, endpoint: &str, rest: &str| {
        kept.get(&format!("trimtab_{name} endpoint={endpoint}{rest}"))
    };
    // `bad` is refused twice; both requests move to `good`. A third is dropped half-way.
    assert_eq!(endpoint("picks_total", "bad", ",policy=round_robin"), 2);
    assert_eq!(endpoint("failures_total", "bad", ",kind=connect"), 2);
    assert_eq!(endpoint("requests_total", "bad", ",outcome=failure"), 2);
    assert_eq!(endpoint("retries_total", "bad", ""), 2);
    assert_eq!(endpoint("requests_total", "good", ",outcome=success"), 3);
    assert_eq!(endpoint("requests_total", "good", ",outcome=cancelled"), 1);
    assert_eq!(endpoint("latency_seconds", "good", ""), 3);
    assert_eq!(endpoint("in_flight", "good", ""), 0);
    assert_eq!(endpoint("in_flight", "bad", ""), 0);
    let total = |name: &str| kept.get(&format!("trimtab_{name}_total balancer=chat"));
    assert_eq!((total("ejections"), total("returns")), (2, 1));
    // Another balancer, of which nothing happened, overwrites none of it.
    let other = Balancer::builder().endpoints([Endpoint::new("x")]).build().unwrap();
    metrics::with_local_recorder(&kept, || tower_lb::metrics::publish(&other, "search"));
    assert_eq!((total("ejections"), total("returns")), (2, 1));
    assert_eq!(kept.get("trimtab_ejections_total balancer=search"), 0);
    assert_eq!(kept.get("trimtab_fallbacks_total balancer=search,reason=no_model"), 0);
}

async fn requests() {
    let balancer = Balancer::builder()
        .policy(RoundRobin::default())
        .endpoints([Endpoint::new("bad"), Endpoint::new("good")])
        .build()
        .unwrap();
    let service = Builder::new(balancer.clone()).build(|node: &Arc<Node>| {
        let bad = &**node.address() == "bad";
        service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| async move {
            if bad {
                return Err::<_, BoxError>(TransportError::connect("refused").into());
            }
            Ok(Response::new(Full::new(Bytes::from_static(b"body"))))
        })
    });
    let bad = Arc::clone(&balancer.fleet().snapshot().nodes()[0]);
    for request in 0..3 {
        let answer = service.clone().oneshot(Request::new(Empty::new())).await.unwrap();
        answer.into_body().collect().await.unwrap();
        if request == 0 {
            // It would stay out for a moment; the test wants it back at once.
            bad.connected();
        }
    }
    drop(service.oneshot(Request::new(Empty::new())).await.unwrap());
    tower_lb::metrics::publish(&balancer, "chat");
}
