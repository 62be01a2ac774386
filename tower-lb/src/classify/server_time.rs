//! The server's own measure of its time.
//!
//! Source: W3C Server Timing, `server-timing: queue;dur=1.250, processing;dur=93.412` in milliseconds,
//! in the head or the trailers. Where a proxy only gives the whole, `x-envoy-upstream-service-time`
//! stands for the processing: it holds the queue and the proxy's network too, so a measure of the
//! server's own goes before it.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use trimtab_core::Outcome;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const UPSTREAM_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// `outcome` with the times that `headers` tell; what cannot be read is passed over.
pub(super) fn with_server_time(mut outcome: Outcome, headers: &HeaderMap) -> Outcome {
    let mut told = false;
    for value in headers.get_all(SERVER_TIMING) {
        for metric in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = metric.split_once(';').unwrap_or((metric, ""));
            let slot = match name.trim() {
                "queue" => &mut outcome.server_queue,
                "processing" => &mut outcome.server_processing,
                _ => continue,
            };
            if let Some(took) = duration(parameters) {
                *slot = Some(took);
                told = true;
            }
        }
    }
    if !told && let Some(value) = headers.get(UPSTREAM_TIME) {
        outcome.server_processing = value.to_str().ok().and_then(millis);
    }
    outcome
}

fn duration(parameters: &str) -> Option<Duration> {
    let dur = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("dur="));
    millis(dur?.trim_matches('"'))
}

fn millis(text: &str) -> Option<Duration> {
    let millis: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(millis / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    fn times(headers: &[(HeaderName, &'static str)]) -> (Option<Duration>, Option<Duration>) {
        let headers =
            headers.iter().map(|(name, v)| (name.clone(), HeaderValue::from_static(v))).collect();
        let outcome = with_server_time(Outcome::success(), &headers);
        (outcome.server_queue, outcome.server_processing)
    }

    #[test]
    fn server_timing_goes_before_what_a_proxy_measured() {
        let timing = (SERVER_TIMING, "cache;desc=hit, queue;dur=1.250, processing;dur=\"93.412\"");
        let proxy = (UPSTREAM_TIME, "120");
        assert_eq!(
            times(&[timing.clone(), proxy.clone()]),
            (Some(MICRO * 1250), Some(MICRO * 93_412))
        );
        assert_eq!(times(&[proxy]), (None, Some(MICRO * 120_000)));
    }

    #[test]
    fn nonsense_is_passed_over() {
        for nonsense in ["queue;dur=-1", "queue;dur=NaN", "queue", "", "processing;dur=1e400"] {
            assert_eq!(times(&[(SERVER_TIMING, nonsense)]), (None, None), "{nonsense}");
        }
        assert_eq!(times(&[(UPSTREAM_TIME, "soon")]), (None, None));
    }
}
