//! Which keys the state has, in order, and which height it is of.
//!
//! NOMT finds a key and proves it, but cannot say what keys there are, nor at which height it was
//! committed. Both stand here, in a file beside it.
//!
//! **Why the height is not a key of the trie:** it would change the root with every slot, also
//! where nothing happened, and every proof of an idle network with it. **Why it is not read from
//! the newest header:** a crash may fall between the header and the commit. Instead every commit
//! writes here *first*, in one transaction: the height with the root that NOMT is about to have,
//! the changed key set, and how to take that back. Only then NOMT commits, which is one step too.
//! After a crash NOMT's own root says which side of its step it is on ([`Index::reconcile`]):
//!
//! | NOMT's root is | then |
//! | --- | --- |
//! | the journal's new root | the commit happened; nothing to do |
//! | the root before it | it did not; the key set is taken back to the height before |
//! | neither | files were removed or mixed: [`StoreError::Diverged`], replay the log |
//!
//! The roots of two heights may be equal (a slot without changes). Then the states are equal too,
//! key set included, and the first line is true of both.

use std::path::Path;

use minicbor::{Decode, Encode};
use realdid_core::codec;
use realdid_core::trie::{EMPTY, Key, Prefix, Root};
use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use super::StoreError;
use super::tables::Tables;

const KEYS: TableDefinition<&[u8; 32], ()> = TableDefinition::new("keys");
/// Height to root, 40 bytes a slot.
const ROOTS: TableDefinition<u64, &[u8; 32]> = TableDefinition::new("roots");
const JOURNAL: TableDefinition<(), &[u8]> = TableDefinition::new("journal");

/// A committed height and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Committed {
    #[n(0)]
    pub height: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub root: Root,
}

/// The newest commit, and how to take it back.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Journal {
    #[n(0)]
    after: Committed,
    #[n(1)]
    before: Option<Committed>,
    /// Keys that the commit created.
    #[n(2)]
    added: Vec<codec::Bytes>,
    /// Keys that the commit deleted.
    #[n(3)]
    removed: Vec<codec::Bytes>,
}

pub(super) struct Index {
    tables: Tables,
}

impl Index {
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        Self::with_tables(Tables::open(path, cache_bytes)?)
    }

    pub(super) fn with_tables(tables: Tables) -> Result<Self, StoreError> {
        // So that readers find the tables.
        tables.write(|transaction| {
            transaction.open_table(KEYS)?;
            transaction.open_table(ROOTS)?;
            transaction.open_table(JOURNAL)?;
            Ok(())
        })?;
        Ok(Self { tables })
    }

    /// Writes the key set and height that the state will have when NOMT's root becomes
    /// `after.root`. `changes`: each key once, with whether it has a value afterwards.
    pub(super) fn stage(
        &self,
        before: Option<Committed>,
        after: Committed,
        changes: &[(Key, bool)],
    ) -> Result<(), StoreError> {
        self.tables.write(|transaction| {
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            let mut keys = transaction.open_table(KEYS)?;
            for (key, present) in changes {
                if *present {
                    // Most changes are of keys that are there, and looking is much cheaper than
                    // writing the same again: the page would be copied, and written anew.
                    if keys.get(key)?.is_none() {
                        keys.insert(key, ())?;
                        added.push(codec::Bytes(key.to_vec()));
                    }
                } else if keys.remove(key)?.is_some() {
                    removed.push(codec::Bytes(key.to_vec()));
                }
            }
            transaction
                .open_table(ROOTS)?
                .insert(after.height, &after.root)?;
            let journal = Journal {
                after,
                before,
                added,
                removed,
            };
            write_journal(transaction, Some(&journal))
        })?;
        Ok(())
    }

    /// Makes the index that of the state with this root, and says which height that is.
    pub(super) fn reconcile(&self, root: Root) -> Result<Option<Committed>, StoreError> {
        let journal = self.tables.read(|transaction| {
            let stored = transaction.open_table(JOURNAL)?.get(())?;
            Ok(stored.map(|bytes| bytes.value().to_vec()))
        })?;
        let Some(journal) = journal else {
            return if root == EMPTY {
                Ok(None)
            } else {
                Err(StoreError::Diverged)
            };
        };
        let journal: Journal =
            codec::decode(&journal, usize::MAX).map_err(|_| StoreError::Diverged)?;
        if root == journal.after.root {
            return Ok(Some(journal.after));
        }
        if root != journal.before.map_or(EMPTY, |before| before.root) {
            return Err(StoreError::Diverged);
        }
        self.take_back(&journal)?;
        Ok(journal.before)
    }

    fn take_back(&self, journal: &Journal) -> Result<(), StoreError> {
        let key = |bytes: &codec::Bytes| Key::try_from(bytes.0.as_slice()).ok();
        self.tables.write(|transaction| {
            let mut keys = transaction.open_table(KEYS)?;
            for key in journal.added.iter().filter_map(key) {
                keys.remove(&key)?;
            }
            for key in journal.removed.iter().filter_map(key) {
                keys.insert(&key, ())?;
            }
            transaction
                .open_table(ROOTS)?
                .remove(journal.after.height)?;
            let stands = journal.before.map(|before| Journal {
                after: before,
                before: Some(before),
                added: Vec::new(),
                removed: Vec::new(),
            });
            write_journal(transaction, stands.as_ref())
        })?;
        Ok(())
    }

    pub(super) fn contains(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(self
            .tables
            .read(|transaction| Ok(transaction.open_table(KEYS)?.get(key)?.is_some()))?)
    }

    pub(super) fn root_at(&self, height: u64) -> Result<Option<Root>, StoreError> {
        Ok(self.tables.read(|transaction| {
            let root = transaction.open_table(ROOTS)?.get(height)?;
            Ok(root.map(|root| *root.value()))
        })?)
    }

    /// At most `limit` keys with this prefix, ascending, from behind `after`.
    pub(super) fn keys(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        Ok(self.tables.read(|transaction| {
            let table = transaction.open_table(KEYS)?;
            let from = after.map_or(prefix.path(), |after| after.max(prefix.path()));
            let mut keys = Vec::new();
            if *from > prefix.last() {
                return Ok(keys);
            }
            for entry in table.range::<&[u8; 32]>(from..=&prefix.last())? {
                let key = *entry?.0.value();
                if Some(&key) == after {
                    continue;
                }
                if keys.len() == limit {
                    break;
                }
                keys.push(key);
            }
            Ok(keys)
        })?)
    }
}

fn write_journal(
    transaction: &WriteTransaction,
    journal: Option<&Journal>,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(JOURNAL)?;
    match journal {
        Some(journal) => table.insert((), codec::encode(journal).as_slice())?,
        None => table.remove(())?,
    };
    Ok(())
}
