//! The one clock of this process: monotonic, and counted from the Unix epoch.
//!
//! The core takes nanoseconds since an origin of the caller's choice. Here it is the Unix epoch as the
//! system clock told it once, at the first use; from then on [`Instant`] counts, so that a step of the
//! system clock moves nothing. All clients of a process share it, because they may share endpoints,
//! whose signals carry its times. The decision log's timestamps and the age of models are then right
//! with the core's default `unix_origin` of zero. Cost: one `Instant::now()`.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use trimtab_core::Time;

/// A monotonic clock that counts from the Unix epoch; the same one for the whole process, since clients
/// may share endpoints, whose signals carry its times.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Clock {}

struct Origin {
    instant: Instant,
    time: Time,
}

impl Clock {
    /// The process's clock.
    pub fn process() -> Self {
        Self {}
    }

    /// The time now.
    #[inline]
    pub fn now(self) -> Time {
        let origin = origin();
        origin.time + origin.instant.elapsed()
    }

    /// The time at `instant`; instants before the process's first look at the clock count as that.
    pub fn at(self, instant: Instant) -> Time {
        let origin = origin();
        origin.time + instant.saturating_duration_since(origin.instant)
    }
}

fn origin() -> &'static Origin {
    static ORIGIN: OnceLock<Origin> = OnceLock::new();
    ORIGIN.get_or_init(|| {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Origin { instant: Instant::now(), time: Time::ZERO + unix }
    })
}
