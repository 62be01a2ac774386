//! Tabular Q-learning: an endpoint's value in the state that the service is in, learned while routing.
//!
//! ```text
//! state   = (request rate, mean latency, error rate, time of day), in steps; the averages of ten seconds
//! action  = the endpoint: the highest Q[state, endpoint], and with probability 0.1 any
//! reward  = -latency_ms / 1000 - 100 x error + requests a second / 1000
//! Q[s, a] += 0.1 x (reward + 0.9 x max Q[s', .] - Q[s, a])
//! ```
//!
//! The router as tutorials describe it, here to be compared with, not to be used. It fails by what its
//! state leaves out: neither the request's class nor any queue is in it, so between two steps of its
//! averages all requests go to the endpoint that looked best, until its queue has made it look bad. A
//! client is in one place, so its region would be the same in every state. The state at the decision
//! is taken to be the one just before its outcome counts: averages hardly move meanwhile. It takes a lock
//! in a pick.

use std::{collections::HashMap, sync::Arc};

use crate::{
    endpoint::EndpointId,
    node::Node,
    policy::{Candidates, Choice, Feedback, Mode, Picker, Policy, Refusal},
    rng::Rng,
    sync::{Mutex, lock},
    time::Time,
};

const EPSILON: f64 = 0.1;
const ALPHA: f64 = 0.1;
const GAMMA: f64 = 0.9;
/// Time constant of the averages, in seconds.
const TAU: f64 = 10.0;
/// Steps of requests a second, milliseconds, failures, and a day's quarters.
const RATES: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
const LATENCIES: [f64; 5] = [10.0, 30.0, 100.0, 300.0, 1000.0];
const ERRORS: [f64; 2] = [0.01, 0.1];
const QUARTERS: usize = 4;
const STATES: usize = (RATES.len() + 1) * (LATENCIES.len() + 1) * (ERRORS.len() + 1) * QUARTERS;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct QLearning {
    learned: Arc<Mutex<Learned>>,
}

#[derive(Debug, Default)]
struct Learned {
    values: HashMap<EndpointId, Vec<f64>>,
    seen: Time,
    /// A second.
    rate: f64,
    latency_ms: f64,
    errors: f64,
}

impl Policy for QLearning {
    fn name(&self) -> &'static str {
        "q_learning"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let mut learned = lock(&self.learned);
        for node in group {
            learned.values.entry(node.id().clone()).or_insert_with(|| vec![0.0; STATES]);
        }
        Box::new(self.clone())
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        if let Some(success) = feedback.success {
            let latency_ms = feedback.latency.as_secs_f64() * 1e3;
            lock(&self.learned).learn(feedback.node.id(), feedback.now, latency_ms, !success);
        }
    }
}

impl Learned {
    fn learn(&mut self, endpoint: &EndpointId, now: Time, latency_ms: f64, failed: bool) {
        let state = self.state(now);
        let error = f64::from(u8::from(failed));
        let past = (-now.since(self.seen).as_secs_f64() / TAU).exp();
        // A request is 1 / TAU a second, and its latency one of as many as came in that time.
        self.rate = self.rate * past + 1.0 / TAU;
        let share = 1.0 / (self.rate * TAU).max(1.0);
        self.latency_ms += share * (latency_ms - self.latency_ms);
        self.errors += share * (error - self.errors);
        self.seen = now;
        let reward = self.rate / 1e3 - latency_ms / 1e3 - 100.0 * error;
        let next = self.state(now);
        let best = self.values.values().map(|values| values[next]).fold(f64::MIN, f64::max);
        if let Some(values) = self.values.get_mut(endpoint) {
            values[state] += ALPHA * (reward + GAMMA * best - values[state]);
        }
    }

    fn state(&self, now: Time) -> usize {
        let step = |steps: &[f64], value: f64| steps.iter().filter(|step| value >= **step).count();
        let quarter = now.since(Time::ZERO).as_secs() / (6 * 3600) % QUARTERS as u64;
        let mut state = step(&RATES, self.rate);
        state = state * (LATENCIES.len() + 1) + step(&LATENCIES, self.latency_ms);
        state = state * (ERRORS.len() + 1) + step(&ERRORS, self.errors);
        state * QUARTERS + quarter as usize
    }
}

impl Picker for QLearning {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        if rng.unit() < EPSILON {
            let drawn = candidates.draw(rng).ok_or(Refusal::NoneEligible)?;
            return Ok(Choice::from(drawn).by(Mode::Explored));
        }
        let learned = lock(&self.learned);
        let state = learned.state(candidates.now);
        let value = |index: usize| learned.values.get(candidates.node(index).id());
        let score = |index: usize| value(index).map_or(f64::NAN, |values| -values[state]);
        candidates.least(score, rng).map(Choice::from).ok_or(Refusal::NoneEligible)
    }
}
