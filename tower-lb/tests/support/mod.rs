//! Small servers in the test process, and waiting for events.
#![allow(dead_code, missing_docs, missing_debug_implementations, unreachable_pub)]
// Handlers return results; what makes their answers does so too.
#![allow(clippy::unnecessary_wraps)]

#[cfg(feature = "hyper")]
pub mod client;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tower_lb::{Balancer, BoxError, Endpoint};

pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// A server that dies, connections and all, when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start<F, R>(http: Http, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), http, handler)
    }

    /// A server where one has died.
    pub fn revive<F, R>(dead: Dead, http: Http, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        Self::start_on(dead.port.listen(1024).unwrap(), http, handler)
    }

    fn start_on<F, R>(listener: TcpListener, http: Http, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let mut server = Self::accept_on(listener, move |tcp| {
            let (handler, count) = (handler.clone(), Arc::clone(&count));
            let service = service_fn(move |request| {
                count.fetch_add(1, Ordering::SeqCst);
                handler(request)
            });
            async move {
                tcp.set_nodelay(true).unwrap();
                let io = TokioIo::new(tcp);
                let _ = match http {
                    Http::One => {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await
                    }
                    Http::Two => {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .max_concurrent_streams(100)
                            .serve_connection(io, service)
                            .await
                    }
                };
            }
        });
        server.served = requests;
        server
    }

    /// Runs `serve` for each connection.
    pub async fn accept<F, R>(address: SocketAddr, serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::accept_on(TcpListener::bind(address).await.unwrap(), serve)
    }

    fn accept_on<F, R>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(tcp));
            }
        });
        Self { address, accepted, served: Arc::default(), task }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(format!("http://{}", self.address))
    }

    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// Closes the port and breaks all connections; returns when the port refuses new ones.
    pub async fn die(mut self) -> Dead {
        self.task.abort();
        let _ = (&mut self.task).await;
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind(self.address).unwrap();
        Dead { address: self.address, port }
    }
}

/// A port that nobody listens on, and that no other server of this machine is given meanwhile.
pub struct Dead {
    pub address: SocketAddr,
    port: TcpSocket,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn full(text: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub fn ok(text: impl Into<Bytes>) -> Result<Answer, BoxError> {
    Ok(Response::new(full(text)))
}

pub fn status(code: u16) -> Result<Answer, BoxError> {
    Ok(Response::builder().status(code).body(full("")).unwrap())
}

pub fn get() -> Request<Full<Bytes>> {
    Request::get("http://model/path?query=1").body(Full::default()).unwrap()
}

pub fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("/").body(Full::new(body.into())).unwrap()
}

/// Waits until `holds`; the bound only keeps a broken test from hanging.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// All requests have ended, and every one gave its in-flight count back.
pub fn assert_idle(balancer: &Balancer) {
    for node in balancer.fleet().snapshot().nodes() {
        assert_eq!(node.in_flight(), 0, "in flight at {}", node.id());
    }
}
