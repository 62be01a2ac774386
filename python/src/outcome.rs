//! How a request ended, from Python's arguments to the core's outcome.

use std::{collections::BTreeMap, time::Duration};

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyMapping},
};
use trimtab_core::{Failure, LoadReport, Outcome, Verdict};

use crate::error;

/// Verdicts as the integers of `trimtab.Verdict`.
pub(crate) const SUCCESS: u8 = 0;
/// No connection could be made.
pub(crate) const CONNECT: u8 = 1;
/// The connection broke.
pub(crate) const RESET: u8 = 2;
/// No answer in time.
pub(crate) const TIMEOUT: u8 = 3;
/// The answer says that the endpoint failed.
pub(crate) const STATUS: u8 = 4;
/// Says nothing of the endpoint.
pub(crate) const IGNORED: u8 = 5;
/// Given up.
pub(crate) const CANCELLED: u8 = 6;

/// The outcome of `verdict`; `None` for a cancellation.
#[inline]
pub(crate) fn from_code(py: Python<'_>, verdict: u8) -> PyResult<Option<Outcome>> {
    Ok(Some(match verdict {
        SUCCESS => Outcome::success(),
        CONNECT => Outcome::failure(Failure::Connect),
        RESET => Outcome::failure(Failure::Reset),
        TIMEOUT => Outcome::failure(Failure::Timeout),
        STATUS => Outcome::failure(Failure::Status),
        IGNORED => Outcome::ignore(),
        CANCELLED => return Ok(None),
        other => {
            let message = format_args!("verdict {other} is not one of trimtab.Verdict, 0 to 6");
            return Err(error::CONFIG_ERROR.new_err(py, message));
        }
    }))
}

/// The failure called `kind`.
pub(crate) fn failure(py: Python<'_>, kind: &str) -> PyResult<Outcome> {
    let failure = match kind {
        "connect" => Failure::Connect,
        "reset" => Failure::Reset,
        "timeout" => Failure::Timeout,
        "status" => Failure::Status,
        _ => {
            let known = "known are connect, reset, timeout, status";
            let message = format_args!("unknown kind of failure {kind:?}; {known}");
            return Err(error::CONFIG_ERROR.new_err(py, message));
        }
    };
    Ok(Outcome::failure(failure))
}

/// What an adapter may know beside the verdict. Times in seconds.
#[derive(Debug, Default)]
pub(crate) struct Details<'a, 'py> {
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<f64>,
    pub(crate) server_processing: Option<f64>,
    pub(crate) server_queue: Option<f64>,
    pub(crate) load: Option<&'a Bound<'py, PyAny>>,
    pub(crate) bytes: Option<u64>,
    pub(crate) tokens: Option<u64>,
}

impl Details<'_, '_> {
    /// Adds what is known to `outcome`.
    pub(crate) fn add_to(&self, py: Python<'_>, mut outcome: Outcome) -> PyResult<Outcome> {
        outcome.status = self.status;
        outcome.retry_after = duration(py, "retry_after", self.retry_after)?;
        outcome.server_processing = duration(py, "server_processing", self.server_processing)?;
        outcome.server_queue = duration(py, "server_queue", self.server_queue)?;
        outcome.bytes = self.bytes;
        outcome.tokens = self.tokens;
        outcome.load = self.load.map(load).transpose()?;
        if outcome.verdict == Verdict::Success && outcome.retry_after.is_some() {
            // The core reads it from failures only; kept for the log's sake it would mislead.
            outcome.retry_after = None;
        }
        Ok(outcome)
    }
}

/// Adds details that were given as a dictionary of named arguments.
pub(crate) fn with_named(outcome: Outcome, given: &Bound<'_, PyDict>) -> PyResult<Outcome> {
    let mut known = 0;
    let mut named = |name| {
        let value = given.get_item(name)?;
        known += usize::from(value.is_some());
        Ok::<_, PyErr>(value.filter(|value| !value.is_none()))
    };
    let load = named("load")?;
    let details = Details {
        status: extracted(named("status")?)?,
        retry_after: extracted(named("retry_after")?)?,
        server_processing: extracted(named("server_processing")?)?,
        server_queue: extracted(named("server_queue")?)?,
        load: load.as_ref(),
        bytes: extracted(named("bytes")?)?,
        tokens: extracted(named("tokens")?)?,
    };
    if known < given.len() {
        return Err(PyTypeError::new_err(format!(
            "end() got {}; the names it knows: status, retry_after, server_processing, server_queue, \
             load, bytes, tokens",
            given.keys()
        )));
    }
    details.add_to(given.py(), outcome)
}

fn extracted<'py, T>(value: Option<Bound<'py, PyAny>>) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    value.map(|value| value.extract()).transpose()
}

fn duration(py: Python<'_>, name: &str, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| {
        let message = format_args!("{name} = {seconds} must be a number of seconds, at least 0");
        error::CONFIG_ERROR.new_err(py, message)
    })
}

/// A mapping with ORCA's names; what is absent is 0.
fn load(given: &Bound<'_, PyAny>) -> PyResult<LoadReport> {
    let given = given.cast::<PyMapping>()?;
    let number = |names: &[&str]| -> PyResult<f64> {
        for name in names {
            if given.contains(name)? {
                return given.get_item(name)?.extract();
            }
        }
        Ok(0.0)
    };
    let mut report = LoadReport {
        cpu_utilization: number(&["cpu_utilization"])?,
        mem_utilization: number(&["mem_utilization"])?,
        application_utilization: number(&["application_utilization"])?,
        rps: number(&["rps_fractional", "rps"])?,
        eps: number(&["eps"])?,
        ..LoadReport::default()
    };
    if given.contains("named_metrics")? {
        report.named_metrics =
            given.get_item("named_metrics")?.extract::<BTreeMap<String, f64>>()?;
    }
    Ok(report)
}
