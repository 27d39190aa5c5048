//! The ciphersuite BLS12-381-SHA-256 and what the three drafts hash with it
//! (core draft, sections 4.1, 4.2 and 7.2.2; spec/realpass.md, rules B1 and B2).

use crate::curve::{
    Affine, POINT_BYTES, Scalar, WIDE_BYTES, expand_message, hash_to_curve_g1, to_affine,
};

/// Which draft's interface: each separates all its hashes from the others' by its `api_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// BBS signatures.
    Core,
    /// Blind BBS signatures.
    Blind,
    /// BBS per verifier linkability.
    Nym,
}

impl Interface {
    /// `api_id`: the ciphersuite and how messages and generators are made.
    pub fn api_id(self) -> &'static [u8] {
        match self {
            Self::Core => b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_H2G_HM2S_",
            Self::Blind => b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_BLIND_H2G_HM2S_",
            Self::Nym => b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_H2G_HM2S_PSEUDONYM_",
        }
    }

    /// The `api_id` of the generators for what the prover commits to.
    fn blind_api_id(self) -> Vec<u8> {
        [b"BLIND_".as_slice(), self.api_id()].concat()
    }

    /// `hash_to_scalar` under this interface's own tag.
    pub fn hash_to_scalar(self, message: &[u8]) -> Scalar {
        hash_to_scalar(message, &[self.api_id(), b"H2S_"].concat())
    }

    /// `map_message_to_scalar_as_hash` (core draft, section 4.1.2).
    pub fn message_to_scalar(self, message: &[u8]) -> Scalar {
        hash_to_scalar(
            message,
            &[self.api_id(), b"MAP_MSG_TO_SCALAR_AS_HASH_"].concat(),
        )
    }

    /// `Q_1, H_1, …`: the first `count` generators for the signer's messages.
    pub fn generators(self, count: usize) -> Vec<Affine> {
        create_generators(count, self.api_id())
    }

    /// `Q_2, J_1, …`: the first `count` generators for what the prover commits to.
    pub fn blind_generators(self, count: usize) -> Vec<Affine> {
        create_generators(count, &self.blind_api_id())
    }
}

/// The tag under which secret keys are derived (core draft, section 3.4.1).
pub const KEYGEN_DST: &[u8] = b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_KEYGEN_DST_";

/// `P1` of the suite, compressed.
const P1: [u8; POINT_BYTES] = [
    0xa8, 0xce, 0x25, 0x61, 0x02, 0x84, 0x08, 0x21, 0xa3, 0xe9, 0x4e, 0xa9, 0x02, 0x5e, 0x46, 0x62,
    0xb2, 0x05, 0x76, 0x2f, 0x97, 0x76, 0xb3, 0xa7, 0x66, 0xc8, 0x72, 0xb9, 0x48, 0xf1, 0xfd, 0x22,
    0x5e, 0x7c, 0x59, 0x69, 0x85, 0x88, 0xe7, 0x0d, 0x11, 0x40, 0x6d, 0x16, 0x1b, 0x4e, 0x28, 0xc9,
];

/// `P1`: the fixed point that every signature starts from. It is made as a generator is, under a
/// tag of its own, and the constant is held against that in a test.
pub fn p1() -> Affine {
    // A constant point of the subgroup: the fallback is the same point by its definition.
    Affine::from_bytes(&P1).unwrap_or_else(|_| derived_p1())
}

fn derived_p1() -> Affine {
    const API_ID: &[u8] = b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_H2G_HM2S_";
    let generators = create_from(API_ID, b"BP_MESSAGE_GENERATOR_SEED", 1);
    generators
        .first()
        .copied()
        .unwrap_or_else(|| to_affine([Default::default()])[0])
}

/// `hash_to_scalar` (core draft, section 4.2.2).
pub fn hash_to_scalar(message: &[u8], dst: &[u8]) -> Scalar {
    Scalar::from_wide(&expand_message::<WIDE_BYTES>(message, dst))
}

/// `create_generators` (core draft, section 4.1.1). About 0.1 ms for each: callers keep them.
fn create_generators(count: usize, api_id: &[u8]) -> Vec<Affine> {
    create_from(api_id, b"MESSAGE_GENERATOR_SEED", count)
}

fn create_from(api_id: &[u8], seed: &[u8], count: usize) -> Vec<Affine> {
    let seed_dst = [api_id, b"SIG_GENERATOR_SEED_"].concat();
    let generator_dst = [api_id, b"SIG_GENERATOR_DST_"].concat();
    // 1.
    let mut v: [u8; WIDE_BYTES] = expand_message(&[api_id, seed].concat(), &seed_dst);
    // 2. to 5.
    (1..=count as u64)
        .map(|index| {
            v = expand_message(&[&v, index.to_be_bytes().as_slice()].concat(), &seed_dst);
            hash_to_curve_g1(&v, &generator_dst).to_affine()
        })
        .collect()
}

/// `I2OSP(n, 8)`.
pub fn octets_of_length(length: usize) -> [u8; 8] {
    (length as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_is_the_point_of_its_definition() {
        assert!(p1() == derived_p1());
    }
}
