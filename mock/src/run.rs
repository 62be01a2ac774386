//! The blocking entry, for callers without a runtime of their own.

use std::net::SocketAddr;

use crate::{MockError, Server, ServerBuilder, StopReason};

/// Runs a server on this thread until `shutdown` completes or the exit fault stops it.
///
/// `ready` is called once it listens: there the address is known, and a clone of the faults handle
/// can be taken. After `shutdown` requests in flight may end within the grace period.
///
/// # Errors
/// As [`ServerBuilder::bind`], and [`MockError::Runtime`].
pub fn run(
    builder: ServerBuilder,
    addr: SocketAddr,
    ready: impl FnOnce(&Server),
    shutdown: impl Future<Output = ()>,
) -> Result<StopReason, MockError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MockError::Runtime)?;
    runtime.block_on(async {
        let mut server = builder.bind(addr).await?;
        ready(&server);
        tokio::select! {
            reason = server.stopped() => Ok(reason),
            () = shutdown => {
                server.shutdown().await;
                Ok(StopReason::Shutdown)
            }
        }
    })
}
