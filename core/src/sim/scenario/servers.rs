//! Who answers: groups of like servers, what a request costs there, and what disturbs them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    distribution::Distribution,
    units::{Count, Fraction, NotNegative, Positive, Span},
};

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Class {
    /// Its name, as policies see it.
    pub name: String,
    /// Its part of the traffic relative to the others'.
    #[serde(default = "one")]
    pub share: Positive,
    /// What a request costs a queueing server of speed 1, in time of one worker.
    pub work: Option<Distribution<Span>>,
    /// Length of the prompt for an LLM server.
    pub prompt_tokens: Option<Distribution<Count>>,
    /// Length of the answer of an LLM server.
    pub output_tokens: Option<Distribution<Count>>,
    /// How many hash keys its requests carry, all as frequent; 0 for none.
    #[serde(default)]
    pub keys: u32,
    /// The block of the prompt, counted from 1, whose hash is a request's key; a shorter prompt's last.
    /// For policies that hash the beginning of a prompt as they would any key.
    pub key_block: Option<Count>,
    /// Its own timeout in place of the clients'.
    pub timeout: Option<Span>,
}

fn one() -> Positive {
    Positive::ONE
}

/// A group of like servers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Group {
    /// Its name; servers are called `name-0`, `name-1` and so on.
    pub name: String,
    /// How many servers the fleet starts with.
    #[serde(default = "single")]
    pub count: Count,
    /// Further ones, which stay away until an event adds them.
    #[serde(default)]
    pub spare: u32,
    /// How it serves.
    #[serde(default)]
    pub model: Model,
    /// Work done in the time of one worker of speed 1.
    #[serde(default = "one")]
    pub speed: Positive,
    /// The same by class, on top.
    #[serde(default)]
    pub speed_by_class: BTreeMap<String, Positive>,
    /// The weight that discovery tells.
    #[serde(default = "one")]
    pub weight: Positive,
    /// `region` or `region/zone`.
    #[serde(default)]
    pub locality: String,
    /// The label `archetype`; the group's name if left out.
    pub archetype: Option<String>,
    /// Requests held, waiting ones included; more are answered with an error. No limit if left out.
    pub limit: Option<Count>,
    /// Whether a server stops working on a request that its client has given up, as one does whose RPC
    /// library tells it.
    #[serde(default = "yes")]
    pub drops_cancelled: bool,
    /// Other programs on the same machines.
    pub antagonist: Option<Antagonist>,
    /// Stops of the whole server, such as garbage collections.
    pub pauses: Option<Pauses>,
    /// What the servers tell of their load.
    pub reports: Option<Reports>,
}

fn yes() -> bool {
    true
}

fn single() -> Count {
    Count::ONE
}

/// How a server serves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Model {
    /// First come first served by `workers` workers.
    Fifo {
        /// Requests served at once.
        workers: Count,
    },
    /// Processor sharing: `cores` cores, each request on at most one.
    Ps {
        /// Cores, in the work that they do a second.
        cores: Positive,
    },
    /// A language model with continuous batching.
    Llm(Llm),
}

impl Default for Model {
    fn default() -> Self {
        Self::Fifo { workers: Count::ONE }
    }
}

/// A preset of the LLM server, and what differs from it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Llm {
    /// The preset's name.
    pub preset: String,
    /// Sequences that run at once.
    pub max_seqs: Option<Count>,
    /// Tokens that the KV cache holds.
    pub kv_tokens: Option<Count>,
    /// Prompt tokens computed in one iteration.
    pub chunk: Option<Count>,
    /// Whether prompt blocks are found again.
    pub prefix_cache: Option<bool>,
    /// Sigma of the logarithm of an iteration's noise.
    pub noise_sigma: Option<NotNegative>,
}

/// Programs that take processor time away: each server draws anew which part, now and then.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Antagonist {
    /// The part taken: uniform between the two.
    pub takes: (Fraction, Fraction),
    /// The part of the servers that have one; all if left out.
    #[serde(default = "whole")]
    pub share: Fraction,
    /// Mean time between draws, exponential. Never again if left out.
    pub every: Option<Span>,
}

fn whole() -> Fraction {
    Fraction::ONE
}

/// Stops: nothing is served meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pauses {
    /// Mean time from one to the next, exponential.
    pub every: Span,
    /// How long each is.
    pub lasts: Span,
}

/// Load reports: sent to every client beside the answers, or to the one client that gets an answer with
/// it, as a header or trailer, or both.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reports {
    /// How often beside the answers; not at all if left out.
    pub every: Option<Span>,
    /// How old one is when it arrives.
    #[serde(default)]
    pub delay: Span,
    /// The part that is lost. One that comes with an answer is neither late nor lost.
    #[serde(default)]
    pub loss: Fraction,
    /// Whether each answer (but not each error) carries one, made when the answer is.
    #[serde(default)]
    pub in_band: bool,
    /// Workers or cores that its utilization is of; those that it has, if left out. For a server that is
    /// promised so many, and gets more where its machine has room and less where it has not: what it
    /// tells is how much of its promise it uses.
    pub of: Option<Positive>,
}
