//! `trimtab.Lease`: a request under way, as a context manager of both kinds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{prelude::*, sync::PyOnceLock, types::PyString};
use trimtab_core::Outcome;

use crate::{
    balancer::Balancer,
    clock,
    endpoint::Endpoint,
    outcome::{self, Details},
    ready::Ready,
};

/// One attempt of one request at one endpoint, made by `Balancer.pick`.
///
/// It counts as in flight until it ends, which it does once: by ``success``, ``fail``, ``ignore`` or
/// ``cancel``, by leaving its ``with`` block (a failure if an exception leaves it, else a success), or
/// by being garbage collected (a cancellation). Ending it again does nothing; those methods return
/// whether they ended it.
#[pyclass(frozen, generic, freelist = 256, module = "trimtab", name = "Lease")]
#[derive(Debug)]
pub(crate) struct Lease {
    core: Mutex<trimtab_core::Lease>,
    value: Option<Py<PyAny>>,
    balancer: Py<Balancer>,
}

impl Lease {
    #[inline]
    pub(crate) fn new(
        core: trimtab_core::Lease,
        value: Option<Py<PyAny>>,
        balancer: Py<Balancer>,
    ) -> Self {
        Self { core: Mutex::new(core), value, balancer }
    }

    #[inline]
    fn core(&self) -> MutexGuard<'_, trimtab_core::Lease> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it with `outcome`, as a cancellation without one; false if it had ended.
    #[inline]
    fn end(&self, outcome: Option<Outcome>) -> bool {
        match outcome {
            Some(outcome) => self.core().finish_in_place(clock::now(), outcome),
            None => self.core().cancel_in_place(clock::now()),
        }
    }

    fn exit(&self, exception: &Bound<'_, PyAny>) {
        let outcome = if exception.is_none() {
            Some(Outcome::success())
        } else {
            classified(exception).unwrap_or_else(|error| {
                error.write_unraisable(exception.py(), Some(exception));
                Some(Outcome::failure(trimtab_core::Failure::Status))
            })
        };
        self.end(outcome);
    }
}

/// What an exception says of the endpoint; `trimtab._classify` knows the clients' classes.
#[cold]
fn classified(exception: &Bound<'_, PyAny>) -> PyResult<Option<Outcome>> {
    static CLASSIFY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = exception.py();
    let classify = CLASSIFY.import(py, "trimtab._classify", "classify")?;
    let (verdict, status, retry_after) =
        classify.call1((exception,))?.extract::<(u8, Option<u16>, Option<f64>)>()?;
    let details = Details { status, retry_after, ..Details::default() };
    let outcome = outcome::from_code(py, verdict)?;
    outcome.map(|outcome| details.add_to(py, outcome)).transpose()
}

#[pymethods]
impl Lease {
    /// Where the request goes.
    #[getter]
    fn address(&self, py: Python<'_>) -> Py<PyString> {
        self.balancer.get().address(self.core().node(), py)
    }

    /// The endpoint's id.
    #[getter]
    fn id(&self, py: Python<'_>) -> Py<PyString> {
        self.balancer.get().id(self.core().node(), py)
    }

    /// The object that the user keeps with the endpoint, as it was at the pick; or None.
    #[getter]
    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.value.as_ref().map(|value| value.clone_ref(py))
    }

    /// The endpoint's description.
    #[getter]
    fn endpoint(&self) -> Endpoint {
        Endpoint::from(self.core().node().endpoint())
    }

    /// Whether it has ended.
    #[getter]
    fn ended(&self) -> bool {
        self.core().is_ended()
    }

    /// The first byte of the answer is here. Its latency counts at once, however long the rest takes.
    /// Only the first call counts.
    fn first_byte(&self) {
        self.core().first_byte(clock::now());
    }

    /// The endpoint did its work, whatever it answered: a 404 is a success.
    ///
    /// Args:
    ///     status: HTTP or gRPC status, for the decision log.
    ///     server_processing: The server's own measure of its processing time, in seconds.
    ///     server_queue: The server's own measure of the time in its queue, in seconds.
    ///     load: The server's load report, a mapping with ORCA's names.
    ///     bytes: Size of the answer in bytes.
    ///     tokens: Tokens of the answer.
    #[pyo3(signature = (
        *, status = None, server_processing = None, server_queue = None, load = None,
        bytes = None, tokens = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn success(
        &self,
        py: Python<'_>,
        status: Option<u16>,
        server_processing: Option<f64>,
        server_queue: Option<f64>,
        load: Option<&Bound<'_, PyAny>>,
        bytes: Option<u64>,
        tokens: Option<u64>,
    ) -> PyResult<bool> {
        let details = Details {
            status,
            retry_after: None,
            server_processing,
            server_queue,
            load,
            bytes,
            tokens,
        };
        Ok(self.end(Some(details.add_to(py, Outcome::success())?)))
    }

    /// The endpoint failed.
    ///
    /// Args:
    ///     kind: ``"connect"`` (nothing was sent), ``"reset"`` (the connection broke), ``"timeout"``,
    ///         or ``"status"`` (the answer says so).
    ///     status: HTTP or gRPC status, for the decision log.
    ///     retry_after: How long the endpoint asks to be left alone, in seconds.
    ///     load: The server's load report, a mapping with ORCA's names.
    #[pyo3(signature = (kind = "status", *, status = None, retry_after = None, load = None))]
    fn fail(
        &self,
        py: Python<'_>,
        kind: &str,
        status: Option<u16>,
        retry_after: Option<f64>,
        load: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let details = Details { status, retry_after, load, ..Details::default() };
        Ok(self.end(Some(details.add_to(py, outcome::failure(py, kind)?)?)))
    }

    /// Ends it by a ``trimtab.Verdict``, with everything known of the request; for adapters.
    #[pyo3(signature = (
        verdict = 0, *, status = None, retry_after = None, server_processing = None,
        server_queue = None, load = None, bytes = None, tokens = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn finish(
        &self,
        py: Python<'_>,
        verdict: u8,
        status: Option<u16>,
        retry_after: Option<f64>,
        server_processing: Option<f64>,
        server_queue: Option<f64>,
        load: Option<&Bound<'_, PyAny>>,
        bytes: Option<u64>,
        tokens: Option<u64>,
    ) -> PyResult<bool> {
        let outcome = outcome::from_code(py, verdict)?;
        let details =
            Details { status, retry_after, server_processing, server_queue, load, bytes, tokens };
        Ok(self.end(outcome.map(|outcome| details.add_to(py, outcome)).transpose()?))
    }

    /// It ended in a way that says nothing of the endpoint.
    fn ignore(&self) -> bool {
        self.end(Some(Outcome::ignore()))
    }

    /// It was given up. The time so far counts as "at least this long".
    fn cancel(&self) -> bool {
        self.end(None)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        self.exit(exception);
    }

    fn __aenter__(slf: Bound<'_, Self>) -> Ready {
        Ready::new(slf.into_any().unbind())
    }

    fn __aexit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> Ready {
        self.exit(exception);
        Ready::new(py.None())
    }

    fn __repr__(&self) -> String {
        let core = self.core();
        let word = if core.is_ended() { "ended" } else { "open" };
        format!("<Lease {word} {:?}>", core.id().as_str())
    }
}
