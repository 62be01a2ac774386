//! Surviving `os.fork`.
//!
//! A forked child has one thread: the log writers are gone, and what another thread held at that
//! moment stays held for ever. So the writers leave the rings before the fork, the parent's go on
//! after it, and the child counts a new generation: a balancer that sees a generation other than its
//! own seeds its generator anew and forgets its writer; the next row to be logged starts another.
//!
//! The hooks run with the GIL held, as does everything else that takes the registry's lock, so no
//! other thread holds it while the process forks.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use pyo3::{prelude::*, types::PyDict};

use crate::gate::Gate;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static WRITERS: Mutex<Vec<Weak<Gate>>> = Mutex::new(Vec::new());

/// How many forks lie between this process and the one that loaded the module.
#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Remembers a writer, to pause it before forks and to flush it at exit.
pub(crate) fn remember(gate: &Arc<Gate>) {
    let mut writers = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    writers.retain(|writer| writer.strong_count() > 0);
    writers.push(Arc::downgrade(gate));
}

/// Hangs the hooks into `os.register_at_fork` and `atexit`.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import("os")?;
    // Absent where there is no fork.
    if let Ok(register) = os.getattr("register_at_fork") {
        let hooks = PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(before, module)?)?;
        hooks.set_item("after_in_parent", wrap_pyfunction!(after_in_parent, module)?)?;
        hooks.set_item("after_in_child", wrap_pyfunction!(after_in_child, module)?)?;
        register.call((), Some(&hooks))?;
    }
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(at_exit, module)?,))?;
    Ok(())
}

fn writers() -> Vec<Arc<Gate>> {
    let writers = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    writers.iter().filter_map(Weak::upgrade).collect()
}

#[pyfunction]
fn before() {
    for writer in writers() {
        writer.pause();
    }
}

#[pyfunction]
fn after_in_parent() {
    for writer in writers() {
        writer.resume();
    }
}

#[pyfunction]
fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

#[pyfunction]
fn at_exit(py: Python<'_>) -> PyResult<()> {
    for writer in writers() {
        let ticket = writer.ask_flush(true);
        while !py.detach(|| writer.wait(ticket)) {
            py.check_signals()?;
        }
    }
    Ok(())
}
