//! The seam to the library that does the mathematics: `commonware_cryptography`'s Feldman/Desmedt
//! key generation on BLS12-381 (MinSig: keys in G2). Its types end here, its encodings go on as bytes.
//!
//! Where the library draws randomness to verify many things at once, it is given a hash of all that
//! it verifies: nobody can choose what is verified after the factors are known.

use commonware_codec::{Copying, Decode, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt as dkg;
use commonware_cryptography::bls12381::primitives::group::Share;
use commonware_cryptography::bls12381::primitives::sharing::{Mode, ModeVersion};
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey, Signature as Ed25519Signature};
use commonware_cryptography::transcript::{Transcript, Version};
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, NZU32, ordered::Set};
use rand_core::CryptoRng;
use realdid_core::genesis::{NetworkKey, PeerKey};
use realdid_core::suite::Signature;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

use crate::CeremonyError;
use crate::board::Fault;
use crate::operator::Operator;
use crate::round::{MAX_PARTIES, Round, quorum};

/// Separates our rounds from those of others by the same library.
const NAMESPACE: &[u8] = b"rdid/1/ceremony";
const LIMIT: NonZeroU32 = NZU32!(MAX_PARTIES as u32);

type Info = dkg::Info<MinSig, PublicKey>;
type DealerLog = dkg::DealerLog<MinSig, PublicKey>;
type Commitment = dkg::DealerPubMsg<MinSig>;

/// The public output of a round: the key, the polynomial of its shares, and who holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output(dkg::Output<MinSig, PublicKey>);

impl Output {
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let output: dkg::Output<MinSig, PublicKey> =
            Decode::decode_cfg(Copying(bytes), &(LIMIT, ModeVersion::v0())).ok()?;
        let holders = output.players().len();
        let fits = output.public().total().get() as usize == holders
            && output.public().required() as usize == quorum(holders)
            && output.encode().as_ref() == bytes;
        fits.then_some(Self(output))
    }

    pub fn encode(&self) -> Vec<u8> {
        self.0.encode().to_vec()
    }

    pub fn network_key(&self) -> NetworkKey {
        let mut key = [0; 96];
        let encoded = self.0.public().public().encode();
        // A point of G2 is 96 bytes in every encoding of the library.
        key.copy_from_slice(&encoded);
        NetworkKey(key)
    }

    pub fn polynomial(&self) -> Vec<u8> {
        self.0.public().encode().to_vec()
    }

    /// In byte order.
    pub fn holders(&self) -> Vec<PeerKey> {
        self.0.players().iter().map(ours).collect()
    }

    /// Whose dealings the key came of.
    pub fn dealers(&self) -> Vec<PeerKey> {
        self.0.dealers().iter().map(ours).collect()
    }

    /// Whose shares everybody can compute from what stands in the open.
    pub fn exposed(&self) -> Vec<PeerKey> {
        self.0.revealed().iter().map(ours).collect()
    }

    pub fn quorum(&self) -> usize {
        quorum(self.0.players().len())
    }
}

/// A round as the library knows it.
pub fn info(round: &Round) -> Result<Info, CeremonyError> {
    let set = |keys: Vec<PeerKey>| {
        let keys = keys.iter().map(theirs).collect::<Option<Vec<_>>>();
        keys.and_then(|keys| Set::try_from(keys).ok())
    };
    let players = round.players().iter().map(|player| player.peer).collect();
    let dealers = set(round.dealers().to_vec()).ok_or(crate::RoundError::Dealers)?;
    let players = set(players).ok_or(crate::RoundError::Players)?;
    // The round's digest in the namespace binds every acknowledgement to what the round is for.
    let namespace = [NAMESPACE, &round.digest().0].concat();
    let previous = round.previous().map(|output| output.0.clone());
    let info = Info::new::<N3f1>(
        &namespace,
        round.number(),
        previous,
        Mode::NonZeroCounter,
        dkg::Reveal::V1,
        dealers,
        players,
    );
    info.map_err(|error| match error {
        dkg::Error::DealerNotInRound(_) => crate::RoundError::Holders.into(),
        dkg::Error::NumPlayers(_) => crate::RoundError::Players.into(),
        dkg::Error::InvalidPreviousOutput => crate::RoundError::Previous.into(),
        _ => crate::RoundError::Dealers.into(),
    })
}

/// A dealer at work: the same from the same operator and round.
pub struct Dealer {
    dealer: dkg::Dealer<MinSig, PrivateKey>,
    pub commitment: Vec<u8>,
    /// In the order of the players.
    pub shares: Vec<Zeroizing<Vec<u8>>>,
}

impl Dealer {
    /// `old` is the dealer's share of the key where one is handed on.
    pub fn start(
        round: &Round,
        operator: &Operator,
        old: Option<&[u8]>,
    ) -> Result<Self, CeremonyError> {
        let old = match (round.previous(), old) {
            (None, None) => None,
            (Some(output), Some(share)) => Some(old_share(output, &operator.peer(), share)?),
            _ => return Err(CeremonyError::OldShare),
        };
        let identity = private(operator).ok_or(CeremonyError::NotADealer)?;
        let secret = operator.noise(&round.digest(), b"dealing");
        let started = dkg::Dealer::start::<N3f1>(
            noise(&[&*secret, &round.digest().0], b"dealing"),
            info(round)?,
            identity,
            old,
        );
        let (dealer, commitment, shares) = started.map_err(|_| CeremonyError::NotADealer)?;
        let shares = shares.iter().map(|(_, share)| share.encode().to_vec());
        Ok(Self {
            dealer,
            commitment: commitment.encode().to_vec(),
            shares: shares.map(Zeroizing::new).collect(),
        })
    }

    /// Whether the acknowledgement is of this dealing, by this player.
    pub fn acknowledged(&mut self, player: &PeerKey, signature: &Signature) -> bool {
        let Some(player) = theirs(player) else {
            return false;
        };
        let Ok(ack) = dkg::PlayerAck::decode(Copying(signature.0.as_slice())) else {
            return false;
        };
        self.dealer.receive_player_ack(player, ack).is_ok()
    }

    pub fn finish(self) -> Vec<u8> {
        self.dealer.finalize::<N3f1>().encode().to_vec()
    }
}

/// A player at work.
pub struct Player {
    player: dkg::Player<MinSig, PrivateKey>,
}

impl Player {
    pub fn new(round: &Round, operator: &Operator) -> Result<Self, CeremonyError> {
        let identity = private(operator).ok_or(CeremonyError::NotAPlayer)?;
        let player = dkg::Player::new(info(round)?, identity);
        Ok(Self {
            player: player.map_err(|_| CeremonyError::NotAPlayer)?,
        })
    }

    /// The acknowledgement of a dealing; `None` where the share is not the commitment's.
    pub fn receive(
        &mut self,
        dealer: &PeerKey,
        commitment: &[u8],
        share: &[u8],
    ) -> Result<Signature, Fault> {
        let commitment = commitment_of(commitment).ok_or(Fault::Commitment)?;
        let share = dkg::DealerPrivMsg::decode(Copying(share)).map_err(|_| Fault::Share)?;
        let dealer = theirs(dealer).ok_or(Fault::Commitment)?;
        let ack = self
            .player
            .dealer_message::<N3f1>(dealer, commitment, share);
        match ack {
            Ok(Some(ack)) => {
                let mut signature = [0; 64];
                signature.copy_from_slice(&ack.encode());
                Ok(Signature(signature))
            }
            Err(dkg::DealerMessageError::InvalidDealerShare) => Err(Fault::Share),
            Ok(None) | Err(_) => Err(Fault::Commitment),
        }
    }

    /// The output and this player's share of the key.
    pub fn finish(
        self,
        round: &Round,
        logs: &[CheckedLog],
    ) -> Result<(Output, Zeroizing<Vec<u8>>), CeremonyError> {
        let (gathered, mut rng) = gather(round, logs)?;
        let finished = self.player.finalize(&mut rng, gathered, &Sequential);
        match finished {
            Ok((output, share)) => Ok((Output(output), Zeroizing::new(share.encode().to_vec()))),
            Err(dkg::FinalizeError::Failure(failure)) => Err(too_few(failure)),
            Err(dkg::FinalizeError::Error(_)) => Err(CeremonyError::DealingLost),
        }
    }
}

/// A dealer's log whose signature holds.
#[derive(Clone)]
pub struct CheckedLog {
    dealer: PublicKey,
    log: DealerLog,
    bytes: Vec<u8>,
}

impl CheckedLog {
    pub fn dealer(&self) -> PeerKey {
        ours(&self.dealer)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is the log of the dealing with this commitment, which stands first in it, behind
    /// the dealer's key.
    pub fn commits_to(&self, commitment: &[u8]) -> bool {
        let behind = self.bytes.get(self.dealer.as_ref().len()..);
        behind.is_some_and(|rest| rest.starts_with(commitment))
    }

    /// Reads a log and verifies all that is in it.
    pub fn judge(round: &Round, dealer: &PeerKey, bytes: &[u8]) -> Result<Self, Fault> {
        let signed: dkg::SignedDealerLog<MinSig, PublicKey> =
            Decode::decode_cfg(Copying(bytes), &LIMIT).map_err(|_| Fault::Log)?;
        if signed.encode().as_ref() != bytes {
            return Err(Fault::Log);
        }
        let known = info(round).map_err(|_| Fault::Log)?;
        let (by, log) = signed.check(&known).ok_or(Fault::Log)?;
        if ours(&by) != *dealer {
            return Err(Fault::Log);
        }
        let checked = Self {
            dealer: by,
            log,
            bytes: bytes.to_vec(),
        };
        // Alone it can never be enough, so the library says what it thinks of it.
        let (logs, mut rng) =
            gather(round, std::slice::from_ref(&checked)).map_err(|_| Fault::Log)?;
        match dkg::observe(&mut rng, logs, &Sequential) {
            Ok(_) => Err(Fault::Log),
            Err(dkg::Failure::InsufficientLogs {
                faults,
                unavailable,
                ..
            }) => {
                if let Some(reason) = faults.get_value(&checked.dealer) {
                    return Err(fault(reason));
                }
                match unavailable.position(&checked.dealer) {
                    Some(_) => Err(Fault::Unanswered),
                    None => Ok(checked),
                }
            }
        }
    }
}

/// The public output of the logs, which were judged before.
pub fn observe(round: &Round, logs: &[CheckedLog]) -> Result<Output, CeremonyError> {
    let (gathered, mut rng) = gather(round, logs)?;
    let output = dkg::observe(&mut rng, gathered, &Sequential);
    output.map(Output).map_err(too_few)
}

type Logs = dkg::Logs<MinSig, PublicKey, N3f1>;

fn gather(
    round: &Round,
    logs: &[CheckedLog],
) -> Result<(Logs, impl CryptoRng + use<>), CeremonyError> {
    let mut gathered = Logs::new(info(round)?);
    let mut parts = vec![round.digest().0.to_vec()];
    for log in logs {
        gathered.record(log.dealer.clone(), log.log.clone());
        parts.push(log.bytes.clone());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok((gathered, noise(&parts, b"verification")))
}

fn too_few<P>(failure: dkg::Failure<P>) -> CeremonyError {
    let dkg::Failure::InsufficientLogs {
        required, found, ..
    } = failure;
    CeremonyError::TooFew {
        usable: found as usize,
        needed: required as usize,
    }
}

fn fault(reason: &dkg::FaultReason) -> Fault {
    match reason {
        dkg::FaultReason::InvalidAck => Fault::Acknowledgement,
        dkg::FaultReason::InvalidReveal => Fault::Share,
        dkg::FaultReason::InvalidCommitmentDegree { .. }
        | dkg::FaultReason::MismatchedReshareCommitment => Fault::Commitment,
        dkg::FaultReason::MismatchedLogPlayers => Fault::Log,
        dkg::FaultReason::ExcessiveReveals => Fault::Unanswered,
    }
}

fn commitment_of(bytes: &[u8]) -> Option<Commitment> {
    let commitment: Commitment = Decode::decode_cfg(Copying(bytes), &LIMIT).ok()?;
    (commitment.encode().as_ref() == bytes).then_some(commitment)
}

/// The dealer's share of the key that is handed on, if it is that.
fn old_share(output: &Output, dealer: &PeerKey, bytes: &[u8]) -> Result<Share, CeremonyError> {
    let share = Share::decode(Copying(bytes)).map_err(|_| CeremonyError::OldShare)?;
    let place = theirs(dealer).and_then(|dealer| output.0.players().position(&dealer));
    let public = output.0.public().partial_public(share.index);
    let own = place.is_some_and(|place| usize::from(share.index) == place)
        && public.is_ok_and(|public| public == share.public::<MinSig>());
    match own {
        true => Ok(share),
        false => Err(CeremonyError::OldShare),
    }
}

fn noise(parts: &[&[u8]], purpose: &'static [u8]) -> impl CryptoRng + use<> {
    let mut transcript = Transcript::new(NAMESPACE, Version::V1);
    for part in parts {
        transcript.commit(*part);
    }
    transcript.noise(purpose)
}

fn private(operator: &Operator) -> Option<PrivateKey> {
    let seed = operator.identity_seed();
    PrivateKey::decode(Copying(seed.as_slice())).ok()
}

fn theirs(key: &PeerKey) -> Option<PublicKey> {
    PublicKey::decode(Copying(key.0.as_slice())).ok()
}

fn ours(key: &PublicKey) -> PeerKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.as_ref());
    PeerKey(bytes)
}

/// A signature of the library has the length of ours.
const _: () = assert!(<Ed25519Signature as commonware_codec::FixedSize>::SIZE == 64);
