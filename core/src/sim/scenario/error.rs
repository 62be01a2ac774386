//! What can be wrong with a scenario file.

use std::path::PathBuf;

/// A scenario that cannot be run; found before anything runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// The scenario file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, a value outside its range: with line and column.
    #[error("{}: {source}", file.display())]
    Malformed {
        /// The scenario file.
        file: PathBuf,
        /// Line, column, key, and what is allowed.
        source: Box<toml::de::Error>,
    },
    /// Keys that do not fit each other.
    #[error("{}: `{key}` {rule}", file.display())]
    Invalid {
        /// The scenario file.
        file: PathBuf,
        /// The key, such as `servers[1].llm`.
        key: String,
        /// What it must be.
        rule: String,
    },
}

/// A key and the rule it breaks; the file's name is added where it is known.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) rule: String,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { key: key.into(), rule: rule.into() }
    }
}
