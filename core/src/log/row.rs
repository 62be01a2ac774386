//! A decision log row as it is written: one JSON object a line, flat but for the candidates.

use serde::{Deserialize, Serialize};

/// What an attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The first attempt of a request.
    First,
    /// An attempt after one that failed.
    Retry,
    /// An attempt beside one that is under way.
    Hedge,
}

/// One attempt. Times are milliseconds unless the name says otherwise; what is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Version of this layout.
    pub v: u32,
    /// Ties the attempts of one request of one client together.
    pub event: u64,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// First attempt, retry or hedge.
    pub kind: Kind,
    /// The process that decided.
    pub client: String,
    /// Counts that process's logged attempts.
    pub sequence: u64,
    /// Unix time of the decision in seconds.
    pub ts: f64,
    /// Attempts that this row stands for: 1 / sampling rate.
    pub sample_weight: f64,
    /// The request's class.
    pub class: Option<String>,
    /// The region the request came from.
    pub region: Option<String>,
    /// Time the request had left.
    pub deadline_ms: Option<f64>,
    /// Hash of the request's key.
    pub key: Option<u64>,
    /// Requests of this client under way, at all endpoints.
    #[serde(default)]
    pub client_in_flight: Option<u64>,
    /// Requests of this client that ended in the last ten seconds, a second.
    #[serde(default)]
    pub client_rate: Option<f64>,
    /// Endpoints in the fleet.
    pub fleet: u32,
    /// Endpoints that could be chosen.
    pub eligible: u32,
    /// The tier's endpoints, up to 64, the chosen one always among them.
    pub candidates: Vec<Candidate>,
    /// The endpoint chosen.
    pub chosen: String,
    /// Its archetype by labels.
    pub archetype: Option<String>,
    /// This process's requests there before this one. Also among the candidates; here flat, so that
    /// training reads no nested column.
    pub in_flight: u32,
    /// The probability with which it was chosen, computed right after the pick. Null if the policy
    /// cannot tell, and if other threads' requests had changed the scores so much meanwhile that the
    /// choice had become impossible; smaller changes go unnoticed.
    pub propensity: Option<f64>,
    /// Whether chance decided for the log's sake.
    pub explored: bool,
    /// `policy`, `explored` or `fallback`.
    pub mode: String,
    /// Why a fallback decided.
    pub fallback_reason: Option<String>,
    /// The policy's name.
    pub policy: String,
    /// Hash of the policy's model, hexadecimal.
    pub model: Option<String>,
    /// The exploration rate.
    pub epsilon: f64,
    /// From decision to end.
    pub latency_ms: Option<f64>,
    /// From decision to the first byte of the answer.
    pub first_byte_ms: Option<f64>,
    /// The server's own measure of its processing, without its queue.
    pub server_ms: Option<f64>,
    /// The server's own measure of the time in its queue.
    pub queue_ms: Option<f64>,
    /// `ok`, `ignored`, `cancelled`, or the failure: `connect`, `reset`, `timeout`, `status`.
    pub status: String,
    /// HTTP or gRPC status code.
    pub code: Option<u16>,
    /// Why the latency is only a lower bound: `timeout` or `cancelled`.
    pub censored: Option<String>,
    /// Size of the answer.
    pub bytes: Option<u64>,
    /// Tokens of the answer.
    pub tokens: Option<u64>,
    /// What the request cost, in the operator's unit.
    pub cost: Option<f64>,
}

/// One endpoint as the policy saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its id.
    pub endpoint: String,
    /// Its archetype by labels.
    pub archetype: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// This process's requests there.
    pub in_flight: u32,
    /// What requests take beyond their predicted cost, averaged over a second.
    pub queue_delay_ms: f64,
    /// Share of failures in the last ten seconds.
    pub error_rate: Option<f64>,
    /// Peak-EWMA latency.
    pub peak_ms: Option<f64>,
    /// Its own measure of utilisation.
    pub load: Option<f64>,
    /// Age of that report.
    pub load_age_ms: Option<f64>,
    /// Its share of the load relative to the others; left out if 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// Whether it could be chosen.
    pub eligible: bool,
    /// What the policy compared by, lower first.
    pub score: Option<f64>,
    /// The probability with which it would have been chosen.
    pub propensity: Option<f64>,
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}
