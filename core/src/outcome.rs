//! How a request ended, as a data plane tells it.

use std::time::Duration;

use crate::signal::LoadReport;

/// Success, failure, or neither, told apart in one place: the transport's classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The endpoint did its work, whatever it answered: a 404 is a success.
    Success,
    /// The endpoint failed.
    Failure(Failure),
    /// Says nothing of the endpoint, such as a request that was malformed from the start.
    Ignore,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection: nothing was sent, and the endpoint is left alone for a while.
    Connect,
    /// The connection broke while the request was under way.
    Reset,
    /// No answer in time.
    Timeout,
    /// The answer says so, such as HTTP 503 or gRPC UNAVAILABLE.
    Status,
}

impl Failure {
    /// As logs and metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
        }
    }
}

/// Everything known of how a request ended. Only the verdict is needed.
///
/// ```
/// use trimtab_core::{Failure, Outcome};
/// let fine = Outcome::success();
/// let busy = Outcome::failure(Failure::Status)
///     .with_status(503)
///     .with_retry_after(std::time::Duration::from_secs(2));
/// # let _ = (fine, busy);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Success, failure, or neither.
    pub verdict: Verdict,
    /// HTTP or gRPC status, for the log.
    pub status: Option<u16>,
    /// How long the endpoint asks to be left alone (Retry-After, grpc-retry-pushback-ms).
    pub retry_after: Option<Duration>,
    /// The server's own measure of its processing time, without the queue.
    pub server_processing: Option<Duration>,
    /// The server's own measure of the time in its queue.
    pub server_queue: Option<Duration>,
    /// The server's load report.
    pub load: Option<LoadReport>,
    /// Size of the answer in bytes.
    pub bytes: Option<u64>,
    /// Tokens of the answer.
    pub tokens: Option<u64>,
}

impl Outcome {
    /// The endpoint did its work.
    pub fn success() -> Self {
        Self::new(Verdict::Success)
    }

    /// The endpoint failed.
    pub fn failure(failure: Failure) -> Self {
        Self::new(Verdict::Failure(failure))
    }

    /// Nothing to learn.
    pub fn ignore() -> Self {
        Self::new(Verdict::Ignore)
    }

    fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            status: None,
            retry_after: None,
            server_processing: None,
            server_queue: None,
            load: None,
            bytes: None,
            tokens: None,
        }
    }

    /// The HTTP or gRPC status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// How long the endpoint asks to be left alone.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The server's own measure of its processing time.
    pub fn with_server_processing(mut self, took: Duration) -> Self {
        self.server_processing = Some(took);
        self
    }

    /// The server's own measure of the time in its queue.
    pub fn with_server_queue(mut self, took: Duration) -> Self {
        self.server_queue = Some(took);
        self
    }

    /// The server's load report.
    pub fn with_load(mut self, load: LoadReport) -> Self {
        self.load = Some(load);
        self
    }

    /// Size of the answer in bytes.
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Tokens of the answer.
    pub fn with_tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }
}
