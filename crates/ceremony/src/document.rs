//! What parties of a ceremony say to each other: one signed, bounded, canonical document each
//! (spec/ceremony.md, X4 and X5).
//!
//! Whoever signed is named inside what is signed, and each kind is signed for a purpose of its own,
//! so that no document stands in for another. A document that does not verify says nothing about
//! anybody: everybody can write one in another's name.

use minicbor::{Decode, Encode};
use realdid_core::codec::{self, Bytes, CodecError};
use realdid_core::did::NetworkName;
use realdid_core::genesis::PeerKey;
use realdid_core::hash::Hash32;
use realdid_core::suite::{Context, PublicKey, Signature, Suite};

use crate::operator::Operator;
use crate::round::Round;

/// The longest document in bytes. The longest that 256 parties make is a dealing of 47 kB.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Why a document was refused. Its writer is at fault, whoever that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("the document cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// X4
    #[error("it is a document of another kind")]
    Kind,
    /// X4
    #[error("it is longer or otherwise than a document of its kind")]
    Shape,
    /// X5
    #[error("it is of another round: another plan was signed off")]
    OtherRound,
    /// X5
    #[error("whoever it names is no party of the round that says this")]
    Stranger,
    /// X5
    #[error("its signature is not by the one whom it names")]
    Signature,
}

impl DocumentError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::Kind => "ceremony.kind",
            Self::Shape => "ceremony.shape",
            Self::OtherRound => "ceremony.other_round",
            Self::Stranger => "ceremony.stranger",
            Self::Signature => "ceremony.signature",
        }
    }
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// An operator's public keys: before any round.
    #[n(0)]
    Card,
    /// A dealer's commitment, and each player's share sealed to it.
    #[n(1)]
    Dealing,
    /// A player's acknowledgements.
    #[n(2)]
    Answer,
    /// A dealer's commitment with acknowledgements, and the shares that nobody acknowledged.
    #[n(3)]
    Log,
    /// What a player found that the ceremony made.
    #[n(4)]
    Outcome,
}

impl Kind {
    fn context(self) -> Context {
        match self {
            Self::Card => Context::OperatorCard,
            Self::Dealing => Context::Dealing,
            Self::Answer => Context::DealingAnswer,
            Self::Log => Context::DealingLog,
            Self::Outcome => Context::CeremonyOutcome,
        }
    }
}

#[derive(Debug, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Sealed {
    #[n(0)]
    pub kind: Kind,
    #[n(1)]
    body: Bytes,
    #[n(2)]
    signature: Signature,
}

impl Sealed {
    pub fn read<'a, T: Decode<'a, ()> + Encode<()>>(&'a self) -> Result<T, CodecError> {
        codec::decode(&self.body.0, MAX_DOCUMENT_BYTES)
    }

    /// X5: signed by `peer` for this purpose and network.
    pub fn verify(
        &self,
        peer: &PeerKey,
        context: Context,
        network: &NetworkName,
    ) -> Result<(), DocumentError> {
        let key = PublicKey::new(Suite::Ed25519, &peer.0).map_err(|_| DocumentError::Signature)?;
        key.verify(context, network, &self.body.0, &self.signature)
            .map_err(|_| DocumentError::Signature)
    }
}

pub(crate) fn seal(kind: Kind, body: Vec<u8>, signature: Signature) -> Vec<u8> {
    codec::encode(&Sealed {
        kind,
        body: Bytes(body),
        signature,
    })
}

pub(crate) fn unseal(bytes: &[u8]) -> Result<Sealed, CodecError> {
    codec::decode(bytes, MAX_DOCUMENT_BYTES)
}

/// The first two positions of every body of a round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Said<T> {
    /// The round's digest.
    #[n(0)]
    pub round: Hash32,
    /// Who says it.
    #[n(1)]
    pub by: PeerKey,
    #[n(2)]
    pub what: T,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Dealing {
    /// The dealer's public polynomial, as the library encodes it.
    #[n(0)]
    pub commitment: Bytes,
    /// One for each player, in the round's order.
    #[n(1)]
    pub shares: Vec<SealedShare>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct SealedShare {
    /// HPKE's ephemeral key: an uncompressed point.
    #[n(0)]
    pub encapsulated: EphemeralKey,
    /// A share of 32 bytes and a tag of 16.
    #[n(1)]
    pub sealed: SealedBytes,
}

realdid_core::fixed_bytes!(
    /// An uncompressed point of P-256.
    EphemeralKey,
    65
);

realdid_core::fixed_bytes!(
    /// A share under AES-256-GCM, with its tag.
    SealedBytes,
    48
);

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Answer {
    /// Ascending by dealer.
    #[n(0)]
    pub accepted: Vec<Acknowledgement>,
    /// Dealers whose dealing this player could not accept, ascending.
    #[n(1)]
    pub refused: Vec<PeerKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Acknowledgement {
    #[n(0)]
    pub dealer: PeerKey,
    /// The library's own signature over the dealing.
    #[n(1)]
    pub signature: Signature,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Log {
    /// The dealer's signed log, as the library encodes it.
    #[n(0)]
    pub log: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Outcome {
    #[n(0)]
    pub transcript: Hash32,
    /// What the key went into: the genesis' digest, or that of the key itself.
    #[n(1)]
    pub result: Hash32,
}

/// A document that verifies: it is by whom it says, of the round at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    bytes: Vec<u8>,
    by: PeerKey,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Dealing(Dealing),
    Answer(Answer),
    Log(Log),
    Outcome(Outcome),
}

impl Document {
    /// Reads a document of `round` from hostile bytes.
    pub fn decode(round: &Round, bytes: &[u8]) -> Result<Self, DocumentError> {
        let sealed = unseal(bytes)?;
        let (by, of, body) = match sealed.kind {
            Kind::Card => return Err(DocumentError::Kind),
            Kind::Dealing => part(&sealed, Body::Dealing)?,
            Kind::Answer => part(&sealed, Body::Answer)?,
            Kind::Log => part(&sealed, Body::Log)?,
            Kind::Outcome => part(&sealed, Body::Outcome)?,
        };
        if of != round.digest() {
            return Err(DocumentError::OtherRound);
        }
        let document = Self {
            bytes: bytes.to_vec(),
            by,
            body,
        };
        let belongs = match document.kind() {
            Kind::Dealing | Kind::Log => round.is_dealer(&by),
            _ => round.is_player(&by),
        };
        if !belongs {
            return Err(DocumentError::Stranger);
        }
        sealed.verify(&by, sealed.kind.context(), round.network())?;
        match document.fits(round) {
            true => Ok(document),
            false => Err(DocumentError::Shape),
        }
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Dealing(_) => Kind::Dealing,
            Body::Answer(_) => Kind::Answer,
            Body::Log(_) => Kind::Log,
            Body::Outcome(_) => Kind::Outcome,
        }
    }

    /// Who signed it.
    pub fn by(&self) -> PeerKey {
        self.by
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What an outcome says: the transcript, and what the key went into.
    pub fn outcome(&self) -> Option<(Hash32, Hash32)> {
        match &self.body {
            Body::Outcome(outcome) => Some((outcome.transcript, outcome.result)),
            _ => None,
        }
    }

    pub(crate) fn sign<T: Encode<()> + Clone>(
        operator: &Operator,
        round: &Round,
        what: T,
        body: impl FnOnce(T) -> Body,
    ) -> Self {
        let said = Said {
            round: round.digest(),
            by: operator.peer(),
            what,
        };
        let bytes = codec::encode(&said);
        let mut document = Self {
            bytes: Vec::new(),
            by: operator.peer(),
            body: body(said.what),
        };
        let kind = document.kind();
        let signature = operator.sign(kind.context(), round.network(), &bytes);
        document.bytes = seal(kind, bytes, signature);
        document
    }

    /// X4: lists have the length and order that the round gives.
    fn fits(&self, round: &Round) -> bool {
        match &self.body {
            Body::Dealing(dealing) => dealing.shares.len() == round.players().len(),
            Body::Answer(answer) => {
                answer.accepted.is_sorted_by(|a, b| a.dealer < b.dealer)
                    && answer.refused.is_sorted_by(|a, b| a < b)
                    && answer.accepted.iter().all(|a| round.is_dealer(&a.dealer))
                    && answer.refused.iter().all(|dealer| round.is_dealer(dealer))
            }
            Body::Log(_) | Body::Outcome(_) => true,
        }
    }
}

fn part<'a, T: Decode<'a, ()> + Encode<()>>(
    sealed: &'a Sealed,
    body: impl FnOnce(T) -> Body,
) -> Result<(PeerKey, Hash32, Body), CodecError> {
    let said: Said<T> = sealed.read()?;
    Ok((said.by, said.round, body(said.what)))
}
