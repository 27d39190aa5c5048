//! Whole rounds in memory: with everybody, without some, and with each kind of cheater.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use commonware_codec::{Copying, Decode, DecodeExt as _};
use commonware_cryptography::bls12381::primitives::group::Share;
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::sharing::{ModeVersion, Sharing};
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_parallel::Sequential;
use commonware_utils::NZU32;
use minicbor::Encode;
use proptest::prelude::*;
use realdid_core::codec::{self, Bytes};
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, Parameters, PeerKey};
use realdid_core::hash::Hash32;
use realdid_core::suite::Context;
use realdid_testkit::ledger::{TestNet, seed};
use zeroize::Zeroizing;

use crate::document::{
    self, Answer, Body, Dealing, EphemeralKey, Log, Said, SealedBytes, SealedShare,
};
use crate::library::Output;
use crate::{
    Board, Card, CeremonyError, Document, DocumentError, Evidence, Fault, Finished, Kind, Made,
    Operator, OperatorError, Plan, PlanError, Player, Round, RoundError, deal,
};

type Shares = BTreeMap<PeerKey, Zeroizing<Vec<u8>>>;

fn network() -> NetworkName {
    "dev".parse().unwrap()
}

fn address() -> SocketAddr {
    ([192, 0, 2, 1], 20420).into()
}

fn operator(n: u64) -> Operator {
    Operator::from_seed(seed(n)).unwrap()
}

/// Operators `from..from + n`, in the order of their identities.
fn operators(from: u64, n: u64) -> Vec<Operator> {
    let mut operators: Vec<Operator> = (from..from + n).map(operator).collect();
    operators.sort_by_key(Operator::peer);
    operators
}

fn players(operators: &[Operator]) -> Vec<Player> {
    operators.iter().map(Operator::player).collect()
}

fn peers(operators: &[Operator]) -> Vec<PeerKey> {
    operators.iter().map(Operator::peer).collect()
}

fn first_round(operators: &[Operator]) -> Round {
    Round::genesis(network(), Hash32([7; 32]), players(operators)).unwrap()
}

/// Everybody deals.
fn dealt(round: &Round, operators: &[Operator]) -> Board {
    let mut board = Board::new(round.clone());
    for dealer in operators {
        let dealing = deal(round, dealer, None).unwrap();
        board.read(dealing.bytes()).unwrap();
    }
    board
}

fn answer(board: &mut Board, operators: &[Operator]) {
    for player in operators {
        let answer = board.answer(player).unwrap();
        board.read(answer.document.bytes()).unwrap();
    }
}

fn close(board: &mut Board, dealers: &[Operator], absent: &[PeerKey]) {
    for dealer in dealers {
        let closed = board.close(dealer, None, absent).unwrap();
        board.read(closed.document.bytes()).unwrap();
    }
}

/// A round in which all do what they should.
fn honest(operators: &[Operator]) -> Board {
    let mut board = dealt(&first_round(operators), operators);
    answer(&mut board, operators);
    close(&mut board, operators, &[]);
    board
}

fn made(board: &Board) -> Made {
    board.observe().made.unwrap()
}

/// What these take home, who all see the same as an observer.
fn shares(board: &Board, operators: &[Operator]) -> Shares {
    let finished = operators.iter().map(|operator| {
        let Finished { made, share } = board.finish(operator).unwrap();
        assert_eq!(Ok(made), board.observe().made);
        (operator.peer(), share)
    });
    finished.collect()
}

/// Whether these shares together sign for the network.
fn sign<'a>(made: &Made, shares: impl Iterator<Item = &'a Zeroizing<Vec<u8>>>) -> bool {
    let bounds = (NZU32!(256), ModeVersion::v0());
    let sharing: Sharing<MinSig> =
        Decode::decode_cfg(Copying(made.polynomial.as_slice()), &bounds).unwrap();
    let partials: Vec<_> = shares
        .map(|share| {
            let share = Share::decode(Copying(share.as_slice())).unwrap();
            let partial = ops::threshold::sign_message::<MinSig>(&share, b"n", b"m");
            ops::threshold::verify_message(&sharing, b"n", b"m", &partial).unwrap();
            partial
        })
        .collect();
    let Ok(signature) = ops::threshold::recover(&sharing, &partials, &Sequential) else {
        return false;
    };
    ops::verify_message::<MinSig>(sharing.public(), b"n", b"m", &signature).is_ok()
}

/// Signs what an honest operator would not say.
fn say<T: Encode<()> + Clone>(
    operator: &Operator,
    round: &Round,
    what: T,
    body: impl FnOnce(T) -> Body,
) -> Vec<u8> {
    Document::sign(operator, round, what, body).bytes().to_vec()
}

fn dealing_of(document: &Document) -> Dealing {
    match &document.body {
        Body::Dealing(dealing) => dealing.clone(),
        _ => panic!("not a dealing"),
    }
}

fn log_of(document: &Document) -> Vec<u8> {
    match &document.body {
        Body::Log(log) => log.log.0.clone(),
        _ => panic!("not a log"),
    }
}

#[test]
fn one_operator_alone_makes_no_key() {
    let alone = operators(1, 1);
    let round = Round::genesis(network(), Hash32([7; 32]), players(&alone));
    assert_eq!(round, Err(RoundError::Dealers));
    let two = operators(1, 2);
    let genesis = ceremony_genesis(&honest(&two));
    let to_one = Round::renew(&genesis, 1, Hash32([1; 32]), peers(&two), players(&alone));
    assert_eq!(to_one, Err(RoundError::Players));
}

#[test]
fn x11_all_come_to_one_key_and_each_to_a_share_of_it() {
    for n in [2, 4, 7] {
        let operators = operators(10, n);
        let board = honest(&operators);
        let observed = board.observe();
        assert_eq!((observed.faults, observed.missing), (vec![], vec![]));
        let made = observed.made.unwrap();
        assert_eq!(made.exposed, []);
        let shares = shares(&board, &operators);
        assert!(sign(&made, shares.values()));
        // The key comes of as many dealings as can be expected, not of one.
        assert_eq!(made.dealers.len(), board.round().dealings_needed());
        let output = Output::decode(&made.output).unwrap();
        assert_eq!(output.network_key(), made.network_key);
        assert_eq!(output.polynomial(), made.polynomial);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_quorum_of_shares_signs_and_fewer_do_not(
        n in 2u64..8,
        order in proptest::collection::vec(any::<u32>(), 8),
    ) {
        let operators = operators(100, n);
        let board = honest(&operators);
        let made = made(&board);
        let all = shares(&board, &operators);
        let mut any_order: Vec<_> = all.values().zip(order).collect();
        any_order.sort_by_key(|(_, place)| *place);
        let quorum = board.round().players().len() - board.round().withstands();
        for count in 0..=operators.len() {
            let some = any_order.iter().take(count).map(|(share, _)| *share);
            prop_assert_eq!(sign(&made, some), count >= quorum, "{} of {}", count, n);
        }
    }
}

#[test]
fn every_step_gives_the_same_bytes_when_it_is_done_again() {
    let operators = operators(1, 4);
    let (once, again) = (honest(&operators), honest(&operators));
    for operator in &operators {
        for kind in [Kind::Dealing, Kind::Answer, Kind::Log] {
            let peer = operator.peer();
            assert_eq!(once.of(kind, &peer).len(), 1);
            assert_eq!(once.of(kind, &peer), again.of(kind, &peer));
        }
    }
    assert_eq!(once.observe(), again.observe());
}

#[test]
fn x7_another_round_is_dealt_another_polynomial() {
    let operators = operators(1, 4);
    let dealing = |subject| {
        let round = Round::genesis(network(), Hash32([subject; 32]), players(&operators)).unwrap();
        dealing_of(&deal(&round, &operators[0], None).unwrap())
    };
    assert_eq!(dealing(1), dealing(1));
    assert_ne!(dealing(1).commitment, dealing(2).commitment);
    let ephemeral = |subject| dealing(subject).shares[0].encapsulated;
    assert_ne!(ephemeral(1), ephemeral(2));
}

#[test]
fn up_to_a_third_may_be_absent_from_the_dealing_and_keep_their_shares() {
    for (n, absent) in [(4, 1), (7, 2)] {
        let operators = operators(1, n);
        let round = first_round(&operators);
        let mut board = dealt(&round, &operators[absent..]);
        answer(&mut board, &operators);
        close(&mut board, &operators[absent..], &[]);
        let observed = board.observe();
        assert_eq!(observed.missing, peers(&operators[..absent]));
        assert_eq!(observed.faults, []);
        let made = observed.made.unwrap();
        assert_eq!(made.exposed, []);
        let all = shares(&board, &operators);
        assert!(sign(&made, all.values()));

        // One more, and there is no key.
        let mut fewer = dealt(&round, &operators[absent + 1..]);
        answer(&mut fewer, &operators);
        close(&mut fewer, &operators[absent + 1..], &[]);
        let needed = round.dealings_needed();
        let usable = needed - 1;
        let refused = CeremonyError::TooFew { usable, needed };
        assert_eq!(fewer.observe().made, Err(refused.clone()));
        assert_eq!(fewer.finish(&operators[0]).unwrap_err(), refused);
        assert_eq!(refused.code(), "ceremony.too_few");
    }
}

#[test]
fn x10_what_a_player_did_not_acknowledge_stands_in_the_open_once_it_is_given_up() {
    let operators = operators(1, 4);
    let mut board = dealt(&first_round(&operators), &operators);
    answer(&mut board, &operators[1..]);
    let silent = operators[0].peer();
    // In haste nothing is published.
    let hasty = board.close(&operators[1], None, &[]).unwrap_err();
    let unanswered = vec![silent];
    assert_eq!(hasty, CeremonyError::Unanswered { unanswered });
    let closed = board.close(&operators[1], None, &[silent]).unwrap();
    assert_eq!(closed.unanswered, [silent]);

    close(&mut board, &operators[1..], &[silent]);
    let made = made(&board);
    assert_eq!(made.exposed, [silent]);
    // It can still take its share, as everybody can: it counts among those that may fail.
    let all = shares(&board, &operators);
    assert!(sign(&made, all.values()));
}

#[test]
fn x10_more_shares_than_may_fail_are_never_published() {
    let operators = operators(1, 4);
    let mut board = dealt(&first_round(&operators), &operators);
    answer(&mut board, &operators[2..]);
    let silent = peers(&operators[..2]);
    let refused = board.close(&operators[2], None, &silent).unwrap_err();
    let expected = CeremonyError::TooManyUnanswered {
        unanswered: silent,
        most: 1,
    };
    assert_eq!(refused, expected);
}

/// Players that are cut off in turn would have their shares published by different dealers.
#[test]
fn x11_a_key_of_which_too_many_shares_stand_in_the_open_is_refused() {
    let operators = operators(1, 7);
    let round = first_round(&operators);
    let mut answered = dealt(&round, &operators);
    answer(&mut answered, &operators);
    let mut board = answered.clone();
    // Five logs are used, and three reveals expose; two others are revealed in each.
    let hidden = |who: &[usize]| {
        let mut some = Board::new(round.clone());
        for (place, operator) in operators.iter().enumerate() {
            let dealing = deal(&round, operator, None).unwrap();
            some.read(dealing.bytes()).unwrap();
            if !who.contains(&place) {
                let answer = answered.answer(operator).unwrap();
                some.read(answer.document.bytes()).unwrap();
            }
        }
        some
    };
    let without = [[0, 1], [0, 1], [0, 2], [1, 2], [2, 0]];
    for (place, who) in without.iter().enumerate() {
        let given_up: Vec<PeerKey> = who.iter().map(|who| operators[*who].peer()).collect();
        let closed = hidden(who).close(&operators[place], None, &given_up);
        board.read(closed.unwrap().document.bytes()).unwrap();
    }
    let exposed = peers(&operators[..3]);
    let refused = CeremonyError::Exposed { exposed, most: 2 };
    assert_eq!(board.observe().made, Err(refused.clone()));
    assert_eq!(board.finish(&operators[6]).unwrap_err(), refused);
}

#[test]
fn x8_a_bad_share_is_refused_by_its_player_and_stands_in_the_log_instead() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let (cheater, victim) = (&operators[0], 2);
    let mut board = Board::new(round.clone());
    for dealer in &operators[1..] {
        board
            .read(deal(&round, dealer, None).unwrap().bytes())
            .unwrap();
    }
    // What was sealed to one player is handed to another.
    let mut dealing = dealing_of(&deal(&round, cheater, None).unwrap());
    dealing.shares[victim] = dealing.shares[1].clone();
    board
        .read(&say(cheater, &round, dealing, Body::Dealing))
        .unwrap();

    let found = board.answer(&operators[victim]).unwrap();
    assert_eq!(found.refused, [(cheater.peer(), Fault::Share)]);
    assert_eq!(found.accepted.len(), 3);
    let other = board.answer(&operators[1]).unwrap();
    assert_eq!(other.refused, []);

    answer(&mut board, &operators);
    let victims = [operators[victim].peer()];
    let closed = board.close(cheater, None, &victims).unwrap();
    assert_eq!(closed.unanswered, victims);
    close(&mut board, &operators, &victims);
    // One share of one dealing in the open exposes nobody.
    assert_eq!(made(&board).exposed, []);
    let all = shares(&board, &operators);
    assert!(sign(&made(&board), all.values()));
}

/// A dealing that is sealed as it should be, of whatever commitment and share.
fn dealing_with(round: &Round, cheater: &Operator, commitment: Bytes, share: &[u8]) -> Vec<u8> {
    let ephemeral = p256::SecretKey::from_slice(&seed(999)).unwrap();
    let sealed = round.players().iter().map(|player| {
        let to = crate::hpke::public_key(&player.sealing.0).unwrap();
        let aad = [&cheater.peer().0, &player.peer.0, commitment.0.as_slice()].concat();
        let info = [b"rdid/1/ceremony/share/".as_slice(), &round.digest().0].concat();
        let (enc, sealed) = crate::hpke::seal(&to, &ephemeral, &info, &aad, share).unwrap();
        SealedShare {
            encapsulated: EphemeralKey(enc),
            sealed: SealedBytes(sealed.try_into().unwrap()),
        }
    });
    let dealing = Dealing {
        shares: sealed.collect(),
        commitment: commitment.clone(),
    };
    say(cheater, round, dealing, Body::Dealing)
}

fn refused_for(round: &Round, player: &Operator, dealing: &[u8]) -> Fault {
    let mut board = Board::new(round.clone());
    board.read(dealing).unwrap();
    let found = board.answer(player).unwrap();
    assert_eq!(found.accepted, []);
    found.refused[0].1
}

#[test]
fn x8_a_share_that_opens_and_is_wrong_is_found() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let (cheater, victim) = (&operators[0], &operators[2]);
    let commitment = dealing_of(&deal(&round, cheater, None).unwrap()).commitment;
    for share in [[1; 32], [0; 32], [0xff; 32]] {
        let dealing = dealing_with(&round, cheater, commitment.clone(), &share);
        assert_eq!(refused_for(&round, victim, &dealing), Fault::Share);
    }
}

#[test]
fn x8_a_commitment_of_another_degree_is_refused() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let cheater = &operators[0];
    // A polynomial for seven players, dealt to four: with it fewer or more would sign.
    let seven = first_round(&crate::tests::operators(1, 7));
    let larger = dealing_of(&deal(&seven, &operator(1), None).unwrap()).commitment;
    for commitment in [larger, Bytes(vec![3; 7]), Bytes(vec![])] {
        let dealing = dealing_with(&round, cheater, commitment, &[1; 32]);
        let fault = refused_for(&round, &operators[1], &dealing);
        assert_eq!(fault, Fault::Commitment);
    }
}

#[test]
fn x12_a_dealer_who_deals_twice_is_named_with_both_dealings() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let mut board = dealt(&round, &operators);
    let cheater = &operators[0];
    let honest_one = board.of(Kind::Dealing, &cheater.peer())[0].clone();
    let mut other = dealing_of(&honest_one);
    other.shares.swap(0, 1);
    let second = say(cheater, &round, other, Body::Dealing);
    board.read(&second).unwrap();
    // A third changes nothing; the same again does not either.
    board.read(&second).unwrap();

    let found = board.answer(&operators[1]).unwrap();
    assert_eq!(found.refused, [(cheater.peer(), Fault::Equivocation)]);
    let evidence = Evidence {
        by: cheater.peer(),
        kind: Kind::Dealing,
        documents: [honest_one.bytes().to_vec(), second],
    };
    assert_eq!(board.evidence(), [evidence]);
    // Anybody can check the evidence: both verify, and they differ.
    for document in &board.evidence()[0].documents {
        let document = Document::decode(&round, document).unwrap();
        assert_eq!(
            (document.by(), document.kind()),
            (cheater.peer(), Kind::Dealing)
        );
    }

    // The others go on without it.
    answer(&mut board, &operators);
    close(&mut board, &operators[1..], &[]);
    let all = shares(&board, &operators);
    assert!(sign(&made(&board), all.values()));
}

/// A player who acknowledged the first dealing before it saw the second still finds its share.
#[test]
fn x11_a_second_dealing_that_appears_later_takes_nobodys_share() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let mut board = honest(&operators);
    let before = shares(&board, &operators);
    let cheater = &operators[0];
    let mut other = dealing_of(&board.of(Kind::Dealing, &cheater.peer())[0]);
    other.shares.swap(0, 1);
    board
        .read(&say(cheater, &round, other, Body::Dealing))
        .unwrap();
    assert_eq!(board.evidence().len(), 1);
    assert_eq!(shares(&board, &operators), before);
}

#[test]
fn x12_a_dealer_who_publishes_two_logs_is_left_out() {
    let operators = operators(1, 4);
    let mut board = honest(&operators);
    let cheater = &operators[0];
    let mut fewer = dealt(board.round(), &operators);
    answer(&mut fewer, &operators[1..]);
    let second = fewer.close(cheater, None, &[cheater.peer()]).unwrap();
    board.read(second.document.bytes()).unwrap();
    let observed = board.observe();
    assert_eq!(observed.faults, [(cheater.peer(), Fault::Equivocation)]);
    assert!(!observed.made.unwrap().dealers.contains(&cheater.peer()));
    assert_eq!(board.evidence()[0].kind, Kind::Log);
    let all = shares(&board, &operators);
    assert!(sign(&made(&board), all.values()));
}

#[test]
fn x9_a_log_that_lies_is_named_and_left_out() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let mut board = dealt(&round, &operators);
    answer(&mut board, &operators);
    close(&mut board, &operators[1..], &[]);
    let cheater = &operators[0];
    let good = board.close(cheater, None, &[]).unwrap().document;
    let judged = |log: Vec<u8>| {
        let mut board = board.clone();
        let log = Log { log: Bytes(log) };
        board.read(&say(cheater, &round, log, Body::Log)).unwrap();
        let observed = board.observe();
        // The others go on without it.
        assert!(!observed.made.unwrap().dealers.contains(&cheater.peer()));
        let all = shares(&board, &operators);
        assert_eq!(all.len(), 4);
        observed.faults
    };
    let log = log_of(&good);
    let found = |fault| vec![(cheater.peer(), fault)];
    // Changed, it is not signed any more; another dealer's is not its own; bytes are no log.
    let mut changed = log.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(judged(changed), found(Fault::Log));
    let other = board.of(Kind::Log, &operators[1].peer())[0].clone();
    assert_eq!(judged(log_of(&other)), found(Fault::Log));
    assert_eq!(judged(vec![0; 40]), found(Fault::Log));
    assert_eq!(judged([log.as_slice(), &[0]].concat()), found(Fault::Log));
}

#[test]
fn x9_a_dealer_who_withholds_too_much_is_named() {
    // It publishes no results rather than four shares: the library's own refusal.
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let mut board = dealt(&round, &operators);
    answer(&mut board, &operators);
    close(&mut board, &operators[1..], &[]);
    let silent = crate::library::Dealer::start(&round, &operators[0], None).unwrap();
    let log = Log {
        log: Bytes(silent.finish()),
    };
    board
        .read(&say(&operators[0], &round, log, Body::Log))
        .unwrap();
    let observed = board.observe();
    assert_eq!(observed.faults, [(operators[0].peer(), Fault::Unanswered)]);
    assert!(observed.made.is_ok());
}

#[test]
fn x5_a_document_is_by_whom_it_names_of_its_round_and_kind() {
    let operators = operators(1, 4);
    let round = first_round(&operators);
    let dealing = deal(&round, &operators[0], None).unwrap();
    let refused = |bytes: &[u8], code: &str| {
        let error = Document::decode(&round, bytes).unwrap_err();
        assert_eq!(error.code(), code);
    };
    Document::decode(&round, dealing.bytes()).unwrap();

    // Another plan was signed off.
    let other = Round::genesis(network(), Hash32([8; 32]), players(&operators)).unwrap();
    let elsewhere = deal(&other, &operators[0], None).unwrap();
    refused(elsewhere.bytes(), "ceremony.other_round");

    // A stranger, and a forger: the body says one operator, another signs.
    let stranger = operator(77);
    let said = Said {
        round: round.digest(),
        by: stranger.peer(),
        what: dealing_of(&dealing),
    };
    let body = codec::encode(&said);
    let signature = stranger.sign(Context::Dealing, &network(), &body);
    refused(
        &document::seal(Kind::Dealing, body, signature),
        "ceremony.stranger",
    );
    let said = Said {
        by: operators[0].peer(),
        ..said
    };
    let body = codec::encode(&said);
    let signature = operators[1].sign(Context::Dealing, &network(), &body);
    let forged = document::seal(Kind::Dealing, body.clone(), signature);
    refused(&forged, "ceremony.signature");
    // Signed for another purpose, or another network.
    for (context, network) in [
        (Context::DealingLog, network()),
        (Context::Dealing, "cn".parse().unwrap()),
    ] {
        let signature = operators[0].sign(context, &network, &body);
        let sealed = document::seal(Kind::Dealing, body.clone(), signature);
        refused(&sealed, "ceremony.signature");
    }

    // A card, too few shares, an answer out of order, and bytes.
    let card = operators[0].card(&network(), "ann", address()).unwrap();
    refused(card.bytes(), "ceremony.kind");
    let mut short = dealing_of(&dealing);
    short.shares.pop();
    refused(
        &say(&operators[0], &round, short, Body::Dealing),
        "ceremony.shape",
    );
    let mut refusing = peers(&operators);
    refusing.reverse();
    let answer = Answer {
        accepted: vec![],
        refused: refusing,
    };
    refused(
        &say(&operators[0], &round, answer, Body::Answer),
        "ceremony.shape",
    );
    refused(&dealing.bytes()[1..], "codec.malformed");
    refused(&[dealing.bytes(), &[0]].concat(), "codec.trailing");
    refused(&vec![0; 64 * 1024 + 1], "codec.too_long");
}

#[test]
fn outcomes_show_who_agrees_and_who_said_two_things() {
    let operators = operators(1, 4);
    let mut board = honest(&operators);
    let made = made(&board);
    let (result, other) = (Hash32([1; 32]), Hash32([2; 32]));
    for operator in &operators[..3] {
        let word = board.attest(operator, &made, result).unwrap();
        board.read(word.bytes()).unwrap();
    }
    let liar = &operators[0];
    let word = board.attest(liar, &made, other).unwrap();
    board.read(word.bytes()).unwrap();
    let (agree, differ) = board.agreement(&made.transcript, &result);
    assert_eq!(agree, peers(&operators[1..3]));
    assert_eq!(differ, [liar.peer()]);
    assert_eq!(board.evidence()[0].kind, Kind::Outcome);
}

fn ceremony_genesis(board: &Board) -> Genesis {
    let made = made(board);
    let peers = board.round().players().iter().map(|player| player.peer);
    TestNet::with(|genesis| {
        genesis.network_key = made.network_key;
        genesis.validators = peers.collect();
        genesis.ceremony = Some(made.transcript);
    })
    .genesis
}

/// One leaves and two come; the public key stays, the old shares do not sign with the new ones.
#[test]
fn a_key_is_handed_on_to_other_holders_and_stays() {
    let old = operators(1, 4);
    let board = honest(&old);
    let first = made(&board);
    let genesis = ceremony_genesis(&board);
    let old_shares = shares(&board, &old);

    let mut new = operators(2, 6);
    new.sort_by_key(Operator::peer);
    let key = first.network_key;
    let round = |dealers| {
        Round::reshare(
            &genesis,
            &key,
            &first.output,
            1,
            Hash32([9; 32]),
            dealers,
            players(&new),
        )
    };
    let reshare = round(peers(&old)).unwrap();
    assert_eq!(Round::decode(&reshare.encode()), Ok(reshare.clone()));
    assert_eq!(reshare.dealings_needed(), 3);
    // One of the old is gone for good.
    let dealers = &old[..3];
    let mut next = Board::new(reshare.clone());
    for dealer in dealers {
        let share = Some(old_shares[&dealer.peer()].as_slice());
        let dealing = deal(&reshare, dealer, share).unwrap();
        next.read(dealing.bytes()).unwrap();
    }
    answer(&mut next, &new);
    for dealer in dealers {
        let share = Some(old_shares[&dealer.peer()].as_slice());
        let closed = next.close(dealer, share, &[]).unwrap();
        next.read(closed.document.bytes()).unwrap();
    }
    let second = made(&next);
    assert_eq!(second.network_key, first.network_key);
    assert_ne!(second.polynomial, first.polynomial);
    let new_shares = shares(&next, &new);
    assert!(sign(&second, new_shares.values()));

    // And once more, from its own output.
    let again = Round::reshare(
        &genesis,
        &key,
        &second.output,
        2,
        Hash32([9; 32]),
        peers(&new),
        players(&old),
    );
    assert!(again.is_ok());

    // A dealer needs its own old share, and no other.
    let nothing = deal(&reshare, &old[0], None).unwrap_err();
    assert_eq!(nothing, CeremonyError::OldShare);
    let anothers = old_shares[&old[1].peer()].as_slice();
    let refused = deal(&reshare, &old[0], Some(anothers)).unwrap_err();
    assert_eq!(refused, CeremonyError::OldShare);
    // Who holds nothing deals nothing; fewer than a quorum cannot.
    let strangers = peers(&operators(20, 4));
    assert_eq!(round(strangers), Err(RoundError::Holders));
    assert_eq!(round(peers(&old[..2])), Err(RoundError::Holders));
}

#[test]
fn a_dealer_who_hands_on_another_share_is_found() {
    let operators = operators(1, 4);
    let board = honest(&operators);
    let first = made(&board);
    let genesis = ceremony_genesis(&board);
    let reshare = Round::reshare(
        &genesis,
        &first.network_key,
        &first.output,
        1,
        Hash32([9; 32]),
        peers(&operators),
        players(&operators),
    )
    .unwrap();
    // A polynomial over a fresh secret instead of the old share: as for a fresh key.
    let fresh = Round::renew(
        &genesis,
        1,
        Hash32([9; 32]),
        peers(&operators),
        players(&operators),
    )
    .unwrap();
    let cheater = &operators[0];
    let commitment = dealing_of(&deal(&fresh, cheater, None).unwrap()).commitment;
    let dealing = dealing_with(&reshare, cheater, commitment, &[1; 32]);
    let fault = refused_for(&reshare, &operators[1], &dealing);
    assert_eq!(fault, Fault::Commitment);
}

#[test]
fn a_network_gets_a_fresh_key_for_the_same_or_other_holders() {
    let operators = operators(1, 4);
    let board = honest(&operators);
    let genesis = ceremony_genesis(&board);
    let renew = Round::renew(
        &genesis,
        1,
        Hash32([9; 32]),
        peers(&operators),
        players(&operators),
    )
    .unwrap();
    let mut next = dealt(&renew, &operators);
    answer(&mut next, &operators);
    close(&mut next, &operators, &[]);
    assert_ne!(made(&next).network_key, made(&board).network_key);
    let all = shares(&next, &operators);
    assert!(sign(&made(&next), all.values()));
}

#[test]
fn x1_what_was_dealt_is_neither_handed_on_nor_renewed() {
    let operators = operators(1, 4);
    let board = honest(&operators);
    let first = made(&board);
    let dealt = Genesis {
        ceremony: None,
        ..ceremony_genesis(&board)
    };
    let reshare = Round::reshare(
        &dealt,
        &first.network_key,
        &first.output,
        1,
        Hash32([9; 32]),
        peers(&operators),
        players(&operators),
    );
    assert_eq!(reshare, Err(RoundError::Dealt));
    assert_eq!(RoundError::Dealt.code(), "ceremony.dealt");
    let renew = Round::renew(
        &dealt,
        1,
        Hash32([9; 32]),
        peers(&operators),
        players(&operators),
    );
    assert_eq!(renew, Err(RoundError::Dealt));
}

#[test]
fn x3_a_round_that_cannot_work_is_refused_by_name() {
    let operators = operators(1, 4);
    let board = honest(&operators);
    let first = made(&board);
    let genesis = ceremony_genesis(&board);
    let twice = [players(&operators), players(&operators[..1])].concat();
    let round = Round::genesis(network(), Hash32([7; 32]), twice);
    assert_eq!(round, Err(RoundError::Dealers));
    let mut bad = players(&operators);
    bad[0].sealing.0[0] = 5;
    let round = Round::genesis(network(), Hash32([7; 32]), bad);
    assert_eq!(round, Err(RoundError::SealingKey));
    let reshare = |key, output: &[u8]| {
        let subject = Hash32([9; 32]);
        let (dealers, players) = (peers(&operators), players(&operators));
        Round::reshare(&genesis, &key, output, 1, subject, dealers, players)
    };
    let mut other = first.network_key;
    other.0[0] ^= 1;
    assert_eq!(reshare(other, &first.output), Err(RoundError::OtherKey));
    let garbage = reshare(first.network_key, &first.output[1..]);
    assert_eq!(garbage, Err(RoundError::Previous));

    let good = first_round(&operators);
    assert_eq!(Round::decode(&good.encode()), Ok(good.clone()));
    let bytes = good.encode();
    assert_eq!(
        Round::decode(&bytes[1..]).unwrap_err().code(),
        "codec.malformed"
    );
    let mut version = bytes.clone();
    version[1] = 2;
    assert_eq!(Round::decode(&version), Err(RoundError::Version));
}

fn cards(operators: &[Operator]) -> Vec<Card> {
    let names = ["ann", "bob", "cho", "dee", "eve", "fay", "gus"];
    let named = operators.iter().zip(names);
    named
        .map(|(operator, name)| operator.card(&network(), name, address()).unwrap())
        .collect()
}

fn plan(cards: Vec<Card>) -> Result<Plan, PlanError> {
    let genesis = TestNet::new().genesis;
    Plan::new(
        network(),
        genesis.time_ms,
        Parameters::development(),
        genesis.governance,
        genesis.issuers,
        cards,
    )
}

#[test]
fn x2_a_plan_becomes_a_genesis_that_says_how_its_key_was_made() {
    let operators = operators(1, 4);
    let plan = plan(cards(&operators)).unwrap();
    assert_eq!(Plan::decode(&plan.encode()), Ok(plan.clone()));
    let mut board = dealt(plan.round(), &operators);
    answer(&mut board, &operators);
    close(&mut board, &operators, &[]);
    let made = made(&board);
    let genesis = plan.genesis(&made);
    assert_eq!(Genesis::decode(&genesis.encode()), Ok(genesis.clone()));
    assert_eq!(genesis.validators, peers(&operators));
    assert_eq!(genesis.ceremony, Some(made.transcript));
    assert!(!genesis.is_dealt() && TestNet::new().genesis.is_dealt());
    assert_eq!(plan.name(&operators[1].peer()), "bob");
    assert_eq!(plan.peer("bob"), Some(operators[1].peer()));
    assert_eq!(plan.peer("zoe"), None);
}

#[test]
fn x2_a_plan_that_cannot_work_is_refused_by_name() {
    let operators = operators(1, 4);
    let good = cards(&operators);
    let with = |place: usize, card: Card| {
        let mut cards = good.clone();
        cards[place] = card;
        plan(cards).map(|_| ()).unwrap_err()
    };
    let again = operators[1].card(&network(), "ann", address()).unwrap();
    assert_eq!(with(1, again), PlanError::Names);
    let elsewhere = operators[1]
        .card(&"cn".parse().unwrap(), "bob", address())
        .unwrap();
    assert_eq!(with(1, elsewhere), PlanError::OtherNetwork);
    let twice = operators[0].card(&network(), "bob", address()).unwrap();
    assert_eq!(with(1, twice), PlanError::Round(RoundError::Dealers));
    let alone = plan(good[..1].to_vec()).unwrap_err();
    assert_eq!(alone.code(), "ceremony.dealers");

    let genesis = TestNet::new().genesis;
    let mut parameters = Parameters::development();
    parameters.slot_s = 0;
    let zero = Plan::new(
        network(),
        genesis.time_ms,
        parameters,
        genesis.governance,
        genesis.issuers,
        good.clone(),
    );
    assert_eq!(zero.unwrap_err().code(), "genesis.parameters");
    let bytes = plan(good).unwrap().encode();
    assert_eq!(
        Plan::decode(&bytes[1..]).unwrap_err().code(),
        "codec.malformed"
    );
}

#[test]
fn x2_a_card_is_signed_by_its_operator_and_has_a_plain_name() {
    let ann = operator(1);
    let card = ann.card(&network(), "ann", address()).unwrap();
    assert_eq!(Card::decode(card.bytes()), Ok(card.clone()));
    for name in ["", "Ann", "1a", "a-", "a/b", "..", &"a".repeat(33)] {
        assert_eq!(
            ann.card(&network(), name, address()),
            Err(OperatorError::Name)
        );
    }
    // Whoever changes a card, or writes one for another's key, is found.
    let mut forged = card.bytes().to_vec();
    let at = forged.windows(3).position(|w| w == b"ann").unwrap();
    forged[at] = b'b';
    assert_eq!(Card::decode(&forged), Err(DocumentError::Signature));
    let dealing = deal(&first_round(&operators(1, 2)), &ann, None).unwrap();
    assert_eq!(Card::decode(dealing.bytes()), Err(DocumentError::Kind));
    assert_eq!(ann.player().peer, ann.peer());
}

#[test]
fn secrets_are_not_printed() {
    let ann = operator(1);
    let printed = format!("{ann:?}");
    assert!(!printed.contains(&hex::encode(seed(1))));
    assert!(!printed.contains(&hex::encode(*ann.identity_seed())));
    let operators = operators(1, 2);
    let finished = honest(&operators).finish(&operators[0]).unwrap();
    let printed = format!("{finished:?}");
    assert!(!printed.contains(&hex::encode(&*finished.share)));
    assert!(!printed.contains(&format!("{:?}", &*finished.share)));
}
