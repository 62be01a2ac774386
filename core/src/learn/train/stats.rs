//! The fold: rows in, additive statistics out.
//!
//! `Stats` is a commutative monoid: [`Stats::merge`] is associative and commutative with
//! [`Stats::new`] as its unit, and observing a row is merging the statistics of that row. So a log can
//! be cut anywhere, folded in any order on any machine, and the model is the same bytes. Cost: a
//! hash lookup and about ten additions a row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{End, Observation, RowError, Sample, TrainError, cell_stats::CellStats};
use crate::log::Row;

/// Distinct values of a column that are taken for names.
const MAX_NAMES: usize = 1 << 16;
const MAX_CLASSES: usize = 1024;
const MAX_CELLS: usize = 1 << 18;
/// Unix times from here on, in seconds, are none: year 5138.
const LATEST: f64 = 1e11;

/// Where rows are gathered: under an archetype if they are labelled, else under the endpoint itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    Labelled(String),
    Endpoint(String),
}

/// Names one class at one place within one [`Stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellId(u32);

/// What training keeps of a log.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    classes: HashMap<String, HashMap<Place, u32>>,
    cells: Vec<(CellStats, Weight)>,
    /// Endpoints seen under each label.
    endpoints: BTreeMap<String, BTreeSet<String>>,
    rows: u64,
    wrong: u64,
    unclassified: u64,
    /// First and last Unix time in microseconds.
    window: Option<(u64, u64)>,
    places: BTreeSet<Place>,
}

/// Attempts that a cell's rows stand for, in units of 2^-20.
type Weight = u128;

impl Stats {
    /// Of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds a row of this process's own log in.
    ///
    /// # Errors
    /// [`TrainError::TooMany`]. A row that is wrong in itself is counted, and its [`RowError`] returned
    /// inside `Ok`.
    pub fn fold(&mut self, row: &Row) -> Result<Result<(), RowError>, TrainError> {
        self.saw(row.ts);
        match Observation::from_row(row) {
            Ok(Some(observation)) => self.observe(&observation).map(Ok),
            Ok(None) => {
                self.skip_unclassified();
                Ok(Ok(()))
            }
            Err(error) => {
                self.skip_wrong();
                Ok(Err(error))
            }
        }
    }

    /// Folds one observation in.
    ///
    /// # Errors
    /// [`TrainError::TooMany`].
    pub fn observe(&mut self, observation: &Observation<'_>) -> Result<(), TrainError> {
        let Observation { class, chosen, archetype, sample } = observation;
        let cell = self.cell(class, chosen, *archetype)?;
        self.add(cell, sample);
        Ok(())
    }

    /// The cell for a class at an endpoint; look it up once for many rows.
    ///
    /// # Errors
    /// [`TrainError::TooMany`] for more classes or endpoints than a model can hold.
    pub fn cell(
        &mut self,
        class: &str,
        chosen: &str,
        archetype: Option<&str>,
    ) -> Result<CellId, TrainError> {
        let place = match archetype {
            None => Place::Endpoint(chosen.to_owned()),
            Some(label) => {
                match self.endpoints.get_mut(label) {
                    Some(known) if known.contains(chosen) => {}
                    Some(known) if known.len() >= MAX_NAMES => return Err(too_many("chosen")),
                    Some(known) => {
                        known.insert(chosen.to_owned());
                    }
                    None => {
                        self.endpoints.insert(label.to_owned(), [chosen.to_owned()].into());
                    }
                }
                Place::Labelled(label.to_owned())
            }
        };
        self.cell_at(class, place)
    }

    fn cell_at(&mut self, class: &str, place: Place) -> Result<CellId, TrainError> {
        if !self.classes.contains_key(class) {
            if self.classes.len() >= MAX_CLASSES {
                return Err(TrainError::TooMany { column: "class", limit: MAX_CLASSES });
            }
            self.classes.insert(class.to_owned(), HashMap::new());
        }
        let places = self.classes.get_mut(class).expect("invariant: inserted above if missing");
        if let Some(cell) = places.get(&place) {
            return Ok(CellId(*cell));
        }
        if self.cells.len() >= MAX_CELLS || self.places.len() >= MAX_NAMES {
            return Err(too_many("chosen"));
        }
        let cell = self.cells.len() as u32;
        self.cells.push(Default::default());
        self.places.insert(place.clone());
        places.insert(place, cell);
        Ok(CellId(cell))
    }

    /// Folds one sample into a cell.
    ///
    /// # Panics
    /// If the cell is another `Stats`'s and there is none like it here.
    #[inline]
    pub fn add(&mut self, cell: CellId, sample: &Sample) {
        let (stats, weight) = &mut self.cells[cell.0 as usize];
        stats.add(sample);
        if sample.end != End::Ignored {
            *weight += u128::from(sample.weight);
        }
        self.rows += 1;
    }

    /// A row, of whatever worth, is of this Unix time in seconds; what is no time is not noted.
    #[inline]
    pub fn saw(&mut self, ts: f64) {
        if (0.0..LATEST).contains(&ts) {
            let micros = (ts * 1e6).round() as u64;
            self.widen((micros, micros));
        }
    }

    /// Counts a row without a class: a table cannot route it.
    pub fn skip_unclassified(&mut self) {
        self.rows += 1;
        self.unclassified += 1;
    }

    /// Counts a row that cannot be used.
    pub fn skip_wrong(&mut self) {
        self.rows += 1;
        self.wrong += 1;
    }

    /// Adds the statistics of other rows.
    ///
    /// # Errors
    /// [`TrainError::TooMany`].
    pub fn merge(&mut self, other: &Self) -> Result<(), TrainError> {
        for (class, places) in &other.classes {
            for (place, cell) in places {
                let (theirs, their_weight) = &other.cells[*cell as usize];
                let CellId(mine) = self.cell_at(class, place.clone())?;
                let (stats, weight) = &mut self.cells[mine as usize];
                stats.merge(theirs);
                *weight += their_weight;
            }
        }
        for (label, endpoints) in &other.endpoints {
            let mine = self.endpoints.entry(label.clone()).or_default();
            mine.extend(endpoints.iter().cloned());
            if mine.len() > MAX_NAMES {
                return Err(too_many("chosen"));
            }
        }
        self.rows += other.rows;
        self.wrong += other.wrong;
        self.unclassified += other.unclassified;
        if let Some(theirs) = other.window {
            self.widen(theirs);
        }
        Ok(())
    }

    /// Rows folded in, wrong ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Of these, rows that could not be used.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }

    /// Of these, rows without a class.
    pub fn unclassified(&self) -> u64 {
        self.unclassified
    }

    #[inline]
    fn widen(&mut self, (first, last): (u64, u64)) {
        let (start, end) = self.window.unwrap_or((first, last));
        self.window = Some((start.min(first), end.max(last)));
    }

    pub(super) fn window(&self) -> Option<(u64, u64)> {
        self.window
    }

    /// The classes, in order of name.
    pub(super) fn classes(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.classes.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The places, labelled ones first, in order of name.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    pub(super) fn endpoints(&self, label: &str) -> usize {
        self.endpoints.get(label).map_or(0, BTreeSet::len)
    }

    pub(super) fn get(&self, class: &str, place: &Place) -> Option<(&CellStats, Weight)> {
        let cell = *self.classes.get(class)?.get(place)?;
        let (stats, weight) = &self.cells[cell as usize];
        Some((stats, *weight))
    }
}

fn too_many(column: &'static str) -> TrainError {
    TrainError::TooMany { column, limit: MAX_NAMES }
}
