//! Getting an endpoint back that could not be connected to, without traffic.
//!
//! One task an endpoint, from the failure until it answers, its node or the client is gone, or a request
//! got through by itself. The waits have full jitter, `U(0, min(cap, base x 2^n))`, so that the clients of a server
//! that restarts do not arrive together. The connection that succeeds stays in the pool.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::pool::Pool;
use crate::{clock::Clock, error::BoxError, random};

/// Starts the task if it does not run.
pub(super) fn start<B>(pool: &Arc<Pool<B>>)
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if !pool.reconnecting.swap(true, Ordering::Relaxed) {
        tokio::spawn(until_back(Running(Arc::downgrade(pool))));
    }
}

async fn until_back<B>(running: Running<B>)
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    for attempt in 0_u32.. {
        let Some(delay) = running.0.upgrade().map(|pool| pool.delay(attempt)) else { return };
        tokio::time::sleep(delay).await;
        let Some(pool) = running.0.upgrade() else { return };
        let Some(node) = pool.node.upgrade() else { return };
        if !pool.down.load(Ordering::Relaxed) || pool.is_closed() {
            return;
        }
        match pool.dialer.open(&pool.address).await {
            Ok((opened, round_trip)) => return pool.admit(opened, round_trip),
            Err(error) => {
                tracing::debug!(endpoint = %node.id(), attempt, %error, "still cannot be reached");
                node.connect_failed(Clock::process().now());
            }
        }
    }
}

impl<B> Pool<B> {
    fn delay(&self, attempt: u32) -> Duration {
        let config = &self.dialer.config;
        let longest = config.base_reconnect.saturating_mul(1 << attempt.min(20));
        longest.min(config.max_reconnect).mul_f64(random::with(trimtab_core::Rng::unit))
    }
}

/// Says that the task runs until dropped, also when the runtime drops it.
struct Running<B>(Weak<Pool<B>>);

impl<B> Drop for Running<B> {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.reconnecting.store(false, Ordering::Relaxed);
        }
    }
}
