//! Following a stream of changes to the fleet.
//!
//! Failed or empty discovery keeps the last good fleet: a change that cannot be made is counted and
//! traced, and the endpoints stay as they are.

use std::{
    error::Error as StdError,
    fmt::Display,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_core::Stream;
use trimtab_core::{Balancer, ConfigError, Endpoint, EndpointId, Fleet};

/// One change.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Adds an endpoint, or describes one anew that is there.
    Add(Endpoint),
    /// Removes an endpoint at once; its requests go on.
    Remove(EndpointId),
    /// Sends an endpoint no new requests, and removes it when it is idle.
    Drain(EndpointId),
    /// Makes these endpoints the fleet. Those that stay keep their signals.
    Replace(Vec<Endpoint>),
}

impl Change {
    /// Makes the change.
    ///
    /// # Errors
    /// As the [`Fleet`]'s operations; the fleet is then as it was.
    pub fn apply(self, fleet: &Fleet) -> Result<(), ConfigError> {
        match self {
            Self::Add(endpoint) => {
                fleet.add(endpoint);
                Ok(())
            }
            Self::Remove(id) => fleet.remove(&id),
            Self::Drain(id) => fleet.drain(&id),
            Self::Replace(endpoints) => fleet.replace(endpoints),
        }
    }
}

/// What came of the changes so far. Cheap to clone; clones see the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    applied: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes made.
    pub fn applied(&self) -> u64 {
        self.0.applied.load(Ordering::Relaxed)
    }

    /// Changes that could not be made, such as an empty fleet or an unknown id.
    pub fn rejected(&self) -> u64 {
        self.0.rejected.load(Ordering::Relaxed)
    }

    /// Errors of the stream itself.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    fn note<E: Display>(&self, result: Result<Result<(), ConfigError>, E>) {
        let count = match result {
            Ok(Ok(())) => &self.0.applied,
            Ok(Err(error)) => {
                tracing::warn!(%error, "change of the fleet rejected; the last good one stays");
                &self.0.rejected
            }
            Err(error) => {
                tracing::warn!(%error, "discovery failed; the last good fleet stays");
                &self.0.failed
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes the stream's changes to `balancer`'s fleet until it ends. Spawn it, or poll it beside your own
/// work; drop it to stop following.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_lb::{Balancer, Endpoint, discover::{Change, Progress, follow_with}};
/// let balancer = Balancer::builder().endpoints([Endpoint::new("http://10.0.0.1:80")]).build()?;
/// let changes = tokio_stream::iter([
///     Ok(Change::Add(Endpoint::new("http://10.0.0.2:80"))),
///     Ok(Change::Replace(vec![])), // discovery gone wrong
///     Err("no answer"),
/// ]);
/// let progress = Progress::new();
/// follow_with(&balancer, changes, progress.clone()).await;
/// assert_eq!((progress.applied(), progress.rejected(), progress.failed()), (1, 1, 1));
/// assert_eq!(balancer.fleet().snapshot().nodes().len(), 2);
/// # Ok(())
/// # }
/// ```
pub fn follow<S, E>(balancer: &Balancer, changes: S) -> impl Future<Output = ()> + use<S, E>
where
    S: Stream<Item = Result<Change, E>>,
    E: StdError,
{
    follow_with(balancer, changes, Progress::new())
}

/// [`follow`], counting into `progress`. The errors need only be printable.
pub fn follow_with<S, E>(
    balancer: &Balancer,
    changes: S,
    progress: Progress,
) -> impl Future<Output = ()> + use<S, E>
where
    S: Stream<Item = Result<Change, E>>,
    E: Display,
{
    let fleet = balancer.fleet().clone();
    async move {
        let mut changes = pin!(changes);
        while let Some(change) = poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
            progress.note(change.map(|change| change.apply(&fleet)));
        }
    }
}
