//! A network that is over, with real certificates, and what another needs to go on from it.

use super::*;
use crate::{Board, Card, Operator, Plan, PlanError, deal};
use realdid_core::certificate;
use realdid_core::state::committee_key;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, key, seed};

const RECORD: [u8; 32] = [0x10; 32];

/// Its ledger, and all records of the state that its newest header seals.
fn over() -> (TestLedger, Vec<Record>) {
    let mut ledger = TestLedger::new(START_MS, vec![]);
    ledger.set(RECORD, Some(vec![1, 2, 3]), START_MS + 10_000);
    let mut records = ledger.genesis.records();
    records.push((RECORD, vec![1, 2, 3]));
    records.sort();
    (ledger, records)
}

fn left() -> Left {
    let (ledger, records) = over();
    let file = Left::file(&ledger.genesis, vec![], &ledger.checkpoint());
    Left::verify(&file, &records).unwrap()
}

fn operators() -> Vec<Operator> {
    (1..5)
        .map(|n| Operator::from_seed(seed(n)).unwrap())
        .collect()
}

fn cards() -> Vec<Card> {
    let network = "dev".parse().unwrap();
    let named = operators().into_iter().zip(["ann", "bob", "cho", "dee"]);
    named
        .map(|(operator, name)| {
            let address = ([192, 0, 2, 1], 20420).into();
            operator.card(&network, name, address).unwrap()
        })
        .collect()
}

fn plan() -> Plan {
    Plan::after(&left(), START_MS + 60_000, cards()).unwrap()
}

#[test]
fn x13_what_is_left_is_what_the_validators_certified() {
    let (ledger, records) = over();
    let good = Left::file(&ledger.genesis, vec![], &ledger.checkpoint());
    let left = Left::verify(&good, &records).unwrap();
    assert_eq!(left.predecessor().genesis, ledger.genesis.digest());
    assert_eq!(left.predecessor().header, ledger.newest().digest());
    assert_eq!(left.governance(), &ledger.genesis.governance);
    assert_eq!((left.height(), left.term()), (1, 0));

    // A record more, less, or another; a header that nobody certified; another committee.
    let refused = |file: &[u8], records: &[Record], code: &str| {
        assert_eq!(Left::verify(file, records).unwrap_err().code(), code);
    };
    let mut changed = records.clone();
    changed[0].1.push(0);
    for wrong in [&changed[..], &records[1..], &[]] {
        refused(&good, wrong, "succession.state");
    }
    let mut forged = ledger.newest().clone();
    forged.sealed.state_root = carried::root(ledger.genesis.hash_function(), &changed);
    let checkpoint = Checkpoint {
        header: Bytes(codec::encode(&forged)),
        ..ledger.checkpoint()
    };
    let forged = Left::file(&ledger.genesis, vec![], &checkpoint);
    refused(&forged, &changed, "light.certificate");
    let other = TestLedger::with_validators(8, START_MS, vec![]);
    let other = Left::file(&other.genesis, vec![], &ledger.checkpoint());
    refused(&other, &records, "light.certificate");
    refused(&good[1..], &records, "codec.malformed");
    refused(
        &vec![0; MAX_PREDECESSOR_BYTES + 1],
        &records,
        "codec.too_long",
    );
}

/// A network that was handed on twice, to a fresh key and then under it, and is over: its ledger, the
/// hand-overs, and all records of the state that its newest header seals.
fn handed_on() -> (TestLedger, Vec<StateAnswer>, Vec<Record>) {
    let (mut ledger, mut records) = over();
    let mut hand_overs = Vec::new();
    for first in [200, 400] {
        hand_overs.push(ledger.decide_term(8, first));
        ledger.begin_term(8);
        let time_ms = ledger.newest().time_ms + 2_000;
        ledger.seal(time_ms);
    }
    // The record of the committee is what the last decision left of it.
    let key = committee_key(ledger.genesis.hash_function());
    let last = hand_overs[1].value.clone().unwrap().0;
    records.retain(|(known, _)| *known != key);
    records.push((key, last));
    records.sort();
    (ledger, hand_overs, records)
}

#[test]
fn x13_a_network_that_was_handed_on_leaves_what_its_last_committee_certified() {
    let (ledger, hand_overs, records) = handed_on();
    let verify = |hand_overs: Vec<StateAnswer>| {
        let file = Left::file(&ledger.genesis, hand_overs, &ledger.checkpoint());
        Left::verify(&file, &records)
    };
    let left = verify(hand_overs.clone()).unwrap();
    assert_eq!((left.height(), left.term()), (401, 2));
    assert_eq!(left.predecessor().genesis, ledger.genesis.digest());
    assert_eq!(left.predecessor().header, ledger.newest().digest());

    let refused = |hand_overs: Vec<StateAnswer>, code: &str| {
        assert_eq!(verify(hand_overs).unwrap_err().code(), code);
    };
    let [first, second] = [0, 1].map(|n| hand_overs[n].clone());
    // Missing, or not in their order.
    refused(vec![], "light.term_unknown");
    refused(vec![first.clone()], "light.term_unknown");
    refused(vec![second.clone()], "light.term_unknown");
    refused(vec![second.clone(), first.clone()], "light.term_unknown");
    // Of a term that another committee has: the certificate is none of its key.
    let to_another = over().0.decide_term(9, 200);
    refused(vec![to_another, second.clone()], "light.certificate");
    // Of another network, and of one that has this one's genesis but not its committee.
    let foreign = TestLedger::new(START_MS + 1, vec![]).decide_term(8, 200);
    refused(vec![foreign, second.clone()], "light.certificate");
    let mut usurper = TestLedger::with_validators(9, START_MS, vec![]);
    usurper.genesis = ledger.genesis.clone();
    let usurped = usurper.decide_term(8, 200);
    refused(vec![usurped, second.clone()], "light.certificate");
    // Changed, or of what hands nothing over.
    let mut bent = first.clone();
    bent.value.as_mut().unwrap().0[40] ^= 1;
    refused(vec![bent, second.clone()], "light.proof");
    let nothing = over()
        .0
        .answer(&committee_key(ledger.genesis.hash_function()));
    refused(vec![nothing, second.clone()], "light.hand_over");
    // Two that contradict each other.
    let fork = over().0.decide_term(8, 201);
    refused(vec![first.clone(), fork, second.clone()], "light.fork");
    let many = vec![first; MAX_PREDECESSOR_TERMS + 1];
    refused(many, "succession.too_many_terms");
}

#[test]
fn x13_an_old_key_certifies_nothing_of_the_terms_after_it() {
    let (ledger, hand_overs, records) = handed_on();
    let by_old = TestLedger::new(START_MS, vec![]).certify(ledger.newest());
    let file = Left::file(&ledger.genesis, hand_overs, &by_old);
    let refused = Left::verify(&file, &records).unwrap_err();
    assert_eq!(refused.code(), "light.term");
}

#[test]
fn x14_a_plan_goes_on_once_governance_has_approved_it() {
    let (left, plan) = (left(), plan());
    assert_eq!(plan.predecessor(), Some(left.predecessor()));
    assert_eq!(Plan::decode(&plan.encode()), Ok(plan.clone()));
    let governor = key(900);
    let approval = Approval::sign(&plan, &governor);
    assert_eq!(Approval::decode(&approval.encode()), Ok(approval.clone()));
    assert_eq!(
        left.approved(&plan, std::slice::from_ref(&approval)),
        Ok(vec![governor.public()])
    );

    // Nobody's, a stranger's, or one of another plan is none.
    let unapproved = Err(SuccessionError::Unapproved {
        approved: 0,
        needed: 1,
    });
    assert_eq!(left.approved(&plan, &[]), unapproved);
    let stranger = Approval::sign(&plan, &key(901));
    assert_eq!(
        left.approved(&plan, std::slice::from_ref(&stranger)),
        unapproved
    );
    let later = Plan::after(&left, START_MS + 70_000, cards()).unwrap();
    assert_eq!(
        left.approved(&later, std::slice::from_ref(&approval)),
        unapproved
    );
    assert_eq!(approval.verify(&later), Err(SuccessionError::Approval));
    let forged = Approval {
        key: governor.public(),
        ..stranger
    };
    assert_eq!(forged.verify(&plan), Err(SuccessionError::Approval));
    assert_eq!(left.approved(&plan, &[forged]), unapproved);

    // A plan of a network of its own, though governance signs it, does not go on from this.
    let genesis = plan.unmade();
    let own = Plan::new(
        genesis.network,
        genesis.time_ms,
        genesis.parameters,
        genesis.governance,
        vec![],
        cards(),
    );
    let own = own.unwrap();
    let signed = Approval::sign(&own, &governor);
    assert_eq!(
        left.approved(&own, &[signed]),
        Err(SuccessionError::OtherPlan)
    );
}

#[test]
fn x14_one_key_that_approves_twice_counts_once() {
    let mut left = left();
    left.governance.keys.push(key(901).public());
    left.governance.threshold = 2;
    let plan = Plan::after(&left, START_MS + 60_000, cards()).unwrap();
    let one = Approval::sign(&plan, &key(900));
    let twice = [one.clone(), one.clone()];
    let unapproved = SuccessionError::Unapproved {
        approved: 1,
        needed: 2,
    };
    assert_eq!(left.approved(&plan, &twice), Err(unapproved));
    let both = [one, Approval::sign(&plan, &key(901))];
    assert_eq!(left.approved(&plan, &both).unwrap().len(), 2);
}

#[test]
fn x15_the_successor_begins_with_the_state_that_was_left() {
    let (plan, operators) = (plan(), operators());
    let mut board = Board::new(plan.round().clone());
    for operator in &operators {
        board
            .read(deal(plan.round(), operator, None).unwrap().bytes())
            .unwrap();
    }
    for operator in &operators {
        let answer = board.answer(operator).unwrap();
        board.read(answer.document.bytes()).unwrap();
    }
    for operator in &operators {
        let closed = board.close(operator, None, &[]).unwrap();
        board.read(closed.document.bytes()).unwrap();
    }
    let genesis = plan.genesis(&board.observe().made.unwrap());
    assert_eq!(Genesis::decode(&genesis.encode()), Ok(genesis.clone()));
    let (ledger, records) = over();
    let by = genesis.hash_function();
    assert_eq!(
        genesis.header().sealed.state_root,
        carried::root(by, &records)
    );
    assert_ne!(genesis.digest(), ledger.genesis.digest());
    assert_ne!(genesis.network_key, ledger.genesis.network_key);
    // What the old validators certified is nothing to it, and the other way round.
    let checkpoint = ledger.checkpoint();
    let old = certificate::verify_finalization(
        &genesis.network_key.0,
        &genesis.namespace(),
        &checkpoint.certificate.0,
        &ledger.newest().digest().0,
    );
    assert!(old.is_err());
}

#[test]
fn x14_a_successor_of_one_is_refused() {
    let alone = Plan::after(&left(), START_MS, cards()[..1].to_vec());
    assert!(matches!(alone, Err(PlanError::Round(_))));
}
