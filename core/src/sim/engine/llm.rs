//! The LLM server model under the engine's clock.

use std::time::Duration;

use super::{
    super::{Event, LlmServer, Preset, PresetError, Request, RequestId},
    job::{Job, Served, What},
};
use crate::{rng::Rng, time::Time};

#[derive(Debug)]
pub(super) struct Llm {
    server: LlmServer,
    preset: Preset,
    /// Whose request it is, by the model's slot.
    jobs: Vec<Option<(RequestId, Job)>>,
    step: Option<Time>,
    events: Vec<Event>,
    rng: Rng,
    paused_until: Time,
    pace: f64,
}

impl Llm {
    pub(super) fn new(preset: Preset, seed: u64) -> Result<Self, PresetError> {
        Ok(Self {
            server: LlmServer::new(preset.clone())?,
            preset,
            jobs: Vec::new(),
            step: None,
            events: Vec::new(),
            rng: Rng::seeded(seed),
            paused_until: Time::ZERO,
            pace: 1.0,
        })
    }

    /// False if it can never be served here: it is too long.
    pub(super) fn arrive(&mut self, now: Time, job: Job, request: Request) -> bool {
        let Ok(id) = self.server.submit(now, request) else { return false };
        let slot = id.slot as usize;
        if self.jobs.len() <= slot {
            self.jobs.resize(slot + 1, None);
        }
        self.jobs[slot] = Some((id, job));
        self.begin_step(now);
        true
    }

    pub(super) fn next(&self) -> Time {
        self.step.unwrap_or(Time::MAX)
    }

    pub(super) fn wake(&mut self, now: Time, served: &mut Vec<Served>) {
        if self.step.is_none_or(|end| end > now) {
            return;
        }
        self.step = None;
        let mut events = std::mem::take(&mut self.events);
        self.server.finish_step(&mut events);
        for event in events.drain(..) {
            let (id, what) = match event {
                Event::FirstToken { id } => (id, What::FirstToken),
                Event::Token { .. } => continue,
                Event::Done { id, timing } => {
                    let seconds = timing.processing().as_secs_f64();
                    (id, What::Done { seconds, cached_tokens: timing.cached_tokens })
                }
            };
            if let Some((known, job)) = self.jobs[id.slot as usize]
                && known == id
            {
                served.push(Served { job, what });
            }
        }
        self.events = events;
        self.begin_step(now);
    }

    pub(super) fn cancel(&mut self, job: Job) {
        let found = self.jobs.iter().flatten().find(|(_, known)| *known == job);
        if let Some((id, _)) = found {
            self.server.cancel(*id);
        }
    }

    pub(super) fn set_pace(&mut self, pace: f64) {
        self.pace = pace;
        self.server.set_slow_down(1.0 / pace);
    }

    pub(super) fn pause(&mut self, now: Time, until: Time) {
        let more = until.since(now.max(self.paused_until));
        self.step = self.step.map(|end| end + more);
        self.paused_until = self.paused_until.max(until);
    }

    /// Starts anew, with nothing in memory.
    pub(super) fn clear(&mut self) {
        self.server =
            LlmServer::new(self.preset.clone()).expect("invariant: valid when it was made");
        self.server.set_slow_down(1.0 / self.pace);
        self.jobs.clear();
        self.step = None;
    }

    pub(super) fn model(&self) -> &LlmServer {
        &self.server
    }

    fn begin_step(&mut self, now: Time) {
        if self.step.is_none() {
            let pause = self.paused_until.since(now);
            self.step = self
                .server
                .next_step(now, &mut self.rng)
                .map(|end| end + pause.max(Duration::ZERO));
        }
    }
}
