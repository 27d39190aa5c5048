//! Issuer, times, status and device of what is received or shown (spec/mdoc.md, M3, M4, M7 to M10).

use serde_json::{Map, Value};

use super::{Document, IssuerSigned, MAX_LEN, Mdoc, MdocError, Transcript};
use crate::jose::{JwsError, VerifyingKey};
use crate::status::token::VerifiedList;
use crate::status::{Reference, Status};

/// A certificate that the caller trusts for mdocs, with its key: the caller's knowledge.
#[derive(Debug, Clone)]
pub struct IssuerKey {
    /// Who it is, in the caller's words.
    pub issuer: String,
    /// The leaf, DER.
    pub certificate: Vec<u8>,
    /// Its public key.
    pub key: VerifyingKey,
}

/// What an issuer's signature and times are held against.
#[derive(Debug, Clone, Copy)]
pub struct IssuerEvidence<'a> {
    /// Certificates of all accepted issuers.
    pub issuer_keys: &'a [IssuerKey],
    /// Accepted types.
    pub accepted_doc_types: &'a [&'a str],
    /// Now, in seconds of Unix time.
    pub now_s: u64,
    /// How far clocks may be apart, in seconds.
    pub clock_skew_s: u64,
}

/// A presentation that passed [`verify`].
#[derive(Clone)]
pub struct VerifiedMdoc {
    /// The elements shown, by name space.
    pub claims: Map<String, Value>,
    /// The issuer, as [`IssuerKey::issuer`] has it.
    pub issuer: String,
    /// The document's type.
    pub doc_type: String,
    /// Signed at, in seconds of Unix time.
    pub signed_s: u64,
    /// Valid until, in seconds of Unix time, exclusive.
    pub until_s: u64,
    /// The device's key of this copy.
    pub device_key: VerifyingKey,
}

/// Claims are personal data: `Debug` shows the type only.
impl std::fmt::Debug for VerifiedMdoc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedMdoc({})", self.doc_type)
    }
}

/// A credential that an issuer hands to its holder: checked before it is stored. `device` is the
/// key that this copy was asked for.
pub fn receive(
    bytes: &[u8],
    evidence: &IssuerEvidence<'_>,
    device: &VerifyingKey,
) -> Result<Mdoc, MdocError> {
    if bytes.len() > MAX_LEN {
        return Err(MdocError::Oversize);
    }
    let issued = IssuerSigned::read(bytes)?;
    verify_issued(&issued, evidence)?;
    if issued.mso.device_key != *device {
        return Err(MdocError::DeviceKey);
    }
    Ok(Mdoc::of(bytes, &issued))
}

/// The certificates that a credential or presentation brings, DER, leaf first: unverified, to
/// judge whether the leaf is an issuer's.
pub fn claimed_chain(bytes: &[u8]) -> Result<Vec<Vec<u8>>, MdocError> {
    if bytes.len() > MAX_LEN {
        return Err(MdocError::Oversize);
    }
    let issued = match Document::read(bytes) {
        Ok(document) => document.issued,
        Err(_) => IssuerSigned::read(bytes)?,
    };
    let chain = issued.auth.header.x5chain.iter();
    Ok(chain.map(|der| der.to_vec()).collect())
}

/// What the issuer signed of a credential or presentation, as it came (COSE_Sign1): the same in both.
pub fn issuer_auth(bytes: &[u8]) -> Result<&[u8], MdocError> {
    if bytes.len() > MAX_LEN {
        return Err(MdocError::Oversize);
    }
    Ok(match Document::read(bytes) {
        Ok(document) => document.issued.auth_bytes,
        Err(_) => IssuerSigned::read(bytes)?.auth_bytes,
    })
}

/// Verifies a presentation (`DeviceResponse`) for one request (ISO/IEC 18013-5 §9.1 and §9.3).
/// `lists` are the status lists that the caller fetched, each verified.
pub fn verify(
    response: &[u8],
    evidence: &IssuerEvidence<'_>,
    transcript: &Transcript,
    lists: &[&VerifiedList],
) -> Result<VerifiedMdoc, MdocError> {
    if response.len() > MAX_LEN {
        return Err(MdocError::Oversize);
    }
    let document = Document::read(response)?;
    let issued = &document.issued;
    if document.doc_type != issued.mso.doc_type {
        return Err(MdocError::DocType);
    }
    let issuer = verify_issued(issued, evidence)?;
    if let Some(status) = &issued.mso.status {
        let reference = Reference::read(status)?;
        let list = lists.iter().find(|list| list.uri() == reference.uri);
        let list = list.ok_or(MdocError::StatusUnread)?;
        match list.status(reference.idx, evidence.now_s)? {
            Status::Valid => {}
            Status::Invalid => return Err(MdocError::Revoked),
            Status::Suspended => return Err(MdocError::Suspended),
            Status::Other(_) => return Err(MdocError::StatusOther),
        }
    }
    let signed = transcript.device_authentication(document.doc_type, document.device_spaces);
    document
        .device_auth
        .verify(&signed, &issued.mso.device_key)
        .map_err(|error| match error {
            JwsError::Signature => MdocError::DeviceSignature,
            other => MdocError::Jws(other),
        })?;
    Ok(VerifiedMdoc {
        claims: issued.claims(),
        issuer: issuer.to_owned(),
        doc_type: issued.mso.doc_type.to_owned(),
        signed_s: issued.mso.signed_s,
        until_s: issued.mso.until_s,
        device_key: issued.mso.device_key.clone(),
    })
}

fn verify_issued<'a>(
    issued: &IssuerSigned<'_>,
    evidence: &IssuerEvidence<'a>,
) -> Result<&'a str, MdocError> {
    let leaf = issued.auth.header.x5chain.first();
    let issuer = evidence
        .issuer_keys
        .iter()
        .find(|issuer| leaf == Some(&issuer.certificate.as_slice()))
        .ok_or(MdocError::IssuerUnknown)?;
    issued
        .auth
        .verify(issued.payload, &issuer.key)
        .map_err(|error| match error {
            JwsError::Signature => MdocError::Signature,
            other => MdocError::Jws(other),
        })?;
    let mso = &issued.mso;
    if !evidence.accepted_doc_types.contains(&mso.doc_type) {
        return Err(MdocError::DocType);
    }
    if mso.signed_s > mso.from_s || mso.from_s >= mso.until_s {
        return Err(MdocError::MsoMalformed);
    }
    if mso.from_s > evidence.now_s.saturating_add(evidence.clock_skew_s) {
        return Err(MdocError::NotYetValid);
    }
    if mso.until_s.saturating_add(evidence.clock_skew_s) <= evidence.now_s {
        return Err(MdocError::Expired);
    }
    Ok(&issuer.issuer)
}
