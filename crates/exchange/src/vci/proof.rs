//! Proofs of possession of a holder key (OpenID4VCI 1.0, appendix F).

use realdid_credential::jose::{self, Alg, Jwk, JwsError, SigningKey, VerifyingKey};
use serde_json::{Map, Value, json};

use super::{CLOCK_SKEW_S, PROOF_AGE_S, PROOF_TYP, VciError};

/// Wallet: proves possession of `key` to `issuer` (appendix F.1). `iss` stays out, because the
/// wallet has no client id here.
pub fn build_proof(
    issuer: &str,
    nonce: &str,
    now_s: u64,
    key: &SigningKey,
) -> Result<String, JwsError> {
    build(issuer, nonce, now_s, key, None)
}

/// Wallet: the same, for all the keys that an attestation names, this one among them (appendix D).
pub fn build_attested_proof(
    issuer: &str,
    nonce: &str,
    now_s: u64,
    key: &SigningKey,
    attestation: &str,
) -> Result<String, JwsError> {
    build(issuer, nonce, now_s, key, Some(attestation))
}

fn build(
    issuer: &str,
    nonce: &str,
    now_s: u64,
    key: &SigningKey,
    attestation: Option<&str>,
) -> Result<String, JwsError> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), PROOF_TYP.into());
    header.insert("jwk".to_owned(), Jwk(key.verifying_key()).to_value());
    if let Some(attestation) = attestation {
        header.insert("key_attestation".to_owned(), attestation.into());
    }
    let claims = json!({"aud": issuer, "iat": now_s, "nonce": nonce});
    jose::sign_compact(&header, claims.to_string().as_bytes(), key)
}

/// A proof that holds, but for the freshness of its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedProof {
    pub key: VerifyingKey,
    pub nonce: String,
    /// What its header says of how this key and others are kept; not verified.
    pub key_attestation: Option<String>,
}

/// Issuer: verifies one key proof (appendix F.4), of a key of one of `algs`.
pub fn verify_proof(
    proof: &str,
    issuer: &str,
    algs: &[Alg],
    now_s: u64,
) -> Result<VerifiedProof, VciError> {
    let claimed = jose::decode_unverified(proof).map_err(|error| match error {
        JwsError::AlgRefused => VciError::ProofAlg,
        _ => VciError::ProofForm,
    })?;
    claimed
        .expect_typ(PROOF_TYP)
        .map_err(|_| VciError::ProofForm)?;
    let elsewhere = ["kid", "x5c", "trust_chain"];
    if elsewhere
        .iter()
        .any(|name| claimed.header.contains_key(*name))
    {
        return Err(VciError::ProofForm);
    }
    if !algs.contains(&claimed.alg) {
        return Err(VciError::ProofAlg);
    }
    let jwk = claimed.header.get("jwk").ok_or(VciError::ProofForm)?;
    let Jwk(key) = Jwk::parse(jwk).map_err(|_| VciError::ProofForm)?;
    claimed.verify(&key).map_err(|error| match error {
        JwsError::AlgMismatch => VciError::ProofAlg,
        _ => VciError::ProofSignature,
    })?;
    let claims = claimed.claims().map_err(|_| VciError::ProofForm)?;
    if claims.get("aud").and_then(Value::as_str) != Some(issuer) {
        return Err(VciError::ProofAudience);
    }
    let iat = claims
        .get("iat")
        .and_then(Value::as_u64)
        .ok_or(VciError::ProofTime)?;
    if iat > now_s.saturating_add(CLOCK_SKEW_S) || now_s.saturating_sub(iat) > PROOF_AGE_S {
        return Err(VciError::ProofTime);
    }
    let nonce = claims
        .get("nonce")
        .and_then(Value::as_str)
        .filter(|nonce| (1..=128).contains(&nonce.len()))
        .ok_or(VciError::ProofNonce)?;
    let key_attestation = match claimed.header.get("key_attestation") {
        None => None,
        Some(Value::String(attestation)) => Some(attestation.clone()),
        Some(_) => return Err(VciError::ProofForm),
    };
    Ok(VerifiedProof {
        key,
        key_attestation,
        nonce: nonce.to_owned(),
    })
}
