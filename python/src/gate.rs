//! What a balancer's log writer and the threads of Python say to each other.
//!
//! Three things cross here: pause (the process is about to fork, and the child must not find the ring
//! half changed), flush (somebody waits until all rows are in the file), stop. The writer touches the
//! ring only between [`Gate::enter`] and [`Gate::leave`].

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a waiter sleeps at most before it looks at signals, and an idle writer before it looks at
/// the ring.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// One writer's gate.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) written: AtomicU64,
    pub(crate) failed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    paused: bool,
    stop: bool,
    writer: Writer,
    /// The last flush asked for, and the last one done.
    wanted: u64,
    flushed: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Writer {
    /// Away from the ring.
    #[default]
    Away,
    /// At the ring.
    Draining,
    /// Gone: nothing it was asked for will happen any more.
    Ended,
}

impl Gate {
    /// The writer is about to touch the ring; waits while paused. Gives the flush that is complete
    /// once the ring is empty, and whether to stop then.
    pub(crate) fn enter(&self) -> (u64, bool) {
        let mut state = self.lock();
        while state.paused {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writer = Writer::Draining;
        (state.wanted, state.stop)
    }

    /// The writer is done with the ring for now.
    pub(crate) fn leave(&self) {
        self.lock().writer = Writer::Away;
        self.changed.notify_all();
    }

    /// The ring was empty and everything is in the file.
    pub(crate) fn flushed(&self, ticket: u64) {
        self.lock().flushed = ticket;
        self.changed.notify_all();
    }

    /// The writer rests until it is wanted or a tick has passed.
    pub(crate) fn rest(&self) {
        let state = self.lock();
        if state.wanted == state.flushed && !state.stop {
            drop(self.changed.wait_timeout(state, TICK));
        }
    }

    /// Keeps the writer off the ring until [`Gate::resume`]; waits for it to leave, at most the time it
    /// takes to format one batch.
    pub(crate) fn pause(&self) {
        let mut state = self.lock();
        state.paused = true;
        while state.writer == Writer::Draining {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        self.lock().paused = false;
        self.changed.notify_all();
    }

    /// Asks for a flush; the ticket is for [`Gate::wait`].
    pub(crate) fn ask_flush(&self, stop: bool) -> u64 {
        let mut state = self.lock();
        state.wanted += 1;
        state.stop |= stop;
        self.changed.notify_all();
        state.wanted
    }

    /// Waits a tick for a flush to be done; whether there is nothing more to wait for.
    pub(crate) fn wait(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        if state.flushed < ticket && state.writer != Writer::Ended {
            (state, _) =
                self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
        }
        state.flushed >= ticket || state.writer == Writer::Ended
    }

    /// The writer is gone.
    pub(crate) fn end(&self) {
        self.lock().writer = Writer::Ended;
        self.changed.notify_all();
    }

    pub(crate) fn count(&self, written: u64, failed: u64) {
        self.written.fetch_add(written, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
