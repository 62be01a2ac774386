//! A request's stay at one server, as the server models know it.

/// Which attempt; never confused with a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// What a server did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) job: Job,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    FirstToken,
    /// The end, and the seconds that the server worked on it, the queue left out.
    Done {
        seconds: f64,
        cached_tokens: u32,
    },
}
