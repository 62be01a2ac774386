//! What simulations bring: a run's figures, and those of many runs together.

use serde::Serialize;

use super::interval::{Interval, Ratio};

/// One policy's figures at one load and seed. Latencies are in milliseconds, of all requests that were
/// not cancelled: one that failed counts with the time of its failure, one that timed out with the
/// timeout. `None` where nothing was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Run {
    /// Requests that arrived after the warm-up.
    pub requests: u64,
    /// Of these, answered.
    pub ok: u64,
    /// Answered with an error, or cut off, with no attempt left.
    pub failed: u64,
    /// Given up by the client's timeout.
    pub timed_out: u64,
    /// Those for which no endpoint could be picked.
    pub refused: u64,
    /// Given up by callers that lost interest.
    pub cancelled: u64,
    /// Attempts of these requests.
    pub attempts: u64,
    /// Of these, after a failure.
    pub retries: u64,
    /// Of these, beside a slow one.
    pub hedges: u64,
    /// Probes sent in the whole run, and questions asked before the picks of the requests counted here.
    pub probes: u64,
    /// Answered requests a second.
    pub throughput_rps: f64,
    /// Mean latency.
    pub mean_ms: Option<f64>,
    /// Median latency.
    pub p50_ms: Option<f64>,
    /// Quantile 0.9.
    pub p90_ms: Option<f64>,
    /// Quantile 0.99.
    pub p99_ms: Option<f64>,
    /// Quantile 0.999.
    pub p999_ms: Option<f64>,
    /// Time to first byte (of an LLM server, the first token), median.
    pub first_byte_p50_ms: Option<f64>,
    /// Quantile 0.9.
    pub first_byte_p90_ms: Option<f64>,
    /// Quantile 0.99.
    pub first_byte_p99_ms: Option<f64>,
    /// Failed, timed out and refused, over all that were not cancelled.
    pub error_rate: f64,
    /// Share of them answered within the scenario's `slo`; without one, answered.
    pub goodput: f64,
    /// Attempts over requests.
    pub amplification: f64,
    /// Requests that the busiest server served over the mean server's.
    pub load_max_over_mean: f64,
    /// Requests that the fullest server held over the mean server's, averaged over time.
    pub in_flight_max_over_mean: f64,
    /// Worker time spent over worker time there was. For LLM servers, mean requests in service each.
    pub utilization: f64,
    /// Prompt tokens found in prefix caches over prompt tokens; `None` without LLM servers.
    pub cache_hit: Option<f64>,
}

/// Reads one figure of a run.
pub(super) type Read = fn(&Run) -> Option<f64>;

impl Run {
    /// The figures by name, in the order of tables.
    pub(super) const METRICS: [(&'static str, Read); 26] = [
        ("requests", |run| Some(run.requests as f64)),
        ("ok", |run| Some(run.ok as f64)),
        ("failed", |run| Some(run.failed as f64)),
        ("timed_out", |run| Some(run.timed_out as f64)),
        ("refused", |run| Some(run.refused as f64)),
        ("cancelled", |run| Some(run.cancelled as f64)),
        ("attempts", |run| Some(run.attempts as f64)),
        ("retries", |run| Some(run.retries as f64)),
        ("hedges", |run| Some(run.hedges as f64)),
        ("probes", |run| Some(run.probes as f64)),
        ("throughput_rps", |run| Some(run.throughput_rps)),
        ("mean_ms", |run| run.mean_ms),
        ("p50_ms", |run| run.p50_ms),
        ("p90_ms", |run| run.p90_ms),
        ("p99_ms", |run| run.p99_ms),
        ("p999_ms", |run| run.p999_ms),
        ("first_byte_p50_ms", |run| run.first_byte_p50_ms),
        ("first_byte_p90_ms", |run| run.first_byte_p90_ms),
        ("first_byte_p99_ms", |run| run.first_byte_p99_ms),
        ("error_rate", |run| Some(run.error_rate)),
        ("goodput", |run| Some(run.goodput)),
        ("amplification", |run| Some(run.amplification)),
        ("load_max_over_mean", |run| Some(run.load_max_over_mean)),
        ("in_flight_max_over_mean", |run| Some(run.in_flight_max_over_mean)),
        ("utilization", |run| Some(run.utilization)),
        ("cache_hit", |run| run.cache_hit),
    ];
}

/// A run's course, in windows of equal length.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// Length of a window.
    pub window_s: f64,
    /// When each begins.
    pub start_s: Vec<f64>,
    /// Requests that arrived, a second.
    pub rate_rps: Vec<f64>,
    /// Errors over what ended.
    pub error_rate: Vec<f64>,
    /// Median latency of what ended.
    pub p50_ms: Vec<Option<f64>>,
    /// Its quantile 0.99.
    pub p99_ms: Vec<Option<f64>>,
    /// Requests that all servers held.
    pub in_flight: Vec<f64>,
}

/// What each server did in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Endpoints {
    /// Their ids.
    pub ids: Vec<String>,
    /// Their groups' names.
    pub groups: Vec<String>,
    /// Parts of all requests served.
    pub share: Vec<f64>,
    /// Worker time spent over worker time there was.
    pub utilization: Vec<f64>,
    /// Requests held, by server and window.
    pub in_flight: Vec<Vec<f32>>,
}

/// All runs of a study.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Results {
    /// Version of this layout.
    pub format: u32,
    /// What was simulated.
    pub scenario: About,
    /// The policies' labels.
    pub policies: Vec<String>,
    /// The loads, as fractions of the capacity; a single `None` where the scenario gives a rate.
    pub loads: Vec<Option<f64>>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Requests a second that load 1 means, where that is known.
    pub capacity_rps: Option<f64>,
    /// Every run.
    pub runs: Vec<Labelled<Run>>,
    /// Every policy at every load, over all seeds.
    pub summary: Vec<Summary>,
    /// The course of the first seed's runs.
    pub timelines: Vec<Labelled<Timeline>>,
    /// The servers in the first seed's runs.
    pub endpoints: Vec<Labelled<Endpoints>>,
    /// What happened on the way.
    pub events: Vec<Happening>,
}

/// What was simulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct About {
    /// The scenario's name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its text.
    pub toml: String,
    /// How long requests came.
    pub duration_s: f64,
    /// What was not counted.
    pub warm_up_s: f64,
    /// The clients' timeout.
    pub timeout_s: f64,
    /// The latency within which an answer is a good one.
    pub slo_s: Option<f64>,
    /// How many clients.
    pub clients: u32,
    /// How many servers at the start.
    pub servers: u32,
}

/// Something of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Labelled<T> {
    /// The policy's label.
    pub policy: String,
    /// The load.
    pub load: Option<f64>,
    /// The seed.
    pub seed: u64,
    /// What it is.
    #[serde(flatten)]
    pub of: T,
}

/// One policy at one load over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The policy's label.
    pub policy: String,
    /// The load.
    pub load: Option<f64>,
    /// Mean and 95 % interval of each figure of a run.
    pub metrics: std::collections::BTreeMap<&'static str, Interval>,
    /// Each latency against the first policy's, seed by seed. `None` for that policy itself.
    pub against: Option<Against>,
}

/// A comparison, paired by seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Against {
    /// The policy compared with.
    pub policy: String,
    /// Ratio of the means, with its interval.
    #[serde(flatten)]
    pub metrics: std::collections::BTreeMap<&'static str, Ratio>,
}

/// Something that happened to the fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Happening {
    /// When it began.
    pub at_s: f64,
    /// When it ended.
    pub until_s: Option<f64>,
    /// What it was.
    pub kind: &'static str,
    /// To which servers.
    pub servers: Vec<String>,
    /// In words.
    pub text: String,
}
