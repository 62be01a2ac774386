//! The service alone, over services of the test's own: no network, no feature.

#![allow(clippy::unnecessary_wraps)] // What answers requests returns results.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_lb::{
    Balancer, BoxError, Builder, ContextFn, Endpoint, Error, LoadBalancer, LoadBalancerLayer,
    MakeEndpoint, Node, Route,
    body::ReplayBody,
    error::{Reach, TransportError},
    policy::{RoundRobin, SourceHash},
    trimtab_core::{RetryBudget, log::DecisionLog},
};

fn in_turn(endpoints: usize) -> Balancer {
    let endpoints = (0..endpoints).map(|n| Endpoint::new(format!("e{n}")));
    Balancer::builder().policy(RoundRobin::default()).endpoints(endpoints).build().unwrap()
}

fn assert_idle(balancer: &Balancer) {
    assert!(balancer.fleet().snapshot().nodes().iter().all(|node| node.in_flight() == 0));
}

type Reply = Result<Response<Full<Bytes>>, BoxError>;

fn ok(text: impl Into<Bytes>) -> Reply {
    Ok(Response::new(Full::new(text.into())))
}

#[tokio::test]
async fn it_is_a_layer_over_whatever_makes_services() {
    let balancer = in_turn(3);
    let services = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&services);
    let make = move |node: &Arc<Node>| {
        count.fetch_add(1, Ordering::Relaxed);
        let address = node.address().to_string();
        service_fn(move |_: Request<ReplayBody<Empty<Bytes>>>| {
            let address = address.clone();
            async move { ok(address) }
        })
    };
    let mut service = LoadBalancerLayer::new(balancer.clone()).layer(make);
    let mut seen = Vec::new();
    for _ in 0..9 {
        let answer = service.ready().await.unwrap().call(Request::new(Empty::new())).await.unwrap();
        seen.push(answer.into_body().collect().await.unwrap().to_bytes());
    }
    seen.sort();
    assert_eq!(seen, ["e0", "e0", "e0", "e1", "e1", "e1", "e2", "e2", "e2"]);
    assert_eq!(services.load(Ordering::Relaxed), 3, "one service an endpoint");
    assert_idle(&balancer);
}

type Boxed<B> =
    tower::util::BoxCloneSyncService<Request<ReplayBody<B>>, Response<Full<Bytes>>, BoxError>;

/// Answers by script, and notes what it was sent.
#[derive(Clone, Default)]
struct Scripted {
    sent: Arc<Mutex<Vec<(String, Bytes)>>>,
    script: Arc<Mutex<Vec<Reply>>>,
}

impl Scripted {
    /// The last reply comes first.
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script: Vec<_> = replies.into_iter().collect();
        Self { sent: Arc::default(), script: Arc::new(Mutex::new(script)) }
    }

    fn over<B>(&self, builder: Builder) -> LoadBalancer<impl MakeEndpoint<Service = Boxed<B>>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let this = self.clone();
        builder.build(move |node: &Arc<Node>| {
            let (this, address) = (this.clone(), node.address().to_string());
            tower::util::BoxCloneSyncService::new(service_fn(
                move |request: Request<ReplayBody<B>>| {
                    let (this, address) = (this.clone(), address.clone());
                    async move {
                        let body = request.into_body().collect().await?.to_bytes();
                        this.sent.lock().unwrap().push((address, body));
                        this.script.lock().unwrap().pop().expect("no further attempt")
                    }
                },
            ))
        })
    }

    fn sent(&self) -> Vec<(String, Bytes)> {
        self.sent.lock().unwrap().clone()
    }
}

fn refused() -> Reply {
    Err(TransportError::refused("refused").into())
}

fn unsent() -> Reply {
    Err(TransportError::connect("no route").into())
}

#[tokio::test]
async fn a_refused_request_goes_elsewhere_with_the_same_body() {
    let balancer = in_turn(3);
    let scripted = Scripted::new([ok("done"), unsent(), refused()]);
    let service = scripted.over(Builder::new(balancer.clone()));
    let request = Request::new(Full::new(Bytes::from_static(b"payload")));
    service.oneshot(request).await.unwrap();
    let sent = scripted.sent();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(_, body)| body == "payload"));
    let mut places: Vec<_> = sent.iter().map(|(address, _)| address.clone()).collect();
    places.sort();
    assert_eq!(places, ["e0", "e1", "e2"], "each attempt elsewhere");
    assert_idle(&balancer);
}

#[tokio::test]
async fn there_are_three_attempts_at_most() {
    let balancer = in_turn(5);
    let scripted = Scripted::new([unsent(), unsent(), unsent()]);
    let service = scripted.over(Builder::new(balancer.clone()));
    let error = service.oneshot(Request::new(Empty::new())).await.unwrap_err();
    let Error::Attempt { attempts, reach, .. } = error else { panic!("{error}") };
    assert_eq!((attempts, reach, scripted.sent().len()), (3, Reach::Unsent, 3));
    assert_idle(&balancer);
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    for error in [
        TransportError::reset("broke").into(),
        BoxError::from("anything else"),
        io::Error::from(io::ErrorKind::ConnectionReset).into(),
    ] {
        let balancer = in_turn(2);
        let scripted = Scripted::new([Err(error)]);
        let service = scripted.over(Builder::new(balancer.clone()));
        let error = service.oneshot(Request::new(Empty::new())).await.unwrap_err();
        assert!(!error.is_unprocessed());
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn an_attempt_that_the_budget_does_not_pay_for_leaves_no_trace() {
    let log = Arc::new(DecisionLog::new("test", 1.0, 64, Duration::ZERO).unwrap());
    let endpoints = (0..3).map(|n| Endpoint::new(format!("e{n}")));
    let balancer = Balancer::builder()
        .policy(RoundRobin::default())
        .endpoints(endpoints)
        .log(Arc::clone(&log))
        .build()
        .unwrap();
    // The first refusal moves on for free; after the second it is the budget's to say.
    let scripted = Scripted::new([refused(), refused()]);
    let builder = Builder::new(balancer.clone()).retry_budget(RetryBudget::new(0.0, 0.0, 0.0));
    let service = scripted.over(builder);
    assert!(service.oneshot(Request::new(Empty::new())).await.is_err());
    assert_eq!(scripted.sent().len(), 2);
    assert_eq!(std::iter::from_fn(|| log.pop()).count(), 2, "a row for each attempt that was sent");
    assert_idle(&balancer);
    assert!(balancer.fleet().snapshot().nodes().iter().all(|node| node.cancelled() == 0));
}

#[tokio::test]
async fn with_one_endpoint_only_a_refusal_by_the_server_is_tried_again_there() {
    let scripted = Scripted::new([ok("done"), refused()]);
    let service = scripted.over(Builder::new(in_turn(1)));
    assert!(service.oneshot(Request::new(Empty::new())).await.is_ok());
    // A second refusal stops it, and so does a connection that cannot be made.
    for (replies, attempts) in [(vec![refused(), refused()], 2), (vec![unsent()], 1)] {
        let balancer = in_turn(1);
        let scripted = Scripted::new(replies);
        let service = scripted.over(Builder::new(balancer.clone()));
        assert!(service.oneshot(Request::new(Empty::new())).await.is_err());
        assert_eq!(scripted.sent().len(), attempts);
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn what_the_requests_own_body_fails_by_is_not_held_against_the_endpoint() {
    // A body that is read from another server may well say that a connection was refused.
    let frames = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"half"))),
        Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
    ]);
    let balancer = in_turn(2);
    let scripted = Scripted::new([]);
    let service = scripted.over(Builder::new(balancer.clone()));
    let error = service.oneshot(Request::new(StreamBody::new(frames))).await.unwrap_err();
    assert!(!error.is_unprocessed(), "half of it was sent");
    for node in balancer.fleet().snapshot().nodes() {
        assert_eq!(node.total().failures, 0);
        assert!(node.is_up(tower_lb::Clock::process().now()));
    }
    assert_idle(&balancer);
}

/// A body of `sizes` that tells how much of it was read.
fn streamed(
    sizes: &'static [usize],
    read: &Arc<AtomicUsize>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static {
    let read = Arc::clone(read);
    StreamBody::new(stream::iter(sizes).map(move |size| {
        read.fetch_add(*size, Ordering::Relaxed);
        Ok(Frame::data(Bytes::from(vec![b'x'; *size])))
    }))
}

#[tokio::test]
async fn a_streamed_body_is_replayed_up_to_the_limit() {
    for (sizes, replayed) in [
        (&[1000, 1000, 1000][..], true),
        (&[65_536][..], true),
        (&[65_536, 1][..], false),
        (&[100_000][..], false),
    ] {
        let (balancer, read) = (in_turn(2), Arc::new(AtomicUsize::new(0)));
        let scripted = Scripted::new([ok("done"), refused()]);
        let service = scripted.over(Builder::new(balancer.clone()));
        let answered = service.oneshot(Request::new(streamed(sizes, &read))).await.is_ok();
        let total: usize = sizes.iter().sum();
        assert_eq!(read.load(Ordering::Relaxed), total, "the caller's body is read once");
        assert_eq!(answered, replayed, "{sizes:?}");
        assert!(scripted.sent().iter().all(|(_, body)| body.len() == total));
        assert_eq!(scripted.sent().len(), if replayed { 2 } else { 1 });
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_body_that_nobody_read_moves_on_whatever_its_size() {
    let balancer = in_turn(2);
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let service = Builder::new(balancer.clone()).build(move |_: &Arc<Node>| {
        let count = Arc::clone(&count);
        service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first {
                    assert!(request.body().is_untouched());
                    return unsent();
                }
                assert_eq!(request.body().size_hint().exact(), Some(1 << 24));
                ok(request.into_body().collect().await.unwrap().to_bytes())
            }
        })
    });
    let body = Bytes::from(vec![7; 1 << 24]);
    let answer = service.oneshot(Request::new(Full::new(body.clone()))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    assert_idle(&balancer);
}

#[tokio::test]
async fn an_attempt_that_was_left_reads_no_more_of_the_body() {
    // The first attempt's service keeps its body, as a connection's task may.
    let balancer = in_turn(2);
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let service = Builder::new(balancer).build(move |_: &Arc<Node>| {
        let keep = Arc::clone(&keep);
        service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
            let keep = Arc::clone(&keep);
            async move {
                if keep.lock().unwrap().is_none() {
                    *keep.lock().unwrap() = Some(request.into_body());
                    return refused();
                }
                ok(request.into_body().collect().await.unwrap().to_bytes())
            }
        })
    });
    let answer =
        service.oneshot(Request::new(Full::new(Bytes::from_static(b"all")))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "all");
    let left = kept.lock().unwrap().take().unwrap();
    let error = left.collect().await.unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}

/// Ready only when told.
#[derive(Clone)]
struct Slow(Arc<tokio::sync::Semaphore>);

impl Service<Request<ReplayBody<Empty<Bytes>>>> for Slow {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Reply>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let waiting = std::pin::pin!(self.0.acquire());
        match waiting.poll(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(TransportError::connect("closed").into())),
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn call(&mut self, _: Request<ReplayBody<Empty<Bytes>>>) -> Self::Future {
        std::future::ready(ok("slow"))
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_waited_for_in_flight() {
    let balancer = in_turn(1);
    let permits = Arc::new(tokio::sync::Semaphore::new(0));
    let slow = Slow(Arc::clone(&permits));
    let service = Builder::new(balancer.clone()).build(move |_: &Arc<Node>| slow.clone());
    let waiting = tokio::spawn(service.clone().oneshot(Request::new(Empty::new())));
    while balancer.fleet().snapshot().nodes()[0].in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    permits.add_permits(1);
    drop(waiting.await.unwrap().unwrap());
    permits.close();
    assert!(service.oneshot(Request::new(Empty::new())).await.unwrap_err().is_unprocessed());
    assert_idle(&balancer);
}

#[tokio::test]
async fn a_panic_in_the_services_future_gives_the_count_back() {
    let balancer = in_turn(1);
    let service = Builder::new(balancer.clone()).build(|_: &Arc<Node>| {
        service_fn(|_: Request<ReplayBody<Empty<Bytes>>>| async {
            assert!(std::env::args().count() == 0, "on purpose");
            ok("")
        })
    });
    let request = tokio::spawn(service.oneshot(Request::new(Empty::<Bytes>::new())));
    assert!(request.await.unwrap_err().is_panic());
    assert_idle(&balancer);
    assert_eq!(balancer.fleet().snapshot().nodes()[0].cancelled(), 1);
}

#[tokio::test]
async fn context_comes_from_the_extension_or_the_function() {
    let endpoints = (0..32).map(|n| Endpoint::new(format!("e{n}")));
    let balancer =
        Balancer::builder().policy(SourceHash::default()).endpoints(endpoints).build().unwrap();
    let by_path = ContextFn::new(|head| Route::new().with_key(head.uri.path()));
    let service = Builder::new(balancer.clone()).context(by_path).build(|node: &Arc<Node>| {
        let address = node.address().to_string();
        service_fn(move |request: Request<ReplayBody<Empty<Bytes>>>| {
            assert!(request.extensions().get::<Route>().is_none(), "it is ours, not the server's");
            let address = address.clone();
            async move { ok(address) }
        })
    });
    let place = |path: &str, route: Option<Route>| {
        let mut request = Request::get(path).body(Empty::new()).unwrap();
        if let Some(route) = route {
            request.extensions_mut().insert(route);
        }
        let service = service.clone();
        async move {
            let answer = service.oneshot(request).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        }
    };
    let first = place("/a", None).await;
    for _ in 0..5 {
        assert_eq!(place("/a", None).await, first);
        assert_eq!(place("/b", Some(Route::new().with_key("/a"))).await, first);
    }
    assert_ne!(place("/b", None).await, first);
    assert_idle(&balancer);
}

#[tokio::test]
async fn a_fleet_that_drains_is_a_clear_error() {
    let balancer = in_turn(1);
    balancer.fleet().drain(&"e0".into()).unwrap();
    let scripted = Scripted::new([]);
    let service = scripted.over(Builder::new(balancer));
    let error = service.oneshot(Request::new(Empty::new())).await.unwrap_err();
    assert!(matches!(error, Error::Pick(_)), "{error}");
    assert!(error.to_string().contains("draining"), "{error}");
}

#[tokio::test]
async fn outcomes_reach_the_endpoint() {
    let balancer = in_turn(1);
    let reply = |code: u16, headers: &[(&'static str, &'static str)]| -> Reply {
        let mut answer = Response::builder().status(code);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        Ok(answer.body(Full::new(Bytes::from_static(b"body"))).unwrap())
    };
    let json = r#"JSON {"cpu_utilization": 0.5, "named_metrics": {"kv_cache_usage_perc": 0.25}}"#;
    let text = "TEXT rps=7, named_metrics.kv_cache_usage_perc=0.75";
    let scripted = Scripted::new([
        Err(TransportError::reset("broke").into()),
        reply(500, &[]),
        reply(404, &[("endpoint-load-metrics", text)]),
        reply(200, &[("endpoint-load-metrics", json)]),
    ]);
    let service = scripted.over(Builder::new(balancer.clone()));
    let node = Arc::clone(&balancer.fleet().snapshot().nodes()[0]);
    let call = || async {
        let answer = service.clone().oneshot(Request::new(Empty::new())).await?;
        answer.into_body().collect().await.unwrap();
        Ok::<_, Error>(())
    };
    call().await.unwrap();
    let (_, report) = node.load_report().unwrap();
    assert_eq!((report.cpu_utilization, report.named_metrics["kv_cache_usage_perc"]), (0.5, 0.25));
    call().await.unwrap();
    let (_, report) = node.load_report().unwrap();
    assert_eq!((report.rps, report.named_metrics["kv_cache_usage_perc"]), (7.0, 0.75));
    assert_eq!((node.total().successes, node.total().failures), (2, 0), "a 404 is work done");
    call().await.unwrap();
    assert!(call().await.is_err());
    assert_eq!((node.total().successes, node.total().failures), (2, 2));
    assert_idle(&balancer);
}
