//! Whoever vouches for this wallet and its keys to issuers that ask for it (HAIP 1.0 §4.4; spec/wallet.md,
//! W21): in development a key and a certificate in a folder. In earnest it is a service of the wallet's
//! maker, which looks at the device before it vouches, and no key of its lies on a person's device.

use crate::authorities;
use crate::error::CliError;
use crate::files;
use realdid_credential::jose::SigningKey;
use realdid_exchange::vci::attestation::Provider;
use std::path::Path;
use zeroize::Zeroizing;

/// Its key: 64 characters of hex, a scalar of P-256.
const KEY_FILE: &str = "provider.key";
/// The chain of that key, PEM, leaf first, without the root.
const CHAIN_FILE: &str = "provider.pem";

/// Reads the folder.
pub fn read(dir: &Path) -> Result<Provider, CliError> {
    let refused = || {
        CliError::user(
            "provider.folder",
            "a provider's folder has provider.key, 64 characters of hex, and provider.pem, the chain of that key, leaf first",
            "give the folder of a provider for development, or none",
        )
    };
    let text = Zeroizing::new(files::read(&dir.join(KEY_FILE), 256)?);
    let text = std::str::from_utf8(&text).map_err(|_| refused())?;
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut secret[..]).map_err(|_| refused())?;
    let key = SigningKey::p256(&secret).map_err(|_| refused())?;
    let chain = authorities::read_chain(&dir.join(CHAIN_FILE))?;
    Provider::new(key, &chain).ok_or_else(refused)
}
