//! What is measured of an endpoint, without locks.
//!
//! Writers are the lease and the data plane; readers are policies and statistics. A read never
//! changes a signal, so how often one looks cannot change what one sees.

pub(crate) mod failing;
pub(crate) mod health;
pub(crate) mod latency;
pub(crate) mod load_report;
pub(crate) mod probe;
pub(crate) mod reported_weight;
pub(crate) mod residual;
pub(crate) mod slowest;
pub(crate) mod success;
pub(crate) mod waits;

pub use load_report::{LlmLoad, LoadReport};
