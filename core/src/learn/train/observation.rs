//! One row as training reads it: whom it is about, and numbers that have been checked.

use super::RowError;
use crate::log::Row;

/// Weights are summed in units of 2^-20, exactly.
pub(super) const WEIGHT_UNIT: f64 = 1_048_576.0;

const DAY_MS: f64 = 86_400_000.0;

/// One attempt: its class, where it went, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation<'a> {
    /// The request's class.
    pub class: &'a str,
    /// The endpoint it went to.
    pub chosen: &'a str,
    /// That endpoint's archetype by labels.
    pub archetype: Option<&'a str>,
    /// What came of it.
    pub sample: Sample,
}

/// What came of one attempt, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub(super) end: End,
    /// Nanoseconds from decision to end.
    pub(super) latency: Option<u64>,
    /// Nanoseconds of processing, as the server measured them.
    pub(super) server: Option<u64>,
    /// This process's requests there before this one.
    pub(super) in_flight: Option<u32>,
    /// Attempts this row stands for, in units of 2^-20.
    pub(super) weight: u64,
}

/// How an attempt ended, as far as its latency is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Answered.
    Ok,
    /// Given up or timed out: its latency is a lower bound.
    Censored,
    /// Failed: its latency says nothing of the service.
    Failed,
    /// Says nothing of the endpoint.
    Ignored,
}

/// The numbers of one row as a log has them, in milliseconds; NaN and `None` are null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw {
    /// From decision to end.
    pub latency_ms: Option<f64>,
    /// The server's own measure of its processing.
    pub server_ms: Option<f64>,
    /// This process's requests there before this one.
    pub in_flight: Option<i64>,
    /// Attempts this row stands for; 1 if not told.
    pub sample_weight: Option<f64>,
}

impl End {
    /// From the columns `status` and `censored`.
    ///
    /// # Errors
    /// [`RowError::Status`] for a status that no log has.
    pub fn from_columns(status: &str, censored: bool) -> Result<Self, RowError> {
        Ok(match status {
            "timeout" | "cancelled" => Self::Censored,
            "ok" | "ignored" if censored => Self::Censored,
            "ok" => Self::Ok,
            "ignored" => Self::Ignored,
            "connect" | "reset" | "status" => Self::Failed,
            _ => return Err(RowError::Status { status: status.to_owned() }),
        })
    }
}

impl Sample {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`RowError::OutOfRange`] for a negative, infinite or absurd one; [`RowError::Null`] for an answer
    /// without a latency.
    #[inline]
    pub fn new(end: End, raw: &Raw) -> Result<Self, RowError> {
        let latency = nanos("latency_ms", raw.latency_ms)?;
        let server = nanos("server_ms", raw.server_ms)?;
        if end == End::Ok && latency.is_none() && server.is_none() {
            return Err(RowError::Null { column: "latency_ms" });
        }
        let in_flight = match raw.in_flight {
            None => None,
            Some(count) => Some(u32::try_from(count).map_err(|_| {
                let (column, allowed) = ("in_flight", "[0, 2^32)");
                RowError::OutOfRange { column, value: count as f64, allowed }
            })?),
        };
        let weight = match number(raw.sample_weight) {
            None => WEIGHT_UNIT as u64,
            Some(weight) if weight > 0.0 && weight <= 1e9 => ((weight * WEIGHT_UNIT) as u64).max(1),
            Some(value) => {
                let (column, allowed) = ("sample_weight", "(0, 1e9]");
                return Err(RowError::OutOfRange { column, value, allowed });
            }
        };
        Ok(Self { end, latency, server, in_flight, weight })
    }

    /// How the attempt ended.
    pub fn end(&self) -> End {
        self.end
    }
}

impl<'a> Observation<'a> {
    /// From a row of this process's own log; `None` for a row without a class.
    ///
    /// # Errors
    /// As [`End::from_columns`] and [`Sample::new`].
    pub fn from_row(row: &'a Row) -> Result<Option<Self>, RowError> {
        let Some(class) = &row.class else { return Ok(None) };
        let end = End::from_columns(&row.status, row.censored.is_some())?;
        let sample = Sample::new(
            end,
            &Raw {
                latency_ms: row.latency_ms,
                server_ms: row.server_ms,
                in_flight: Some(i64::from(row.in_flight)),
                sample_weight: Some(row.sample_weight),
            },
        )?;
        Ok(Some(Self { class, chosen: &row.chosen, archetype: row.archetype.as_deref(), sample }))
    }
}

#[inline]
fn number(value: Option<f64>) -> Option<f64> {
    value.filter(|value| !value.is_nan())
}

/// Milliseconds as whole nanoseconds.
#[inline]
fn nanos(column: &'static str, millis: Option<f64>) -> Result<Option<u64>, RowError> {
    match number(millis) {
        None => Ok(None),
        // By way of i64: a conversion to u64 takes twice the instructions.
        Some(ms) if (0.0..=DAY_MS).contains(&ms) => Ok(Some((ms * 1e6 + 0.5) as i64 as u64)),
        Some(value) => Err(RowError::OutOfRange { column, value, allowed: "[0, 1 day]" }),
    }
}
