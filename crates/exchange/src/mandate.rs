//! Who may act for an organisation: what a representative proves to the authority, and what they get for it
//! (spec/enrolment.md, rules C10 to C14).
//!
//! ```text
//! wallet                                      authority
//! MandateRequest, refresh token ─────────────▶ the commercial register says for whom this person acts
//!                ◀───────────── MandateResponse an offer of the organisation's credential
//! token, credential (OpenID4VCI, [`crate::vci`])
//! ```

use serde::{Deserialize, Serialize};

use crate::vci::CredentialOffer;

/// The kind of evidence that the embedded synthetic register of organisations gives out.
pub const SYNTHETIC_MANDATE: &str = "rdid-synthetic-mandate/1";
/// The largest evidence file in bytes.
pub const MAX_EVIDENCE_BYTES: usize = 8 * 1024;

/// What proves an organisation: an extract of the register, in the hands of its representatives.
///
/// On disk: `{"type":"rdid-synthetic-mandate/1","organisation","legal_name","registration_number",
/// "country","secret"}`. By itself it makes nobody a representative: the register names those.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MandateEvidence {
    /// The kind of evidence: [`SYNTHETIC_MANDATE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The register's reference of the organisation.
    pub organisation: String,
    pub legal_name: String,
    pub registration_number: String,
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
    /// What only the extract knows: 32 bytes in base64url.
    pub secret: String,
}

/// The body of `POST /v1/mandates`; the refresh token of the enrolment is its bearer token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MandateRequest {
    pub evidence: MandateEvidence,
}

/// The answer: where the credential is fetched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MandateResponse {
    pub credential_offer: CredentialOffer,
    /// The transaction code of that offer.
    pub tx_code: String,
}

/// What is in them is a secret: what is printed may end in a log.
impl std::fmt::Debug for MandateEvidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MandateEvidence(…)")
    }
}

impl std::fmt::Debug for MandateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MandateRequest(…)")
    }
}

impl std::fmt::Debug for MandateResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MandateResponse(…)")
    }
}
