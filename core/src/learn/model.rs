//! A learned routing table: what one request of a class costs on an endpoint of an archetype.
//!
//! Parsed once: [`Model::new`] checks every part, so a model that exists is sound, whoever wrote it.

use std::{collections::HashSet, time::Duration};

use xxhash_rust::xxh64::xxh64;

use super::{MAX_FILE, ModelError};
use crate::endpoint::{Endpoint, EndpointId};

/// Slopes are kept in millionths, so that a model is the same bytes everywhere.
pub(super) const MILLION: f64 = 1e6;

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
    pub(crate) note: String,
    pub(crate) hash: u64,
}

/// What a [`Model`] is made of, not checked yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// The classes, all different.
    pub classes: Vec<String>,
    /// The archetypes; no two share a name or a member.
    pub archetypes: Vec<Archetype>,
    /// Class by class, an entry an archetype; `None` where too few rows support it.
    pub cells: Vec<Option<CellCost>>,
    /// [`feature_hash`] of the labels that make an archetype.
    pub feature_hash: u64,
    /// The time span of the rows.
    pub window: Window,
    /// Rows it was trained on.
    pub rows: u64,
    /// Where it comes from, for people.
    pub note: String,
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

    fn check(&self, field: &str, of: u64) -> Result<(), ModelError> {
        let Self { service, slope, rows } = *self;
        if service.is_zero() || service > LONGEST_SERVICE {
            let problem = format!("service time {service:?} must lie in (0 s, 24 h]");
            return Err(ModelError::field(field, problem));
        }
        if !(0.0..=1.0).contains(&slope) {
            return Err(ModelError::field(field, format!("slope {slope} must lie in [0, 1]")));
        }
        if rows == 0 || rows > of {
            let problem = format!("{rows} rows of {of} cannot support it");
            return Err(ModelError::field(field, problem));
        }
        Ok(())
    }

    /// Service time on an idle server.
    pub fn service(&self) -> Duration {
        self.service
    }

    #[inline]
    pub(crate) fn service_nanos(&self) -> f64 {
        // From 64 bits: from 128 it is a library call. A day at most, so nothing is cut off.
        self.service.as_nanos() as u64 as f64
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

const MAX_CLASSES: usize = 1024;
const MAX_ARCHETYPES: usize = 1024;
const MAX_CELLS: usize = 1 << 16;
const MAX_MEMBERS: usize = 1 << 16;
const MAX_NAME: usize = 1024;
const LONGEST_SERVICE: Duration = Duration::from_secs(24 * 3600);

impl Model {
    /// Checks the parts and makes a model of them. Slopes are rounded to millionths.
    ///
    /// ```
    /// use std::time::Duration;
    /// use trimtab_core::learn::{Archetype, CellCost, Model, Parts, feature_hash};
    /// let model = Model::new(Parts {
    ///     classes: vec!["chat".into()],
    ///     archetypes: vec![Archetype { name: "archetype=h100".into(), members: vec![] }],
    ///     cells: vec![Some(CellCost::new(Duration::from_millis(20), 0.5, 1000))],
    ///     feature_hash: feature_hash(&["archetype".to_owned()]),
    ///     rows: 1000,
    ///     ..Parts::default()
    /// })?;
    /// assert_eq!(Model::from_bytes(&model.to_bytes())?, model);
    /// # Ok::<(), trimtab_core::learn::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelError::Field`] names the first part that is not sound.
    pub fn new(parts: Parts) -> Result<Self, ModelError> {
        let Parts { classes, archetypes, mut cells, feature_hash, window, rows, note } = parts;
        check_classes(&classes)?;
        check_archetypes(&archetypes)?;
        if cells.len() != classes.len() * archetypes.len() || cells.len() > MAX_CELLS {
            let (c, a, n) = (classes.len(), archetypes.len(), cells.len());
            let problem =
                format!("{n} cells for {c} classes x {a} archetypes (at most {MAX_CELLS})");
            return Err(ModelError::field("cells", problem));
        }
        for (index, cell) in cells.iter_mut().enumerate() {
            if let Some(cell) = cell {
                cell.check(&format!("cells[{index}]"), rows)?;
                cell.slope = (cell.slope * MILLION).round() / MILLION;
            }
        }
        if window.end < window.start || u64::try_from(window.end.as_nanos()).is_err() {
            let problem = format!("from {:?} to {:?}", window.start, window.end);
            return Err(ModelError::field("window", problem));
        }
        if note.len() > MAX_NAME {
            return Err(ModelError::field("note", format!("longer than {MAX_NAME} bytes")));
        }
        let hash = 0;
        let mut model = Self { classes, archetypes, cells, feature_hash, window, rows, note, hash };
        let bytes = model.to_bytes();
        if bytes.len() > MAX_FILE {
            let problem = format!("its file would have {} bytes of {MAX_FILE}", bytes.len());
            return Err(ModelError::field("size", problem));
        }
        model.hash = xxh64(&bytes, 0);
        Ok(model)
    }

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

    /// Where it comes from, for people.
    pub fn note(&self) -> &str {
        &self.note
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

fn check_classes(classes: &[String]) -> Result<(), ModelError> {
    if classes.is_empty() || classes.len() > MAX_CLASSES {
        let problem = format!("{} of them; 1 to {MAX_CLASSES} are allowed", classes.len());
        return Err(ModelError::field("classes", problem));
    }
    all_different("classes", "class", classes.iter().map(String::as_str))
}

fn check_archetypes(archetypes: &[Archetype]) -> Result<(), ModelError> {
    let count = archetypes.len();
    if count == 0 || count > MAX_ARCHETYPES {
        let problem = format!("{count} of them; 1 to {MAX_ARCHETYPES} are allowed");
        return Err(ModelError::field("archetypes", problem));
    }
    all_different("archetypes", "archetype", archetypes.iter().map(|a| a.name.as_str()))?;
    let members = || archetypes.iter().flat_map(|archetype| &archetype.members);
    if members().count() > MAX_MEMBERS {
        return Err(ModelError::field("archetypes", format!("more than {MAX_MEMBERS} members")));
    }
    all_different("archetypes", "member", members().map(EndpointId::as_str))
}

fn all_different<'a>(
    field: &str,
    what: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), ModelError> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || name.len() > MAX_NAME {
            let problem = format!("a {what} name has {} bytes, not 1 to {MAX_NAME}", name.len());
            return Err(ModelError::field(field, problem));
        }
        if !seen.insert(name) {
            return Err(ModelError::field(field, format!("the {what} {name:?} is there twice")));
        }
    }
    Ok(())
}

/// Hash of what a model's rows and columns mean; models and balancers must agree on it.
pub fn feature_hash(archetype_labels: &[String]) -> u64 {
    let schema = format!("features/1;class;archetype={}", archetype_labels.join(","));
    xxh64(schema.as_bytes(), 0)
}
