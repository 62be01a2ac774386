//! Who comes first for a key, alike at every client: rendezvous over hashes made once a snapshot.
//!
//! Source: Thaler and Ravishankar, 1998; weights by the logarithmic method. An endpoint's rank for a key
//! is a mix of the key and the hash of its address; the lowest cost wins. When an endpoint leaves, only
//! keys that it was among the first for get another. Above [`WINDOW`] endpoints a key looks only at the
//! window of them that follows its own place in the order of their hashes: the load stays even within
//! some percent, one endpoint more or less moves the window's end by one, and the cost has a bound.
//!
//! Cost: a multiplication or two for each endpoint in the window, over two arrays in a row; with unequal
//! weights a logarithm more. Whether one is eligible is asked only of those that would be among the first.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use crate::{node::Node, policy::Candidates};

/// Endpoints that a key is ranked over.
const WINDOW: usize = 1024;
/// Most that can be asked for.
pub(super) const MOST: usize = 8;

/// The endpoints of a group in the order of their hashes.
#[derive(Debug)]
pub(super) struct Ranks {
    hashes: Box<[u64]>,
    /// Where in the group.
    indices: Box<[u32]>,
    /// In the order of the hashes; empty if all are the same.
    weights: Box<[f32]>,
}

impl Ranks {
    pub(super) fn new(group: &[Arc<Node>]) -> Self {
        let hash = |node: &Arc<Node>| xxh64(node.address().as_bytes(), 0);
        let mut order: Vec<(u64, u32)> = group.iter().map(hash).zip(0..).collect();
        order.sort_unstable();
        let weight = |(_, index): &(u64, u32)| group[*index as usize].weight();
        let weighted = group.windows(2).any(|pair| pair[0].weight() != pair[1].weight());
        Self {
            hashes: order.iter().map(|(hash, _)| *hash).collect(),
            indices: order.iter().map(|(_, index)| *index).collect(),
            weights: if weighted { order.iter().map(weight).collect() } else { Box::default() },
        }
    }

    /// Indices of the `k` eligible candidates that come first for `key`, in order.
    pub(super) fn top(
        &self,
        key: u64,
        k: usize,
        candidates: &Candidates<'_>,
    ) -> impl Iterator<Item = usize> + use<> {
        let n = self.hashes.len();
        let start =
            if n > WINDOW { self.hashes.partition_point(|hash| *hash < mix(key)) } else { 0 };
        let mut best = Best { k, len: 0, entries: [(f64::INFINITY, 0); MOST] };
        let first = start..n.min(start + WINDOW);
        let wrapped = 0..WINDOW.min(n) - first.len();
        for place in first.chain(wrapped) {
            let cost = self.cost(place, key);
            let index = self.indices[place] as usize;
            if best.takes(cost) && candidates.is_eligible(index) {
                best.insert(cost, index);
            }
        }
        best.entries.into_iter().take(best.len).map(|(_, index)| index)
    }

    #[inline]
    fn cost(&self, place: usize, key: u64) -> f64 {
        let rank = mix(self.hashes[place] ^ key) >> 11;
        match self.weights.get(place) {
            None => rank as f64,
            Some(weight) => {
                let unit = (rank as f64 + 0.5) / (1_u64 << 53) as f64;
                -unit.ln() / f64::from(*weight)
            }
        }
    }
}

/// The finaliser of `SplitMix64`: every bit of the input moves half of the output's.
#[inline]
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The lowest few seen so far, in order.
struct Best {
    k: usize,
    len: usize,
    entries: [(f64, usize); MOST],
}

impl Best {
    #[inline]
    fn takes(&self, cost: f64) -> bool {
        self.len < self.k || self.entries[..self.len].last().is_some_and(|(worst, _)| cost < *worst)
    }

    fn insert(&mut self, cost: f64, index: usize) {
        let place = self.entries[..self.len].partition_point(|(other, _)| *other <= cost);
        self.len = (self.len + 1).min(self.k);
        self.entries[place..self.len].rotate_right(1);
        self.entries[place] = (cost, index);
    }
}

/// Candidates named by a prompt's hashes with what each is credited with, without doubles.
#[derive(Default)]
pub(super) struct Ranked {
    len: usize,
    entries: [(usize, f64); MOST],
}

impl Ranked {
    /// One that is there already keeps the larger credit.
    pub(super) fn push(&mut self, index: usize, credit: f64) {
        if let Some(entry) = self.entries[..self.len].iter_mut().find(|(known, _)| *known == index)
        {
            entry.1 = entry.1.max(credit);
        } else if self.len < MOST {
            self.entries[self.len] = (index, credit);
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.entries[..self.len].iter().copied()
    }

    pub(super) fn credit(&self, index: usize) -> f64 {
        self.iter().find(|(known, _)| *known == index).map_or(0.0, |(_, credit)| credit)
    }
}
