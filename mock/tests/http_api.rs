//! The OpenAI-compatible side, over loopback.

mod client;

use client::{Client, endless, preset, slow_preset, soon, start, until, whole};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

fn chat(extra: &Value) -> Value {
    let mut body = json!({
        "model": "any-name",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "How does it steer?" }] },
        ],
        "max_tokens": 5,
    });
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// The objects of a stream; panics unless it ends as it should.
fn events(text: &str) -> Vec<Value> {
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(*last, "data: [DONE]");
    let parse = |event: &&str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
    chunks.iter().map(parse).collect()
}

#[tokio::test]
async fn a_chat_completion_whole() {
    let server = start(|builder| builder).await;
    let answer = Client::new(&server).post("/v1/chat/completions", &chat(&json!({}))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "any-name");
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(body["choices"][0]["message"]["role"], "assistant");
    let text: String = (0..5).map(trimtab_mock::token).collect();
    assert_eq!(body["choices"][0]["message"]["content"], text);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    // "system\nBe brief.\nuser\nHow does it steer?\n" is 41 characters.
    assert_eq!(body["usage"]["prompt_tokens"], 11);
    assert_eq!(body["usage"]["completion_tokens"], 5);
    assert_eq!(body["usage"]["total_tokens"], 16);
}

#[tokio::test]
async fn a_text_completion_whole() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    for (prompt, tokens) in [
        (json!("eight ch"), 2),
        (json!(["eight ch"]), 2),
        (json!([5, 6, 7]), 3),
        (json!([[5, 6, 7]]), 3),
    ] {
        let body = json!({ "model": "m", "prompt": prompt });
        let body = client.post("/v1/completions", &body).await.json();
        assert_eq!(body["object"], "text_completion");
        assert_eq!(body["usage"]["prompt_tokens"], tokens, "{prompt}");
        assert_eq!(body["usage"]["completion_tokens"], 16);
        assert_eq!(body["choices"][0]["finish_reason"], "stop", "no limit was set");
    }
}

#[tokio::test]
async fn a_chat_completion_streamed() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    // A model's name that looks like what the server puts in.
    let body = chat(&json!({ "stream": true, "model": "@token@ \"x\"" }));
    let answer = client.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let chunks = events(&answer.text());
    assert_eq!(chunks.len(), 7, "role, five tokens, the end");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    for (index, chunk) in chunks[1..6].iter().enumerate() {
        assert_eq!(chunk["choices"][0]["delta"]["content"], trimtab_mock::token(index as u32));
        assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
    }
    assert_eq!(chunks[6]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[6]["choices"][0]["delta"], json!({}));
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["model"], "@token@ \"x\"");
        assert!(chunk.get("usage").is_none(), "only when asked for");
    }
}

#[tokio::test]
async fn a_text_completion_streamed_with_usage() {
    let server = start(|builder| builder).await;
    let body = json!({
        "model": "m", "prompt": "eight ch", "max_tokens": 40, "stream": true,
        "stream_options": { "include_usage": true },
    });
    let answer = Client::new(&server).post("/v1/completions", &body).await;
    let chunks = events(&answer.text());
    assert_eq!(chunks.len(), 42, "forty tokens, the end, the usage");
    let text: String =
        chunks[..41].iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(text, (0..40).map(trimtab_mock::token).collect::<String>());
    assert!(chunks[..41].iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(chunks[41]["choices"], json!([]));
    assert_eq!(chunks[41]["usage"]["total_tokens"], 42);
}

#[tokio::test]
async fn limits_on_tokens() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    for (limits, expected) in [
        (json!({ "max_tokens": null }), 128),
        (json!({ "max_tokens": 3 }), 3),
        (json!({ "max_completion_tokens": 4 }), 4),
    ] {
        let body = client.post("/v1/chat/completions", &chat(&limits)).await.json();
        assert_eq!(body["usage"]["completion_tokens"], expected, "{limits}");
    }
}

#[tokio::test]
async fn the_times_on_an_answer_are_those_of_the_model() {
    let server = start(|builder| builder).await;
    let body = json!({ "model": "m", "prompt": vec![1; 200], "max_tokens": 128 });
    let answer = Client::new(&server).post("/v1/completions", &body).await;
    // 0.8 ms an iteration and 0.08 a prompt token; the queue is what the clock says.
    let timing = answer.header("server-timing");
    assert!(timing.starts_with("queue;dur="), "{timing}");
    assert!(timing.ends_with(", processing;dur=118.400"), "{timing}");
    let timings = &answer.json()["timings"];
    assert_eq!(timings["prefill_ms"], 16.8);
    assert!((timings["decode_ms"].as_f64().unwrap() - 101.6).abs() < 1e-6);
}

#[tokio::test]
async fn the_times_of_a_stream_come_as_a_trailer_for_those_who_ask() {
    let server = start(|builder| builder).await;
    let body = json!({ "model": "m", "prompt": vec![1; 200], "max_tokens": 2, "stream": true });
    let te = Some(("te", "trailers"));
    for (client, header, expected) in [
        (Client::new(&server), te, true),
        (Client::new(&server), None, false),
        (Client::http2(&server), te, true),
    ] {
        let response =
            client.send(Method::POST, "/v1/completions", header, body.to_string()).await.unwrap();
        let collected = soon(response.into_body().collect()).await.unwrap();
        let trailers = collected.trailers();
        assert_eq!(trailers.is_some(), expected);
        if let Some(trailers) = trailers {
            let timing = trailers["server-timing"].to_str().unwrap();
            assert!(timing.ends_with(", processing;dur=17.600"), "{timing}");
        }
    }
}

#[tokio::test]
async fn a_prompt_that_begins_alike_is_cached() {
    let server = start(|builder| builder.preset(preset("mid"))).await;
    let client = Client::new(&server);
    let base = "0123".repeat(1_000);
    let mut cached = Vec::new();
    for text in [format!("{base} one"), format!("{base} two"), format!("zero {base}")] {
        let body = json!({ "model": "m", "prompt": text, "max_tokens": 1 });
        let usage = client.post("/v1/completions", &body).await.json()["usage"].clone();
        cached.push(usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap());
    }
    assert_eq!(cached, [0, 512, 0]);
    assert_eq!(client.metric("vllm:prefix_cache_hits_total").await, 512.0);
}

#[tokio::test]
async fn models_health_and_http2() {
    let server = start(|builder| builder.model_name("llama")).await;
    for client in [Client::new(&server), Client::http2(&server)] {
        let models = client.get("/v1/models").await.json();
        assert_eq!(models["object"], "list");
        assert_eq!(models["data"][0]["id"], "llama");
        assert_eq!(models["data"][0]["object"], "model");
        let health = client.get("/health").await;
        assert_eq!((health.status, health.body.len()), (StatusCode::OK, 0));
        let answer = client.post("/v1/chat/completions", &chat(&json!({}))).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let client = Client::new(&server);
    for _ in 0..3 {
        let body = json!({ "model": "m", "prompt": vec![1; 10], "max_tokens": 2 });
        client.post("/v1/completions", &body).await;
    }
    assert_eq!(client.metric("vllm:prompt_tokens_total").await, 30.0);
    assert_eq!(client.metric("vllm:generation_tokens_total").await, 6.0);
    assert_eq!(client.metric("vllm:request_success_total").await, 3.0);
    for name in ["time_to_first_token", "e2e_request_latency", "request_queue_time"] {
        assert_eq!(client.metric(&format!("vllm:{name}_seconds_count")).await, 3.0);
    }
    // Two iterations: 6.35 ms and 1.25 for the prompt, then 6.35.
    let e2e = client.metric("vllm:e2e_request_latency_seconds_sum").await
        - client.metric("vllm:request_queue_time_seconds_sum").await;
    assert!((e2e - 3.0 * 0.013_95).abs() < 1e-9, "{e2e}");

    let mut occupancy = server.occupancy();
    let running = client.start("/v1/completions", &endless(true)).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.start("/v1/completions", &endless(true)).await }
    });
    until(&mut occupancy, |now| now.running == 1 && now.waiting == 1).await;
    assert_eq!(client.metric("vllm:num_requests_running").await, 1.0);
    assert_eq!(client.metric("vllm:num_requests_waiting").await, 1.0);
    assert_eq!(client.metric("vllm:kv_cache_usage_perc").await, 1.0 / 1_024.0);
    drop(running);
    waiting.abort();
    until(&mut occupancy, |now| now.running == 0 && now.waiting == 0).await;
}

#[tokio::test]
async fn load_reports_come_when_asked_for() {
    let server = start(|builder| builder.preset(slow_preset())).await;
    let client = Client::new(&server);
    let body = json!({ "model": "m", "prompt": "x", "max_tokens": 1 }).to_string();
    let ask = async |format: &str| {
        let header = Some(("endpoint-load-metrics-format", format));
        let response = client.send(Method::POST, "/v1/completions", header, body.clone()).await;
        let headers = whole(response.unwrap()).await.headers;
        headers.get("endpoint-load-metrics").map(|value| value.to_str().unwrap().to_owned())
    };
    let json = ask("JSON").await.unwrap();
    let report: Value = serde_json::from_str(json.strip_prefix("JSON ").unwrap()).unwrap();
    assert_eq!(report["named_metrics"]["num_requests_waiting"], 0.0);
    assert_eq!(report["named_metrics"]["num_requests_running"], 0.0);
    assert_eq!(report["named_metrics"]["kv_cache_usage_perc"], 0.0);
    assert!(report["rps_fractional"].as_f64().unwrap() > 0.0);
    let text = ask("text").await.unwrap();
    assert!(text.starts_with("TEXT rps_fractional="), "{text}");
    assert!(text.contains(", named_metrics.kv_cache_usage_perc=0, "), "{text}");
    assert_eq!(ask("BIN").await, None, "as vLLM, which knows two formats");
    let plain = client.post("/v1/completions", &json!({ "model": "m", "prompt": "x" })).await;
    assert!(!plain.headers.contains_key("endpoint-load-metrics"));

    // On a stream it tells of the moment of the first token.
    let header = Some(("endpoint-load-metrics-format", "text"));
    let body = endless(true).to_string();
    let response = client.send(Method::POST, "/v1/completions", header, body).await.unwrap();
    let text = response.headers()["endpoint-load-metrics"].to_str().unwrap();
    assert!(text.contains("application_utilization=1, "), "{text}");
    assert!(text.contains("named_metrics.num_requests_running=1"), "{text}");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let server = start(|builder| builder).await;
    let client = Client::new(&server);
    let ok = json!({ "model": "m", "prompt": "x" });
    let cases = [
        (json!([]), Value::Null, "object"),
        (json!({ "prompt": "x" }), json!("model"), "`model`"),
        (json!({ "model": 5, "prompt": "x" }), json!("model"), "`model`"),
        (json!({ "model": "m" }), json!("prompt"), "`prompt`"),
        (json!({ "model": "m", "prompt": "" }), json!("prompt"), "empty"),
        (json!({ "model": "m", "prompt": [] }), json!("prompt"), "empty"),
        (json!({ "model": "m", "prompt": ["a", "b"] }), json!("prompt"), "one prompt"),
        (json!({ "model": "m", "prompt": "x", "max_tokens": 0 }), json!("max_tokens"), "got 0"),
        (json!({ "model": "m", "prompt": "x", "max_tokens": -1 }), json!("max_tokens"), "got -1"),
        (json!({ "model": "m", "prompt": "x", "max_tokens": "5" }), json!("max_tokens"), "\"5\""),
        (json!({ "model": "m", "prompt": "x", "stream": "yes" }), json!("stream"), "`stream`"),
        (json!({ "model": "m", "prompt": "x", "n": 2 }), json!("n"), "`n`"),
        (json!({ "model": "m", "prompt": "x", "max_tokens": 99_999 }), Value::Null, "65536"),
    ];
    for (body, param, message) in cases {
        let answer = client.post("/v1/completions", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.error().contains(message), "{body}: {}", answer.error());
        assert_eq!(answer.json()["error"]["param"], param, "{body}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    for messages in [json!(null), json!([]), json!("hi"), json!([{ "content": "hi" }])] {
        let body = json!({ "model": "m", "messages": messages });
        let answer = client.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.error().contains("messages"), "{}", answer.error());
    }
    let answer = client.send(Method::POST, "/v1/completions", None, "{\"model\":").await.unwrap();
    assert!(whole(answer).await.error().contains("not valid JSON"));
    assert_eq!(client.post("/v1/completions", &ok).await.status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_paths_methods_and_sizes() {
    let server = start(|builder| builder.max_body_bytes(100)).await;
    let client = Client::new(&server);
    let answer = client.get("/v1/embeddings").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.error().contains("/v1/embeddings"));
    for (method, path, allowed) in [
        (Method::GET, "/v1/completions", "POST"),
        (Method::PUT, "/v1/chat/completions", "POST"),
        (Method::POST, "/v1/models", "GET"),
        (Method::POST, "/metrics", "GET"),
        (Method::PUT, "/faults", "GET, POST, DELETE"),
    ] {
        let answer = whole(client.send(method, path, None, "").await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("allow"), allowed);
    }
    let body = json!({ "model": "m", "prompt": "x".repeat(200) });
    let answer = client.post("/v1/completions", &body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.error().contains("100 bytes"));
}

#[tokio::test]
async fn a_full_queue_answers_429() {
    let server = start(|builder| builder.preset(slow_preset()).max_waiting(1)).await;
    let client = Client::new(&server);
    let mut occupancy = server.occupancy();
    let _running = client.start("/v1/completions", &endless(true)).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.start("/v1/completions", &endless(false)).await }
    });
    until(&mut occupancy, |now| now.waiting == 1).await;
    for stream in [false, true] {
        let answer = client.post("/v1/completions", &endless(stream)).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    }
    waiting.abort();
}

#[tokio::test]
async fn requests_that_come_at_once_fill_the_free_places() {
    let server = start(|builder| builder.max_waiting(1)).await;
    let client = Client::new(&server);
    let body = json!({ "model": "m", "prompt": "x", "max_tokens": 2 });
    // Eight run at once on this preset, and one waits.
    let answers = (0..9).map(|_| client.post("/v1/completions", &body));
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
}
