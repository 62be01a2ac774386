//! The decision log's file: one thread a balancer that turns rows into JSON lines.
//!
//! The thread is plain Rust and never attaches to Python. It starts with the first pick, writes whole
//! lines to a file opened for appending (so that processes may share one), and is gone after a fork,
//! when the next pick starts another. A file that can no longer be written costs rows, which are
//! counted, and never a request.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
};

use pyo3::{exceptions::PyOSError, prelude::*};
use trimtab_core::log::DecisionLog;

use crate::{
    error, fork,
    gate::{Gate, TICK},
};

/// Rows formatted at a time.
const BATCH: usize = 256;
/// How long a balancer that is dropped waits for its file, in ticks: two seconds.
const LAST_TICKS: u32 = 40;

/// A balancer's decision log and its writer.
#[derive(Debug)]
pub(crate) struct Log {
    decisions: Arc<DecisionLog>,
    path: PathBuf,
    client: String,
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    gate: Arc<Gate>,
    generation: u64,
}

impl Log {
    /// Writes `decisions` to the file at `path`, which is opened (and made if needed) at once, so that
    /// a bad path is an error of the constructor.
    pub(crate) fn new(
        py: Python<'_>,
        decisions: Arc<DecisionLog>,
        path: PathBuf,
        client: String,
    ) -> PyResult<Self> {
        let refuse = |error: std::io::Error| {
            let message = format!("decision log {}: {error}", path.display());
            let cause = PyOSError::new_err((error.raw_os_error(), error.to_string()));
            error::CONFIG_ERROR.caused_by(py, message, cause)
        };
        drop(open(&path).map_err(refuse)?);
        Ok(Self { decisions, path, client, writer: Mutex::new(None) })
    }

    /// Makes sure that somebody writes; called before the first pick, and after a fork. No request may
    /// fail for its log: where there can be no writer, the rows are counted as lost, and what to warn of
    /// is returned.
    pub(crate) fn start(&self) -> Option<String> {
        let mut writer = self.writer();
        if writer.is_some() || self.decisions.is_closed() {
            return None;
        }
        match self.spawn() {
            Ok(started) => {
                *writer = Some(started);
                None
            }
            Err(error) => {
                self.decisions.close();
                Some(format!("decision log {}: {error}; its rows are lost", self.path.display()))
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Writer> {
        let generation = fork::generation();
        let gate = Arc::new(Gate::default());
        let job = Job {
            decisions: Arc::clone(&self.decisions),
            gate: Arc::clone(&gate),
            file: open(&self.path)?,
            // A forked child is another client than the one that its parent's log names.
            client: (generation > 0).then(|| format!("{}:{}", self.client, std::process::id())),
        };
        // Nobody joins the thread: the gate tells when it has ended, and after a fork it is not there.
        thread::Builder::new().name("trimtab-log".to_owned()).spawn(move || job.run())?;
        fork::remember(&gate);
        Ok(Writer { gate, generation })
    }

    /// After a fork: the parent writes what was under way, and its writer is not here.
    pub(crate) fn forked(&self) {
        while self.decisions.pop().is_some() {}
        drop(self.writer());
    }

    /// Waits until every row so far is in the file; with `stop` the writer then ends. Ctrl-C is heard.
    pub(crate) fn flush(&self, py: Python<'_>, stop: bool) -> PyResult<()> {
        let Some((gate, ticket)) = self.writer().as_ref().map(|writer| {
            let ticket = writer.gate.ask_flush(stop);
            (Arc::clone(&writer.gate), ticket)
        }) else {
            return Ok(());
        };
        while !py.detach(|| gate.wait(ticket)) {
            py.check_signals()?;
        }
        Ok(())
    }

    /// Flushes and ends the writer; rows from now on are counted as lost.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.decisions.close();
        self.flush(py, true)
    }

    /// Rows written, and rows lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let writer = self.writer();
        let (written, failed) = writer.as_ref().map_or((0, 0), |writer| {
            let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            (load(&writer.gate.written), load(&writer.gate.failed))
        });
        (written, failed + self.decisions.dropped())
    }

    /// This process's writer; one from before a fork is forgotten.
    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.as_ref().is_some_and(|writer| writer.generation != fork::generation()) {
            *writer = None;
        }
        writer
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(writer) = self.writer().take() {
            let ticket = writer.gate.ask_flush(true);
            // A few milliseconds, unless the file blocks; then the thread is left alone, since a
            // destructor cannot be interrupted.
            let _ = (0..LAST_TICKS).any(|_| writer.gate.wait(ticket));
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// What the thread works on.
struct Job {
    decisions: Arc<DecisionLog>,
    gate: Arc<Gate>,
    file: File,
    client: Option<String>,
}

impl Job {
    fn run(mut self) {
        // Says so also if a panic ends it: nobody waits for a writer that is not there.
        let _ended = Ended(Arc::clone(&self.gate));
        let mut lines = Vec::new();
        loop {
            let (ticket, stop) = self.gate.enter();
            lines.clear();
            let rows = self.format(&mut lines);
            self.gate.leave();
            if rows > 0 {
                let written = self.file.write_all(&lines).is_ok();
                let (written, failed) = if written { (rows, 0) } else { (0, rows) };
                self.gate.count(written, failed);
                continue;
            }
            self.gate.flushed(ticket);
            if stop {
                return;
            }
            self.gate.rest();
        }
    }

    /// Formats up to a batch of rows; how many.
    fn format(&self, lines: &mut Vec<u8>) -> u64 {
        let mut rows = 0;
        while rows < BATCH as u64
            && let Some(mut row) = self.decisions.pop()
        {
            if let Some(client) = &self.client {
                row.client.clone_from(client);
            }
            let start = lines.len();
            // Writing to memory cannot fail; a value that JSON cannot hold would lose its row.
            if serde_json::to_writer(&mut *lines, &row).is_err() {
                lines.truncate(start);
                self.gate.count(0, 1);
                continue;
            }
            lines.push(b'\n');
            rows += 1;
        }
        rows
    }
}

struct Ended(Arc<Gate>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

const _: () = assert!(TICK.as_millis() <= 100, "Ctrl-C must not wait");
