//! What wraps every part's router: probes, limits, headers, and a log line that names nobody.
//!
//! From the outside in: measure and log · security headers · plain rejections become [`Problem`]s ·
//! the rate of each source · time limit · catch panics · body limit · the part's routes.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, ToSchema};

use crate::limit::Sources;
use crate::problem::{OAuthBody, ProblemBody};
use crate::{Problem, ServeOptions, metrics, openapi};

/// For answers that set no `Content-Security-Policy` of their own: everything from this origin, no
/// inline script or style, never in a frame.
///
/// A page whose form ends in a redirect to another origin must send its own policy: browsers hold
/// `form-action` against the redirect too.
pub const DEFAULT_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

type Reasons = Pin<Box<dyn Future<Output = Vec<String>> + Send>>;
type Readiness = Arc<dyn Fn() -> Reasons + Send + Sync>;

/// What `/readyz` asks and `/openapi.json` answers.
#[derive(Clone)]
pub struct Probes {
    openapi: OpenApi,
    ready: Readiness,
}

impl Probes {
    /// Ready from the start, until [`Probes::ready_when`] says otherwise.
    pub fn new(openapi: OpenApi) -> Self {
        Self {
            openapi,
            ready: Arc::new(|| Box::pin(async { Vec::new() })),
        }
    }

    /// `reasons` answers why the part is not ready; an empty list means ready. It is called for each
    /// request to `/readyz`, so it should look at state and not wait.
    #[must_use]
    pub fn ready_when<F, R>(mut self, reasons: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Vec<String>> + Send + 'static,
    {
        self.ready = Arc::new(move || Box::pin(reasons()));
        self
    }
}

/// Wraps `router` as every part is served. [`crate::Bound::serve`] does this itself; tests that call
/// a router without a socket use it directly.
pub fn plumb(part: &'static str, router: Router, probes: Probes, options: &ServeOptions) -> Router {
    metrics::recorder();
    let around = Around {
        part,
        timeout: options.request_timeout,
        sources: options.rate.clone().map(Sources::new),
    };
    router
        .merge(probe_routes(probes, options.rate.is_some()))
        .layer(DefaultBodyLimit::max(options.body_limit_bytes))
        .layer(RequestBodyLimitLayer::new(options.body_limit_bytes))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(Arc::new(around), Around::answer))
}

/// What is done around every request. It is one layer and not one for each step, since each layer moves
/// request and answer through a box of its own.
struct Around {
    part: &'static str,
    timeout: Duration,
    sources: Option<Sources>,
}

impl Around {
    async fn answer(State(around): State<Arc<Self>>, mut request: Request, next: Next) -> Response {
        let seen = Seen::of(&request);
        let admitted = match &around.sources {
            Some(sources) => sources.admit(&mut request),
            None => Ok(()),
        };
        let response = match admitted {
            Ok(()) => within_time(around.timeout, request, next).await,
            Err(refused) => refused.into_response(),
        };
        let mut response = name_the_rule(response);
        secure_headers(&mut response);
        seen.tell(around.part, response.status());
        response
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(healthz, readyz, render_metrics, openapi_json),
    components(schemas(ProblemBody, OAuthBody))
)]
struct PlumbingApi;

fn probe_routes(probes: Probes, limited: bool) -> Router {
    let Probes { mut openapi, ready } = probes;
    openapi.merge(PlumbingApi::openapi());
    openapi::complete(&mut openapi, limited);
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(ready)
        .route("/metrics", get(render_metrics))
        .route(
            "/openapi.json",
            get(openapi_json).with_state(Arc::new(openapi)),
        )
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200, description = "the process lives", content_type = "text/plain", body = String)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether a part can do its work.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadinessBody {
    ready: bool,
    /// The codes of what is missing.
    reasons: Vec<String>,
}

/// The part can do its work now.
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, description = "ready", body = ReadinessBody),
    (status = 503, description = "not ready, with reasons", body = ReadinessBody),
))]
async fn readyz(State(ready): State<Readiness>) -> Response {
    let reasons = ready().await;
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let ready = reasons.is_empty();
    (status, Json(ReadinessBody { ready, reasons })).into_response()
}

/// Counters and histograms as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses((status = 200, description = "Prometheus text format 0.0.4", content_type = "text/plain", body = String)))]
async fn render_metrics() -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics::render()).into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "probes", responses((status = 200, description = "OpenAPI 3.1 description", content_type = "application/json", body = Object)))]
async fn openapi_json(State(openapi): State<Arc<OpenApi>>) -> Response {
    Json(openapi.as_ref()).into_response()
}

/// A request, for a line in the log. Neither the query string, nor a header, nor a body is logged: all three
/// may hold personal data.
struct Seen {
    method: Method,
    route: Option<MatchedPath>,
    start: Instant,
}

impl Seen {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            start: Instant::now(),
        }
    }

    fn tell(&self, part: &'static str, status: StatusCode) {
        let took = self.start.elapsed();
        let route = self.route.as_ref();
        let route = route.map_or("unmatched", MatchedPath::as_str);
        let method = metrics::known_method(&self.method);
        let status = status.as_u16();
        metrics::record(part, route, method, status, took);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // What went well is counted, and no line says when somebody came unless it is asked for.
        match status {
            500.. if !is_probe(route) => {
                tracing::warn!(part, method, route, status, took_ms, "request")
            }
            400.. if !is_probe(route) => {
                tracing::info!(part, method, route, status, took_ms, "request")
            }
            _ => tracing::debug!(part, method, route, status, took_ms, "request"),
        }
    }
}

/// Routes that the operator's own programs ask, over and over.
pub(crate) fn is_probe(route: &str) -> bool {
    matches!(route, "/healthz" | "/readyz" | "/metrics")
}

fn secure_headers(response: &mut Response) {
    let headers = response.headers_mut();
    let defaults: [(HeaderName, &'static str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers then send `Origin: null` with forms of our own pages, and the
        // origin is what guards them against forgery.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, DEFAULT_CSP),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in defaults {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// Framework rejections are plain text that names no rule, and some quote what was sent. They
/// become problems with a general code; headers such as `Allow` stay.
fn name_the_rule(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain {
        return response;
    }
    let problem = general_problem(status);
    let (old, _) = response.into_parts();
    let mut response = problem.into_response();
    for (name, value) in &old.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn general_problem(status: StatusCode) -> Problem {
    let (code, rule, fix) = match status {
        StatusCode::NOT_FOUND => (
            "request.not_found",
            "the path must be one that this service has",
            "see /openapi.json",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "request.method",
            "the method must be one that this path takes",
            "use a method of the Allow header",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "request.too_large",
            "the body must not exceed this service's limit",
            "send less",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "request.media_type",
            "the body must be of the type that this path takes",
            "set Content-Type as /openapi.json says",
        ),
        status if status.is_client_error() => (
            "request.malformed",
            "path, query and body must have the form that /openapi.json describes",
            "compare the request with /openapi.json",
        ),
        _ => return Problem::internal(),
    };
    Problem::new(status, code, rule, fix)
}

async fn within_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "request.timeout",
            "a request must be answered within the time limit",
            "try again later",
        )
        .retry_after(1)
        .into_response(),
    }
}

/// The panic hook logs the place; the caller learns nothing of the inside.
fn answer_panic(_payload: Box<dyn Any + Send + 'static>) -> axum::http::Response<Body> {
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests;
