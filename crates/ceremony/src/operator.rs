//! Whoever will run a validator: one secret seed, from which all keys of a ceremony derive, and the
//! public card that others put into a plan (spec/ceremony.md, X1 and X2).

use hkdf::Hkdf;
use minicbor::{Decode, Encode};
use p256::SecretKey as SealingSecret;
use realdid_core::codec;
use realdid_core::did::NetworkName;
use realdid_core::genesis::PeerKey;
use realdid_core::hash::Hash32;
use realdid_core::suite::{Context, SecretKey, Signature, Suite};
use sha2::Sha256;
use std::net::SocketAddr;
use zeroize::Zeroizing;

use crate::document::{self, DocumentError, Kind};
use crate::hpke;
use crate::round::Player;

/// The longest name of an operator.
const MAX_NAME: usize = 32;

/// Why there is no such operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// X2
    #[error("an operator's name is 1 to {MAX_NAME} of a-z, 0-9 and inner hyphens, a letter first")]
    Name,
    /// Of about one seed in 2^32 a key of P-256 cannot be made.
    #[error("this seed gives no keys; take another")]
    Seed,
}

/// An operator's secret. Zeroised when dropped; never printed.
pub struct Operator {
    seed: Zeroizing<[u8; 32]>,
    identity: SecretKey,
    peer: PeerKey,
    sealing: SealingSecret,
    sealing_key: [u8; 33],
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operator({})", self.peer)
    }
}

impl Operator {
    /// From 32 random bytes, which are kept for the whole ceremony and for as long as the share it
    /// gave: from them and the public documents the share can be found again.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, OperatorError> {
        let seed = Zeroizing::new(seed);
        let identity = derived(&seed, b"identity", &[]);
        let identity =
            SecretKey::from_seed(Suite::Ed25519, *identity).map_err(|_| OperatorError::Seed)?;
        let peer = identity.public().bytes().try_into().map(PeerKey);
        let sealing = derived(&seed, b"sealing", &[]);
        let sealing = SealingSecret::from_slice(&*sealing).map_err(|_| OperatorError::Seed)?;
        let sealing_key = hpke::compressed(&sealing.public_key()).ok_or(OperatorError::Seed)?;
        Ok(Self {
            peer: peer.map_err(|_| OperatorError::Seed)?,
            seed,
            identity,
            sealing,
            sealing_key,
        })
    }

    /// The validator's identity on the peer-to-peer network, which signs this operator's documents.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// As a player of a round.
    pub fn player(&self) -> Player {
        Player {
            peer: self.peer,
            sealing: self.sealing_key.into(),
        }
    }

    /// The seed of the identity, as a validator's key file has it.
    pub fn identity_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.identity.seed())
    }

    /// The card of this operator for a network, where its validator will listen at `address`.
    pub fn card(
        &self,
        network: &NetworkName,
        name: &str,
        address: SocketAddr,
    ) -> Result<Card, OperatorError> {
        let card = CardBody {
            network: network.clone(),
            name: name.to_owned(),
            player: self.player(),
            address: address.to_string(),
        };
        if !is_name(name) {
            return Err(OperatorError::Name);
        }
        let body = codec::encode(&card);
        let signature = self.sign(Context::OperatorCard, network, &body);
        Ok(Card {
            bytes: document::seal(Kind::Card, body, signature),
            body: card,
            address,
        })
    }

    pub(crate) fn sign(&self, context: Context, network: &NetworkName, body: &[u8]) -> Signature {
        self.identity.sign(context, network, body)
    }

    /// Secret randomness of one round for one use: the same whenever it is asked for.
    pub(crate) fn noise(&self, round: &Hash32, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        derived(&self.seed, purpose, &round.0)
    }

    pub(crate) fn sealing(&self) -> &SealingSecret {
        &self.sealing
    }
}

/// 32 bytes of HKDF-SHA256 under our own label.
fn derived(seed: &[u8; 32], purpose: &[u8], of: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let parts: [&[u8]; 4] = [b"rdid/1/operator/", purpose, &[0], of];
    let hkdf = Hkdf::<Sha256>::new(None, seed);
    // 32 bytes are within what one expansion gives, so this cannot fail.
    let _within_bounds = hkdf.expand_multi_info(&parts, &mut *out).is_ok();
    out
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct CardBody {
    /// A card is for one network.
    #[n(0)]
    network: NetworkName,
    #[n(1)]
    name: String,
    #[n(2)]
    player: Player,
    /// Where other validators connect.
    #[n(3)]
    address: String,
}

/// An operator's public keys under a name, signed by the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    bytes: Vec<u8>,
    body: CardBody,
    address: SocketAddr,
}

impl Card {
    /// Reads a card from hostile bytes and verifies that whoever made it has its identity.
    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        let sealed = document::unseal(bytes)?;
        if sealed.kind != Kind::Card {
            return Err(DocumentError::Kind);
        }
        let body: CardBody = sealed.read()?;
        let known = is_name(&body.name) && hpke::public_key(&body.player.sealing.0).is_some();
        // One spelling each, as everywhere.
        let address: Option<SocketAddr> = body.address.parse().ok();
        let address = address.filter(|address| known && address.to_string() == body.address);
        let address = address.ok_or(DocumentError::Shape)?;
        sealed.verify(&body.player.peer, Context::OperatorCard, &body.network)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            body,
            address,
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn network(&self) -> &NetworkName {
        &self.body.network
    }

    pub fn name(&self) -> &str {
        &self.body.name
    }

    pub fn player(&self) -> &Player {
        &self.body.player
    }

    /// Where other validators connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
