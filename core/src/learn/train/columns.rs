//! Rows by column, as Parquet and Arrow have them: text as codes into a dictionary, numbers as slices.
//!
//! Names are looked up once for each combination in a batch, so a row costs table lookups and additions
//! and allocates nothing.

use super::{CellId, Decision, End, Evaluation, Raw, RowError, Sample, Seen, Stats, TrainError};

/// A column of text: a code a row, negative for null.
#[derive(Clone, Copy, Debug)]
pub struct Coded<'a> {
    /// An index into `values` for each row.
    pub codes: &'a [i32],
    /// The distinct values.
    pub values: &'a [String],
}

/// The columns of a batch that training reads. Slices are equally long; NaN is null.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The request's class.
    pub class: Coded<'a>,
    /// The endpoint it went to.
    pub chosen: Coded<'a>,
    /// Its archetype by labels.
    pub archetype: Option<Coded<'a>>,
    /// How it ended.
    pub status: Coded<'a>,
    /// Why its latency is only a lower bound.
    pub censored: Option<Coded<'a>>,
    /// Unix time in seconds; `None` also if the caller tells the whole span by [`Stats::saw`].
    pub ts: Option<&'a [f64]>,
    /// From decision to end.
    pub latency_ms: Option<&'a [f64]>,
    /// The server's own measure of its processing.
    pub server_ms: Option<&'a [f64]>,
    /// The client's requests there; negative for null.
    pub in_flight: Option<&'a [i64]>,
    /// Attempts a row stands for.
    pub sample_weight: Option<&'a [f64]>,
}

/// The columns of a batch that evaluation reads beside them.
#[derive(Clone, Copy, Debug)]
pub struct CandidateColumns<'a> {
    /// Where each row's candidates begin, and where the last row's end: one more than rows.
    pub offsets: &'a [i32],
    /// Their ids.
    pub endpoint: Coded<'a>,
    /// Their archetypes.
    pub archetype: Option<Coded<'a>>,
    /// The client's requests there.
    pub in_flight: &'a [f64],
    /// What requests took beyond their predicted cost.
    pub queue_delay_ms: Option<&'a [f64]>,
    /// Peak-EWMA latency.
    pub peak_ms: Option<&'a [f64]>,
    /// Their weights; 1 where not told.
    pub weight: Option<&'a [f64]>,
    /// 1 for those that could be chosen.
    pub eligible: Option<&'a [f64]>,
    /// Probabilities by candidate.
    pub propensity: Option<&'a [f64]>,
    /// Probability of the choice, by row.
    pub chosen_propensity: &'a [f64],
    /// How many could be chosen, by row.
    pub eligible_count: Option<&'a [f64]>,
}

impl<'a> Coded<'a> {
    #[inline]
    fn code(&self, row: usize) -> Option<usize> {
        usize::try_from(self.codes[row]).ok().filter(|code| *code < self.values.len())
    }

    #[inline]
    fn text(&self, row: usize) -> Option<&'a str> {
        self.code(row).map(|code| &*self.values[code])
    }
}

impl Columns<'_> {
    /// Rows in the batch.
    pub fn len(&self) -> usize {
        self.class.codes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all columns are equally long.
    fn is_even(&self) -> bool {
        let text = [Some(self.chosen), self.archetype, Some(self.status), self.censored];
        let numbers = [self.ts, self.latency_ms, self.server_ms, self.sample_weight];
        text.iter().flatten().all(|column| column.codes.len() == self.len())
            && numbers.iter().flatten().all(|column| column.len() == self.len())
            && self.in_flight.is_none_or(|column| column.len() == self.len())
    }

    #[inline]
    fn sample(&self, row: usize, end: End) -> Result<Sample, RowError> {
        let at = |column: Option<&[f64]>| column.map(|numbers| numbers[row]);
        let raw = Raw {
            latency_ms: at(self.latency_ms),
            server_ms: at(self.server_ms),
            in_flight: self.in_flight.map(|counts| counts[row]).filter(|count| *count >= 0),
            sample_weight: at(self.sample_weight),
        };
        Sample::new(end, &raw)
    }

    fn ends(&self) -> Ends {
        let end = |status: &String, censored| End::from_columns(status, censored).ok();
        let both = |status: &String| [end(status, false), end(status, true)];
        Ends(self.status.values.iter().map(both).collect())
    }
}

/// What each status of the dictionary means, without and with a censoring reason.
struct Ends(Vec<[Option<End>; 2]>);

impl Ends {
    #[inline]
    fn of(&self, columns: &Columns<'_>, row: usize) -> Result<End, RowError> {
        let censored = columns.censored.is_some_and(|column| column.code(row).is_some());
        let end = columns.status.code(row).and_then(|code| self.0[code][usize::from(censored)]);
        end.ok_or_else(|| unknown(columns.status.text(row)))
    }
}

#[cold]
fn unknown(status: Option<&str>) -> RowError {
    match status {
        None => RowError::Null { column: "status" },
        Some(status) => RowError::Status { status: status.to_owned() },
    }
}

impl Stats {
    /// Folds a batch in. Rows that are wrong are counted and given to `wrong` with their index.
    ///
    /// # Errors
    /// [`TrainError::TooMany`]; [`TrainError::Uneven`] for columns of different lengths.
    pub fn fold_columns(
        &mut self,
        columns: &Columns<'_>,
        mut wrong: impl FnMut(usize, RowError),
    ) -> Result<(), TrainError> {
        if !columns.is_even() {
            return Err(TrainError::Uneven);
        }
        columns.ts.unwrap_or_default().iter().for_each(|ts| self.saw(*ts));
        let ends = columns.ends();
        let mut cells = Cells::new(columns);
        for row in 0..columns.len() {
            let Some(class) = columns.class.code(row) else {
                self.skip_unclassified();
                continue;
            };
            let Some(chosen) = columns.chosen.code(row) else {
                self.skip_wrong();
                wrong(row, RowError::Null { column: "chosen" });
                continue;
            };
            match ends.of(columns, row).and_then(|end| columns.sample(row, end)) {
                Ok(sample) => {
                    let archetype = columns.archetype.and_then(|column| column.code(row));
                    let cell = cells.get(self, columns, class, chosen, archetype)?;
                    self.add(cell, &sample);
                }
                Err(error) => {
                    self.skip_wrong();
                    wrong(row, error);
                }
            }
        }
        Ok(())
    }
}

/// Cells by the batch's codes: unlabelled rows by class and endpoint, labelled ones by class and
/// archetype, each labelled endpoint made known once.
struct Cells {
    by_endpoint: Vec<Option<CellId>>,
    by_archetype: Vec<Option<CellId>>,
    known: Vec<bool>,
    endpoints: usize,
    archetypes: usize,
}

impl Cells {
    fn new(columns: &Columns<'_>) -> Self {
        let classes = columns.class.values.len();
        let endpoints = columns.chosen.values.len();
        let archetypes = columns.archetype.map_or(0, |column| column.values.len());
        Self {
            by_endpoint: Vec::new(),
            by_archetype: vec![None; classes * archetypes],
            known: vec![false; endpoints * archetypes],
            endpoints,
            archetypes,
        }
    }

    #[inline]
    fn get(
        &mut self,
        stats: &mut Stats,
        columns: &Columns<'_>,
        class: usize,
        chosen: usize,
        archetype: Option<usize>,
    ) -> Result<CellId, TrainError> {
        let slot = match archetype {
            Some(archetype) => {
                let known = self.known[archetype * self.endpoints + chosen];
                let slot = &self.by_archetype[class * self.archetypes + archetype];
                slot.filter(|_| known)
            }
            None => self.by_endpoint.get(class * self.endpoints + chosen).copied().flatten(),
        };
        match slot {
            Some(cell) => Ok(cell),
            None => self.look_up(stats, columns, class, chosen, archetype),
        }
    }

    #[cold]
    fn look_up(
        &mut self,
        stats: &mut Stats,
        columns: &Columns<'_>,
        class: usize,
        chosen: usize,
        archetype: Option<usize>,
    ) -> Result<CellId, TrainError> {
        let label = archetype.and_then(|code| Some(&*columns.archetype?.values[code]));
        let cell =
            stats.cell(&columns.class.values[class], &columns.chosen.values[chosen], label)?;
        if let Some(archetype) = archetype {
            self.known[archetype * self.endpoints + chosen] = true;
            self.by_archetype[class * self.archetypes + archetype] = Some(cell);
        } else {
            let slot = class * self.endpoints + chosen;
            if self.by_endpoint.len() <= slot {
                self.by_endpoint.resize(slot + 1, None);
            }
            self.by_endpoint[slot] = Some(cell);
        }
        Ok(cell)
    }
}

impl Evaluation {
    /// Takes a batch into account. Rows that are wrong are counted and given to `wrong` with their
    /// index.
    ///
    /// # Errors
    /// [`TrainError::Uneven`] for columns that do not fit together.
    pub fn add_columns(
        &mut self,
        columns: &Columns<'_>,
        listed: &CandidateColumns<'_>,
        mut wrong: impl FnMut(usize, RowError),
    ) -> Result<(), TrainError> {
        if !columns.is_even() || !listed.fits(columns.len()) {
            return Err(TrainError::Uneven);
        }
        let ends = columns.ends();
        let mut candidates = Vec::new();
        for row in 0..columns.len() {
            listed.read(row, &mut candidates);
            let judged = ends.of(columns, row).and_then(|end| {
                let chosen = columns.chosen.text(row).ok_or(RowError::Null { column: "chosen" })?;
                let place = candidates.iter().position(|seen| seen.endpoint == chosen);
                self.judge(&Decision {
                    class: columns.class.text(row),
                    chosen: place
                        .ok_or_else(|| RowError::NotACandidate { chosen: chosen.to_owned() })?,
                    eligible: listed.eligible_count.and_then(|n| some(n[row])).map(|n| n as u64),
                    candidates: &candidates,
                    propensity: some(listed.chosen_propensity[row]),
                    end,
                    latency_ms: columns.latency_ms.and_then(|ms| some(ms[row])),
                    weight: columns.sample_weight.and_then(|w| some(w[row])).unwrap_or(1.0),
                })
            });
            if let Err(error) = judged {
                self.skip_wrong();
                wrong(row, error);
            }
        }
        Ok(())
    }
}

impl<'a> CandidateColumns<'a> {
    fn fits(&self, rows: usize) -> bool {
        let listed = self.endpoint.codes.len();
        let numbers =
            [self.queue_delay_ms, self.peak_ms, self.weight, self.eligible, self.propensity];
        let rising = self.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let ends = self.offsets.first().zip(self.offsets.last());
        self.offsets.len() == rows + 1
            && rising
            && ends.is_some_and(|(first, last)| *first >= 0 && *last as usize <= listed)
            && self.in_flight.len() == listed
            && self.archetype.is_none_or(|column| column.codes.len() == listed)
            && numbers.iter().flatten().all(|column| column.len() == listed)
            && self.chosen_propensity.len() == rows
            && self.eligible_count.is_none_or(|column| column.len() == rows)
    }

    fn read(&self, row: usize, out: &mut Vec<Seen<'a>>) {
        out.clear();
        let at = |column: Option<&[f64]>, index: usize| column.and_then(|n| some(n[index]));
        for index in self.offsets[row] as usize..self.offsets[row + 1] as usize {
            out.push(Seen {
                endpoint: self.endpoint.text(index).unwrap_or(""),
                archetype: self.archetype.and_then(|column| column.text(index)),
                in_flight: self.in_flight[index],
                queue_delay_ms: at(self.queue_delay_ms, index).unwrap_or(0.0),
                peak_ms: at(self.peak_ms, index),
                weight: at(self.weight, index).unwrap_or(1.0),
                eligible: at(self.eligible, index).is_none_or(|flag| flag != 0.0),
                propensity: at(self.propensity, index),
            });
        }
    }
}

#[inline]
fn some(number: f64) -> Option<f64> {
    (!number.is_nan()).then_some(number)
}
