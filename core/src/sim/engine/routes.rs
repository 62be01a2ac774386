//! How long the way is between a client and a server, and whether anything gets through.

use std::time::Duration;

use super::{
    super::scenario::{Network, Scenario},
    client::lies_in,
};
use crate::rng::Rng;

#[derive(Debug)]
pub(super) struct Routes {
    /// Names of the localities of clients and servers.
    pub(super) clients: Vec<String>,
    pub(super) servers: Vec<String>,
    /// One way, by client's and server's locality.
    one_way: Vec<Duration>,
    sigma: f64,
    rng: Rng,
    /// Cuts by client's locality and server.
    cut: Vec<bool>,
    server_count: usize,
    any_cut: bool,
}

impl Routes {
    pub(super) fn new(scenario: &Scenario, server_count: usize, seed: u64) -> Self {
        let mut clients = scenario.clients.localities.clone();
        if clients.is_empty() {
            clients.push(String::new());
        }
        let mut servers: Vec<String> =
            scenario.servers.iter().map(|group| group.locality.clone()).collect();
        servers.sort();
        servers.dedup();
        let one_way = clients
            .iter()
            .flat_map(|from| servers.iter().map(|to| one_way(&scenario.network, from, to)))
            .collect();
        Self {
            cut: vec![false; clients.len() * server_count],
            clients,
            servers,
            one_way,
            sigma: scenario.network.jitter.get(),
            rng: Rng::seeded(seed ^ 0x7417),
            server_count,
            any_cut: false,
        }
    }

    /// One trip between a client at one locality and a server at another.
    #[inline]
    pub(super) fn trip(&mut self, client: u32, server: u32) -> Duration {
        let one_way = self.base(client, server);
        if self.sigma == 0.0 || one_way.is_zero() {
            return one_way;
        }
        let sigma = self.sigma;
        one_way.mul_f64((sigma * self.rng.normal() - sigma * sigma / 2.0).exp())
    }

    pub(super) fn base(&self, client: u32, server: u32) -> Duration {
        self.one_way[client as usize * self.servers.len() + server as usize]
    }

    /// The trips there are, for the calendar's lanes.
    pub(super) fn trips(&self) -> Vec<Duration> {
        if self.sigma > 0.0 { Vec::new() } else { self.one_way.clone() }
    }

    /// Whether nothing gets through between a client's locality and a server.
    #[inline]
    pub(super) fn is_cut(&self, client: u32, server: u32) -> bool {
        self.any_cut && self.cut[client as usize * self.server_count + server as usize]
    }

    /// Cuts or mends the ways of clients at `place` (all, if none is given) to a server.
    pub(super) fn set_cut(&mut self, place: Option<&str>, server: u32, cut: bool) {
        for (index, locality) in self.clients.iter().enumerate() {
            if place.is_none_or(|place| lies_in(locality, place)) {
                self.cut[index * self.server_count + server as usize] = cut;
            }
        }
        self.any_cut = self.cut.contains(&true);
    }
}

fn one_way(network: &Network, client: &str, server: &str) -> Duration {
    let rule = network.between.iter().find(|rule| {
        (lies_in(client, &rule.from) && lies_in(server, &rule.to))
            || (lies_in(client, &rule.to) && lies_in(server, &rule.from))
    });
    rule.map_or(network.round_trip, |rule| rule.round_trip).get() / 2
}
