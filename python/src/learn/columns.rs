//! Batches of columns from Python: buffers of numbers, and text as codes with their dictionary.

use pyo3::{
    buffer::{Element, PyBuffer},
    prelude::*,
};
use trimtab_core::learn::train::{CandidateColumns, Coded, Columns};

/// 32-bit codes (negative for null) and the values they stand for.
type Text = (PyBuffer<i32>, Vec<String>);
type Numbers = PyBuffer<f64>;

/// A batch's columns, by name; what a log lacks is `None`.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct Rows {
    class: Text,
    chosen: Text,
    status: Text,
    archetype: Option<Text>,
    censored: Option<Text>,
    ts: Option<Numbers>,
    latency_ms: Option<Numbers>,
    server_ms: Option<Numbers>,
    in_flight: Option<PyBuffer<i64>>,
    sample_weight: Option<Numbers>,
}

/// The candidates of a batch, flattened; what a log lacks is `None`.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct Candidates {
    offsets: PyBuffer<i32>,
    endpoint: Text,
    archetype: Option<Text>,
    in_flight: Numbers,
    queue_delay_ms: Option<Numbers>,
    peak_ms: Option<Numbers>,
    weight: Option<Numbers>,
    eligible: Option<Numbers>,
    propensity: Option<Numbers>,
    chosen_propensity: Numbers,
    eligible_count: Option<Numbers>,
}

/// Codes and dictionary, copied.
type OwnText = (Vec<i32>, Vec<String>);

/// [`Rows`] without Python, to be used while the GIL is not held. Kept from batch to batch: fresh memory
/// would cost more than the copy.
#[derive(Debug, Default)]
pub(super) struct OwnRows {
    class: OwnText,
    chosen: OwnText,
    status: OwnText,
    archetype: Option<OwnText>,
    censored: Option<OwnText>,
    ts: Option<Vec<f64>>,
    latency_ms: Option<Vec<f64>>,
    server_ms: Option<Vec<f64>>,
    in_flight: Option<Vec<i64>>,
    sample_weight: Option<Vec<f64>>,
}

/// [`Candidates`] without Python.
pub(super) struct OwnCandidates {
    offsets: Vec<i32>,
    endpoint: OwnText,
    archetype: Option<OwnText>,
    in_flight: Vec<f64>,
    queue_delay_ms: Option<Vec<f64>>,
    peak_ms: Option<Vec<f64>>,
    weight: Option<Vec<f64>>,
    eligible: Option<Vec<f64>>,
    propensity: Option<Vec<f64>>,
    chosen_propensity: Vec<f64>,
    eligible_count: Option<Vec<f64>>,
}

impl OwnRows {
    pub(super) fn copy(&mut self, py: Python<'_>, rows: Rows) -> PyResult<()> {
        refill_text(py, &mut self.class, rows.class)?;
        refill_text(py, &mut self.chosen, rows.chosen)?;
        refill_text(py, &mut self.status, rows.status)?;
        optional(&mut self.archetype, rows.archetype, |own, text| refill_text(py, own, text))?;
        optional(&mut self.censored, rows.censored, |own, text| refill_text(py, own, text))?;
        optional(&mut self.ts, rows.ts, |own, column| refill(py, own, &column))?;
        optional(&mut self.latency_ms, rows.latency_ms, |own, column| refill(py, own, &column))?;
        optional(&mut self.server_ms, rows.server_ms, |own, column| refill(py, own, &column))?;
        optional(&mut self.in_flight, rows.in_flight, |own, column| refill(py, own, &column))?;
        optional(&mut self.sample_weight, rows.sample_weight, |own, column| {
            refill(py, own, &column)
        })
    }

    pub(super) fn columns(&self) -> Columns<'_> {
        Columns {
            class: coded(&self.class),
            chosen: coded(&self.chosen),
            archetype: self.archetype.as_ref().map(coded),
            status: coded(&self.status),
            censored: self.censored.as_ref().map(coded),
            ts: self.ts.as_deref(),
            latency_ms: self.latency_ms.as_deref(),
            server_ms: self.server_ms.as_deref(),
            in_flight: self.in_flight.as_deref(),
            sample_weight: self.sample_weight.as_deref(),
        }
    }
}

impl Candidates {
    pub(super) fn copy(self, py: Python<'_>) -> PyResult<OwnCandidates> {
        Ok(OwnCandidates {
            offsets: self.offsets.to_vec(py)?,
            endpoint: text(py, self.endpoint)?,
            archetype: self.archetype.map(|column| text(py, column)).transpose()?,
            in_flight: self.in_flight.to_vec(py)?,
            queue_delay_ms: numbers(py, self.queue_delay_ms.as_ref())?,
            peak_ms: numbers(py, self.peak_ms.as_ref())?,
            weight: numbers(py, self.weight.as_ref())?,
            eligible: numbers(py, self.eligible.as_ref())?,
            propensity: numbers(py, self.propensity.as_ref())?,
            chosen_propensity: self.chosen_propensity.to_vec(py)?,
            eligible_count: numbers(py, self.eligible_count.as_ref())?,
        })
    }
}

impl OwnCandidates {
    pub(super) fn columns(&self) -> CandidateColumns<'_> {
        CandidateColumns {
            offsets: &self.offsets,
            endpoint: coded(&self.endpoint),
            archetype: self.archetype.as_ref().map(coded),
            in_flight: &self.in_flight,
            queue_delay_ms: self.queue_delay_ms.as_deref(),
            peak_ms: self.peak_ms.as_deref(),
            weight: self.weight.as_deref(),
            eligible: self.eligible.as_deref(),
            propensity: self.propensity.as_deref(),
            chosen_propensity: &self.chosen_propensity,
            eligible_count: self.eligible_count.as_deref(),
        }
    }
}

fn refill_text(py: Python<'_>, own: &mut OwnText, (codes, values): Text) -> PyResult<()> {
    own.1 = values;
    refill(py, &mut own.0, &codes)
}

fn refill<T: Element + Default>(
    py: Python<'_>,
    own: &mut Vec<T>,
    column: &PyBuffer<T>,
) -> PyResult<()> {
    own.resize(column.item_count(), T::default());
    column.copy_to_slice(py, own)
}

/// Refills what is kept, or forgets it if this batch has no such column.
fn optional<Own: Default, Column>(
    own: &mut Option<Own>,
    column: Option<Column>,
    refill: impl FnOnce(&mut Own, Column) -> PyResult<()>,
) -> PyResult<()> {
    match column {
        None => *own = None,
        Some(column) => refill(own.get_or_insert_default(), column)?,
    }
    Ok(())
}

fn text(py: Python<'_>, (codes, values): Text) -> PyResult<OwnText> {
    Ok((codes.to_vec(py)?, values))
}

fn numbers<T: Element>(py: Python<'_>, column: Option<&PyBuffer<T>>) -> PyResult<Option<Vec<T>>> {
    column.map(|buffer| buffer.to_vec(py)).transpose()
}

fn coded((codes, values): &OwnText) -> Coded<'_> {
    Coded { codes, values }
}
