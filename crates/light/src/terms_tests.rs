//! From key to key: who may certify what, and which hand-overs are none (rules L8 to L12).

use crate::{CheckedHeader, LightClient, LightError, TermError, TrustedTerm};
use realdid_core::answer::{MAX_HAND_OVERS, StateAnswer, decode_hand_overs};
use realdid_core::codec;
use realdid_core::genesis::Predecessor;
use realdid_core::governance::{Committee, NOTICE_BLOCKS, SHOWN_BLOCKS};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::header::Checkpoint;
use realdid_core::state::{committee_key, did_key};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet};

const BY: HashFunction = HashFunction::Sha256;
/// Behind the heights at which a term may still be put off.
const SETTLED: u64 = NOTICE_BLOCKS + SHOWN_BLOCKS;

fn ledger() -> TestLedger {
    TestLedger::new(START_MS, Vec::new())
}

fn client() -> LightClient {
    LightClient::new(ledger().genesis)
}

fn later(ledger: &mut TestLedger) -> Checkpoint {
    let time_ms = ledger.newest().time_ms + 2_000;
    ledger.seal(time_ms)
}

/// A ledger whose second term is decided, the hand-over to it, and the client that has it.
fn handed_over() -> (TestLedger, StateAnswer, LightClient) {
    let mut ledger = ledger();
    let answer = ledger.decide_term(8, 200);
    let mut client = client();
    client.hand_over(&answer).unwrap();
    (ledger, answer, client)
}

fn refused(outcome: Result<impl Sized, LightError>) -> &'static str {
    outcome.err().unwrap().code()
}

#[test]
fn a_client_with_the_genesis_alone_follows_from_key_to_key() {
    let (mut ledger, first, _) = handed_over();
    let mut client = client();
    ledger.begin_term(8);
    let new: Checkpoint = later(&mut ledger);
    // Nothing is believed by a key that nobody handed on.
    assert_eq!(
        client.checkpoint(&new),
        Err(TermError::Unknown { term: 1 }.into())
    );
    assert_eq!(client.hand_over(&first).unwrap().number, 1);
    let CheckedHeader { header, .. } = client.advance(&new).unwrap();
    assert_eq!(header.height, 201);

    // And once more, under a key of one's own again: a resharing keeps it.
    let second = ledger.decide_term(8, 400);
    ledger.begin_term(8);
    let newest = later(&mut ledger);
    assert_eq!(client.hand_over(&second).unwrap().first, 400);
    client.advance(&newest).unwrap();
    // The same again changes nothing.
    for known in [&first, &second] {
        client.hand_over(known).unwrap();
    }
    assert_eq!(client.newest_term(), 2);
    let numbers: Vec<u64> = client.terms().iter().map(|term| term.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn l8_an_old_key_certifies_nothing_from_the_next_term_on() {
    let (ledger, _, client) = handed_over();
    let at = |height| {
        let mut header = ledger.newest().clone();
        header.height = height;
        // Whoever has shares of the old key certifies what they like.
        client.checkpoint(&ledger.certify(&header))
    };
    assert!(at(199).is_ok());
    let outside = |height| Err(TermError::Outside { term: 0, height }.into());
    assert_eq!(at(200), outside(200));
    assert_eq!(at(u64::MAX), outside(u64::MAX));
}

#[test]
fn l8_a_new_key_certifies_nothing_before_its_term() {
    let (mut ledger, _, client) = handed_over();
    ledger.begin_term(8);
    let mut header = ledger.newest().clone();
    header.height = 199;
    let early = ledger.certify(&header);
    assert_eq!(refused(client.checkpoint(&early)), "light.term");
}

#[test]
fn l8_a_certificate_says_of_which_term_it_is() {
    let (mut ledger, _, client) = handed_over();
    ledger.begin_term(8);
    let good = later(&mut ledger);
    for epoch in [0, 2] {
        let mut bent = good.clone();
        bent.certificate.0[0] = epoch;
        let expected = ["light.term", "", "light.term_unknown"][usize::from(epoch)];
        assert_eq!(refused(client.checkpoint(&bent)), expected);
    }
}

#[test]
fn l9_what_hands_over_nothing_is_refused() {
    let (_, good, _) = handed_over();
    let refuse = |answer: &StateAnswer| refused(client().hand_over(answer));
    // Of another record, of none, and of one without a next term.
    let mut ledger = ledger();
    let did = TestDid::new(TestNet::new().network(), 1);
    let other = did_key(BY, &did.id());
    ledger.set(other, Some(vec![0x80]), START_MS + 4_000);
    assert_eq!(refuse(&ledger.answer(&other)), "light.proof");
    assert_eq!(
        refuse(&ledger.answer(&committee_key(BY))),
        "light.hand_over"
    );
    let mut absent = good.clone();
    absent.value = None;
    assert_eq!(refuse(&absent), "light.hand_over");
    // What the state does not hold.
    let mut bent = good.clone();
    bent.value.as_mut().unwrap().0[40] ^= 1;
    assert_eq!(refuse(&bent), "light.proof");
    // From another network: another genesis, by the same committee.
    let mut strange = TestLedger::new(START_MS + 1, Vec::new());
    assert_eq!(refuse(&strange.decide_term(8, 200)), "light.certificate");
    // By a committee that was never handed the network.
    let mut usurper = TestLedger::with_validators(9, START_MS, Vec::new());
    usurper.genesis = ledger.genesis.clone();
    assert_eq!(refuse(&usurper.decide_term(8, 200)), "light.certificate");
}

#[test]
fn l10_a_term_follows_its_predecessor_and_no_other() {
    let decide = |change: &dyn Fn(&mut Committee)| {
        let mut ledger = ledger();
        let answer = ledger.decide_term_with(8, 200, change);
        refused(client().hand_over(&answer))
    };
    let none = "light.hand_over";
    let number = |n| move |c: &mut Committee| c.next.as_mut().unwrap().term.number = n;
    assert_eq!(decide(&number(0)), none);
    assert_eq!(decide(&number(2)), none);
    assert_eq!(decide(&|c| c.running.number = 1), none);
    assert_eq!(decide(&|c| c.next = None), none);
    // A key that is none would accept the signature of nobody.
    let key = |byte| move |c: &mut Committee| c.next.as_mut().unwrap().term.network_key.0[0] = byte;
    assert_eq!(decide(&key(0x00)), none);
    // A gap: the term after the next.
    let (mut ledger, _, _) = handed_over();
    ledger.begin_term(8);
    let second = ledger.decide_term(9, 400);
    assert_eq!(refused(client().hand_over(&second)), "light.term_unknown");
}

#[test]
fn l11_a_term_that_may_still_be_put_off_is_not_taken() {
    let at = |first| {
        let mut ledger = ledger();
        let answer = ledger.decide_term(8, first);
        client().hand_over(&answer).map(|term| term.first)
    };
    // The header that shows it is of height 1.
    assert_eq!(at(1 + SETTLED), Ok(1 + SETTLED));
    assert_eq!(at(SETTLED), Err(TermError::HandOver.into()));
}

#[test]
fn l12_two_hand_overs_of_one_term_are_a_fork() {
    let (_, _, mut client) = handed_over();
    for (seed, first) in [(9, 200), (8, 201)] {
        let mut other = ledger();
        let answer = other.decide_term(seed, first);
        assert_eq!(client.hand_over(&answer), Err(TermError::Fork.into()));
    }
    // And one of an old key from beyond its term is not even that.
    let mut other = ledger();
    other.decide_term(9, 1_000);
    while other.newest().height < 200 {
        later(&mut other);
    }
    let late = other.answer(&committee_key(BY));
    assert_eq!(refused(client.hand_over(&late)), "light.term");
    assert_eq!(client.terms().len(), 2);
}

#[test]
fn what_a_client_knew_it_knows_again_and_nothing_else() {
    let (mut ledger, _, known) = handed_over();
    let terms = known.terms().to_vec();
    let bytes = codec::encode(&terms);
    let read: Vec<TrustedTerm> = codec::decode(&bytes, bytes.len()).unwrap();
    let mut again = client();
    again.recall_terms(read).unwrap();
    ledger.begin_term(8);
    again.advance(&later(&mut ledger)).unwrap();
    // Fewer are known already.
    again.recall_terms(terms[..1].to_vec()).unwrap();
    assert_eq!(again.newest_term(), 1);

    let refuse = |change: &dyn Fn(&mut Vec<TrustedTerm>)| {
        let mut changed = terms.clone();
        change(&mut changed);
        let mut client = client();
        let code = refused(client.recall_terms(changed));
        assert_eq!((code, client.terms().len()), ("light.hand_over", 1));
    };
    refuse(&|terms| terms.clear());
    refuse(&|terms| terms[0].network_key.0[1] ^= 1);
    refuse(&|terms| terms[1].number = 2);
    refuse(&|terms| terms[1].first = 0);
    refuse(&|terms| terms[1].network_key.0 = [0; 96]);
    refuse(&|terms| {
        terms.remove(0);
    });
}

#[test]
fn hand_overs_are_read_with_bounds() {
    let (_, answer, _) = handed_over();
    let of = |count| codec::encode(&vec![answer.clone(); count]);
    for count in [0, 1, MAX_HAND_OVERS] {
        assert_eq!(decode_hand_overs(&of(count)).unwrap().len(), count);
    }
    assert!(decode_hand_overs(&of(MAX_HAND_OVERS + 1)).is_err());
    let mut cut = of(2);
    cut.pop();
    assert!(decode_hand_overs(&cut).is_err());
    assert!(decode_hand_overs(&[0x9f]).is_err());
}

/// The state at height 0 of a network that goes on from another has that one's committee, and perhaps a
/// term that it decided: whoever lost a quorum hands nothing over.
#[test]
fn x15_a_committee_that_was_carried_from_another_network_hands_nothing_over() {
    let mut ledger = ledger();
    ledger.genesis.predecessor = Some(Predecessor {
        genesis: Hash32([1; 32]),
        header: Hash32([2; 32]),
        sealed: ledger.newest().sealed,
    });
    let mut client = LightClient::new(ledger.genesis.clone());
    let carried = ledger.decide_term(8, 200);
    assert_eq!(refused(client.hand_over(&carried)), "light.hand_over");
    assert_eq!(client.newest_term(), 0);
    // A state of its own hands over.
    later(&mut ledger);
    let own = ledger.answer(&committee_key(BY));
    assert_eq!(client.hand_over(&own).unwrap().number, 1);
}
