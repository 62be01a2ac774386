//! Everything that can be wrong with a trace and with what is asked of it.

/// A trace that cannot be read, or cannot be made into what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file or folder cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// Its path or name.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// No format has that name.
    #[error("unknown trace format `{name}`; known are {}", super::Format::NAMES.join(", "))]
    UnknownFormat {
        /// The name asked for.
        name: String,
    },
    /// The first line belongs to no known format.
    #[error(
        "{file}: found {found:?}, which begins no known trace: expected {} ({}), a JSON \
         object ({}) or a header with at_s ({})",
        super::azure::HEADER,
        super::Format::AzureLlm2023,
        super::Format::Mooncake,
        super::Format::Arrivals
    )]
    Undetected {
        /// Its path.
        file: String,
        /// The beginning of that line.
        found: String,
    },
    /// The first line is not the format's header.
    #[error("{file}:{line}: found {found:?}, expected the header {expected}")]
    Header {
        /// Its path or name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The beginning of that line.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Too few or too many columns.
    #[error("{file}:{line}: found {found} columns, expected {expected}")]
    Columns {
        /// Its path or name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A value that its column cannot have.
    #[error("{file}:{line}: {field}: found {found:?}, expected {expected}")]
    Field {
        /// Its path or name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column or key.
        field: &'static str,
        /// The beginning of what is there.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// A line that is no line of this format at all.
    #[error("{file}:{line}: {reason}")]
    Malformed {
        /// Its path or name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong, where in the line, and what was expected.
        reason: String,
    },
    /// A request before the one above it.
    #[error("{file}:{line}: earlier than the line above; a trace is sorted by time")]
    NotSorted {
        /// Its path or name.
        file: String,
        /// The line, from 1.
        line: u64,
    },
    /// A client's file of token lengths that is wrong.
    #[error("{file}: {place}: {reason}")]
    Lengths {
        /// Its path.
        file: String,
        /// Which key in it.
        place: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A file that belongs to another is not there.
    #[error("{file}: not there; {because}")]
    Missing {
        /// The path expected.
        file: String,
        /// What needs it.
        because: String,
    },
    /// No request.
    #[error("{what}: no requests")]
    Empty {
        /// The file, or the part of it.
        what: String,
    },
    /// More requests than are held in memory.
    #[error("{what}: more than {limit} requests")]
    TooMany {
        /// The file, or what was asked of it.
        what: String,
        /// How many there may be.
        limit: usize,
    },
    /// All requests arrive at one instant, so that there is no rate to change.
    #[error("{what}: all requests arrive at the same instant: there is no rate to scale")]
    NoRate {
        /// The trace's name.
        what: String,
    },
    /// An argument outside its range.
    #[error("{name} = {value} must lie in {allowed}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed, as an interval.
        allowed: String,
    },
}

/// The beginning of what was found: an error message quotes no whole file.
pub(super) fn beginning(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
