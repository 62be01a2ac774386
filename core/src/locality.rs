//! Where requests start from, and which endpoints are near.
//!
//! With a preference for locality the fleet is laid out in tiers: this process's own region, then the
//! other regions from the nearest on. A tier is used while it has an eligible endpoint. A region's
//! distance is the shortest network round trip measured to any endpoint there; before one is known it
//! is estimated from the great-circle distance at 100 km a millisecond (light in fibre covers 200, and
//! has to come back). Regions of unknown distance come last, in order of name.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    endpoint::{Endpoint, GeoPoint},
    node::Node,
};

const KM_PER_MILLISECOND: f64 = 100.0;

/// Where this process is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Its region, in the same names as the endpoints'. Empty means not told.
    pub region: String,
    /// Its position on the map.
    pub geo: Option<GeoPoint>,
}

impl Place {
    /// In `region`.
    pub fn in_region(region: impl Into<String>) -> Self {
        Self { region: region.into(), geo: None }
    }

    /// At `geo` on the map.
    pub fn at(mut self, geo: GeoPoint) -> Self {
        self.geo = Some(geo);
        self
    }

    /// The network round trip to `endpoint` that its distance allows for.
    pub fn estimated_round_trip(&self, endpoint: &Endpoint) -> Option<Duration> {
        let km = self.geo?.distance_km(endpoint.geo()?);
        Some(Duration::from_secs_f64(km / KM_PER_MILLISECOND / 1e3))
    }

    /// The nodes in tiers, the nearest first; one tier if no region was told.
    pub(crate) fn tiers(&self, nodes: &[Arc<Node>]) -> Vec<Vec<Arc<Node>>> {
        if self.region.is_empty() {
            return vec![nodes.to_vec()];
        }
        let mut regions: BTreeMap<String, Vec<Arc<Node>>> = BTreeMap::new();
        for node in nodes {
            let region = node.endpoint().locality().region.clone();
            regions.entry(region).or_default().push(Arc::clone(node));
        }
        let mut tiers: Vec<_> = regions
            .into_iter()
            .map(|(region, nodes)| (self.distance(&region, &nodes), nodes))
            .collect();
        // Stable, so that equals stay in order of name.
        tiers.sort_by_key(|(distance, _)| *distance);
        tiers.into_iter().map(|(_, nodes)| nodes).collect()
    }

    fn distance(&self, region: &str, nodes: &[Arc<Node>]) -> Duration {
        if region == self.region {
            return Duration::ZERO;
        }
        let measured = nodes.iter().filter_map(|node| node.round_trip()).min();
        let estimated =
            || nodes.iter().filter_map(|n| self.estimated_round_trip(&n.endpoint())).min();
        // Never nearer than the own region, however fast it answers.
        measured.or_else(estimated).map_or(Duration::MAX, |d| d.max(Duration::from_nanos(1)))
    }
}
