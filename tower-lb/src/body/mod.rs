//! Bodies: requests that can be sent again, answers that hold their lease.

mod leased;
mod replay;

pub use leased::LeasedBody;
pub use replay::ReplayBody;
pub(crate) use replay::{Replay, RequestBodyError};
