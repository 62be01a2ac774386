//! Writing the decision log (feature `log`): a thread that drains the balancer's ring to JSON lines.
//!
//! The request path never waits for it: a full ring drops rows and counts them. A plain thread, so that
//! it works with any runtime or none. An error of the writer loses the rows at hand, which are counted,
//! and the next ones are tried again: a full disk must not stop a service.

use std::{
    fmt::Display,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use trimtab_core::log::DecisionLog;

/// How often the ring is looked at.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// How old a row may get before it is written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How many bytes are written at once.
const BATCH: usize = 64 * 1024;

/// A handle to the writing thread. Dropping it does as [`FileSink::close`], without its report.
#[derive(Debug)]
pub struct FileSink {
    close: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    written: AtomicU64,
    lost: AtomicU64,
    errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// What a sink has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Rows written.
    pub written: u64,
    /// Rows lost because writing failed. Rows lost because the ring was full are the log's to tell.
    pub lost: u64,
    /// Failed writes.
    pub errors: u64,
    /// What the last one said.
    pub last_error: Option<String>,
}

impl FileSink {
    /// Appends to the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread not started.
    pub fn spawn(log: Arc<DecisionLog>, path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Self::spawn_to(log, file)
    }

    /// Writes to `writer`, a batch a call.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn spawn_to(
        log: Arc<DecisionLog>,
        writer: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let (close, closed) = mpsc::channel();
        let drain = Drain { log, writer, state: Arc::clone(&state), batch: Vec::new(), rows: 0 };
        let thread = std::thread::Builder::new()
            .name("trimtab-log".to_owned())
            .spawn(move || drain.run(&closed))?;
        Ok(Self { close: Some(close), thread: Some(thread), state })
    }

    /// What it has done so far.
    pub fn report(&self) -> Report {
        let last_error = self.state.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            written: self.state.written.load(Ordering::Relaxed),
            lost: self.state.lost.load(Ordering::Relaxed),
            errors: self.state.errors.load(Ordering::Relaxed),
            last_error: last_error.clone(),
        }
    }

    /// Writes all rows pushed until now, and stops. Blocks until that is done.
    pub fn close(mut self) -> Report {
        self.join();
        self.report()
    }

    fn join(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.state.failed(&"the writing thread panicked", 0);
        }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.join();
    }
}

impl State {
    fn failed(&self, error: &dyn Display, rows: u64) {
        self.lost.fetch_add(rows, Ordering::Relaxed);
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

/// The thread's side.
struct Drain<W> {
    log: Arc<DecisionLog>,
    writer: W,
    state: Arc<State>,
    batch: Vec<u8>,
    rows: u64,
}

impl<W: Write> Drain<W> {
    fn run(mut self, closed: &mpsc::Receiver<()>) {
        let mut flushed = Instant::now();
        loop {
            let closing = closed.recv_timeout(DRAIN_EVERY) != Err(RecvTimeoutError::Timeout);
            self.drain();
            if closing || flushed.elapsed() >= FLUSH_EVERY {
                self.write();
                flushed = Instant::now();
            }
            if closing {
                return;
            }
        }
    }

    fn drain(&mut self) {
        while let Some(row) = self.log.pop() {
            let start = self.batch.len();
            match serde_json::to_writer(&mut self.batch, &row) {
                Ok(()) => {
                    self.batch.push(b'\n');
                    self.rows += 1;
                }
                Err(error) => {
                    self.batch.truncate(start);
                    self.state.failed(&error, 1);
                }
            }
            if self.batch.len() >= BATCH {
                self.write();
            }
        }
    }

    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.writer.write_all(&self.batch).and_then(|()| self.writer.flush()) {
            Ok(()) => {
                self.state.written.fetch_add(self.rows, Ordering::Relaxed);
            }
            Err(error) => self.state.failed(&error, self.rows),
        }
        self.batch.clear();
        self.rows = 0;
    }
}
