//! Requests as they came to real services, to be replayed: when, how long, sharing which prefix.
//!
//! [`Trace::read`] reads published traces and a CSV of one's own ([`Format`]); [`ServeGen`] generates
//! one from measured clients. A trace is then cut ([`Trace::window`]), scaled
//! ([`Trace::scaled_to_rate`]) and varied ([`Trace::rotated_at_random`]), so that one recording
//! makes many runs. Reading files is the only I/O here; everything that is random takes an
//! [`Rng`](crate::Rng).
//!
//! Guards against evidence from Poisson arrivals and mean lengths alone: real arrivals come in
//! bursts, real lengths have long tails, and real prompts share their beginnings. What a trace does
//! not have is how its clients would have reacted to slower answers: it is an open loop.
//!
//! Cost: the whole trace is held in memory, about 64 bytes a request and 8 a block.
//!
//! ```
//! use trimtab_core::{Rng, sim::trace::{Format, Trace}};
//! let csv = "at_s,class,prompt_tokens,output_tokens\n0.5,chat,120,40\n1.0,code,2000,8\n2.5,chat,90,60\n";
//! let trace = Trace::parse(csv.as_bytes(), "mine.csv", Format::Arrivals)?;
//! assert_eq!(trace.summary().rate, 1.0);
//! let faster = trace.scaled_to_rate(10.0)?.rotated_at_random(&mut Rng::seeded(1));
//! assert_eq!(faster.requests().len(), 3);
//! # Ok::<(), trimtab_core::sim::trace::TraceError>(())
//! ```

mod arrivals;
mod azure;
mod collect;
mod error;
mod format;
mod lines;
mod mooncake;
mod reshape;
mod serve_gen;
mod summary;

use std::{sync::Arc, time::Duration};

pub use error::TraceError;
pub use format::Format;
pub use serve_gen::ServeGen;
pub use summary::Summary;

use super::Request;
use crate::Time;

/// Most requests that a trace holds.
const MAX_REQUESTS: usize = 20_000_000;

/// Requests in the order in which they come; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    name: String,
    requests: Vec<TraceRequest>,
    classes: Vec<Arc<str>>,
    block_tokens: Option<u32>,
    /// The time covered; no request comes after it.
    span: Duration,
}

impl Trace {
    /// The file or generator it comes from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The requests, sorted by time; at least one.
    pub fn requests(&self) -> &[TraceRequest] {
        &self.requests
    }

    /// The names that [`TraceRequest::class`] points into.
    pub fn classes(&self) -> &[Arc<str>] {
        &self.classes
    }

    /// Tokens in a block of [`TraceRequest::blocks`], where the trace has such. A server that
    /// replays it needs the same [`block_tokens`](crate::sim::Preset::block_tokens).
    pub fn block_tokens(&self) -> Option<u32> {
        self.block_tokens
    }

    /// The time that the trace covers: of a file, up to one mean gap after the last arrival.
    pub fn span(&self) -> Duration {
        self.span
    }

    /// Requests a second, over the span; infinite if all arrive at one instant.
    pub fn rate(&self) -> f64 {
        self.requests.len() as f64 / self.span.as_secs_f64()
    }
}

/// One request of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceRequest {
    /// When it arrives, from the trace's start.
    pub at: Time,
    /// Its place in [`Trace::classes`], where the trace tells classes apart.
    pub class: Option<u32>,
    /// Length of the prompt in tokens; 0 in a trace that tells no tokens.
    pub prompt_tokens: u32,
    /// Tokens generated; 0 in a trace that tells no tokens.
    pub output_tokens: u32,
    /// A hash of each full block of the prompt, as in [`Request::blocks`]; empty where the trace
    /// tells nothing of the text.
    pub blocks: Vec<u64>,
}

impl TraceRequest {
    /// What it asks of a server.
    pub fn request(&self) -> Request {
        Request::new(self.prompt_tokens, self.output_tokens).with_blocks(self.blocks.clone())
    }
}
