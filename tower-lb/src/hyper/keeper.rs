//! What is done now and then, off the request path: once a second the policy takes in what was measured
//! since, idle connections are closed, drained endpoints that are idle are let go, and the balancer's own
//! counters are published; every ten seconds the fleet is laid out anew by the round trips measured since.
//!
//! Nothing depends on it for correctness. The task holds the keeper weakly, so it ends within a second
//! of the last client.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use trimtab_core::Balancer;

use super::pool::Pool;
use crate::clock::Clock;

const EVERY: Duration = Duration::from_secs(1);
const REFRESH_EVERY: u32 = 10;

pub(super) struct Keeper<B> {
    balancer: Balancer,
    /// The label of its metrics.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code))]
    name: Arc<str>,
    pools: Mutex<Vec<Weak<Pool<B>>>>,
    running: AtomicBool,
}

impl<B: Send + 'static> Keeper<B> {
    pub(super) fn new(balancer: Balancer, name: Arc<str>) -> Arc<Self> {
        let pools = Mutex::default();
        Arc::new(Self { balancer, name, pools, running: AtomicBool::new(false) })
    }

    pub(super) fn watch(self: &Arc<Self>, pool: &Arc<Pool<B>>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(Arc::downgrade(pool));
        drop(pools);
        self.start();
    }

    /// Starts the task if it does not run and there is a runtime to run it.
    pub(super) fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.running.swap(true, Ordering::Relaxed) {
            runtime.spawn(keep(Running(Arc::downgrade(self))));
        }
    }

    /// The client is gone.
    pub(super) fn close(&self) {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools.iter().filter_map(Weak::upgrade) {
            pool.close();
        }
    }

    fn tick(&self, count: u32) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.upgrade().inspect(|pool| pool.sweep(EVERY)).is_some());
        drop(pools);
        self.balancer.tick(Clock::process().now());
        let snapshot = self.balancer.fleet().snapshot();
        let draining = (0..snapshot.nodes().len()).any(|index| snapshot.is_draining(index));
        if draining || count.is_multiple_of(REFRESH_EVERY) {
            self.balancer.fleet().refresh();
        }
        #[cfg(feature = "metrics")]
        crate::metrics::publish(&self.balancer, &self.name);
    }
}

async fn keep<B: Send + 'static>(running: Running<B>) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for count in 0_u32.. {
        interval.tick().await;
        let Some(keeper) = running.0.upgrade() else { return };
        keeper.tick(count);
    }
}

/// Says that the task runs until dropped, also when the runtime drops it.
struct Running<B>(Weak<Keeper<B>>);

impl<B> Drop for Running<B> {
    fn drop(&mut self) {
        if let Some(keeper) = self.0.upgrade() {
            keeper.running.store(false, Ordering::Relaxed);
        }
    }
}
