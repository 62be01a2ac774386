//! What is told through `tracing`: the span of a request, and what happens to endpoints.

use std::{
    fmt::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tower::{ServiceExt, service_fn};
use tower_lb::{
    Balancer, BoxError, Builder, Endpoint, Node, body::ReplayBody, error::TransportError,
    policy::RoundRobin,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Keeps every event and span's field as a line of text.
#[derive(Clone, Default)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Lines {
    fn add(&self, what: &str, record: impl FnOnce(&mut Fields)) {
        let mut fields = Fields(what.to_owned());
        record(&mut fields);
        self.lines.lock().unwrap().push(fields.0);
    }

    fn count(&self, parts: &[&str]) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_lb")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.add(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.add("record", |fields| values.record(fields));
    }

    fn event(&self, event: &Event<'_>) {
        self.add("event", |fields| event.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn spans_and_events_tell_where_a_request_went_and_what_became_of_endpoints() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(requests());
    });
    let all = lines.lines.lock().unwrap().clone();
    let count = |parts: &[&str]| lines.count(parts);
    assert_eq!(count(&["balanced_request", "balancer=\"chat\"", "policy=\"round_robin\""]), 2);
    assert_eq!(count(&["event", "endpoint=only", "endpoint ejected"]), 1, "{all:#?}");
    assert_eq!(count(&["event", "endpoint=only", "endpoint returned"]), 1, "{all:#?}");
    assert_eq!(count(&["record endpoint=\"only\""]), 2);
    assert_eq!((count(&["record mode=\"policy\""]), count(&["record attempts=1"])), (2, 2));
    let outcomes = ["error", "success"].map(|o| count(&[&format!("record outcome=\"{o}\"")]));
    assert_eq!(outcomes, [1, 1], "{all:#?}");
}

/// The only endpoint cannot be reached, and then answers, for it is asked in spite of that.
async fn requests() {
    let balancer = Balancer::builder()
        .policy(RoundRobin::default())
        .endpoints([Endpoint::new("only")])
        .build()
        .unwrap();
    let down = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&down);
    let service = Builder::new(balancer).name("chat").build(move |_: &Arc<Node>| {
        let down = Arc::clone(&state);
        service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| {
            let down = down.load(Ordering::Relaxed);
            async move {
                if down {
                    return Err::<_, BoxError>(TransportError::connect("refused").into());
                }
                Ok(Response::new(Full::new(Bytes::from_static(b"body"))))
            }
        })
    });
    assert!(service.clone().oneshot(Request::new(Empty::new())).await.is_err());
    down.store(false, Ordering::Relaxed);
    let answer = service.oneshot(Request::new(Empty::new())).await.unwrap();
    answer.into_body().collect().await.unwrap();
}
