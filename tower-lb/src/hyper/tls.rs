//! TLS through rustls, with ring.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{address::Address, config::Protocol, io::Stream};
use crate::error::BoxError;

/// A TLS configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system has no certificates to trust.
    #[error("no root certificate found on this system ({errors} errors); give Config::tls its own")]
    NoRoots {
        /// Certificates that could not be read.
        errors: usize,
    },
    /// rustls would not have it.
    #[error("rustls refuses its default protocol versions")]
    Versions(#[source] rustls::Error),
}

/// The configuration with ALPN as the protocol wants it; the system's roots if none is given.
pub(super) fn connector(
    given: Option<&Arc<ClientConfig>>,
    protocol: Protocol,
) -> Result<TlsConnector, TlsError> {
    let mut config = match given {
        Some(config) => ClientConfig::clone(config),
        None => trusting_the_system()?,
    };
    let protocols: &[&[u8]] = match protocol {
        Protocol::Auto => &[b"h2", b"http/1.1"],
        Protocol::Http1 => &[b"http/1.1"],
        Protocol::Http2 => &[b"h2"],
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn trusting_the_system() -> Result<ClientConfig, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(TlsError::NoRoots { errors: found.errors.len() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The stream with TLS on it, and whether the server chose HTTP/2.
pub(super) async fn handshake(
    connector: &TlsConnector,
    address: &Address,
    tcp: TcpStream,
) -> Result<(Stream, bool), BoxError> {
    let name = ServerName::try_from(address.host.clone())?;
    let stream = connector.connect(name, tcp).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Stream::Tls(Box::new(stream)), http2))
}
