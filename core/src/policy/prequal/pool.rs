//! The pool: which endpoints of one group have an answer that may be used.
//!
//! The paper's pool is a list of up to 16 answers under one lock. Here a pick must take no lock and
//! allocate nothing, and no index may be kept from one snapshot of the fleet to the next. So an answer
//! lives with its endpoint, in [one word](crate::signal::probe), and the pool is a ring of the places of
//! those endpoints in one group of one snapshot, made with the picker and gone with it:
//!
//! - a pick reads the ring and the words, and changes words only, by compare-and-swap: an answer is
//!   used, used up or removed exactly once however many threads pick;
//! - the ring is written only under the lock that answers take among themselves;
//! - a place whose word is empty is free, so what a pick takes out needs no writing to the ring;
//! - a new snapshot's pool takes over the answers of the old one, endpoint by endpoint.
//!
//! An endpoint has one answer, its last: an earlier one says nothing more. (The paper's reuse formula
//! counts on that too: of its probes, the share m / n that goes to endpoints in the pool adds nothing.)
//!
//! Words keep time in ticks that wrap, a moment that they can tell apart from any within eight times the
//! greatest age. An answer is never looked at later than that: [`Pool::put`] clears what is too old, and
//! until the next one [`Pool::is_lit`] says no once the newest is too old.

use std::{sync::Arc, time::Duration};

use crate::{
    node::Node,
    policy::Candidates,
    signal::probe::Reading,
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

use super::limits::Limits;

/// A ring place without an endpoint.
const NOBODY: u32 = u32::MAX;
/// The time of the newest answer before the first.
const NEVER: u64 = u64::MAX;

/// How words keep time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    max_age: Duration,
    shift: u32,
}

impl Ticks {
    /// For answers of up to `max_age`, at most ten minutes.
    pub(super) fn new(max_age: Duration) -> Self {
        // Stamps wrap after 2^25 ticks.
        let span = max_age.as_nanos() as u64 * 8;
        Self { max_age, shift: (span >> 25).checked_ilog2().map_or(0, |bits| bits + 1) }
    }

    #[inline]
    fn stamp(self, now: Time) -> u64 {
        now.as_nanos() >> self.shift
    }

    /// An answer that came at `now`.
    pub(super) fn reading(self, now: Time, in_flight: u32, latency: f32) -> Reading {
        Reading::new(self.stamp(now), in_flight, latency)
    }

    #[inline]
    pub(super) fn nanos(self, ticks: u64) -> u64 {
        ticks << self.shift
    }

    #[inline]
    fn oldest(self) -> u64 {
        // One more, for both ends are rounded down.
        (self.max_age.as_nanos() as u64 >> self.shift) + 1
    }
}

#[derive(Debug)]
pub(in crate::policy) struct Pool {
    nodes: Box<[Arc<Node>]>,
    /// The endpoints' addresses in memory, sorted, and their places in `nodes`.
    places: Box<[(usize, u32)]>,
    ring: Box<[Slot]>,
    /// When the newest answer came.
    newest: AtomicU64,
    ticks: Ticks,
    pub(super) limits: Limits,
}

#[derive(Debug)]
struct Slot {
    place: AtomicU32,
    /// When its answer came. This and the next are read and written under the answers' lock only.
    received: AtomicU64,
    /// Of two answers that came at one time, the lower came first.
    order: AtomicU64,
}

impl Slot {
    /// The lower, the older.
    fn age(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.order.load(Ordering::Relaxed))
    }
}

/// An answer that a pick found.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Found {
    /// Its endpoint's index among the candidates.
    pub(in crate::policy) index: usize,
    pub(in crate::policy) reading: Reading,
    /// In ticks.
    pub(in crate::policy) age: u64,
}

impl Pool {
    pub(super) fn new(group: &[Arc<Node>], limits: Limits, ticks: Ticks) -> Self {
        let mut places: Box<[_]> =
            group.iter().zip(0..).map(|(node, place)| (address(node), place)).collect();
        places.sort_unstable();
        let slot = |_| Slot {
            place: AtomicU32::new(NOBODY),
            received: AtomicU64::new(0),
            order: AtomicU64::new(0),
        };
        Self {
            nodes: group.into(),
            places,
            ring: (0..limits.size).map(slot).collect(),
            newest: AtomicU64::new(NEVER),
            ticks,
            limits,
        }
    }

    /// Where `node` is in the group.
    pub(super) fn place(&self, node: &Arc<Node>) -> Option<u32> {
        let found = self.places.binary_search_by_key(&address(node), |(address, _)| *address);
        found.ok().map(|at| self.places[at].1)
    }

    /// Whether an answer has come of late. If not, probing does not work here, or nobody probes.
    #[inline]
    pub(in crate::policy) fn is_lit(&self, now: Time) -> bool {
        // Acquire, with the release in `put`: what that has cleared is not seen.
        let newest = self.newest.load(Ordering::Acquire);
        newest != NEVER
            && now.as_nanos().saturating_sub(newest) <= self.ticks.max_age.as_nanos() as u64
    }

    /// The answers that are fresh at the time of the pick, whether their endpoints are eligible or not.
    #[inline]
    pub(in crate::policy) fn found(
        &self,
        candidates: &Candidates<'_>,
    ) -> impl Iterator<Item = Found> {
        let (now, oldest) = (self.ticks.stamp(candidates.now), self.ticks.oldest());
        self.ring.iter().filter_map(move |slot| {
            let index = slot.place.load(Ordering::Acquire) as usize;
            let reading = self.nodes.get(index)?.probe.load()?;
            let age = reading.age(now);
            (age <= oldest).then_some(Found { index, reading, age })
        })
    }

    /// The answer of the candidate at `index`, with its age in nanoseconds, if it is fresh. For pools that
    /// are lit and as large as the group: then none is so old that its age had wrapped.
    #[inline]
    pub(in crate::policy) fn at(
        &self,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> Option<(Reading, u64)> {
        let reading = candidates.node(index).probe.load()?;
        let age = reading.age(self.ticks.stamp(candidates.now));
        (age <= self.ticks.oldest()).then(|| (reading, self.ticks.nanos(age)))
    }

    /// Puts in the answer of the endpoint at `place`, which came at `now`; the oldest gives way if the
    /// pool is full. Call it under the answers' lock.
    pub(super) fn put(&self, now: Time, place: u32, reading: Reading) {
        for slot in &self.ring {
            let received = Time::from_nanos(slot.received.load(Ordering::Relaxed));
            if now.since(received) > self.ticks.max_age {
                self.clear(slot);
            }
        }
        let probe = &self.nodes[place as usize].probe;
        let Some(slot) = self.slot_for(place) else { return };
        if slot.place.load(Ordering::Relaxed) != place {
            // What may be there is of a pool that is gone, of nobody knows when.
            probe.clear();
        }
        self.seat(slot, place, now);
        probe.put(reading);
    }

    /// Takes over the answers of `old` on endpoints that both have. Call it under the answers' lock.
    pub(super) fn inherit(&self, old: &Self) {
        let mut taken: Vec<_> = old.ring.iter().filter(|slot| old.is_taken(slot)).collect();
        // The newest last, so that the oldest give way in a smaller pool.
        taken.sort_by_key(|slot| slot.age());
        for slot in taken {
            let node = &old.nodes[slot.place.load(Ordering::Relaxed) as usize];
            let received = Time::from_nanos(slot.received.load(Ordering::Relaxed));
            if let Some(place) = self.place(node)
                && let Some(slot) = self.slot_for(place)
            {
                self.seat(slot, place, received);
            }
        }
    }

    fn seat(&self, slot: &Slot, place: u32, received: Time) {
        // Release, with the acquire in `found`: whoever sees the place sees the word as it is by now.
        slot.place.store(place, Ordering::Release);
        slot.received.store(received.as_nanos(), Ordering::Relaxed);
        let last = self.ring.iter().map(|slot| slot.order.load(Ordering::Relaxed)).max();
        slot.order.store(last.unwrap_or(0) + 1, Ordering::Relaxed);
        let newest = self.newest.load(Ordering::Relaxed);
        let newest = if newest == NEVER { 0 } else { newest };
        self.newest.store(newest.max(received.as_nanos()), Ordering::Release);
    }

    /// The slot that has the place, else a free one, else the oldest, cleared.
    fn slot_for(&self, place: u32) -> Option<&Slot> {
        let has_it = |slot: &&Slot| slot.place.load(Ordering::Relaxed) == place;
        if let Some(slot) = self.ring.iter().find(has_it) {
            return Some(slot);
        }
        if let Some(slot) = self.ring.iter().find(|slot| !self.is_taken(slot)) {
            return Some(slot);
        }
        let oldest = self.ring.iter().min_by_key(|slot| slot.age())?;
        self.clear(oldest);
        Some(oldest)
    }

    fn is_taken(&self, slot: &Slot) -> bool {
        let place = slot.place.load(Ordering::Relaxed) as usize;
        self.nodes.get(place).is_some_and(|node| node.probe.load().is_some())
    }

    fn clear(&self, slot: &Slot) {
        if let Some(node) = self.nodes.get(slot.place.load(Ordering::Relaxed) as usize) {
            node.probe.clear();
        }
    }
}

fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node) as usize
}
