//! Many runs: every policy at every load with every seed, on as many threads as there are.
//!
//! All policies meet the same requests and the same troubles for a seed, so their differences are
//! judged in pairs. The results do not depend on the number of threads.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::{
    engine::{Setup, SetupError, Simulation},
    interval::{Interval, Ratio},
    results::{About, Against, Endpoints, Labelled, Results, Run, Summary, Timeline},
    scenario::{PolicyChoice, Scenario},
};
use crate::learn::Model;

/// How often progress is told while nothing ends.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Figures that are compared with the first policy's.
const COMPARED: [&str; 8] = [
    "mean_ms",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p999_ms",
    "first_byte_p50_ms",
    "first_byte_p90_ms",
    "first_byte_p99_ms",
];

/// A comparison of policies on one scenario.
#[derive(Clone, Debug)]
pub struct Study {
    scenario: Arc<Scenario>,
    policies: Vec<(PolicyChoice, Option<Arc<Model>>)>,
    loads: Vec<Option<f64>>,
    seeds: Vec<u64>,
}

/// Why a study cannot be made or has no results.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// No policy was named, by the caller or the scenario.
    #[error("no policy to simulate: name at least one")]
    NoPolicy,
    /// No seed was given.
    #[error("no seed to simulate with: give at least one")]
    NoSeed,
    /// Two policies of one label.
    #[error("two policies have the label `{label}`; give them labels that differ")]
    SameLabel {
        /// The label.
        label: String,
    },
    /// A policy that cannot be made.
    #[error("policy `{label}` {rule}")]
    Policy {
        /// Its label.
        label: String,
        /// What is wrong.
        rule: String,
    },
    /// Loads for a scenario that takes none.
    #[error(
        "loads can be given for a scenario that has `traffic.load` or `traffic.loads`; this one has a rate"
    )]
    NoLoads,
    /// A load outside its range.
    #[error("load {load} must be above 0 and at most 10")]
    Load {
        /// What was given.
        load: f64,
    },
    /// A run cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The caller stopped it.
    #[error("stopped")]
    Stopped,
}

impl Study {
    /// Compares `policies`, or those that the scenario names if there are none, with the seeds `1..=n`
    /// or any others.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn new(
        scenario: Scenario,
        policies: Vec<PolicyChoice>,
        seeds: Vec<u64>,
    ) -> Result<Self, StudyError> {
        let policies = if policies.is_empty() { scenario.policies.clone() } else { policies };
        if policies.is_empty() {
            return Err(StudyError::NoPolicy);
        }
        if seeds.is_empty() {
            return Err(StudyError::NoSeed);
        }
        let mut labels = BTreeSet::new();
        let mut with_models = Vec::with_capacity(policies.len());
        for policy in policies {
            let wrong = |rule| StudyError::Policy { label: policy.label().to_owned(), rule };
            if !labels.insert(policy.label().to_owned()) {
                return Err(StudyError::SameLabel { label: policy.label().to_owned() });
            }
            policy.check().map_err(wrong)?;
            let model = match &policy.model {
                None => None,
                Some(path) => {
                    Some(Arc::new(read_model(&scenario.folder.join(path)).map_err(wrong)?))
                }
            };
            with_models.push((policy, model));
        }
        let loads = scenario.loads();
        Ok(Self { scenario: Arc::new(scenario), policies: with_models, loads, seeds })
    }

    /// At these loads in place of the scenario's.
    ///
    /// # Errors
    /// [`StudyError::NoLoads`] for a scenario with a rate, [`StudyError::Load`] for a load out of range.
    pub fn with_loads(mut self, loads: &[f64]) -> Result<Self, StudyError> {
        if self.loads == [None] {
            return Err(StudyError::NoLoads);
        }
        if let Some(load) = loads.iter().find(|load| !(**load > 0.0 && **load <= 10.0)) {
            return Err(StudyError::Load { load: *load });
        }
        if !loads.is_empty() {
            self.loads = loads.iter().copied().map(Some).collect();
        }
        Ok(self)
    }

    /// How many runs it takes.
    pub fn runs(&self) -> usize {
        self.policies.len() * self.loads.len() * self.seeds.len()
    }

    /// Runs everything. `progress` is told now and then how many runs have ended, on the thread that
    /// called, and stops the study by returning false. `threads` is bounded by what the machine has.
    ///
    /// # Errors
    /// [`StudyError::Setup`], [`StudyError::Stopped`].
    pub fn run(
        &self,
        threads: Option<NonZeroUsize>,
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Results, StudyError> {
        let most = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = threads.map_or(most, |threads| threads.min(most)).get().min(self.runs());
        let stop = AtomicBool::new(false);
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<usize, Outcome>> = Mutex::default();
        let ended = std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel::<Result<(), SetupError>>();
            for _ in 0..threads {
                let tell = tell.clone();
                let (stop, next, done) = (&stop, &next, &done);
                scope.spawn(move || {
                    loop {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= self.runs() || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let outcome = self.run_one(job, stop).map(|outcome| {
                            done.lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .insert(job, outcome);
                        });
                        if tell.send(outcome).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(tell);
            let mut ended = 0;
            loop {
                match told.recv_timeout(TELL_EVERY) {
                    Ok(Ok(())) => ended += 1,
                    Ok(Err(error)) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(StudyError::Setup(error));
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(ended),
                }
                if !stop.load(Ordering::Relaxed) && !progress(ended) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        })?;
        if ended < self.runs() || stop.load(Ordering::Relaxed) {
            return Err(StudyError::Stopped);
        }
        Ok(self.results(done.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Runs the `job`th: seeds vary fastest, then loads, then policies.
    fn run_one(&self, job: usize, stop: &AtomicBool) -> Result<Outcome, SetupError> {
        let (policy, model) = &self.policies[job / (self.seeds.len() * self.loads.len())];
        let load = self.loads[job / self.seeds.len() % self.loads.len()];
        let seed = self.seeds[job % self.seeds.len()];
        let mut setup = Setup::new(policy.clone(), load, seed);
        setup.model.clone_from(model);
        let mut simulation = Simulation::new(&self.scenario, &setup)?;
        simulation.run(stop);
        let first = job.is_multiple_of(self.seeds.len());
        Ok(Outcome {
            run: simulation.figures(),
            course: first.then(|| (simulation.timeline(), simulation.endpoints())),
        })
    }

    fn results(&self, outcomes: BTreeMap<usize, Outcome>) -> Results {
        let (mut runs, mut timelines, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
        for (job, outcome) in outcomes {
            let policy = self.policies[job / (self.seeds.len() * self.loads.len())].0.label();
            let load = self.loads[job / self.seeds.len() % self.loads.len()];
            let seed = self.seeds[job % self.seeds.len()];
            if let Some((timeline, servers)) = outcome.course {
                timelines.push(label(policy, load, seed, timeline));
                endpoints.push(label(policy, load, seed, servers));
            }
            runs.push(label(policy, load, seed, outcome.run));
        }
        let scenario = &self.scenario;
        Results {
            format: 1,
            scenario: About {
                name: scenario.name.clone(),
                description: scenario.description.clone(),
                toml: scenario.text.clone(),
                duration_s: scenario.duration.secs(),
                warm_up_s: scenario.warm_up.secs(),
                timeout_s: scenario.clients.timeout.secs(),
                slo_s: scenario.slo.map(super::scenario::Span::secs),
                clients: scenario.clients.count.get(),
                servers: scenario.servers.iter().map(|group| group.count.get()).sum(),
            },
            policies: self.policies.iter().map(|(policy, _)| policy.label().to_owned()).collect(),
            loads: self.loads.clone(),
            seeds: self.seeds.clone(),
            capacity_rps: scenario.full_load(),
            summary: summarise(&runs, self.seeds.len()),
            runs,
            timelines,
            endpoints,
            events: super::engine::happenings(scenario),
        }
    }
}

struct Outcome {
    run: Run,
    course: Option<(Timeline, Endpoints)>,
}

fn label<T>(policy: &str, load: Option<f64>, seed: u64, of: T) -> Labelled<T> {
    Labelled { policy: policy.to_owned(), load, seed, of }
}

/// A row for each policy and load. The runs of one are next to each other.
fn summarise(runs: &[Labelled<Run>], seeds: usize) -> Vec<Summary> {
    let rows: Vec<&[Labelled<Run>]> = runs.chunks(seeds).collect();
    let mut summary = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(head) = row.first() else { continue };
        let metrics = Run::METRICS
            .iter()
            .map(|(name, read)| (*name, Interval::of(row.iter().map(|run| read(&run.of)))))
            .collect();
        let base = rows
            .iter()
            .find(|base| base[0].load == head.load)
            .filter(|base| base[0].policy != head.policy);
        let against = base.map(|base| Against {
            policy: base[0].policy.clone(),
            metrics: Run::METRICS
                .iter()
                .filter(|(name, _)| COMPARED.contains(name))
                .filter_map(|(name, read)| {
                    let pairs: Vec<_> = row
                        .iter()
                        .zip(*base)
                        .map(|(run, base)| (read(&run.of), read(&base.of)))
                        .collect();
                    Some((*name, Ratio::of(&pairs)?))
                })
                .collect(),
        });
        summary.push(Summary { policy: head.policy.clone(), load: head.load, metrics, against });
    }
    summary
}

fn read_model(path: &std::path::Path) -> Result<Model, String> {
    let file = std::fs::File::open(path)
        .map_err(|error| format!("has a model that cannot be read: {}: {error}", path.display()))?;
    Model::read(file)
        .map_err(|error| format!("has a model that cannot be used: {}: {error}", path.display()))
}
