//! What a network is to begin with, but for its key (spec/ceremony.md, X2): operators compare the
//! plan's digest, and all that they sign afterwards names it.

use minicbor::{Decode, Encode};
use realdid_core::codec::{self, Bytes, CodecError};
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, GenesisError, NetworkKey, Parameters, PeerKey, Predecessor};
use realdid_core::governance::Governance;
use realdid_core::hash::{Domain, Hash32};
use realdid_core::state::Issuer;

use crate::board::Made;
use crate::document::DocumentError;
use crate::operator::Card;
use crate::round::{Round, RoundError};
use crate::succession::Left;

/// The longest plan in bytes: a genesis and 256 cards.
pub const MAX_PLAN_BYTES: usize = 128 * 1024;

/// Why there is no such plan. Whoever wrote it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the plan cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("the plan is of another version than 1")]
    Version,
    #[error("a card of the plan: {0}")]
    Card(#[from] DocumentError),
    /// X2
    #[error("a card is for another network")]
    OtherNetwork,
    /// X2
    #[error("two operators have one name")]
    Names,
    #[error("the network that it plans: {0}")]
    Genesis(#[from] GenesisError),
    #[error("the round that it plans: {0}")]
    Round(#[from] RoundError),
}

impl PlanError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::Version => "ceremony.version",
            Self::Card(error) => error.code(),
            Self::OtherNetwork => "ceremony.other_network",
            Self::Names => "ceremony.names",
            Self::Genesis(error) => error.code(),
            Self::Round(error) => error.code(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Body {
    #[n(0)]
    version: u8,
    #[n(1)]
    network: NetworkName,
    /// When the network begins: Unix milliseconds.
    #[n(2)]
    time_ms: u64,
    #[n(3)]
    parameters: Parameters,
    #[n(4)]
    governance: Governance,
    #[n(5)]
    issuers: Vec<Issuer>,
    /// In the order of the operators' identities.
    #[n(6)]
    cards: Vec<Bytes>,
    /// The network that this one is to go on from.
    #[n(7)]
    predecessor: Option<Predecessor>,
}

/// A plan whose network could begin, had it a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    body: Body,
    cards: Vec<Card>,
    digest: Hash32,
    round: Round,
}

impl Plan {
    /// Plans a network of these operators.
    pub fn new(
        network: NetworkName,
        time_ms: u64,
        parameters: Parameters,
        governance: Governance,
        issuers: Vec<Issuer>,
        cards: Vec<Card>,
    ) -> Result<Self, PlanError> {
        Self::of(
            Body {
                version: 1,
                network,
                time_ms,
                parameters,
                governance,
                issuers,
                cards: Vec::new(),
                predecessor: None,
            },
            cards,
        )
    }

    /// X14: plans that these operators go on from what another network left.
    pub fn after(left: &Left, time_ms: u64, cards: Vec<Card>) -> Result<Self, PlanError> {
        Self::of(
            Body {
                version: 1,
                network: left.network().clone(),
                time_ms,
                parameters: left.parameters().clone(),
                governance: left.governance().clone(),
                issuers: Vec::new(),
                cards: Vec::new(),
                predecessor: Some(*left.predecessor()),
            },
            cards,
        )
    }

    fn of(mut body: Body, mut cards: Vec<Card>) -> Result<Self, PlanError> {
        cards.sort_by_key(|card| card.player().peer);
        body.cards = cards
            .iter()
            .map(|card| Bytes(card.bytes().to_vec()))
            .collect();
        Self::checked(body, cards)
    }

    /// Reads a plan from hostile bytes. Whether it is the one that was agreed on, only its
    /// [`digest`](Self::digest) can say.
    pub fn decode(bytes: &[u8]) -> Result<Self, PlanError> {
        let body: Body = codec::decode(bytes, MAX_PLAN_BYTES)?;
        let cards = body.cards.iter().map(|card| Card::decode(&card.0));
        let cards = cards.collect::<Result<Vec<_>, _>>()?;
        if !cards.is_sorted_by(|a, b| a.player().peer < b.player().peer) {
            return Err(CodecError::NotCanonical.into());
        }
        Self::checked(body, cards)
    }

    fn checked(body: Body, cards: Vec<Card>) -> Result<Self, PlanError> {
        if body.version != 1 {
            return Err(PlanError::Version);
        }
        if cards.iter().any(|card| *card.network() != body.network) {
            return Err(PlanError::OtherNetwork);
        }
        let mut names: Vec<&str> = cards.iter().map(Card::name).collect();
        names.sort_unstable();
        if !names.is_sorted_by(|a, b| a < b) {
            return Err(PlanError::Names);
        }
        let bytes = codec::encode(&body);
        if bytes.len() > MAX_PLAN_BYTES {
            return Err(PlanError::Codec(CodecError::TooLong {
                limit: MAX_PLAN_BYTES,
                got: bytes.len(),
            }));
        }
        let by = body.network.hash_function();
        let digest = by.tagged(Domain::CeremonyPlan, &[&bytes]);
        let players = cards.iter().map(|card| card.player().clone()).collect();
        let round = Round::genesis(body.network.clone(), digest, players)?;
        let plan = Self {
            body,
            cards,
            digest,
            round,
        };
        // Anything that the genesis will refuse is refused now.
        Genesis::decode(&plan.unmade().encode())?;
        Ok(plan)
    }

    /// The genesis with zeros where its key will be.
    pub(crate) fn unmade(&self) -> Genesis {
        self.with_key(NetworkKey([0; 96]), Hash32([0; 32]))
    }

    /// The network that this one is to go on from.
    pub fn predecessor(&self) -> Option<&Predecessor> {
        self.body.predecessor.as_ref()
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.body)
    }

    /// What operators compare before they deal.
    pub fn digest(&self) -> Hash32 {
        self.digest
    }

    /// The making of the network's key.
    pub fn round(&self) -> &Round {
        &self.round
    }

    pub fn network(&self) -> &NetworkName {
        &self.body.network
    }

    /// When the network begins: Unix milliseconds.
    pub fn genesis_time_ms(&self) -> u64 {
        self.body.time_ms
    }

    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// An operator's name; a key that is no operator's stands for itself.
    pub fn name(&self, peer: &PeerKey) -> String {
        let card = self.cards.iter().find(|card| card.player().peer == *peer);
        card.map_or_else(|| peer.to_string(), |card| card.name().to_owned())
    }

    /// The operator of a name.
    pub fn peer(&self, name: &str) -> Option<PeerKey> {
        let card = self.cards.iter().find(|card| card.name() == name);
        card.map(|card| card.player().peer)
    }

    /// The genesis with the key that the ceremony made.
    pub fn genesis(&self, made: &Made) -> Genesis {
        self.with_key(made.network_key, made.transcript)
    }

    fn with_key(&self, network_key: NetworkKey, transcript: Hash32) -> Genesis {
        let body = self.body.clone();
        Genesis {
            version: 1,
            network: body.network,
            time_ms: body.time_ms,
            parameters: body.parameters,
            network_key,
            validators: self.cards.iter().map(|card| card.player().peer).collect(),
            governance: body.governance,
            issuers: body.issuers,
            ceremony: Some(transcript),
            predecessor: body.predecessor,
        }
    }
}
