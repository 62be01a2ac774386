//! Fitted Q, the plain way: mean latencies from a log, looked up.
//!
//! ```text
//! score = mean latency_ms[class, archetype, own requests in flight]     lowest first, ties at random
//! ```
//!
//! Its settings are its cells, `class/archetype/in flight = ms`. Beyond the highest number in flight that
//! was logged, and where none was, the last known one holds: flat extrapolation. It is here to be
//! compared with, not to be used: past the edge of its log it sees no queue however long, and what it has
//! learned of an archetype contains the queues that the logging policy made there. `q_table` parts the two.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    node::Node,
    policy::{Candidates, Choice, Picker, Policy, Refusal},
    rng::Rng,
};

/// More than anybody has in flight at one endpoint.
const MOST: usize = 10_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct FittedQ {
    archetypes: Arc<[String]>,
    /// By class and archetype, latencies by requests in flight; empty where nothing was logged.
    cells: Arc<HashMap<String, Vec<Vec<f64>>>>,
}

impl FittedQ {
    /// With cells named `class/archetype/in flight`, in milliseconds.
    ///
    /// # Errors
    /// In words, if there are none, or one's name or value cannot be used.
    pub fn new(cells: &BTreeMap<String, f64>) -> Result<Self, String> {
        let mut archetypes: Vec<String> = Vec::new();
        let mut known: HashMap<String, Vec<Vec<f64>>> = HashMap::new();
        if cells.is_empty() {
            return Err("`fitted_q` needs its cells as options: `class/archetype/in flight`".into());
        }
        for (name, ms) in cells {
            let wrong = || format!("`fitted_q`: `{name}` must be `class/archetype/in flight`");
            let (class, rest) = name.split_once('/').ok_or_else(wrong)?;
            let (archetype, in_flight) = rest.rsplit_once('/').ok_or_else(wrong)?;
            let in_flight: usize = in_flight.parse().map_err(|_| wrong())?;
            if in_flight > MOST || !ms.is_finite() || *ms < 0.0 {
                return Err(format!(
                    "`fitted_q`: `{name}` = {ms} must be milliseconds of at least 0, at most {MOST} in flight"
                ));
            }
            let place = archetypes.iter().position(|known| known == archetype);
            let place = place.unwrap_or_else(|| {
                archetypes.push(archetype.to_owned());
                archetypes.len() - 1
            });
            let row = known.entry(class.to_owned()).or_default();
            row.resize(row.len().max(place + 1), Vec::new());
            let cell = &mut row[place];
            cell.resize(cell.len().max(in_flight + 1), f64::NAN);
            cell[in_flight] = *ms;
        }
        for cell in known.values_mut().flatten() {
            fill(cell);
        }
        Ok(Self { archetypes: archetypes.into(), cells: Arc::new(known) })
    }
}

/// What is not known is what the next lower number took, or the first known one.
fn fill(cell: &mut [f64]) {
    let Some(mut last) = cell.iter().copied().find(|ms| !ms.is_nan()) else { return };
    for ms in cell {
        if ms.is_nan() {
            *ms = last;
        }
        last = *ms;
    }
}

impl Policy for FittedQ {
    fn name(&self) -> &'static str {
        "fitted_q"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let place = |node: &Arc<Node>| {
            let endpoint = node.endpoint();
            let archetype = endpoint.labels().get("archetype")?;
            self.archetypes.iter().position(|known| known == archetype)
        };
        Box::new(Lookup {
            cells: Arc::clone(&self.cells),
            places: group.iter().map(place).collect(),
        })
    }
}

#[derive(Debug)]
struct Lookup {
    cells: Arc<HashMap<String, Vec<Vec<f64>>>>,
    /// Each candidate's archetype.
    places: Vec<Option<usize>>,
}

impl Picker for Lookup {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let least = candidates.least(|index| self.score(candidates, index), rng);
        least.map(Choice::from).ok_or(Refusal::NoneEligible)
    }

    fn score(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let cell = || {
            let row = self.cells.get(candidates.context.request_class?)?;
            let cell = row.get(self.places[index]?)?;
            let in_flight = candidates.node(index).in_flight() as usize;
            cell.get(in_flight).or(cell.last())
        };
        cell().copied().unwrap_or(f64::NAN)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_and_gaps_filled() {
        let cells = [("a/x/1", 10.0), ("a/x/3", 30.0), ("b/big/gpu/0", 5.0)];
        let cells = cells.map(|(name, ms)| (name.to_owned(), ms)).into();
        let table = FittedQ::new(&cells).expect("sound cells");
        assert_eq!(*table.archetypes, ["x".to_owned(), "big/gpu".to_owned()]);
        assert_eq!(table.cells["a"][0], [10.0, 10.0, 10.0, 30.0]);
        assert_eq!(table.cells["b"][1], [5.0]);
    }

    #[test]
    fn what_is_no_cell_is_named() {
        for (name, ms) in
            [("a", 1.0), ("a/x", 1.0), ("a/x/y", 1.0), ("a/x/1", -1.0), ("a/x/20000", 1.0)]
        {
            let error = FittedQ::new(&[(name.to_owned(), ms)].into()).expect_err(name);
            assert!(error.contains(name), "{error}");
        }
        assert!(FittedQ::new(&BTreeMap::new()).is_err());
    }
}
