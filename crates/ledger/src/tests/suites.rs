//! Suites: what a network admits, mixed traffic in one block, and a network wholly on SM2 and SM3.

use realdid_core::codec::Bytes;
use realdid_core::did::commitment;
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{Body, Decision, Operation};
use realdid_core::rule::Rule;
use realdid_core::state::{
    DidRecord, Enrolment, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, did_key, enrolment_key,
    issuer_key,
};
use realdid_core::suite::Suite;
use realdid_core::trie::{Prefix, check_value, verify_bucket};
use realdid_testkit::ledger::{TestDid, TestNet, key_of, keys};

const TAG: Hash32 = Hash32([0x7a; 32]);

fn did(net: &TestNet, suite: Suite, n: u64) -> TestDid {
    TestDid::of(suite, net.network(), n)
}

#[test]
fn all_suites_go_together_in_one_block() {
    let mut net = TestNet::new();
    let dids: Vec<_> = (0..12)
        .map(|n| did(&net, Suite::ALL[n % 3], 10 + n as u64))
        .collect();
    let anchors: Vec<_> = dids
        .iter()
        .map(|did| Bytes(net.anchor(did).encode()))
        .collect();
    let receipts = net.block(&anchors);
    assert!(receipts.iter().all(|receipt| receipt.refused.is_none()));

    // Each to keys of another suite, and back by a recovery of the third; all in one block.
    let mut block = Vec::new();
    for (n, owner) in dids.iter().enumerate() {
        let to = did(&net, Suite::ALL[(n + 1) % 3], 100 + n as u64);
        let rotate = Body::Rotate(owner.id(), 1, to.inception.keys);
        block.push(Bytes(net.sign(rotate, &[&owner.next]).encode()));
        let back = did(&net, Suite::ALL[(n + 2) % 3], 200 + n as u64);
        let recover = Body::Recover(owner.id(), 2, back.inception.keys);
        block.push(Bytes(net.sign(recover, &[&to.recovery]).encode()));
    }
    let receipts = net.block(&block);
    assert!(
        receipts.iter().all(|receipt| receipt.refused.is_none()),
        "{receipts:?}"
    );
    net.wait_ms(net.genesis.parameters.recovery_delay_s * 1000);
    for (n, owner) in dids.iter().enumerate() {
        let key = did_key(HashFunction::Sha256, &owner.id());
        let record: DidRecord = net.record(&key).unwrap();
        let suite = record.at(net.now.time_ms).keys.current[0].suite();
        assert_eq!(suite, Suite::ALL[(n + 2) % 3]);
    }
}

#[test]
fn a_suite_that_the_network_does_not_admit_is_refused_by_name() {
    let mut net = TestNet::with(|genesis| genesis.parameters.suites = vec![Suite::Ed25519]);
    let good = did(&net, Suite::Ed25519, 1);
    assert_eq!(net.apply(&net.anchor(&good)), Ok(()));
    for suite in [Suite::P256, Suite::Sm2] {
        let before = net.state();
        let bad = did(&net, suite, 2);
        let other = key_of(suite, 77);
        let operating = IssuerKey {
            usage: KeyUse::Operation,
            key: other.public(),
            status: KeyStatus::Active,
            since: 0,
        };
        let issuer: Issuer = {
            let key = issuer_key(HashFunction::Sha256, &net.authority.id);
            let known: Issuer = net.record(&key).unwrap();
            Issuer {
                url: "https://new.example".into(),
                keys: vec![operating.clone()],
                ..known
            }
        };
        let decide = |decision| {
            let body = Body::Govern(1, decision, ReasonCode::None);
            net.sign(body, &net.governors.iter().collect::<Vec<_>>())
        };
        let to_bad = keys(&other, &good.current, &good.recovery);
        let sponsored_by_other = net
            .sign(Body::Anchor(good.inception.clone()), &[&good.current])
            .sponsored(net.authority.id, &other);
        for refused in [
            // the inception's keys, though nothing but the sponsor has signed by an admitted one
            net.anchor(&bad),
            sponsored_by_other,
            net.sign(Body::Freeze(good.id(), 1), &[&other]),
            net.sign(Body::Rotate(good.id(), 1, to_bad.clone()), &[&good.next]),
            net.sign(Body::Recover(good.id(), 1, to_bad), &[&good.recovery]),
            decide(Decision::AdmitIssuer(issuer)),
            decide(Decision::AddIssuerKey(net.authority.id, operating.clone())),
        ] {
            assert_eq!(net.admissible(&refused), Err(Rule::Suite));
            assert_eq!(net.apply(&refused), Err(Rule::Suite));
        }
        assert_eq!(net.state(), before);
        // A key that signs documents and no operation is none of the ledger's suites.
        let document = IssuerKey {
            usage: KeyUse::Pid,
            ..operating
        };
        let add = Body::Govern(
            1,
            Decision::AddIssuerKey(net.authority.id, document),
            ReasonCode::None,
        );
        let add = net.sign(add, &net.governors.iter().collect::<Vec<_>>());
        assert_eq!(net.admissible(&add), Ok(()));
    }
}

#[test]
fn a_network_runs_wholly_on_sm2_and_sm3() {
    let mut net = TestNet::sm();
    assert_eq!(net.genesis.check(), Ok(()));
    let by = net.genesis.hash_function();
    assert_eq!(by, HashFunction::Sm3);
    let owner = did(&net, Suite::Sm2, 1);
    let to = did(&net, Suite::Sm2, 2);
    net.apply(&net.anchor(&owner)).unwrap();
    net.apply(&net.enrol(TAG, 0)).unwrap();
    let rotate = net.sign(
        Body::Rotate(owner.id(), 1, to.inception.keys.clone()),
        &[&owner.next],
    );
    net.apply(&rotate).unwrap();

    // Identifiers, commitments and state keys are SM3's.
    let encoded = realdid_core::codec::encode(&owner.inception);
    let domain = realdid_core::hash::Domain::Inception;
    assert_eq!(owner.id(), by.tagged(domain, &[&encoded]));
    assert_ne!(owner.id(), HashFunction::Sha256.tagged(domain, &[&encoded]));
    assert_ne!(
        commitment(&owner.next.public()),
        HashFunction::Sha256.tagged(
            realdid_core::hash::Domain::KeyCommitment,
            &[&realdid_core::codec::encode(&owner.next.public())],
        )
    );
    let text = owner.did().to_string();
    assert_eq!(text.parse(), Ok(owner.did()));
    let record: DidRecord = net.record(&did_key(by, &owner.id())).unwrap();
    assert_eq!(record.keys, to.inception.keys);
    assert!(
        net.record::<DidRecord>(&did_key(HashFunction::Sha256, &owner.id()))
            .is_none()
    );
    assert!(net.record::<Enrolment>(&enrolment_key(by, &TAG)).is_some());

    // So are roots and proofs, and the header that seals them.
    let trie = net.trie();
    let key = did_key(by, &owner.id());
    let (value, proof) = trie.prove(&key);
    let value = value.unwrap();
    assert_eq!(
        check_value(by, &trie.root(), &key, Some(&value), &proof),
        Ok(())
    );
    let other = HashFunction::Sha256;
    assert!(check_value(other, &trie.root(), &key, Some(&value), &proof).is_err());
    let prefix = Prefix::new(&key, 8).unwrap();
    let bucket = trie.bucket(&prefix);
    assert_eq!(verify_bucket(by, &trie.root(), &prefix, &bucket), Ok(()));
    assert_eq!(bucket.proof(by, &key), proof);

    // No other suite comes in, and no operation for the SHA-256 network of the same name.
    let foreign = did(&net, Suite::Ed25519, 3);
    assert_eq!(net.apply(&net.anchor(&foreign)), Err(Rule::Suite));
    let twin = net.network().clone().hashing_by(HashFunction::Sha256);
    let freeze = Operation::new(twin, 100, Body::Freeze(owner.id(), 2)).sign(&[&to.recovery]);
    assert_eq!(net.apply(&freeze), Err(Rule::Network));
}
