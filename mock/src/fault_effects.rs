//! Faults that are more than a request's fate: what gRPC health says, and the exit.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    Faults, StopReason,
    phase::{Phase, stop, until_stopped},
};

/// Shows the faults in gRPC health and lets the exit fault happen.
pub(crate) async fn obey_faults(
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
