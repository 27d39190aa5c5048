//! Files that whoever types a command names: bounded, since they may be anything.

use crate::fail::Fail;
use realdid_core::suite::{SecretKey, Suite};
use realdid_serve::files::FileError;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The longest file of a key: a suite's name, a colon and 64 digits.
const MAX_KEY_BYTES: usize = 128;

/// Reads a file of at most `most` bytes.
pub fn read_bounded(path: &Path, most: usize) -> Result<Vec<u8>, Fail> {
    let file = std::fs::File::open(path).map_err(|error| FileError::of(path, &error))?;
    // Room at first for what may be secret, which leaves no copies behind as it grows.
    let mut bytes = Vec::with_capacity(most.min(4096) + 1);
    let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| FileError::of(path, &error))?;
    match bytes.len() > most {
        false => Ok(bytes),
        true => Err(Fail::user(
            "codec.too_long",
            &format!("{} is at most {most} bytes", path.display()),
            "get the file again, or take it away",
        )),
    }
}

/// A governance key as its holder keeps it: 32 bytes in hex, after the suite's name and a colon where it is
/// not of Ed25519.
pub fn governance_key(path: &Path) -> Result<SecretKey, Fail> {
    let bytes = Zeroizing::new(read_bounded(path, MAX_KEY_BYTES)?);
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let (suite, digits) = text.split_once(':').unwrap_or(("ed25519", text));
    let suite = Suite::ALL.into_iter().find(|known| known.name() == suite);
    let mut seed = Zeroizing::new([0; 32]);
    let read = hex::decode_to_slice(digits, seed.as_mut_slice()).ok();
    let key = suite.filter(|_| read.is_some());
    let key = key.map(|suite| SecretKey::from_seed(suite, *seed));
    key.and_then(Result::ok).ok_or_else(|| {
        Fail::user(
            "governance.key",
            "a key file holds 64 hex digits, after ed25519:, p256: or sm2: where that is the suite",
            "give the file of a governance key",
        )
    })
}
