//! The clock that every balancer of this process shares.
//!
//! The core counts nanoseconds from an origin. One origin for the process makes a lease independent
//! of the balancer that made it, and needs no more than one load to find.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use trimtab_core::Time;

struct Origin {
    instant: Instant,
    /// Unix time at `instant`.
    unix: Duration,
}

static ORIGIN: OnceLock<Origin> = OnceLock::new();

fn origin() -> &'static Origin {
    ORIGIN.get_or_init(|| Origin {
        instant: Instant::now(),
        unix: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
    })
}

/// Now.
#[inline]
pub(crate) fn now() -> Time {
    Time::from_nanos(origin().instant.elapsed().as_nanos() as u64)
}

/// Unix time at [`Time::ZERO`].
pub(crate) fn unix_origin() -> Duration {
    origin().unix
}
