//! A running server, as its owner holds it.

use std::net::SocketAddr;

use tokio::{sync::watch, task::JoinHandle};
use trimtab_core::sim::Occupancy;

use crate::{
    FaultsHandle, ServerBuilder, StopReason,
    phase::{Phase, drain, stop},
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
    pub(crate) addr: SocketAddr,
    pub(crate) faults: FaultsHandle,
    pub(crate) occupancy: watch::Receiver<Occupancy>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) task: JoinHandle<()>,
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
        drain(&self.phase);
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
