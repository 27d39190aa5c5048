//! The vault: everything that the wallet remembers, in one encrypted file.
//!
//! `DIR/vault` is a header in the clear (how the key is made, and a nonce) and XChaCha20-Poly1305
//! over the canonical [`Content`](crate::content::Content), with the header as associated data.
//! The key is 32 random bytes in `DIR/device.key`, which stand for the device's keystore, or
//! Argon2id over a passphrase where `REALDID_WALLET_PASSPHRASE` was set when the wallet was made.
//! Every save takes a fresh nonce and replaces the file whole; `DIR/lock` keeps a second process
//! out. A vault that cannot be opened is never written over.

use crate::content::{Content, MAX_CONTENT_BYTES};
use crate::files::{self, FileError};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use realdid_core::codec;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"rdidvlt1";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = MAGIC.len() + 1 + 12 + SALT_BYTES + NONCE_BYTES;
/// Argon2id: 64 MiB, three passes, one lane (above the first choice of RFC 9106 §4 for phones).
const ARGON2: Argon2Cost = Argon2Cost {
    memory_kib: 64 * 1024,
    passes: 3,
    lanes: 1,
};

/// Why the vault could not be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("there must be a wallet in {}", .0.display())]
    Missing(PathBuf),
    #[error("there must be no wallet in {} yet", .0.display())]
    Exists(PathBuf),
    #[error("one process at a time uses a wallet")]
    Busy,
    #[error("this wallet is opened with a passphrase")]
    PassphraseNeeded,
    #[error("the device key must be there: 32 bytes in {}", .0.display())]
    DeviceKey(PathBuf),
    /// A wrong key and changed bytes look the same to authenticated encryption.
    #[error("the vault must open under the {}", if *.passphrase { "passphrase" } else { "device key" })]
    Locked { passphrase: bool },
    #[error("the vault file must be whole: its header is cut short or of another version")]
    Corrupt,
    #[error("the vault must be of a version that this program reads")]
    Content(#[source] codec::CodecError),
    #[error("the system must give random bytes")]
    Entropy,
    #[error(transparent)]
    File(#[from] FileError),
}

impl VaultError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "wallet.missing",
            Self::Exists(_) => "wallet.exists",
            Self::Busy => "wallet.busy",
            Self::PassphraseNeeded => "wallet.passphrase_needed",
            Self::DeviceKey(_) => "wallet.device_key",
            Self::Locked { .. } => "wallet.locked",
            Self::Corrupt => "wallet.corrupt",
            Self::Content(_) => "wallet.version",
            Self::Entropy => "wallet.entropy",
            Self::File(error) => error.code(),
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Missing(_) => {
                "run `realdid wallet enrol` or `realdid wallet init`, or give the folder with --dir"
            }
            Self::Exists(_) => "use it, or give another folder with --dir",
            Self::Busy => "wait until the other command is done",
            Self::PassphraseNeeded => "set REALDID_WALLET_PASSPHRASE",
            Self::DeviceKey(_) => {
                "put the device key back, or rebuild the wallet from its recovery kit in another folder"
            }
            Self::Locked { passphrase: true } => {
                "give the right passphrase; if it is right, restore the vault file from a copy"
            }
            Self::Locked { passphrase: false } | Self::Corrupt => {
                "restore vault and device key from the same copy, or rebuild the wallet from its recovery kit in another folder"
            }
            Self::Content(_) => "use the version of this program that wrote it, or a newer one",
            Self::Entropy => "look at the system's random device",
            Self::File(error) => error.fix(),
        }
    }
}

/// How the vault's key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Argon2Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The part of the file in the clear, without its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    /// Absent where the device key is used.
    argon2: Option<(Argon2Cost, [u8; SALT_BYTES])>,
}

/// An open vault. It holds the folder's lock until it is dropped.
pub struct Vault {
    dir: PathBuf,
    header: Header,
    key: Zeroizing<[u8; 32]>,
    _lock: File,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.dir.display())
    }
}

impl Vault {
    /// Whether there is a vault in this folder.
    pub fn exists(dir: &Path) -> bool {
        vault_path(dir).exists()
    }

    /// Makes a vault in `dir`, which is created where it is missing.
    ///
    /// With a passphrase its key is Argon2id's, otherwise the device key's, which is made unless
    /// an attempt that was interrupted left one.
    pub fn create(
        dir: &Path,
        passphrase: Option<&str>,
        content: &Content,
    ) -> Result<Self, VaultError> {
        files::create_dir(dir)?;
        let lock = lock(dir, Duration::ZERO)?;
        if Self::exists(dir) {
            return Err(VaultError::Exists(dir.to_owned()));
        }
        let header = match passphrase {
            Some(_) => Header {
                argon2: Some((ARGON2, random()?)),
            },
            None => {
                let path = device_key_path(dir);
                if !path.exists() {
                    let key = Zeroizing::new(random::<32>()?);
                    files::create(&path, &*key)?;
                }
                Header { argon2: None }
            }
        };
        let key = unlock(dir, &header, passphrase)?;
        let vault = Self {
            dir: dir.to_owned(),
            header,
            key,
            _lock: lock,
        };
        vault.save(content)?;
        Ok(vault)
    }

    /// Opens the vault in `dir`, waiting at most `patience` for another process to finish.
    pub fn open(
        dir: &Path,
        passphrase: Option<&str>,
        patience: Duration,
    ) -> Result<(Self, Content), VaultError> {
        if !Self::exists(dir) {
            return Err(VaultError::Missing(dir.to_owned()));
        }
        let lock = lock(dir, patience)?;
        let limit = (HEADER_BYTES + MAX_CONTENT_BYTES + 16) as u64;
        let bytes = files::read(&vault_path(dir), limit)?;
        let (clear, sealed) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(VaultError::Corrupt)?;
        let (header, nonce) = Header::parse(clear)?;
        let key = unlock(dir, &header, passphrase)?;
        let payload = Payload {
            msg: sealed,
            aad: clear,
        };
        let plain = XChaCha20Poly1305::new((&*key).into())
            .decrypt(&nonce, payload)
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Locked {
                passphrase: header.argon2.is_some(),
            })?;
        let content = codec::decode(&plain, MAX_CONTENT_BYTES).map_err(VaultError::Content)?;
        let vault = Self {
            dir: dir.to_owned(),
            header,
            key,
            _lock: lock,
        };
        Ok((vault, content))
    }

    /// Replaces the stored content. When this returns, it survives a power cut; after an error
    /// the old content stands.
    pub fn save(&self, content: &Content) -> Result<(), VaultError> {
        let plain = Zeroizing::new(codec::encode(content));
        let nonce: [u8; NONCE_BYTES] = random()?;
        let clear = self.header.write(&nonce);
        let payload = Payload {
            msg: &plain,
            aad: &clear,
        };
        let sealed = XChaCha20Poly1305::new((&*self.key).into())
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| VaultError::Corrupt)?;
        files::replace(&vault_path(&self.dir), &[clear, sealed].concat())?;
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Header {
    fn write(&self, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let (kind, cost, salt) = match &self.argon2 {
            None => (0u8, [0; 3], [0; SALT_BYTES]),
            Some((cost, salt)) => (1, [cost.memory_kib, cost.passes, cost.lanes], *salt),
        };
        out.push(kind);
        cost.iter()
            .for_each(|number| out.extend(number.to_be_bytes()));
        out.extend(salt);
        out.extend(nonce);
        out
    }

    fn parse(bytes: &[u8]) -> Result<(Self, XNonce), VaultError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(VaultError::Corrupt)?;
        let (kind, rest) = rest.split_first().ok_or(VaultError::Corrupt)?;
        let (cost, rest) = rest.split_at(12);
        let (salt, nonce) = rest.split_at(SALT_BYTES);
        let number = |i: usize| {
            let four = cost.get(i * 4..i * 4 + 4).and_then(|b| b.try_into().ok());
            four.map(u32::from_be_bytes).ok_or(VaultError::Corrupt)
        };
        let cost = Argon2Cost {
            memory_kib: number(0)?,
            passes: number(1)?,
            lanes: number(2)?,
        };
        // Bounded: changed bytes must not make this device work for hours.
        let bounded = cost.memory_kib <= 1 << 20 && cost.passes <= 64 && cost.lanes <= 16;
        let argon2 = match kind {
            0 => None,
            1 if bounded => Some((cost, salt.try_into().map_err(|_| VaultError::Corrupt)?)),
            _ => return Err(VaultError::Corrupt),
        };
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| VaultError::Corrupt)?;
        Ok((Self { argon2 }, XNonce::from(nonce)))
    }
}

fn unlock(
    dir: &Path,
    header: &Header,
    passphrase: Option<&str>,
) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let Some((cost, salt)) = &header.argon2 else {
        let path = device_key_path(dir);
        let bytes = Zeroizing::new(
            files::read(&path, 64).map_err(|_| VaultError::DeviceKey(path.clone()))?,
        );
        let key = bytes
            .as_slice()
            .try_into()
            .map_err(|_| VaultError::DeviceKey(path))?;
        return Ok(Zeroizing::new(key));
    };
    let passphrase = passphrase.ok_or(VaultError::PassphraseNeeded)?;
    let params = argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| VaultError::Corrupt)?;
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = Zeroizing::new([0u8; 32]);
    argon2
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .map_err(|_| VaultError::Corrupt)?;
    Ok(key)
}

/// Takes the folder's lock. The file stays; the lock goes with its holder, also when that is killed.
fn lock(dir: &Path, patience: Duration) -> Result<File, VaultError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| FileError::of(&path, &error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => return Err(VaultError::Busy),
            Err(TryLockError::Error(error)) => return Err(FileError::of(&path, &error).into()),
        }
    }
}

fn vault_path(dir: &Path) -> PathBuf {
    dir.join("vault")
}

fn device_key_path(dir: &Path) -> PathBuf {
    dir.join("device.key")
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|_| VaultError::Entropy)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
