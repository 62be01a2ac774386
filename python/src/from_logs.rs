//! Scenarios out of decision logs, as `trimtab simulate --from-logs` makes them: bytes of JSON lines in,
//! a folder with a scenario out.

use std::path::PathBuf;

use pyo3::{prelude::*, pybacked::PyBackedBytes};
use trimtab_core::sim::from_logs::{FromLogs, FromLogsError};

use crate::error;

/// Gathers logs and makes a scenario of them.
#[pyclass(module = "trimtab._trimtab")]
#[derive(Debug, Default)]
pub(crate) struct ScenarioFromLogs {
    logs: FromLogs,
}

#[pymethods]
impl ScenarioFromLogs {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Begins a file of JSON lines.
    fn open(&mut self, file: &str) {
        self.logs.open(file);
    }

    /// Takes the next bytes of that file.
    #[expect(clippy::needless_pass_by_value, reason = "the bytes are kept while the GIL is not")]
    fn push(&mut self, py: Python<'_>, chunk: PyBackedBytes) -> PyResult<()> {
        let logs = &mut self.logs;
        py.detach(|| logs.push(&chunk)).map_err(|error| raise(py, &error))
    }

    /// Ends that file.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        self.logs.close().map_err(|error| raise(py, &error))
    }

    /// Rows that could not be used.
    #[getter]
    fn wrong(&self) -> u64 {
        self.logs.wrong()
    }

    /// The first of them, as `file:line: reason`.
    #[getter]
    fn wrong_rows(&self) -> Vec<String> {
        self.logs.shown().iter().map(ToString::to_string).collect()
    }

    /// Fits the scenario and writes `scenario.toml` and `arrivals.csv` into a folder; the scenario's path.
    #[expect(clippy::needless_pass_by_value, reason = "a path is extracted by value")]
    fn write(&self, py: Python<'_>, folder: PathBuf) -> PyResult<PathBuf> {
        let logs = &self.logs;
        let written = py.detach(|| logs.build().and_then(|built| built.write(&folder)));
        written.map(|(path, _)| path).map_err(|error| raise(py, &error))
    }
}

fn raise(py: Python<'_>, error: &FromLogsError) -> PyErr {
    match error {
        FromLogsError::Write { .. } | FromLogsError::Scenario(_) => {
            error::SCENARIO_ERROR.new_err(py, error)
        }
        _ => error::LOG_ERROR.new_err(py, error),
    }
}
