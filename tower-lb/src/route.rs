//! What a caller tells the balancer of a request: its key, its class, where it comes from.
//!
//! It travels in the request's extensions, which tonic and hyper clients pass on, or is derived from
//! the request's head by a [`ContextFn`]. An extension goes before the function.

use std::{borrow::Cow, fmt, sync::Arc, time::Instant};

use http::request::Parts;
use trimtab_core::Context;

/// Insert it into a request's extensions:
///
/// ```
/// use tower_lb::Route;
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Route::new().with_key("user-17").with_class("chat"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Hash of what requests that should go to one endpoint share.
    pub key: Option<u64>,
    /// The request's class, as learned tables know it.
    pub class: Option<Cow<'static, str>>,
    /// The region it came from; logged.
    pub region: Option<Cow<'static, str>>,
    /// When its answer is of no more use; logged.
    pub deadline: Option<Instant>,
}

impl Route {
    /// A request of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests of the same key go to the same endpoint under the hashing policies.
    pub fn with_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Context::new().with_key(key).key;
        self
    }

    /// Its class, as in the logs that a model was trained from.
    pub fn with_class(mut self, class: impl Into<Cow<'static, str>>) -> Self {
        self.class = Some(class.into());
        self
    }

    /// The region it came from.
    pub fn with_region(mut self, region: impl Into<Cow<'static, str>>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// When its answer is of no more use. It is logged; it does not end the request.
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// Derives the [`Route`] of a request from its head.
#[derive(Clone)]
pub struct ContextFn(Arc<dyn Fn(&Parts) -> Route + Send + Sync>);

impl ContextFn {
    /// Runs `derive` once a request that carries no [`Route`] in its extensions.
    pub fn new(derive: impl Fn(&Parts) -> Route + Send + Sync + 'static) -> Self {
        Self(Arc::new(derive))
    }

    pub(crate) fn derive(&self, head: &Parts) -> Route {
        (self.0)(head)
    }
}

impl fmt::Debug for ContextFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextFn")
    }
}
