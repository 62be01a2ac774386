//! Server models in virtual time.
