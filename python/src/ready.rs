//! An awaitable that is done at once, so that `async with` costs no trip through the event loop.

use pyo3::{exceptions::PyStopIteration, prelude::*};

/// Awaiting it gives its value without suspending.
#[pyclass(frozen, module = "trimtab")]
#[derive(Debug)]
pub(crate) struct Ready {
    value: Py<PyAny>,
}

impl Ready {
    pub(crate) fn new(value: Py<PyAny>) -> Self {
        Self { value }
    }
}

#[pymethods]
impl Ready {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<()> {
        Err(PyStopIteration::new_err((self.value.clone_ref(py),)))
    }
}
