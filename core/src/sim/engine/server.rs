//! One server: its model, what it holds, and what befalls it.

use std::time::Duration;

use super::{
    super::{
        Request,
        scenario::{Group, Model as Kind, Positive},
    },
    fifo::Fifo,
    job::{Job, Served},
    llm::Llm,
    recent::Recent,
    sharing::Sharing,
};
use crate::{rng::Rng, signal::LoadReport, time::Time};

#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: String,
    /// Its group's place in the scenario.
    pub(super) group: u32,
    /// Its locality's place in the routes.
    pub(super) locality: u32,
    model: Model,
    /// Requests here, waiting ones included.
    pub(super) in_system: u32,
    limit: u32,
    /// Work a second by class.
    speeds: Vec<f64>,
    /// Worker seconds a second.
    pub(super) capacity: f64,
    /// Worker seconds a second that it calls full in its reports.
    promised: f64,
    /// Listed by discovery.
    pub(super) listed: bool,
    /// Listed at the start.
    pub(super) at_start: bool,
    pub(super) down: bool,
    /// The part of requests that are answered with an error, and after how long.
    pub(super) fails: Option<(f64, Duration)>,
    /// Held up before it is served.
    pub(super) delay: Duration,
    slowed: f64,
    stolen: f64,
    pub(super) recent: Recent,
    pub(super) rng: Rng,
    /// Since the last load report: requests ended, of these errors, worker seconds.
    pub(super) reported: Reported,
    /// The rates last reported.
    told: LoadReport,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported {
    pub(super) at: Time,
    pub(super) ended: u64,
    pub(super) errors: u64,
    pub(super) seconds: f64,
}

#[derive(Debug)]
enum Model {
    Fifo(Fifo),
    Sharing(Sharing),
    Llm(Box<Llm>),
}

/// What a request asks of a server.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    pub(super) class: usize,
    pub(super) work: f64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) blocks: &'a [u64],
}

impl Server {
    pub(super) fn new(
        group: &Group,
        place: u32,
        index: u32,
        locality: u32,
        classes: &[super::super::scenario::Class],
        seed: u64,
    ) -> Result<Self, super::super::PresetError> {
        let (model, workers) = match &group.model {
            Kind::Fifo { workers } => {
                (Model::Fifo(Fifo::new(workers.index())), f64::from(workers.get()))
            }
            Kind::Ps { cores } => (Model::Sharing(Sharing::new(cores.get())), cores.get()),
            Kind::Llm(llm) => (Model::Llm(Box::new(Llm::new(llm.preset()?, seed)?)), 1.0),
        };
        let at_start = index < group.count.get();
        Ok(Self {
            id: format!("{}-{index}", group.name),
            group: place,
            locality,
            model,
            in_system: 0,
            limit: group.limit.map_or(u32::MAX, super::super::scenario::Count::get),
            speeds: classes.iter().map(|class| group.speed_for(&class.name)).collect(),
            capacity: workers,
            promised: group.reports.and_then(|reports| reports.of).map_or(workers, Positive::get),
            listed: at_start,
            at_start,
            down: !at_start,
            fails: None,
            delay: Duration::ZERO,
            slowed: 1.0,
            stolen: 0.0,
            recent: Recent::default(),
            rng: Rng::seeded(seed),
            reported: Reported::default(),
            told: LoadReport::default(),
        })
    }

    /// Takes a request; false if it is full, or the request can never be served here.
    #[inline]
    pub(super) fn arrive(&mut self, now: Time, job: Job, demand: &Demand<'_>) -> bool {
        if self.in_system >= self.limit {
            return false;
        }
        match &mut self.model {
            Model::Fifo(fifo) => fifo.arrive(now, job, demand.work / self.speeds[demand.class]),
            Model::Sharing(sharing) => {
                sharing.arrive(now, job, demand.work / self.speeds[demand.class]);
            }
            Model::Llm(llm) => {
                let request = Request::new(demand.prompt_tokens, demand.output_tokens)
                    .with_blocks(demand.blocks.to_vec());
                if !llm.arrive(now, job, request) {
                    return false;
                }
            }
        }
        self.in_system += 1;
        true
    }

    /// When something happens here next.
    #[inline]
    pub(super) fn next(&mut self) -> Time {
        match &mut self.model {
            Model::Fifo(fifo) => fifo.next(),
            Model::Sharing(sharing) => sharing.next(),
            Model::Llm(llm) => llm.next(),
        }
    }

    /// Does what is due; requests that ended are still counted as here until [`Server::left`].
    #[inline]
    pub(super) fn wake(&mut self, now: Time, served: &mut Vec<Served>) {
        match &mut self.model {
            Model::Fifo(fifo) => fifo.wake(now, served),
            Model::Sharing(sharing) => sharing.wake(now, served),
            Model::Llm(llm) => llm.wake(now, served),
        }
    }

    /// A request has ended.
    #[inline]
    pub(super) fn left(&mut self) {
        self.in_system -= 1;
    }

    /// Drops a request that is here.
    pub(super) fn cancel(&mut self, now: Time, job: Job) {
        match &mut self.model {
            Model::Fifo(fifo) => fifo.cancel(now, job),
            Model::Sharing(sharing) => sharing.cancel(now, job),
            Model::Llm(llm) => llm.cancel(job),
        }
        self.in_system -= 1;
    }

    /// Loses everything that is here and all it knows.
    pub(super) fn clear(&mut self) {
        match &mut self.model {
            Model::Fifo(fifo) => fifo.clear(),
            Model::Sharing(sharing) => sharing.clear(),
            Model::Llm(llm) => llm.clear(),
        }
        self.in_system = 0;
        self.recent = Recent::default();
    }

    /// Everything takes `by` times as long from now on.
    pub(super) fn slow(&mut self, now: Time, by: f64) {
        self.slowed = by;
        self.set_pace(now);
    }

    /// Other programs take this part of the machine from now on.
    pub(super) fn steal(&mut self, now: Time, part: f64) {
        self.stolen = part;
        self.set_pace(now);
    }

    fn set_pace(&mut self, now: Time) {
        let pace = (1.0 - self.stolen) / self.slowed;
        match &mut self.model {
            Model::Fifo(fifo) => fifo.set_pace(now, pace),
            Model::Sharing(sharing) => sharing.set_pace(now, pace),
            Model::Llm(llm) => llm.set_pace(pace),
        }
    }

    pub(super) fn pause(&mut self, now: Time, until: Time) {
        match &mut self.model {
            Model::Fifo(fifo) => fifo.pause(now, until),
            Model::Sharing(sharing) => sharing.pause(now, until),
            Model::Llm(llm) => llm.pause(now, until),
        }
    }

    /// Seconds until a request that comes now would have its answer (its first token), by one who sees
    /// everything but the future.
    pub(super) fn answer_in(&self, now: Time, demand: &Demand<'_>) -> f64 {
        match &self.model {
            Model::Fifo(fifo) => {
                fifo.backlog(now) + demand.work / self.speeds[demand.class] / fifo.pace()
            }
            Model::Sharing(sharing) => demand.work / self.speeds[demand.class] * sharing.crowding(),
            Model::Llm(llm) => {
                let estimate =
                    llm.model().first_token_estimate(now, demand.prompt_tokens, demand.blocks);
                estimate.since(now).as_secs_f64()
            }
        }
    }

    /// The part in use of its workers, its cores or the sequences that it runs at once.
    pub(super) fn in_use(&self) -> f64 {
        match &self.model {
            Model::Fifo(_) | Model::Sharing(_) => {
                (f64::from(self.in_system) / self.capacity).min(1.0)
            }
            Model::Llm(llm) => {
                let model = llm.model();
                model.occupancy().running as f64 / model.preset().max_seqs as f64
            }
        }
    }

    /// A load report of the time since the last one.
    pub(super) fn report(&mut self, now: Time) -> LoadReport {
        let seconds = now.since(self.reported.at).as_secs_f64().max(1e-9);
        self.told = LoadReport {
            rps: self.reported.ended as f64 / seconds,
            eps: self.reported.errors as f64 / seconds,
            cpu_utilization: self.reported.seconds / (seconds * self.promised),
            ..LoadReport::default()
        };
        self.reported = Reported { at: now, ..Reported::default() };
        self.with_gauges()
    }

    /// One to go with an answer: rates of a second at least, the gauges of this moment.
    pub(super) fn report_with_answer(&mut self, now: Time) -> LoadReport {
        const RATES_OVER: Duration = Duration::from_secs(1);
        if now.since(self.reported.at) >= RATES_OVER {
            self.report(now)
        } else {
            self.with_gauges()
        }
    }

    fn with_gauges(&self) -> LoadReport {
        let mut report = self.told.clone();
        if let Model::Llm(llm) = &self.model {
            let occupancy = llm.model().occupancy();
            let mut named =
                |name: &str, value: f64| report.named_metrics.insert(name.to_owned(), value);
            named("num_requests_waiting", occupancy.waiting as f64);
            named("num_requests_running", occupancy.running as f64);
            named("kv_cache_usage_perc", occupancy.kv_usage);
            named("num_prompt_tokens_waiting", llm.model().prompt_tokens_ahead() as f64);
            report.application_utilization = occupancy.kv_usage.max(0.001);
        }
        report
    }
}
