//! A node whose disk fills: the machine refuses a block that it cannot log, has changed nothing, and
//! takes the same block when there is room again. The producer above it holds the block and says so.
//! A slot that cannot be committed is committed later; no block waits for it to be told.

use std::time::Duration;

use realdid_core::codec::Bytes;
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::header::{Block, Header, operations_root};
use realdid_core::operation::SignedOperation;
use realdid_core::state::enrolment_key;
use realdid_testkit::ledger::TestNet;

use super::*;
use crate::engine::Chain as _;
use crate::machine::{Machine, MachineError};
use crate::mempool::Mempool;
use crate::producer::Producer;
use crate::store::index::Index;

const TAG: Hash32 = Hash32([0x71; 32]);

pub(super) fn unbounded() -> Disk {
    let disk = Disk::default();
    disk.room.store(i64::MAX, Ordering::SeqCst);
    disk
}

/// A block on `parent`, so many milliseconds later, with one operation.
pub(super) fn block(parent: &Header, later_ms: u64, operation: &SignedOperation) -> Block {
    let operations = vec![Bytes(operation.encode())];
    let header = Header {
        parent: parent.digest(),
        height: parent.height + 1,
        time_ms: parent.time_ms + later_ms,
        operations_root: operations_root(parent.network.hash_function(), &operations),
        ..parent.clone()
    };
    Block { header, operations }
}

pub(super) fn machine(genesis: &Genesis, store: Arc<dyn StateStore>, log: &Disk) -> Machine {
    let log = BlockLog::with_tables(log.tables()).unwrap();
    Machine::open(genesis.clone(), store, log).unwrap()
}

/// Everything of a machine that another can see.
fn seen(machine: &Machine) -> (Header, Option<u64>, Root, bool, bool) {
    let net = TestNet::new();
    let enrol = net.enrol(TAG, 0);
    (
        machine.tip(),
        machine.store().committed_height(),
        machine.store().root(),
        machine.receipt(&enrol.id()).unwrap().is_some(),
        machine.try_verified(&[&enrol], 0).unwrap()[0].is_ok(),
    )
}

#[test]
fn p10_a_block_that_finds_no_room_changes_nothing_and_is_taken_later() {
    let net = TestNet::new();
    let genesis = net.genesis.clone();
    let (enrol, again) = (net.enrol(TAG, 0), net.enrol(TAG, 1));
    let first = block(&genesis.header(), 200, &enrol);
    // In a later slot: once it is told, what lies before it is committed to the state.
    let second = block(&first.header, 5_000, &again);

    let oracle = machine(&genesis, Arc::new(MemoryStore::default()), &unbounded());
    for block in [&first, &second] {
        let height = block.header.height;
        oracle.finalise(height, &block.encode(), None).unwrap();
    }

    let (mut failures, mut uncommitted) = (0, 0);
    for room in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let (log, index) = (unbounded(), unbounded());
        let tables = Index::with_tables(index.tables()).unwrap();
        let store = Arc::new(NomtStore::with_index(directory.path(), small(), tables).unwrap());
        let machine = machine(&genesis, store.clone(), &log);
        let mut full = false;
        for block in [&first, &second] {
            let (height, bytes) = (block.header.height, block.encode());
            for disk in [&log, &index] {
                let (before, closed) = (seen(&machine), machine.closed());
                disk.room.store(room, Ordering::SeqCst);
                let tried = machine.finalise(height, &bytes, Some(b"certificate"));
                disk.room.store(i64::MAX, Ordering::SeqCst);
                let Err(error) = tried else { continue };
                full = true;
                failures += 1;
                let after = seen(&machine);
                match error {
                    MachineError::Log(BlockLogError::DiskFull) => {
                        assert_eq!(after.0, before.0, "the tip");
                        assert_eq!(after.4, before.4, "what the rules say");
                    }
                    // The block is told. What it ended is committed by a later try.
                    MachineError::Store(StoreError::DiskFull) => {
                        uncommitted += 1;
                        assert_eq!(after.0, block.header, "the tip");
                        assert_eq!((after.1, after.2), (before.1, before.2));
                        assert_eq!(machine.closed(), closed);
                        assert!(!after.4, "what the rules say");
                    }
                    other => panic!("{other:?}"),
                }
                // The log may have kept the block before it failed: whole, with its receipts.
                let operation = SignedOperation::decode(&block.operations[0].0).unwrap();
                assert_eq!(
                    machine.block(height).unwrap().is_some(),
                    machine.receipt(&operation.id()).unwrap().is_some()
                );
            }
            machine
                .finalise(height, &bytes, Some(b"certificate"))
                .unwrap();
            assert_eq!(machine.block(height).unwrap().as_ref(), Some(block));
        }
        assert_eq!(seen(&machine), seen(&oracle));
        assert_eq!(machine.closed(), oracle.closed());
        assert_eq!(machine.receipt(&again.id()).unwrap(), Some((2, None)));
        assert!(store.get(&enrolment_key(BY, &TAG)).unwrap().is_some());

        // What was kept is enough to come back, state or no state.
        drop(machine);
        let log = BlockLog::with_tables(log.tables()).unwrap();
        let reopened = Machine::open(genesis.clone(), Arc::new(MemoryStore::default()), log);
        assert_eq!(seen(&reopened.unwrap()), seen(&oracle));
        if !full {
            break;
        }
    }
    assert!(failures > 4, "{failures}");
    assert!(uncommitted > 1, "{uncommitted}");
}

#[tokio::test]
async fn a_producer_holds_a_block_until_there_is_room_and_says_why() {
    let net = TestNet::new();
    let log = unbounded();
    let store = Arc::new(MemoryStore::default());
    let machine = Arc::new(machine(&net.genesis, store, &log));
    let producer = Producer::new(machine.clone(), Arc::new(Mempool::default()));
    let block = block(&net.genesis.header(), 200, &net.enrol(TAG, 0)).encode();

    log.room.store(0, Ordering::SeqCst);
    let held = tokio::spawn({
        let producer = producer.clone();
        async move { producer.finalised(1, block, None).await }
    });
    while producer.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(producer.trouble(), Some("blocklog.disk_full"));
    assert_eq!(machine.tip().height, 0);
    assert!(!held.is_finished());

    log.room.store(i64::MAX, Ordering::SeqCst);
    held.await.unwrap();
    assert_eq!(producer.trouble(), None);
    assert_eq!(machine.tip().height, 1);
}

#[test]
fn a_network_on_sm2_and_sm3_is_executed_replayed_and_proved() {
    let net = TestNet::sm();
    let genesis = &net.genesis;
    let by = genesis.hash_function();
    let directory = tempfile::tempdir().unwrap();
    let log = unbounded();
    let open = || crate::store::open(directory.path(), small(), by).unwrap();
    let first = machine(genesis, open(), &log);
    assert_eq!(first.store().root(), genesis.header().sealed.state_root.0);
    let enrol = net.enrol(TAG, 0);
    let block = block(&genesis.header(), 100, &enrol);
    first.finalise(1, &block.encode(), None).unwrap();
    assert_eq!(first.receipt(&enrol.id()).unwrap(), Some((1, None)));
    // A block of the next slot closes the first.
    let empty = Block {
        header: Header {
            parent: block.header.digest(),
            height: 2,
            time_ms: block.header.time_ms + 2000,
            operations_root: operations_root(by, &[]),
            ..block.header.clone()
        },
        operations: Vec::new(),
    };
    first.finalise(2, &empty.encode(), None).unwrap();
    let sealed = first.closed();
    drop(first);

    let again = machine(genesis, open(), &log);
    let key = enrolment_key(by, &TAG);
    let proved = again.store().prove(&key).unwrap();
    let root = sealed.state_root.0;
    assert_eq!((proved.height, proved.root), (1, root));
    let value = proved.value.unwrap();
    assert_eq!(
        check_value(by, &root, &key, Some(&value), &proved.proof),
        Ok(())
    );
    assert!(check_value(BY, &root, &key, Some(&value), &proved.proof).is_err());
    drop(again);

    // The state of another function is not this network's.
    let other = tempfile::tempdir().unwrap();
    let other = crate::store::open(other.path(), small(), BY).unwrap();
    let log = BlockLog::with_tables(unbounded().tables()).unwrap();
    let opened = Machine::open(genesis.clone(), other, log);
    assert!(matches!(opened.err(), Some(MachineError::Foreign)));
}

/// A block without operations, so many milliseconds after its parent.
pub(super) fn idle(parent: &Header, later_ms: u64) -> Block {
    let header = Header {
        parent: parent.digest(),
        height: parent.height + 1,
        time_ms: parent.time_ms + later_ms,
        operations_root: operations_root(parent.network.hash_function(), &[]),
        ..parent.clone()
    };
    Block {
        header,
        operations: Vec::new(),
    }
}

#[tokio::test]
async fn parameters_change_at_their_height_and_a_program_that_lags_behind_the_rules_says_so() {
    use realdid_core::governance::NOTICE_BLOCKS;
    use realdid_core::operation::{Body, Decision};
    use realdid_core::state::ReasonCode;

    let net = TestNet::new();
    let genesis = &net.genesis;
    let log = unbounded();
    let first = machine(genesis, Arc::new(MemoryStore::default()), &log);
    let mut coming = genesis.parameters.clone();
    coming.rules = 200;
    let from = 1 + NOTICE_BLOCKS;
    let decide = Body::Govern(1, Decision::Parameters(from, coming), ReasonCode::Scheduled);
    let decide = net.sign(decide, &net.governors.iter().collect::<Vec<_>>());
    let mut newest = block(&genesis.header(), 100, &decide);
    first.finalise(1, &newest.encode(), None).unwrap();
    assert_eq!(first.receipt(&decide.id()).unwrap(), Some((1, None)));
    assert_eq!(first.parameters_at(from - 1), genesis.parameters);
    assert_eq!(first.parameters_at(from).rules, 200);
    while newest.header.height + 1 < from {
        newest = idle(&newest.header, 200);
        let height = newest.header.height;
        first.finalise(height, &newest.encode(), None).unwrap();
    }

    // Who decided what is read from the committed state.
    let read = crate::rpc::decisions::read(&first, 0).unwrap();
    assert_eq!((read.newest, read.decisions.len()), (1, 1));
    let decision = &read.decisions[0];
    assert_eq!((decision.seq, decision.height), (1, 1));
    assert_eq!(
        (decision.decision, decision.reason),
        ("parameters", "scheduled")
    );
    assert_eq!(decision.keys.len(), 3);
    assert!(decision.keys.iter().all(|key| key.starts_with("ed25519:")));
    assert!(
        crate::rpc::decisions::read(&first, 1)
            .unwrap()
            .decisions
            .is_empty()
    );

    // The first block under rules that nobody here knows: it is kept for a newer program.
    let beyond = idle(&newest.header, 200);
    let refused = first.finalise(from, &beyond.encode(), None).unwrap_err();
    assert_eq!(refused.code(), "node.rules");
    assert_eq!(first.tip(), newest.header);
    let first = Arc::new(first);
    let producer = Producer::new(first.clone(), Arc::new(Mempool::default()));
    assert_eq!(producer.propose(&newest.encode(), &[]).await, None);
    assert!(!producer.verify(&newest.encode(), &beyond.encode()).await);

    // What it had is found again, decisions that are to come included.
    drop(producer);
    drop(first);
    let again = machine(genesis, Arc::new(MemoryStore::default()), &log);
    assert_eq!(again.tip(), newest.header);
    assert_eq!(again.parameters_at(from).rules, 200);
}
