//! Time as the caller tells it: nanoseconds since an origin of the caller's choice.
//!
//! The core never reads a clock. A data plane converts its own clock once a request; a simulation
//! counts virtual nanoseconds. 64 bits last 584 years, so the arithmetic saturates rather than fails.

use std::{
    ops::{Add, AddAssign},
    time::Duration,
};

/// A point in time: nanoseconds since the caller's origin.
///
/// ```
/// use std::time::Duration;
/// use trimtab_core::Time;
/// let start = Time::ZERO;
/// let later = start + Duration::from_millis(3);
/// assert_eq!(later.since(start), Duration::from_millis(3));
/// assert_eq!(start.since(later), Duration::ZERO); // saturates
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// Later than any time a caller reaches.
    pub const MAX: Self = Self(u64::MAX);

    /// The time `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}
