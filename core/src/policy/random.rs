//! Random choice in proportion to weight.
//!
//! Vose's alias table makes a weighted draw one index and one comparison whatever the size of the
//! fleet; it is built when the fleet changes. Ineligible endpoints are drawn again; after a few
//! failures in a row the eligible ones are counted out.

use std::sync::Arc;

use super::{Candidates, Choice, Picker, Policy, Refusal, candidates::BLIND_DRAWS, propensity};
use crate::{node::Node, rng::Rng};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Random {}

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        Box::new(Alias::new(&group.iter().map(|n| f64::from(n.weight())).collect::<Vec<_>>()))
    }
}

/// Each slot is kept with probability `keep`, else its `other` is taken.
#[derive(Debug)]
struct Alias {
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    keep: f32,
    other: u32,
}

impl Alias {
    fn new(weights: &[f64]) -> Self {
        let n = weights.len();
        let total: f64 = weights.iter().sum();
        let mut share: Vec<f64> = weights.iter().map(|w| w * n as f64 / total).collect();
        let mut slots: Vec<Slot> =
            (0..n as u32).map(|index| Slot { keep: 1.0, other: index }).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..n).partition(|index| share[*index] < 1.0);
        while let (Some(s), Some(l)) = (small.pop(), large.last().copied()) {
            slots[s] = Slot { keep: share[s] as f32, other: l as u32 };
            share[l] -= 1.0 - share[s];
            if share[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        Self { slots: slots.into() }
    }
}

impl Picker for Alias {
    #[inline]
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        for _ in 0..BLIND_DRAWS {
            let index = rng.below(self.slots.len());
            let Some(slot) = self.slots.get(index) else { break };
            let index = if (rng.unit() as f32) < slot.keep { index } else { slot.other as usize };
            if candidates.is_eligible(index) {
                return Ok(index.into());
            }
        }
        pick_counted(candidates, rng)
    }

    fn propensities(&self, candidates: &Candidates<'_>, out: &mut [f64]) -> bool {
        propensity::proportional(candidates, |i| f64::from(candidates.node(i).weight()), out);
        true
    }
}

/// Most are ineligible: walk the eligible ones' weights.
#[cold]
fn pick_counted(candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
    let weight = |index: usize| f64::from(candidates.node(index).weight());
    let total: f64 = candidates.eligible().map(weight).sum();
    let mut left = rng.unit() * total;
    let mut last = None;
    for index in candidates.eligible() {
        last = Some(index);
        left -= weight(index);
        if left < 0.0 {
            break;
        }
    }
    last.map(Choice::from).ok_or(Refusal::NoneEligible)
}
