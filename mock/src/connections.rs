//! Connections: taken in, served in both protocols, ended.

use std::{sync::Arc, time::Duration};

use http::{Request, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    StopReason,
    body::Hangup,
    grpc::Services,
    http as http_api,
    phase::{Phase, stop, until_draining, until_stopped},
    replica::Replica,
};

pub(crate) struct Connections {
    pub(crate) replica: Arc<Replica>,
    pub(crate) services: Services,
    pub(crate) limit: usize,
    pub(crate) network_delay: Duration,
    pub(crate) grace: Duration,
}

impl Connections {
    /// Runs until the phase says otherwise; when it returns, everything is closed.
    pub(crate) async fn run(self, listener: TcpListener, phase: watch::Sender<Phase>) {
        let mut now = phase.subscribe();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = until_draining(&mut now) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < self.limit => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(self.connection(stream, phase.subscribe()));
                        }
                        Err(error) => {
                            // Out of file descriptors, mostly: wait until some are closed.
                            tracing::warn!(%error, "can't accept a connection");
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                }
            }
        }
        drop(listener);
        let drain = timeout(self.grace, async { while connections.join_next().await.is_some() {} });
        tokio::select! {
            _ = drain => {}
            () = until_stopped(&mut now) => {}
        }
        connections.shutdown().await;
        stop(&phase, StopReason::Shutdown);
    }

    fn connection(
        &self,
        stream: TcpStream,
        mut phase: watch::Receiver<Phase>,
    ) -> impl Future<Output = ()> + use<> {
        let (replica, services) = (self.replica.clone(), self.services.clone());
        let network_delay = self.network_delay;
        async move {
            // Tokens are small and must not wait for each other.
            let _ = stream.set_nodelay(true);
            let hangup = Hangup::default();
            let service = {
                let hangup = hangup.clone();
                service_fn(move |request: Request<Incoming>| {
                    let (replica, services, hangup) =
                        (replica.clone(), services.clone(), hangup.clone());
                    async move {
                        if !network_delay.is_zero() {
                            tokio::time::sleep(network_delay).await;
                        }
                        if is_grpc(&request) {
                            Ok(services.serve(hangup, request).await)
                        } else {
                            http_api::serve(&replica, hangup, request).await
                        }
                    }
                })
            };
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // No limit on the time between requests: clients keep idle connections in their pools.
            builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
            builder.http2().timer(TokioTimer::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let mut draining = false;
            loop {
                tokio::select! {
                    ended = &mut connection => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "connection ended");
                        }
                        return;
                    }
                    () = hangup.requested() => return,
                    () = until_draining(&mut phase), if !draining => {
                        draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
