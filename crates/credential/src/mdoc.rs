//! mdoc (`mso_mdoc`; ISO/IEC 18013-5, presented over OpenID4VP 1.0 appendix B.2): the authority
//! issues, the wallet selects and binds, the verifier verifies (spec/mdoc.md, M1 to M12).
//!
//! The issuer signs a table of digests, the Mobile Security Object; what is shown are the items
//! that the digests are of. The device signs the [`Transcript`] of one request. As with SD-JWT,
//! trust has a type: [`Mdoc`] was read and its items fit its digests, [`VerifiedMdoc`] passed
//! [`verify`].
//!
//! The device signs no list of what it shows: whoever carries a presentation can take elements
//! away, never add or change one. So a verifier asks again for what is missing, and answers travel
//! encrypted.
//!
//! Bytes are never written anew to be hashed: digests and signatures are over what came. Whether a
//! certificate chain is trusted is the caller's knowledge; here the leaf is compared with those
//! that were given ([`IssuerKey`]). [`claimed_chain`] shows what there is to judge.

use minicbor::Decoder;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::cbor::{self, Key, Malformed, Writer};
use crate::cose;
use crate::jose::{JwsError, SigningKey, VerifyingKey};
use crate::refusal::refusals;
use crate::status::token::VerifiedList;
use crate::status::{Reference, Status, StatusError};

/// The format's name in OpenID4VCI and OpenID4VP.
pub const FORMAT: &str = "mso_mdoc";
/// The longest credential or presentation that is read, in bytes.
pub const MAX_LEN: usize = 64 * 1024;
/// The most elements that one credential may have.
pub const MAX_ELEMENTS: usize = 64;
/// The least randomness that hides an element's value, in bytes (ISO/IEC 18013-5 §9.1.2.5).
const MIN_RANDOM_LEN: usize = 16;

refusals! {
    /// Why an mdoc was refused, or could not be made.
    MdocError: { Jws(JwsError), Status(StatusError) }
    Oversize Holder "mdoc.oversize" "a credential with its elements is at most 64 kB" "send less",
    Malformed Holder "mdoc.malformed" "an mdoc is CBOR as ISO/IEC 18013-5 has it, one document of version 1.0 without errors" "send one document",
    TooMany Holder "mdoc.too_many" "a credential has at most 64 elements" "send less",
    ElementTwice Holder "mdoc.element_twice" "no element and no digest's number stands twice in a name space" "send each element once",
    NoSuchElement Holder "mdoc.no_such_element" "the credential has the element that is to be shown" "choose among the elements that it has",
    DeviceKey Holder "mdoc.device_key" "a presentation is bound with the key that the credential names" "use the key that this copy was issued to",
    MsoMalformed Issuer "mdoc.mso_malformed" "the security object is of version 1.0, with SHA-256 digests, a device key, a document type and times" "issue the credential anew",
    DocType Holder "mdoc.doc_type" "the document is of one type throughout, and of one that is accepted here" "show a credential of the type that was asked for",
    IssuerUnknown Issuer "mdoc.issuer_unknown" "the certificate is one of an issuer that is accepted here" "use a credential of an accepted issuer",
    Signature Issuer "mdoc.signature" "the issuer's signature verifies under its certificate's key" "receive the credential anew",
    Digest Holder "mdoc.digest" "every element matches the digest that the issuer signed" "send the elements as they were issued",
    Validity Caller "mdoc.validity" "a credential is signed before it is valid, and valid before it ends" "choose other times",
    NotYetValid Holder "mdoc.not_yet_valid" "the credential is valid already" "check the clock, or wait",
    Expired Holder "mdoc.expired" "the credential has not expired" "refresh it and show the new copy",
    DeviceMac Holder "mdoc.device_mac" "a presentation is signed by the device" "sign, since a MAC needs a key of the reader",
    DeviceClaims Holder "mdoc.device_claims" "the device adds no elements of its own" "show what the issuer signed",
    DeviceSignature Holder "mdoc.device_signature" "the device signed this request's transcript" "sign for this verifier, nonce and response address",
    StatusUnread Issuer "mdoc.status_unread" "a credential accepted here has no status, or its list was fetched" "fetch the list and verify again",
    Revoked Issuer "mdoc.revoked" "the credential is not revoked" "ask the issuer for another credential",
    Suspended Issuer "mdoc.suspended" "the credential is not suspended" "ask the issuer why, or wait",
    StatusOther Issuer "mdoc.status_other" "the credential's status is one that is known here" "use a credential that is plainly valid",
}

impl From<Malformed> for MdocError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

// ---- the authority ------------------------------------------------------------------------

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
            let item = Writer::new()
                .map(4)
                .text("digestID")
                .uint(number as u64)
                .text("random")
                .bytes(&random())
                .text("elementIdentifier")
                .text(name)
                .text("elementValue");
            let item = match value {
                Element::Json(value) => item.json(value),
                Element::FullDate(date) => item.tag(cbor::FULL_DATE).text(date),
                Element::Bytes(bytes) => item.bytes(bytes),
            };
            let item = Writer::new().encoded(&item.done()).done();
            digests = digests.uint(number as u64).bytes(&Sha256::digest(&item));
            shown = shown.raw(&item);
        }
    }
    let mso = Writer::new()
        .map(if terms.status.is_some() { 7 } else { 6 })
        .text("version")
        .text("1.0")
        .text("digestAlgorithm")
        .text("SHA-256")
        .text("valueDigests")
        .raw(&digests.done())
        .text("deviceKeyInfo")
        .map(1)
        .text("deviceKey")
        .raw(&cose::write_key(device))
        .text("docType")
        .text(terms.doc_type)
        .text("validityInfo")
        .map(3)
        .text("signed")
        .date_time(terms.signed_s)
        .text("validFrom")
        .date_time(terms.from_s)
        .text("validUntil")
        .date_time(terms.until_s);
    let mso = match terms.status {
        Some(status) => mso.text("status").json(&status.to_claim()),
        None => mso,
    };
    let header = cose::Header {
        x5chain: terms.x5chain.to_vec(),
        ..cose::Header::default()
    };
    let mso = Writer::new().encoded(&mso.done()).done();
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

// ---- bytes in, elements out ---------------------------------------------------------------

/// One element as it came.
struct Item<'b> {
    name_space: &'b str,
    /// With the tag 24: what the digest is of.
    bytes: &'b [u8],
    number: u64,
    name: &'b str,
    value: Value,
}

impl<'b> Item<'b> {
    fn read(name_space: &'b str, decoder: &mut Decoder<'b>) -> Result<Self, MdocError> {
        let (bytes, inner) = cbor::encoded(decoder)?;
        let (mut number, mut random, mut name, mut value) = (None, None, None, None);
        cbor::whole(inner, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("digestID") => number = Some(decoder.u64()?),
                    Key::Text("random") => random = Some(decoder.bytes()?),
                    Key::Text("elementIdentifier") => name = Some(decoder.str()?),
                    Key::Text("elementValue") => value = Some(cbor::json(decoder)?),
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        if random.is_none_or(|random| random.len() < MIN_RANDOM_LEN) {
            return Err(MdocError::Malformed);
        }
        Ok(Self {
            name_space,
            bytes,
            number: number.ok_or(Malformed)?,
            name: name.ok_or(Malformed)?,
            value: value.ok_or(Malformed)?,
        })
    }
}

/// The Mobile Security Object.
struct Mso<'b> {
    doc_type: &'b str,
    device_key: VerifyingKey,
    digests: Vec<(&'b str, u64, &'b [u8])>,
    signed_s: u64,
    from_s: u64,
    until_s: u64,
    status: Option<Value>,
}

impl<'b> Mso<'b> {
    fn read(payload: &'b [u8]) -> Result<Self, MdocError> {
        let (_, inner) = cbor::whole(payload, cbor::encoded)?;
        let (mut version, mut algorithm, mut doc_type, mut device_key, mut status) =
            (None, None, None, None, None);
        let (mut signed_s, mut from_s, mut until_s) = (None, None, None);
        let mut digests = Vec::new();
        cbor::whole(inner, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("version") => version = Some(decoder.str()?),
                    Key::Text("digestAlgorithm") => algorithm = Some(decoder.str()?),
                    Key::Text("docType") => doc_type = Some(decoder.str()?),
                    Key::Text("status") => status = Some(cbor::json(decoder)?),
                    Key::Text("deviceKeyInfo") => cbor::map(decoder, |key, decoder| {
                        if key == Key::Text("deviceKey") {
                            device_key = Some(cose::read_key(decoder)?);
                            return Ok(true);
                        }
                        Ok(false)
                    })?,
                    Key::Text("valueDigests") => cbor::map(decoder, |key, decoder| {
                        let Key::Text(name_space) = key else {
                            return Err(Malformed);
                        };
                        cbor::map(decoder, |key, decoder| {
                            let Key::Int(number) = key else {
                                return Err(Malformed);
                            };
                            let number = u64::try_from(number).map_err(|_| Malformed)?;
                            digests.push((name_space, number, decoder.bytes()?));
                            Ok(true)
                        })?;
                        Ok(true)
                    })?,
                    Key::Text("validityInfo") => cbor::map(decoder, |key, decoder| {
                        let place = match key {
                            Key::Text("signed") => &mut signed_s,
                            Key::Text("validFrom") => &mut from_s,
                            Key::Text("validUntil") => &mut until_s,
                            _ => return Ok(false),
                        };
                        *place = Some(cbor::date_time(decoder)?);
                        Ok(true)
                    })?,
                    _ => return Ok(false),
                }
                Ok(true)
            })
        })?;
        if version != Some("1.0") || algorithm != Some("SHA-256") {
            return Err(MdocError::MsoMalformed);
        }
        let read = || -> Option<Self> {
            Some(Self {
                doc_type: doc_type?,
                device_key: device_key?,
                digests,
                signed_s: signed_s?,
                from_s: from_s?,
                until_s: until_s?,
                status,
            })
        };
        read().ok_or(MdocError::MsoMalformed)
    }

    /// Each item is one that the issuer signed, and none stands twice (§9.3.1 step 3).
    fn covers(&self, items: &[Item<'_>]) -> Result<(), MdocError> {
        for (i, item) in items.iter().enumerate() {
            let same = |other: &Item<'_>| {
                other.name_space == item.name_space
                    && (other.name == item.name || other.number == item.number)
            };
            if items[..i].iter().any(same) {
                return Err(MdocError::ElementTwice);
            }
            let digest = Sha256::digest(item.bytes);
            let signed = |(name_space, number, signed): &(&str, u64, &[u8])| {
                *name_space == item.name_space
                    && *number == item.number
                    && *signed == digest.as_slice()
            };
            if !self.digests.iter().any(signed) {
                return Err(MdocError::Digest);
            }
        }
        Ok(())
    }
}

/// `IssuerSigned`, taken apart; the items fit the digests, no signature was checked.
struct IssuerSigned<'b> {
    items: Vec<Item<'b>>,
    /// The COSE_Sign1 as it came.
    auth_bytes: &'b [u8],
    auth: cose::Claimed<'b>,
    payload: &'b [u8],
    mso: Mso<'b>,
}

impl<'b> IssuerSigned<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, MdocError> {
        let (mut spaces, mut auth_bytes) = (None, None);
        cbor::whole(bytes, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("nameSpaces") => spaces = Some(cbor::raw(decoder)?),
                    Key::Text("issuerAuth") => auth_bytes = Some(cbor::raw(decoder)?),
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        let auth_bytes = auth_bytes.ok_or(Malformed)?;
        let auth = cbor::whole(auth_bytes, cose::Claimed::read)?;
        let payload = auth.payload.ok_or(Malformed)?;
        let mso = Mso::read(payload)?;
        let items = spaces.map_or(Ok(Vec::new()), read_items)?;
        mso.covers(&items)?;
        Ok(Self {
            items,
            auth_bytes,
            auth,
            payload,
            mso,
        })
    }

    fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        for item in &self.items {
            let space = claims
                .entry(item.name_space)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(space) = space {
                space.insert(item.name.to_owned(), item.value.clone());
            }
        }
        claims
    }
}

fn read_items(bytes: &[u8]) -> Result<Vec<Item<'_>>, MdocError> {
    let mut items = Vec::new();
    let mut failed = Ok(());
    cbor::whole(bytes, |decoder| {
        cbor::map(decoder, |key, decoder| {
            let Key::Text(name_space) = key else {
                return Err(Malformed);
            };
            for _ in 0..cbor::array(decoder)? {
                let item = match items.len() {
                    MAX_ELEMENTS => Err(MdocError::TooMany),
                    _ => Item::read(name_space, decoder),
                };
                items.push(item.map_err(|error| {
                    failed = Err(error);
                    Malformed
                })?);
            }
            Ok(true)
        })
    })
    .map_err(|malformed| failed.err().unwrap_or(malformed.into()))?;
    Ok(items)
}

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

    fn of(bytes: &[u8], issued: &IssuerSigned<'_>) -> Self {
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

/// What a presentation is bound to: the request, as both sides know it (OpenID4VP 1.0 §B.2.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript(Vec<u8>);

impl Transcript {
    /// For a response that is sent to `response_uri`. `thumbprint` is that of the key to which the
    /// response is encrypted, if it is.
    pub fn openid4vp(
        client_id: &str,
        nonce: &str,
        thumbprint: Option<&[u8; 32]>,
        response_uri: &str,
    ) -> Self {
        let info = Writer::new().array(4).text(client_id).text(nonce);
        let info = thumb(info, thumbprint).text(response_uri).done();
        Self::of("OpenID4VPHandover", &info)
    }

    /// For a response through a browser's Digital Credentials API.
    pub fn dc_api(origin: &str, nonce: &str, thumbprint: Option<&[u8; 32]>) -> Self {
        let info = Writer::new().array(3).text(origin).text(nonce);
        Self::of("OpenID4VPDCAPIHandover", &thumb(info, thumbprint).done())
    }

    fn of(handover: &str, info: &[u8]) -> Self {
        let written = Writer::new().array(3).null().null().array(2);
        Self(written.text(handover).bytes(&Sha256::digest(info)).done())
    }

    /// The bytes of `SessionTranscript`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `DeviceAuthenticationBytes` (ISO/IEC 18013-5 §9.1.3.4).
    fn device_authentication(&self, doc_type: &str, name_spaces: &[u8]) -> Vec<u8> {
        let inner = Writer::new()
            .array(4)
            .text("DeviceAuthentication")
            .raw(&self.0)
            .text(doc_type)
            .raw(name_spaces)
            .done();
        Writer::new().encoded(&inner).done()
    }
}

fn thumb(written: Writer, thumbprint: Option<&[u8; 32]>) -> Writer {
    match thumbprint {
        Some(thumbprint) => written.bytes(thumbprint),
        None => written.null(),
    }
}

// ---- the verifier -------------------------------------------------------------------------

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

/// The one document of a `DeviceResponse`.
struct Document<'b> {
    doc_type: &'b str,
    issued: IssuerSigned<'b>,
    /// `DeviceNameSpacesBytes` as it came.
    device_spaces: &'b [u8],
    device_auth: cose::Claimed<'b>,
}

impl<'b> Document<'b> {
    fn read(response: &'b [u8]) -> Result<Self, MdocError> {
        let (mut version, mut status, mut document) = (None, None, None);
        cbor::whole(response, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("version") => version = Some(decoder.str()?),
                    Key::Text("status") => status = Some(decoder.u64()?),
                    Key::Text("documents") => {
                        cbor::array_of(decoder, 1)?;
                        document = Some(cbor::raw(decoder)?);
                    }
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        if version != Some("1.0") || status != Some(0) {
            return Err(MdocError::Malformed);
        }
        let (mut doc_type, mut issued, mut device) = (None, None, None);
        cbor::whole(document.ok_or(Malformed)?, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("docType") => doc_type = Some(decoder.str()?),
                    Key::Text("issuerSigned") => issued = Some(cbor::raw(decoder)?),
                    Key::Text("deviceSigned") => device = Some(cbor::raw(decoder)?),
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        let (device_spaces, device_auth) = read_device(device.ok_or(Malformed)?)?;
        Ok(Self {
            doc_type: doc_type.ok_or(Malformed)?,
            issued: IssuerSigned::read(issued.ok_or(Malformed)?)?,
            device_spaces,
            device_auth,
        })
    }
}

/// `DeviceSigned`: name spaces that must be empty, and a signature.
fn read_device(bytes: &[u8]) -> Result<(&[u8], cose::Claimed<'_>), MdocError> {
    let (mut spaces, mut signature, mut mac) = (None, None, false);
    cbor::whole(bytes, |decoder| {
        cbor::map(decoder, |key, decoder| {
            match key {
                Key::Text("nameSpaces") => spaces = Some(cbor::encoded(decoder)?),
                Key::Text("deviceAuth") => cbor::map(decoder, |key, decoder| {
                    match key {
                        Key::Text("deviceSignature") => {
                            signature = Some(cose::Claimed::read(decoder)?);
                            return Ok(true);
                        }
                        Key::Text("deviceMac") => mac = true,
                        _ => return Err(Malformed),
                    }
                    Ok(false)
                })?,
                _ => return Err(Malformed),
            }
            Ok(true)
        })
    })?;
    let (outer, inner) = spaces.ok_or(Malformed)?;
    if inner != [0xa0] {
        return Err(MdocError::DeviceClaims);
    }
    let signature = match signature {
        // Its payload is what both sides make of the request, never what comes with it.
        Some(signature) if signature.payload.is_none() => signature,
        None if mac => return Err(MdocError::DeviceMac),
        _ => return Err(MdocError::Malformed),
    };
    Ok((outer, signature))
}

#[cfg(test)]
#[path = "mdoc/tests.rs"]
mod tests;
