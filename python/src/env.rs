//! The environments of `trimtab.gym`: many runs of one scenario, stepped in one call.
//!
//! Python hands over numpy's arrays by the buffer protocol. The runs go on without the GIL, into memory
//! of their own, which is copied into the arrays at the end: some microseconds for 64 environments, and
//! no array is touched while another thread may look at it.

use std::{num::NonZeroU64, path::PathBuf, sync::Arc};

use pyo3::{
    buffer::{Element, PyBuffer},
    prelude::*,
};
use trimtab_core::sim::{Environment, EnvironmentConfig, EnvironmentError, Scenario, Step};

use crate::error::{CONFIG_ERROR, SCENARIO_ERROR};

/// Several environments of one kind. What goes in and out are C-contiguous arrays, a row for each of
/// them.
#[pyclass(module = "trimtab._trimtab")]
pub(crate) struct RoutingEnvs {
    worlds: Vec<World>,
    servers: Vec<String>,
    features: Vec<(String, f32, f32)>,
    rows: Rows,
}

struct World {
    environment: Environment,
    /// What its last step brought; `None` after a reset.
    step: Option<Step>,
}

/// What all environments show and brought, row by row, as Python gets it.
#[derive(Default)]
struct Rows {
    observations: Vec<f32>,
    masks: Vec<i8>,
    /// Reward, response time, utilisation, time: all of one kind, then all of the next.
    floats: Vec<f64>,
    /// Errors, requests completed, server (-1 for none).
    integers: Vec<i64>,
    truncated: Vec<u8>,
}

#[pymethods]
impl RoutingEnvs {
    #[new]
    #[pyo3(signature = (toml, file, *, num_envs, loads, weights, time_scale, max_steps))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
    #[expect(clippy::needless_pass_by_value, reason = "a path is extracted by value")]
    fn new(
        py: Python<'_>,
        toml: &str,
        file: PathBuf,
        num_envs: usize,
        loads: Vec<f64>,
        weights: (f64, f64, f64),
        time_scale: f64,
        max_steps: Option<u64>,
    ) -> PyResult<Self> {
        let max_steps = match max_steps.map(NonZeroU64::new) {
            Some(None) => {
                return Err(CONFIG_ERROR.new_err(py, "max_steps = 0 must be at least 1"));
            }
            some => some.flatten(),
        };
        if num_envs == 0 {
            return Err(CONFIG_ERROR.new_err(py, "num_envs = 0 must be at least 1"));
        }
        let mut config = EnvironmentConfig::default();
        (config.weights.response_time, config.weights.error_rate, config.weights.utilization) =
            weights;
        (config.loads, config.time_scale, config.max_steps) = (loads, time_scale, max_steps);
        let scenario = py
            .detach(|| Scenario::parse(toml, &file))
            .map_err(|error| SCENARIO_ERROR.new_err(py, error))?;
        let first = py
            .detach(|| Environment::new(&Arc::new(scenario), &config))
            .map_err(|error| refusal(py, &error))?;
        let servers = first.servers().to_vec();
        let features: Vec<_> = first
            .features()
            .iter()
            .map(|feature| (feature.name.clone(), feature.low, feature.high))
            .collect();
        let rows = Rows {
            observations: vec![0.0; num_envs * features.len()],
            masks: vec![0; num_envs * servers.len()],
            floats: vec![0.0; num_envs * 4],
            integers: vec![0; num_envs * 3],
            truncated: vec![0; num_envs],
        };
        let world = |environment| World { environment, step: None };
        let mut worlds: Vec<World> = (1..num_envs).map(|_| world(first.another())).collect();
        worlds.push(world(first));
        Ok(Self { worlds, servers, features, rows })
    }

    /// The servers' ids, by action.
    #[getter]
    fn servers(&self) -> Vec<String> {
        self.servers.clone()
    }

    /// Name, least and greatest value of each entry of an observation.
    #[getter]
    fn features(&self) -> Vec<(String, f32, f32)> {
        self.features.clone()
    }

    /// Starts an episode with the environment's seed in each environment whose place in `resets` is not
    /// 0, and fills the other arrays.
    #[expect(clippy::needless_pass_by_value, reason = "arrays are extracted by value")]
    fn reset(
        &mut self,
        py: Python<'_>,
        resets: PyBuffer<u8>,
        seeds: PyBuffer<u64>,
        observations: PyBuffer<f32>,
        masks: PyBuffer<i8>,
        times: PyBuffer<f64>,
    ) -> PyResult<()> {
        let count = self.worlds.len();
        let (resets, seeds) = (taken(py, &resets, count)?, taken(py, &seeds, count)?);
        py.detach(|| {
            self.advance(|place| match resets[place] {
                0 => Todo::Nothing,
                _ => Todo::Reset(seeds[place]),
            })
        })
        .map_err(|error| refusal(py, &error))?;
        observations.copy_from_slice(py, &self.rows.observations)?;
        masks.copy_from_slice(py, &self.rows.masks)?;
        times.copy_from_slice(py, &self.rows.floats[3 * count..])
    }

    /// Takes each environment's action, or starts an episode where `resets` says so, and fills the other
    /// arrays.
    #[expect(clippy::too_many_arguments, reason = "one array each")]
    #[expect(clippy::needless_pass_by_value, reason = "arrays are extracted by value")]
    fn step(
        &mut self,
        py: Python<'_>,
        actions: PyBuffer<i64>,
        resets: PyBuffer<u8>,
        seeds: PyBuffer<u64>,
        observations: PyBuffer<f32>,
        masks: PyBuffer<i8>,
        floats: PyBuffer<f64>,
        integers: PyBuffer<i64>,
        truncated: PyBuffer<u8>,
    ) -> PyResult<()> {
        let count = self.worlds.len();
        let actions = taken(py, &actions, count)?;
        let (resets, seeds) = (taken(py, &resets, count)?, taken(py, &seeds, count)?);
        let servers = self.servers.len();
        // Before anything moves, so that a wrong action leaves all as it was.
        let wrong = |place: &usize| {
            resets[*place] == 0 && usize::try_from(actions[*place]).map_or(true, |a| a >= servers)
        };
        if let Some(place) = (0..count).find(wrong) {
            let action = actions[place];
            let message = format!("action {action} is no server; there are {servers}, from 0");
            return Err(CONFIG_ERROR.new_err(py, message));
        }
        py.detach(|| {
            self.advance(|place| match resets[place] {
                0 => Todo::Step(actions[place] as usize),
                _ => Todo::Reset(seeds[place]),
            })
        })
        .map_err(|error| refusal(py, &error))?;
        observations.copy_from_slice(py, &self.rows.observations)?;
        masks.copy_from_slice(py, &self.rows.masks)?;
        floats.copy_from_slice(py, &self.rows.floats)?;
        integers.copy_from_slice(py, &self.rows.integers)?;
        truncated.copy_from_slice(py, &self.rows.truncated)
    }

    /// Requests that each server of one environment holds.
    fn held(&self, env: usize) -> Vec<u32> {
        self.worlds.get(env).map(|world| world.environment.held()).unwrap_or_default()
    }
}

/// What to do with an environment.
enum Todo {
    Nothing,
    Reset(u64),
    Step(usize),
}

impl RoutingEnvs {
    fn advance(&mut self, todo: impl Fn(usize) -> Todo) -> Result<(), EnvironmentError> {
        let count = self.worlds.len();
        let (width, servers) = (self.features.len(), self.servers.len());
        let rows = &mut self.rows;
        for (place, world) in self.worlds.iter_mut().enumerate() {
            let environment = &mut world.environment;
            world.step = match todo(place) {
                Todo::Nothing => continue,
                Todo::Reset(seed) => {
                    environment.reset(seed)?;
                    None
                }
                Todo::Step(action) => Some(environment.step(action)?),
            };
            environment.observe(
                &mut rows.observations[place * width..][..width],
                &mut rows.masks[place * servers..][..servers],
            );
            let step = world.step.unwrap_or_default();
            let floats = [step.reward, step.response_time, step.utilization, environment.seconds()];
            for (kind, value) in floats.into_iter().enumerate() {
                rows.floats[kind * count + place] = value;
            }
            let server = match (world.step, step.server) {
                (Some(_), None) => -1,
                (_, server) => server.map_or(0, i64::from),
            };
            let integers = [i64::from(step.errors), i64::from(step.completed), server];
            for (kind, value) in integers.into_iter().enumerate() {
                rows.integers[kind * count + place] = value;
            }
            rows.truncated[place] = u8::from(step.truncated);
        }
        Ok(())
    }
}

/// The values of an array of the right length.
fn taken<T: Element>(py: Python<'_>, array: &PyBuffer<T>, length: usize) -> PyResult<Vec<T>> {
    if array.item_count() == length {
        return array.to_vec(py);
    }
    let message = format!("{} values for {length} environments", array.item_count());
    Err(CONFIG_ERROR.new_err(py, message))
}

fn refusal(py: Python<'_>, error: &EnvironmentError) -> PyErr {
    match error {
        EnvironmentError::Setup(_) => SCENARIO_ERROR.new_err(py, error),
        _ => CONFIG_ERROR.new_err(py, error),
    }
}
