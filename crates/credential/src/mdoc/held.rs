//! What the wallet keeps: it selects elements and binds them to a request (spec/mdoc.md, M8, M9).

use serde_json::{Map, Value};

use super::issue::{write_item, write_mso};
use super::read::Item;
use super::{IssuerSigned, MAX_LEN, MdocError, Transcript};
use crate::cbor::Writer;
use crate::cose;
use crate::jose::{SigningKey, VerifyingKey};
use crate::status::{Reference, StatusError};

/// A credential whose elements fit its digests. No signature was checked: a wallet keeps one that
/// it received through [`receive`].
#[derive(Clone)]
pub struct Mdoc {
    bytes: Vec<u8>,
    claims: Map<String, Value>,
    doc_type: String,
    until_s: u64,
    device_key: VerifyingKey,
    status: Option<Value>,
}

/// Claims are personal data: `Debug` shows the type only.
impl std::fmt::Debug for Mdoc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mdoc({})", self.doc_type)
    }
}

impl Mdoc {
    /// Reads a credential as issued (`IssuerSigned`).
    pub fn parse(bytes: &[u8]) -> Result<Self, MdocError> {
        if bytes.len() > MAX_LEN {
            return Err(MdocError::Oversize);
        }
        Ok(Self::of(bytes, &IssuerSigned::read(bytes)?))
    }

    pub(super) fn of(bytes: &[u8], issued: &IssuerSigned<'_>) -> Self {
        Self {
            bytes: bytes.to_vec(),
            claims: issued.claims(),
            doc_type: issued.mso.doc_type.to_owned(),
            until_s: issued.mso.until_s,
            device_key: issued.mso.device_key.clone(),
            status: issued.mso.status.clone(),
        }
    }

    /// The credential as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements, by name space.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The document's type.
    pub fn doc_type(&self) -> &str {
        &self.doc_type
    }

    /// Valid until, in seconds of Unix time, exclusive.
    pub fn until_s(&self) -> u64 {
        self.until_s
    }

    /// The key it is issued to.
    pub fn device_key(&self) -> &VerifyingKey {
        &self.device_key
    }

    /// Where its status stands, if it has one.
    pub fn status(&self) -> Option<Result<Reference, StatusError>> {
        self.status.as_ref().map(Reference::read)
    }

    /// What the credential says beside its elements, if it is written exactly as an issuer of ours
    /// writes one: nothing in it but digests, device key, salts and signature could tell its holder
    /// from others (spec/mdoc.md, M13). None where something stands in it that need not.
    pub fn plain(&self) -> Option<Plain> {
        let issued = IssuerSigned::read(&self.bytes).ok()?;
        let mso = &issued.mso;
        let mut spaces: Vec<&str> = mso.digests.iter().map(|(space, ..)| *space).collect();
        spaces.dedup();
        let mut digests = Writer::new().map(spaces.len());
        let mut shown = Writer::new().map(spaces.len());
        for space in &spaces {
            let signed: Vec<_> = mso.digests.iter().filter(|(of, ..)| of == space).collect();
            let items = || issued.items.iter().filter(|item| item.name_space == *space);
            digests = digests.text(space).map(signed.len());
            shown = shown.text(space).array(signed.len());
            for (number, (_, _, digest)) in (0u64..).zip(signed) {
                let item = items().find(|item| item.number == number)?;
                if item.random.len() != 32 {
                    return None;
                }
                digests = digests.uint(number).bytes(digest);
                shown = shown.raw(&write_item(
                    number,
                    item.random,
                    item.name,
                    item.value_bytes,
                ));
            }
        }
        let times = [mso.signed_s, mso.from_s, mso.until_s];
        let rewritten = write_mso(
            &digests.done(),
            &mso.device_key,
            mso.doc_type,
            times,
            mso.status.as_ref(),
        )
        .ok()?;
        let shown = shown.done();
        let start = Writer::new().map(2).text("nameSpaces").raw(&shown);
        let whole = start.text("issuerAuth").raw(issued.auth_bytes).done();
        // The COSE message has one form as well: its length follows from its parts.
        let header = cose::Header {
            x5chain: issued.auth.header.x5chain.clone(),
            ..cose::Header::default()
        };
        let auth = cose::sign1(&header, issued.payload, false, &any_key()?).ok()?;
        let end = auth.len().checked_sub(SIGNATURE_BYTES)?;
        let plain = rewritten == issued.payload
            && whole == self.bytes
            && auth.len() == issued.auth_bytes.len()
            && auth[..end] == issued.auth_bytes[..end];
        let mut names: Vec<(String, String)> = issued
            .items
            .iter()
            .map(|item| (item.name_space.to_owned(), item.name.to_owned()))
            .collect();
        names.sort();
        plain.then(|| Plain {
            doc_type: mso.doc_type.to_owned(),
            signed_s: mso.signed_s,
            from_s: mso.from_s,
            until_s: mso.until_s,
            chain: issued
                .auth
                .header
                .x5chain
                .iter()
                .map(|der| der.to_vec())
                .collect(),
            has_status: mso.status.is_some(),
            names,
            length: self.bytes.len(),
        })
    }

    /// Keeps only the elements that `paths` name by name space and name. The
    /// [`claims`](Self::claims) of the result are exactly what the verifier will see.
    pub fn select(&self, paths: &[(&str, &str)]) -> Result<Self, MdocError> {
        let issued = IssuerSigned::read(&self.bytes)?;
        let is = |item: &Item<'_>, path: &(&str, &str)| (item.name_space, item.name) == *path;
        if !paths
            .iter()
            .all(|path| issued.items.iter().any(|item| is(item, path)))
        {
            return Err(MdocError::NoSuchElement);
        }
        let kept: Vec<&Item<'_>> = issued
            .items
            .iter()
            .filter(|item| paths.iter().any(|path| is(item, path)))
            .collect();
        let mut spaces: Vec<&str> = kept.iter().map(|item| item.name_space).collect();
        spaces.dedup();
        let mut written = Writer::new().map(spaces.len());
        for space in &spaces {
            let of_space = || kept.iter().filter(|item| item.name_space == *space);
            written = written.text(space).array(of_space().count());
            written = of_space().fold(written, |written, item| written.raw(item.bytes));
        }
        let bytes = Writer::new()
            .map(2)
            .text("nameSpaces")
            .raw(&written.done())
            .text("issuerAuth")
            .raw(issued.auth_bytes)
            .done();
        Self::parse(&bytes)
    }

    /// Signs for one request with the key of this copy: a `DeviceResponse`.
    pub fn bind(&self, transcript: &Transcript, key: &SigningKey) -> Result<Vec<u8>, MdocError> {
        if key.verifying_key() != self.device_key {
            return Err(MdocError::DeviceKey);
        }
        let no_elements = Writer::new().encoded(&Writer::new().map(0).done()).done();
        let signed = transcript.device_authentication(&self.doc_type, &no_elements);
        let signature = cose::sign1(&cose::Header::default(), &signed, true, key)?;
        Ok(Writer::new()
            .map(3)
            .text("version")
            .text("1.0")
            .text("documents")
            .array(1)
            .map(3)
            .text("docType")
            .text(&self.doc_type)
            .text("issuerSigned")
            .raw(&self.bytes)
            .text("deviceSigned")
            .map(2)
            .text("nameSpaces")
            .raw(&no_elements)
            .text("deviceAuth")
            .map(1)
            .text("deviceSignature")
            .raw(&signature)
            .text("status")
            .uint(0)
            .done())
    }
}

/// ES256 and EdDSA sign in as many bytes.
const SIGNATURE_BYTES: usize = 64;

/// A key whose signature is thrown away: what is compared stands before it.
fn any_key() -> Option<SigningKey> {
    SigningKey::p256(&[1; 32]).ok()
}

/// A credential that says nothing but this, its elements, and what looks random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    pub doc_type: String,
    /// Seconds of Unix time, as the next two.
    pub signed_s: u64,
    pub from_s: u64,
    pub until_s: u64,
    /// The issuer's certificates, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    pub has_status: bool,
    /// Name spaces and names of all elements.
    pub names: Vec<(String, String)>,
    /// In bytes.
    pub length: usize,
}
