//! Keys of an authority and of a registrar, as files in `DIR/keys` that only the owner reads.
//!
//! | file | key |
//! | --- | --- |
//! | `operation.key` | signs operations and sponsorships |
//! | `pid.key` | signs PIDs (authority) |
//! | `tag.key` | seed of the VOPRF key behind person tags (authority) |
//! | `pass.key` | material of the RealPass key from the first epoch on (authority) |
//! | `pass-N.key` | the same from epoch N on, made by [`make_pass_key`] (authority) |
//! | `register.key` | seed of the synthetic register (authority) |
//! | `registration.key` | signs registrations (registrar) |
//! | `pid-outside.key` | P-256, signs PIDs for who does not know the network's suite (authority whose `pid.key` is of SM2) |
//! | `ca.key`, `ca.pem` | P-256, signs the certificate of the one that is of P-256; its own (authority) |
//! | `pid.pem` | that certificate (authority) |
//!
//! Each `.key` holds 32 bytes in hex, after its suite and a colon (`sm2:`) where it is not the one that such a
//! file has had from the beginning: Ed25519 for `operation.key`, P-256 for those that sign documents. The
//! network decides which suites new keys are of ([`KeySuites`]). Making keys is idempotent: what exists is read, never replaced,
//! because a new tag key would give everybody a new tag.
//!
//! Which RealPass key is for which epoch only the ledger says (spec/realpass.md, I1). Several
//! processes of one authority have the same files, and derive what else they share from them.

use hkdf::Hkdf;
use realdid_core::genesis::Parameters;
use realdid_core::hash::Hash32;
use realdid_core::state::{
    EpochKey, Issuer, IssuerKey, KeyStatus, KeyUse, PassPublicKey, ReasonCode, Standing,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_credential::jose::SigningKey;
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::suites;
use realdid_exchange::tag::TagSecret;
use realdid_pass::facts::{self, FACTS};
use realdid_pass::{IssuerKey as PassIssuerKey, PassError};
use realdid_serve::files::{self, FileError};
use sha2::Sha256;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

use crate::certificates::{self, Certificates};

/// The file of the first RealPass key.
const PASS_FILE: &str = "pass.key";
/// The file of the key that signs PIDs in the network's suite.
const PID_FILE: &str = "pid.key";
/// The file of the one of P-256 beside it.
const OUTSIDE_FILE: &str = "pid-outside.key";
/// What another draw is derived for.
const PASS_INFO: &[u8] = b"rdid/1/authority-pass-draw";
/// What the key that authenticates nonces is derived for.
const NONCE_INFO: &[u8] = b"rdid/1/authority-nonce";
/// What the key that requests are encrypted to is derived for.
const REQUEST_INFO: &[u8] = b"rdid/1/authority-request";

/// How many enrolments an authority asks the genesis for, in an epoch.
const ENROLMENT_QUOTA: u64 = 100_000;
/// How many sponsorships.
const SPONSOR_QUOTA: u64 = 100_000;
/// How many registrations a registrar asks for.
const REGISTRATION_QUOTA: u64 = 10_000;
/// How many displays of names, new and renewed, it asks for, in an epoch.
const DISPLAY_QUOTA: u64 = 10_000;

/// Why keys could not be read or made. Displays as the command line's one-line error.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(
        "key.missing: {} must exist; fault: operator; do: restore the keys, or make new ones in \
         a new folder", path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "key.malformed: {} must hold 32 bytes in hex that make a key; fault: operator; do: restore \
         the file from its backup", path.display()
    )]
    Malformed { path: PathBuf },
    #[error(
        "key.certificate: {} must hold the PEM of a certificate of this authority's keys; fault: \
         operator; do: remove it and run `realdid authority certificate`", path.display()
    )]
    Certificate { path: PathBuf },
    #[error(
        "key.no_certificate: {} must be of P-256 to have a certificate; fault: operator; do: nothing: \
         whoever reads the ledger needs none", path.display()
    )]
    NoCertificate { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

impl KeyFileError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "key.missing",
            Self::Malformed { .. } => "key.malformed",
            Self::Certificate { .. } => "key.certificate",
            Self::NoCertificate { .. } => "key.no_certificate",
            Self::File(error) => error.code(),
        }
    }
}

/// What an authority signs with.
pub struct AuthorityKeys {
    pub operation: SecretKey,
    pub pid: DocumentKey,
    /// Signs PIDs by P-256 where the other one is of a suite that the outside does not know.
    pub outside: Option<DocumentKey>,
    /// The certificates of the one that is of P-256, for whoever does not read the ledger. None in an
    /// authority of SM2 that was made before it had another key.
    pub certificates: Option<Certificates>,
    pub tag: TagSecret,
    pub register_seed: Zeroizing<[u8; 32]>,
    /// Authenticates nonces: the same in every process of this authority.
    pub nonce: Zeroizing<[u8; 32]>,
    /// Opens requests that are encrypted: the same in every process. None where what is derived is no key,
    /// which about one in 2^32 is.
    pub request: Option<DecryptionKey>,
    /// Material of each RealPass key that there is a file of, the first epoch's first.
    pass: Vec<Zeroizing<[u8; 32]>>,
}

/// What a registrar signs with.
pub struct RegistrarKeys {
    pub operation: SecretKey,
    pub registration: DocumentKey,
}

/// The suites of new keys: those of the network that they are made for (spec/encoding.md, E9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySuites {
    pub operation: Suite,
    pub document: Suite,
}

impl KeySuites {
    pub fn of(parameters: &Parameters) -> Self {
        Self {
            operation: parameters.did_suite(),
            document: parameters.document_suite(),
        }
    }
}

/// A key for documents as JOSE knows it, with its id on the ledger.
pub struct DocumentKey {
    pub id: Hash32,
    pub key: SigningKey,
    secret: SecretKey,
}

impl AuthorityKeys {
    pub fn load(dir: &Path) -> Result<Self, KeyFileError> {
        let keys = dir.join("keys");
        let tag = keys.join("tag.key");
        let pid = DocumentKey::load(&keys.join(PID_FILE))?;
        let outside = keys.join(OUTSIDE_FILE);
        let outside = match outside.exists() {
            true => Some(DocumentKey::load(&outside)?),
            false => None,
        };
        let operation = operation_key(&keys)?;
        let mut of_documents = std::iter::once(&pid).chain(&outside);
        let certified = of_documents.find(|key| key.secret.suite() == Suite::P256);
        let certificates = certified
            .map(|key| Certificates::load(&keys, &key.key.verifying_key()))
            .transpose()?;
        Ok(Self {
            certificates,
            pid,
            outside,
            tag: TagSecret::from_seed(&*read(&tag)?)
                .map_err(|_| KeyFileError::Malformed { path: tag.clone() })?,
            register_seed: read(&keys.join("register.key"))?,
            nonce: derived(operation.seed(), NONCE_INFO),
            request: {
                let secret = derived(operation.seed(), REQUEST_INFO);
                DecryptionKey::from_bytes(&secret, "request").ok()
            },
            operation,
            pass: pass_files(&keys)?
                .iter()
                .map(|path| read(path))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The RealPass keys that there are files of, for credentials of this network and issuer.
    pub fn pass_keys(
        &self,
        network: &str,
        issuer: &Hash32,
    ) -> Result<Vec<Arc<PassIssuerKey>>, PassError> {
        let terms = facts::terms(network, &issuer.0);
        let key = |material: &Zeroizing<[u8; 32]>| {
            PassIssuerKey::from_material(&material[..], &terms, FACTS).map(Arc::new)
        };
        self.pass.iter().map(key).collect()
    }

    /// The authority's record as a genesis admits it.
    pub fn issuer(&self, url: &str) -> Issuer {
        let first = self.pass.first().and_then(|material| pass_public(material));
        let mut own = issuer(url, &self.operation, KeyUse::Pid, &self.pid);
        let outside = self.outside.iter();
        own.keys
            .extend(outside.map(|key| active(KeyUse::Pid, &key.secret)));
        Issuer {
            pass_keys: first
                .map(|key| EpochKey { key, from_epoch: 0 })
                .into_iter()
                .collect(),
            tag_key: Some(self.tag.public()),
            enrolment_quota: ENROLMENT_QUOTA,
            sponsor_quota: SPONSOR_QUOTA,
            ..own
        }
    }

    /// The key that has certificates, and they.
    pub fn certified(&self) -> Option<(&DocumentKey, &Certificates)> {
        let key = self.outside.as_ref().unwrap_or(&self.pid);
        self.certificates
            .as_ref()
            .map(|certificates| (key, certificates))
    }
}

impl RegistrarKeys {
    pub fn load(dir: &Path) -> Result<Self, KeyFileError> {
        let keys = dir.join("keys");
        Ok(Self {
            operation: operation_key(&keys)?,
            registration: DocumentKey::load(&keys.join("registration.key"))?,
        })
    }

    /// The registrar's record as a genesis admits it.
    pub fn issuer(&self, url: &str) -> Issuer {
        Issuer {
            registration_quota: REGISTRATION_QUOTA,
            sponsor_quota: DISPLAY_QUOTA,
            ..issuer(
                url,
                &self.operation,
                KeyUse::Registration,
                &self.registration,
            )
        }
    }
}

impl DocumentKey {
    fn load(path: &Path) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed {
            path: path.to_owned(),
        };
        let secret = read_key(path, Suite::P256)?;
        let key = suites::signing_key(&secret).map_err(|_| malformed())?;
        Ok(Self {
            id: realdid_core::did::commitment(&secret.public()),
            key,
            secret,
        })
    }
}

fn operation_key(keys: &Path) -> Result<SecretKey, KeyFileError> {
    read_key(&keys.join("operation.key"), Suite::Ed25519)
}

fn active(usage: KeyUse, key: &SecretKey) -> IssuerKey {
    IssuerKey {
        usage,
        key: key.public(),
        status: KeyStatus::Active,
        since: 0,
    }
}

fn issuer(url: &str, operation: &SecretKey, usage: KeyUse, document: &DocumentKey) -> Issuer {
    Issuer {
        url: url.to_owned(),
        keys: vec![
            active(KeyUse::Operation, operation),
            active(usage, &document.secret),
        ],
        tag_key: None,
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 0,
        sponsor_quota: 0,
        registration_quota: 0,
        pass_keys: Vec::new(),
    }
}

/// Makes the keys of an authority in `dir`, unless they exist, and answers its record for a
/// genesis. `url` is its public URL without a trailing slash, `country` the one of its certificates (ISO 3166-1
/// alpha-2); `suites` are those of new keys; `rng` fills with fresh randomness.
pub fn init_authority(
    dir: &Path,
    url: &str,
    country: &str,
    suites: KeySuites,
    rng: &mut dyn FnMut(&mut [u8]),
) -> Result<Issuer, KeyFileError> {
    let (operation, document) = (Some(suites.operation), Some(suites.document));
    let keys = dir.join("keys");
    // One that is on the ledger without such a key gets none behind its back.
    let outside = suites.document != Suite::P256 && !keys.join(PID_FILE).exists();
    make(dir, &[("operation.key", operation)], rng)?;
    make(dir, &[(PID_FILE, document)], rng)?;
    if outside {
        make(dir, &[(OUTSIDE_FILE, Some(Suite::P256))], rng)?;
    }
    make(
        dir,
        &[("tag.key", None), ("register.key", None), (PASS_FILE, None)],
        rng,
    )?;
    let certified = [OUTSIDE_FILE, PID_FILE].map(|name| keys.join(name));
    let certified = certified.iter().find(|path| path.exists());
    if let Some(path) = certified {
        let key = read_key(path, Suite::P256)?;
        if key.suite() == Suite::P256 {
            make(dir, &[("ca.key", None)], rng)?;
            let ca = read(&keys.join("ca.key"))?;
            certificates::make(&keys, (url, country), &ca, key.seed(), rng)?;
        }
    }
    Ok(AuthorityKeys::load(dir)?.issuer(url))
}

/// Makes the keys of a registrar in `dir`, unless they exist, and answers its record for a genesis.
pub fn init_registrar(
    dir: &Path,
    url: &str,
    suites: KeySuites,
    rng: &mut dyn FnMut(&mut [u8]),
) -> Result<Issuer, KeyFileError> {
    let (operation, document) = (Some(suites.operation), Some(suites.document));
    make(
        dir,
        &[("operation.key", operation), ("registration.key", document)],
        rng,
    )?;
    Ok(RegistrarKeys::load(dir)?.issuer(url))
}

/// Makes the file of a RealPass key for epochs from `from_epoch` on, unless it exists, and answers
/// where it is and the public key. It signs nothing until the ledger has it.
pub fn make_pass_key(
    dir: &Path,
    from_epoch: u64,
    fresh: &[u8; 32],
) -> Result<(PathBuf, EpochKey), KeyFileError> {
    let name = format!("pass-{from_epoch}.key");
    // One seed in 2^32 is drawn again, as another.
    let mut seed = Zeroizing::new(*fresh);
    make(dir, &[(&name, None)], &mut |out| {
        out.copy_from_slice(&seed[..]);
        seed = derived(&seed, PASS_INFO);
    })?;
    let path = dir.join("keys").join(name);
    let key = pass_public(&*read(&path)?)
        .ok_or_else(|| KeyFileError::Malformed { path: path.clone() })?;
    Ok((path, EpochKey { key, from_epoch }))
}

/// `pass.key` and every `pass-N.key`, in the order of N.
fn pass_files(keys: &Path) -> Result<Vec<PathBuf>, KeyFileError> {
    let entries = fs::read_dir(keys).map_err(|error| FileError::of(keys, &error))?;
    let mut later: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let epoch = name.strip_prefix("pass-")?.strip_suffix(".key")?;
            Some((epoch.parse().ok()?, path.clone()))
        })
        .collect();
    later.sort();
    let later = later.into_iter().map(|(_, path)| path);
    Ok(std::iter::once(keys.join(PASS_FILE)).chain(later).collect())
}

/// The public key does not depend on the terms.
fn pass_public(material: &[u8; 32]) -> Option<PassPublicKey> {
    let key = PassIssuerKey::from_material(material, &[], FACTS).ok()?;
    Some(PassPublicKey(key.public().to_bytes()))
}

/// A key for one purpose (HKDF-SHA256, RFC 5869).
pub(crate) fn derived(secret: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are far below what HKDF can give, so this cannot fail.
    let _infallible = Hkdf::<Sha256>::new(None, secret).expand(purpose, &mut key[..]);
    key
}

/// Makes what is missing of these files, each of a key of its suite or of a secret for which P-256's
/// bounds do too.
fn make(
    dir: &Path,
    names: &[(&str, Option<Suite>)],
    rng: &mut dyn FnMut(&mut [u8]),
) -> Result<(), KeyFileError> {
    files::create_private_dir(dir)?;
    let keys = dir.join("keys");
    files::create_private_dir(&keys)?;
    for (name, suite) in names {
        let path = keys.join(name);
        if path.exists() {
            continue;
        }
        let mut seed = Zeroizing::new([0u8; 32]);
        // One seed in 2^32 is no scalar of P-256 or SM2; such a one is drawn again.
        while SecretKey::from_seed(Suite::P256, *seed).is_err()
            || SecretKey::from_seed(Suite::Sm2, *seed).is_err()
        {
            rng(&mut seed[..]);
        }
        // Without its suite where such a file has had none from the beginning.
        let mut text = match suite.filter(|suite| *suite != file_suite(name)) {
            Some(suite) => format!("{}:{}\n", suite.name(), hex::encode(*seed)),
            None => format!("{}\n", hex::encode(*seed)),
        };
        let written = files::write_private(&path, text.as_bytes());
        text.zeroize();
        written?;
    }
    Ok(())
}

/// The suite of a file's key where the file names none.
fn file_suite(name: &str) -> Suite {
    match name {
        "operation.key" => Suite::Ed25519,
        _ => Suite::P256,
    }
}

/// A secret that is no key of a suite.
fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    seed_of(&read_text(path)?).ok_or_else(|| KeyFileError::Malformed {
        path: path.to_owned(),
    })
}

/// A key of the suite that its file names, or of `otherwise`.
fn read_key(path: &Path, otherwise: Suite) -> Result<SecretKey, KeyFileError> {
    let text = read_text(path)?;
    let (suite, seed) = match text.trim().split_once(':') {
        Some((suite, seed)) => (Suite::of_name(suite), seed),
        None => (Some(otherwise), text.trim()),
    };
    let key = suite
        .zip(seed_of(seed))
        .and_then(|(suite, seed)| SecretKey::from_seed(suite, *seed).ok());
    key.ok_or_else(|| KeyFileError::Malformed {
        path: path.to_owned(),
    })
}

fn seed_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0u8; 32]);
    hex::decode_to_slice(text.trim(), &mut seed[..]).ok()?;
    Some(seed)
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(KeyFileError::Missing {
            path: path.to_owned(),
        }),
        Err(error) => Err(FileError::of(path, &error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intl() -> KeySuites {
        KeySuites::of(&Parameters::development())
    }
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut next = 0u8;
        let mut rng = |out: &mut [u8]| {
            next += 1;
            out.fill(next);
        };
        let url = "https://a.example";
        let first = init_authority(folder.path(), url, "XA", intl(), &mut rng).unwrap();
        let again = init_authority(folder.path(), url, "XA", intl(), &mut rng).unwrap();
        assert_eq!(first, again);
        assert_eq!(first.keys.len(), 2);
        assert!(first.tag_key.is_some());
        assert_eq!(first.pass_keys.len(), 1);
        assert_eq!(first.pass_keys[0].from_epoch, 0);
        let key = folder.path().join("keys/tag.key");
        let mode = fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::write(&key, "zz").unwrap();
        let error = AuthorityKeys::load(folder.path()).err().unwrap();
        assert_eq!(error.code(), "key.malformed");
        fs::remove_file(&key).unwrap();
        let error = AuthorityKeys::load(folder.path()).err().unwrap();
        assert_eq!(error.code(), "key.missing");
    }

    #[test]
    fn a_realpass_key_is_added_and_the_first_one_stays_in_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut next = 0u8;
        let mut rng = |out: &mut [u8]| {
            next += 1;
            out.fill(next);
        };
        let url = "https://a.example";
        let record = init_authority(folder.path(), url, "XA", intl(), &mut rng).unwrap();
        let (path, added) = make_pass_key(folder.path(), 100, &[90; 32]).unwrap();
        assert_eq!(path, folder.path().join("keys/pass-100.key"));
        assert_eq!(added.from_epoch, 100);
        assert_ne!(added.key, record.pass_keys[0].key);
        let again = make_pass_key(folder.path(), 100, &[91; 32]).unwrap();
        assert_eq!(again.1, added);
        make_pass_key(folder.path(), 20, &[92; 32]).unwrap();

        let keys = AuthorityKeys::load(folder.path()).unwrap();
        assert_eq!(keys.issuer(url), record);
        let held = keys
            .pass_keys("dev", &record.id(realdid_core::hash::HashFunction::Sha256))
            .unwrap();
        let held: Vec<_> = held.iter().map(|key| key.public().to_bytes()).collect();
        assert_eq!(held.len(), 3);
        assert_eq!(held[0], record.pass_keys[0].key.0);
        assert_eq!(held[2], added.key.0);
        // what the processes share is the same in each, and is no key of a file
        let other = AuthorityKeys::load(folder.path()).unwrap();
        assert_eq!(*other.nonce, *keys.nonce);
        assert_ne!(
            *keys.nonce,
            *read(&folder.path().join("keys/operation.key")).unwrap()
        );
    }

    #[test]
    fn a_registrar_has_no_tag_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = |out: &mut [u8]| out.fill(3);
        let issuer = init_registrar(folder.path(), "https://r.example", intl(), &mut rng).unwrap();
        assert!(issuer.tag_key.is_none());
        let keys = RegistrarKeys::load(folder.path()).unwrap();
        assert!(
            issuer
                .key(KeyUse::Registration, &keys.registration.id)
                .is_some()
        );
    }
    #[test]
    fn keys_are_of_the_networks_suites_and_an_authority_of_sm2_has_another_for_the_outside() {
        let folder = tempfile::tempdir().unwrap();
        let mut next = 0u8;
        let mut rng = |out: &mut [u8]| {
            next += 1;
            out.fill(next);
        };
        let sm = KeySuites::of(&Parameters {
            suites: vec![Suite::Sm2],
            ..Parameters::development()
        });
        let url = "https://a.example";
        let record = init_authority(folder.path(), url, "XA", sm, &mut rng).unwrap();
        let of = |suite| record.keys.iter().filter(move |k| k.key.suite() == suite);
        assert_eq!(of(Suite::Sm2).count(), 2);
        let outside: Vec<_> = of(Suite::P256).collect();
        assert_eq!(outside.len(), 1);
        assert_eq!(outside[0].usage, KeyUse::Pid);
        // Keys that exist keep their suite, whatever the next making asks for.
        let again = init_authority(folder.path(), url, "XA", intl(), &mut rng).unwrap();
        assert_eq!(again, record);
        let keys = AuthorityKeys::load(folder.path()).unwrap();
        let (certified, _) = keys.certified().unwrap();
        assert_eq!(certified.id, outside[0].id());
        assert_ne!(certified.id, keys.pid.id);
        // One that was made without it gets none, and has no certificates.
        for name in ["pid-outside.key", "ca.key", "ca.pem", "pid.pem"] {
            fs::remove_file(folder.path().join("keys").join(name)).unwrap();
        }
        let older = init_authority(folder.path(), url, "XA", sm, &mut rng).unwrap();
        assert_eq!(older.keys.len(), 2);
        let keys = AuthorityKeys::load(folder.path()).unwrap();
        assert!(keys.certified().is_none());
        assert!(!folder.path().join("keys/ca.key").exists());
        let file = folder.path().join("keys/pid.key");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("sm2:"));
        fs::write(&file, text.replace("sm2:", "sm9:")).unwrap();
        let error = AuthorityKeys::load(folder.path()).err().unwrap();
        assert_eq!(error.code(), "key.malformed");

        let folder = tempfile::tempdir().unwrap();
        let record = init_registrar(folder.path(), url, sm, &mut rng).unwrap();
        assert!(record.keys.iter().all(|k| k.key.suite() == Suite::Sm2));
    }
}
