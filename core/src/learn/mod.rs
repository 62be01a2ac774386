//! Learned routing tables: the model a table is kept in, and (feature `train`) how it is fitted.

mod model;

pub use model::{Archetype, CellCost, Model, Window, feature_hash};
