//! What a visitor sees: the front page, a refused login, and the probes.
//!
//! Signing in is a plain link, so it works without scripts; `realdid_sign_in` does it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use realdid_sign_in::{Refusal, SignIn, Visitor, wants_json};
use serde_json::json;

use crate::{DemoConfig, DemoError, Theme, stage};

struct Demo {
    config: DemoConfig,
    sign_in: SignIn,
}

/// All pages of the demo service that `config` describes.
pub fn router(config: DemoConfig) -> Result<Router, DemoError> {
    let stage = match config.theme {
        Theme::Stage => Some(stage::router(&config)?),
        Theme::Forum | Theme::Market => None,
    };
    let shown = config.clone();
    let sign_in = SignIn::showing(config.sign_in(), move |refusal, headers| {
        refused(&shown, refusal, headers)
    })?;
    let demo = Arc::new(Demo {
        config,
        sign_in: sign_in.clone(),
    });
    let front = match stage {
        Some(stage) => stage,
        None => Router::new()
            .route("/", get(home))
            .with_state(Arc::clone(&demo)),
    };
    let site = Router::new()
        .route("/style.css", get(style))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .with_state(demo)
        .merge(front);
    Ok(sign_in.protect(site).layer(from_fn(secure_headers)))
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    config: &'a DemoConfig,
    visitor: Option<&'a Visitor>,
    claims: Vec<(&'a str, String)>,
    samples: &'static [Sample],
}

/// Something to look at on the front page.
struct Sample {
    title: &'static str,
    detail: &'static str,
}

const THREADS: &[Sample] = &[
    Sample {
        title: "Which knot holds when the rope is wet?",
        detail: "41 replies, the last from a retired pilot",
    },
    Sample {
        title: "Photos of the old lighthouse, before the storm",
        detail: "17 replies",
    },
    Sample {
        title: "Learning to row at sixty",
        detail: "63 replies, most of them kind",
    },
];

const WARES: &[Sample] = &[
    Sample {
        title: "Paper lantern, hand painted",
        detail: "stall 12 · 18.00",
    },
    Sample {
        title: "Hand-pulled noodles, a bowl",
        detail: "stall 3 · 9.50",
    },
    Sample {
        title: "Transistor radio, 1974, working",
        detail: "stall 27 · 120.00",
    },
];

async fn home(State(demo): State<Arc<Demo>>, visitor: Option<Visitor>) -> Response {
    let claims = visitor.iter().flat_map(|visitor| &visitor.claims);
    let page = HomePage {
        config: &demo.config,
        claims: claims
            .map(|(name, value)| (name.as_str(), shown(value)))
            .collect(),
        visitor: visitor.as_ref(),
        samples: match demo.config.theme {
            Theme::Market => WARES,
            Theme::Forum | Theme::Stage => THREADS,
        },
    };
    html(StatusCode::OK, &page)
}

/// A text without its quotes, anything else as JSON.
fn shown(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A login that was refused: a page of this site where a person reads it.
fn refused(config: &DemoConfig, refusal: Refusal, headers: &HeaderMap) -> Response {
    let response = refusal.respond(headers);
    if wants_json(headers) {
        return response;
    }
    let page = RefusalPage {
        config,
        rule: refusal.rule(),
        fix: refusal.fix(),
        code: refusal.code(),
    };
    let (mut parts, _) = response.into_parts();
    let page = html(refusal.status(), &page);
    parts.headers.extend(page.headers().clone());
    (parts.status, parts.headers, page.into_body()).into_response()
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    config: &'a DemoConfig,
    rule: &'static str,
    fix: &'static str,
    code: &'static str,
}

async fn readyz(State(demo): State<Arc<Demo>>) -> Response {
    if demo.sign_in.is_ready().await {
        return Json(json!({"ready": true, "reasons": []})).into_response();
    }
    let body = json!({"ready": false, "reasons": ["the issuer does not answer"]});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics(State(demo): State<Arc<Demo>>) -> Response {
    let counts = demo.sign_in.counts();
    let text = format!(
        "# TYPE demo_logins_total counter\n\
         demo_logins_total{{result=\"signed_in\"}} {}\n\
         demo_logins_total{{result=\"refused\"}} {}\n\
         # TYPE demo_sessions gauge\n\
         demo_sessions {}\n",
        counts.signed_in, counts.refused, counts.sessions,
    );
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn openapi() -> Json<serde_json::Value> {
    let answer = |description: &str| json!({"description": description});
    let page = |summary: &str, responses: serde_json::Value| json!({"get": {"summary": summary, "responses": responses}});
    Json(json!({
        "openapi": "3.1.0",
        "info": {"title": "Demo service", "version": env!("CARGO_PKG_VERSION")},
        "paths": {
            "/": page("The front page", json!({"200": answer("HTML")})),
            "/login": page("Start signing in", json!({
                "302": answer("to the issuer"), "503": answer("the issuer does not answer"),
            })),
            "/callback": page("Finish signing in", json!({
                "303": answer("signed in"), "400": answer("not a login of this browser"),
                "403": answer("declined"), "502": answer("invalid token"),
                "503": answer("the issuer does not answer"),
            })),
            "/me": page("Who is signed in", json!({
                "200": answer("{\"sub\", ...claims}"), "401": answer("nobody"),
            })),
            "/logout": {"post": {"summary": "Sign out", "responses": {
                "303": answer("signed out"), "403": answer("a foreign page asked"),
            }}},
            "/healthz": page("The process lives", json!({"200": answer("it does")})),
            "/readyz": page("Visitors can sign in", json!({
                "200": answer("yes"), "503": answer("not now, with reasons"),
            })),
            "/metrics": page("Prometheus text", json!({"200": answer("counters")})),
        },
    }))
}

async fn style() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("../templates/style.css")).into_response()
}

async fn secure_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let defaults: [(HeaderName, &'static str); 4] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Keeps `Origin` on this site's own forms, which the sign-out checks.
        (REFERRER_POLICY, "same-origin"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
        ),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in defaults {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(crate) fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
