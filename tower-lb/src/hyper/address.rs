//! An endpoint's address, parsed once.

use http::{
    HeaderValue,
    uri::{Authority, Scheme, Uri},
};
use trimtab_core::{EndpointId, Node};

/// An address that cannot be connected to as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {endpoint:?}: address {address:?} {problem}; write http://host:port")]
pub struct AddressError {
    /// The endpoint's id.
    pub endpoint: EndpointId,
    /// Its address.
    pub address: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Scheme, host and port, all there.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) scheme: Scheme,
    /// As the URI and the `Host` header have it.
    pub(super) authority: Authority,
    /// The same, ready to be sent.
    pub(super) host_header: HeaderValue,
    /// As name resolution wants it: without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn of(node: &Node) -> Result<Self, AddressError> {
        Self::parse(node.address()).map_err(|problem| AddressError {
            endpoint: node.id().clone(),
            address: node.address().to_string(),
            problem,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| "is not a URI")?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.unwrap_or(Scheme::HTTP);
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" if cfg!(feature = "tls") => 443,
            "https" => return Err("needs TLS, and tower-lb was built without the feature tls"),
            _ => return Err("has a scheme other than http and https"),
        };
        if parts.path_and_query.is_some_and(|path| path != "/") {
            return Err("has a path, which belongs to the request");
        }
        let authority = parts.authority.ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("has credentials, which belong to the request");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("has no host");
        }
        let port = match authority.port() {
            Some(port) if port.as_str().is_empty() => return Err("has an empty port"),
            Some(port) => port.as_u16(),
            // `Authority::port` is also `None` for a port that does not fit 16 bits.
            None if authority.as_str().len() > authority.host().len() => {
                return Err("has a port that is not in 1 to 65535");
            }
            None => default_port,
        };
        if port == 0 {
            return Err("has a port that is not in 1 to 65535");
        }
        let host_header = HeaderValue::from_str(authority.as_str())
            .map_err(|_| "has a host that is no header")?;
        Ok(Self { scheme, authority, host_header, host, port })
    }
}
