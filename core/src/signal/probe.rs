//! The last answer of one endpoint to a probe, in one word.
//!
//! What Prequal (NSDI'24) keeps of an answer: when it came, the server's requests in flight and its
//! latency at or near that number, and how often the answer has been used. All of it changes together,
//! so it is packed into one word and changed by compare-and-swap:
//!
//! ```text
//! 1 bit   present      25 bits  stamp, in ticks that the policy chooses, wrapping
//! 20 bits latency, nanoseconds as the upper bits of an f32: exact to 2.5e-4, order kept
//! 14 bits in flight, saturating at 16,383      4 bits  uses, at most 15
//! ```
//!
//! Failures guarded against: two picks that use up an answer with one use left (one gets it, the other
//! looks again); a use or a removal that wipes out an answer which came meanwhile (it names the word it
//! has seen). Cost: a read is one load, a change one compare-and-swap.

use crate::sync::{AtomicU64, Ordering};

const PRESENT: u64 = 1 << 63;
const STAMP_BITS: u32 = 25;
const STAMP_AT: u32 = LATENCY_AT + LATENCY_BITS;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;
const LATENCY_BITS: u32 = 20;
const LATENCY_AT: u32 = RIF_AT + RIF_BITS;
const LATENCY_MASK: u64 = (1 << LATENCY_BITS) - 1;
/// Bits of an `f32` below those that are kept.
const LATENCY_LOST: u32 = 31 - LATENCY_BITS;
const RIF_BITS: u32 = 14;
const RIF_AT: u32 = USES_BITS;
const RIF_MASK: u64 = (1 << RIF_BITS) - 1;
const USES_BITS: u32 = 4;
const USES_MASK: u64 = (1 << USES_BITS) - 1;

/// The most that can be counted of an answer's uses.
pub(crate) const MAX_USES: u32 = USES_MASK as u32;
/// The most requests in flight that can be told apart.
pub(crate) const MAX_RIF: u32 = RIF_MASK as u32;

/// An answer as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading(u64);

impl Reading {
    /// An unused answer: when it came, in wrapping ticks; the server's requests in flight; its latency
    /// in nanoseconds, not negative.
    pub(crate) fn new(stamp: u64, in_flight: u32, latency: f32) -> Self {
        let latency = u64::from(latency.to_bits() >> LATENCY_LOST) & LATENCY_MASK;
        let in_flight = u64::from(in_flight.min(MAX_RIF));
        Self(
            PRESENT
                | (stamp & STAMP_MASK) << STAMP_AT
                | latency << LATENCY_AT
                | in_flight << RIF_AT,
        )
    }

    /// Ticks since it came; zero if `stamp` is before it, as another thread's clock may be.
    #[inline]
    pub(crate) fn age(self, stamp: u64) -> u64 {
        let ahead = stamp.wrapping_sub(self.0 >> STAMP_AT) & STAMP_MASK;
        if ahead >> (STAMP_BITS - 1) == 1 { 0 } else { ahead }
    }

    /// The server's requests in flight, and one for each use since.
    #[inline]
    pub(crate) fn in_flight(self) -> u32 {
        (self.0 >> RIF_AT & RIF_MASK) as u32
    }

    /// The server's latency in nanoseconds.
    #[cfg(any(all(test, not(loom)), feature = "sim"))]
    pub(crate) fn latency(self) -> f32 {
        f32::from_bits(((self.0 >> LATENCY_AT & LATENCY_MASK) as u32) << LATENCY_LOST)
    }

    /// The latency as a whole number that orders as it does, below `1 << 20`.
    #[inline]
    pub(crate) fn latency_rank(self) -> u64 {
        self.0 >> LATENCY_AT & LATENCY_MASK
    }

    /// How often it has been used.
    #[inline]
    pub(crate) fn uses(self) -> u32 {
        (self.0 & USES_MASK) as u32
    }

    /// After one more use: one more in flight there.
    fn used(self) -> Self {
        let uses = u64::from(self.uses() < MAX_USES);
        let in_flight = u64::from(self.in_flight() < MAX_RIF);
        Self(self.0 + uses + (in_flight << RIF_AT))
    }
}

/// Where an endpoint's last answer is kept, while it is of use.
#[derive(Debug)]
pub(crate) struct ProbeSlot(AtomicU64);

impl ProbeSlot {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Option<Reading> {
        let word = self.0.load(Ordering::Relaxed);
        (word != 0).then_some(Reading(word))
    }

    /// A swap, as every change here is: loom does not order a plain store among compare-and-swaps.
    pub(crate) fn put(&self, reading: Reading) {
        self.0.swap(reading.0, Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.0.swap(0, Ordering::Relaxed);
    }

    /// Uses the answer `seen` once more, for the last time unless it `stays`. What is left of it; `Err`
    /// with nothing done if it is no longer there as it was seen.
    #[inline]
    pub(crate) fn use_once(&self, seen: Reading, stays: bool) -> Result<Option<Reading>, Changed> {
        let left = stays.then(|| seen.used());
        self.replace(seen, left.map_or(0, |reading| reading.0)).map(|()| left)
    }

    /// Takes the answer `seen` away, and no other.
    #[inline]
    pub(crate) fn remove(&self, seen: Reading) -> Result<(), Changed> {
        self.replace(seen, 0)
    }

    #[inline]
    fn replace(&self, seen: Reading, word: u64) -> Result<(), Changed> {
        self.0
            .compare_exchange(seen.0, word, Ordering::Relaxed, Ordering::Relaxed)
            .map(drop)
            .map_err(|_| Changed)
    }
}

/// Another thread was there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed;

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_is_read(
            stamp in any::<u64>(), in_flight in any::<u32>(), nanos in 0.0_f32..1e18, later in 0_u64..1 << 24,
        ) {
            let reading = Reading::new(stamp, in_flight, nanos);
            prop_assert_eq!(reading.in_flight(), in_flight.min(MAX_RIF));
            prop_assert!((reading.latency() - nanos).abs() <= nanos * 2.5e-4);
            prop_assert_eq!(reading.uses(), 0);
            prop_assert_eq!(reading.age(stamp.wrapping_add(later)), later);
            prop_assert_eq!(reading.age(stamp.wrapping_sub(later)), 0);
        }

        #[test]
        fn a_lower_latency_never_ranks_higher(a in 0.0_f32..1e18, b in 0.0_f32..1e18) {
            let rank = |nanos| Reading::new(0, 0, nanos).latency_rank();
            let in_order = if a < b { rank(a) <= rank(b) } else { rank(b) <= rank(a) };
            prop_assert!(in_order);
        }
    }

    #[test]
    fn each_use_is_one_more_in_flight_until_both_are_full() {
        let slot = ProbeSlot::new();
        slot.put(Reading::new(7, MAX_RIF - 1, 5e6));
        for used in 1..40_u32 {
            let seen = slot.load().unwrap();
            let left = slot.use_once(seen, true).unwrap().unwrap();
            assert_eq!(left.uses(), used.min(MAX_USES));
            assert_eq!(left.in_flight(), MAX_RIF);
            assert_eq!((left.age(7), left.latency_rank()), (0, seen.latency_rank()));
        }
    }

    #[test]
    fn only_what_was_seen_is_removed() {
        let slot = ProbeSlot::new();
        slot.put(Reading::new(1, 2, 3e6));
        let seen = slot.load().unwrap();
        slot.put(Reading::new(2, 2, 3e6));
        assert_eq!(slot.remove(seen), Err(Changed));
        assert_eq!(slot.use_once(seen, false), Err(Changed));
        assert!(slot.load().is_some());
    }
}
