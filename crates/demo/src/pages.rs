//! What a visitor sees: the front page, signing in, signing out, and the probes.
//!
//! Signing in is a plain link, so it works without scripts. What guards it: the login cookie ties
//! the answer to the browser that asked (`state`), each login is used once, and the session cookie
//! is HttpOnly and SameSite=Lax. Signing out is a POST whose `Origin`, where a browser sends one,
//! must be this site's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{AppendHeaders, Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::issuer::{Issuer, IssuerError, Started, Visitor};
use crate::sessions::{Memory, random_id};
use crate::{DemoConfig, DemoError, Theme};

/// Long enough to find the phone and open the wallet.
const LOGIN_LIFETIME: Duration = Duration::from_secs(10 * 60);
const SESSION_LIFETIME: Duration = Duration::from_secs(8 * 3600);
const CAPACITY: usize = 10_000;

struct Demo {
    config: DemoConfig,
    /// Scheme, host and port of the public URL.
    origin: String,
    session_cookie: String,
    login_cookie: String,
    issuer: Issuer,
    logins: Memory<Started>,
    sessions: Memory<Visitor>,
    signed_in: AtomicU64,
    refused: AtomicU64,
}

/// All pages of the demo service that `config` describes.
pub fn router(config: DemoConfig) -> Result<Router, DemoError> {
    let url = url::Url::parse(&config.public_url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or(DemoError::BadUrl { key: "public_url" })?;
    let demo = Demo {
        origin: url.origin().ascii_serialization(),
        session_cookie: cookie_name(&config.client_id, "session"),
        login_cookie: cookie_name(&config.client_id, "login"),
        issuer: Issuer::new(&config)?,
        logins: Memory::new(LOGIN_LIFETIME, CAPACITY),
        sessions: Memory::new(SESSION_LIFETIME, CAPACITY),
        signed_in: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        config,
    };
    Ok(Router::new()
        .route("/", get(home))
        .route("/login", get(login))
        .route("/callback", get(callback))
        .route("/me", get(me))
        .route("/logout", post(logout))
        .route("/style.css", get(style))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .layer(from_fn(secure_headers))
        .with_state(Arc::new(demo)))
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

async fn home(State(demo): State<Arc<Demo>>, headers: HeaderMap) -> Response {
    let visitor = demo.visitor(&headers);
    let claims = visitor.iter().flat_map(|visitor| &visitor.claims);
    let page = HomePage {
        config: &demo.config,
        claims: claims
            .map(|(name, value)| (name.as_str(), shown(value)))
            .collect(),
        visitor: visitor.as_ref(),
        samples: match demo.config.theme {
            Theme::Forum => THREADS,
            Theme::Market => WARES,
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

/// Sends the visitor to the issuer.
async fn login(State(demo): State<Arc<Demo>>, headers: HeaderMap) -> Response {
    let (url, started) = match demo.issuer.start().await {
        Ok(started) => started,
        Err(error) => return demo.refuse(Refusal::of(error), &headers),
    };
    let Ok(id) = random_id() else {
        return demo.refuse(Refusal::NoRandomness, &headers);
    };
    let cookie = demo.cookie(&demo.login_cookie, &id, LOGIN_LIFETIME);
    demo.logins.put(id, started, Instant::now());
    redirect(StatusCode::FOUND, url.as_str(), [cookie])
}

/// What the issuer sends the visitor back with (RFC 6749 §4.1.2).
#[derive(Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// Finishes a login that this browser started here, once.
async fn callback(
    State(demo): State<Arc<Demo>>,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Response {
    match demo.finish_login(&headers, answer).await {
        Ok(session) => {
            demo.signed_in.fetch_add(1, Ordering::Relaxed);
            let cookies = [
                demo.cookie(&demo.session_cookie, &session, SESSION_LIFETIME),
                demo.cookie(&demo.login_cookie, "", Duration::ZERO),
            ];
            redirect(StatusCode::SEE_OTHER, "/", cookies)
        }
        Err(refusal) => demo.refuse(refusal, &headers),
    }
}

/// Who is signed in, as the service knows it.
async fn me(State(demo): State<Arc<Demo>>, headers: HeaderMap) -> Response {
    match demo.visitor(&headers) {
        Some(visitor) => Json(visitor).into_response(),
        None => {
            let body = json!({
                "error": "not_signed_in",
                "fix": "sign in at /login and send the session cookie",
            });
            (StatusCode::UNAUTHORIZED, Json(body)).into_response()
        }
    }
}

async fn logout(State(demo): State<Arc<Demo>>, headers: HeaderMap) -> Response {
    let origin = headers.get(ORIGIN);
    if origin.is_some_and(|origin| origin.as_bytes() != demo.origin.as_bytes()) {
        return demo.refuse(Refusal::ForeignOrigin, &headers);
    }
    if let Some(id) = cookie_of(&headers, &demo.session_cookie) {
        demo.sessions.take(id, Instant::now());
    }
    let gone = demo.cookie(&demo.session_cookie, "", Duration::ZERO);
    redirect(StatusCode::SEE_OTHER, "/", [gone])
}

impl Demo {
    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let id = cookie_of(headers, &self.session_cookie)?;
        self.sessions.look(id, Instant::now())
    }

    /// Answers the id of a new session.
    async fn finish_login(&self, headers: &HeaderMap, answer: Answer) -> Result<String, Refusal> {
        let now = Instant::now();
        let id = cookie_of(headers, &self.login_cookie).ok_or(Refusal::NoLogin)?;
        // Taken before anything is checked, so that nothing can be tried twice.
        let started = self.logins.take(id, now).ok_or(Refusal::NoLogin)?;
        if answer.state.as_deref() != Some(started.state.as_str()) {
            return Err(Refusal::WrongState);
        }
        match answer.error.as_deref() {
            None => {}
            Some("access_denied") => return Err(Refusal::IssuerSaidNo),
            // RFC 6749 §4.1.2.1: all others are the issuer's matter or ours, not the visitor's.
            Some(_) => return Err(Refusal::IssuerDown),
        }
        let code = answer.code.ok_or(Refusal::NoCode)?;
        let visitor = self
            .issuer
            .finish(started, code)
            .await
            .map_err(Refusal::of)?;
        // A new id for a new session: one that somebody planted before means nothing.
        let session = random_id().map_err(|_| Refusal::NoRandomness)?;
        self.sessions.put(session.clone(), visitor, now);
        Ok(session)
    }

    fn cookie(&self, name: &str, value: &str, lifetime: Duration) -> HeaderValue {
        let secure = if self.origin.starts_with("https:") {
            "; Secure"
        } else {
            ""
        };
        let seconds = lifetime.as_secs();
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        // Names are of `cookie_name` and values base64url: always a valid header.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    fn refuse(&self, refusal: Refusal, headers: &HeaderMap) -> Response {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (status, code, rule, fix) = refusal.facts();
        tracing::info!(service = self.config.name, code, "login refused");
        let wants_json = headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("json")));
        let mut response = if wants_json {
            let body = json!({
                "title": status.canonical_reason(),
                "status": status.as_u16(),
                "code": code,
                "rule": rule,
                "fix": fix,
            });
            let kind = [(CONTENT_TYPE, "application/problem+json")];
            (status, kind, Json(body).into_response().into_body()).into_response()
        } else {
            let page = RefusalPage {
                config: &self.config,
                rule,
                fix,
                code,
            };
            html(status, &page)
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    config: &'a DemoConfig,
    rule: &'static str,
    fix: &'static str,
    code: &'static str,
}

/// Why a visitor was not signed in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoLogin,
    WrongState,
    IssuerSaidNo,
    NoCode,
    CodeRefused,
    TokenInvalid,
    IssuerDown,
    ForeignOrigin,
    NoRandomness,
}

impl Refusal {
    fn of(error: IssuerError) -> Self {
        match error {
            IssuerError::Down => Self::IssuerDown,
            IssuerError::CodeRefused => Self::CodeRefused,
            IssuerError::TokenInvalid => Self::TokenInvalid,
        }
    }

    /// Status, stable code, the rule in words for a visitor, and what to do.
    fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        const AGAIN: &str = "Start again from the front page.";
        match self {
            Self::NoLogin => (
                StatusCode::BAD_REQUEST,
                "login.unknown",
                "A sign-in must be finished once, in the browser that started it, within ten minutes.",
                AGAIN,
            ),
            Self::WrongState => (
                StatusCode::BAD_REQUEST,
                "login.state",
                "The answer must belong to the sign-in that this browser started.",
                AGAIN,
            ),
            Self::IssuerSaidNo => (
                StatusCode::FORBIDDEN,
                "login.declined",
                "A sign-in needs your agreement in the wallet.",
                "Start again if you want to sign in.",
            ),
            Self::NoCode => (
                StatusCode::BAD_REQUEST,
                "login.code_missing",
                "The answer of the sign-in service must carry a code.",
                AGAIN,
            ),
            Self::CodeRefused => (
                StatusCode::BAD_REQUEST,
                "login.code",
                "The code of a sign-in must be fresh and unused.",
                AGAIN,
            ),
            Self::TokenInvalid => (
                StatusCode::BAD_GATEWAY,
                "login.token",
                "The sign-in service must prove who you are with a valid token for this site.",
                "Start again; if it stays, tell this site's operator.",
            ),
            Self::IssuerDown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "issuer.unavailable",
                "The sign-in service does not answer at the moment.",
                "Try again in a few seconds. Everything else on this site works.",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "logout.origin",
                "Only a page of this site may sign you out.",
                "Use the button on the front page.",
            ),
            Self::NoRandomness => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "This site cannot start sign-ins at the moment.",
                "Try again later.",
            ),
        }
    }
}

async fn readyz(State(demo): State<Arc<Demo>>) -> Response {
    if demo.issuer.is_known().await {
        return Json(json!({"ready": true, "reasons": []})).into_response();
    }
    let body = json!({"ready": false, "reasons": ["the issuer does not answer"]});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics(State(demo): State<Arc<Demo>>) -> Response {
    let text = format!(
        "# TYPE demo_logins_total counter\n\
         demo_logins_total{{result=\"signed_in\"}} {}\n\
         demo_logins_total{{result=\"refused\"}} {}\n\
         # TYPE demo_sessions gauge\n\
         demo_sessions {}\n",
        demo.signed_in.load(Ordering::Relaxed),
        demo.refused.load(Ordering::Relaxed),
        demo.sessions.len(),
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

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn redirect<const N: usize>(status: StatusCode, to: &str, cookies: [HeaderValue; N]) -> Response {
    let cookies = AppendHeaders(cookies.map(|cookie| (SET_COOKIE, cookie)));
    (status, [(LOCATION, to)], cookies).into_response()
}

/// Names of this service's own: browsers tell cookies apart by host and not by port, and several
/// services share a host while somebody tries them out.
fn cookie_name(client_id: &str, purpose: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let owner: String = client_id.chars().map(plain).collect();
    format!("{owner}_{purpose}")
}

fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}
