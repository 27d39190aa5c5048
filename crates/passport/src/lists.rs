//! Whom to believe: the country signing CAs of a master list, and their revocation lists.
//!
//! A master list is read as a bundle of certificates, PEM or DER. Who publishes it (ICAO, a state) is
//! for the operator to check when they take it: docs/operators.md has the commands.
//!
//! What cannot be used is left out and counted, not refused: master lists of the world have keys that
//! are not taken here (brainpool curves, short RSA), and one of them must not shut out everybody else.

use der::asn1::{ObjectIdentifier, PrintableString, SetOfVec};
use der::oid::AssociatedOid;
use der::{Decode, Encode, Sequence};
use std::collections::BTreeSet;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, CrlDistributionPoints,
    ExtendedKeyUsage, IssuerAltName, KeyUsage, PrivateKeyUsagePeriod, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::{Refused, oid, signature};

/// The longest file of certificates or of one revocation list, in bytes.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;
/// The most certificates of all files together. The world has some hundreds.
pub const MAX_CERTIFICATES: usize = 4096;
/// How far another clock may be ahead, in seconds.
const CLOCK_SKEW_S: u64 = 300;

/// Extensions that may be critical: what they restrict is checked here, or restricts nothing here.
const KNOWN: [ObjectIdentifier; 10] = [
    BasicConstraints::OID,
    KeyUsage::OID,
    ExtendedKeyUsage::OID,
    AuthorityKeyIdentifier::OID,
    SubjectKeyIdentifier::OID,
    PrivateKeyUsagePeriod::OID,
    CrlDistributionPoints::OID,
    CertificatePolicies::OID,
    SubjectAltName::OID,
    IssuerAltName::OID,
];
/// The only extensions of revocation lists whose meaning is known here.
const CRL_KNOWN: [ObjectIdentifier; 2] = [AuthorityKeyIdentifier::OID, oid::CRL_NUMBER];

/// Why a file of lists was not read. For the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListError {
    /// Neither PEM nor DER of what it should be, or too long.
    Malformed,
    /// More certificates than are read.
    TooMany,
}

/// What was left out of the lists, as it cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Not a certificate authority of a state, or with a key that is not taken.
    pub certificates: usize,
    /// Not signed by a country signing CA of its state, or partial.
    pub revocation_lists: usize,
}

/// A certificate whose form was read, as a document signer's or as an authority's.
pub struct Signer {
    certificate: Certificate,
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
    usage: Option<KeyUsage>,
    is_authority: bool,
    has_unknown_critical: bool,
    /// For something else than documents: country signing CAs certify signers of master lists, of
    /// deviation lists and of bar codes too, and servers (ICAO 9303-12, 7.1). Those say so by an extended
    /// usage, which document signers do not have. A web server's key must not make passports.
    has_extended_usage: bool,
    /// The kinds of documents that it signs, as zones have them; all where it does not say.
    documents: Option<Vec<String>>,
}

/// `DocumentTypeListSyntax`.
#[derive(Sequence)]
struct DocumentTypes {
    version: u8,
    codes: SetOfVec<PrintableString>,
}

/// A revocation list whose signature is of its state.
struct RevocationList {
    country: String,
    this_update_s: u64,
    next_update_s: u64,
    revoked: BTreeSet<Vec<u8>>,
}

/// Master list and revocation lists.
#[derive(Default)]
pub struct Lists {
    authorities: Vec<Signer>,
    revocation: Vec<RevocationList>,
}

impl Signer {
    pub(crate) fn of(certificate: Certificate) -> Option<Self> {
        let body = certificate.tbs_certificate();
        let extensions = body.extensions().map(Vec::as_slice).unwrap_or_default();
        let mut seen = BTreeSet::new();
        // RFC 5280, 4.2: one of a kind.
        if !extensions
            .iter()
            .all(|extension| seen.insert(extension.extn_id))
        {
            return None;
        }
        let has_unknown_critical = extensions.iter().any(|extension| {
            let known = KNOWN.contains(&extension.extn_id)
                || oid::ICAO_EXTENSIONS.contains(&extension.extn_id);
            extension.critical && !known
        });
        let of = |oid| extensions.iter().find(|extension| extension.extn_id == oid);
        let documents = match of(oid::DOCUMENT_TYPES) {
            Some(extension) => {
                let types = DocumentTypes::from_der(extension.extn_value.as_bytes()).ok()?;
                let codes = types.codes.iter().filter(|_| types.version == 0);
                Some(codes.map(|code| code.as_str().to_owned()).collect())
            }
            None => None,
        };
        let key_id = body.get_extension::<SubjectKeyIdentifier>().ok()?;
        let key_id = key_id.map(|(_, id)| id.0.as_bytes().to_vec());
        let issuer_key_id = body.get_extension::<AuthorityKeyIdentifier>().ok()?;
        let issuer_key_id =
            issuer_key_id.and_then(|(_, id)| Some(id.key_identifier?.as_bytes().to_vec()));
        let usage = body
            .get_extension::<KeyUsage>()
            .ok()?
            .map(|(_, usage)| usage);
        let basic = body.get_extension::<BasicConstraints>().ok()?;
        Some(Self {
            key_id,
            issuer_key_id,
            usage,
            is_authority: basic.is_some_and(|(_, basic)| basic.ca),
            has_unknown_critical,
            has_extended_usage: of(ExtendedKeyUsage::OID).is_some(),
            documents,
            certificate,
        })
    }

    pub(crate) fn key(&self) -> &SubjectPublicKeyInfoOwned {
        self.certificate.tbs_certificate().subject_public_key_info()
    }

    pub(crate) fn key_id(&self) -> Option<&[u8]> {
        self.key_id.as_deref()
    }

    pub(crate) fn is(&self, issuer: &Name, serial: &SerialNumber) -> bool {
        let body = self.certificate.tbs_certificate();
        body.issuer() == issuer && body.serial_number() == serial
    }

    /// The subject's country in two capital letters; in certificates it is in either case.
    pub(crate) fn country(&self) -> Result<String, Refused> {
        country_of(self.certificate.tbs_certificate().subject()).ok_or(Refused::Country)
    }

    fn serial(&self) -> Vec<u8> {
        let serial = self.certificate.tbs_certificate().serial_number();
        serial.as_bytes().to_vec()
    }

    fn is_valid_at(&self, time_s: u64) -> bool {
        let validity = self.certificate.tbs_certificate().validity();
        let from_s = validity.not_before.to_unix_duration().as_secs();
        let until_s = validity.not_after.to_unix_duration().as_secs();
        (from_s..=until_s).contains(&time_s)
    }

    /// Whether it may certify others.
    fn certifies(&self) -> bool {
        let usage = self.usage.as_ref().is_some_and(KeyUsage::key_cert_sign);
        self.is_authority && usage && !self.has_unknown_critical && !self.has_extended_usage
    }

    /// Whether it signs documents of this code: by the code itself, or as passports of every kind.
    pub(crate) fn signs_documents_of(&self, code: &str) -> bool {
        let known = |codes: &Vec<String>| codes.iter().any(|one| one == code || one == "P");
        self.documents.as_ref().is_none_or(known)
    }

    /// Whether `authority` could have made it, by the names. The signature decides.
    fn names(&self, authority: &Self) -> bool {
        let body = self.certificate.tbs_certificate();
        let subject = authority.certificate.tbs_certificate().subject();
        let same_key = self.issuer_key_id.is_some() && self.issuer_key_id == authority.key_id;
        body.issuer() == subject || same_key
    }

    fn is_signed_by(&self, authority: &Self) -> Result<(), Refused> {
        let certificate = &self.certificate;
        // RFC 5280, 4.1.1.2: both name one algorithm.
        if certificate.signature_algorithm() != certificate.tbs_certificate().signature() {
            return Err(Refused::Malformed);
        }
        let body = certificate
            .tbs_certificate()
            .to_der()
            .map_err(|_| Refused::Malformed)?;
        let signature = certificate
            .signature()
            .as_bytes()
            .ok_or(Refused::Malformed)?;
        signature::check(
            authority.key(),
            certificate.signature_algorithm(),
            None,
            &body,
            signature,
        )
    }
}

impl Lists {
    /// Reads files of certificates and files of revocation lists, each PEM or DER.
    pub fn read<C: AsRef<[u8]>, R: AsRef<[u8]>>(
        certificates: &[C],
        revocation_lists: &[R],
    ) -> Result<(Self, LeftOut), ListError> {
        let mut lists = Self::default();
        let mut left_out = LeftOut::default();
        for file in certificates {
            for der in items(file.as_ref(), "CERTIFICATE")? {
                if lists.authorities.len() == MAX_CERTIFICATES {
                    return Err(ListError::TooMany);
                }
                let authority = Certificate::from_der(&der).ok().and_then(Signer::of);
                let usable = authority
                    .filter(|authority| authority.certifies() && authority.country().is_ok());
                match usable {
                    Some(authority) => lists.authorities.push(authority),
                    None => left_out.certificates += 1,
                }
            }
        }
        for file in revocation_lists {
            for der in items(file.as_ref(), "X509 CRL")? {
                match lists.revocation_list(&der) {
                    Some(list) => lists.revocation.push(list),
                    None => left_out.revocation_lists += 1,
                }
            }
        }
        Ok((lists, left_out))
    }

    /// How many country signing CAs there are.
    pub fn len(&self) -> usize {
        self.authorities.len()
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty()
    }

    /// A revocation list, where a country signing CA of its own state signed it and it is whole.
    fn revocation_list(&self, der: &[u8]) -> Option<RevocationList> {
        let list: CertificateList = CertificateList::from_der(der).ok()?;
        let body = &list.tbs_cert_list;
        let extensions = body.crl_extensions.as_deref().unwrap_or_default();
        let understood = extensions.iter().all(|extension| {
            let known = CRL_KNOWN.contains(&extension.extn_id);
            // A delta says a part of what is revoked, critical or not.
            (known || !extension.critical) && extension.extn_id != oid::DELTA_CRL
        });
        if !understood || body.signature != list.signature_algorithm {
            return None;
        }
        let country = country_of(&body.issuer)?;
        let signed = body.to_der().ok()?;
        let signature = list.signature.as_bytes()?;
        let by_own = self.authorities.iter().any(|authority| {
            let may = authority.usage.as_ref().is_some_and(KeyUsage::crl_sign);
            may && authority.country().is_ok_and(|of| of == country)
                && signature::check(
                    authority.key(),
                    &list.signature_algorithm,
                    None,
                    &signed,
                    signature,
                )
                .is_ok()
        });
        let next_update = body.next_update.as_ref()?;
        by_own.then(|| RevocationList {
            country,
            this_update_s: body.this_update.to_unix_duration().as_secs(),
            next_update_s: next_update.to_unix_duration().as_secs(),
            revoked: body
                .revoked_certificates
                .iter()
                .flatten()
                .map(|entry| entry.serial_number.as_bytes().to_vec())
                .collect(),
        })
    }

    /// That a document signer is certified by a country signing CA of its own state, both valid and not
    /// revoked.
    pub(crate) fn check_signer(
        &self,
        signer: &Signer,
        signed_s: Option<u64>,
        now_s: u64,
    ) -> Result<(), Refused> {
        let signs = signer
            .usage
            .as_ref()
            .is_some_and(KeyUsage::digital_signature);
        let other = signer.is_authority || signer.has_unknown_critical || signer.has_extended_usage;
        if !signs || other {
            return Err(Refused::Signer);
        }
        let country = signer.country()?;
        let mut times = [Some(now_s), signed_s].into_iter().flatten();
        let said_later = signed_s.is_some_and(|signed_s| signed_s > now_s + CLOCK_SKEW_S);
        let is_valid = times.all(|time_s| signer.is_valid_at(time_s)) && !said_later;
        let (mut stands, mut refused) = (false, None);
        // One key may have several certificates in the list, its own and links from the key before, each
        // with a time of its own: one that stands is enough.
        for authority in self
            .authorities
            .iter()
            .filter(|authority| signer.names(authority))
        {
            match signer.is_signed_by(authority) {
                Ok(()) => {}
                Err(Refused::Signature) => continue,
                // A weak signature is named as one, whoever is said to have made it.
                Err(weak) => {
                    refused.get_or_insert(weak);
                    continue;
                }
            }
            // Whichever of the key's certificates was revoked: it is one key.
            if self.is_revoked(&country, &[signer.serial(), authority.serial()]) {
                return Err(Refused::Revoked);
            }
            if authority.country()? != country {
                refused.get_or_insert(Refused::Country);
            } else if !is_valid || !authority.is_valid_at(now_s) {
                refused.get_or_insert(Refused::SignerExpired);
            } else {
                stands = true;
            }
        }
        if !stands {
            return Err(refused.unwrap_or(Refused::Untrusted));
        }
        self.check_revocation(&country, now_s)
    }

    /// Whether a list of the state says so. What was revoked once stays so, also where the list that says
    /// it is out of date.
    fn is_revoked(&self, country: &str, serials: &[Vec<u8>]) -> bool {
        let mut of_state = self
            .revocation
            .iter()
            .filter(|list| list.country == country);
        of_state.any(|list| serials.iter().any(|serial| list.revoked.contains(serial)))
    }

    /// That there is a list of the state by which to tell.
    fn check_revocation(&self, country: &str, now_s: u64) -> Result<(), Refused> {
        let mut of_state = self
            .revocation
            .iter()
            .filter(|list| list.country == country);
        let is_current = |list: &RevocationList| {
            list.this_update_s <= now_s + CLOCK_SKEW_S && now_s <= list.next_update_s
        };
        of_state
            .any(is_current)
            .then_some(())
            .ok_or(Refused::NoRevocationList)
    }
}

/// In capital letters, of whatever type of string.
fn country_of(name: &Name) -> Option<String> {
    let mut named = name
        .iter()
        .filter(|attribute| attribute.oid == oid::COUNTRY);
    let country = named.next()?.value.value().to_ascii_uppercase();
    let country = String::from_utf8(country).ok()?;
    let is_one = named.next().is_none() && country.len() == 2;
    (is_one && country.bytes().all(|b| b.is_ascii_uppercase())).then_some(country)
}

/// The DER items of a file: one that is DER itself, or each of a PEM bundle with this label. Text
/// around them is comment.
fn items(file: &[u8], label: &str) -> Result<Vec<Vec<u8>>, ListError> {
    if file.len() > MAX_FILE_BYTES {
        return Err(ListError::Malformed);
    }
    if file.first() == Some(&0x30) {
        return Ok(vec![file.to_vec()]);
    }
    let text = std::str::from_utf8(file).map_err(|_| ListError::Malformed)?;
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after.split_once(&end).ok_or(ListError::Malformed)?;
        let body: String = body.split_ascii_whitespace().collect();
        found.push(base64(&body).ok_or(ListError::Malformed)?);
        rest = after;
    }
    (!found.is_empty())
        .then_some(found)
        .ok_or(ListError::Malformed)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
