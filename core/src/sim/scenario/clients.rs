//! Who sends: how many clients, and what each does when an answer is late or wrong.

use serde::Deserialize;

use super::{
    outlier::Outlier,
    units::{Count, Fraction, Span},
};

/// The clients. Each has its own balancer and sees only its own requests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Clients {
    /// How many.
    pub count: Count,
    /// The localities they sit in, taken in turn, as `region` or `region/zone`.
    pub localities: Vec<String>,
    /// Whether their balancers prefer near endpoints.
    pub prefer_near: bool,
    /// When a request is given up. It counts as failed, with this as its latency.
    pub timeout: Span,
    /// When an attempt without a first byte is given up, which counts as its failure. Never before the
    /// request itself if left out.
    pub attempt_timeout: Option<Span>,
    /// Further attempts after one that failed; the request's own timeout is its end.
    pub retries: u32,
    /// Whether retries and hedges are paid from a retry budget.
    pub retry_budget: bool,
    /// A second attempt beside one that is slow.
    pub hedge: Option<Hedge>,
    /// Requests whose callers lose interest.
    pub cancel: Option<Cancel>,
    /// How late a client learns of a change of the fleet.
    pub discovery_delay: Span,
    /// Share of requests that say a wrong class, drawn from the others.
    pub misclassified: Fraction,
    /// Whether a client asks the servers that its policy names for their load before each pick, and
    /// waits for the answers: a round trip, with the delay and the loss of probes. For policies that
    /// name any, such as `prefix_affinity`.
    pub ask_first: bool,
    /// Share of picks that explore, uniformly at random.
    pub explore: Fraction,
    /// Time constant of the latency averages.
    pub decay: Span,
    /// Failures in a row that eject an endpoint; 0 for never.
    pub consecutive_failures: u32,
    /// Which endpoints are ejected for doing worse than the others; none if left out.
    pub outlier: Option<Outlier>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            count: Count::ONE,
            localities: Vec::new(),
            prefer_near: false,
            timeout: std::time::Duration::from_secs(5).into(),
            attempt_timeout: None,
            retries: 0,
            retry_budget: true,
            hedge: None,
            cancel: None,
            discovery_delay: Span::default(),
            misclassified: Fraction::ZERO,
            ask_first: false,
            explore: Fraction::ZERO,
            decay: std::time::Duration::from_secs(10).into(),
            consecutive_failures: 5,
            outlier: None,
        }
    }
}

/// When a second attempt is sent.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Hedge {
    /// After a fixed time without an answer.
    After(Span),
    /// After this quantile of the latencies that the client has seen of late.
    Quantile(Fraction),
}

/// Requests that are given up before their timeout.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Cancel {
    /// Which part of the requests.
    pub share: Fraction,
    /// When, unless they have ended.
    pub after: Span,
}
