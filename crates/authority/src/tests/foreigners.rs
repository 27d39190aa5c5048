//! Foreigners over the routes: by a passport's chip, and by a login at an identity provider - one of
//! others, on Node, and one of ours that lies.

use super::*;
use crate::config::{PassportsConfig, UpstreamConfig};
use crate::register::RegisterRefusal;
use crate::register::passports::Passports;
use crate::upstreams::{Begin, CALLBACK, Returned, UpstreamRefused, Upstreams};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::jose::{Jwk, SigningKey, sign_compact};
use realdid_credential::pid::Assurance;
use realdid_exchange::tag::{Evidence, Foreign, PassportEvidence, UpstreamEvidence, UpstreamKind};
use realdid_testkit::passport::{Flaw, SOMEBODY, World};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use url::Url;

const VERIFIER: &str = "a verifier that only the wallet has, of 43 chars";
const CLIENT: &str = "authority";
const SECRET: &str = "a secret of no value, of 32 chars and more";

impl Nation {
    /// The same nation, whose authority is made of other parts.
    async fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        let store = Store::open_dir(&self.dir()).await.unwrap();
        let clock = self.authority.clock.clone();
        let seed = AuthorityKeys::load(&self.dir()).unwrap().register_seed;
        let register = Register::Synthetic(SyntheticRegister::new(&seed, 8));
        let mut parts = parts_of(store, &self.dir(), &self.ledger, clock, (register, 1));
        change(&mut parts);
        self.authority = authority_from(parts).await;
        self
    }

    async fn enrol_with(&self, evidence: Evidence, number: &tag::Number) -> Answer {
        let key = SecretKey::from_seed(Suite::P256, [4; 32]).unwrap().public();
        let request = EnrolmentRequest {
            evidence,
            blinded: blind(number, &[6; 32]).unwrap(),
            commitment: enrolment_commitment(&[7; 32], &key),
        };
        self.post_json("/v1/enrolments", &serde_json::to_value(&request).unwrap())
            .await
    }
}

#[tokio::test]
async fn a_foreigner_enrols_by_passport_and_is_refused_by_the_rule() {
    let nation = Nation::new().await;
    let now_s = nation.authority.clock.now_s();
    let world = World::new(now_s);
    let lists = nation.dir().join("lists");
    world.write_lists(&lists);
    let passports = Passports::open(&PassportsConfig {
        master_list: lists.join("master-list"),
        revocation_lists: lists.join("revocation-lists"),
    });
    let number = Foreign::Passport {
        state: "QNA",
        personal: None,
        document: SOMEBODY.number,
    };
    let number = number.number().ok().unwrap();
    let evidence = |flaw| {
        let (object, groups) = world.passport(&SOMEBODY, flaw);
        Evidence::from(PassportEvidence::new(&object, &groups))
    };
    // an authority that takes none
    let answer = nation.enrol_with(evidence(Flaw::Nothing), &number).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::FORBIDDEN, "evidence.kind")
    );

    let nation = nation.with(|parts| parts.passports = passports.ok()).await;
    for (flaw, code) in Flaw::BAD {
        let answer = nation.enrol_with(evidence(flaw), &number).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.code(), code, "{flaw:?}");
        assert!(!answer.text.contains("VANDERQUISTOVA") && !answer.text.contains(SOMEBODY.number));
    }
    let answer = nation.enrol_with(evidence(Flaw::Nothing), &number).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let first: EnrolmentResponse = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(first.seq, 0);
    // the same passport again, on another device: the same entry moves
    let again = nation.enrol_with(evidence(Flaw::Nothing), &number).await;
    let again: EnrolmentResponse = serde_json::from_str(&again.text).unwrap();
    assert_eq!(again.seq, 1);
    // under somebody else's number
    let other = normalise("Q1234567").unwrap();
    let answer = nation.enrol_with(evidence(Flaw::Nothing), &other).await;
    assert_eq!(answer.code(), "tag.other_number");
    // what credentials and RealPass say comes out of the evidence
    let person = nation
        .authority
        .who(&evidence(Flaw::Nothing))
        .await
        .ok()
        .unwrap();
    let facts = crate::cohort::facts_of(&person, "CN", now_s);
    assert_eq!(facts.kind, realdid_pass::facts::Kind::Foreigner);
    assert_eq!(facts.assurance, realdid_pass::facts::Assurance::Substantial);
    assert_eq!(facts.region, realdid_pass::facts::Region::Unstated);
}

/// A wallet's part of a login.
fn begin(redirect_uri: &str) -> Begin {
    Begin {
        redirect_uri: redirect_uri.to_owned(),
        challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)),
    }
}

const WALLET: &str = "http://127.0.0.1:1/secret";

fn upstream_config(dir: &Path, issuer: &str) -> UpstreamConfig {
    let client_secret_file = dir.join("upstream.secret");
    std::fs::write(&client_secret_file, format!("{SECRET}\n")).unwrap();
    UpstreamConfig {
        id: "other".to_owned(),
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret_file,
        assurance: "low".to_owned(),
        scopes: vec!["profile".to_owned()],
    }
}

fn query(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// oidc-provider in a process of its own, which ends with this value.
struct Provider {
    child: Child,
    issuer: String,
}

impl Provider {
    fn start(redirect_uri: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer");
        let case = json!({"clientId": CLIENT, "clientSecret": SECRET, "redirectUri": redirect_uri});
        let mut child = Command::new("node")
            .args(["--no-warnings", "provider.mjs", &case.to_string()])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines
            .map_while(Result::ok)
            .find(|line| line.starts_with('{'));
        let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
        let issuer = said["issuer"].as_str().unwrap().to_owned();
        Self { child, issuer }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Where a browser ends that logs in as somebody: the wallet's address, with what it brings.
async fn browse(page: &str, account: Option<&str>) -> Url {
    let browser = reqwest::Client::builder()
        .cookie_store(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let mut at = Url::parse(page).unwrap();
    for _ in 0..12 {
        if at.as_str().starts_with(WALLET) {
            return at;
        }
        let mut request = browser.get(at.clone());
        if let Some(account) = account {
            request = request.header("x-account", account);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let location = response.headers().get(header::LOCATION).cloned();
        let Some(location) = location else {
            panic!("{status} at {at}: {}", response.text().await.unwrap());
        };
        at = at.join(location.to_str().unwrap()).unwrap();
    }
    panic!("round and round");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreigner_enrols_by_a_provider_of_others() {
    let nation = Nation::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let redirect_uri = format!("{url}{CALLBACK}/other");
    let provider = tokio::task::spawn_blocking(move || Provider::start(&redirect_uri));
    let provider = provider.await.unwrap();
    let config = upstream_config(&nation.dir(), &provider.issuer);
    let upstreams = Upstreams::open(&[config], &url).unwrap();
    let nation = nation.with(|parts| parts.upstreams = upstreams).await;
    let router = nation.router();
    let served = tokio::spawn(async move { axum::serve(listener, router).await });

    let page = async || {
        let body = json!({"redirect_uri": WALLET, "challenge": begin(WALLET).challenge});
        let answer = nation.post_json("/v1/upstreams/other/logins", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["authorization_url"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let ilsabet = browse(&page().await, Some("ilsabet")).await;
    let ticket = query(&ilsabet, "ticket");
    assert!(!ticket.is_empty(), "{ilsabet}");
    let show = async |verifier: &str| {
        let body = json!({"ticket": ticket, "verifier": verifier});
        nation.post_json("/v1/upstreams/identity", &body).await
    };
    assert_eq!(show("of another wallet").await.code(), "upstream.ticket");
    let identity = show(VERIFIER).await.json();
    assert_eq!(
        identity,
        json!({"issuer": provider.issuer, "subject": "ilsabet"})
    );
    let evidence = Evidence::Upstream(UpstreamEvidence {
        kind: UpstreamKind::V1,
        issuer: provider.issuer.clone(),
        subject: "ilsabet".to_owned(),
        ticket,
        verifier: VERIFIER.to_owned(),
    });
    let number = Foreign::Upstream {
        issuer: &provider.issuer,
        subject: "ilsabet",
    };
    let number = number.number().ok().unwrap();
    let answer = nation.enrol_with(evidence.clone(), &number).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let twice = nation.enrol_with(evidence, &number).await;
    assert_eq!(twice.code(), "evidence.refused", "a ticket is used once");

    // nobody logged in there; a birth date without its year
    let nobody = browse(&page().await, None).await;
    assert_eq!(query(&nobody, "error"), "upstream.denied");
    let yearless = browse(&page().await, Some("yearless")).await;
    assert_eq!(query(&yearless, "error"), "upstream.claims");
    served.abort();
}

/// A provider that says what it is told.
struct Liar {
    issuer: String,
    token: Arc<Mutex<String>>,
    /// How often it was asked who it is.
    asked: Arc<AtomicU64>,
    keys: Arc<Mutex<Value>>,
    key: SigningKey,
}

fn jwks(key: &SigningKey) -> Value {
    let mut jwk = Jwk(key.verifying_key()).to_value();
    jwk["kid"] = json!("1");
    jwk["use"] = json!("sig");
    jwk["alg"] = json!("ES256");
    json!({ "keys": [jwk] })
}

impl Liar {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::p256(&[9; 32]).unwrap();
        let keys = Arc::new(Mutex::new(jwks(&key)));
        let has = keys.clone();
        let asked = Arc::<AtomicU64>::default();
        let counts = asked.clone();
        let metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        let token = Arc::new(Mutex::new(String::new()));
        let says = token.clone();
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || {
                    counts.fetch_add(1, Ordering::Relaxed);
                    axum::Json(metadata)
                }),
            )
            .route(
                "/jwks",
                get(async move || axum::Json(has.lock().unwrap().clone())),
            )
            .route(
                "/token",
                post(async move || {
                    let token = says.lock().unwrap().clone();
                    axum::Json(json!({
                        "access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token,
                    }))
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            issuer,
            token,
            asked,
            keys,
            key,
        }
    }

    fn claims(&self, nonce: &str) -> Value {
        let now = std::time::SystemTime::now();
        let now_s = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "ilsabet", "nonce": nonce,
            "iat": now_s, "exp": now_s + 60,
            "given_name": "Ilsabet", "family_name": "Vanderquist", "birthdate": "1988-02-29",
        })
    }

    fn sign(&self, claims: &Value, key: &SigningKey) -> String {
        let header = json!({"kid": "1"});
        let header = header.as_object().unwrap();
        sign_compact(header, claims.to_string().as_bytes(), key).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_lies_proves_nobody() {
    let nation = Nation::new().await;
    let liar = Liar::start().await;
    let config = upstream_config(&nation.dir(), &liar.issuer);
    let upstreams = Upstreams::open(&[config], AUTHORITY).unwrap();
    let nation = nation.with(|parts| parts.upstreams = upstreams).await;
    let authority = &nation.authority;
    let begun = async || {
        authority
            .begin_upstream("other", &begin(WALLET))
            .await
            .ok()
            .unwrap()
    };
    let returned = |state: &str, iss: Option<&str>| -> Returned {
        let iss = iss.map(str::to_owned);
        serde_json::from_value(json!({"state": state, "code": "c", "iss": iss})).unwrap()
    };
    let ends = async |tell: &dyn Fn(Value) -> String| {
        let page = begun().await;
        *liar.token.lock().unwrap() = tell(liar.claims(&query(&page, "nonce")));
        let state = query(&page, "state");
        let back = authority
            .end_upstream("other", &returned(&state, None))
            .await
            .ok()
            .unwrap();
        match query(&back, "error") {
            error if error.is_empty() => "ticket".to_owned(),
            error => error,
        }
    };
    let with = |name: &'static str, value: Value| {
        let liar = &liar;
        move |mut claims: Value| {
            claims[name] = value.clone();
            liar.sign(&claims, &liar.key)
        }
    };
    assert_eq!(
        ends(&|claims| liar.sign(&claims, &liar.key)).await,
        "ticket"
    );
    assert_eq!(
        ends(&with("nonce", json!("another"))).await,
        "upstream.token"
    );
    assert_eq!(ends(&with("nonce", Value::Null)).await, "upstream.token");
    assert_eq!(
        ends(&with("aud", json!("somebody-else"))).await,
        "upstream.token"
    );
    assert_eq!(
        ends(&with("iss", json!("https://other.example"))).await,
        "upstream.token"
    );
    assert_eq!(
        ends(&with("exp", json!(1_000_000_000))).await,
        "upstream.token"
    );
    assert_eq!(
        ends(&with("birthdate", json!("1988"))).await,
        "upstream.claims"
    );
    let stranger = SigningKey::p256(&[8; 32]).unwrap();
    assert_eq!(
        ends(&|claims| liar.sign(&claims, &stranger)).await,
        "upstream.token"
    );
    let unsigned = |claims: Value| {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    assert_eq!(ends(&unsigned).await, "upstream.token");
    assert_eq!(ends(&|_| "no token".to_owned()).await, "upstream.token");

    // a state that was used, is nobody's, or too old; another's answer
    let page = begun().await;
    let state = query(&page, "state");
    *liar.token.lock().unwrap() = liar.sign(&liar.claims(&query(&page, "nonce")), &liar.key);
    let first = authority
        .end_upstream("other", &returned(&state, Some(&liar.issuer)))
        .await;
    assert!(!query(&first.ok().unwrap(), "ticket").is_empty());
    let end = async |state: &str| {
        authority
            .end_upstream("other", &returned(state, None))
            .await
            .err()
    };
    assert_eq!(end(&state).await, Some(UpstreamRefused::State));
    assert_eq!(end("made up").await, Some(UpstreamRefused::State));
    assert_eq!(end("").await, Some(UpstreamRefused::State));
    let late = query(&begun().await, "state");
    nation.wait_s(600);
    assert_eq!(end(&late).await, Some(UpstreamRefused::State));
    let state = query(&begun().await, "state");
    let other = authority
        .end_upstream("other", &returned(&state, Some("https://other.example")))
        .await;
    assert_eq!(query(&other.ok().unwrap(), "error"), "upstream.issuer");
    // the answer of one provider where another's was awaited, also of one that says no issuer
    let state = query(&begun().await, "state");
    let mixed = authority
        .end_upstream("elsewhere", &returned(&state, None))
        .await;
    assert_eq!(query(&mixed.ok().unwrap(), "error"), "upstream.issuer");
}

#[tokio::test]
async fn a_login_begins_at_a_configured_provider_and_comes_back_to_this_machine() {
    let nation = Nation::new().await;
    let config = upstream_config(&nation.dir(), "http://127.0.0.1:1");
    let upstreams = Upstreams::open(std::slice::from_ref(&config), AUTHORITY).unwrap();
    let nation = nation.with(|parts| parts.upstreams = upstreams).await;
    let refused = async |id: &str, begin: &Begin| {
        let begun = nation.authority.begin_upstream(id, begin).await;
        begun.err().unwrap()
    };
    assert_eq!(
        refused("stranger", &begin(WALLET)).await,
        UpstreamRefused::Unknown
    );
    assert_eq!(
        refused("other", &begin(WALLET)).await,
        UpstreamRefused::Unavailable
    );
    for elsewhere in [
        "https://wallet.example/",
        "http://wallet.example:80/",
        "http://127.0.0.1/",
        "http://127.0.0.1:1/?a=b",
        "http://127.0.0.1:1/#a",
        "http://user@127.0.0.1:1/",
        "http://localhost:1/",
        "app:back",
        "",
    ] {
        let refusal = refused("other", &begin(elsewhere)).await;
        assert_eq!(refusal, UpstreamRefused::Redirect, "{elsewhere}");
    }
    let mut plain = begin(WALLET);
    plain.challenge = "short".to_owned();
    assert_eq!(refused("other", &plain).await, UpstreamRefused::Redirect);

    let opens = |change: &dyn Fn(&mut UpstreamConfig)| {
        let mut config = config.clone();
        change(&mut config);
        Upstreams::open(&[config], AUTHORITY).is_ok()
    };
    assert!(opens(&|_| {}));
    assert!(!opens(&|config| config.assurance = "high".to_owned()));
    assert!(!opens(
        &|config| config.issuer = "http://id.example".to_owned()
    ));
    assert!(!opens(&|config| config.id = "Not Plain".to_owned()));
    assert!(!opens(&|config| config.client_secret_file = "absent".into()));
    assert!(
        Upstreams::open(&[config.clone(), config], AUTHORITY).is_err(),
        "twice the same id"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_asked_who_it_is_once_in_a_while_and_when_its_keys_change() {
    let nation = Nation::new().await;
    let mut liar = Liar::start().await;
    let config = upstream_config(&nation.dir(), &liar.issuer);
    let upstreams = Upstreams::open(&[config], AUTHORITY).unwrap();
    let nation = nation.with(|parts| parts.upstreams = upstreams).await;
    let authority = &nation.authority;
    let begun = async || {
        let begun = authority.begin_upstream("other", &begin(WALLET)).await;
        begun.ok().unwrap()
    };
    for _ in 0..3 {
        begun().await;
    }
    assert_eq!(liar.asked.load(Ordering::Relaxed), 1);
    let page = begun().await;
    liar.key = SigningKey::p256(&[7; 32]).unwrap();
    *liar.keys.lock().unwrap() = jwks(&liar.key);
    let token = liar.sign(&liar.claims(&query(&page, "nonce")), &liar.key);
    *liar.token.lock().unwrap() = token;
    let returned = json!({"state": query(&page, "state"), "code": "c", "iss": null});
    let returned: Returned = serde_json::from_value(returned).unwrap();
    let back = authority.end_upstream("other", &returned).await;
    assert!(!query(&back.ok().unwrap(), "ticket").is_empty());
    assert_eq!(liar.asked.load(Ordering::Relaxed), 2);
    nation.wait_s(300);
    begun().await;
    assert_eq!(liar.asked.load(Ordering::Relaxed), 3);
}

/// What an operator says of a provider is what its people are worth.
#[tokio::test(flavor = "multi_thread")]
async fn the_assurance_of_a_login_is_the_operators_word() {
    let nation = Nation::new().await;
    let liar = Liar::start().await;
    let mut config = upstream_config(&nation.dir(), &liar.issuer);
    config.assurance = "substantial".to_owned();
    let upstreams = Upstreams::open(&[config], AUTHORITY).unwrap();
    let nation = nation.with(|parts| parts.upstreams = upstreams).await;
    let page = nation
        .authority
        .begin_upstream("other", &begin(WALLET))
        .await
        .ok()
        .unwrap();
    *liar.token.lock().unwrap() = liar.sign(&liar.claims(&query(&page, "nonce")), &liar.key);
    let returned = json!({"state": query(&page, "state"), "code": "c"});
    let returned: Returned = serde_json::from_value(returned).unwrap();
    let back = nation
        .authority
        .end_upstream("other", &returned)
        .await
        .ok()
        .unwrap();
    let evidence = |ticket: String| {
        Evidence::Upstream(UpstreamEvidence {
            kind: UpstreamKind::V1,
            issuer: liar.issuer.clone(),
            subject: "ilsabet".to_owned(),
            ticket,
            verifier: VERIFIER.to_owned(),
        })
    };
    let person = nation
        .authority
        .who(&evidence(query(&back, "ticket")))
        .await
        .ok()
        .unwrap();
    assert!(person.is_foreign && person.assurance == Assurance::Substantial);
    let again = nation
        .authority
        .person(&person.reference)
        .await
        .ok()
        .unwrap();
    assert!(again == person);
    let nobody = nation
        .authority
        .who(&evidence("made up".to_owned()))
        .await
        .err();
    assert_eq!(nobody, Some(RegisterRefusal::Evidence));
}
