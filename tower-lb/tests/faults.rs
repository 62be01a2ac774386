//! The hyper client against servers that die, hang, break off and fail fast.
#![cfg(feature = "hyper")]

mod support;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use support::{
    Http, Server, assert_idle,
    client::{in_turn, node, speaking, whole},
    full, get, ok, post, status, until,
};
use tokio::{io::AsyncReadExt, net::TcpStream};
use tower::ServiceExt;
use tower_lb::{Balancer, Error, error::Reach, policy::PeakEwma};

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
