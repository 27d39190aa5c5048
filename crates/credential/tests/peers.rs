//! Software that is not ours verifies our credentials, and ours verifies theirs:
//! `@sd-jwt/sd-jwt-vc` for SD-JWT VC and `@animo-id/mdoc` for mdoc, on Node.

#![allow(clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use realdid_credential::ClaimPath;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::mdoc::{self, Element, Mdoc, MdocError, Transcript};
use realdid_credential::sd_jwt::{
    self, Binding, Evidence, IssuerEvidence, IssuerKey, ParsedSdJwt, SdJwtError, Terms,
};
use realdid_testkit::peer;
use serde_json::{Value, json};

const ISS: &str = "https://authority.test";
const VCT: &str = "urn:test:1";
const AUD: &str = "verifier_attestation:00ff";
const NONCE: &str = "n-0S6_WzA2Mj";
const KID: &str = "k1";

fn ask_the_peer(script: &str, case: &Value) -> Value {
    peer::ask(env!("CARGO_MANIFEST_DIR"), script, case)
}

/// The peer reads the clock, so its credentials and ours are of now.
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A fixed key, and its private JWK for the peer.
fn key(seed: u8) -> (SigningKey, Value) {
    use base64::Engine as _;
    let key = SigningKey::p256(&[seed; 32]).unwrap();
    let mut jwk = Jwk(key.verifying_key()).to_value();
    jwk["d"] = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .encode([seed; 32])
        .into();
    (key, jwk)
}

#[test]
fn sd_jwt_vc_agrees_with_another_language_both_ways() {
    let ((issuer, issuer_jwk), (holder, holder_jwk)) = (key(41), key(42));
    let iat_s = now_s();
    let claims = json!({
        "given_name": "Ada", "sex": 2, "nationalities": ["XA", "XB"],
        "address": {"region": "Somewhere", "locality": "Elsewhere"}, "assurance": "high"
    });
    let terms = Terms {
        iss: ISS,
        vct: VCT,
        kid: KID,
        iat_s,
        exp_s: iat_s + 600,
        x5c: &[],
    };
    let to = Jwk(holder.verifying_key());
    let mut count = 0u8;
    let mut salt = || {
        count += 1;
        [count; 16]
    };
    let claims = claims.as_object().unwrap();
    let credential =
        sd_jwt::issue(claims, &["assurance"], &terms, &to, &issuer, &mut salt).unwrap();
    let binding = Binding {
        nonce: NONCE,
        aud: AUD,
        iat_s,
    };
    let paths = [&["given_name"][..], &["address", "region"]];
    let paths = paths.map(|path| ClaimPath::of(path).unwrap());
    let held = ParsedSdJwt::parse(&credential).unwrap();
    let ours = sd_jwt::present(&held, &paths, &binding, &holder).unwrap();
    // A disclosure taken away after binding.
    let mut parts: Vec<&str> = ours.split('~').collect();
    parts.remove(1);
    let tampered = parts.join("~");

    let answer = ask_the_peer(
        "sd-jwt.mjs",
        &json!({
            "issuer": issuer_jwk, "holder": holder_jwk, "ours": ours, "tampered": tampered,
            "iss": ISS, "vct": VCT, "kid": KID, "iat": iat_s, "aud": AUD, "nonce": NONCE,
        }),
    );
    let seen = &answer["ours"]["payload"];
    assert_eq!(seen["given_name"], "Ada", "{answer}");
    assert_eq!(seen["address"], json!({"region": "Somewhere"}));
    assert_eq!(seen["assurance"], "high");
    assert_eq!((seen.get("sex"), seen.get("nationalities")), (None, None));
    assert_eq!(answer["ours"]["kb"]["aud"], AUD);
    assert_eq!(answer["ours"]["kb"]["nonce"], NONCE);
    assert!(answer["tampered"]["refused"].is_string(), "{answer}");

    let keys = [IssuerKey {
        iss: ISS.to_owned(),
        kid: KID.to_owned(),
        key: issuer.verifying_key(),
    }];
    let evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &keys,
            accepted_vcts: &[VCT],
            now_s: iat_s,
            clock_skew_s: 5,
        },
        nonce: NONCE,
        aud: AUD,
        max_kb_age_s: 60,
    };
    let theirs = answer["theirs"].as_str().unwrap();
    let verified = sd_jwt::verify(theirs, &evidence).unwrap();
    let expected = json!({"given_name": "Ada", "address": {"region": "Somewhere"}});
    assert_eq!(Value::Object(verified.claims), expected);
    let other = Evidence {
        nonce: "other",
        ..evidence
    };
    assert_eq!(
        sd_jwt::verify(theirs, &other).err(),
        Some(SdJwtError::Nonce)
    );
    // Our wallet holds and shows what they issue.
    let issued = answer["credential"].as_str().unwrap();
    let held = sd_jwt::receive(issued, &evidence.issuer, &to).unwrap();
    let shown = sd_jwt::present(&held, &paths, &binding, &holder).unwrap();
    let verified = sd_jwt::verify(&shown, &evidence).unwrap();
    assert_eq!(Value::Object(verified.claims), expected);
}

const DOC_TYPE: &str = "org.example.pid.1";
const SPACE: &str = "org.example.pid.1";

/// A self-signed certificate of the key with this seed: who trusts it compares it whole.
fn certificate(seed: u8) -> Vec<u8> {
    use p256::pkcs8::EncodePrivateKey as _;
    let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
    let key = rcgen::KeyPair::try_from(key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let mut params = rcgen::CertificateParams::new(["authority.test".to_owned()]).unwrap();
    let name = &mut params.distinguished_name;
    name.push(rcgen::DnType::CountryName, "XA");
    name.push(rcgen::DnType::CommonName, "Authority");
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn mdoc_agrees_with_another_language_both_ways() {
    let ((issuer, issuer_jwk), (device, device_jwk)) = (key(43), key(44));
    let (certificate, now_s) = (certificate(43), now_s());
    let transcript = Transcript::openid4vp(AUD, NONCE, None, "https://gate.test/response");
    let elements = [
        ("given_name", Element::Json(json!("Ada"))),
        ("nationality", Element::Json(json!(["XA", "XB"]))),
        ("age_over_18", Element::Json(json!(true))),
    ];
    let terms = mdoc::Terms {
        doc_type: DOC_TYPE,
        signed_s: now_s,
        from_s: now_s,
        until_s: now_s + 600,
        x5chain: &[&certificate],
        status: None,
    };
    let mut count = 0u8;
    let mut random = || {
        count += 1;
        [count; 32]
    };
    let to = device.verifying_key();
    let spaces = [(SPACE, elements.as_slice())];
    let issued = mdoc::issue(&spaces, &terms, &to, &issuer, &mut random).unwrap();
    let asked = [(SPACE, "given_name"), (SPACE, "nationality")];
    let shown = Mdoc::parse(&issued).unwrap().select(&asked).unwrap();
    let ours = shown.bind(&transcript, &device).unwrap();
    let mut tampered = ours.clone();
    let at = ours.windows(3).position(|part| part == b"Ada").unwrap();
    tampered[at] = b'E';

    let answer = ask_the_peer(
        "mdoc.mjs",
        &json!({
            "issuer": issuer_jwk, "device": device_jwk, "certificate": hex(&certificate),
            "transcript": hex(transcript.as_bytes()), "ours": hex(&ours),
            "tampered": hex(&tampered), "doc_type": DOC_TYPE, "space": SPACE, "now": now_s,
        }),
    );
    assert_eq!(answer["ours"]["docType"], DOC_TYPE, "{answer}");
    let seen = json!({"given_name": "Ada", "nationality": ["XA", "XB"]});
    assert_eq!(answer["ours"]["elements"], seen);
    assert!(answer["tampered"]["refused"].is_string(), "{answer}");

    let keys = [mdoc::IssuerKey {
        issuer: "peer".to_owned(),
        certificate,
        key: issuer.verifying_key(),
    }];
    let evidence = mdoc::IssuerEvidence {
        issuer_keys: &keys,
        accepted_doc_types: &[DOC_TYPE],
        now_s,
        clock_skew_s: 5,
    };
    let theirs = unhex(answer["theirs"].as_str().unwrap());
    let verified = mdoc::verify(&theirs, &evidence, &transcript, &[]).unwrap();
    let expected = json!({SPACE: {"given_name": "Ada"}});
    assert_eq!(Value::Object(verified.claims), expected);
    let other = Transcript::openid4vp(AUD, "other", None, "https://gate.test/response");
    let refused = mdoc::verify(&theirs, &evidence, &other, &[]);
    assert_eq!(refused.err(), Some(MdocError::DeviceSignature));
    // Our wallet holds and shows what they issue.
    let credential = unhex(answer["credential"].as_str().unwrap());
    let held = mdoc::receive(&credential, &evidence, &to).unwrap();
    let shown = held.select(&[(SPACE, "given_name")]).unwrap();
    let shown = shown.bind(&transcript, &device).unwrap();
    let verified = mdoc::verify(&shown, &evidence, &transcript, &[]).unwrap();
    assert_eq!(Value::Object(verified.claims), expected);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
