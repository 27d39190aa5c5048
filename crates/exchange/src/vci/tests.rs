//! The flow between wallet and issuer, and each refusal.

use super::*;
use realdid_core::genesis::Parameters;
use realdid_credential::jose::{self, Alg, Jwk, SigningKey};
use serde_json::{Value, json};

const ISSUER: &str = "https://authority.example";
const NOW: u64 = 1_800_000_000;
static NOBODY: attestation::Providers = attestation::Providers { roots: Vec::new() };

const P256: (Alg, &[Alg]) = (Alg::Es256, &[Alg::Es256]);

fn key(seed: u8) -> SigningKey {
    SigningKey::p256(&[seed; 32]).unwrap()
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        configurations: &[PID_CONFIGURATION],
        identifiers: false,
        providers: &NOBODY,
        algs: &[Alg::Es256],
        batch_size: BATCH_SIZE,
        now_s: NOW,
    }
}

fn request(keys: &[SigningKey]) -> CredentialRequest {
    CredentialRequest::build(PID_CONFIGURATION, ISSUER, "n-1", NOW, keys).unwrap()
}

fn offer() -> CredentialOffer {
    CredentialOffer::pid(ISSUER, "co de+&/1".to_owned(), 6)
}

#[test]
fn an_offer_survives_uri_and_json() {
    let uri = offer().to_uri();
    assert!(uri.starts_with("openid-credential-offer://?credential_offer=%7B"));
    assert_eq!(parse_offer(&uri), Ok(ReceivedOffer::Value(offer())));
    let json = serde_json::to_string(&offer()).unwrap();
    assert_eq!(parse_offer(&json), Ok(ReceivedOffer::Value(offer())));
    assert_eq!(
        parse_offer("openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fa.example%2Fo"),
        Ok(ReceivedOffer::Reference(
            Url::parse("https://a.example/o").unwrap()
        ))
    );
    assert!(!format!("{:?}", offer()).contains("co de"));
}

#[test]
fn a_strange_offer_is_refused() {
    let no_ids = r#"{"credential_issuer":"https://a.example","credential_configuration_ids":[]}"#;
    let http = r#"{"credential_issuer":"http://a.example","credential_configuration_ids":["x"]}"#;
    let both = format!(
        "{}&credential_offer_uri=https://a.example",
        offer().to_uri()
    );
    for wrong in [
        "",
        "https://a.example",
        "openid-credential-offer://?credential_offer=x",
        "openid-credential-offer://?credential_offer_uri=http%3A%2F%2Fa.example",
        "openid-credential-offer://?credential_offer_uri=file%3A%2F%2F%2Fetc%2Fpasswd",
        no_ids,
        http,
        &both,
        &"x".repeat(3 * MAX_OFFER_BYTES + 1),
    ] {
        assert_eq!(parse_offer(wrong), Err(VciError::Offer), "{wrong}");
    }
    let mut other_grant = offer();
    other_grant.grants.pre_authorized = None;
    assert_eq!(
        TokenRequest::for_offer(&other_grant, None).err(),
        Some(VciError::OfferGrant)
    );
}

#[test]
fn a_token_request_survives_its_form() {
    for request in [
        TokenRequest::for_offer(&offer(), Some("012345")).unwrap(),
        TokenRequest::Refresh {
            refresh_token: "r&=t".to_owned(),
        },
    ] {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(request.to_form())
            .finish();
        assert!(TokenRequest::parse(body.as_bytes()) == Ok(request));
    }
}

#[test]
fn a_strange_token_request_is_refused() {
    let refused = |body: &str| TokenRequest::parse(body.as_bytes()).err();
    assert_eq!(refused(""), Some(VciError::TokenRequest));
    assert_eq!(refused("grant_type=password"), Some(VciError::GrantType));
    assert_eq!(
        refused("grant_type=refresh_token"),
        Some(VciError::TokenRequest)
    );
    assert_eq!(
        refused("grant_type=refresh_token&refresh_token=a&refresh_token=b"),
        Some(VciError::TokenRequest)
    );
    let long = format!(
        "grant_type=refresh_token&refresh_token={}",
        "a".repeat(1025)
    );
    assert_eq!(refused(&long), Some(VciError::TokenRequest));
}

#[test]
fn a_code_is_redeemed_once_in_time_and_with_its_transaction_code() {
    let fresh = CodeState {
        tx_code_hash: Some(secret_hash("012345")),
        expires_s: NOW + 1,
        used: false,
        failures: 0,
    };
    assert_eq!(fresh.redeem(Some("012345"), NOW), Ok(()));
    assert_eq!(fresh.redeem(Some("012346"), NOW), Err(VciError::Grant));
    assert_eq!(fresh.redeem(None, NOW), Err(VciError::TxCodeMissing));
    assert_eq!(fresh.redeem(Some("012345"), NOW + 1), Err(VciError::Grant));
    let used = CodeState {
        used: true,
        ..fresh.clone()
    };
    assert_eq!(used.redeem(Some("012345"), NOW), Err(VciError::Grant));
    let guessed = CodeState {
        failures: MAX_TX_CODE_FAILURES,
        ..fresh.clone()
    };
    assert_eq!(guessed.redeem(Some("012345"), NOW), Err(VciError::Grant));
    let open = CodeState {
        tx_code_hash: None,
        ..fresh
    };
    assert_eq!(open.redeem(None, NOW), Ok(()));
    assert_eq!(
        open.redeem(Some("012345"), NOW),
        Err(VciError::TxCodeUnexpected)
    );
}

#[test]
fn a_batch_of_proofs_gives_one_key_each() {
    let keys: Vec<_> = (1..=10).map(key).collect();
    let body = serde_json::to_vec(&request(&keys)).unwrap();
    let checked = CredentialRequest::parse(&body)
        .unwrap()
        .check(&expected())
        .unwrap();
    assert_eq!(checked.nonce, "n-1");
    assert_eq!(checked.configuration, PID_CONFIGURATION);
    let own: Vec<_> = keys.iter().map(SigningKey::verifying_key).collect();
    assert_eq!(checked.keys, own);
}

#[test]
fn a_strange_credential_request_is_refused() {
    let check = |change: &dyn Fn(&mut CredentialRequest)| {
        let mut request = request(&[key(1), key(2)]);
        change(&mut request);
        request.check(&expected()).err()
    };
    assert_eq!(check(&|_| ()), None);
    assert_eq!(
        check(&|r| r.credential_configuration_id = Some("other".into())),
        Some(VciError::UnknownConfiguration)
    );
    assert_eq!(
        check(&|r| r.credential_configuration_id = None),
        Some(VciError::CredentialRequest)
    );
    assert_eq!(
        check(&|r| r.credential_identifier = r.credential_configuration_id.take()),
        Some(VciError::UnknownIdentifier)
    );
    assert_eq!(
        check(&|r| r.credential_identifier = Some("x".into())),
        Some(VciError::CredentialRequest)
    );
    assert_eq!(check(&|r| r.proofs = None), Some(VciError::ProofMissing));
    assert_eq!(
        check(&|r| r.proofs = Some(Proofs::default())),
        Some(VciError::ProofMissing)
    );
    assert_eq!(
        check(&|r| r.credential_response_encryption = Some(json!({}))),
        Some(VciError::Encryption)
    );
    let many: Vec<_> = (1..=11).map(key).collect();
    assert_eq!(
        request(&many).check(&expected()).err(),
        Some(VciError::Batch)
    );
    assert_eq!(
        request(&[key(1), key(1)]).check(&expected()).err(),
        Some(VciError::ProofKeys)
    );
    assert_eq!(
        check(&|r| {
            let other = build_proof(ISSUER, "n-2", NOW, &key(3)).unwrap();
            r.proofs.as_mut().unwrap().jwt.push(other);
        }),
        Some(VciError::ProofNonce)
    );
    let ldp = br#"{"credential_configuration_id":"pid-sd-jwt","proofs":{"di_vp":[]}}"#;
    assert!(CredentialRequest::parse(ldp).is_err());
}

/// A proof with this header and these claims, signed by `by`.
fn proof(header: &Value, claims: &Value, by: &SigningKey) -> String {
    let header = header.as_object().unwrap();
    jose::sign_compact(header, claims.to_string().as_bytes(), by).unwrap()
}

#[test]
fn a_proof_for_another_issuer_time_or_key_is_refused() {
    let jwk = Jwk(key(1).verifying_key()).to_value();
    let header = json!({"typ": PROOF_TYP, "jwk": jwk});
    let claims = json!({"aud": ISSUER, "iat": NOW, "nonce": "n"});
    let verify = |header: &Value, claims: &Value, by: &SigningKey| {
        verify_proof(&proof(header, claims, by), ISSUER, &[Alg::Es256], NOW).err()
    };
    assert_eq!(verify(&header, &claims, &key(1)), None);
    assert_eq!(
        verify(&header, &claims, &key(2)),
        Some(VciError::ProofSignature)
    );
    let with = |value: &Value, name: &str, new: Value| {
        let mut changed = value.clone();
        changed[name] = new;
        changed
    };
    for (name, new, refusal) in [
        ("typ", json!("JWT"), VciError::ProofForm),
        ("jwk", json!({"kty": "oct", "k": "AA"}), VciError::ProofForm),
        ("kid", json!("did:example:1"), VciError::ProofForm),
        ("x5c", json!([]), VciError::ProofForm),
        ("crit", json!(["x"]), VciError::ProofForm),
    ] {
        assert_eq!(
            verify(&with(&header, name, new), &claims, &key(1)),
            Some(refusal),
            "{name}"
        );
    }
    for (name, new, refusal) in [
        (
            "aud",
            json!("https://other.example"),
            VciError::ProofAudience,
        ),
        ("aud", json!([ISSUER]), VciError::ProofAudience),
        ("iat", json!(NOW - PROOF_AGE_S - 1), VciError::ProofTime),
        ("iat", json!(NOW + CLOCK_SKEW_S + 1), VciError::ProofTime),
        ("iat", json!("now"), VciError::ProofTime),
        ("nonce", json!(""), VciError::ProofNonce),
        ("nonce", Value::Null, VciError::ProofNonce),
    ] {
        assert_eq!(
            verify(&header, &with(&claims, name, new), &key(1)),
            Some(refusal),
            "{name}"
        );
    }
    assert_eq!(
        verify_proof("a.b.c", ISSUER, &[Alg::Es256], NOW).err(),
        Some(VciError::ProofForm)
    );
}

#[test]
fn a_proof_by_a_key_of_another_algorithm_is_refused() {
    let ed = SigningKey::ed25519(&[1; 32]);
    let proof = build_proof(ISSUER, "n", NOW, &ed).unwrap();
    assert_eq!(
        verify_proof(&proof, ISSUER, &[Alg::Es256], NOW).err(),
        Some(VciError::ProofAlg)
    );
}

#[test]
fn p4_copies_of_an_epoch_say_the_same_times() {
    let parameters = Parameters::development();
    let first = validity(&parameters, 1_800_000_000);
    assert_eq!(first, validity(&parameters, 1_800_000_059));
    assert_eq!(first.issued_at_s, 1_800_000_000);
    // the epoch and the lead: at most 120 s on the development network (promise P8)
    assert_eq!(first.expires_s, 1_800_000_120);
    assert_ne!(first, validity(&parameters, 1_800_000_060));
}

#[test]
fn metadata_reads_back_and_is_held_against_the_issuer() {
    let metadata = IssuerMetadata::of_authority(ISSUER, "urn:x", "Authority", P256);
    let body = serde_json::to_vec(&metadata).unwrap();
    let read = IssuerMetadata::parse(&body, ISSUER).unwrap();
    assert_eq!(read, metadata);
    assert_eq!(read.batch_size(), 10);
    assert_eq!(read.authorization_server(), ISSUER);
    assert_eq!(
        IssuerMetadata::parse(&body, "https://other.example"),
        Err(VciError::Metadata)
    );
    let plain = IssuerMetadata::of_authority("http://authority.example", "urn:x", "A", P256);
    let plain = serde_json::to_vec(&plain).unwrap();
    assert!(IssuerMetadata::parse(&plain, "http://authority.example").is_err());
    let server = ServerMetadata::of_authority(ISSUER);
    let body = serde_json::to_vec(&server).unwrap();
    assert_eq!(ServerMetadata::parse(&body, ISSUER), Ok(server));
    assert!(ServerMetadata::parse(&body, "https://other.example").is_err());
    let at = |issuer| {
        well_known(issuer, "openid-credential-issuer")
            .unwrap()
            .to_string()
    };
    assert_eq!(
        at("https://a.example/x"),
        "https://a.example/.well-known/openid-credential-issuer/x"
    );
    assert_eq!(
        at("http://127.0.0.1:1"),
        "http://127.0.0.1:1/.well-known/openid-credential-issuer"
    );
}

#[test]
fn an_answer_with_too_few_copies_is_refused() {
    let response = CredentialResponse::new(vec!["a".into(), "b".into()]);
    let body = serde_json::to_vec(&response).unwrap();
    assert_eq!(
        CredentialResponse::parse(&body, 2).map(CredentialResponse::texts),
        Ok(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(CredentialResponse::parse(&body, 3), Err(VciError::Response));
    let token = |kind: &str| {
        let body = json!({"access_token": "a", "token_type": kind}).to_string();
        TokenResponse::parse(body.as_bytes()).is_ok()
    };
    assert!(token("bearer") && token("Bearer") && !token("mac"));
}

#[test]
fn a_holder_key_is_of_an_algorithm_that_the_network_has_for_documents() {
    let (p256, sm2) = (key(1), SigningKey::sm2(&[1; 32]).unwrap());
    let ask = |key: &SigningKey, algs: &[Alg]| {
        let keys = [key.clone()];
        let request =
            CredentialRequest::build(PID_CONFIGURATION, ISSUER, "nonce", NOW, &keys).unwrap();
        let expected = Expected { algs, ..expected() };
        request.check(&expected).map(|checked| checked.keys)
    };
    let refused = Err(VciError::ProofAlg);
    let (intl, sm) = (&[Alg::Es256][..], &[Alg::Sm2Sm3][..]);
    let both = [Alg::Es256, Alg::Sm2Sm3];
    assert_eq!(ask(&p256, intl), Ok(vec![p256.verifying_key()]));
    assert_eq!(ask(&sm2, intl), refused);
    assert_eq!(ask(&p256, sm), refused);
    assert_eq!(ask(&sm2, sm), Ok(vec![sm2.verifying_key()]));
    assert!(ask(&p256, &both).is_ok() && ask(&sm2, &both).is_ok());
    // Signed by one key under the header of another: its algorithm is swapped.
    let mut header = serde_json::Map::new();
    header.insert("typ".into(), PROOF_TYP.into());
    header.insert("jwk".into(), Jwk(p256.verifying_key()).to_value());
    let claims = json!({"aud": ISSUER, "iat": NOW, "nonce": "n"});
    let swapped = jose::sign_compact(&header, claims.to_string().as_bytes(), &sm2).unwrap();
    assert_eq!(
        verify_proof(&swapped, ISSUER, &both, NOW).err(),
        Some(VciError::ProofAlg)
    );
}

#[test]
fn an_authority_of_sm2_offers_neither_mdocs_nor_certificates() {
    let metadata = |alg: Alg, bound_to: &[Alg]| {
        let metadata = IssuerMetadata::of_authority(ISSUER, "urn:x", "A", (alg, bound_to));
        let configurations = metadata.credential_configurations_supported;
        configurations.keys().cloned().collect::<Vec<_>>()
    };
    let mut names = metadata(Alg::Sm2Sm3, &[Alg::Sm2Sm3]);
    names.sort();
    assert_eq!(names, [PID_CONFIGURATION, PASS_CONFIGURATION]);
    assert_eq!(metadata(Alg::Es256, &[Alg::Es256]).len(), 4);
    // Unless it has a key of P-256 beside, by which both are signed and to which both are bound.
    let sm2 = [Alg::Sm2Sm3];
    let both = IssuerMetadata::of_authority(ISSUER, "urn:x", "A", (Alg::Sm2Sm3, &sm2));
    let both = both.with_outside("urn:x");
    assert_eq!(both.credential_configurations_supported.len(), 4);
    for (id, alg) in [
        (PID_CONFIGURATION, Alg::Sm2Sm3),
        (X5C_CONFIGURATION, Alg::Es256),
        (MDOC_CONFIGURATION, Alg::Es256),
    ] {
        for other in [Alg::Sm2Sm3, Alg::Es256] {
            assert_eq!(both.binds_to(id, other), other == alg, "{id}");
        }
    }
    let offered = |mdocs| {
        let offer = CredentialOffer::of_enrolment(ISSUER, "c".into(), 6, mdocs);
        offer.credential_configuration_ids
    };
    assert_eq!(offered(false), [PID_CONFIGURATION, PASS_CONFIGURATION]);
    assert_eq!(offered(true).len(), 3);
}
