//! Small texts: base64url, random secrets, the time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_pass::Seeded;
use std::sync::Arc;

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

/// Fresh randomness for what cannot fail once it has begun.
pub(crate) fn seeded() -> Result<Seeded, NoRandomness> {
    random().map(Seeded::new)
}

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
