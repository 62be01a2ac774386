//! Errors in the JSON that `OpenAI`'s clients understand.

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use trimtab_core::sim::SubmitError;

use super::json_response;
use crate::{body::Body, engine::Refusal, faults::FaultsError};

#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<&'static str>,
    message: String,
    header: ExtraHeader,
}

#[derive(Debug)]
enum ExtraHeader {
    None,
    RetryAfter,
    Allow(&'static [Method]),
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            header: ExtraHeader::None,
        }
    }

    /// 400 for a field, or for the whole body.
    pub(super) fn invalid(param: Option<&'static str>, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param, ..error }
    }

    pub(super) fn bad_json(error: &serde_json::Error) -> Self {
        Self::invalid(None, format!("the body is not valid JSON: {error}"))
    }

    pub(super) fn not_found(path: &str) -> Self {
        let message = format!(
            "no such path: {path}; there are /v1/chat/completions, /v1/completions, /v1/models, \
             /health, /metrics and /faults"
        );
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    pub(super) fn method_not_allowed(method: &Method, allowed: &'static [Method]) -> Self {
        let message = format!("{method} is not allowed here, only {}", names(allowed));
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message);
        Self { header: ExtraHeader::Allow(allowed), ..error }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    pub(super) fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = json!({ "error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }});
        let mut response = json_response(self.status, &body);
        let headers = response.headers_mut();
        match self.header {
            ExtraHeader::None => {}
            ExtraHeader::RetryAfter => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            ExtraHeader::Allow(methods) => {
                if let Ok(value) = HeaderValue::try_from(names(methods)) {
                    headers.insert(header::ALLOW, value);
                }
            }
        }
        response
    }
}

fn names(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::QueueFull => Self {
                header: ExtraHeader::RetryAfter,
                code: Some("rate_limit_exceeded"),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            },
            Refusal::Submit(SubmitError::TooLong { .. }) => {
                Self { code: Some("context_length_exceeded"), ..Self::invalid(None, message) }
            }
            Refusal::Submit(_) => Self::invalid(None, message),
            Refusal::Stopping => Self::unavailable(&message),
        }
    }
}

impl From<FaultsError> for ApiError {
    fn from(error: FaultsError) -> Self {
        let message = error.to_string();
        let param = match error {
            FaultsError::BadValue { key, .. } => Some(key),
            _ => None,
        };
        Self::invalid(param, message)
    }
}
