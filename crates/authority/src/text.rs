//! Small texts: base64url, random secrets, the time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::{TryCryptoRng, TryRng};
use sha2::Sha256;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Base64url without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The system could not give randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "random.unavailable: the system must give randomness; fault: this machine; do: start again"
)]
pub struct NoRandomness;

/// Fresh random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A secret of 256 bits as text, for codes and tokens.
pub(crate) fn random_secret() -> Result<String, NoRandomness> {
    random::<32>().map(|bytes| base64url(&bytes))
}

/// A generator over one fresh seed of the system's, which is asked once and can refuse it in one
/// place: HMAC-SHA256 in counter mode. Erased when dropped.
pub struct Drawn {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Drawn {
    pub fn new() -> Result<Self, NoRandomness> {
        Ok(Self {
            seed: Zeroizing::new(random()?),
            counter: 0,
        })
    }

    fn block(&mut self) -> [u8; 32] {
        let mut block = [0; 32];
        // HMAC takes keys of any length, so this cannot fail.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.seed[..]) {
            mac.update(&self.counter.to_be_bytes());
            block.copy_from_slice(&mac.finalize().into_bytes());
        }
        self.counter += 1;
        block
    }
}

impl TryRng for Drawn {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.block()[..8]);
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for part in bytes.chunks_mut(32) {
            part.copy_from_slice(&self.block()[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

/// Decimal digits, each as likely as another.
pub(crate) fn random_digits(count: usize) -> Result<String, NoRandomness> {
    let mut digits = String::with_capacity(count);
    while digits.len() < count {
        // 250 is the largest multiple of ten in a byte; what is above would favour low digits.
        for byte in random::<16>()?.into_iter().filter(|byte| *byte < 250) {
            if digits.len() < count {
                digits.push(char::from(b'0' + byte % 10));
            }
        }
    }
    Ok(digits)
}

/// The time in Unix milliseconds. Tests bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as u64)
        }))
    }

    #[cfg(test)]
    pub(crate) fn of(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }

    pub fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }
}
