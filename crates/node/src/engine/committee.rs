//! The validators of a term and this validator's place among them, parsed from ledger and files.
//!
//! Votes are BLS12-381 threshold signatures (MinSig: 48-byte signatures in G1, 96-byte keys in
//! G2) under the network key of the term. Share number `i` belongs
//! to the validator whose Ed25519 identity is the `i`-th in byte order. The library asserts these
//! relations; here each is checked first and refused by name.

use commonware_codec::{Copying, Decode, DecodeExt, Encode};
use commonware_consensus::simplex::scheme::bls12381_threshold::standard;
use commonware_cryptography::{
    Signer as _,
    bls12381::primitives::{
        group::Share,
        sharing::{ModeVersion, Sharing},
        variant::{MinSig, Variant},
    },
    ed25519::{PrivateKey, PublicKey},
};
use commonware_utils::{
    N3f1, NZU32,
    ordered::{Quorum as _, Set},
};

use realdid_core::{governance::Term, hash::HashFunction};
use zeroize::{Zeroize, ZeroizeOnDrop};

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
    #[error("this node is not among its own peers, or they are more than {MAX_VALIDATORS}")]
    Peers,
    #[error("the public polynomial cannot be read")]
    Polynomial,
    #[error("the public polynomial was dealt for another number of validators")]
    Size,
    #[error("this node's threshold share cannot be read")]
    Share,
    #[error("this node's threshold share belongs to another validator or another network")]
    ForeignShare,
    #[error("the public polynomial is not that of the term")]
    OtherTerm,
    #[error("the term's network key is no key")]
    NetworkKey,
}

/// Checks that identities, polynomial and share belong together: how their owner signs votes and
/// verifies everybody's.
///
/// `namespace` separates the signatures of one network from those of all others.
pub fn parse(
    namespace: &[u8],
    members: &[[u8; 32]],
    identity_seed: &[u8; 32],
    polynomial: &[u8],
    share: &[u8],
) -> Result<Scheme, CommitteeError> {
    if members.is_empty() || members.len() > MAX_VALIDATORS as usize {
        return Err(CommitteeError::Members);
    }
    let members = members
        .iter()
        .map(|key| PublicKey::decode(Copying(key.as_slice())).map_err(|_| CommitteeError::Identity))
        .collect::<Result<Vec<_>, _>>()?;
    let members = Set::try_from(members).map_err(|_| CommitteeError::Members)?;
    let identity = identity(identity_seed)?;
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
    Scheme::signer(namespace, members, polynomial, share).ok_or(CommitteeError::ForeignShare)
}

/// What a validator holds to vote in a term.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TermKeys {
    /// The committee's public polynomial.
    pub polynomial: Vec<u8>,
    /// This validator's share of the network key. Secret.
    pub share: Vec<u8>,
}

/// Where a validator keeps what it votes by: one entry a term.
pub trait Shares: Send + Sync + 'static {
    /// What it has for a term, if anything.
    fn of(&self, term: u64) -> Option<TermKeys>;

    /// Erases what is left of all terms before `term`, so that nobody who takes the disk later finds
    /// it.
    fn erase_before(&self, term: u64);
}

/// The scheme of one who votes in `term`, after all that belongs together was held together.
pub fn signer(
    namespace: &[u8],
    term: &Term,
    by: HashFunction,
    identity_seed: &[u8; 32],
    keys: &TermKeys,
) -> Result<Scheme, CommitteeError> {
    let TermKeys { polynomial, share } = keys;
    let digest = Term::polynomial_digest(by, polynomial);
    if term.polynomial.is_some_and(|named| named != digest)
        || network_key(polynomial)? != term.network_key.0
    {
        return Err(CommitteeError::OtherTerm);
    }
    let members: Vec<[u8; 32]> = term.validators.iter().map(|key| key.0).collect();
    parse(namespace, &members, identity_seed, polynomial, share)
}

/// Whether what a validator holds is its own of `term`, and of this network.
pub fn check_term_keys(
    namespace: &[u8],
    term: &Term,
    by: HashFunction,
    identity_seed: &[u8; 32],
    keys: &TermKeys,
) -> Result<(), CommitteeError> {
    signer(namespace, term, by, identity_seed, keys).map(drop)
}

/// The scheme of one who reads certificates and has no vote.
pub fn follower(namespace: &[u8], network_key: &[u8]) -> Result<Scheme, CommitteeError> {
    let key = <MinSig as Variant>::Public::decode(Copying(network_key))
        .map_err(|_| CommitteeError::NetworkKey)?;
    Ok(Scheme::certificate_verifier(namespace, key))
}

/// A validator's key on the peer-to-peer network, from its seed.
pub fn identity(seed: &[u8; 32]) -> Result<PrivateKey, CommitteeError> {
    PrivateKey::decode(Copying(seed.as_slice())).map_err(|_| CommitteeError::Identity)
}

/// A validator's public key on the peer-to-peer network, from its seed.
pub fn peer_key(seed: &[u8; 32]) -> Result<[u8; 32], CommitteeError> {
    let mut key = [0; 32];
    key.copy_from_slice(identity(seed)?.public_key().as_ref());
    Ok(key)
}

/// The 96-byte compressed key under which a committee's certificates verify.
pub fn network_key(polynomial: &[u8]) -> Result<Vec<u8>, CommitteeError> {
    Ok(read_polynomial(polynomial)?.public().encode().to_vec())
}

fn read_polynomial(bytes: &[u8]) -> Result<Sharing<MinSig>, CommitteeError> {
    let bounds = (NZU32!(MAX_VALIDATORS), ModeVersion::v0());
    Sharing::decode_cfg(Copying(bytes), &bounds).map_err(|_| CommitteeError::Polynomial)
}
