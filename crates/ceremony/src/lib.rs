//! The ceremony that makes a network's key: distributed key generation, so that no party ever holds
//! the whole (spec/ceremony.md).
//!
//! A [`Round`] says who deals, who gets a share, and what for: a network's first key, the same key
//! for other validators, or a fresh key for a network that exists. Each dealer deals a secret of its
//! own; the key is their sum, or, where a key is handed on, what the old shares interpolate to. What
//! the parties say is signed documents, carried by any means; a [`Board`] holds those of one round:
//!
//! ```text
//! deal(&round, &operator, share)      each dealer: one share to each player, sealed to that player
//! board.answer(&operator)             each player: acknowledgements, and who dealt badly
//! board.close(&operator, share, ..)   each dealer: acknowledgements, and in the open what has none
//! board.observe()                     anybody: the public key, and whom the ceremony left out
//! board.finish(&operator)             each player: the same, and this player's share
//! ```
//!
//! Everything is a plain function over values: no clock, no file, and no randomness but an
//! operator's secret, so that each step gives the same bytes however often it is done, and a dealer
//! never deals two polynomials in one round. Whoever waits and stores stands above: the command line
//! with files, a node with messages. No type of the library behind it leaves this crate; bytes do.

mod board;
mod document;
mod hpke;
mod library;
mod operator;
mod plan;
mod round;
mod succession;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors_tests;

use realdid_core::genesis::PeerKey;

pub use board::{Answered, Board, Closed, Evidence, Fault, Finished, Made, Observed, deal};
pub use document::{Document, DocumentError, Kind, MAX_DOCUMENT_BYTES};
pub use operator::{Card, Operator, OperatorError};
pub use plan::{MAX_PLAN_BYTES, Plan, PlanError};
pub use round::{MAX_PARTIES, Player, Purpose, Round, RoundError};
pub use succession::{
    Approval, Left, MAX_PREDECESSOR_BYTES, MAX_PREDECESSOR_TERMS, SuccessionError,
};

/// Why a step of a ceremony was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    #[error(transparent)]
    Round(#[from] RoundError),
    /// X7
    #[error("this operator is not a dealer of the round")]
    NotADealer,
    /// X8
    #[error("this operator is not a player of the round")]
    NotAPlayer,
    /// X7: where a key is handed on, a dealer deals its old share.
    #[error("the dealer's share of the key is missing, or is not this dealer's share of it")]
    OldShare,
    /// X10
    #[error("{} players have not acknowledged; at most {most} may be missing", .unanswered.len())]
    TooManyUnanswered {
        unanswered: Vec<PeerKey>,
        most: usize,
    },
    /// X10: what nobody acknowledged is published, so those who are given up are named first.
    #[error("{} players have not acknowledged, and were not given up", .unanswered.len())]
    Unanswered { unanswered: Vec<PeerKey> },
    /// X11: too few dealings are good. Who is at fault, and who is missing, the board says.
    #[error("{usable} dealings can be used where {needed} are needed")]
    TooFew { usable: usize, needed: usize },
    /// X11
    #[error("the shares of {} validators stand in the open; at most {most} may", .exposed.len())]
    Exposed { exposed: Vec<PeerKey>, most: usize },
    /// A dealing that this player acknowledged is not on the board.
    #[error("a dealing that this player acknowledged is missing")]
    DealingLost,
}

impl CeremonyError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Round(error) => error.code(),
            Self::NotADealer => "ceremony.not_a_dealer",
            Self::NotAPlayer => "ceremony.not_a_player",
            Self::OldShare => "ceremony.old_share",
            Self::TooManyUnanswered { .. } => "ceremony.too_many_unanswered",
            Self::Unanswered { .. } => "ceremony.unanswered",
            Self::TooFew { .. } => "ceremony.too_few",
            Self::Exposed { .. } => "ceremony.exposed",
            Self::DealingLost => "ceremony.dealing_lost",
        }
    }
}
