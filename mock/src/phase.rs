//! The stages of a server's life, and who waits for which.

use tokio::sync::watch;

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
pub(crate) enum Phase {
    Serving,
    /// No new connections; those there end when their requests do.
    Draining,
    Stopped(StopReason),
}

/// Lets requests in flight end, unless the server has gone further already.
pub(crate) fn drain(phase: &watch::Sender<Phase>) {
    phase.send_if_modified(|phase| {
        let serving = *phase == Phase::Serving;
        if serving {
            *phase = Phase::Draining;
        }
        serving
    });
}

/// Ends everything at once. The first reason stands.
pub(crate) fn stop(phase: &watch::Sender<Phase>, reason: StopReason) {
    phase.send_if_modified(|phase| {
        let going = !matches!(phase, Phase::Stopped(_));
        if going {
            *phase = Phase::Stopped(reason);
        }
        going
    });
}

pub(crate) async fn until_draining(phase: &mut watch::Receiver<Phase>) {
    // An error means that the sender is gone, and the server with it.
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

pub(crate) async fn until_stopped(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| matches!(phase, Phase::Stopped(_))).await;
}
