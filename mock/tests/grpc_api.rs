//! The gRPC side, through the generated client over tonic's own channel.

mod client;

use client::{endless, preset, slow_preset, soon, start, until};
use futures_util::stream;
use prost::Message;
use tonic::{Code, Streaming, metadata::MetadataMap, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use trimtab_mock::{
    Faults, OrcaLoadReport, Server,
    proto::{GenerateChunk, GenerateRequest, inference_client::InferenceClient},
    token,
};

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(server.url()).unwrap().connect().await.unwrap()
}

async fn connect(server: &Server) -> InferenceClient<Channel> {
    InferenceClient::new(channel(server).await)
}

fn ask(prompt: &str, max_tokens: u32) -> GenerateRequest {
    GenerateRequest { prompt: prompt.to_owned(), max_tokens, prompt_tokens: 0 }
}

fn text(tokens: u32) -> String {
    (0..tokens).map(token).collect()
}

fn report(metadata: &MetadataMap) -> OrcaLoadReport {
    let value = metadata.get_bin("endpoint-load-metrics-bin").expect("a load report");
    OrcaLoadReport::decode(value.to_bytes().unwrap()).unwrap()
}

fn timing(metadata: &MetadataMap) -> &str {
    metadata.get("server-timing").expect("times").to_str().unwrap()
}

async fn drain(stream: &mut Streaming<GenerateChunk>) -> Vec<GenerateChunk> {
    let mut chunks = Vec::new();
    while let Some(chunk) = soon(stream.message()).await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

#[tokio::test]
async fn a_unary_call() {
    let server = start(|builder| builder).await;
    let response = connect(&server).await.generate(ask("eight ch", 5)).await.unwrap();
    let report = report(response.metadata());
    assert_eq!(report.named_metrics["num_requests_running"], 0.0);
    assert!(report.rps_fractional > 0.0);
    assert!(timing(response.metadata()).ends_with(", processing;dur=4.160"));
    let answer = response.into_inner();
    assert_eq!(answer.text, text(5));
    let usage = answer.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (2, 5));
    // 0.8 ms an iteration and 0.08 a prompt token.
    assert!((usage.processing_ms - 4.16).abs() < 1e-6, "{}", usage.processing_ms);
}

#[tokio::test]
async fn server_streaming() {
    let server = start(|builder| builder).await;
    let mut stream =
        connect(&server).await.generate_stream(ask("eight ch", 300)).await.unwrap().into_inner();
    let chunks = drain(&mut stream).await;
    assert_eq!(chunks.iter().map(|chunk| chunk.text.as_str()).collect::<String>(), text(300));
    assert_eq!(chunks.iter().map(|chunk| chunk.tokens).sum::<u32>(), 300);
    let (last, before) = chunks.split_last().unwrap();
    assert!(before.iter().all(|chunk| chunk.usage.is_none()));
    assert_eq!(last.usage.unwrap().completion_tokens, 300);
    let trailers = soon(stream.trailers()).await.unwrap().expect("trailers");
    assert_eq!(report(&trailers).named_metrics["num_requests_running"], 0.0);
    // 300 iterations of 0.8 ms and 0.16 for the prompt.
    assert!(timing(&trailers).ends_with(", processing;dur=240.160"), "{}", timing(&trailers));
}

#[tokio::test]
async fn a_stream_comes_in_pieces() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let mut client = connect(&server).await;
    let mut stream = client.generate_stream(ask("x", 500_000)).await.unwrap().into_inner();
    for _ in 0..3 {
        let chunk = soon(stream.message()).await.unwrap().unwrap();
        assert!(chunk.tokens > 0 && chunk.usage.is_none());
    }
}

#[tokio::test]
async fn client_streaming() {
    let server = start(|builder| builder).await;
    let parts = stream::iter([ask("eight ", 9), ask("ch", 3), ask("", 0)]);
    let answer = connect(&server).await.generate_from_parts(parts).await.unwrap().into_inner();
    assert_eq!(answer.text, text(3));
    assert_eq!(answer.usage.unwrap().prompt_tokens, 2);
}

#[tokio::test]
async fn bidirectional_streaming() {
    let server = start(|builder| builder).await;
    let turns = stream::iter([ask("one", 2), ask("two", 4)]);
    let mut stream = connect(&server).await.converse(turns).await.unwrap().into_inner();
    let mut answers = vec![String::new()];
    for chunk in drain(&mut stream).await {
        answers.last_mut().unwrap().push_str(&chunk.text);
        if chunk.usage.is_some() {
            answers.push(String::new());
        }
    }
    assert_eq!(answers, [text(2), text(4), String::new()]);
    let trailers = soon(stream.trailers()).await.unwrap().expect("trailers");
    // Both answers: six iterations of 0.8 ms, one prompt token each.
    assert!(timing(&trailers).ends_with(", processing;dur=4.960"), "{}", timing(&trailers));
}

#[tokio::test]
async fn the_length_of_a_prompt_can_be_given() {
    let server = start(|builder| builder.preset(preset("mid"))).await;
    let request = GenerateRequest { prompt_tokens: 3_000, ..ask("", 1) };
    let usage = connect(&server).await.generate(request).await.unwrap().into_inner().usage.unwrap();
    assert_eq!(usage.prompt_tokens, 3_000);
    // Two iterations of 6.35 ms, and 0.125 a prompt token.
    assert!((usage.processing_ms - 387.7).abs() < 1e-6, "{}", usage.processing_ms);
}

#[tokio::test]
async fn bad_calls_get_a_status() {
    let server = start(|builder| builder).await;
    let mut client = connect(&server).await;
    let status = client.generate(ask("", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client.generate(ask("x", 70_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("65536"), "{}", status.message());
    report(status.metadata());
    let status = client.generate_stream(ask("", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut stream = client.converse(stream::iter([ask("", 1)])).await.unwrap().into_inner();
    assert_eq!(soon(stream.message()).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_full_queue_is_resource_exhausted() {
    let server = start(|builder| builder.preset(slow_preset()).max_waiting(1)).await;
    let mut client = connect(&server).await;
    let mut occupancy = server.occupancy();
    let _running = client.generate_stream(ask("x", 500_000)).await.unwrap();
    let waiting = tokio::spawn({
        let mut client = client.clone();
        async move { client.generate(ask("x", 500_000)).await }
    });
    until(&mut occupancy, |now| now.waiting == 1).await;
    let status = client.generate(ask("x", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
    waiting.abort();
}

#[tokio::test]
async fn health_follows_the_faults() {
    let server = start(|builder| builder).await;
    let mut health = HealthClient::new(channel(&server).await);
    let request = || HealthCheckRequest { service: String::new() };
    let checked = health.check(request()).await.unwrap().into_inner();
    assert_eq!(checked.status(), ServingStatus::Serving);
    let mut watch = health.watch(request()).await.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let mut faults = Faults::default();
    faults.unhealthy = true;
    server.faults().set(faults).unwrap();
    let second = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    connect(&server).await.generate(ask("x", 1)).await.expect("only health fails");
    server.faults().clear();
    let third = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(third.status(), ServingStatus::Serving);
    let unknown = HealthCheckRequest { service: "no.such.Service".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented() {
    let server = start(|builder| builder).await;
    let mut grpc = tonic::client::Grpc::new(channel(&server).await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GenerateRequest, GenerateRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/no.such.Service/Call");
    let status = grpc.unary(tonic::Request::new(ask("x", 1)), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn both_protocols_share_the_model() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let mut occupancy = server.occupancy();
    let http = client::Client::new(&server);
    let _running = http.start("/v1/completions", &endless(true)).await.unwrap();
    let mut grpc = connect(&server).await;
    let waiting = tokio::spawn(async move { grpc.generate(ask("x", 1)).await });
    until(&mut occupancy, |now| now.running == 1 && now.waiting == 1).await;
    waiting.abort();
    until(&mut occupancy, |now| now.waiting == 0).await;
}
