//! What a wallet's provider says about the wallet and its keys (OAuth 2.0 Attestation-Based Client
//! Authentication; OpenID4VCI 1.0, appendices D and E; HAIP 1.0 §4.4).
//!
//! A *wallet attestation* is signed by a provider that the authority trusts, for a key of the
//! wallet's instance; the instance proves that key anew at each request. A *key attestation* says
//! of holder keys how they are kept. Neither names the person.

use realdid_credential::jose::{self, Jwk, JwsError, SigningKey, VerifyingKey};
use realdid_credential::x509::{self, Certificate};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{BATCH_SIZE, CLOCK_SKEW_S, PROOF_AGE_S, VciError};

/// The `typ` of a wallet attestation.
pub const CLIENT_TYP: &str = "oauth-client-attestation+jwt";
/// The `typ` of the instance's proof beside it.
pub const POP_TYP: &str = "oauth-client-attestation-pop+jwt";
/// The `typ` of a key attestation (appendix D.1).
pub const KEY_TYP: &str = "key-attestation+jwt";
/// The longest attestation, in bytes.
const MAX_ATTESTATION_BYTES: usize = 16 * 1024;
const MAX_NAME_BYTES: usize = 512;

/// The wallet providers that an authority trusts.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    /// Roots above their certificates.
    pub roots: Vec<Certificate>,
}

/// A wallet whose provider vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedClient {
    pub client_id: String,
    /// What makes the instance's proof one of a kind: to be used once, until `expires_s`.
    pub pop_id: [u8; 32],
    pub expires_s: u64,
}

/// Holder keys that a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedKeys {
    pub keys: Vec<VerifyingKey>,
    /// The authority's nonce, where the attestation was made for one.
    pub nonce: Option<String>,
}

impl Providers {
    /// The claims of an attestation that one of the providers signed, and that has not expired.
    fn claims(&self, jwt: &str, typ: &str, now_s: u64) -> Option<Map<String, Value>> {
        if jwt.len() > MAX_ATTESTATION_BYTES {
            return None;
        }
        let claimed = jose::decode_unverified(jwt).ok()?;
        claimed.expect_typ(typ).ok()?;
        let leaf = x509::verify_chain(&claimed.x5c()?, &self.roots, now_s).ok()?;
        claimed.verify(&leaf.key).ok()?;
        let claims = claimed.claims().ok()?;
        let time = |name: &str| claims.get(name).map(|time| time.as_u64());
        let ends_s = time("exp")??;
        let not_yet = |time: Option<Option<u64>>| match time {
            Some(Some(at_s)) => at_s > now_s.saturating_add(CLOCK_SKEW_S),
            Some(None) => true,
            None => false,
        };
        let out_of_time = ends_s <= now_s || not_yet(time("iat")) || not_yet(time("nbf"));
        (!out_of_time).then_some(claims)
    }

    /// Issuer: verifies a wallet attestation with the instance's proof for this server.
    pub fn client(
        &self,
        attestation: &str,
        pop: &str,
        server: &str,
        now_s: u64,
    ) -> Result<AttestedClient, VciError> {
        self.read_client(attestation, pop, server, now_s)
            .ok_or(VciError::Attestation)
    }

    fn read_client(
        &self,
        attestation: &str,
        pop: &str,
        server: &str,
        now_s: u64,
    ) -> Option<AttestedClient> {
        let claims = self.claims(attestation, CLIENT_TYP, now_s)?;
        let client_id = text(&claims, "sub")?;
        let Jwk(key) = Jwk::parse(claims.get("cnf")?.get("jwk")?).ok()?;
        // The metadata offer ES256 and EdDSA: who attests wallets follows no network.
        if !key.alg().is_registered() {
            return None;
        }
        if pop.len() > MAX_ATTESTATION_BYTES {
            return None;
        }
        let proof = jose::verify_compact(pop, &key, POP_TYP)
            .ok()?
            .claims()
            .ok()?;
        let for_us = match proof.get("aud")? {
            Value::String(aud) => aud == server,
            Value::Array(auds) => auds.iter().any(|aud| aud == server),
            _ => false,
        };
        let by_it = proof.get("iss").is_none_or(|iss| iss == client_id);
        let iat_s = proof.get("iat")?.as_u64()?;
        let fresh = iat_s <= now_s.saturating_add(CLOCK_SKEW_S)
            && now_s.saturating_sub(iat_s) <= PROOF_AGE_S;
        let jti = text(&proof, "jti")?;
        if !for_us || !by_it || !fresh {
            return None;
        }
        let mut id = Sha256::new();
        id.update(b"rdid/1/client-pop");
        id.update(Jwk(key).thumbprint());
        id.update(jti);
        Some(AttestedClient {
            client_id: client_id.to_owned(),
            pop_id: id.finalize().into(),
            expires_s: iat_s + PROOF_AGE_S + CLOCK_SKEW_S,
        })
    }

    /// Issuer: verifies a key attestation.
    pub fn keys(&self, attestation: &str, now_s: u64) -> Result<AttestedKeys, VciError> {
        self.read_keys(attestation, now_s)
            .ok_or(VciError::KeyAttestation)
    }

    fn read_keys(&self, attestation: &str, now_s: u64) -> Option<AttestedKeys> {
        let claims = self.claims(attestation, KEY_TYP, now_s)?;
        let keys = claims.get("attested_keys")?.as_array()?;
        if keys.is_empty() || keys.len() > BATCH_SIZE {
            return None;
        }
        let keys: Option<Vec<VerifyingKey>> = keys
            .iter()
            .map(|jwk| Jwk::parse(jwk).ok().map(|Jwk(key)| key))
            .collect();
        let nonce = match claims.get("nonce") {
            None => None,
            Some(_) => Some(text(&claims, "nonce")?.to_owned()),
        };
        Some(AttestedKeys { keys: keys?, nonce })
    }
}

/// A wallet provider itself: its key, and the chain from that key's certificate up to its root, which
/// is left out. In earnest it is a service of whoever makes the wallet.
#[derive(Clone)]
pub struct Provider {
    key: SigningKey,
    x5c: Vec<String>,
}

impl Provider {
    /// `chain` is DER, leaf first; the leaf is of this key.
    pub fn new(key: SigningKey, chain: &[Vec<u8>]) -> Option<Self> {
        use base64::Engine as _;
        let leaf = Certificate::parse(chain.first()?).ok()?;
        let encoded = |der: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(der);
        let is_its_own = leaf.key == key.verifying_key() && chain.len() <= x509::MAX_CHAIN;
        is_its_own.then(|| Self {
            x5c: chain.iter().map(encoded).collect(),
            key,
        })
    }

    fn attest(&self, typ: &str, claims: &Value) -> Result<String, JwsError> {
        let mut header = Map::new();
        header.insert("typ".to_owned(), typ.into());
        header.insert("x5c".to_owned(), self.x5c.clone().into());
        jose::sign_compact(&header, claims.to_string().as_bytes(), &self.key)
    }

    /// Vouches for an instance of the wallet that `client_id` names. It says nothing of which person's.
    pub fn client(
        &self,
        client_id: &str,
        instance: &VerifyingKey,
        now_s: u64,
    ) -> Result<String, JwsError> {
        let claims = json!({
            "sub": client_id,
            "iat": now_s,
            "exp": now_s + PROOF_AGE_S,
            "cnf": {"jwk": Jwk(instance.clone()).to_value()},
        });
        self.attest(CLIENT_TYP, &claims)
    }

    /// Vouches for holder keys, for an issuer's nonce.
    pub fn keys(&self, keys: &[VerifyingKey], nonce: &str, now_s: u64) -> Result<String, JwsError> {
        let keys = keys.iter().map(|key| Jwk(key.clone()).to_value());
        let mut claims = json!({
            "iat": now_s,
            "exp": now_s + PROOF_AGE_S,
            "attested_keys": keys.collect::<Vec<_>>(),
        });
        if !nonce.is_empty() {
            claims["nonce"] = nonce.into();
        }
        self.attest(KEY_TYP, &claims)
    }
}

/// Wallet: proves the instance's key beside its attestation, to `server`. `jti` is fresh and random.
pub fn build_pop(
    instance: &SigningKey,
    client_id: &str,
    server: &str,
    jti: &str,
    now_s: u64,
) -> Result<String, JwsError> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), POP_TYP.into());
    let claims = json!({"iss": client_id, "aud": server, "jti": jti, "iat": now_s});
    jose::sign_compact(&header, claims.to_string().as_bytes(), instance)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = claims.get(name)?.as_str()?;
    (1..=MAX_NAME_BYTES).contains(&text.len()).then_some(text)
}
