//! The extension module `trimtab._trimtab`: the core, as Python sees it.
//!
//! A thin layer. Every decision is the core's; what stands here turns Python's arguments into the
//! core's types once, keeps what Python objects belong to an endpoint, and gets out of the way. No
//! thread of Rust ever attaches to the interpreter, and a pick never lets go of the GIL: that costs
//! more than the pick.

// What users read is Python's help(), where docstrings follow Python's habits.
#![allow(clippy::doc_markdown)]

mod balancer;
mod budget;
mod clock;
mod counters;
mod endpoint;
mod entropy;
mod env;
mod error;
mod face;
mod fleet;
mod fork;
mod from_logs;
mod gate;
mod learn;
mod lease;
mod log;
mod mock;
mod model;
mod outcome;
mod picks;
mod ready;
mod request;
mod settings;
mod sim;
mod stats;
mod token;

use pyo3::prelude::*;

/// The extension module of the package `trimtab`. Import from `trimtab` instead.
#[pymodule(gil_used = true)]
fn _trimtab(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("POLICIES", settings::policies(module.py())?)?;
    module.add_class::<balancer::Balancer>()?;
    module.add_class::<budget::RetryBudget>()?;
    module.add_class::<counters::Counters>()?;
    module.add_class::<endpoint::Endpoint>()?;
    module.add_class::<env::RoutingEnvs>()?;
    module.add_class::<from_logs::ScenarioFromLogs>()?;
    module.add_class::<lease::Lease>()?;
    module.add_class::<stats::EndpointStats>()?;
    module.add_function(wrap_pyfunction!(mock::run_mock, module)?)?;
    module.add_function(wrap_pyfunction!(sim::simulate, module)?)?;
    learn::register(module)?;
    fork::register(module)?;
    Ok(())
}
