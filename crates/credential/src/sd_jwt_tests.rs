//! The story of one credential, and everything that is refused on the way.

use std::slice::from_ref;

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[path = "sd_jwt_status_tests.rs"]
mod status;

const ISS: &str = "https://authority.test";
const VCT: &str = "urn:test:1";
const AUD: &str = "verifier_attestation:00ff";
const NONCE: &str = "n-0S6_WzA2Mj";
const NOW_S: u64 = 1_800_000_000;

fn issuer() -> SigningKey {
    SigningKey::p256(&[11; 32]).unwrap()
}

fn holder() -> SigningKey {
    SigningKey::p256(&[12; 32]).unwrap()
}

fn keys() -> Vec<IssuerKey> {
    let key = |kid: &str, key: SigningKey| IssuerKey {
        iss: ISS.to_owned(),
        kid: kid.to_owned(),
        key: key.verifying_key(),
    };
    vec![
        key("old", SigningKey::p256(&[10; 32]).unwrap()),
        key("k1", issuer()),
    ]
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "given_name": "Ada", "family_name": "Example", "sex": 2,
        "nationalities": ["XA", "XB"],
        "address": {"region": "Somewhere", "locality": "Elsewhere"},
        "age_equal_or_over": {"18": true},
        "assurance": "high"
    });
    claims.as_object().unwrap().clone()
}

fn terms() -> Terms<'static> {
    Terms {
        iss: ISS,
        vct: VCT,
        kid: "k1",
        iat_s: NOW_S - 50,
        exp_s: NOW_S + 70,
        x5c: &[],
    }
}

fn salts() -> impl FnMut() -> [u8; 16] {
    let mut count = 0u128;
    move || {
        count += 1;
        count.to_be_bytes()
    }
}

fn issued_with(terms: &Terms<'_>) -> String {
    let holder = Jwk(holder().verifying_key());
    issue(
        &claims(),
        &["assurance"],
        terms,
        &holder,
        &issuer(),
        &mut salts(),
    )
    .unwrap()
}

fn issued() -> String {
    issued_with(&terms())
}

fn paths(names: &[&[&str]]) -> Vec<ClaimPath> {
    names
        .iter()
        .map(|names| ClaimPath::of(names).unwrap())
        .collect()
}

fn binding() -> Binding<'static> {
    Binding {
        nonce: NONCE,
        aud: AUD,
        iat_s: NOW_S - 1,
    }
}

fn presented() -> String {
    let credential = ParsedSdJwt::parse(&issued()).unwrap();
    present(
        &credential,
        &paths(&[&["given_name"], &["address", "region"]]),
        &binding(),
        &holder(),
    )
    .unwrap()
}

fn verify_with(
    text: &str,
    change: impl FnOnce(&mut Evidence<'_>),
) -> Result<VerifiedSdJwt, SdJwtError> {
    let keys = keys();
    let mut evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &keys,
            accepted_vcts: &[VCT],
            now_s: NOW_S,
            clock_skew_s: 2,
        },
        nonce: NONCE,
        aud: AUD,
        max_kb_age_s: 60,
    };
    change(&mut evidence);
    verify(text, &evidence)
}

fn code(text: &str) -> &'static str {
    verify_with(text, |_| {})
        .err()
        .map_or("accepted", SdJwtError::code)
}

fn code_with(change: impl FnOnce(&mut Evidence<'_>)) -> &'static str {
    verify_with(&presented(), change)
        .err()
        .map_or("accepted", SdJwtError::code)
}

fn disclosure(value: &Value) -> String {
    jose::encode(value.to_string().as_bytes())
}

fn digest(disclosure: &str) -> String {
    jose::encode(&Sha256::digest(disclosure.as_bytes()))
}

/// What a reckless issuer signs: `claims` over the registered ones, then these disclosures.
fn reckless(claims: &Value, disclosures: &[String]) -> String {
    let mut payload = json!({
        "iss": ISS, "vct": VCT, "iat": NOW_S, "exp": NOW_S + 60,
        "cnf": {"jwk": Jwk(holder().verifying_key()).to_value()}
    });
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::String(text) if text == "<absent>" => {
                _ = payload.as_object_mut().unwrap().remove(name)
            }
            value => payload[name] = value.clone(),
        }
    }
    let header = json!({"typ": FORMAT, "kid": "k1"});
    let payload = payload.to_string();
    let mut text =
        jose::sign_compact(header.as_object().unwrap(), payload.as_bytes(), &issuer()).unwrap();
    for disclosure in disclosures {
        text.push('~');
        text.push_str(disclosure);
    }
    text.push('~');
    text
}

/// Binds any text, sound or not.
fn bound(sd_jwt: &str, change: impl FnOnce(&mut Value), typ: &str, key: &SigningKey) -> String {
    let mut payload = json!({
        "iat": NOW_S, "aud": AUD, "nonce": NONCE, "sd_hash": jose::encode(&sd_hash(sd_jwt))
    });
    change(&mut payload);
    let header = json!({"typ": typ});
    let payload = payload.to_string();
    let kb = jose::sign_compact(header.as_object().unwrap(), payload.as_bytes(), key).unwrap();
    format!("{sd_jwt}{kb}")
}

fn soundly_bound(sd_jwt: &str) -> String {
    bound(sd_jwt, |_| {}, KB_TYP, &holder())
}

// ---- what works ---------------------------------------------------------------------------

#[test]
fn a_holder_shows_what_they_choose_and_nothing_else() {
    let verified = verify_with(&presented(), |_| {}).unwrap();
    let expected = json!({
        "given_name": "Ada", "address": {"region": "Somewhere"}, "assurance": "high"
    });
    assert_eq!(Value::Object(verified.claims), expected);
    assert_eq!(
        (
            verified.iss.as_str(),
            verified.vct.as_str(),
            verified.kid.as_str()
        ),
        (ISS, VCT, "k1")
    );
    assert_eq!((verified.iat_s, verified.exp_s), (NOW_S - 50, NOW_S + 70));
    assert_eq!(verified.cnf, Jwk(holder().verifying_key()));
}

#[test]
fn a_login_shows_no_claim_at_all() {
    let credential = ParsedSdJwt::parse(&issued()).unwrap();
    let bare = credential.select(&[]).unwrap();
    assert_eq!(
        Value::Object(bare.claims().clone()),
        json!({"assurance": "high"})
    );
    let text = bare.bind(&binding(), &holder()).unwrap();
    assert_eq!(text.matches('~').count(), 1);
    verify_with(&text, |_| {}).unwrap();
    // Not even which claims exist can be read from the signed part.
    let payload = jose::decode_unverified(text.split('~').next().unwrap())
        .unwrap()
        .claims()
        .unwrap();
    assert!(!payload.contains_key("address") && !payload.contains_key("given_name"));
}

#[test]
fn what_a_wallet_previews_is_what_the_verifier_sees() {
    let credential = ParsedSdJwt::parse(&issued()).unwrap();
    assert_eq!(credential.claims(), &claims());
    for choice in [
        paths(&[&["address"]]),
        paths(&[&["nationalities"], &["age_equal_or_over", "18"]]),
        vec![ClaimPath::parse(&json!(["nationalities", null])).unwrap()],
    ] {
        let selected = credential.select(&choice).unwrap();
        let text = selected.bind(&binding(), &holder()).unwrap();
        assert_eq!(
            &verify_with(&text, |_| {}).unwrap().claims,
            selected.claims()
        );
    }
    let refused = credential
        .select(&paths(&[&["address", "street_address"]]))
        .unwrap_err();
    assert_eq!(refused.code(), "sd_jwt.no_such_claim");
}

#[test]
fn a_wallet_checks_what_it_receives() {
    let keys = keys();
    let evidence = IssuerEvidence {
        issuer_keys: &keys,
        accepted_vcts: &[VCT],
        now_s: NOW_S,
        clock_skew_s: 2,
    };
    let mine = Jwk(holder().verifying_key());
    assert_eq!(
        receive(&issued(), &evidence, &mine).unwrap().claims(),
        &claims()
    );
    let another = Jwk(issuer().verifying_key());
    assert_eq!(
        receive(&issued(), &evidence, &another).unwrap_err().code(),
        "sd_jwt.holder_key"
    );
    assert_eq!(
        receive(&presented(), &evidence, &mine).unwrap_err().code(),
        "sd_jwt.binding_unexpected"
    );
    let forger = issue(&claims(), &[], &terms(), &mine, &holder(), &mut salts()).unwrap();
    assert_eq!(
        receive(&forger, &evidence, &mine).unwrap_err().code(),
        "credential.signature"
    );
}

#[test]
fn an_ed25519_issuer_and_holder_work_too() {
    let (issuer, holder) = (SigningKey::ed25519(&[1; 32]), SigningKey::ed25519(&[2; 32]));
    let x5c = ["MIIB".to_owned()];
    let terms = Terms {
        x5c: &x5c,
        ..terms()
    };
    let jwk = Jwk(holder.verifying_key());
    let text = issue(&claims(), &[], &terms, &jwk, &issuer, &mut salts()).unwrap();
    let header = jose::decode_unverified(text.split('~').next().unwrap())
        .unwrap()
        .header;
    assert_eq!(header["x5c"], json!(["MIIB"]));
    let credential = ParsedSdJwt::parse(&text).unwrap();
    let text = present(&credential, &[], &binding(), &holder).unwrap();
    let keys = [IssuerKey {
        iss: ISS.into(),
        kid: "k1".into(),
        key: issuer.verifying_key(),
    }];
    let verified = verify_with(&text, |evidence| {
        *evidence = Evidence {
            issuer: IssuerEvidence {
                issuer_keys: &[],
                ..evidence.issuer
            },
            ..*evidence
        };
    });
    assert_eq!(verified.unwrap_err().code(), "credential.issuer_unknown");
    let evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &keys,
            accepted_vcts: &[VCT],
            now_s: NOW_S,
            clock_skew_s: 0,
        },
        nonce: NONCE,
        aud: AUD,
        max_kb_age_s: 60,
    };
    verify(&text, &evidence).unwrap();
}

#[test]
fn nothing_personal_in_debug_or_errors() {
    let parsed = ParsedSdJwt::parse(&issued()).unwrap();
    let verified = verify_with(&presented(), |_| {}).unwrap();
    assert!(!format!("{parsed:?}{verified:?}").contains("Ada"));
    for refusal in SdJwtError::ALL {
        let text = refusal.to_string();
        assert!(text.contains("fault:") && text.contains("do:"), "{text}");
    }
    let mut codes: Vec<_> = SdJwtError::ALL
        .iter()
        .map(|refusal| refusal.code())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), SdJwtError::ALL.len());
}

// ---- what is refused ----------------------------------------------------------------------

#[test]
fn evidence_that_does_not_fit_is_refused() {
    assert_eq!(code_with(|_| {}), "accepted");
    assert_eq!(code_with(|e| e.nonce = "another"), "kb.nonce");
    assert_eq!(
        code_with(|e| e.aud = "verifier_attestation:00fe"),
        "kb.audience"
    );
    assert_eq!(
        code_with(|e| e.issuer.accepted_vcts = &["urn:other"]),
        "credential.vct_refused"
    );
    assert_eq!(
        code_with(|e| e.issuer.now_s = NOW_S + 71),
        "kb.stale",
        "within the clock skew"
    );
    assert_eq!(
        code_with(|e| e.issuer.now_s = NOW_S + 72),
        "credential.expired"
    );
    assert_eq!(
        code_with(|e| e.issuer.now_s = u64::MAX),
        "credential.expired"
    );
    assert_eq!(code_with(|e| e.issuer.now_s = NOW_S - 52), "kb.future");
    assert_eq!(
        code_with(|e| e.issuer.now_s = NOW_S - 53),
        "credential.not_yet_valid"
    );
    assert_eq!(code_with(|e| e.issuer.now_s = NOW_S - 4), "kb.future");
    assert_eq!(code_with(|e| e.issuer.now_s = NOW_S + 61), "accepted");
    assert_eq!(code_with(|e| e.issuer.now_s = NOW_S + 62), "kb.stale");
    assert_eq!(
        verify_with(&presented(), |e| e.max_kb_age_s = 0)
            .unwrap()
            .kid,
        "k1",
        "one second old, two of skew"
    );
    let other_kid = issued_with(&Terms {
        kid: "k9",
        ..terms()
    });
    assert_eq!(code(&soundly_bound(&other_kid)), "credential.kid_unknown");
    let other_key = issued_with(&Terms {
        kid: "old",
        ..terms()
    });
    assert_eq!(code(&soundly_bound(&other_key)), "credential.signature");
    let other_iss = issued_with(&Terms {
        iss: "https://other.test",
        ..terms()
    });
    assert_eq!(
        code(&soundly_bound(&other_iss)),
        "credential.issuer_unknown"
    );
}

#[test]
fn key_binding_is_never_optional() {
    let credential = issued();
    assert_eq!(code(&credential), "kb.missing");
    assert_eq!(code(&soundly_bound(&credential)), "accepted");
    assert_eq!(
        code(&bound(&credential, |_| {}, KB_TYP, &issuer())),
        "kb.signature"
    );
    assert_eq!(
        code(&bound(&credential, |_| {}, "jwt", &holder())),
        "kb.malformed"
    );
    assert_eq!(
        code(&bound(
            &credential,
            |_| {},
            KB_TYP,
            &SigningKey::ed25519(&[3; 32])
        )),
        "jws.alg_mismatch"
    );
    for (change, expected) in [
        (json!({"nonce": "x"}), "kb.nonce"),
        (json!({"nonce": null}), "kb.malformed"),
        (json!({"aud": [AUD]}), "kb.malformed"),
        (json!({"iat": "1"}), "kb.malformed"),
        (json!({"iat": -1}), "kb.malformed"),
        (json!({"iat": NOW_S + 3}), "kb.future"),
        (json!({"iat": NOW_S - 63}), "kb.stale"),
        (json!({"exp": NOW_S - 2}), "kb.stale"),
        (json!({"sd_hash": jose::encode(&[0; 32])}), "kb.sd_hash"),
        (json!({"sd_hash": ""}), "kb.sd_hash"),
        (json!({"sd_hash": "="}), "kb.malformed"),
    ] {
        let merge = |payload: &mut Value| {
            payload
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
        };
        assert_eq!(
            code(&bound(&credential, merge, KB_TYP, &holder())),
            expected,
            "{change}"
        );
    }
    let kb_none = format!(
        "{}.{}.",
        jose::encode(br#"{"alg":"none","typ":"kb+jwt"}"#),
        jose::encode(b"{}")
    );
    assert_eq!(code(&format!("{credential}{kb_none}")), "jws.alg_refused");
    let parsed = ParsedSdJwt::parse(&credential).unwrap();
    assert_eq!(
        parsed.bind(&binding(), &issuer()).unwrap_err().code(),
        "sd_jwt.holder_key"
    );
    let empty = Binding {
        nonce: "",
        ..binding()
    };
    assert_eq!(
        parsed.bind(&empty, &holder()).unwrap_err().code(),
        "kb.malformed"
    );
}

#[test]
fn a_disclosure_added_removed_or_changed_after_binding_is_refused() {
    let text = presented();
    let parts: Vec<&str> = text.split('~').collect();
    let mut removed = parts.clone();
    removed.remove(1);
    assert_eq!(code(&removed.join("~")), "kb.sd_hash");
    let credential = issued();
    let extra = credential.split('~').nth(2).unwrap();
    let mut added = parts.clone();
    added.insert(1, extra);
    assert_eq!(code(&added.join("~")), "kb.sd_hash");
    let mut swapped = parts.clone();
    swapped.swap(1, 2);
    assert_eq!(code(&swapped.join("~")), "kb.sd_hash");
}

#[test]
fn disclosures_left_out_before_binding_are_the_holders_right() {
    let credential = issued();
    let (jwt, _) = credential.split_once('~').unwrap();
    assert_eq!(code(&soundly_bound(&format!("{jwt}~"))), "accepted");
}

#[test]
fn disclosures_that_the_issuer_did_not_make_are_refused() {
    let credential = issued();
    let with = |extra: &str| code(&soundly_bound(&format!("{credential}{extra}~")));
    assert_eq!(
        with(&disclosure(&json!(["salt", "given_name", "Eve"]))),
        "sd_jwt.disclosure_unreferenced"
    );
    assert_eq!(
        with(&disclosure(&json!(["salt", "Eve"]))),
        "sd_jwt.disclosure_unreferenced"
    );
    assert_eq!(
        with(credential.split('~').nth(1).unwrap()),
        "sd_jwt.disclosure_twice"
    );
    assert_eq!(with(""), "sd_jwt.malformed");
    for malformed in [
        "!",
        "AA==",
        "e30",
        &disclosure(&json!("text")),
        &disclosure(&json!([])),
        &disclosure(&json!(["salt"])),
        &disclosure(&json!([1, "name", 1])),
        &disclosure(&json!(["salt", 1, 1])),
        &disclosure(&json!(["salt", "name", 1, 2])),
        &jose::encode(b"[\"\xff\", \"name\", 1]"),
        &jose::encode(br#"["salt", "name", {"a": 1, "a": 2}]"#),
    ] {
        assert_eq!(
            with(malformed),
            "sd_jwt.disclosure_malformed",
            "{malformed}"
        );
    }
    // A nested disclosure without the one that it hangs on refers to nothing.
    let region = credential.split('~').skip(1).find(|part| {
        jose::decode(part).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("\"region\""))
    });
    let (jwt, _) = credential.split_once('~').unwrap();
    let orphan = format!("{jwt}~{}~", region.unwrap());
    assert_eq!(
        code(&soundly_bound(&orphan)),
        "sd_jwt.disclosure_unreferenced"
    );
}

/// RFC 9901 §7.1, steps 3 to 5, and the bounds that we add.
#[test]
fn what_a_reckless_issuer_signs_is_refused() {
    let check = |claims: &Value, disclosures: &[String]| {
        code(&soundly_bound(&reckless(claims, disclosures)))
    };
    let name = disclosure(&json!(["s", "name", 1]));
    let element = disclosure(&json!(["s", 1]));
    assert_eq!(
        check(&json!({"_sd": [digest(&name)]}), from_ref(&name)),
        "accepted"
    );
    assert_eq!(
        check(
            &json!({"a": [{"...": digest(&element)}]}),
            from_ref(&element)
        ),
        "accepted"
    );
    assert_eq!(
        check(&json!({"_sd": ["decoy"], "_sd_alg": "sha-256"}), &[]),
        "accepted"
    );

    assert_eq!(
        check(&json!({"_sd_alg": "sha-512"}), &[]),
        "sd_jwt.hash_alg"
    );
    assert_eq!(check(&json!({"_sd_alg": "md5"}), &[]), "sd_jwt.hash_alg");
    assert_eq!(check(&json!({"_sd_alg": 1}), &[]), "sd_jwt.hash_alg");
    let twice = json!({"_sd": [digest(&name), digest(&name)]});
    assert_eq!(check(&twice, from_ref(&name)), "sd_jwt.digest_twice");
    assert_eq!(
        check(&json!({"_sd": ["x"], "a": {"_sd": ["x"]}}), &[]),
        "sd_jwt.digest_twice"
    );
    assert_eq!(
        check(&json!({"_sd": ["x"], "a": [{"...": "x"}]}), &[]),
        "sd_jwt.digest_twice"
    );
    assert_eq!(
        check(&json!({"_sd": [digest(&element)]}), &[element]),
        "sd_jwt.disclosure_kind"
    );
    let in_array = json!({"a": [{"...": digest(&name)}]});
    assert_eq!(check(&in_array, from_ref(&name)), "sd_jwt.disclosure_kind");
    assert_eq!(
        check(&json!({"name": 2, "_sd": [digest(&name)]}), from_ref(&name)),
        "sd_jwt.claim_twice"
    );
    let rival = disclosure(&json!(["t", "name", 2]));
    let both = json!({"_sd": [digest(&name), digest(&rival)]});
    assert_eq!(check(&both, &[name, rival]), "sd_jwt.claim_twice");
    for reserved in ["_sd", "...", "status", "nbf", "vct#integrity"] {
        let hidden = disclosure(&json!(["s", reserved, 1]));
        assert_eq!(
            check(&json!({"_sd": [digest(&hidden)]}), &[hidden]),
            "sd_jwt.claim_reserved",
            "{reserved}"
        );
    }
    for registered in ["iss", "exp", "cnf"] {
        let hidden = disclosure(&json!(["s", registered, 1]));
        let signed = json!({"_sd": [digest(&hidden)], registered: "<absent>"});
        let code = check(&signed, &[hidden]);
        assert!(
            code.starts_with("credential."),
            "{registered} is read from the signed part only: {code}"
        );
    }
    for stray in [
        json!({"_sd": "x"}),
        json!({"_sd": [1]}),
        json!({"_sd": {}}),
        json!({"a": {"_sd": null}}),
        json!({"a": {"...": "x"}}),
        json!({"a": [{"...": 1}]}),
        json!({"a": [{"...": "x", "b": 1}]}),
    ] {
        assert_eq!(check(&stray, &[]), "sd_jwt.digest_malformed", "{stray}");
    }
    let hidden = disclosure(&json!(["s", "a", {"b": {"...": "x"}}]));
    assert_eq!(
        check(&json!({"_sd": [digest(&hidden)]}), &[hidden]),
        "sd_jwt.digest_malformed"
    );
    for missing in ["iat", "exp", "cnf", "vct", "iss"] {
        assert_eq!(
            check(&json!({missing: "<absent>"}), &[]),
            "credential.claims",
            "{missing}"
        );
    }
    assert_eq!(check(&json!({"exp": 1.5}), &[]), "credential.claims");
    assert_eq!(
        check(&json!({"nbf": NOW_S + 3}), &[]),
        "credential.not_yet_valid"
    );
    assert_eq!(
        check(&json!({"status": {"status_list": {}}}), &[]),
        "credential.status_unread"
    );
}

#[test]
fn bombs_are_refused() {
    let check = |claims: &Value, disclosures: &[String]| {
        code(&soundly_bound(&reckless(claims, disclosures)))
    };
    let nested = |n: usize| (0..n).fold(json!(1), |value, _| json!([value]));
    assert_eq!(check(&json!({"a": nested(15)}), &[]), "accepted");
    assert_eq!(
        check(&json!({"a": nested(17)}), &[]),
        "jws.payload_malformed"
    );
    let raw = format!(r#"{{"a":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let jwt = format!(
        "{}.{}.AAAA",
        jose::encode(br#"{"alg":"ES256","typ":"dc+sd-jwt"}"#),
        jose::encode(raw.as_bytes())
    );
    assert_eq!(
        code(&soundly_bound(&format!("{jwt}~"))),
        "jws.payload_malformed"
    );
    let deep = disclosure(&json!(["s", "a", nested(17)]));
    assert_eq!(
        check(&json!({"_sd": [digest(&deep)]}), &[deep]),
        "sd_jwt.disclosure_malformed"
    );

    // Each disclosure is flat; together they are a chain.
    let mut chain = vec![disclosure(&json!(["s", "a", 1]))];
    for _ in 0..40 {
        let last = digest(chain.last().unwrap());
        chain.push(disclosure(&json!(["s", "a", {"_sd": [last]}])));
    }
    let root = json!({"_sd": [digest(chain.last().unwrap())]});
    assert_eq!(check(&root, &chain), "sd_jwt.too_deep");
    let root = json!({"_sd": [digest(&chain[10])]});
    assert_eq!(check(&root, &chain[..=10]), "accepted");

    let many: Vec<String> = (0..65)
        .map(|i| disclosure(&json!(["s", format!("c{i}"), i])))
        .collect();
    let digests =
        |n: usize| json!({"_sd": many[..n].iter().map(|d| digest(d)).collect::<Vec<_>>()});
    assert_eq!(check(&digests(64), &many[..64]), "accepted");
    assert_eq!(check(&digests(65), &many), "sd_jwt.too_many_disclosures");
    let wide: Map<String, Value> = (0..65).map(|i| (format!("c{i}"), i.into())).collect();
    let jwk = Jwk(holder().verifying_key());
    let refused = issue(&wide, &[], &terms(), &jwk, &issuer(), &mut salts());
    assert_eq!(refused.unwrap_err().code(), "sd_jwt.too_many_disclosures");

    assert_eq!(code(&"~".repeat(MAX_LEN)), "kb.missing");
    assert_eq!(code(&"~".repeat(MAX_LEN + 1)), "sd_jwt.oversize");
    let long = json!({"a": "x".repeat(MAX_LEN)})
        .as_object()
        .unwrap()
        .clone();
    let refused = issue(&long, &[], &terms(), &jwk, &issuer(), &mut salts());
    assert_eq!(refused.unwrap_err().code(), "sd_jwt.oversize");
}

#[test]
fn text_that_is_no_presentation_is_refused() {
    for (text, expected) in [
        ("", "sd_jwt.malformed"),
        ("a.b.c", "sd_jwt.malformed"),
        ("~", "kb.missing"),
        ("~x", "jws.malformed"),
        ("a~b~c", "jws.malformed"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
    let presentation = presented();
    let (jwt, rest) = presentation.split_once('~').unwrap();
    let (_, signature) = jwt.rsplit_once('.').unwrap();
    let payload = jwt.split('.').nth(1).unwrap();
    for (header, expected) in [
        (
            r#"{"alg":"none","typ":"dc+sd-jwt","kid":"k1"}"#,
            "jws.alg_refused",
        ),
        (
            r#"{"alg":"HS256","typ":"dc+sd-jwt","kid":"k1"}"#,
            "jws.alg_refused",
        ),
        (
            r#"{"alg":"EdDSA","typ":"dc+sd-jwt","kid":"k1"}"#,
            "jws.alg_mismatch",
        ),
        (
            r#"{"alg":"ES256","typ":"vc+sd-jwt","kid":"k1"}"#,
            "jws.typ_mismatch",
        ),
        (
            r#"{"alg":"ES256","typ":"kb+jwt","kid":"k1"}"#,
            "jws.typ_mismatch",
        ),
        (
            r#"{"alg":"ES256","typ":"dc+sd-jwt"}"#,
            "credential.kid_unknown",
        ),
        (
            r#"{"alg":"ES256","typ":"dc+sd-jwt","kid":"k1","x":1}"#,
            "credential.signature",
        ),
    ] {
        let text = format!(
            "{}.{payload}.{signature}~{rest}",
            jose::encode(header.as_bytes())
        );
        assert_eq!(code(&text), expected, "{header}");
    }
}

#[test]
fn an_issuer_cannot_make_what_no_verifier_takes() {
    let jwk = Jwk(holder().verifying_key());
    let with = |claims: Value, terms: &Terms<'_>| {
        let claims = claims.as_object().unwrap().clone();
        issue(&claims, &[], terms, &jwk, &issuer(), &mut salts())
            .err()
            .map_or("made", SdJwtError::code)
    };
    assert_eq!(with(json!({"exp": 1}), &terms()), "sd_jwt.claim_reserved");
    assert_eq!(with(json!({"cnf": {}}), &terms()), "sd_jwt.claim_reserved");
    assert_eq!(
        with(json!({"a": {"_sd": []}}), &terms()),
        "sd_jwt.claim_reserved"
    );
    assert_eq!(
        with(json!({"a": {"...": 1}}), &terms()),
        "sd_jwt.claim_reserved"
    );
    assert_eq!(
        with(json!({"_sd_alg": "sha-256"}), &terms()),
        "sd_jwt.claim_reserved"
    );
    assert_eq!(
        with(
            json!({"a": 1}),
            &Terms {
                exp_s: NOW_S - 50,
                ..terms()
            }
        ),
        "credential.validity"
    );
    let nested = (0..18).fold(json!(1), |value, _| json!({"a": value}));
    assert_eq!(with(nested, &terms()), "sd_jwt.too_deep");
}

// ---- every byte ---------------------------------------------------------------------------

/// A changed presentation is refused, or says the same.
fn refused_or_same(text: &str, what: &str) {
    if let Ok(verified) = verify_with(text, |_| {}) {
        let same = verify_with(&presented(), |_| {}).unwrap();
        assert_eq!(verified.claims, same.claims, "{what}");
        assert_eq!(verified.cnf, same.cnf, "{what}");
    }
}

#[test]
fn no_byte_of_a_presentation_can_be_changed() {
    let text = presented();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        refused_or_same(&String::from_utf8(bytes).unwrap(), &format!("byte {at}"));
        refused_or_same(&text[..at], &format!("cut at {at}"));
    }
}

proptest! {
    #[test]
    fn a_mutated_presentation_is_refused(
        at in any::<prop::sample::Index>(), with in "[ -~]{0,3}|\\PC", drop in 0usize..3
    ) {
        let text = presented();
        let at = at.index(text.len());
        let end = (at + drop).min(text.len());
        refused_or_same(&format!("{}{with}{}", &text[..at], &text[end..]), "mutation");
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let verified = verify_with(&text, |_| {});
        prop_assert!(verified.is_err());
        _ = ParsedSdJwt::parse(&text);
    }

    #[test]
    fn any_claims_come_back(
        names in prop::collection::btree_set("[a-z_]{1,12}", 1..8), seed in any::<u64>()
    ) {
        let value = |i: usize| match (seed >> (i * 3)) % 5 {
            0 => json!(null),
            1 => json!({"x": i, "y": {"z": [i]}}),
            2 => json!([i, {"q": "r"}]),
            3 => json!("text"),
            _ => json!(i > 3),
        };
        let reserved = |name: &&String| !REGISTERED.contains(&name.as_str()) && !name.starts_with("_sd");
        let claims: Map<String, Value> =
            names.iter().filter(reserved).enumerate().map(|(i, n)| (n.clone(), value(i))).collect();
        let jwk = Jwk(holder().verifying_key());
        let text = issue(&claims, &[], &terms(), &jwk, &issuer(), &mut salts()).unwrap();
        let parsed = ParsedSdJwt::parse(&text).unwrap();
        prop_assert_eq!(parsed.claims(), &claims);
        prop_assert!(parsed.select(&[]).unwrap().claims().is_empty());
    }
}

// ---- issuers that are known by a certificate ------------------------------------------------

/// A root, and a credential under a leaf of it, signed without `kid`; `iss` may be left out.
fn certified(iss: Option<&str>) -> (Certificate, String) {
    use p256::pkcs8::DecodePrivateKey as _;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let [ca, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let mut root = params("root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let made = root.self_signed(&ca).unwrap();
    let leaf = params("leaf").signed_by(&key, &Issuer::new(root, ca));
    let x5c = base64::engine::general_purpose::STANDARD.encode(leaf.unwrap().der());
    let secret = p256::SecretKey::from_pkcs8_der(&key.serialize_der()).unwrap();
    let signing = SigningKey::p256(&secret.to_bytes().into()).unwrap();
    let mut payload = json!({
        "vct": VCT, "iat": NOW_S, "exp": NOW_S + 60,
        "cnf": {"jwk": Jwk(holder().verifying_key()).to_value()}
    });
    if let Some(iss) = iss {
        payload["iss"] = iss.into();
    }
    let header = json!({"typ": FORMAT, "x5c": [x5c]});
    let payload = payload.to_string();
    let header = header.as_object().unwrap();
    let jwt = jose::sign_compact(header, payload.as_bytes(), &signing).unwrap();
    let root = Certificate::parse(made.der()).unwrap();
    (root, format!("{jwt}~"))
}

#[test]
fn a_certificate_below_a_trusted_root_names_the_key_and_no_other_does() {
    let holder = Jwk(holder().verifying_key());
    let received = |text: &str, root: &Certificate| {
        let (key, _) = certified_key(text, ISS, from_ref(root), NOW_S)?;
        let evidence = IssuerEvidence {
            issuer_keys: &[key],
            accepted_vcts: &[VCT],
            now_s: NOW_S,
            clock_skew_s: 2,
        };
        receive(text, &evidence, &holder)
    };
    let code = |text: &str, root: &Certificate| received(text, root).unwrap_err().code();
    let (root, text) = certified(Some(ISS));
    assert_eq!(received(&text, &root).unwrap().iss(), ISS);
    // the certificate says who it is, so the credential need not
    let (silent_root, silent) = certified(None);
    assert_eq!(received(&silent, &silent_root).unwrap().iss(), "");

    let (elsewhere, other) = certified(Some("https://elsewhere.test"));
    assert_eq!(code(&other, &elsewhere), "credential.issuer_unknown");
    assert_eq!(code(&text, &silent_root), "x509.chain");
    assert_eq!(code(&issued(), &root), "x509.chain");
    // the same without a certificate is of nobody
    let evidence = IssuerEvidence {
        issuer_keys: &keys(),
        accepted_vcts: &[VCT],
        now_s: NOW_S,
        clock_skew_s: 2,
    };
    let by_ledger = |text: &str| receive(text, &evidence, &holder).unwrap_err().code();
    assert_eq!(by_ledger(&text), "credential.kid_unknown");
    assert_eq!(by_ledger(&silent), "credential.claims");
}
