//! SM2 in JOSE against others: a vector that shares no code with this crate, and OpenSSL in both
//! directions. What is refused of signatures and secrets out of range is in `realdid-core`'s tests.

use super::*;
use crate::jose::{
    Alg, Jwk, SigningKey, VerifyingKey as Key, decode_unverified, sign_compact, verify_compact,
};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

fn vector(name: &str) -> &'static str {
    let lines = include_str!("../../../../spec/vectors/sm/jws.txt").lines();
    let mut values = lines.filter_map(|line| line.split_once(' '));
    values.find(|(known, _)| *known == name).unwrap().1
}

fn header() -> Map<String, Value> {
    json!({"typ": "t"}).as_object().unwrap().clone()
}

#[test]
fn a_signature_is_byte_for_byte_that_of_the_vector() {
    let secret = hex::decode(vector("secret")).unwrap().try_into().unwrap();
    let key = SigningKey::sm2(&secret).unwrap();
    assert_eq!(key.alg(), Alg::Sm2Sm3);
    let jwk = Jwk(key.verifying_key());
    assert_eq!(jwk.to_json(), vector("jwk"));
    assert_eq!(jwk.thumbprint_base64url(), vector("thumbprint"));
    let read = Jwk::parse(&serde_json::from_str(vector("jwk")).unwrap()).unwrap();
    assert_eq!(read, jwk);
    assert_eq!(Key::sm2(&jwk.0.to_bytes()).unwrap(), jwk.0);

    let jws = sign_compact(&header(), br#"{"n":1}"#, &key).unwrap();
    assert_eq!(jws, vector("jws"));
    verify_compact(vector("jws"), &read.0, "t").unwrap();
}

#[test]
fn another_algorithm_curve_or_key_is_refused() {
    let key = SigningKey::sm2(&[7; 32]).unwrap();
    let p256 = SigningKey::p256(&[7; 32]).unwrap();
    let ours = sign_compact(&header(), b"{}", &key).unwrap();
    let theirs = sign_compact(&header(), b"{}", &p256).unwrap();
    let code = |jws: &str, key: &SigningKey| {
        let verified = verify_compact(jws, &key.verifying_key(), "t");
        verified.err().map_or("accepted", |error| error.code())
    };
    assert_eq!(code(&ours, &key), "accepted");
    assert_eq!(code(&ours, &p256), "jws.alg_mismatch");
    assert_eq!(code(&theirs, &key), "jws.alg_mismatch");
    assert_eq!(
        code(&ours, &SigningKey::sm2(&[8; 32]).unwrap()),
        "jws.signature"
    );
    // The header says another algorithm of the same lengths, and the signature is left as it is.
    let (_, rest) = ours.split_once('.').unwrap();
    for (alg, refused) in [("ES256", "jws.alg_mismatch"), ("SM2", "jws.alg_refused")] {
        let header = crate::jose::encode(json!({"alg": alg, "typ": "t"}).to_string().as_bytes());
        assert_eq!(code(&format!("{header}.{rest}"), &key), refused);
    }
    // A point of one curve under the name of the other.
    let mut jwk = Jwk(key.verifying_key()).to_value();
    jwk["crv"] = "P-256".into();
    assert_eq!(Jwk::parse(&jwk).unwrap_err().code(), "jwk.invalid");
    let mut jwk = Jwk(p256.verifying_key()).to_value();
    jwk["crv"] = "SM2".into();
    assert_eq!(Jwk::parse(&jwk).unwrap_err().code(), "jwk.invalid");
    jwk["crv"] = "sm2p256v1".into();
    assert_eq!(Jwk::parse(&jwk).unwrap_err().code(), "jwk.malformed");
    // One secret makes two keys, which are never taken for each other.
    assert_ne!(key.verifying_key(), p256.verifying_key());
}

#[test]
fn secrets_and_points_out_of_range_are_refused() {
    let mut less_two = ORDER_LESS_ONE;
    less_two[31] -= 1;
    assert!(SigningKey::sm2(&less_two).is_ok());
    for secret in [[0; 32], ORDER_LESS_ONE, [0xff; 32]] {
        assert_eq!(
            SigningKey::sm2(&secret).unwrap_err().code(),
            "jwk.secret_invalid"
        );
    }
    let key = SigningKey::sm2(&[7; 32]).unwrap().verifying_key();
    let point = *key.uncompressed().unwrap();
    assert_eq!(Key::sm2(&point).unwrap(), key);
    let mut off = point;
    off[64] ^= 1;
    let hybrid = [&[6 + (point[64] & 1)], &point[1..]].concat();
    for bytes in [&off[..], &hybrid, &[0], &point[..33], &[]] {
        assert!(Key::sm2(bytes).is_err());
    }
}

#[test]
fn nothing_of_cose_is_signed_by_sm2() {
    let key = SigningKey::sm2(&[7; 32]).unwrap();
    let header = crate::cose::Header::default();
    let signed = crate::cose::sign1(&header, b"x", false, &key);
    assert_eq!(signed.unwrap_err().code(), "jws.no_cose");
    let written = crate::cose::write_key(&key.verifying_key());
    assert_eq!(written.unwrap_err().code(), "jws.no_cose");
}

/// The curve's name: 1.2.156.10197.1.301.
const CURVE: &str = "06082a811ccf5501822d";

/// DER `SEQUENCE { r, s }` from `r ‖ s`.
fn signature_der(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap();
        let sign = (bytes[start] & 0x80 != 0).then_some(0);
        let bytes: Vec<u8> = sign.into_iter().chain(bytes[start..].to_vec()).collect();
        [vec![2, bytes.len() as u8], bytes].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

/// `r ‖ s` from DER.
fn signature_of(der: &[u8]) -> [u8; 64] {
    let (mut signature, mut rest) = ([0; 64], &der[2..]);
    for end in [32, 64] {
        let (bytes, after) = rest[2..].split_at(rest[1].into());
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        signature[end - bytes.len()..end].copy_from_slice(bytes);
        rest = after;
    }
    signature
}

fn openssl(folder: &Path, what: &str, key: &str, more: &[&str]) -> bool {
    let output = Command::new("openssl")
        .args(["dgst", "-sm3", "-keyform", "DER", what, key, "-sigopt"])
        .arg(format!("distid:{USER_ID}"))
        .args(more)
        .arg("message")
        .current_dir(folder)
        .output();
    let output = output.expect("openssl is on this machine: `cargo xtask test` sees to it");
    output.status.success()
}

#[test]
fn openssl_verifies_our_jws_and_we_verify_openssls() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let secret = [9; 32];
    let key = SigningKey::sm2(&secret).unwrap();
    let public = key.verifying_key();
    let der = |text: String| hex::decode(text).unwrap();
    // RFC 5915 `ECPrivateKey`, and RFC 5480 `SubjectPublicKeyInfo` with a compressed point.
    write(
        "secret.der",
        &der(format!("30310201010420{}a00a{CURVE}", hex::encode(secret))),
    );
    let point = hex::encode(public.to_bytes());
    write(
        "public.der",
        &der(format!("3039301306072a8648ce3d0201{CURVE}032200{point}")),
    );

    let jws = sign_compact(&header(), br#"{"n":2}"#, &key).unwrap();
    let (message, signature) = jws.rsplit_once('.').unwrap();
    let signature = crate::jose::decode(signature).unwrap();
    write("message", message.as_bytes());
    write("signature", &signature_der(&signature));
    let by = ["-signature", "signature"];
    assert!(
        openssl(folder, "-verify", "public.der", &by),
        "OpenSSL refuses ours"
    );
    write("message", b"another");
    assert!(
        !openssl(folder, "-verify", "public.der", &by),
        "OpenSSL accepts anything"
    );

    write("message", message.as_bytes());
    assert!(openssl(
        folder,
        "-sign",
        "secret.der",
        &["-out", "signature"]
    ));
    let theirs = signature_of(&std::fs::read(folder.join("signature")).unwrap());
    assert_ne!(theirs[..], signature, "OpenSSL draws its nonces");
    let theirs = format!("{message}.{}", crate::jose::encode(&theirs));
    decode_unverified(&theirs).unwrap().verify(&public).unwrap();
    let other = SigningKey::sm2(&[10; 32]).unwrap().verifying_key();
    assert!(decode_unverified(&theirs).unwrap().verify(&other).is_err());
}
