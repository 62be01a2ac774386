//! Logged decisions from JSON lines, with the candidates that training does not read.

use serde::Deserialize;

use super::{
    Decision, End, Evaluation, RowError, Seen,
    lines::{Present, Taken, Text, needed, present},
};

impl Evaluation {
    /// Takes one line of JSON into account.
    ///
    /// # Errors
    /// A [`RowError`], inside `Ok`: the reading goes on; the row is counted as wrong.
    pub fn add_json(&mut self, line: &[u8]) -> Taken {
        Ok(Columns::parse(line).and_then(|columns| columns.judge(self)).inspect_err(|_| {
            self.skip_wrong();
        }))
    }
}

#[derive(Deserialize)]
struct Columns<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    class: Present<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    chosen: Present<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    status: Present<Text<'a>>,
    #[serde(default, deserialize_with = "present")]
    latency_ms: Present<f64>,
    #[serde(default, deserialize_with = "present")]
    propensity: Present<f64>,
    #[serde(borrow, default, deserialize_with = "present")]
    candidates: Present<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    censored: Option<Text<'a>>,
    eligible: Option<u64>,
    sample_weight: Option<f64>,
}

#[derive(Deserialize)]
struct Candidate<'a> {
    #[serde(borrow)]
    endpoint: Text<'a>,
    #[serde(borrow)]
    archetype: Option<Text<'a>>,
    in_flight: f64,
    queue_delay_ms: Option<f64>,
    peak_ms: Option<f64>,
    weight: Option<f64>,
    eligible: Option<bool>,
    propensity: Option<f64>,
}

impl<'a> Columns<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, RowError> {
        let columns: Self = serde_json::from_slice(line)
            .map_err(|error| RowError::Malformed { reason: error.to_string() })?;
        RowError::if_missing([
            ("class", columns.class.is_none()),
            ("chosen", columns.chosen.is_none()),
            ("status", columns.status.is_none()),
            ("latency_ms", columns.latency_ms.is_none()),
            ("propensity", columns.propensity.is_none()),
            ("candidates", columns.candidates.is_none()),
        ])?;
        Ok(columns)
    }

    fn judge(&self, evaluation: &mut Evaluation) -> Result<(), RowError> {
        let chosen = needed("chosen", self.chosen.as_ref())?;
        let status = needed("status", self.status.as_ref())?;
        let listed = self.candidates.as_ref().and_then(Option::as_ref);
        let listed = listed.ok_or(RowError::Null { column: "candidates" })?;
        let candidates: Vec<Seen<'_>> = listed.iter().map(Candidate::seen).collect();
        let place = candidates
            .iter()
            .position(|seen| seen.endpoint == chosen)
            .ok_or_else(|| RowError::NotACandidate { chosen: chosen.to_owned() })?;
        evaluation.judge(&Decision {
            class: self.class.as_ref().and_then(Option::as_ref).map(|text| &*text.0),
            chosen: place,
            eligible: self.eligible,
            candidates: &candidates,
            propensity: self.propensity.flatten(),
            end: End::from_columns(status, self.censored.is_some())?,
            latency_ms: self.latency_ms.flatten(),
            weight: self.sample_weight.unwrap_or(1.0),
        })
    }
}

impl<'a> Candidate<'a> {
    fn seen(&'a self) -> Seen<'a> {
        Seen {
            endpoint: &self.endpoint.0,
            archetype: self.archetype.as_ref().map(|text| &*text.0),
            in_flight: self.in_flight,
            queue_delay_ms: self.queue_delay_ms.unwrap_or(0.0),
            peak_ms: self.peak_ms,
            weight: self.weight.unwrap_or(1.0),
            eligible: self.eligible.unwrap_or(true),
            propensity: self.propensity,
        }
    }
}
