//! Committees that follow each other (spec/operations.md, G11 to G14).

use super::rules::{Scene, Way};
use crate::governance::begin_block;
use crate::state::{Nothing, Records};
use crate::{Moment, Network, apply_block, genesis_changes};
use realdid_core::codec::{self, Bytes};
use realdid_core::genesis::{NetworkKey, PeerKey, Predecessor};
use realdid_core::governance::{
    Committee, MAX_TERM_VALIDATORS, NOTICE_BLOCKS, RULES_OF_TERMS, SHOWN_BLOCKS, Term,
};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{Body, Decision, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{ReasonCode, committee_key};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestNet};
use std::convert::Infallible;

const BY: HashFunction = HashFunction::Sha256;
const NOTICE: u64 = 2 * NOTICE_BLOCKS;

/// A key of the right group, the same for the same number.
fn network_key(n: u8) -> NetworkKey {
    TestLedger::with_validators(n, START_MS, Vec::new())
        .genesis
        .network_key
}

fn term(number: u64, first: u64) -> Term {
    Term {
        number,
        first,
        network_key: network_key(2),
        validators: (1..=4).map(|n| PeerKey([n; 32])).collect(),
        polynomial: Some(Hash32([9; 32])),
    }
}

/// A network whose key is one, so that it can stay.
fn scene() -> Scene {
    Scene::on(TestNet::with(|genesis| {
        genesis.network_key = network_key(1)
    }))
}

fn committee(scene: &Scene) -> Committee {
    scene.net.record(&committee_key(BY)).unwrap()
}

impl Scene {
    /// A decision in the next block for a term that begins so many blocks after it.
    fn next_term(
        &self,
        seq: u64,
        ahead: u64,
        reason: ReasonCode,
        change: impl FnOnce(&mut Term),
    ) -> SignedOperation {
        let number = committee(self).from(self.net.now.height + 1).running.number + 1;
        let mut term = term(number, self.net.now.height + 1 + ahead);
        change(&mut term);
        let by: Vec<_> = self.net.governors.iter().take(2).collect();
        let body = Body::Govern(seq, Decision::Committee(term), reason);
        self.net.sign(body, &by)
    }
}

/// The ways to break the rules of this file.
pub(super) fn ways(rule: Rule) -> Vec<Way> {
    let changed = |what, ahead, change: fn(&mut Term)| {
        let s = scene();
        let broken = s.next_term(1, ahead, ReasonCode::Scheduled, change);
        s.breaks(what, broken)
    };
    match rule {
        Rule::TermNumber => {
            let decided = || {
                let s = scene();
                let first = s.next_term(1, NOTICE, ReasonCode::Scheduled, |_| {});
                s.after(&[first])
            };
            let (a, b) = (decided(), decided());
            let another = a.next_term(2, NOTICE, ReasonCode::Scheduled, |_| {});
            let second = b.next_term(2, NOTICE, ReasonCode::Scheduled, |t| t.number = 2);
            vec![
                changed("the running one", NOTICE, |t| t.number = 0),
                changed("one left out", NOTICE, |t| t.number = 2),
                changed("the last number", NOTICE, |t| t.number = u64::MAX),
                a.breaks("while one is decided", another),
                b.breaks("the one after one that is decided", second),
            ]
        }
        Rule::TermNotice => vec![
            changed("too near", NOTICE - 1, |_| {}),
            changed("now", 0, |_| {}),
            changed("in the past", NOTICE, |t| t.first = 1),
        ],
        Rule::TermShape => vec![
            changed("nobody", NOTICE, |t| t.validators.clear()),
            changed("one twice", NOTICE, |t| {
                t.validators[1] = t.validators[0];
            }),
            changed("out of order", NOTICE, |t| t.validators.reverse()),
            changed("too many", NOTICE, |t| {
                t.validators = (0..=MAX_TERM_VALIDATORS as u8)
                    .map(|n| PeerKey([n; 32]))
                    .collect();
            }),
            changed("without a polynomial", NOTICE, |t| t.polynomial = None),
            changed("no key", NOTICE, |t| t.network_key = NetworkKey([7; 96])),
            changed("the key of everybody", NOTICE, |t| {
                t.network_key = NetworkKey([0; 96]);
                t.network_key.0[0] = 0xc0;
            }),
        ],
        Rule::TermKey => {
            let s = scene();
            let broken = s.next_term(1, NOTICE, ReasonCode::KeyCompromise, |t| {
                t.network_key = network_key(1);
            });
            vec![s.breaks("a revealed key that stays", broken)]
        }
        _ => Vec::new(),
    }
}

#[test]
fn g11_the_first_term_is_that_of_the_genesis() {
    let s = scene();
    assert_eq!(committee(&s), Committee::of(s.net.genesis.term()));
    assert_eq!(s.net.genesis.term().first, 0);
}

#[test]
fn g12_a_term_follows_the_running_one_by_a_decision() {
    let s = scene();
    let reshared = s.next_term(1, NOTICE, ReasonCode::Scheduled, |t| {
        t.network_key = network_key(1);
    });
    let mut s = s.after(&[reshared]);
    let decided = committee(&s);
    let next = decided.next.clone().unwrap();
    assert_eq!(next.since, s.net.now.height);
    assert_eq!(next.term.first, s.net.now.height + NOTICE);
    while s.net.now.height + 1 < next.term.first {
        s.net.block(&[]);
    }
    // In its first block the one after it can be decided, under another key.
    let handed_on = s.next_term(2, NOTICE, ReasonCode::KeyCompromise, |_| {});
    let s = s.after(&[handed_on]);
    let after = committee(&s);
    assert_eq!(after.running, next.term);
    assert_eq!(after.next.unwrap().term.number, 2);
}

#[test]
fn g12_rules_of_old_know_no_terms() {
    let mut s = Scene::on(TestNet::with(|genesis| {
        genesis.parameters.rules = RULES_OF_TERMS - 1;
    }));
    assert!(s.net.record::<Committee>(&committee_key(BY)).is_none());
    let by: Vec<_> = s.net.governors.iter().take(2).collect();
    let decision = Decision::Committee(term(1, s.net.now.height + 1 + NOTICE));
    let body = Body::Govern(1, decision, ReasonCode::Scheduled);
    let decide = s.net.sign(body, &by);
    // To validators of then it is no operation at all.
    assert_eq!(s.net.apply(&decide), Err(Rule::Shape));
}

/// A ledger that is told what its headers seal.
struct Sealed {
    net: TestNet,
    records: Records<Nothing>,
    height: u64,
}

impl Sealed {
    fn new(net: TestNet) -> Self {
        let changes = genesis_changes(&net.genesis).into_iter().collect();
        Self {
            records: Records::with_changes(Nothing, changes),
            height: 0,
            net,
        }
    }

    fn block(&mut self, sealed: u64, operations: &[SignedOperation]) {
        self.height += 1;
        let genesis = &self.net.genesis;
        let begun: Result<(), Infallible> =
            begin_block(genesis, self.height, sealed, &mut self.records);
        begun.unwrap();
        let network = Network {
            name: &genesis.network,
            parameters: &genesis.parameters,
        };
        let now = Moment {
            height: self.height,
            time_ms: START_MS,
        };
        let bytes: Vec<_> = operations.iter().map(|o| Bytes(o.encode())).collect();
        let receipts: Result<_, Infallible> = apply_block(network, now, &bytes, &mut self.records);
        assert!(receipts.unwrap().iter().all(|r| r.refused.is_none()));
    }

    fn committee(&self) -> Option<Committee> {
        let Ok(found) = self.records.get(&committee_key(BY));
        found
    }

    /// Decides a term in block 1, and then makes blocks up to `height` whose headers seal height 1
    /// from `shown` on.
    fn decided(shown: u64, height: u64) -> Committee {
        let mut ledger = Self::new(TestNet::new());
        let by: Vec<_> = ledger.net.governors.iter().take(2).collect();
        let decision = Decision::Committee(term(1, 1 + NOTICE));
        let body = Body::Govern(1, decision, ReasonCode::Scheduled);
        let decide = ledger.net.sign(body, &by);
        ledger.block(0, &[decide]);
        while ledger.height < height {
            let sealed = u64::from(ledger.height + 1 >= shown);
            ledger.block(sealed, &[]);
        }
        ledger.committee().unwrap()
    }
}

#[test]
fn g14_a_term_begins_when_enough_headers_have_shown_it() {
    let due = 1 + NOTICE_BLOCKS;
    let in_time = Sealed::decided(due - SHOWN_BLOCKS, due + 5);
    let next = in_time.next.unwrap();
    assert_eq!((next.term.first, next.since), (1 + NOTICE, 1));
    assert_eq!(next.shown, Some(due - SHOWN_BLOCKS));
    // One header too few.
    let late = Sealed::decided(due - SHOWN_BLOCKS + 1, due + 5);
    let next = late.next.unwrap();
    assert_eq!(next.term.first, 1 + NOTICE + 2 * NOTICE_BLOCKS);
    assert_eq!((next.since, next.shown), (due, None));
}

#[test]
fn g11_a_network_of_older_rules_gets_its_record_when_it_upgrades() {
    let mut ledger = Sealed::new(TestNet::with(|genesis| {
        genesis.parameters.rules = RULES_OF_TERMS - 1;
    }));
    let mut parameters = ledger.net.genesis.parameters.clone();
    parameters.rules = RULES_OF_TERMS;
    let from = 1 + NOTICE_BLOCKS;
    let by: Vec<_> = ledger.net.governors.iter().take(2).collect();
    let body = Body::Govern(1, Decision::Parameters(from, parameters), ReasonCode::None);
    let upgrade = ledger.net.sign(body, &by);
    ledger.block(0, &[upgrade]);
    while ledger.height + 1 < from {
        ledger.block(0, &[]);
        assert_eq!(ledger.committee(), None);
    }
    ledger.block(0, &[]);
    let genesis = ledger.net.genesis.term();
    assert_eq!(ledger.committee(), Some(Committee::of(genesis)));
}

#[test]
fn x15_the_first_block_of_a_successor_writes_its_own_committee() {
    let key = committee_key(BY);
    let other = Committee::of(term(3, 700));
    let changes = [(key, Some(codec::encode(&other)))].into_iter().collect();
    let mut records = Records::with_changes(Nothing, changes);
    let net = TestNet::with(|genesis| {
        genesis.predecessor = Some(Predecessor {
            genesis: Hash32([1; 32]),
            header: Hash32([2; 32]),
            sealed: genesis.header().sealed,
        });
    });
    let own = Committee::of(net.genesis.term());
    let Ok(()) = begin_block(&net.genesis, 1, 0, &mut records);
    assert_eq!(records.get::<Committee>(&key).unwrap(), Some(own.clone()));
    // Once: what is decided later stands.
    let Ok(()) = begin_block(&net.genesis, 2, 0, &mut records);
    assert_eq!(records.get::<Committee>(&key).unwrap(), Some(own));
    // A network that goes on from none keeps the record that it has.
    records.put(key, &other);
    let alone = TestNet::new();
    let Ok(()) = begin_block(&alone.genesis, 1, 0, &mut records);
    assert_eq!(records.get::<Committee>(&key).unwrap(), Some(other));
}
