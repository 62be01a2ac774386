//! The balancer's side of probing: whom to ask, and what they said.
//!
//! Nothing here waits or sends. Before a pick, ask those of [`Balancer::asks_before`]. After a pick, probe the endpoints of [`Balancer::probes_for_pick`]; from
//! a timer of [`Balancer::probe_interval`], those of [`Balancer::idle_probes`]; and hand the answers back.
//! Probes whose answers take longer than a few milliseconds are better given up: what they say is old.

use std::{sync::Arc, time::Duration};

use crate::{
    balancer::Balancer,
    context::Context,
    node::Node,
    policy::{Candidates, ProbeAnswer, Probing, candidates::Gate},
    rng::Rng,
    time::Time,
};

/// Whom to probe: endpoints that are up, and where there is none, any.
const GATES: [Gate; 2] = [Gate::Up, Gate::Any];

impl Balancer {
    /// Endpoints to probe now, because a request was just picked: distinct, drawn uniformly, appended to
    /// `out`. None if the policy does not probe, or if there is no choice to make.
    pub fn probes_for_pick(&self, now: Time, rng: &mut Rng, out: &mut Vec<Arc<Node>>) {
        if let Some(probing) = self.fleet().shared().policy.probing() {
            let wanted = probing.wanted_for_pick(now, rng);
            self.draw_probes(now, wanted, rng, out);
        }
    }

    /// Endpoints to ask for their load before this request is picked for, appended to `out`; none under
    /// most policies, which do not wait. For requests that take so long that a round trip more does not
    /// matter: those to language models. Ask them all at once, give their reports to
    /// [`Node::record_load_report`], and [`pick`](Balancer::pick) with [`Context::with_asked`]. Those
    /// that have not answered within some milliseconds may be left out.
    ///
    /// ```
    /// # use trimtab_core::{Balancer, Context, Endpoint, EndpointId, LoadReport, Prompt, Rng, Time};
    /// # use trimtab_core::policy::PrefixAffinity;
    /// # let balancer = Balancer::builder()
    /// #     .policy(PrefixAffinity::default())
    /// #     .endpoints([Endpoint::new("a"), Endpoint::new("b"), Endpoint::new("c")])
    /// #     .build()?;
    /// # let (now, mut rng) = (Time::ZERO, Rng::seeded(1));
    /// # fn load_of(_: &trimtab_core::Node) -> LoadReport { LoadReport::default() }
    /// let context = Context::new().with_prompt(Prompt::new(4096, &[7, 8, 9]));
    /// let mut nodes = Vec::new();
    /// balancer.asks_before(now, &context, &mut rng, &mut nodes);
    /// for node in &nodes {
    ///     node.record_load_report(now, load_of(node));
    /// }
    /// let asked: Vec<EndpointId> = nodes.iter().map(|node| node.id().clone()).collect();
    /// let lease = balancer.pick(now, &context.with_asked(&asked), &mut rng)?;
    /// assert!(asked.contains(lease.id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn asks_before(
        &self,
        now: Time,
        context: &Context<'_>,
        rng: &mut Rng,
        out: &mut Vec<Arc<Node>>,
    ) {
        let snapshot = self.fleet().published().load();
        for gate in Gate::STEPS {
            for tier in &snapshot.tiers {
                let candidates = Candidates::new(&tier.nodes, gate, now, context);
                if candidates.eligible().next().is_some() {
                    return tier.picker.asks_before(&candidates, rng, out);
                }
            }
        }
    }

    /// Endpoints to probe because nothing was asked for too long, appended to `out`; usually none. Call
    /// it every [`Balancer::probe_interval`].
    pub fn idle_probes(&self, now: Time, rng: &mut Rng, out: &mut Vec<Arc<Node>>) {
        if let Some(probing) = self.fleet().shared().policy.probing() {
            let wanted = probing.wanted_when_idle(now, rng);
            self.draw_probes(now, wanted, rng, out);
        }
    }

    /// How often [`Balancer::idle_probes`] wants to be called; `None` if the policy does not probe.
    pub fn probe_interval(&self) -> Option<Duration> {
        self.fleet().shared().policy.probing().map(Probing::interval)
    }

    /// `node` answered a probe. One that has left the fleet is not listened to.
    pub fn probe_answered(&self, now: Time, node: &Arc<Node>, answer: ProbeAnswer) {
        if let Some(probing) = self.fleet().shared().policy.probing()
            && node.is_member()
        {
            probing.answered(now, node, answer);
        }
    }

    /// `node` did not answer a probe in time, or refused it.
    pub fn probe_failed(&self, now: Time, node: &Arc<Node>) {
        if let Some(probing) = self.fleet().shared().policy.probing() {
            probing.failed(now, node);
        }
    }

    fn draw_probes(&self, now: Time, wanted: usize, rng: &mut Rng, out: &mut Vec<Arc<Node>>) {
        if wanted == 0 {
            return;
        }
        let snapshot = self.fleet().published().load();
        let context = Context::new();
        for gate in GATES {
            for tier in &snapshot.tiers {
                let candidates = Candidates::new(&tier.nodes, gate, now, &context);
                if candidates.eligible().next().is_none() {
                    continue;
                }
                // With one endpoint there is nothing to choose.
                if candidates.len() > 1 {
                    candidates.draw_distinct(wanted, rng, out);
                }
                return;
            }
        }
    }
}
