//! The hyper client's HTTP/2 streams: when they run out, are refused, or meet a `GOAWAY`.
#![cfg(feature = "hyper")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use http_body_util::Full;
use support::{
    Http, Server, assert_idle,
    client::{Body, in_turn, node, speaking, whole},
    get, ok, post, until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower_lb::{
    Builder,
    hyper::{Config, Protocol, client_with},
};

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
