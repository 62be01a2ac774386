//! The KV cache of one replica: a pool of blocks, of which some are known by the hash of the text
//! they hold and outlive the sequence that computed them.
//!
//! A block is in use (private to a sequence, or shared by all that start with the same text), idle
//! (nobody's, kept for its text, least recently used first to go) or free. Sharing counts
//! references, so a prefix that someone still runs on is never evicted. Idle blocks leave from the
//! tail of a prompt to its head, since a tail is worth nothing without its head.
//!
//! Guards against a leak: what was taken is given back exactly once, whatever ends the sequence.
//! Cost: amortised O(1) a block; the eviction queue holds stale entries and is swept when they
//! outnumber the live ones.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

#[derive(Debug)]
pub(super) struct KvBlocks {
    total: u32,
    used: u32,
    idle: u32,
    known: HashMap<u64, Known>,
    /// Candidates for eviction with the stamp they had when they became idle.
    eviction: VecDeque<(u64, u64)>,
    clock: u64,
}

#[derive(Debug)]
struct Known {
    references: u32,
    idle_since: u64,
}

impl KvBlocks {
    pub(super) fn new(total: u32) -> Self {
        Self { total, used: 0, idle: 0, known: HashMap::new(), eviction: VecDeque::new(), clock: 0 }
    }

    /// Blocks that could be taken now, idle ones included.
    pub(super) fn available(&self) -> u32 {
        self.total - self.used
    }

    /// Share of the blocks that sequences hold; idle ones count as free.
    pub(super) fn usage(&self) -> f64 {
        f64::from(self.used) / f64::from(self.total)
    }

    /// How many leading hashes are known.
    pub(super) fn known_prefix(&self, hashes: &[u64]) -> u32 {
        hashes.iter().take_while(|hash| self.known.contains_key(hash)).count() as u32
    }

    /// Takes `count` private blocks, evicting idle ones as needed; false, and nothing taken, if
    /// there are not so many.
    pub(super) fn take(&mut self, count: u32) -> bool {
        if count > self.available() {
            return false;
        }
        let free = self.total - self.used - self.idle;
        for _ in free..count {
            self.evict();
        }
        self.used += count;
        true
    }

    /// Gives back `count` private blocks.
    pub(super) fn give_back(&mut self, count: u32) {
        debug_assert!(count <= self.used, "more blocks given back than taken");
        self.used -= count;
    }

    /// Takes a reference on a block that [`KvBlocks::known_prefix`] found.
    pub(super) fn share(&mut self, hash: u64) {
        if let Some(entry) = self.known.get_mut(&hash) {
            if entry.references == 0 {
                self.idle -= 1;
                self.used += 1;
            }
            entry.references += 1;
        }
    }

    /// Makes one of the caller's private blocks known; where the text is known already, the
    /// caller's copy is given back and the known one shared.
    pub(super) fn publish(&mut self, hash: u64) {
        if let Entry::Vacant(vacant) = self.known.entry(hash) {
            vacant.insert(Known { references: 1, idle_since: 0 });
        } else {
            self.share(hash);
            self.give_back(1);
        }
    }

    /// Drops the caller's references, from the tail to the head.
    pub(super) fn unshare(&mut self, hashes: &[u64]) {
        for hash in hashes.iter().rev() {
            let Some(entry) = self.known.get_mut(hash) else { continue };
            entry.references -= 1;
            if entry.references == 0 {
                self.clock += 1;
                entry.idle_since = self.clock;
                self.eviction.push_back((*hash, self.clock));
                self.used -= 1;
                self.idle += 1;
            }
        }
        if self.eviction.len() > 64 + 2 * self.idle as usize {
            let known = &self.known;
            self.eviction.retain(|(hash, stamp)| is_candidate(known, *hash, *stamp));
        }
    }

    fn evict(&mut self) {
        while let Some((hash, stamp)) = self.eviction.pop_front() {
            if is_candidate(&self.known, hash, stamp) {
                self.known.remove(&hash);
                self.idle -= 1;
                return;
            }
        }
        debug_assert!(false, "every idle block has an entry in the eviction queue");
    }
}

fn is_candidate(known: &HashMap<u64, Known>, hash: u64, stamp: u64) -> bool {
    known.get(&hash).is_some_and(|entry| entry.references == 0 && entry.idle_since == stamp)
}
