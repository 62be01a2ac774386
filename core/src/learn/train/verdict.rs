//! What an evaluation came to, and what is doubtful about it.

use serde::Serialize;

/// What the log says of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Rows read.
    pub rows: u64,
    /// Of these, rows that could not be used at all.
    pub wrong: u64,
    /// Of these, refused because the probability of the choice is not known.
    pub without_propensity: u64,
    /// Of these, refused because not every eligible candidate is listed.
    pub cut: u64,
    /// Rows used.
    pub used: u64,
    /// Of the rows used, those whose latency is only a lower bound.
    pub censored: u64,
    /// Share of the rows that went to a cell which the model supports.
    pub coverage: f64,
    /// Share of the rows in which the table alone would have decided; the rest is peak-EWMA's.
    pub decided_by_table: f64,
    /// Share of the rows in which the logging policy could have done what the target would.
    pub overlap: Option<f64>,
    /// How many rows of the target policy's own the weighted ones are worth.
    pub effective_sample_size: f64,
    /// Weights that were cut off.
    pub clipped: u64,
    /// Where they were cut off.
    pub clip: f64,
    /// Mean latency as logged.
    pub logged_mean_ms: Option<f64>,
    /// SNIPS estimate of the mean latency under the model.
    pub snips_mean_ms: Option<f64>,
    /// Its nominal 95 % interval.
    pub interval_ms: Option<(f64, f64)>,
    /// Share of failures as logged.
    pub logged_failures: Option<f64>,
    /// SNIPS estimate of that share under the model.
    pub snips_failures: Option<f64>,
    /// What is doubtful about these numbers.
    pub warnings: Vec<String>,
}

impl Verdict {
    pub(super) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let percent = |share: f64| 100.0 * share;
        if self.coverage < 0.9 {
            doubts.push(format!(
                "{:.1} % of the rows went to cells that the model does not know.",
                percent(1.0 - self.coverage)
            ));
        }
        match self.overlap {
            Some(overlap) if overlap < 0.99 => doubts.push(format!(
                "Overlap: in {:.1} % of the rows the logging policy could not have done what the model \
                 would; nothing is known of those. Log with an exploration rate above 0.",
                percent(1.0 - overlap)
            )),
            Some(_) => {}
            None => doubts.push("The log has no propensity by candidate: overlap is unknown.".into()),
        }
        if self.effective_sample_size < 100.0 {
            doubts.push(format!(
                "The effective sample size is {:.0}: too few rows for an interval to mean anything.",
                self.effective_sample_size
            ));
        }
        if self.clipped > 0 {
            doubts.push(format!(
                "{} weights were cut off at {}: the estimate leans towards the logged policy.",
                self.clipped, self.clip
            ));
        }
        if self.censored > 0 {
            doubts.push(format!(
                "{} latencies are only lower bounds (timeouts and cancelled requests).",
                self.censored
            ));
        }
        doubts
    }
}
