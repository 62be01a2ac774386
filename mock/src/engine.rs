//! The one task that owns the server model and turns its virtual time into real time.
//!
//! Iterations follow one another on an absolute schedule: each starts when the one before ended by
//! the model, not when the timer fired, so lateness does not add up; after a late wake-up several
//! end at once. Handlers send requests through a bounded queue and read progress from a
//! `tokio::sync::watch`, a counter of tokens: a slow reader loses no token and holds up nobody. A
//! handler that goes away closes its watch, and the engine cancels the request in the model when
//! the iteration under way ends.
//!
//! Cost: one timer an iteration, one hash lookup a token; only streamed answers wake their handler
//! for each token.

use std::{collections::HashMap, time::Instant};

use tokio::sync::{mpsc, watch};
use trimtab_core::{
    Rng, Time,
    sim::{Event, LlmServer, Occupancy, Request, RequestId, SubmitError, Timing},
};

use crate::{faults::Faults, stats::Stats};

/// The handlers' side.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    submissions: mpsc::Sender<Submission>,
    occupancy: watch::Receiver<Occupancy>,
}

/// Why a request gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the server has as many waiting requests as it takes; try again later")]
    QueueFull,
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("the server is stopping")]
    Stopping,
}

#[derive(Debug)]
struct Submission {
    request: Request,
    streamed: bool,
    progress: watch::Sender<Progress>,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) tokens: u32,
    pub(crate) end: Option<Result<Timing, Refusal>>,
}

/// A request in the engine; dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct Ticket(watch::Receiver<Progress>);

impl Engine {
    /// Starts the task. It ends when the last clone of the engine is gone.
    pub(crate) fn start(
        model: LlmServer,
        rng: Rng,
        faults: watch::Receiver<Faults>,
        stats: Stats,
        max_waiting: usize,
    ) -> Self {
        // Requests that come at once fit as far as the model would take them.
        let limit = model.preset().max_seqs.saturating_add(max_waiting);
        let (submissions, queue) = mpsc::channel(limit.clamp(1, 4_096));
        let (occupancy, gauge) = watch::channel(model.occupancy());
        let driver = Driver {
            model,
            rng,
            queue,
            live: HashMap::new(),
            events: Vec::new(),
            origin: Instant::now(),
            last_end: None,
            faults,
            stats,
            occupancy,
            limit,
        };
        tokio::spawn(driver.run());
        Self { submissions, occupancy: gauge }
    }

    /// Hands a request to the model.
    pub(crate) fn submit(&self, request: Request, streamed: bool) -> Result<Ticket, Refusal> {
        let (progress, receiver) = watch::channel(Progress::default());
        let submission = Submission { request, streamed, progress };
        self.submissions.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::QueueFull,
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopping,
        })?;
        Ok(Ticket(receiver))
    }

    pub(crate) fn occupancy(&self) -> watch::Receiver<Occupancy> {
        self.occupancy.clone()
    }
}

impl Ticket {
    /// Waits until there are more than `seen` tokens, or the end. Cancel safe. Only a streamed
    /// request is woken before its end.
    pub(crate) async fn beyond(&mut self, seen: u32) -> Result<Progress, Refusal> {
        let arrived = |progress: &Progress| progress.tokens > seen || progress.end.is_some();
        let progress = *self.0.wait_for(arrived).await.map_err(|_| Refusal::Stopping)?;
        match progress.end {
            Some(Err(refusal)) => Err(refusal),
            _ => Ok(progress),
        }
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn end(&mut self) -> Result<Timing, Refusal> {
        self.beyond(u32::MAX).await?.end.unwrap_or(Err(Refusal::Stopping))
    }
}

struct Driver {
    model: LlmServer,
    rng: Rng,
    queue: mpsc::Receiver<Submission>,
    live: HashMap<RequestId, Live>,
    events: Vec<Event>,
    origin: Instant,
    /// When the last iteration ended, while there is work to go on with.
    last_end: Option<Time>,
    faults: watch::Receiver<Faults>,
    stats: Stats,
    occupancy: watch::Sender<Occupancy>,
    /// Most requests in the model.
    limit: usize,
}

struct Live {
    progress: watch::Sender<Progress>,
    streamed: bool,
    prompt_tokens: u32,
}

impl Driver {
    async fn run(mut self) {
        loop {
            while let Ok(submission) = self.queue.try_recv() {
                self.accept(submission);
            }
            self.model.set_slow_down(self.faults.borrow_and_update().slow_down);
            let begin = self.last_end.unwrap_or_else(|| self.now());
            let step = self.model.next_step(begin, &mut self.rng);
            self.publish_occupancy();
            let Some(end) = step else {
                match self.queue.recv().await {
                    Some(submission) => self.accept(submission),
                    None => return,
                }
                continue;
            };
            if !self.sleep_until(end).await {
                return;
            }
            self.finish_step(end);
        }
    }

    /// Takes in requests until `end`; false if nobody is left to send any.
    async fn sleep_until(&mut self, end: Time) -> bool {
        let deadline = self.origin + end.since(Time::ZERO);
        if deadline <= Instant::now() {
            return true;
        }
        let sleep = tokio::time::sleep_until(deadline.into());
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                () = &mut sleep => return true,
                submission = self.queue.recv() => match submission {
                    Some(submission) => {
                        self.accept(submission);
                        self.publish_occupancy();
                    }
                    None => return false,
                },
            }
        }
    }

    fn accept(&mut self, submission: Submission) {
        let Submission { request, streamed, progress } = submission;
        let prompt_tokens = request.prompt_tokens;
        let outcome = if self.live.len() >= self.limit {
            Err(Refusal::QueueFull)
        } else {
            self.model.submit(self.now(), request).map_err(Refusal::from)
        };
        match outcome {
            Ok(id) => {
                self.live.insert(id, Live { progress, streamed, prompt_tokens });
            }
            Err(refusal) => progress.send_modify(|progress| progress.end = Some(Err(refusal))),
        }
    }

    fn finish_step(&mut self, end: Time) {
        self.model.finish_step(&mut self.events);
        // Before the handlers wake: a report on an answer no longer counts its own request.
        self.publish_occupancy();
        let mut stats = self.stats.lock();
        for event in self.events.drain(..) {
            let (Event::FirstToken { id } | Event::Token { id } | Event::Done { id, .. }) = event
            else {
                continue;
            };
            let Some(live) = self.live.get(&id) else { continue };
            if let Event::Done { timing, .. } = event {
                stats.record_finished(live.prompt_tokens, &timing);
                live.progress.send_modify(|progress| progress.end = Some(Ok(timing)));
                self.live.remove(&id);
                continue;
            }
            stats.generation_tokens += 1;
            if matches!(event, Event::FirstToken { .. }) {
                stats.prompt_tokens += u64::from(live.prompt_tokens);
            }
            live.progress.send_if_modified(|progress| {
                progress.tokens += 1;
                live.streamed
            });
        }
        let model = &mut self.model;
        self.live.retain(|&id, live| {
            let gone = live.progress.is_closed();
            if gone {
                model.cancel(id);
                stats.cancelled += 1;
            }
            !gone
        });
        stats.preemptions = model.preemptions();
        self.last_end = (!self.live.is_empty()).then_some(end);
    }

    fn publish_occupancy(&self) {
        let now = self.model.occupancy();
        self.occupancy.send_if_modified(|occupancy| {
            let changed = *occupancy != now;
            *occupancy = now;
            changed
        });
    }

    fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
