//! The fleet changes under load, and no request is lost.
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
use http_body_util::{BodyExt, Full};
use support::{Http, Server, assert_idle, ok, post, until};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_lb::{
    Balancer, Builder, ConfigError, Endpoint,
    discover::{Change, Progress, follow_with},
    hyper::{Client, Config, Protocol, client_with},
};

/// Requests without a pause, from several callers, until stopped.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    callers: JoinSet<usize>,
}

impl Load {
    fn start(client: &Client<Full<Bytes>>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
            callers.spawn(async move {
                let mut failed = 0;
                while !stop.load(Ordering::Relaxed) {
                    match client.clone().oneshot(post("ping")).await {
                        Ok(answer) => {
                            let whole = answer.into_body().collect().await;
                            let pong = whole.is_ok_and(|body| body.to_bytes() == "pong");
                            failed += usize::from(!pong);
                        }
                        Err(_) => failed += 1,
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
        }
        Self { stop, done, callers }
    }

    /// Waits until so many further requests have been answered.
    async fn further(&self, requests: usize) {
        let target = self.done.load(Ordering::Relaxed) + requests;
        until("further requests", || self.done.load(Ordering::Relaxed) >= target).await;
    }

    /// Stops; how many requests failed.
    async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = 0;
        while let Some(caller) = self.callers.join_next().await {
            failed += caller.unwrap();
        }
        failed
    }
}

async fn pong(http: Http) -> Server {
    Server::start(http, |request| async move {
        let body = request.into_body().collect().await?;
        assert_eq!(body.to_bytes(), "ping");
        ok("pong")
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_removing_draining_and_replacing_under_load_loses_nothing() {
    for http in [Http::One, Http::Two] {
        let servers = [pong(http).await, pong(http).await, pong(http).await];
        let balancer = Balancer::builder().endpoints([servers[0].endpoint()]).build().unwrap();
        let protocol = if http == Http::One { Protocol::Http1 } else { Protocol::Http2 };
        let config = Config::default().with_protocol(protocol);
        let client = client_with(Builder::new(balancer.clone()), config).unwrap();
        let load = Load::start(&client);
        let fleet = balancer.fleet();
        for round in 0..10 {
            load.further(50).await;
            let served = servers[1].served();
            fleet.add(servers[1].endpoint());
            until("the new one serves", || servers[1].served() > served).await;
            load.further(50).await;
            if round % 2 == 0 {
                fleet.remove(servers[0].endpoint().id()).unwrap();
            } else {
                fleet.drain(servers[0].endpoint().id()).unwrap();
            }
            load.further(50).await;
            fleet.replace(vec![servers[1].endpoint(), servers[2].endpoint()]).unwrap();
            load.further(50).await;
            assert_eq!(fleet.replace(vec![]), Err(ConfigError::EmptyFleet));
            fleet.replace(vec![servers[0].endpoint()]).unwrap();
        }
        assert_eq!(load.stop().await, 0, "{http:?}");
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_drained_endpoint_leaves_when_it_is_idle_without_anyone_asking() {
    let (a, b) = (pong(Http::One).await, pong(Http::One).await);
    let endpoints = [a.endpoint(), b.endpoint()];
    let balancer = Balancer::builder().endpoints(endpoints).build().unwrap();
    let _client: Client<Full<Bytes>> = tower_lb::hyper::client(balancer.clone()).unwrap();
    balancer.fleet().drain(a.endpoint().id()).unwrap();
    assert_eq!(balancer.fleet().snapshot().nodes().len(), 2);
    until("it leaves", || balancer.fleet().snapshot().nodes().len() == 1).await;
}

#[tokio::test]
async fn the_fleet_follows_a_stream_and_keeps_the_last_good_one() {
    let (a, b) = (pong(Http::One).await, pong(Http::One).await);
    let balancer = Balancer::builder().endpoints([a.endpoint()]).build().unwrap();
    let (send, changes) = tokio::sync::mpsc::channel::<Result<Change, &str>>(8);
    let changes = tokio_stream::wrappers::ReceiverStream::new(changes);
    let progress = Progress::new();
    let following = tokio::spawn(follow_with(&balancer, changes, progress.clone()));
    let ids = |balancer: &Balancer| -> Vec<String> {
        let snapshot = balancer.fleet().snapshot();
        snapshot.nodes().iter().map(|node| node.id().to_string()).collect()
    };
    let [first, second] = [&a, &b].map(|server| server.endpoint().id().to_string());

    send.send(Ok(Change::Add(b.endpoint()))).await.unwrap();
    until("added", || progress.applied() == 1).await;
    assert_eq!(ids(&balancer), [&*first, &*second]);

    send.send(Ok(Change::Replace(vec![]))).await.unwrap();
    send.send(Ok(Change::Replace(vec![a.endpoint(), a.endpoint()]))).await.unwrap();
    send.send(Ok(Change::Remove("nobody".into()))).await.unwrap();
    send.send(Err("the registry is down")).await.unwrap();
    until("all refused", || progress.rejected() == 3 && progress.failed() == 1).await;
    assert_eq!(ids(&balancer), [&*first, &*second]);

    send.send(Ok(Change::Remove(a.endpoint().id().clone()))).await.unwrap();
    until("removed", || progress.applied() == 2).await;
    assert_eq!(ids(&balancer), [&*second]);
    drop(send);
    following.await.unwrap();
}

#[tokio::test]
async fn tasks_do_not_keep_the_balancer_alive() {
    let dead = Endpoint::new("http://127.0.0.1:1");
    let balancer = Balancer::builder().endpoints([dead]).build().unwrap();
    let client: Client<Full<Bytes>> = tower_lb::hyper::client(balancer.clone()).unwrap();
    assert!(client.clone().oneshot(post("x")).await.is_err());
    let node = Arc::downgrade(&balancer.fleet().snapshot().nodes()[0]);
    let metrics = tokio::runtime::Handle::current().metrics();
    assert!(metrics.num_alive_tasks() >= 2, "reconnecting and keeping");
    drop((client, balancer));
    assert!(node.upgrade().is_none());
    until("the tasks end", || metrics.num_alive_tasks() == 0).await;
}

#[tokio::test]
async fn a_client_made_outside_a_runtime_works_in_one() {
    let server = pong(Http::One).await;
    let endpoint = server.endpoint();
    let client: Client<Full<Bytes>> = std::thread::spawn(move || {
        tower_lb::hyper::client(Balancer::builder().endpoints([endpoint]).build().unwrap()).unwrap()
    })
    .join()
    .unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), client.oneshot(post("ping"))).await;
    assert_eq!(answer.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes(), "pong");
}
