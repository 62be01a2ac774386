//! Errors as gRPC statuses.

use std::{error::Error as StdError, sync::Arc};

use tonic::{Code, Status};

use crate::error::{Error, Reach};

/// What the server did not process is `UNAVAILABLE`: the call may be made again. What it may have
/// processed is what tonic makes of the cause, `UNKNOWN` becoming `UNAVAILABLE` (the connection broke),
/// as gRPC's other clients have it.
pub(super) fn from_error(error: Error) -> Status {
    let mut status = match &error {
        Error::Timeout { .. } => Status::cancelled("Timeout expired"),
        Error::Attempt { reach: Reach::Unknown, source, .. } => {
            Status::new(code(&**source), message(&error))
        }
        Error::Pick(_) | Error::Attempt { .. } => Status::unavailable(message(&error)),
    };
    status.set_source(Arc::new(error));
    status
}

/// The HTTP/2 reasons that say more than "the connection broke", as the gRPC specification maps them.
fn code(error: &(dyn StdError + 'static)) -> Code {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(status) = error.downcast_ref::<Status>() {
            return status.code();
        }
        if let Some(reason) = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return match reason {
                h2::Reason::CANCEL => Code::Cancelled,
                h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
                h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
                h2::Reason::REFUSED_STREAM => Code::Unavailable,
                _ => Code::Internal,
            };
        }
        next = error.source();
    }
    Code::Unavailable
}

/// The error and its causes in one line.
fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
