//! A request's facts, from Python's arguments to the core's context.

use std::time::Duration;

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBytes, PyInt, PyString},
};
use trimtab_core::{Context, EndpointId, Time};

use crate::error;

/// What borrowed arguments cannot hold: it lives beside the context for the length of a pick.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<EndpointId>);

impl Tried {
    /// The ids in `tried`, an iterable of strings; nothing for an empty one.
    #[inline]
    pub(crate) fn new(tried: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        match tried {
            None => Ok(Self::default()),
            Some(tried) => Self::listed(tried),
        }
    }

    fn listed(tried: &Bound<'_, PyAny>) -> PyResult<Self> {
        if tried.is_instance_of::<PyString>() {
            let message = "tried must be an iterable of endpoint ids, not one string";
            return Err(PyTypeError::new_err(message));
        }
        let mut ids = Vec::new();
        for id in tried.try_iter()? {
            ids.push(EndpointId::from(id?.cast::<PyString>()?.to_str()?));
        }
        Ok(Self(ids))
    }
}

/// The context of one pick.
#[inline]
pub(crate) fn context<'a>(
    key: Option<&Bound<'_, PyAny>>,
    request_class: Option<&'a str>,
    tried: &'a Tried,
) -> PyResult<Context<'a>> {
    let mut context = Context::new();
    context.request_class = request_class;
    context.tried = &tried.0;
    if let Some(key) = key {
        context = with_key(context, key)?;
    }
    Ok(context)
}

/// `deadline` seconds from `now`.
pub(crate) fn deadline(py: Python<'_>, now: Time, seconds: f64) -> PyResult<Time> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(left) => Ok(now + left),
        Err(_) => Err(error::CONFIG_ERROR.new_err(
            py,
            format_args!("deadline = {seconds} must be a number of seconds from now, at least 0"),
        )),
    }
}

/// Text counts as its UTF-8, an integer as its decimal digits.
fn with_key<'a>(context: Context<'a>, key: &Bound<'_, PyAny>) -> PyResult<Context<'a>> {
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(context.with_key(text.to_str()?));
    }
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(context.with_key(bytes.as_bytes()));
    }
    if key.is_instance_of::<PyInt>() {
        return Ok(context.with_key(key.str()?.to_str()?));
    }
    let kind = key.get_type().name()?;
    Err(PyTypeError::new_err(format!("key must be str, bytes or int, not {kind}")))
}
