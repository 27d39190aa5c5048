//! A generator that cannot fail, over 32 bytes of one that can.
//!
//! The scheme's operations take a [`CryptoRng`](rand_core::CryptoRng), which never fails, whereas an
//! operating system or a browser may refuse. So whoever runs an operation asks for 32 bytes first,
//! where the refusal can be answered, and draws from these.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng, utils};
use zeroize::Zeroizing;

use crate::curve::expand_message;

const DST: &[u8] = b"rdid/1/realpass-seeded";
const BLOCK_BYTES: usize = 32;

/// Hashes of a seed and a counter. The seed is wiped when it is dropped.
pub struct Seeded {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Seeded {
    /// From 32 bytes that nobody else knows and that are used for nothing else.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Zeroizing::new(seed),
            drawn: 0,
        }
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(BLOCK_BYTES) {
            let mut input = Zeroizing::new([0; 40]);
            input[..32].copy_from_slice(self.seed.as_slice());
            input[32..].copy_from_slice(&self.drawn.to_be_bytes());
            let block = Zeroizing::new(expand_message::<BLOCK_BYTES>(input.as_slice(), DST));
            part.copy_from_slice(&block[..part.len()]);
            self.drawn += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng as _;

    #[test]
    fn what_is_drawn_follows_from_the_seed_and_never_repeats() {
        let drawn = |seed: u8, lengths: &[usize]| -> Vec<u8> {
            let mut seeded = Seeded::new([seed; 32]);
            let draw = |length: &usize| {
                let mut out = vec![0; *length];
                seeded.fill_bytes(&mut out);
                out
            };
            lengths.iter().flat_map(draw).collect()
        };
        assert_eq!(drawn(1, &[96]), drawn(1, &[32, 64]));
        let mut blocks: Vec<_> = [drawn(1, &[96]), drawn(2, &[96])].concat();
        blocks.extend(drawn(1, &[40]).iter().skip(32));
        let blocks: std::collections::BTreeSet<_> = blocks.chunks_exact(32).collect();
        assert_eq!(blocks.len(), 6);
    }
}
