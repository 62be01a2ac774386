//! The server's own measure of its time.
//!
//! Source: W3C Server Timing, `server-timing: queue;dur=1.250, processing;dur=93.412` in milliseconds,
//! in the head or the trailers. A proxy's `x-envoy-upstream-service-time` is not read: it holds the
//! queue and the network beside the work, so it is the measure of neither.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use trimtab_core::Outcome;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// `outcome` with the times that `headers` tell; what cannot be read is passed over.
pub(super) fn with_server_time(mut outcome: Outcome, headers: &HeaderMap) -> Outcome {
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
            }
        }
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
    fn a_servers_own_times_are_told_and_a_proxys_are_not() {
        let timing = (SERVER_TIMING, "cache;desc=hit, queue;dur=1.250, processing;dur=\"93.412\"");
        let proxy = (HeaderName::from_static("x-envoy-upstream-service-time"), "120");
        let own = (Some(MICRO * 1250), Some(MICRO * 93_412));
        assert_eq!(times(&[timing, proxy.clone()]), own);
        assert_eq!(times(&[proxy]), (None, None), "it holds the queue and the network too");
    }

    #[test]
    fn nonsense_is_passed_over() {
        for nonsense in ["queue;dur=-1", "queue;dur=NaN", "queue", "", "processing;dur=1e400"] {
            assert_eq!(times(&[(SERVER_TIMING, nonsense)]), (None, None), "{nonsense}");
        }
    }
}
