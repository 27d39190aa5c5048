//! Invented states and their passports: for whoever tries the system out, and for tests.
//!
//! A state has a key that certifies, signers whom it certified, and revocation lists; a signer makes
//! the security object of a chip. Keys come from the system's randomness and are forgotten with the
//! value that has them. Nothing here decides anything: whatever it makes is judged as all else is.

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{GeneralizedTime, ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Decode, Encode, Tag};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SigningKey as _,
};
use std::time::Duration;
use time::OffsetDateTime;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::mrz::check_digit;
use crate::object::{GroupHash, LdsObject};
use crate::oid;

/// A specimen that could not be made: its parts do not fit, or the system gives no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmade;

impl From<rcgen::Error> for Unmade {
    fn from(_: rcgen::Error) -> Self {
        Self
    }
}

impl From<der::Error> for Unmade {
    fn from(_: der::Error) -> Self {
        Self
    }
}

/// Keys of specimens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    P256,
    P384,
    Rsa,
}

impl KeyKind {
    fn generate(self) -> Result<KeyPair, Unmade> {
        let by = match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Rsa => &rcgen::PKCS_RSA_SHA256,
        };
        Ok(KeyPair::generate_for(by)?)
    }
}

/// An invented state's country signing CA.
pub struct State {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate.
    pub certificate: Vec<u8>,
    pub certificate_pem: String,
}

/// How a document signer is certified.
pub struct Signing<'a> {
    /// Two letters, as in the signer's name.
    pub country: &'a str,
    pub kind: KeyKind,
    pub serial: u64,
    /// Valid from and until, Unix seconds.
    pub from_s: u64,
    pub until_s: u64,
    /// What its key is for.
    pub usages: &'a [KeyUsagePurpose],
    pub is_authority: bool,
}

/// An extension of a certificate that has no field of its own here.
pub struct Extension<'a> {
    pub oid: &'a [u64],
    pub is_critical: bool,
    /// DER.
    pub content: &'a [u8],
}

/// A document signer.
pub struct Signer {
    kind: KeyKind,
    key: KeyPair,
    certificate: Certificate,
}

/// A hash by name and by function.
#[derive(Clone, Copy)]
pub struct HashBy {
    pub oid: ObjectIdentifier,
    pub by: &'static digest::Algorithm,
}

impl HashBy {
    pub const SHA_256: Self = Self {
        oid: oid::SHA_256,
        by: &digest::SHA256,
    };
    pub const SHA_384: Self = Self {
        oid: oid::SHA_384,
        by: &digest::SHA384,
    };

    /// Never taken: for a passport that is too weak.
    pub const SHA_1: Self = Self {
        oid: oid::SHA_1,
        by: &digest::SHA1_FOR_LEGACY_USE_ONLY,
    };

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.by, bytes).as_ref().to_vec()
    }

    fn algorithm(self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned {
            oid: self.oid,
            parameters: None,
        }
    }
}

/// What a security object says.
pub struct Contents<'a> {
    /// Of the data groups.
    pub hash: HashBy,
    pub groups: &'a [(u8, Vec<u8>)],
    /// Unix seconds; not said where there is none.
    pub signed_s: Option<u64>,
    /// With RSA: by PSS.
    pub pss: bool,
}

/// What stands in a passport, each as its zone has it.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Three letters.
    pub state: &'a str,
    pub family_name: &'a str,
    pub given_name: &'a str,
    /// At most nine letters and digits.
    pub number: &'a str,
    pub nationality: &'a str,
    /// `YYMMDD`.
    pub birth: &'a str,
    /// `M`, `F` or `<`.
    pub sex: char,
    pub expiry: &'a str,
    /// At most fourteen letters and digits; may be empty.
    pub personal: &'a str,
}

impl Facts<'_> {
    /// The two lines of the zone.
    pub fn zone(&self) -> Option<String> {
        let padded = |text: &str, len: usize| {
            let text = text.replace([' ', '-', '\''], "<");
            let sound = text.len() <= len && text.is_ascii();
            sound.then(|| format!("{text:<<len$}"))
        };
        let checked = |text: String| {
            let digit = check_digit(text.as_bytes())?;
            Some(format!("{text}{}", char::from(digit)))
        };
        let names = format!("{}<<{}", self.family_name, self.given_name);
        let above = format!("P<{}{}", padded(self.state, 3)?, padded(&names, 39)?);
        let number = checked(padded(self.number, 9)?)?;
        let birth = checked(padded(self.birth, 6)?)?;
        let rest = [
            checked(padded(self.expiry, 6)?)?,
            checked(padded(self.personal, 14)?)?,
        ]
        .concat();
        let whole = check_digit(format!("{number}{birth}{rest}").as_bytes())?;
        let nationality = padded(self.nationality, 3)?;
        let whole = char::from(whole);
        Some(format!(
            "{above}{number}{nationality}{birth}{}{rest}{whole}",
            self.sex
        ))
    }

    /// Data group 1.
    pub fn group(&self) -> Result<Vec<u8>, Unmade> {
        let zone = self.zone().filter(|zone| zone.len() == 88).ok_or(Unmade)?;
        Ok([&[0x61, 0x5b, 0x5f, 0x1f, 0x58], zone.as_bytes()].concat())
    }
}

fn at(time_s: u64) -> Result<OffsetDateTime, Unmade> {
    OffsetDateTime::from_unix_timestamp(time_s as i64).map_err(|_| Unmade)
}

impl State {
    /// A state whose certificate is valid from and until these times, Unix seconds.
    pub fn new(
        country: &str,
        name: &str,
        kind: KeyKind,
        from_s: u64,
        until_s: u64,
    ) -> Result<Self, Unmade> {
        let key = kind.generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, country);
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = at(from_s)?;
        params.not_after = at(until_s)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from(1));
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            params,
            key,
        })
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// Another certificate of the same name and key, as states make when a key follows another.
    pub fn again(&self, serial: u64, from_s: u64, until_s: u64) -> Result<String, Unmade> {
        let mut params = self.params.clone();
        params.not_before = at(from_s)?;
        params.not_after = at(until_s)?;
        params.serial_number = Some(SerialNumber::from(serial));
        Ok(params.self_signed(&self.key)?.pem())
    }

    /// Certifies a signer with a new key.
    pub fn signer(&self, how: &Signing<'_>) -> Result<Signer, Unmade> {
        self.signer_with(how, &[])
    }

    /// The same, with more extensions.
    pub fn signer_with(
        &self,
        how: &Signing<'_>,
        extensions: &[Extension<'_>],
    ) -> Result<Signer, Unmade> {
        let key = how.kind.generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CountryName, how.country);
        params
            .distinguished_name
            .push(DnType::CommonName, "Document Signer");
        params.not_before = at(how.from_s)?;
        params.not_after = at(how.until_s)?;
        params.key_usages = how.usages.to_vec();
        params.serial_number = Some(SerialNumber::from(how.serial));
        params.use_authority_key_identifier_extension = true;
        for extension in extensions {
            let content = extension.content.to_vec();
            let mut custom = rcgen::CustomExtension::from_oid_content(extension.oid, content);
            custom.set_criticality(extension.is_critical);
            params.custom_extensions.push(custom);
        }
        if how.is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        }
        let certificate = params.signed_by(&key, &self.issuer())?;
        Ok(Signer {
            kind: how.kind,
            key,
            certificate: Certificate::from_der(certificate.der())?,
        })
    }

    /// A revocation list of these serial numbers, PEM.
    pub fn revocation_list(
        &self,
        serials: &[u64],
        this_update_s: u64,
        next_update_s: u64,
    ) -> Result<String, Unmade> {
        let revoked = |serial: &u64| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: at(this_update_s)?,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update: at(this_update_s)?,
            next_update: at(next_update_s)?,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect::<Result<_, Unmade>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer())?.pem()?)
    }
}

impl Signer {
    /// The security object of a chip with these data groups.
    pub fn security_object(&self, contents: &Contents<'_>) -> Result<Vec<u8>, Unmade> {
        let group = |(number, bytes): &(u8, Vec<u8>)| {
            Ok(GroupHash {
                number: *number,
                hash: OctetString::new(contents.hash.digest(bytes))?,
            })
        };
        let lds = LdsObject {
            version: 0,
            hash: contents.hash.algorithm(),
            groups: contents
                .groups
                .iter()
                .map(group)
                .collect::<Result<_, Unmade>>()?,
            lds_version: None,
        };
        self.sign(&lds.to_der()?, contents)
    }

    fn sign(&self, content: &[u8], contents: &Contents<'_>) -> Result<Vec<u8>, Unmade> {
        let hash = match self.kind {
            KeyKind::P384 => HashBy::SHA_384,
            KeyKind::P256 | KeyKind::Rsa => HashBy::SHA_256,
        };
        let mut attributes = vec![
            attribute(oid::CONTENT_TYPE, &oid::LDS_OBJECT)?,
            attribute(
                oid::MESSAGE_DIGEST,
                &OctetString::new(hash.digest(content))?,
            )?,
        ];
        if let Some(signed_s) = contents.signed_s {
            let time = GeneralizedTime::from_unix_duration(Duration::from_secs(signed_s))?;
            attributes.push(attribute(oid::SIGNING_TIME, &time)?);
        }
        let attributes = SetOfVec::try_from(attributes)?;
        let message = attributes.to_der()?;
        let (algorithm, signature) = match (self.kind, contents.pss) {
            (KeyKind::Rsa, true) => (pss_sha256()?, self.sign_pss(&message)?),
            (kind, _) => {
                let by = match kind {
                    KeyKind::P256 => oid::ECDSA_SHA_256,
                    KeyKind::P384 => oid::ECDSA_SHA_384,
                    KeyKind::Rsa => oid::RSA_SHA_256,
                };
                let by = AlgorithmIdentifierOwned {
                    oid: by,
                    parameters: (kind == KeyKind::Rsa).then(Any::null),
                };
                (by, self.key.sign(&message)?)
            }
        };
        let body = self.certificate.tbs_certificate();
        let info = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: body.issuer().clone(),
                serial_number: body.serial_number().clone(),
            }),
            digest_alg: hash.algorithm(),
            signed_attrs: Some(attributes),
            signature_algorithm: algorithm,
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificate = CertificateChoices::Certificate(self.certificate.clone());
        let signed = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: SetOfVec::try_from(vec![hash.algorithm()])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: oid::LDS_OBJECT,
                econtent: Some(Any::new(Tag::OctetString, content)?),
            },
            certificates: Some(vec![certificate].try_into()?),
            crls: None,
            signer_infos: SignerInfos::try_from(vec![info])?,
        };
        let outer = ContentInfo {
            content_type: oid::SIGNED_DATA,
            content: Any::encode_from(&signed)?,
        };
        file_23(&outer.to_der()?)
    }

    fn sign_pss(&self, message: &[u8]) -> Result<Vec<u8>, Unmade> {
        let key = RsaKeyPair::from_pkcs8(&self.key.serialize_der()).map_err(|_| Unmade)?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(
            &RSA_PSS_SHA256,
            &SystemRandom::new(),
            message,
            &mut signature,
        )
        .map_err(|_| Unmade)?;
        Ok(signature)
    }
}

fn attribute(
    oid: ObjectIdentifier,
    value: &(impl der::EncodeValue + der::Tagged),
) -> Result<Attribute, Unmade> {
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![Any::encode_from(value)?])?,
    })
}

/// RSASSA-PSS with SHA-256 throughout and a salt of 32 bytes (RFC 4055, 3.1).
fn pss_sha256() -> Result<AlgorithmIdentifierOwned, Unmade> {
    let parameters = crate::signature::PssParameters::sha256()?;
    Ok(AlgorithmIdentifierOwned {
        oid: oid::RSA_PSS,
        parameters: Some(Any::encode_from(&parameters)?),
    })
}

/// Content within tag `77`, `[APPLICATION 23]`.
pub fn file_23(content: &[u8]) -> Result<Vec<u8>, Unmade> {
    let len = u16::try_from(content.len()).map_err(|_| Unmade)?;
    let [high, low] = len.to_be_bytes();
    let head = match len {
        0..=0x7f => vec![0x77, low],
        0x80..=0xff => vec![0x77, 0x81, low],
        _ => vec![0x77, 0x82, high, low],
    };
    Ok([head, content.to_vec()].concat())
}
