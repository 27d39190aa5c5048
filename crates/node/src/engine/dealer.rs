//! **Development only:** all keys of a committee from one seed.
//!
//! Whoever knows the seed can sign for the whole network, so a real network is never dealt: its
//! operators hold the ceremony of spec/ceremony.md, after which nobody has the network's
//! secret, and a genesis without one says that its key was dealt. A laptop's network and the tests want the same keys again from the same seed instead.

use commonware_codec::{Copying, DecodeExt, Encode};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt,
        primitives::{sharing::Mode, variant::MinSig},
    },
    ed25519::{PrivateKey, PublicKey},
    transcript::{Transcript, Version},
};
use commonware_utils::{N3f1, ordered::Set};
use rand_core::Rng;

const DOMAIN: &[u8] = b"realdid/dev-dealer/1";

/// The largest committee that this dealer serves.
pub const MAX_DEALT: u32 = 100;

/// Why nothing was dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DealError {
    #[error("a dealt committee has 1 to {MAX_DEALT} validators")]
    Size,
    #[error("this seed repeats an identity; take another")]
    Seed,
}

/// The keys of a whole committee.
pub struct Dealt {
    /// 96 bytes, compressed G2: verifies every certificate of the network.
    pub network_key: Vec<u8>,
    /// The public polynomial, the same for every validator.
    pub polynomial: Vec<u8>,
    /// In the byte order of the public keys, which is the order of the shares.
    pub validators: Vec<DealtValidator>,
}

/// The keys of one validator. Both secrets are in the clear.
pub struct DealtValidator {
    /// Ed25519 seed of the validator's identity.
    pub identity_seed: [u8; 32],
    /// Ed25519 public key of the validator's identity.
    pub public_key: [u8; 32],
    /// The validator's secret share of the network key.
    pub share: Vec<u8>,
}

/// Deals a committee of `validators`, the same for the same seed. Development only.
pub fn deal(validators: u32, seed: &[u8; 32]) -> Result<Dealt, DealError> {
    if validators == 0 || validators > MAX_DEALT {
        return Err(DealError::Size);
    }
    let mut transcript = Transcript::new(DOMAIN, Version::V1);
    transcript.commit(seed.as_slice());
    transcript.commit(validators.to_be_bytes().as_slice());

    let mut noise = transcript.noise(b"identities");
    let mut identities = Vec::with_capacity(validators as usize);
    for _ in 0..validators {
        let mut identity_seed = [0; 32];
        noise.fill_bytes(&mut identity_seed);
        let key =
            PrivateKey::decode(Copying(identity_seed.as_slice())).map_err(|_| DealError::Seed)?;
        identities.push((key.public_key(), identity_seed));
    }
    identities.sort_by(|a, b| a.0.cmp(&b.0));
    let members: Vec<PublicKey> = identities.iter().map(|(key, _)| key.clone()).collect();
    let members = Set::try_from(members).map_err(|_| DealError::Seed)?;

    let (output, shares) = feldman_desmedt::deal::<MinSig, _, N3f1>(
        transcript.noise(b"shares"),
        Mode::NonZeroCounter,
        members,
    )
    .map_err(|_| DealError::Size)?;
    let validators = identities
        .into_iter()
        .zip(shares.values())
        .map(|((key, identity_seed), share)| {
            let mut public_key = [0; 32];
            public_key.copy_from_slice(key.as_ref());
            DealtValidator {
                identity_seed,
                public_key,
                share: share.encode().to_vec(),
            }
        })
        .collect();
    Ok(Dealt {
        network_key: output.public().public().encode().to_vec(),
        polynomial: output.public().encode().to_vec(),
        validators,
    })
}
