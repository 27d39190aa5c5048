//! The credential endpoint (OpenID4VCI 1.0 §8): proofs of keys in, one copy for each out.

use realdid_core::genesis::Parameters;
use realdid_credential::jose::{Alg, JwsError, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::VciError;
use super::attestation::Providers;
use super::authorization::identifier_of;
use super::proof::{build_attested_proof, build_proof, verify_proof};
use crate::jwe::EncryptionKey;

/// The answer of the nonce endpoint; never cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceResponse {
    pub c_nonce: String,
}

/// A credential request as it travels.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_configuration_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs: Option<Proofs>,
    /// The key that the answer is to be encrypted to (§8.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_response_encryption: Option<Value>,
}

/// Key proofs, all of one type.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<String>,
    /// One key attestation, made for the issuer's nonce (appendix F.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestation: Vec<String>,
}

/// What the issuer holds a request against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The credential issuer identifier.
    pub issuer: &'a str,
    /// The configurations that may be asked for.
    pub configurations: &'a [&'a str],
    /// Whether the token names them by identifiers.
    pub identifiers: bool,
    /// Who may attest keys.
    pub providers: &'a Providers,
    /// The algorithms of the keys that the network's credentials may be bound to.
    pub algs: &'a [Alg],
    /// The most proofs of one request.
    pub batch_size: usize,
    /// Unix seconds.
    pub now_s: u64,
}

/// A request whose every proof holds, except that the nonce must still be found fresh and used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRequest {
    pub configuration: String,
    /// The one nonce of all proofs: the caller redeems it exactly once, and answers
    /// [`VciError::ProofNonce`] where that fails.
    pub nonce: String,
    /// One key for each copy, in the order of the proofs.
    pub keys: Vec<VerifyingKey>,
    /// The key that the answer is encrypted to.
    pub encryption: Option<EncryptionKey>,
}

/// §8.2: the key and algorithm of `credential_response_encryption`.
pub fn response_encryption(asked: Option<&Value>) -> Result<Option<EncryptionKey>, VciError> {
    let Some(asked) = asked else { return Ok(None) };
    let refused = VciError::Encryption;
    let (jwk, enc) = asked
        .get("jwk")
        .zip(asked.get("enc"))
        .filter(|_| asked.get("zip").is_none())
        .ok_or(refused)?;
    let key = EncryptionKey::choose(&json!({ "keys": [jwk] }), Some(&json!([enc])));
    key.map(Some).map_err(|_| refused)
}

impl CredentialRequest {
    /// Wallet: asks for as many copies of `configuration` as there are `keys`.
    pub fn build(
        configuration: &str,
        issuer: &str,
        nonce: &str,
        now_s: u64,
        keys: &[SigningKey],
    ) -> Result<Self, JwsError> {
        let jwt = keys
            .iter()
            .map(|key| build_proof(issuer, nonce, now_s, key))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            credential_configuration_id: Some(configuration.to_owned()),
            credential_identifier: None,
            proofs: Some(Proofs {
                jwt,
                ..Proofs::default()
            }),
            credential_response_encryption: None,
        })
    }

    /// Wallet: the same with keys that a provider attests: one proof for all of them, by the first.
    pub fn build_attested(
        configuration: &str,
        issuer: &str,
        nonce: &str,
        now_s: u64,
        first: &SigningKey,
        attestation: &str,
    ) -> Result<Self, JwsError> {
        let proof = build_attested_proof(issuer, nonce, now_s, first, attestation)?;
        Ok(Self {
            proofs: Some(Proofs {
                jwt: vec![proof],
                ..Proofs::default()
            }),
            ..Self::build(configuration, issuer, nonce, now_s, &[])?
        })
    }

    /// Issuer: reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        serde_json::from_slice(body).map_err(|_| VciError::CredentialRequest)
    }

    /// Issuer: §8.2 and appendix F, in this order: what is asked for, how many, each proof.
    pub fn check(&self, expected: &Expected<'_>) -> Result<CheckedRequest, VciError> {
        let encryption = response_encryption(self.credential_response_encryption.as_ref())?;
        let configuration = match (
            &self.credential_configuration_id,
            &self.credential_identifier,
        ) {
            (Some(id), None) if !expected.identifiers => id.as_str(),
            (None, Some(id)) if expected.identifiers => expected
                .configurations
                .iter()
                .copied()
                .find(|known| identifier_of(known) == *id)
                .ok_or(VciError::UnknownIdentifier)?,
            // §8.2: what the token response named is what a request names.
            (Some(_), None) | (None, Some(_)) => return Err(VciError::UnknownIdentifier),
            _ => return Err(VciError::CredentialRequest),
        };
        if !expected.configurations.contains(&configuration) {
            return Err(VciError::UnknownConfiguration);
        }
        let none = Proofs::default();
        let proofs = self.proofs.as_ref().unwrap_or(&none);
        let (keys, nonce) = match (proofs.jwt.as_slice(), proofs.attestation.as_slice()) {
            ([], []) => return Err(VciError::ProofMissing),
            ([], [attestation]) => {
                let attested = expected.providers.keys(attestation, expected.now_s)?;
                (attested.keys, attested.nonce.ok_or(VciError::ProofNonce)?)
            }
            (jwts, []) => check_jwts(jwts, expected)?,
            _ => return Err(VciError::CredentialRequest),
        };
        if keys.len() > expected.batch_size {
            return Err(VciError::Batch);
        }
        if keys.iter().any(|key| !expected.algs.contains(&key.alg())) {
            return Err(VciError::ProofAlg);
        }
        if (1..keys.len()).any(|i| keys[..i].contains(&keys[i])) {
            return Err(VciError::ProofKeys);
        }
        Ok(CheckedRequest {
            configuration: configuration.to_owned(),
            nonce,
            keys,
            encryption,
        })
    }
}

/// Appendix F.1: every proof over one nonce; or one proof whose header attests all the keys.
fn check_jwts(
    jwts: &[String],
    expected: &Expected<'_>,
) -> Result<(Vec<VerifyingKey>, String), VciError> {
    if jwts.len() > expected.batch_size {
        return Err(VciError::Batch);
    }
    let mut keys = Vec::with_capacity(jwts.len());
    let mut nonce: Option<String> = None;
    for jwt in jwts {
        let proof = verify_proof(jwt, expected.issuer, expected.algs, expected.now_s)?;
        if nonce.get_or_insert_with(|| proof.nonce.clone()) != &proof.nonce {
            return Err(VciError::ProofNonce);
        }
        match &proof.key_attestation {
            None => keys.push(proof.key),
            Some(attestation) => {
                let attested = expected.providers.keys(attestation, expected.now_s)?;
                let other_nonce = attested.nonce.is_some_and(|own| own != proof.nonce);
                if jwts.len() != 1 || other_nonce || !attested.keys.contains(&proof.key) {
                    return Err(VciError::KeyAttestation);
                }
                keys = attested.keys;
            }
        }
    }
    Ok((keys, nonce.ok_or(VciError::ProofNonce)?))
}

/// A credential response: one copy for each proof, in their order (§8.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialResponse {
    pub credentials: Vec<IssuedCredential>,
    /// By which the wallet tells what became of them (§11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<String>,
}

/// Not for a log: copies are credentials.
impl std::fmt::Debug for CredentialResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialResponse({} copies)", self.credentials.len())
    }
}

/// One copy.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCredential {
    /// An SD-JWT VC in its compact form, or an mdoc (`IssuerSigned`) in base64url.
    pub credential: String,
}

impl CredentialResponse {
    /// Issuer: wraps the copies.
    pub fn new(copies: Vec<String>) -> Self {
        Self {
            credentials: copies
                .into_iter()
                .map(|credential| IssuedCredential { credential })
                .collect(),
            notification_id: None,
        }
    }

    /// Wallet: reads the answer to a request with `copies` proofs.
    pub fn parse(body: &[u8], copies: usize) -> Result<Self, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        (response.credentials.len() == copies)
            .then_some(response)
            .ok_or(VciError::Response)
    }

    /// The copies.
    pub fn texts(self) -> Vec<String> {
        let copies = self.credentials.into_iter();
        copies.map(|issued| issued.credential).collect()
    }
}

/// The times of a login credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub epoch: u64,
    /// Unix seconds: the start of the epoch, not the moment of issuing.
    pub issued_at_s: u64,
    /// Unix seconds.
    pub expires_s: u64,
}

/// The times that every copy issued at `now_s` carries: they name the epoch and nothing finer.
pub fn validity(parameters: &Parameters, now_s: u64) -> Validity {
    let epoch = parameters.epoch_at(now_s.saturating_mul(1000));
    Validity {
        epoch,
        issued_at_s: epoch * parameters.epoch_s.max(1),
        expires_s: parameters.credential_expiry_s(epoch),
    }
}
