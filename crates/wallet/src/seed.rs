//! Where every key of a person comes from, and what stays off the device (spec/wallet.md).
//!
//! Two secrets make a person's keys: twelve recovery words, and a spare seed of 32 bytes. Both
//! are in the recovery kit, a file that is written once and that its owner moves away; the vault
//! keeps neither. From the words come the pairwise roots and the recovery keys, from the spare
//! seed the next keys, so that words alone, or the kit's seed alone, do not take over a DID.
//!
//! The device must name its next and recovery keys (by [`commitment`]) in each new DID without
//! holding them. So their commitments are computed in advance, as a [`Pool`] that is kept in the
//! vault; each one is used for one set of keys only, or two DIDs could be linked by it. When the
//! pool runs low, the kit tops it up.
//!
//! The device holds the pairwise root of generation 0 and the seed of RealPass. The keys that a rotation or recovery
//! brings in come from the root of their own generation, which only the words make: whoever
//! copied the vault before does not know them.

use crate::files::{self, FileError};
use crate::secret::Secret32;
use hkdf::Hkdf;
use minicbor::{Decode, Encode};
use realdid_core::did::commitment;
use realdid_core::hash::{Domain, Hash32};
use realdid_core::suite::{SecretKey, Suite};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// How many commitments of each kind a kit adds to the pool at a time.
pub const POOL_STEP: u32 = 256;
/// A kit's largest size in bytes.
const MAX_KIT_BYTES: u64 = 4096;

/// Why a recovery kit could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    #[error("a recovery kit is JSON with version 1, twelve words and a spare seed")]
    Malformed,
    #[error("the words must be twelve of the BIP 39 English list with their checksum")]
    Words,
    #[error("the recovery kit must be the one of this wallet")]
    OtherWallet,
    #[error(transparent)]
    File(#[from] FileError),
}

impl KitError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "kit.malformed",
            Self::Words => "kit.words",
            Self::OtherWallet => "kit.other_wallet",
            Self::File(FileError::Missing { .. }) => "kit.missing",
            Self::File(error) => error.code(),
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Malformed | Self::Words => "check the file against your copy of the kit",
            Self::OtherWallet | Self::File(FileError::Missing { .. }) => {
                "bring the recovery kit of this wallet and give its path with --kit"
            }
            Self::File(error) => error.fix(),
        }
    }
}

/// The recovery kit: what rebuilds a person's keys. It is not for the device.
pub struct Kit {
    words: Zeroizing<String>,
    roots: WordRoots,
    spare: Secret32,
}

struct WordRoots {
    /// The BIP 39 seed of the words, without a passphrase.
    seed: Zeroizing<[u8; 64]>,
    recovery: Secret32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KitFile {
    version: u32,
    about: String,
    words: String,
    spare_seed: String,
}

impl Drop for KitFile {
    fn drop(&mut self) {
        self.words.zeroize();
        self.spare_seed.zeroize();
    }
}

impl Kit {
    /// A kit from 16 and 32 random bytes.
    pub fn new(entropy: &[u8; 16], spare: [u8; 32]) -> Result<Self, KitError> {
        let words = bip39::Mnemonic::from_entropy(entropy).map_err(|_| KitError::Words)?;
        Self::from_words(&words.to_string(), spare)
    }

    /// A kit from its words and spare seed.
    pub fn from_words(words: &str, spare: [u8; 32]) -> Result<Self, KitError> {
        let mnemonic = bip39::Mnemonic::parse_in(bip39::Language::English, words)
            .map_err(|_| KitError::Words)?;
        if mnemonic.word_count() != 12 {
            return Err(KitError::Words);
        }
        let seed = Zeroizing::new(mnemonic.to_seed(""));
        let recovery = derive(&*seed, "recovery-root", &[]);
        Ok(Self {
            words: Zeroizing::new(mnemonic.to_string()),
            roots: WordRoots { seed, recovery },
            spare: Secret32::new(spare),
        })
    }

    pub fn read(path: &Path) -> Result<Self, KitError> {
        let bytes = Zeroizing::new(files::read(path, MAX_KIT_BYTES)?);
        let file: KitFile = serde_json::from_slice(&bytes).map_err(|_| KitError::Malformed)?;
        let mut spare = [0u8; 32];
        hex::decode_to_slice(&file.spare_seed, &mut spare).map_err(|_| KitError::Malformed)?;
        if file.version != 1 {
            return Err(KitError::Malformed);
        }
        Self::from_words(&file.words, spare)
    }

    /// Writes the kit to a file that must not exist, readable by its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), KitError> {
        let file = KitFile {
            version: 1,
            about: "RealDID recovery kit. Move this file off the device. Whoever has it can take over your DIDs.".into(),
            words: self.words.to_string(),
            spare_seed: hex::encode(self.spare.bytes()),
        };
        let bytes = serde_json::to_vec_pretty(&file).map(Zeroizing::new);
        files::create(path, &bytes.map_err(|_| KitError::Malformed)?)?;
        Ok(())
    }

    /// The root from which all pairwise keys of a generation come.
    pub fn pairwise_root(&self, generation: u32) -> Secret32 {
        derive(
            &*self.roots.seed,
            "pairwise-root",
            &generation.to_be_bytes(),
        )
    }

    /// The seed of the pseudonym secrets of RealPass, for nothing else (spec/realpass.md, B11). Of
    /// the words alone, so that whoever keeps them keeps their pseudonyms.
    pub fn pass_seed(&self) -> Secret32 {
        derive(&*self.roots.seed, "realpass-seed", &[])
    }

    /// The recovery key of this index.
    pub fn recovery_key(&self, suite: Suite, index: u32) -> Result<SecretKey, KitError> {
        let root = self.roots.recovery.bytes();
        key(suite, root, "recovery-key", &index.to_be_bytes())
    }

    /// The next key of this index.
    pub fn next_key(&self, suite: Suite, index: u32) -> Result<SecretKey, KitError> {
        key(suite, self.spare.bytes(), "next-key", &index.to_be_bytes())
    }

    /// The first commitments to keys of a suite.
    pub fn pool(&self, suite: Suite) -> Result<Pool, KitError> {
        let mut pool = Pool::of(suite);
        self.top_up(&mut pool, POOL_STEP)?;
        Ok(pool)
    }

    /// Whether this kit made the pool.
    pub fn check(&self, pool: &Pool) -> Result<(), KitError> {
        let same = |made: Option<&Hash32>, key: SecretKey| made == Some(&commitment(&key.public()));
        let ours = same(pool.next.first(), self.next_key(pool.suite(), 0)?)
            && same(pool.recovery.first(), self.recovery_key(pool.suite(), 0)?);
        if ours {
            Ok(())
        } else {
            Err(KitError::OtherWallet)
        }
    }

    /// Adds `count` commitments of each kind to the pool.
    pub fn top_up(&self, pool: &mut Pool, count: u32) -> Result<(), KitError> {
        let (first, suite) = (pool.next.len() as u32, pool.suite());
        for index in first..first + count {
            pool.next
                .push(commitment(&self.next_key(suite, index)?.public()));
            pool.recovery
                .push(commitment(&self.recovery_key(suite, index)?.public()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kit")
    }
}

/// Commitments to next and recovery keys whose secrets are in the kit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Pool {
    #[n(0)]
    pub next: Vec<Hash32>,
    #[n(1)]
    pub recovery: Vec<Hash32>,
    /// Indices below this one have been given to a DID.
    #[n(2)]
    pub used: u32,
    /// The suite of the keys, which is that of all of the wallet's DIDs. Absent where it is Ed25519, as in
    /// every wallet that was made before there was a choice.
    #[n(3)]
    suite: Option<Suite>,
}

/// One index of the pool, given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spares {
    pub index: u32,
    pub next: Hash32,
    pub recovery: Hash32,
}

impl Pool {
    /// None yet, of a suite.
    pub fn of(suite: Suite) -> Self {
        Self {
            suite: recorded(suite),
            ..Self::default()
        }
    }

    pub fn suite(&self) -> Suite {
        self.suite.unwrap_or(Suite::Ed25519)
    }

    /// How many sets of keys can still be made without the kit.
    pub fn left(&self) -> u32 {
        (self.next.len().min(self.recovery.len()) as u32).saturating_sub(self.used)
    }

    /// Takes the next unused index.
    pub fn take(&mut self) -> Option<Spares> {
        let at = self.used as usize;
        let spares = Spares {
            index: self.used,
            next: *self.next.get(at)?,
            recovery: *self.recovery.get(at)?,
        };
        self.used += 1;
        Some(spares)
    }
}

/// A suite as the vault has it: absent where it is Ed25519.
pub(crate) fn recorded(suite: Suite) -> Option<Suite> {
    (suite != Suite::Ed25519).then_some(suite)
}

/// The key of one DID: hardened, so that it says nothing about the root or about other DIDs.
pub fn pairwise_key(
    suite: Suite,
    root: &Secret32,
    service: &Hash32,
) -> Result<SecretKey, KitError> {
    key(suite, root.bytes(), "pairwise-key", &service.0)
}

/// The key that takes a display back (spec/displays.md, rule Y3).
pub fn display_key(
    suite: Suite,
    pairwise_root: &Secret32,
    salt: &[u8; 32],
) -> Result<SecretKey, KitError> {
    key(suite, pairwise_root.bytes(), "display-withdrawal", salt)
}

/// HKDF-SHA-256 (RFC 5869) with the wallet's domain as salt; info = label ‖ 0 ‖ context.
fn derive(secret: &[u8], label: &str, context: &[u8]) -> Secret32 {
    let hkdf = Hkdf::<Sha256>::new(Some(Domain::Wallet.tag().as_bytes()), secret);
    let mut out = [0u8; 32];
    // 32 bytes are within HKDF's bound of 255 blocks.
    let _infallible = hkdf
        .expand_multi_info(&[label.as_bytes(), &[0], context], &mut out)
        .is_ok();
    let derived = Secret32::new(out);
    out.zeroize();
    derived
}

/// The key of a suite for one use. No two suites have one secret: each has labels of its own, Ed25519 those
/// without its name. Every 32 bytes are a secret of Ed25519; of the others' one in 2^32 is none, and then
/// the next draw is taken.
fn key(suite: Suite, secret: &[u8], label: &str, context: &[u8]) -> Result<SecretKey, KitError> {
    let label = match suite {
        Suite::Ed25519 => label.to_owned(),
        other => format!("{label}/{}", other.name()),
    };
    let first = derive(secret, &label, context);
    if let Ok(key) = SecretKey::from_seed(suite, *first.bytes()) {
        return Ok(key);
    }
    let draws = (1..=u8::MAX).map(|draw| derive(secret, &label, &[context, &[draw]].concat()));
    let mut keys = draws.filter_map(|draw| SecretKey::from_seed(suite, *draw.bytes()).ok());
    keys.next().ok_or(KitError::Malformed)
}

#[cfg(test)]
mod tests;
