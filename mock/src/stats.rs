//! What the server counts, and its exposition in Prometheus' text format under vLLM's names.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use trimtab_core::sim::{Occupancy, Timing};

use crate::load_report::Meter;

/// Counters shared between the engine, which writes most of them, and the handlers.
#[derive(Clone, Debug)]
pub(crate) struct Stats(Arc<Mutex<Counters>>);

#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) prompt_tokens: u64,
    pub(crate) generation_tokens: u64,
    pub(crate) finished: u64,
    pub(crate) cancelled: u64,
    pub(crate) preemptions: u64,
    pub(crate) cache_queries: u64,
    pub(crate) cache_hits: u64,
    time_to_first_token: Histogram,
    end_to_end: Histogram,
    queue: Histogram,
    finish_rate: Meter,
    failure_rate: Meter,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Counters {
            prompt_tokens: 0,
            generation_tokens: 0,
            finished: 0,
            cancelled: 0,
            preemptions: 0,
            cache_queries: 0,
            cache_hits: 0,
            time_to_first_token: Histogram::default(),
            end_to_end: Histogram::default(),
            queue: Histogram::default(),
            finish_rate: Meter::new(now),
            failure_rate: Meter::new(now),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Counters> {
        // Counters stay usable whatever happened to the task that held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record_failure(&self) {
        self.lock().failure_rate.record(Instant::now());
    }

    /// Finished and failed requests a second, over the last seconds.
    pub(crate) fn rates(&self) -> (f64, f64) {
        let now = Instant::now();
        let counters = self.lock();
        (counters.finish_rate.rate(now), counters.failure_rate.rate(now))
    }

    pub(crate) fn prometheus(&self, model: &str, occupancy: Occupancy) -> String {
        self.lock().prometheus(model, occupancy)
    }
}

impl Counters {
    pub(crate) fn record_finished(&mut self, prompt_tokens: u32, timing: &Timing) {
        self.finished += 1;
        self.cache_queries += u64::from(prompt_tokens);
        self.cache_hits += u64::from(timing.cached_tokens);
        self.time_to_first_token.record(timing.queue + timing.prefill);
        self.end_to_end.record(timing.queue + timing.processing());
        self.queue.record(timing.queue);
        self.finish_rate.record(Instant::now());
    }

    fn prometheus(&self, model: &str, occupancy: Occupancy) -> String {
        let mut page = Page { text: String::with_capacity(6_000), model };
        page.single("num_requests_running", "gauge", "Requests running.", occupancy.running as f64);
        page.single("num_requests_waiting", "gauge", "Requests waiting.", occupancy.waiting as f64);
        page.single(
            "kv_cache_usage_perc",
            "gauge",
            "Share of the KV cache in use, 1 is all.",
            occupancy.kv_usage,
        );
        let counters = [
            ("num_preemptions_total", "Sequences that lost their KV cache.", self.preemptions),
            ("prefix_cache_queries_total", "Prompt tokens looked up.", self.cache_queries),
            ("prefix_cache_hits_total", "Prompt tokens found in the cache.", self.cache_hits),
            ("prompt_tokens_total", "Prompt tokens processed.", self.prompt_tokens),
            ("generation_tokens_total", "Tokens generated.", self.generation_tokens),
        ];
        for (name, help, value) in counters {
            page.single(name, "counter", help, value as f64);
        }
        page.head("request_success_total", "counter", "Requests ended, by reason.");
        page.sample("request_success_total", "finished_reason=\"length\",", self.finished as f64);
        page.sample("request_success_total", "finished_reason=\"abort\",", self.cancelled as f64);
        for (name, help, histogram) in [
            ("time_to_first_token_seconds", "Time to first token.", &self.time_to_first_token),
            ("e2e_request_latency_seconds", "Time to the last token.", &self.end_to_end),
            ("request_queue_time_seconds", "Time before admission.", &self.queue),
        ] {
            page.histogram(name, help, histogram);
        }
        page.text
    }
}

#[derive(Debug, Default)]
struct Histogram {
    counts: [u64; Histogram::BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    const BOUNDS: [f64; 18] = [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0,
    ];

    fn record(&mut self, value: Duration) {
        self.counts[Self::BOUNDS.partition_point(|&bound| bound < value.as_secs_f64())] += 1;
        self.sum += value;
    }
}

struct Page<'a> {
    text: String,
    model: &'a str,
}

// Writing to a String can't fail, so the results are dropped.
impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let model = self.model;
        let _ = writeln!(self.text, "vllm:{name}{{{labels}model_name=\"{model}\"}} {value:?}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut total = 0;
        let bounds = Histogram::BOUNDS.iter().map(|bound| format!("{bound:?}"));
        for (count, bound) in histogram.counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            total += count;
            let labels = format!("le=\"{bound}\",");
            self.sample(&format!("{name}_bucket"), &labels, total as f64);
        }
        self.sample(&format!("{name}_sum"), "", histogram.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), "", total as f64);
    }
}
