//! The hyper client, as the tests of its faults, streams and connections use it.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;
use tower_lb::{
    Balancer, Builder, Endpoint, Error, Node,
    hyper::{Client, Config, Protocol, client_with},
    policy::RoundRobin,
};

use super::{Http, Server};

pub type Body = Full<Bytes>;

pub fn speaking(balancer: &Balancer, http: Http) -> Client<Body> {
    let protocol = if http == Http::One { Protocol::Http1 } else { Protocol::Http2 };
    let config = Config::default().with_protocol(protocol);
    client_with(Builder::new(balancer.clone()), config).unwrap()
}

pub fn in_turn(endpoints: impl IntoIterator<Item = Endpoint>) -> Balancer {
    Balancer::builder().policy(RoundRobin::default()).endpoints(endpoints).build().unwrap()
}

/// Sends a request and reads the whole answer.
pub async fn whole(
    client: &Client<Body>,
    request: http::Request<Body>,
) -> Result<StatusCode, Error> {
    let answer = client.clone().oneshot(request).await?;
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    Ok(status)
}

pub fn node(balancer: &Balancer, server: &Server) -> Arc<Node> {
    let id = server.endpoint().id().clone();
    let snapshot = balancer.fleet().snapshot();
    Arc::clone(snapshot.nodes().iter().find(|node| *node.id() == id).unwrap())
}
