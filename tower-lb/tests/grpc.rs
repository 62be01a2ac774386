//! The tonic channel: all kinds of calls, classification, timeouts, routes.
#![cfg(feature = "tonic")]

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, uri::PathAndQuery};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use support::{Answer, Http, Server, assert_idle, until};
use tonic::{
    Code, Response, Status, Streaming, body::Body, client, metadata::MetadataValue, server,
};
use tonic_prost::ProstCodec;
use tower_lb::{
    Balancer, BoxError, Endpoint, Node, Route,
    policy::{Rendezvous, RoundRobin},
    tonic::{Channel, channel, try_channel},
};

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

fn number(value: i64) -> Number {
    Number { value }
}

type Codec = ProstCodec<Number, Number>;
type Numbers = std::pin::Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;

/// A service with one method of each kind, written as a generated server would call it.
#[derive(Clone)]
struct Calculator;

impl server::UnaryService<Number> for Calculator {
    type Response = Number;
    type Future = std::future::Ready<Result<Response<Number>, Status>>;

    fn call(&mut self, request: tonic::Request<Number>) -> Self::Future {
        let value = request.into_inner().value;
        std::future::ready(match value {
            0.. => Ok(Response::new(number(value * 2))),
            code => Err(failing(code)),
        })
    }
}

/// A status with all that a server may say beside it.
fn failing(code: i64) -> Status {
    let mut status = Status::new(Code::from_i32(-code as i32), "as you wish");
    let pushback = MetadataValue::from_static("44000");
    status.metadata_mut().insert("grpc-retry-pushback-ms", pushback);
    status
}

impl server::ServerStreamingService<Number> for Calculator {
    type Response = Number;
    type ResponseStream = Numbers;
    type Future = std::future::Ready<Result<Response<Numbers>, Status>>;

    fn call(&mut self, request: tonic::Request<Number>) -> Self::Future {
        let value = request.into_inner().value;
        let count = stream::iter(0..value.abs()).map(|value| Ok(number(value)));
        let end = stream::iter((value < 0).then(|| Err(failing(-14))));
        std::future::ready(Ok(Response::new(count.chain(end).boxed())))
    }
}

impl server::ClientStreamingService<Number> for Calculator {
    type Response = Number;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Number>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<Number>>) -> Self::Future {
        Box::pin(async move {
            let mut numbers = request.into_inner();
            let mut sum = 0;
            while let Some(number) = numbers.message().await? {
                sum += number.value;
            }
            Ok(Response::new(number(sum)))
        })
    }
}

impl server::StreamingService<Number> for Calculator {
    type Response = Number;
    type ResponseStream = Numbers;
    type Future = std::future::Ready<Result<Response<Numbers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Number>>) -> Self::Future {
        let numbers = request.into_inner().map(|n| n.map(|n| number(n.value * 2)));
        std::future::ready(Ok(Response::new(numbers.boxed())))
    }
}

async fn serve(request: Request<Incoming>) -> Result<Answer, BoxError> {
    let mut grpc = server::Grpc::new(Codec::default());
    let request = request.map(Body::new);
    let answer = match request.uri().path() {
        "/calculator/unary" => grpc.unary(Calculator, request).await,
        "/calculator/server" => grpc.server_streaming(Calculator, request).await,
        "/calculator/client" => grpc.client_streaming(Calculator, request).await,
        "/calculator/both" => grpc.streaming(Calculator, request).await,
        "/calculator/hang" => std::future::pending().await,
        path => panic!("no method {path}"),
    };
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

async fn calculator() -> Server {
    Server::start(Http::Two, serve).await
}

/// What a generated client is inside.
async fn grpc(channel: &Channel) -> client::Grpc<Channel> {
    let mut grpc = client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    grpc
}

fn method(name: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(name)
}

async fn double(channel: &Channel, value: i64) -> Result<i64, Status> {
    double_with(channel, tonic::Request::new(number(value))).await
}

async fn double_with(channel: &Channel, request: tonic::Request<Number>) -> Result<i64, Status> {
    let path = method("/calculator/unary");
    let answer = grpc(channel).await.unary(request, path, Codec::default()).await?;
    Ok(answer.into_inner().value)
}

fn balancer(servers: &[&Server]) -> Balancer {
    let endpoints = servers.iter().map(|server| server.endpoint());
    Balancer::builder().policy(RoundRobin::default()).endpoints(endpoints).build().unwrap()
}

fn only(balancer: &Balancer) -> Arc<Node> {
    Arc::clone(&balancer.fleet().snapshot().nodes()[0])
}

#[tokio::test]
async fn all_four_kinds_of_calls_go_through_and_are_shared_out() {
    let (a, b) = (calculator().await, calculator().await);
    let balancer = balancer(&[&a, &b]);
    let channel = channel(balancer.clone());
    for _ in 0..4 {
        assert_eq!(double(&channel, 21).await.unwrap(), 42);

        let request = tonic::Request::new(number(5));
        let path = method("/calculator/server");
        let answer = grpc(&channel).await.server_streaming(request, path, Codec::default()).await;
        let values: Vec<_> = answer.unwrap().into_inner().map(|n| n.unwrap().value).collect().await;
        assert_eq!(values, [0, 1, 2, 3, 4]);

        let request = tonic::Request::new(stream::iter((1..=100).map(number)));
        let path = method("/calculator/client");
        let answer = grpc(&channel).await.client_streaming(request, path, Codec::default()).await;
        assert_eq!(answer.unwrap().into_inner().value, 5050);

        // Each message waits for the answer to the one before: nothing is buffered on the way.
        let (send, numbers) = tokio::sync::mpsc::channel(1);
        let numbers = tokio_stream::wrappers::ReceiverStream::new(numbers);
        let request = tonic::Request::new(numbers);
        let path = method("/calculator/both");
        let answer = grpc(&channel).await.streaming(request, path, Codec::default()).await;
        let mut answers = answer.unwrap().into_inner();
        for value in 0..5 {
            send.send(number(value)).await.unwrap();
            assert_eq!(answers.message().await.unwrap().unwrap().value, value * 2);
        }
        drop(send);
        assert!(answers.message().await.unwrap().is_none());
    }
    assert_eq!((a.served(), b.served()), (8, 8));
    assert_idle(&balancer);
    let snapshot = balancer.fleet().snapshot();
    assert!(snapshot.nodes().iter().all(|node| node.total().successes == 8));
}

#[tokio::test]
async fn a_generated_client_takes_the_channel() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let server = Server::start(Http::Two, |_| async {
        let answer = http::Response::builder().header("content-type", "application/grpc");
        // One empty message: serving status unknown.
        let body = http_body_util::Full::new(Bytes::from_static(&[0; 5]));
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok(answer.body(body.map_err(|never| match never {}).boxed_unsync()).unwrap())
    })
    .await;
    let mut health = HealthClient::new(channel(balancer(&[&server])));
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status, 0);
}

#[tokio::test]
async fn statuses_in_head_and_trailers_tell_success_from_failure() {
    // Code, successes and failures it counts as.
    let table = [
        (Code::InvalidArgument, 1, 0),
        (Code::NotFound, 1, 0),
        (Code::Aborted, 1, 0),
        (Code::Unauthenticated, 1, 0),
        (Code::Cancelled, 0, 0),
        (Code::Unknown, 0, 1),
        (Code::DeadlineExceeded, 0, 1),
        (Code::ResourceExhausted, 0, 1),
        (Code::Unimplemented, 0, 1),
        (Code::Internal, 0, 1),
        (Code::Unavailable, 0, 1),
        (Code::DataLoss, 0, 1),
    ];
    for (code, successes, failures) in table {
        let server = calculator().await;
        let balancer = balancer(&[&server]);
        let error = double(&channel(balancer.clone()), -(code as i64)).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (code, "as you wish"));
        let node = only(&balancer);
        let total = node.total();
        assert_eq!((total.successes, total.failures), (successes, failures), "{code:?}");
        assert_idle(&balancer);
        if failures > 0 {
            let peak =
                f64::from(node.peak_latency(tower_lb::Clock::process().now()).unwrap()) / 1e9;
            // It decays by the clock, with which a busy machine may be late; no pushback makes 5 s.
            assert!((22.0..45.0).contains(&peak), "pushback of 44 s became {peak}");
        }
    }
    // In the trailers, after three messages.
    let server = calculator().await;
    let balancer = balancer(&[&server]);
    let (request, path) = (tonic::Request::new(number(-3)), method("/calculator/server"));
    let mut grpc = grpc(&channel(balancer.clone())).await;
    let answer = grpc.server_streaming(request, path, Codec::default()).await.unwrap();
    let answers: Vec<_> = answer.into_inner().collect().await;
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[3].as_ref().unwrap_err().code(), Code::Unavailable);
    assert_eq!((only(&balancer).total().successes, only(&balancer).total().failures), (0, 1));
    assert_idle(&balancer);
}

#[tokio::test]
async fn an_http_status_in_place_of_a_grpc_status_is_a_failure() {
    for code in [302, 400, 401, 403, 404, 429, 503] {
        let server = Server::start(Http::Two, move |_| async move { support::status(code) }).await;
        let balancer = balancer(&[&server]);
        assert!(double(&channel(balancer.clone()), 1).await.is_err());
        let node = only(&balancer);
        assert_eq!((node.total().successes, node.total().failures), (0, 1), "{code}");
        assert_eq!(node.mean_latency(), None, "{code} must not look like a fast success");
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_timeout_ends_the_call_and_counts_against_the_endpoint() {
    let server = calculator().await;
    let balancer = balancer(&[&server]);
    let channel = channel(balancer.clone());
    let mut request = tonic::Request::new(number(1));
    request.set_timeout(Duration::from_millis(30));
    let mut grpc = grpc(&channel).await;
    let hang = method("/calculator/hang");
    let answer: Result<Response<Number>, _> = grpc.unary(request, hang, Codec::default()).await;
    let error = answer.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Cancelled, "Timeout expired"));
    assert_eq!(only(&balancer).total().failures, 1);
    assert_idle(&balancer);
}

#[tokio::test]
async fn a_call_given_up_is_cancelled() {
    let server = calculator().await;
    let balancer = balancer(&[&server]);
    let channel = channel(balancer.clone());
    let call = tokio::spawn(async move {
        let mut grpc = grpc(&channel).await;
        let request = tonic::Request::new(number(1));
        let path = method("/calculator/hang");
        let _: Result<Response<Number>, _> = grpc.unary(request, path, Codec::default()).await;
    });
    until("it is there", || server.served() == 1).await;
    assert_eq!(only(&balancer).in_flight(), 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_idle(&balancer);
    assert_eq!(only(&balancer).cancelled(), 1);
}

#[tokio::test]
async fn a_route_in_the_extensions_decides() {
    let servers = [calculator().await, calculator().await, calculator().await, calculator().await];
    let endpoints = servers.iter().map(Server::endpoint);
    let balancer =
        Balancer::builder().policy(Rendezvous::default()).endpoints(endpoints).build().unwrap();
    let channel = channel(balancer.clone());
    let mut used = std::collections::HashSet::new();
    for user in 0..16 {
        let before: Vec<_> = servers.iter().map(Server::served).collect();
        for _ in 0..5 {
            let mut request = tonic::Request::new(number(1));
            request.extensions_mut().insert(Route::new().with_key(format!("user-{user}")));
            double_with(&channel, request).await.unwrap();
        }
        let after = servers.iter().map(Server::served);
        let grown: Vec<_> = after.zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(grown.iter().filter(|calls| **calls == 5).count(), 1, "{grown:?}");
        used.insert(grown.iter().position(|calls| *calls == 5).unwrap());
    }
    assert!(used.len() > 1, "keys spread");
    assert_idle(&balancer);
}

#[tokio::test]
async fn load_reports_come_with_the_trailers() {
    let server = Server::start(Http::Two, |_| async {
        let answer = http::Response::builder().header("content-type", "application/grpc");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        // cpu 0.5 (field 1), named_metrics {"kv": 0.25} (field 8), application 0.75 (field 9).
        let report = "CQAAAAAAAOA/Qg0KAmt2EQAAAAAAANA/SQAAAAAAAOg/";
        trailers.insert("endpoint-load-metrics-bin", report.parse().unwrap());
        let body = http_body_util::Full::new(Bytes::from_static(&[0; 5]));
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok(answer.body(body.map_err(|never| match never {}).boxed_unsync()).unwrap())
    })
    .await;
    let balancer = balancer(&[&server]);
    assert_eq!(double(&channel(balancer.clone()), 1).await.unwrap(), 0);
    let (_, report) = only(&balancer).load_report().unwrap();
    assert_eq!((report.cpu_utilization, report.application_utilization), (0.5, 0.75));
    assert_eq!(report.named_metrics["kv"], 0.25);
}

#[tokio::test]
async fn errors_are_statuses_that_name_the_endpoint() {
    let dead = calculator().await;
    let balancer = balancer(&[&dead]);
    let dead = dead.die().await;
    let error = double(&channel(balancer.clone()), 1).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains(&dead.address.to_string()), "{}", error.message());
    assert!(error.message().contains("refused"), "{}", error.message());
    assert_idle(&balancer);

    let endpoint = Endpoint::new("nonsense://x").with_id("the-bad-one");
    let balancer = Balancer::builder().endpoints([endpoint]).build().unwrap();
    assert_eq!(try_channel(balancer.clone()).unwrap_err().endpoint.as_str(), "the-bad-one");
    let error = double(&channel(balancer), 1).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("the-bad-one"), "{}", error.message());
}
