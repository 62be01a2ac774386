//! A running server: its options, its connections, its end.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Request, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, HealthService},
};
use trimtab_core::{
    Rng,
    sim::{LlmServer, Occupancy, Preset},
};

use crate::{
    Faults, FaultsHandle, MockError, body::Hangup, engine::Engine, grpc::Services,
    http as http_api, replica::Replica, stats::Stats,
};

/// A running mock server. HTTP/1.1, HTTP/2 without TLS and gRPC share its one port.
///
/// Dropping it stops it at once; [`Server::shutdown`] lets requests in flight end first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use trimtab_mock::Server;
/// let server = Server::builder().preset_name("decode-fast")?.seed(1).bind("127.0.0.1:0".parse()?).await?;
/// println!("{}/v1/models", server.url());
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    faults: FaultsHandle,
    occupancy: watch::Receiver<Occupancy>,
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

/// Options of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    preset: Option<Preset>,
    seed: u64,
    faults: Faults,
    model_name: String,
    max_waiting: usize,
    max_body_bytes: usize,
    max_connections: usize,
    grace: Duration,
}

/// Why a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It was told to.
    Shutdown,
    /// The `exit_after_s` fault.
    ExitFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// No new connections; those there end when their requests do.
    Draining,
    Stopped(StopReason),
}

impl Server {
    /// The options, with their defaults: preset `mid`, seed 0, no faults, 1024 waiting requests,
    /// bodies up to 4 MiB, 4096 connections, 5 s of grace.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The faults, to switch while it runs.
    pub fn faults(&self) -> &FaultsHandle {
        &self.faults
    }

    /// The model's occupancy as it changes; closed when the server has stopped.
    pub fn occupancy(&self) -> watch::Receiver<Occupancy> {
        self.occupancy.clone()
    }

    /// Stops taking connections, lets requests in flight end within the grace period, then closes
    /// what is left. Cancel safe: dropping the future drops the server, which stops at once.
    pub async fn shutdown(mut self) {
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining;
            }
            serving
        });
        self.stopped().await;
    }

    /// Waits until the server has stopped and closed everything. Cancel safe.
    pub async fn stopped(&mut self) -> StopReason {
        if !self.task.is_finished() {
            // A panic in the task has stopped the server all the same.
            let _ = (&mut self.task).await;
        }
        match *self.phase.borrow() {
            Phase::Stopped(reason) => reason,
            Phase::Serving | Phase::Draining => StopReason::Shutdown,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&self.phase, StopReason::Shutdown);
    }
}

/// The first reason stands.
fn stop(phase: &watch::Sender<Phase>, reason: StopReason) {
    phase.send_if_modified(|phase| {
        let going = !matches!(phase, Phase::Stopped(_));
        if going {
            *phase = Phase::Stopped(reason);
        }
        going
    });
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            preset: None,
            seed: 0,
            faults: Faults::default(),
            model_name: "trimtab-mock".to_owned(),
            max_waiting: 1_024,
            max_body_bytes: 4 << 20,
            max_connections: 4_096,
            grace: Duration::from_secs(5),
        }
    }
}

impl ServerBuilder {
    /// The hardware to imitate.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = Some(preset);
        self
    }

    /// The hardware to imitate, by name.
    ///
    /// # Errors
    /// [`MockError::Preset`], which lists the known names.
    pub fn preset_name(self, name: &str) -> Result<Self, MockError> {
        Ok(self.preset(Preset::by_name(name)?))
    }

    /// Seed of the noise on the model's iterations and of random faults.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Faults from the start.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The name in `/v1/models` and on the metrics. Requests may name any model.
    pub fn model_name(mut self, name: impl Into<String>) -> Self {
        self.model_name = name.into();
        self
    }

    /// Most requests that wait for the model, at least 1; more get 429 or `RESOURCE_EXHAUSTED`.
    pub fn max_waiting(mut self, requests: usize) -> Self {
        self.max_waiting = requests;
        self
    }

    /// Longest request body; more gets 413.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Most connections at once, at least 1; more wait in the listen queue.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long [`Server::shutdown`] waits for requests in flight.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Starts the server on the current tokio runtime; port 0 takes any that is free. `/faults` has
    /// no access control, so listen on loopback or where you trust everybody.
    ///
    /// # Errors
    /// [`MockError::AddressInUse`] and [`MockError::Bind`] name the address; the others name the
    /// option that is out of range.
    pub async fn bind(self, addr: SocketAddr) -> Result<Server, MockError> {
        for (option, value) in
            [("max_waiting", self.max_waiting), ("max_connections", self.max_connections)]
        {
            if value == 0 {
                return Err(MockError::Option { option, rule: "be at least 1" });
            }
        }
        if self.model_name.is_empty() || self.model_name.contains(['"', '\\', '\n']) {
            let rule = "not be empty nor hold quotes, backslashes or line ends";
            return Err(MockError::Option { option: "model_name", rule });
        }
        self.faults.validate()?;
        let preset = self.preset.map_or_else(|| Preset::by_name("mid"), Ok)?;
        let model = LlmServer::new(preset.clone())?;
        let listener = TcpListener::bind(addr).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => MockError::AddressInUse { addr },
            _ => MockError::Bind { addr, source },
        })?;
        let addr = listener.local_addr().map_err(|source| MockError::Bind { addr, source })?;

        let mut rng = Rng::seeded(self.seed);
        let dice = Mutex::new(Rng::seeded(rng.bits()));
        let stats = Stats::new();
        let faults = FaultsHandle::new(self.faults);
        let engine = Engine::start(model, rng, faults.subscribe(), stats.clone(), self.max_waiting);
        let occupancy = engine.occupancy();
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let replica = Arc::new(Replica {
            preset,
            model_name: self.model_name,
            max_body_bytes: self.max_body_bytes,
            engine,
            faults: faults.clone(),
            stats,
            created,
            dice,
            next_id: AtomicU64::new(0),
        });
        let phase = watch::Sender::new(Phase::Serving);
        let reporter = HealthReporter::new();
        let health = HealthService::from_health_reporter(reporter.clone());
        tokio::spawn(obey_faults(faults.subscribe(), reporter, phase.clone()));
        let accept = Accept {
            services: Services::new(replica.clone(), health),
            replica,
            phase: phase.subscribe(),
            max_connections: self.max_connections,
            grace: self.grace,
        };
        let task = tokio::spawn(accept.run(listener, phase.clone()));
        tracing::info!(%addr, "mock server listens");
        Ok(Server { addr, faults, occupancy, phase, task })
    }
}

/// Shows the faults in gRPC health and lets the exit fault happen.
async fn obey_faults(
    mut faults: watch::Receiver<Faults>,
    reporter: HealthReporter,
    phase: watch::Sender<Phase>,
) {
    let mut stopped = phase.subscribe();
    // When the exit is due, and the setting that made it so: other changes don't restart it.
    let mut exit: Option<(Duration, Instant)> = None;
    loop {
        let now = faults.borrow_and_update().clone();
        let status =
            if now.fails_health() { ServingStatus::NotServing } else { ServingStatus::Serving };
        for service in ["", "trimtab.mock.v1.Inference"] {
            reporter.set_service_status(service, status).await;
        }
        exit = now.exit_after.map(|after| match exit {
            Some(armed) if armed.0 == after => armed,
            _ => (after, Instant::now() + after),
        });
        tokio::select! {
            changed = faults.changed() => if changed.is_err() { return },
            () = async { sleep_until(exit.map_or_else(Instant::now, |exit| exit.1)).await },
                if exit.is_some() => {
                stop(&phase, StopReason::ExitFault);
                return;
            }
            () = until_stopped(&mut stopped) => return,
        }
    }
}

struct Accept {
    replica: Arc<Replica>,
    services: Services,
    phase: watch::Receiver<Phase>,
    max_connections: usize,
    grace: Duration,
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").finish_non_exhaustive()
    }
}

impl Accept {
    async fn run(self, listener: TcpListener, phase: watch::Sender<Phase>) {
        let mut now = phase.subscribe();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = until_draining(&mut now) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < self.max_connections => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(self.connection(stream));
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

    fn connection(&self, stream: TcpStream) -> impl Future<Output = ()> + use<> {
        let (replica, services) = (self.replica.clone(), self.services.clone());
        let mut phase = self.phase.clone();
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
                        if is_grpc(&request) {
                            Ok(services.serve(hangup, request).await)
                        } else {
                            http_api::serve(&replica, hangup, request).await
                        }
                    }
                })
            };
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
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

async fn until_draining(phase: &mut watch::Receiver<Phase>) {
    // An error means that the sender is gone, and the server with it.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

async fn until_stopped(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| matches!(phase, Phase::Stopped(_))).await;
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
