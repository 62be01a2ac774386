//! Learned routing tables: the model a table is kept in, its file, and (feature `train`) how it is fitted
//! from decision logs and judged against them.

mod describe;
mod error;
mod file;
mod model;
#[cfg(feature = "train")]
pub mod train;

pub use describe::{DescribedCell, Description};
pub use error::ModelError;
pub use file::MAX_FILE;
pub use model::{Archetype, CellCost, Model, Parts, Window, feature_hash};
