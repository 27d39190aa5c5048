//! A request by a DID that works, by each method, and each way in which one does not.

use super::*;
use crate::jwe::DecryptionKey;
use crate::vp::{Claimed, REQUEST_TYP, WALLET_AUDIENCE};
use realdid_credential::jose::{self, SigningKey};
use serde_json::{Map, json};

const WEB: &str = "did:web:verifier.example";
const NOW_S: u64 = 1_909_094_400;

fn key() -> SigningKey {
    SigningKey::p256(&[2; 32]).unwrap()
}

fn own_jwk() -> Value {
    Jwk(key().verifying_key()).to_value()
}

fn multibase(code: [u8; 2], key: &[u8]) -> String {
    format!("z{}", bs58::encode([&code[..], key].concat()).into_string())
}

/// The document of a DID whose one key is this test's.
fn document(did: &str) -> Value {
    let id = format!("{did}#key-1");
    json!({
        "id": did,
        "verificationMethod": [{
            "id": id, "type": "JsonWebKey", "controller": did, "publicKeyJwk": own_jwk(),
        }],
        "authentication": [id],
    })
}

/// A request, and what the person trusts.
struct Asking {
    did: String,
    key_id: Value,
    signer: SigningKey,
    trusted: Vec<String>,
    document: Option<Value>,
    /// Members of the payload: null takes one out.
    payload: Value,
}

fn ask(did: &str, fragment: &str) -> Asking {
    Asking {
        did: did.to_owned(),
        key_id: json!(format!("{did}#{fragment}")),
        signer: key(),
        trusted: vec![did.to_owned()],
        document: None,
        payload: json!({}),
    }
}

fn ask_by_web(document: Value) -> Asking {
    Asking {
        document: Some(document),
        ..ask(WEB, "key-1")
    }
}

impl Asking {
    fn check(&self) -> Result<CheckedRequest, RequestRefused> {
        let client_id = format!("{DID_PREFIX}{}", self.did);
        let mut header = Map::new();
        header.insert("typ".into(), REQUEST_TYP.into());
        header.insert("kid".into(), self.key_id.clone());
        let to = DecryptionKey::from_bytes(&[5; 32], "k").unwrap();
        let mut payload = json!({
            "client_id": client_id,
            "aud": WALLET_AUDIENCE,
            "response_type": "vp_token",
            "response_mode": "direct_post.jwt",
            "response_uri": "https://answers.example/r",
            "nonce": "n-1",
            "client_metadata": {"jwks": {"keys": [to.public_jwk()]}},
            "dcql_query": {"credentials": [{
                "id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:x"]},
                "claims": [{"path": ["given_name"]}],
            }]},
        });
        for (name, value) in self.payload.as_object().unwrap() {
            payload[name] = value.clone();
        }
        let signed =
            jose::sign_compact(&header, payload.to_string().as_bytes(), &self.signer).unwrap();
        let link = WalletLink {
            client_id,
            request_uri: "https://verifier.example/request".to_owned(),
            post: false,
        };
        let trusted: Vec<_> = self.trusted.iter().map(|did| parse(did)).collect();
        let Claimed::ByDid(request) = Claimed::parse(&signed)? else {
            panic!("it names itself by a DID");
        };
        let request = request.trusted(&trusted)?;
        let document = self.document.as_ref().map(ToString::to_string);
        assert_eq!(request.document_url().is_some(), document.is_some());
        request.check(document.as_deref().map(str::as_bytes), &link, NOW_S, None)
    }

    fn code(&self) -> Option<&'static str> {
        self.check().err().map(RequestRefused::code)
    }
}

fn parse(did: &str) -> VerifierDid {
    VerifierDid::parse(did).unwrap_or_else(|| panic!("{did} is one"))
}

#[test]
fn v25_a_did_that_the_person_trusts_says_who_asks_by_each_method() {
    let checked = ask_by_web(document(WEB)).check().unwrap();
    let stranger = checked.stranger.as_ref().unwrap();
    assert_eq!(stranger.name, "verifier.example");
    assert_eq!(stranger.hosts, ["verifier.example"]);
    assert_eq!(stranger.authority, WEB);
    assert_eq!(checked.client_id, format!("{DID_PREFIX}{WEB}"));
    assert_eq!(checked.domains, ["answers.example"]);

    let point = key().verifying_key().to_bytes();
    let mut embedded = document(WEB);
    embedded["authentication"] = json!([{
        "id": "#key-1", "type": "Multikey", "controller": WEB,
        "publicKeyMultibase": multibase(P256_CODE, &point),
    }]);
    embedded["verificationMethod"] = json!([]);
    assert_eq!(ask_by_web(embedded).code(), None);
    let mut asserts = document(WEB);
    asserts["assertionMethod"] = asserts["authentication"].take();
    assert_eq!(ask_by_web(asserts).code(), None);

    let jwk = URL_SAFE_NO_PAD.encode(own_jwk().to_string());
    let by_jwk = ask(&format!("did:jwk:{jwk}"), "0").check().unwrap();
    let stranger = by_jwk.stranger.unwrap();
    assert_eq!(stranger.authority, format!("did:jwk:{jwk}"));
    assert!(stranger.hosts.is_empty());
    let own = multibase(P256_CODE, &point);
    assert_eq!(ask(&format!("did:key:{own}"), &own).code(), None);
    let edwards = SigningKey::ed25519(&[3; 32]);
    let own = multibase(ED25519_CODE, &edwards.verifying_key().to_bytes());
    let by_edwards = Asking {
        signer: edwards,
        ..ask(&format!("did:key:{own}"), &own)
    };
    assert_eq!(by_edwards.code(), None);
}

#[test]
fn v25_a_did_that_nobody_trusts_or_another_key_is_refused() {
    for trusted in [vec![], vec!["did:web:other.example".to_owned()]] {
        let asking = Asking {
            trusted,
            ..ask_by_web(document(WEB))
        };
        assert_eq!(asking.code(), Some("vp.did_untrusted"));
    }
    let another = Asking {
        signer: SigningKey::p256(&[3; 32]).unwrap(),
        ..ask_by_web(document(WEB))
    };
    assert_eq!(another.code(), Some("vp.request_signature"));
    for key_id in [
        json!(null),
        json!("key-1"),
        json!("#key-1"),
        json!(WEB),
        json!(format!("{WEB}#key-2")),
        json!("did:web:other.example#key-1"),
        json!(format!("{WEB}/path#key-1")),
    ] {
        let asking = Asking {
            key_id: key_id.clone(),
            ..ask_by_web(document(WEB))
        };
        assert_eq!(asking.code(), Some("vp.did_key"), "{key_id}");
    }
    let jwk = URL_SAFE_NO_PAD.encode(own_jwk().to_string());
    let other_fragment = ask(&format!("did:jwk:{jwk}"), "1");
    assert_eq!(other_fragment.code(), Some("vp.did_key"));
}

#[test]
fn v25_a_document_is_of_its_did_and_the_key_is_its_own_and_for_this() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = document(WEB);
        change(&mut changed);
        ask_by_web(changed).code()
    };
    assert_eq!(with(&|_| {}), None);
    let other = "did:web:other.example";
    let refused: [&dyn Fn(&mut Value); 9] = [
        &|d| d["id"] = other.into(),
        &|d| d["authentication"] = json!([]),
        &|d| d["authentication"] = json!([format!("{other}#key-1")]),
        &|d| d["verificationMethod"][0]["controller"] = other.into(),
        &|d| d["verificationMethod"][0]["id"] = format!("{other}#key-1").into(),
        &|d| d["verificationMethod"][0]["publicKeyJwk"]["crv"] = "P-384".into(),
        &|d| d["verificationMethod"][0]["publicKeyJwk"]["d"] = "AQ".into(),
        &|d| d["verificationMethod"][0]["publicKeyMultibase"] = "z".into(),
        &|d| *d = json!("x".repeat(MAX_DOCUMENT_BYTES)),
    ];
    for (n, change) in refused.into_iter().enumerate() {
        assert_eq!(with(change), Some("vp.did_key"), "{n}");
    }
}

#[test]
fn v25_what_any_stranger_must_keep_holds_here_too() {
    for (payload, code) in [
        (
            json!({"response_uri": "http://answers.example/r"}),
            "vp.certified_uri",
        ),
        (json!({"response_mode": "direct_post"}), "vp.certified_ask"),
        (json!({"transaction_data": ["e30"]}), "vp.certified_ask"),
        (json!({"aud": "https://x.example"}), "vp.request_audience"),
        (json!({"exp": NOW_S - 11}), "vp.request_expired"),
    ] {
        let asking = Asking {
            payload: payload.clone(),
            ..ask_by_web(document(WEB))
        };
        assert_eq!(asking.code(), Some(code), "{payload}");
    }
}

#[test]
fn v25_documents_of_the_method_web_are_fetched_over_https_from_the_host_that_is_named() {
    for (did, url) in [
        (WEB, "https://verifier.example/.well-known/did.json"),
        (
            "did:web:verifier.example%3A8443",
            "https://verifier.example:8443/.well-known/did.json",
        ),
        (
            "did:web:verifier.example:shops:3",
            "https://verifier.example/shops/3/did.json",
        ),
        (
            "did:web:localhost%3A20440",
            "http://localhost:20440/.well-known/did.json",
        ),
    ] {
        let expected = Url::parse(url).unwrap();
        assert_eq!(parse(did).place, Place::Web(expected), "{did}");
    }
    for did in [
        "did:web:",
        "did:web:127.0.0.1",
        "did:web:0x7f000001",
        "did:web:Verifier.example",
        "did:web:verifier.example%3A",
        "did:web:verifier.example%3A99999",
        "did:web:verifier.example%2Fx",
        "did:web:evil.example%40verifier.example",
        "did:web:verifier.example:..:x",
        "did:web:verifier.example:%2e%2e",
        "did:web:verifier.example:",
        "did:web:verifier.example#key-1",
        "did:jwk:e30",
        "did:jwk:*",
        "did:key:z6MkfakeFAKE",
        "did:key:",
        "did:ethr:0xabc",
        "did:web",
        "web:verifier.example",
        "",
    ] {
        assert_eq!(VerifierDid::parse(did), None, "{did}");
    }
    let asked = Asking {
        trusted: vec![],
        ..ask("did:ethr:0xabc", "key-1")
    };
    assert_eq!(asked.code(), Some("vp.did"));
}
