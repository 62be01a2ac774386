//! A model as a person or a program reads it.

use serde::Serialize;

use super::Model;

/// Everything in a model, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// A hash of its content, hexadecimal, as the decision log has it.
    pub hash: String,
    /// The hash of the features it was made for, hexadecimal.
    pub feature_hash: String,
    /// Where it comes from.
    pub note: String,
    /// Rows it was trained on.
    pub rows: u64,
    /// First and last Unix time in seconds.
    pub window: (f64, f64),
    /// The classes.
    pub classes: Vec<String>,
    /// The archetypes: name, and the ids of a cluster.
    pub archetypes: Vec<(String, Vec<String>)>,
    /// The cells, class by class.
    pub cells: Vec<DescribedCell>,
}

/// One class on one archetype.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DescribedCell {
    /// The class.
    pub class: String,
    /// The archetype.
    pub archetype: String,
    /// Service time; null where too few rows support one.
    pub service_ms: Option<f64>,
    /// Wait for each unit of work ahead.
    pub slope: Option<f64>,
    /// Rows behind it.
    pub rows: Option<u64>,
}

impl Model {
    /// Everything in it, by name.
    pub fn describe(&self) -> Description {
        let names = |of: &super::Archetype| of.members.iter().map(ToString::to_string).collect();
        let cells = self.classes.iter().enumerate().flat_map(|(class, name)| {
            self.archetypes.iter().enumerate().map(move |(index, archetype)| {
                let cell = self.cell(class, index);
                DescribedCell {
                    class: name.clone(),
                    archetype: archetype.name.clone(),
                    service_ms: cell.map(|cell| cell.service().as_secs_f64() * 1e3),
                    slope: cell.map(super::CellCost::slope),
                    rows: cell.map(super::CellCost::rows),
                }
            })
        });
        Description {
            hash: format!("{:016x}", self.hash),
            feature_hash: format!("{:016x}", self.feature_hash),
            note: self.note.clone(),
            rows: self.rows,
            window: (self.window.start.as_secs_f64(), self.window.end.as_secs_f64()),
            classes: self.classes.clone(),
            archetypes: self.archetypes.iter().map(|a| (a.name.clone(), names(a))).collect(),
            cells: cells.collect(),
        }
    }
}
