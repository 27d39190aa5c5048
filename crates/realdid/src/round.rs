//! A round of a key ceremony as it lies in a folder, and one operator's place in it: what is the same
//! whether the round makes a network's first key (`realdid genesis`) or that of a later committee
//! (`realdid committee`).
//!
//! Each step is done once and again with the same bytes, says what was done and whose files are missing.
//! What may be said once only (a log, an outcome) is kept beside the operator's secret too, so that a
//! folder that was lost or restored never makes anybody say two things.

use crate::fail::Fail;
use crate::genesis::folder::{Folder, Home};
use realdid_ceremony::{
    Board, Card, CeremonyError, Document, DocumentError, Fault, Kind, Made, Operator, Round, deal,
};
use realdid_core::genesis::PeerKey;
use realdid_core::hash::Hash32;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A round's folder, read whole.
pub struct Table {
    pub folder: Folder,
    pub board: Board,
    /// Of everybody who takes part.
    cards: Vec<Card>,
    /// Files that are no document of this round, and why.
    pub rejected: Vec<Value>,
}

impl Table {
    pub fn of(folder: Folder, round: Round, cards: Vec<Card>) -> Result<Self, Fail> {
        let mut board = Board::new(round);
        let mut rejected = Vec::new();
        for (name, bytes) in folder.documents()? {
            let read = bytes.map_err(|_| "codec.too_long").and_then(|bytes| {
                board
                    .read(&bytes)
                    .map(|_| ())
                    .map_err(|error: DocumentError| error.code())
            });
            if let Err(code) = read {
                rejected.push(json!({ "file": name, "code": code }));
            }
        }
        Ok(Self {
            folder,
            board,
            cards,
            rejected,
        })
    }

    /// What an operator is called, or its key where there is no card of it.
    fn name(&self, peer: &PeerKey) -> String {
        let card = self.cards.iter().find(|card| card.player().peer == *peer);
        card.map_or_else(|| peer.to_string(), |card| card.name().to_owned())
    }

    pub fn names(&self, peers: &[PeerKey]) -> Vec<String> {
        let mut names: Vec<String> = peers.iter().map(|peer| self.name(peer)).collect();
        names.sort_unstable();
        names
    }

    /// The operators of these names.
    pub fn peers(&self, names: &[String]) -> Result<Vec<PeerKey>, Fail> {
        let peer = |name: &String| {
            let card = self.cards.iter().find(|card| card.name() == name);
            card.map(|card| card.player().peer).ok_or_else(|| {
                Fail::user(
                    "ceremony.name_unknown",
                    "whoever is named is an operator of the round",
                    "give a name as the plan lists it",
                )
            })
        };
        names.iter().map(peer).collect()
    }

    /// Operators of whom there is no document of this kind; `done` are not waited for.
    pub fn missing(&self, kind: Kind, done: &[PeerKey]) -> Vec<String> {
        let heard = self.board.heard(kind);
        let round = self.board.round();
        let from: Vec<PeerKey> = match kind {
            Kind::Dealing | Kind::Log => round.dealers().to_vec(),
            _ => round.players().iter().map(|player| player.peer).collect(),
        };
        let missing: Vec<PeerKey> = from
            .into_iter()
            .filter(|peer| !heard.contains(peer) && !done.contains(peer))
            .collect();
        self.names(&missing)
    }

    pub fn evidence(&self) -> Vec<Value> {
        let evidence = self.board.evidence();
        let twice = evidence.iter().map(|evidence| {
            let kind = match evidence.kind {
                Kind::Card => "card",
                Kind::Dealing => "dealing",
                Kind::Answer => "answer",
                Kind::Log => "log",
                Kind::Outcome => "outcome",
            };
            json!({ "name": self.name(&evidence.by), "kind": kind })
        });
        twice.collect()
    }

    fn fault(&self, dealer: &PeerKey, fault: Fault) -> Value {
        json!({
            "name": self.name(dealer),
            "code": fault.code(),
            "what": fault.to_string(),
        })
    }

    pub fn faults(&self) -> Vec<Value> {
        let faults = self.board.observe().faults;
        let faults = faults.iter().map(|(by, fault)| self.fault(by, *fault));
        faults.collect()
    }

    pub fn not_made(&self, error: &CeremonyError) -> Fail {
        let faults = self.board.observe().faults;
        let faults: Vec<PeerKey> = faults.iter().map(|(by, _)| *by).collect();
        let who = match self.names(&faults).join(", ") {
            none if none.is_empty() => "operators who are missing".to_owned(),
            names => names,
        };
        let missing = self.missing(Kind::Log, &[]).join(", ");
        let fix = match error {
            CeremonyError::TooFew { .. } if !missing.is_empty() => {
                format!("get the logs of {missing}, or plan anew without those who fail")
            }
            CeremonyError::DealingLost => {
                "put the dealings back into the folder; any operator has them".to_owned()
            }
            _ => "plan anew without those who fail".to_owned(),
        };
        Fail::part(error.code(), &error.to_string(), &who, &fix)
    }

    /// Who stands for an outcome, who for another, and whose word is missing.
    pub fn agreement(&self, made: &Made, result: &Hash32) -> Value {
        let (agree, differ) = self.board.agreement(&made.transcript, result);
        let round = self.board.round();
        let quorum = round.players().len() - round.withstands();
        json!({
            "transcript": made.transcript.to_string(),
            "dealers": self.names(&made.dealers),
            "exposed": self.names(&made.exposed),
            "faults": self.faults(),
            "agree": self.names(&agree),
            "differ": self.names(&differ),
            "agreed": agree.len() >= quorum && differ.is_empty(),
            "missing": self.missing(Kind::Outcome, &[]),
            "rejected": self.rejected,
            "evidence": self.evidence(),
        })
    }
}

/// One operator's place at the table, once the round was signed off.
pub struct Seat {
    pub table: Table,
    pub home: Home,
    pub operator: Operator,
    name: String,
}

impl std::ops::Deref for Seat {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl Seat {
    pub fn take(table: Table, home: Home, operator: Operator) -> Result<Self, Fail> {
        let card = table
            .cards
            .iter()
            .find(|card| card.player().peer == operator.peer());
        let name = card.map(|card| card.name().to_owned()).ok_or_else(|| {
            Fail::user(
                "ceremony.not_a_player",
                "an operator's card is in the plan",
                "plan anew with the card, or name the right folder with --operator",
            )
        })?;
        Ok(Self {
            table,
            home,
            operator,
            name,
        })
    }

    /// Deals; `old` is this operator's share of the key where one is handed on.
    pub fn deal(&self, old: Option<&[u8]>) -> Result<Value, Fail> {
        let dealing = deal(self.board.round(), &self.operator, old).map_err(not_done)?;
        let file = self.publish("dealing", dealing.bytes())?;
        Ok(json!({
            "dealing": file,
            "missing": self.missing(Kind::Dealing, &[self.operator.peer()]),
            "rejected": self.rejected,
            "evidence": self.evidence(),
        }))
    }

    /// Acknowledges what holds of the dealings, and names whoever dealt badly.
    pub fn answer(&self) -> Result<Value, Fail> {
        let answered = self.board.answer(&self.operator).map_err(not_done)?;
        // Made anew when more dealings are there: it then says more, and nothing else.
        let file = self.publish("answer", answered.document.bytes())?;
        let refused: Vec<Value> = answered
            .refused
            .iter()
            .map(|(dealer, fault)| self.fault(dealer, *fault))
            .collect();
        Ok(json!({
            "answer": file,
            "accepted": self.names(&answered.accepted),
            "refused": refused,
            "missing": self.names(&answered.missing),
            "rejected": self.rejected,
            "evidence": self.evidence(),
        }))
    }

    /// Publishes what came of this operator's dealing; `without` are given up by name.
    pub fn close(&self, old: Option<&[u8]>, without: &[String]) -> Result<Value, Fail> {
        let absent = self.peers(without)?;
        let name = self.own("log");
        let log = match self.home.kept(&name)? {
            Some(log) => log,
            None => {
                let closed = self
                    .board
                    .close(&self.operator, old, &absent)
                    .map_err(|error| self.not_closed(&error))?;
                // Kept before it is shown: with other answers another log would come out.
                self.home.keep(&name, closed.document.bytes())?;
                closed.document.bytes().to_vec()
            }
        };
        let file = self.publish("log", &log)?;
        Ok(json!({
            "log": file,
            "missing": self.missing(Kind::Log, &[self.operator.peer()]),
            "rejected": self.rejected,
            "evidence": self.evidence(),
        }))
    }

    /// That this operator says nothing else of the outcome than it did before.
    pub fn says_the_same(&self, word: &Document) -> Result<(), Fail> {
        match self.home.kept(&self.own("outcome"))? {
            Some(said) if said != word.bytes() => Err(Fail::user(
                "ceremony.outcome_differs",
                "an operator finishes with one outcome: this folder's logs make another than before",
                "put back the logs of the first time; if operators finished with different logs, plan anew",
            )),
            _ => Ok(()),
        }
    }

    /// Gives this operator's word for the outcome.
    pub fn say(&self, word: &Document) -> Result<(), Fail> {
        self.home.keep(&self.own("outcome"), word.bytes())?;
        self.publish("outcome", word.bytes())?;
        Ok(())
    }

    fn publish(&self, kind: &str, bytes: &[u8]) -> Result<PathBuf, Fail> {
        self.folder.publish(&format!("{}.{kind}", self.name), bytes)
    }

    /// Where a document that is made once is kept: by the round that it is of.
    pub fn own(&self, kind: &str) -> String {
        format!("{}.{kind}", self.board.round().digest())
    }

    /// Whoever's log is missing was given up by name, so that all operators use the same logs.
    pub fn all_logs(&self, without: &[String]) -> Result<(), Fail> {
        self.peers(without)?;
        let missing = self.missing(Kind::Log, &[]);
        let waited_for: Vec<&String> = missing
            .iter()
            .filter(|name| !without.contains(name))
            .collect();
        match waited_for.as_slice() {
            [] => Ok(()),
            names => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                Err(Fail::part(
                    "ceremony.logs_missing",
                    "every dealer's log is there, or all operators go on without the same ones",
                    &names.join(", "),
                    "get their logs; or agree with all operators and repeat --without NAME for each",
                ))
            }
        }
    }

    fn not_closed(&self, error: &CeremonyError) -> Fail {
        match error {
            CeremonyError::Unanswered { unanswered }
            | CeremonyError::TooManyUnanswered { unanswered, .. } => Fail::part(
                error.code(),
                "a dealer closes once every player has acknowledged or was given up",
                &self.names(unanswered).join(", "),
                "get their answers and close then; at most a third may be given up, with --without NAME: their shares become public",
            ),
            _ => not_done(error.clone()),
        }
    }
}

pub fn not_done(error: CeremonyError) -> Fail {
    Fail::user(
        error.code(),
        &error.to_string(),
        "name the right folders with --dir and --operator",
    )
}
