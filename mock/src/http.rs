//! The HTTP side: which path does what.

mod answer;
mod ask;
mod error;

use std::{convert::Infallible, future};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use self::{ask::Kind, error::ApiError};
use crate::{
    body::{Body, Hangup, full},
    replica::{Fate, Replica},
};

/// Answers one request. Never fails: errors are `OpenAI`'s JSON.
pub(crate) async fn serve(
    replica: &Replica,
    hangup: Hangup,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(route(replica, hangup, request).await.unwrap_or_else(ApiError::into_response))
}

async fn route(
    replica: &Replica,
    hangup: Hangup,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    let method = &parts.method;
    match parts.uri.path() {
        "/v1/chat/completions" => {
            allow(method, &[Method::POST])?;
            complete(replica, hangup, Kind::Chat, &parts.headers, body).await
        }
        "/v1/completions" => {
            allow(method, &[Method::POST])?;
            complete(replica, hangup, Kind::Completion, &parts.headers, body).await
        }
        "/v1/models" => {
            allow(method, &[Method::GET])?;
            Ok(models(replica))
        }
        "/health" => {
            allow(method, &[Method::GET])?;
            health(replica).await
        }
        "/metrics" => {
            allow(method, &[Method::GET])?;
            let page = replica.stats.prometheus(&replica.model_name, replica.occupancy());
            Ok(with_type("text/plain; version=0.0.4; charset=utf-8", page))
        }
        "/faults" => {
            allow(method, &[Method::GET, Method::POST, Method::DELETE])?;
            faults(replica, method, body).await
        }
        path => Err(ApiError::not_found(path)),
    }
}

async fn complete(
    replica: &Replica,
    hangup: Hangup,
    kind: Kind,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    // Read first: an error that leaves the body unread costs a client its connection.
    let body = read(replica, body).await?;
    let fate = replica.fate().await;
    match fate {
        Fate::Refuse => return Err(ApiError::unavailable("the server refuses all requests")),
        Fate::Fail => return Err(ApiError::internal("an injected error")),
        Fate::Answer | Fate::Reset => {}
    }
    let ask = ask::parse(kind, &body, replica.hashed_block_tokens())?;
    let mut response = answer::answer(replica, ask).await?;
    if let Some(format) = headers.get("endpoint-load-metrics-format").and_then(|v| v.to_str().ok())
        && let Some(report) = replica.load_report().header(format)
        && let Ok(value) = report.parse()
    {
        response.headers_mut().insert("endpoint-load-metrics", value);
    }
    Ok(if fate == Fate::Reset { hangup.midway(response) } else { response })
}

fn models(replica: &Replica) -> Response<Body> {
    let model = json!({
        "id": replica.model_name,
        "object": "model",
        "created": replica.created,
        "owned_by": "trimtab",
    });
    json_response(StatusCode::OK, &json!({ "object": "list", "data": [model] }))
}

async fn health(replica: &Replica) -> Result<Response<Body>, ApiError> {
    let faults = replica.faults.get();
    if faults.stall {
        future::pending::<()>().await;
    }
    if faults.fails_health() {
        return Err(ApiError::unavailable("the server is unhealthy"));
    }
    Ok(Response::new(full(Bytes::new())))
}

async fn faults(
    replica: &Replica,
    method: &Method,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    match *method {
        Method::POST => {
            let changes: Value = serde_json::from_slice(&read(replica, body).await?)
                .map_err(|error| ApiError::bad_json(&error))?;
            replica.faults.apply(&changes)?;
        }
        Method::DELETE => replica.faults.clear(),
        _ => {}
    }
    Ok(json_response(StatusCode::OK, &replica.faults.get().to_json()))
}

async fn read(replica: &Replica, body: Incoming) -> Result<Bytes, ApiError> {
    match Limited::new(body, replica.max_body_bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(replica.max_body_bytes))
        }
        Err(error) => Err(ApiError::invalid(None, format!("the body broke off: {error}"))),
    }
}

fn allow(method: &Method, allowed: &'static [Method]) -> Result<(), ApiError> {
    if allowed.contains(method) {
        Ok(())
    } else {
        Err(ApiError::method_not_allowed(method, allowed))
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = with_type("application/json", value.to_string());
    *response.status_mut() = status;
    response
}

fn with_type(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = body.into();
    let mut response = Response::new(full(body.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    // Said here, not left to hyper: a body that breaks off must not look whole.
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    response
}
