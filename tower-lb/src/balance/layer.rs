//! Balancing as a layer over a maker of services.

use tower_layer::Layer;
use trimtab_core::Balancer;

use super::{Builder, LoadBalancer, MakeEndpoint};

/// Turns a [`MakeEndpoint`] into a [`LoadBalancer`] over what it makes.
#[derive(Clone, Debug)]
pub struct LoadBalancerLayer {
    builder: Builder,
}

impl LoadBalancerLayer {
    /// Balances by `balancer`, with default settings.
    pub fn new(balancer: Balancer) -> Self {
        Self::from(Builder::new(balancer))
    }
}

impl From<Builder> for LoadBalancerLayer {
    fn from(builder: Builder) -> Self {
        Self { builder }
    }
}

impl<M: MakeEndpoint> Layer<M> for LoadBalancerLayer {
    type Service = LoadBalancer<M>;

    fn layer(&self, make: M) -> LoadBalancer<M> {
        self.builder.clone().build(make)
    }
}
