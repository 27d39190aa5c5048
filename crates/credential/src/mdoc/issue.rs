//! What the authority writes (spec/mdoc.md, M2, M4, M5).

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{MAX_ELEMENTS, Mdoc, MdocError};
use crate::cbor::{self, Writer};
use crate::cose;
use crate::jose::{JwsError, SigningKey, VerifyingKey};
use crate::status::Reference;

/// The value of an element.
#[derive(Clone, PartialEq)]
pub enum Element {
    /// Whatever JSON can say.
    Json(Value),
    /// `YYYY-MM-DD`.
    FullDate(String),
    /// Bytes, such as a portrait.
    Bytes(Vec<u8>),
}

/// Elements are personal data: `Debug` shows nothing of them.
impl std::fmt::Debug for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Element(…)")
    }
}

/// What the issuer says about the credential itself.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The document's type.
    pub doc_type: &'a str,
    /// Signed at, in seconds of Unix time. Let copies share it.
    pub signed_s: u64,
    /// Valid from, in seconds of Unix time.
    pub from_s: u64,
    /// Valid until, in seconds of Unix time, exclusive.
    pub until_s: u64,
    /// The certificate chain of the signing key, DER, leaf first; at least the leaf.
    pub x5chain: &'a [&'a [u8]],
    /// The entry in a status list, for a credential that lives long.
    pub status: Option<&'a Reference>,
}

/// The elements of one name space.
pub type NameSpace<'a> = (&'a str, &'a [(&'a str, Element)]);

/// Makes a credential (`IssuerSigned`) for the device that holds `device`. `random` must return
/// 32 fresh random bytes at each call. Numbers of digests are shuffled by that randomness, so that
/// their order tells nothing.
pub fn issue(
    name_spaces: &[NameSpace<'_>],
    terms: &Terms<'_>,
    device: &VerifyingKey,
    key: &SigningKey,
    random: &mut dyn FnMut() -> [u8; 32],
) -> Result<Vec<u8>, MdocError> {
    if terms.signed_s > terms.from_s || terms.from_s >= terms.until_s {
        return Err(MdocError::Validity);
    }
    if terms.x5chain.is_empty() {
        return Err(MdocError::IssuerUnknown);
    }
    if name_spaces.iter().map(|(_, e)| e.len()).sum::<usize>() > MAX_ELEMENTS {
        return Err(MdocError::TooMany);
    }
    let mut shown = Writer::new().map(name_spaces.len());
    let mut digests = Writer::new().map(name_spaces.len());
    for (name_space, elements) in name_spaces {
        let mut numbered: Vec<([u8; 32], &(&str, Element))> =
            elements.iter().map(|element| (random(), element)).collect();
        numbered.sort_unstable_by_key(|(random, _)| *random);
        shown = shown.text(name_space).array(numbered.len());
        digests = digests.text(name_space).map(numbered.len());
        for (number, (_, (name, value))) in numbered.into_iter().enumerate() {
            let value = match value {
                Element::Json(value) => Writer::new().json(value),
                Element::FullDate(date) => Writer::new().tag(cbor::FULL_DATE).text(date),
                Element::Bytes(bytes) => Writer::new().bytes(bytes),
            };
            let item = write_item(number as u64, &random(), name, &value.done());
            digests = digests.uint(number as u64).bytes(&Sha256::digest(&item));
            shown = shown.raw(&item);
        }
    }
    let mso = write_mso(
        &digests.done(),
        device,
        terms.doc_type,
        [terms.signed_s, terms.from_s, terms.until_s],
        terms.status.map(Reference::to_claim).as_ref(),
    )?;
    let header = cose::Header {
        x5chain: terms.x5chain.to_vec(),
        ..cose::Header::default()
    };
    let issued = Writer::new()
        .map(2)
        .text("nameSpaces")
        .raw(&shown.done())
        .text("issuerAuth")
        .raw(&cose::sign1(&header, &mso, false, key)?)
        .done();
    // What no reader takes is not issued: repeated names, values that are too deep, too much.
    Mdoc::parse(&issued)?;
    Ok(issued)
}

/// `IssuerSignedItemBytes`; `value` is the element's value as CBOR.
pub(super) fn write_item(number: u64, random: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let item = Writer::new()
        .map(4)
        .text("digestID")
        .uint(number)
        .text("random")
        .bytes(random)
        .text("elementIdentifier")
        .text(name)
        .text("elementValue")
        .raw(value)
        .done();
    Writer::new().encoded(&item).done()
}

/// `MobileSecurityObjectBytes`; `digests` is the map of name spaces as CBOR, `times` are when it is
/// signed, valid from, and valid until.
pub(super) fn write_mso(
    digests: &[u8],
    device: &VerifyingKey,
    doc_type: &str,
    times: [u64; 3],
    status: Option<&Value>,
) -> Result<Vec<u8>, JwsError> {
    let [signed_s, from_s, until_s] = times;
    let mso = Writer::new()
        .map(if status.is_some() { 7 } else { 6 })
        .text("version")
        .text("1.0")
        .text("digestAlgorithm")
        .text("SHA-256")
        .text("valueDigests")
        .raw(digests)
        .text("deviceKeyInfo")
        .map(1)
        .text("deviceKey")
        .raw(&cose::write_key(device)?)
        .text("docType")
        .text(doc_type)
        .text("validityInfo")
        .map(3)
        .text("signed")
        .date_time(signed_s)
        .text("validFrom")
        .date_time(from_s)
        .text("validUntil")
        .date_time(until_s);
    let mso = match status {
        Some(status) => mso.text("status").json(status),
        None => mso,
    };
    Ok(Writer::new().encoded(&mso.done()).done())
}
