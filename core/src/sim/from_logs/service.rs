//! How the servers of a log queue, and what requests cost them.
//!
//! A complete log gives back the work that each request must have been, under every model of a queue
//! with 1 to 64 workers ([`queue`](super::queue)). The model is the one under which that work fits best:
//!
//! - where servers report their processing time, the work must be that time: the least mean
//!   `|ln(work / reported)|`;
//! - elsewhere, and where the reported time grows with the requests there (it then holds the sharing,
//!   and is no work), the work must not hang on how many requests were found: the least distance of
//!   its quartiles in bands of what was found from its quartiles in all ([`dependence`]). The round trip
//!   is tried along with the model there: six parts of the least latency.
//!
//! Of models that do about equally well the one with the fewest workers is taken: it promises least. A
//! sampled log does not tell who else was there; then it is one worker, shared, and the work is the
//! reported time, or that low quantile of latency which training takes.
//!
//! Guards against costs that hold the queues of the policy that wrote the log: simulated again, these
//! would wait twice.

use super::{
    FromLogs,
    fleet::Fleet,
    queue::{COMPARABLE, Queue, Stay, dependence, difference},
};
use crate::learn::train::End;

/// Rows below which a cell has no cost of its own.
const ENOUGH: usize = 20;
/// Numbers of workers that are tried.
const WORKERS: [u32; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
/// Rows of an archetype by which its model is chosen.
const CHOSEN_BY: usize = 15_000;
/// Parts of the least latency that are tried as the network's.
const TRIPS: [f64; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
/// How far reported times may grow with the requests there before they are no work.
const SHARED: f64 = 0.25;

/// Everything fitted.
pub(super) struct Service {
    /// By archetype.
    pub(super) queues: Vec<Fitted>,
    /// By class.
    pub(super) classes: Vec<Work>,
    /// Of the network, in seconds.
    pub(super) round_trip: Option<f64>,
    pub(super) timeout: Timeout,
    /// Whether every request is in the log.
    pub(super) complete: bool,
}

/// How an archetype queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fitted {
    pub(super) queue: Queue,
    pub(super) basis: Basis,
    /// Most requests seen at one endpoint at once.
    pub(super) most: u32,
    /// How badly the model fits; NaN if there was nothing to choose by.
    pub(super) misfit: f64,
}

/// What the work is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Processing times that servers report.
    Reported,
    /// Latencies, with the queue taken out by the model.
    Latency,
    /// Latencies, though servers report: what they report holds the sharing.
    ReportedIsShared,
    /// A low quantile of latency.
    LowLatency,
}

/// What a class costs.
pub(super) struct Work {
    /// Equally spaced quantiles in seconds on the reference archetype.
    pub(super) quantiles: Vec<f64>,
    /// The archetype whose work that is.
    pub(super) reference: u32,
    pub(super) rows: usize,
    pub(super) mean: f64,
    /// By archetype; `None` where there are too few rows.
    pub(super) speeds: Vec<Option<f64>>,
    /// Its own timeout, where it differs.
    pub(super) timeout: Option<f64>,
    pub(super) share: f64,
}

/// When requests are given up, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeout {
    pub(super) seconds: f64,
    pub(super) known_by: KnownBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownBy {
    Timeouts(usize),
    Deadlines,
    Nothing,
}

impl Service {
    pub(super) fn fit(logs: &FromLogs, fleet: &Fleet, weight: f64) -> Self {
        let complete = weight < 1.01;
        let mut endpoints = stays(logs);
        let count = fleet.archetypes.len();
        let mut round_trip = round_trip(logs, &endpoints, complete);
        if round_trip.is_none() && complete {
            round_trip = trip_that_fits(&endpoints, fleet);
        }
        nearer(&mut endpoints, round_trip.unwrap_or(0.0));
        let by_archetype = by_archetype(&endpoints, fleet);
        let queues: Vec<Fitted> = by_archetype.iter().map(|e| Fitted::of(e, complete)).collect();
        let mut cells: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); count]; logs.classes.len()];
        for (archetype, (fitted, endpoints)) in queues.iter().zip(&by_archetype).enumerate() {
            for stays in endpoints {
                for (stay, work) in stays.iter().zip(fitted.works(stays)) {
                    if stay.answered && work.is_finite() {
                        cells[stay.class as usize][archetype].push(work);
                    }
                }
            }
        }
        let timeout = Timeout::of(logs);
        let classes = classes(logs, fleet, cells, timeout);
        Self { queues, classes, round_trip, timeout, complete }
    }

    /// What an archetype's speed is taken to be for classes that it has too few rows of: its mean (of
    /// the logarithms) over the others.
    pub(super) fn usual_speed(&self, archetype: usize) -> f64 {
        let known: Vec<f64> =
            self.classes.iter().filter_map(|class| class.speeds[archetype]).map(f64::ln).collect();
        if known.is_empty() { 1.0 } else { (known.iter().sum::<f64>() / known.len() as f64).exp() }
    }
}

impl Fitted {
    fn of(endpoints: &[&[Stay]], complete: bool) -> Self {
        let all = || endpoints.iter().flat_map(|stays| stays.iter()).filter(|stay| stay.answered);
        let answered = all().count();
        let reported = all().filter(|stay| stay.reported.is_finite()).count();
        let most = all().map(|stay| stay.found + 1).max().unwrap_or(0);
        let mut basis = if reported >= ENOUGH && 2 * reported >= answered {
            Basis::Reported
        } else if complete {
            Basis::Latency
        } else {
            Basis::LowLatency
        };
        let assumed = Queue { shared: true, workers: 1 };
        if !complete {
            return Self { queue: assumed, basis, most, misfit: f64::NAN };
        }
        let mut used: Vec<&[Stay]> = Vec::new();
        let mut rows = 0;
        for stays in endpoints {
            if rows < CHOSEN_BY {
                used.push(&stays[..stays.len().min(CHOSEN_BY - rows)]);
                rows += used.last().map_or(0, |stays| stays.len());
            }
        }
        if basis == Basis::Reported {
            let times =
                used.iter().flat_map(|stays| stays.iter().map(|stay| (*stay, stay.reported)));
            if dependence(times).is_some_and(|grows| grows > SHARED) {
                basis = Basis::ReportedIsShared;
            }
        }
        let models = WORKERS
            .into_iter()
            .filter(|workers| *workers == 1 || *workers <= most)
            .flat_map(|workers| [true, false].map(|shared| Queue { shared, workers }));
        let misfits: Vec<(f64, Queue)> = models
            .map(|queue| {
                let works = used.iter().flat_map(|stays| {
                    stays.iter().copied().zip(queue.works(stays)).collect::<Vec<_>>()
                });
                let misfit = match basis {
                    Basis::Reported => difference(works),
                    _ => dependence(works).unwrap_or(f64::NAN),
                };
                (misfit, queue)
            })
            .collect();
        let least = misfits.iter().map(|(misfit, _)| *misfit).fold(f64::INFINITY, f64::min);
        // NaN is within nothing: without anything to choose by, it is what is assumed.
        let near = misfits.iter().find(|(misfit, _)| *misfit <= least * 1.1 + 0.01);
        let (misfit, queue) = near.copied().unwrap_or((f64::NAN, assumed));
        Self { queue, basis, most, misfit }
    }

    fn works(&self, stays: &[Stay]) -> Vec<f64> {
        match self.basis {
            Basis::Reported => stays.iter().map(|stay| stay.reported).collect(),
            Basis::Latency | Basis::ReportedIsShared => self.queue.works(stays),
            Basis::LowLatency => Vec::new(),
        }
    }
}

impl Timeout {
    fn of(logs: &FromLogs) -> Self {
        let times = timeouts(logs, None);
        if let Some(seconds) = median(times.clone()) {
            return Self { seconds, known_by: KnownBy::Timeouts(times.len()) };
        }
        let first = || logs.attempts.iter().filter(|attempt| attempt.first);
        let deadlines = first().map(|a| a.deadline).filter(|d| d.is_finite()).collect();
        if let Some(seconds) = median(deadlines) {
            return Self { seconds, known_by: KnownBy::Deadlines };
        }
        let longest = first().map(|a| a.latency).fold(0.0, f64::max);
        Self { seconds: (2.0 * longest).max(5.0), known_by: KnownBy::Nothing }
    }
}

/// When first attempts were given up as too late.
fn timeouts(logs: &FromLogs, class: Option<u32>) -> Vec<f64> {
    let late = logs.attempts.iter().filter(|attempt| attempt.first && attempt.timed_out);
    late.filter(|attempt| class.is_none_or(|class| class == attempt.class))
        .map(|attempt| attempt.latency)
        .filter(|latency| *latency > 0.0)
        .collect()
}

/// Attempts by endpoint, in order of arrival, with what each found.
fn stays(logs: &FromLogs) -> Vec<Vec<Stay>> {
    let mut endpoints: Vec<Vec<Stay>> = vec![Vec::new(); logs.endpoints.len()];
    for attempt in &logs.attempts {
        let took = if attempt.latency.is_finite() { attempt.latency } else { attempt.server };
        if took.is_finite() {
            endpoints[attempt.endpoint as usize].push(Stay {
                from: attempt.at,
                to: attempt.at + took,
                reported: attempt.server,
                class: attempt.class,
                answered: attempt.end == End::Ok,
                found: 0,
            });
        }
    }
    for stays in &mut endpoints {
        stays.sort_by(|a, b| a.from.total_cmp(&b.from));
        let mut ends: Vec<f64> = stays.iter().map(|stay| stay.to).collect();
        ends.sort_by(f64::total_cmp);
        let mut left = 0;
        for (came, stay) in stays.iter_mut().enumerate() {
            while ends[left] <= stay.from && left < came {
                left += 1;
            }
            stay.found = (came - left) as u32;
        }
    }
    endpoints
}

fn by_archetype<'a>(endpoints: &'a [Vec<Stay>], fleet: &Fleet) -> Vec<Vec<&'a [Stay]>> {
    let mut by_archetype: Vec<Vec<&[Stay]>> = vec![Vec::new(); fleet.archetypes.len()];
    for (stays, archetype) in endpoints.iter().zip(&fleet.of) {
        by_archetype[*archetype as usize].push(stays);
    }
    by_archetype
}

/// Takes the network's part off each end of each stay.
fn nearer(endpoints: &mut [Vec<Stay>], round_trip: f64) {
    for stay in endpoints.iter_mut().flatten() {
        stay.from += round_trip / 2.0;
        stay.to = (stay.to - round_trip / 2.0).max(stay.from);
    }
}

/// The round trip under which the archetypes' best models fit best; `None` if none fits clearly better
/// without one, or nothing tells.
fn trip_that_fits(endpoints: &[Vec<Stay>], fleet: &Fleet) -> Option<f64> {
    let alone = endpoints.iter().flatten().filter(|stay| stay.answered && stay.found == 0);
    let mut alone: Vec<f64> = alone.map(|stay| stay.to - stay.from).collect();
    if alone.len() < COMPARABLE {
        return None;
    }
    alone.sort_by(f64::total_cmp);
    let least = alone[alone.len() / 200];
    let tried = TRIPS.map(|part| {
        let mut endpoints = endpoints.to_vec();
        nearer(&mut endpoints, least * part);
        let fitted = by_archetype(&endpoints, fleet);
        let misfits: Vec<f64> = fitted.iter().map(|e| Fitted::of(e, true).misfit).collect();
        (misfits.iter().filter(|misfit| misfit.is_finite()).sum::<f64>(), least * part)
    });
    let best = tried.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 < 0.9 * tried[0].0 - 0.01).then_some(best.1).filter(|trip| *trip > 0.0)
}

/// What is left of the latency of requests that met nobody once the server's own times are taken off:
/// its lowest tenth, since others may have come later.
fn round_trip(logs: &FromLogs, endpoints: &[Vec<Stay>], complete: bool) -> Option<f64> {
    const LEAST: f64 = 20e-6;
    let mut rest: Vec<f64> = if complete {
        let alone = endpoints.iter().flatten().filter(|stay| stay.answered && stay.found == 0);
        alone.map(|stay| stay.to - stay.from - stay.reported).collect()
    } else {
        let both = logs.attempts.iter().filter(|a| a.end == End::Ok);
        let queue = |queue: f64| if queue.is_finite() { queue } else { 0.0 };
        both.map(|a| a.latency - a.server - queue(a.queue)).collect()
    };
    rest.retain(|seconds| seconds.is_finite());
    if rest.len() < ENOUGH {
        return None;
    }
    rest.sort_by(f64::total_cmp);
    // Where it is not known who met nobody, fewer can be trusted to.
    let part = if complete { 10 } else { 100 };
    Some(rest[rest.len() / part]).filter(|seconds| *seconds >= LEAST)
}

fn classes(
    logs: &FromLogs,
    fleet: &Fleet,
    mut cells: Vec<Vec<Vec<f64>>>,
    timeout: Timeout,
) -> Vec<Work> {
    let rows = |archetype: usize| cells.iter().map(|class| class[archetype].len()).sum::<usize>();
    let usual = (0..fleet.archetypes.len()).max_by_key(|a| rows(*a)).unwrap_or(0);
    let mut shares = vec![0.0; cells.len()];
    for attempt in logs.attempts.iter().filter(|attempt| attempt.first) {
        shares[attempt.class as usize] += attempt.weight;
    }
    let mut classes = Vec::new();
    for (class, archetypes) in cells.iter_mut().enumerate() {
        let name = logs.classes.name(class as u32);
        for (archetype, works) in archetypes.iter_mut().enumerate() {
            works.sort_by(f64::total_cmp);
            // Where nothing could be taken out of the latencies, what training takes.
            if works.len() < ENOUGH {
                let label = fleet.archetypes.name(archetype as u32);
                let cell =
                    fleet.report.cells.iter().find(|cell| {
                        cell.class == name && cell.archetype == label && works.is_empty()
                    });
                *works = cell.and_then(|c| c.service_ms).map(|ms| ms / 1e3).into_iter().collect();
            }
        }
        let mean = |works: &Vec<f64>| {
            (!works.is_empty()).then(|| works.iter().sum::<f64>() / works.len() as f64)
        };
        let means: Vec<Option<f64>> = archetypes.iter().map(mean).collect();
        let fullest = (0..archetypes.len()).max_by_key(|a| archetypes[*a].len()).unwrap_or(0);
        let reference = if means[usual].is_some() { usual } else { fullest };
        let own = median(timeouts(logs, Some(class as u32)));
        let differs = |own: &f64| (own / timeout.seconds).ln().abs() > 0.05;
        let reference_mean = means[reference];
        classes.push(Work {
            quantiles: quantiles(&archetypes[reference]),
            reference: reference as u32,
            rows: archetypes[reference].len(),
            mean: reference_mean.unwrap_or(f64::NAN),
            speeds: means.iter().map(|mean| Some(reference_mean? / (*mean)?)).collect(),
            timeout: own.filter(differs),
            share: shares[class],
        });
    }
    classes
}

/// Equally spaced quantiles of what is sorted, up to 101; the last one is such that straight lines
/// between them have the sample's mean.
fn quantiles(sorted: &[f64]) -> Vec<f64> {
    let Some(steps) = (sorted.len().min(101)).checked_sub(1).filter(|steps| *steps > 0) else {
        return sorted.to_vec();
    };
    let at = |step: usize| sorted[step * (sorted.len() - 1) / steps];
    let mut values: Vec<f64> = (0..=steps).map(at).collect();
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let before: f64 = values[..steps].windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).sum();
    let last = 2.0 * (mean * steps as f64 - before) - values[steps - 1];
    values[steps] = last.max(values[steps - 1]);
    values
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
