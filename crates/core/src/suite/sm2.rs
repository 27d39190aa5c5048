//! SM2 with SM3 (GB/T 32918.2, 32918.4, 32905) on the standard's curve: keys as compressed points,
//! signatures as `r ‖ s`.
//!
//! The standard signs `SM3(Z ‖ message)`, where `Z` hashes the signer's id, the curve and the
//! key. Keys here have no names, so the id is the standard's default for all. Nonces come from
//! RFC 6979 with SM3, as P-256's come from it with SHA-256: no signature needs a random number.

use sm2::dsa::signature::{Signer as _, Verifier as _};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};

/// The default user id of GB/T 35276 and GM/T 0009: the 16 ASCII bytes.
const USER_ID: &str = "1234567812345678";

/// A public key: a point of the curve, other than infinity.
pub(super) struct Key(VerifyingKey);

impl Key {
    /// From a compressed point.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        // The library knows a compact form too.
        let compressed = bytes.len() == 33 && matches!(bytes[0], 2 | 3);
        let key = compressed.then(|| VerifyingKey::from_sec1_bytes(USER_ID, bytes))?;
        key.ok().map(Self)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

/// Whether a secret is one of the standard's: 1 to the order less two, since `1 + d` is inverted.
pub(super) fn is_secret(seed: &[u8; 32]) -> bool {
    const ORDER_LESS_ONE: [u8; 32] = [
        0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5,
        0x41, 0x22,
    ];
    *seed != ORDER_LESS_ONE && SigningKey::from_slice(USER_ID, seed).is_ok()
}

pub(super) fn public(seed: &[u8; 32]) -> Vec<u8> {
    use sm2::elliptic_curve::sec1::ToSec1Point as _;
    let point = secret(seed).verifying_key().to_sec1_point(true);
    point.as_bytes().to_vec()
}

pub(super) fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    // Fails where r or s is zero, once in 2^255 messages: whoever finds one has broken SM3.
    let signature: Signature = secret(seed).sign(message);
    signature.to_bytes().into()
}

#[allow(
    clippy::expect_used,
    reason = "SecretKey::from_seed is the only constructor and refuses every seed for which this fails"
)]
fn secret(seed: &[u8; 32]) -> SigningKey {
    SigningKey::from_slice(USER_ID, seed).expect("checked by from_seed")
}

#[cfg(test)]
mod tests;
