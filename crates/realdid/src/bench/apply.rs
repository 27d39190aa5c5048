//! `apply`: how many operations one validator's rules and state take, without consensus.
//!
//! Ours is all of it: decoding, signatures, rules, reads from the store, and one durable commit
//! for each block. The limit is what no validator can do without: the signatures of the same
//! operations, decoded beforehand, and the same changes written to a bare `nomt` with the same options.

use super::kinds::{HAND, Kinds};
use super::{Measured, broken, clock};
use crate::fail::Fail;
use nomt::hasher::Sha2Hasher;
use nomt::{KeyReadWrite, Nomt, Options, SessionParams};
use realdid_core::codec::Bytes;
use realdid_core::genesis::Parameters;
use realdid_core::operation::SignedOperation;
use realdid_core::trie::Key;
use realdid_ledger::state::{Change, Read, Records};
use realdid_ledger::{Moment, Network, apply_block};
use realdid_node::store::{NomtOptions, NomtStore, StateStore, StoreError};
use std::path::Path;

/// DIDs that are there before the first block.
const PRELOADED: u64 = 1_000_000;
const BLOCKS: u64 = 20;
const BLOCK_OPERATIONS: u64 = 1_000;
/// Blocks before the measurement, to warm up.
const WARM_UP: u64 = 2;
/// The first block's time, Unix milliseconds: the start of an epoch, and all blocks lie in it.
const START_MS: u64 = 1_800_000_000_000;

pub fn measure() -> Result<Measured, Fail> {
    let work = Work::new(BLOCKS + WARM_UP, BLOCK_OPERATIONS, PRELOADED)?;
    let warm_up = WARM_UP as usize;
    let count = (BLOCKS * BLOCK_OPERATIONS) as f64;

    let folder = folder()?;
    let store = NomtStore::open(folder.path(), NomtOptions::default()).map_err(Fail::of)?;
    store.commit(0, &work.before).map_err(Fail::of)?;
    let mut changes = work.apply(&store, 0..warm_up)?;
    let (measured, ours_s) = clock::cost(|| work.apply(&store, warm_up..work.blocks.len()))?;
    changes.extend(measured);
    drop((store, folder));

    let signed = work.signed(warm_up)?;
    let ((), verify_s) = clock::cost(|| verify(&signed))?;
    let update_s = raw_updates(&work.before, changes, warm_up)?;
    Ok(Measured {
        id: "apply",
        workload: "1M DIDs on disk, then 20 blocks of 1,000 operations, each block decoded, verified, applied and \
                   committed durably: 4 of 20 sponsored anchors, 3 rotations, 4 other changes of DIDs, 3 enrolments and 3 \
                   changes of them, 2 on services, 1 of batch, total, display or decision; half Ed25519, half P-256".into(),
        unit: "operations/cpu-s",
        ours: count / ours_s,
        limit: Some("the same signatures verified, and the same changes written to bare nomt"),
        limit_value: Some(count / (verify_s + update_s)),
        goal: Some("limit_ratio >= 0.8"),
    })
}

/// A state, and blocks to apply to it.
struct Work {
    kinds: Kinds,
    before: Vec<Change>,
    blocks: Vec<Vec<Bytes>>,
}

impl Work {
    fn new(blocks: u64, block_operations: u64, preloaded: u64) -> Result<Self, Fail> {
        let kinds = Kinds::new(Parameters::development(), START_MS)?;
        let hands = (blocks * block_operations).div_ceil(HAND);
        let before = kinds.before(hands, preloaded)?;
        let block = |place: u64| {
            let first = place * block_operations;
            let operations = first..first + block_operations;
            operations
                .map(|n| Ok(Bytes(kinds.operation(n, place + 1)?.encode())))
                .collect()
        };
        let blocks = (0..blocks).map(block).collect::<Result<_, Fail>>()?;
        Ok(Self {
            kinds,
            before,
            blocks,
        })
    }

    /// Applies and commits these blocks, of which each must be accepted whole.
    fn apply(
        &self,
        store: &NomtStore,
        blocks: std::ops::Range<usize>,
    ) -> Result<Vec<Vec<Change>>, Fail> {
        let mut all = Vec::new();
        for place in blocks {
            let changes = self.block(Below(store), place).map_err(Fail::of)?;
            let changes = changes.ok_or_else(|| broken("every operation is accepted"))?;
            store.commit(place as u64 + 1, &changes).map_err(Fail::of)?;
            all.push(changes);
        }
        Ok(all)
    }

    /// What one block changes, if all of it is accepted.
    fn block<R: Read>(&self, below: R, place: usize) -> Result<Option<Vec<Change>>, R::Error> {
        let network = Network {
            name: &self.kinds.traffic.network,
            parameters: &self.kinds.parameters,
        };
        let now = Moment {
            height: place as u64 + 1,
            time_ms: START_MS + place as u64 * self.kinds.parameters.block_interval_ms,
        };
        let mut records = Records::new(below);
        let receipts = apply_block(network, now, &self.blocks[place], &mut records)?;
        let accepted = receipts.iter().all(|receipt| receipt.refused.is_none());
        Ok(accepted.then(|| records.into_changes().into_iter().collect()))
    }

    /// The operations of the blocks from `first`, ready to be verified.
    fn signed(&self, first: usize) -> Result<Vec<SignedOperation>, Fail> {
        let all = self.blocks[first..].iter().flatten();
        all.map(|bytes| SignedOperation::decode(&bytes.0).map_err(Fail::of))
            .collect()
    }
}

pub fn verify(operations: &[SignedOperation]) -> Result<(), Fail> {
    let all = operations
        .iter()
        .all(|operation| operation.verify_signatures().is_ok());
    all.then_some(())
        .ok_or_else(|| broken("every signature verifies"))
}

/// The processor time that bare `nomt` takes for the changes behind the first `warm_up`.
pub fn raw_updates(
    before: &[Change],
    changes: Vec<Vec<Change>>,
    warm_up: usize,
) -> Result<f64, Fail> {
    let folder = folder()?;
    let engine = raw_engine(folder.path())?;
    let writes = |changes: Vec<Change>| -> Vec<(Key, KeyReadWrite)> {
        let write = |(key, value)| (key, KeyReadWrite::Write(value));
        changes.into_iter().map(write).collect()
    };
    let update = |writes| -> Result<(), Fail> {
        let session = engine.begin_session(SessionParams::default());
        session
            .finish(writes)
            .map_err(Fail::of)?
            .commit(&engine)
            .map_err(Fail::of)
    };
    let mut sorted = before.to_vec();
    sorted.sort();
    update(writes(sorted))?;
    let mut blocks: Vec<_> = changes.into_iter().map(writes).collect();
    let measured = blocks.split_off(warm_up);
    blocks.into_iter().try_for_each(update)?;
    Ok(clock::cost(|| measured.into_iter().try_for_each(update))?.1)
}

/// `nomt` as [`NomtStore`] sets it up by default.
fn raw_engine(path: &Path) -> Result<Nomt<Sha2Hasher>, Fail> {
    let defaults = NomtOptions::default();
    let mut options = Options::new();
    options.path(path.join("nomt"));
    options.hashtable_buckets(defaults.hashtable_buckets);
    options.preallocate_ht(defaults.preallocate);
    options.page_cache_size(defaults.page_cache_mib);
    options.leaf_cache_size(defaults.leaf_cache_mib);
    options.io_workers(defaults.io_workers);
    options.commit_concurrency(1);
    Nomt::open(options).map_err(Fail::of)
}

/// The committed state as the rules read it.
struct Below<'a>(&'a NomtStore);

impl Read for Below<'_> {
    type Error = StoreError;

    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }
}

/// A folder that goes with its value.
pub fn folder() -> Result<tempfile::TempDir, Fail> {
    let made = tempfile::Builder::new().prefix("realdid-bench-").tempdir();
    made.map_err(|_| {
        Fail::machine(
            "bench.folder",
            "there is room for a temporary folder",
            "set TMPDIR to a folder on a disk with some gigabytes free",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Map(BTreeMap<Key, Option<Vec<u8>>>);

    impl Read for Map {
        type Error = std::convert::Infallible;

        fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, Self::Error> {
            Ok(self.0.get(key).cloned().flatten())
        }
    }

    #[test]
    fn the_rules_accept_every_operation_of_the_workload() {
        // Whole hands, and every rare kind.
        let work = Work::new(2, 100, 50).unwrap();
        let mut state = Map(work.before.iter().cloned().collect());
        for place in 0..2 {
            let changes = work.block(&state, place).unwrap().expect("all accepted");
            // Of each of five hands 8 DIDs, 3 enrolments and a service; a batch, a display that is
            // withdrawn, and with a decision the parameters, governance and its record; the totals.
            assert_eq!(changes.len(), 5 * 12 + 6);
            state.0.extend(changes);
        }
        verify(&work.signed(0).unwrap()).unwrap();
    }
}
