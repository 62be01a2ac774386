//! A simulation's description, as one TOML file gives it.
//!
//! Parsed once into types that cannot be wrong, and checked as a whole before anything runs: an error
//! names the file, and the line or the key.

mod clients;
mod distribution;
mod error;
mod events;
mod network;
mod outlier;
mod policy_choice;
mod servers;
mod traffic;
mod units;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

pub use clients::{Cancel, Clients, Hedge};
pub use distribution::Distribution;
pub use error::ScenarioError;
pub use events::{Action, Event, Selector};
pub use network::{Between, Network, Probes};
pub use outlier::{FailurePercentage, Latency, Outlier, SuccessRate};
pub use policy_choice::PolicyChoice;
pub use servers::{Antagonist, Class, Group, Llm, Model, Pauses, Reports};
pub use traffic::{Arrivals, Day, Generated, Point, Renewal, Replay, Traffic};
pub use units::{Count, Fraction, NotNegative, Positive, Span};

use error::Fault;

use super::{
    preset::Preset,
    trace::{Format, ServeGen, Trace},
};

/// What is simulated. Made by [`Scenario::read`] or [`Scenario::parse`].
///
/// ```
/// use trimtab_core::sim::Scenario;
/// let scenario = Scenario::parse(r#"
///     name = "two unlike servers"
///     duration = "30s"
///     [traffic]
///     load = 0.8
///     [[classes]]
///     name = "all"
///     work = { exponential = "10ms" }
///     [[servers]]
///     name = "fast"
///     speed = 2
///     [[servers]]
///     name = "slow"
/// "#, "inline.toml".as_ref())?;
/// assert_eq!(scenario.capacity(), Some(300.0));
/// # Ok::<(), trimtab_core::sim::ScenarioError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// What tables and pages call it.
    pub name: String,
    /// What it shows.
    #[serde(default)]
    pub description: String,
    /// How long requests come. Those under way are then served to their ends.
    pub duration: Span,
    /// What arrives before this is not counted.
    #[serde(default)]
    pub warm_up: Span,
    /// The latency (time to first byte for LLM servers) within which an answer is a good one.
    pub slo: Option<Span>,
    /// Who sends.
    #[serde(default)]
    pub clients: Clients,
    /// What is sent when.
    pub traffic: Traffic,
    /// Kinds of requests.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// Who answers.
    pub servers: Vec<Group>,
    /// The way between.
    #[serde(default)]
    pub network: Network,
    /// What happens on the way.
    #[serde(default)]
    pub events: Vec<Event>,
    /// The policies to compare where the caller names none.
    #[serde(default)]
    pub policies: Vec<PolicyChoice>,
    /// The text it was parsed from.
    #[serde(skip)]
    pub text: String,
    /// Where paths start from.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    /// The trace that is replayed.
    #[serde(skip)]
    pub(crate) trace: Option<Arc<Trace>>,
    /// What traffic is generated from.
    #[serde(skip)]
    pub(crate) serve_gen: Option<Arc<ServeGen>>,
}

/// The most that clients may send over what the fleet can carry.
const HEAVIEST_LOAD: f64 = 10.0;
/// Servers in a fleet, spare ones included.
const MOST_SERVERS: u32 = 1_000_000;
/// Requests in a run: an hour or so of computing.
const MOST_REQUESTS: f64 = 1e10;

impl Scenario {
    /// Reads a scenario file and the trace it names.
    ///
    /// # Errors
    /// [`ScenarioError`], naming file, line and key.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ScenarioError::Unreadable { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// Parses a scenario. `file` is for errors, and relative paths start from its folder.
    ///
    /// # Errors
    /// As [`Scenario::read`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ScenarioError> {
        let mut scenario: Self = toml::from_str(text).map_err(|source| {
            ScenarioError::Malformed { file: file.to_owned(), source: Box::new(source) }
        })?;
        text.clone_into(&mut scenario.text);
        scenario.folder = file.parent().map(Path::to_owned).unwrap_or_default();
        let invalid =
            |Fault { key, rule }| ScenarioError::Invalid { file: file.to_owned(), key, rule };
        scenario.read_trace().map_err(invalid)?;
        scenario.check().map_err(invalid)?;
        Ok(scenario)
    }

    /// Requests a second that the fleet carries at the start when each server gets the same mix of
    /// classes. `None` if it has an LLM server, whose capacity hangs on how it batches.
    pub fn capacity(&self) -> Option<f64> {
        let share: f64 = self.classes.iter().map(|class| class.share.get()).sum();
        let mut rate = 0.0;
        for group in &self.servers {
            let workers = match &group.model {
                Model::Fifo { workers } => f64::from(workers.get()),
                Model::Ps { cores } => cores.get(),
                Model::Llm(_) => return None,
            };
            let mut seconds = 0.0;
            for class in &self.classes {
                let work = class.work.as_ref()?.mean() / group.speed_for(&class.name);
                seconds += work * class.share.get() / share;
            }
            rate += f64::from(group.count.get()) * workers / seconds;
        }
        Some(rate)
    }

    /// Requests a second that load 1 means.
    pub fn full_load(&self) -> Option<f64> {
        self.traffic.full_load.map(Positive::get).or_else(|| self.capacity())
    }

    /// The loads to run at: as fractions of the full load, or a single `None` where the scenario gives a
    /// rate or a trace's own.
    pub fn loads(&self) -> Vec<Option<f64>> {
        let given: Vec<_> = self.traffic.load.iter().chain(&self.traffic.loads).collect();
        if given.is_empty() {
            return vec![None];
        }
        given.into_iter().map(|load| Some(load.get())).collect()
    }

    /// Mean requests a second at a load, before the shape's factors.
    pub fn rate(&self, load: Option<f64>) -> f64 {
        match (load, self.traffic.rate, self.full_load(), &self.trace) {
            (Some(load), _, Some(full), _) => load * full,
            (_, Some(rate), _, _) => rate.get(),
            (_, None, _, Some(trace)) => trace.rate(),
            (_, None, _, None) => self.generated_rate(),
        }
    }

    /// Mean requests a second of generated traffic.
    fn generated_rate(&self) -> f64 {
        let (Some(clients), Arrivals::ServeGen(generated)) =
            (&self.serve_gen, &self.traffic.arrivals)
        else {
            return 0.0;
        };
        let first = generated.first_window as usize;
        let rates = &clients.rates()[first..first + generated.windows.index()];
        rates.iter().sum::<f64>() / rates.len() as f64 * generated.scale.get()
    }

    /// Whether requests bring their own lengths.
    fn is_recorded(&self) -> bool {
        self.trace.is_some() || self.serve_gen.is_some()
    }

    /// Whether the server of any group is a language model.
    pub fn has_llm(&self) -> bool {
        self.servers.iter().any(|group| matches!(group.model, Model::Llm(_)))
    }

    fn read_trace(&mut self) -> Result<(), Fault> {
        match &self.traffic.arrivals {
            Arrivals::Trace(replay) => {
                let path = self.folder.join(&replay.path);
                let trace = match &replay.format {
                    None => Trace::read_detected(&path),
                    Some(name) => {
                        let format = Format::by_name(name).map_err(|error| {
                            Fault::new(
                                "traffic.arrivals.trace.format",
                                format!("is wrong: {error}"),
                            )
                        })?;
                        Trace::read(&path, format)
                    }
                };
                let trace = trace.map_err(|error| {
                    Fault::new("traffic.arrivals.trace.path", format!("is wrong: {error}"))
                })?;
                self.trace = Some(Arc::new(trace));
            }
            Arrivals::ServeGen(generated) => {
                let key = |field: &str| format!("traffic.arrivals.serve_gen.{field}");
                let clients = ServeGen::read(self.folder.join(&generated.path))
                    .map_err(|error| Fault::new(key("path"), format!("is wrong: {error}")))?;
                let end = generated.first_window as usize + generated.windows.index();
                if end > clients.windows() {
                    let rule = format!("end at {end}; there are {}", clients.windows());
                    return Err(Fault::new(key("windows"), rule));
                }
                self.serve_gen = Some(Arc::new(clients));
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Fault> {
        if self.duration.is_zero() {
            return Err(Fault::new("duration", "must be above 0"));
        }
        if self.warm_up >= self.duration {
            return Err(Fault::new("warm_up", "must be shorter than `duration`"));
        }
        if self.clients.timeout.is_zero() {
            return Err(Fault::new("clients.timeout", "must be above 0"));
        }
        if self.clients.attempt_timeout.is_some_and(Span::is_zero) {
            return Err(Fault::new("clients.attempt_timeout", "must be above 0"));
        }
        if let Some(outlier) = &self.clients.outlier {
            outlier.check().map_err(|rule| Fault::new("clients.outlier", rule))?;
        }
        self.check_classes()?;
        self.check_servers()?;
        self.check_events()?;
        for (index, choice) in self.policies.iter().enumerate() {
            choice.check().map_err(|rule| Fault::new(format!("policies[{index}]"), rule))?;
        }
        self.check_traffic()
    }

    fn check_classes(&mut self) -> Result<(), Fault> {
        let llm = self.has_llm();
        let queueing = self.servers.iter().any(|group| !matches!(group.model, Model::Llm(_)));
        self.check_trace(llm)?;
        let traced = self.is_recorded();
        if self.classes.is_empty() {
            if queueing || !traced {
                return Err(Fault::new(
                    "classes",
                    "must say what a request costs; give at least one",
                ));
            }
            self.classes.push(Class::named("all"));
        }
        let mut names = BTreeSet::new();
        for (index, class) in self.classes.iter().enumerate() {
            let key = |field: &str| format!("classes[{index}].{field}");
            if !names.insert(&class.name) {
                return Err(Fault::new(key("name"), format!("`{}` is there twice", class.name)));
            }
            if queueing && class.work.is_none() {
                return Err(Fault::new(key("work"), "is missing; a queueing server needs it"));
            }
            if llm && !traced && (class.prompt_tokens.is_none() || class.output_tokens.is_none()) {
                let rule = "is missing; an LLM server needs `prompt_tokens` and `output_tokens`, or a trace";
                return Err(Fault::new(key("prompt_tokens"), rule));
            }
            if class.key_block.is_some() {
                if class.keys > 0 {
                    let rule = "and `keys` both say what the key is; give one";
                    return Err(Fault::new(key("key_block"), rule));
                }
                if self.trace.as_ref().is_none_or(|trace| trace.block_tokens().is_none()) {
                    let rule = "needs a trace that tells the blocks of prompts";
                    return Err(Fault::new(key("key_block"), rule));
                }
            }
            let faults = [
                ("work", class.work.as_ref().and_then(Distribution::fault)),
                ("prompt_tokens", class.prompt_tokens.as_ref().and_then(Distribution::fault)),
                ("output_tokens", class.output_tokens.as_ref().and_then(Distribution::fault)),
            ];
            for (field, fault) in faults {
                if let Some(rule) = fault {
                    return Err(Fault::new(key(field), format!("is wrong: {rule}")));
                }
            }
        }
        Ok(())
    }

    /// Whether the trace fits the classes and the servers.
    fn check_trace(&mut self, llm: bool) -> Result<(), Fault> {
        let Some(trace) = self.trace.clone() else { return Ok(()) };
        let fault = |rule: String| Err(Fault::new("traffic.arrivals.trace.path", rule));
        if !trace.rate().is_finite() {
            return fault("has all its requests at one instant".to_owned());
        }
        if self.classes.is_empty() && llm {
            self.classes = trace.classes().iter().map(|name| Class::named(name)).collect();
        }
        if self.classes.len() > 1
            && let Some(class) =
                trace.classes().iter().find(|class| self.class_index(class).is_none())
        {
            return fault(format!("has requests of the class `{class}`, which `classes` lacks"));
        }
        let lengths = trace.requests().iter().all(|request| request.prompt_tokens > 0);
        let drawn = |class: &Class| class.prompt_tokens.is_some() && class.output_tokens.is_some();
        if llm && !lengths && !self.classes.iter().all(drawn) {
            return fault(
                "tells no tokens; give each of `classes` its `prompt_tokens` and `output_tokens`"
                    .to_owned(),
            );
        }
        for group in &self.servers {
            if let (Model::Llm(llm), Some(tokens)) = (&group.model, trace.block_tokens())
                && llm.preset().is_ok_and(|preset| preset.block_tokens != tokens)
            {
                return fault(format!(
                    "has blocks of {tokens} tokens, the servers of `{}` others",
                    group.name
                ));
            }
        }
        Ok(())
    }

    /// The place of the class of that name; the only one's for any name.
    pub(crate) fn class_index(&self, name: &str) -> Option<usize> {
        if self.classes.len() == 1 {
            return Some(0);
        }
        self.classes.iter().position(|class| class.name == name)
    }

    fn check_servers(&self) -> Result<(), Fault> {
        if self.servers.is_empty() {
            return Err(Fault::new("servers", "must have at least one group"));
        }
        let mut names = BTreeSet::new();
        for (index, group) in self.servers.iter().enumerate() {
            let key = |field: &str| format!("servers[{index}].{field}");
            if !names.insert(&group.name) {
                return Err(Fault::new(key("name"), format!("`{}` is there twice", group.name)));
            }
            for class in group.speed_by_class.keys() {
                if !self.classes.iter().any(|known| known.name == *class) {
                    let rule = format!("names the class `{class}`, which there is not");
                    return Err(Fault::new(key("speed_by_class"), rule));
                }
            }
            if let Model::Llm(llm) = &group.model {
                llm.preset()
                    .map_err(|error| Fault::new(key("model.llm"), format!("is wrong: {error}")))?;
            }
            if group.spare > MOST_SERVERS {
                let rule = format!("must be at most {MOST_SERVERS}");
                return Err(Fault::new(key("spare"), rule));
            }
            if let Some(antagonist) = &group.antagonist {
                if antagonist.every.is_some_and(Span::is_zero) {
                    return Err(Fault::new(key("antagonist.every"), "must be above 0"));
                }
                let (low, high) = antagonist.takes;
                if low > high || high.get() > 0.99 {
                    let rule = "must be two fractions, the lower first, at most 0.99";
                    return Err(Fault::new(key("antagonist.takes"), rule));
                }
            }
            if let Some(reports) = group.reports {
                let every = key("reports.every");
                if reports.every.is_some_and(Span::is_zero) {
                    return Err(Fault::new(every, "must be above 0"));
                }
                if reports.every.is_none() && !reports.in_band {
                    return Err(Fault::new(every, "is missing; give it, or `in_band = true`"));
                }
            }
            if group.pauses.is_some_and(|pauses| pauses.every.is_zero()) {
                return Err(Fault::new(key("pauses.every"), "must be above 0"));
            }
        }
        let all =
            self.servers.iter().map(|group| u64::from(group.count.get()) + u64::from(group.spare));
        if all.sum::<u64>() > u64::from(MOST_SERVERS) {
            return Err(Fault::new("servers", format!("must be at most {MOST_SERVERS} in all")));
        }
        Ok(())
    }

    fn check_events(&self) -> Result<(), Fault> {
        for (index, event) in self.events.iter().enumerate() {
            let key = |field: &str| format!("events[{index}].{field}");
            if event.at >= self.duration {
                return Err(Fault::new(key("at"), "must be before the run's end, `duration`"));
            }
            if event.until.is_some_and(|until| until <= event.at) {
                return Err(Fault::new(key("until"), "must be after `at`"));
            }
            if let Some(group) = &event.servers.group
                && !self.servers.iter().any(|known| known.name == *group)
            {
                return Err(Fault::new(
                    key("servers.group"),
                    format!("names `{group}`, which there is not"),
                ));
            }
            if matches!(event.action, Action::Deploy { .. }) && event.until.is_some() {
                return Err(Fault::new(key("until"), "has no meaning for a deployment"));
            }
            let found = event.select(self).len();
            if found == 0 {
                return Err(Fault::new(key("servers"), "fits no server"));
            }
            if let Some(count) = event.servers.count
                && found < count.index()
            {
                let rule = format!("asks for {} of {found}", count.get());
                return Err(Fault::new(key("servers.count"), rule));
            }
        }
        Ok(())
    }

    fn check_traffic(&self) -> Result<(), Fault> {
        let traffic = &self.traffic;
        let loads = traffic.load.is_some() || !traffic.loads.is_empty();
        let key = if traffic.loads.is_empty() { "traffic.load" } else { "traffic.loads" };
        if loads && traffic.rate.is_some() {
            return Err(Fault::new(
                "traffic.rate",
                "and `traffic.load` say the same thing; give one",
            ));
        }
        if traffic.load.is_some() && !traffic.loads.is_empty() {
            return Err(Fault::new(
                "traffic.loads",
                "and `traffic.load` say the same thing; give one",
            ));
        }
        if loads && self.full_load().is_none() {
            return Err(Fault::new(key, "needs `traffic.full_load` where there is an LLM server"));
        }
        if !loads && traffic.rate.is_none() && !self.is_recorded() {
            return Err(Fault::new("traffic", "needs a `rate`, a `load` or a trace"));
        }
        if !traffic.shape.is_sorted_by(|a, b| a.at.get() <= b.at.get().saturating_sub(b.ramp.get()))
        {
            return Err(Fault::new("traffic.shape", "must go forward in time, ramps included"));
        }
        if traffic.day.is_some_and(|day| day.period.is_zero()) {
            return Err(Fault::new("traffic.day.period", "must be above 0"));
        }
        for load in self.loads() {
            let rate = self.rate(load);
            if let Some(capacity) = self.capacity()
                && rate > capacity * HEAVIEST_LOAD
            {
                let rule = format!(
                    "asks for {rate:.1} requests/s of a fleet that carries {capacity:.1}; at most {HEAVIEST_LOAD} times that can be simulated"
                );
                return Err(Fault::new(if loads { key } else { "traffic.rate" }, rule));
            }
            if rate * self.duration.secs() > MOST_REQUESTS {
                return Err(Fault::new(
                    "duration",
                    "makes more than ten thousand million requests",
                ));
            }
        }
        Ok(())
    }
}

impl Class {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            share: Positive::ONE,
            work: None,
            prompt_tokens: None,
            output_tokens: None,
            keys: 0,
            key_block: None,
            timeout: None,
        }
    }
}

impl Group {
    /// Work a second and worker for a class.
    pub(crate) fn speed_for(&self, class: &str) -> f64 {
        self.speed.get() * self.speed_by_class.get(class).map_or(1.0, |speed| speed.get())
    }
}

impl Llm {
    /// The preset with its changes.
    pub(crate) fn preset(&self) -> Result<Preset, super::PresetError> {
        let mut preset = Preset::by_name(&self.preset)?;
        if let Some(max_seqs) = self.max_seqs {
            preset.max_seqs = max_seqs.index();
        }
        if let Some(kv_tokens) = self.kv_tokens {
            preset.kv_tokens = kv_tokens.get();
        }
        if let Some(chunk) = self.chunk {
            preset.chunk = chunk.get();
        }
        if let Some(on) = self.prefix_cache {
            preset.prefix_cache = on;
        }
        if let Some(sigma) = self.noise_sigma {
            preset.noise_sigma = sigma.get();
        }
        preset.validate()?;
        Ok(preset)
    }
}

impl Event {
    /// The servers it befalls, by their place in the whole fleet (spare ones included). `add` takes only
    /// spare ones, everything else only those the fleet starts with, unless they are named by index.
    pub(crate) fn select(&self, scenario: &Scenario) -> Vec<usize> {
        let wanted = &self.servers;
        let adds = matches!(self.action, Action::Add);
        let mut first = 0;
        let mut found = Vec::new();
        for group in &scenario.servers {
            let own = group.count.index();
            let all = own + group.spare as usize;
            let fits = wanted.group.as_ref().is_none_or(|name| *name == group.name)
                && wanted.locality.as_ref().is_none_or(|at| within(&group.locality, at));
            for index in 0..all {
                let place = if wanted.group.is_some() { index } else { first + index };
                let named = wanted.index.contains(&place);
                let of_kind = (index >= own) == adds;
                if fits && if wanted.index.is_empty() { of_kind } else { named } {
                    found.push(first + index);
                }
            }
            first += all;
        }
        if let Some(share) = wanted.share {
            let count = (found.len() as f64 * share.get()).round() as usize;
            found.truncate(count.max(1));
        }
        if let Some(count) = wanted.count {
            found.truncate(count.index());
        }
        found
    }
}

/// Whether `locality` (`region` or `region/zone`) lies in `place`.
pub(crate) fn within(locality: &str, place: &str) -> bool {
    locality == place || locality.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
}
