//! `trimtab.Endpoint`: what a user says of a server.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use pyo3::prelude::*;
use trimtab_core::{GeoPoint, Weight};

use crate::error;

/// One server that requests can go to. Frozen; compares by all its fields.
///
/// Args:
///     address: Where to connect to; the HTTP adapters want a URL such as ``http://10.0.0.1:8000``.
///     id: The stable name that statistics follow; the address if not told.
///     weight: Share of the load relative to the other endpoints, positive and finite.
///     region: Such as ``eu-west-1``.
///     zone: Such as ``eu-west-1b``.
///     latitude: Degrees north, in [-90, 90]; given together with the longitude.
///     longitude: Degrees east, in [-180, 180].
///     cost: What a request costs there, in a unit of yours; at least 0.
///     labels: Names and values of your own, such as the archetype that learned tables go by.
///
/// Raises:
///     ConfigError: For anything outside these bounds, with the endpoint named.
#[pyclass(frozen, eq, hash, module = "trimtab", name = "Endpoint")]
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    core: Arc<trimtab_core::Endpoint>,
}

impl From<Arc<trimtab_core::Endpoint>> for Endpoint {
    fn from(core: Arc<trimtab_core::Endpoint>) -> Self {
        Self { core }
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.core == other.core
    }
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.core.id().hash(state);
        self.core.address().hash(state);
    }
}

impl Endpoint {
    pub(crate) fn to_core(&self) -> trimtab_core::Endpoint {
        (*self.core).clone()
    }

    pub(crate) fn id_str(&self) -> &str {
        self.core.id().as_str()
    }
}

/// An endpoint of which only the address is told.
pub(crate) fn from_address(py: Python<'_>, address: &str) -> PyResult<trimtab_core::Endpoint> {
    if address.is_empty() || address.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(error::CONFIG_ERROR.new_err(
            py,
            format_args!("address {address:?} is empty or has spaces or control characters in it"),
        ));
    }
    Ok(trimtab_core::Endpoint::new(address))
}

#[pymethods]
impl Endpoint {
    #[new]
    #[pyo3(signature = (
        address, *, id = None, weight = 1.0, region = "", zone = "",
        latitude = None, longitude = None, cost = 0.0, labels = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        py: Python<'_>,
        address: &str,
        id: Option<&str>,
        weight: f64,
        region: &str,
        zone: &str,
        latitude: Option<f64>,
        longitude: Option<f64>,
        cost: f64,
        labels: Option<BTreeMap<String, String>>,
    ) -> PyResult<Self> {
        let refuse = |error: trimtab_core::ConfigError| {
            let name = id.unwrap_or(address);
            error::CONFIG_ERROR.new_err(py, format_args!("endpoint {name:?}: {error}"))
        };
        let mut core = from_address(py, address)?
            .with_weight(Weight::new(weight).map_err(refuse)?)
            .with_region(region)
            .with_zone(zone)
            .with_cost(cost)
            .map_err(refuse)?;
        if let Some(id) = id {
            core = core.with_id(id);
        }
        match (latitude, longitude) {
            (None, None) => {}
            (latitude, longitude) => {
                let (north, east) = (latitude.unwrap_or(f64::NAN), longitude.unwrap_or(f64::NAN));
                core = core.with_geo(GeoPoint::new(north, east).map_err(refuse)?);
            }
        }
        for (key, value) in labels.unwrap_or_default() {
            core = core.with_label(key, value);
        }
        Ok(Self { core: Arc::new(core) })
    }

    /// Where to connect to.
    #[getter]
    fn address(&self) -> &str {
        self.core.address()
    }

    /// The stable name that statistics follow.
    #[getter]
    fn id(&self) -> &str {
        self.id_str()
    }

    /// Share of the load relative to the other endpoints.
    #[getter]
    fn weight(&self) -> f64 {
        self.core.weight().get()
    }

    /// The region it is in; empty if not told.
    #[getter]
    fn region(&self) -> &str {
        &self.core.locality().region
    }

    /// The zone, within its region, it is in; empty if not told.
    #[getter]
    fn zone(&self) -> &str {
        &self.core.locality().zone
    }

    /// Degrees north, or None.
    #[getter]
    fn latitude(&self) -> Option<f64> {
        self.core.geo().map(GeoPoint::latitude)
    }

    /// Degrees east, or None.
    #[getter]
    fn longitude(&self) -> Option<f64> {
        self.core.geo().map(GeoPoint::longitude)
    }

    /// What a request costs there, in the user's unit.
    #[getter]
    fn cost(&self) -> f64 {
        self.core.cost()
    }

    /// Names and values of the user's; a copy.
    #[getter]
    fn labels(&self) -> BTreeMap<String, String> {
        self.core.labels().clone()
    }

    fn __repr__(&self) -> String {
        let mut parts = vec![format!("{:?}", self.address())];
        if self.id() != self.address() {
            parts.push(format!("id={:?}", self.id()));
        }
        if self.weight() != 1.0 {
            parts.push(format!("weight={:?}", self.weight()));
        }
        for (name, value) in [("region", self.region()), ("zone", self.zone())] {
            if !value.is_empty() {
                parts.push(format!("{name}={value:?}"));
            }
        }
        if let Some(geo) = self.core.geo() {
            let (north, east) = (geo.latitude(), geo.longitude());
            parts.push(format!("latitude={north:?}, longitude={east:?}"));
        }
        if self.cost() > 0.0 {
            parts.push(format!("cost={:?}", self.cost()));
        }
        if !self.core.labels().is_empty() {
            parts.push(format!("labels={:?}", self.core.labels()));
        }
        format!("Endpoint({})", parts.join(", "))
    }
}
