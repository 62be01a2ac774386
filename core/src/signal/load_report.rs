//! What a server says of its own load.
//!
//! The fields are ORCA's (`xds.data.orca.v3.OrcaLoadReport`), however the report came: a gRPC
//! trailer, an HTTP header, a scrape. The slot keeps the last report and when it came.

use std::{collections::BTreeMap, sync::Arc};

use crate::{cell::Cell, time::Time};

/// One load report. Utilisations are fractions of capacity (above 1 when overloaded); 0 means not
/// told, as in ORCA.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// CPU in use.
    pub cpu_utilization: f64,
    /// Memory in use.
    pub mem_utilization: f64,
    /// The application's own measure of how full it is.
    pub application_utilization: f64,
    /// Requests a second.
    pub rps: f64,
    /// Errors a second.
    pub eps: f64,
    /// Anything else by name, such as `kv_cache_usage_perc`.
    pub named_metrics: BTreeMap<String, f64>,
}

impl LoadReport {
    /// How full the server is: by the application's own measure, else by its CPU.
    pub(crate) fn utilization(&self) -> f64 {
        let used = self.application_utilization;
        if used > 0.0 { used } else { self.cpu_utilization }
    }
}

/// The last report of one endpoint.
#[derive(Debug)]
pub(crate) struct LoadSlot(Cell<Option<(Time, LoadReport)>>);

impl LoadSlot {
    pub(crate) fn new() -> Self {
        Self(Cell::new(Arc::new(None)))
    }

    pub(crate) fn store(&self, now: Time, report: LoadReport) {
        self.0.store(Arc::new(Some((now, report))));
    }

    pub(crate) fn load(&self) -> Option<(Time, LoadReport)> {
        (*self.0.load()).clone()
    }

    /// The last report's time and [`LoadReport::utilization`], without a copy of the report.
    pub(crate) fn utilization(&self) -> Option<(Time, f64)> {
        self.0.load().as_ref().map(|(at, report)| (*at, report.utilization()))
    }
}
