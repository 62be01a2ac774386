//! Every fault, over both protocols, switched by handle and over HTTP.

mod client;

use std::pin::pin;

use client::{Client, endless, preset, slow_preset, soon, start, until, whole};
use futures_util::FutureExt;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tonic::{Code, transport::Channel};
use trimtab_mock::{
    Faults, FaultsError, MockError, Server, StopReason,
    proto::{GenerateRequest, inference_client::InferenceClient},
};

fn small() -> Value {
    json!({ "model": "m", "prompt": "eight ch", "max_tokens": 5 })
}

fn faults(changes: &Value) -> Faults {
    Faults::default().apply(changes).unwrap()
}

async fn grpc(server: &Server) -> InferenceClient<Channel> {
    let channel = Channel::from_shared(server.url()).unwrap().connect().await.unwrap();
    InferenceClient::new(channel)
}

fn ask() -> GenerateRequest {
    GenerateRequest { prompt: "eight ch".to_owned(), max_tokens: 5, prompt_tokens: 0 }
}

#[tokio::test]
async fn failing_fast() {
    let server = start(|builder| builder.faults(faults(&json!({ "fail_fast": true })))).await;
    let client = Client::new(&server);
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let answer = client.post(path, &small()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["error"]["type"], "server_error");
    }
    assert_eq!(client.get("/health").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get("/metrics").await.status, StatusCode::OK);
    let mut grpc = grpc(&server).await;
    let status = grpc.generate(ask()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.metadata().contains_key("endpoint-load-metrics-bin"));
    server.faults().clear();
    assert_eq!(client.get("/health").await.status, StatusCode::OK);
    assert_eq!(client.post("/v1/completions", &small()).await.status, StatusCode::OK);
    grpc.generate(ask()).await.unwrap();
}

#[tokio::test]
async fn a_share_of_errors() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    assert_eq!(client.post("/faults", &json!({ "error_rate": 1 })).await.status, StatusCode::OK);
    let answer = client.post("/v1/completions", &small()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(grpc(&server).await.generate(ask()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.get("/health").await.status, StatusCode::OK, "health does not fail");

    client.post("/faults", &json!({ "error_rate": 0.5 })).await;
    let mut failed = 0;
    for _ in 0..200 {
        let body = json!({ "model": "m", "prompt": "x", "max_tokens": 1 });
        failed += u32::from(client.post("/v1/completions", &body).await.status != StatusCode::OK);
    }
    // On a fixed seed; 200 fair coins fall outside for one seed in 500 million.
    assert!((57..=143).contains(&failed), "{failed}");
}

#[tokio::test]
async fn stalling() {
    let server = start(|builder| builder).await;
    // All on one connection each, where the server sees requests in the order they are sent.
    let client = Client::http2(&server);
    assert_eq!(client.get("/health").await.status, StatusCode::OK);
    let mut grpc = grpc(&server).await;
    grpc.generate(ask()).await.unwrap();
    client.post("/faults", &json!({ "stall": true })).await;

    let body = small();
    let mut completion = pin!(client.start("/v1/completions", &body));
    let mut health = pin!(client.get("/health"));
    let mut caller = grpc.clone();
    let mut call = pin!(caller.generate(ask()));
    assert!(completion.as_mut().now_or_never().is_none());
    assert!(health.as_mut().now_or_never().is_none());
    assert!(call.as_mut().now_or_never().is_none());
    // The server is alive, and has read what came before.
    assert_eq!(client.get("/metrics").await.status, StatusCode::OK);
    client.send(Method::DELETE, "/faults", None, "").await.unwrap();
    assert_eq!(client.post("/v1/completions", &small()).await.status, StatusCode::OK);
    grpc.generate(ask()).await.unwrap();
    assert!(completion.as_mut().now_or_never().is_none(), "stalled for good");
    assert!(health.as_mut().now_or_never().is_none(), "stalled for good");
    assert!(call.as_mut().now_or_never().is_none(), "stalled for good");
}

#[tokio::test]
async fn slowing_down() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    let processing = async || {
        let timing = client.post("/v1/completions", &small()).await;
        timing.header("server-timing").rsplit('=').next().unwrap().parse::<f64>().unwrap()
    };
    // Five iterations of 0.8 ms, and 0.08 for each of two prompt tokens.
    assert_eq!(processing().await, 4.16);
    client.post("/faults", &json!({ "slow_down": 3 })).await;
    assert_eq!(processing().await, 12.48);
    client.post("/faults", &json!({ "slow_down": 1 })).await;
    assert_eq!(processing().await, 4.16);
}

#[tokio::test]
async fn resetting_in_the_middle() {
    let server = start(|builder| builder.faults(faults(&json!({ "reset_rate": 1 })))).await;
    for client in [Client::new(&server), Client::http2(&server)] {
        for stream in [false, true] {
            let mut body = small();
            body["stream"] = stream.into();
            let response = client.start("/v1/completions", &body).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let mut body = response.into_body();
            let first = soon(body.frame()).await.unwrap().unwrap();
            assert!(!first.data_ref().unwrap().is_empty(), "the answer has begun");
            soon(body.collect()).await.expect_err("and breaks off");
        }
    }
    let status = soon(grpc(&server).await.generate(ask())).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    // The model is not harmed.
    server.faults().clear();
    assert_eq!(Client::new(&server).post("/v1/completions", &small()).await.status, 200);
}

#[tokio::test]
async fn exiting() {
    let mut server = start(|builder| builder.preset(slow_preset())).await;
    let client = Client::new(&server);
    let stream = client.start("/v1/completions", &endless(true)).await.unwrap();
    server.faults().apply(&json!({ "exit_after_s": 0 })).unwrap();
    assert_eq!(soon(server.stopped()).await, StopReason::ExitFault);
    assert_eq!(soon(server.stopped()).await, StopReason::ExitFault, "asked again");
    soon(stream.into_body().collect()).await.expect_err("cut off");
    client.start("/v1/completions", &small()).await.expect_err("nobody listens");
}

#[tokio::test]
async fn an_exit_can_be_called_off() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    let armed = client.post("/faults", &json!({ "exit_after_s": 3_600 })).await.json();
    assert_eq!(armed["exit_after_s"], 3_600.0);
    let calm = client.post("/faults", &json!({ "exit_after_s": null })).await.json();
    assert_eq!(calm["exit_after_s"], Value::Null);
    assert_eq!(server.faults().get(), Faults::default());
}

#[tokio::test]
async fn changes_keep_the_other_faults() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    client.post("/faults", &json!({ "error_rate": 0.25, "unhealthy": true })).await;
    let now = client.post("/faults", &json!({ "slow_down": 2.0 })).await.json();
    assert_eq!(now, client.get("/faults").await.json());
    assert_eq!(now["error_rate"], 0.25);
    assert_eq!(now["unhealthy"], true);
    assert_eq!(now["slow_down"], 2.0);
    assert_eq!(server.faults().get().to_json(), now);
    assert_eq!(client.get("/health").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let none = whole(client.send(Method::DELETE, "/faults", None, "").await.unwrap()).await;
    assert_eq!(none.json(), Faults::default().to_json());
}

#[tokio::test]
async fn bad_faults_are_refused_by_name_and_change_nothing() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    let cases = [
        (json!({ "error_rte": 1 }), "error_rte"),
        (json!({ "stall": true, "nope": 1 }), "nope"),
        (json!({ "error_rate": 1.5 }), "error_rate"),
        (json!({ "error_rate": -0.1 }), "error_rate"),
        (json!({ "error_rate": "1" }), "error_rate"),
        (json!({ "fail_fast": 1 }), "fail_fast"),
        (json!({ "slow_down": 0 }), "slow_down"),
        (json!({ "slow_down": 1e9 }), "slow_down"),
        (json!({ "reset_rate": true }), "reset_rate"),
        (json!({ "exit_after_s": -1 }), "exit_after_s"),
        (json!({ "unhealthy": null }), "unhealthy"),
        (json!([1]), "JSON object"),
    ];
    for (body, named) in cases {
        let answer = client.post("/faults", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.error().contains(named), "{body}: {}", answer.error());
    }
    let broken = client.send(Method::POST, "/faults", None, "{").await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.faults().get(), Faults::default());

    let mut bad = Faults::default();
    bad.error_rate = f64::NAN;
    let error = server.faults().set(bad.clone()).unwrap_err();
    assert!(matches!(error, FaultsError::BadValue { key: "error_rate", .. }), "{error}");
    let builder = Server::builder().preset(preset("mid")).faults(bad);
    let error = builder.bind(([127, 0, 0, 1], 0).into()).await.unwrap_err();
    assert!(matches!(error, MockError::Faults(_)), "{error}");
}

#[tokio::test]
async fn faults_do_not_keep_a_client_that_left() {
    let server =
        start(|builder| builder.preset(slow_preset()).faults(faults(&json!({ "slow_down": 2 }))))
            .await;
    let mut occupancy = server.occupancy();
    let response = Client::new(&server).start("/v1/completions", &endless(true)).await.unwrap();
    until(&mut occupancy, |now| now.running == 1).await;
    drop(response);
    until(&mut occupancy, |now| now.running == 0).await;
}
