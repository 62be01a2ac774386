//! When requests come, from which client, and what each asks for.
//!
//! Everything of a request is drawn here, from generators that nothing else uses: every policy meets
//! the same requests (common random numbers), so that their differences are not the luck of the draw.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{
    super::{
        draw::{DrawError, Gamma, Weibull},
        scenario::{Arrivals as Process, Renewal, Scenario},
        trace::{Trace, TraceError},
    },
    shape::Shape,
};
use crate::{rng::Rng, time::Time};

/// A request as it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrival {
    pub(super) at: Time,
    pub(super) client: u32,
    /// What it is.
    pub(super) class: u16,
    /// What it is said to be.
    pub(super) said: u16,
    /// Seconds of a worker of speed 1.
    pub(super) work: f64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    /// Its place in the trace, for its blocks.
    pub(super) traced: Option<u32>,
    pub(super) key: Option<u64>,
    pub(super) gives_up: bool,
}

/// Why a run's traffic cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrivalsError {
    /// A burstiness that cannot be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// Traffic that cannot be generated.
    #[error(transparent)]
    Generated(#[from] TraceError),
}

/// The requests of one run, in order of time.
#[derive(Debug)]
pub(super) struct Arrivals {
    scenario: Arc<Scenario>,
    stream: Stream,
    shape: Shape,
    /// Bounds of the classes' shares.
    shares: Vec<f64>,
    times: Rng,
    requests: Rng,
}

#[derive(Debug)]
enum Stream {
    /// One stream, each request from a client at random. `steady`: seconds passed.
    Together {
        steady: f64,
        gap: Gap,
    },
    /// Each client's own: the next of each.
    Apart {
        next: BinaryHeap<Reverse<(u64, u32)>>,
        gap: Gap,
    },
    Traced(Traced),
}

/// The time to the next request, in steady seconds.
#[derive(Clone, Copy, Debug)]
enum Gap {
    /// By their mean.
    Exponential(f64),
    Even(f64),
    Gamma(Gamma),
    Weibull(Weibull),
}

#[derive(Debug)]
struct Traced {
    trace: Arc<Trace>,
    next: usize,
    /// Steady seconds of a second of the trace.
    stretch: f64,
    /// The scenario's class for each of the trace's.
    classes: Vec<u16>,
}

impl Arrivals {
    pub(super) fn new(
        scenario: &Arc<Scenario>,
        rate: f64,
        seed: u64,
    ) -> Result<Self, ArrivalsError> {
        let clients = scenario.clients.count.get();
        let mut times = Rng::seeded(seed ^ 0xA11);
        let stream = match &scenario.traffic.arrivals {
            Process::Poisson => Stream::together(Gap::Exponential(1.0 / rate)),
            Process::Paced => {
                Stream::apart(clients, Gap::Even(f64::from(clients) / rate), &mut times)
            }
            Process::Gamma(renewal) => {
                let mean = renewal.mean_gap(clients, rate);
                let gap = Gap::Gamma(Gamma::with_cv(mean, renewal.cv.get())?);
                Stream::renewal(*renewal, clients, gap, &mut times)
            }
            Process::Weibull(renewal) => {
                let mean = renewal.mean_gap(clients, rate);
                let gap = Gap::Weibull(Weibull::with_cv(mean, renewal.cv.get())?);
                Stream::renewal(*renewal, clients, gap, &mut times)
            }
            Process::Trace(replay) => {
                let trace = scenario.trace.as_ref().expect("invariant: read with the scenario");
                let stretch = trace.rate() / rate;
                let mut trace = Arc::clone(trace);
                if replay.rotate {
                    trace = Arc::new(Trace::clone(&trace).rotated_at_random(&mut times));
                }
                if !replay.spread.is_zero() {
                    trace = Arc::new(Trace::clone(&trace).spread(replay.spread.get(), &mut times));
                }
                Stream::Traced(Traced::new(scenario, trace, stretch))
            }
            Process::ServeGen(generated) => {
                let clients =
                    scenario.serve_gen.as_ref().expect("invariant: read with the scenario");
                let first = generated.first_window as usize;
                let windows = first..first + generated.windows.index();
                let trace = clients.generate(windows, generated.scale.get(), &mut times)?;
                let stretch = scenario.traffic.rate.map_or(1.0, |rate| trace.rate() / rate.get());
                Stream::Traced(Traced::new(scenario, Arc::new(trace), stretch))
            }
        };
        let traffic = &scenario.traffic;
        let shape = Shape::new(&traffic.shape, traffic.day, scenario.duration.secs());
        let mut sum = 0.0;
        let shares = scenario
            .classes
            .iter()
            .map(|class| {
                sum += class.share.get();
                sum
            })
            .collect();
        let requests = Rng::seeded(seed ^ 0x5E9);
        Ok(Self { scenario: Arc::clone(scenario), stream, shape, shares, times, requests })
    }

    /// The trace that is replayed, as this run replays it.
    pub(super) fn trace(&self) -> Option<&Arc<Trace>> {
        match &self.stream {
            Stream::Traced(traced) => Some(&traced.trace),
            _ => None,
        }
    }

    /// The next request; `None` after the last.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Arrival> {
        let clients = self.scenario.clients.count.index();
        let mut arrival = Arrival::default();
        let steady = match &mut self.stream {
            Stream::Together { steady, gap } => {
                *steady += gap.draw(&mut self.times);
                arrival.client = self.times.below(clients) as u32;
                *steady
            }
            Stream::Apart { next, gap } => {
                let Reverse((nanos, client)) = next.pop()?;
                let after = (gap.draw(&mut self.times) * 1e9) as u64;
                next.push(Reverse((nanos.saturating_add(after.max(1)), client)));
                arrival.client = client;
                nanos as f64 / 1e9
            }
            Stream::Traced(traced) => {
                arrival.client = self.times.below(clients) as u32;
                traced.next(&mut arrival)?
            }
        };
        arrival.at = self.shape.moment(steady);
        if arrival.at >= self.scenario.duration.time() {
            return None;
        }
        self.fill(&mut arrival);
        Some(arrival)
    }

    #[inline]
    fn fill(&mut self, arrival: &mut Arrival) {
        let (scenario, rng) = (&*self.scenario, &mut self.requests);
        let classified =
            matches!(&self.stream, Stream::Traced(traced) if !traced.classes.is_empty());
        if !classified && self.shares.len() > 1 {
            let place = rng.unit() * self.shares.last().copied().unwrap_or(1.0);
            let class = self.shares.partition_point(|bound| *bound <= place);
            arrival.class = class.min(self.shares.len() - 1) as u16;
        }
        let class = &scenario.classes[arrival.class as usize];
        if let Some(work) = &class.work {
            arrival.work = work.draw(rng);
        }
        if arrival.prompt_tokens == 0 {
            let mut tokens = |distribution: &Option<super::super::scenario::Distribution<_>>| {
                distribution.as_ref().map_or(0, |tokens| (tokens.draw(rng).round() as u32).max(1))
            };
            arrival.prompt_tokens = tokens(&class.prompt_tokens);
            arrival.output_tokens = tokens(&class.output_tokens);
        }
        if let Some(block) = class.key_block {
            let blocks = match (&self.stream, arrival.traced) {
                (Stream::Traced(traced), Some(place)) => {
                    traced.trace.requests()[place as usize].blocks.as_slice()
                }
                _ => &[],
            };
            arrival.key = blocks.get(block.index() - 1).or(blocks.last()).copied();
        }
        if class.keys > 0 {
            // The key of one number is the same in every run.
            let key = rng.below(class.keys as usize) as u64;
            arrival.key =
                Some(xxhash_rust::xxh64::xxh64(&key.to_le_bytes(), u64::from(arrival.class)));
        }
        arrival.said = arrival.class;
        let wrong = scenario.clients.misclassified.get();
        if wrong > 0.0 && self.shares.len() > 1 && rng.unit() < wrong {
            let other = rng.below(self.shares.len() - 1) as u16;
            arrival.said = other + u16::from(other >= arrival.class);
        }
        if let Some(cancel) = scenario.clients.cancel {
            arrival.gives_up = rng.unit() < cancel.share.get();
        }
    }
}

impl Renewal {
    /// Seconds between the requests of one stream.
    fn mean_gap(self, clients: u32, rate: f64) -> f64 {
        if self.together { 1.0 / rate } else { f64::from(clients) / rate }
    }
}

impl Stream {
    fn together(gap: Gap) -> Self {
        Self::Together { steady: 0.0, gap }
    }

    fn renewal(renewal: Renewal, clients: u32, gap: Gap, rng: &mut Rng) -> Self {
        if renewal.together { Self::together(gap) } else { Self::apart(clients, gap, rng) }
    }

    fn apart(clients: u32, gap: Gap, rng: &mut Rng) -> Self {
        // Somewhere in its first gap, so that clients do not start in step.
        let next = (0..clients)
            .map(|client| Reverse(((gap.draw(rng) * rng.unit() * 1e9) as u64, client)))
            .collect();
        Self::Apart { next, gap }
    }
}

impl Gap {
    #[inline]
    fn draw(&self, rng: &mut Rng) -> f64 {
        match self {
            Self::Exponential(mean) => rng.exponential(*mean),
            Self::Even(gap) => *gap,
            Self::Gamma(gamma) => gamma.draw(rng),
            Self::Weibull(weibull) => weibull.draw(rng),
        }
    }
}

impl Traced {
    fn new(scenario: &Scenario, trace: Arc<Trace>, stretch: f64) -> Self {
        let known = |name: &Arc<str>| scenario.class_index(name).unwrap_or(0) as u16;
        let classes = trace.classes().iter().map(known).collect();
        Self { trace, next: 0, stretch, classes }
    }

    fn next(&mut self, arrival: &mut Arrival) -> Option<f64> {
        let request = self.trace.requests().get(self.next)?;
        arrival.traced = Some(self.next as u32);
        self.next += 1;
        arrival.class = request.class.map_or(0, |class| self.classes[class as usize]);
        arrival.prompt_tokens = request.prompt_tokens;
        arrival.output_tokens = request.output_tokens;
        Some(request.at.as_nanos() as f64 / 1e9 * self.stretch)
    }
}
