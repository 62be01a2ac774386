//! Sans-I/O adaptive load balancing.

mod rng;
mod time;

pub use rng::Rng;
pub use time::Time;
