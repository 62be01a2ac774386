//! Starting, stopping, and clients that go away.

mod client;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc,
    time::Duration,
};

use client::{Client, endless, preset, slow_preset, soon, start, until, whole};
use futures_util::FutureExt;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::oneshot;
use trimtab_mock::{Faults, MockError, Server, StopReason, run};

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_its_request() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let mut occupancy = server.occupancy();
    for client in [Client::new(&server), Client::http2(&server)] {
        let response = client.start("/v1/completions", &endless(true)).await.unwrap();
        let mut body = response.into_body();
        soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(occupancy.borrow_and_update().running, 1);
        drop(body);
        until(&mut occupancy, |now| now.running == 0).await;
        assert_eq!(occupancy.borrow().kv_usage, 0.0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_its_request() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let mut occupancy = server.occupancy();
    for client in [Client::new(&server), Client::http2(&server)] {
        let call = |client: &Client| {
            let client = client.clone();
            tokio::spawn(async move { client.start("/v1/completions", &endless(false)).await })
        };
        let running = call(&client);
        until(&mut occupancy, |now| now.running == 1).await;
        let waiting = call(&client);
        until(&mut occupancy, |now| now.waiting == 1).await;
        waiting.abort();
        until(&mut occupancy, |now| now.running == 1 && now.waiting == 0).await;
        running.abort();
        until(&mut occupancy, |now| now.running == 0).await;
    }
    let aborted = Client::new(&server).metric("vllm:request_success_total").await;
    assert_eq!(aborted, 4.0, "all of them by the reason `abort`");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = start(|builder| builder).await;
    let error = Server::builder().bind(first.addr()).await.unwrap_err();
    assert!(matches!(error, MockError::AddressInUse { addr } if addr == first.addr()));
    let message = error.to_string();
    assert!(message.contains(&first.addr().to_string()) && message.contains("in use"), "{message}");
    let error = Server::builder().bind(([192, 0, 2, 1], 0).into()).await.unwrap_err();
    assert!(matches!(error, MockError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let error = Server::builder().preset_name("h200").unwrap_err();
    assert!(error.to_string().contains("h200") && error.to_string().contains("mid"), "{error}");
    let cases = [
        (Server::builder().preset(preset("mid").with_chunk(0)), "chunk"),
        (Server::builder().max_waiting(0), "max_waiting"),
        (Server::builder().max_connections(0), "max_connections"),
        (Server::builder().model_name("\""), "model_name"),
    ];
    for (builder, named) in cases {
        let error = builder.bind(([127, 0, 0, 1], 0).into()).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_graceful_shutdown_lets_requests_end() {
    let slow = Faults::default().apply(&json!({ "slow_down": 500 })).unwrap();
    let server = start(|builder| builder.grace(Duration::from_secs(60)).faults(slow)).await;
    let faults = server.faults().clone();
    let mut occupancy = server.occupancy();
    let client = Client::new(&server);
    let body = json!({ "model": "m", "prompt": "x", "max_tokens": 300, "stream": true });
    let response = client.start("/v1/completions", &body).await.unwrap();
    assert_eq!(occupancy.borrow_and_update().running, 1);
    // Slow until the shutdown has begun, so that it finds the request running.
    let speed_up = async { faults.clear() };
    let ((), answer, ()) =
        soon(async { tokio::join!(server.shutdown(), whole(response), speed_up) }).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    client.start("/v1/completions", &body).await.expect_err("nobody listens");
    soon(async { while occupancy.changed().await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let server = start(|builder| builder.preset(slow_preset()).grace(Duration::ZERO)).await;
    let response = Client::new(&server).start("/v1/completions", &endless(true)).await.unwrap();
    soon(server.shutdown()).await;
    soon(response.into_body().collect()).await.expect_err("cut off");
}

#[tokio::test]
async fn dropping_the_server_stops_it() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let client = Client::new(&server);
    let mut occupancy = server.occupancy();
    let response = client.start("/v1/completions", &endless(true)).await.unwrap();
    drop(server);
    soon(response.into_body().collect()).await.expect_err("cut off");
    soon(async { while occupancy.changed().await.is_ok() {} }).await;
    client.start("/v1/completions", &endless(true)).await.expect_err("nobody listens");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let server = start(|builder| builder.max_connections(1)).await;
    let first = Client::new(&server);
    assert_eq!(first.get("/health").await.status, StatusCode::OK);
    // The first client keeps its connection until it is dropped.
    let second = Client::new(&server);
    let mut waiting = tokio::spawn(async move { second.get("/health").await.status });
    for _ in 0..50 {
        assert_eq!(first.get("/health").await.status, StatusCode::OK);
    }
    assert!((&mut waiting).now_or_never().is_none(), "fifty answers later");
    drop(first);
    assert_eq!(soon(waiting).await.unwrap(), StatusCode::OK);
}

#[test]
fn the_blocking_entry_runs_until_it_is_told_to_stop() {
    let (ready, address) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let announce = |server: &Server| ready.send(server.addr()).unwrap();
        run(Server::builder(), ([127, 0, 0, 1], 0).into(), announce, async {
            let _ = stopped.await;
        })
    });
    let address = address.recv().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let error = run(Server::builder(), address, |_| (), std::future::pending()).unwrap_err();
    assert!(matches!(error, MockError::AddressInUse { .. }), "{error}");
    stop.send(()).unwrap();
    assert_eq!(server.join().unwrap().unwrap(), StopReason::Shutdown);
}

#[test]
fn the_blocking_entry_ends_with_the_exit_fault() {
    let faults = Faults::default().apply(&json!({ "exit_after_s": 0 })).unwrap();
    let builder = Server::builder().faults(faults);
    let reason = run(builder, ([127, 0, 0, 1], 0).into(), |_| (), std::future::pending());
    assert_eq!(reason.unwrap(), StopReason::ExitFault);
}
