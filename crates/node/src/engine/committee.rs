//! The validators of a network and this validator's place among them, parsed from configuration.
//!
//! Votes are BLS12-381 threshold signatures (MinSig: 48-byte signatures in G1, 96-byte keys in
//! G2) under one network key that stays the same for every certificate. Share number `i` belongs
//! to the validator whose Ed25519 identity is the `i`-th in byte order. The library asserts these
//! relations; here each is checked first and refused by name.

use commonware_codec::{Copying, Decode, DecodeExt, Encode};
use commonware_consensus::simplex::scheme::bls12381_threshold::standard;
use commonware_cryptography::{
    Signer as _,
    bls12381::primitives::{
        group::Share,
        sharing::{ModeVersion, Sharing},
        variant::MinSig,
    },
    ed25519::{PrivateKey, PublicKey},
};
use commonware_utils::{
    N3f1, NZU32,
    ordered::{Quorum as _, Set},
};

/// The signature scheme of votes and certificates.
pub type Scheme = standard::Scheme<PublicKey, MinSig>;

/// The largest committee that a configuration may name.
pub const MAX_VALIDATORS: u32 = 256;

/// Why configured keys do not make a committee. The operator's fault in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    #[error("a validator's identity is not an Ed25519 public key")]
    Identity,
    #[error(
        "a validator's identity is listed twice, or none is listed, or more than {MAX_VALIDATORS}"
    )]
    Members,
    #[error("this node's identity is not among the validators")]
    NotAMember,
    #[error("the public polynomial cannot be read")]
    Polynomial,
    #[error("the public polynomial was dealt for another number of validators")]
    Size,
    #[error("this node's threshold share cannot be read")]
    Share,
    #[error("this node's threshold share belongs to another validator or another network")]
    ForeignShare,
}

/// The committee as one of its members sees it.
#[derive(Clone)]
pub struct Committee {
    /// All validators' identities in byte order.
    pub members: Set<PublicKey>,
    /// This validator's identity key.
    pub identity: PrivateKey,
    /// Signs votes with this validator's share, verifies everybody's.
    pub scheme: Scheme,
}

impl Committee {
    /// Checks that identities, polynomial and share belong together.
    ///
    /// `namespace` separates the signatures of one network from those of all others.
    pub fn parse(
        namespace: &[u8],
        members: &[[u8; 32]],
        identity_seed: &[u8; 32],
        polynomial: &[u8],
        share: &[u8],
    ) -> Result<Self, CommitteeError> {
        if members.is_empty() || members.len() > MAX_VALIDATORS as usize {
            return Err(CommitteeError::Members);
        }
        let members = members
            .iter()
            .map(|key| {
                PublicKey::decode(Copying(key.as_slice())).map_err(|_| CommitteeError::Identity)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let members = Set::try_from(members).map_err(|_| CommitteeError::Members)?;
        let identity = PrivateKey::decode(Copying(identity_seed.as_slice()))
            .map_err(|_| CommitteeError::Identity)?;
        let place = members
            .index(&identity.public_key())
            .ok_or(CommitteeError::NotAMember)?;

        let polynomial = read_polynomial(polynomial)?;
        if polynomial.total().get() as usize != members.len()
            || polynomial.required() != members.quorum::<N3f1>()
        {
            return Err(CommitteeError::Size);
        }
        let share = Share::decode(Copying(share)).map_err(|_| CommitteeError::Share)?;
        if share.index != place {
            return Err(CommitteeError::ForeignShare);
        }
        let scheme = Scheme::signer(namespace, members.clone(), polynomial, share)
            .ok_or(CommitteeError::ForeignShare)?;
        Ok(Self {
            members,
            identity,
            scheme,
        })
    }
}

/// The 96-byte compressed key under which a committee's certificates verify.
pub fn network_key(polynomial: &[u8]) -> Result<Vec<u8>, CommitteeError> {
    Ok(read_polynomial(polynomial)?.public().encode().to_vec())
}

fn read_polynomial(bytes: &[u8]) -> Result<Sharing<MinSig>, CommitteeError> {
    let bounds = (NZU32!(MAX_VALIDATORS), ModeVersion::v0());
    Sharing::decode_cfg(Copying(bytes), &bounds).map_err(|_| CommitteeError::Polynomial)
}
