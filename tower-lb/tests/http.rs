//! The hyper client against real servers, in good times.
#![cfg(feature = "hyper")]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use support::{Http, Server, assert_idle, get, ok, post};
use tower::{Service, ServiceExt};
use tower_lb::{
    Balancer, Builder, Endpoint,
    hyper::{Client, Config, Host, Protocol, client, client_with},
    policy::RoundRobin,
};

type Body = Full<Bytes>;

async fn text(client: &Client<Body>, request: http::Request<Body>) -> String {
    let answer = client.clone().oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn speaking(http: Http) -> Config {
    let protocol = if http == Http::One { Protocol::Http1 } else { Protocol::Http2 };
    Config::default().with_protocol(protocol)
}

#[tokio::test]
async fn requests_reach_the_endpoints_in_turn_on_connections_that_are_kept() {
    for http in [Http::One, Http::Two] {
        let a = Server::start(http, |_| async { ok("a") }).await;
        let b = Server::start(http, |_| async { ok("b") }).await;
        let balancer = Balancer::builder()
            .policy(RoundRobin::default())
            .endpoints([a.endpoint(), b.endpoint()])
            .build()
            .unwrap();
        let client = client_with(Builder::new(balancer.clone()), speaking(http)).unwrap();
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(text(&client, get()).await);
        }
        assert_eq!(answers.iter().filter(|answer| *answer == "a").count(), 10);
        assert_eq!(answers.iter().filter(|answer| *answer == "b").count(), 10);
        assert_eq!((a.connections(), b.connections()), (1, 1), "{http:?}");
        assert_idle(&balancer);
        for node in balancer.fleet().snapshot().nodes() {
            assert_eq!(node.total().successes, 10);
            assert!(node.mean_latency().is_some() && node.round_trip().is_some());
        }
    }
}

#[tokio::test]
async fn the_endpoint_replaces_scheme_and_authority_and_the_host_by_choice() {
    for http in [Http::One, Http::Two] {
        let server = Server::start(http, |request| async move {
            let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
            let host = host.or_else(|| request.uri().authority().map(ToString::to_string));
            let path = request.uri().path_and_query().unwrap().clone();
            ok(format!("{} {path}", host.unwrap()))
        })
        .await;
        for (host, seen) in
            [(Host::Endpoint, server.address.to_string()), (Host::Caller, "model".to_owned())]
        {
            let balancer = Balancer::builder().endpoints([server.endpoint()]).build().unwrap();
            let config = speaking(http).with_host(host);
            let client = client_with(Builder::new(balancer), config).unwrap();
            assert_eq!(text(&client, get()).await, format!("{seen} /path?query=1"));
        }
    }
}

#[tokio::test]
async fn bodies_arrive_whole() {
    for http in [Http::One, Http::Two] {
        let server = Server::start(http, |request| async move {
            let length = request.headers().get("content-length").cloned();
            let body = request.into_body().collect().await?.to_bytes();
            assert_eq!(length.unwrap().to_str().unwrap(), body.len().to_string());
            ok(body)
        })
        .await;
        let balancer = Balancer::builder().endpoints([server.endpoint()]).build().unwrap();
        let client = client_with(Builder::new(balancer.clone()), speaking(http)).unwrap();
        for size in [1, 1000, 1 << 20] {
            let body = "x".repeat(size);
            assert_eq!(text(&client, post(body.clone())).await, body);
        }
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_malformed_address_is_refused_with_the_endpoints_name() {
    for (address, problem) in [
        ("", "is empty"),
        ("http://", "is not a URI"),
        ("ftp://host:1", "has a scheme other than http and https"),
        ("http://host:0", "has a port that is not in 1 to 65535"),
        ("http://host:65536", "has a port that is not in 1 to 65535"),
        ("http://host:1/v1", "has a path, which belongs to the request"),
        ("http://user@host:1", "has credentials, which belong to the request"),
        ("http://ho st:1", "is not a URI"),
    ] {
        let endpoint = Endpoint::new(address).with_id("the-bad-one");
        let balancer = Balancer::builder().endpoints([endpoint]).build().unwrap();
        let error = client::<Body>(balancer.clone()).unwrap_err();
        assert_eq!((error.endpoint.as_str(), error.problem), ("the-bad-one", problem), "{address}");
        assert!(error.to_string().contains("the-bad-one") && error.to_string().contains(address));
    }
}

#[tokio::test]
async fn an_endpoint_added_with_a_malformed_address_loses_no_request() {
    let server = Server::start(Http::One, |_| async { ok("fine") }).await;
    let balancer = Balancer::builder()
        .policy(RoundRobin::default())
        .endpoints([server.endpoint()])
        .build()
        .unwrap();
    let mut client = client::<Body>(balancer.clone()).unwrap();
    balancer.fleet().add(Endpoint::new("no such scheme://"));
    for _ in 0..10 {
        let answer = client.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "fine");
    }
    assert_idle(&balancer);
}
