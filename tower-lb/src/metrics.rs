//! What is counted, through the [`metrics`](https://docs.rs/metrics) facade (feature `metrics`).
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `trimtab_picks_total` | counter | `endpoint`, `policy` |
//! | `trimtab_requests_total` | counter | `endpoint`, `outcome`: `success`, `failure`, `ignored`, `cancelled` |
//! | `trimtab_failures_total` | counter | `endpoint`, `kind`: `connect`, `reset`, `timeout`, `status` |
//! | `trimtab_in_flight` | gauge | `endpoint` |
//! | `trimtab_latency_seconds` | histogram, to the first byte of successes | `endpoint` |
//! | `trimtab_retries_total` | counter | `endpoint` that the request left |
//! | `trimtab_ejections_total`, `trimtab_returns_total`, `trimtab_fail_open_total` | counter | `balancer` |
//! | `trimtab_fallbacks_total` | counter | `balancer`, `reason` |
//! | `trimtab_log_dropped_total` | counter | `balancer` |
//!
//! An endpoint's handles are made when the first request goes there, so install the recorder before;
//! from then on a count is an atomic addition. Without the feature all of this is nothing. The last
//! three rows are kept by the balancer and published by `publish`, which the hyper and tonic clients call
//! every second. Their label `balancer` is [`Builder::name`](crate::Builder::name): without one, two
//! balancers in a process would overwrite each other's counts. The counts of an endpoint are additions,
//! so that an endpoint of several balancers has their sum.

#[cfg(feature = "metrics")]
mod facade {
    use std::{sync::Arc, time::Duration};

    use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
    use trimtab_core::{Balancer, EndpointId, Failure, Outcome, Verdict};

    const FAILURES: [Failure; 4] =
        [Failure::Connect, Failure::Reset, Failure::Timeout, Failure::Status];

    /// One endpoint's handles.
    #[derive(Clone, Debug)]
    pub(crate) struct Meters(Arc<Handles>);

    #[derive(Debug)]
    struct Handles {
        picks: Counter,
        in_flight: Gauge,
        latency: Histogram,
        retries: Counter,
        success: Counter,
        failure: Counter,
        ignored: Counter,
        cancelled: Counter,
        failures: [Counter; FAILURES.len()],
    }

    impl Meters {
        pub(crate) fn new(endpoint: &EndpointId, policy: &str) -> Self {
            let id = endpoint.to_string();
            let requests = |outcome: &'static str| counter!("trimtab_requests_total", "endpoint" => id.clone(), "outcome" => outcome);
            Self(Arc::new(Handles {
                picks: counter!(
                    "trimtab_picks_total", "endpoint" => id.clone(), "policy" => policy.to_owned()
                ),
                in_flight: gauge!("trimtab_in_flight", "endpoint" => id.clone()),
                latency: histogram!("trimtab_latency_seconds", "endpoint" => id.clone()),
                retries: counter!("trimtab_retries_total", "endpoint" => id.clone()),
                success: requests("success"),
                failure: requests("failure"),
                ignored: requests("ignored"),
                cancelled: requests("cancelled"),
                failures: FAILURES.map(|kind| {
                    let kind = kind.as_str();
                    counter!("trimtab_failures_total", "endpoint" => id.clone(), "kind" => kind)
                }),
            }))
        }

        pub(crate) fn picked(&self) {
            self.0.picks.increment(1);
            self.0.in_flight.increment(1);
        }

        pub(crate) fn first_byte(&self, latency: Duration) {
            self.0.latency.record(latency);
        }

        pub(crate) fn retried(&self) {
            self.0.retries.increment(1);
        }

        pub(crate) fn ended(&self, outcome: Option<&Outcome>) {
            let handles = &*self.0;
            handles.in_flight.decrement(1);
            let counter = match outcome.map(|outcome| outcome.verdict) {
                None => &handles.cancelled,
                Some(Verdict::Success) => &handles.success,
                Some(Verdict::Failure(failure)) => {
                    let kind = FAILURES.iter().position(|kind| *kind == failure);
                    if let Some(kind) = kind {
                        handles.failures[kind].increment(1);
                    }
                    &handles.failure
                }
                Some(_) => &handles.ignored,
            };
            counter.increment(1);
        }
    }

    /// Publishes what `balancer` has counted itself, under the label `name`: one name a balancer.
    pub fn publish(balancer: &Balancer, name: &str) {
        let counters = balancer.counters();
        let total = |metric: &'static str, count: u64| {
            counter!(metric, "balancer" => name.to_owned()).absolute(count);
        };
        total("trimtab_ejections_total", counters.ejections);
        total("trimtab_returns_total", counters.returns);
        total("trimtab_fail_open_total", counters.fail_open);
        for (reason, count) in counters.fallbacks {
            let labels = [("balancer", name.to_owned()), ("reason", reason.as_str().to_owned())];
            counter!("trimtab_fallbacks_total", &labels).absolute(count);
        }
        if let Some(log) = balancer.log() {
            total("trimtab_log_dropped_total", log.dropped());
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod nothing {
    use std::time::Duration;

    use trimtab_core::{EndpointId, Outcome};

    /// Counts nothing and costs nothing.
    #[derive(Clone, Debug)]
    pub(crate) struct Meters;

    #[allow(clippy::unused_self)]
    impl Meters {
        pub(crate) fn new(_: &EndpointId, _: &str) -> Self {
            Self
        }

        pub(crate) fn picked(&self) {}

        pub(crate) fn first_byte(&self, _: Duration) {}

        pub(crate) fn retried(&self) {}

        pub(crate) fn ended(&self, _: Option<&Outcome>) {}
    }
}

#[cfg(feature = "metrics")]
pub(crate) use facade::Meters;
#[cfg(feature = "metrics")]
pub use facade::publish;
#[cfg(not(feature = "metrics"))]
pub(crate) use nothing::Meters;
