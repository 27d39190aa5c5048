//! Proof of possession of a token's key (RFC 9449): a stolen access token is worth nothing without
//! the key that its client signs each request with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::jose::{self, Jwk, JwsError, SigningKey};
use serde_json::{Map, json};
use sha2::{Digest as _, Sha256};

use super::OidcError;

/// How old a proof may be, and how far ahead its clock, in seconds (§11.1).
pub const PROOF_LIFE_S: u64 = 60;
/// The longest proof in bytes.
const MAX_PROOF_BYTES: usize = 4096;
/// The longest `jti` in bytes.
const MAX_JTI_BYTES: usize = 256;

/// A proof that holds for one request. Whether it was used before is the grants' question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopProof {
    /// The key's thumbprint in base64url (RFC 7638): `jkt`.
    pub jkt: String,
    /// The server's nonce, where it carries one (§8).
    pub nonce: Option<String>,
    /// What makes this proof one of a kind: key and `jti`.
    pub id: [u8; 32],
    /// When it is too old in any case, Unix seconds.
    pub expires_s: u64,
}

/// Checks a proof as §4.3 says: type, algorithm, the key in the header, method, address without
/// query and fragment, age and, where a token is presented with it, the token's hash.
pub fn verify(
    proof: &str,
    method: &str,
    url: &str,
    access_token: Option<&str>,
    now_s: u64,
) -> Result<DpopProof, OidcError> {
    let refused = || OidcError::Dpop;
    if proof.len() > MAX_PROOF_BYTES {
        return Err(refused());
    }
    // Whose key this is only its holder knows, so it is of an algorithm that everybody's software
    // has; and a key with a private half is none.
    let claimed = jose::decode_unverified(proof)
        .ok()
        .filter(|claimed| claimed.alg.is_registered())
        .ok_or_else(refused)?;
    let key = claimed
        .header
        .get("jwk")
        .and_then(|jwk| Jwk::parse(jwk).ok())
        .ok_or_else(refused)?;
    let verified = jose::verify_compact(proof, &key.0, "dpop+jwt").map_err(|_| refused())?;
    let claims = verified.claims().map_err(|_| refused())?;
    let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);

    let jti = text("jti")
        .filter(|jti| (1..=MAX_JTI_BYTES).contains(&jti.len()))
        .ok_or_else(refused)?;
    if text("htm") != Some(method) || !text("htu").is_some_and(|htu| same_address(htu, url)) {
        return Err(refused());
    }
    let iat_s = claims
        .get("iat")
        .and_then(serde_json::Value::as_u64)
        .filter(|iat_s| iat_s.abs_diff(now_s) <= PROOF_LIFE_S)
        .ok_or_else(refused)?;
    let ath = access_token.map(|token| URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
    if ath.is_some() && text("ath") != ath.as_deref() {
        return Err(refused());
    }
    let jkt = key.thumbprint_base64url();
    let mut id = Sha256::new();
    id.update(key.thumbprint());
    id.update(jti);
    Ok(DpopProof {
        jkt,
        nonce: text("nonce").map(str::to_owned),
        id: id.finalize().into(),
        expires_s: iat_s + PROOF_LIFE_S,
    })
}

/// Client: proves `key` for one request (§4.2). `jti` is fresh and random.
pub fn build(
    key: &SigningKey,
    jti: &str,
    (method, url): (&str, &str),
    access_token: Option<&str>,
    nonce: Option<&str>,
    now_s: u64,
) -> Result<String, JwsError> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), "dpop+jwt".into());
    header.insert("jwk".to_owned(), Jwk(key.verifying_key()).to_value());
    let mut claims = json!({"jti": jti, "htm": method, "htu": url, "iat": now_s});
    if let Some(token) = access_token {
        claims["ath"] = URL_SAFE_NO_PAD.encode(Sha256::digest(token)).into();
    }
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    jose::sign_compact(&header, claims.to_string().as_bytes(), key)
}

/// §4.3: compared without query and fragment, after the normalisation that every URL has.
fn same_address(htu: &str, url: &str) -> bool {
    let address = |text: &str| {
        let mut url = url::Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    matches!((address(htu), address(url)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const URL: &str = "https://gate.example/token";
    const NOW_S: u64 = 1_800_000_000;

    fn proof(key: &SigningKey, header: Value, payload: Value) -> String {
        let mut members = Map::new();
        members.insert("typ".to_owned(), "dpop+jwt".into());
        members.insert("jwk".to_owned(), Jwk(key.verifying_key()).to_value());
        members.extend(header.as_object().unwrap().clone());
        let mut claims = json!({"jti": "1", "htm": "POST", "htu": URL, "iat": NOW_S});
        for (name, value) in payload.as_object().unwrap() {
            claims[name] = value.clone();
        }
        jose::sign_compact(&members, claims.to_string().as_bytes(), key).unwrap()
    }

    #[test]
    fn a_proof_is_of_one_key_for_one_request_and_recent() {
        let key = SigningKey::p256(&[5; 32]).unwrap();
        let other = SigningKey::p256(&[6; 32]).unwrap();
        let none = json!({});
        let check = |proof: &str| verify(proof, "POST", URL, None, NOW_S);
        let good = check(&proof(&key, none.clone(), none.clone())).unwrap();
        assert_eq!(good.jkt, Jwk(key.verifying_key()).thumbprint_base64url());
        let with_query = json!({"htu": format!("{URL}?a=b#c")});
        assert_eq!(
            check(&proof(&key, none.clone(), with_query)),
            Ok(good.clone())
        );
        let another = check(&proof(&key, none.clone(), json!({"jti": "2"}))).unwrap();
        assert_ne!(another.id, good.id);

        for (what, header, payload) in [
            ("another type", json!({"typ": "JWT"}), none.clone()),
            ("no key", json!({"jwk": null}), none.clone()),
            (
                "another key",
                json!({"jwk": Jwk(other.verifying_key()).to_value()}),
                none.clone(),
            ),
            ("another method", none.clone(), json!({"htm": "GET"})),
            (
                "another address",
                none.clone(),
                json!({"htu": "https://gate.example/userinfo"}),
            ),
            ("no address", none.clone(), json!({"htu": "token"})),
            ("no jti", none.clone(), json!({"jti": ""})),
            (
                "a long jti",
                none.clone(),
                json!({"jti": "j".repeat(MAX_JTI_BYTES + 1)}),
            ),
            (
                "old",
                none.clone(),
                json!({"iat": NOW_S - PROOF_LIFE_S - 1}),
            ),
            (
                "from the future",
                none.clone(),
                json!({"iat": NOW_S + PROOF_LIFE_S + 1}),
            ),
            ("no time", none.clone(), json!({"iat": "now"})),
        ] {
            let refused = check(&proof(&key, header, payload));
            assert_eq!(refused, Err(OidcError::Dpop), "{what}");
        }
        let mut private = Jwk(key.verifying_key()).to_value();
        private["d"] = "AA".into();
        let refused = check(&proof(&key, json!({"jwk": private}), none.clone()));
        assert_eq!(refused, Err(OidcError::Dpop));
        assert_eq!(check("a.b.c"), Err(OidcError::Dpop));
        assert_eq!(check(&"x".repeat(5000)), Err(OidcError::Dpop));
    }

    #[test]
    fn what_a_client_builds_is_verified() {
        let key = SigningKey::p256(&[5; 32]).unwrap();
        let at = ("POST", URL);
        let built = build(&key, "j", at, Some("token"), Some("n"), NOW_S).unwrap();
        let proof = verify(&built, "POST", URL, Some("token"), NOW_S).unwrap();
        assert_eq!(proof.nonce.as_deref(), Some("n"));
        assert!(verify(&built, "POST", URL, Some("other"), NOW_S).is_err());
    }

    #[test]
    fn with_a_token_it_names_the_token() {
        let key = SigningKey::ed25519(&[5; 32]);
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest("token"));
        let named = proof(&key, json!({}), json!({"ath": ath}));
        assert!(verify(&named, "POST", URL, Some("token"), NOW_S).is_ok());
        assert!(verify(&named, "POST", URL, Some("other"), NOW_S).is_err());
        let unnamed = proof(&key, json!({}), json!({}));
        assert!(verify(&unnamed, "POST", URL, Some("token"), NOW_S).is_err());
    }
    #[test]
    fn a_key_that_no_registry_knows_proves_nothing() {
        let key = SigningKey::sm2(&[5; 32]).unwrap();
        let signed = proof(&key, json!({}), json!({}));
        assert!(verify(&signed, "POST", URL, None, NOW_S).is_err());
    }
}
