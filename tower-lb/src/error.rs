//! What can go wrong with a request, and how far it got.

use std::error::Error as StdError;

use trimtab_core::{EndpointId, Failure, PickError, Verdict};

/// Any error, as Tower's services give and take it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A request that was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was no endpoint to send it to.
    #[error(transparent)]
    Pick(#[from] PickError),
    /// The last attempt failed.
    #[error("no answer from endpoint {endpoint} (attempt {attempts})")]
    Attempt {
        /// Where the last attempt went.
        endpoint: EndpointId,
        /// Attempts made.
        attempts: u32,
        /// How far the last one got.
        reach: Reach,
        /// Why it failed.
        source: BoxError,
    },
    /// There was no answer in the time that the caller allowed.
    #[error("no answer in time from endpoint {}", endpoint.as_ref().map_or("(none yet)", EndpointId::as_str))]
    Timeout {
        /// Where the request was, if it was anywhere.
        endpoint: Option<EndpointId>,
    },
}

impl Error {
    /// Whether the server certainly did not process the request, so that sending it again is safe.
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Pick(_) => true,
            Self::Attempt { reach, .. } => *reach != Reach::Unknown,
            Self::Timeout { .. } => false,
        }
    }
}

/// How far a failed attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing of the request left this process, or no connection was there to carry it.
    Unsent,
    /// The server said that it did not process it (HTTP/2 `REFUSED_STREAM`, or `GOAWAY` with a lower
    /// stream id).
    Refused,
    /// The server may have processed it.
    Unknown,
}

/// The error of an endpoint's service, when it can tell how far the request got.
///
/// A service of yours that returns it (or has it among its error's sources) lets the balancer move
/// requests that the server did not process to another endpoint.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TransportError {
    what: &'static str,
    /// How far the request got.
    pub reach: Reach,
    /// What it says of the endpoint.
    pub verdict: Verdict,
    source: BoxError,
}

impl TransportError {
    /// No connection could be made.
    pub fn connect(source: impl Into<BoxError>) -> Self {
        Self {
            what: "no connection",
            reach: Reach::Unsent,
            verdict: Verdict::Failure(Failure::Connect),
            source: source.into(),
        }
    }

    /// The connection was lost before the request was written to it.
    pub fn unsent(source: impl Into<BoxError>) -> Self {
        Self {
            what: "connection lost before the request was sent",
            reach: Reach::Unsent,
            verdict: Verdict::Failure(Failure::Reset),
            source: source.into(),
        }
    }

    /// The server said that it did not process the request, for want of capacity.
    pub fn refused(source: impl Into<BoxError>) -> Self {
        Self {
            what: "request refused unprocessed",
            reach: Reach::Refused,
            verdict: Verdict::Failure(Failure::Status),
            source: source.into(),
        }
    }

    /// The server is closing this connection in good order and did not process the request. That is
    /// no failure: servers do it to every connection of a certain age.
    pub fn closing(source: impl Into<BoxError>) -> Self {
        Self {
            what: "connection closed by the server, request unprocessed",
            reach: Reach::Refused,
            verdict: Verdict::Ignore,
            source: source.into(),
        }
    }

    /// The connection broke while the request was under way.
    pub fn reset(source: impl Into<BoxError>) -> Self {
        Self {
            what: "connection broke",
            reach: Reach::Unknown,
            verdict: Verdict::Failure(Failure::Reset),
            source: source.into(),
        }
    }

    /// The request itself could not be sent, such as when its body failed; says nothing of the server.
    pub fn request(source: impl Into<BoxError>) -> Self {
        Self {
            what: "request could not be sent",
            reach: Reach::Unknown,
            verdict: Verdict::Ignore,
            source: source.into(),
        }
    }
}
