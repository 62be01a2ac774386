//! A server that looked slow once must not look slow for ever.
//!
//! Its latency is what its last requests took. If that was long, by a bad moment or by bad luck, and others
//! are cold, nothing is sent there, so nothing new is measured, and its answers repeat the old figure.
//! The same happens to peak-EWMA without decay. So when a server has nothing in flight, and this client has
//! had no answer from it for half a minute, what it says of its latency is believed less and less:
//!
//! ```text
//! latency' = latency x exp(-(quiet - 30 s) / 10 s)     for quiet > 30 s and nothing in flight
//! ```
//!
//! The request that this attracts measures it anew. Thrice as slow as others it is tried after 41 s. Where a
//! client sends each endpoint something now and then, nothing changes.

use std::time::Duration;

use crate::{node::Node, time::Time};

const BELIEVED: Duration = Duration::from_secs(30);
const FADES: Duration = Duration::from_secs(10);

/// What `node` said, in requests in flight and nanoseconds, as far as it is believed at `now`.
pub(super) fn believed((in_flight, latency): (u32, f32), node: &Node, now: Time) -> (u32, f32) {
    if in_flight > 0 || node.in_flight() > 0 {
        return (in_flight, latency);
    }
    let quiet = now.since(node.latency.last_fed());
    let beyond = quiet.saturating_sub(BELIEVED).as_secs_f32() / FADES.as_secs_f32();
    (in_flight, latency * (-beyond).exp())
}
