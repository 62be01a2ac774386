//! A row in the making: what the request path notes, as numbers and references; text is made when the
//! row is drained, off the request path.

use std::{sync::Arc, time::Duration};

use super::{Candidate, DecisionLog, Kind, Row};
use crate::{
    context::Context,
    node::Node,
    outcome::{Failure, Outcome, Verdict},
    policy::{Candidates, Choice, Mode},
    snapshot::{Picked, Snapshot},
    sync::Ordering,
    time::Time,
};

/// Candidates noted in one row.
const CANDIDATES: usize = 64;
/// Fleets above this get no propensity, which takes a sort, and no sums over the fleet.
const RANKED: usize = 1024;

/// A decision whose outcome is not known yet.
#[derive(Debug)]
pub struct Record {
    sequence: u64,
    event: u64,
    attempt: u32,
    at: Time,
    class: Option<Box<str>>,
    region: Option<Box<str>>,
    deadline: Option<Duration>,
    key: Option<u64>,
    client: Option<Client>,
    fleet: u32,
    eligible: u32,
    candidates: Vec<Seen>,
    chosen: Arc<Node>,
    in_flight: u32,
    propensity: Option<f64>,
    mode: Mode,
    model: Option<u64>,
    elapsed: Option<Duration>,
    first_byte: Option<Duration>,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Seen {
    node: Arc<Node>,
    in_flight: u32,
    queue_delay: f64,
    error_rate: Option<f64>,
    peak: Option<f32>,
    weight: f32,
    load: Option<(f64, Duration)>,
    eligible: bool,
    score: f64,
    propensity: Option<f64>,
}

/// This process's traffic to the whole fleet.
#[derive(Debug)]
struct Client {
    in_flight: u64,
    rate: f64,
}

impl Client {
    /// `None` for fleets where the sum would take too long.
    fn new(snapshot: &Snapshot, now: Time) -> Option<Self> {
        let nodes = snapshot.nodes();
        (nodes.len() <= RANKED).then(|| {
            let recent = nodes.iter().map(|node| node.recent(now));
            let ended: u64 = recent.map(|recent| recent.successes + recent.failures).sum();
            let in_flight = nodes.iter().map(|node| u64::from(node.in_flight())).sum();
            Self { in_flight, rate: ended as f64 / 10.0 }
        })
    }
}

impl Record {
    pub(super) fn begin(
        sequence: u64,
        snapshot: &Snapshot,
        picked: &Picked<'_>,
        now: Time,
        context: &Context<'_>,
    ) -> Self {
        let candidates = Candidates::new(&picked.tier.nodes, picked.gate, now, context);
        let chosen = picked.choice.index;
        let propensities = propensities(picked, &candidates);
        let others = (0..candidates.len()).filter(|index| *index != chosen).take(CANDIDATES - 1);
        let mut noted: Vec<usize> = others.chain([chosen]).collect();
        noted.sort_unstable();
        let node = candidates.node(chosen);
        Self {
            sequence,
            event: if context.event == 0 { sequence + 1 } else { context.event },
            attempt: u32::try_from(context.tried.len()).unwrap_or(u32::MAX),
            at: now,
            class: context.request_class.map(Into::into),
            region: context.region.map(Into::into),
            deadline: context.deadline.map(|deadline| deadline.since(now)),
            key: context.key,
            client: Client::new(snapshot, now),
            fleet: snapshot.nodes().len() as u32,
            eligible: candidates.eligible().count() as u32,
            candidates: noted
                .into_iter()
                .map(|index| {
                    let propensity = propensities.as_ref().map(|all| all[index]);
                    let score = picked.tier.picker.score(&candidates, index);
                    Seen::new(&candidates, index, score, propensity)
                })
                .collect(),
            in_flight: node.in_flight(),
            propensity: propensities.map(|all| all[chosen]),
            mode: picked.choice.mode,
            model: node.shared.policy.model_hash(),
            chosen: Arc::clone(node),
            elapsed: None,
            first_byte: None,
            outcome: None,
        }
    }

    pub(super) fn end(
        &mut self,
        elapsed: Option<Duration>,
        first_byte: Option<Duration>,
        outcome: Option<Outcome>,
    ) {
        (self.elapsed, self.first_byte, self.outcome) = (elapsed, first_byte, outcome);
    }

    pub(super) fn into_row(self, log: &DecisionLog) -> Row {
        let shared = &self.chosen.shared;
        let endpoint = self.chosen.endpoint();
        let outcome = self.outcome.as_ref();
        let (status, censored) = status(outcome);
        let fallback = match self.mode {
            Mode::Fallback(why) => Some(why.as_str().to_owned()),
            Mode::Policy | Mode::Explored => None,
        };
        Row {
            v: 1,
            event: self.event,
            attempt: self.attempt,
            kind: if self.attempt == 0 { Kind::First } else { Kind::Retry },
            client: log.client.to_string(),
            sequence: self.sequence,
            ts: (log.unix_origin + self.at.since(Time::ZERO)).as_secs_f64(),
            sample_weight: 1.0 / log.sample,
            class: self.class.map(String::from),
            region: self.region.map(String::from),
            deadline_ms: self.deadline.map(millis),
            key: self.key,
            client_in_flight: self.client.as_ref().map(|client| client.in_flight),
            client_rate: self.client.as_ref().map(|client| client.rate),
            fleet: self.fleet,
            eligible: self.eligible,
            archetype: endpoint.archetype(&shared.archetype_labels),
            chosen: self.chosen.id().to_string(),
            in_flight: self.in_flight,
            propensity: self.propensity,
            explored: self.mode == Mode::Explored,
            mode: mode(self.mode).to_owned(),
            fallback_reason: fallback,
            policy: shared.policy.name().to_owned(),
            model: self.model.map(|hash| format!("{hash:016x}")),
            epsilon: shared.explore,
            latency_ms: self.elapsed.map(millis),
            first_byte_ms: self.first_byte.map(millis),
            server_ms: outcome.and_then(|o| o.server_processing).map(millis),
            queue_ms: outcome.and_then(|o| o.server_queue).map(millis),
            status: status.to_owned(),
            code: outcome.and_then(|o| o.status),
            censored: censored.map(str::to_owned),
            bytes: outcome.and_then(|o| o.bytes),
            tokens: outcome.and_then(|o| o.tokens),
            cost: (endpoint.cost() > 0.0).then(|| endpoint.cost()),
            candidates: self.candidates.into_iter().map(Seen::into_candidate).collect(),
        }
    }
}

/// The true probabilities: exploration's share for each eligible one, and the policy's for the rest.
///
/// They are computed right after the pick, from signals that other threads may have changed meanwhile.
/// Where they then say that what was chosen could not be, none are told. Where they say only that it
/// was more or less likely than it was, that stands: the error is of the size of one request's effect
/// on the scores.
fn propensities(picked: &Picked<'_>, candidates: &Candidates<'_>) -> Option<Vec<f64>> {
    let n = candidates.len();
    if n > RANKED {
        return None;
    }
    let mut all = vec![0.0; n];
    let Choice { index: chosen, mode, .. } = picked.choice;
    if !picked.tier.picker.propensities_by(mode, candidates, &mut all) {
        return None;
    }
    let possible = mode == Mode::Explored || all[chosen] > 0.0;
    if !possible || !all.iter().all(|p| p.is_finite()) {
        return None;
    }
    let epsilon = candidates.node(chosen).shared.explore;
    let eligible = candidates.eligible().count().max(1) as f64;
    for (index, p) in all.iter_mut().enumerate() {
        let uniform = if candidates.is_eligible(index) { 1.0 / eligible } else { 0.0 };
        *p = epsilon * uniform + (1.0 - epsilon) * *p;
    }
    Some(all)
}

impl Seen {
    fn new(candidates: &Candidates<'_>, index: usize, score: f64, propensity: Option<f64>) -> Self {
        let node = candidates.node(index);
        let now = candidates.now;
        let load = node.load.utilization().map(|(at, used)| (used, now.since(at)));
        Self {
            in_flight: node.in_flight.load(Ordering::Relaxed),
            queue_delay: node.queue_delay(now),
            error_rate: node.recent(now).rate().map(|rate| 1.0 - rate),
            peak: node.peak_latency(now),
            weight: node.weight(),
            load,
            eligible: candidates.is_eligible(index),
            score,
            propensity,
            node: Arc::clone(node),
        }
    }

    fn into_candidate(self) -> Candidate {
        let endpoint = self.node.endpoint();
        let zone = &endpoint.locality().zone;
        Candidate {
            endpoint: self.node.id().to_string(),
            archetype: endpoint.archetype(&self.node.shared.archetype_labels),
            zone: (!zone.is_empty()).then(|| zone.clone()),
            in_flight: self.in_flight,
            queue_delay_ms: self.queue_delay / 1e6,
            error_rate: self.error_rate,
            peak_ms: self.peak.map(|nanos| f64::from(nanos) / 1e6),
            weight: f64::from(self.weight),
            load: self.load.map(|(load, _)| load),
            load_age_ms: self.load.map(|(_, age)| millis(age)),
            eligible: self.eligible,
            score: self.score.is_finite().then_some(self.score),
            propensity: self.propensity,
        }
    }
}

fn status(outcome: Option<&Outcome>) -> (&'static str, Option<&'static str>) {
    match outcome.map(|outcome| outcome.verdict) {
        None => ("cancelled", Some("cancelled")),
        Some(Verdict::Success) => ("ok", None),
        Some(Verdict::Ignore) => ("ignored", None),
        Some(Verdict::Failure(Failure::Timeout)) => ("timeout", Some("timeout")),
        Some(Verdict::Failure(failure)) => (failure.as_str(), None),
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Policy => "policy",
        Mode::Explored => "explored",
        Mode::Fallback(_) => "fallback",
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
