//! What is sent when: the arrival process, its mean rate, and how that changes.

use std::path::PathBuf;

use serde::Deserialize;

use super::units::{Count, Fraction, NotNegative, Positive, Span};

/// The traffic of all clients together: an open loop, so that a slow answer does not slow the load.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests a second.
    pub rate: Option<Positive>,
    /// The rate as a fraction of what the fleet carries when each server gets the same mix of classes.
    pub load: Option<Positive>,
    /// Several of them: one run each.
    pub loads: Vec<Positive>,
    /// Requests a second that load 1 means, where that is not the fleet's capacity: for servers that may
    /// use more than they are promised, and for language models.
    pub full_load: Option<Positive>,
    /// When requests come.
    pub arrivals: Arrivals,
    /// Steps and ramps: factors on the rate. 1 before the first point.
    pub shape: Vec<Point>,
    /// A day's curve, as a further factor.
    pub day: Option<Day>,
}

/// An arrival process.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Arrivals {
    /// Each client sends at random.
    #[default]
    Poisson,
    /// Each client sends in even steps.
    Paced,
    /// Gamma-distributed gaps: bursts for a coefficient of variation above 1.
    Gamma(Renewal),
    /// Weibull-distributed gaps: the same with another tail.
    Weibull(Renewal),
    /// Requests recorded elsewhere, in their own rhythm.
    Trace(Replay),
    /// Requests generated from measurements of many clients of a service, as `ServeGen` publishes them.
    ServeGen(Generated),
}

/// How bursty, and who bursts.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Renewal {
    /// The gaps' standard deviation over their mean.
    pub cv: Positive,
    /// Whether all clients burst as one; if not, each for itself.
    #[serde(default)]
    pub together: bool,
}

/// A trace to replay. A request goes to a client drawn at random.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Replay {
    /// The file, as seen from the scenario's folder.
    pub path: PathBuf,
    /// `azure_llm_2023`, `mooncake` or `arrivals`; told from the file if left out.
    pub format: Option<String>,
    /// Spreads arrivals over this length of time, for traces that record in steps.
    #[serde(default)]
    pub spread: Span,
    /// Whether each seed begins at another place of the trace, going round.
    #[serde(default)]
    pub rotate: bool,
}

/// Traffic generated anew for each seed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Generated {
    /// The folder with the clients' measurements, as seen from the scenario's folder.
    pub path: PathBuf,
    /// The first of its windows (of ten minutes) to generate.
    #[serde(default)]
    pub first_window: u32,
    /// How many of them.
    pub windows: Count,
    /// A factor on the measured rates.
    #[serde(default = "unchanged")]
    pub scale: Positive,
}

fn unchanged() -> Positive {
    Positive::ONE
}

/// A factor on the rate from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Point {
    /// When it is reached.
    pub at: Span,
    /// The factor.
    pub factor: NotNegative,
    /// How long before that the ramp from the last factor begins; without it, a step.
    #[serde(default)]
    pub ramp: Span,
}

/// A rate that follows the sun: `1 + amplitude x sin(2 pi t / period)`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Day {
    /// How far it goes up and down.
    pub amplitude: Fraction,
    /// How long a day is.
    pub period: Span,
}
