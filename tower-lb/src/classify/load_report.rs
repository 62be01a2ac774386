//! Load reports of the ORCA kind, however they come.
//!
//! - `endpoint-load-metrics-bin`: a protobuf `xds.data.orca.v3.OrcaLoadReport`, base64 as gRPC encodes
//!   binary metadata; header or trailer.
//! - `endpoint-load-metrics`: `JSON {...}`, `TEXT key=value, ...` or `BIN base64`, as vLLM, Triton and
//!   Envoy write it.
//!
//! Entries of ORCA's maps other than `named_metrics` keep the map's name as a prefix
//! (`utilization.kv`). A report that cannot be read is no report: a server's slip must not fail
//! requests.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use prost::Message;
use serde_json::Value;
use trimtab_core::LoadReport;

/// `xds.data.orca.v3.OrcaLoadReport`, by its field numbers.
#[derive(Clone, PartialEq, Message)]
struct Orca {
    #[prost(double, tag = "1")]
    cpu_utilization: f64,
    #[prost(double, tag = "2")]
    mem_utilization: f64,
    /// Deprecated in favour of `rps_fractional`.
    #[prost(uint64, tag = "3")]
    rps: u64,
    #[prost(btree_map = "string, double", tag = "4")]
    request_cost: BTreeMap<String, f64>,
    #[prost(btree_map = "string, double", tag = "5")]
    utilization: BTreeMap<String, f64>,
    #[prost(double, tag = "6")]
    rps_fractional: f64,
    #[prost(double, tag = "7")]
    eps: f64,
    #[prost(btree_map = "string, double", tag = "8")]
    named_metrics: BTreeMap<String, f64>,
    #[prost(double, tag = "9")]
    application_utilization: f64,
}

const BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");
const REPORT: HeaderName = HeaderName::from_static("endpoint-load-metrics");

pub(super) fn from_headers(headers: &HeaderMap) -> Option<LoadReport> {
    if let Some(binary) = headers.get(BINARY) {
        return from_base64(binary.as_bytes());
    }
    let text = headers.get(REPORT)?.to_str().ok()?.trim();
    let (format, report) = text.split_once(' ')?;
    match format {
        "JSON" => from_json(report),
        "TEXT" => Some(from_text(report)),
        "BIN" => from_base64(report.trim().as_bytes()),
        _ => None,
    }
}

fn from_base64(text: &[u8]) -> Option<LoadReport> {
    let orca = Orca::decode(decode_base64(text)?.as_slice()).ok()?;
    let prefixed = |prefix: &'static str, map: BTreeMap<String, f64>| {
        map.into_iter().map(move |(name, value)| (format!("{prefix}.{name}"), value))
    };
    let mut named_metrics = orca.named_metrics;
    named_metrics.extend(prefixed("request_cost", orca.request_cost));
    named_metrics.extend(prefixed("utilization", orca.utilization));
    let rps = if orca.rps_fractional > 0.0 { orca.rps_fractional } else { orca.rps as f64 };
    Some(LoadReport {
        cpu_utilization: orca.cpu_utilization,
        mem_utilization: orca.mem_utilization,
        application_utilization: orca.application_utilization,
        rps,
        eps: orca.eps,
        named_metrics,
    })
}

fn from_json(text: &str) -> Option<LoadReport> {
    let Value::Object(fields) = serde_json::from_str(text).ok()? else { return None };
    let mut report = LoadReport::default();
    for (name, value) in &fields {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if let Some(value) = value.as_f64() {
                        set(&mut report, &format!("{name}.{key}"), value);
                    }
                }
            }
            value => {
                if let Some(value) = value.as_f64() {
                    set(&mut report, name, value);
                }
            }
        }
    }
    Some(report)
}

fn from_text(text: &str) -> LoadReport {
    let mut report = LoadReport::default();
    for pair in text.split(',') {
        if let Some((name, value)) = pair.split_once(['=', ':'])
            && let Ok(value) = value.trim().parse()
        {
            set(&mut report, name.trim(), value);
        }
    }
    report
}

fn set(report: &mut LoadReport, name: &str, value: f64) {
    if !value.is_finite() {
        return;
    }
    match name {
        "cpu_utilization" => report.cpu_utilization = value,
        "mem_utilization" => report.mem_utilization = value,
        "application_utilization" => report.application_utilization = value,
        "rps" | "rps_fractional" => report.rps = value,
        "eps" => report.eps = value,
        _ => {
            let name = name.strip_prefix("named_metrics.").unwrap_or(name);
            report.named_metrics.insert(name.to_owned(), value);
        }
    }
}

/// Standard base64, padded or not, as gRPC asks of receivers.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.chunks(4) {
        let mut bits = 0_u32;
        for symbol in chunk {
            bits = bits << 6 | u32::from(sextet(*symbol)?);
        }
        match chunk.len() {
            4 => bytes.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(bits >> 2).to_be_bytes()[2..]),
            2 => bytes.push((bits >> 4) as u8),
            _ => return None,
        }
    }
    Some(bytes)
}

fn sextet(symbol: u8) -> Option<u8> {
    Some(match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
