//! Records over any store: reads fall through to what is below, changes stay on top until the
//! slot is closed and they are committed as one.

use crate::bytes_of;
use minicbor::{Decode, Encode};
use realdid_core::codec::decode_again;
use realdid_core::state::Issuer;
use realdid_core::trie::Key;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A change to one key: a new value, or none.
pub type Change = (Key, Option<Vec<u8>>);

/// What the rules read from: a committed state.
pub trait Read {
    type Error;

    /// The committed value under a key.
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, Self::Error>;
}

impl<T: Read + ?Sized> Read for &T {
    type Error = T::Error;

    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, Self::Error> {
        (**self).read(key)
    }
}

/// An empty state, as before genesis.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Read for Nothing {
    type Error = std::convert::Infallible;

    fn read(&self, _: &Key) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(None)
    }
}

/// A store with the changes of the open slot on top.
#[derive(Debug, Clone)]
pub struct Records<R> {
    below: R,
    changes: BTreeMap<Key, Option<Vec<u8>>>,
    /// What each change of the running operation replaced, to take it back.
    journal: Vec<(Key, Option<Option<Vec<u8>>>)>,
    /// Issuers as they stand, since nearly every operation asks for one of the same few.
    issuers: RefCell<BTreeMap<Key, Arc<Issuer>>>,
}

/// A point to which changes can be taken back.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl<R: Read> Records<R> {
    pub fn new(below: R) -> Self {
        Self::with_changes(below, BTreeMap::new())
    }

    /// Goes on with changes that were made over the same store before.
    pub fn with_changes(below: R, changes: BTreeMap<Key, Option<Vec<u8>>>) -> Self {
        Self {
            below,
            changes,
            journal: Vec::new(),
            issuers: RefCell::default(),
        }
    }

    /// All changes since the store was committed, sorted by key.
    pub fn into_changes(self) -> BTreeMap<Key, Option<Vec<u8>>> {
        self.changes
    }

    /// The bytes under a key, changes included.
    pub fn bytes(&self, key: &Key) -> Result<Option<Vec<u8>>, R::Error> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.below.read(key),
        }
    }

    /// The record under a key. The ledger wrote it, so it reads back; bytes that do not are
    /// treated as absent, which no rule can mistake for consent.
    pub fn get<T>(&self, key: &Key) -> Result<Option<T>, R::Error>
    where
        T: for<'b> Decode<'b, ()>,
    {
        Ok(self.bytes(key)?.and_then(|bytes| decode_again(&bytes).ok()))
    }

    /// The issuer under a key.
    pub(crate) fn issuer(&self, key: &Key) -> Result<Option<Arc<Issuer>>, R::Error> {
        if let Some(known) = self.issuers.borrow().get(key) {
            return Ok(Some(known.clone()));
        }
        let read = self.get(key)?.map(Arc::new);
        if let Some(issuer) = &read {
            self.issuers.borrow_mut().insert(*key, Arc::clone(issuer));
        }
        Ok(read)
    }

    pub fn put<T: Encode<()>>(&mut self, key: Key, record: &T) {
        let before = self.changes.insert(key, Some(bytes_of(record)));
        self.journal.push((key, before));
        self.issuers.get_mut().remove(&key);
    }

    /// Takes back what the last operation changed.
    pub fn take_back(&mut self) {
        self.undo(Mark(0));
    }

    pub(crate) fn mark(&mut self) -> Mark {
        self.journal.clear();
        Mark(0)
    }

    pub(crate) fn undo(&mut self, mark: Mark) {
        for (key, before) in self.journal.drain(mark.0..).rev() {
            self.issuers.get_mut().remove(&key);
            match before {
                Some(value) => self.changes.insert(key, value),
                None => self.changes.remove(&key),
            };
        }
    }
}
