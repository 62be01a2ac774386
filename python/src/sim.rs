//! Simulations as `trimtab.sim` runs them: a scenario's text in, the results' JSON out.
//!
//! The GIL is let go while it runs. The study's worker threads never attach to Python; it tells its
//! progress on the thread that called, which is Python's own: there Ctrl-C is heard, and the caller's
//! function called.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pyo3::prelude::*;
use trimtab_core::sim::{PolicyChoice, Scenario, ScenarioError, Study, StudyError};

use crate::error::SCENARIO_ERROR;

/// How long runs may go on between two looks at Ctrl-C and two calls of the caller's function. To attach
/// may take as long as another thread keeps the GIL, so it is not done for every short run.
const LOOK_EVERY: Duration = Duration::from_millis(80);

/// Runs `toml` under each policy, at each load, with each seed, and returns the results as JSON.
/// `policies` is a JSON list of what a scenario's `[[policies]]` hold. `progress` is called with the
/// runs that have ended and the runs in all.
#[pyfunction]
#[pyo3(signature = (toml, file, *, policies, loads, seeds, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
#[expect(clippy::needless_pass_by_value, reason = "a path is extracted by value")]
pub(crate) fn simulate(
    py: Python<'_>,
    toml: &str,
    file: PathBuf,
    policies: Option<&str>,
    loads: Option<Vec<f64>>,
    seeds: Vec<u64>,
    threads: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let threads = match threads.map(NonZeroUsize::new) {
        Some(None) => return Err(refusal(py, "threads must be at least 1")),
        Some(some) => some,
        None => None,
    };
    let choices: Option<Vec<PolicyChoice>> = policies
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| refusal(py, format!("policies: {error}")))?;
    let study = py
        .detach(|| study(toml, &file, choices, loads, seeds))
        .map_err(|error| refusal(py, error))?;
    let total = study.runs();
    let progress = progress.map(|progress| progress.clone().unbind());
    let mut raised = None;
    let mut looked = Instant::now();
    let results = py.detach(|| {
        study.run(threads, |ended| {
            if looked.elapsed() < LOOK_EVERY && ended < total {
                return true;
            }
            looked = Instant::now();
            raised = Python::attach(|py| look(py, progress.as_ref(), ended, total)).err();
            raised.is_none()
        })
    });
    match (raised, results) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(refusal(py, error)),
        (None, Ok(results)) => {
            py.detach(|| serde_json::to_string(&results)).map_err(|error| refusal(py, error))
        }
    }
}

/// What keeps a study from being made.
#[derive(Debug)]
enum Refused {
    Scenario(ScenarioError),
    Study(StudyError),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scenario(error) => error.fmt(f),
            Self::Study(error) => error.fmt(f),
        }
    }
}

fn study(
    toml: &str,
    file: &Path,
    choices: Option<Vec<PolicyChoice>>,
    loads: Option<Vec<f64>>,
    seeds: Vec<u64>,
) -> Result<Study, Refused> {
    let scenario = Scenario::parse(toml, file).map_err(Refused::Scenario)?;
    let choices = choices.unwrap_or_default().into_iter().map(|choice| known(&scenario, choice));
    let choices = choices.collect();
    let study = Study::new(scenario, choices, seeds).map_err(Refused::Study)?;
    match loads {
        Some(loads) => study.with_loads(&loads).map_err(Refused::Study),
        None => Ok(study),
    }
}

/// A bare name that is the label of one of the scenario's policies means that one, with its settings.
fn known(scenario: &Scenario, choice: PolicyChoice) -> PolicyChoice {
    let bare = choice == PolicyChoice::named(choice.name.as_str());
    let labelled = scenario.policies.iter().find(|own| own.label() == choice.name);
    match labelled {
        Some(own) if bare => own.clone(),
        _ => choice,
    }
}

/// Lets Python's signal handlers and the caller's function have their turn.
fn look(py: Python<'_>, progress: Option<&Py<PyAny>>, ended: usize, total: usize) -> PyResult<()> {
    py.check_signals()?;
    if let Some(progress) = progress {
        progress.call1(py, (ended, total))?;
    }
    Ok(())
}

fn refusal(py: Python<'_>, error: impl std::fmt::Display) -> PyErr {
    SCENARIO_ERROR.new_err(py, error)
}
