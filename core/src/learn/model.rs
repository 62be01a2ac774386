//! A learned routing table: what one request of a class costs on an endpoint of an archetype.

use std::time::Duration;

use xxhash_rust::xxh64::xxh64;

use crate::endpoint::{Endpoint, EndpointId};

/// What a request costs where, with the support behind each figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) classes: Vec<String>,
    pub(crate) archetypes: Vec<Archetype>,
    /// Class by class, an entry an archetype; `None` where too few rows support it.
    pub(crate) cells: Vec<Option<CellCost>>,
    pub(crate) feature_hash: u64,
    pub(crate) window: Window,
    pub(crate) rows: u64,
    pub(crate) hash: u64,
}

/// A kind of endpoint: the endpoints with one set of labels, or a cluster of ids that behaved alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archetype {
    /// The labels as `key=value,...`, or the cluster's name.
    pub name: String,
    /// The ids that were clustered; empty for an archetype made of labels.
    pub members: Vec<EndpointId>,
}

/// The service cost of one class on one archetype.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellCost {
    service: Duration,
    slope: f64,
    rows: u64,
}

impl CellCost {
    /// `service` on an idle server, and how much of each unit of work ahead of it a request waits for:
    /// 1 for a server that does one thing at a time, less for one that works on many at once.
    pub fn new(service: Duration, slope: f64, rows: u64) -> Self {
        Self { service, slope, rows }
    }

    /// Service time on an idle server.
    pub fn service(&self) -> Duration {
        self.service
    }

    #[inline]
    pub(crate) fn service_nanos(&self) -> f64 {
        self.service.as_nanos() as f64
    }

    /// Wait for each unit of work ahead.
    #[inline]
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// Rows behind the figure.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// The time span a model was trained on, in Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first row's time.
    pub start: Duration,
    /// The last row's time.
    pub end: Duration,
}

impl Model {
    /// The classes in order.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The archetypes in order.
    pub fn archetypes(&self) -> &[Archetype] {
        &self.archetypes
    }

    /// The hash of the features it was made for.
    pub fn feature_hash(&self) -> u64 {
        self.feature_hash
    }

    /// The time span it was trained on.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Rows it was trained on.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// A hash of its content.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The row of a class.
    #[inline]
    pub fn class_index(&self, class: &str) -> Option<usize> {
        self.classes.iter().position(|known| known == class)
    }

    /// The cost of a class on an archetype; `None` where too few rows support one.
    #[inline]
    pub fn cell(&self, class: usize, archetype: usize) -> Option<&CellCost> {
        self.cells.get(class * self.archetypes.len() + archetype)?.as_ref()
    }

    /// Whether every archetype's cost is known for the class.
    #[inline]
    pub(crate) fn is_row_full(&self, class: usize) -> bool {
        let n = self.archetypes.len();
        self.cells[class * n..(class + 1) * n].iter().all(Option::is_some)
    }

    /// The archetype of an endpoint, by its labels if it has them, else by its id.
    pub fn archetype_of(&self, endpoint: &Endpoint, labels: &[String]) -> Option<u32> {
        let named = endpoint.archetype(labels);
        let matches = |archetype: &Archetype| match &named {
            Some(name) => archetype.members.is_empty() && archetype.name == *name,
            None => archetype.members.contains(endpoint.id()),
        };
        self.archetypes.iter().position(matches).map(|index| index as u32)
    }
}

/// Hash of what a model's rows and columns mean; models and balancers must agree on it.
pub fn feature_hash(archetype_labels: &[String]) -> u64 {
    let schema = format!("features/1;class;archetype={}", archetype_labels.join(","));
    xxh64(schema.as_bytes(), 0)
}
