//! The document security object, EF.SOD (ICAO 9303-10, 4.6.2): CMS `SignedData` around the hashes of
//! the data groups.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetString, OctetStringRef, PrintableString};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use crate::lists::Signer;
use crate::signature::{self, Hash};
use crate::{Chip, GROUPS, MAX_GROUP_BYTES, MAX_OBJECT_BYTES, Refused, oid};

/// `LDSSecurityObject`.
#[derive(Sequence)]
pub struct LdsObject {
    pub version: u8,
    pub hash: AlgorithmIdentifierOwned,
    pub groups: Vec<GroupHash>,
    pub lds_version: Option<LdsVersion>,
}

#[derive(Sequence)]
pub struct GroupHash {
    pub number: u8,
    pub hash: OctetString,
}

#[derive(Sequence)]
pub struct LdsVersion {
    pub lds: PrintableString,
    pub unicode: PrintableString,
}

/// A security object that was read. Its signature is checked by [`SecurityObject::check_signature`].
pub struct SecurityObject {
    pub signer: Signer,
    /// When it was signed, as its signer says, Unix seconds.
    pub signed_s: Option<u64>,
    info: SignerInfo,
    content: Vec<u8>,
    lds: LdsObject,
}

impl SecurityObject {
    /// Reads a file of a chip: tag `77` around a `ContentInfo`, one signer, whose certificate is in it.
    pub fn read(bytes: &[u8]) -> Result<Self, Refused> {
        Self::parse(bytes).ok_or(Refused::Malformed)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let inner = application_23(bytes)?;
        let outer = ContentInfo::from_der(inner).ok()?;
        if outer.content_type != oid::SIGNED_DATA {
            return None;
        }
        let signed: SignedData = outer.content.decode_as().ok()?;
        let content = signed.encap_content_info;
        if content.econtent_type != oid::LDS_OBJECT {
            return None;
        }
        let content = content.econtent?;
        let content: &OctetStringRef = content.decode_as().ok()?;
        let content = content.as_bytes().to_vec();
        let lds = LdsObject::from_der(&content).ok()?;
        let mut infos = signed.signer_infos.0.into_vec().into_iter();
        let info = infos.next()?;
        if infos.next().is_some() {
            return None;
        }
        let certificates = signed.certificates?.0.into_vec();
        let signer = certificates.into_iter().find_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => {
                let signer = Signer::of(certificate)?;
                is_named(&signer, &info.sid).then_some(signer)
            }
            CertificateChoices::Other(_) => None,
        })?;
        let signed_s = match attribute(&info, oid::SIGNING_TIME) {
            Some(time) => Some(time?.decode_as::<Time>().ok()?.to_unix_duration().as_secs()),
            None => None,
        };
        Some(Self {
            signer,
            signed_s,
            info,
            content,
            lds,
        })
    }

    /// What is signed, as it stands.
    #[cfg(test)]
    pub fn content_bytes(&self) -> &[u8] {
        &self.content
    }

    /// That the signer's key signed this content (RFC 5652, 5.4 and 5.6).
    pub fn check_signature(&self) -> Result<(), Refused> {
        let hash = Hash::of(&self.info.digest_alg)?;
        let message = self.signed_message(hash).ok_or(Refused::Signature)?;
        signature::check(
            self.signer.key(),
            &self.info.signature_algorithm,
            Some(hash),
            &message,
            self.info.signature.as_bytes(),
        )
    }

    /// The attributes, where they name this content by type and digest; a content of a type of its own
    /// has to have them.
    fn signed_message(&self, hash: Hash) -> Option<Vec<u8>> {
        let kind = attribute(&self.info, oid::CONTENT_TYPE)??;
        let digest = attribute(&self.info, oid::MESSAGE_DIGEST)??;
        let kind: ObjectIdentifier = kind.decode_as().ok()?;
        let digest: &OctetStringRef = digest.decode_as().ok()?;
        let holds = kind == oid::LDS_OBJECT && digest.as_bytes() == hash.digest(&self.content);
        holds.then_some(())?;
        self.info.signed_attrs.as_ref()?.to_der().ok()
    }

    /// That each group that was sent is one of the object's, as it was signed.
    pub fn check_groups(&self, groups: &[(u8, &[u8])]) -> Result<(), Refused> {
        let known = usize::from(*GROUPS.end());
        if groups.len() > known || self.lds.groups.len() > known {
            return Err(Refused::Malformed);
        }
        let hash = Hash::of(&self.lds.hash)?;
        for (number, bytes) in groups {
            if !GROUPS.contains(number) || bytes.len() > MAX_GROUP_BYTES {
                return Err(Refused::Malformed);
            }
            let mut named = self
                .lds
                .groups
                .iter()
                .filter(|group| group.number == *number);
            let one = named.next().ok_or(Refused::Group)?;
            if named.next().is_some() {
                return Err(Refused::Malformed);
            }
            if one.hash.as_bytes() != hash.digest(bytes) {
                return Err(Refused::Altered);
            }
        }
        Ok(())
    }
}

impl Chip<'_> {
    /// The signer and everything else of the security object, read without believing any of it: for
    /// fuzzers, which then know that all of it was reached.
    pub fn reads(&self) -> bool {
        SecurityObject::read(self.security_object).is_ok()
    }
}

/// The one value of an attribute that stands once: nothing where it is not there, nothing inside
/// where it is not one value.
fn attribute(info: &SignerInfo, oid: ObjectIdentifier) -> Option<Option<&der::Any>> {
    let attributes = info.signed_attrs.as_ref()?;
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let one = found.next()?;
    let mut values = one.values.iter();
    let value = values.next();
    let is_one = found.next().is_none() && values.next().is_none();
    Some(value.filter(|_| is_one))
}

fn is_named(signer: &Signer, id: &SignerIdentifier) -> bool {
    match id {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            signer.is(&named.issuer, &named.serial_number)
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => {
            signer.key_id() == Some(named.0.as_bytes())
        }
    }
}

/// The content of `[APPLICATION 23]`, with nothing after it.
fn application_23(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.len() > MAX_OBJECT_BYTES {
        return None;
    }
    let mut reader = SliceReader::new(bytes).ok()?;
    let header = der::Header::decode(&mut reader).ok()?;
    let is_object = matches!(header.tag(), Tag::Application { constructed: true, number } if number.value() == 23);
    let content = reader.read_slice(header.length()).ok()?;
    (is_object && reader.is_finished()).then_some(content)
}
