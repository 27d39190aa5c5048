//! What a decision of governance changes in blocks, and what a validator refuses for it alone.

use super::*;
use crate::store::tests::MemoryStore;
use crate::store::{BlockLog, BlockLogOptions};
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, Decision, SignedOperation};
use realdid_core::state::ReasonCode;
use realdid_ledger::Known;
use realdid_testkit::ledger::TestNet;

/// A producer, and blocks that are final in it.
struct Chained {
    net: TestNet,
    producer: Producer,
    tip: Header,
    _folder: tempfile::TempDir,
}

impl Chained {
    fn new() -> Self {
        let net = TestNet::new();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("blocks.redb");
        let log = BlockLog::open(&log, &BlockLogOptions::default()).unwrap();
        let store = Arc::new(MemoryStore::default());
        let machine = Machine::open(net.genesis.clone(), store, log).unwrap();
        Self {
            tip: net.genesis.header(),
            producer: Producer::new(Arc::new(machine), Arc::default()),
            net,
            _folder: folder,
        }
    }

    fn wait(&self, signed: &SignedOperation) {
        let pool = &self.producer.mempool;
        pool.add(Known::of(signed.clone()), signed.encode())
            .unwrap();
    }

    /// Makes the next block, `later_ms` after its parent, and makes it final.
    fn extend(&mut self, later_ms: u64) -> Block {
        let bytes = self.producer.build(&self.tip, self.tip.time_ms + later_ms);
        let block = Block::decode(&bytes).unwrap();
        let machine = &self.producer.machine;
        machine
            .finalise(block.header.height, &bytes, None)
            .unwrap()
            .unwrap();
        self.producer.settle(&block);
        self.tip = block.header.clone();
        block
    }

    fn judged(&self, block: &Block) -> Option<bool> {
        self.producer.judge(&self.tip, block, block.header.time_ms)
    }
}

#[test]
fn a_decided_block_interval_and_block_size_stand_from_their_height_on() {
    let mut chain = Chained::new();
    let old = chain.net.genesis.parameters.clone();
    let mut decided = old.clone();
    decided.block_interval_ms = 3 * old.block_interval_ms;
    decided.block_operations = 2;
    let from = 1 + NOTICE_BLOCKS;
    let decision = Decision::Parameters(from, decided.clone());
    let governors: Vec<_> = chain.net.governors.iter().collect();
    let body = Body::Govern(1, decision, ReasonCode::Scheduled);
    let decide = chain.net.sign(body, &governors);
    chain.wait(&decide);
    assert_eq!(chain.extend(200).operations.len(), 1);

    let mut next = 0;
    let three_wait = |chain: &Chained, next: &mut u8| {
        for _ in 0..3 {
            *next += 1;
            chain.wait(&chain.net.enrol(Hash32([*next; 32]), 0));
        }
    };
    // Until then as before: three in one block, after the old interval.
    while chain.tip.height + 2 < from {
        chain.extend(200);
    }
    three_wait(&chain, &mut next);
    let due = |chain: &Chained, ms: u64| chain.producer.due(&chain.tip, chain.tip.time_ms + ms);
    let pause = |chain: &Chained| {
        chain
            .producer
            .pause(&chain.tip, chain.tip.time_ms)
            .as_millis()
    };
    assert!(!due(&chain, old.block_interval_ms - 1) && due(&chain, old.block_interval_ms));
    assert!(pause(&chain) <= u128::from(old.block_interval_ms));
    let last_of_old = chain.extend(old.block_interval_ms);
    assert_eq!(last_of_old.operations.len(), 3);
    assert_eq!(chain.tip.height + 1, from);

    // From then on two, after thrice the time; within the slot, so that no slot makes it due.
    let into_slot = chain.tip.time_ms % (old.slot_s * 1000);
    assert!(into_slot + decided.block_interval_ms < old.slot_s * 1000);
    three_wait(&chain, &mut next);
    assert!(!due(&chain, decided.block_interval_ms - 1) && due(&chain, decided.block_interval_ms));
    let held = chain.producer.mempool.take(from, 3, 1 << 20);
    let mut block = Block::decode(&chain.producer.build(&chain.tip, chain.tip.time_ms)).unwrap();
    assert_eq!(block.operations.len(), 2);
    assert_eq!(chain.judged(&block), Some(true));
    // One more is one too many for everybody.
    block.operations = held;
    let by = chain.tip.network.hash_function();
    block.header.operations_root = operations_root(by, &block.operations);
    assert_eq!(block.operations.len(), 3);
    assert_eq!(chain.judged(&block), Some(false));
    assert_eq!(chain.extend(600).operations.len(), 2);
    assert_eq!(chain.extend(600).operations.len(), 1);
}

#[test]
fn a_block_is_refused_for_the_version_of_its_header_alone() {
    let chain = Chained::new();
    let built = chain.producer.build(&chain.tip, chain.tip.time_ms + 200);
    let mut block = Block::decode(&built).unwrap();
    assert_eq!(block.header.version, chain.net.genesis.parameters.rules);
    assert_eq!(chain.judged(&block), Some(true));
    for version in [block.header.version - 1, block.header.version + 1] {
        block.header.version = version;
        assert_eq!(chain.judged(&block), Some(false), "version {version}");
    }
}

#[tokio::test]
async fn what_an_ancestor_holds_that_was_never_verified_here_is_put_into_no_block() {
    let chain = Chained::new();
    let signed: Vec<_> = (1..=3u8)
        .map(|n| chain.net.enrol(Hash32([n; 32]), 0))
        .collect();
    for one in &signed {
        chain.wait(one);
    }
    // Others ordered two blocks, of which this node has seen none; each holds one of the three.
    let child = |parent: &Header, of: Option<&SignedOperation>| {
        let operations: Vec<Bytes> = of.map(|one| Bytes(one.encode())).into_iter().collect();
        let by = parent.network.hash_function();
        let header = Header {
            parent: parent.digest(),
            height: parent.height + 1,
            operations_root: operations_root(by, &operations),
            ..parent.clone()
        };
        Block { header, operations }
    };
    let first = child(&chain.tip, Some(&signed[0]));
    let second = child(&first.header, Some(&signed[1]));
    let third = child(&second.header, None);
    let before = [second.encode(), first.encode()];
    let before: Vec<&[u8]> = before.iter().map(Vec::as_slice).collect();
    let made = chain.producer.propose(&third.encode(), &before).await;
    let made = Block::decode(&made.unwrap()).unwrap();
    assert_eq!(made.operations, [Bytes(signed[2].encode())]);
}
