//! The system's randomness in the forms that the wallet draws it.

use crate::vault::{self, VaultError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_pass::Seeded;
use zeroize::Zeroizing;

/// For RealPass, whose operations cannot fail once they have begun.
pub fn seeded() -> Result<Seeded, VaultError> {
    vault::random().map(Seeded::new)
}

/// 64 random bits, for moments and choices.
pub fn number() -> Result<u64, VaultError> {
    Ok(u64::from_be_bytes(vault::random()?))
}

/// 256 random bits in base64url, for what only its two sides may know.
pub fn secret() -> Result<Zeroizing<String>, VaultError> {
    let bytes = Zeroizing::new(vault::random::<32>()?);
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..])))
}
