//! Everything that can be wrong with a model or its file.

/// A model that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes could not be read.
    #[error("the model cannot be read: {reason}")]
    Unreadable {
        /// What the operating system says.
        reason: String,
    },
    /// More bytes than any model has.
    #[error("the model is larger than {limit} bytes; it is refused unread")]
    TooLarge {
        /// The largest that is read.
        limit: usize,
    },
    /// The magic is missing.
    #[error("not a trimtab model: it does not start with \"TRIMTABQ\"")]
    NotAModel,
    /// A layout that this release does not know.
    #[error("model format {found} is not known (this release reads {known}); train it anew")]
    Version {
        /// What the file says.
        found: u32,
        /// What this release reads.
        known: u32,
    },
    /// Fewer bytes than the file's own header says.
    #[error("the model is truncated: {found} bytes of {expected}")]
    Truncated {
        /// The length that the header makes.
        expected: u64,
        /// The length that there is.
        found: u64,
    },
    /// More bytes than the file's own header says.
    #[error("the model has {found} bytes where its header says {expected}")]
    Trailing {
        /// The length that the header makes.
        expected: u64,
        /// The length that there is.
        found: u64,
    },
    /// The content is not what was written.
    #[error("the model is corrupt: checksum {found:016x}, expected {expected:016x}")]
    Checksum {
        /// The checksum in the file.
        expected: u64,
        /// The checksum of what is in the file.
        found: u64,
    },
    /// The content does not have the shape of a model.
    #[error("the model's content is malformed: {reason}")]
    Malformed {
        /// Where, and what was expected there.
        reason: String,
    },
    /// A value that no sound model has.
    #[error("the model's {field} is invalid: {problem}")]
    Field {
        /// Which one.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ModelError {
    pub(super) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}
