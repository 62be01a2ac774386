//! The hyper client's connections: which are used again, and when they are closed.
#![cfg(feature = "hyper")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::Response;
use http_body_util::{BodyExt, Full};
use support::{
    Http, Server, assert_idle,
    client::{Body, in_turn, speaking, whole},
    get, until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower::ServiceExt;
use tower_lb::{
    Builder,
    hyper::{Config, Protocol, client_with},
};

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

#[tokio::test]
async fn a_connection_that_opens_after_its_client_was_dropped_is_closed() {
    for http in [Http::One, Http::Two] {
        let (server, ended) = counting(http).await;
        let balancer = in_turn([server.endpoint()]);
        let client = speaking(&balancer, http);
        // It asks for a connection and is given up.
        assert!(client.oneshot(get()).now_or_never().is_none());
        until("it is closed", || ended.load(Ordering::SeqCst) == 1).await;
        assert_eq!(server.connections(), 1);
        assert_idle(&balancer);
    }
}
