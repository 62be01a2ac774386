//! A request's way through a server model: what it asks for, what happens to it, what it took.

use std::time::Duration;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Length of the prompt in tokens, at least 1.
    pub prompt_tokens: u32,
    /// Tokens to generate, at least 1.
    pub output_tokens: u32,
    /// A hash of each full block of the prompt, chained: each stands for all text up to its end.
    /// Fewer than the prompt has, or none, means less to find in the cache.
    pub blocks: Vec<u64>,
}

impl Request {
    /// A request whose prompt nobody shares.
    pub fn new(prompt_tokens: u32, output_tokens: u32) -> Self {
        Self { prompt_tokens, output_tokens, blocks: Vec::new() }
    }

    /// With the hashes of the prompt's full blocks.
    pub fn with_blocks(mut self, blocks: Vec<u64>) -> Self {
        self.blocks = blocks;
        self
    }
}

/// A request in one [`LlmServer`](super::LlmServer); never reused within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    pub(super) generation: u32,
    pub(super) slot: u32,
}

/// What an iteration brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The request's first token.
    FirstToken {
        /// The request.
        id: RequestId,
    },
    /// A later token.
    Token {
        /// The request.
        id: RequestId,
    },
    /// The request has all its tokens and is gone from the server.
    Done {
        /// The request.
        id: RequestId,
        /// Where its time went.
        timing: Timing,
    },
}

/// Where a finished request's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// From arrival to admission: waiting for the iteration under way, for a sequence, for blocks.
    pub queue: Duration,
    /// From admission to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// Prompt tokens found in the prefix cache at the first admission.
    pub cached_tokens: u32,
}

impl Timing {
    /// Time the server worked on the request: everything but the queue. Others in the same batch
    /// make it longer; time spent preempted counts.
    pub fn processing(&self) -> Duration {
        self.prefill + self.decode
    }
}

/// How full a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Occupancy {
    /// Sequences admitted.
    pub running: usize,
    /// Requests not admitted yet.
    pub waiting: usize,
    /// Share of the KV blocks in use, 0 to 1.
    pub kv_usage: f64,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No prompt or no answer asked for.
    #[error("a request needs at least one prompt token and one output token")]
    Empty,
    /// Prompt and answer could not be held even by an empty server.
    #[error("prompt and answer need {tokens} tokens of KV cache; this server holds {capacity}")]
    TooLong {
        /// Tokens needed.
        tokens: u64,
        /// Tokens that fit.
        capacity: u64,
    },
}
