//! The fleet as one pick sees it: immutable, whole, replaced and never changed.

use std::sync::Arc;

use crate::{
    context::Context,
    node::Node,
    policy::{Candidates, Choice, Fallback, Mode, Picker, Refusal, candidates::Gate},
    rng::Rng,
    sync::Ordering,
    time::Time,
};

/// All endpoints and, for those that are not draining, the tiers and pickers made for them.
#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    nodes: Box<[Arc<Node>]>,
    draining: Box<[bool]>,
    pub(crate) tiers: Box<[Tier]>,
}

/// Endpoints at one distance, and the picker that chooses among them.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) nodes: Box<[Arc<Node>]>,
    pub(crate) picker: Box<dyn Picker>,
}

/// A picker's choice and where it was made.
pub(crate) struct Picked<'a> {
    pub(crate) choice: Choice,
    pub(crate) tier: &'a Tier,
    pub(crate) gate: Gate,
}

impl Snapshot {
    pub(crate) fn new(
        version: u64,
        nodes: Box<[Arc<Node>]>,
        draining: Box<[bool]>,
        tiers: Box<[Tier]>,
    ) -> Self {
        Self { version, nodes, draining, tiers }
    }

    /// Counts the snapshots of a fleet, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All endpoints, draining ones included.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// Whether the endpoint at `index` of [`Snapshot::nodes`] takes no new requests.
    pub fn is_draining(&self, index: usize) -> bool {
        self.draining.get(index).copied().unwrap_or(false)
    }

    /// Asks tier after tier for an endpoint that is up and untried, then for one that is up, then, since
    /// all are down, for any, an untried one first.
    #[inline]
    pub(crate) fn pick(
        &self,
        now: Time,
        context: &Context<'_>,
        rng: &mut Rng,
        ask: impl Fn(&Tier, &Candidates<'_>, &mut Rng) -> Result<Choice, Refusal>,
    ) -> Option<Picked<'_>> {
        for gate in Gate::STEPS {
            if gate.is_needless(context) {
                continue;
            }
            for tier in &self.tiers {
                let candidates = Candidates::new(&tier.nodes, gate, now, context);
                if let Some(choice) = tier.sound_choice(&candidates, rng, &ask) {
                    return Some(Picked { choice, tier, gate });
                }
            }
        }
        None
    }
}

impl Tier {
    /// The picker's choice. One that it may not make, or none where there could be one, is replaced by
    /// an eligible endpoint at random: a broken policy loses its say, not the request.
    #[inline]
    fn sound_choice(
        &self,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
        ask: &impl Fn(&Self, &Candidates<'_>, &mut Rng) -> Result<Choice, Refusal>,
    ) -> Option<Choice> {
        let why = match ask(self, candidates, rng) {
            Ok(Choice { index, .. }) if !candidates.is_eligible(index) => Fallback::Invalid,
            Ok(choice) => return Some(choice),
            Err(Refusal::NoneEligible) => Fallback::Invalid,
            Err(Refusal::Fallback(why)) => why,
        };
        overrule(why, candidates, rng)
    }
}

#[cold]
fn overrule(why: Fallback, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<Choice> {
    let index = candidates.draw(rng)?;
    candidates.node(index).shared.counters.overruled[why as usize].fetch_add(1, Ordering::Relaxed);
    Some(Choice::from(index).by(Mode::Fallback(why)))
}
