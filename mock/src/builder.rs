//! The options of a server, and how it starts.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{net::TcpListener, sync::watch};
use tonic_health::server::{HealthReporter, HealthService};
use trimtab_core::{
    Rng,
    sim::{LlmServer, Preset},
};

use crate::{
    Faults, FaultsHandle, MockError, Server, connections::Connections, engine::Engine,
    fault_effects::obey_faults, grpc::Services, phase::Phase, replica::Replica, stats::Stats,
};

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
    network_delay: Duration,
    grace: Duration,
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
            network_delay: Duration::ZERO,
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

    /// Most requests beyond those that the preset runs at once, at least 1; more get 429 or
    /// `RESOURCE_EXHAUSTED`.
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

    /// How far away the server seems: every request waits this long before it is looked at, as if
    /// that were the network's round trip.
    pub fn network_delay(mut self, round_trip: Duration) -> Self {
        self.network_delay = round_trip;
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
        let connections = Connections {
            services: Services::new(replica.clone(), health),
            replica,
            limit: self.max_connections,
            network_delay: self.network_delay,
            grace: self.grace,
        };
        let task = tokio::spawn(connections.run(listener, phase.clone()));
        tracing::info!(%addr, "mock server listens");
        Ok(Server { addr, faults, occupancy, phase, task })
    }
}
