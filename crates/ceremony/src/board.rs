//! The steps of a round, over what its parties have said so far (spec/ceremony.md, X7 to X12).
//!
//! A board takes documents in any order, twice, late or never; what it answers depends on which it
//! has, and on nothing else. So every party that has the same logs makes the same key, and a party
//! that was cut off at any moment does its step again.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use p256::SecretKey as Ephemeral;
use realdid_core::codec::{self, Bytes};
use realdid_core::genesis::{NetworkKey, PeerKey};
use realdid_core::hash::{Domain, Hash32};
use zeroize::Zeroizing;

use crate::CeremonyError;
use crate::document::{
    Acknowledgement, Answer, Body, Dealing, Document, DocumentError, EphemeralKey, Kind, Log,
    Outcome, SealedBytes, SealedShare,
};
use crate::hpke;
use crate::library::{self, CheckedLog, Output};
use crate::operator::Operator;
use crate::round::Round;

/// What sealed shares are for.
const SHARE: &[u8] = b"rdid/1/ceremony/share/";
/// The most documents of one kind that are kept of one party: two prove that it said two things.
const KEPT: usize = 2;
/// A player answers again as dealings arrive.
const KEPT_ANSWERS: usize = 8;

/// What a dealer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it signed two different documents where one is allowed")]
    Equivocation,
    #[error("a share is not sealed to its player, or not the one that the commitment holds")]
    Share,
    #[error(
        "its commitment is not one of the degree, or of the old share, that the round asks for"
    )]
    Commitment,
    #[error("its log holds an acknowledgement that its player did not give")]
    Acknowledgement,
    #[error("its log cannot be read, or names other players")]
    Log,
    #[error("more players acknowledged nothing than the round withstands")]
    Unanswered,
}

impl Fault {
    /// The stable name of what was done.
    pub fn code(self) -> &'static str {
        match self {
            Self::Equivocation => "fault.equivocation",
            Self::Share => "fault.share",
            Self::Commitment => "fault.commitment",
            Self::Acknowledgement => "fault.acknowledgement",
            Self::Log => "fault.log",
            Self::Unanswered => "fault.unanswered",
        }
    }
}

/// Two documents of one party that contradict each other, both signed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub by: PeerKey,
    pub kind: Kind,
    pub documents: [Vec<u8>; 2],
}

/// What a player found of the dealings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub document: Document,
    pub accepted: Vec<PeerKey>,
    pub refused: Vec<(PeerKey, Fault)>,
    /// Dealers of whom there is no dealing.
    pub missing: Vec<PeerKey>,
}

/// What a dealer publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub document: Document,
    /// Players whose share of this dealing stands in the open.
    pub unanswered: Vec<PeerKey>,
}

/// A key that a round made. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What the next round hands on: the argument `previous` of [`Round::reshare`].
    pub output: Vec<u8>,
    pub network_key: NetworkKey,
    /// The public polynomial, as validators are configured with it.
    pub polynomial: Vec<u8>,
    /// Those whose dealings the key came of.
    pub dealers: Vec<PeerKey>,
    /// Validators whose shares everybody knows: they count among those that may fail.
    pub exposed: Vec<PeerKey>,
    /// The digest of the round and of the logs that were used.
    pub transcript: Hash32,
}

/// What anybody can see of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub made: Result<Made, CeremonyError>,
    /// Dealers who published something wrong, with what.
    pub faults: Vec<(PeerKey, Fault)>,
    /// Dealers who published no log.
    pub missing: Vec<PeerKey>,
}

/// What a player takes home.
pub struct Finished {
    pub made: Made,
    /// This player's share, as validators are configured with it.
    pub share: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finished")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// X7: a dealer's dealing. `old` is the dealer's share of the key where one is handed on.
pub fn deal(
    round: &Round,
    operator: &Operator,
    old: Option<&[u8]>,
) -> Result<Document, CeremonyError> {
    if !round.is_dealer(&operator.peer()) {
        return Err(CeremonyError::NotADealer);
    }
    let dealer = library::Dealer::start(round, operator, old)?;
    let sealed = round.players().iter().zip(&dealer.shares);
    let sealed = sealed.map(|(player, share)| {
        let to = hpke::public_key(&player.sealing.0)?;
        let ephemeral = ephemeral(operator, round, &player.peer)?;
        let aad = sealed_for(&operator.peer(), &player.peer, &dealer.commitment);
        let (encapsulated, sealed) = hpke::seal(&to, &ephemeral, &purpose(round), &aad, share)?;
        Some(SealedShare {
            encapsulated: EphemeralKey(encapsulated),
            sealed: sealed.try_into().ok().map(SealedBytes)?,
        })
    });
    let shares: Option<Vec<SealedShare>> = sealed.collect();
    let dealing = Dealing {
        commitment: Bytes(dealer.commitment.clone()),
        // The round has checked every key that could fail here.
        shares: shares.ok_or(crate::RoundError::SealingKey)?,
    };
    Ok(Document::sign(operator, round, dealing, Body::Dealing))
}

/// The documents of one round that have been seen.
#[derive(Debug, Clone)]
pub struct Board {
    round: Round,
    documents: BTreeMap<(Kind, PeerKey), Vec<Document>>,
}

impl Board {
    pub fn new(round: Round) -> Self {
        Self {
            round,
            documents: BTreeMap::new(),
        }
    }

    pub fn round(&self) -> &Round {
        &self.round
    }

    /// Takes a document from hostile bytes. One that is there already changes nothing.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Document, DocumentError> {
        let document = Document::decode(&self.round, bytes)?;
        self.add(document.clone());
        Ok(document)
    }

    fn add(&mut self, document: Document) {
        let place = (document.kind(), document.by());
        let known = self.documents.entry(place).or_default();
        let most = match document.kind() {
            Kind::Answer => KEPT_ANSWERS,
            _ => KEPT,
        };
        if known.len() < most && !known.contains(&document) {
            known.push(document);
        }
    }

    /// Who has said something of this kind.
    pub fn heard(&self, kind: Kind) -> Vec<PeerKey> {
        let of_kind = self.documents.keys().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, by)| *by).collect()
    }

    /// What one party has said of a kind.
    pub fn of(&self, kind: Kind, by: &PeerKey) -> &[Document] {
        self.documents.get(&(kind, *by)).map_or(&[], Vec::as_slice)
    }

    /// X12: whoever said two things where one is allowed.
    pub fn evidence(&self) -> Vec<Evidence> {
        let twice = self.documents.iter().filter_map(|((kind, by), said)| {
            let [first, second, ..] = said.as_slice() else {
                return None;
            };
            (*kind != Kind::Answer).then(|| Evidence {
                by: *by,
                kind: *kind,
                documents: [first.bytes().to_vec(), second.bytes().to_vec()],
            })
        });
        twice.collect()
    }

    /// X8: a player's answer to the dealings that there are. It is made again, with more, as more
    /// arrive.
    pub fn answer(&self, operator: &Operator) -> Result<Answered, CeremonyError> {
        if !self.round.is_player(&operator.peer()) {
            return Err(CeremonyError::NotAPlayer);
        }
        let mut player = library::Player::new(&self.round, operator)?;
        let mut acknowledgements = Vec::new();
        let (mut refused, mut missing) = (Vec::new(), Vec::new());
        for dealer in self.round.dealers() {
            let received = match self.dealings(dealer).as_slice() {
                [] => {
                    missing.push(*dealer);
                    continue;
                }
                [dealing] => self.receive(&mut player, operator, dealer, dealing),
                _ => Err(Fault::Equivocation),
            };
            match received {
                Ok(signature) => acknowledgements.push(Acknowledgement {
                    dealer: *dealer,
                    signature,
                }),
                Err(fault) => refused.push((*dealer, fault)),
            }
        }
        let accepted = acknowledgements.iter().map(|ack| ack.dealer).collect();
        let answer = Answer {
            accepted: acknowledgements,
            refused: refused.iter().map(|(dealer, _)| *dealer).collect(),
        };
        Ok(Answered {
            document: Document::sign(operator, &self.round, answer, Body::Answer),
            accepted,
            refused,
            missing,
        })
    }

    /// X9, X10: a dealer's log. Each share that nobody acknowledged is published in it, so it is made
    /// once, and only where `absent` names every player whose share that is.
    pub fn close(
        &self,
        operator: &Operator,
        old: Option<&[u8]>,
        absent: &[PeerKey],
    ) -> Result<Closed, CeremonyError> {
        if !self.round.is_dealer(&operator.peer()) {
            return Err(CeremonyError::NotADealer);
        }
        let mut dealer = library::Dealer::start(&self.round, operator, old)?;
        let players = self.round.players().iter().map(|player| player.peer);
        let unanswered: Vec<PeerKey> = players
            .filter(|player| {
                let acks = self.acknowledgements(player, &operator.peer());
                !acks
                    .iter()
                    .any(|ack| dealer.acknowledged(player, &ack.signature))
            })
            .collect();
        if unanswered.len() > self.round.withstands() {
            return Err(CeremonyError::TooManyUnanswered {
                unanswered,
                most: self.round.withstands(),
            });
        }
        if !unanswered.iter().all(|player| absent.contains(player)) {
            return Err(CeremonyError::Unanswered { unanswered });
        }
        let log = Log {
            log: Bytes(dealer.finish()),
        };
        Ok(Closed {
            document: Document::sign(operator, &self.round, log, Body::Log),
            unanswered,
        })
    }

    /// X11: what the logs that there are make, as anybody computes it.
    pub fn observe(&self) -> Observed {
        let (logs, faults, missing) = self.logs();
        Observed {
            made: library::observe(&self.round, &logs).and_then(|output| self.made(&output, &logs)),
            faults,
            missing,
        }
    }

    /// X11: the same for a player, with its share of the key.
    pub fn finish(&self, operator: &Operator) -> Result<Finished, CeremonyError> {
        if !self.round.is_player(&operator.peer()) {
            return Err(CeremonyError::NotAPlayer);
        }
        let (logs, _, _) = self.logs();
        let mut player = library::Player::new(&self.round, operator)?;
        for log in &logs {
            // Of two dealings, the one that the log is of: it may have been acknowledged.
            let dealings = self.dealings(&log.dealer());
            let dealing = dealings
                .iter()
                .find(|dealing| log.commits_to(&dealing.commitment.0));
            if let Some(dealing) = dealing {
                // A bad one was not acknowledged, and then its share stands in the log.
                let _may_be_bad = self.receive(&mut player, operator, &log.dealer(), dealing);
            }
        }
        let (output, share) = player.finish(&self.round, &logs)?;
        Ok(Finished {
            made: self.made(&output, &logs)?,
            share,
        })
    }

    /// A player's word for what the round made, and for what that went into.
    pub fn attest(
        &self,
        operator: &Operator,
        made: &Made,
        result: Hash32,
    ) -> Result<Document, CeremonyError> {
        if !self.round.is_player(&operator.peer()) {
            return Err(CeremonyError::NotAPlayer);
        }
        let outcome = Outcome {
            transcript: made.transcript,
            result,
        };
        Ok(Document::sign(
            operator,
            &self.round,
            outcome,
            Body::Outcome,
        ))
    }

    /// Players whose word is that the round made this, and those who say otherwise.
    pub fn agreement(&self, transcript: &Hash32, result: &Hash32) -> (Vec<PeerKey>, Vec<PeerKey>) {
        let same = |by: &PeerKey| {
            let said = self.of(Kind::Outcome, by);
            said.iter()
                .all(|said| said.outcome() == Some((*transcript, *result)))
        };
        self.heard(Kind::Outcome).into_iter().partition(same)
    }

    fn made(&self, output: &Output, logs: &[CheckedLog]) -> Result<Made, CeremonyError> {
        let (dealers, exposed) = (output.dealers(), output.exposed());
        let most = self.round.withstands();
        if exposed.len() > most {
            return Err(CeremonyError::Exposed { exposed, most });
        }
        let used = logs.iter().filter(|log| dealers.contains(&log.dealer()));
        let transcript = codec::encode(&Transcript {
            round: self.round.digest(),
            logs: used.map(|log| Bytes(log.bytes().to_vec())).collect(),
        });
        let by = self.round.network().hash_function();
        Ok(Made {
            output: output.encode(),
            network_key: output.network_key(),
            polynomial: output.polynomial(),
            dealers,
            exposed,
            transcript: by.tagged(Domain::CeremonyTranscript, &[&transcript]),
        })
    }

    /// The logs that can be used, in order of their dealers, and what is wrong with the others.
    #[allow(clippy::type_complexity, reason = "logs, faults and who is missing")]
    fn logs(&self) -> (Vec<CheckedLog>, Vec<(PeerKey, Fault)>, Vec<PeerKey>) {
        let (mut logs, mut faults, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for dealer in self.round.dealers() {
            let judged = match self.of(Kind::Log, dealer) {
                [] => {
                    missing.push(*dealer);
                    continue;
                }
                [one] => match &one.body {
                    Body::Log(log) => CheckedLog::judge(&self.round, dealer, &log.log.0),
                    _ => Err(Fault::Log),
                },
                _ => Err(Fault::Equivocation),
            };
            match judged {
                Ok(log) => logs.push(log),
                Err(fault) => faults.push((*dealer, fault)),
            }
        }
        (logs, faults, missing)
    }

    fn dealings(&self, dealer: &PeerKey) -> Vec<&Dealing> {
        let said = self.of(Kind::Dealing, dealer).iter();
        said.filter_map(|document| match &document.body {
            Body::Dealing(dealing) => Some(dealing),
            _ => None,
        })
        .collect()
    }

    fn acknowledgements(&self, player: &PeerKey, dealer: &PeerKey) -> Vec<&Acknowledgement> {
        let said = self.of(Kind::Answer, player).iter();
        said.filter_map(|document| match &document.body {
            Body::Answer(answer) => answer.accepted.iter().find(|ack| ack.dealer == *dealer),
            _ => None,
        })
        .collect()
    }

    /// Opens this player's share of a dealing and checks it.
    fn receive(
        &self,
        player: &mut library::Player,
        operator: &Operator,
        dealer: &PeerKey,
        dealing: &Dealing,
    ) -> Result<realdid_core::suite::Signature, Fault> {
        let own = operator.peer();
        let place = self.round.players().iter().position(|p| p.peer == own);
        let share = place
            .and_then(|place| dealing.shares.get(place))
            .ok_or(Fault::Share)?;
        let aad = sealed_for(dealer, &own, &dealing.commitment.0);
        let opened = hpke::open(
            operator.sealing(),
            &share.encapsulated.0,
            &purpose(&self.round),
            &aad,
            &share.sealed.0,
        );
        player.receive(dealer, &dealing.commitment.0, &opened.ok_or(Fault::Share)?)
    }
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Transcript {
    #[n(0)]
    round: Hash32,
    /// The library's signed logs, in order of their dealers.
    #[n(1)]
    logs: Vec<Bytes>,
}

fn purpose(round: &Round) -> Vec<u8> {
    [SHARE, &round.digest().0].concat()
}

/// From whom, to whom, under which commitment: so a share cannot be moved.
fn sealed_for(dealer: &PeerKey, player: &PeerKey, commitment: &[u8]) -> Vec<u8> {
    [&dealer.0, &player.0, commitment].concat()
}

/// A key that seals one share and is the same when it is sealed again.
fn ephemeral(operator: &Operator, round: &Round, player: &PeerKey) -> Option<Ephemeral> {
    // About one in 2^32 is no key.
    (0..=u8::MAX).find_map(|attempt| {
        let purpose = [b"ephemeral".as_slice(), &player.0, &[attempt]].concat();
        Ephemeral::from_slice(&*operator.noise(&round.digest(), &purpose)).ok()
    })
}
