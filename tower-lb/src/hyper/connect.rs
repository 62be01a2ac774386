//! Making a connection: name, TCP, TLS, HTTP.

use std::{io, time::Duration};

use bytes::Bytes;
use hyper::client::conn::{http1, http2 as h2_conn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::Instant};

use super::{
    address::Address,
    config::{Config, Protocol},
    http2::Http2,
    io::Stream,
};
use crate::error::BoxError;

/// What an endpoint is connected with.
pub(super) struct Dialer {
    pub(super) config: Config,
    #[cfg(feature = "tls")]
    tls: std::sync::OnceLock<tokio_rustls::TlsConnector>,
}

/// A connection just made.
pub(super) enum Opened<B> {
    Http1(http1::SendRequest<B>),
    Http2(Http2<B>),
}

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("not connected within {0:?}")]
    Timeout(Duration),
    #[cfg(feature = "tls")]
    #[error("the server does not speak HTTP/2 (ALPN)")]
    NotHttp2,
}

impl Dialer {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            #[cfg(feature = "tls")]
            tls: std::sync::OnceLock::new(),
        }
    }

    /// Connects within the timeout. With it comes the network round trip as the TCP handshake took.
    pub(super) async fn open<B>(&self, address: &Address) -> Result<(Opened<B>, Duration), BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let limit = self.config.connect_timeout;
        tokio::time::timeout(limit, self.open_unbounded(address))
            .await
            .unwrap_or_else(|_| Err(ConnectError::Timeout(limit).into()))
    }

    async fn open_unbounded<B>(&self, address: &Address) -> Result<(Opened<B>, Duration), BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (tcp, round_trip) = tcp(address).await?;
        #[cfg(feature = "tls")]
        let (stream, http2) = self.secure(address, tcp).await?;
        // Without TLS no `https` address gets through the parser.
        #[cfg(not(feature = "tls"))]
        let (stream, http2) = (Stream::Plain(tcp), self.config.protocol == Protocol::Http2);
        let opened = if http2 {
            Opened::Http2(self.http2(stream).await?)
        } else {
            Opened::Http1(http1(stream).await?)
        };
        Ok((opened, round_trip))
    }

    /// The stream, with TLS if the address asks for it, and whether to speak HTTP/2 on it.
    #[cfg(feature = "tls")]
    async fn secure(&self, address: &Address, tcp: TcpStream) -> Result<(Stream, bool), BoxError> {
        let wants_http2 = self.config.protocol == Protocol::Http2;
        if !address.is_tls() {
            return Ok((Stream::Plain(tcp), wants_http2));
        }
        let (stream, http2) = super::tls::handshake(self.tls()?, address, tcp).await?;
        if wants_http2 && !http2 {
            return Err(ConnectError::NotHttp2.into());
        }
        Ok((stream, http2))
    }

    /// Roots are read from the system when the first connection needs them.
    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<&tokio_rustls::TlsConnector, super::TlsError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = super::tls::connector(self.config.tls.as_ref(), self.config.protocol)?;
        Ok(self.tls.get_or_init(|| tls))
    }

    async fn http2<B>(&self, stream: Stream) -> Result<Http2<B>, BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        const WINDOW: u32 = 2 << 20;
        const CONNECTION_WINDOW: u32 = 5 << 20;
        let mut builder = h2_conn::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(self.config.max_http2_streams)
            .keep_alive_interval(self.config.keep_alive_interval)
            .keep_alive_timeout(self.config.keep_alive_timeout);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        Ok(Http2::drive(sender, connection, self.config.max_http2_streams))
    }
}

/// The first of the host's addresses that accepts, and how long that took.
async fn tcp(address: &Address) -> Result<(TcpStream, Duration), BoxError> {
    let mut last: Option<io::Error> = None;
    for candidate in tokio::net::lookup_host((address.host.as_str(), address.port)).await? {
        let start = Instant::now();
        match TcpStream::connect(candidate).await {
            Ok(tcp) => {
                let round_trip = start.elapsed();
                tcp.set_nodelay(true)?;
                return Ok((tcp, round_trip));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| ConnectError::NoAddress(address.host.clone()).into(), Into::into))
}

async fn http1<B>(stream: Stream) -> Result<http1::SendRequest<B>, BoxError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/1.1 connection ended");
        }
    });
    Ok(sender)
}
