//! Learned models from a path or from bytes.

use std::{fs::File, io::Read, path::PathBuf};

use pyo3::{
    PyTypeInfo,
    exceptions::PyOSError,
    prelude::*,
    types::{PyByteArray, PyBytes, PyMemoryView},
};
use trimtab_core::learn::{MAX_FILE, Model};

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
    // One byte over the limit is enough to be refused for its size.
    let limited = |file: File| {
        let mut bytes = Vec::new();
        file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = py.detach(|| File::open(&path).and_then(limited)).map_err(|error| {
        let cause = PyOSError::new_err((error.raw_os_error(), error.to_string()));
        error::MODEL_ERROR.caused_by(py, format_args!("{name}: {error}"), cause)
    })?;
    decode(py, &name, &bytes)
}

fn decode(py: Python<'_>, name: &str, bytes: &[u8]) -> PyResult<Model> {
    Model::from_bytes(bytes)
        .map_err(|error| error::MODEL_ERROR.new_err(py, format_args!("{name}: {error}")))
}
