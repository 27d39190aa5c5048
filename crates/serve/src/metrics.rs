//! One Prometheus recorder for the process, rendered by each part's `/metrics`.
//!
//! Labels are the matched route (`/v1/state/{family}/{key}`), never the raw path: a path may hold an
//! identifier, and each new one would be a new time series.

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::Method;
use metrics::{Counter, Histogram};
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

/// What is counted for one kind of request. Finding it by its labels costs more than counting.
#[derive(Clone)]
struct Kept {
    requests: Counter,
    duration: Histogram,
}

/// Part, route, method and status: as few as there are labels.
type Kind = (&'static str, String, &'static str, u16);

static KEPT: RwLock<BTreeMap<Kind, Kept>> = RwLock::new(BTreeMap::new());

pub(crate) fn record(
    part: &'static str,
    route: &str,
    method: &'static str,
    status: u16,
    took: Duration,
) {
    let kind = (part, route.to_owned(), method, status);
    // A map that is only ever added to: a poisoned one is sound.
    let known = {
        let all = KEPT.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&kind).cloned()
    };
    let kept = known.unwrap_or_else(|| {
        let kept = Kept::of(&kind);
        let mut all = KEPT.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(kind, kept.clone());
        kept
    });
    kept.requests.increment(1);
    kept.duration.record(took.as_secs_f64());
}

impl Kept {
    fn of((part, route, method, status): &Kind) -> Self {
        let labels = [
            ("part", (*part).to_owned()),
            ("route", route.clone()),
            ("method", (*method).to_owned()),
            ("status", status.to_string()),
        ];
        Self {
            requests: metrics::counter!(REQUESTS, &labels),
            duration: metrics::histogram!(DURATION, &labels[..3]),
        }
    }
}

pub(crate) fn render() -> String {
    let recorder = recorder();
    // Moves finished observations into the histograms; without it their memory grows.
    recorder.run_upkeep();
    recorder.render()
}

/// A caller may invent methods; labels must stay few.
pub(crate) fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
