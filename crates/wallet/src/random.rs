//! The system's randomness in the form that RealPass draws it.

use crate::vault::{self, VaultError};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use zeroize::Zeroizing;

/// A generator over 32 bytes of the system's. The system is asked once, where it can be refused by
/// name; what is drawn is SHA-256 of a counter and the bytes, which are wiped.
pub struct Fresh {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Fresh {
    pub fn new() -> Result<Self, VaultError> {
        Ok(Self {
            seed: Zeroizing::new(vault::random()?),
            drawn: 0,
        })
    }
}

/// 64 random bits, for moments and choices.
pub fn number() -> Result<u64, VaultError> {
    Ok(u64::from_be_bytes(vault::random()?))
}

impl TryRng for Fresh {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            let mut hash = Sha256::new();
            hash.update(b"rdid/1/wallet-random");
            hash.update(self.drawn.to_be_bytes());
            hash.update(*self.seed);
            self.drawn += 1;
            let block = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Fresh {}
