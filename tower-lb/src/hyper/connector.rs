//! Making the clients.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, request::Parts};
use hyper::ext::Protocol;
use trimtab_core::{Balancer, Node};

use super::{
    address::{Address, AddressError},
    config::Config,
    connect::Dialer,
    endpoint::EndpointClient,
    keeper::Keeper,
    pool::Pool,
};
use crate::{
    balance::{Builder, LoadBalancer, MakeEndpoint, next_name},
    body::ReplayBody,
};

/// A balanced HTTP client for requests with bodies of type `B`. Make one and clone it: clones share the
/// connections, and the last one dropped closes them.
pub type Client<B> = LoadBalancer<Connector<B>>;

/// A client with default settings.
///
/// # Errors
/// [`AddressError`] if an endpoint's address cannot be connected to as it is written. Endpoints that
/// are added later with such an address fail their requests with it.
pub fn client<B>(balancer: Balancer) -> Result<Client<B>, AddressError>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    client_with(Builder::new(balancer), Config::default())
}

/// A client with the settings of `builder` and connections as `config` says.
///
/// # Errors
/// See [`client`].
pub fn client_with<B>(builder: Builder, config: Config) -> Result<Client<B>, AddressError>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    let connector = Connector::named(builder.balancer(), config, builder.shared_name());
    connector.check(builder.balancer())?;
    Ok(builder.build(connector))
}

/// Makes the pooled client of each endpoint. Dropped, which it is with the last clone of its client, it
/// closes their connections.
pub struct Connector<B>
where
    B: Send + 'static,
{
    dialer: Arc<Dialer>,
    keeper: Arc<Keeper<ReplayBody<B>>>,
}

impl<B> Connector<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Connections for `balancer`'s endpoints as `config` says.
    pub fn new(balancer: &Balancer, config: Config) -> Self {
        Self::named(balancer, config, next_name())
    }

    /// As [`Connector::new`], for a balancer that its [`Builder`] calls `name`: the one under which the
    /// balancer's own counters are published.
    pub fn named(balancer: &Balancer, config: Config, name: impl Into<Arc<str>>) -> Self {
        let dialer = Dialer::new(config);
        let keeper = Keeper::new(balancer.clone(), name.into());
        keeper.start();
        Self { dialer: Arc::new(dialer), keeper }
    }

    /// Checks the addresses of `balancer`'s endpoints as they are now.
    ///
    /// # Errors
    /// The first [`AddressError`].
    pub fn check(&self, balancer: &Balancer) -> Result<(), AddressError> {
        for node in balancer.fleet().snapshot().nodes() {
            Address::of(node)?;
        }
        Ok(())
    }
}

impl<B> MakeEndpoint for Connector<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Service = EndpointClient<B>;

    fn make(&self, node: &Arc<Node>) -> EndpointClient<B> {
        let pool = Address::of(node).map(|address| {
            let pool = Arc::new(Pool::new(address, Arc::clone(&self.dialer), node));
            self.keeper.watch(&pool);
            pool
        });
        if let Err(error) = &pool {
            tracing::error!(%error, "endpoint cannot be used");
        }
        EndpointClient::new(pool)
    }

    /// Without the extensions, but for the one that hyper sends.
    fn copy_head(&self, head: &Parts) -> Parts {
        let (mut copy, ()) = Request::new(()).into_parts();
        copy.method = head.method.clone();
        copy.uri = head.uri.clone();
        copy.version = head.version;
        copy.headers = head.headers.clone();
        if let Some(protocol) = head.extensions.get::<Protocol>() {
            copy.extensions.insert(protocol.clone());
        }
        copy
    }
}

/// The nodes of the fleet, which may live on, would keep the pools open.
impl<B: Send + 'static> Drop for Connector<B> {
    fn drop(&mut self) {
        self.keeper.close();
    }
}

impl<B: Send + 'static> std::fmt::Debug for Connector<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("config", &self.dialer.config).finish_non_exhaustive()
    }
}
