//! What operators of a key ceremony hand each other, on arbitrary bytes: the first byte says which.
//! Cards, plans and rounds as they come; what parties say also as a party would sign it, so that
//! what lies behind the signature is reached. Nothing panics, and what is read is written the same
//! (spec/ceremony.md, X4).
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use realdid_ceremony::{Approval, Board, Card, Document, Left, Operator, Plan, Round, deal};
use realdid_core::answer::decode_hand_overs;
use realdid_core::carried::Record;
use realdid_core::hash::Hash32;
use realdid_core::state::committee_key;
use realdid_core::suite::{Context, SecretKey, Suite};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::START_MS;

struct World {
    operators: [Operator; 2],
    round: Round,
    /// Everybody has dealt honestly.
    dealt: Board,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let operators = [1, 2].map(|n| Operator::from_seed([n; 32]).unwrap());
    let players = operators.iter().map(Operator::player).collect();
    let network = "dev".parse().unwrap();
    let round = Round::genesis(network, Hash32([7; 32]), players).unwrap();
    let mut dealt = Board::new(round.clone());
    for operator in &operators {
        let dealing = deal(&round, operator, None).unwrap();
        dealt.read(dealing.bytes()).unwrap();
    }
    World {
        operators,
        round,
        dealt,
    }
});

/// A network that was handed on once, to a fresh key, and the state that it left.
static LEFT: LazyLock<(TestLedger, Vec<Record>)> = LazyLock::new(|| {
    let mut ledger = TestLedger::new(START_MS, vec![]);
    let key = committee_key(ledger.genesis.hash_function());
    let mut records = ledger.genesis.records();
    records.retain(|(known, _)| *known != key);
    records.push((key, ledger.decide_term(8, 200).value.unwrap().0));
    records.sort();
    ledger.begin_term(8);
    let time_ms = ledger.newest().time_ms + 2_000;
    ledger.seal(time_ms);
    (ledger, records)
});

/// A CBOR byte string.
fn byte_string(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_be_bytes();
    let head = match bytes.len() {
        short @ 0..24 => vec![0x40 | short as u8],
        short @ 24..256 => vec![0x58, short as u8],
        _ => [&[0x59], length.as_slice()].concat(),
    };
    [head.as_slice(), bytes].concat()
}

/// What the first operator says of a kind, signed.
fn signed(kind: u8, what: &[u8]) -> Vec<u8> {
    let (by, round) = (&WORLD.operators[0], &WORLD.round);
    let body = [
        &[0x83],
        byte_string(&round.digest().0).as_slice(),
        byte_string(&by.peer().0).as_slice(),
        what,
    ]
    .concat();
    let context = match kind {
        1 => Context::Dealing,
        2 => Context::DealingAnswer,
        3 => Context::DealingLog,
        _ => Context::CeremonyOutcome,
    };
    let identity = SecretKey::from_seed(Suite::Ed25519, *by.identity_seed()).unwrap();
    let signature = identity.sign(context, round.network(), &body);
    [
        [0x83, kind].as_slice(),
        &byte_string(&body),
        &byte_string(&signature.0),
    ]
    .concat()
}

fn hear(bytes: &[u8]) {
    let mut board = WORLD.dealt.clone();
    if let Ok(document) = board.read(bytes) {
        assert_eq!(document.bytes(), bytes);
        let mut alone = Board::new(WORLD.round.clone());
        assert!(alone.read(bytes).is_ok());
        for board in [&board, &alone] {
            for operator in &WORLD.operators {
                let _ = board.answer(operator);
                let _ = board.close(operator, None, &[]);
                let _ = board.finish(operator);
            }
            let _ = (board.observe(), board.evidence());
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 11 {
        0 => {
            if let Ok(card) = Card::decode(bytes) {
                assert_eq!(card.bytes(), bytes);
            }
        }
        1 => {
            if let Ok(plan) = Plan::decode(bytes) {
                assert_eq!(plan.encode(), bytes);
            }
        }
        2 => {
            if let Ok(round) = Round::decode(bytes) {
                assert_eq!(round.encode(), bytes);
                let _ = Document::decode(&round, bytes);
            }
        }
        3 => hear(bytes),
        8 => {
            if let Ok(approval) = Approval::decode(bytes) {
                assert_eq!(approval.encode(), bytes);
            }
        }
        9 => assert!(Left::verify(bytes, &[]).is_err()),
        // What the hand-overs lead to is the one term that the ledger had, whatever else they say.
        10 => {
            if let Ok(hand_overs) = decode_hand_overs(bytes) {
                let (ledger, records) = &*LEFT;
                let file = Left::file(&ledger.genesis, hand_overs, &ledger.checkpoint());
                if let Ok(left) = Left::verify(&file, records) {
                    assert_eq!((left.term(), left.height()), (1, 201));
                }
            }
        }
        kind => hear(&signed(kind - 3, &bytes[..bytes.len().min(8192)])),
    }
});
