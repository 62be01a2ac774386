//! The rules that Prequal's paper compares it with, where they are not policies of this crate already.
//!
//! Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI'24, section
//! 5.2 and figure 7. They are here to reproduce that figure, not to be used.
//!
//! | in the paper | here |
//! |---|---|
//! | `Random`, `RoundRobin`, `WeightedRR` | `random`, `round_robin`, `weighted_round_robin` |
//! | `LeastLoaded` | `least_loaded`: [`LeastLoaded`] |
//! | LL-Po2C | `least_request` |
//! | YARP-Po2C | `yarp_po2c`: [`YarpPo2c`] |
//! | Linear | `linear`: [`linear()`] |
//! | C3 | `c3`: [`c3()`] |
//! | Prequal | `prequal` |
//!
//! `linear` and `c3` take Prequal's probes, pool, reuse and removal and differ only in which answer they
//! prefer. Our aversion to endpoints that fail is in all three.
//!
//! `radix_tree`, [`RadixTree`], is not of the paper: it is how LLM gateways keep requests near their
//! caches, for comparison with `prefix_affinity`.
//!
//! `q_learning`, [`QLearning`], and `fitted_q`, [`FittedQ`], are the classical ones that learn, for
//! comparison with `q_table`.

mod c3;
mod fitted_q;
mod least_loaded;
mod linear;
mod q_learning;
mod radix_tree;
mod yarp_po2c;

pub use c3::{CLIENTS, c3};
pub use fitted_q::FittedQ;
pub use least_loaded::LeastLoaded;
pub use linear::{ALPHA, HALF, linear};
pub use q_learning::QLearning;
pub use radix_tree::RadixTree;
pub use yarp_po2c::YarpPo2c;

use crate::{
    error::ConfigError,
    policy::{Policy, PrequalConfig},
};

/// Every name that [`by_name`] knows.
pub const RULE_NAMES: &[&str] =
    &["least_loaded", "linear", "c3", "yarp_po2c", "radix_tree", "q_learning"];

/// The rule that has no default settings: its settings are what it has learned.
pub const FITTED_Q: &str = "fitted_q";

/// The rule called `name`, with the figure's settings: 100 clients for `c3`, alpha of 75 ms and equal
/// halves for `linear`. `None` if nobody knows it.
pub fn by_name(name: &str) -> Option<Box<dyn Policy>> {
    let probing = PrequalConfig::default();
    let rule: Result<Box<dyn Policy>, ConfigError> = match name {
        "least_loaded" => Ok(Box::new(LeastLoaded::default())),
        "linear" => linear(HALF, ALPHA, probing),
        "c3" => c3(CLIENTS, probing),
        "yarp_po2c" => Ok(Box::new(YarpPo2c::default())),
        "radix_tree" => Ok(Box::new(RadixTree::default())),
        "q_learning" => Ok(Box::new(QLearning::default())),
        _ => return None,
    };
    // The figure's settings lie in their ranges.
    rule.ok()
}
