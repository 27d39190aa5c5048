//! One making of a key: who deals, who gets a share, and what for (spec/ceremony.md, X3).
//!
//! Three purposes share everything else. A first key has no past. A fresh key for a network that
//! exists has none either, but belongs to that network. A key that is handed on comes of the shares
//! that its old holders have, and the public key stays. What one party ever held whole, because it
//! was dealt, is neither handed on nor followed by another key of the same network.

use minicbor::{Decode, Encode};
use realdid_core::codec::{self, Bytes, CodecError};
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, NetworkKey, PeerKey};
use realdid_core::hash::{Domain, Hash32};

use crate::library::Output;
use crate::{document, hpke};

/// The most dealers, and the most players, of a round.
pub const MAX_PARTIES: usize = 256;

/// Why there is no such round. Whoever planned it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    #[error("the round cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("the round is of another version than 1")]
    Version,
    /// X3
    #[error("a key is made by 2 to {MAX_PARTIES} dealers, each once")]
    Dealers,
    /// X3
    #[error(
        "a key is shared by 2 to {MAX_PARTIES} players, each once: one alone would hold it whole"
    )]
    Players,
    /// X3
    #[error("a player's sealing key is no point of P-256")]
    SealingKey,
    /// X3
    #[error("the public output of the key that is handed on cannot be read")]
    Previous,
    /// X3
    #[error("what is handed on is another key than the network's")]
    OtherKey,
    /// X3: those who deal an old key hold shares of it, a quorum at least.
    #[error("fewer than a quorum of those who hold shares of the key would deal it, or others")]
    Holders,
    /// X1
    #[error("the network's key was dealt by one party: it is for development, and not handed on")]
    Dealt,
}

impl RoundError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::Version => "ceremony.version",
            Self::Dealers => "ceremony.dealers",
            Self::Players => "ceremony.players",
            Self::SealingKey => "ceremony.sealing_key",
            Self::Previous => "ceremony.previous",
            Self::OtherKey => "ceremony.other_key",
            Self::Holders => "ceremony.holders",
            Self::Dealt => "ceremony.dealt",
        }
    }
}

realdid_core::fixed_bytes!(
    /// A compressed point of P-256, to which shares are sealed.
    SealingKey,
    33
);

impl From<[u8; 33]> for SealingKey {
    fn from(bytes: [u8; 33]) -> Self {
        Self(bytes)
    }
}

/// Who gets a share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Player {
    /// The validator's identity.
    #[n(0)]
    pub peer: PeerKey,
    /// What its shares are sealed to.
    #[n(1)]
    pub sealing: SealingKey,
}

/// What a key is made for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Purpose {
    /// The first key of a network.
    #[n(0)]
    Genesis {},
    /// The same key for other holders: the dealers deal their old shares.
    #[n(1)]
    Reshare {
        /// The digest of the network's genesis.
        #[n(0)]
        genesis: Hash32,
        /// The public output of the round that made the old shares.
        #[n(1)]
        previous: Bytes,
    },
    /// A fresh key for a network that exists.
    #[n(2)]
    Renew {
        /// The digest of the network's genesis.
        #[n(0)]
        genesis: Hash32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    version: u8,
    #[n(1)]
    network: NetworkName,
    /// Counts the makings of a network's key, those that failed too.
    #[n(2)]
    number: u64,
    #[n(3)]
    purpose: Purpose,
    /// What decided the round: the digest of a plan, or the id of a decision.
    #[n(4)]
    subject: Hash32,
    #[n(5)]
    dealers: Vec<PeerKey>,
    #[n(6)]
    players: Vec<Player>,
}

/// One making of a key, checked. Everything that its parties sign names its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    body: Body,
    digest: Hash32,
    previous: Option<Output>,
}

impl Round {
    /// The making of a network's first key, by those who will hold it. `subject` is the digest of
    /// the plan.
    pub fn genesis(
        network: NetworkName,
        subject: Hash32,
        players: Vec<Player>,
    ) -> Result<Self, RoundError> {
        let dealers = players.iter().map(|player| player.peer).collect();
        let purpose = Purpose::Genesis {};
        Self::new(network, 0, purpose, subject, dealers, players)
    }

    /// Hands the network's key on: from `dealers`, who hold shares of it by the round whose public
    /// output is `previous`, to `players`. `number` grows by one with each round of the network,
    /// whether it succeeds or not; `subject` is the id of what decided it.
    pub fn reshare(
        genesis: &Genesis,
        key: &NetworkKey,
        previous: &[u8],
        number: u64,
        subject: Hash32,
        dealers: Vec<PeerKey>,
        players: Vec<Player>,
    ) -> Result<Self, RoundError> {
        if genesis.is_dealt() {
            return Err(RoundError::Dealt);
        }
        let purpose = Purpose::Reshare {
            genesis: genesis.digest(),
            previous: Bytes(previous.to_vec()),
        };
        let network = genesis.network.clone();
        let round = Self::new(network, number, purpose, subject, dealers, players)?;
        match round.previous.as_ref().map(Output::network_key) {
            Some(handed_on) if handed_on == *key => Ok(round),
            _ => Err(RoundError::OtherKey),
        }
    }

    /// Makes a fresh key for a network that exists.
    pub fn renew(
        genesis: &Genesis,
        number: u64,
        subject: Hash32,
        dealers: Vec<PeerKey>,
        players: Vec<Player>,
    ) -> Result<Self, RoundError> {
        if genesis.is_dealt() {
            return Err(RoundError::Dealt);
        }
        let purpose = Purpose::Renew {
            genesis: genesis.digest(),
        };
        let network = genesis.network.clone();
        Self::new(network, number, purpose, subject, dealers, players)
    }

    /// Reads a round from hostile bytes. Whether it is the one that was decided, only its
    /// [`digest`](Self::digest) can say.
    pub fn decode(bytes: &[u8]) -> Result<Self, RoundError> {
        let body: Body = codec::decode(bytes, document::MAX_DOCUMENT_BYTES)?;
        let given = (body.dealers.clone(), body.players.clone());
        let round = Self::checked(body)?;
        // Sorted already, or it would have two spellings.
        match given == (round.body.dealers.clone(), round.body.players.clone()) {
            true => Ok(round),
            false => Err(RoundError::Codec(CodecError::NotCanonical)),
        }
    }

    fn new(
        network: NetworkName,
        number: u64,
        purpose: Purpose,
        subject: Hash32,
        dealers: Vec<PeerKey>,
        players: Vec<Player>,
    ) -> Result<Self, RoundError> {
        Self::checked(Body {
            version: 1,
            network,
            number,
            purpose,
            subject,
            dealers,
            players,
        })
    }

    /// X3.
    fn checked(mut body: Body) -> Result<Self, RoundError> {
        if body.version != 1 {
            return Err(RoundError::Version);
        }
        body.dealers.sort_unstable();
        body.players.sort_unstable();
        let bounded = |n: usize| (2..=MAX_PARTIES).contains(&n);
        if !bounded(body.dealers.len()) || !body.dealers.is_sorted_by(|a, b| a < b) {
            return Err(RoundError::Dealers);
        }
        if !bounded(body.players.len()) || !body.players.is_sorted_by(|a, b| a.peer < b.peer) {
            return Err(RoundError::Players);
        }
        let sealing = |player: &Player| hpke::public_key(&player.sealing.0).is_some();
        if !body.players.iter().all(sealing) {
            return Err(RoundError::SealingKey);
        }
        let previous = match &body.purpose {
            Purpose::Genesis {} | Purpose::Renew { .. } => None,
            Purpose::Reshare { previous, .. } => {
                let output = Output::decode(&previous.0).ok_or(RoundError::Previous)?;
                let holders = output.holders();
                let holds = |dealer: &PeerKey| holders.contains(dealer);
                let enough = body.dealers.len() >= output.quorum();
                if !enough || !body.dealers.iter().all(holds) {
                    return Err(RoundError::Holders);
                }
                Some(output)
            }
        };
        let by = body.network.hash_function();
        let digest = by.tagged(Domain::CeremonyRound, &[&codec::encode(&body)]);
        Ok(Self {
            body,
            digest,
            previous,
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.body)
    }

    /// What every document of the round names.
    pub fn digest(&self) -> Hash32 {
        self.digest
    }

    pub fn network(&self) -> &NetworkName {
        &self.body.network
    }

    pub fn number(&self) -> u64 {
        self.body.number
    }

    pub fn purpose(&self) -> &Purpose {
        &self.body.purpose
    }

    /// In the order of their keys.
    pub fn dealers(&self) -> &[PeerKey] {
        &self.body.dealers
    }

    /// In the order of their identities, which is that of the shares.
    pub fn players(&self) -> &[Player] {
        &self.body.players
    }

    pub fn is_dealer(&self, peer: &PeerKey) -> bool {
        self.body.dealers.binary_search(peer).is_ok()
    }

    pub fn is_player(&self, peer: &PeerKey) -> bool {
        let players = &self.body.players;
        players
            .binary_search_by(|player| player.peer.cmp(peer))
            .is_ok()
    }

    /// How many dealings a key comes of.
    pub fn dealings_needed(&self) -> usize {
        let holders = self.previous.as_ref().map_or(0, Output::quorum);
        quorum(self.body.dealers.len()).max(holders)
    }

    /// How many players may be absent, bad, or known to everybody by their shares.
    pub fn withstands(&self) -> usize {
        self.body.players.len() - quorum(self.body.players.len())
    }

    pub(crate) fn previous(&self) -> Option<&Output> {
        self.previous.as_ref()
    }
}

/// How many of `n` are needed where all but the f of 3f + 1 must agree.
pub(crate) fn quorum(n: usize) -> usize {
    n - n.saturating_sub(1) / 3
}
