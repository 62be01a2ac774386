//! How many requests are at a server now, by what it said of late.
//!
//! ```text
//! expected = mean + (said - mean) x exp(-age / 50 ms) + sent since, if still there
//! mean     = of the archetype's fresh answers, with the fleet's mean as one more of them
//! ```
//!
//! Failure guarded against: many clients that follow the same old answer to the server that was the
//! emptiest when it came, and one client that follows it many times. An endpoint without an answer counts
//! as the mean, and none as less than this process has there. Cost: a look at up to 64 words a pick, no
//! allocation; archetypes after the sixteenth share the fleet's mean.

use crate::policy::{
    Candidates,
    prequal::{known::Known, pool::Pool},
};

/// How fast an answer loses its worth, in nanoseconds.
const FADES: f64 = 50e6;
/// Archetypes with a mean of their own.
const MEANS: usize = 16;
/// More in flight than this is a charge for failures.
const PLAUSIBLE: u32 = 1000;

/// The loads of one group as one pick finds them.
#[derive(Debug)]
pub(super) struct Loads {
    means: [f32; MEANS],
    mean: f32,
    /// The scale of [`delay`](super::crowd::delay).
    pub(super) width: f64,
}

impl Loads {
    #[inline]
    pub(super) fn new(
        candidates: &Candidates<'_>,
        pool: &Pool,
        archetypes: &[Option<u32>],
        known: &Known,
        width: f64,
    ) -> Self {
        let mean = known.mean_in_flight();
        let mut sums = [(mean, 1.0); MEANS];
        for found in pool.found(candidates) {
            let said = found.reading.in_flight();
            if let Some(archetype) = archetypes[found.index]
                && let Some((sum, count)) = sums.get_mut(archetype as usize)
                && said < PLAUSIBLE
            {
                *sum += said as f32;
                *count += 1.0;
            }
        }
        Self { means: sums.map(|(sum, count)| sum / count), mean, width }
    }

    /// Requests that are expected at the candidate.
    #[inline]
    pub(super) fn ahead(
        &self,
        candidates: &Candidates<'_>,
        pool: &Pool,
        archetype: u32,
        index: usize,
    ) -> f64 {
        let mean = f64::from(*self.means.get(archetype as usize).unwrap_or(&self.mean));
        let own = candidates.node(index).in_flight();
        let expected = pool.at(candidates, index).map_or(mean, |(reading, age)| {
            // Of what was sent since, as much is there as this process still has there.
            let (said, since) = (reading.in_flight(), reading.uses().min(own));
            let said = f64::from(said.saturating_sub(reading.uses()));
            mean + (said - mean) * (-(age as f64) / FADES).exp() + f64::from(since)
        });
        expected.max(f64::from(own))
    }
}
