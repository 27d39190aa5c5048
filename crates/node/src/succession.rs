//! What a stopped node's folder has of a network that certifies nothing more, and the state of such a
//! network at the beginning of another (spec/ceremony.md, X13 and X15).
//!
//! The state is found by executing the block log again from its beginning, not read from the state
//! folder: that may be ahead of what was certified, and an old disk is not to be believed. All of it is in
//! memory meanwhile.

use crate::machine::{LogEntry, MAX_ENTRY_BYTES};
use crate::store::{BlockLog, BlockLogError, BlockLogOptions, Change, StateStore, StoreError};
use realdid_core::answer::{HandOver, MAX_HAND_OVERS};
use realdid_core::carried::{self, Record};
use realdid_core::codec::{self, Bytes, CodecError};
use realdid_core::genesis::Genesis;
use realdid_core::header::{Block, Checkpoint, Header};
use realdid_core::terms::{TermError, Terms};
use realdid_core::trie::Key;
use realdid_ledger::governance::begin_block;
use realdid_ledger::state::{Read, Records};
use realdid_ledger::{Moment, Network, apply_block};
use realdid_serve::files::FileError;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

/// The carried state in a node's folder.
pub const CARRIED_FILE: &str = "carried.cbor";
/// How many blocks are read at a time.
const BATCH: usize = 256;

/// Why a state could not be taken from one network to the next.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    #[error("the block log: {0}")]
    Log(#[from] BlockLogError),
    #[error("the state: {0}")]
    Store(#[from] StoreError),
    #[error("what is in the folder cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("{0}")]
    File(#[from] FileError),
    #[error("the folder has no certificate of any block")]
    NothingCertified,
    #[error("the newest certificate does not hold under this genesis: {0}")]
    Certificate(#[from] TermError),
    #[error("the records are not the state that was certified")]
    State,
    #[error("a block is missing in the log")]
    Gap,
}

impl SuccessionError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Log(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Codec(error) => error.code(),
            Self::File(error) => error.code(),
            Self::NothingCertified => "succession.nothing_certified",
            Self::Certificate(error) => error.code(),
            Self::State => "succession.state",
            Self::Gap => "succession.gap",
        }
    }
}

/// The newest certified header of a folder, how its committee came to it, and every record of the state
/// that it seals.
pub struct LastCertified {
    /// To each term after the genesis' own, in their order.
    pub hand_overs: Vec<HandOver>,
    pub checkpoint: Checkpoint,
    /// Ascending by key.
    pub records: BTreeMap<Key, Vec<u8>>,
    /// How many final operations came after that state: they are not in it.
    pub after: usize,
}

/// Reads a stopped node's folder.
pub fn last_certified(dir: &Path, genesis: &Genesis) -> Result<LastCertified, SuccessionError> {
    let log = BlockLog::open(&dir.join("blocks.redb"), &BlockLogOptions::default())?;
    let newest = log.newest_certificate()?;
    let (height, certificate) = newest.ok_or(SuccessionError::NothingCertified)?;
    let header = block_at(&log, height)?.header;
    let checkpoint = Checkpoint {
        header: Bytes(codec::encode(&header)),
        certificate: Bytes(certificate),
    };
    let mut terms = Terms::of(genesis);
    let mut hand_overs = Vec::new();
    loop {
        let kept = log.hand_overs(terms.newest() + 1, MAX_HAND_OVERS)?;
        if kept.is_empty() {
            break;
        }
        for bytes in kept {
            let hand_over = HandOver::decode(&bytes)?;
            terms.hand_over(&hand_over)?;
            hand_overs.push(hand_over);
        }
    }
    terms.checkpoint(&checkpoint)?;

    let mut records: BTreeMap<Key, Vec<u8>> = first_records(dir, genesis)?.into_iter().collect();
    let mut after = 0;
    let mut next = 1;
    loop {
        let batch = log.blocks_from(next, BATCH)?;
        if batch.is_empty() {
            break;
        }
        for (height, bytes) in batch {
            if height != next {
                return Err(SuccessionError::Gap);
            }
            next += 1;
            let entry: LogEntry = codec::decode(&bytes, MAX_ENTRY_BYTES)?;
            let block = Block::decode(&entry.block.0)?;
            match height <= header.sealed.height {
                true => execute(genesis, &block, &mut records),
                false => after += block.operations.len(),
            }
        }
    }
    let found: Vec<Record> = records.into_iter().collect();
    if carried::root(genesis.hash_function(), &found) != header.sealed.state_root {
        return Err(SuccessionError::State);
    }
    Ok(LastCertified {
        hand_overs,
        checkpoint,
        records: found.into_iter().collect(),
        after,
    })
}

/// X15: puts the predecessor's state into an empty store, at height 0.
pub fn carry(dir: &Path, genesis: &Genesis, store: &dyn StateStore) -> Result<(), SuccessionError> {
    let records = carried_records(dir, genesis)?;
    let changes: Vec<Change> = records
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .collect();
    store.commit(0, &changes)?;
    Ok(())
}

/// What the ledger holds before the first block.
fn first_records(dir: &Path, genesis: &Genesis) -> Result<Vec<Record>, SuccessionError> {
    match genesis.predecessor {
        None => Ok(genesis.records()),
        Some(_) => carried_records(dir, genesis),
    }
}

fn carried_records(dir: &Path, genesis: &Genesis) -> Result<Vec<Record>, SuccessionError> {
    let path = dir.join(CARRIED_FILE);
    let file = std::fs::read(&path).map_err(|error| FileError::of(&path, &error))?;
    let records = carried::decode(&file)?;
    let root = carried::root(genesis.hash_function(), &records);
    match genesis.header().sealed.state_root == root {
        true => Ok(records),
        false => Err(SuccessionError::State),
    }
}

/// Records in memory, as the rules read them.
struct InMemory<'a>(&'a BTreeMap<Key, Vec<u8>>);

impl Read for InMemory<'_> {
    type Error = Infallible;

    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(key).cloned())
    }
}

fn execute(genesis: &Genesis, block: &Block, records: &mut BTreeMap<Key, Vec<u8>>) {
    let network = Network {
        name: &genesis.network,
        parameters: &genesis.parameters,
    };
    let now = Moment {
        height: block.header.height,
        time_ms: block.header.time_ms,
    };
    let mut over = Records::new(InMemory(records));
    let Header { height, sealed, .. } = &block.header;
    let Ok(()) = begin_block(genesis, *height, sealed.height, &mut over);
    let Ok(_receipts) = apply_block(network, now, &block.operations, &mut over);
    for (key, value) in over.into_changes() {
        match value {
            Some(value) => records.insert(key, value),
            None => records.remove(&key),
        };
    }
}

fn block_at(log: &BlockLog, height: u64) -> Result<Block, SuccessionError> {
    let bytes = log.block(height)?.ok_or(SuccessionError::Gap)?;
    let entry: LogEntry = codec::decode(&bytes, MAX_ENTRY_BYTES)?;
    Ok(Block::decode(&entry.block.0)?)
}
