//! One Prometheus recorder for the process, rendered by each part's `/metrics`.
//!
//! Labels are the matched route (`/v1/state/{family}/{key}`), never the raw path: a path may hold an
//! identifier, and each new one would be a new time series.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";

/// Upper bounds in seconds; from a cached read to a slow proof.
const BUCKETS_S: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder on the first call; parts that share a process share it.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let builder = builder
            .set_buckets_for_metric(Matcher::Full(DURATION.to_owned()), &BUCKETS_S)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Somebody else's recorder in this process keeps what it has; ours then renders empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        metrics::describe_counter!(REQUESTS, "HTTP requests by route, method and status");
        metrics::describe_histogram!(
            DURATION,
            metrics::Unit::Seconds,
            "Time from request to response head"
        );
        handle
    })
}

pub(crate) fn record(part: &'static str, route: &str, method: &str, status: u16, took: Duration) {
    let labels = [
        ("part", part.to_owned()),
        ("route", route.to_owned()),
        ("method", known_method(method).to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!(REQUESTS, &labels).increment(1);
    metrics::histogram!(DURATION, &labels[..3]).record(took.as_secs_f64());
}

pub(crate) fn render() -> String {
    let recorder = recorder();
    // Moves finished observations into the histograms; without it their memory grows.
    recorder.run_upkeep();
    recorder.render()
}

/// A caller may invent methods; labels must stay few.
pub(crate) fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    }
}
