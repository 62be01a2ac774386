//! Settings of the connections to endpoints.

use std::time::Duration;

/// How to connect to endpoints, and what to keep open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which protocol to speak. Default [`Protocol::Auto`].
    pub protocol: Protocol,
    /// Whose name goes into `Host` and `:authority`. Default [`Host::Endpoint`].
    pub host: Host,
    /// Longest time for name resolution, TCP, TLS and HTTP/2's preface together. Default 5 s: a server
    /// that does not accept by then serves nobody.
    pub connect_timeout: Duration,
    /// HTTP/1.1 connections kept open without a request, for each endpoint. Default 32. Those with a
    /// request are as many as the requests: what bounds them is a limit of concurrency before the
    /// balancer.
    pub max_idle: usize,
    /// How long a connection without a request is kept, of HTTP/1.1 or HTTP/2. Default 50 s: many servers close at 60 s, and a connection that the
    /// server closes while a request is on its way loses the request.
    pub idle_timeout: Duration,
    /// HTTP/2 connections to one endpoint. Default 8.
    pub max_http2_connections: usize,
    /// Streams on one HTTP/2 connection until the peer has told its own limit, and at most. Default
    /// 100, what RFC 9113 recommends servers to allow at least.
    pub max_http2_streams: usize,
    /// Silence on an HTTP/2 connection with requests under way after which a ping is sent, to find out
    /// that the peer is gone. Default `None`, no pings: most gRPC servers close a connection that pings
    /// more often than every 5 minutes without data, and a model at work on a long prompt is silent.
    /// Where the servers are yours, 20 s finds a dead one soon.
    pub keep_alive_interval: Option<Duration>,
    /// How long a ping may go unanswered. Default 10 s.
    pub keep_alive_timeout: Duration,
    /// The first backoff of the background reconnection. Default 100 ms.
    pub base_reconnect: Duration,
    /// Its longest. Default 10 s.
    pub max_reconnect: Duration,
    /// TLS for `https` addresses: roots and client certificate. ALPN is set by `protocol`. `None` trusts
    /// the system's roots.
    #[cfg(feature = "tls")]
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            protocol: Protocol::Auto,
            host: Host::Endpoint,
            connect_timeout: Duration::from_secs(5),
            max_idle: 32,
            idle_timeout: Duration::from_secs(50),
            max_http2_connections: 8,
            max_http2_streams: 100,
            keep_alive_interval: None,
            keep_alive_timeout: Duration::from_secs(10),
            base_reconnect: Duration::from_millis(100),
            max_reconnect: Duration::from_secs(10),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Config {
    /// With `protocol`.
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// With `host`.
    pub fn with_host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// With this TLS configuration for `https` addresses.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, tls: impl Into<std::sync::Arc<rustls::ClientConfig>>) -> Self {
        self.tls = Some(tls.into());
        self
    }
}

/// Which HTTP to speak to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1 without TLS; with TLS what the server chooses.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, with prior knowledge where there is no TLS.
    Http2,
}

/// Whose name goes into `Host` and `:authority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// The endpoint's address.
    Endpoint,
    /// What the caller put into the request's URI or its `Host` header; the endpoint's address if it
    /// put nothing.
    Caller,
}
