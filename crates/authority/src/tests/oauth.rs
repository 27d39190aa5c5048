//! The authorization code flow with PAR, PKCE and DPoP, as a wallet of somebody else's uses it, and
//! what each step refuses.

use super::*;
use axum::http::HeaderMap;
use realdid_credential::jose::{SigningKey, decode_unverified};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::dpop;
use realdid_exchange::vci::authorization::{AuthorizationRequest, code_challenge, identifier_of};
use realdid_exchange::vci::{
    CredentialRequest, CredentialResponse, IssuerMetadata, NonceResponse, PID_CONFIGURATION,
    TokenRequest, TokenResponse,
};
use serde_json::json;
use url::Url;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "https://wallet.example/cb";

/// A wallet that the person uses beside their own.
struct Client<'a> {
    nation: &'a Nation,
    key: SigningKey,
    /// Makes each proof's `jti` another.
    proofs: std::cell::Cell<u32>,
    nonce: std::cell::RefCell<String>,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    fn refused(&self) -> (String, String) {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        (text("error"), text("code"))
    }
}

fn is_refused(reply: &Reply, error: &str, code: &str) {
    assert_eq!(
        reply.refused(),
        (error.to_owned(), code.to_owned()),
        "{}",
        reply.text
    );
    assert!(reply.status.is_client_error());
}

impl<'a> Client<'a> {
    fn new(nation: &'a Nation, key: u8) -> Self {
        Self {
            nation,
            key: SigningKey::p256(&[key; 32]).unwrap(),
            proofs: Default::default(),
            nonce: Default::default(),
        }
    }

    fn proof(&self, path: &str, token: Option<&str>) -> String {
        self.proofs.set(self.proofs.get() + 1);
        let url = format!("{AUTHORITY}{path}");
        let now_s = self.nation.authority.clock.now_s();
        let nonce = self.nonce.borrow();
        let nonce = (!nonce.is_empty()).then_some(nonce.as_str());
        let jti = self.proofs.get().to_string();
        dpop::build(&self.key, &jti, ("POST", &url), token, nonce, now_s).unwrap()
    }

    async fn send(&self, path: &str, headers: &[(&str, String)], body: String) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.nation.router().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        if let Some(nonce) = headers.get("dpop-nonce") {
            *self.nonce.borrow_mut() = nonce.to_str().unwrap().to_owned();
        }
        Reply {
            status,
            headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A form with a proof of this client's key, sent again with the nonce that is asked for.
    async fn form(&self, path: &str, fields: &[(&str, String)]) -> Reply {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, value);
        }
        let body = form.finish();
        let headers = || {
            [
                (
                    "content-type",
                    "application/x-www-form-urlencoded".to_owned(),
                ),
                ("dpop", self.proof(path, None)),
            ]
        };
        let reply = self.send(path, &headers(), body.clone()).await;
        match reply.status {
            StatusCode::BAD_REQUEST if reply.refused().0 == "use_dpop_nonce" => {
                self.send(path, &headers(), body).await
            }
            _ => reply,
        }
    }

    fn asks(&self, details: bool) -> AuthorizationRequest {
        AuthorizationRequest {
            client_id: "wallet".into(),
            redirect_uri: REDIRECT.into(),
            state: Some("s-1".into()),
            code_challenge: code_challenge(VERIFIER),
            configurations: vec![PID_CONFIGURATION.into()],
            details,
            dpop_jkt: None,
            issuer_state: None,
        }
    }

    /// Pushes a request; answers its name.
    async fn push(&self, details: bool) -> String {
        let reply = self.form("/par", &self.asks(details).to_form()).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
        assert_eq!(reply.json()["expires_in"], crate::oauth::PUSHED_LIFE_S);
        reply.json()["request_uri"].as_str().unwrap().to_owned()
    }

    /// What the person's browser posts.
    async fn log_in(&self, request_uri: &str, evidence: &str) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", "wallet")
            .append_pair("request_uri", request_uri)
            .append_pair("evidence", evidence)
            .finish();
        self.send("/authorize", &[], body).await
    }

    /// Up to the code.
    async fn code(&self, details: bool, person: usize) -> String {
        let request_uri = self.push(details).await;
        let evidence = serde_json::to_string(&self.nation.evidence(person)).unwrap();
        let reply = self.log_in(&request_uri, &evidence).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
        let location = Url::parse(reply.headers["location"].to_str().unwrap()).unwrap();
        let query: std::collections::BTreeMap<_, _> = location.query_pairs().collect();
        assert_eq!(query["iss"], AUTHORITY);
        assert_eq!(query["state"], "s-1");
        assert!(location.as_str().starts_with(REDIRECT));
        query["code"].to_string()
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Reply {
        let request = TokenRequest::AuthorizationCode {
            code: code.to_owned(),
            redirect_uri: REDIRECT.into(),
            code_verifier: verifier.to_owned(),
            client_id: Some("wallet".into()),
        };
        self.form("/token", &request.to_form()).await
    }

    async fn refresh(&self, token: &str) -> Reply {
        let request = TokenRequest::Refresh {
            refresh_token: token.to_owned(),
        };
        self.form("/token", &request.to_form()).await
    }

    async fn tokens(&self, details: bool) -> TokenResponse {
        let code = self.code(details, 0).await;
        let reply = self.redeem(&code, VERIFIER).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        TokenResponse::parse(reply.text.as_bytes()).unwrap()
    }

    /// JSON to a resource, with the token and a proof of its key.
    async fn post(&self, path: &str, token: &str, body: &Value) -> Reply {
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("DPoP {token}")),
            ("dpop", self.proof(path, Some(token))),
        ];
        self.send(path, &headers, body.to_string()).await
    }

    async fn request(&self, keys: std::ops::Range<u8>) -> Value {
        let reply = self.send("/nonce", &[], String::new()).await;
        let nonce: NonceResponse = serde_json::from_str(&reply.text).unwrap();
        let keys: Vec<_> = keys.map(|n| SigningKey::p256(&[n; 32]).unwrap()).collect();
        let now_s = self.nation.authority.clock.now_s();
        let request =
            CredentialRequest::build(PID_CONFIGURATION, AUTHORITY, &nonce.c_nonce, now_s, &keys);
        serde_json::to_value(request.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn another_wallet_gets_copies_by_code_and_keeps_its_tokens_by_its_key() {
    let nation = Nation::new().await;
    nation.enrolled(0).await;
    let client = Client::new(&nation, 40);
    let tokens = client.tokens(false).await;
    assert_eq!(tokens.token_type, "DPoP");
    assert!(tokens.authorization_details.is_none());
    let request = client.request(1..3).await;
    let reply = client
        .post("/credential", &tokens.access_token, &request)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let copies = CredentialResponse::parse(reply.text.as_bytes(), 2)
        .unwrap()
        .texts();
    assert!(decode_unverified(copies[0].split('~').next().unwrap()).is_ok());

    // what came of it is told once or more, by whoever has the token
    let id = reply.json()["notification_id"].clone();
    let told = json!({"notification_id": id, "event": "credential_accepted"});
    for _ in 0..2 {
        let reply = client
            .post("/notification", &tokens.access_token, &told)
            .await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text);
    }
    let other = json!({"notification_id": "x", "event": "credential_accepted"});
    let reply = client
        .post("/notification", &tokens.access_token, &other)
        .await;
    is_refused(&reply, "invalid_notification_id", "vci.notification_id");
    let strange = json!({"notification_id": id, "event": "sold"});
    let reply = client
        .post("/notification", &tokens.access_token, &strange)
        .await;
    is_refused(
        &reply,
        "invalid_notification_request",
        "vci.notification_request",
    );

    // a refresh is for the same key only
    let refresh = tokens.refresh_token.unwrap();
    let thief = Client::new(&nation, 41);
    is_refused(
        &thief.refresh(&refresh).await,
        "invalid_dpop_proof",
        "vci.dpop_key",
    );
    let bearer = [(
        "content-type",
        "application/x-www-form-urlencoded".to_owned(),
    )];
    let body = format!("grant_type=refresh_token&refresh_token={refresh}");
    let reply = client.send("/token", &bearer, body).await;
    is_refused(&reply, "invalid_dpop_proof", "vci.dpop_key");
    let fresh = client.refresh(&refresh).await;
    assert_eq!(fresh.json()["token_type"], "DPoP");

    // nor does it have anything sponsored without the key
    let send = async |client: &Client<'_>, headers: &[(&str, String)]| {
        let mut request = Request::post("/v1/sponsor");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let anchor = nation.anchor(1).encode();
        let request = request.body(Body::from(anchor)).unwrap();
        let response = client.nation.router().oneshot(request).await.unwrap();
        (response.status(), response.headers().clone())
    };
    let bearer = [("authorization", format!("Bearer {refresh}"))];
    assert_eq!(send(&client, &bearer).await.0, StatusCode::UNAUTHORIZED);
    let bound = |of: &Client<'_>| {
        [
            ("authorization", format!("DPoP {refresh}")),
            ("dpop", of.proof("/v1/sponsor", Some(&refresh))),
        ]
    };
    let (status, headers) = send(&thief, &bound(&thief)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key("dpop-nonce"));
    let (status, _) = send(&client, &bound(&client)).await;
    assert_eq!(status, StatusCode::ACCEPTED);

    // a configuration that was not asked for is not opened
    let mut more = client.request(1..2).await;
    more["credential_configuration_id"] = "pid-mdoc".into();
    let reply = client
        .post("/credential", &tokens.access_token, &more)
        .await;
    is_refused(
        &reply,
        "unknown_credential_configuration",
        "vci.unknown_configuration",
    );
}

#[tokio::test]
async fn what_was_asked_for_by_details_is_named_by_identifiers() {
    let nation = Nation::new().await;
    nation.enrolled(0).await;
    let client = Client::new(&nation, 40);
    let tokens = client.tokens(true).await;
    let own = identifier_of(PID_CONFIGURATION);
    let details = tokens.authorization_details.unwrap();
    assert_eq!(details[0]["credential_identifiers"], json!([own]));
    let by_configuration = client.request(1..2).await;
    let reply = client
        .post("/credential", &tokens.access_token, &by_configuration)
        .await;
    is_refused(
        &reply,
        "unknown_credential_identifier",
        "vci.unknown_identifier",
    );
    let mut request = client.request(1..2).await;
    request
        .as_object_mut()
        .unwrap()
        .remove("credential_configuration_id");
    request["credential_identifier"] = own.into();
    // and encrypted, where that is asked for
    let key = DecryptionKey::from_bytes(&[5; 32], "k").unwrap();
    request["credential_response_encryption"] = json!({"jwk": key.public_jwk(), "enc": "A256GCM"});
    let reply = client
        .post("/credential", &tokens.access_token, &request)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], "application/jwt");
    let opened = key.decrypt(&reply.text).unwrap();
    assert_eq!(
        CredentialResponse::parse(&opened, 1)
            .unwrap()
            .credentials
            .len(),
        1
    );
    // the request too, to the key in the metadata, which is the same after a restart
    let metadata = nation.get("/.well-known/openid-credential-issuer").await;
    let metadata = IssuerMetadata::parse(metadata.text.as_bytes(), AUTHORITY).unwrap();
    let to = metadata.request_key().unwrap().unwrap();
    let mut request = client.request(1..2).await;
    request
        .as_object_mut()
        .unwrap()
        .remove("credential_configuration_id");
    request["credential_identifier"] = identifier_of(PID_CONFIGURATION).into();
    request["credential_response_encryption"] = json!({"jwk": key.public_jwk(), "enc": "A256GCM"});
    let sealed = to.encrypt(request.to_string().as_bytes(), &[6; 32], &[7; 12], None);
    let sealed = sealed.unwrap();
    let send = async |body: String| {
        let token = &tokens.access_token;
        let headers = [
            ("content-type", "application/jwt".to_owned()),
            ("authorization", format!("DPoP {token}")),
            ("dpop", client.proof("/credential", Some(token))),
        ];
        client.send("/credential", &headers, body).await
    };
    let broken = format!("{}A", &sealed[..sealed.len() - 2]);
    for refused in [broken, request.to_string(), String::new()] {
        let reply = send(refused).await;
        is_refused(
            &reply,
            "invalid_encryption_parameters",
            "vci.request_encryption",
        );
    }
    let reply = send(sealed).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert!(key.decrypt(&reply.text).is_ok());
    let mut other = client.request(1..2).await;
    other["credential_response_encryption"] = json!({"enc": "A256GCM"});
    let reply = client
        .post("/credential", &tokens.access_token, &other)
        .await;
    is_refused(&reply, "invalid_encryption_parameters", "vci.encryption");
}

#[tokio::test]
async fn a_code_is_redeemed_once_by_verifier_and_key_and_a_second_time_ends_its_tokens() {
    let nation = Nation::new().await;
    nation.enrolled(0).await;
    let client = Client::new(&nation, 40);
    let code = client.code(false, 0).await;
    // without a key
    let form = [(
        "content-type",
        "application/x-www-form-urlencoded".to_owned(),
    )];
    let body = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={REDIRECT}&code_verifier={VERIFIER}"
    );
    let reply = client.send("/token", &form, body).await;
    is_refused(&reply, "invalid_dpop_proof", "vci.dpop_missing");
    // the request was pushed with another key than the thief's
    let thief = Client::new(&nation, 41);
    is_refused(
        &thief.redeem(&code, VERIFIER).await,
        "invalid_grant",
        "vci.grant",
    );
    // and that was the code's one try
    is_refused(
        &client.redeem(&code, VERIFIER).await,
        "invalid_grant",
        "vci.grant",
    );

    let code = client.code(false, 0).await;
    let wrong = client.redeem(&code, &"x".repeat(43)).await;
    is_refused(&wrong, "invalid_grant", "vci.grant");

    let code = client.code(false, 0).await;
    let tokens = client.redeem(&code, VERIFIER).await;
    let tokens = TokenResponse::parse(tokens.text.as_bytes()).unwrap();
    is_refused(
        &client.redeem(&code, VERIFIER).await,
        "invalid_grant",
        "vci.grant",
    );
    let refresh = tokens.refresh_token.unwrap();
    is_refused(
        &client.refresh(&refresh).await,
        "invalid_grant",
        "vci.grant",
    );
    let request = client.request(1..2).await;
    let reply = client
        .post("/credential", &tokens.access_token, &request)
        .await;
    is_refused(&reply, "invalid_token", "vci.access_token");

    let late = client.code(false, 0).await;
    nation.wait_s(crate::oauth::CODE_LIFE_S);
    is_refused(
        &client.redeem(&late, VERIFIER).await,
        "invalid_grant",
        "vci.grant",
    );
}

#[tokio::test]
async fn a_proof_is_for_one_request_with_a_nonce_of_ours_and_is_used_once() {
    let nation = Nation::new().await;
    nation.enrolled(0).await;
    let client = Client::new(&nation, 40);
    // the first proof has no nonce, and is told one
    let headers = |proof: String| {
        [
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
            ("dpop", proof),
        ]
    };
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(client.asks(false).to_form())
        .finish();
    let first = client
        .send("/par", &headers(client.proof("/par", None)), body.clone())
        .await;
    is_refused(&first, "use_dpop_nonce", "vci.dpop_nonce");
    let proof = client.proof("/par", None);
    let good = client
        .send("/par", &headers(proof.clone()), body.clone())
        .await;
    assert_eq!(good.status, StatusCode::CREATED, "{}", good.text);
    let again = client.send("/par", &headers(proof), body.clone()).await;
    is_refused(&again, "invalid_dpop_proof", "vci.dpop_replayed");
    let elsewhere = client.proof("/token", None);
    let reply = client.send("/par", &headers(elsewhere), body.clone()).await;
    is_refused(&reply, "invalid_dpop_proof", "vci.dpop");
    // a nonce for key proofs is none for these
    let c_nonce = nation.authority.nonce().unwrap().c_nonce;
    *client.nonce.borrow_mut() = c_nonce;
    let reply = client
        .send("/par", &headers(client.proof("/par", None)), body.clone())
        .await;
    is_refused(&reply, "use_dpop_nonce", "vci.dpop_nonce");
    // nor is one that has ended
    let stale = client.nonce.borrow().clone();
    nation.wait_s(crate::issuing::NONCE_LIFE_S);
    *client.nonce.borrow_mut() = stale;
    let reply = client
        .send("/par", &headers(client.proof("/par", None)), body)
        .await;
    is_refused(&reply, "use_dpop_nonce", "vci.dpop_nonce");

    let tokens = client.tokens(false).await;
    let token = &tokens.access_token;
    let request = client.request(1..2).await;
    // a stolen token without its key, or as a bearer's
    let thief = Client::new(&nation, 41);
    *thief.nonce.borrow_mut() = client.nonce.borrow().clone();
    let reply = thief.post("/credential", token, &request).await;
    is_refused(&reply, "invalid_dpop_proof", "vci.dpop_key");
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let challenge = reply.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("DPoP error="), "{challenge}");
    let bearer = [("authorization", format!("Bearer {token}"))];
    let reply = client
        .send("/credential", &bearer, request.to_string())
        .await;
    is_refused(&reply, "invalid_dpop_proof", "vci.dpop_key");
    // a proof for another token
    let headers = [
        ("authorization", format!("DPoP {token}")),
        ("dpop", client.proof("/credential", Some("other"))),
    ];
    let reply = client
        .send("/credential", &headers, request.to_string())
        .await;
    is_refused(&reply, "invalid_dpop_proof", "vci.dpop");
    // none of that has used the nonce of the key proofs up
    let reply = client.post("/credential", token, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
}

#[tokio::test]
async fn the_page_shows_who_asks_for_what_and_takes_evidence_a_few_times() {
    let nation = Nation::new().await;
    nation.enrolled(0).await;
    let client = Client::new(&nation, 40);
    let request_uri = client.push(false).await;
    let page = |client_id: &str, request_uri: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client_id)
            .append_pair("request_uri", request_uri)
            .finish();
        let request = Request::get(format!("/authorize?{query}"));
        let request = request.body(Body::empty()).unwrap();
        let router = nation.router();
        async move { router.oneshot(request).await.unwrap() }
    };
    let shown = page("wallet", &request_uri).await;
    assert_eq!(shown.status(), StatusCode::OK);
    let policy = shown.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("form-action 'self' https://wallet.example;"),
        "{policy}"
    );
    let body = axum::body::to_bytes(shown.into_body(), 1 << 20)
        .await
        .unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains("Person identification") && body.contains("https://wallet.example"));
    for (client_id, uri) in [("other", request_uri.as_str()), ("wallet", "urn:x")] {
        let refused = page(client_id, uri).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(refused.headers().get("location").is_none());
    }

    // somebody who never enrolled, and what is no evidence
    let stranger = serde_json::to_string(&nation.evidence(3)).unwrap();
    let reply = client.log_in(&request_uri, &stranger).await;
    assert!(reply.text.contains("enrolment.unknown"), "{}", reply.text);
    let reply = client.log_in(&request_uri, "{").await;
    assert!(reply.text.contains("request.malformed"), "{}", reply.text);
    let mut forged = nation.evidence(0);
    forged.card_secret = "x".into();
    let forged = serde_json::to_string(&forged).unwrap();
    for _ in 0..crate::oauth::LOGIN_TRIES {
        let reply = client.log_in(&request_uri, &forged).await;
        assert!(reply.text.contains("evidence.refused"), "{}", reply.text);
        assert!(!reply.text.contains(&nation.evidence(0).resident_number));
    }
    let good = serde_json::to_string(&nation.evidence(0)).unwrap();
    let reply = client.log_in(&request_uri, &good).await;
    is_refused(&reply, "invalid_request", "vci.pushed_unknown");

    // no is an answer too, once
    let request_uri = client.push(false).await;
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", "wallet")
        .append_pair("request_uri", &request_uri)
        .append_pair("decline", "yes")
        .finish();
    let reply = client.send("/authorize", &[], body.clone()).await;
    let location = reply.headers["location"].to_str().unwrap();
    assert!(
        location.contains("error=access_denied&state=s-1&iss="),
        "{location}"
    );
    let reply = client.send("/authorize", &[], body).await;
    is_refused(&reply, "invalid_request", "vci.pushed_unknown");

    // late, or by a suspended person
    let request_uri = client.push(false).await;
    nation.wait_s(crate::oauth::PUSHED_LIFE_S);
    let reply = client.log_in(&request_uri, &good).await;
    is_refused(&reply, "invalid_request", "vci.pushed_unknown");
    let request_uri = client.push(false).await;
    let operator = nation.operator().await;
    operator
        .suspend("r-0001", ReasonCode::LegalOrder)
        .await
        .unwrap();
    let reply = client.log_in(&request_uri, &good).await;
    assert!(reply.text.contains("enrolment.suspended"), "{}", reply.text);
}

#[tokio::test]
async fn where_the_register_is_silent_the_credential_comes_later() {
    let nation = Nation::new().await;
    nation.enrolled(0).await;
    let client = Client::new(&nation, 40);
    let tokens = client.tokens(false).await;
    let token = &tokens.access_token;
    // the same authority, whose register does not answer
    let silent = Register::Http(
        crate::register::http::HttpRegister::new("http://127.0.0.1:1", None).unwrap(),
    );
    let store = Store::open_dir(&nation.dir()).await.unwrap();
    let clock = nation.authority.clock.clone();
    let mute = authority_with(store, &nation.dir(), &nation.ledger, clock, silent).await;
    let mute = Nation {
        authority: mute,
        folder: tempfile::tempdir().unwrap(),
        ledger: nation.ledger.clone(),
        registrar: nation.registrar.clone(),
        later_ms: nation.later_ms.clone(),
    };
    let waiting = Client::new(&mute, 40);
    *waiting.nonce.borrow_mut() = client.nonce.borrow().clone();
    waiting.proofs.set(1000);
    let request = waiting.request(1..3).await;
    let reply = waiting.post("/credential", token, &request).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
    let id = reply.json()["transaction_id"].clone();
    assert!(reply.json()["interval"].is_u64() && id.is_string());
    let ask = json!({ "transaction_id": id });
    let reply = waiting.post("/deferred_credential", token, &ask).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.json()["transaction_id"], id);

    let other = json!({"transaction_id": "other"});
    let reply = client.post("/deferred_credential", token, &other).await;
    is_refused(&reply, "invalid_transaction_id", "vci.transaction_id");
    let reply = client.post("/deferred_credential", token, &ask).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(
        CredentialResponse::parse(reply.text.as_bytes(), 2)
            .unwrap()
            .credentials
            .len(),
        2
    );
    let reply = client.post("/deferred_credential", token, &ask).await;
    is_refused(&reply, "invalid_transaction_id", "vci.transaction_id");
}

#[tokio::test]
async fn an_authority_for_attested_wallets_gives_others_nothing() {
    let mut nation = Nation::new().await;
    let enrolled = nation.enrolled(0).await;
    Arc::get_mut(&mut nation.authority).unwrap().attested_only = true;
    let metadata = nation.get("/.well-known/oauth-authorization-server").await;
    let methods = &metadata.json()["token_endpoint_auth_methods_supported"];
    assert_eq!(*methods, json!(["attest_jwt_client_auth"]));
    let client = Client::new(&nation, 40);
    let reply = client.form("/par", &client.asks(false).to_form()).await;
    is_refused(&reply, "invalid_client", "vci.attestation_missing");
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let offer = &enrolled.credential_offer;
    let request = TokenRequest::for_offer(offer, Some(&enrolled.tx_code)).unwrap();
    let reply = client.form("/token", &request.to_form()).await;
    is_refused(&reply, "invalid_client", "vci.attestation_missing");
    let half = [
        (
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        ),
        ("oauth-client-attestation", "a.b.c".to_owned()),
    ];
    let reply = client.send(
        "/token",
        &half,
        "grant_type=refresh_token&refresh_token=x".into(),
    );
    is_refused(&reply.await, "invalid_client", "vci.attestation");
}

#[tokio::test]
async fn metadata_is_signed_where_that_is_asked_for() {
    let nation = Nation::new().await;
    let get = |accept: &'static str| {
        let request = Request::get("/.well-known/openid-credential-issuer")
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        ask(nation.router(), request)
    };
    let plain = get("application/json").await;
    let signed = get("application/jwt, application/json;q=0.5").await;
    let key = nation.authority.keys.pid.key.verifying_key();
    let read = IssuerMetadata::parse_signed(&signed.text, AUTHORITY, &key).unwrap();
    assert_eq!(
        read,
        IssuerMetadata::parse(plain.text.as_bytes(), AUTHORITY).unwrap()
    );
    let x5c = decode_unverified(&signed.text).unwrap().header["x5c"].clone();
    assert_eq!(
        x5c,
        json!(nation.authority.keys.certificates.as_ref().unwrap().x5c)
    );
    let server = nation
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(
        server["pushed_authorization_request_endpoint"],
        format!("{AUTHORITY}/par")
    );
    assert_eq!(server["require_pushed_authorization_requests"], true);
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
}
