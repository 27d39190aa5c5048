//! Random scalars that stay unpredictable when the generator fails (spec/realpass.md, rule B5).
//!
//! The caller's generator gives 32 bytes; they are hashed together with the secret that the
//! operation uses and with what it is about. A generator that repeats or is known to somebody then
//! still gives different, secret scalars for different statements; a good one is not weakened.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::curve::{Scalar, WIDE_BYTES, expand_message};
use crate::suite::octets_of_length;

const SEED_DST: &[u8] = b"rdid/1/realpass-hedge-seed";
const SCALAR_DST: &[u8] = b"rdid/1/realpass-hedge-scalar";
const SEED_BYTES: usize = 64;

/// What the scalars are for and what they must differ with.
pub struct Hedge<'a> {
    /// The operation.
    pub purpose: &'a str,
    /// The secret that it uses.
    pub witness: &'a [Scalar],
    /// What it is about.
    pub about: &'a [&'a [u8]],
}

impl Hedge<'_> {
    fn seed(&self, rng: &mut impl CryptoRng) -> Zeroizing<[u8; SEED_BYTES]> {
        let mut fresh = Zeroizing::new([0; 32]);
        rng.fill_bytes(fresh.as_mut_slice());
        let about: usize = self.about.iter().map(|part| part.len() + 8).sum();
        // The room is reserved at once: a vector that grows leaves its secrets behind.
        let mut input = Zeroizing::new(Vec::with_capacity(
            48 + self.purpose.len() + 32 * self.witness.len() + about,
        ));
        input.extend(fresh.as_slice());
        let purpose = self.purpose.as_bytes();
        for part in std::iter::once(&purpose).chain(self.about) {
            input.extend(octets_of_length(part.len()));
            input.extend(*part);
        }
        for scalar in self.witness {
            input.extend(Zeroizing::new(scalar.to_bytes()).as_slice());
        }
        Zeroizing::new(expand_message(&input, SEED_DST))
    }

    /// `count` scalars.
    pub fn scalars(&self, rng: &mut impl CryptoRng, count: usize) -> Zeroizing<Vec<Scalar>> {
        let seed = self.seed(rng);
        let mut scalars = Zeroizing::new(Vec::with_capacity(count));
        for index in 0..count {
            let mut input = Zeroizing::new([0; SEED_BYTES + 8]);
            input[..SEED_BYTES].copy_from_slice(seed.as_slice());
            input[SEED_BYTES..].copy_from_slice(&octets_of_length(index));
            let wide = Zeroizing::new(expand_message::<WIDE_BYTES>(input.as_slice(), SCALAR_DST));
            scalars.push(Scalar::from_wide(&wide));
        }
        scalars
    }

    /// `count` weights of 128 bits.
    pub fn weights(&self, rng: &mut impl CryptoRng, count: usize) -> Vec<[u8; 16]> {
        self.scalars(rng, count)
            .iter()
            .map(|scalar| {
                let mut weight = [0; 16];
                // The low half of a scalar that is uniform modulo a number of 255 bits.
                weight.copy_from_slice(&scalar.to_bytes()[16..]);
                weight
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Fixed;

    #[test]
    fn scalars_differ_with_randomness_purpose_witness_and_matter() {
        let hedge = |purpose, witness: &[Scalar], about: &[&[u8]], byte| {
            let hedge = Hedge {
                purpose,
                witness,
                about,
            };
            hedge.scalars(&mut Fixed(byte), 2).to_vec()
        };
        let one = [Scalar::one()];
        let base = hedge("a", &one, &[b"x"], 0);
        assert!(base[0] != base[1]);
        assert!(base == hedge("a", &one, &[b"x"], 0));
        for other in [
            hedge("a", &one, &[b"x"], 1),
            hedge("b", &one, &[b"x"], 0),
            hedge("a", &[Scalar::default()], &[b"x"], 0),
            hedge("a", &one, &[b"y"], 0),
            hedge("a", &one, &[b"x", b""], 0),
        ] {
            assert!(base[0] != other[0] && base[1] != other[1]);
        }
    }
}
