//! Linear: the lowest weighted sum of latency and requests in flight.
//!
//! Source: Prequal's sections 5.2 and 5.3. The score of an answer is
//!
//! ```text
//! (1 - lambda) x latency + lambda x alpha x requests in flight
//! ```
//!
//! with alpha the median latency of a server with one request in flight, 75 ms in the paper; lambda is 1/2
//! in figure 7. It penalises many requests in flight too little, where hot and cold do it strictly.

use std::time::Duration;

use crate::{
    error::ConfigError,
    node::Node,
    policy::{
        Policy, PrequalConfig,
        prequal::{pooled::Pooled, rank::Rank},
    },
    signal::probe::Reading,
};

/// The paper's lambda in figure 7.
pub const HALF: f64 = 0.5;
/// The paper's alpha.
pub const ALPHA: Duration = Duration::from_millis(75);

/// The rule with `lambda` from 0, latency alone, to 1, requests in flight alone; `alpha` is what a request
/// in flight counts as.
///
/// # Errors
/// [`ConfigError::OutOfRange`] for a lambda or a setting of `probing` outside its range.
pub fn linear(
    lambda: f64,
    alpha: Duration,
    probing: PrequalConfig,
) -> Result<Box<dyn Policy>, ConfigError> {
    if !(0.0..=1.0).contains(&lambda) {
        return Err(ConfigError::OutOfRange { name: "lambda", value: lambda, allowed: "[0, 1]" });
    }
    let in_flight = lambda * alpha.as_nanos() as f64;
    let rank = Linear { latency: 1.0 - lambda, in_flight };
    Ok(Box::new(Pooled::new(rank, probing)?))
}

#[derive(Clone, Copy, Debug)]
struct Linear {
    /// What a nanosecond counts as.
    latency: f64,
    /// What a request in flight counts as.
    in_flight: f64,
}

impl Rank for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn key(&self, reading: Reading, _: &Node, _: u32) -> u64 {
        let latency = self.latency * f64::from(reading.latency());
        // Not negative, so that its bits order as it does.
        (latency + self.in_flight * f64::from(reading.in_flight())).to_bits()
    }
}
