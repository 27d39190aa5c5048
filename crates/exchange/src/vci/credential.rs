//! The credential endpoint (OpenID4VCI 1.0 §8): proofs of keys in, one copy for each out.

use realdid_core::genesis::Parameters;
use realdid_credential::jose::{JwsError, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::VciError;
use super::proof::{build_proof, verify_proof};

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
    /// Only to refuse it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_response_encryption: Option<Value>,
}

/// Key proofs, all of one type.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    pub jwt: Vec<String>,
}

/// What the issuer holds a request against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The credential issuer identifier.
    pub issuer: &'a str,
    /// The configurations that may be asked for.
    pub configurations: &'a [&'a str],
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
            proofs: Some(Proofs { jwt }),
            credential_response_encryption: None,
        })
    }

    /// Issuer: reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        serde_json::from_slice(body).map_err(|_| VciError::CredentialRequest)
    }

    /// Issuer: §8.2 and appendix F, in this order: what is asked for, how many, each proof.
    pub fn check(&self, expected: &Expected<'_>) -> Result<CheckedRequest, VciError> {
        if self.credential_response_encryption.is_some() {
            return Err(VciError::Encryption);
        }
        let configuration = match (
            &self.credential_configuration_id,
            &self.credential_identifier,
        ) {
            (Some(id), None) => id,
            // Our token responses name no identifiers, so none can be known (§8.2).
            (None, Some(_)) => return Err(VciError::UnknownIdentifier),
            _ => return Err(VciError::CredentialRequest),
        };
        if !expected.configurations.contains(&configuration.as_str()) {
            return Err(VciError::UnknownConfiguration);
        }
        let proofs = self.proofs.as_ref().map_or(&[][..], |proofs| &proofs.jwt);
        if proofs.is_empty() {
            return Err(VciError::ProofMissing);
        }
        if proofs.len() > expected.batch_size {
            return Err(VciError::Batch);
        }
        let mut keys: Vec<VerifyingKey> = Vec::with_capacity(proofs.len());
        let mut nonce: Option<String> = None;
        for proof in proofs {
            let proof = verify_proof(proof, expected.issuer, expected.now_s)?;
            if nonce.get_or_insert_with(|| proof.nonce.clone()) != &proof.nonce {
                return Err(VciError::ProofNonce);
            }
            if keys.contains(&proof.key) {
                return Err(VciError::ProofKeys);
            }
            keys.push(proof.key);
        }
        Ok(CheckedRequest {
            configuration: configuration.clone(),
            nonce: nonce.ok_or(VciError::ProofNonce)?,
            keys,
        })
    }
}

/// A credential response: one copy for each proof, in their order (§8.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialResponse {
    pub credentials: Vec<IssuedCredential>,
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
        }
    }

    /// Wallet: reads the answer to a request with `copies` proofs.
    pub fn parse(body: &[u8], copies: usize) -> Result<Vec<String>, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        if response.credentials.len() != copies {
            return Err(VciError::Response);
        }
        Ok(response
            .credentials
            .into_iter()
            .map(|issued| issued.credential)
            .collect())
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
