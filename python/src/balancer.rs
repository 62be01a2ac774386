//! `trimtab.Balancer`.

use std::path::PathBuf;

use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    types::{PyDict, PyString},
};
use trimtab_core::{ConfigError, EndpointId, Node, Rng, next_owner};

use crate::{
    clock,
    counters::Counters,
    entropy, error,
    face::Face,
    fleet,
    lease::Lease,
    log::Log,
    model, outcome,
    picks::Picks,
    request::{self, Tried},
    settings::{self, Health, Logging},
    stats::EndpointStats,
};

/// Picks endpoints for requests and learns from how they end.
///
/// It may be used after ``os.fork``: the child picks with other random numbers and writes its own log
/// rows. Requests that the parent's other threads had in flight at the fork stay counted in the child,
/// where nobody ends them; where that matters, build the balancer in the child.
///
/// Args:
///     endpoints: Addresses or `Endpoint`s; or a mapping from them to any object of yours, such as
///         one client each, which the lease then hands out as ``value``.
///     policy: One of ``trimtab.POLICIES``.
///     region: Where this process is; endpoints of the same region are preferred, then those of the
///         nearest regions in order, then all.
///     geo: Latitude and longitude of this process in degrees.
///     model: For ``q_table``: a model's path, or its bytes.
///     seed: Fixes the sequence of random numbers; from the system if not told.
///     log: Path of the decision log (JSON lines), appended to.
///     log_sample: Share of the attempts to log, 0 to 1.
///     log_capacity: Rows that may wait for the file; more are dropped and counted.
///     log_client: This process's name in the log; host and process id if not told.
///     explore: Share of the picks, 0 to 1, that choose uniformly at random, so that the log covers
///         what the policy would not try.
///     archetype_labels: The labels whose values make an endpoint's archetype.
///     decay: Time constant of the latency averages, in seconds.
///     failure_penalty: The latency that a failure counts as at least, in seconds.
///     consecutive_failures: Failures in a row that eject an endpoint; 0 for never.
///     base_ejection: The first time out, in seconds; it doubles with each ejection in a row.
///     max_ejection: The longest time out, in seconds.
///     base_reconnect: The first time out after a connection that failed, in seconds.
///     max_reconnect: The longest time out after connections that failed, in seconds.
///     max_ejected: Share of the fleet, 0 to 1, that may be ejected for failures at a time.
///
/// Raises:
///     ConfigError: For an empty fleet, duplicate ids, an unknown policy and values out of range.
///     ModelError: For a model that cannot be read.
#[pyclass(frozen, generic, weakref, module = "trimtab", name = "Balancer")]
#[derive(Debug)]
pub(crate) struct Balancer {
    picks: Picks,
    /// Tells this balancer's faces from another's.
    owner: u64,
}

impl Balancer {
    pub(crate) fn core(&self) -> &trimtab_core::Balancer {
        self.picks.core()
    }

    pub(crate) fn address(&self, node: &Node, py: Python<'_>) -> Py<PyString> {
        Face::address(node, self.owner, py)
    }

    pub(crate) fn id(&self, node: &Node, py: Python<'_>) -> Py<PyString> {
        Face::id(node, self.owner, py)
    }

    #[inline]
    pub(crate) fn value(&self, node: &Node, py: Python<'_>) -> Option<Py<PyAny>> {
        Face::of(node, self.owner).value(py)
    }

    /// Changes the fleet, and the values with it. What goes out of use is let go last: destructors are
    /// the user's code, which must find the change complete and no lock held.
    fn change(
        &self,
        py: Python<'_>,
        values: Vec<(EndpointId, Option<Py<PyAny>>)>,
        change: impl FnOnce(&trimtab_core::Fleet) -> Result<(), ConfigError>,
    ) -> PyResult<()> {
        let before = self.core().fleet().snapshot();
        change(self.core().fleet()).map_err(|error| error::config(py, &error))?;
        let old = self.keep(values);
        drop((before, old));
        Ok(())
    }

    /// Keeps `values` with their endpoints; the values that were there.
    fn keep(&self, values: Vec<(EndpointId, Option<Py<PyAny>>)>) -> Vec<Option<Py<PyAny>>> {
        let snapshot = self.core().fleet().snapshot();
        // Discovery gives the fleet in the snapshot's order, so the search ends where it starts.
        let mut nodes = snapshot.nodes().iter().cycle();
        let mut old = Vec::with_capacity(values.len());
        for (id, value) in values {
            let found = nodes.by_ref().take(snapshot.nodes().len()).find(|node| *node.id() == id);
            if let Some(node) = found {
                old.push(Face::of(node, self.owner).replace_value(value));
            }
        }
        old
    }
}

#[pymethods]
impl Balancer {
    #[new]
    #[pyo3(signature = (
        endpoints, *, policy = "peak_ewma", region = None, geo = None, model = None,
        model_max_age = None, seed = None, log = None, log_sample = 1.0, log_capacity = 65536, log_client = None, explore = 0.0,
        archetype_labels = None, decay = 10.0, failure_penalty = 5.0, consecutive_failures = 5,
        base_ejection = 5.0, max_ejection = 300.0, base_reconnect = 0.1, max_reconnect = 10.0,
        max_ejected = 0.5,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        py: Python<'_>,
        endpoints: &Bound<'_, PyAny>,
        policy: &str,
        region: Option<String>,
        geo: Option<(f64, f64)>,
        model: Option<&Bound<'_, PyAny>>,
        model_max_age: Option<f64>,
        seed: Option<u64>,
        log: Option<PathBuf>,
        log_sample: f64,
        log_capacity: usize,
        log_client: Option<String>,
        explore: f64,
        archetype_labels: Option<Vec<String>>,
        decay: f64,
        failure_penalty: f64,
        consecutive_failures: u32,
        base_ejection: f64,
        max_ejection: f64,
        base_reconnect: f64,
        max_reconnect: f64,
        max_ejected: f64,
    ) -> PyResult<Self> {
        let seed = seed.unwrap_or_else(entropy::seed);
        let mut rng = Rng::seeded(seed);
        let model = model.map(model::read).transpose()?;
        let max_age =
            model_max_age.map(|age| settings::seconds(py, "model_max_age", age)).transpose()?;
        let place = settings::place(py, region, geo)?;
        let health = Health {
            consecutive_failures,
            base_ejection,
            max_ejection,
            base_reconnect,
            max_reconnect,
            max_ejected,
        };
        let (described, values): (Vec<_>, Vec<_>) = fleet::members(endpoints)?
            .into_iter()
            .map(|(endpoint, value)| (endpoint.clone(), (endpoint.id().clone(), value)))
            .unzip();
        let mut builder = settings::builder(py, policy, (model, max_age), place, &mut rng)?
            .endpoints(described)
            .health(health.to_core(py)?)
            .decay(settings::seconds(py, "decay", decay)?)
            .failure_penalty(settings::seconds(py, "failure_penalty", failure_penalty)?)
            .explore(explore);
        if let Some(labels) = archetype_labels {
            builder = builder.archetype_labels(labels);
        }
        let logging =
            Logging { path: log, sample: log_sample, capacity: log_capacity, client: log_client };
        let mut log = None;
        if let Some((decisions, writer)) = logging.open(py)? {
            builder = builder.log(decisions);
            log = Some(writer);
        }
        let core = builder.build().map_err(|error| error::config(py, &error))?;
        core.jitter_by(seed);
        let balancer = Self { picks: Picks::new(core, rng, log), owner: next_owner() };
        balancer.keep(values);
        Ok(balancer)
    }

    /// Picks an endpoint. Never blocks and never awaits.
    ///
    /// Args:
    ///     key: Requests of one key go to one endpoint under the hashing policies; text, bytes or an
    ///         integer.
    ///     request_class: The request's class, as learned tables know it.
    ///     tried: Ids of endpoints that this request has been sent to: others are preferred. In the
    ///         decision log it makes this a retry; give ``event`` too, or nothing ties the two together.
    ///     region: Where the request came from; for the decision log.
    ///     deadline: Seconds that the request has left; for the decision log.
    ///     event: A number that the attempts of one request share in the decision log.
    ///
    /// Raises:
    ///     NoEndpoints: If the fleet is empty or all of it is draining. Endpoints that are down are
    ///         picked when no other is left.
    #[pyo3(signature = (
        *, key = None, request_class = None, tried = None, region = None, deadline = None, event = 0,
    ))]
    fn pick(
        slf: &Bound<'_, Self>,
        key: Option<&Bound<'_, PyAny>>,
        request_class: Option<&str>,
        tried: Option<&Bound<'_, PyAny>>,
        region: Option<&str>,
        deadline: Option<f64>,
        event: u64,
    ) -> PyResult<Lease> {
        let (this, py) = (slf.get(), slf.py());
        let tried = Tried::new(tried)?;
        let mut context = request::context(key, request_class, &tried)?;
        let now = clock::now();
        context.region = region;
        context.event = event;
        context.deadline = deadline.map(|left| request::deadline(py, now, left)).transpose()?;
        let lease = this.picks.pick(py, now, &context)?;
        let value = this.value(lease.node(), py);
        Ok(Lease::new(lease, value, slf.clone().unbind()))
    }

    /// Picks an endpoint and names the request by an integer, which must be given to `end`. For
    /// adapters: nothing ends it by itself. The arguments are those of `pick`.
    #[pyo3(signature = (key = None, request_class = None, tried = None, *, event = 0))]
    fn begin(
        &self,
        py: Python<'_>,
        key: Option<&Bound<'_, PyAny>>,
        request_class: Option<&str>,
        tried: Option<&Bound<'_, PyAny>>,
        event: u64,
    ) -> PyResult<u64> {
        let tried = Tried::new(tried)?;
        let mut context = request::context(key, request_class, &tried)?;
        context.event = event;
        self.picks.begin(py, clock::now(), &context)
    }

    /// Where the request of `token` goes.
    fn address_of(&self, py: Python<'_>, token: u64) -> PyResult<Py<PyString>> {
        self.picks.ask(py, token, |lease| self.address(lease.node(), py))
    }

    /// The id of the endpoint that the request of `token` goes to.
    fn id_of(&self, py: Python<'_>, token: u64) -> PyResult<Py<PyString>> {
        self.picks.ask(py, token, |lease| self.id(lease.node(), py))
    }

    /// The user's object at the endpoint that the request of `token` goes to, or None.
    fn value_of(&self, py: Python<'_>, token: u64) -> PyResult<Option<Py<PyAny>>> {
        self.picks.ask(py, token, |lease| self.value(lease.node(), py))
    }

    /// The first byte of the answer to the request of `token` is here. Only the first call counts.
    fn first_byte(&self, py: Python<'_>, token: u64) -> PyResult<()> {
        self.picks.ask(py, token, |lease| lease.first_byte(clock::now()))
    }

    /// Ends the request of `token` by a ``trimtab.Verdict``. What else is known of it may be given by
    /// the names of `Lease.finish`.
    ///
    /// Raises:
    ///     TokenError: If the token is not open.
    #[pyo3(signature = (token, verdict = 0, /, **details))]
    fn end(
        &self,
        py: Python<'_>,
        token: u64,
        verdict: u8,
        details: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        // Named arguments cost time even when they are not given; hence the dictionary.
        let outcome = match (outcome::from_code(py, verdict)?, details) {
            (Some(outcome), Some(details)) => Some(outcome::with_named(outcome, details)?),
            (outcome, _) => outcome,
        };
        let lease = self.picks.take(py, token)?;
        match outcome {
            Some(outcome) => lease.finish(clock::now(), outcome),
            None => lease.cancel(clock::now()),
        }
        Ok(())
    }

    /// All endpoints with their live statistics, draining ones included.
    #[getter]
    fn endpoints(slf: &Bound<'_, Self>) -> Vec<EndpointStats> {
        let fleet = slf.get().core().fleet();
        let mut snapshot = fleet.snapshot();
        let idle = |(index, node): (usize, &std::sync::Arc<Node>)| {
            snapshot.is_draining(index) && node.in_flight() == 0
        };
        if snapshot.nodes().iter().enumerate().any(idle) {
            fleet.refresh();
            snapshot = fleet.snapshot();
        }
        let stats = |node: &std::sync::Arc<Node>| {
            EndpointStats::new(std::sync::Arc::clone(node), slf.clone().unbind())
        };
        snapshot.nodes().iter().map(stats).collect()
    }

    /// Makes `endpoints` the fleet, given as in the constructor. Endpoints are told apart by id: those
    /// that stay keep their statistics, those that are gone are removed, and requests that are there
    /// go on.
    ///
    /// Raises:
    ///     ConfigError: For an empty fleet or duplicate ids; the fleet is then as before.
    fn update(&self, endpoints: &Bound<'_, PyAny>) -> PyResult<()> {
        let (described, values): (Vec<_>, Vec<_>) = fleet::members(endpoints)?
            .into_iter()
            .map(|(endpoint, value)| (endpoint.clone(), (endpoint.id().clone(), value)))
            .unzip();
        self.change(endpoints.py(), values, |fleet| fleet.replace(described))
    }

    /// Adds an endpoint, or describes one anew that is already there. A draining one takes requests
    /// again.
    #[pyo3(signature = (endpoint, value = None))]
    fn add(&self, endpoint: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let core = fleet::one(endpoint)?;
        let id = core.id().clone();
        self.change(endpoint.py(), vec![(id, value.and_then(fleet::kept))], |fleet| {
            fleet.add(core);
            Ok(())
        })
    }

    /// Removes an endpoint, by id or `Endpoint`, at once. Requests that are there go on.
    ///
    /// Raises:
    ///     ConfigError: If no endpoint has the id.
    fn remove(&self, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let gone = fleet::id(id)?;
        self.change(id.py(), Vec::new(), |fleet| fleet.remove(&gone))
    }

    /// Sends an endpoint, by id or `Endpoint`, no new requests. It stays in `endpoints` until its last
    /// request has ended.
    ///
    /// Raises:
    ///     ConfigError: If no endpoint has the id.
    fn drain(&self, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let gone = fleet::id(id)?;
        self.change(id.py(), Vec::new(), |fleet| fleet.drain(&gone))
    }

    /// Tells the network round trip to an endpoint, by id or `Endpoint`, in seconds, such as the time
    /// that a connection took to open. The shortest one counts, and orders the regions.
    ///
    /// Raises:
    ///     ConfigError: If no endpoint has the id, or the time is not at least 0.
    fn record_round_trip(&self, id: &Bound<'_, PyAny>, seconds: f64) -> PyResult<()> {
        let round_trip = settings::seconds(id.py(), "round trip", seconds)?;
        let id_wanted = fleet::id(id)?;
        self.change(id.py(), Vec::new(), |fleet| {
            let snapshot = fleet.snapshot();
            let Some(node) = snapshot.nodes().iter().find(|node| *node.id() == id_wanted) else {
                return Err(ConfigError::UnknownId { id: id_wanted });
            };
            node.record_round_trip(round_trip);
            fleet.refresh();
            Ok(())
        })
    }

    /// Gives a learning policy a new model, by path or bytes; the next pick uses it.
    ///
    /// Raises:
    ///     ModelError: If it cannot be read; the model in use stays.
    ///     ConfigError: If the policy uses no model.
    fn set_model(&self, model: &Bound<'_, PyAny>) -> PyResult<()> {
        let result = self.core().set_model(model::read(model)?);
        result.map_err(|error| error::config(model.py(), &error))
    }

    /// The policy's name.
    #[getter]
    fn policy(&self) -> &str {
        self.core().policy_name()
    }

    /// What has been counted so far.
    #[getter]
    fn counters(&self) -> Counters {
        let core = self.core().counters();
        let (log_written, log_dropped) = self.picks.log().map_or((0, 0), Log::counts);
        Counters {
            ejections: core.ejections,
            returns: core.returns,
            fail_open: core.fail_open,
            fallbacks: core
                .fallbacks
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| (reason.as_str(), *count))
                .collect(),
            log_written,
            log_dropped,
        }
    }

    /// Picks that a fallback policy made, by reason.
    #[getter]
    fn fallbacks(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.counters().fallbacks
    }

    /// Waits until every finished request so far is in the decision log's file.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.picks.log().map_or(Ok(()), |log| log.flush(py, false))
    }

    /// Flushes the decision log and ends its writer. Picks go on; what they log is lost and counted.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.picks.log().map_or(Ok(()), |log| log.close(py))
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __len__(&self) -> usize {
        self.core().fleet().snapshot().nodes().len()
    }

    fn __repr__(&self) -> String {
        format!("<Balancer policy={:?} endpoints={}>", self.core().policy_name(), self.__len__())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let snapshot = self.core().fleet().snapshot();
        snapshot.nodes().iter().try_for_each(|node| Face::of(node, self.owner).traverse(&visit))
    }

    fn __clear__(&self) {
        let snapshot = self.core().fleet().snapshot();
        let old: Vec<_> = snapshot
            .nodes()
            .iter()
            .map(|node| Face::of(node, self.owner).replace_value(None))
            .collect();
        drop(old);
    }
}
