//! C3: the lowest expected response time, with a cubic penalty on queues.
//!
//! Source: Suresh, Canini, Schmid and Feldmann, "C3: Cutting Tail Latency in Cloud Data Stores via Adaptive
//! Replica Selection", NSDI'15, section 3.1:
//!
//! ```text
//! score = R - T + q^3 T        q = 1 + os x n + queue
//! ```
//!
//! R is the response time that the client sees, T the server's service time, `os` the client's own requests
//! in flight there, n the number of clients, `queue` what the server reports of its own. In Prequal's
//! section 5.2 the score picks from Prequal's pool. So here the probe's latency and requests in flight are
//! T and `queue`, each as it came: an answer lives for a second and needs no average. R is the mean latency
//! of the client's successes there, or T before the first.

use crate::{
    error::ConfigError,
    node::Node,
    policy::{
        Policy, PrequalConfig,
        prequal::{pooled::Pooled, rank::Rank},
    },
    signal::probe::Reading,
};

/// Clients in Prequal's figure 7.
pub const CLIENTS: u32 = 100;

/// The rule for a fleet with so many `clients`, each of which is taken to send what this one does.
///
/// # Errors
/// [`ConfigError::OutOfRange`] for a setting of `probing` outside its range.
pub fn c3(clients: u32, probing: PrequalConfig) -> Result<Box<dyn Policy>, ConfigError> {
    Ok(Box::new(Pooled::new(C3 { clients: f64::from(clients) }, probing)?))
}

#[derive(Clone, Copy, Debug)]
struct C3 {
    clients: f64,
}

impl Rank for C3 {
    fn name(&self) -> &'static str {
        "c3"
    }

    fn key(&self, reading: Reading, node: &Node, _: u32) -> u64 {
        let service = f64::from(reading.latency());
        let response = node.mean_latency().map_or(service, f64::from);
        let queue =
            f64::from(node.in_flight()).mul_add(self.clients, 1.0) + f64::from(reading.in_flight());
        // Not negative, for the queue is at least 1; so its bits order as it does.
        (response - service + queue.powi(3) * service).max(0.0).to_bits()
    }
}
