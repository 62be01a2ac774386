//! Queues run backwards: from when requests came and left to the work that they were.
//!
//! Under processor sharing each of n requests advances at `min(1, workers / n)`: a request's work is
//! how far that advanced between its arrival and its end. First come first served, a request starts when
//! the first worker is free: its work is what is left of its stay. Both are exact if the log has every
//! request and the model is the servers' own; how far the result is from what it should be tells how
//! good the model is ([`difference`], [`dependence`]).
//!
//! Cost: a sort; for first come first served a look at each worker for each request.

use std::collections::BTreeMap;

/// Rows below which quartiles are not compared.
pub(super) const COMPARABLE: usize = 100;
/// Bands of what requests found.
const BANDS: usize = 6;

/// A model of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) shared: bool,
    pub(super) workers: u32,
}

/// One attempt at its endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) reported: f64,
    pub(super) class: u32,
    pub(super) answered: bool,
    /// Requests found there.
    pub(super) found: u32,
}

impl Queue {
    /// The work that each request must have been for it to leave when it did; `stays` in order of
    /// arrival.
    pub(super) fn works(self, stays: &[Stay]) -> Vec<f64> {
        if self.shared { self.works_shared(stays) } else { self.works_in_order(stays) }
    }

    /// A request starts when the first worker is free, in order of arrival.
    fn works_in_order(self, stays: &[Stay]) -> Vec<f64> {
        let mut free = vec![f64::NEG_INFINITY; self.workers as usize];
        let work = |stay: &Stay| {
            let first = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap_or(0);
            let start = stay.from.max(free[first]);
            // What was given up before it started took no worker.
            free[first] = free[first].max(stay.to);
            (stay.to - start).max(0.0)
        };
        stays.iter().map(work).collect()
    }

    /// Each of n requests gets `min(1, workers / n)` of a worker.
    fn works_shared(self, stays: &[Stay]) -> Vec<f64> {
        let mut moments: Vec<(f64, bool, usize)> = Vec::with_capacity(2 * stays.len());
        for (index, stay) in stays.iter().enumerate() {
            moments.push((stay.from, true, index));
            moments.push((stay.to, false, index));
        }
        // Whoever comes as another leaves is counted first: no stay ends before it begins.
        moments.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut works = vec![0.0; stays.len()];
        let (mut advance, mut present, mut at) = (0.0, 0_u32, 0.0);
        for (moment, comes, index) in moments {
            if present > 0 {
                advance += (moment - at) * (f64::from(self.workers) / f64::from(present)).min(1.0);
            }
            at = moment;
            if comes {
                present += 1;
                works[index] = -advance;
            } else {
                present -= 1;
                works[index] += advance;
            }
        }
        works
    }
}

/// The mean `|ln(work / reported)|`.
pub(super) fn difference(works: impl Iterator<Item = (Stay, f64)>) -> f64 {
    let pairs = works.filter(|(stay, work)| stay.answered && (stay.reported + work).is_finite());
    let pairs: Vec<(f64, f64)> = pairs.map(|(stay, work)| (work, stay.reported)).collect();
    // A floor, so that microseconds do not decide.
    let floor = 0.05 * pairs.iter().map(|(_, reported)| reported).sum::<f64>() / pairs.len() as f64;
    let apart = |(work, reported): &(f64, f64)| ((work + floor) / (reported + floor)).ln().abs();
    pairs.iter().map(apart).sum::<f64>() / pairs.len() as f64
}

/// How far the quartiles of a time hang on how many requests were found: the mean `|ln(quartile of a
/// band / quartile of all)|` over classes and up to [`BANDS`] bands of what was found; `None` with too
/// few rows.
pub(super) fn dependence(times: impl Iterator<Item = (Stay, f64)>) -> Option<f64> {
    let mut by_class: BTreeMap<u32, Vec<(u32, f64)>> = BTreeMap::new();
    for (stay, time) in times.filter(|(stay, time)| stay.answered && time.is_finite()) {
        by_class.entry(stay.class).or_default().push((stay.found, time));
    }
    let (mut sum, mut rows) = (0.0, 0.0);
    for mut class in by_class.into_values().filter(|class| class.len() >= COMPARABLE) {
        class.sort_by_key(|(found, _)| *found);
        let floor = 0.02 * class.iter().map(|(_, time)| time).sum::<f64>() / class.len() as f64;
        let all = quartiles(&class, floor);
        let bands = bands(&class);
        if bands.len() < 2 {
            continue;
        }
        for band in bands {
            let here = quartiles(band, floor);
            let apart = here.iter().zip(&all).map(|(here, all)| (here - all).abs());
            sum += apart.sum::<f64>() / 3.0 * band.len() as f64;
            rows += band.len() as f64;
        }
    }
    (rows > 0.0).then(|| sum / rows)
}

/// Cuts what is sorted by what was found into bands of about equal size, none across one number.
fn bands(sorted: &[(u32, f64)]) -> Vec<&[(u32, f64)]> {
    let least = (sorted.len() / BANDS).max(COMPARABLE / 4);
    let (mut bands, mut rest) = (Vec::new(), sorted);
    while rest.len() >= 2 * least {
        let found = rest[least - 1].0;
        let cut = rest.partition_point(|(other, _)| *other <= found);
        if rest.len() - cut < least {
            break;
        }
        let (band, next) = rest.split_at(cut);
        bands.push(band);
        rest = next;
    }
    bands.push(rest);
    bands
}

/// The logarithms of the quartiles, each with the floor added.
fn quartiles(band: &[(u32, f64)], floor: f64) -> [f64; 3] {
    let mut times: Vec<f64> = band.iter().map(|(_, time)| *time).collect();
    times.sort_by(f64::total_cmp);
    [1, 2, 3].map(|part| (times[part * (times.len() - 1) / 4] + floor).ln())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn works(queue: Queue, stays: &[(f64, f64)]) -> Vec<f64> {
        let stay = |&(from, to): &(f64, f64)| {
            let (reported, found) = (f64::NAN, 0);
            Stay { from, to, reported, class: 0, answered: true, found }
        };
        let works = queue.works(&stays.iter().map(stay).collect::<Vec<_>>());
        works.iter().map(|work| (work * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn one_worker_takes_one_after_the_other() {
        let queue = Queue { shared: false, workers: 1 };
        assert_eq!(works(queue, &[(0.0, 2.0), (1.0, 3.0), (5.0, 5.5)]), [2.0, 1.0, 0.5]);
        // The second was given up while it waited.
        assert_eq!(works(queue, &[(0.0, 3.0), (1.0, 2.0), (2.0, 4.0)]), [3.0, 0.0, 1.0]);
    }

    #[test]
    fn two_workers_serve_two_at_once() {
        let queue = Queue { shared: false, workers: 2 };
        assert_eq!(works(queue, &[(0.0, 2.0), (0.0, 3.0), (1.0, 4.0)]), [2.0, 3.0, 2.0]);
    }

    #[test]
    fn sharing_gives_each_its_part() {
        let one = Queue { shared: true, workers: 1 };
        assert_eq!(works(one, &[(0.0, 1.5), (0.5, 2.0)]), [1.0, 1.0]);
        let two = Queue { shared: true, workers: 2 };
        assert_eq!(works(two, &[(0.0, 1.5), (0.5, 2.0)]), [1.5, 1.5]);
    }
}
