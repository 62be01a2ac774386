//! Probes: clients ask servers for their load, beside the requests.

use std::time::Duration;

use super::{Client, Event, Simulation, directed::server_of};
use crate::ProbeAnswer;

/// How long a client waits for a server that does not answer.
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_millis(100);

impl Simulation {
    pub(super) fn probe_for_pick(&mut self, client: u32) {
        let Client { balancer, rng, .. } = &mut self.clients[client as usize];
        balancer.probes_for_pick(self.now, rng, &mut self.probed);
        self.send_probes(client);
    }

    pub(super) fn idle_probes(&mut self, client: u32) {
        let Client { balancer, rng, .. } = &mut self.clients[client as usize];
        balancer.idle_probes(self.now, rng, &mut self.probed);
        if let Some(interval) = balancer.probe_interval() {
            self.calendar.after(self.now, interval, Event::IdleProbes { client });
        }
        self.send_probes(client);
    }

    pub(super) fn send_probes(&mut self, client: u32) {
        let mut probed = std::mem::take(&mut self.probed);
        let locality = self.clients[client as usize].locality;
        for node in probed.drain(..) {
            self.tally.probes += 1;
            let server = server_of(&node);
            let trip = self.routes.trip(locality, self.servers[server as usize].locality);
            if trip.is_zero() {
                self.probe(client, server);
            } else {
                self.calendar.after(self.now, trip, Event::Probe { client, server });
            }
        }
        self.probed = probed;
    }

    /// A probe reaches a server.
    pub(super) fn probe(&mut self, client: u32, number: u32) {
        let probes = self.scenario.network.probes;
        let locality = self.clients[client as usize].locality;
        let lost = probes.loss.get() > 0.0 && self.luck.unit() < probes.loss.get();
        let server = &mut self.servers[number as usize];
        let answer = (!lost && !server.down && !self.routes.is_cut(locality, number)).then(|| {
            let in_flight = server.in_system;
            ProbeAnswer::new(in_flight, server.recent.median(self.now, in_flight))
        });
        let trip = self.routes.trip(locality, server.locality) + probes.delay.get();
        let back = if answer.is_some() { trip } else { GIVEN_UP_AFTER };
        if back.is_zero() {
            self.probe_answered(client, number, answer);
        } else {
            let event = Event::ProbeAnswer { client, server: number, answer };
            self.calendar.after(self.now, back, event);
        }
    }

    pub(super) fn probe_answered(&mut self, client: u32, server: u32, answer: Option<ProbeAnswer>) {
        let client = &self.clients[client as usize];
        let Some(node) = &client.nodes[server as usize] else { return };
        match answer {
            Some(answer) => client.balancer.probe_answered(self.now, node, answer),
            None => client.balancer.probe_failed(self.now, node),
        }
    }
}
