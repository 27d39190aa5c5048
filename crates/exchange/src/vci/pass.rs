//! Issuing a RealPass by OpenID4VCI: a proof type and a format of our own (spec/realpass.md, B22 and
//! B23).
//!
//! ```text
//! {"credential_configuration_id": "realpass", "epoch": N, "proofs": {"rdid_realpass": ["…"]}}
//! {"credentials": [{"credential": {"epoch", "adult", …, "issued"}}]}
//! ```
//! There is no nonce: a request that somebody else sends again gets a signature that is of no use
//! without the secrets (B12). The answer says each fact, so that the wallet can hold them against
//! the closed sets; a member more would be a mark, and is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::realpass;
use realdid_pass::facts::{Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Issued, PassError, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::VciError;

/// The configuration id of our RealPass.
pub const PASS_CONFIGURATION: &str = "realpass";
/// The longest text of a request's proof.
const MAX_PROOF_TEXT: usize = 512;

/// What a wallet asks for: a RealPass for an epoch, over its commitment.
#[derive(Clone)]
pub struct PassRequest {
    pub epoch: u64,
    /// Whether it proves what it commits to is checked where it is used.
    pub request: Request,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBody {
    credential_configuration_id: String,
    epoch: u64,
    proofs: RequestProofs,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestProofs {
    rdid_realpass: Vec<String>,
}

impl PassRequest {
    /// Wallet: the body of the request.
    pub fn to_body(&self) -> Value {
        json!({
            "credential_configuration_id": PASS_CONFIGURATION,
            "epoch": self.epoch,
            "proofs": { realpass::FORMAT: [URL_SAFE_NO_PAD.encode(self.request.to_bytes())] },
        })
    }

    /// Issuer: whether a body asks for a RealPass at all.
    pub fn is_asked(body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Which {
            credential_configuration_id: Option<String>,
        }
        serde_json::from_slice::<Which>(body).is_ok_and(|which| {
            which.credential_configuration_id.as_deref() == Some(PASS_CONFIGURATION)
        })
    }

    /// Issuer: reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let body: RequestBody =
            serde_json::from_slice(body).map_err(|_| VciError::CredentialRequest)?;
        if body.credential_configuration_id != PASS_CONFIGURATION {
            return Err(VciError::UnknownConfiguration);
        }
        let [proof] = body.proofs.rdid_realpass.as_slice() else {
            return Err(VciError::Batch);
        };
        if proof.len() > MAX_PROOF_TEXT {
            return Err(VciError::PassForm);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(proof)
            .map_err(|_| VciError::PassForm)?;
        Ok(Self {
            epoch: body.epoch,
            request: Request::from_bytes(&bytes).map_err(|_| VciError::PassForm)?,
        })
    }
}

/// Why an issuer signs nothing for a request that reads.
impl From<PassError> for VciError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::OtherCommitment => Self::PassCommitment,
            PassError::CommitmentProof => Self::PassProof,
            _ => Self::PassForm,
        }
    }
}

/// What an issuer answers: the facts, and its signature with its part of the secrets.
#[derive(Clone)]
pub struct PassAnswer {
    pub facts: Facts,
    pub issued: Issued,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    credentials: Vec<AnswerEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerEntry {
    credential: AnswerCredential,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerCredential {
    epoch: u64,
    adult: String,
    region: String,
    kind: String,
    assurance: String,
    continuity: String,
    issued: String,
}

impl PassAnswer {
    /// Issuer: the body of the answer.
    pub fn to_body(&self) -> Value {
        let facts = &self.facts;
        json!({ "credentials": [{ "credential": {
            "epoch": facts.epoch,
            "adult": facts.adult.name(),
            "region": facts.region.name(),
            "kind": facts.kind.name(),
            "assurance": facts.assurance.name(),
            "continuity": facts.continuity.name(),
            "issued": URL_SAFE_NO_PAD.encode(self.issued.to_bytes().as_slice()),
        }}]})
    }

    /// Wallet: reads the answer to a request for `epoch`. A value outside the closed sets, another
    /// epoch or a member more is refused: it could mark its holder (promise P4).
    pub fn parse(body: &[u8], epoch: u64) -> Result<Self, VciError> {
        let body: AnswerBody = serde_json::from_slice(body).map_err(|_| VciError::PassMarked)?;
        let [AnswerEntry { credential }] = body.credentials.as_slice() else {
            return Err(VciError::PassMarked);
        };
        let read = || {
            Some(Facts {
                epoch: credential.epoch,
                adult: Adult::from_name(&credential.adult)?,
                region: Region::from_name(&credential.region)?,
                kind: Kind::from_name(&credential.kind)?,
                assurance: Assurance::from_name(&credential.assurance)?,
                continuity: Continuity::from_name(&credential.continuity)?,
            })
        };
        let facts = read()
            .filter(|facts| facts.epoch == epoch)
            .ok_or(VciError::PassMarked)?;
        let issued = URL_SAFE_NO_PAD
            .decode(&credential.issued)
            .ok()
            .and_then(|bytes| Issued::from_bytes(&bytes).ok())
            .ok_or(VciError::Response)?;
        Ok(Self { facts, issued })
    }
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
