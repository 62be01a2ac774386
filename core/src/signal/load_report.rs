//! What a server says of its own load.
//!
//! The fields are ORCA's (`xds.data.orca.v3.OrcaLoadReport`), however the report came: a gRPC
//! trailer, an HTTP header, a scrape. The slot keeps the last report and when it came. What picks of
//! every request read of it is looked up by name once, when it comes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{cell::Cell, time::Time};

/// One load report. Utilisations are fractions of capacity (above 1 when overloaded); 0 means not
/// told, as in ORCA.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// CPU in use.
    pub cpu_utilization: f64,
    /// Memory in use.
    pub mem_utilization: f64,
    /// The application's own measure of how full it is.
    pub application_utilization: f64,
    /// Requests a second.
    pub rps: f64,
    /// Errors a second.
    pub eps: f64,
    /// Anything else by name, such as `kv_cache_usage_perc`.
    pub named_metrics: BTreeMap<String, f64>,
}

impl LoadReport {
    /// How full the server is: by the application's own measure, else by its CPU.
    pub(crate) fn utilization(&self) -> f64 {
        let used = self.application_utilization;
        if used > 0.0 { used } else { self.cpu_utilization }
    }
}

/// What an LLM server's load report says of its queue, and what this process had there when it came:
/// what was sent since is not in the report.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LlmLoad {
    /// When the report came.
    pub at: Time,
    /// Requests that run: `num_requests_running` (vLLM), `num_running_reqs` (`SGLang`).
    pub running: f64,
    /// Requests that wait: `num_requests_waiting`, `num_queue_reqs`.
    pub waiting: f64,
    /// Prompt tokens that are yet to be computed, if told: `num_prompt_tokens_waiting`, or
    /// `num_waiting_uncached_tokens` (`SGLang`).
    pub prompt_tokens: Option<f64>,
    /// Share of the KV cache in use: `kv_cache_usage_perc`, `gpu_cache_usage_perc`, `token_usage`.
    pub kv_usage: f64,
    /// Requests of this process that were there.
    pub own_in_flight: u32,
    /// Predicted cost of these.
    pub own_work: Duration,
}

impl LlmLoad {
    /// Finds the gauges by their names, whatever stands before the last colon. `None` without any.
    fn read(at: Time, report: &LoadReport, own: Own) -> Option<Self> {
        let mut load = Self {
            at,
            running: 0.0,
            waiting: 0.0,
            prompt_tokens: None,
            kv_usage: 0.0,
            own_in_flight: own.in_flight,
            own_work: own.work,
        };
        let mut told = false;
        for (name, value) in &report.named_metrics {
            let sound = value.is_finite() && *value >= 0.0;
            let name = name.rsplit(':').next().unwrap_or(name);
            match name.strip_prefix("sglang_").unwrap_or(name) {
                _ if !sound => continue,
                "num_requests_running" | "num_running_reqs" => load.running = *value,
                "num_requests_waiting" | "num_queue_reqs" => load.waiting = *value,
                "num_prompt_tokens_waiting" | "num_waiting_uncached_tokens" => {
                    load.prompt_tokens = Some(*value);
                }
                "kv_cache_usage_perc" | "gpu_cache_usage_perc" | "token_usage" => {
                    load.kv_usage = value.min(1.0);
                }
                _ => continue,
            }
            told = true;
        }
        told.then_some(load)
    }
}

/// What this process has at an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    pub(crate) in_flight: u32,
    pub(crate) work: Duration,
}

#[derive(Debug)]
struct Last {
    at: Time,
    report: LoadReport,
    llm: Option<LlmLoad>,
}

/// The last report of one endpoint.
#[derive(Debug)]
pub(crate) struct LoadSlot(Cell<Option<Last>>);

impl LoadSlot {
    pub(crate) fn new() -> Self {
        Self(Cell::new(Arc::new(None)))
    }

    pub(crate) fn store(&self, at: Time, report: LoadReport, own: Own) {
        let llm = LlmLoad::read(at, &report, own);
        self.0.store(Arc::new(Some(Last { at, report, llm })));
    }

    pub(crate) fn load(&self) -> Option<(Time, LoadReport)> {
        self.0.load().as_ref().map(|last| (last.at, last.report.clone()))
    }

    /// What the last report says of an LLM server's queue.
    #[inline]
    pub(crate) fn llm(&self) -> Option<LlmLoad> {
        self.0.load().as_ref().and_then(|last| last.llm)
    }

    /// The last report's time and [`LoadReport::utilization`], without a copy of the report.
    pub(crate) fn utilization(&self) -> Option<(Time, f64)> {
        self.0.load().as_ref().map(|last| (last.at, last.report.utilization()))
    }
}
