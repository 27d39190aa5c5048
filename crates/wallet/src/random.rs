//! The system's randomness in the forms that the wallet draws it.

use crate::vault::{self, VaultError};
use realdid_pass::Seeded;

/// For RealPass, whose operations cannot fail once they have begun.
pub fn seeded() -> Result<Seeded, VaultError> {
    vault::random().map(Seeded::new)
}

/// 64 random bits, for moments and choices.
pub fn number() -> Result<u64, VaultError> {
    Ok(u64::from_be_bytes(vault::random()?))
}
