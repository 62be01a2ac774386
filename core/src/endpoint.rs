//! What an operator says of an endpoint: who it is, where it is, what it can carry, what it costs.
//!
//! Parsed once into types that cannot be wrong; everything measured lives in [`crate::signal`].

use std::{borrow::Borrow, collections::BTreeMap, fmt, sync::Arc};

use crate::error::ConfigError;

/// The stable name of an endpoint. Signals follow it from one fleet snapshot to the next.
///
/// Cheap to clone. By default it is the endpoint's address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Arc<str>);

impl EndpointId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str>> From<T> for EndpointId {
    fn from(id: T) -> Self {
        Self(Arc::from(id.as_ref()))
    }
}

impl Borrow<str> for EndpointId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A share of the load relative to the other endpoints, from 1e-12 to 1e12. 1 by default.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// The default weight.
    pub const ONE: Self = Self(1.0);

    /// Checks that `weight` lies in [1e-12, 1e12], so that no sum or ratio of weights overflows.
    ///
    /// # Errors
    /// [`ConfigError::Weight`] for others, such as zero, negative, infinite and not-a-number ones.
    pub fn new(weight: f64) -> Result<Self, ConfigError> {
        if (1e-12..=1e12).contains(&weight) {
            Ok(Self(weight))
        } else {
            Err(ConfigError::Weight { weight })
        }
    }

    /// The weight as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

/// A position on Earth in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoPoint {
    latitude: f64,
    longitude: f64,
}

impl GeoPoint {
    /// Checks that the latitude is in [-90, 90] and the longitude in [-180, 180] degrees.
    ///
    /// # Errors
    /// [`ConfigError::Coordinates`] otherwise.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, ConfigError> {
        if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
            Ok(Self { latitude, longitude })
        } else {
            Err(ConfigError::Coordinates { latitude, longitude })
        }
    }

    /// Degrees north.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// Great-circle distance in kilometres, by the haversine formula on a sphere of 6371 km.
    ///
    /// ```
    /// use trimtab_core::GeoPoint;
    /// let paris = GeoPoint::new(48.8566, 2.3522)?;
    /// let new_york = GeoPoint::new(40.7128, -74.0060)?;
    /// assert!((paris.distance_km(new_york) - 5837.0).abs() < 5.0);
    /// # Ok::<(), trimtab_core::ConfigError>(())
    /// ```
    pub fn distance_km(self, other: Self) -> f64 {
        const EARTH_RADIUS_KM: f64 = 6371.0;
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let dlat = lat2 - lat1;
        let dlon = (other.longitude - self.longitude).to_radians();
        let h = (dlat / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * (dlon / 2.0).sin().powi(2);
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }
}

/// Where an endpoint is, in the operator's own names. Empty means not told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locality {
    /// Such as `eu-west-1`.
    pub region: String,
    /// Such as `eu-west-1b`.
    pub zone: String,
}

/// One server that requests can go to.
///
/// ```
/// use trimtab_core::{Endpoint, Weight};
/// let endpoint = Endpoint::new("http://10.0.0.1:8000")
///     .with_weight(Weight::new(2.0)?)
///     .with_region("eu-west-1")
///     .with_label("archetype", "h100");
/// assert_eq!(endpoint.id().as_str(), "http://10.0.0.1:8000");
/// # Ok::<(), trimtab_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    id: EndpointId,
    address: Arc<str>,
    weight: Weight,
    locality: Locality,
    geo: Option<GeoPoint>,
    cost: f64,
    labels: BTreeMap<String, String>,
}

impl Endpoint {
    /// An endpoint whose id is its address. The core does not interpret the address; the data plane
    /// that connects to it checks its form.
    pub fn new(address: impl AsRef<str>) -> Self {
        let address: Arc<str> = Arc::from(address.as_ref());
        Self {
            id: EndpointId(Arc::clone(&address)),
            address,
            weight: Weight::ONE,
            locality: Locality::default(),
            geo: None,
            cost: 0.0,
            labels: BTreeMap::new(),
        }
    }

    /// Names it otherwise than by its address.
    pub fn with_id(mut self, id: impl Into<EndpointId>) -> Self {
        self.id = id.into();
        self
    }

    /// Its share of the load.
    pub fn with_weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// The region it is in.
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.locality.region = region.into();
        self
    }

    /// The zone, within its region, it is in.
    pub fn with_zone(mut self, zone: impl Into<String>) -> Self {
        self.locality.zone = zone.into();
        self
    }

    /// Its place on the map.
    pub fn with_geo(mut self, geo: GeoPoint) -> Self {
        self.geo = Some(geo);
        self
    }

    /// What a request to it costs, in a unit of the operator's.
    ///
    /// # Errors
    /// [`ConfigError::Cost`] for negative, infinite and not-a-number costs.
    pub fn with_cost(mut self, cost: f64) -> Result<Self, ConfigError> {
        if !(cost.is_finite() && cost >= 0.0) {
            return Err(ConfigError::Cost { cost });
        }
        self.cost = cost;
        Ok(self)
    }

    /// Adds a label.
    pub fn with_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// The stable id.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Where to connect to.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Its share of the load.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// Where it is by name.
    pub fn locality(&self) -> &Locality {
        &self.locality
    }

    /// Where it is on the map.
    pub fn geo(&self) -> Option<GeoPoint> {
        self.geo
    }

    /// What a request to it costs.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// All labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The values of the labels `keys`, as `key=value,...`; `None` if it lacks one of them.
    pub(crate) fn archetype(&self, keys: &[String]) -> Option<String> {
        let parts: Option<Vec<String>> =
            keys.iter().map(|key| Some(format!("{key}={}", self.labels.get(key)?))).collect();
        parts.filter(|p| !p.is_empty()).map(|p| p.join(","))
    }
}
