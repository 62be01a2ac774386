//! Learned models from a path or from bytes.

use std::path::PathBuf;

use pyo3::{
    PyTypeInfo,
    exceptions::PyOSError,
    prelude::*,
    types::{PyByteArray, PyBytes, PyMemoryView},
};
use trimtab_core::learn::Model;

use crate::error;

/// Reads the model that `given` is (bytes, bytearray, memoryview) or leads to (a path).
pub(crate) fn read(given: &Bound<'_, PyAny>) -> PyResult<Model> {
    let py = given.py();
    if given.is_instance_of::<PyBytes>()
        || given.is_instance_of::<PyByteArray>()
        || given.is_instance_of::<PyMemoryView>()
    {
        let bytes = PyBytes::type_object(py).call1((given,))?;
        return decode(py, "model bytes", bytes.cast::<PyBytes>()?.as_bytes());
    }
    let path: PathBuf = given.extract()?;
    let name = format!("model {}", path.display());
    let bytes = py.detach(|| std::fs::read(&path)).map_err(|error| {
        let cause = PyOSError::new_err((error.raw_os_error(), error.to_string()));
        error::MODEL_ERROR.caused_by(py, format_args!("{name}: {error}"), cause)
    })?;
    decode(py, &name, &bytes)
}

fn decode(py: Python<'_>, name: &str, bytes: &[u8]) -> PyResult<Model> {
    let _ = bytes;
    Err(error::MODEL_ERROR.new_err(py, format_args!("{name}: not a model")))
}
