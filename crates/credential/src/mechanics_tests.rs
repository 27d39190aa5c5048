//! Disclosure vectors: those of sd-jwt-js, and the example of RFC 9901.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::jose::{Alg, Jwk, SigningKey, decode_unverified, sign_compact};
use crate::path::ClaimPath;
use crate::sd_jwt::{Claimed, ParsedSdJwt};

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/sd-jwt")
}

/// The places that a frame of sd-jwt-js names: `_sd` lists in a disclosure frame.
fn framed(frame: &Value, value: &Value, at: &[PathElement], out: &mut Vec<Vec<PathElement>>) {
    let child = |name: &str| {
        let mut path = at.to_vec();
        path.push(match value {
            Value::Array(_) => PathElement::Index(name.parse().unwrap()),
            _ => PathElement::Name(name.to_owned()),
        });
        path
    };
    for (name, inner) in frame.as_object().into_iter().flatten() {
        match name.as_str() {
            "_sd" => {
                for hidden in inner.as_array().unwrap() {
                    let name = hidden
                        .as_str()
                        .map_or_else(|| hidden.to_string(), str::to_owned);
                    out.push(child(&name));
                }
            }
            "_sd_decoy" => {}
            name => {
                let below = match value {
                    Value::Array(items) => &items[name.parse::<usize>().unwrap()],
                    _ => &value[name],
                };
                framed(inner, below, &child(name), out);
            }
        }
    }
}

/// The places that a presentation frame marks `true` and that exist.
fn presented(frame: &Value, value: &Value, at: &[PathElement], out: &mut Vec<ClaimPath>) {
    for (name, inner) in frame.as_object().into_iter().flatten() {
        let (element, below) = match value {
            Value::Array(items) => {
                let index = name.parse::<usize>().unwrap();
                (PathElement::Index(index), items.get(index))
            }
            _ => (PathElement::Name(name.clone()), value.get(name)),
        };
        let Some(below) = below else { continue };
        let mut path = at.to_vec();
        path.push(element);
        match inner {
            Value::Bool(true) => out.push(ClaimPath::new(path).unwrap()),
            inner => presented(inner, below, &path, out),
        }
    }
}

/// RFC 9901 §7.1 step 3e leaves `{}` where all members are hidden; these vectors leave it out.
fn without_empty_objects(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), without_empty_objects(value)))
            .filter(|(_, value)| *value != json!({}))
            .collect(),
        Value::Array(items) => items.iter().map(without_empty_objects).collect(),
        other => other.clone(),
    }
}

#[test]
fn sd_jwt_js_vectors() {
    let key = SigningKey::p256(&[5; 32]).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(vectors()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "json") {
            continue;
        }
        seen += 1;
        let vector: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let claims = &vector["claims"];
        let mut places = Vec::new();
        framed(&vector["disclosureFrame"], claims, &[], &mut places);

        let mut all = claims.as_object().unwrap().clone();
        let registered = json!({
            "iss": "https://issuer.test", "vct": "urn:test", "iat": 1, "exp": 2,
            "cnf": {"jwk": Jwk(key.verifying_key()).to_value()}
        });
        all.extend(registered.as_object().unwrap().clone());
        let mut count = 0u8;
        let mut salt = || {
            count += 1;
            [count; 16]
        };
        let concealed = conceal(all, &places, &mut salt).unwrap();
        assert_eq!(usize::from(count), places.len());
        let header = json!({"typ": "dc+sd-jwt", "kid": "1"});
        let payload = Value::Object(concealed.payload).to_string();
        let jwt = sign_compact(header.as_object().unwrap(), payload.as_bytes(), &key).unwrap();
        let text = format!("{jwt}~{}~", concealed.disclosures.join("~"));

        let issued = ParsedSdJwt::parse(&text).unwrap();
        assert_eq!(&Value::Object(issued.claims().clone()), claims, "{path:?}");
        let mut paths = Vec::new();
        presented(&vector["presentationFrames"], claims, &[], &mut paths);
        let shown = Value::Object(issued.select(&paths).unwrap().claims().clone());
        assert_eq!(
            without_empty_objects(&shown),
            without_empty_objects(&vector["presentedClaims"]),
            "{path:?}"
        );
    }
    assert_eq!(seen, 12);
}

#[test]
fn rfc_9901_section_5_2() {
    let text = std::fs::read_to_string(vectors().join("rfc9901_section_5_2.txt")).unwrap();
    let claimed = Claimed::read(text.trim_end()).unwrap();

    // Appendix A.5
    let issuer = Jwk::parse(&json!({
        "kty": "EC", "crv": "P-256",
        "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ",
        "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"
    }))
    .unwrap();
    let jws = decode_unverified(claimed.jwt).unwrap();
    jws.verify(&issuer.0).unwrap();

    let payload = jws.claims().unwrap();
    let Jwk(holder): Jwk = Jwk::parse(&payload["cnf"]["jwk"]).unwrap();
    assert_eq!(holder.alg(), Alg::Es256);
    let kb = decode_unverified(claimed.key_binding.unwrap()).unwrap();
    kb.verify(&holder).unwrap();
    let hash = <sha2::Sha256 as sha2::Digest>::digest(claimed.sd_jwt.as_bytes());
    assert_eq!(kb.claims().unwrap()["sd_hash"], jose::encode(&hash));

    let revealed = reveal(claimed.sd_jwt).unwrap();
    assert_eq!(revealed.claims["given_name"], "John");
    assert_eq!(revealed.claims["nationalities"], json!(["US"]));
    assert_eq!(revealed.claims["address"]["region"], "Anystate");
    assert!(!revealed.claims.contains_key("email"));
    assert_eq!(revealed.places.len(), 4);
}

#[test]
fn a_place_named_twice_or_absent_is_refused() {
    let claims = || json!({"a": 1, "b": [1, 2]}).as_object().unwrap().clone();
    let name = |name: &str| PathElement::Name(name.to_owned());
    let code = |paths: &[Vec<PathElement>]| {
        conceal(claims(), paths, &mut || [1; 16])
            .err()
            .unwrap()
            .code()
    };
    assert_eq!(
        code(&[vec![name("a")], vec![name("a")]]),
        "sd_jwt.claim_reserved"
    );
    assert_eq!(
        code(&[vec![name("b"), PathElement::Every]]),
        "sd_jwt.claim_reserved"
    );
    assert_eq!(code(&[vec![name("c")]]), "sd_jwt.no_such_claim");
}
