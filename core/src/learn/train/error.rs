//! Everything that can be wrong with logs and with what is made of them.

use crate::learn::ModelError;

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Not one JSON object of the right types.
    #[error("malformed: {reason}")]
    Malformed {
        /// Where, and what was expected there.
        reason: String,
    },
    /// Columns without which nothing can be learned.
    #[error("no column {}", columns.join(", "))]
    Missing {
        /// Their names.
        columns: Vec<&'static str>,
    },
    /// A needed value is null.
    #[error("{column} is null")]
    Null {
        /// Whose value.
        column: &'static str,
    },
    /// A number outside its range.
    #[error("{column} = {value} must lie in {allowed}")]
    OutOfRange {
        /// Whose value.
        column: &'static str,
        /// What is there.
        value: f64,
        /// What is allowed, as an interval.
        allowed: &'static str,
    },
    /// A status that no log has.
    #[error(
        "status {status:?} is not one of ok, ignored, cancelled, timeout, connect, reset, status"
    )]
    Status {
        /// What is there.
        status: String,
    },
    /// A line longer than any row.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The longest line that is read.
        limit: usize,
    },
    /// The chosen endpoint is not among the candidates.
    #[error("the chosen endpoint {chosen:?} is not among the candidates")]
    NotACandidate {
        /// Its id.
        chosen: String,
    },
}

impl RowError {
    /// [`RowError::Missing`] if one of the columns is absent.
    pub(super) fn if_missing(
        absent: impl IntoIterator<Item = (&'static str, bool)>,
    ) -> Result<(), Self> {
        let columns: Vec<_> =
            absent.into_iter().filter_map(|(column, absent)| absent.then_some(column)).collect();
        if columns.is_empty() { Ok(()) } else { Err(Self::Missing { columns }) }
    }
}

/// No model can be made, or none can be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The log is not a decision log, or lacks what is needed.
    #[error("{file}: no row has the columns needed; missing: {}", columns.join(", "))]
    MissingColumns {
        /// The log's name.
        file: String,
        /// The columns.
        columns: Vec<String>,
    },
    /// No usable row.
    #[error("no usable rows: {rows} read, {wrong} of them wrong, {unclassified} without a class")]
    NoRows {
        /// Rows read.
        rows: u64,
        /// Rows that could not be read.
        wrong: u64,
        /// Rows without a request class.
        unclassified: u64,
    },
    /// No row that a policy can be judged by.
    #[error(
        "no usable rows: of {rows} read, {wrong} are wrong, {without_propensity} have no propensity, \
         {cut} do not list every candidate; log with a policy that knows its propensities"
    )]
    NothingToJudge {
        /// Rows read.
        rows: u64,
        /// Rows that could not be read.
        wrong: u64,
        /// Rows without the probability of the choice.
        without_propensity: u64,
        /// Rows that leave candidates out.
        cut: u64,
    },
    /// Too few rows in every cell.
    #[error("no cell has {needed} usable rows; the fullest has {fullest}")]
    NoSupport {
        /// Rows that a cell needs.
        needed: u64,
        /// Rows that the best one has.
        fullest: u64,
    },
    /// More distinct values than a model can hold: most often ids where names were meant.
    #[error("more than {limit} distinct values of {column}; is it an id?")]
    TooMany {
        /// Whose values.
        column: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Columns of one batch that do not fit together.
    #[error("the columns of a batch differ in length")]
    Uneven,
    /// The rows were labelled otherwise than was asked for.
    #[error("the log's archetypes are made of the labels {found:?}, not {asked:?}")]
    Labels {
        /// What was asked for.
        asked: Vec<String>,
        /// What the rows have.
        found: Vec<String>,
    },
    /// A setting outside its range.
    #[error("{name} = {value} must lie in {allowed}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed, as an interval.
        allowed: &'static str,
    },
    /// What was fitted is not a sound model.
    #[error(transparent)]
    Model(#[from] ModelError),
}
