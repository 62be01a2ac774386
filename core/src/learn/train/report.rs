//! What training found, for people and for `--json`.

use serde::Serialize;

use super::Gain;

/// Everything that a person should see before enabling a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Of these, rows that could not be used.
    pub wrong: u64,
    /// Of these, rows without a class.
    pub unclassified: u64,
    /// First and last Unix time in seconds.
    pub window: Option<(f64, f64)>,
    /// The labels that make an archetype.
    pub archetype_labels: Vec<String>,
    /// Rows that a cell needs.
    pub min_rows: u64,
    /// The classes, in the model's order; last those that are in no supported cell.
    pub classes: Vec<ClassReport>,
    /// The archetypes, in the model's order.
    pub archetypes: Vec<ArchetypeReport>,
    /// Class by class, an entry an archetype.
    pub cells: Vec<CellReport>,
    /// Share of the classified traffic that falls into supported cells.
    pub coverage: f64,
    /// Share of the classified traffic whose class is supported on every archetype; the gain is about
    /// this traffic.
    pub comparable: f64,
    /// Endpoints without labels that had too few rows to be clustered.
    pub left_out: Vec<String>,
    /// What the fitted costs allow; `None` if no class is supported on every archetype.
    pub gain: Option<Gain>,
    /// Whether to enable it.
    pub advice: Advice,
}

/// One request class.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Its share of the classified traffic.
    pub share: f64,
    /// What its costs are made of.
    pub basis: Basis,
    /// Whether it is supported on every archetype.
    pub full: bool,
}

/// What a service cost is made of. One class never mixes two, so that its costs compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Basis {
    /// The mean of the processing times that servers report.
    Server,
    /// A low quantile of the latency of requests that found none of the client's own there.
    Latency,
}

/// One kind of endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ArchetypeReport {
    /// Its labels, or the cluster's name.
    pub name: String,
    /// Endpoints of this kind that requests went to.
    pub endpoints: usize,
    /// The ids that were clustered; empty if it is made of labels.
    pub members: Vec<String>,
    /// Mean service cost of what it was sent.
    pub mean_work_ms: Option<f64>,
}

/// One class on one archetype.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CellReport {
    /// The class.
    pub class: String,
    /// The archetype.
    pub archetype: String,
    /// All rows.
    pub rows: u64,
    /// Answered.
    pub answered: u64,
    /// Given up or timed out: counted with their lower bounds.
    pub censored: u64,
    /// Failed otherwise: not in any latency.
    pub failed: u64,
    /// Answers with the server's own processing time.
    pub server_reported: u64,
    /// Answers to requests that found none of the client's own there.
    pub idle: u64,
    /// Whether there are rows enough.
    pub supported: bool,
    /// The fitted service cost.
    pub service_ms: Option<f64>,
    /// The fitted wait for each unit of work ahead.
    pub slope: Option<f64>,
    /// Median latency of the answers, queues included.
    pub p50_ms: Option<f64>,
    /// 99th percentile of it.
    pub p99_ms: Option<f64>,
}

/// Whether to enable a model, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// Enable it.
    pub enable: bool,
    /// The reasons, in sentences.
    pub reasons: Vec<String>,
}
