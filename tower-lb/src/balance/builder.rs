//! Settings of a [`LoadBalancer`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use trimtab_core::{Balancer, RetryBudget, Time};

use super::{LoadBalancer, MakeEndpoint};
use crate::{
    classify::{Classify, HttpClassifier},
    clock::Clock,
    route::ContextFn,
};

/// Configures a [`LoadBalancer`].
///
/// Clones share the retry budget, so that clients built from one builder retry within one budget.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(super) balancer: Balancer,
    pub(super) name: Arc<str>,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) context: Option<ContextFn>,
    pub(super) max_attempts: u32,
    pub(super) replay_limit: usize,
    pub(super) budget: Arc<RetryBudget>,
    /// The budget's zero, since its milliseconds are 32 bits: one for all who share it.
    pub(super) born: Time,
}

impl Builder {
    /// Balances by `balancer`.
    pub fn new(balancer: Balancer) -> Self {
        Self {
            balancer,
            name: next_name(),
            classify: Arc::new(HttpClassifier::default()),
            context: None,
            max_attempts: 3,
            replay_limit: 64 * 1024,
            budget: Arc::new(RetryBudget::default()),
            born: Clock::process().now(),
        }
    }

    /// What it balances by.
    pub fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// What the balancer is called in metrics and spans, to tell several in one process apart; a number
    /// in order of their making if not told.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Tells success from failure; [`HttpClassifier`] if not told.
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.classify = Arc::new(classify);
        self
    }

    /// Derives the key and class of requests that do not carry a [`Route`](crate::Route).
    pub fn context(mut self, context: ContextFn) -> Self {
        self.context = Some(context);
        self
    }

    /// Attempts a request, the first included; at least 1. 3 if not told.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Bytes of a request's body that are kept for another attempt; 64 KiB if not told.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// How many retries there may be; 0.2 a request and 10 a second if not told.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Arc::new(budget);
        self
    }

    /// Balances over what `make` makes for each endpoint.
    pub fn build<M: MakeEndpoint>(self, make: M) -> LoadBalancer<M> {
        LoadBalancer::from_builder(self, make)
    }
}

/// A name that no other balancer of this process has been given, counted from 1.
pub(crate) fn next_name() -> Arc<str> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    (LAST.fetch_add(1, Ordering::Relaxed) + 1).to_string().into()
}
