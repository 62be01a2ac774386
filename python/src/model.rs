//! Learned models from a path or from bytes.

use std::{fs::File, path::PathBuf};

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
        let bytes = bytes.cast::<PyBytes>()?.as_bytes();
        return py
            .detach(|| Model::from_bytes(bytes))
            .map_err(|error| error::MODEL_ERROR.new_err(py, format_args!("model bytes: {error}")));
    }
    let path: PathBuf = given.extract()?;
    let refuse = |error: std::io::Error| {
        let message = format!("model {}: {error}", path.display());
        let cause = PyOSError::new_err((error.raw_os_error(), error.to_string()));
        error::MODEL_ERROR.caused_by(py, message, cause)
    };
    // A pipe or a device could block, or never end.
    if !path.metadata().map_err(refuse)?.is_file() {
        return Err(refuse(std::io::Error::other("not a regular file")));
    }
    let file = File::open(&path).map_err(refuse)?;
    let model = py.detach(|| Model::read(file));
    model.map_err(|error| {
        error::MODEL_ERROR.new_err(py, format_args!("model {}: {error}", path.display()))
    })
}
