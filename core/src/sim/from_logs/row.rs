//! The columns of a decision log's row that a scenario is made of.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{
    learn::train::{End, Observation, Raw, RowError, Sample},
    log::{Kind, Row},
};

/// What a request without a class is called.
pub(super) const UNCLASSIFIED: &str = "unclassified";
/// Unix times from here on, in seconds, are none: year 5138.
const LATEST: f64 = 1e11;

/// One attempt as it is kept. Times are seconds, NaN where unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) at: f64,
    pub(super) latency: f64,
    pub(super) server: f64,
    pub(super) queue: f64,
    pub(super) deadline: f64,
    pub(super) weight: f64,
    pub(super) class: u32,
    pub(super) endpoint: u32,
    pub(super) end: End,
    pub(super) first: bool,
    pub(super) timed_out: bool,
}

/// A row, borrowed from its line.
#[derive(Debug, Deserialize)]
pub(super) struct LoggedRow<'a> {
    #[serde(borrow)]
    class: Option<Cow<'a, str>>,
    #[serde(borrow)]
    chosen: Option<Cow<'a, str>>,
    #[serde(borrow)]
    archetype: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    censored: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) policy: Option<Cow<'a, str>>,
    attempt: Option<u32>,
    pub(super) sequence: Option<u64>,
    ts: Option<f64>,
    latency_ms: Option<f64>,
    server_ms: Option<f64>,
    queue_ms: Option<f64>,
    deadline_ms: Option<f64>,
    in_flight: Option<i64>,
    sample_weight: Option<f64>,
    #[serde(borrow)]
    candidates: Option<Vec<LoggedCandidate<'a>>>,
}

#[derive(Debug, Deserialize)]
struct LoggedCandidate<'a> {
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
    #[serde(borrow)]
    archetype: Option<Cow<'a, str>>,
    #[serde(borrow)]
    zone: Option<Cow<'a, str>>,
    weight: Option<f64>,
}

/// What a row tells of an endpoint.
pub(super) struct SeenEndpoint<'a> {
    pub(super) id: &'a str,
    pub(super) archetype: Option<&'a str>,
    pub(super) zone: Option<&'a str>,
    pub(super) weight: Option<f64>,
}

impl<'a> LoggedRow<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, RowError> {
        let row: Self = serde_json::from_slice(line)
            .map_err(|error| RowError::Malformed { reason: error.to_string() })?;
        let absent = [
            ("chosen", row.chosen.is_none()),
            ("latency_ms", row.latency_ms.is_none() && row.server_ms.is_none()),
            ("status", row.status.is_none()),
            ("ts", row.ts.is_none()),
        ];
        let answered = row.status.as_deref() == Some("ok");
        let columns: Vec<_> = absent
            .into_iter()
            .filter(|(column, absent)| *absent && (*column != "latency_ms" || answered))
            .map(|(column, _)| column)
            .collect();
        if columns.is_empty() { Ok(row) } else { Err(RowError::Missing { columns }) }
    }

    /// The row as training sees it, and its time; its numbers are checked.
    pub(super) fn observation(&self) -> Result<(Observation<'_>, f64), RowError> {
        let null = |column| RowError::Null { column };
        let status = self.status.as_deref().ok_or(null("status"))?;
        let chosen = self.chosen.as_deref().ok_or(null("chosen"))?;
        let ts = self.ts.ok_or(null("ts"))?;
        if !(0.0..LATEST).contains(&ts) {
            return Err(RowError::OutOfRange { column: "ts", value: ts, allowed: "[0, 1e11)" });
        }
        let end = End::from_columns(status, self.censored.is_some())?;
        let raw = Raw {
            latency_ms: self.latency_ms,
            server_ms: self.server_ms,
            in_flight: self.in_flight,
            sample_weight: self.sample_weight,
        };
        let sample = Sample::new(end, &raw)?;
        let class = self.class.as_deref().unwrap_or(UNCLASSIFIED);
        Ok((Observation { class, chosen, archetype: self.archetype.as_deref(), sample }, ts))
    }

    pub(super) fn attempt_at(
        &self,
        at: f64,
        class: u32,
        endpoint: u32,
        observation: &Observation<'_>,
    ) -> Attempt {
        let seconds = |millis: Option<f64>| millis.map_or(f64::NAN, |millis| millis / 1e3);
        Attempt {
            at,
            latency: seconds(self.latency_ms),
            server: seconds(self.server_ms),
            queue: seconds(self.queue_ms),
            deadline: seconds(self.deadline_ms.filter(|ms| *ms > 0.0)),
            weight: self.sample_weight.filter(|weight| *weight >= 1.0).unwrap_or(1.0),
            class,
            endpoint,
            end: observation.sample.end(),
            first: self.is_first(),
            timed_out: self.timed_out(),
        }
    }

    pub(super) fn client(&self) -> &str {
        self.client.as_deref().unwrap_or("")
    }

    /// Rows of logs that do not tell attempts apart are all first ones.
    pub(super) fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("first")
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt.unwrap_or(0)
    }

    pub(super) fn is_first(&self) -> bool {
        self.kind() == "first" && self.attempt() == 0
    }

    pub(super) fn timed_out(&self) -> bool {
        self.status.as_deref() == Some("timeout") || self.censored.as_deref() == Some("timeout")
    }

    pub(super) fn chosen_endpoint(&self) -> SeenEndpoint<'_> {
        SeenEndpoint {
            id: self.chosen.as_deref().unwrap_or(""),
            archetype: self.archetype.as_deref(),
            zone: None,
            weight: None,
        }
    }

    pub(super) fn candidates(&self) -> impl Iterator<Item = SeenEndpoint<'_>> {
        self.candidates.iter().flatten().map(|candidate| SeenEndpoint {
            id: &candidate.endpoint,
            archetype: candidate.archetype.as_deref(),
            zone: candidate.zone.as_deref(),
            weight: candidate.weight,
        })
    }
}

impl<'a> From<&'a Row> for LoggedRow<'a> {
    fn from(row: &'a Row) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        let kind = match row.kind {
            Kind::First => "first",
            Kind::Retry => "retry",
            Kind::Hedge => "hedge",
        };
        let candidates = row.candidates.iter().map(|candidate| LoggedCandidate {
            endpoint: Cow::Borrowed(&candidate.endpoint),
            archetype: text(&candidate.archetype),
            zone: text(&candidate.zone),
            weight: Some(candidate.weight),
        });
        Self {
            class: text(&row.class),
            chosen: Some(Cow::Borrowed(&row.chosen)),
            archetype: text(&row.archetype),
            status: Some(Cow::Borrowed(&row.status)),
            censored: text(&row.censored),
            client: Some(Cow::Borrowed(&row.client)),
            kind: Some(Cow::Borrowed(kind)),
            policy: Some(Cow::Borrowed(&row.policy)),
            attempt: Some(row.attempt),
            sequence: Some(row.sequence),
            ts: Some(row.ts),
            latency_ms: row.latency_ms,
            server_ms: row.server_ms,
            queue_ms: row.queue_ms,
            deadline_ms: row.deadline_ms,
            in_flight: Some(i64::from(row.in_flight)),
            sample_weight: Some(row.sample_weight),
            candidates: Some(candidates.collect()),
        }
    }
}
