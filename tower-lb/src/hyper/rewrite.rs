//! The request as an endpoint is to see it: its scheme and authority, or the caller's.

use http::{
    HeaderValue, Request, Uri, Version,
    header::HOST,
    uri::{Authority, PathAndQuery},
};

use super::{address::Address, config::Host};

/// For HTTP/1.1: the path alone in the request line, the authority in `Host`.
pub(super) fn for_http1<B>(request: &mut Request<B>, address: &Address, host: Host) {
    let given = request.uri().authority();
    let wanted = match host {
        Host::Endpoint => Some(address.host_header.clone()),
        Host::Caller => match given {
            Some(given) => HeaderValue::from_str(given.as_str()).ok(),
            None if request.headers().contains_key(HOST) => None,
            None => Some(address.host_header.clone()),
        },
    };
    if let Some(wanted) = wanted {
        request.headers_mut().insert(HOST, wanted);
    }
    if given_in_full(request.uri()) {
        *request.uri_mut() = Uri::from(path(request));
    }
    *request.version_mut() = Version::HTTP_11;
}

/// For HTTP/2: a whole URI, from which hyper takes `:scheme` and `:authority`, and no `Host`.
pub(super) fn for_http2<B>(request: &mut Request<B>, address: &Address, host: Host) {
    let named = request.headers_mut().remove(HOST);
    let authority = match host {
        Host::Endpoint => None,
        Host::Caller => request
            .uri()
            .authority()
            .cloned()
            .or_else(|| Authority::try_from(named?.as_bytes()).ok()),
    };
    let authority = authority.unwrap_or_else(|| address.authority.clone());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(address.scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = Some(path(request));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
}

fn path<B>(request: &Request<B>) -> PathAndQuery {
    let path = request.uri().path_and_query().cloned();
    path.filter(|path| !path.as_str().is_empty()).unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn given_in_full(uri: &Uri) -> bool {
    uri.authority().is_some() || uri.path_and_query().is_none()
}
