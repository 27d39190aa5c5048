//! Signing people in on an axum site by any OpenID Connect provider: routes for the code flow, and
//! [`Visitor`] as an extractor.
//!
//! ```no_run
//! # use axum::{Router, routing::get};
//! # use realdid_sign_in::{SignIn, SignInConfig, SignInError, Visitor};
//! # fn site(config: SignInConfig) -> Result<Router, SignInError> {
//! let sign_in = SignIn::new(config)?;
//! let home = async |visitor: Option<Visitor>| match visitor {
//!     Some(visitor) => format!("Hello, {}", visitor.sub),
//!     None => "Go to /login".to_owned(),
//! };
//! Ok(sign_in.protect(Router::new().route("/", get(home))))
//! # }
//! ```
//!
//! It knows an issuer's address, a client id and a secret, and nothing of RealDID. What guards a
//! login: the login cookie ties the answer to the browser that asked (`state`), each login is used
//! once, the ID token is bound to it by a nonce and the code by PKCE, and the session cookie is
//! HttpOnly and SameSite=Lax. Signing out is a POST whose `Origin`, where a browser sends one,
//! must be the site's own. Logins and sessions live in this process's memory, bounded.
//!
//! [`issuer`] has the relying party's side of the code flow, [`memory`] what is remembered in
//! between.

mod issuer;
mod memory;
mod refusal;

pub use issuer::Visitor;
pub use refusal::{Refusal, wants_json};

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Extension, FromRequestParts, OptionalFromRequestParts, Query};
use axum::http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use issuer::{Issuer, Started};
use memory::{Memory, random_id};
use serde::{Deserialize, Serialize};

/// Long enough to find the phone and open the wallet.
const LOGIN_LIFETIME: Duration = Duration::from_secs(10 * 60);
const SESSION_LIFETIME: Duration = Duration::from_secs(8 * 3600);
const CAPACITY: usize = 10_000;

/// What a registration at a gate, or at any other provider, gives a site.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignInConfig {
    /// How browsers reach the site; `/callback` below it is the redirect URI.
    pub public_url: String,
    /// The OpenID Connect issuer, exactly as its discovery document says it.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: String,
    /// Claims asked for beside `sub` (OpenID Connect Core §5.5); usually none.
    #[serde(default)]
    pub claims: Vec<String>,
}

impl SignInConfig {
    /// From the environment: `PUBLIC_URL`, `OIDC_ISSUER`, `OIDC_CLIENT_ID`, `OIDC_CLIENT_SECRET`.
    pub fn from_env() -> Result<Self, SignInError> {
        let variable =
            |name: &'static str| std::env::var(name).map_err(|_| SignInError::Missing { name });
        Ok(Self {
            public_url: variable("PUBLIC_URL")?,
            issuer: variable("OIDC_ISSUER")?,
            client_id: variable("OIDC_CLIENT_ID")?,
            client_secret: variable("OIDC_CLIENT_SECRET")?,
            claims: Vec::new(),
        })
    }
}

/// Without the secret.
impl fmt::Debug for SignInConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInConfig")
            .field("public_url", &self.public_url)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Why a site cannot sign people in. Its operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("sign_in.url: {key} is an absolute http or https URL; fault: operator; do: correct it")]
    BadUrl { key: &'static str },
    #[error("sign_in.missing: the environment has {name}; fault: operator; do: set it")]
    Missing { name: &'static str },
    #[error("sign_in.client: this machine allows HTTPS requests; fault: this machine; do: {0}")]
    NoClient(String),
}

/// One issuer and everybody who signed in through it. Cheap to clone.
#[derive(Clone)]
pub struct SignIn {
    inner: Arc<Inner>,
}

type Show = dyn Fn(Refusal, &HeaderMap) -> Response + Send + Sync;

struct Inner {
    /// Scheme, host and port of the public URL.
    origin: String,
    session_cookie: String,
    login_cookie: String,
    issuer: Issuer,
    logins: Memory<Started>,
    sessions: Memory<Visitor>,
    signed_in: AtomicU64,
    refused: AtomicU64,
    show: Box<Show>,
}

/// How many logins ended in which way since the process began, and how many are signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignInCounts {
    pub signed_in: u64,
    pub refused: u64,
    pub sessions: usize,
}

impl SignIn {
    /// Checks the configuration. The issuer is asked when somebody signs in, not before: a site
    /// must start, and show its public pages, while its issuer is down.
    pub fn new(config: SignInConfig) -> Result<Self, SignInError> {
        Self::showing(config, Refusal::respond)
    }

    /// The same, with the site's own page for a login that was refused.
    pub fn showing(
        config: SignInConfig,
        show: impl Fn(Refusal, &HeaderMap) -> Response + Send + Sync + 'static,
    ) -> Result<Self, SignInError> {
        let url = url::Url::parse(&config.public_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(SignInError::BadUrl { key: "public_url" })?;
        Ok(Self {
            inner: Arc::new(Inner {
                origin: url.origin().ascii_serialization(),
                session_cookie: cookie_name(&config.client_id, "session"),
                login_cookie: cookie_name(&config.client_id, "login"),
                issuer: Issuer::new(&config)?,
                logins: Memory::new(LOGIN_LIFETIME, CAPACITY),
                sessions: Memory::new(SESSION_LIFETIME, CAPACITY),
                signed_in: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                show: Box::new(show),
            }),
        })
    }

    /// Adds `/login`, `/callback`, `/logout` (a POST) and `/me` to a site, and lets all its
    /// handlers ask for a [`Visitor`].
    pub fn protect<S: Clone + Send + Sync + 'static>(self, site: Router<S>) -> Router<S> {
        site.route("/login", get(login))
            .route("/callback", get(callback))
            .route("/logout", post(logout))
            .route("/me", get(me))
            .layer(Extension(self))
    }

    /// Whether a visitor could sign in now.
    pub async fn is_ready(&self) -> bool {
        self.inner.issuer.is_known().await
    }

    pub fn counts(&self) -> SignInCounts {
        SignInCounts {
            signed_in: self.inner.signed_in.load(Ordering::Relaxed),
            refused: self.inner.refused.load(Ordering::Relaxed),
            sessions: self.inner.sessions.len(),
        }
    }

    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let id = cookie_of(headers, &self.inner.session_cookie)?;
        self.inner.sessions.look(id, Instant::now())
    }

    /// Answers the id of a new session.
    async fn finish_login(&self, headers: &HeaderMap, answer: Answer) -> Result<String, Refusal> {
        let now = Instant::now();
        let id = cookie_of(headers, &self.inner.login_cookie).ok_or(Refusal::NoLogin)?;
        // Taken before anything is checked, so that nothing can be tried twice.
        let started = self.inner.logins.take(id, now).ok_or(Refusal::NoLogin)?;
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
        let visitor = self.inner.issuer.finish(started, code).await?;
        // A new id for a new session: one that somebody planted before means nothing.
        let session = random_id().map_err(|_| Refusal::NoRandomness)?;
        self.inner.sessions.put(session.clone(), visitor, now);
        Ok(session)
    }

    fn cookie(&self, name: &str, value: &str, lifetime: Duration) -> HeaderValue {
        let secure = if self.inner.origin.starts_with("https:") {
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
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        tracing::info!(code = refusal.code(), "login refused");
        (self.inner.show)(refusal, headers)
    }
}

/// Who is signed in, for handlers: nobody is a 401 that says where to sign in.
impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        visitor_of(parts).ok_or_else(nobody)
    }
}

/// For pages that greet whoever is signed in and serve everybody.
impl<S: Sync> OptionalFromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(visitor_of(parts))
    }
}

fn visitor_of(parts: &Parts) -> Option<Visitor> {
    parts
        .extensions
        .get::<SignIn>()
        .and_then(|sign_in| sign_in.visitor(&parts.headers))
}

fn nobody() -> Response {
    let body = serde_json::json!({
        "error": "not_signed_in",
        "fix": "sign in at /login and send the session cookie",
    });
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

/// Sends the visitor to the issuer.
async fn login(Extension(sign_in): Extension<SignIn>, headers: HeaderMap) -> Response {
    let (url, started) = match sign_in.inner.issuer.start().await {
        Ok(started) => started,
        Err(error) => return sign_in.refuse(error.into(), &headers),
    };
    let Ok(id) = random_id() else {
        return sign_in.refuse(Refusal::NoRandomness, &headers);
    };
    let cookie = sign_in.cookie(&sign_in.inner.login_cookie, &id, LOGIN_LIFETIME);
    sign_in.inner.logins.put(id, started, Instant::now());
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
    Extension(sign_in): Extension<SignIn>,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Response {
    match sign_in.finish_login(&headers, answer).await {
        Ok(session) => {
            sign_in.inner.signed_in.fetch_add(1, Ordering::Relaxed);
            let cookies = [
                sign_in.cookie(&sign_in.inner.session_cookie, &session, SESSION_LIFETIME),
                sign_in.cookie(&sign_in.inner.login_cookie, "", Duration::ZERO),
            ];
            redirect(StatusCode::SEE_OTHER, "/", cookies)
        }
        Err(refusal) => sign_in.refuse(refusal, &headers),
    }
}

/// Who is signed in, as the site knows it.
async fn me(visitor: Visitor) -> Json<Visitor> {
    Json(visitor)
}

async fn logout(Extension(sign_in): Extension<SignIn>, headers: HeaderMap) -> Response {
    let origin = headers.get(ORIGIN);
    if origin.is_some_and(|origin| origin.as_bytes() != sign_in.inner.origin.as_bytes()) {
        return sign_in.refuse(Refusal::ForeignOrigin, &headers);
    }
    if let Some(id) = cookie_of(&headers, &sign_in.inner.session_cookie) {
        sign_in.inner.sessions.take(id, Instant::now());
    }
    let gone = sign_in.cookie(&sign_in.inner.session_cookie, "", Duration::ZERO);
    redirect(StatusCode::SEE_OTHER, "/", [gone])
}

fn redirect<const N: usize>(status: StatusCode, to: &str, cookies: [HeaderValue; N]) -> Response {
    let cookies = AppendHeaders(cookies.map(|cookie| (SET_COOKIE, cookie)));
    (status, [(LOCATION, to)], cookies).into_response()
}

/// Names of this site's own: browsers tell cookies apart by host and not by port, and several
/// sites share a host while somebody tries them out.
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
