//! The authorization code flow, attestations, encrypted answers and what comes after, each with its
//! refusals.

use super::attestation::{CLIENT_TYP, KEY_TYP, POP_TYP, Providers};
use super::authorization::{AuthorizationRequest, code_challenge, identifier_of};
use super::*;
use crate::jwe::DecryptionKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use realdid_credential::jose::{self, Alg, Jwk, SigningKey};
use realdid_credential::x509::Certificate;
use serde_json::{Value, json};

const ISSUER: &str = "https://authority.example";
const NOW: u64 = 1_800_000_000;
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const KNOWN: &[&str] = &[PID_CONFIGURATION, MDOC_CONFIGURATION];

const P256: (Alg, &[Alg]) = (Alg::Es256, &[Alg::Es256]);

fn key(seed: u8) -> SigningKey {
    SigningKey::p256(&[seed; 32]).unwrap()
}

fn asked() -> AuthorizationRequest {
    AuthorizationRequest {
        client_id: "wallet".into(),
        redirect_uri: "org.wallet:/cb".into(),
        state: Some("s&1".into()),
        code_challenge: code_challenge(VERIFIER),
        configurations: vec![PID_CONFIGURATION.into(), MDOC_CONFIGURATION.into()],
        details: false,
        dpop_jkt: None,
        issuer_state: None,
    }
}

fn form(fields: &[(&str, String)]) -> Vec<u8> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value);
    }
    form.finish().into_bytes()
}

#[test]
fn a_pushed_request_is_read_as_it_was_written() {
    let by_details = AuthorizationRequest {
        details: true,
        dpop_jkt: Some("jkt".into()),
        ..asked()
    };
    for request in [asked(), by_details] {
        let body = form(&request.to_form());
        assert_eq!(AuthorizationRequest::parse(&body, KNOWN), Ok(request));
    }
    assert_eq!(
        code_challenge(VERIFIER),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "the example of RFC 7636, appendix B"
    );
}

#[test]
fn a_strange_pushed_request_is_refused_by_name() {
    let with = |name: &'static str, value: Option<&str>| {
        let mut fields = asked().to_form();
        fields.retain(|(other, _)| *other != name);
        fields.extend(value.map(|value| (name, value.to_owned())));
        AuthorizationRequest::parse(&form(&fields), KNOWN).err()
    };
    let malformed = Some(VciError::AuthorizationRequest);
    assert_eq!(with("x", Some("y")), None);
    assert_eq!(with("response_type", Some("token")), malformed);
    assert_eq!(with("client_id", None), malformed);
    assert_eq!(with("request_uri", Some("urn:x")), malformed);
    assert_eq!(with("request", Some("a.b.c")), malformed);
    assert_eq!(with("state", Some(&"s".repeat(2000))), malformed);
    assert_eq!(with("code_challenge", None), Some(VciError::Pkce));
    assert_eq!(with("code_challenge", Some("short")), Some(VciError::Pkce));
    assert_eq!(
        with("code_challenge_method", Some("plain")),
        Some(VciError::Pkce)
    );
    assert_eq!(with("code_challenge_method", None), Some(VciError::Pkce));
    for uri in [
        "http://wallet.example/cb",
        "https://wallet.example/cb#x",
        "javascript:alert(1)",
        "data:text/html,x",
        "cb",
    ] {
        assert_eq!(
            with("redirect_uri", Some(uri)),
            Some(VciError::RedirectUri),
            "{uri}"
        );
    }
    for uri in [
        "https://wallet.example/cb",
        "http://127.0.0.1:5/cb",
        "org.w:/cb",
    ] {
        assert_eq!(with("redirect_uri", Some(uri)), None, "{uri}");
    }
    for scope in [
        "other",
        "pid-sd-jwt pid-sd-jwt",
        "pid-sd-jwt  pid-mdoc",
        "openid",
    ] {
        assert_eq!(with("scope", Some(scope)), Some(VciError::Scope), "{scope}");
    }
    assert_eq!(with("scope", None), Some(VciError::Scope));
    for details in [
        "x",
        "[]",
        r#"[{"type":"other","credential_configuration_id":"pid-mdoc"}]"#,
        r#"[{"type":"openid_credential","credential_configuration_id":"other"}]"#,
    ] {
        let refused = with("authorization_details", Some(details));
        assert_eq!(refused, Some(VciError::Scope), "{details}");
    }
    let mut twice = asked().to_form();
    twice.push(("client_id", "wallet".into()));
    let refused = AuthorizationRequest::parse(&form(&twice), KNOWN).err();
    assert_eq!(refused, malformed);
    let long = vec![b'a'; authorization::MAX_PUSHED_BYTES + 1];
    assert_eq!(AuthorizationRequest::parse(&long, KNOWN).err(), malformed);
}

#[test]
fn an_answer_names_the_issuer_and_a_code_needs_verifier_address_and_key() {
    let url = asked().answer(ISSUER, Ok("c 1"));
    assert_eq!(
        url,
        "org.wallet:/cb?code=c+1&state=s%261&iss=https%3A%2F%2Fauthority.example"
    );
    let url = asked().answer(ISSUER, Err("access_denied"));
    assert!(url.starts_with("org.wallet:/cb?error=access_denied&"));

    let bound = AuthorizationRequest {
        dpop_jkt: Some("k1".into()),
        ..asked()
    };
    let redeem = |uri: &str, client: Option<&str>, verifier: &str, jkt: &str| {
        bound.redeem(uri, client, verifier, jkt)
    };
    let uri = "org.wallet:/cb";
    assert_eq!(redeem(uri, Some("wallet"), VERIFIER, "k1"), Ok(()));
    assert_eq!(redeem(uri, None, VERIFIER, "k1"), Ok(()));
    let refused = Err(VciError::Grant);
    assert_eq!(redeem("org.wallet:/other", None, VERIFIER, "k1"), refused);
    assert_eq!(redeem(uri, Some("other"), VERIFIER, "k1"), refused);
    assert_eq!(redeem(uri, None, &"x".repeat(43), "k1"), refused);
    assert_eq!(redeem(uri, None, "short", "k1"), refused);
    assert_eq!(redeem(uri, None, VERIFIER, "k2"), refused);
}

#[test]
fn a_token_request_with_a_code_survives_its_form() {
    let request = TokenRequest::AuthorizationCode {
        code: "c".into(),
        redirect_uri: "https://w.example/cb?a=b".into(),
        code_verifier: VERIFIER.into(),
        client_id: Some("wallet".into()),
    };
    let body = form(&request.to_form());
    assert!(TokenRequest::parse(&body) == Ok(request));
    let incomplete = b"grant_type=authorization_code&code=c&redirect_uri=x";
    assert!(TokenRequest::parse(incomplete) == Err(VciError::TokenRequest));
}

// ---- attestations ---------------------------------------------------------------------------

/// A wallet provider: its root, its key, and the certificate of that.
struct Provider {
    providers: Providers,
    key: SigningKey,
    x5c: Value,
}

fn provider() -> Provider {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "root");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let leaf = CertificateParams::default()
        .signed_by(&pair, &root)
        .unwrap();
    // PKCS #8 as rcgen writes it has the scalar after 36 bytes.
    let secret: [u8; 32] = pair.serialized_der()[36..68].try_into().unwrap();
    Provider {
        providers: Providers {
            roots: vec![Certificate::parse(root.der()).unwrap()],
        },
        key: SigningKey::p256(&secret).unwrap(),
        x5c: json!([STANDARD.encode(leaf.der())]),
    }
}

fn jwt(header: Value, claims: &Value, by: &SigningKey) -> String {
    let header = header.as_object().unwrap();
    jose::sign_compact(header, claims.to_string().as_bytes(), by).unwrap()
}

impl Provider {
    fn attests(&self, typ: &str, claims: &Value) -> String {
        jwt(json!({"typ": typ, "x5c": self.x5c}), claims, &self.key)
    }
}

fn with(value: &Value, name: &str, new: Value) -> Value {
    let mut changed = value.clone();
    match new {
        Value::Null => _ = changed.as_object_mut().unwrap().remove(name),
        new => changed[name] = new,
    }
    changed
}

#[test]
fn a_wallet_is_attested_by_a_trusted_provider_for_this_server_and_time() {
    let provider = provider();
    let instance = key(7);
    let jwk = Jwk(instance.verifying_key()).to_value();
    let attested = json!({"sub": "wallet", "exp": NOW + 60, "iat": NOW, "cnf": {"jwk": jwk}});
    let proof = json!({"iss": "wallet", "aud": ISSUER, "jti": "1", "iat": NOW});
    let check = |attested: &Value, proof: &Value, by: &SigningKey| {
        let attestation = provider.attests(CLIENT_TYP, attested);
        let pop = jwt(json!({"typ": POP_TYP}), proof, by);
        provider.providers.client(&attestation, &pop, ISSUER, NOW)
    };
    let good = check(&attested, &proof, &instance).unwrap();
    assert_eq!(good.client_id, "wallet");
    let other_jti = check(&attested, &with(&proof, "jti", "2".into()), &instance).unwrap();
    assert_ne!(good.pop_id, other_jti.pop_id);
    let listed = with(&proof, "aud", json!(["x", ISSUER]));
    assert!(check(&attested, &listed, &instance).is_ok());

    let refused = Err(VciError::Attestation);
    for (name, value) in [
        ("exp", json!(NOW)),
        ("exp", Value::Null),
        ("iat", json!(NOW + 61)),
        ("nbf", json!(NOW + 61)),
        ("sub", json!("")),
        ("sub", Value::Null),
        ("cnf", json!({})),
    ] {
        let changed = with(&attested, name, value);
        assert_eq!(check(&changed, &proof, &instance), refused, "{name}");
    }
    for (name, value) in [
        ("aud", json!("https://other.example")),
        ("aud", json!(["x"])),
        ("aud", Value::Null),
        ("iss", json!("other")),
        ("jti", Value::Null),
        ("iat", json!(NOW - 301)),
        ("iat", json!(NOW + 61)),
        ("iat", Value::Null),
    ] {
        let changed = with(&proof, name, value);
        assert_eq!(check(&attested, &changed, &instance), refused, "{name}");
    }
    assert_eq!(check(&attested, &proof, &key(8)), refused);

    // another provider, another type, a signature by somebody else under this certificate
    let nobody = Providers::default();
    let pop = jwt(json!({"typ": POP_TYP}), &proof, &instance);
    let attestation = provider.attests(CLIENT_TYP, &attested);
    assert_eq!(nobody.client(&attestation, &pop, ISSUER, NOW), refused);
    let typ = provider.attests(KEY_TYP, &attested);
    assert_eq!(provider.providers.client(&typ, &pop, ISSUER, NOW), refused);
    let header = json!({"typ": CLIENT_TYP, "x5c": provider.x5c});
    let forged = jwt(header, &attested, &key(9));
    assert_eq!(
        provider.providers.client(&forged, &pop, ISSUER, NOW),
        refused
    );
    let bare = jwt(json!({"typ": CLIENT_TYP}), &attested, &provider.key);
    assert_eq!(provider.providers.client(&bare, &pop, ISSUER, NOW), refused);
    for strange in ["", "a.b.c", &"x".repeat(20_000)] {
        assert_eq!(
            provider.providers.client(strange, &pop, ISSUER, NOW),
            refused
        );
        assert_eq!(
            provider
                .providers
                .client(&attestation, strange, ISSUER, NOW),
            refused
        );
    }
}

fn attested_keys(keys: &[u8]) -> Value {
    let jwks = keys.iter().map(|n| Jwk(key(*n).verifying_key()).to_value());
    json!({
        "iat": NOW, "exp": NOW + 60, "nonce": "n-1",
        "key_storage": ["iso_18045_high"], "attested_keys": jwks.collect::<Vec<_>>(),
    })
}

fn check(provider: &Provider, proofs: Value) -> Result<CheckedRequest, VciError> {
    let body = json!({"credential_configuration_id": PID_CONFIGURATION, "proofs": proofs});
    CredentialRequest::parse(body.to_string().as_bytes())?.check(&Expected {
        issuer: ISSUER,
        configurations: KNOWN,
        identifiers: false,
        providers: &provider.providers,
        algs: &[Alg::Es256],
        batch_size: BATCH_SIZE,
        now_s: NOW,
    })
}

#[test]
fn attested_keys_are_a_proof_and_give_one_copy_each() {
    let provider = provider();
    let own = [1, 2, 3].map(|n| key(n).verifying_key());
    let attestation = |claims: &Value| json!([provider.attests(KEY_TYP, claims)]);
    let checked = check(
        &provider,
        json!({"attestation": attestation(&attested_keys(&[1, 2, 3]))}),
    );
    let checked = checked.unwrap();
    assert_eq!(
        (checked.keys.as_slice(), checked.nonce.as_str()),
        (&own[..], "n-1")
    );

    let refused =
        |claims: Value| check(&provider, json!({ "attestation": attestation(&claims) })).err();
    let good = attested_keys(&[1, 2]);
    assert_eq!(refused(good.clone()), None);
    let untrusted = Some(VciError::KeyAttestation);
    assert_eq!(refused(with(&good, "exp", json!(NOW))), untrusted);
    assert_eq!(refused(with(&good, "attested_keys", json!([]))), untrusted);
    assert_eq!(
        refused(with(&good, "attested_keys", json!([{"kty": "oct"}]))),
        untrusted
    );
    assert_eq!(
        refused(attested_keys(&(1..12).collect::<Vec<_>>())),
        untrusted
    );
    assert_eq!(
        refused(with(&good, "nonce", Value::Null)),
        Some(VciError::ProofNonce)
    );
    assert_eq!(refused(attested_keys(&[1, 1])), Some(VciError::ProofKeys));
    let ed = Jwk(SigningKey::ed25519(&[1; 32]).verifying_key()).to_value();
    let ed = with(&good, "attested_keys", json!([ed]));
    assert_eq!(refused(ed), Some(VciError::ProofAlg));
    let by_other = jwt(json!({"typ": KEY_TYP, "x5c": provider.x5c}), &good, &key(9));
    let by_other = check(&provider, json!({"attestation": [by_other]}));
    assert_eq!(by_other.err(), untrusted);
    let both = json!({"attestation": attestation(&good), "jwt": ["a.b.c"]});
    assert_eq!(
        check(&provider, both).err(),
        Some(VciError::CredentialRequest)
    );
}

#[test]
fn a_proof_that_carries_an_attestation_speaks_for_its_keys() {
    let provider = provider();
    let proof = |attestation: Value, by: u8| {
        let jwk = Jwk(key(by).verifying_key()).to_value();
        let header = json!({"typ": PROOF_TYP, "jwk": jwk, "key_attestation": attestation});
        jwt(
            header,
            &json!({"aud": ISSUER, "iat": NOW, "nonce": "n-1"}),
            &key(by),
        )
    };
    let attestation = Value::from(provider.attests(KEY_TYP, &attested_keys(&[1, 2, 3])));
    let one = proof(attestation.clone(), 2);
    let checked = check(&provider, json!({"jwt": [one]})).unwrap();
    assert_eq!(checked.keys.len(), 3);
    let untrusted = Some(VciError::KeyAttestation);
    let outside = check(&provider, json!({"jwt": [proof(attestation.clone(), 4)]}));
    assert_eq!(outside.err(), untrusted);
    let two = json!({"jwt": [one, proof(attestation, 1)]});
    assert_eq!(check(&provider, two).err(), untrusted);
    let for_other_nonce = with(&attested_keys(&[2]), "nonce", "n-2".into());
    let other = Value::from(provider.attests(KEY_TYP, &for_other_nonce));
    assert_eq!(
        check(&provider, json!({"jwt": [proof(other, 2)]})).err(),
        untrusted
    );
    let strange = check(&provider, json!({"jwt": [proof(json!(7), 2)]}));
    assert_eq!(strange.err(), Some(VciError::ProofForm));
}

// ---- identifiers, encryption, metadata, what comes after ------------------------------------

#[test]
fn identifiers_are_named_where_the_token_named_some() {
    let nobody = Providers::default();
    let refused = |identifiers: bool, member: &str, value: &str| {
        let keys = [key(1)];
        let request = CredentialRequest::build(PID_CONFIGURATION, ISSUER, "n", NOW, &keys);
        let mut body = serde_json::to_value(request.unwrap()).unwrap();
        body.as_object_mut()
            .unwrap()
            .remove("credential_configuration_id");
        body[member] = value.into();
        let request = CredentialRequest::parse(body.to_string().as_bytes()).unwrap();
        let expected = Expected {
            issuer: ISSUER,
            configurations: KNOWN,
            identifiers,
            providers: &nobody,
            algs: &[Alg::Es256],
            batch_size: BATCH_SIZE,
            now_s: NOW,
        };
        request.check(&expected).err()
    };
    let own = identifier_of(PID_CONFIGURATION);
    let unknown = Some(VciError::UnknownIdentifier);
    assert_eq!(refused(true, "credential_identifier", &own), None);
    assert_eq!(refused(true, "credential_identifier", "other"), unknown);
    assert_eq!(
        refused(true, "credential_configuration_id", PID_CONFIGURATION),
        unknown
    );
    assert_eq!(refused(false, "credential_identifier", &own), unknown);
    assert_eq!(
        refused(false, "credential_configuration_id", PID_CONFIGURATION),
        None
    );
    let details = authorization::granted_details(&[PID_CONFIGURATION.to_owned()]);
    assert_eq!(details[0]["credential_identifiers"], json!([own]));
}

#[test]
fn an_answer_is_encrypted_to_the_key_of_the_request() {
    let own = DecryptionKey::from_bytes(&[5; 32], "k").unwrap();
    let asked = json!({"jwk": own.public_jwk(), "enc": "A256GCM"});
    let key = response_encryption(Some(&asked)).unwrap().unwrap();
    let sealed = key.encrypt(b"answer", &[7; 32], &[1; 12], None).unwrap();
    assert_eq!(own.decrypt(&sealed).unwrap(), b"answer");
    assert_eq!(response_encryption(None), Ok(None));
    for strange in [
        json!({}),
        json!({"jwk": own.public_jwk()}),
        json!({"jwk": own.public_jwk(), "enc": "A128CBC-HS256"}),
        json!({"jwk": {"kty": "RSA"}, "enc": "A256GCM"}),
        json!({"jwk": own.public_jwk(), "enc": "A256GCM", "zip": "DEF"}),
        json!(7),
    ] {
        let refused = response_encryption(Some(&strange)).err();
        assert_eq!(refused, Some(VciError::Encryption), "{strange}");
    }
}

#[test]
fn signed_metadata_is_of_its_issuer_and_its_key() {
    let metadata = IssuerMetadata::of_authority(ISSUER, "urn:x", "Authority", P256);
    let signed = metadata.sign(&["AAAA".to_owned()], NOW, &key(1)).unwrap();
    let parse = |jwt: &str, issuer: &str, by: u8| {
        IssuerMetadata::parse_signed(jwt, issuer, &key(by).verifying_key())
    };
    assert_eq!(parse(&signed, ISSUER, 1), Ok(metadata));
    let refused = Err(VciError::Metadata);
    assert_eq!(parse(&signed, ISSUER, 2), refused);
    assert_eq!(parse(&signed, "https://other.example", 1), refused);
    let header = json!({"typ": "JWT"});
    let other_typ = jwt(header, &json!({"sub": ISSUER}), &key(1));
    assert_eq!(parse(&other_typ, ISSUER, 1), refused);
}

#[test]
fn what_comes_after_a_request_is_read_and_bounded() {
    let deferred = |text: &str| DeferredRequest::parse(text.as_bytes());
    assert_eq!(
        deferred(r#"{"transaction_id":"t"}"#)
            .unwrap()
            .transaction_id,
        "t"
    );
    assert_eq!(deferred("{}"), Err(VciError::CredentialRequest));
    let empty = deferred(r#"{"transaction_id":""}"#);
    assert_eq!(empty, Err(VciError::TransactionId));
    let told = |text: &str| Notification::parse(text.as_bytes()).map(|n| n.event.name());
    let good = r#"{"notification_id":"n","event":"credential_deleted","event_description":"x"}"#;
    assert_eq!(told(good), Ok("credential_deleted"));
    let strange = r#"{"notification_id":"n","event":"other"}"#;
    assert_eq!(told(strange), Err(VciError::NotificationRequest));
    let empty = r#"{"notification_id":"","event":"credential_failure"}"#;
    assert_eq!(told(empty), Err(VciError::NotificationId));
}

#[test]
fn what_a_browser_brings_back_is_of_this_request_and_of_the_server_that_was_asked() {
    let read = |query: &str| asked().read_answer(query, ISSUER);
    let answer = asked().answer(ISSUER, Ok("c-1"));
    let (_, query) = answer.split_once('?').unwrap();
    assert_eq!(read(query), Ok("c-1".to_owned()));
    let declined = asked().answer(ISSUER, Err("access_denied"));
    let (_, declined) = declined.split_once('?').unwrap();
    assert_eq!(read(declined), Err(VciError::NotAuthorized));
    let other = asked().answer("https://other.example", Ok("c-1"));
    let (_, other) = other.split_once('?').unwrap();
    assert_eq!(read(other), Err(VciError::AnswerIssuer));
    let iss = "iss=https://authority.example";
    for (query, refused) in [
        (format!("code=c&{iss}"), VciError::AnswerState),
        (format!("code=c&state=s%262&{iss}"), VciError::AnswerState),
        ("code=c&state=s%261".to_owned(), VciError::AnswerIssuer),
        (format!("code=c&state=s%261&{iss}/"), VciError::AnswerIssuer),
        (format!("state=s%261&{iss}"), VciError::Answer),
        (format!("code=&state=s%261&{iss}"), VciError::Answer),
        (format!("code=c&code=c&state=s%261&{iss}"), VciError::Answer),
        (
            format!("code=c&error=x&state=s%261&{iss}"),
            VciError::Answer,
        ),
        (
            format!("error=server_error&state=s%261&{iss}"),
            VciError::Answer,
        ),
        (
            format!("code={}&state=s%261&{iss}", "c".repeat(2000)),
            VciError::Answer,
        ),
        ("x".repeat(10_000), VciError::Answer),
    ] {
        assert_eq!(read(&query), Err(refused), "{query}");
    }
    let stateless = AuthorizationRequest {
        state: None,
        ..asked()
    };
    let read = stateless.read_answer(&format!("code=c&{iss}"), ISSUER);
    assert_eq!(read, Err(VciError::AnswerState));
}

#[test]
fn metadata_send_nobody_to_their_own_device_or_in_the_clear() {
    let refused = VciError::Metadata;
    let read = |change: &dyn Fn(&mut IssuerMetadata)| {
        let mut metadata = IssuerMetadata::of_authority(ISSUER, "urn:x", "Authority", P256);
        change(&mut metadata);
        let body = serde_json::to_vec(&metadata).unwrap();
        IssuerMetadata::parse(&body, ISSUER).map(|_| ())
    };
    assert_eq!(read(&|_| {}), Ok(()));
    let elsewhere = "https://credentials.example/c";
    assert_eq!(read(&|m| m.credential_endpoint = elsewhere.into()), Ok(()));
    for url in [
        "http://authority.example/c",
        "https://127.0.0.1/c",
        "http://127.0.0.1:8080/c",
        "http://localhost/c",
        "https://[::1]/c",
        "https://[::ffff:127.0.0.1]/c",
        "https://192.168.1.1/c",
        "https://10.0.0.1/c",
        "https://169.254.169.254/c",
        "https://[fe80::1]/c",
        "https://router.local/c",
        "https://x.localhost./c",
        "https://0.0.0.0/c",
        "ftp://authority.example/c",
        "c",
    ] {
        assert_eq!(
            read(&|m| m.credential_endpoint = url.into()),
            Err(refused),
            "{url}"
        );
        let other = Some(url.to_owned());
        assert_eq!(
            read(&|m| m.notification_endpoint = other.clone()),
            Err(refused),
            "{url}"
        );
        let servers = Some(vec![url.to_owned()]);
        assert_eq!(
            read(&|m| m.authorization_servers = servers.clone()),
            Err(refused),
            "{url}"
        );
        let mut server = ServerMetadata::of_authority(ISSUER);
        server.pushed_authorization_request_endpoint = other;
        let body = serde_json::to_vec(&server).unwrap();
        assert_eq!(ServerMetadata::parse(&body, ISSUER), Err(refused), "{url}");
    }
    // whoever stands on this device may say so
    let own = "http://127.0.0.1:1";
    let metadata = IssuerMetadata::of_authority(own, "urn:x", "Authority", P256);
    let body = serde_json::to_vec(&metadata).unwrap();
    assert!(IssuerMetadata::parse(&body, own).is_ok());
}

#[test]
fn an_offer_names_a_server_of_its_issuer_or_none() {
    let mut metadata = IssuerMetadata::of_authority(ISSUER, "urn:x", "Authority", P256);
    assert_eq!(metadata.chosen_server(None), Ok(ISSUER));
    let foreign = Some("https://evil.example");
    assert_eq!(metadata.chosen_server(foreign), Err(VciError::OfferGrant));
    let servers = ["https://a.example", "https://b.example"];
    metadata.authorization_servers = Some(servers.map(str::to_owned).to_vec());
    assert_eq!(metadata.chosen_server(None), Ok(servers[0]));
    assert_eq!(metadata.chosen_server(Some(servers[1])), Ok(servers[1]));
    assert_eq!(metadata.chosen_server(foreign), Err(VciError::OfferGrant));
    let text = json!({
        "credential_issuer": ISSUER,
        "credential_configuration_ids": ["x"],
        "grants": {"authorization_code": {"issuer_state": "s", "authorization_server": servers[1]}},
    });
    let Ok(ReceivedOffer::Value(offer)) = parse_offer(&text.to_string()) else {
        panic!("an offer");
    };
    assert_eq!(offer.authorization_server(), Some(servers[1]));
    assert_eq!(offer.grant().err(), Some(VciError::OfferGrant));
}

#[test]
fn identifiers_are_those_of_the_configuration() {
    let token = |details: Value| {
        let body = json!({
            "access_token": "a", "token_type": "DPoP", "authorization_details": details,
        });
        let token = TokenResponse::parse(body.to_string().as_bytes()).unwrap();
        token.identifier("pid").map(str::to_owned)
    };
    let of =
        |id: &str| json!({"credential_configuration_id": id, "credential_identifiers": [id, "2"]});
    assert_eq!(
        token(json!([of("other"), of("pid")])),
        Some("pid".to_owned())
    );
    for none in [
        json!(null),
        json!([]),
        json!({}),
        json!([of("other")]),
        json!([{"credential_configuration_id": "pid", "credential_identifiers": []}]),
        json!([{"credential_configuration_id": "pid", "credential_identifiers": [1]}]),
    ] {
        assert_eq!(token(none), None);
    }
}
