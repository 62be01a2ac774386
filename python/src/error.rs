//! The core's errors as the exceptions of `trimtab.errors`.

use std::{ffi::CString, fmt::Display};

use pyo3::{exceptions::PyRuntimeWarning, prelude::*, sync::PyOnceLock, types::PyType};
use trimtab_core::PickError;

/// An exception class of `trimtab.errors`, imported at its first use.
pub(crate) struct Exception {
    name: &'static str,
    class: PyOnceLock<Py<PyType>>,
}

/// A setting, an endpoint or a call that cannot be used.
pub(crate) static CONFIG_ERROR: Exception = Exception::new("ConfigError");
/// A log that nothing can be learned from.
pub(crate) static LOG_ERROR: Exception = Exception::new("LogError");
/// A model that cannot be read.
pub(crate) static MODEL_ERROR: Exception = Exception::new("ModelError");
/// Nothing to pick.
pub(crate) static NO_ENDPOINTS: Exception = Exception::new("NoEndpoints");
/// A simulation that cannot be run.
pub(crate) static SCENARIO_ERROR: Exception = Exception::new("ScenarioError");
/// A token that is not open.
pub(crate) static TOKEN_ERROR: Exception = Exception::new("TokenError");

impl Exception {
    const fn new(name: &'static str) -> Self {
        Self { name, class: PyOnceLock::new() }
    }

    /// The exception with `message`.
    pub(crate) fn new_err(&self, py: Python<'_>, message: impl Display) -> PyErr {
        match self.class.import(py, "trimtab.errors", self.name) {
            Ok(class) => PyErr::from_type(class.clone(), (message.to_string(),)),
            Err(error) => error,
        }
    }

    /// The exception with `message`, caused by `cause`.
    pub(crate) fn caused_by(&self, py: Python<'_>, message: impl Display, cause: PyErr) -> PyErr {
        let error = self.new_err(py, message);
        error.set_cause(py, Some(cause));
        error
    }
}

/// A configuration that the core refuses.
pub(crate) fn config(py: Python<'_>, error: &trimtab_core::ConfigError) -> PyErr {
    CONFIG_ERROR.new_err(py, error)
}

/// A pick that found no endpoint.
#[cold]
pub(crate) fn pick(py: Python<'_>, error: &PickError) -> PyErr {
    NO_ENDPOINTS.new_err(py, error)
}

/// Warns of something that no request may fail for, even where warnings are made errors.
#[cold]
pub(crate) fn warn(py: Python<'_>, message: String) {
    let message = CString::new(message).unwrap_or_default();
    let category = py.get_type::<PyRuntimeWarning>();
    if let Err(error) = PyErr::warn(py, &category, &message, 1) {
        error.write_unraisable(py, None);
    }
}
