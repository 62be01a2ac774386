//! Prequal: probe servers for their load, and pick by latency among those that are not hot.
//!
//! Source: Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance: Introducing
//! Prequal", NSDI'24. With each request three random endpoints are probed, not for this one but for
//! those that follow. A server answers with its requests in flight (RIF) and its median latency at or near
//! that number. A pool keeps the last answers; a pick takes from it by the hot-cold lexicographic rule:
//!
//! ```text
//! theta  the 0.84 quantile of the requests in flight known;  hot: above theta
//! some are cold:  the cold one with the lowest latency      all are hot:  the one with the fewest in flight
//! fewer than two answers:  uniformly at random
//! ```
//!
//! | idea | file |
//! |---|---|
//! | settings and their ranges | `config.rs` |
//! | an answer in one word | `signal/probe.rs` |
//! | the pool without locks for picks, across snapshots | `pool.rs` |
//! | its size, reuse, removal; small fleets | `limits.rs` |
//! | theta, and both ends of its quantile | `window.rs` |
//! | hot and cold | `rank.rs` |
//! | survey, use, removal of the oldest and the worst in turn | `pooled.rs` |
//! | sinkhole aversion, which the paper leaves out | `aversion.rs` |
//! | no server is left alone for ever for a figure of long ago | `starvation.rs` |
//! | answers coming in, and whom to ask when idle | `known.rs` |
//! | the synchronous mode, for servers with cache affinity | `sync_probe.rs` |
//!
//! After a pick the answer counts one more in flight, until a newer answer replaces it or it ages: a
//! cancelled request has nothing to give back. Endpoints that are down or already tried are passed over,
//! and do not count as answers. While no answer has come within the greatest age, whether servers cannot
//! be probed or nobody does, the client's own requests in flight and latency decide between two drawn at
//! random, as under `peak_ewma`. Weights count only then: what a server says of its load knows better.
//! An endpoint that alone does not answer probes is picked only by chance.
//!
//! Failures guarded against: herds on the one server that looks best (random probes, few uses, RIF + 1);
//! stale answers; servers that are fast because they fail. Cost: a pick reads up to 16 words and writes
//! two; an answer sorts 128 short numbers.

mod aversion;
mod config;
pub(super) mod known;
pub(super) mod limits;
pub(super) mod pool;
pub(crate) mod pooled;
pub(crate) mod rank;
mod starvation;
mod sync_probe;
mod window;

use std::sync::Arc;

pub use config::PrequalConfig;
pub use sync_probe::{SyncDecision, SyncProbe};

use self::{pooled::Pooled, rank::HotCold};
use super::{Feedback, Picker, Policy, Probing};
use crate::{error::ConfigError, node::Node};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Prequal {
    pooled: Pooled<HotCold>,
}

impl Prequal {
    /// With settings of its own.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a setting outside its range.
    pub fn new(config: PrequalConfig) -> Result<Self, ConfigError> {
        Ok(Self { pooled: Pooled::new(HotCold, config)? })
    }
}

impl Default for Prequal {
    fn default() -> Self {
        Self::new(PrequalConfig::default()).expect("invariant: the defaults lie in their ranges")
    }
}

impl Policy for Prequal {
    fn name(&self) -> &str {
        self.pooled.name()
    }

    fn picker(&self, group: &[Arc<Node>]) -> Box<dyn Picker> {
        self.pooled.picker(group)
    }

    fn observe(&self, feedback: &Feedback<'_>) {
        self.pooled.observe(feedback);
    }

    fn probing(&self) -> Option<&dyn Probing> {
        self.pooled.probing()
    }
}
