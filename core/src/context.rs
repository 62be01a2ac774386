//! What is known of a request before it is sent.

use xxhash_rust::xxh64::xxh64;

use crate::{endpoint::EndpointId, prompt::Prompt, time::Time};

/// A request as the balancer sees it; made once a request and cheap to copy.
///
/// ```
/// use trimtab_core::Context;
/// let context = Context::new().with_key("user-17").with_request_class("chat");
/// assert_eq!(context.request_class, Some("chat"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Context<'a> {
    /// Hash of what requests of one kind share, for the hashing policies.
    pub key: Option<u64>,
    /// The request's class, as learned tables know it.
    pub request_class: Option<&'a str>,
    /// The region the request came from; logged.
    pub region: Option<&'a str>,
    /// When the answer is of no more use; logged.
    pub deadline: Option<Time>,
    /// Endpoints that this request has already been sent to: a retry goes elsewhere where it can.
    pub tried: &'a [EndpointId],
    /// Endpoints that have just been asked for their load, because
    /// [`Balancer::asks_before`](crate::Balancer::asks_before) named them.
    pub asked: &'a [EndpointId],
    /// The prompt of an LLM request, for `prefix_affinity`.
    pub prompt: Option<Prompt<'a>>,
    /// An id that ties the attempts of one request together in the decision log; 0 if it has only this
    /// one, and the log numbers it.
    pub event: u64,
}

impl<'a> Context<'a> {
    /// A request of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests with the same key go to the same endpoint under the hashing policies. The key is
    /// hashed by XXH64 with seed 0, as Envoy and gRPC do.
    pub fn with_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(xxh64(key.as_ref(), 0));
        self
    }

    /// Its class, as in the logs that a model was trained from.
    pub fn with_request_class(mut self, class: &'a str) -> Self {
        self.request_class = Some(class);
        self
    }

    /// The region it came from.
    pub fn with_region(mut self, region: &'a str) -> Self {
        self.region = Some(region);
        self
    }

    /// When its answer is of no more use.
    pub fn with_deadline(mut self, deadline: Time) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Where earlier attempts went, in order.
    pub fn with_tried(mut self, tried: &'a [EndpointId]) -> Self {
        self.tried = tried;
        self
    }

    /// Who has just been asked for its load; the answers are in their nodes.
    pub fn with_asked(mut self, asked: &'a [EndpointId]) -> Self {
        self.asked = asked;
        self
    }

    /// The prompt of an LLM request.
    pub fn with_prompt(mut self, prompt: Prompt<'a>) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// The id its attempts share in the decision log.
    pub fn with_event(mut self, event: u64) -> Self {
        self.event = event;
        self
    }
}
