//! A policy that does as it is told: for the oracle, and for agents that learn by routing.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use crate::{
    node::Node,
    policy::{Candidates, Choice, Picker, Policy, Refusal},
    rng::Rng,
};

/// Sends the next request to the server last named.
#[derive(Clone, Debug, Default)]
pub(super) struct Directed {
    server: Arc<AtomicU32>,
}

impl Directed {
    /// Names the server for the next request.
    pub(super) fn point_at(&self, server: u32) {
        self.server.store(server, Ordering::Relaxed);
    }
}

/// The owner of what the simulator attaches to a node: the server's number.
pub(super) const OWNER: u64 = u64::MAX;

impl Policy for Directed {
    fn name(&self) -> &'static str {
        "directed"
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        let servers = group.iter().map(|node| server_of(node)).collect();
        Box::new(DirectedPicker { server: Arc::clone(&self.server), servers })
    }
}

#[derive(Debug)]
struct DirectedPicker {
    server: Arc<AtomicU32>,
    servers: Vec<u32>,
}

impl Picker for DirectedPicker {
    fn pick(&self, candidates: &Candidates<'_>, rng: &mut Rng) -> Result<Choice, Refusal> {
        let wanted = self.server.load(Ordering::Relaxed);
        let told = self.servers.iter().position(|server| *server == wanted);
        let index =
            told.filter(|index| candidates.is_eligible(*index)).or_else(|| candidates.draw(rng));
        index.map(Choice::from).ok_or(Refusal::NoneEligible)
    }
}

/// The simulator's number of the server behind a node: its address.
#[inline]
pub(super) fn server_of(node: &Node) -> u32 {
    *node.attached(OWNER, || node.address().parse::<u32>().unwrap_or(u32::MAX))
}
