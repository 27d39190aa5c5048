//! What a node keeps on disk, and how it comes back after any crash.
//!
//! Two stores, with different duties:
//!
//! - [`BlockLog`] is **the truth**: finalised blocks in order, their certificates and the receipts
//!   of their operations. A block is acknowledged only after it is in here, synced (P10).
//! - a [`StateStore`] is the state that follows from those blocks, as an authenticated trie. It
//!   can be thrown away and made again by replaying the log. [`NomtStore`] is the one on disk; the
//!   simulator and the tests use the in-memory trie of the testkit. Both give the same roots.
//!
//! State is committed once per slot ([`StateStore::commit`]), and proofs are **of the newest
//! commit only**: NOMT keeps no older version. A proof says which height it is of; whoever pairs
//! it with a checkpoint must take the one that seals that height, and nothing may be committed
//! between. Readers take part in this by themselves: any number of threads may read while
//! nothing commits, and a commit waits for the reads that have begun.
//!
//! At start: open both, then replay the blocks above [`StateStore::committed_height`].

mod blocklog;
mod index;
mod nomt;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod tests;

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use realdid_core::hash::HashFunction;
use realdid_core::trie::{Bucket, Entry, Key, Prefix, Proof, Root};

pub use self::blocklog::{
    Appended, BlockLog, BlockLogError, BlockLogOptions, LoggedOperation, LoggedPast, LoggedReceipt,
};
pub use self::nomt::{IoUringProblem, NomtOptions, NomtSm3Store, NomtStore};

/// One change of the state: a new value, or `None` to delete the key.
pub type Change = (Key, Option<Vec<u8>>);

/// Opens the state on disk of a network that hashes by `by`.
pub fn open(
    directory: &Path,
    options: NomtOptions,
    by: HashFunction,
) -> Result<Arc<dyn StateStore>, StoreError> {
    Ok(match by {
        HashFunction::Sha256 => Arc::new(NomtStore::open(directory, options)?),
        HashFunction::Sm3 => Arc::new(NomtSm3Store::open(directory, options)?),
    })
}

/// The state of the newest committed height, and proofs of it.
pub trait StateStore: Send + Sync {
    /// The root of the newest commit; of an empty trie before the first.
    fn root(&self) -> Root;

    /// The height of the newest commit. `None`: nothing was ever committed, genesis included.
    fn committed_height(&self) -> Option<u64>;

    /// The root that was committed at exactly this height, if one was: what a validator holds a
    /// header's sealed root against.
    fn root_at(&self, height: u64) -> Result<Option<Root>, StoreError>;

    /// Makes all `changes` and `height` durable as one step, and gives the new root. After a
    /// crash, or an error, either all of it stands or nothing.
    ///
    /// Heights must rise. The changes may come in any order, each key once; deleting a key that
    /// is not there changes nothing.
    fn commit(&self, height: u64, changes: &[Change]) -> Result<Root, StoreError>;

    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// The value under `key`, if any, with the proof that it is so.
    fn prove(&self, key: &Key) -> Result<Proved, StoreError>;

    /// All keys that begin with `prefix`, with the proof that these are all.
    fn bucket(&self, prefix: &Prefix) -> Result<ProvedBucket, StoreError>;

    /// At most `limit` entries of a family in the order of their keys, from behind `after`.
    fn family(
        &self,
        family: u8,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;
}

/// One key's value and its proof against `root`, the state after `height`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    pub root: Root,
    pub height: u64,
    pub value: Option<Vec<u8>>,
    pub proof: Proof,
}

/// A bucket of `root`, the state after `height`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedBucket {
    pub root: Root,
    pub height: u64,
    pub bucket: Bucket,
}

/// Why the state could not be read or changed.
///
/// After [`StoreError::DiskFull`], `Engine` or `Index` the store opens itself anew with the next
/// call: nothing of a failed commit is ever visible.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no space left for the state: free some, the next commit goes on where this stopped")]
    DiskFull,
    /// The machine cannot run NOMT. The operator's to fix.
    #[error("{0}")]
    IoUring(IoUringProblem),
    #[error("the state directory is in use by another process: stop that one first")]
    InUse,
    /// Files were removed, mixed or damaged. [`NomtStore::discard`] and replay the block log.
    #[error("the state directory contradicts its own journal: remove it, it is made again")]
    Diverged,
    /// The caller's order of commits is wrong.
    #[error("height {got} cannot be committed behind {committed}")]
    HeightOrder { committed: u64, got: u64 },
    #[error("one commit changes the same key twice")]
    DuplicateKey,
    /// The reader's to fix.
    #[error("more than {limit} keys begin with this prefix: ask with more bits")]
    BucketTooWide { limit: usize },
    #[error("the state engine failed")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
    #[error("the key index failed")]
    Index(#[source] redb::Error),
}

impl StoreError {
    /// The stable name of what failed, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull => "store.disk_full",
            Self::IoUring(_) => "store.io_uring",
            Self::InUse => "store.in_use",
            Self::Diverged => "store.diverged",
            Self::HeightOrder { .. } => "store.height_order",
            Self::DuplicateKey => "store.duplicate_key",
            Self::BucketTooWide { .. } => "store.bucket_too_wide",
            Self::Engine(_) => "store.engine",
            Self::Index(_) => "store.index",
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if is_full(&error) => Self::DiskFull,
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            other => Self::Index(other),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) {
            Self::DiskFull
        } else {
            Self::Engine(Box::new(error))
        }
    }
}

/// Whether an error means that the disk, a quota or a file-size limit is used up.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
