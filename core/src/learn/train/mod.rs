//! Fitting a model from decision logs, and judging one against them.
//!
//! ```text
//! rows -> Observation -> Stats::observe -> Stats::merge (any order, any engine) -> Stats::finalize -> Fit
//! ```
//!
//! Everything in [`Stats`] is a count, an integer sum or a histogram, so shards of a log can be folded
//! anywhere and merged in any order: the model is the same bytes.
//!
//! ```
//! use trimtab_core::learn::train::{Config, Lines, Stats};
//! let mut stats = Stats::new();
//! let mut lines = Lines::new("a.jsonl");
//! let row = r#"{"class":"chat","chosen":"a","archetype":"archetype=h100","in_flight":0,
//!     "latency_ms":20.0,"server_ms":18.0,"status":"ok"}"#.replace('\n', "");
//! for _ in 0..100 {
//!     lines.push(format!("{row}\n").as_bytes(), |line| stats.fold_json(line))?;
//! }
//! lines.finish(|line| stats.fold_json(line))?;
//! let fit = stats.finalize(&Config::default())?;
//! assert_eq!(fit.model.classes(), ["chat"]);
//! # Ok::<(), trimtab_core::learn::train::TrainError>(())
//! ```

mod advice;
mod cell_stats;
mod cluster;
mod columns;
mod decision;
mod error;
mod evaluate;
mod fit;
mod gain;
mod lines;
mod observation;
mod report;
mod sketch;
mod snips;
mod stats;
mod table;
mod verdict;

pub use columns::{CandidateColumns, Coded, Columns};
pub use error::{RowError, TrainError};
pub use evaluate::{Decision, Evaluation, Seen};
pub use fit::{Config, Fit};
pub use gain::{Gain, gain};
pub use lines::{Lines, WrongRow};
pub use observation::{End, Observation, Raw, Sample};
pub use report::{Advice, ArchetypeReport, Basis, CellReport, ClassReport, Report};
pub use sketch::Sketch;
pub use stats::{CellId, Stats};
pub use verdict::Verdict;
