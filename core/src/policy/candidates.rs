//! The endpoints a picker may choose from, and fair draws among them.

use std::sync::Arc;

use crate::{context::Context, node::Node, rng::Rng, time::Time};

/// Draws that may hit ineligible endpoints before the eligible ones are counted out.
pub(super) const BLIND_DRAWS: usize = 8;
/// Fleets up to this size are compared whole by [`Candidates::least_or_of_two`].
pub(super) const SCAN_UP_TO: usize = 16;

/// One group of endpoints as one request finds it.
///
/// Indices run over the whole group; [`Candidates::is_eligible`] says which of them may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    nodes: &'a [Arc<Node>],
    gate: Gate,
    /// When the pick happens.
    pub now: Time,
    /// The request.
    pub context: &'a Context<'a>,
}

/// What an endpoint must be to be eligible; the balancer loosens it step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Up, and not tried by this request.
    UpAndUntried,
    /// Up.
    Up,
    /// Not tried by this request: all are down, so all are used.
    Untried,
    /// Anything.
    Any,
}

impl Gate {
    /// From the tightest to the loosest.
    pub(crate) const STEPS: [Self; 4] = [Self::UpAndUntried, Self::Up, Self::Untried, Self::Any];

    /// Whether the next gate lets through for this request just what this one would.
    #[inline]
    pub(crate) fn is_needless(self, context: &Context<'_>) -> bool {
        matches!(self, Self::UpAndUntried | Self::Untried) && context.tried.is_empty()
    }

    /// Whether endpoints that are down pass.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Untried | Self::Any)
    }
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(
        nodes: &'a [Arc<Node>],
        gate: Gate,
        now: Time,
        context: &'a Context<'a>,
    ) -> Self {
        Self { nodes, gate, now, context }
    }

    /// How many there are, eligible or not.
    #[inline]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the group is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The endpoint at `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Candidates::len`].
    #[inline]
    pub fn node(&self, index: usize) -> &'a Arc<Node> {
        &self.nodes[index]
    }

    /// Whether the endpoint at `index` may be chosen. False past the end.
    #[inline]
    pub fn is_eligible(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| self.admits(node))
    }

    #[inline]
    fn admits(&self, node: &Node) -> bool {
        match self.gate {
            Gate::Up => node.is_up(self.now),
            Gate::UpAndUntried => node.is_up(self.now) && !self.tried(node),
            Gate::Untried => !self.tried(node),
            Gate::Any => true,
        }
    }

    #[inline]
    fn tried(&self, node: &Node) -> bool {
        !self.context.tried.is_empty() && self.context.tried.contains(node.id())
    }

    /// The indices that may be chosen.
    pub fn eligible(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|index| self.is_eligible(*index))
    }

    /// One eligible index, all equally likely.
    #[inline]
    pub fn draw(&self, rng: &mut Rng) -> Option<usize> {
        self.draw_except(usize::MAX, rng)
    }

    /// Two different eligible indices, all pairs equally likely; the same index twice if there is
    /// only one.
    #[inline]
    pub fn draw_two(&self, rng: &mut Rng) -> Option<(usize, usize)> {
        let n = self.nodes.len();
        if n > 1 {
            for _ in 0..BLIND_DRAWS / 2 {
                let (first, other) = (rng.below(n), rng.below(n - 1));
                // Of all but the first.
                let second = other + usize::from(other >= first);
                if self.is_eligible(first) && self.is_eligible(second) {
                    return Some((first, second));
                }
            }
        }
        self.draw_two_counted(rng)
    }

    #[cold]
    fn draw_two_counted(&self, rng: &mut Rng) -> Option<(usize, usize)> {
        let first = self.draw(rng)?;
        Some((first, self.draw_except(first, rng).unwrap_or(first)))
    }

    /// The eligible index with the lowest score; ties are broken at random. A score that is not a
    /// number never wins against one that is.
    #[inline]
    pub fn least(&self, score: impl Fn(usize) -> f64, rng: &mut Rng) -> Option<usize> {
        let mut best = None;
        let mut least = f64::NAN;
        let mut ties = 1;
        for index in self.eligible() {
            let score = score(index);
            if best.is_none() || score < least || (least.is_nan() && !score.is_nan()) {
                (best, least, ties) = (Some(index), score, 1);
            } else if score == least {
                ties += 1;
                if rng.below(ties) == 0 {
                    best = Some(index);
                }
            }
        }
        best
    }

    /// The eligible index with the lowest score of all in a fleet of up to 16, else of two distinct ones
    /// drawn at random: a full scan of a large fleet costs more than it gains, and herds.
    pub(super) fn least_or_of_two(
        &self,
        score: impl Fn(usize) -> f64,
        rng: &mut Rng,
    ) -> Option<usize> {
        if self.len() <= SCAN_UP_TO {
            return self.least(score, rng);
        }
        self.draw_two(rng).map(|(a, b)| if score(b) < score(a) { b } else { a })
    }

    /// Appends `count` distinct eligible endpoints to `out`, all choices and orders equally likely; all
    /// eligible ones if there are fewer.
    pub(crate) fn draw_distinct(&self, count: usize, rng: &mut Rng, out: &mut Vec<Arc<Node>>) {
        let before = out.len();
        if count <= self.len() / 4 {
            for _ in 0..count * BLIND_DRAWS {
                if out.len() == before + count {
                    return;
                }
                let index = rng.below(self.len());
                let node = self.node(index);
                let drawn = || out[before..].iter().any(|other| Arc::ptr_eq(other, node));
                if self.is_eligible(index) && !drawn() {
                    out.push(Arc::clone(node));
                }
            }
            if out.len() == before + count {
                return;
            }
            out.truncate(before);
        }
        // Reservoir sampling (Vitter's R): one pass, every set alike.
        for (seen, index) in self.eligible().enumerate() {
            if seen < count {
                out.push(Arc::clone(self.node(index)));
                continue;
            }
            let place = rng.below(seen + 1);
            if place < count {
                out[before + place] = Arc::clone(self.node(index));
            }
        }
        // That is fair to sets, not to places in them, and the last to answer outlive the first.
        let drawn = &mut out[before..];
        for last in (1..drawn.len()).rev() {
            drawn.swap(last, rng.below(last + 1));
        }
    }

    #[inline]
    fn draw_except(&self, except: usize, rng: &mut Rng) -> Option<usize> {
        for _ in 0..BLIND_DRAWS {
            let index = rng.below(self.nodes.len());
            if index != except && self.is_eligible(index) {
                return Some(index);
            }
        }
        self.draw_counted(except, rng)
    }

    /// Most are ineligible: count the others and take one of them.
    #[cold]
    fn draw_counted(&self, except: usize, rng: &mut Rng) -> Option<usize> {
        let count = self.eligible().filter(|index| *index != except).count();
        let nth = rng.below(count);
        // Health may change between the two passes; then the last one seen serves.
        let mut rest = self.eligible().filter(|index| *index != except);
        rest.by_ref().take(nth + 1).last()
    }
}
