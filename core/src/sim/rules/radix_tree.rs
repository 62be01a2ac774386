//! A tree of the prompts a client has sent, learned as it sends them, as LLM gateways keep it.
//!
//! Source: the cache-aware policy of `SGLang`'s router, with its command line's defaults. A gateway through
//! which all requests go knows by it what each replica has cached. Here every client learns its own: it
//! is what `prefix_affinity` is compared with, not to be used.
//!
//! ```text
//! imbalanced = max - min in flight > abs (64)  and  max > rel (1.5) x min:   fewest in flight
//! else the replica that has had the longest part of the prompt, if that is more than 0.3 of it
//! else the one with the smallest tree, at random among equals
//! ```
//!
//! The prompt is remembered for the replica chosen, in all three cases. Every 60 s a replica's tree is
//! cut to its size, the least recently used leaves first. The original's tree is of characters and its
//! size 2^26 of them; here a node is a block, known by its chained hash, which stands for the path to
//! it, so a set of hashes is the tree; 2^26 characters are 32,768 blocks of 512 tokens.
//!
//! Cost: a lock, and a look-up for each block and replica. For the simulator only.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    endpoint::EndpointId,
    node::Node,
    policy::{Candidates, Choice, Picker, Policy, Refusal},
    rng::Rng,
    time::Time,
};

/// Share of the prompt that must have been there before.
const MATCH: f64 = 0.3;
/// By how many requests the fullest replica may differ from the emptiest.
const BALANCE_ABS: u32 = 64;
/// By what factor it may.
const BALANCE_REL: f64 = 1.5;
/// Blocks that a replica's tree is cut to.
const SIZE: usize = 32_768;
/// How often it is.
const EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug)]
pub struct RadixTree {
    size: usize,
    // Trees outlive fleet changes, as the original's do.
    trees: Arc<Mutex<Trees>>,
}

impl RadixTree {
    /// With trees cut to `size` blocks a replica.
    pub fn with_size(size: usize) -> Self {
        Self { size, trees: Arc::default() }
    }
}

impl Default for RadixTree {
    fn default() -> Self {
        Self::with_size(SIZE)
    }
}

impl Policy for RadixTree {
    fn name(&self) -> &'static str {
        "radix_tree"
    }

    fn picker(&self, _: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(self.clone())
    }
}

impl Picker for RadixTree {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let blocks = candidates.context.prompt.map_or(&[][..], |prompt| prompt.blocks);
        // Nothing below leaves a tree half changed in a way that matters to the next pick.
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.cut(candidates.now, self.size);
        let in_flight = |index: usize| candidates.node(index).in_flight();
        let chosen = if is_imbalanced(candidates) {
            candidates.least(|index| f64::from(in_flight(index)), rng)
        } else {
            trees.longest(blocks, candidates).or_else(|| {
                let size = |index: usize| trees.size(candidates.node(index).id()) as f64;
                candidates.least(size, rng)
            })
        };
        let index = chosen.ok_or(Refusal::NoneEligible)?;
        trees.insert(candidates.node(index).id(), blocks);
        Ok(index.into())
    }
}

fn is_imbalanced(candidates: &Candidates<'_>) -> bool {
    let loads = || candidates.eligible().map(|index| candidates.node(index).in_flight());
    let (most, least) = (loads().max().unwrap_or(0), loads().min().unwrap_or(0));
    most - least > BALANCE_ABS && f64::from(most) > BALANCE_REL * f64::from(least)
}

#[derive(Debug, Default)]
struct Trees {
    /// Blocks by replica.
    known: HashMap<EndpointId, HashMap<u64, Block>>,
    /// Counts insertions, for the order of use.
    clock: u64,
    cut_at: Time,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    used: u64,
    depth: u32,
}

impl Trees {
    fn size(&self, id: &EndpointId) -> usize {
        self.known.get(id).map_or(0, HashMap::len)
    }

    /// The eligible replica that has had the longest leading part of the prompt, the last one used of
    /// several, if that part is long enough.
    fn longest(&self, blocks: &[u64], candidates: &Candidates<'_>) -> Option<usize> {
        let matched = |index: usize| {
            let tree = self.known.get(candidates.node(index).id())?;
            let mut path = blocks.iter().map_while(|hash| tree.get(hash));
            let first = path.next()?;
            let (length, last) = path.fold((1, first), |(length, _), block| (length + 1, block));
            Some((length, last.used, index))
        };
        let (length, _, index) = candidates.eligible().filter_map(matched).max()?;
        (f64::from(length) > MATCH * blocks.len() as f64).then_some(index)
    }

    fn insert(&mut self, id: &EndpointId, blocks: &[u64]) {
        self.clock += 1;
        let tree = self.known.entry(id.clone()).or_default();
        for (hash, depth) in blocks.iter().zip(0..) {
            tree.insert(*hash, Block { used: self.clock, depth });
        }
    }

    /// Takes the least recently used leaves off every tree that is larger than `size`, when it is time.
    fn cut(&mut self, now: Time, size: usize) {
        if now.since(self.cut_at) < EVERY {
            return;
        }
        self.cut_at = now;
        for tree in self.known.values_mut().filter(|tree| tree.len() > size) {
            // A block is used whenever one below it is, so this order takes leaves only.
            let mut order: Vec<_> = tree
                .iter()
                .map(|(hash, block)| (block.used, Reverse(block.depth), *hash))
                .collect();
            order.sort_unstable();
            for (_, _, hash) in &order[..tree.len() - size] {
                tree.remove(hash);
            }
        }
    }
}
