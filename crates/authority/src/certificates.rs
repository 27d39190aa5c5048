//! The certificates of the P-256 key that signs PIDs, for wallets and verifiers that do not read the
//! ledger (HAIP 1.0 §6.1.1; spec/enrolment.md, C9).
//!
//! An authority is its own certificate authority: `ca.key` signs one leaf, that of this key, with
//! the authority's URL among its names. Both certificates are files that are made once and never
//! replaced, so that every process shows the same leaf to everybody: one of its own would mark
//! whoever got it (promise P4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::Rng as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use realdid_credential::jose::VerifyingKey;
use realdid_credential::x509::{Certificate, from_pem};
use realdid_serve::files;
use std::fs;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

use crate::config::AuthorityConfig;
use crate::keys::{AuthorityKeys, KeyFileError, KeySuites, init_authority};
use crate::ledger::read_genesis;
use crate::standing::StandingError;
use crate::text::seeded;

const CA_FILE: &str = "ca.pem";
const LEAF_FILE: &str = "pid.pem";
/// How long the root lasts, in days.
const CA_DAYS: i64 = 20 * 365;
/// How long the leaf lasts, in days: the most that ISO/IEC 18013-5 (table B.3) allows.
const LEAF_DAYS: i64 = 457;
/// Clocks elsewhere may be behind.
const HEAD_START: Duration = Duration::days(1);
/// `id-mdl-kp-mdlDS`: signs mobile documents.
const DOCUMENT_SIGNER: &[u64] = &[1, 0, 18013, 5, 1, 2];
/// PKCS #8 of a P-256 scalar, up to the scalar itself (RFC 5208, RFC 5915).
const PKCS8_HEAD: &[u8] = &[
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

/// What is shown of the certificates.
pub struct Certificates {
    /// The leaf, DER: the whole chain, since the root is left out (HAIP 1.0 §6.1.1).
    pub leaf: Vec<u8>,
    /// The same as `x5c` has it.
    pub x5c: [String; 1],
    /// The root, for whoever wants to trust it.
    pub root_pem: String,
}

impl Certificates {
    /// Reads both, and checks that they are of these keys.
    pub(crate) fn load(keys: &Path, pid: &VerifyingKey) -> Result<Self, KeyFileError> {
        let read = |name: &str| {
            let path = keys.join(name);
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(KeyFileError::Missing { path });
                }
                Err(error) => return Err(files::FileError::of(&path, &error).into()),
            };
            match from_pem(&text) {
                Ok(der) => Ok((text, der)),
                Err(_) => Err(KeyFileError::Certificate { path }),
            }
        };
        let ((root_pem, _), (_, leaf)) = (read(CA_FILE)?, read(LEAF_FILE)?);
        let is_ours = Certificate::parse(&leaf).is_ok_and(|read| read.key == *pid);
        if !is_ours {
            let path = keys.join(LEAF_FILE);
            return Err(KeyFileError::Certificate { path });
        }
        Ok(Self {
            x5c: [STANDARD.encode(&leaf)],
            leaf,
            root_pem,
        })
    }
}

/// Makes what is missing of the two files.
pub(crate) fn make(
    keys: &Path,
    (url, country): (&str, &str),
    ca: &[u8; 32],
    pid: &[u8; 32],
    rng: &mut dyn FnMut(&mut [u8]),
) -> Result<(), KeyFileError> {
    let (root_file, leaf_file) = (keys.join(CA_FILE), keys.join(LEAF_FILE));
    let refused = |path: &PathBuf| KeyFileError::Certificate { path: path.clone() };
    let host = url::Url::parse(url).ok();
    let host = host.as_ref().and_then(url::Url::host);
    let host = host.ok_or_else(|| refused(&leaf_file))?;
    let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    let country = country.try_into().ok().filter(|_| is_country);
    let country = DnValue::PrintableString(country.ok_or_else(|| refused(&leaf_file))?);
    let now = OffsetDateTime::now_utc();
    let mut params = |name: &str, days: i64| {
        let mut params = CertificateParams::default();
        // Both certificates name a country (ISO/IEC 18013-5, tables B.1 and B.3).
        let of = country.clone();
        params.distinguished_name.push(DnType::CountryName, of);
        let subject = format!("{name} {host}");
        params.distinguished_name.push(DnType::CommonName, subject);
        let mut serial = [0; 16];
        rng(&mut serial);
        // Positive, and of 16 bytes whatever was drawn.
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = now - HEAD_START;
        params.not_after = now + Duration::days(days);
        params
    };
    let (ca, pid) = (key_pair(ca), key_pair(pid));
    let (Some(ca), Some(pid)) = (ca, pid) else {
        return Err(refused(&leaf_file));
    };
    let mut root = params("RealDID CA", CA_DAYS);
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if !root_file.exists() {
        let root = root.self_signed(&ca).map_err(|_| refused(&root_file))?;
        files::write_private(&root_file, root.pem().as_bytes())?;
        // A leaf under another root is none.
        let _gone = fs::remove_file(&leaf_file);
    }
    if !leaf_file.exists() {
        // Name and key are those of the certificate in the file, whenever that was made.
        let root = Issuer::new(root, ca);
        let mut leaf = params("RealDID PID", LEAF_DAYS);
        let uri = url.try_into().map_err(|_| refused(&leaf_file))?;
        leaf.subject_alt_names = vec![SanType::URI(uri)];
        match host {
            url::Host::Domain(name) => {
                let name = name.try_into().map_err(|_| refused(&leaf_file))?;
                leaf.subject_alt_names.push(SanType::DnsName(name));
            }
            url::Host::Ipv4(ip) => leaf.subject_alt_names.push(SanType::IpAddress(ip.into())),
            url::Host::Ipv6(ip) => leaf.subject_alt_names.push(SanType::IpAddress(ip.into())),
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(DOCUMENT_SIGNER.to_vec())];
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&pid, &root);
        let leaf = leaf.map_err(|_| refused(&leaf_file))?;
        files::write_private(&leaf_file, leaf.pem().as_bytes())?;
    }
    Ok(())
}

/// A root that an operator trusts, from its PEM file.
pub(crate) fn read_root(path: &Path) -> Result<Certificate, KeyFileError> {
    let refused = || KeyFileError::Certificate {
        path: path.to_owned(),
    };
    let text = fs::read_to_string(path).map_err(|error| files::FileError::of(path, &error))?;
    let der = from_pem(&text).map_err(|_| refused())?;
    Certificate::parse(&der).map_err(|_| refused())
}

/// A certificate in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub file: PathBuf,
    /// Unix seconds.
    pub expires_s: u64,
}

/// Makes the leaf of the authority in `dir` where it is missing, or anew, and what it stands on.
pub fn certificate(dir: &Path, renew: bool) -> Result<Made, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    let file = config.dir.join("keys").join(LEAF_FILE);
    if renew && file.exists() {
        fs::remove_file(&file).map_err(|error| files::FileError::of(&file, &error))?;
    }
    let suites = KeySuites::of(&read_genesis(&config.genesis)?.parameters);
    let mut drawn = seeded()?;
    let (url, country) = (config.issuer_url(), config.country.as_str());
    init_authority(&config.dir, &url, country, suites, &mut |out| {
        drawn.fill_bytes(out);
    })?;
    let Some(certificates) = AuthorityKeys::load(&config.dir)?.certificates else {
        let path = config.dir.join("keys").join("pid.key");
        return Err(KeyFileError::NoCertificate { path }.into());
    };
    match Certificate::parse(&certificates.leaf) {
        Ok(leaf) => Ok(Made {
            file,
            expires_s: leaf.not_after_s,
        }),
        Err(_) => Err(KeyFileError::Certificate { path: file }.into()),
    }
}

fn key_pair(secret: &[u8; 32]) -> Option<KeyPair> {
    let der = zeroize::Zeroizing::new([PKCS8_HEAD, secret].concat());
    KeyPair::try_from(der.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use realdid_core::genesis::Parameters;
    use realdid_credential::x509::verify_chain;
    use std::time::{SystemTime, UNIX_EPOCH};

    const URL: &str = "https://authority.example";

    fn init(dir: &Path) -> AuthorityKeys {
        let mut next = 0u8;
        let mut rng = |out: &mut [u8]| {
            next += 1;
            out.fill(next);
        };
        let suites = KeySuites::of(&Parameters::development());
        init_authority(dir, URL, "XA", suites, &mut rng).unwrap();
        AuthorityKeys::load(dir).unwrap()
    }

    #[test]
    fn a_leaf_is_under_the_root_and_names_the_authority() {
        let folder = tempfile::tempdir().unwrap();
        let own = init(folder.path()).certificates.unwrap();
        let root = Certificate::parse(&from_pem(&own.root_pem).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let leaf = verify_chain(&[&own.leaf], &[root], now.as_secs()).unwrap();
        assert_eq!(leaf.uris, [URL]);
        assert_eq!(leaf.dns, ["authority.example"]);
        // countryName (2.5.4.6) is a PrintableString, of subject and of issuer
        let country = [0x06, 0x03, 0x55, 0x04, 0x06, 0x13, 0x02, b'X', b'A'];
        let named = own.leaf.windows(country.len());
        assert_eq!(named.filter(|bytes| *bytes == country).count(), 2);
        assert_eq!(STANDARD.decode(&own.x5c[0]).unwrap(), own.leaf);
    }

    #[test]
    fn a_country_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let suites = KeySuites::of(&Parameters::development());
        for country in ["", "xa", "XAA", "X1"] {
            let made = init_authority(folder.path(), URL, country, suites, &mut |out| out.fill(7));
            assert_eq!(made.unwrap_err().code(), "key.certificate", "{country}");
        }
    }

    #[test]
    fn p4_certificates_are_made_once_and_a_strange_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = || init(folder.path()).certificates.unwrap().leaf;
        let first = made();
        assert_eq!(made(), first);
        let leaf = folder.path().join("keys").join(LEAF_FILE);
        fs::remove_file(&leaf).unwrap();
        let error = AuthorityKeys::load(folder.path()).err().unwrap();
        assert_eq!(error.code(), "key.missing");
        // the root's certificate is of another key
        fs::copy(folder.path().join("keys").join(CA_FILE), &leaf).unwrap();
        let error = AuthorityKeys::load(folder.path()).err().unwrap();
        assert_eq!(error.code(), "key.certificate");
        fs::write(&leaf, "x").unwrap();
        let error = AuthorityKeys::load(folder.path()).err().unwrap();
        assert_eq!(error.code(), "key.certificate");
    }
}
