//! Lists and mappings of endpoints, as users write them.

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyMapping, PyString},
};

use crate::{
    endpoint::{self, Endpoint},
    error,
};

/// An endpoint and the object that the user keeps with it.
pub(crate) type Member = (trimtab_core::Endpoint, Option<Py<PyAny>>);

/// Reads a mapping (address or `Endpoint` to any object) or an iterable (addresses, `Endpoint`s).
pub(crate) fn members(given: &Bound<'_, PyAny>) -> PyResult<Vec<Member>> {
    if given.is_instance_of::<PyString>() || given.is_instance_of::<Endpoint>() {
        return Err(error::CONFIG_ERROR.new_err(
            given.py(),
            format_args!("endpoints must be a list or a mapping; put {} in a list", given.repr()?),
        ));
    }
    if let Ok(mapping) = given.cast::<PyMapping>() {
        return mapping
            .items()?
            .iter()
            .map(|item| {
                let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                Ok((one(&key)?, kept(&value)))
            })
            .collect();
    }
    given.try_iter()?.map(|item| Ok((one(&item?)?, None))).collect()
}

/// Reads one address or `Endpoint`.
pub(crate) fn one(given: &Bound<'_, PyAny>) -> PyResult<trimtab_core::Endpoint> {
    if let Ok(endpoint) = given.cast::<Endpoint>() {
        return Ok(endpoint.get().to_core());
    }
    if let Ok(address) = given.cast::<PyString>() {
        return endpoint::from_address(given.py(), address.to_str()?);
    }
    let kind = given.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "an endpoint must be an address (str) or a trimtab.Endpoint, not {kind}"
    )))
}

/// Reads an id: text, or an `Endpoint` that has it.
pub(crate) fn id(given: &Bound<'_, PyAny>) -> PyResult<trimtab_core::EndpointId> {
    if let Ok(endpoint) = given.cast::<Endpoint>() {
        return Ok(endpoint.get().id_str().into());
    }
    Ok(given.cast::<PyString>()?.to_str()?.into())
}

/// Python's None is the same as no value.
pub(crate) fn kept(value: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
    (!value.is_none()).then(|| value.clone().unbind())
}
