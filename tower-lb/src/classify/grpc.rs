//! gRPC answers: the status comes in the head (trailers-only) or in the trailers.
//!
//! Sources: the gRPC specification's status codes and its mapping of HTTP statuses, and gRFC A6's
//! pushback.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use trimtab_core::{Failure, Outcome, Verdict};

use super::{Classify, http_status::with_load, server_time::with_server_time};

/// gRPC answers, by the status in the head or the trailers.
///
/// | status | counts as | because |
/// |---|---|---|
/// | OK, `INVALID_ARGUMENT`, `NOT_FOUND`, `ALREADY_EXISTS`, `PERMISSION_DENIED`, `UNAUTHENTICATED`, `FAILED_PRECONDITION`, `ABORTED`, `OUT_OF_RANGE` | success | the server did its work; the request was at fault, or the state of the data |
/// | `CANCELLED` | neither | the caller gave up |
/// | `DEADLINE_EXCEEDED` | timeout | no answer in time |
/// | `UNKNOWN`, `INTERNAL`, `DATA_LOSS` | failure | what HTTP calls 500 |
/// | `UNAVAILABLE`, `RESOURCE_EXHAUSTED` | failure | 503 and 429 |
/// | `UNIMPLEMENTED` | failure | 501: while a new method rolls out, an old server refuses it fast and would attract it all |
/// | none, and an HTTP status other than 200 | failure | what answered was no gRPC server: a proxy, or a wrong route |
/// | none at all | failure | the server or a proxy died half-way |
///
/// `grpc-retry-pushback-ms` on a failure says how long to leave the endpoint alone; a negative one
/// says not to retry, which is no time. The load report is ORCA's trailer.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct GrpcClassifier {}

impl Classify for GrpcClassifier {
    fn head(&self, status: StatusCode, headers: &HeaderMap) -> Outcome {
        let outcome = if let Some(code) = code(headers) {
            concluded(Outcome::success(), code, headers)
        } else if status == StatusCode::OK {
            // Provisional: the trailers will say.
            Outcome::success()
        } else {
            // No gRPC server answered: a wrong route, a proxy's login, a proxy that is overloaded. gRPC
            // maps each to an error, and a fast one must not attract.
            Outcome::failure(Failure::Status).with_status(status.as_u16())
        };
        with_server_time(with_load(outcome, headers), headers)
    }

    fn end(&self, so_far: Outcome, trailers: Option<&HeaderMap>) -> Outcome {
        if so_far.status.is_some() {
            return so_far;
        }
        let Some(trailers) = trailers else { return missing(so_far) };
        let outcome = match code(trailers) {
            Some(code) => concluded(so_far, code, trailers),
            None => missing(so_far),
        };
        with_server_time(with_load(outcome, trailers), trailers)
    }
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

fn code(headers: &HeaderMap) -> Option<u16> {
    headers.get(STATUS)?.to_str().ok()?.trim().parse().ok()
}

fn concluded(mut outcome: Outcome, code: u16, headers: &HeaderMap) -> Outcome {
    const CANCELLED: u16 = 1;
    const DEADLINE_EXCEEDED: u16 = 4;
    outcome.verdict = match code {
        0 | 3 | 5 | 6 | 7 | 9 | 10 | 11 | 16 => Verdict::Success,
        CANCELLED => Verdict::Ignore,
        DEADLINE_EXCEEDED => Verdict::Failure(Failure::Timeout),
        _ => Verdict::Failure(Failure::Status),
    };
    outcome.status = Some(code);
    if matches!(outcome.verdict, Verdict::Failure(_)) {
        outcome.retry_after = pushback(headers);
    }
    outcome
}

fn missing(mut outcome: Outcome) -> Outcome {
    outcome.verdict = Verdict::Failure(Failure::Reset);
    outcome
}

fn pushback(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get(PUSHBACK)?.to_str().ok()?.trim();
    millis.parse().ok().map(Duration::from_millis)
}
