//! The way between clients and servers.

use serde::Deserialize;

use super::units::{Fraction, NotNegative, Span};

/// Round trips and what goes wrong on the way.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Network {
    /// Round trip where no rule below says otherwise.
    pub round_trip: Span,
    /// Round trips between two localities, as `region` or `region/zone`, in either direction. The first
    /// rule that fits holds.
    pub between: Vec<Between>,
    /// Sigma of the logarithm by which a single trip differs; 0 for none.
    pub jitter: NotNegative,
    /// Round trip of a probe, beside the time on the way; lost probes are never answered.
    pub probes: Probes,
}

/// A rule for two localities.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Between {
    /// One end: a region, or a region and a zone.
    pub from: String,
    /// The other.
    pub to: String,
    /// The round trip.
    pub round_trip: Span,
}

/// What happens to probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Probes {
    /// Time to answer on top of the round trip.
    pub delay: Span,
    /// The part that is lost.
    pub loss: Fraction,
}
