//! Anchors on a person's own account: how many there are, and what they give away.

use super::rules::Scene;
use realdid_core::codec::Bytes;
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{Body, Decision, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{
    DidRecord, EpochKey, Family, Issuer, KeyStatus, PassPublicKey, Standing, Totals,
    VerifiedPerson, did_key, issuer_key, totals_key,
};
use realdid_testkit::ledger::{TestDid, TestNet, key};
use realdid_testkit::person::{TestPerson, pass_key};

fn did(net: &TestNet, n: u64) -> TestDid {
    TestDid::new(net.network(), n)
}

const BY: HashFunction = HashFunction::Sha256;

#[test]
fn p5_a_person_anchors_as_many_dids_as_there_are_slots_and_says_only_that_they_are_one() {
    let mut net = TestNet::new();
    let slots = net.genesis.parameters.personhood_slots;
    let (one, two) = (TestPerson::new(&net, 1), TestPerson::new(&net, 2));
    for slot in 0..slots {
        let mine = did(&net, 10 + slot);
        assert_eq!(net.apply(&one.anchor(&net, &mine, slot)), Ok(()));
        let record: DidRecord = net.record(&did_key(BY, &mine.id())).unwrap();
        let epoch = net.epoch();
        let issuer = net.authority.id;
        assert_eq!(record.verified, Some(VerifiedPerson { issuer, epoch }));
    }
    for slot in 0..slots {
        let again = one.anchor(&net, &did(&net, 20), slot);
        assert_eq!(net.apply(&again), Err(Rule::SlotSpent));
    }
    let beyond = one.anchor(&net, &did(&net, 20), slots);
    assert_eq!(net.apply(&beyond), Err(Rule::Slot));
    let theirs = two.anchor(&net, &did(&net, 20), 0);
    assert_eq!(net.apply(&theirs), Ok(()), "somebody else's slot");

    // The next period has slots anew; the person's RealPass was renewed meanwhile.
    net.wait_ms(net.genesis.parameters.personhood_period_s * 1000);
    let renewed = TestPerson::new(&net, 1);
    assert_eq!(net.apply(&renewed.anchor(&net, &did(&net, 21), 0)), Ok(()));

    // A record says by which issuer and in which epoch, which all of them share.
    let spent: Vec<_> = net
        .state()
        .into_iter()
        .filter(|(key, _)| key[0] == Family::Slots as u8)
        .collect();
    assert_eq!(spent.len() as u64, slots + 2);
    let record: DidRecord = net.record(&did_key(BY, &did(&net, 10).id())).unwrap();
    let other: DidRecord = net.record(&did_key(BY, &did(&net, 20).id())).unwrap();
    assert_eq!(record.verified, other.verified);
}

#[test]
fn a_sponsored_anchor_is_of_no_verified_person() {
    let mut net = TestNet::new();
    net.apply(&net.anchor(&did(&net, 1))).unwrap();
    let record: DidRecord = net.record(&did_key(BY, &did(&net, 1).id())).unwrap();
    assert_eq!(record.verified, None);
}

#[test]
fn a_persons_did_has_no_endpoints() {
    let mut net = TestNet::new();
    let mut mine = did(&net, 3);
    mine.inception.endpoints = vec!["https://authority.example/me".into()];
    let anchor = TestPerson::new(&net, 1).anchor(&net, &mine, 0);
    assert_eq!(net.apply(&anchor), Err(Rule::Endpoint));
}

#[test]
fn a_block_of_proofs_is_judged_as_one_by_one() {
    let net = TestNet::new();
    let mut operations: Vec<SignedOperation> = (0..6)
        .map(|n| TestPerson::new(&net, n).anchor(&net, &did(&net, 10 + n), n % 4))
        .collect();
    // A false proof among true ones, a slot spent in the same block, and a sponsored anchor.
    let bytes = &mut operations[2].personhood.as_mut().unwrap().presentation.0;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    operations.push(TestPerson::new(&net, 0).anchor(&net, &did(&net, 30), 0));
    operations.push(net.anchor(&did(&net, 31)));
    let expected = [
        None,
        None,
        Some(Rule::Personhood),
        None,
        None,
        None,
        Some(Rule::SlotSpent),
        None,
    ];

    let mut together = net.clone();
    let bytes: Vec<Bytes> = operations.iter().map(|op| Bytes(op.encode())).collect();
    let receipts = together.block(&bytes);
    let refused: Vec<_> = receipts.iter().map(|receipt| receipt.refused).collect();
    assert_eq!(refused, expected);

    let mut alone = net;
    let refused: Vec<_> = operations.iter().map(|op| alone.apply(op).err()).collect();
    assert_eq!(refused, expected);
    assert_eq!(
        alone.state().keys().collect::<Vec<_>>(),
        together.state().keys().collect::<Vec<_>>()
    );
}

#[test]
fn an_issuer_suspended_earlier_in_the_block_vouches_for_nobody() {
    let mut scene = Scene::new();
    let id = scene.net.authority.id;
    let anchor = TestPerson::new(&scene.net, 1).anchor(&scene.net, &did(&scene.net, 3), 0);
    let suspend = scene.govern(1, Decision::IssuerStanding(id, Standing::Suspended));
    let receipts = scene
        .net
        .block(&[Bytes(suspend.encode()), Bytes(anchor.encode())]);
    assert_eq!(receipts[1].refused, Some(Rule::IssuerSuspended));
    assert_eq!(scene.net.apply(&anchor), Err(Rule::IssuerSuspended));
}

#[test]
fn p6_an_epoch_has_one_realpass_key_and_one_that_began_keeps_it() {
    let mut scene = Scene::new();
    let id = scene.net.authority.id;
    let epoch = scene.net.epoch();
    let add = |scene: &Scene, seq, key: PassPublicKey, from_epoch| {
        scene.govern(seq, Decision::AddPassKey(id, EpochKey { key, from_epoch }))
    };
    let good = pass_key().key;
    for (key, from) in [
        (good, epoch),
        (good, 0),
        // The lead of development is an epoch: RealPasses of the next one may be out already.
        (good, epoch + 1),
        (PassPublicKey([7; 96]), epoch + 2),
    ] {
        let refused = add(&scene, 1, key, from);
        assert_eq!(scene.net.apply(&refused), Err(Rule::IssuerKey));
    }
    let next = add(&scene, 1, good, epoch + 2);
    assert_eq!(scene.net.apply(&next), Ok(()));
    let twice = add(&scene, 2, good, epoch + 2);
    assert_eq!(scene.net.apply(&twice), Err(Rule::IssuerKey));

    let issuer: Issuer = scene.net.record(&issuer_key(BY, &id)).unwrap();
    assert_eq!(issuer.pass_keys.len(), 2);
    assert_eq!(issuer.pass_key(epoch + 1), Some(&issuer.pass_keys[0].key));
    assert_eq!(issuer.pass_key(epoch + 2), Some(&issuer.pass_keys[1].key));
    assert!(
        issuer
            .keys
            .iter()
            .all(|key| key.status == KeyStatus::Active)
    );
}

#[test]
fn p6_totals_of_realpasses_stand_beside_those_of_enrolments() {
    let mut scene = Scene::new();
    let (id, epoch) = (scene.net.authority.id, scene.net.epoch());
    let by = scene.net.authority.operation.clone();
    for total in [3, 9] {
        let said = scene.sign(Body::PassTotal(id, epoch, total), &by);
        assert_eq!(scene.net.apply(&said), Ok(()));
    }
    let totals: Totals = scene.net.record(&totals_key(BY, &id, epoch)).unwrap();
    assert_eq!((totals.passes, totals.enrolments), (9, 1));

    let registrar = scene.net.registrar.clone();
    let said = scene.sign(
        Body::PassTotal(registrar.id, epoch, 1),
        &registrar.operation,
    );
    assert_eq!(
        scene.net.apply(&said),
        Err(Rule::IssuerKey),
        "it issues none"
    );
    let said = scene.sign(Body::PassTotal(id, epoch, 10), &key(77));
    assert_eq!(scene.net.apply(&said), Err(Rule::Signer));
    let said = scene.sign(Body::PassTotal(Hash32([9; 32]), epoch, 10), &by);
    assert_eq!(scene.net.apply(&said), Err(Rule::IssuerUnknown));
}
