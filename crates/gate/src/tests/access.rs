//! Logins of a client that knows nobody again: by our own wallet, and by one that reads no ledger and
//! is asked under a certificate.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use realdid_credential::jose;
use realdid_credential::mdoc::{Mdoc, Transcript, pid::NAME_SPACE};
use realdid_serve::TlsFiles;

const CLAIM: &str = "age_equal_or_over.18";

/// A certificate and its key in two files: below a root, and what else it is.
struct Pair {
    leaf: CertificateParams,
    /// With its own name as the signer's.
    self_signed: bool,
    /// Of another key than the one beside it.
    other_key: bool,
    /// The root stands in the file too.
    with_root: bool,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn pair() -> Pair {
    let mut leaf = named("shop");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Pair {
        leaf,
        self_signed: false,
        other_key: false,
        with_root: false,
    }
}

impl Pair {
    fn write(&self, folder: &Path) -> TlsFiles {
        let [ca, key, other] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let mut root = named("root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&ca).unwrap().pem();
        let of = if self.other_key { &other } else { &key };
        let leaf = match self.self_signed {
            true => self.leaf.self_signed(of),
            false => self.leaf.signed_by(of, &Issuer::new(root, ca)),
        };
        let mut pem = leaf.unwrap().pem();
        if self.with_root {
            pem.push_str(&root_pem);
        }
        let files = TlsFiles {
            cert: folder.join("access.pem"),
            key: folder.join("access-key.pem"),
        };
        std::fs::write(&files.cert, pem).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

/// A gate whose website has no accounts. Answers come in the clear, to be made by hand.
fn town_of_nobody() -> Town {
    town_with(0, |folder| {
        let mut config = config_of(folder, Accounts::None, &[CLAIM], "age");
        config.access = Some(pair().write(folder));
        config.response_mode = ResponseMode::DirectPost;
        Gate::open(&config, ISSUER.to_owned()).unwrap()
    })
}

/// A request as any wallet reads it, and the page's way to it.
struct Asked {
    payload: Value,
    cookie: String,
}

impl Asked {
    fn text(&self, name: &str) -> &str {
        self.payload[name].as_str().unwrap()
    }
}

impl Town {
    async fn asked_under_a_certificate(&self) -> Asked {
        let (started, cookie) = self.start().await;
        let link = WalletLink::parse(started["other_wallet_link"].as_str().unwrap()).unwrap();
        let signed = text_of(self.get(&link.request_uri, &[]).await).await;
        let jws = jose::decode_unverified(&signed).unwrap();
        let chain = jws.x5c().unwrap();
        let leaf = realdid_credential::x509::Certificate::parse(&chain[0]).unwrap();
        jws.verify(&leaf.key).unwrap();
        let payload = Value::Object(jws.claims().unwrap());
        assert_eq!(link.client_id, vp::certified_client_id(&chain[0]));
        assert_eq!(payload["client_id"], link.client_id);
        Asked { payload, cookie }
    }

    /// What a wallet shows to it, as an SD-JWT VC or an mdoc, for this client.
    fn vp_token(&self, asked: &Asked, mdoc: bool, aud: &str) -> Value {
        let holder = world::jose_key(&self.world.holder);
        let (nonce, uri) = (asked.text("nonce"), asked.text("response_uri"));
        if mdoc {
            let held = Mdoc::parse(&self.world.mdoc()).unwrap();
            let shown = held.select(&[(NAME_SPACE, "age_over_18")]).unwrap();
            let transcript = Transcript::openid4vp(aud, nonce, None, uri);
            let shown = shown.bind(&transcript, &holder).unwrap();
            return json!({ "pid_mdoc": [URL_SAFE_NO_PAD.encode(shown)] });
        }
        let binding = Binding {
            nonce,
            aud,
            iat_s: now_ms() / 1000,
        };
        let claims = [realdid_exchange::registration::claim_path(CLAIM).unwrap()];
        let held = ParsedSdJwt::parse(&self.world.pid()).unwrap();
        let shown = sd_jwt::present(&held, &claims, &binding, &holder).unwrap();
        json!({ "pid": [shown] })
    }

    async fn answer_by(&self, asked: &Asked, token: &Value, uri: &str) -> Response<Body> {
        let form = form(&[
            ("vp_token", &token.to_string()),
            ("state", asked.text("state")),
        ]);
        self.post(uri, form).await
    }

    /// The ID token's claims, once the browser is back and the website has redeemed its code.
    async fn token(&self, answered: Value, cookie: &str) -> Value {
        let uri = answered["redirect_uri"].as_str().unwrap();
        let back = self.get(uri, &[("cookie", cookie)]).await;
        assert_eq!(back.status(), 303);
        let location = url::Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
        let code = location.query_pairs().find(|(name, _)| name == "code");
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("code", &code.unwrap().1),
            ("redirect_uri", REDIRECT),
            // RFC 7636 appendix B, as `authorize` has its challenge
            (
                "code_verifier",
                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            ),
            ("client_id", "shop"),
            ("client_secret", SECRET),
        ]);
        let tokens = json_of(self.post("/token", body).await).await;
        let token = tokens["id_token"].as_str().unwrap();
        Value::Object(jose::decode_unverified(token).unwrap().claims().unwrap())
    }
}

#[tokio::test]
async fn a_wallet_that_reads_no_ledger_shows_a_pid_and_is_another_subject_each_time() {
    let town = town_of_nobody();
    let mut subjects = Vec::new();
    for mdoc in [false, true, false] {
        let asked = town.asked_under_a_certificate().await;
        let token = town.vp_token(&asked, mdoc, asked.text("client_id"));
        let uri = asked.text("response_uri");
        let answered = town.answer_by(&asked, &token, uri).await;
        assert_eq!(answered.status(), 200);
        let id_token = town.token(json_of(answered).await, &asked.cookie).await;
        assert_eq!(id_token["age_equal_or_over"], json!({"18": true}));
        assert_eq!(id_token["acr"], "https://realdid.org/acr/pid");
        subjects.push(id_token["sub"].as_str().unwrap().to_owned());

        let again = town.answer_by(&asked, &token, uri).await;
        // The browser has come and gone.
        assert_eq!(code_of(again).await, "login.unknown");
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 3);
}

#[tokio::test]
async fn our_own_wallet_answers_the_same_login_without_a_did() {
    let town = town_of_nobody();
    let (started, cookie) = town.start().await;
    let request = town.fetch(&started).await;
    assert_eq!((&request.asked.did_id, &request.asked.pass), (&None, &None));
    let (pid, proof) = town.presentations(&request);
    let unasked = json!({ "pid": [pid], "did": [proof] });
    let form_of = |token: &Value| {
        let state = request.state.as_deref().unwrap();
        form(&[("vp_token", &token.to_string()), ("state", state)])
    };
    let response = town.post(&request.response_uri, form_of(&unasked)).await;
    assert_eq!(code_of(response).await, "vp.over_disclosed");
    let alone = json!({ "pid": [pid] });
    let response = town.post(&request.response_uri, form_of(&alone)).await;
    assert_eq!(response.status(), 200);
    let id_token = town.token(json_of(response).await, &cookie).await;
    assert_eq!(id_token["age_equal_or_over"], json!({"18": true}));
}

#[tokio::test]
async fn what_is_shown_to_one_client_id_is_nothing_to_the_other() {
    let town = town_of_nobody();
    for mdoc in [false, true] {
        let asked = town.asked_under_a_certificate().await;
        let other = vp::client_id(&SERVICE_ID);
        let uri = asked.text("response_uri");
        let plain = uri.strip_suffix("/x509").unwrap();
        let code = if mdoc {
            "mdoc.device_signature"
        } else {
            "kb.audience"
        };
        let token = town.vp_token(&asked, mdoc, &other);
        let response = town.answer_by(&asked, &token, uri).await;
        assert_eq!(code_of(response).await, code);
        let token = town.vp_token(&asked, mdoc, asked.text("client_id"));
        let response = town.answer_by(&asked, &token, plain).await;
        assert_eq!(code_of(response).await, code);
        let response = town.answer_by(&asked, &token, uri).await;
        assert_eq!(response.status(), 200, "one of the two, once");
        let response = town.answer_by(&asked, &token, plain).await;
        assert_eq!(code_of(response).await, "vp.replayed");
    }
}

#[tokio::test]
async fn only_a_login_without_accounts_is_asked_for_under_a_certificate() {
    let of = |accounts, access: bool| {
        town_with(0, move |folder| {
            let mut config = config_of(folder, accounts, &[CLAIM], "age");
            config.access = access.then(|| pair().write(folder));
            Gate::open(&config, ISSUER.to_owned()).unwrap()
        })
    };
    for town in [of(Accounts::Did, true), of(Accounts::None, false)] {
        let (started, _) = town.start().await;
        assert!(started.get("other_wallet_link").is_none());
        let uri = started["request_uri"].as_str().unwrap();
        let response = town.get(&format!("{uri}/x509"), &[]).await;
        assert_eq!(code_of(response).await, "login.unknown");
    }
    let page = |town: Town| async move { text_of(town.get(&authorize(), &[]).await).await };
    let words = "My wallet is not one of RealDID";
    assert!(page(of(Accounts::None, true)).await.contains(words));
    assert!(!page(of(Accounts::Did, true)).await.contains(words));
}

#[test]
fn a_certificate_that_may_not_sign_or_is_of_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |pair: &Pair| {
        crate::access::Certified::open(&pair.write(folder.path()), AccessName::Hash, ISSUER)
    };
    assert!(open(&pair()).is_ok());
    let mut signs_nothing = pair();
    signs_nothing.leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    let of_another = Pair {
        other_key: true,
        ..pair()
    };
    let self_signed = Pair {
        self_signed: true,
        ..pair()
    };
    let with_root = Pair {
        with_root: true,
        ..pair()
    };
    for wrong in [signs_nothing, of_another, self_signed, with_root] {
        assert_eq!(open(&wrong).err().unwrap().code(), "gate.access");
    }
    let files = pair().write(folder.path());
    std::fs::write(&files.key, "no key").unwrap();
    let refused = crate::access::Certified::open(&files, AccessName::Hash, ISSUER).err();
    assert_eq!(refused.unwrap().code(), "gate.access");
}

#[test]
fn a_host_that_names_a_gate_stands_in_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let mut named = pair();
    let name = "login.shop.example";
    named.leaf.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
    let files = named.write(folder.path());
    let open = |url: &str| crate::access::Certified::open(&files, AccessName::Dns, url);
    let certified = open("https://login.shop.example:8443").unwrap();
    let client_id = certified.signer().client_id();
    assert_eq!(client_id, "x509_san_dns:login.shop.example");
    for other in ["https://shop.example", "https://127.0.0.1:1", "no address"] {
        let refused = open(other).err().unwrap();
        assert_eq!(refused.code(), "gate.access", "{other}");
    }
}

#[test]
fn a_did_that_names_a_gate_is_a_did_url_and_a_web_did_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let key = pair().write(folder.path()).key;
    let open = |id: &str| {
        let id = id.to_owned();
        let key = key.clone();
        crate::access::ByDid::open(&AccessDid { id, key })
    };
    let own = open("did:web:login.shop.example%3A8443#key-1").unwrap();
    let client_id = own.signer().client_id();
    assert_eq!(
        client_id,
        "decentralized_identifier:did:web:login.shop.example%3A8443"
    );
    let document = own.document("https://login.shop.example:8443").unwrap();
    assert_eq!(document["id"], "did:web:login.shop.example%3A8443");
    let method = &document["verificationMethod"][0];
    assert_eq!(method["id"], "did:web:login.shop.example%3A8443#key-1");
    assert_eq!(method["publicKeyJwk"]["crv"], "P-256");
    assert!(method["publicKeyJwk"].get("d").is_none());
    for elsewhere in [
        "https://login.shop.example",
        "https://login.shop.example:8443/x",
    ] {
        assert!(own.document(elsewhere).is_none(), "{elsewhere}");
    }
    for wrong in [
        "",
        "did:web#k",
        "did:web:x",
        "did::x#k",
        "web:x#k",
        "did:web:x #k",
        "did:web:x#",
    ] {
        assert_eq!(
            open(wrong).err().unwrap().code(),
            "gate.access_did",
            "{wrong}"
        );
    }
    std::fs::write(&key, "no key").unwrap();
    assert_eq!(open("did:web:x#k").err().unwrap().code(), "gate.access");
}

/// What a page asks its gate for, and what it gives back.
impl Town {
    async fn browser_requests(&self, id: &str, cookie: &str) -> Response<Body> {
        let uri = format!("/vp/request/{id}/browser");
        self.get(&uri, &[("cookie", cookie)]).await
    }

    async fn answer_by_browser(&self, id: &str, cookie: &str, body: &Value) -> Response<Body> {
        let request = Request::builder()
            .method("POST")
            .uri(format!("/vp/response/{id}/browser"))
            .header("content-type", "application/json")
            .header("cookie", cookie)
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }
}

#[tokio::test]
async fn a_browsers_wallet_answers_to_the_page_that_asked_and_to_no_other() {
    let town = town_of_nobody();
    for mdoc in [false, true] {
        let (started, cookie) = town.start().await;
        let id = started["request_uri"].as_str().unwrap();
        let id = id.rsplit('/').next().unwrap();
        let told = json_of(town.browser_requests(id, &cookie).await).await;
        let [one] = told["requests"].as_array().unwrap().as_slice() else {
            panic!("one way: {told}");
        };
        assert_eq!(one["protocol"], "openid4vp-v1-signed");
        let signed = one["data"]["request"].as_str().unwrap();
        let jws = jose::decode_unverified(signed).unwrap();
        let leaf = &jws.x5c().unwrap()[0];
        let leaf = realdid_credential::x509::Certificate::parse(leaf).unwrap();
        jws.verify(&leaf.key).unwrap();
        let payload = jws.claims().unwrap();
        assert_eq!(payload["expected_origins"], json!([ISSUER]));
        assert_eq!(payload["response_mode"], "dc_api");
        assert!(!payload.contains_key("response_uri") && !payload.contains_key("state"));
        let nonce = payload["nonce"].as_str().unwrap();
        let holder = world::jose_key(&town.world.holder);
        let shown_to = |origin: &str| {
            if mdoc {
                let held = Mdoc::parse(&town.world.mdoc()).unwrap();
                let shown = held.select(&[(NAME_SPACE, "age_over_18")]).unwrap();
                let transcript = Transcript::dc_api(origin, nonce, None);
                let shown = shown.bind(&transcript, &holder).unwrap();
                return json!({ "pid_mdoc": [URL_SAFE_NO_PAD.encode(shown)] });
            }
            let audience = vp::audience_of(origin);
            let binding = Binding {
                nonce,
                aud: &audience,
                iat_s: now_ms() / 1000,
            };
            let claims = [realdid_exchange::registration::claim_path(CLAIM).unwrap()];
            let held = ParsedSdJwt::parse(&town.world.pid()).unwrap();
            let shown = sd_jwt::present(&held, &claims, &binding, &holder).unwrap();
            json!({ "pid": [shown] })
        };
        let got =
            |token: Value| json!({ "protocol": one["protocol"], "data": { "vp_token": token } });
        let strange = town.browser_requests(id, "rdid-x=1").await;
        assert_eq!(code_of(strange).await, "login.other_browser");
        let good = got(shown_to(ISSUER));
        let strange = town.answer_by_browser(id, "rdid-x=1", &good).await;
        assert_eq!(code_of(strange).await, "login.other_browser");
        let code = if mdoc {
            "mdoc.device_signature"
        } else {
            "kb.audience"
        };
        let elsewhere = got(shown_to("https://other.example"));
        let response = town.answer_by_browser(id, &cookie, &elsewhere).await;
        assert_eq!(code_of(response).await, code);
        for malformed in [
            json!({}),
            json!({ "protocol": "openid4vp-v1-unsigned", "data": good["data"] }),
            json!({ "protocol": one["protocol"], "data": { "response": "x" } }),
            json!({ "protocol": one["protocol"], "data": {} }),
        ] {
            let response = town.answer_by_browser(id, &cookie, &malformed).await;
            assert_eq!(
                code_of(response).await,
                "vp.response_malformed",
                "{malformed}"
            );
        }
        let response = town.answer_by_browser(id, &cookie, &good).await;
        assert_eq!(response.status(), 200);
        let id_token = town.token(json_of(response).await, &cookie).await;
        assert_eq!(id_token["age_equal_or_over"], json!({"18": true}));
    }
}

#[tokio::test]
async fn only_a_page_whose_login_others_can_answer_has_a_script() {
    let town = town_of_nobody();
    let response = town.get(&authorize(), &[]).await;
    let policy = response.headers()["content-security-policy"].clone();
    assert!(
        policy
            .to_str()
            .unwrap()
            .contains("script-src 'self'; connect-src 'self';")
    );
    let page = text_of(response).await;
    assert!(page.contains("<script src=\"/assets/browser.js\" defer>"));
    let script = town.get("/assets/browser.js", &[]).await;
    assert_eq!(script.headers()["content-type"], "text/javascript");
    // Where only wallets answer that read the ledger, none of it.
    let town = town_with(0, open);
    let response = town.get(&authorize(), &[]).await;
    let policy = response.headers()["content-security-policy"].clone();
    assert!(!policy.to_str().unwrap().contains("script-src"));
    assert!(!text_of(response).await.contains("<script"));
    let (started, cookie) = town.start().await;
    let id = started["request_uri"].as_str().unwrap();
    let id = id.rsplit('/').next().unwrap();
    let response = town.browser_requests(id, &cookie).await;
    assert_eq!(code_of(response).await, "login.unknown");
    let document = town.get("/.well-known/did.json", &[]).await;
    assert_eq!(code_of(document).await, "access.no_did");
}
