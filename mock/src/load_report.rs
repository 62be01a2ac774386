//! Load reports in the three shapes that servers give them.
//!
//! [`OrcaLoadReport`] is `xds.data.orca.v3.OrcaLoadReport` of the xDS protocol, derived by hand since
//! it is one message: it goes into the gRPC trailer `endpoint-load-metrics-bin`. Over HTTP the
//! request header `endpoint-load-metrics-format: JSON|TEXT` (any case, as in vLLM) asks for the
//! response header `endpoint-load-metrics`. vLLM fills `named_metrics` with `kv_cache_usage_perc`
//! and `num_requests_waiting`; this server adds `num_requests_running` and the top-level fields
//! that client-side weighted round robin (gRFC A58) needs.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde::Serialize;

/// A server's load at one moment.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct OrcaLoadReport {
    /// CPU utilisation; 0 is not reported.
    #[prost(double, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_utilization: f64,
    /// Memory utilisation: here the share of the KV cache in use.
    #[prost(double, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_utilization: f64,
    /// Cost of this request by resource; empty here.
    #[prost(btree_map = "string, double", tag = "4")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub request_cost: BTreeMap<String, f64>,
    /// Utilisation by resource, 0 to 1; empty here.
    #[prost(btree_map = "string, double", tag = "5")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub utilization: BTreeMap<String, f64>,
    /// Requests finished a second.
    #[prost(double, tag = "6")]
    #[serde(skip_serializing_if = "is_zero")]
    pub rps_fractional: f64,
    /// Requests failed a second.
    #[prost(double, tag = "7")]
    #[serde(skip_serializing_if = "is_zero")]
    pub eps: f64,
    /// The server's own gauges.
    #[prost(btree_map = "string, double", tag = "8")]
    pub named_metrics: BTreeMap<String, f64>,
    /// Running and waiting requests over the sequence limit; above 1 there is a queue.
    #[prost(double, tag = "9")]
    #[serde(skip_serializing_if = "is_zero")]
    pub application_utilization: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl OrcaLoadReport {
    /// The value of `endpoint-load-metrics` in the format that was asked for, `None` for a format
    /// that is not JSON or TEXT.
    pub(crate) fn header(&self, format: &str) -> Option<String> {
        if format.eq_ignore_ascii_case("json") {
            return serde_json::to_string(self).ok().map(|json| format!("JSON {json}"));
        }
        if !format.eq_ignore_ascii_case("text") {
            return None;
        }
        let scalars = [
            ("cpu_utilization", self.cpu_utilization),
            ("mem_utilization", self.mem_utilization),
            ("rps_fractional", self.rps_fractional),
            ("eps", self.eps),
            ("application_utilization", self.application_utilization),
        ];
        let mut text = String::from("TEXT");
        let mut separator = ' ';
        let mut push = |prefix: &str, name: &str, value: f64| {
            let comma = if separator == ' ' { " " } else { ", " };
            separator = ',';
            // Writing to a String can't fail.
            let _ = write!(text, "{comma}{prefix}{name}={value}");
        };
        for (name, value) in scalars.into_iter().filter(|(_, value)| *value != 0.0) {
            push("", name, value);
        }
        for (name, value) in &self.named_metrics {
            push("named_metrics.", name, *value);
        }
        Some(text)
    }
}

/// Events a second over the last few seconds, in buckets of half a second.
#[derive(Debug)]
pub(crate) struct Meter {
    origin: Instant,
    buckets: [(u64, u32); Meter::BUCKETS],
}

impl Meter {
    const BUCKETS: usize = 8;
    const WIDTH: Duration = Duration::from_millis(500);

    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, buckets: [(0, 0); Self::BUCKETS] }
    }

    pub(crate) fn record(&mut self, now: Instant) {
        let index = self.index(now);
        let bucket = &mut self.buckets[index as usize % Self::BUCKETS];
        if bucket.0 != index {
            *bucket = (index, 0);
        }
        bucket.1 = bucket.1.saturating_add(1);
    }

    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let index = self.index(now);
        let oldest = index.saturating_sub(Self::BUCKETS as u64 - 1);
        let recent = self.buckets.iter().filter(|bucket| (oldest..=index).contains(&bucket.0));
        let count: u32 = recent.map(|bucket| bucket.1).sum();
        let start = self.origin + Self::WIDTH * u32::try_from(oldest).unwrap_or(u32::MAX);
        let span = now.saturating_duration_since(start).max(Self::WIDTH);
        f64::from(count) / span.as_secs_f64()
    }

    fn index(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.origin).as_millis() / Self::WIDTH.as_millis()) as u64
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn report() -> OrcaLoadReport {
        OrcaLoadReport {
            named_metrics: [("foo".to_owned(), 0.1), ("bar".to_owned(), 0.2)].into(),
            mem_utilization: 0.5,
            ..OrcaLoadReport::default()
        }
    }

    #[test]
    fn json_and_text_carry_the_same_numbers() {
        assert_eq!(
            report().header("json").unwrap(),
            r#"JSON {"mem_utilization":0.5,"named_metrics":{"bar":0.2,"foo":0.1}}"#
        );
        assert_eq!(
            report().header("TEXT").unwrap(),
            "TEXT mem_utilization=0.5, named_metrics.bar=0.2, named_metrics.foo=0.1"
        );
        assert_eq!(report().header("BIN"), None);
    }

    /// The example of the ORCA specification, decoded from its base64: cpu 0.1 (field 1), rps 2
    /// (field 6), named metrics foo 0.1 and bar 0.2 (field 8).
    #[test]
    fn field_numbers_are_those_of_the_specification() {
        let mut bytes = vec![0x09, 0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f];
        bytes.extend([0x31, 0, 0, 0, 0, 0, 0, 0, 0x40]);
        bytes.extend(*b"\x42\x0e\x0a\x03foo\x11\x9a\x99\x99\x99\x99\x99\xb9\x3f");
        bytes.extend(*b"\x42\x0e\x0a\x03bar\x11\x9a\x99\x99\x99\x99\x99\xc9\x3f");
        let report = OrcaLoadReport::decode(&bytes[..]).unwrap();
        assert_eq!(report.cpu_utilization, 0.1);
        assert_eq!(report.rps_fractional, 2.0);
        assert_eq!(report.named_metrics["foo"], 0.1);
        assert_eq!(report.named_metrics["bar"], 0.2);
    }

    #[test]
    fn a_meter_forgets() {
        let origin = Instant::now();
        let mut meter = Meter::new(origin);
        (0..40).for_each(|i| meter.record(origin + Duration::from_millis(100 * i)));
        let rate = meter.rate(origin + Duration::from_millis(3_999));
        assert!((9.0..11.5).contains(&rate), "{rate}");
        assert_eq!(meter.rate(origin + Duration::from_secs(9)), 0.0);
    }
}
