//! Clients that ask before they pick: servers tell their load, a round trip later the pick follows.

use super::{
    Event, Simulation, context, directed::server_of, flights::FlightId, probes::GIVEN_UP_AFTER,
};
use crate::LoadReport;

impl Simulation {
    /// Asks the servers that the policy names; false if it names none.
    pub(super) fn ask_before(&mut self, flight: FlightId) -> bool {
        let Some(flying) = self.flights.flight(flight) else { return true };
        flying.asked.clear();
        let trace = self.arrivals.trace().map(AsRef::as_ref);
        let context = context(&self.scenario, flying, trace);
        let client = &mut self.clients[flying.arrival.client as usize];
        let mut nodes = std::mem::take(&mut self.probed);
        client.balancer.asks_before(self.now, &context, &mut client.rng, &mut nodes);
        flying.asking = nodes.len();
        let counts = self.tally.counts(flying.arrival.at);
        self.tally.probes += if counts { nodes.len() as u64 } else { 0 };
        let any = !nodes.is_empty();
        for node in nodes.drain(..) {
            let server = server_of(&node);
            let trip = self.routes.trip(client.locality, self.servers[server as usize].locality);
            self.calendar.after(self.now, trip, Event::Ask { flight, server });
        }
        self.probed = nodes;
        any
    }

    /// A server is asked.
    pub(super) fn ask(&mut self, flight: FlightId, number: u32) {
        let Some(flying) = self.flights.flight(flight) else { return };
        let locality = self.clients[flying.arrival.client as usize].locality;
        let probes = self.scenario.network.probes;
        let lost = probes.loss.get() > 0.0 && self.luck.unit() < probes.loss.get();
        let server = &mut self.servers[number as usize];
        let answers = !lost && !server.down && !self.routes.is_cut(locality, number);
        let report = answers.then(|| Box::new(server.report_with_answer(self.now)));
        let trip = self.routes.trip(locality, server.locality) + probes.delay.get();
        let back = if answers { trip } else { GIVEN_UP_AFTER };
        self.calendar.after(self.now, back, Event::Told { flight, server: number, report });
    }

    /// A server's answer, or the end of the wait for it; the last one lets the pick follow.
    pub(super) fn told(&mut self, flight: FlightId, server: u32, report: Option<Box<LoadReport>>) {
        let Some(flying) = self.flights.flight(flight) else { return };
        flying.asking = flying.asking.saturating_sub(1);
        let client = flying.arrival.client as usize;
        if let (Some(report), Some(node)) = (report, &self.clients[client].nodes[server as usize]) {
            flying.asked.push(node.id().clone());
            node.record_load_report(self.now, *report);
        }
        // A hedge is of no use any more once the first attempt's answer has begun.
        if flying.asking == 0 && flying.first_byte.is_none() {
            self.send_at_once(flight);
        }
    }
}
