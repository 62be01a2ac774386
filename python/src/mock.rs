//! The mock inference server, run from Python: what `trimtab mock` is.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pyo3::{
    exceptions::{PyKeyboardInterrupt, PyOSError},
    prelude::*,
};
use trimtab_mock::{Faults, MockError, Server, StopReason};

use crate::error::CONFIG_ERROR;

/// How often Python's signal handlers get a turn, so that Ctrl-C works.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

/// Runs a mock inference server on this thread until Ctrl-C or the exit fault; True if the exit fault
/// ended it. `on_ready` is called with the server's URL once it listens.
#[pyfunction]
#[pyo3(signature = (host, port, preset, *, seed, network_ms, model_name, max_waiting, faults, on_ready))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
pub(crate) fn run_mock(
    py: Python<'_>,
    host: &str,
    port: u16,
    preset: &str,
    seed: u64,
    network_ms: f64,
    model_name: &str,
    max_waiting: usize,
    faults: &str,
    on_ready: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let config = |message: String| CONFIG_ERROR.new_err(py, message);
    let ip = host.parse().map_err(|_| config(format!("host {host:?} is not an IP address")))?;
    let addr = SocketAddr::new(ip, port);
    let delay = Duration::try_from_secs_f64(network_ms / 1e3)
        .map_err(|_| config(format!("network_ms = {network_ms} is not a time of at least 0")))?;
    let changes = serde_json::from_str(faults)
        .map_err(|error| config(format!("faults are not JSON: {error}")))?;
    let faults = Faults::default().apply(&changes).map_err(|error| config(error.to_string()))?;
    let builder = Server::builder()
        .preset_name(preset)
        .map_err(|error| refusal(py, &error))?
        .seed(seed)
        .network_delay(delay)
        .model_name(model_name)
        .max_waiting(max_waiting)
        .faults(faults);

    let interrupted = Mutex::new(None);
    let interrupt = || interrupted.lock().unwrap_or_else(PoisonError::into_inner);
    let on_ready = on_ready.clone().unbind();
    let ready = |server: &Server| {
        let url = server.url();
        // This thread is Python's own: the runtime inside runs on it alone.
        Python::attach(|py| {
            match on_ready.call1(py, (url,)) {
                // Ctrl-C may come while the callback runs.
                Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => {
                    *interrupt() = Some(error);
                }
                Err(error) => error.write_unraisable(py, None),
                Ok(_) => {}
            }
        });
    };
    let signal = async {
        while interrupt().is_none() {
            tokio::time::sleep(SIGNAL_POLL).await;
            if let Some(error) = Python::attach(|py| py.check_signals().err()) {
                *interrupt() = Some(error);
            }
        }
    };
    let ended = py.detach(|| trimtab_mock::run(builder, addr, ready, signal));
    let interrupted = interrupt().take();
    match interrupted {
        Some(error) => Err(error),
        None => ended.map(|r| r == StopReason::ExitFault).map_err(|error| refusal(py, &error)),
    }
}

fn refusal(py: Python<'_>, error: &MockError) -> PyErr {
    let code = match error {
        // The error holds no number, and the number differs from system to system.
        MockError::AddressInUse { .. } => {
            let code = py.import("errno").and_then(|m| m.getattr("EADDRINUSE")?.extract::<i32>());
            match code {
                Ok(code) => Some(code),
                Err(error) => return error,
            }
        }
        MockError::Bind { source, .. } | MockError::Runtime(source) => source.raw_os_error(),
        _ => return CONFIG_ERROR.new_err(py, error),
    };
    match code {
        Some(code) => PyOSError::new_err((code, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}
