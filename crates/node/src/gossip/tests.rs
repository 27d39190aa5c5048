//! What is told, and what is taken of it.

use super::*;
use crate::store::tests::MemoryStore;
use crate::store::{BlockLog, BlockLogOptions};
use realdid_core::hash::Hash32;
use realdid_core::operation::SignedOperation;
use realdid_ledger::Known;
use realdid_testkit::ledger::TestNet;
use std::sync::Arc;
use std::time::Duration;

fn machine(net: &TestNet) -> (Machine, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("blocks.redb");
    let log = BlockLog::open(&log, &BlockLogOptions::default()).unwrap();
    let store = Arc::new(MemoryStore::default());
    (
        Machine::open(net.genesis.clone(), store, log).unwrap(),
        folder,
    )
}

fn enrol(net: &TestNet, n: u8) -> SignedOperation {
    net.enrol(Hash32([n; 32]), 0)
}

fn message(operations: &[&SignedOperation]) -> Vec<u8> {
    let operations: Vec<Bytes> = operations.iter().map(|one| Bytes(one.encode())).collect();
    codec::encode(&operations)
}

#[tokio::test]
async fn what_a_client_hands_in_is_told_once_and_taken_by_who_can_check_it() {
    let net = TestNet::new();
    let ((one, _one), (other, _other)) = (machine(&net), machine(&net));
    let (near, far) = (Mempool::default(), Mempool::default());
    let now_ms = net.now.time_ms;
    for n in 1..=3 {
        let signed = enrol(&net, n);
        for _ in 0..2 {
            let bytes = Bytes(signed.encode());
            let taken = admit(&one, &near, vec![bytes], By::Client, now_ms).unwrap();
            assert_eq!(taken[0].as_ref().ok(), Some(&signed.id()));
        }
    }
    let told = near.outbox().next().await;
    let operations: Vec<Bytes> = codec::decode(&told, MAX_MESSAGE_BYTES).unwrap();
    assert_eq!(operations.len(), 3);
    // Nothing is told twice, and what was heard is not passed on.
    assert!(hear(&other, &far, &told, now_ms) && hear(&other, &far, &told, now_ms));
    assert_eq!(far.len(), 3);
    assert!(operations.iter().all(|bytes| far.holds(bytes)));
    for bytes in &operations {
        let known = far.known(bytes).unwrap();
        assert_eq!(
            *known,
            Known::of(SignedOperation::decode(&bytes.0).unwrap())
        );
        let other = [bytes.0.as_slice(), &[0]].concat();
        assert_eq!(far.known(&Bytes(other)), None);
    }
    for pool in [&near, &far] {
        let more = tokio::time::timeout(Duration::from_millis(50), pool.outbox().next());
        assert!(more.await.is_err());
    }
}

#[test]
fn what_is_not_admissible_is_not_taken_and_what_no_validator_tells_is_a_breach() {
    let net = TestNet::new();
    let (machine, _folder) = machine(&net);
    let now_ms = net.now.time_ms;
    let good = enrol(&net, 1);
    let told = |message: &[u8]| {
        let pool = Mempool::default();
        (hear(&machine, &pool, message, now_ms), pool.len())
    };
    // Another state, another height, another issuer: this node may be behind.
    let later = net.enrol(Hash32([2; 32]), 7);
    assert_eq!(told(&message(&[&later, &good])), (true, 1));
    // A signature is good or bad for everybody. What came before it stays.
    let mut forged = enrol(&net, 3);
    forged.signatures[0].signature.0[7] ^= 1;
    assert_eq!(told(&message(&[&good, &forged, &later])), (false, 1));
    let junk = codec::encode(&vec![Bytes(vec![0; 9])]);
    for breach in [&b""[..], b"\x01", &junk, &vec![0x80; MAX_MESSAGE_BYTES + 1]] {
        assert_eq!(told(breach), (false, 0));
    }
    assert_eq!(told(&message(&[])), (true, 0));
}

#[test]
fn a_message_and_what_waits_to_be_told_are_bounded() {
    let outbox = Outbox::default();
    let operation = Bytes(vec![7; MAX_HAND_OVER_BYTES]);
    let most = MAX_WAITING_BYTES / MAX_HAND_OVER_BYTES;
    for _ in 0..most + 5 {
        outbox.put(operation.clone());
    }
    outbox.put(Bytes(vec![7; MAX_HAND_OVER_BYTES + 1]));
    let mut told = 0;
    loop {
        let batch = outbox.take();
        if batch.is_empty() {
            break;
        }
        told += batch.len();
        assert!(codec::encode(&batch).len() <= MAX_MESSAGE_BYTES);
    }
    assert_eq!(told, most);
    outbox.put(operation);
    assert_eq!(outbox.take().len(), 1);
}
