//! One mock replica as its handlers see it: engine, faults, counters and what it is called.

use std::{
    future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use trimtab_core::{
    Rng,
    sim::{Occupancy, Preset},
};

use crate::{engine::Engine, faults::FaultsHandle, load_report::OrcaLoadReport, stats::Stats};

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) preset: Preset,
    pub(crate) model_name: String,
    pub(crate) max_body_bytes: usize,
    pub(crate) engine: Engine,
    pub(crate) faults: FaultsHandle,
    pub(crate) stats: Stats,
    /// Seconds since the Unix epoch, for `OpenAI`'s `created`.
    pub(crate) created: u64,
    pub(crate) dice: Mutex<Rng>,
    pub(crate) next_id: AtomicU64,
}

/// What the faults have in store for one inference request that gets past them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// The connection closes in the middle of the answer.
    Reset,
    /// 500 or `UNAVAILABLE`.
    Fail,
    /// 503 or `UNAVAILABLE` at once.
    Refuse,
}

impl Replica {
    /// Draws a request's fate; does not return while the stall fault was on when it came.
    pub(crate) async fn fate(&self) -> Fate {
        let faults = self.faults.get();
        if faults.fail_fast {
            self.stats.record_failure();
            return Fate::Refuse;
        }
        if faults.stall {
            future::pending::<()>().await;
        }
        if self.roll(faults.error_rate) {
            self.stats.record_failure();
            return Fate::Fail;
        }
        if self.roll(faults.reset_rate) { Fate::Reset } else { Fate::Answer }
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        *self.engine.occupancy().borrow()
    }

    pub(crate) fn load_report(&self) -> OrcaLoadReport {
        let occupancy = self.occupancy();
        let (rps_fractional, eps) = self.stats.rates();
        let pending = occupancy.running + occupancy.waiting;
        OrcaLoadReport {
            mem_utilization: occupancy.kv_usage,
            rps_fractional,
            eps,
            application_utilization: pending as f64 / self.preset.max_seqs as f64,
            named_metrics: [
                ("kv_cache_usage_perc", occupancy.kv_usage),
                ("num_requests_running", occupancy.running as f64),
                ("num_requests_waiting", occupancy.waiting as f64),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            ..OrcaLoadReport::default()
        }
    }

    /// The grain of prompt hashes; 0 where the model has no use for them.
    pub(crate) fn hashed_block_tokens(&self) -> u32 {
        if self.preset.prefix_cache { self.preset.block_tokens } else { 0 }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn roll(&self, share: f64) -> bool {
        share > 0.0 && self.dice.lock().unwrap_or_else(PoisonError::into_inner).unit() < share
    }
}
