//! What a balancer has counted.

use std::collections::BTreeMap;

use pyo3::prelude::*;

/// Events counted since a balancer was made. A copy: it does not change.
#[pyclass(frozen, module = "trimtab", name = "Counters", get_all)]
#[derive(Debug)]
pub(crate) struct Counters {
    /// Endpoints taken out, for failures or because they could not be connected to.
    pub(crate) ejections: u64,
    /// Endpoints that answered again after that.
    pub(crate) returns: u64,
    /// Picks made with every endpoint down.
    pub(crate) fail_open: u64,
    /// Picks that a fallback policy made, by reason; reasons that did not occur are absent.
    pub(crate) fallbacks: BTreeMap<&'static str, u64>,
    /// Decision log rows written to the file.
    pub(crate) log_written: u64,
    /// Decision log rows lost because the ring was full or the file could not be written.
    pub(crate) log_dropped: u64,
}

#[pymethods]
impl Counters {
    fn __repr__(&self) -> String {
        let Self { ejections, returns, fail_open, fallbacks, log_written, log_dropped } = self;
        format!(
            "Counters(ejections={ejections}, returns={returns}, fail_open={fail_open}, \
             fallbacks={fallbacks:?}, log_written={log_written}, log_dropped={log_dropped})"
        )
    }
}
