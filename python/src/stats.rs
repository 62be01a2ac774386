//! Live statistics of an endpoint, as `Balancer.endpoints` gives them.

use std::sync::Arc;

use pyo3::{prelude::*, types::PyString};
use trimtab_core::Node;

use crate::{balancer::Balancer, clock, endpoint::Endpoint};

/// One endpoint with what has been measured of it. Live: every attribute tells the value of the moment
/// it is read. Times are seconds.
#[pyclass(frozen, module = "trimtab", name = "EndpointStats")]
#[derive(Debug)]
pub(crate) struct EndpointStats {
    node: Arc<Node>,
    balancer: Py<Balancer>,
}

impl EndpointStats {
    pub(crate) fn new(node: Arc<Node>, balancer: Py<Balancer>) -> Self {
        Self { node, balancer }
    }
}

fn seconds(nanos: Option<f32>) -> Option<f64> {
    nanos.map(|nanos| f64::from(nanos) / 1e9)
}

#[pymethods]
impl EndpointStats {
    /// The stable id.
    #[getter]
    fn id(&self, py: Python<'_>) -> Py<PyString> {
        self.balancer.get().id(&self.node, py)
    }

    /// Where to connect to.
    #[getter]
    fn address(&self, py: Python<'_>) -> Py<PyString> {
        self.balancer.get().address(&self.node, py)
    }

    /// The object that the user keeps with it, or None.
    #[getter]
    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.balancer.get().value(&self.node, py)
    }

    /// Its description.
    #[getter]
    fn endpoint(&self) -> Endpoint {
        Endpoint::from(self.node.endpoint())
    }

    /// Requests of this process that are there now.
    #[getter]
    fn in_flight(&self) -> u32 {
        self.node.in_flight()
    }

    /// Requests that succeeded, of all time.
    #[getter]
    fn successes(&self) -> u64 {
        self.node.total().successes
    }

    /// Requests that failed, of all time.
    #[getter]
    fn failures(&self) -> u64 {
        self.node.total().failures
    }

    /// Requests that were given up, of all time.
    #[getter]
    fn cancelled(&self) -> u64 {
        self.node.cancelled()
    }

    /// Share of successes, 0 to 1, over the last ten seconds; None without any request.
    #[getter]
    fn success_rate(&self) -> Option<f64> {
        self.node.recent(clock::now()).rate()
    }

    /// Moving average of the latency of successes (to the first byte), in seconds; None before the
    /// first.
    #[getter]
    fn mean_latency(&self) -> Option<f64> {
        seconds(self.node.mean_latency())
    }

    /// The latency that a request arriving now has to expect, failures counted as a penalty, in
    /// seconds; None before the first sample.
    #[getter]
    fn peak_latency(&self) -> Option<f64> {
        seconds(self.node.peak_latency(clock::now()))
    }

    /// What requests take beyond their predicted cost, in seconds; 0 under policies that predict none.
    #[getter]
    fn queue_delay(&self) -> f64 {
        self.node.queue_delay(clock::now()) / 1e9
    }

    /// Whether it may be picked: not ejected for failures or for being unreachable.
    #[getter]
    fn up(&self) -> bool {
        self.node.is_up(clock::now())
    }

    /// Whether it takes no new requests because it is draining.
    #[getter]
    fn draining(&self) -> bool {
        let snapshot = self.balancer.get().core().fleet().snapshot();
        let place = snapshot.nodes().iter().position(|node| Arc::ptr_eq(node, &self.node));
        place.is_some_and(|index| snapshot.is_draining(index))
    }

    /// Its share of the load relative to the other endpoints.
    #[getter]
    fn weight(&self) -> f64 {
        self.node.endpoint().weight().get()
    }

    /// The region it is in; empty if not told.
    #[getter]
    fn region(&self) -> String {
        self.node.endpoint().locality().region.clone()
    }

    /// The zone, within its region, it is in; empty if not told.
    #[getter]
    fn zone(&self) -> String {
        self.node.endpoint().locality().zone.clone()
    }

    fn __repr__(&self) -> String {
        let total = self.node.total();
        let ms = |latency: Option<f64>| {
            latency.map_or("None".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3))
        };
        format!(
            "<EndpointStats {:?}{}{} in_flight={} successes={} failures={} cancelled={} mean={} peak={}>",
            self.node.id().as_str(),
            if self.up() { "" } else { " down" },
            if self.draining() { " draining" } else { "" },
            self.node.in_flight(),
            total.successes,
            total.failures,
            self.node.cancelled(),
            ms(self.mean_latency()),
            ms(self.peak_latency()),
        )
    }
}
