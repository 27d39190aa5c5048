//! Whole logins through the gate's routes, without sockets: a browser, a wallet and a website
//! against real certificates, proofs and credentials. The nodes in the configuration do not exist,
//! so every test is also a login with every replica down (promise P3).

use super::*;
use crate::refusal::Refusal;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, TokenResponse as _,
};
use realdid_core::codec;
use realdid_core::hash::HashFunction;
use realdid_core::state::{Standing, issuer_id, issuer_key, service_key};
use realdid_core::suite::Suite;
use realdid_credential::sd_jwt::{self, Binding, ParsedSdJwt};
use realdid_exchange::did_proof::{self, ProofContent};
use realdid_exchange::oidc::secret_hash;
use realdid_exchange::vp::{
    self, CheckedRequest, ClaimedRequest, RequestEvidence, WalletError, WalletLink,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use world::{AUTHORITY, REGISTRAR, Registered, SERVICE_ID, World};

mod access;
mod displays;
mod lies;
mod mdoc;
mod realpass;
mod status;
#[path = "../../exchange/src/test_world.rs"]
mod world;

const ISSUER: &str = "http://127.0.0.1:20600";
const REDIRECT: &str = "http://127.0.0.1:20700/callback";
const SECRET: &str = "the secret of the shop";

const BY: HashFunction = HashFunction::Sha256;

/// A gate that knows the ledger, and the world around it.
struct Town {
    gate: Gate,
    router: Router,
    world: World,
    folder: tempfile::TempDir,
}

fn registered() -> Registered {
    Registered {
        domain: "127.0.0.1:20600".to_owned(),
        purposes: vec!["login", "age", "kyc"],
        claims: vec![
            json!(["age_equal_or_over", "18"]),
            json!(["realpass", "adult"]),
            json!(["realpass", "assurance"]),
        ],
        sandbox: true,
    }
}

/// The configuration of a gate whose website has one account a DID.
fn config(folder: &Path, claims: &[&str], purpose: &str) -> GateConfig {
    config_of(folder, Accounts::Did, claims, purpose)
}

fn config_of(folder: &Path, accounts: Accounts, claims: &[&str], purpose: &str) -> GateConfig {
    let path = folder.join("gate.toml");
    let setup = GateSetup {
        listen: ([127, 0, 0, 1], 0).into(),
        public_url: Some(ISSUER.to_owned()),
        supervised: false,
        dir: "gate".into(),
        // Nothing listens there.
        nodes: vec!["http://127.0.0.1:1".to_owned()],
        genesis: "genesis.cbor".into(),
        registration: "registration.jwt".into(),
        max_staple_age_s: 300,
        max_lag_slots: 3,
        clients: vec![ClientSetup {
            client_id: "shop".to_owned(),
            client_secret_sha256: secret_hash(SECRET),
            name: "The <Shop>".to_owned(),
            redirect_uris: vec![REDIRECT.to_owned()],
            accounts,
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
            purpose: Some(purpose.to_owned()),
        }],
        policy: None,
        recognised: Vec::new(),
    };
    write_config(&path, &setup).unwrap();
    GateConfig::load(&path).unwrap()
}

fn open(folder: &Path) -> Gate {
    let config = config(folder, &["age_equal_or_over.18"], "age");
    Gate::open(&config, ISSUER.to_owned()).unwrap()
}

/// A town whose ledger stands at `now - age_s`.
fn town_at(age_s: u64) -> Town {
    town_with(age_s, open)
}

/// The same with the gate that `open` makes of its folder.
fn town_with(age_s: u64, open: impl FnOnce(&Path) -> Gate) -> Town {
    let folder = tempfile::tempdir().unwrap();
    let keys = init_gate(&folder.path().join("gate"), Suite::P256).unwrap();
    let world = World::new(now_ms() - age_s * 1000, keys.request.clone(), &registered());
    std::fs::write(
        folder.path().join("genesis.cbor"),
        world.ledger.genesis.encode(),
    )
    .unwrap();
    std::fs::write(folder.path().join("registration.jwt"), &world.registration).unwrap();
    let gate = open(folder.path());
    let town = Town {
        router: gate.router(),
        gate,
        world,
        folder,
    };
    town.learn();
    town
}

fn town() -> Town {
    town_at(0)
}

impl Town {
    /// What the follower would do, had it reached a node.
    fn learn(&self) {
        let (trust, ledger) = (&self.gate.inner.trust, &self.world.ledger);
        let now = now_ms();
        let _ = trust.learn_service(ledger.answer(&service_key(BY, &SERVICE_ID)), now);
        for url in [AUTHORITY, REGISTRAR] {
            let id = issuer_id(BY, url);
            let _ = trust
                .home
                .learn_issuer(&id, ledger.answer(&issuer_key(BY, &id)), now);
        }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().uri(uri.strip_prefix(ISSUER).unwrap_or(uri));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, uri: &str, body: String) -> Response<Body> {
        let request = Request::builder()
            .method("POST")
            .uri(uri.strip_prefix(ISSUER).unwrap_or(uri))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    /// Starts a login as a program: what it was told, and its cookie.
    async fn start(&self) -> (Value, String) {
        let response = self
            .get(&authorize(), &[("accept", "application/json")])
            .await;
        assert_eq!(response.status(), 200);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let started = json_of(response).await;
        assert!(started["request"].is_string(), "{started}");
        (started, cookie)
    }

    /// What the wallet does up to the point where the person agrees.
    async fn fetch(&self, started: &Value) -> CheckedRequest {
        let link = WalletLink::parse(started["wallet_link"].as_str().unwrap()).unwrap();
        assert_eq!(link.request_uri, started["request_uri"].as_str().unwrap());
        let response = self.get(&link.request_uri, &[]).await;
        assert_eq!(response.headers()["content-type"], vp::REQUEST_MEDIA_TYPE);
        let compact = text_of(response).await;
        // What a login gives to a program at once is what stands at the link, signed at its own time.
        let of = |compact: &str| {
            let jws = realdid_credential::jose::decode_unverified(compact).unwrap();
            let mut payload = jws.claims().unwrap();
            payload.remove("iat");
            payload
        };
        if let Some(given) = started["request"].as_str() {
            assert_eq!(of(given), of(&compact));
        }
        let request = ClaimedRequest::parse(&compact).unwrap();
        let evidence = RequestEvidence {
            network: "dev",
            registrar: Some(&self.world.issuer(REGISTRAR)),
            service: Some(&self.world.service()),
            now_s: now_ms() / 1000,
            wallet_nonce: None,
        };
        request.check(&link, &evidence).unwrap()
    }

    /// The form with which the person's wallet answers.
    fn answer(&self, request: &CheckedRequest) -> String {
        let (pid, proof) = self.presentations(request);
        vp::response_form(request, &shown(&pid, &proof), &[9; 44]).unwrap()
    }

    /// What is in it: the PID and the DID's proof.
    fn presentations(&self, request: &CheckedRequest) -> (String, String) {
        self.presentations_of(&self.world.pid(), request)
    }

    fn presentations_of(&self, pid: &str, request: &CheckedRequest) -> (String, String) {
        let world = &self.world;
        let now_s = now_ms() / 1000;
        let binding = Binding {
            nonce: &request.nonce,
            aud: &request.client_id,
            iat_s: now_s,
        };
        let credential = ParsedSdJwt::parse(pid).unwrap();
        let holder = world::jose_key(&world.holder);
        let pid = sd_jwt::present(&credential, &request.claims, &binding, &holder).unwrap();
        let proof = did_proof::build(
            &ProofContent {
                did: &world.did.inception.did(),
                inception: Some(&world.did.inception),
                staple: &world.ledger.answer(&world.did.state_key()),
                key_index: 0,
                audience: &request.client_id,
                nonce: &request.nonce,
                now_s,
                shown_hash: did_proof::shown_hash(None, Some(&pid)),
                batch: None,
            },
            &world.did.current,
        )
        .unwrap();
        (pid, proof)
    }

    /// A login up to the wallet's accepted answer: its JSON, and the browser's cookie.
    async fn answered(&self) -> (Value, Value, String) {
        let (started, cookie) = self.start().await;
        let request = self.fetch(&started).await;
        let response = self
            .post(&request.response_uri, self.answer(&request))
            .await;
        assert_eq!(response.status(), 200);
        (started, json_of(response).await, cookie)
    }
}

fn shown<'a>(pid: &'a str, did_proof: &'a str) -> vp::Answer<'a> {
    vp::Answer {
        pid: Some(pid),
        did_proof: Some(did_proof),
        ..vp::Answer::default()
    }
}

fn authorize() -> String {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    format!(
        "/authorize?client_id=shop&redirect_uri={REDIRECT}&response_type=code&scope=openid\
         &state=s-1&nonce=n-1&code_challenge={challenge}&code_challenge_method=S256"
    )
}

async fn text_of(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_str(&text_of(response).await).unwrap()
}

async fn code_of(response: Response<Body>) -> String {
    json_of(response).await["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

// ---- what a website may say of a login -----------------------------------------------------

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[tokio::test]
async fn a_pushed_request_is_what_the_wallet_sees_and_serves_one_browser() {
    let town = town();
    let query = authorize();
    let query = query.split_once('?').unwrap().1;
    let body = format!("{query}&{}", form(&[("client_secret", SECRET)]));
    assert_eq!(town.post("/par", query.to_owned()).await.status(), 401);
    let response = town.post("/par", body.clone()).await;
    assert_eq!(response.status(), 201);
    let pushed = json_of(response).await;
    let uri = pushed["request_uri"].as_str().unwrap();
    assert_eq!(pushed["expires_in"], 90);
    let json = [("accept", "application/json")];
    // whatever else stands in the browser's query is not asked
    let come = format!(
        "/authorize?{}",
        form(&[
            ("client_id", "shop"),
            ("request_uri", uri),
            ("claims", "{}")
        ])
    );
    let response = town.get(&come, &json).await;
    assert_eq!(response.status(), 200);
    let request = town.fetch(&json_of(response).await).await;
    assert_eq!(request.claims.len(), 1);
    let again = town.get(&come, &json).await;
    assert_eq!(code_of(again).await, "oidc.pushed_unknown");
}

#[tokio::test]
async fn a_login_asks_the_wallet_only_for_what_its_request_names() {
    let town = town();
    for (claims, count) in [
        ("{}", 0),
        (
            r#"{"id_token": {"age_equal_or_over.18": {"essential": true}}}"#,
            1,
        ),
    ] {
        let query = format!("{}&{}", authorize(), form(&[("claims", claims)]));
        let response = town.get(&query, &[("accept", "application/json")]).await;
        let request = town.fetch(&json_of(response).await).await;
        assert_eq!(request.claims.len(), count, "{claims}");
    }
}

#[tokio::test]
async fn who_signs_out_is_sent_only_where_the_client_registered() {
    let town = town();
    let json = [("accept", "application/json")];
    let page = text_of(town.get("/logout", &[]).await).await;
    assert!(page.contains("You are signed out"));
    let away = form(&[
        ("client_id", "shop"),
        ("post_logout_redirect_uri", "https://evil.example/"),
    ]);
    let refused = town.get(&format!("/logout?{away}"), &json).await;
    assert_eq!(refused.status(), 400);
    assert!(!refused.headers().contains_key("location"));
    assert_eq!(code_of(refused).await, "oidc.logout_redirect");
    let hint = town
        .post("/logout", form(&[("id_token_hint", "a.b.c")]))
        .await;
    assert_eq!(hint.status(), 400);
}

// ---- logins that work ----------------------------------------------------------------------

/// The website is built on `openidconnect` and knows nothing of us.
#[tokio::test]
async fn a_stock_library_signs_a_person_in_with_every_replica_down_p3() {
    let town = town();
    let http = |request: openidconnect::HttpRequest| {
        let (town, (parts, body)) = (&town, request.into_parts());
        let uri = parts.uri.path_and_query().unwrap().as_str().to_owned();
        let mut inner = Request::builder().method(parts.method).uri(uri);
        inner.headers_mut().unwrap().extend(parts.headers);
        async move {
            let response = town.send(inner.body(Body::from(body)).unwrap()).await;
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.unwrap().to_vec();
            Ok::<_, std::io::Error>(Response::from_parts(parts, bytes))
        }
    };
    let issuer = IssuerUrl::new(ISSUER.to_owned()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http)
        .await
        .unwrap();
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new("shop".to_owned()),
        Some(ClientSecret::new(SECRET.to_owned())),
    )
    .set_redirect_uri(RedirectUrl::new(REDIRECT.to_owned()).unwrap());

    let mut subjects = Vec::new();
    for _ in 0..2 {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge)
            .url();
        let response = town
            .get(url.as_str(), &[("accept", "application/json")])
            .await;
        let cookie = response.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .to_owned();
        let started = json_of(response).await;
        let request = town.fetch(&started).await;
        assert_eq!(request.purpose, "age");
        assert!(request.registration.as_ref().unwrap().sandbox);
        let answer = json_of(
            town.post(&request.response_uri, town.answer(&request))
                .await,
        )
        .await;

        let uri = answer["redirect_uri"].as_str().unwrap();
        let back = town
            .get(uri, &[("cookie", cookie.split(';').next().unwrap())])
            .await;
        assert_eq!(back.status(), 303);
        let location = url::Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
        assert!(location.as_str().starts_with(REDIRECT));
        let pairs: std::collections::BTreeMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(pairs["state"], *state.secret());
        assert_eq!(pairs["iss"], ISSUER);

        let tokens = client
            .exchange_code(AuthorizationCode::new(pairs["code"].clone()))
            .unwrap()
            .set_pkce_verifier(verifier)
            .request_async(&http)
            .await
            .unwrap();
        let id_token = tokens.id_token().unwrap();
        let claims = id_token
            .claims(&client.id_token_verifier(), &nonce)
            .unwrap();
        let userinfo: openidconnect::core::CoreUserInfoClaims = client
            .user_info(
                tokens.access_token().clone(),
                Some(claims.subject().clone()),
            )
            .unwrap()
            .request_async(&http)
            .await
            .unwrap();
        assert_eq!(userinfo.subject(), claims.subject());
        let payload = id_token.to_string();
        let payload = realdid_credential::jose::decode_unverified(&payload)
            .unwrap()
            .claims()
            .unwrap();
        assert_eq!(payload["age_equal_or_over"], json!({"18": true}));
        assert!(payload.get("given_name").is_none());
        subjects.push(claims.subject().to_string());
    }
    // The same person again: the same subject (and not the DID).
    assert_eq!(subjects[0], subjects[1]);
    assert!(!subjects[0].contains("did:"));
}

#[tokio::test]
async fn two_devices_the_person_types_the_short_code() {
    let town = town();
    let (started, answer, cookie) = town.answered().await;
    let uri = started["continue_uri"].as_str().unwrap();
    let headers = [("cookie", cookie.as_str()), ("accept", "application/json")];
    assert_eq!(
        json_of(town.get(uri, &headers).await).await,
        json!({"status": "answered"})
    );
    let short = answer["confirmation_code"]
        .as_str()
        .unwrap()
        .to_ascii_lowercase();
    let spaced = format!("{uri}&response_code={}-{}", &short[..4], &short[4..]);
    let done = town.get(&spaced, &headers).await;
    assert_eq!(done.status(), 303);
    assert!(
        done.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    // single use
    assert_eq!(
        code_of(town.get(&spaced, &headers).await).await,
        "login.unknown"
    );
}

#[tokio::test]
async fn a_person_who_declines_goes_back_with_access_denied() {
    let town = town();
    let (started, cookie) = town.start().await;
    let request = town.fetch(&started).await;
    let refusal = vp::refusal_form(request.state.as_deref(), WalletError::AccessDenied);
    let answer = json_of(town.post(&request.response_uri, refusal).await).await;
    let back = town
        .get(
            answer["redirect_uri"].as_str().unwrap(),
            &[("cookie", &cookie)],
        )
        .await;
    let location = back.headers()["location"].to_str().unwrap();
    assert!(
        location.contains("error=access_denied") && location.contains("state=s-1"),
        "{location}"
    );
}

#[tokio::test]
async fn a_wallet_may_bring_its_own_nonce() {
    let town = town();
    let (started, _) = town.start().await;
    let uri = started["request_uri"].as_str().unwrap();
    let response = town
        .post(uri, "wallet_nonce=w-1&wallet_metadata=%7B%7D".to_owned())
        .await;
    let request = ClaimedRequest::parse(&text_of(response).await).unwrap();
    let link = WalletLink::parse(started["wallet_link"].as_str().unwrap()).unwrap();
    let evidence = RequestEvidence {
        network: "dev",
        registrar: Some(&town.world.issuer(REGISTRAR)),
        service: Some(&town.world.service()),
        now_s: now_ms() / 1000,
        wallet_nonce: Some("w-1"),
    };
    assert!(request.check(&link, &evidence).is_ok());
}

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_escapes_it() {
    let town = town();
    let response = town.get(&authorize(), &[("accept", "text/html")]).await;
    assert_eq!(response.status(), 200);
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("form-action 'self' http://127.0.0.1:20700;"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = text_of(response).await;
    for part in [
        "Example shop",
        "age_equal_or_over.18",
        "openid4vp://?client_id=",
        "<svg",
        "sandbox",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("The &#60;Shop&#62;") && !page.contains("<Shop>"));
    assert!(!page.contains("style=") && !page.contains("<script"));
}

#[tokio::test]
async fn its_own_address_says_where_a_sign_in_begins() {
    let response = town().get("/", &[]).await;
    assert_eq!(response.status(), 200);
    assert!(text_of(response).await.contains("The &#60;Shop&#62;"));
}

// ---- refusals ------------------------------------------------------------------------------

#[tokio::test]
async fn an_answer_is_taken_once() {
    let town = town();
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    let answer = town.answer(&request);
    assert_eq!(
        town.post(&request.response_uri, answer.clone())
            .await
            .status(),
        200
    );
    let again = town.post(&request.response_uri, answer.clone()).await;
    assert_eq!(again.status(), 400);
    assert_eq!(code_of(again).await, "vp.replayed");
    // The same answer to another login.
    let (other, _) = town.start().await;
    let other = town.fetch(&other).await;
    let moved = town.post(&other.response_uri, answer.clone()).await;
    assert_eq!(code_of(moved).await, "vp.response_encryption");
    let clear = vp::refusal_form(request.state.as_deref(), vp::WalletError::AccessDenied);
    let moved = town.post(&other.response_uri, clear).await;
    assert_eq!(code_of(moved).await, "vp.state");
    let (pid, proof) = town.presentations(&request);
    let moved = vp::response_form(&other, &shown(&pid, &proof), &[9; 44]).unwrap();
    assert_eq!(
        code_of(town.post(&other.response_uri, moved).await).await,
        "kb.nonce"
    );
    // A refused answer leaves the login open.
    assert_eq!(
        town.post(&other.response_uri, town.answer(&other))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_login_takes_five_tries() {
    let town = town();
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    let mut wrong = request.clone();
    wrong.nonce = "another".to_owned();
    for _ in 0..5 {
        let refused = town.post(&request.response_uri, town.answer(&wrong)).await;
        assert_eq!(code_of(refused).await, "kb.nonce");
    }
    let refused = town
        .post(&request.response_uri, town.answer(&request))
        .await;
    assert_eq!(code_of(refused).await, "login.too_many_tries");
}

#[tokio::test]
async fn a_login_ends_only_in_the_browser_that_started_it() {
    let town = town();
    let (_, answer, cookie) = town.answered().await;
    let uri = answer["redirect_uri"].as_str().unwrap();
    let as_json = ("accept", "application/json");
    assert_eq!(
        code_of(town.get(uri, &[as_json]).await).await,
        "login.other_browser"
    );
    // The cookie of another login of the same gate is none.
    let (_, other) = town.start().await;
    assert_eq!(
        code_of(town.get(uri, &[as_json, ("cookie", &other)]).await).await,
        "login.other_browser"
    );
    let value = cookie.split_once('=').unwrap().0.to_owned() + "=guess";
    assert_eq!(
        code_of(town.get(uri, &[as_json, ("cookie", &value)]).await).await,
        "login.other_browser"
    );
    assert_eq!(town.get(uri, &[("cookie", &cookie)]).await.status(), 303);
}

#[tokio::test]
async fn who_shows_a_qr_code_around_does_not_get_in() {
    let town = town();
    let (started, _, cookie) = town.answered().await;
    // The attacker has the cookie, but the code went to the victim's wallet.
    let uri = format!(
        "{}&response_code=",
        started["continue_uri"].as_str().unwrap()
    );
    let headers = [("cookie", cookie.as_str()), ("accept", "application/json")];
    for guess in ["A2345678", "B2345678", "C2345678", "D2345678"] {
        let refused = town.get(&format!("{uri}{guess}"), &headers).await;
        assert_eq!(code_of(refused).await, "login.code_wrong");
    }
    let last = town.get(&format!("{uri}E2345678"), &headers).await;
    assert_eq!(code_of(last).await, "login.too_many_tries");
    let gone = town.get(&format!("{uri}F2345678"), &headers).await;
    assert_eq!(code_of(gone).await, "login.unknown");
}

#[tokio::test]
async fn an_unknown_client_or_address_is_told_to_the_person_only() {
    let town = town();
    for (from, to, code) in [
        ("client_id=shop", "client_id=nobody", "oidc.client_unknown"),
        (
            REDIRECT,
            "http://127.0.0.1:20700/other",
            "oidc.redirect_unregistered",
        ),
    ] {
        let uri = authorize().replace(from, to);
        let response = town.get(&uri, &[("accept", "application/json")]).await;
        assert_eq!(response.status(), 400);
        assert_eq!(code_of(response).await, code);
        let page = town.get(&uri, &[]).await;
        assert_eq!(page.status(), 400);
        assert!(page.headers().get("location").is_none());
        assert!(text_of(page).await.contains(code));
    }
    let plain = authorize().replace("S256", "plain");
    let response = town.get(&plain, &[]).await;
    assert_eq!(response.status(), 303);
    assert!(
        response.headers()["location"]
            .to_str()
            .unwrap()
            .contains("oidc.pkce_method")
    );
}

#[tokio::test]
async fn a_gate_without_an_active_registration_starts_no_login() {
    let refused = async |change: &dyn Fn(&mut Town)| {
        let mut town = town();
        change(&mut town);
        town.learn();
        let not_ready = town
            .gate
            .inner
            .not_ready(now_ms())
            .map(|refusal| refusal.code);
        let response = town
            .get(&authorize(), &[("accept", "application/json")])
            .await;
        let status = response.status();
        let code = code_of(response).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(
                not_ready,
                Some(code.as_str()).filter(|code| *code != "registration.exceeded")
            );
        }
        code
    };
    assert_eq!(refused(&|_| {}).await, "");
    let suspend = |town: &mut Town| {
        // The same bytes as before: only the standing changes.
        let mut service = town.world.service();
        service.standing = Standing::Suspended;
        let key = service_key(BY, &SERVICE_ID);
        town.world
            .ledger
            .set(key, Some(codec::encode(&service)), now_ms());
    };
    assert_eq!(refused(&suspend).await, "registration.suspended");
    let remove = |town: &mut Town| {
        town.world
            .ledger
            .set(service_key(BY, &SERVICE_ID), None, now_ms())
    };
    assert_eq!(refused(&remove).await, "registration.unknown");
    let replace = |town: &mut Town| {
        let mut other = registered();
        other.purposes.pop();
        other.claims.clear();
        town.world.register(&other, Standing::Active);
    };
    assert_eq!(refused(&replace).await, "registration.digest");
    let suspend_registrar = |town: &mut Town| {
        town.world.now_ms = now_ms();
        town.world
            .change_issuer(REGISTRAR, |issuer| issuer.standing = Standing::Suspended);
    };
    assert_eq!(refused(&suspend_registrar).await, "registration.registrar");
}

#[tokio::test]
async fn a_gate_does_not_ask_beyond_its_registration() {
    let town = town();
    for (claims, purpose) in [
        (&["given_name"][..], "age"),
        (&["age_equal_or_over.18"], "login"),
        (&[], "delivery"),
    ] {
        let config = config(town.folder.path(), claims, purpose);
        let gate = Gate::open(&config, ISSUER.to_owned()).unwrap();
        let other = Town {
            router: gate.router(),
            gate,
            world: self::town().world,
            folder: tempfile::tempdir().unwrap(),
        };
        // It knows what the first gate knew.
        let answer = town.world.ledger.answer(&service_key(BY, &SERVICE_ID));
        other
            .gate
            .inner
            .trust
            .learn_service(answer, now_ms())
            .unwrap();
        for url in [AUTHORITY, REGISTRAR] {
            let answer = town
                .world
                .ledger
                .answer(&issuer_key(BY, &issuer_id(BY, url)));
            other
                .gate
                .inner
                .trust
                .home
                .learn_issuer(&issuer_id(BY, url), answer, now_ms())
                .unwrap();
        }
        let response = other
            .get(&authorize(), &[("accept", "application/json")])
            .await;
        assert_eq!(code_of(response).await, "registration.exceeded");
    }
}

#[tokio::test]
async fn what_is_too_old_is_stale_and_never_valid_p9() {
    let town = town_at(301);
    let response = town
        .get(&authorize(), &[("accept", "application/json")])
        .await;
    assert_eq!(response.status(), 503);
    assert_eq!(code_of(response).await, "light.stale");
    assert_eq!(town.gate.inner.not_ready(now_ms()), Some(Refusal::STALE));
}

#[tokio::test]
async fn a_gate_learns_of_newer_slots_from_staples() {
    let mut town = town_at(20);
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    let height = |town: &Town| {
        town.gate
            .inner
            .trust
            .home
            .snapshot()
            .light
            .newest()
            .map(|newest| newest.header.height)
    };
    let before = height(&town);
    let now = now_ms();
    town.world.ledger.seal(now);
    assert_eq!(
        town.post(&request.response_uri, town.answer(&request))
            .await
            .status(),
        200
    );
    assert!(height(&town) > before);
}

#[tokio::test]
async fn a_lying_node_changes_nothing() {
    let mut town = town();
    // A header that the gate has not seen: a known one needs no second look at its certificate.
    town.world.ledger.seal(now_ms());
    let town = town;
    let trust = &town.gate.inner.trust;
    let newest = |trust: &Trust| trust.home.snapshot().light.newest().cloned();
    let before = newest(trust);
    // A certificate that the validators did not give, and a record that was taken out.
    let mut forged = town.world.ledger.answer(&service_key(BY, &SERVICE_ID));
    forged.checkpoint.certificate.0[40] ^= 1;
    assert!(trust.learn_service(forged.clone(), now_ms()).is_err());
    assert!(trust.home.advance(&forged.checkpoint).is_err());
    assert_eq!(newest(trust), before);
    let mut hidden = town.world.ledger.answer(&service_key(BY, &SERVICE_ID));
    hidden.value = None;
    assert_eq!(
        trust.learn_service(hidden, now_ms()).unwrap_err().code(),
        "light.proof"
    );
    assert_ne!(
        newest(trust),
        before,
        "the header that the lie hung on was final all the same"
    );
    assert!(town.gate.inner.not_ready(now_ms()).is_none());
}

#[tokio::test]
async fn a_restart_without_nodes_keeps_what_was_proved_p3() {
    let town = town();
    town.gate.inner.trust.remember().await;
    let again = open(town.folder.path());
    assert_eq!(again.inner.not_ready(now_ms()), None);
    // A file that somebody changed is worth nothing.
    let path = town.folder.path().join("gate/ledger/service.cbor");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let changed = open(town.folder.path());
    assert_eq!(changed.inner.not_ready(now_ms()), Some(Refusal::STALE));
}

#[tokio::test]
async fn an_issuer_that_nobody_can_vouch_for_is_not_believed() {
    let town = town();
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    let mut elsewhere = self::town();
    elsewhere.world.authority_key = world::p256(66);
    let pid = elsewhere.world.pid_with(
        "https://nobody.example",
        &world::p256(66),
        now_ms() / 1000 + 60,
    );
    let binding = Binding {
        nonce: &request.nonce,
        aud: &request.client_id,
        iat_s: now_ms() / 1000,
    };
    let credential = ParsedSdJwt::parse(&pid).unwrap();
    let holder = world::jose_key(&elsewhere.world.holder);
    let pid = sd_jwt::present(&credential, &request.claims, &binding, &holder).unwrap();
    let body = vp::response_form(&request, &shown(&pid, "a.b.c"), &[9; 44]).unwrap();
    // No node answers, so it cannot be proved absent either.
    assert_eq!(
        code_of(town.post(&request.response_uri, body).await).await,
        "light.stale"
    );
    // With the proof of absence at hand it would be `credential.issuer_unknown`.
    let id = issuer_id(BY, "https://nobody.example");
    let answer = town.world.ledger.answer(&issuer_key(BY, &id));
    let found = town
        .gate
        .inner
        .trust
        .home
        .learn_issuer(&id, answer, now_ms())
        .unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn logins_and_their_claims_leave_memory() {
    let town = town();
    let (_, answer, cookie) = town.answered().await;
    town.gate.inner.sweep(now_ms() / 1000 + 301);
    let gone = town
        .get(
            answer["redirect_uri"].as_str().unwrap(),
            &[("cookie", &cookie), ("accept", "application/json")],
        )
        .await;
    assert_eq!(code_of(gone).await, "login.unknown");
}

#[tokio::test]
async fn it_is_ready_with_a_checkpoint_and_a_registration_and_describes_itself() {
    let town = town();
    let options = ServeOptions::at(([127, 0, 0, 1], 0).into());
    let plumbed = realdid_serve::plumb("gate", town.gate.router(), town.gate.probes(), &options);
    let get = |path: &'static str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        plumbed.clone().oneshot(request)
    };
    assert_eq!(get("/readyz").await.unwrap().status(), 200);
    let api = json_of(get("/openapi.json").await.unwrap()).await;
    for path in [
        "/authorize",
        "/token",
        "/userinfo",
        "/jwks",
        "/vp/request/{id}",
        "/vp/response/{id}",
        "/continue",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
}
