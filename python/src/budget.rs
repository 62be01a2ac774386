//! The retry budget, for adapters that send a request again.

use pyo3::prelude::*;

use crate::clock;

/// Keeps attempts within a ratio of the requests, so that retries cannot multiply the load on a fleet
/// that fails because of it.
///
/// Every request deposits `ratio` of a retry and every second `per_second`; a retry withdraws one; at
/// most `cap` are saved up. Negative numbers and not-a-number count as 0.
#[pyclass(frozen, module = "trimtab", name = "RetryBudget")]
#[derive(Debug)]
pub(crate) struct RetryBudget {
    core: trimtab_core::RetryBudget,
}

#[pymethods]
impl RetryBudget {
    #[new]
    #[pyo3(signature = (ratio = 0.2, per_second = 10.0, cap = 100.0))]
    fn new(ratio: f64, per_second: f64, cap: f64) -> Self {
        Self { core: trimtab_core::RetryBudget::new(ratio, per_second, cap) }
    }

    /// A request is sent for the first time.
    fn deposit(&self) {
        self.core.deposit(clock::now());
    }

    /// Asks to send one more attempt; if true it is paid for.
    fn withdraw(&self) -> bool {
        self.core.withdraw(clock::now())
    }
}
