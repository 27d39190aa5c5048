//! The promises of the stores, and the state store for simulated nodes.
//!
//! [`MemoryStore`] is the second real implementation of [`StateStore`]; [`same_state`] holds any
//! store against it. Every workload follows from a seed, which a failure prints.

mod blocklog;
mod crash;
mod full_disk;
mod hand_overs;
mod machine;
mod state;

use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use realdid_core::hash::HashFunction;
use realdid_core::trie::{Entry, Key, Prefix, Root, check_value, value_hash, verify_bucket};
use realdid_testkit::trie::MemoryTrie;
use redb::{Database, StorageBackend};

use super::tables::Tables;
use super::*;

pub(crate) const BY: HashFunction = HashFunction::Sha256;

/// The testkit's trie behind the port.
#[derive(Default)]
pub(crate) struct MemoryStore {
    state: Mutex<(MemoryTrie, Vec<(u64, Root)>)>,
}

impl MemoryStore {
    pub(crate) fn hashing_by(by: HashFunction) -> Self {
        Self {
            state: Mutex::new((MemoryTrie::hashing_by(by), Vec::new())),
        }
    }
}

impl StateStore for MemoryStore {
    fn root(&self) -> Root {
        self.state.lock().unwrap().0.root()
    }

    fn committed_height(&self) -> Option<u64> {
        self.state
            .lock()
            .unwrap()
            .1
            .last()
            .map(|(height, _)| *height)
    }

    fn root_at(&self, height: u64) -> Result<Option<Root>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state
            .1
            .iter()
            .find(|(at, _)| *at == height)
            .map(|(_, root)| *root))
    }

    fn commit(&self, height: u64, changes: &[Change]) -> Result<Root, StoreError> {
        let mut state = self.state.lock().unwrap();
        if let Some((committed, _)) = state.1.last()
            && height <= *committed
        {
            return Err(StoreError::HeightOrder {
                committed: *committed,
                got: height,
            });
        }
        let mut keys: Vec<_> = changes.iter().map(|(key, _)| key).collect();
        keys.sort();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(StoreError::DuplicateKey);
        }
        let root = state.0.commit(changes);
        state.1.push((height, root));
        Ok(root)
    }

    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().unwrap().0.get(key).map(<[u8]>::to_vec))
    }

    fn prove(&self, key: &Key) -> Result<Proved, StoreError> {
        let state = self.state.lock().unwrap();
        let (value, proof) = state.0.prove(key);
        Ok(Proved {
            root: state.0.root(),
            height: state.1.last().map_or(0, |(height, _)| *height),
            value,
            proof,
        })
    }

    fn bucket(&self, prefix: &Prefix) -> Result<ProvedBucket, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(ProvedBucket {
            root: state.0.root(),
            height: state.1.last().map_or(0, |(height, _)| *height),
            bucket: state.0.bucket(prefix),
        })
    }

    fn family(
        &self,
        family: u8,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let state = self.state.lock().unwrap();
        let entries = state.0.entries();
        let wanted = entries.filter(|(key, _)| key[0] == family && Some(*key) > after);
        Ok(wanted
            .take(limit)
            .map(|(key, value)| Entry {
                key: *key,
                value: value.to_vec(),
            })
            .collect())
    }
}

/// SplitMix64: all the chance that a test needs, from a seed.
pub(crate) struct Chance(pub u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A key of one of three families. Now and then keys differ in their last byte only, so that
/// paths of all lengths occur.
fn key(id: u64) -> Key {
    let close = id.is_multiple_of(11);
    let seed = if close { id / 100 } else { id };
    let mut key = value_hash(BY, &seed.to_be_bytes());
    key[0] = (id % 3) as u8;
    if close {
        key[31] = id as u8;
    }
    key
}

/// What a height changes: always the same for the same seed. Inserts, updates, deletes and
/// re-inserts among `ids` keys; values from none to more than a page.
fn changes_at(seed: u64, height: u64, ids: u64) -> Vec<Change> {
    let mut chance = Chance(seed ^ height.wrapping_mul(0xd134_2543_de82_ef95));
    let mut changes = std::collections::BTreeMap::new();
    // One height in eight changes nothing, one in eight much.
    let count = match chance.below(8) {
        0 => 0,
        1 => ids / 3,
        _ => 1 + chance.below(20),
    };
    // Whole stretches of deletes empty the trie from time to time.
    let deletes = if (height / 16) % 4 == 3 { 9 } else { 3 };
    for _ in 0..count {
        let key = key(chance.below(ids));
        let length = match chance.below(40) {
            0 => 0,
            1 => 5000,
            _ => 1 + chance.below(120),
        };
        let value = vec![chance.next() as u8; length as usize];
        let deleted = chance.below(10) < deletes;
        changes.insert(key, (!deleted).then_some(value));
    }
    changes.into_iter().collect()
}

/// Holds a store against the oracle: root, values, families, proofs and buckets, the same to the
/// byte, and true by the light client's rules.
fn same_state(store: &dyn StateStore, memory: &dyn StateStore, ids: u64, chance: &mut Chance) {
    let root = memory.root();
    assert_eq!(store.root(), root);
    assert_eq!(store.committed_height(), memory.committed_height());
    for family in 0..4 {
        let all = memory.family(family, None, usize::MAX).unwrap();
        assert_eq!(store.family(family, None, usize::MAX).unwrap(), all);
    }
    for _ in 0..8 {
        let key = key(chance.below(ids + ids / 4));
        let proved = store.prove(&key).unwrap();
        assert_eq!(proved, memory.prove(&key).unwrap());
        assert_eq!(proved.root, root);
        assert_eq!(store.get(&key).unwrap(), proved.value);
        let value = proved.value.as_deref();
        assert_eq!(check_value(BY, &root, &key, value, &proved.proof), Ok(()));
        assert!(check_value(BY, &root, &key, Some(b"forged"), &proved.proof).is_err());
        if value.is_some() {
            assert!(check_value(BY, &root, &key, None, &proved.proof).is_err());
        }

        let bits = chance.below(20) as usize;
        let prefix = Prefix::new(&key, bits).unwrap();
        let bucket = match store.bucket(&prefix) {
            Err(StoreError::BucketTooWide { .. }) if ids > 4096 => continue,
            bucket => bucket.unwrap(),
        };
        assert_eq!(bucket, memory.bucket(&prefix).unwrap());
        assert_eq!(verify_bucket(BY, &root, &prefix, &bucket.bucket), Ok(()));
        assert_eq!(bucket.bucket.proof(BY, &key), proved.proof);
    }
}

/// Small sizes, and a hash table that has to grow.
fn small() -> NomtOptions {
    NomtOptions {
        hashtable_buckets: 64,
        page_cache_mib: 4,
        leaf_cache_mib: 4,
        index_cache_mib: 4,
        ..NomtOptions::default()
    }
}

/// This test binary again, running one test alone as a child.
fn child(test: &str) -> Vec<String> {
    let binary = std::env::current_exe().unwrap();
    [binary.to_str().unwrap(), test, "--exact", "--nocapture"]
        .map(str::to_string)
        .to_vec()
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// A disk in memory on which only so many more writes succeed, and which a power cut takes back
/// to its last sync.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    synced: Arc<Mutex<Vec<u8>>>,
    room: Arc<AtomicI64>,
}

impl Disk {
    fn tables(&self) -> Tables {
        let below = self.clone();
        let opener = move || Database::builder().create_with_backend(below.clone());
        Tables::with_opener(Box::new(opener)).unwrap()
    }

    /// Another disk with what was synced.
    fn after_a_power_cut(&self) -> Self {
        let left = Self::default();
        left.room.store(i64::MAX, Ordering::SeqCst);
        *left.bytes.lock().unwrap() = self.synced.lock().unwrap().clone();
        left
    }

    fn spend(&self) -> io::Result<()> {
        if self.room.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let from = offset as usize;
        let found = bytes.get(from..from + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.spend()?;
        self.bytes.lock().unwrap().resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.spend()?;
        *self.synced.lock().unwrap() = self.bytes.lock().unwrap().clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.spend()?;
        let from = offset as usize;
        self.bytes.lock().unwrap()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}
