//! Arbitrary bytes and mutated operations: nothing panics, nothing is created for free, and what
//! the ledger holds always reads back.

use super::rules::{SERVICE, Scene, TAG, newcomer};
use proptest::collection::vec;
use proptest::prelude::*;
use realdid_core::codec::Bytes;
use realdid_core::did::commitment;
use realdid_core::genesis::NetworkKey;
use realdid_core::governance::{
    Accepted, Assurance, Committee, CredentialType, DecisionRecord, Recognised, Recognition,
    RunningParameters,
};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{
    AnchorBatch, Body, Decision, MAX_OPERATION_BYTES, PublishList, Show, SignedOperation,
};
use realdid_core::state::{
    Batch, DidRecord, Display, Enrolment, Family, Governance, Issuer, ReasonCode, Service,
    SpentSlot, Standing, StatusList, Totals, decode_record, governance_key, issuer_key, totals_key,
};
use realdid_core::suite::SecretKey;
use realdid_core::trie::Key;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet, keys};
use realdid_testkit::person::TestPerson;
use std::collections::BTreeMap;

const BY: HashFunction = HashFunction::Sha256;

type State = BTreeMap<Key, Vec<u8>>;

/// What holds after every block, whatever was in it.
fn holds(net: &TestNet, before: &State) {
    let after = net.state();
    for (key, bytes) in &after {
        let reads = match Family::from_byte(key[0]) {
            Some(Family::Dids) => decode_record::<DidRecord>(bytes).map(drop),
            Some(Family::Enrolments) => decode_record::<Enrolment>(bytes).map(drop),
            Some(Family::Issuers) => decode_record::<Issuer>(bytes).map(drop),
            Some(Family::Services) => decode_record::<Service>(bytes).map(drop),
            Some(Family::Totals) => decode_record::<Totals>(bytes).map(drop),
            Some(Family::Governance) => decode_record::<Governance>(bytes).map(drop),
            Some(Family::Parameters) => decode_record::<RunningParameters>(bytes).map(drop),
            Some(Family::Decisions) => decode_record::<DecisionRecord>(bytes).map(drop),
            Some(Family::Committee) => decode_record::<Committee>(bytes).map(drop),
            Some(Family::Slots) => decode_record::<SpentSlot>(bytes).map(drop),
            Some(Family::Batches) => decode_record::<Batch>(bytes).map(drop),
            Some(Family::Displays) => decode_record::<Display>(bytes).map(drop),
            Some(Family::Recognitions) => decode_record::<Recognition>(bytes).map(drop),
            Some(Family::StatusLists) => decode_record::<StatusList>(bytes).map(drop),
            None => panic!("a key of no family"),
        };
        assert_eq!(reads, Ok(()));
    }
    assert!(
        before.keys().all(|key| after.contains_key(key)),
        "the ledger forgot a record"
    );

    let governance: Governance = net.record(&governance_key(BY)).unwrap();
    assert!(governance.is_well_formed());

    // What was added since the last block is what issuers have answered for, one by one.
    let added = |family: Family| {
        let of = |state: &State| state.keys().filter(|key| key[0] == family as u8).count() as u64;
        of(&after) - of(before)
    };
    let (mut enrolled, mut sponsored, mut registered) = (0, 0, 0);
    for (key, bytes) in after
        .iter()
        .filter(|(key, _)| key[0] == Family::Issuers as u8)
    {
        let issuer: Issuer = decode_record(bytes).unwrap();
        assert_eq!(*key, issuer_key(BY, &issuer.id(BY)));
        let totals = totals_key(BY, &issuer.id(BY), net.epoch());
        let read = |state: &State| -> Totals {
            state
                .get(&totals)
                .map_or_else(Totals::default, |bytes| decode_record(bytes).unwrap())
        };
        let (then, now) = (read(before), read(&after));
        assert!(now.enrolments <= issuer.enrolment_quota);
        assert!(now.sponsored <= issuer.sponsor_quota);
        assert!(now.registrations <= issuer.registration_quota);
        enrolled += now.enrolments - then.enrolments;
        sponsored += now.sponsored - then.sponsored;
        registered += now.registrations - then.registrations;
    }
    assert_eq!(
        added(Family::Dids)
            + added(Family::Batches)
            + added(Family::Displays)
            + added(Family::StatusLists),
        sponsored + added(Family::Slots),
        "a record that nobody paid for"
    );
    assert!(
        added(Family::Enrolments) <= enrolled,
        "an enrolment that nobody counted"
    );
    assert_eq!(
        added(Family::Services),
        registered,
        "a service that nobody counted"
    );
    assert!(added(Family::Totals) <= added(Family::Issuers) + 3);
    let decided = governance.seq - read_seq(before);
    assert!(
        added(Family::Issuers) <= decided,
        "an issuer that nobody admitted"
    );
    assert_eq!(added(Family::Governance) + added(Family::Parameters), 0);
    assert_eq!(
        added(Family::Decisions),
        decided,
        "a decision without its record"
    );
    assert!(added(Family::Recognitions) <= decided);
}

fn read_seq(state: &State) -> u64 {
    let governance: Governance = decode_record(&state[&governance_key(BY)]).unwrap();
    governance.seq
}

/// Small quotas, so that they are reached.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.net.genesis.parameters.epoch_s = 60;
    scene
}

/// Another network, which this one may have recognised.
fn intl() -> TestLedger {
    TestLedger::named("intl", 7, START_MS, Vec::new())
}

/// One of the things that people ask of a ledger; sequence numbers are often right.
fn request(scene: &Scene, kind: u8, n: u64, seq: u64) -> SignedOperation {
    let net = &scene.net;
    let did = &scene.did;
    let id = did.id();
    let standing = [Standing::Active, Standing::Suspended, Standing::Ended][n as usize % 3];
    match kind % 25 {
        0 => net.anchor(&TestDid::new(net.network(), n % 6)),
        1 => scene.sign(scene.rotate(seq, n % 6 + 2), &did.next),
        2 => scene.sign(scene.recover(seq, n % 6 + 2), &did.recovery),
        3 => scene.sign(Body::Cancel(id, seq), &did.current),
        4 => scene.sign(Body::Freeze(id, seq), &did.recovery),
        5 => {
            let by = if n.is_multiple_of(2) {
                &did.current
            } else {
                &did.next
            };
            scene.sign(Body::Deactivate(id, seq), by)
        }
        6 => net.enrol(Hash32([n as u8 % 4; 32]), seq % 3),
        7 => scene.enrolment_standing(seq, standing),
        8 => net.register(Hash32([n as u8 % 4; 32]), TAG),
        9 => scene.service_standing(seq, standing),
        11 => TestPerson::new(net, n % 2).anchor(net, &TestDid::new(net.network(), n % 6), seq),
        12 => {
            let epoch = net.epoch().saturating_sub(n % 2);
            let body = Body::PassTotal(net.authority.id, epoch, seq);
            scene.sign(body, &net.authority.operation)
        }
        13 => scene.govern(seq, Decision::AdmitIssuer(newcomer())),
        14 => {
            let batch = AnchorBatch {
                issuer: net.authority.id,
                key: commitment(&net.authority.document.public()),
                root: Hash32([n as u8 % 4; 32]),
                count: seq,
            };
            scene.sign(Body::Batch(batch), &net.authority.operation)
        }
        15 => {
            let show = Show {
                issuer: net.registrar.id,
                service: SERVICE,
                digest: Hash32([n as u8 % 3; 32]),
                withdrawal: commitment(&did.current.public()),
            };
            scene.sign(Body::Display(show), &net.registrar.operation)
        }
        16 => {
            let body = Body::WithdrawDisplay(Hash32([n as u8 % 3; 32]), ReasonCode::None);
            scene.sign(body, &did.current)
        }
        17 => {
            let mut parameters = net.genesis.parameters.clone();
            parameters.personhood_slots = n % 5;
            let from = net.now.height + 20 + n % 40;
            scene.govern(seq, Decision::Parameters(from, parameters))
        }
        18 => {
            let keys = net.governors.iter().map(SecretKey::public).collect();
            scene.govern(seq, Decision::Governors(n % 4, keys))
        }
        19 => {
            let recognised = Recognised {
                network: "intl".parse().unwrap(),
                genesis: intl().genesis.digest(),
                network_key: match n.is_multiple_of(4) {
                    true => NetworkKey([1; 96]),
                    false => intl().genesis.network_key,
                },
                accepts: vec![Accepted {
                    kind: CredentialType::Pid,
                    least: Assurance::High,
                }],
                begins: None,
            };
            scene.govern(seq, Decision::Recognise(recognised))
        }
        20 => {
            let mut other = intl();
            let mut shown = other.seal(START_MS);
            for _ in 0..n % 3 {
                shown = other.seal(START_MS);
            }
            let body = Body::ForeignCheckpoint("intl".parse().unwrap(), shown);
            scene.sign(body, &did.current)
        }
        21 => {
            let mut other = intl();
            other.seal(START_MS);
            let hand_over = other.decide_term(8 + n as u8 % 2, 200);
            let body = Body::ForeignHandOver("intl".parse().unwrap(), hand_over);
            scene.sign(body, &did.current)
        }
        22 => {
            let mut other = intl();
            let one = other.seal(START_MS);
            let mut header = other.newest().clone();
            header.time_ms += n % 2;
            let body = Body::ForeignFork("intl".parse().unwrap(), one, other.certify(&header));
            scene.sign(body, &did.current)
        }
        23 => {
            let list = PublishList {
                issuer: net.authority.id,
                list: Hash32([n as u8 % 3; 32]),
                seq,
                digest: Hash32([n as u8; 32]),
            };
            scene.sign(Body::StatusList(list), &net.authority.operation)
        }
        _ => scene.govern(seq, Decision::IssuerStanding(net.authority.id, standing)),
    }
}

/// Changes bytes: flips, cuts, repeats.
fn mutate(mut bytes: Vec<u8>, edits: &[(u8, u16, u8)]) -> Vec<u8> {
    for (kind, place, with) in edits {
        let place = usize::from(*place) % bytes.len().max(1);
        match kind % 4 {
            0 if !bytes.is_empty() => bytes[place] ^= with | 1,
            1 => bytes.truncate(place),
            2 => bytes.insert(place.min(bytes.len()), *with),
            _ if !bytes.is_empty() => {
                let tail = bytes[place..].to_vec();
                bytes.extend(tail);
            }
            _ => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_no_operation_and_do_no_harm(junk in vec(any::<u8>(), 0..600)) {
        prop_assert!(SignedOperation::decode(&junk).is_err());
        let mut net = TestNet::new();
        let before = net.state();
        let receipts = net.block(&[Bytes(junk)]);
        prop_assert!(receipts[0].refused.is_some());
        prop_assert_eq!(net.state(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_operations_break_no_invariant(
        kind in any::<u8>(),
        n in any::<u64>(),
        edits in vec((any::<u8>(), any::<u16>(), any::<u8>()), 1..4),
    ) {
        let mut scene = scene();
        let honest = request(&scene, kind, n, 1).encode();
        let mutant = mutate(honest.clone(), &edits);
        let before = scene.net.state();
        let receipts = scene.net.block(&[Bytes(mutant.clone())]);
        holds(&scene.net, &before);
        // A signature covers every byte of the operation, and its encoding is the only one.
        if mutant != honest {
            prop_assert!(receipts[0].refused.is_some());
            prop_assert_eq!(scene.net.state(), before);
        }
    }

    #[test]
    fn nothing_creates_state_for_free(
        requests in vec((any::<u8>(), any::<u64>(), 1..4u64, 0..3u64), 1..12),
    ) {
        let mut scene = scene();
        for (kind, n, seq, wait) in requests {
            scene.net.wait_ms(wait * 15_000);
            let signed = request(&scene, kind, n, seq);
            let before = scene.net.state();
            let outcome = scene.net.apply(&signed);
            holds(&scene.net, &before);
            if outcome.is_err() {
                prop_assert_eq!(&scene.net.state(), &before);
            } else {
                let again = scene.net.apply(&signed);
                prop_assert!(again.is_err(), "played again");
            }
        }
    }
}

#[test]
fn malformed_oversized_and_non_canonical_operations_are_refused_by_name() {
    let scene = Scene::new();
    let good = scene
        .net
        .anchor(&TestDid::new(scene.net.network(), 3))
        .encode();
    let code = |bytes: &[u8]| SignedOperation::decode(bytes).unwrap_err().code();
    assert_eq!(code(&vec![0; MAX_OPERATION_BYTES + 1]), "codec.too_long");
    assert_eq!(code(&good[..good.len() - 1]), "codec.malformed");
    assert_eq!(code(&[&good[..], &[0]].concat()), "codec.trailing");
    // The same array with its length in one byte more.
    assert_eq!(good[0], 0x83);
    assert_eq!(
        code(&[&[0x98, 3], &good[1..]].concat()),
        "codec.not_canonical"
    );
    assert!(SignedOperation::decode(&good).is_ok());
}

#[test]
fn quotas_hold_when_issuers_spend_all_they_have() {
    let mut net = TestNet::with(|genesis| {
        for issuer in &mut genesis.issuers {
            issuer.enrolment_quota = 2;
            issuer.sponsor_quota = 2;
            issuer.registration_quota = 2;
        }
    });
    for n in 1..6u64 {
        let before = net.state();
        let block = [
            net.anchor(&TestDid::new(net.network(), n)),
            net.enrol(Hash32([n as u8; 32]), 0),
            net.register(Hash32([n as u8; 32]), SERVICE),
        ];
        let bytes: Vec<_> = block.iter().map(|signed| Bytes(signed.encode())).collect();
        let receipts = net.block(&bytes);
        assert_eq!(
            receipts.iter().all(|receipt| receipt.refused.is_none()),
            n <= 2
        );
        holds(&net, &before);
    }
}

#[test]
fn an_operation_of_another_time_line_does_not_fit() {
    // Two DIDs of the same owner: what is signed for one changes nothing of the other.
    let mut scene = Scene::new();
    let twin = TestDid::new(scene.net.network(), 5);
    scene.net.apply(&scene.net.anchor(&twin)).unwrap();
    let to = keys(&twin.recovery, &scene.did.next, &scene.did.recovery);
    let signed = scene.sign(Body::Rotate(scene.did.id(), 1, to), &twin.next);
    let before = scene.net.state();
    assert!(scene.net.apply(&signed).is_err());
    assert_eq!(scene.net.state(), before);
}
