//! Everything that can be wrong with logs that a scenario is to be made of.

use std::path::PathBuf;

use super::super::scenario::ScenarioError;
use crate::learn::train::{RowError, TrainError};

/// No scenario can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FromLogsError {
    /// A log that is none, or too few rows to fit costs to.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A row that is wrong in itself.
    #[error(transparent)]
    Row(RowError),
    /// A client's clock was set back.
    #[error(
        "{file}:{line}: the clock of client {client:?} goes back by {back:.1} s here while its sequence goes on; cut the log at this line and use one part"
    )]
    Clock {
        /// The log's name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The client.
        client: String,
        /// By how many seconds.
        back: f64,
    },
    /// More rows than are held in memory.
    #[error("more than {limit} requests; give fewer files, one busy hour says more than a week")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// No first attempts.
    #[error(
        "no rows are first attempts ({retries} are retries or hedges): there is nothing to replay"
    )]
    NoRequests {
        /// Other attempts.
        retries: u64,
    },
    /// All requests came at one moment.
    #[error("all {requests} requests came at the same moment: there is no rate to replay")]
    NoSpan {
        /// How many.
        requests: usize,
    },
    /// Nothing to balance between.
    #[error(
        "all rows went to the one endpoint {endpoint:?}, and no candidates list another: there is nothing to balance"
    )]
    OneEndpoint {
        /// Its id.
        endpoint: String,
    },
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was made cannot be run.
    #[error("the log makes a scenario that cannot be run: {0}")]
    Scenario(#[from] ScenarioError),
}
