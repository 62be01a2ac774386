//! Which of two answers is the better one.

use std::fmt;

use crate::{node::Node, signal::probe::Reading};

/// An order of answers.
pub(crate) trait Rank: fmt::Debug + Clone + Send + Sync + 'static {
    /// The policy's name.
    fn name(&self) -> &'static str;

    /// The lower, the better; the highest is the worst. `hot_from` is the fewest requests in flight that
    /// are hot.
    fn key(&self, reading: Reading, node: &Node, hot_from: u32) -> u64;
}

/// Prequal's: hot-cold lexicographic. Any cold answer is better than any hot one; of cold ones the
/// lower latency is better, of hot ones the fewer requests in flight; the other number breaks ties.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HotCold;

impl Rank for HotCold {
    fn name(&self) -> &'static str {
        "prequal"
    }

    #[inline]
    fn key(&self, reading: Reading, _: &Node, hot_from: u32) -> u64 {
        let (in_flight, latency) = (u64::from(reading.in_flight()), reading.latency_rank());
        if reading.in_flight() >= hot_from {
            1 << 63 | in_flight << 32 | latency
        } else {
            latency << 32 | in_flight
        }
    }
}
