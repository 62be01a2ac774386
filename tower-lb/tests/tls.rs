//! TLS with a certificate of our own, HTTP/1.1 and HTTP/2 by ALPN.
#![cfg(feature = "tls")]

mod support;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::Version;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use support::{Server, assert_idle, get};
use tower::ServiceExt;
use tower_lb::{
    Balancer, Builder, Endpoint,
    hyper::{Config, Protocol, client_with},
};

struct Secure {
    server: Server,
    certificate: CertificateDer<'static>,
}

/// A server for `localhost` that offers `alpn` and answers with the protocol's version.
async fn serve(alpn: &[&[u8]]) -> Secure {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::accept("127.0.0.1:0".parse().unwrap(), move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let text = format!("{:?}", request.version());
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(text))))
            });
            let io = TokioIo::new(tls);
            let _ = if http2 {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(io, service).await
            } else {
                hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
            };
        }
    })
    .await;
    Secure { server, certificate }
}

fn trusting(certificate: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn balancer(secure: &Secure) -> Balancer {
    let address = format!("https://localhost:{}", secure.server.address.port());
    Balancer::builder().endpoints([Endpoint::new(address)]).build().unwrap()
}

#[tokio::test]
async fn alpn_picks_the_protocol() {
    for (offered, protocol, version) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Protocol::Auto, Version::HTTP_2),
        (&[b"http/1.1"], Protocol::Auto, Version::HTTP_11),
        (&[], Protocol::Auto, Version::HTTP_11),
        (&[b"h2", b"http/1.1"], Protocol::Http1, Version::HTTP_11),
        (&[b"h2", b"http/1.1"], Protocol::Http2, Version::HTTP_2),
    ] {
        let secure = serve(offered).await;
        let balancer = balancer(&secure);
        let config =
            Config::default().with_protocol(protocol).with_tls(trusting(&secure.certificate));
        let client = client_with::<Full<Bytes>>(Builder::new(balancer.clone()), config).unwrap();
        // Together, so that they wait for the first connection before anyone knows the protocol.
        let requests = (0..20).map(|_| async {
            let answer = client.clone().oneshot(get()).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        });
        for answer in futures_util::future::join_all(requests).await {
            assert_eq!(answer, format!("{version:?}"));
        }
        if version == Version::HTTP_2 {
            assert_eq!(secure.server.connections(), 1);
        }
        assert_idle(&balancer);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_a_connection_failure() {
    let (secure, other) = (serve(&[b"h2"]).await, serve(&[b"h2"]).await);
    let balancer = balancer(&secure);
    let config = Config::default().with_tls(trusting(&other.certificate));
    let client = client_with::<Full<Bytes>>(Builder::new(balancer.clone()), config).unwrap();
    let error = client.oneshot(get()).await.unwrap_err();
    assert!(error.is_unprocessed());
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = next {
        text += &cause.to_string();
        next = cause.source();
    }
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(balancer.counters().ejections, 1);
    assert_idle(&balancer);
}
