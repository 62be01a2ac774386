//! What happens to the fleet on the way.

use serde::Deserialize;

use super::units::{Count, Fraction, Positive, Span};

/// Something that happens at a time, to some servers, and perhaps ends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Span,
    /// When it ends; never if left out.
    pub until: Option<Span>,
    /// What.
    pub action: Action,
    /// To whom; all servers if left out.
    #[serde(default)]
    pub servers: Selector,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// The process dies: what is there is reset, connections are refused. It comes back empty and cold.
    Crash,
    /// A part of the requests is answered with an error at once.
    FailFast {
        /// Which part.
        #[serde(default = "whole")]
        share: Fraction,
        /// After how long.
        #[serde(default)]
        after: Span,
    },
    /// Everything takes so many times as long.
    Slow {
        /// The factor.
        by: Positive,
    },
    /// Every request is held up by this time before it is served, without taking a worker.
    Delay {
        /// How long.
        by: Span,
    },
    /// Requests and answers vanish on the way.
    Partition {
        /// Only for clients of this locality, as `region` or `region/zone`; for all if left out.
        clients: Option<String>,
    },
    /// Discovery drops them; what is there is still served. At `until` it lists them again.
    Remove,
    /// Discovery lists spare servers, with cold caches. At `until` it drops them again.
    Add,
    /// One after the other is dropped by discovery, stopped once it has had time to drain, and comes back
    /// cold.
    Deploy {
        /// From one server's start to the next one's.
        every: Span,
        /// From being dropped to being stopped; requests still there then are reset.
        drain: Span,
        /// From being stopped to coming back.
        down: Span,
    },
}

fn whole() -> Fraction {
    Fraction::ONE
}

/// Which servers: all that fit everything given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Selector {
    /// The group's name.
    pub group: Option<String>,
    /// The locality, as `region` or `region/zone`.
    pub locality: Option<String>,
    /// Places in the group (or the fleet).
    pub index: Vec<usize>,
    /// The first so many of those that fit.
    pub count: Option<Count>,
    /// The first part of those that fit, rounded, at least one.
    pub share: Option<Fraction>,
}
