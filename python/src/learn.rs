//! Training and evaluation as `trimtab.train` drives them: bytes of JSON lines or batches of columns in,
//! a model's bytes and a report out.
//!
//! Python opens, unpacks and decodes; Rust folds. Numbers cross as buffers, text as dictionary codes, so
//! a batch costs a copy of its columns and no object a row. The GIL is let go while a batch is folded.

mod columns;

use std::sync::Arc;

use columns::{Candidates, OwnRows, Rows};
use pyo3::{prelude::*, pybacked::PyBackedBytes};
use trimtab_core::learn::{
    MAX_FILE, Model,
    train::{Config, Evaluation, Lines, RowError, Stats, TrainError},
};

use crate::error;

/// Wrong rows that are kept for showing.
const SHOWN: usize = 5;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("MODEL_LIMIT", MAX_FILE)?;
    module.add_class::<Trainer>()?;
    module.add_class::<Evaluator>()?;
    module.add_function(wrap_pyfunction!(describe_model, module)?)
}

/// Folds logs into statistics and fits a model.
#[pyclass(module = "trimtab._trimtab")]
#[derive(Debug, Default)]
struct Trainer {
    stats: Stats,
    reader: Reader,
    scratch: OwnRows,
}

#[pymethods]
impl Trainer {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Begins a file of JSON lines.
    fn open(&mut self, file: &str) {
        self.reader.open(file);
    }

    /// Folds the next bytes of that file.
    #[expect(clippy::needless_pass_by_value, reason = "the bytes are kept while the GIL is not")]
    fn push(&mut self, py: Python<'_>, chunk: PyBackedBytes) -> PyResult<()> {
        let Self { stats, reader, .. } = self;
        py.detach(|| reader.lines.push(&chunk, |line| stats.fold_json(line)))
            .map_err(|error| raise(py, &error))
    }

    /// Ends that file.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        let Self { stats, reader, .. } = self;
        reader.close(|line| stats.fold_json(line)).map_err(|error| raise(py, &error))
    }

    /// Folds a batch of columns whose first row is `row` (from 1) of `file`.
    fn fold(&mut self, py: Python<'_>, file: &str, row: u64, rows: Rows) -> PyResult<()> {
        let Self { stats, reader, scratch } = self;
        scratch.copy(py, rows)?;
        let wrong = |index, error| reader.note(file, row, index, &error);
        py.detach(|| stats.fold_columns(&scratch.columns(), wrong))
            .map_err(|error| raise(py, &error))
    }

    /// Tells the Unix times in seconds that a file spans, instead of a column of them.
    fn span(&mut self, first: f64, last: f64) {
        self.stats.saw(first);
        self.stats.saw(last);
    }

    /// Adds what another has folded.
    fn merge(&mut self, py: Python<'_>, other: &Self) -> PyResult<()> {
        self.reader.shown.extend(other.reader.shown.iter().cloned());
        self.reader.shown.truncate(SHOWN);
        self.stats.merge(&other.stats).map_err(|error| raise(py, &error))
    }

    /// Rows read.
    #[getter]
    fn rows(&self) -> u64 {
        self.stats.rows()
    }

    /// Rows that could not be used.
    #[getter]
    fn wrong(&self) -> u64 {
        self.stats.wrong()
    }

    /// The first of them, as `file:line: reason`.
    #[getter]
    fn wrong_rows(&self) -> Vec<String> {
        self.reader.shown.clone()
    }

    /// The model's bytes, and the report as JSON.
    #[pyo3(signature = (*, min_rows=30, archetype_labels=None, tolerance=0.25, note=""))]
    fn fit(
        &self,
        py: Python<'_>,
        min_rows: u64,
        archetype_labels: Option<Vec<String>>,
        tolerance: f64,
        note: &str,
    ) -> PyResult<(Vec<u8>, String)> {
        let mut config =
            Config::default().with_min_rows(min_rows).with_tolerance(tolerance).with_note(note);
        if let Some(labels) = archetype_labels {
            config = config.with_archetype_labels(labels);
        }
        let fit = py.detach(|| self.stats.finalize(&config)).map_err(|error| raise(py, &error))?;
        Ok((fit.model.to_bytes(), json(py, &fit.report)?))
    }
}

/// Judges a model against logged decisions.
#[pyclass(module = "trimtab._trimtab")]
#[derive(Debug)]
struct Evaluator {
    evaluation: Evaluation,
    reader: Reader,
    scratch: OwnRows,
}

#[pymethods]
impl Evaluator {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the arguments")]
    fn new(py: Python<'_>, model: PyBackedBytes) -> PyResult<Self> {
        let model = Arc::new(read(py, &model)?);
        let evaluation = Evaluation::new(model);
        Ok(Self { evaluation, reader: Reader::default(), scratch: OwnRows::default() })
    }

    /// Begins a file of JSON lines.
    fn open(&mut self, file: &str) {
        self.reader.open(file);
    }

    /// Takes the next bytes of that file into account.
    #[expect(clippy::needless_pass_by_value, reason = "the bytes are kept while the GIL is not")]
    fn push(&mut self, py: Python<'_>, chunk: PyBackedBytes) -> PyResult<()> {
        let Self { evaluation, reader, .. } = self;
        py.detach(|| reader.lines.push(&chunk, |line| evaluation.add_json(line)))
            .map_err(|error| raise(py, &error))
    }

    /// Ends that file.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        let Self { evaluation, reader, .. } = self;
        reader.close(|line| evaluation.add_json(line)).map_err(|error| raise(py, &error))
    }

    /// Takes a batch of columns into account whose first row is `row` (from 1) of `file`.
    fn fold(
        &mut self,
        py: Python<'_>,
        file: &str,
        row: u64,
        rows: Rows,
        candidates: Candidates,
    ) -> PyResult<()> {
        let Self { evaluation, reader, scratch } = self;
        scratch.copy(py, rows)?;
        let candidates = candidates.copy(py)?;
        let wrong = |index, error| reader.note(file, row, index, &error);
        py.detach(|| evaluation.add_columns(&scratch.columns(), &candidates.columns(), wrong))
            .map_err(|error| raise(py, &error))
    }

    /// The first wrong rows, as `file:line: reason`.
    #[getter]
    fn wrong_rows(&self) -> Vec<String> {
        self.reader.shown.clone()
    }

    /// What it comes to, as JSON.
    fn verdict(&self, py: Python<'_>) -> PyResult<String> {
        let verdict = self.evaluation.verdict().map_err(|error| raise(py, &error))?;
        json(py, &verdict)
    }
}

/// What a model's bytes hold, as JSON.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "extracted from the arguments")]
fn describe_model(py: Python<'_>, model: PyBackedBytes) -> PyResult<String> {
    let described = read(py, &model)?.describe();
    json(py, &described)
}

/// The file of JSON lines under way, and the wrong rows of all files.
#[derive(Debug)]
struct Reader {
    lines: Lines,
    shown: Vec<String>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { lines: Lines::new(""), shown: Vec::new() }
    }
}

impl Reader {
    fn open(&mut self, file: &str) {
        self.lines = Lines::new(file);
    }

    fn close(
        &mut self,
        take: impl FnMut(&[u8]) -> Result<Result<(), RowError>, TrainError>,
    ) -> Result<(), TrainError> {
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(""));
        let ended = lines.finish(take);
        self.shown.extend(lines.shown().iter().map(ToString::to_string));
        self.shown.truncate(SHOWN);
        ended
    }

    fn note(&mut self, file: &str, first: u64, index: usize, error: &RowError) {
        if self.shown.len() < SHOWN {
            self.shown.push(format!("{file}: row {}: {error}", first + index as u64));
        }
    }
}

fn read(py: Python<'_>, bytes: &[u8]) -> PyResult<Model> {
    Model::from_bytes(bytes).map_err(|error| error::MODEL_ERROR.new_err(py, error))
}

fn json(py: Python<'_>, report: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| error::LOG_ERROR.new_err(py, error))
}

fn raise(py: Python<'_>, error: &TrainError) -> PyErr {
    match error {
        TrainError::Setting { .. } | TrainError::Labels { .. } => {
            error::CONFIG_ERROR.new_err(py, error)
        }
        TrainError::Model(_) => error::MODEL_ERROR.new_err(py, error),
        _ => error::LOG_ERROR.new_err(py, error),
    }
}
