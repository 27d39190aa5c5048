//! The wire formats, frozen: each value here must give the bytes of `spec/vectors/ceremony/`.
//!
//! Cards, plans and rounds were computed by `spec/vectors/recompute.py`, which shares no code with
//! this crate. What the key generation says was written by this crate, so that it never changes
//! unseen: whoever has acknowledged a dealing finds its share in the same bytes again.

use realdid_core::genesis::Genesis;
use realdid_core::suite::{SecretKey, Suite};

use crate::{Approval, Board, Card, Document, Kind, Operator, Plan, Round, deal};

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../../../spec/vectors/", $name)).trim_end()
    };
}

fn operators() -> [(Operator, Card); 2] {
    let genesis = genesis();
    [(1, "ann"), (2, "bob")].map(|(n, name)| {
        let operator = Operator::from_seed([n; 32]).unwrap();
        let address = ([192, 0, 2, n], 20420).into();
        let card = operator.card(&genesis.network, name, address).unwrap();
        (operator, card)
    })
}

fn genesis() -> Genesis {
    Genesis::decode(&hex::decode(vector!("ledger/genesis.hex")).unwrap()).unwrap()
}

fn plan() -> Plan {
    let genesis = genesis();
    Plan::new(
        genesis.network,
        genesis.time_ms,
        genesis.parameters,
        genesis.governance,
        genesis.issuers,
        operators().map(|(_, card)| card).to_vec(),
    )
    .unwrap()
}

#[test]
fn a_card_a_plan_and_a_round_are_frozen() {
    let [(_, ann), _] = operators();
    assert_eq!(hex::encode(ann.bytes()), vector!("ceremony/card.hex"));
    assert_eq!(Card::decode(ann.bytes()), Ok(ann));

    let plan = plan();
    assert_eq!(hex::encode(plan.encode()), vector!("ceremony/plan.hex"));
    assert_eq!(plan.digest().to_string(), vector!("ceremony/plan.digest"));
    assert_eq!(Plan::decode(&plan.encode()), Ok(plan.clone()));

    let governor = SecretKey::from_seed(Suite::Ed25519, [7; 32]).unwrap();
    let approval = Approval::sign(&plan, &governor);
    let bytes = approval.encode();
    assert_eq!(hex::encode(&bytes), vector!("ceremony/approval.hex"));
    assert_eq!(Approval::decode(&bytes), Ok(approval));

    let round = plan.round();
    assert_eq!(hex::encode(round.encode()), vector!("ceremony/round.hex"));
    assert_eq!(round.digest().to_string(), vector!("ceremony/round.digest"));
    assert_eq!(Round::decode(&round.encode()).as_ref(), Ok(round));
}

#[test]
fn what_is_said_in_a_round_and_what_comes_of_it_are_frozen() {
    let (plan, operators) = (plan(), operators());
    let mut board = Board::new(plan.round().clone());
    for (operator, _) in &operators {
        let dealing = deal(plan.round(), operator, None).unwrap();
        board.read(dealing.bytes()).unwrap();
    }
    for (operator, _) in &operators {
        let answer = board.answer(operator).unwrap();
        board.read(answer.document.bytes()).unwrap();
    }
    for (operator, _) in &operators {
        let closed = board.close(operator, None, &[]).unwrap();
        board.read(closed.document.bytes()).unwrap();
    }
    let made = board.observe().made.unwrap();
    let genesis = plan.genesis(&made);
    for (operator, _) in &operators {
        let word = board.attest(operator, &made, genesis.digest()).unwrap();
        board.read(word.bytes()).unwrap();
    }

    let kinds = [
        (Kind::Dealing, "dealing"),
        (Kind::Answer, "answer"),
        (Kind::Log, "log"),
        (Kind::Outcome, "outcome"),
    ];
    let said = kinds.iter().flat_map(|(kind, word)| {
        let board = &board;
        operators.iter().map(move |(operator, card)| {
            let document: &Document = &board.of(*kind, &operator.peer())[0];
            format!("{word} {} {}", card.name(), hex::encode(document.bytes()))
        })
    });
    let said: Vec<String> = said.collect();
    assert_eq!(said.join("\n"), vector!("ceremony/documents.txt"));

    let came = [
        format!("network-key {}", made.network_key),
        format!("output {}", hex::encode(&made.output)),
        format!("transcript {}", made.transcript),
        format!("genesis {}", genesis.digest()),
    ];
    assert_eq!(came.join("\n"), vector!("ceremony/made.txt"));
}
