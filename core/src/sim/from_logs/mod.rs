//! A scenario out of one's own decision logs: the arrivals replayed, the service costs fitted.
//!
//! What is taken from the log as it stands: the first attempt of every request with its time and class;
//! the endpoints, grouped by archetype and zone; how many clients there are.
//! What is fitted: how each archetype queues (processor sharing or first come first served, on how many
//! workers), what each class costs there, the network's round trip, the timeout.
//! What is assumed: all clients' clocks agree; every client wrote its log (a sampled log is filled up,
//! with a Poisson process in each neighbourhood, which overstates tails: by up to two fifths where every
//! fifth attempt was logged); no other traffic reaches the servers; a request's cost
//! does not hang on who sends it. Failures, deployments and outages in the log are counted in the
//! scenario's comments, not rebuilt: they are what the user adds as `[[events]]`.
//!
//! The result is a folder with `scenario.toml`, whose comments say all this with the log's own numbers,
//! and `arrivals.csv`: to be read, doubted and edited.
//!
//! Guards against simulating a service that one does not have. Cost: 80 bytes a row in memory.
//!
//! ```
//! use trimtab_core::sim::from_logs::FromLogs;
//! let mut logs = FromLogs::new();
//! logs.open("a.jsonl");
//! for n in 0..400 {
//!     let row = format!(
//!         "{{\"class\":\"chat\",\"chosen\":\"{}\",\"archetype\":\"archetype=h100\",\"in_flight\":0,\
//!          \"latency_ms\":20.0,\"server_ms\":20.0,\"status\":\"ok\",\"ts\":{}}}\n",
//!         ["a", "b"][n % 2], n as f64 * 0.05);
//!     logs.push(row.as_bytes())?;
//! }
//! logs.close()?;
//! let built = logs.build()?;
//! assert!(built.scenario.contains("name = \"h100\"") && built.arrivals.starts_with("at_s,class\n"));
//! # Ok::<(), trimtab_core::sim::from_logs::FromLogsError>(())
//! ```

mod arrivals;
mod error;
mod fleet;
mod names;
mod queue;
mod render;
mod row;
mod service;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

pub use error::FromLogsError;

use self::{
    names::Names,
    row::{Attempt, LoggedRow},
};
use super::scenario::Scenario;
use crate::{
    learn::train::{End, Lines, RowError, Stats, TrainError, WrongRow},
    log::Row,
};

/// Attempts that are held in memory.
const MAX_ROWS: usize = 10_000_000;
/// Seconds by which clocks may disagree.
const CLOCK_SLACK: f64 = 1.0;

/// Gathers rows and makes a scenario of them.
#[derive(Debug, Default)]
pub struct FromLogs {
    stats: Stats,
    attempts: Vec<Attempt>,
    classes: Names,
    endpoints: Names,
    clients: Names,
    /// By endpoint.
    known: Vec<Endpoint>,
    /// By client: the highest sequence number since it began, and its time.
    clocks: HashMap<u32, (u64, f64)>,
    counts: Counts,
    /// Attempts by the policy that placed them.
    policies: BTreeMap<String, u64>,
    lines: Option<(String, Lines)>,
    wrong: u64,
    shown: Vec<WrongRow>,
}

/// What rows and their candidates tell of an endpoint.
#[derive(Clone, Debug, Default)]
struct Endpoint {
    archetype: Option<String>,
    zone: Option<String>,
    weight: Option<f64>,
}

/// What the scenario's comments tell.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    retries: u64,
    hedges: u64,
    failed: u64,
    timeouts: u64,
    cancelled: u64,
    most_attempts: u32,
}

/// A scenario's two files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Built {
    /// `scenario.toml`.
    pub scenario: String,
    /// `arrivals.csv`.
    pub arrivals: String,
}

impl FromLogs {
    /// With no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a file of JSON lines. Files may come in any order: clocks are watched within each.
    pub fn open(&mut self, file: &str) {
        self.clocks.clear();
        self.lines = Some((file.to_owned(), Lines::new(file)));
    }

    /// Takes the next bytes of that file.
    ///
    /// # Errors
    /// [`FromLogsError::Train`] for a log that is no decision log; [`FromLogsError::Clock`] and
    /// [`FromLogsError::TooMany`]. A row that is wrong in itself is counted and skipped.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), FromLogsError> {
        self.read(|lines, take| lines.push_numbered(chunk, take))
    }

    /// Ends that file.
    ///
    /// # Errors
    /// As [`FromLogs::push`].
    pub fn close(&mut self) -> Result<(), FromLogsError> {
        self.read(|lines, take| lines.finish_numbered(take))?;
        if let Some((_, lines)) = self.lines.take() {
            self.wrong += lines.wrong();
            self.shown.extend(lines.shown().iter().cloned());
            self.shown.truncate(5);
        }
        Ok(())
    }

    /// Takes a row of this process's own log.
    ///
    /// # Errors
    /// As [`FromLogs::push`]; a row that is wrong in itself is an error of its own here.
    pub fn row(&mut self, row: &Row) -> Result<(), FromLogsError> {
        self.take(&LoggedRow::from(row), "the log", row.sequence)?.map_err(FromLogsError::Row)
    }

    /// Rows that were skipped because they are wrong.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }

    /// The first of them.
    pub fn shown(&self) -> &[WrongRow] {
        &self.shown
    }

    /// Fits and writes the scenario's text, and checks that it can be read back.
    ///
    /// # Errors
    /// [`FromLogsError`] for logs without rows enough to fit anything, with one endpoint, or of one
    /// moment.
    pub fn build(&self) -> Result<Built, FromLogsError> {
        let traffic = arrivals::Traffic::of(self)?;
        let fleet = fleet::Fleet::of(self)?;
        let service = service::Service::fit(self, &fleet, traffic.weight);
        let scenario = render::scenario(self, &traffic, &fleet, &service);
        Ok(Built { scenario, arrivals: traffic.csv(&self.classes) })
    }

    fn read(
        &mut self,
        feed: impl FnOnce(
            &mut Lines,
            &mut dyn FnMut(u64, &[u8]) -> Result<Result<(), RowError>, TrainError>,
        ) -> Result<(), TrainError>,
    ) -> Result<(), FromLogsError> {
        let Some((file, mut lines)) = self.lines.take() else { return Ok(()) };
        let mut refused = None;
        let result = feed(&mut lines, &mut |number, line| {
            if refused.is_some() {
                return Ok(Ok(()));
            }
            let taken = match LoggedRow::parse(line) {
                Ok(row) => self.take(&row, &file, number),
                Err(error) => Ok(Err(error)),
            };
            let taken = taken.unwrap_or_else(|error| {
                refused = Some(error);
                Ok(())
            });
            if taken.is_err() {
                self.stats.skip_wrong();
            }
            Ok(taken)
        });
        self.lines = Some((file, lines));
        match refused {
            Some(error) => Err(error),
            None => result.map_err(FromLogsError::Train),
        }
    }

    fn take(
        &mut self,
        row: &LoggedRow<'_>,
        file: &str,
        line: u64,
    ) -> Result<Result<(), RowError>, FromLogsError> {
        let (observation, ts) = match row.observation() {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error)),
        };
        if self.attempts.len() >= MAX_ROWS {
            return Err(FromLogsError::TooMany { limit: MAX_ROWS });
        }
        let client = self.clients.index(row.client());
        self.check_clock(client, row, ts, file, line)?;
        self.stats.saw(ts);
        self.stats.observe(&observation)?;
        let endpoint = self.meet(&row.chosen_endpoint());
        for candidate in row.candidates() {
            self.meet(&candidate);
        }
        let first = row.is_first();
        let counts = &mut self.counts;
        match row.kind() {
            _ if first => {}
            "hedge" => counts.hedges += 1,
            _ => counts.retries += 1,
        }
        counts.most_attempts = counts.most_attempts.max(row.attempt());
        match observation.sample.end() {
            End::Failed => counts.failed += 1,
            End::Censored if row.timed_out() => counts.timeouts += 1,
            End::Censored => counts.cancelled += 1,
            End::Ok | End::Ignored => {}
        }
        if let Some(policy) = row.policy.as_deref() {
            let room = self.policies.len() < 64;
            match self.policies.get_mut(policy) {
                Some(attempts) => *attempts += 1,
                None if room => {
                    self.policies.insert(policy.to_owned(), 1);
                }
                None => {}
            }
        }
        let class = self.classes.index(observation.class);
        self.attempts.push(row.attempt_at(ts, class, endpoint, &observation));
        Ok(Ok(()))
    }

    /// Refuses a log whose clock was set back: what came after could not be put in order. A sequence
    /// number that starts again below is a restart, not that.
    fn check_clock(
        &mut self,
        client: u32,
        row: &LoggedRow<'_>,
        ts: f64,
        file: &str,
        line: u64,
    ) -> Result<(), FromLogsError> {
        let Some(sequence) = row.sequence else { return Ok(()) };
        let (highest, at) = self.clocks.entry(client).or_insert((sequence, ts));
        if sequence > *highest && ts + CLOCK_SLACK < *at {
            return Err(FromLogsError::Clock {
                file: file.to_owned(),
                line,
                client: self.clients.name(client).to_owned(),
                back: *at - ts,
            });
        }
        if sequence > *highest || ts > *at + CLOCK_SLACK {
            (*highest, *at) = (sequence, ts);
        }
        Ok(())
    }

    fn meet(&mut self, seen: &row::SeenEndpoint<'_>) -> u32 {
        let index = self.endpoints.index(seen.id);
        if self.known.len() <= index as usize {
            self.known.push(Endpoint::default());
        }
        let known = &mut self.known[index as usize];
        if known.archetype.is_none() {
            known.archetype = seen.archetype.map(str::to_owned);
        }
        if known.zone.is_none() {
            known.zone = seen.zone.map(str::to_owned);
        }
        known.weight = known.weight.or(seen.weight);
        index
    }
}

impl Built {
    /// Writes both files into a folder, which is made if it is not there, and reads them back.
    ///
    /// # Errors
    /// [`FromLogsError::Write`]; [`FromLogsError::Scenario`] if the log makes a scenario that cannot be
    /// run, such as one with far more traffic than the servers could have carried.
    pub fn write(&self, folder: &Path) -> Result<(PathBuf, Scenario), FromLogsError> {
        let fault = |path: &Path, source| FromLogsError::Write { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|error| fault(folder, error))?;
        let (arrivals, scenario) = (folder.join("arrivals.csv"), folder.join("scenario.toml"));
        std::fs::write(&arrivals, &self.arrivals).map_err(|error| fault(&arrivals, error))?;
        std::fs::write(&scenario, &self.scenario).map_err(|error| fault(&scenario, error))?;
        let read = Scenario::read(&scenario)?;
        Ok((scenario, read))
    }
}
