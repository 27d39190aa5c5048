//! `realdid committee plan|deal|answer|close|finish`: the round that makes what the next term votes by, by files
//! that operators exchange (spec/ceremony.md; docs/operators.md tells operators what to do).
//!
//! The same key goes on to other holders, or a fresh key is made. Who the network is, which key it has and
//! whether that was dealt, is what the ledger proves; the rest is the round's, as for a genesis.

use super::Terms;
use crate::cli::{MakingArgs, MakingCloseArgs, MakingDealArgs, MakingFinishArgs, MakingPlanArgs};
use crate::fail::Fail;
use crate::genesis::folder::{self, Folder, Home};
use crate::input;
use crate::round::{Seat, Table, not_done};
use realdid_ceremony::{Card, MAX_DOCUMENT_BYTES, Purpose, Round, RoundError};
use realdid_core::genesis::PeerKey;
use realdid_node::shares::ShareFolder;
use realdid_serve::files;
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

/// The round, in its folder.
const ROUND: &str = "round.cbor";
/// The public polynomial, in hex: for governance and for every validator.
const POLYNOMIAL: &str = "polynomial.hex";
/// The longest public output of a round.
const MAX_OUTPUT_BYTES: usize = 128 * 1024;

/// Puts the cards in the folder into a round, and prints its digest.
pub async fn plan(args: MakingPlanArgs) -> Result<Value, Fail> {
    let terms = Terms::ask(&args.ledger).await?;
    let (genesis, running) = (terms.light.genesis(), &terms.committee.running);
    let folder = Folder::open(&args.at.round_dir)?;
    let cards = folder.cards()?;
    let named = |names: &[String]| -> Result<Vec<&Card>, Fail> {
        let card = |name: &String| cards.iter().find(|card| card.name() == name);
        let found = names.iter().map(|name| card(name).ok_or_else(no_card));
        found.collect()
    };
    let players = match args.players.as_slice() {
        [] => cards.iter().collect(),
        names => named(names)?,
    };
    if let Some(other) = cards.iter().find(|card| *card.network() != genesis.network) {
        return Err(Fail::user(
            "ceremony.card_network",
            &format!("the card of {} is for this network", other.name()),
            "take it away, or have it made anew for this network",
        ));
    }
    let peers =
        |cards: &[&Card]| -> Vec<PeerKey> { cards.iter().map(|card| card.player().peer).collect() };
    let players_of = || players.iter().map(|card| card.player().clone()).collect();
    let number = args.number.unwrap_or(running.number.saturating_add(1));
    let subject = genesis.digest();
    let round = match &args.previous {
        Some(previous) => {
            let output = input::read_bounded(previous, MAX_OUTPUT_BYTES)?;
            let dealers = match args.dealers.as_slice() {
                // Those of the running term whose cards are here.
                [] => {
                    let holds = |peer: &PeerKey| running.validators.contains(peer);
                    let all = peers(&cards.iter().collect::<Vec<_>>());
                    all.into_iter().filter(holds).collect()
                }
                names => peers(&named(names)?),
            };
            let key = &running.network_key;
            Round::reshare(
                genesis,
                key,
                &output,
                number,
                subject,
                dealers,
                players_of(),
            )
        }
        None => {
            let dealers = match args.dealers.as_slice() {
                [] => peers(&players),
                names => peers(&named(names)?),
            };
            Round::renew(genesis, number, subject, dealers, players_of())
        }
    };
    let round = round.map_err(no_round)?;
    let path = folder.path().join(ROUND);
    folder::write_once(&path, &round.encode())?;
    let table = Table::of(folder, round, cards)?;
    Ok(facts(&table, &path))
}

fn facts(table: &Table, path: &Path) -> Value {
    let round = table.board.round();
    let players: Vec<PeerKey> = round.players().iter().map(|player| player.peer).collect();
    json!({
        "round": path,
        "digest": round.digest().to_string(),
        "network": round.network().as_str(),
        "purpose": match round.purpose() {
            Purpose::Genesis {} => "genesis",
            Purpose::Reshare { .. } => "reshare",
            Purpose::Renew { .. } => "renew",
        },
        "number": round.number(),
        "dealers": table.names(round.dealers()),
        "players": table.names(&players),
        "withstands": round.withstands(),
    })
}

pub fn deal(args: &MakingDealArgs) -> Result<Value, Fail> {
    let seat = begin(&args.making)?;
    let old = old_share(&seat, args.node_dir.as_deref())?;
    seat.deal(old.as_ref().map(|share| share.as_slice()))
}

pub fn answer(args: &MakingArgs) -> Result<Value, Fail> {
    begin(args)?.answer()
}

pub fn close(args: &MakingCloseArgs) -> Result<Value, Fail> {
    let seat = begin(&args.deal.making)?;
    let old = old_share(&seat, args.deal.node_dir.as_deref())?;
    seat.close(old.as_ref().map(|share| share.as_slice()), &args.without)
}

/// Writes what governance and this operator's validator are given, and this operator's word for it.
pub fn finish(args: &MakingFinishArgs) -> Result<Value, Fail> {
    let seat = begin(&args.making)?;
    seat.all_logs(&args.without)?;
    let finished = seat
        .board
        .finish(&seat.operator)
        .map_err(|error| seat.not_made(&error))?;
    let made = finished.made;
    let word = seat
        .board
        .attest(&seat.operator, &made, made.transcript)
        .map_err(not_done)?;
    seat.says_the_same(&word)?;
    let polynomial = seat.folder.path().join(POLYNOMIAL);
    folder::write_once(&polynomial, hex::encode(&made.polynomial).as_bytes())?;
    folder::write_once(&seat.folder.committee_file(), &made.output)?;
    let share = seat.home.path().join(seat.own("share"));
    if !share.exists() {
        let text = Zeroizing::new(hex::encode(&*finished.share));
        files::write_private(&share, text.as_bytes())?;
    }
    seat.say(&word)?;
    // With this operator's word in the folder.
    let table = table(&args.making.at.round_dir)?;
    let mut outcome = table.agreement(&made, &made.transcript);
    outcome["networkKey"] = json!(made.network_key.to_string());
    let round = table.board.round();
    let players = round.players().iter().map(|player| player.peer.to_string());
    outcome["validators"] = json!(players.collect::<Vec<_>>());
    outcome["polynomial"] = json!(polynomial);
    outcome["share"] = json!(share);
    Ok(outcome)
}

fn begin(args: &MakingArgs) -> Result<Seat, Fail> {
    let home = Home::open(&args.operator.operator)?;
    let operator = home.operator()?;
    let table = table(&args.at.round_dir)?;
    home.approve(
        &table.board.round().digest(),
        args.round.as_deref(),
        "--round",
    )?;
    Seat::take(table, home, operator)
}

fn table(dir: &Path) -> Result<Table, Fail> {
    let folder = Folder::open(dir)?;
    let path = folder.path().join(ROUND);
    if !path.exists() {
        return Err(Fail::user(
            "ceremony.no_plan",
            "the folder has the round that operators agreed on",
            "get round.cbor from whoever planned, or run `realdid committee plan`",
        ));
    }
    let round = input::read_bounded(&path, MAX_DOCUMENT_BYTES)?;
    let round = Round::decode(&round).map_err(no_round)?;
    let cards = folder.cards()?;
    Table::of(folder, round, cards)
}

/// This operator's share of the running key, where the round hands it on and this operator deals.
fn old_share(seat: &Seat, node_dir: Option<&Path>) -> Result<Option<Zeroizing<Vec<u8>>>, Fail> {
    let round = seat.board.round();
    let Purpose::Reshare { .. } = round.purpose() else {
        return Ok(None);
    };
    if !round.is_dealer(&seat.operator.peer()) {
        return Ok(None);
    }
    let none = || {
        Fail::user(
            "ceremony.no_share",
            "whoever hands a key on has a share of it",
            "name the folder of this operator's validator with --node-dir",
        )
    };
    let shares = ShareFolder::of_node(node_dir.ok_or_else(none)?);
    let terms = shares.terms().map_err(|_| none())?;
    let keys = terms.last().map(|term| shares.read(*term));
    let keys = keys.transpose().map_err(Fail::of)?.flatten();
    let share = keys.ok_or_else(none)?.share.clone();
    Ok(Some(Zeroizing::new(share)))
}

fn no_card() -> Fail {
    Fail::user(
        "ceremony.no_card",
        "whoever takes part has a card in the folder",
        "get the card; `realdid genesis key` makes it",
    )
}

fn no_round(error: RoundError) -> Fail {
    let fix = match error {
        RoundError::Dealt => "found a real network by `realdid genesis`",
        RoundError::OtherKey | RoundError::Previous => {
            "give --previous the committee.bin of the round that made the running key"
        }
        RoundError::Holders => "deal by holders of the running key, a quorum of them at least",
        _ => "correct the cards in the folder and the names, and plan again",
    };
    Fail::user(error.code(), &error.to_string(), fix)
}
