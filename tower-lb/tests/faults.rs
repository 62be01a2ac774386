//! The hyper client against servers that die, hang, break off, refuse and fail fast.
#![cfg(feature = "hyper")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use support::{Http, Server, assert_idle, full, get, ok, post, status, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower::ServiceExt;
use tower_lb::{
    Balancer, Builder, Endpoint, Error, Node,
    error::Reach,
    hyper::{Client, Config, Protocol, client_with},
    policy::{PeakEwma, RoundRobin},
};

type Body = Full<Bytes>;

fn speaking(balancer: &Balancer, http: Http) -> Client<Body> {
    let protocol = if http == Http::One { Protocol::Http1 } else { Protocol::Http2 };
    let config = Config::default().with_protocol(protocol);
    client_with(Builder::new(balancer.clone()), config).unwrap()
}

fn in_turn(endpoints: impl IntoIterator<Item = Endpoint>) -> Balancer {
    Balancer::builder().policy(RoundRobin::default()).endpoints(endpoints).build().unwrap()
}

/// Sends a request and reads the whole answer.
async fn whole(client: &Client<Body>, request: http::Request<Body>) -> Result<StatusCode, Error> {
    let answer = client.clone().oneshot(request).await?;
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    Ok(status)
}

fn node(balancer: &Balancer, server: &Server) -> Arc<Node> {
    let id = server.endpoint().id().clone();
    let snapshot = balancer.fleet().snapshot();
    Arc::clone(snapshot.nodes().iter().find(|node| *node.id() == id).unwrap())
}

#[tokio::test]
async fn a_server_that_dies_and_returns_loses_no_request_and_comes_back_without_traffic() {
    for http in [Http::One, Http::Two] {
        let stays = Server::start(http, |_| async { ok("") }).await;
        let dies = Server::start(http, |_| async { ok("") }).await;
        let balancer = in_turn([stays.endpoint(), dies.endpoint()]);
        let client = speaking(&balancer, http);
        for _ in 0..4 {
            assert_eq!(whole(&client, get()).await.unwrap(), 200);
        }
        let (node, before) = (node(&balancer, &dies), dies.served());
        assert_eq!(before, 2);
        let dead = dies.die().await;
        for _ in 0..20 {
            assert_eq!(whole(&client, get()).await.unwrap(), 200, "{http:?}");
        }
        assert!(balancer.counters().ejections >= 1);
        assert_idle(&balancer);
        // No request is sent from here until it is back.
        let back = Server::revive(dead, http, |_| async { ok("") });
        until("the endpoint is back", || balancer.counters().returns >= 1).await;
        assert!(node.is_up(tower_lb::Clock::process().now()));
        assert!(back.connections() >= 1 && back.served() == 0);
        let connections = back.connections();
        for _ in 0..10 {
            assert_eq!(whole(&client, get()).await.unwrap(), 200);
        }
        assert_eq!(back.served(), 5);
        assert_eq!(back.connections(), connections, "the connection that found it is used");
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn many_requests_at_once_move_away_from_a_dead_endpoint() {
    for http in [Http::One, Http::Two] {
        let stays = Server::start(http, |_| async { ok("") }).await;
        let dead = Server::start(http, |_| async { ok("") }).await;
        let balancer = in_turn([stays.endpoint(), dead.endpoint()]);
        let _dead = dead.die().await;
        let client = speaking(&balancer, http);
        let answers = join_all((0..500).map(|_| whole(&client, post("x")))).await;
        let lost = answers.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(lost, 0, "{http:?}");
        assert_eq!(stays.served(), 500);
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn with_every_endpoint_dead_the_error_says_where_and_why_and_attempts_stay_in_budget() {
    let dead = Server::start(Http::One, |_| async { ok("") }).await;
    let too = Server::start(Http::One, |_| async { ok("") }).await;
    let balancer = in_turn([dead.endpoint(), too.endpoint()]);
    let client = speaking(&balancer, Http::One);
    let ids = [dead.endpoint().id().clone(), too.endpoint().id().clone()];
    let _both = (dead.die().await, too.die().await);
    let error = whole(&client, get()).await.unwrap_err();
    let Error::Attempt { endpoint, reach, attempts, source } = error else { panic!("{error}") };
    assert!(ids.contains(&endpoint));
    assert_eq!((reach, attempts), (Reach::Unsent, 2));
    let mut causes = vec![source.to_string()];
    let mut cause = source.source();
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    assert!(causes.iter().any(|cause| cause.contains("refused")), "{causes:?}");
    // What the budget has saved up is spent first.
    for _ in 0..200 {
        assert!(whole(&client, get()).await.is_err());
    }
    // 300 more: all fail; attempts <= 1.2 x requests + 10/s, of which no more than a few seconds pass.
    let before = attempts_at(&balancer);
    let start = std::time::Instant::now();
    for _ in 0..300 {
        assert!(whole(&client, get()).await.is_err());
    }
    let allowed = 300.0 * 1.2 + 10.0 * (start.elapsed().as_secs_f64() + 1.0);
    let attempts = (attempts_at(&balancer) - before) as f64;
    assert!(attempts > 300.0 && attempts <= allowed, "{attempts} attempts, {allowed} allowed");
    assert_idle(&balancer);
}

/// Attempts that failed.
fn attempts_at(balancer: &Balancer) -> u64 {
    balancer.fleet().snapshot().nodes().iter().map(|node| node.total().failures).sum()
}

#[tokio::test]
async fn a_server_that_hangs_is_left_by_the_callers_timeout() {
    for http in [Http::One, Http::Two] {
        let server = Server::start(http, |_| std::future::pending()).await;
        let balancer = in_turn([server.endpoint()]);
        let client = speaking(&balancer, http);
        let node = node(&balancer, &server);
        let hanging = tokio::spawn(async move { whole(&client, get()).await.map(|_| ()) });
        until("the request is there", || server.served() == 1).await;
        assert_eq!(node.in_flight(), 1);
        hanging.abort();
        assert!(hanging.await.unwrap_err().is_cancelled());
        assert_idle(&balancer);
        assert_eq!(node.cancelled(), 1);
        let now = tower_lb::Clock::process().now();
        assert!(node.peak_latency(now).is_some(), "it took at least as long as it was waited for");
        assert_eq!(node.total().failures + node.total().successes, 0);
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_never_speaks_fails_within_the_connect_timeout() {
    let silent = Server::accept("127.0.0.1:0".parse().unwrap(), |mut tcp: TcpStream| async move {
        let mut bytes = [0; 1024];
        while tcp.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        std::future::pending::<()>().await;
    })
    .await;
    let fine = Server::start(Http::One, |_| async { ok("") }).await;
    let balancer = in_turn([silent.endpoint(), fine.endpoint()]);
    let client = speaking(&balancer, Http::One);
    // HTTP/1.1 connects; the request hangs and its caller gives up. The others are served.
    let short = Duration::from_millis(50);
    let answers =
        join_all((0..4).map(|_| tokio::time::timeout(short, whole(&client, get())))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    assert_idle(&balancer);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_and_is_not_sent_again() {
    for http in [Http::One, Http::Two] {
        let server = Server::start(http, |_| async {
            let frames = stream::iter([
                Ok(Frame::data(Bytes::from_static(b"half"))),
                Err("the server lost its mind".into()),
            ]);
            // The error waits until the first half has gone out.
            let frames = frames.then(|frame| async {
                tokio::task::yield_now().await;
                frame
            });
            Ok(Response::new(StreamBody::new(frames).boxed_unsync()))
        })
        .await;
        let other = Server::start(http, |_| async { ok("") }).await;
        let balancer = in_turn([server.endpoint(), other.endpoint()]);
        let client = speaking(&balancer, http);
        let mut broken = 0;
        for _ in 0..2 {
            let answer = match client.clone().oneshot(get()).await {
                Ok(answer) => answer.into_body().collect().await.map(|_| ()).map_err(drop),
                Err(_) => Err(()),
            };
            broken += u32::from(answer.is_err());
        }
        assert_eq!((broken, server.served(), other.served()), (1, 1, 1), "{http:?}");
        assert_eq!(node(&balancer, &server).total().failures, 1);
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_connection_reset_before_the_answer_is_not_sent_again() {
    let rude = Server::accept("127.0.0.1:0".parse().unwrap(), |mut tcp: TcpStream| async move {
        let mut bytes = [0; 1024];
        let _ = tcp.read(&mut bytes).await;
        tcp.set_zero_linger().unwrap();
    })
    .await;
    let other = Server::start(Http::One, |_| async { ok("") }).await;
    let balancer = in_turn([rude.endpoint(), other.endpoint()]);
    let client = speaking(&balancer, Http::One);
    let answers = [whole(&client, post("x")).await, whole(&client, post("x")).await];
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!((errors.len(), other.served(), rude.connections()), (1, 1, 1));
    assert!(!errors[0].is_unprocessed(), "{:?}", errors[0]);
    assert_idle(&balancer);
}

#[tokio::test]
async fn a_server_that_fails_fast_gets_little_traffic() {
    let failing = Server::start(Http::One, |_| async { status(500) }).await;
    let working = Server::start(Http::One, |_| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        ok("fine")
    })
    .await;
    let balancer = Balancer::builder()
        .policy(PeakEwma::default())
        .endpoints([failing.endpoint(), working.endpoint()])
        .build()
        .unwrap();
    let client = speaking(&balancer, Http::One);
    let failed = AtomicUsize::new(0);
    stream::iter(0..400)
        .for_each_concurrent(4, |_| async {
            if whole(&client, get()).await.unwrap() == 500 {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
    // Even shares would be 200.
    let failed = failed.into_inner();
    assert!((1..=20).contains(&failed), "{failed} of 400 failed");
    assert_idle(&balancer);
}

#[tokio::test]
async fn retry_after_reaches_the_penalty() {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(60));
    for (code, retry_after, least) in [
        (503, "77".to_owned(), 77.0),
        (429, date, 57.0),
        (503, "never".to_owned(), 5.0),
        (500, "77".to_owned(), 5.0),
    ] {
        let value = retry_after.clone();
        let busy = Server::start(Http::One, move |_| {
            let value = value.clone();
            async move {
                let answer = Response::builder().status(code).header("retry-after", value);
                Ok(answer.body(full("later")).unwrap())
            }
        })
        .await;
        let balancer = in_turn([busy.endpoint()]);
        let client = speaking(&balancer, Http::One);
        assert_eq!(whole(&client, get()).await.unwrap(), code);
        let now = tower_lb::Clock::process().now();
        let peak = f64::from(node(&balancer, &busy).peak_latency(now).unwrap()) / 1e9;
        // It decays by the clock, with which a busy machine may be late.
        assert!(peak > least * 0.5 && peak <= least * 1.06, "{code} {retry_after}: {peak}");
        assert_eq!(node(&balancer, &busy).mean_latency(), None, "a failure is no fast success");
    }
}

#[tokio::test]
async fn a_body_dropped_early_is_a_cancellation() {
    for http in [Http::One, Http::Two] {
        let server = Server::start(http, |_| async {
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
            Ok(Response::new(StreamBody::new(first.chain(stream::pending())).boxed_unsync()))
        })
        .await;
        let balancer = in_turn([server.endpoint()]);
        let client = speaking(&balancer, http);
        let node = node(&balancer, &server);
        let mut body = client.clone().oneshot(get()).await.unwrap().into_body();
        assert_eq!((node.in_flight(), node.mean_latency()), (1, None), "the head says nothing yet");
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "first");
        assert!(
            node.mean_latency().is_some(),
            "time to first byte is known while the stream goes on"
        );
        assert_eq!((node.in_flight(), node.cancelled()), (1, 0));
        drop(body);
        assert_eq!((node.in_flight(), node.cancelled()), (0, 1));
        assert_eq!(node.total().successes + node.total().failures, 0);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_not_used() {
    let (close, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&close), Arc::clone(&closed));
    let server = Server::accept("127.0.0.1:0".parse().unwrap(), move |mut tcp: TcpStream| {
        let (close, closed) = signals.clone();
        async move {
            let mut bytes = [0; 1024];
            let read = tcp.read(&mut bytes).await.unwrap();
            assert!(read > 0, "a connection without a request");
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            close.notified().await;
            drop(tcp);
            closed.notify_one();
        }
    })
    .await;
    let balancer = in_turn([server.endpoint()]);
    let client = speaking(&balancer, Http::One);
    for round in 1..=5 {
        assert_eq!(whole(&client, get()).await.unwrap(), 200);
        assert_eq!(server.connections(), round);
        close.notify_one();
        closed.notified().await;
        // The runtime looks at its sockets when it has nothing to do, so let it have nothing to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_idle(&balancer);
}

#[tokio::test]
async fn when_streams_run_out_a_second_http2_connection_opens() {
    let (release, waiting) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (gate, count) = (Arc::clone(&release), Arc::clone(&waiting));
    let server = Server::start(Http::Two, move |_| {
        let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
        async move {
            let released = gate.notified();
            count.fetch_add(1, Ordering::SeqCst);
            released.await;
            ok("")
        }
    })
    .await;
    let balancer = in_turn([server.endpoint()]);
    let client = speaking(&balancer, Http::Two);
    let all = tokio::spawn(async move { join_all((0..250).map(|_| whole(&client, get()))).await });
    until("all requests are with the server", || waiting.load(Ordering::SeqCst) == 250).await;
    assert_eq!(server.connections(), 3, "100 streams each");
    release.notify_waiters();
    assert!(all.await.unwrap().iter().all(Result::is_ok));
    assert_idle(&balancer);
}

#[tokio::test]
async fn beyond_the_last_http2_connection_requests_wait_for_streams() {
    let server = Server::start(Http::Two, |_| async { ok("") }).await;
    let balancer = in_turn([server.endpoint()]);
    let mut config = Config::default().with_protocol(Protocol::Http2);
    config.max_http2_connections = 1;
    let client = client_with::<Body>(Builder::new(balancer.clone()), config).unwrap();
    let answers = join_all((0..500).map(|_| whole(&client, get()))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 1);
    assert_idle(&balancer);
}

#[tokio::test]
async fn a_refused_stream_is_moved_on_and_loses_nothing() {
    // Its connections refuse each stream that comes after the first.
    let refusing = Server::accept("127.0.0.1:0".parse().unwrap(), |tcp: TcpStream| async move {
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        let mut first = true;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            if std::mem::take(&mut first) {
                respond.send_response(Response::new(()), true).unwrap();
            } else {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        }
    })
    .await;
    let fine = Server::start(Http::Two, |_| async { ok("") }).await;
    let balancer = in_turn([refusing.endpoint(), fine.endpoint()]);
    let client = speaking(&balancer, Http::Two);
    let answers = join_all((0..100).map(|_| whole(&client, post("payload")))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(fine.served() >= 98);
    assert!(node(&balancer, &refusing).total().failures >= 1, "refusing fast must not attract");
    assert_idle(&balancer);
}

/// An HTTP/2 server of a few lines that answers the first stream of its life `200`, and the second with
/// `GOAWAY`, which says that it was not processed.
async fn goes_away(mut tcp: TcpStream, seen: Arc<AtomicBool>) {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let mut preface = [0; 24];
    tcp.read_exact(&mut preface).await.unwrap();
    tcp.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await.unwrap();
    loop {
        let mut head = [0; 9];
        if tcp.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        tcp.read_exact(&mut payload).await.unwrap();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] & 1 == 0 => {
                tcp.write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).await.unwrap();
            }
            HEADERS if stream == 1 && !seen.swap(true, Ordering::SeqCst) => {
                // `:status 200` is entry 8 of HPACK's static table; END_STREAM and END_HEADERS.
                tcp.write_all(&[0, 0, 1, HEADERS, 5, 0, 0, 0, 1, 0x88]).await.unwrap();
            }
            HEADERS => {
                // Last stream processed: the one before, or none. No error.
                let last = u8::from(stream > 1);
                tcp.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0])
                    .await
                    .unwrap();
                tcp.shutdown().await.unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn goaway_loses_no_request_that_the_server_did_not_process() {
    let seen = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&seen);
    let leaving = Server::accept("127.0.0.1:0".parse().unwrap(), move |tcp| {
        goes_away(tcp, Arc::clone(&state))
    })
    .await;
    let fine = Server::start(Http::Two, |_| async { ok("") }).await;
    let balancer = in_turn([leaving.endpoint(), fine.endpoint()]);
    let client = speaking(&balancer, Http::Two);
    for _ in 0..40 {
        assert_eq!(whole(&client, post("payload")).await.unwrap(), 200);
    }
    assert!(seen.load(Ordering::SeqCst));
    assert_eq!(fine.served(), 39);
    assert_eq!(
        node(&balancer, &leaving).total().failures,
        0,
        "leaving in good order is no failure"
    );
    assert_idle(&balancer);
}

#[tokio::test]
async fn a_server_that_closes_its_connections_in_good_order_loses_nothing() {
    // Each connection serves one request and says goodbye.
    let server = Server::accept("127.0.0.1:0".parse().unwrap(), |tcp: TcpStream| async move {
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
            connection.graceful_shutdown();
        }
    })
    .await;
    let balancer = in_turn([server.endpoint()]);
    let client = speaking(&balancer, Http::Two);
    for _ in 0..50 {
        assert_eq!(whole(&client, post("payload")).await.unwrap(), 200);
    }
    assert!(server.connections() > 10);
    assert_idle(&balancer);
}

/// A server that takes `limit` streams a connection, and refuses what is beyond.
async fn limited(limit: u32) -> Server {
    Server::accept("127.0.0.1:0".parse().unwrap(), move |tcp: TcpStream| async move {
        let service = hyper::service::service_fn(|_| async {
            tokio::task::yield_now().await;
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new())))
        });
        let mut builder =
            hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        builder.max_concurrent_streams(limit);
        let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(tcp), service).await;
    })
    .await
}

#[tokio::test]
async fn a_limit_of_streams_that_is_not_known_yet_loses_nothing() {
    let server = limited(10).await;
    let balancer = in_turn([server.endpoint()]);
    let client = speaking(&balancer, Http::Two);
    let answers = join_all((0..300).map(|_| whole(&client, post("payload")))).await;
    let lost: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!(lost.is_empty(), "{} lost, such as {:?}", lost.len(), lost.first());
    assert_idle(&balancer);
}

#[tokio::test]
async fn requests_that_wait_for_a_stream_when_the_server_goes_away_are_not_lost() {
    // One stream a connection, one connection; each connection serves one request and says goodbye.
    let server = Server::accept("127.0.0.1:0".parse().unwrap(), |tcp: TcpStream| async move {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(1);
        let mut connection = builder.handshake::<_, Bytes>(tcp).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
            connection.graceful_shutdown();
        }
    })
    .await;
    let balancer = in_turn([server.endpoint()]);
    let mut config = Config::default().with_protocol(Protocol::Http2);
    (config.max_http2_connections, config.max_http2_streams) = (1, 1);
    let client = client_with::<Body>(Builder::new(balancer.clone()), config).unwrap();
    for _ in 0..10 {
        let answers = join_all((0..3).map(|_| whole(&client, post("payload")))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    assert_idle(&balancer);
}

/// A server, the connections made to it, and how many of those have ended.
async fn counting(http: Http) -> (Server, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let server = Server::accept("127.0.0.1:0".parse().unwrap(), move |tcp: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            let service = hyper::service::service_fn(|_| async {
                tokio::task::yield_now().await;
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new())))
            });
            let io = hyper_util::rt::TokioIo::new(tcp);
            let _ = match http {
                Http::One => {
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                }
                Http::Two => {
                    let executor = hyper_util::rt::TokioExecutor::new();
                    hyper::server::conn::http2::Builder::new(executor)
                        .serve_connection(io, service)
                        .await
                }
            };
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    (server, ended)
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    for http in [Http::One, Http::Two] {
        let (server, ended) = counting(http).await;
        let balancer = in_turn([server.endpoint()]);
        let protocol = if http == Http::One { Protocol::Http1 } else { Protocol::Http2 };
        let mut config = Config::default().with_protocol(protocol);
        (config.max_idle, config.idle_timeout) = (2, Duration::from_millis(10));
        let client = client_with::<Body>(Builder::new(balancer.clone()), config).unwrap();
        let answers = join_all((0..5).map(|_| whole(&client, get()))).await;
        assert!(answers.iter().all(Result::is_ok));
        let ended = || ended.load(Ordering::SeqCst);
        until("all are closed", || ended() > 0 && ended() == server.connections()).await;
        assert_eq!(whole(&client, get()).await.unwrap(), 200, "{http:?}: another opens");
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_connections() {
    for http in [Http::One, Http::Two] {
        let (server, ended) = counting(http).await;
        let balancer = in_turn([server.endpoint()]);
        let client = speaking(&balancer, http);
        let clone = client.clone();
        let answers = join_all((0..5).map(|_| whole(&client, get()))).await;
        assert!(answers.iter().all(Result::is_ok));
        drop(client);
        assert_eq!(whole(&clone, get()).await.unwrap(), 200);
        assert!(ended.load(Ordering::SeqCst) < server.connections(), "a clone keeps them");
        // One ends after its client.
        let last = clone.clone().oneshot(get()).await.unwrap();
        drop(clone);
        last.into_body().collect().await.unwrap();
        let all = || ended.load(Ordering::SeqCst) == server.connections();
        until("all are closed, although the balancer lives on", all).await;
        assert_idle(&balancer);
    }
}
