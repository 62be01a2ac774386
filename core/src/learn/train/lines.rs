//! JSON lines, as they come: chunks of bytes in, rows out, with line numbers and the first wrong rows.
//!
//! The caller reads the file (or unpacks it) and pushes what it gets; nothing is held but the line that
//! a chunk ends in. A row that is wrong is counted and skipped; a log in which no row has the needed
//! columns is refused with their names, after a hundred rows rather than at its end.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer};

use super::{End, Observation, Raw, RowError, Sample, Stats, TrainError};

/// The longest line that is read.
const MAX_LINE: usize = 4 << 20;
/// Wrong rows that are kept for showing.
const SHOWN: usize = 5;
/// Rows after which a log without the needed columns is refused.
const GIVE_UP_AFTER: u64 = 100;

/// What came of a row: taken, or why not. The outer error ends the reading.
pub(super) type Taken = Result<Result<(), RowError>, TrainError>;

/// Cuts one file into lines.
#[derive(Debug)]
pub struct Lines {
    file: String,
    line: u64,
    rest: Vec<u8>,
    taken: u64,
    wrong: u64,
    shown: Vec<WrongRow>,
    missing: BTreeSet<&'static str>,
}

/// A row that was skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongRow {
    /// The log's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: RowError,
}

impl fmt::Display for WrongRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

impl Lines {
    /// Of the file called `file`.
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            rest: Vec::new(),
            taken: 0,
            wrong: 0,
            shown: Vec::new(),
            missing: BTreeSet::new(),
        }
    }

    /// Takes the next bytes and gives each whole line to `take`.
    ///
    /// # Errors
    /// What `take` fails with; [`TrainError::MissingColumns`].
    pub fn push(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(&[u8]) -> Taken,
    ) -> Result<(), TrainError> {
        self.push_numbered(chunk, |_, line| take(line))
    }

    /// As [`Lines::push`], with each line's number, from 1.
    ///
    /// # Errors
    /// As [`Lines::push`].
    pub fn push_numbered(
        &mut self,
        mut chunk: &[u8],
        mut take: impl FnMut(u64, &[u8]) -> Taken,
    ) -> Result<(), TrainError> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, next) = (&chunk[..end], &chunk[end + 1..]);
            if self.rest.is_empty() {
                self.line(line, &mut take)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole, &mut take)?;
            }
            chunk = next;
        }
        // One byte over the limit is enough to know that it is too long.
        let room = (MAX_LINE + 1).saturating_sub(self.rest.len());
        self.rest.extend_from_slice(&chunk[..chunk.len().min(room)]);
        Ok(())
    }

    /// The file has ended.
    ///
    /// # Errors
    /// As [`Lines::push`].
    pub fn finish(&mut self, mut take: impl FnMut(&[u8]) -> Taken) -> Result<(), TrainError> {
        self.finish_numbered(|_, line| take(line))
    }

    /// As [`Lines::finish`], with the last line's number.
    ///
    /// # Errors
    /// As [`Lines::push`].
    pub fn finish_numbered(
        &mut self,
        mut take: impl FnMut(u64, &[u8]) -> Taken,
    ) -> Result<(), TrainError> {
        let last = std::mem::take(&mut self.rest);
        self.line(&last, &mut take)?;
        self.refuse_if_hopeless(1)
    }

    /// Rows that were skipped.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }

    /// The first of them.
    pub fn shown(&self) -> &[WrongRow] {
        &self.shown
    }

    fn line(
        &mut self,
        line: &[u8],
        take: &mut impl FnMut(u64, &[u8]) -> Taken,
    ) -> Result<(), TrainError> {
        self.line += 1;
        let too_long = line.len() > MAX_LINE;
        let line = line.trim_ascii();
        if line.is_empty() && !too_long {
            return Ok(());
        }
        // What is too long is still counted, as the malformed row that its beginning makes.
        let taken = take(self.line, if too_long { b"too long" } else { line })?;
        let reason = match taken {
            Ok(()) => {
                self.taken += 1;
                return Ok(());
            }
            Err(_) if too_long => RowError::TooLong { limit: MAX_LINE },
            Err(reason) => reason,
        };
        self.wrong += 1;
        if let RowError::Missing { columns } = &reason {
            self.missing.extend(columns);
        }
        if self.shown.len() < SHOWN {
            self.shown.push(WrongRow { file: self.file.clone(), line: self.line, reason });
        }
        self.refuse_if_hopeless(GIVE_UP_AFTER)
    }

    fn refuse_if_hopeless(&self, after: u64) -> Result<(), TrainError> {
        if self.taken > 0 || self.wrong < after || self.missing.is_empty() {
            return Ok(());
        }
        let columns = self.missing.iter().map(|column| (*column).to_owned()).collect();
        Err(TrainError::MissingColumns { file: self.file.clone(), columns })
    }
}

impl Stats {
    /// Folds one line of JSON in.
    ///
    /// # Errors
    /// As [`Stats::fold`].
    pub fn fold_json(&mut self, line: &[u8]) -> Taken {
        let columns = match Columns::parse(line) {
            Ok(columns) => columns,
            Err(error) => {
                self.skip_wrong();
                return Ok(Err(error));
            }
        };
        if let Some(ts) = columns.ts {
            self.saw(ts);
        }
        match columns.observation() {
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
}

/// The columns that training reads; the rest of the line is skipped unparsed.
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
    server_ms: Option<f64>,
    #[serde(borrow)]
    archetype: Option<Text<'a>>,
    #[serde(borrow)]
    censored: Option<Text<'a>>,
    ts: Option<f64>,
    in_flight: Option<i64>,
    sample_weight: Option<f64>,
}

/// Borrowed from the line unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// `None` where there is no such column, `Some(None)` where it is null.
pub(super) type Present<T> = Option<Option<T>>;

pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<Present<T>, D::Error> {
    Option::deserialize(source).map(Some)
}

/// The text of a column that every row needs.
pub(super) fn needed<'a>(
    column: &'static str,
    text: Option<&'a Option<Text<'_>>>,
) -> Result<&'a str, RowError> {
    text.and_then(Option::as_ref).map(|text| &*text.0).ok_or(RowError::Null { column })
}

impl<'a> Columns<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, RowError> {
        let columns: Self = serde_json::from_slice(line)
            .map_err(|error| RowError::Malformed { reason: error.to_string() })?;
        let absent = [
            ("class", columns.class.is_none()),
            ("chosen", columns.chosen.is_none()),
            ("latency_ms", columns.latency_ms.is_none() && columns.server_ms.is_none()),
            ("status", columns.status.is_none()),
        ];
        RowError::if_missing(absent)?;
        Ok(columns)
    }

    fn observation(&self) -> Result<Option<Observation<'_>>, RowError> {
        let Some(Some(Text(class))) = &self.class else { return Ok(None) };
        let chosen = needed("chosen", self.chosen.as_ref())?;
        let end =
            End::from_columns(needed("status", self.status.as_ref())?, self.censored.is_some())?;
        let raw = Raw {
            latency_ms: self.latency_ms.flatten(),
            server_ms: self.server_ms,
            in_flight: self.in_flight,
            sample_weight: self.sample_weight,
        };
        let archetype = self.archetype.as_ref().map(|Text(label)| &**label);
        Ok(Some(Observation { class, chosen, archetype, sample: Sample::new(end, &raw)? }))
    }
}
