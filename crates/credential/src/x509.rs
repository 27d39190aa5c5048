//! X.509 certificates as far as credentials need them (RFC 5280): keys by `x5c` and `x5chain`, as
//! HAIP 1.0 §6.1.1 asks.
//!
//! Read strictly and narrowly: DER, version 3, P-256 with ECDSA and SHA-256, at most four in a
//! chain. An extension that is critical and not known here is refused. There is no revocation:
//! which key of an issuer stands is on the ledger, and a chain is for whoever does not read it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::jose::VerifyingKey;
use crate::refusal::refusals;

/// The longest certificate, in bytes.
pub const MAX_LEN: usize = 8 * 1024;
/// The most certificates of one chain.
pub const MAX_CHAIN: usize = 4;
/// The most names that are read.
const MAX_NAMES: usize = 16;

refusals! {
    /// Why a certificate or a chain was refused.
    X509Error
    Malformed Issuer "x509.malformed" "a certificate is DER of version 3, at most 8 kB, without unknown critical extensions" "have it issued anew",
    Algorithm Issuer "x509.algorithm" "keys are P-256 and signatures ECDSA with SHA-256" "have it issued with such a key",
    Chain Issuer "x509.chain" "each certificate is signed by the next, and the last by an authority that is trusted here" "send the whole chain but the root, leaf first",
    SelfSigned Issuer "x509.self_signed" "the leaf is not self-signed, and the chain leaves out the root" "send the leaf that an authority signed",
    Time Issuer "x509.time" "each certificate is valid now" "renew the certificate",
}

/// The longest name that is shown to people, in bytes.
const MAX_NAME: usize = 128;

const COMMON: &[u8] = &[0x55, 0x1d];
const KEY_USAGE: u8 = 0x0f;
const ALT_NAME: u8 = 0x11;
const AUTHORITY_KEY: u8 = 0x23;
const BASIC: u8 = 0x13;
const EXTENDED_USAGE: u8 = 0x25;
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `UTF8String`, `PrintableString` and `IA5String`.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];

/// A certificate that was read; whether it is trusted is for [`verify_chain`] to say.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The subject's key.
    pub key: VerifyingKey,
    /// URIs among the subject's alternative names.
    pub uris: Vec<String>,
    /// DNS names among them.
    pub dns: Vec<String>,
    /// Valid from and until, seconds of Unix time, both inclusive.
    pub not_before_s: u64,
    pub not_after_s: u64,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    /// May sign certificates.
    signs_certificates: bool,
    /// How many authorities may stand below it before a leaf (RFC 5280 §4.2.1.9).
    path_len: Option<u8>,
    /// May sign anything else.
    signs: bool,
    authority_key_id: Option<Vec<u8>>,
    tbs: Vec<u8>,
    signature: [u8; 64],
}

/// DER, item by item.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next item: tag, content, and the whole of it.
    fn next(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, content) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => (
                usize::from(*rest.first().filter(|n| **n >= 0x80)?),
                rest.get(1..)?,
            ),
            0x82 => {
                let len = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
                (Some(len).filter(|len| *len > 0xff)?, rest.get(2..)?)
            }
            // Longer is more than a certificate may be; indefinite is not DER.
            _ => return None,
        };
        // A tag of more than one byte is in no certificate.
        if tag & 0x1f == 0x1f || content.len() < len {
            return None;
        }
        let (content, after) = content.split_at(len);
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some((tag, content, whole))
    }

    fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, ..)| *tag == expected)
            .map(|(_, content, _)| content)
    }

    /// The next item if it has this tag.
    fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        match self.0.first() {
            Some(next) if *next == tag => self.expect(tag).map(Some),
            _ => Some(None),
        }
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The one certificate of a PEM file, DER (RFC 7468).
pub fn from_pem(text: &str) -> Result<Vec<u8>, X509Error> {
    let inner = text
        .trim()
        .strip_prefix("-----BEGIN CERTIFICATE-----")
        .and_then(|text| text.strip_suffix("-----END CERTIFICATE-----"))
        .ok_or(X509Error::Malformed)?;
    let inner: String = inner.split_ascii_whitespace().collect();
    STANDARD.decode(inner).map_err(|_| X509Error::Malformed)
}

impl Certificate {
    /// Reads one certificate.
    pub fn parse(der: &[u8]) -> Result<Self, X509Error> {
        if der.len() > MAX_LEN {
            return Err(X509Error::Malformed);
        }
        let mut outer = Der(der);
        let whole = outer.expect(SEQUENCE).ok_or(X509Error::Malformed)?;
        outer.end().ok_or(X509Error::Malformed)?;
        let mut parts = Der(whole);
        let tbs = parts.next().filter(|(tag, ..)| *tag == SEQUENCE);
        let (_, fields, tbs) = tbs.ok_or(X509Error::Malformed)?;
        let algorithm = parts.expect(SEQUENCE).ok_or(X509Error::Malformed)?;
        let signature = parts.expect(BITS).ok_or(X509Error::Malformed)?;
        parts.end().ok_or(X509Error::Malformed)?;
        if Der(algorithm).expect(OID) != Some(ECDSA_SHA256) {
            return Err(X509Error::Algorithm);
        }
        let signature = fixed(signature).ok_or(X509Error::Malformed)?;
        Self::fields(fields, algorithm, tbs, signature)
    }

    fn fields(
        fields: &[u8],
        algorithm: &[u8],
        tbs: &[u8],
        signature: [u8; 64],
    ) -> Result<Self, X509Error> {
        let malformed = X509Error::Malformed;
        let mut fields = Der(fields);
        let version = fields.expect(0xa0).ok_or(malformed)?;
        if Der(version).expect(INTEGER) != Some(&[2]) {
            return Err(malformed);
        }
        fields.expect(INTEGER).ok_or(malformed)?;
        if fields.expect(SEQUENCE) != Some(algorithm) {
            return Err(malformed);
        }
        let issuer = fields.expect(SEQUENCE).ok_or(malformed)?;
        let mut validity = Der(fields.expect(SEQUENCE).ok_or(malformed)?);
        let mut time = || {
            validity
                .next()
                .and_then(|(tag, text, _)| seconds(tag, text))
        };
        let (not_before_s, not_after_s) = time().zip(time()).ok_or(malformed)?;
        let subject = fields.expect(SEQUENCE).ok_or(malformed)?;
        let key = public_key(fields.expect(SEQUENCE).ok_or(malformed)?)?;
        let mut certificate = Self {
            key,
            uris: Vec::new(),
            dns: Vec::new(),
            not_before_s,
            not_after_s,
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            signs_certificates: false,
            path_len: None,
            signs: true,
            authority_key_id: None,
            tbs: tbs.to_vec(),
            signature,
        };
        for unique_id in [0x81, 0x82] {
            fields.optional(unique_id).ok_or(malformed)?;
        }
        if let Some(extensions) = fields.optional(0xa3).ok_or(malformed)? {
            certificate.extensions(extensions).ok_or(malformed)?;
        }
        fields.end().ok_or(malformed)?;
        Ok(certificate)
    }

    fn extensions(&mut self, bytes: &[u8]) -> Option<()> {
        let mut outer = Der(bytes);
        let mut list = Der(outer.expect(SEQUENCE)?);
        outer.end()?;
        let (mut usage, mut seen) = (None, Vec::new());
        let mut may_be_authority = false;
        while !list.0.is_empty() {
            let mut extension = Der(list.expect(SEQUENCE)?);
            let id = extension.expect(OID)?;
            let critical = extension.optional(BOOLEAN)?.is_some_and(|flag| flag != [0]);
            let value = extension.expect(OCTETS)?;
            extension.end()?;
            if seen.contains(&id) {
                return None;
            }
            seen.push(id);
            match id.strip_prefix(COMMON) {
                Some([KEY_USAGE]) => usage = Some(*Der(value).expect(BITS)?.get(1)?),
                Some([ALT_NAME]) => self.names(Der(value).expect(SEQUENCE)?)?,
                Some([BASIC]) => {
                    let mut basic = Der(Der(value).expect(SEQUENCE)?);
                    may_be_authority = basic.optional(BOOLEAN)? == Some(&[0xff]);
                    self.path_len = match basic.optional(INTEGER)? {
                        None => None,
                        Some([number @ 0..0x80]) => Some(*number),
                        // More than any chain that is read; the rest is less than nothing.
                        Some([0..0x80, ..]) => Some(u8::MAX),
                        Some(_) => return None,
                    };
                }
                Some([AUTHORITY_KEY]) => {
                    let mut id = Der(Der(value).expect(SEQUENCE)?);
                    self.authority_key_id = id.optional(0x80)?.map(<[u8]>::to_vec);
                }
                // What a document's signer is for is the caller's knowledge.
                Some([EXTENDED_USAGE]) => {}
                _ if critical => return None,
                _ => {}
            }
        }
        // keyCertSign is bit 5 and digitalSignature bit 0, the first bit highest.
        self.signs_certificates = may_be_authority && usage.is_none_or(|bits: u8| bits & 0x04 != 0);
        self.signs = usage.is_none_or(|bits| bits & 0x80 != 0);
        Some(())
    }

    fn names(&mut self, bytes: &[u8]) -> Option<()> {
        let mut names = Der(bytes);
        for _ in 0..MAX_NAMES {
            let Some((tag, name, _)) = names.next() else {
                break;
            };
            let text = || std::str::from_utf8(name).ok().map(str::to_owned);
            match tag {
                0x82 => self.dns.push(text()?),
                0x86 => self.uris.push(text()?),
                _ => {}
            }
        }
        names.end()
    }

    /// By what it names the key that signed it (RFC 5280 §4.2.1.1).
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// Whether its key may sign anything but certificates.
    pub fn may_sign(&self) -> bool {
        self.signs
    }

    /// Whether it names itself as who signed it: a root does, a leaf must not.
    pub fn is_self_signed(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether it may sign certificates.
    pub fn is_authority(&self) -> bool {
        self.signs_certificates
    }

    /// What its subject is called, for people: the organisation, or else the common name. Nothing that
    /// could write on a terminal.
    pub fn subject_name(&self) -> Option<String> {
        let mut parts = Der(&self.subject);
        let (mut organisation, mut common) = (None, None);
        for _ in 0..MAX_NAMES {
            let Some(set) = parts.expect(SET) else { break };
            let mut pair = Der(Der(set).expect(SEQUENCE)?);
            let id = pair.expect(OID)?;
            let (tag, text, _) = pair.next()?;
            let text = Some(text).filter(|text| (1..=MAX_NAME).contains(&text.len()));
            let text = text.and_then(|text| std::str::from_utf8(text).ok());
            let text =
                text.filter(|text| TEXTS.contains(&tag) && !text.chars().any(char::is_control));
            match id {
                ORGANISATION => organisation = organisation.or(text),
                COMMON_NAME => common = common.or(text),
                _ => {}
            }
        }
        organisation.or(common).map(str::to_owned)
    }

    /// Whether `issuer`, with this many authorities between it and the leaf, signed this certificate,
    /// and may.
    fn is_signed_by(&self, issuer: &Self, below: usize) -> bool {
        issuer.signs_certificates
            && issuer.path_len.is_none_or(|len| below <= usize::from(len))
            && issuer.subject == self.issuer
            && issuer.key.verify(&self.tbs, &self.signature).is_ok()
    }

    fn is_valid(&self, now_s: u64) -> bool {
        (self.not_before_s..=self.not_after_s).contains(&now_s)
    }
}

/// Verifies a chain up to one of `anchors`, which it does not contain, and answers its leaf.
pub fn verify_chain(
    chain: &[impl AsRef<[u8]>],
    anchors: &[Certificate],
    now_s: u64,
) -> Result<Certificate, X509Error> {
    verify_chain_to(chain, anchors, now_s).map(|(leaf, _)| leaf)
}

/// The same, with the anchor that it leads to.
pub fn verify_chain_to<'a>(
    chain: &[impl AsRef<[u8]>],
    anchors: &'a [Certificate],
    now_s: u64,
) -> Result<(Certificate, &'a Certificate), X509Error> {
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        return Err(X509Error::Chain);
    }
    let read = chain.iter().map(|der| Certificate::parse(der.as_ref()));
    let chain = read.collect::<Result<Vec<_>, _>>()?;
    let leaf = &chain[0];
    if leaf.is_self_signed() {
        return Err(X509Error::SelfSigned);
    }
    for (below, pair) in chain.windows(2).enumerate() {
        if !pair[0].is_signed_by(&pair[1], below) {
            return Err(X509Error::Chain);
        }
    }
    let below = chain.len() - 1;
    let mut anchors = anchors.iter();
    let anchor = anchors.find(|anchor| chain[below].is_signed_by(anchor, below));
    let anchor = anchor.ok_or(X509Error::Chain)?;
    if !leaf.signs {
        return Err(X509Error::Chain);
    }
    if chain.iter().chain([anchor]).all(|one| one.is_valid(now_s)) {
        Ok((leaf.clone(), anchor))
    } else {
        Err(X509Error::Time)
    }
}

/// `SubjectPublicKeyInfo` of a P-256 key.
fn public_key(info: &[u8]) -> Result<VerifyingKey, X509Error> {
    let mut info = Der(info);
    let read = || -> Option<(&[u8], &[u8], &[u8])> {
        let mut algorithm = Der(info.expect(SEQUENCE)?);
        Some((
            algorithm.expect(OID)?,
            algorithm.expect(OID)?,
            info.expect(BITS)?,
        ))
    };
    let mut read = read;
    match read() {
        Some((EC_KEY, P256, [0, point @ ..])) => {
            VerifyingKey::p256(point).map_err(|_| X509Error::Algorithm)
        }
        _ => Err(X509Error::Algorithm),
    }
}

/// An ECDSA signature in DER, as two numbers of 32 bytes.
fn fixed(bits: &[u8]) -> Option<[u8; 64]> {
    let mut pair = Der(Der(bits.strip_prefix(&[0])?).expect(SEQUENCE)?);
    let mut fixed = [0; 64];
    for half in fixed.chunks_mut(32) {
        let number = pair.expect(INTEGER)?;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        half.get_mut(32usize.checked_sub(number.len())?..)?
            .copy_from_slice(number);
    }
    pair.end()?;
    Some(fixed)
}

/// `UTCTime` and `GeneralizedTime` as RFC 5280 §4.1.2.5 has them: UTC, to the second.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z")?;
    let number = |range: std::ops::Range<usize>| {
        let part = digits.get(range)?;
        part.iter().try_fold(0u64, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + u64::from(digit - b'0'))
        })
    };
    let (year, at) = match (tag, digits.len()) {
        (UTC_TIME, 12) => match number(0..2)? {
            year @ 0..50 => (2000 + year, 2),
            year => (1900 + year, 2),
        },
        (TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let field = |i: usize| number(at + 2 * i..at + 2 * i + 2);
    let (month, day) = (field(0)?, field(1)?);
    let (hour, minute, second) = (field(2)?, field(3)?, field(4)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
        || year < 1970
    {
        return None;
    }
    // Days since 1970 of a year that begins in March, after Howard Hinnant's `days_from_civil`.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
#[path = "x509_tests.rs"]
mod tests;
