//! The connections to one endpoint.
//!
//! A request takes a connection that is ready, or waits in line while one opens. Opening runs in a task
//! of its own and puts what it opened here, so a request that is given up wastes nothing, and a
//! connection that another request gives back serves whoever waits. For HTTP/1.1 each waiting request
//! has an opening of its own; HTTP/2 opens one connection at a time, since one serves many.
//!
//! The lock is held for a few list operations, never across a wait.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::client::conn::{http1, http2 as h2_conn};
use tokio::sync::oneshot;
use trimtab_core::Node;

use super::{
    address::Address,
    config::{Config, Protocol},
    connect::{Dialer, Opened},
    http2::{Http2, Stream},
    reconnect,
};
use crate::{
    clock::Clock,
    error::{BoxError, TransportError},
};

pub(super) struct Pool<B> {
    pub(super) address: Address,
    pub(super) dialer: Arc<Dialer>,
    pub(super) node: Weak<Node>,
    connections: Mutex<Connections<B>>,
    /// Waiting requests, so that giving a stream back need not lock.
    waiting: AtomicUsize,
    /// The last thing that happened to a connection was that it could not be made.
    pub(super) down: AtomicBool,
    pub(super) reconnecting: AtomicBool,
    /// The client is gone: nothing is kept open.
    closed: AtomicBool,
}

struct Connections<B> {
    /// Ready HTTP/1.1 connections, the last used at the back, and when they were given back.
    idle: VecDeque<(http1::SendRequest<B>, u32)>,
    /// Sweeps so far: idle time is counted in them, so that requests read no clock for it.
    sweeps: u32,
    shared: Vec<Http2<B>>,
    line: VecDeque<oneshot::Sender<Turn>>,
    opening: usize,
    /// Whether the server speaks HTTP/2, once known.
    http2: Option<bool>,
    /// When a further shared connection was last refused: those there are must do for a while.
    refused: Option<Instant>,
}

/// What a waiting request is told: look again, or give up.
type Turn = Result<(), Arc<BoxError>>;

/// A connection to send one request on.
pub(super) enum Carrier<B> {
    Http1(http1::SendRequest<B>),
    Http2(h2_conn::SendRequest<B>, Stream),
}

/// A failed opening, shared by all who waited for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SharedError(#[source] Arc<BoxError>);

impl<B> Pool<B> {
    pub(super) fn new(address: Address, dialer: Arc<Dialer>, node: &Arc<Node>) -> Self {
        let http2 = match dialer.config.protocol {
            Protocol::Http1 => Some(false),
            Protocol::Http2 => Some(true),
            Protocol::Auto if !address.is_tls() => Some(false),
            Protocol::Auto => None,
        };
        let connections = Connections {
            idle: VecDeque::new(),
            sweeps: 0,
            shared: Vec::new(),
            line: VecDeque::new(),
            opening: 0,
            http2,
            refused: None,
        };
        Self {
            address,
            dialer,
            node: Arc::downgrade(node),
            connections: Mutex::new(connections),
            waiting: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            reconnecting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// The client is gone: connections close, the idle ones now and the others with their last answer.
    /// The node keeps the pool itself until it leaves the fleet.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let mut connections = self.lock();
        connections.idle.clear();
        connections.shared.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// HTTP/1.1 connections to keep at most: those that somebody waits for, and some to spare.
    fn spare(&self, connections: &Connections<B>) -> usize {
        if self.is_closed() {
            return connections.waiting();
        }
        self.dialer.config.max_idle.max(connections.line.len())
    }

    fn lock(&self) -> MutexGuard<'_, Connections<B>> {
        // Each operation leaves the lists whole, so a panic elsewhere does not spoil them.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An HTTP/1.1 connection has done its request and is ready for the next.
    pub(super) fn give_back(&self, sender: http1::SendRequest<B>) {
        let mut connections = self.lock();
        if connections.idle.len() >= self.spare(&connections) {
            return;
        }
        let now = connections.sweeps;
        connections.idle.push_back((sender, now));
        self.wake_one(&mut connections);
    }

    /// A stream of a shared connection has ended.
    pub(super) fn stream_ended(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake_one(&mut self.lock());
        }
    }

    /// Closes what has been idle for too long, or was closed by the server. Called once in `every`.
    pub(super) fn sweep(&self, every: Duration) {
        let limit = self.dialer.config.idle_timeout.as_secs_f64() / every.as_secs_f64();
        let mut connections = self.lock();
        connections.sweeps = connections.sweeps.wrapping_add(1);
        let now = connections.sweeps;
        connections.idle.retain(|(sender, since)| {
            !sender.is_closed() && f64::from(now.wrapping_sub(*since)) <= limit
        });
        connections.shared.retain_mut(|connection| {
            !connection.is_closed() && f64::from(connection.swept()) <= limit
        });
    }

    fn wake_one(&self, connections: &mut Connections<B>) {
        while let Some(next) = connections.line.pop_front() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if next.send(Ok(())).is_ok() {
                break;
            }
        }
    }

    fn everyone(&self, connections: &mut Connections<B>) -> VecDeque<oneshot::Sender<Turn>> {
        self.waiting.store(0, Ordering::Relaxed);
        std::mem::take(&mut connections.line)
    }
}

impl<B> Connections<B> {
    /// Those in line that have not been given up.
    fn waiting(&self) -> usize {
        self.line.iter().filter(|waiting| !waiting.is_closed()).count()
    }

    fn take(&mut self, config: &Config) -> Option<Carrier<B>> {
        while let Some((sender, _)) = self.idle.pop_back() {
            if !sender.is_closed() {
                return Some(Carrier::Http1(sender));
            }
        }
        self.shared.retain(|connection| !connection.is_closed());
        if let Some((sender, stream)) = self.shared.iter().find_map(Http2::take) {
            return Some(Carrier::Http2(sender, stream));
        }
        let refused = self.refused.is_some_and(|at| at.elapsed() < Self::REFUSED_FOR);
        if self.shared.len() < config.max_http2_connections && !refused {
            return None;
        }
        let (sender, stream) = self.shared.iter().min_by_key(|c| c.streams())?.take_anyway();
        Some(Carrier::Http2(sender, stream))
    }

    const REFUSED_FOR: Duration = Duration::from_secs(1);
}

impl<B> Pool<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A connection to send a request on.
    pub(super) async fn carrier(self: &Arc<Self>) -> Result<Carrier<B>, TransportError> {
        loop {
            let turn = match self.take_or_wait() {
                Ok(carrier) => return Ok(carrier),
                Err(turn) => turn,
            };
            match turn.await {
                // An opening that was dropped with its runtime is one that failed.
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => return Err(TransportError::connect(SharedError(error))),
            }
        }
    }

    fn take_or_wait(self: &Arc<Self>) -> Result<Carrier<B>, oneshot::Receiver<Turn>> {
        let mut connections = self.lock();
        if let Some(carrier) = connections.take(&self.dialer.config) {
            return Ok(carrier);
        }
        let (sender, receiver) = oneshot::channel();
        connections.line.retain(|waiting| !waiting.is_closed());
        connections.line.push_back(sender);
        let waiting = connections.line.len();
        self.waiting.store(waiting, Ordering::Relaxed);
        let wanted = if connections.http2 == Some(false) { waiting } else { 1 };
        if connections.opening < wanted {
            connections.opening += 1;
            tokio::spawn(open(Opening::new(self)));
        }
        Err(receiver)
    }

    /// Puts an opened connection here and tells the balancer that the endpoint can be reached.
    pub(super) fn admit(&self, opened: Opened<B>, round_trip: Duration) {
        if let Some(node) = self.node.upgrade() {
            node.record_round_trip(round_trip);
            if self.down.swap(false, Ordering::Relaxed) {
                tracing::info!(endpoint = %node.id(), "endpoint answers again");
                node.connected();
            }
        }
        let mut connections = self.lock();
        match opened {
            Opened::Http1(sender) => {
                // Until now they may have waited for one connection for all.
                let first = connections.http2.replace(false) != Some(false);
                let now = connections.sweeps;
                if connections.idle.len() < self.spare(&connections) {
                    connections.idle.push_back((sender, now));
                }
                if !first {
                    self.wake_one(&mut connections);
                    return;
                }
            }
            Opened::Http2(_) if self.is_closed() && connections.waiting() == 0 => return,
            Opened::Http2(connection) => {
                connections.http2 = Some(true);
                connections.refused = None;
                connections.shared.push(connection);
            }
        }
        // A shared connection serves many; those who find no room wait anew.
        for waiting in self.everyone(&mut connections) {
            let _ = waiting.send(Ok(()));
        }
    }

    /// No connection could be made: fails who waited for it, and tries again in the background.
    fn refuse(self: &Arc<Self>, error: BoxError) {
        let error = Arc::new(error);
        let mut connections = self.lock();
        if connections.http2 == Some(false) {
            // Each has an opening of its own.
            let next = connections.line.pop_front();
            self.waiting.store(connections.line.len(), Ordering::Relaxed);
            if let Some(waiting) = next {
                let _ = waiting.send(Err(Arc::clone(&error)));
            }
        } else {
            let open = connections.shared.iter().any(|connection| !connection.is_closed());
            connections.refused = open.then(Instant::now);
            for waiting in self.everyone(&mut connections) {
                let _ = waiting.send(if open { Ok(()) } else { Err(Arc::clone(&error)) });
            }
            if open {
                return;
            }
        }
        drop(connections);
        let Some(node) = self.node.upgrade() else { return };
        node.connect_failed(Clock::process().now());
        if !self.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(endpoint = %node.id(), %error, "endpoint cannot be reached");
        }
        reconnect::start(self);
    }
}

/// Opens a connection for whoever waits.
async fn open<B>(opening: Opening<B>)
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let Some((dialer, address)) =
        opening.pool.upgrade().map(|pool| (Arc::clone(&pool.dialer), pool.address.clone()))
    else {
        return;
    };
    let result = dialer.open(&address).await;
    let Some(pool) = opening.ended() else { return };
    match result {
        Ok((opened, round_trip)) => pool.admit(opened, round_trip),
        Err(error) => pool.refuse(error),
    }
}

/// Counts as opening until it has ended. If the runtime drops the task, those who wait look again.
struct Opening<B> {
    pool: Weak<Pool<B>>,
    ended: bool,
}

impl<B> Opening<B> {
    fn new(pool: &Arc<Pool<B>>) -> Self {
        Self { pool: Arc::downgrade(pool), ended: false }
    }

    /// It no longer counts, which is so before anyone is told how it ended.
    fn ended(mut self) -> Option<Arc<Pool<B>>> {
        self.ended = true;
        let pool = self.pool.upgrade()?;
        pool.lock().opening -= 1;
        Some(pool)
    }
}

impl<B> Drop for Opening<B> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade().filter(|_| !self.ended) {
            let mut connections = pool.lock();
            connections.opening -= 1;
            for waiting in pool.everyone(&mut connections) {
                let _ = waiting.send(Ok(()));
            }
        }
    }
}
