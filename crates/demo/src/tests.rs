//! The demo service against a small OpenID Connect provider that lives in this file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Form, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use tower::ServiceExt;
use url::Url;

use crate::{DemoConfig, Theme, router};

const CLIENT: &str = "harbour";
const SECRET: &str = "not-a-secret";
const SUBJECT: &str = "yZ9-opaque";

/// What the provider does wrong, if anything.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    WrongNonce,
    WrongAudience,
    WrongKey,
}

struct Provider {
    url: String,
    fault: Mutex<Fault>,
    /// Nonces by unused code.
    codes: Mutex<HashMap<String, String>>,
    key: Mutex<SigningKey>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            fault: Mutex::new(Fault::None),
            codes: Mutex::default(),
            key: Mutex::new(key(1)),
        });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        provider
    }

    /// The person agrees: a code for this authorize request.
    fn agree(&self, authorize: &Url) -> String {
        let asked: HashMap<_, _> = authorize.query_pairs().into_owned().collect();
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["response_type"], "code");
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        codes.insert(code.clone(), asked["nonce"].clone());
        code
    }
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let url = &provider.url;
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn jwks(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let point = provider
        .key
        .lock()
        .unwrap()
        .verifying_key()
        .to_sec1_point(false);
    Json(json!({"keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
        "x": BASE64URL.encode(point.x().unwrap()),
        "y": BASE64URL.encode(point.y().unwrap()),
    }]}))
}

async fn token(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    assert_eq!(headers["authorization"], format!("Basic {expected}"));
    assert!(form["code_verifier"].len() >= 43);
    let Some(nonce) = provider.codes.lock().unwrap().remove(&form["code"]) else {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "invalid_grant"})),
        )
            .into_response();
    };
    let fault = *provider.fault.lock().unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({
        "iss": provider.url,
        "sub": SUBJECT,
        "aud": if fault == Fault::WrongAudience { "another" } else { CLIENT },
        "iat": now,
        "exp": now + 60,
        "nonce": if fault == Fault::WrongNonce { "another".to_owned() } else { nonce },
        "age_over_18": true,
        "not_asked_for": "secret",
    });
    let header = json!({"alg": "ES256", "kid": "1"});
    let signed = format!(
        "{}.{}",
        BASE64URL.encode(header.to_string()),
        BASE64URL.encode(claims.to_string())
    );
    let key = if fault == Fault::WrongKey {
        key(9)
    } else {
        provider.key.lock().unwrap().clone()
    };
    let signature: Signature = key.sign(signed.as_bytes());
    let token = format!("{signed}.{}", BASE64URL.encode(signature.to_bytes()));
    Json(json!({"access_token": "a", "token_type": "Bearer", "id_token": token})).into_response()
}

/// A browser with one site open.
struct Browser {
    site: Router,
    cookies: HashMap<String, String>,
}

impl Browser {
    fn at(issuer: &str) -> Self {
        let mut config = DemoConfig::of(
            Theme::Forum,
            ([127, 0, 0, 1], 18100).into(),
            issuer.to_owned(),
            CLIENT.to_owned(),
            SECRET.to_owned(),
        );
        config.claims = vec!["age_over_18".to_owned()];
        Self {
            site: router(config).unwrap(),
            cookies: HashMap::new(),
        }
    }

    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let mut request = Request::builder().method(method).uri(path);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.site.clone().oneshot(request).await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    async fn fetch(&mut self, path: &str) -> Response {
        self.ask("GET", path, &[]).await
    }

    /// Follows the sign-in link; answers where the issuer's login page is.
    async fn start_login(&mut self) -> Url {
        let response = self.fetch("/login").await;
        assert_eq!(response.status(), 302);
        Url::parse(response.headers()["location"].to_str().unwrap()).unwrap()
    }

    async fn finish_login(&mut self, code: &str, state: &str) -> Response {
        self.fetch(&format!("/callback?code={code}&state={state}"))
            .await
    }
}

fn state_of(authorize: &Url) -> String {
    let mut pairs = authorize.query_pairs();
    pairs
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned()
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn refused(response: Response, status: u16, code: &str) {
    assert_eq!(response.status(), status);
    let page = text(response).await;
    assert!(page.contains(code), "{page}");
}

#[tokio::test]
async fn a_person_signs_in_is_greeted_and_signs_out() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    assert!(
        text(browser.fetch("/").await)
            .await
            .contains("Sign in with RealDID")
    );
    assert_eq!(browser.fetch("/me").await.status(), 401);

    let authorize = browser.start_login().await;
    let code = provider.agree(&authorize);
    let response = browser.finish_login(&code, &state_of(&authorize)).await;
    assert_eq!(response.status(), 303);
    assert!(browser.cookies["harbour_session"].len() >= 22);
    assert!(!browser.cookies.contains_key("harbour_login"));

    let me = text(browser.fetch("/me").await).await;
    let me: Value = serde_json::from_str(&me).unwrap();
    assert_eq!(me, json!({"sub": SUBJECT, "age_over_18": true}));
    assert!(text(browser.fetch("/").await).await.contains(SUBJECT));

    let old = browser.cookies.clone();
    let response = browser
        .ask("POST", "/logout", &[("origin", "http://127.0.0.1:18100")])
        .await;
    assert_eq!(response.status(), 303);
    assert_eq!(browser.fetch("/me").await.status(), 401);
    browser.cookies = old;
    assert_eq!(
        browser.fetch("/me").await.status(),
        401,
        "the server forgot too"
    );
}

#[tokio::test]
async fn a_wrong_state_is_refused_and_spends_the_login() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let authorize = browser.start_login().await;
    let code = provider.agree(&authorize);
    refused(
        browser.finish_login(&code, "other").await,
        400,
        "login.state",
    )
    .await;
    let state = state_of(&authorize);
    refused(
        browser.finish_login(&code, &state).await,
        400,
        "login.unknown",
    )
    .await;
    assert_eq!(browser.fetch("/me").await.status(), 401);
}

#[tokio::test]
async fn a_callback_in_another_browser_is_refused() {
    let provider = Provider::start().await;
    let mut victim = Browser::at(&provider.url);
    let mut attacker = Browser {
        site: victim.site.clone(),
        cookies: HashMap::new(),
    };
    let authorize = attacker.start_login().await;
    let code = provider.agree(&authorize);
    let state = state_of(&authorize);
    refused(
        victim.finish_login(&code, &state).await,
        400,
        "login.unknown",
    )
    .await;
    victim.start_login().await;
    refused(victim.finish_login(&code, &state).await, 400, "login.state").await;
}

#[tokio::test]
async fn a_replayed_callback_is_refused() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let authorize = browser.start_login().await;
    let before = browser.cookies.clone();
    let (code, state) = (provider.agree(&authorize), state_of(&authorize));
    assert_eq!(browser.finish_login(&code, &state).await.status(), 303);
    browser.cookies = before;
    refused(
        browser.finish_login(&code, &state).await,
        400,
        "login.unknown",
    )
    .await;
}

#[tokio::test]
async fn a_spent_code_is_refused() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let authorize = browser.start_login().await;
    let state = state_of(&authorize);
    refused(
        browser.finish_login("used", &state).await,
        400,
        "login.code",
    )
    .await;
}

#[tokio::test]
async fn a_token_for_another_nonce_audience_or_key_is_refused() {
    for fault in [Fault::WrongNonce, Fault::WrongAudience, Fault::WrongKey] {
        let provider = Provider::start().await;
        let mut browser = Browser::at(&provider.url);
        *provider.fault.lock().unwrap() = fault;
        let authorize = browser.start_login().await;
        let (code, state) = (provider.agree(&authorize), state_of(&authorize));
        refused(
            browser.finish_login(&code, &state).await,
            502,
            "login.token",
        )
        .await;
        assert_eq!(browser.fetch("/me").await.status(), 401);
    }
}

#[tokio::test]
async fn an_issuer_that_rotated_its_keys_is_asked_again() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let authorize = browser.start_login().await;
    *provider.key.lock().unwrap() = key(2);
    let (code, state) = (provider.agree(&authorize), state_of(&authorize));
    assert_eq!(browser.finish_login(&code, &state).await.status(), 303);
}

#[tokio::test]
async fn a_declined_login_is_told_without_quoting_the_issuer() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let state = state_of(&browser.start_login().await);
    let path = format!("/callback?error=access_denied&error_description=%3Cb%3Ehi&state={state}");
    let response = browser.fetch(&path).await;
    assert_eq!(response.status(), 403);
    let page = text(response).await;
    assert!(
        page.contains("login.declined") && !page.contains("hi&"),
        "{page}"
    );
    assert!(!page.contains("<b>"), "{page}");
}

#[tokio::test]
async fn the_site_survives_an_issuer_that_is_down() {
    let mut browser = Browser::at("http://127.0.0.1:1");
    assert_eq!(browser.fetch("/").await.status(), 200);
    assert_eq!(browser.fetch("/healthz").await.status(), 200);
    assert_eq!(browser.fetch("/readyz").await.status(), 503);
    let response = browser.fetch("/login").await;
    assert_eq!(response.headers()["retry-after"], "5");
    refused(response, 503, "issuer.unavailable").await;
    let json = browser
        .ask("GET", "/login", &[("accept", "application/json")])
        .await;
    assert_eq!(json.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn another_sites_page_cannot_sign_anybody_out() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let authorize = browser.start_login().await;
    let (code, state) = (provider.agree(&authorize), state_of(&authorize));
    browser.finish_login(&code, &state).await;
    for origin in ["http://127.0.0.1:18101", "null"] {
        let response = browser.ask("POST", "/logout", &[("origin", origin)]).await;
        refused(response, 403, "logout.origin").await;
    }
    assert_eq!(browser.fetch("/me").await.status(), 200);
}

/// Browsers tell cookies apart by host, not by port: two services on one machine share the jar.
#[tokio::test]
async fn two_services_on_one_host_leave_each_other_alone() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let authorize = browser.start_login().await;
    let code = provider.agree(&authorize);

    let config = DemoConfig::of(
        Theme::Market,
        ([127, 0, 0, 1], 18101).into(),
        provider.url.clone(),
        "night market; 2".to_owned(),
        SECRET.to_owned(),
    );
    let harbour = std::mem::replace(&mut browser.site, router(config).unwrap());
    browser.start_login().await;
    assert!(browser.cookies.contains_key("night-market--2_login"));
    let market = std::mem::replace(&mut browser.site, harbour);
    let done = browser.finish_login(&code, &state_of(&authorize)).await;
    assert_eq!(done.status(), 303);

    let harbour = std::mem::replace(&mut browser.site, market);
    assert_eq!(browser.fetch("/me").await.status(), 401);
    let gone = browser.ask("POST", "/logout", &[]).await;
    assert_eq!(gone.status(), 303);
    browser.site = harbour;
    assert_eq!(browser.fetch("/me").await.status(), 200);
}

#[tokio::test]
async fn an_issuer_that_cannot_is_not_the_visitor_who_would_not() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    let state = state_of(&browser.start_login().await);
    let path = format!("/callback?error=temporarily_unavailable&state={state}");
    refused(
        browser
            .ask("GET", &path, &[("accept", "application/json")])
            .await,
        503,
        "issuer.unavailable",
    )
    .await;
}

#[tokio::test]
async fn an_invented_session_is_nobody() {
    let mut browser = Browser::at("http://127.0.0.1:1");
    browser
        .cookies
        .insert("harbour_session".to_owned(), "guess".to_owned());
    assert_eq!(browser.fetch("/me").await.status(), 401);
}

#[tokio::test]
async fn probes_and_description_answer() {
    let provider = Provider::start().await;
    let mut browser = Browser::at(&provider.url);
    assert_eq!(browser.fetch("/readyz").await.status(), 200);
    assert!(
        text(browser.fetch("/metrics").await)
            .await
            .contains("demo_sessions 0")
    );
    let description = text(browser.fetch("/openapi.json").await).await;
    let description: Value = serde_json::from_str(&description).unwrap();
    assert!(description["paths"]["/me"]["get"].is_object());
}

#[test]
fn the_secret_is_not_in_the_debug_text() {
    let config = DemoConfig::of(
        Theme::Market,
        ([127, 0, 0, 1], 18101).into(),
        "http://127.0.0.1:1".to_owned(),
        CLIENT.to_owned(),
        SECRET.to_owned(),
    );
    assert!(!format!("{config:?}").contains(SECRET));
}
