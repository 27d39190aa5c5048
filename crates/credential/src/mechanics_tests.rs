//! Disclosure vectors: those of sd-jwt-js, and the example of RFC 9901; and `identity-kit`, whose
//! hiding and revealing ours are held against.

use std::collections::VecDeque;
use std::path::PathBuf;

use identity_kit::sd_jwt_vc as kit;
use proptest::prelude::*;
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

/// Hides the claims at `places` by `identity-kit`: the payload and the disclosures.
fn concealed_by_kit(
    claims: Map<String, Value>,
    places: &[Vec<PathElement>],
) -> (Map<String, Value>, Vec<String>) {
    let mut salts: VecDeque<String> = (0..places.len())
        .map(|n| jose::encode(&[n as u8; 16]))
        .collect();
    let mut builder = kit::SdJwtBuilder::new(claims)
        .with_salt_generator(move || salts.pop_front().unwrap_or_default());
    for place in places {
        builder = builder.conceal(kit::ClaimPath::from_iter(place.iter().map(|e| match e {
            PathElement::Name(name) => kit::PathComponent::Key(name.clone()),
            PathElement::Index(index) => kit::PathComponent::Index(*index),
            PathElement::Every => kit::PathComponent::All,
        })));
    }
    let encoded = builder.encode().unwrap();
    let disclosures = encoded.disclosures.iter().map(|d| d.as_str().to_owned());
    (encoded.payload, disclosures.collect())
}

/// Claims, places and acceptance as `identity-kit` sees them.
fn revealed_by_kit(sd_jwt: &str) -> Option<(Map<String, Value>, usize)> {
    let processed = kit::SdJwt::parse(sd_jwt).ok()?.process().ok()?;
    Some((processed.payload, processed.disclosed.len()))
}

fn payload_of(sd_jwt: &str) -> Map<String, Value> {
    let jws = decode_unverified(sd_jwt.split('~').next().unwrap()).unwrap();
    jws.claims().unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,12}|[\\x00-\\x7f]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-e\"\\\\]{1,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What we hide, another implementation reveals, to the same claims.
    #[test]
    fn identity_kit_reads_what_we_hide(members in prop::collection::btree_map("[a-z]{1,3}", any_value(), 0..6)) {
        let claims: Map<String, Value> = members.into_iter().collect();
        let (key, mut count) = (SigningKey::ed25519(&[5; 32]), 0u8);
        let mut salt = || { count += 1; [count; 16] };
        let Ok(hidden) = conceal(&claims, &["a"], &mut salt) else { return Ok(()) };
        let payload = format!("{{\"iss\":\"i\"{}}}", hidden.members);
        let jwt = sign_compact(&Map::new(), payload.as_bytes(), &key).unwrap();
        let text = format!("{jwt}{}~", hidden.disclosures);
        let mut expected = claims.clone();
        expected.insert("iss".to_owned(), "i".into());
        let (theirs, shown) = revealed_by_kit(&text).unwrap();
        prop_assert_eq!(shown, usize::from(count));
        prop_assert_eq!(&theirs, &expected);
        let ours = reveal(payload_of(&text), &text).ok().unwrap();
        prop_assert_eq!(&ours.claims, &expected);
        prop_assert_eq!(ours.places.len(), shown);
    }

    /// Whatever stands in a payload, we accept nothing that another implementation refuses.
    #[test]
    fn identity_kit_accepts_what_we_accept(
        shape in prop::collection::vec(0usize..9, 0..12),
        given in prop::collection::vec(0usize..6, 0..6),
    ) {
        let salted = |value: Value| jose::encode(value.to_string().as_bytes());
        let mut made = vec![salted(json!(["s", "a", 1])), salted(json!(["s", 2])), salted(json!(["t", "b", {"c": 3}]))];
        made.push(salted(json!(["u", "d", {"_sd": [digest(&made[0])]}])));
        made.push(salted(json!(["v", [{"...": digest(&made[1])}]])));
        made.push(salted(json!(["w", "_sd", 1])));
        let mut payload = json!({"iss": "i", "_sd": [], "list": [], "inner": {}});
        for step in shape {
            match step {
                0..=5 => payload["_sd"].as_array_mut().unwrap().push(digest(&made[step]).into()),
                6 => payload["list"].as_array_mut().unwrap().push(json!({"...": digest(&made[1])})),
                7 => payload["list"].as_array_mut().unwrap().push(json!({"...": digest(&made[4])})),
                _ => payload["inner"] = json!({"_sd": [digest(&made[3]), "decoy"]}),
            }
        }
        let jwt = sign_compact(&Map::new(), payload.to_string().as_bytes(), &SigningKey::ed25519(&[5; 32])).unwrap();
        let mut text = format!("{jwt}~");
        for index in given {
            text.push_str(&made[index]);
            text.push('~');
        }
        let ours = reveal(payload_of(&text), &text).ok();
        let theirs = revealed_by_kit(&text);
        prop_assert_eq!(ours.is_some(), theirs.is_some());
        if let (Some(ours), Some((claims, _))) = (ours, theirs) {
            prop_assert_eq!(ours.claims, claims);
        }
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
        let (payload, disclosures) = concealed_by_kit(all, &places);
        assert_eq!(disclosures.len(), places.len());
        let header = json!({"typ": "dc+sd-jwt", "kid": "1"});
        let payload = Value::Object(payload).to_string();
        let jwt = sign_compact(header.as_object().unwrap(), payload.as_bytes(), &key).unwrap();
        let text = format!("{jwt}~{}~", disclosures.join("~"));

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

    let revealed = reveal(payload, claimed.sd_jwt).unwrap();
    assert_eq!(revealed.claims["given_name"], "John");
    assert_eq!(revealed.claims["nationalities"], json!(["US"]));
    assert_eq!(revealed.claims["address"]["region"], "Anystate");
    assert!(!revealed.claims.contains_key("email"));
    assert_eq!(revealed.places.len(), 4);
}
