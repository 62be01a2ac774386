//! Success, failure or neither, told apart in one place a transport.
//!
//! An outcome is made when the answer's head arrives and completed when its body ends, because a gRPC
//! status may come in either. Attempts that got no answer are classified by their error.

mod grpc;
mod http_status;
mod load_report;
mod retry_after;
mod server_time;

use std::{error::Error as StdError, fmt, io};

use http::{HeaderMap, StatusCode};
use trimtab_core::{Failure, Outcome, Verdict};

pub use grpc::GrpcClassifier;
pub use http_status::HttpClassifier;

use crate::{
    body::RequestBodyError,
    error::{Reach, TransportError},
};

/// Turns what a transport gives back into [`Outcome`]s. Implement it to count differently what your
/// servers answer.
pub trait Classify: fmt::Debug + Send + Sync + 'static {
    /// What is known when the head has arrived. Stands as it is if the body ends without a word.
    fn head(&self, status: StatusCode, headers: &HeaderMap) -> Outcome;

    /// The body has come to its end, with trailers or without.
    fn end(&self, so_far: Outcome, trailers: Option<&HeaderMap>) -> Outcome;

    /// The body broke off.
    fn broke(&self, mut so_far: Outcome) -> Outcome {
        if so_far.verdict == Verdict::Success {
            so_far.verdict = Verdict::Failure(Failure::Reset);
        }
        so_far
    }

    /// There was no answer.
    fn error(&self, error: &(dyn StdError + 'static)) -> Fault {
        Fault::of(error)
    }
}

/// An attempt without an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// How far the request got.
    pub reach: Reach,
    /// What it says of the endpoint.
    pub outcome: Outcome,
}

impl Fault {
    /// A fault of which `reach` and `outcome` are known.
    pub fn new(reach: Reach, outcome: Outcome) -> Self {
        Self { reach, outcome }
    }

    /// Looks through `error` and its sources: a [`TransportError`] tells all; a failure of the request's
    /// own body says nothing of the endpoint; a refused connection was never made; anything else may have been processed and counts as a broken connection, or a
    /// timeout if it says so.
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(known) = error.downcast_ref::<TransportError>() {
                return Self::new(known.reach, outcome(known.verdict));
            }
            if error.is::<RequestBodyError>() {
                return Self::new(Reach::Unknown, Outcome::ignore());
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                match io.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        return Self::new(Reach::Unsent, Outcome::failure(Failure::Connect));
                    }
                    io::ErrorKind::TimedOut => {
                        return Self::new(Reach::Unknown, Outcome::failure(Failure::Timeout));
                    }
                    _ => {}
                }
            }
            next = error.source();
        }
        Self::new(Reach::Unknown, Outcome::failure(Failure::Reset))
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    let mut outcome = Outcome::ignore();
    outcome.verdict = verdict;
    outcome
}
