//! HTTP answers.
//!
//! A 404 is a success: the request was at fault, or nothing was. `Retry-After` counts on the two statuses
//! where RFC 9110 and RFC 6585 give it the sense of "leave me alone"; on a redirect it means otherwise.

use http::{HeaderMap, StatusCode};
use trimtab_core::{Failure, Outcome};

use super::{Classify, load_report, retry_after, server_time::with_server_time};

/// HTTP answers: 5xx and 429 are failures of the endpoint, everything else is work done, a 404 included.
///
/// `Retry-After`, in seconds or as a date, is honoured on 429 and 503. Load reports come in
/// `endpoint-load-metrics` (`JSON`, `TEXT` or `BIN`) or `endpoint-load-metrics-bin`, the server's own
/// times in `server-timing` (`queue;dur=..., processing;dur=...`).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HttpClassifier {}

impl Classify for HttpClassifier {
    fn head(&self, status: StatusCode, headers: &HeaderMap) -> Outcome {
        let failed = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let outcome = if failed { Outcome::failure(Failure::Status) } else { Outcome::success() };
        let mut outcome = with_load(outcome.with_status(status.as_u16()), headers);
        outcome = with_server_time(outcome, headers);
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            outcome.retry_after = retry_after::http(headers);
        }
        outcome
    }

    fn end(&self, so_far: Outcome, trailers: Option<&HeaderMap>) -> Outcome {
        match trailers {
            Some(trailers) => with_server_time(with_load(so_far, trailers), trailers),
            None => so_far,
        }
    }
}

pub(super) fn with_load(mut outcome: Outcome, headers: &HeaderMap) -> Outcome {
    if let Some(load) = load_report::from_headers(headers) {
        outcome.load = Some(load);
    }
    outcome
}
