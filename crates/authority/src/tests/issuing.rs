//! Tokens, credentials and sponsoring, as a wallet asks for them.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::jose::{SigningKey, decode_unverified};
use realdid_credential::mdoc;
use realdid_exchange::vci::{
    CredentialOffer, CredentialRequest, CredentialResponse, MDOC_CONFIGURATION, NonceResponse,
    PID_CONFIGURATION, TokenRequest, TokenResponse, X5C_CONFIGURATION,
};
use realdid_testkit::ledger::{TestDid, key};

impl Nation {
    pub(super) async fn form(&self, request: &TokenRequest) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(request.to_form())
            .finish();
        let request = Request::post("/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        ask(self.router(), request).await
    }

    async fn redeem(&self, offer: &CredentialOffer, tx_code: &str) -> Answer {
        let request = TokenRequest::for_offer(offer, Some(tx_code)).unwrap();
        self.form(&request).await
    }

    pub(super) async fn tokens(&self, n: usize) -> TokenResponse {
        let enrolled = self.enrolled(n).await;
        let answer = self
            .redeem(&enrolled.credential_offer, &enrolled.tx_code)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        TokenResponse::parse(answer.text.as_bytes()).unwrap()
    }

    pub(super) async fn nonce(&self) -> String {
        let request = Request::post("/nonce").body(Body::empty()).unwrap();
        let answer = ask(self.router(), request).await;
        serde_json::from_str::<NonceResponse>(&answer.text)
            .unwrap()
            .c_nonce
    }

    /// Refresh token and ten copies of somebody who has enrolled.
    pub(super) async fn copies_of(&self, n: usize) -> (String, Vec<String>) {
        let tokens = self.tokens(n).await;
        let nonce = self.nonce().await;
        let request = self.request(AUTHORITY, &nonce, 1..11);
        let answer = self.credential(&tokens.access_token, &request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let copies = CredentialResponse::parse(answer.text.as_bytes(), 10).unwrap();
        (tokens.refresh_token.unwrap(), copies.texts())
    }

    pub(super) fn request(
        &self,
        issuer: &str,
        nonce: &str,
        keys: std::ops::Range<u8>,
    ) -> CredentialRequest {
        let keys: Vec<_> = keys.map(|n| SigningKey::p256(&[n; 32]).unwrap()).collect();
        let now_s = self.authority.clock.now_s();
        CredentialRequest::build(PID_CONFIGURATION, issuer, nonce, now_s, &keys).unwrap()
    }

    pub(super) async fn credential(&self, token: &str, request: &CredentialRequest) -> Answer {
        let request = Request::post("/credential")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(serde_json::to_vec(request).unwrap()))
            .unwrap();
        ask(self.router(), request).await
    }

    async fn sponsor(&self, token: &str, operation: &SignedOperation) -> Answer {
        let request = Request::post("/v1/sponsor")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/cbor")
            .body(Body::from(operation.encode()))
            .unwrap();
        ask(self.router(), request).await
    }

    pub(super) fn anchor(&self, n: u64) -> SignedOperation {
        let net = self.ledger.net.lock().unwrap();
        let did = TestDid::new(net.network(), n);
        let body = realdid_core::operation::Body::Anchor(did.inception.clone());
        net.sign(body, &[&did.current])
    }
}

pub(super) fn is_refused(answer: &Answer, error: &str, code: &str) {
    let json = answer.json();
    assert!(answer.status.is_client_error(), "{}", answer.text);
    assert_eq!(
        (json["error"].as_str(), json["code"].as_str()),
        (Some(error), Some(code))
    );
    assert!(json["rule"].is_string() && json["fix"].is_string());
}

#[tokio::test]
async fn a_wallet_receives_a_batch_of_unlinkable_copies() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    nation.wait_s(7);
    let nonce = nation.nonce().await;
    let request = nation.request(AUTHORITY, &nonce, 1..11);
    let answer = nation.credential(&tokens.access_token, &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let copies = CredentialResponse::parse(answer.text.as_bytes(), 10)
        .unwrap()
        .texts();
    let epoch_start_s = START_MS / 1000;
    let mut holders = Vec::new();
    for copy in &copies {
        let jwt = copy.split('~').next().unwrap();
        let jws = decode_unverified(jwt).unwrap();
        jws.verify(&nation.authority.keys.pid.key.verifying_key())
            .unwrap();
        let kid = nation.authority.keys.pid.id.to_string();
        assert_eq!(jws.header_str("kid"), Some(kid.as_str()));
        let claims = jws.claims().unwrap();
        assert_eq!(claims["iss"], AUTHORITY);
        // the start of the epoch and at most epoch and lead, not the moment of issuing
        assert_eq!(claims["iat"], epoch_start_s);
        assert_eq!(claims["exp"], epoch_start_s + 120);
        assert!(claims.get("status").is_none());
        holders.push(claims["cnf"].to_string());
        // nothing is open in the signed part
        assert!(!claims.contains_key("given_name"));
    }
    holders.sort();
    holders.dedup();
    assert_eq!(holders.len(), 10);
}

#[tokio::test]
async fn a_wallet_receives_the_pid_as_mdocs_and_with_a_certificate() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    nation.wait_s(7);
    let ask = |configuration: &'static str| {
        let (nation, token) = (&nation, &tokens.access_token);
        async move {
            let nonce = nation.nonce().await;
            let mut request = nation.request(AUTHORITY, &nonce, 1..4);
            request.credential_configuration_id = Some(configuration.to_owned());
            let answer = nation.credential(token, &request).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            CredentialResponse::parse(answer.text.as_bytes(), 3)
                .unwrap()
                .texts()
        }
    };
    let published = nation.get("/.well-known/jwt-vc-issuer").await.json();
    let published = published["jwks"]["keys"][0]["x5c"].clone();
    let certificates = nation.authority.keys.certificates.as_ref().unwrap();
    assert_eq!(published, serde_json::json!(certificates.x5c));
    let epoch_start_s = START_MS / 1000;

    let copies = ask(MDOC_CONFIGURATION).await;
    for (n, copy) in (1u8..).zip(&copies) {
        let bytes = URL_SAFE_NO_PAD.decode(copy).unwrap();
        let key = SigningKey::p256(&[n; 32]).unwrap().verifying_key();
        let evidence = mdoc::IssuerEvidence {
            issuer_keys: &[mdoc::IssuerKey {
                issuer: AUTHORITY.to_owned(),
                certificate: certificates.leaf.clone(),
                key: nation.authority.keys.pid.key.verifying_key(),
            }],
            accepted_doc_types: &[mdoc::pid::DOC_TYPE],
            now_s: nation.authority.clock.now_s(),
            clock_skew_s: 0,
        };
        let plain = mdoc::receive(&bytes, &evidence, &key)
            .unwrap()
            .plain()
            .unwrap();
        assert_eq!(
            (plain.signed_s, plain.until_s),
            (epoch_start_s, epoch_start_s + 120)
        );
        assert!(!plain.has_status);
    }
    for copy in ask(X5C_CONFIGURATION).await {
        let jws = copy.split('~').next().unwrap().to_owned();
        let jws = decode_unverified(&jws).unwrap();
        assert_eq!(jws.header["x5c"], published);
    }
    let root = nation.get("/ca.pem").await.text;
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn a_code_is_refused_with_a_wrong_transaction_code_or_a_second_time_or_late() {
    let nation = Nation::new().await;
    let enrolled = nation.enrolled(0).await;
    let offer = &enrolled.credential_offer;
    let wrong = if enrolled.tx_code == "000000" {
        "000001"
    } else {
        "000000"
    };
    is_refused(
        &nation.redeem(offer, wrong).await,
        "invalid_grant",
        "vci.grant",
    );
    assert_eq!(
        nation.redeem(offer, &enrolled.tx_code).await.status,
        StatusCode::OK
    );
    is_refused(
        &nation.redeem(offer, &enrolled.tx_code).await,
        "invalid_grant",
        "vci.grant",
    );

    let late = nation.enrolled(0).await;
    nation.wait_s(crate::enrolment::OFFER_LIFE_S);
    let answer = nation.redeem(&late.credential_offer, &late.tx_code).await;
    is_refused(&answer, "invalid_grant", "vci.grant");

    // guessing ends the code, for the right one too
    let guessed = nation.enrolled(0).await;
    let wrong = if guessed.tx_code == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..5 {
        nation.redeem(&guessed.credential_offer, wrong).await;
    }
    let answer = nation
        .redeem(&guessed.credential_offer, &guessed.tx_code)
        .await;
    is_refused(&answer, "invalid_grant", "vci.grant");
}

#[tokio::test]
async fn a_nonce_is_used_once_in_time_and_is_ours() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    let nonce = nation.nonce().await;
    let request = nation.request(AUTHORITY, &nonce, 1..2);
    assert_eq!(
        nation
            .credential(&tokens.access_token, &request)
            .await
            .status,
        StatusCode::OK
    );
    let again = nation.credential(&tokens.access_token, &request).await;
    is_refused(&again, "invalid_nonce", "vci.proof_nonce");

    let mut forged = nation.nonce().await.into_bytes();
    forged[3] = if forged[3] == b'A' { b'B' } else { b'A' };
    for nonce in [String::from_utf8(forged).unwrap(), "x".to_owned()] {
        let request = nation.request(AUTHORITY, &nonce, 1..2);
        let answer = nation.credential(&tokens.access_token, &request).await;
        is_refused(&answer, "invalid_nonce", "vci.proof_nonce");
    }
    let late = nation.nonce().await;
    nation.wait_s(crate::issuing::NONCE_LIFE_S);
    let refresh = TokenRequest::Refresh {
        refresh_token: tokens.refresh_token.unwrap(),
    };
    let fresh = TokenResponse::parse(nation.form(&refresh).await.text.as_bytes()).unwrap();
    let request = nation.request(AUTHORITY, &late, 1..2);
    let answer = nation.credential(&fresh.access_token, &request).await;
    is_refused(&answer, "invalid_nonce", "vci.proof_nonce");
    // the first access token has expired meanwhile
    let answer = nation.credential(&tokens.access_token, &request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    is_refused(&answer, "invalid_token", "vci.access_token");
}

#[tokio::test]
async fn proofs_for_others_and_by_other_keys_are_refused() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    let token = &tokens.access_token;
    let nonce = nation.nonce().await;
    let elsewhere = nation.request("https://other.example", &nonce, 1..2);
    let answer = nation.credential(token, &elsewhere).await;
    is_refused(&answer, "invalid_proof", "vci.proof_audience");
    let ed = [SigningKey::ed25519(&[1; 32])];
    let now_s = nation.authority.clock.now_s();
    let ed = CredentialRequest::build(PID_CONFIGURATION, AUTHORITY, &nonce, now_s, &ed).unwrap();
    let answer = nation.credential(token, &ed).await;
    is_refused(&answer, "invalid_proof", "vci.proof_alg");
    let many = nation.request(AUTHORITY, &nonce, 1..12);
    let answer = nation.credential(token, &many).await;
    is_refused(&answer, "invalid_credential_request", "vci.batch");
    let good = nation.request(AUTHORITY, &nonce, 1..2);
    let refresh = tokens.refresh_token.as_ref().unwrap();
    for wrong in ["", "x", refresh] {
        let answer = nation.credential(wrong, &good).await;
        is_refused(&answer, "invalid_token", "vci.access_token");
    }
    // a refused request has not used the nonce up
    assert_eq!(nation.credential(token, &good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn p8_a_suspended_person_is_not_refreshed_nor_sponsored() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    let refresh_token = tokens.refresh_token.unwrap();
    let refresh = TokenRequest::Refresh {
        refresh_token: refresh_token.clone(),
    };
    assert_eq!(nation.form(&refresh).await.status, StatusCode::OK);

    let operator = nation.operator().await;
    operator
        .suspend("r-0001", ReasonCode::LegalOrder)
        .await
        .unwrap();
    is_refused(
        &nation.form(&refresh).await,
        "invalid_grant",
        "enrolment.suspended",
    );
    let nonce = nation.nonce().await;
    let request = nation.request(AUTHORITY, &nonce, 1..2);
    let answer = nation.credential(&tokens.access_token, &request).await;
    is_refused(&answer, "credential_request_denied", "enrolment.suspended");
    let answer = nation.sponsor(&refresh_token, &nation.anchor(1)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::FORBIDDEN, "enrolment.suspended")
    );

    operator
        .restore("r-0001", ReasonCode::Cleared)
        .await
        .unwrap();
    assert_eq!(nation.form(&refresh).await.status, StatusCode::OK);
    // a lost device that is found goes on; keys in other hands stay out
    for (reason, comes_back) in [
        (ReasonCode::LostDevice, true),
        (ReasonCode::KeyCompromise, false),
    ] {
        operator.suspend("r-0001", reason).await.unwrap();
        operator
            .restore("r-0001", ReasonCode::Cleared)
            .await
            .unwrap();
        let answer = nation.form(&refresh).await;
        if comes_back {
            assert_eq!(answer.status, StatusCode::OK);
        } else {
            is_refused(&answer, "invalid_grant", "vci.grant");
        }
    }
}

#[tokio::test]
async fn another_device_ends_the_tokens_of_the_first() {
    let nation = Nation::new().await;
    let first = nation.tokens(0).await;
    nation.enrolled(0).await;
    let refresh = TokenRequest::Refresh {
        refresh_token: first.refresh_token.unwrap(),
    };
    is_refused(&nation.form(&refresh).await, "invalid_grant", "vci.grant");
}

#[tokio::test]
async fn p10_tokens_survive_a_restart() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    let clock = nation.authority.clock.clone();
    let restarted = Nation {
        authority: authority(&nation.dir(), &nation.ledger, clock).await,
        folder: nation.folder,
        ledger: nation.ledger,
        registrar: nation.registrar,
        later_ms: nation.later_ms,
    };
    let nonce = restarted.nonce().await;
    let request = restarted.request(AUTHORITY, &nonce, 1..2);
    let answer = restarted.credential(&tokens.access_token, &request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn an_anchor_is_sponsored_within_the_quota() {
    let nation = Nation::new().await;
    let token = nation.tokens(0).await.refresh_token.unwrap();
    let anchor = nation.anchor(1);
    let answer = nation.sponsor(&token, &anchor).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.json()["hash"], anchor.id().to_string());
    // the ledger's refusal is told by its rule, and costs no quota
    let answer = nation.sponsor(&token, &anchor).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "did.exists")
    );
    assert_eq!(
        nation.sponsor(&token, &nation.anchor(2)).await.status,
        StatusCode::ACCEPTED
    );
    let answer = nation.sponsor(&token, &nation.anchor(3)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "sponsor.quota")
    );
}

#[tokio::test]
async fn only_a_persons_own_anchor_is_sponsored() {
    let nation = Nation::new().await;
    let token = nation.tokens(0).await.refresh_token.unwrap();
    let refused = |operation: SignedOperation| {
        let (nation, token) = (&nation, &token);
        async move { nation.sponsor(token, &operation).await.code() }
    };
    let net = nation.ledger.net.lock().unwrap().clone();
    let did = TestDid::new(net.network(), 1);
    assert_eq!(refused(net.anchor(&did)).await, "sponsor.kind");
    assert_eq!(
        refused(net.enrol(realdid_core::hash::Hash32([1; 32]), 0)).await,
        "sponsor.kind"
    );
    let body = realdid_core::operation::Body::Anchor(did.inception.clone());
    assert_eq!(
        refused(net.sign(body.clone(), &[&did.next])).await,
        "op.signature"
    );
    assert_eq!(
        refused(net.sign(body.clone(), &[&did.current, &key(5)])).await,
        "op.signature"
    );
    let mut forged = net.sign(body.clone(), &[&did.current]);
    forged.signatures[0].signature.0[0] ^= 1;
    assert_eq!(refused(forged).await, "op.signature");
    let cn = "cn".parse().unwrap();
    let elsewhere = realdid_core::operation::Operation::new(cn, 9, body).sign(&[&did.current]);
    assert_eq!(refused(elsewhere).await, "op.network");
    let mut organisation = did.inception.clone();
    organisation.endpoints = vec!["https://authority.example/x".into()];
    let body = realdid_core::operation::Body::Anchor(organisation);
    assert_eq!(
        refused(net.sign(body, &[&did.current])).await,
        "sponsor.kind"
    );
    assert_eq!(
        nation.sponsor("x", &nation.anchor(1)).await.code(),
        "vci.access_token"
    );
}

#[tokio::test]
async fn metadata_names_the_endpoints_and_the_key() {
    let nation = Nation::new().await;
    let issuer = nation
        .get("/.well-known/openid-credential-issuer")
        .await
        .json();
    assert_eq!(
        issuer["credential_endpoint"],
        format!("{AUTHORITY}/credential")
    );
    assert_eq!(issuer["batch_credential_issuance"]["batch_size"], 10);
    let server = nation
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(server["token_endpoint"], format!("{AUTHORITY}/token"));
    assert_eq!(
        server["pre-authorized_grant_anonymous_access_supported"],
        true
    );
    let keys = nation.get("/.well-known/jwt-vc-issuer").await.json();
    assert_eq!(keys["issuer"], AUTHORITY);
    assert_eq!(
        keys["jwks"]["keys"][0]["kid"],
        nation.authority.keys.pid.id.to_string()
    );
}
