//! Picking for Python: the generator, the requests that are open as tokens, and what a fork changes.
//!
//! The first pick in a process starts the log's writer; in a forked child it seeds the generator anew
//! too, or parent and child would pick alike. The lock is taken only while attached, so never by
//! another thread at a fork, and nothing that may run Python's code is done under it: a destructor or
//! the collector could come back here.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use pyo3::prelude::*;
use trimtab_core::{Balancer, Context, Lease, Rng, Time};

use crate::{entropy, error, fork, log::Log, token::Slab};

const NEVER: u64 = u64::MAX;

/// The core's balancer with what a pick needs besides.
#[derive(Debug)]
pub(crate) struct Picks {
    core: Balancer,
    state: Mutex<State>,
    log: Option<Log>,
    /// The fork generation of the first pick here; `NEVER` before it.
    settled: AtomicU64,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    tokens: Slab,
    /// The fork generation that the generator was seeded in.
    seeded: u64,
}

impl Picks {
    pub(crate) fn new(core: Balancer, rng: Rng, log: Option<Log>) -> Self {
        let state = State { rng, tokens: Slab::default(), seeded: fork::generation() };
        Self { core, state: Mutex::new(state), log, settled: AtomicU64::new(NEVER) }
    }

    #[inline]
    pub(crate) fn core(&self) -> &Balancer {
        &self.core
    }

    pub(crate) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Picks an endpoint.
    #[inline]
    pub(crate) fn pick(&self, py: Python<'_>, now: Time, context: &Context<'_>) -> PyResult<Lease> {
        self.choose(py, now, context, |_, lease| lease)
    }

    /// Picks an endpoint; the lease is kept here under a token.
    #[inline]
    pub(crate) fn begin(&self, py: Python<'_>, now: Time, context: &Context<'_>) -> PyResult<u64> {
        self.choose(py, now, context, |state, lease| state.tokens.insert(lease))
    }

    /// Asks the lease of `token`; under the lock, so `ask` may make strings but run nobody's code.
    #[inline]
    pub(crate) fn ask<T>(
        &self,
        py: Python<'_>,
        token: u64,
        ask: impl FnOnce(&mut Lease) -> T,
    ) -> PyResult<T> {
        let answer = self.state().tokens.get(token).map(ask);
        answer.ok_or_else(|| no_token(py, token))
    }

    /// Takes the lease of `token`, which is then no token any more.
    #[inline]
    pub(crate) fn take(&self, py: Python<'_>, token: u64) -> PyResult<Lease> {
        let lease = self.state().tokens.remove(token);
        lease.ok_or_else(|| no_token(py, token))
    }

    #[inline]
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn choose<T>(
        &self,
        py: Python<'_>,
        now: Time,
        context: &Context<'_>,
        keep: impl FnOnce(&mut State, Lease) -> T,
    ) -> PyResult<T> {
        if self.settled.load(Ordering::Relaxed) != fork::generation() {
            self.settle(py);
        }
        let picked = {
            let state = &mut *self.state();
            self.core.pick(now, context, &mut state.rng).map(|lease| keep(state, lease))
        };
        picked.map_err(|error| error::pick(py, &error))
    }

    /// Before the first pick in a process.
    #[cold]
    fn settle(&self, py: Python<'_>) {
        let generation = fork::generation();
        let forked = {
            let state = &mut *self.state();
            let forked = state.seeded != generation;
            if forked {
                state.rng = Rng::seeded(entropy::seed());
                state.seeded = generation;
            }
            forked
        };
        let lost = self.log.as_ref().and_then(|log| {
            if forked {
                log.forked();
            }
            log.start()
        });
        self.settled.store(generation, Ordering::Relaxed);
        if let Some(message) = lost {
            error::warn(py, message);
        }
    }
}

#[cold]
fn no_token(py: Python<'_>, token: u64) -> PyErr {
    error::TOKEN_ERROR.new_err(
        py,
        format_args!("token {token} is not open here: it has ended or is another balancer's"),
    )
}
